"""Pinned snapshots from a hub: the commit that was asked for, whole, or one line that says what to do."""

import errno
import re
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from encoders._base import EncoderError

PATIENCE = 2.0  # seconds; a hub that cannot be reached is reported within three


def snapshot(
    repo: str,
    revision: str | None,
    *,
    weights: Sequence[str],
    needed: Sequence[str],
    others: Sequence[str] = (),
    offline: bool = False,
    repo_type: str = "model",
) -> tuple[Path, str]:
    """The folder of a repository at a commit, and the 40-hex commit itself.

    The first of `weights` that the repository has is fetched, the files `needed` beside it, and what matches
    `others`. A copy in the hub's own cache is used without asking the network. A `revision` of None is
    resolved to a commit. `repo_type` is "dataset" where the weights lie in a repository of that kind.
    Raises EncoderError in one line.
    """
    place = Place(repo=repo, revision=revision, kind=repo_type)
    found = _cached(place, weights, needed)
    if found:
        return found
    approach(place, offline=offline)
    return _fetch(place, weights, [*needed, *others])


@dataclass(frozen=True, kw_only=True)
class Place:
    """A repository at a revision; `kind` is "model" or "dataset"."""

    repo: str
    revision: str | None
    kind: str = "model"

    def __str__(self) -> str:
        return f"{self.repo} at revision {self.revision or 'main'}"

    @property
    def page(self) -> str:
        """Where a person reads about it and asks for access."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' * (self.kind == 'dataset')}{self.repo}"


def approach(place: Place, *, offline: bool, there: str = "is not on this machine") -> None:
    """Refuse at once, in one line, where the run is offline or nothing answers at the hub's address."""
    if offline or _told_offline():
        raise unavailable(place, f"{there} and the run is offline")
    _reach(place, there)


def folder_of(place: Place) -> Path | None:
    """The folder of a snapshot in the hub's own cache, None where there is none; what it holds is not looked at."""
    from huggingface_hub import constants

    store = Path(constants.HF_HUB_CACHE) / f"{place.kind}s--{place.repo.replace('/', '--')}"
    named = store / "refs" / (place.revision or "main")
    commit = named.read_text().strip() if named.is_file() else place.revision
    folder = store / "snapshots" / (commit or "")
    return folder if commit and folder.is_dir() else None


def _cached(place: Place, weights: Sequence[str], needed: Sequence[str]) -> tuple[Path, str] | None:
    from huggingface_hub import constants, try_to_load_from_cache

    for name in weights:
        path = try_to_load_from_cache(
            place.repo, name, cache_dir=constants.HF_HUB_CACHE, revision=place.revision, repo_type=place.kind
        )
        if isinstance(path, str) and all((Path(path).parent / file).exists() for file in needed):
            return Path(path).parent, Path(path).parent.name
    return None


def _fetch(place: Place, weights: Sequence[str], others: Sequence[str]) -> tuple[Path, str]:
    held = listing(place)
    chosen = [name for name in weights if name in held][:1]
    if not chosen:
        raise EncoderError(
            f"{place.repo} at {place.revision or 'its newest commit'} holds none of {', '.join(weights)}; "
            "name a revision that does, or pass --weights PATH"
        )
    return download(place, [*chosen, *others])


def listing(place: Place) -> set[str]:
    """The names of the files that the repository holds; raises EncoderError in one line."""
    import huggingface_hub as hub
    from huggingface_hub import constants

    with said(place):
        info = hub.HfApi(endpoint=constants.ENDPOINT).repo_info(
            place.repo, repo_type=place.kind, revision=place.revision, timeout=PATIENCE * 5
        )
    return {entry.rfilename for entry in getattr(info, "siblings", None) or []}


def download(place: Place, patterns: Sequence[str]) -> tuple[Path, str]:
    """What matches `patterns`, by the client's own download: the snapshot's folder and its commit."""
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        with said(place):
            # by the revision's own name, so that the cache remembers which commit it stood for
            folder = hub.snapshot_download(
                place.repo,
                repo_type=place.kind,
                revision=place.revision,
                allow_patterns=list(patterns),
                etag_timeout=PATIENCE * 5,
                endpoint=constants.ENDPOINT,
            )
    finally:
        enable_progress_bars()
    return Path(folder), Path(folder).name


@contextmanager
def said(place: Place) -> Iterator[None]:
    """Turn whatever a hub's client raises into one EncoderError that says what to do."""
    try:
        yield
    except EncoderError:
        raise
    except Exception as error:  # the client raises its own, its transport's and the system's errors
        raise _translated(place, error) from error


def _translated(place: Place, error: Exception) -> EncoderError:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return EncoderError(
            f"{place.repo} is gated: ask for access at {place.page}, then run `hf auth login` "
            f"(or set HF_TOKEN), or pass --weights PATH; `phantom-clip` needs no access"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return EncoderError(
            f"{place.repo} does not exist at {constants.ENDPOINT}, or is private: check the name, or run "
            "`hf auth login`; or pass --weights PATH"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return EncoderError(
            f"{place.repo} has no revision {place.revision}; give a commit that it has, or --weights PATH"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return full(place)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return EncoderError(
            f"the hub refuses {place} ({status}): visit {place.page}, then run `hf auth login`, "
            "or pass --weights PATH; `phantom-clip` works offline"
        )
    line = (str(error).splitlines() or [""])[0][:160]
    return unavailable(place, f"could not be fetched ({type(error).__name__}: {line})")


def full(place: Place) -> EncoderError:
    """The error for a disk that has no room for what is being fetched."""
    from huggingface_hub import constants

    return EncoderError(
        f"the disk is full while {place} is fetched into {constants.HF_HUB_CACHE}; what was written of it is "
        "removed: make room there, or set HF_HOME to another disk"
    )


def unavailable(place: Place, what: str) -> EncoderError:
    """The error for a repository that is neither here nor to be had, with the way to bring it by hand."""
    pin = (f" --revision {place.revision}" if place.revision else "") + " --repo-type dataset" * (place.kind != "model")
    return EncoderError(
        f"{place} {what}: run `hf download {place.repo}{pin}` where the hub can be "
        "reached and pass the folder with --weights PATH; `phantom-clip` works offline"
    )


def _told_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _reach(place: Place, there: str) -> None:
    """Refuse at once where nothing answers, before the client begins its retries."""
    from huggingface_hub import constants

    host, port = _address(constants.ENDPOINT)
    outcome: list[Any] = []

    def attempt() -> None:
        try:
            socket.create_connection((host, port), timeout=PATIENCE).close()
            outcome.append(None)
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=attempt, daemon=True)  # name resolution knows no time limit
    thread.start()
    thread.join(PATIENCE + 0.2)
    reason = outcome[0] if outcome else TimeoutError("no answer")
    if reason is not None:
        raise unavailable(place, f"{there} and {constants.ENDPOINT} cannot be reached")


def _address(endpoint: str) -> tuple[str, int]:
    """Where the client will connect: the hub, or the proxy that the environment names for it."""
    from urllib.request import getproxies, proxy_bypass

    url = urlsplit(endpoint)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def repository(text: str) -> tuple[str, str | None]:
    """`ORG/NAME@REV` as (repo, revision); raises EncoderError where it is neither."""
    repo, at, revision = text.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo) or (at and not revision):
        raise EncoderError(f"{text!r} is no repository: give ORG/NAME or ORG/NAME@REVISION")
    return repo, revision or None
