"""Pinned snapshots from a hub: the commit that was asked for, whole, or one line that says what to do."""

import re
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.errors import HubError
from hub.repository import Repository, said, unavailable

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
    Raises HubError in one line.
    """
    place = Repository(repo=repo, revision=revision, kind=repo_type)
    found = _cached(place, weights, needed)
    if found:
        return found
    approach(place, offline=offline)
    return _fetch(place, weights, [*needed, *others])


def approach(place: Repository, *, offline: bool, there: str = "is not on this machine") -> None:
    """Refuse at once, in one line, where the run is offline or nothing answers at the hub's address."""
    if offline or _told_offline():
        raise unavailable(place, f"{there} and the run is offline")
    _reach(place, there)


def _cached(place: Repository, weights: Sequence[str], needed: Sequence[str]) -> tuple[Path, str] | None:
    from huggingface_hub import constants, try_to_load_from_cache

    for name in weights:
        path = try_to_load_from_cache(
            place.repo, name, cache_dir=constants.HF_HUB_CACHE, revision=place.revision, repo_type=place.kind
        )
        if isinstance(path, str):
            folder = Path(path).parents[name.count("/")]
            if all((folder / file).exists() for file in needed):
                return folder, folder.name
    return None


def _fetch(place: Repository, weights: Sequence[str], others: Sequence[str]) -> tuple[Path, str]:
    held = listing(place)
    chosen = [name for name in weights if name in held][:1]
    if not chosen:
        raise HubError(
            f"{place.repo} at {place.revision or 'its newest commit'} holds none of {', '.join(weights)}; "
            "name a revision that does, or pass --weights PATH"
        )
    return download(place, [*chosen, *others])


def listing(place: Repository) -> set[str]:
    """The names of the files that the repository holds; raises HubError in one line."""
    import huggingface_hub as hub
    from huggingface_hub import constants

    with said(place):
        info = hub.HfApi(endpoint=constants.ENDPOINT).repo_info(
            place.repo, repo_type=place.kind, revision=place.revision, timeout=PATIENCE * 5
        )
    return {entry.rfilename for entry in getattr(info, "siblings", None) or []}


def download(place: Repository, patterns: Sequence[str]) -> tuple[Path, str]:
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


def _told_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _reach(place: Repository, there: str) -> None:
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
    """`ORG/NAME@REV` as (repo, revision); raises HubError where it is neither."""
    repo, at, revision = text.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo) or (at and not revision):
        raise HubError(f"{text!r} is no repository: give ORG/NAME or ORG/NAME@REVISION")
    return repo, revision or None
