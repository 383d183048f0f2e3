"""Pinned snapshots from a hub: the commit that was asked for, whole, or one line that says what to do."""

import re
import socket
import sys
import threading
from collections.abc import Sequence
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
) -> tuple[Path, str]:
    """The folder of a repository at a commit, and the 40-hex commit itself.

    The first of `weights` that the repository has is fetched, the files `needed` beside it, and what matches
    `others`. A copy in the hub's own cache is used without asking the network. A `revision` of None is
    resolved to a commit.
    Raises EncoderError in one line.
    """
    found = _cached(repo, revision, weights, needed)
    if found:
        return found
    if offline or _told_offline():
        raise _unavailable(repo, revision, "is not on this machine and the run is offline")
    _reach(repo, revision)
    return _fetch(repo, revision, weights, [*needed, *others])


def _cached(repo: str, revision: str | None, weights: Sequence[str], needed: Sequence[str]) -> tuple[Path, str] | None:
    from huggingface_hub import constants, try_to_load_from_cache

    for name in weights:
        path = try_to_load_from_cache(repo, name, cache_dir=constants.HF_HUB_CACHE, revision=revision)
        if isinstance(path, str) and all((Path(path).parent / file).exists() for file in needed):
            return Path(path).parent, Path(path).parent.name
    return None


def _fetch(repo: str, revision: str | None, weights: Sequence[str], others: Sequence[str]) -> tuple[Path, str]:
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        info = hub.HfApi(endpoint=constants.ENDPOINT).model_info(repo, revision=revision, timeout=PATIENCE * 5)
        held = {entry.rfilename for entry in info.siblings or []}
        chosen = [name for name in weights if name in held][:1]
        if not chosen:
            raise EncoderError(
                f"{repo} at {revision or 'its newest commit'} holds none of {', '.join(weights)}; "
                "name a revision that does, or pass --weights PATH"
            )
        # by the revision's own name, so that the cache remembers which commit it stood for
        folder = hub.snapshot_download(
            repo,
            revision=revision,
            allow_patterns=[*chosen, *others],
            etag_timeout=PATIENCE * 5,
            endpoint=constants.ENDPOINT,
        )
    except EncoderError:
        raise
    except Exception as error:  # the client raises its own, its transport's and the system's errors
        raise _translated(repo, revision, error) from error
    finally:
        enable_progress_bars()
    return Path(folder), Path(folder).name


def _translated(repo: str, revision: str | None, error: Exception) -> EncoderError:
    from huggingface_hub import constants, errors

    at = f"{repo} at revision {revision or 'main'}"
    if isinstance(error, errors.GatedRepoError):
        return EncoderError(
            f"{repo} is gated: ask for access at {constants.ENDPOINT}/{repo}, then run `hf auth login` "
            f"(or set HF_TOKEN), or pass --weights PATH; `phantom-clip` needs no access"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return EncoderError(
            f"{repo} does not exist at {constants.ENDPOINT}, or is private: check the name, or run "
            "`hf auth login`; or pass --weights PATH"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return EncoderError(f"{repo} has no revision {revision}; give a commit that it has, or --weights PATH")
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return EncoderError(
            f"the hub refuses {at} ({status}): visit {constants.ENDPOINT}/{repo}, then run `hf auth login`, "
            "or pass --weights PATH; `phantom-clip` works offline"
        )
    line = (str(error).splitlines() or [""])[0][:160]
    return _unavailable(repo, revision, f"could not be fetched ({type(error).__name__}: {line})")


def _unavailable(repo: str, revision: str | None, what: str) -> EncoderError:
    pin = f" --revision {revision}" if revision else ""
    return EncoderError(
        f"{repo} at revision {revision or 'main'} {what}: run `hf download {repo}{pin}` where the hub can be "
        "reached and pass the folder with --weights PATH; `phantom-clip` works offline"
    )


def _told_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _reach(repo: str, revision: str | None) -> None:
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
        raise _unavailable(repo, revision, f"is not on this machine and {constants.ENDPOINT} cannot be reached")


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
