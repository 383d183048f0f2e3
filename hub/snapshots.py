"""Pinned snapshots from a hub: the commit that was asked for, whole, or one line that says what to do."""

import re
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.errors import HubError
from hub.files import INDEX, Needed, lacking, shard_names
from hub.repository import Repository, folder_of, hub_errors, unavailable

PATIENCE = 2.0  # seconds; a hub that cannot be reached is reported within three


def snapshot(
    repo: str,
    revision: str | None,
    *,
    weights: Sequence[str],
    needed: Sequence[Needed],
    others: Sequence[str] = (),
    offline: bool = False,
    repo_type: str = "model",
) -> tuple[Path, str]:
    """The folder of a repository at a commit, and the 40-hex commit itself.

    The first of `weights` that the repository has is fetched (of an index its shards too), the files `needed` beside
    it (of a tuple all that there are, and at least one), and what matches `others`. A copy in the hub's own cache is
    used without asking the network. A `revision` of None is resolved to a commit. `repo_type` is "dataset" where the
    weights lie in a repository of that kind. Raises HubError in one line.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    repository = Repository(repo=repo, revision=revision, kind=repo_type)
    state = "is not on this machine"
    for name in weights:
        path = try_to_load_from_cache(
            repo, name, cache_dir=constants.HF_HUB_CACHE, revision=revision, repo_type=repo_type
        )
        if isinstance(path, str):
            folder = Path(path).parents[name.count("/")]
            shards = shard_names(Path(path)) if name.endswith(INDEX) else []
            absent = lacking(lambda file, folder=folder: (folder / file).exists(), [*needed, *shards])
            if not absent:
                return folder, folder.name
            state = f"is on this machine only in part (wanting: {', '.join(absent)})"
    require_online(repository, offline=offline, state=state)
    held = listing(repository)
    chosen = [name for name in weights if name in held][:1]
    if not chosen:
        raise HubError(
            f"{repo} at {revision or 'its newest commit'} holds none of {', '.join(weights)}; "
            "name a revision that does, or pass --weights PATH"
        )
    if absent := lacking(held.__contains__, needed):
        raise HubError(f"{repository} holds no {', '.join(absent)}; name a revision that does, or pass --weights PATH")
    beside = [file for one in needed for file in ([one] if isinstance(one, str) else one)]
    folder, commit = download(repository, [*chosen, *beside, *others])
    if chosen[0].endswith(INDEX):
        download(replace(repository, revision=commit), shard_names(folder / chosen[0]))
    return folder, commit


def data_snapshot(repository: Repository, *, offline: bool = False) -> Path:
    """The folder of a data set with every file that matches its patterns.

    Which files match, only the hub knows: it is asked where it can be reached. Elsewhere a snapshot in the
    hub's own cache is used as it is. Raises HubError in one line.
    """
    try:
        require_online(repository, offline=offline)
    except HubError:
        if folder := folder_of(repository):
            return folder
        raise
    return download(repository, repository.patterns)[0]


def require_online(repository: Repository, *, offline: bool, state: str = "is not on this machine") -> None:
    """Refuse at once, in one line, where the run is offline or nothing answers at the hub's address."""
    from huggingface_hub import constants

    if offline or constants.HF_HUB_OFFLINE:
        raise unavailable(repository, f"{state} and the run is offline")
    if not _answers(constants.ENDPOINT):
        raise unavailable(repository, f"{state} and {constants.ENDPOINT} cannot be reached")


def _answers(endpoint: str) -> bool:
    """Whether a connection to the hub, or to the proxy that the environment names for it, is accepted in time.

    The client itself would retry for minutes.
    """
    from urllib.request import getproxies, proxy_bypass

    url = urlsplit(endpoint)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
    accepted = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=PATIENCE).close()
            accepted.set()
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)  # name resolution knows no time limit
    thread.start()
    thread.join(PATIENCE + 0.2)
    return accepted.is_set()


def listing(repository: Repository) -> set[str]:
    """The names of the files that the repository holds; raises HubError in one line."""
    return {entry.rfilename for entry in getattr(described(repository), "siblings", None) or []}


def described(repository: Repository, *, files: bool = False) -> Any:
    """What the hub says of a repository at its revision, with `files` of each file too; HubError in one line."""
    import huggingface_hub as hub
    from huggingface_hub import constants

    with hub_errors(repository):
        return hub.HfApi(endpoint=constants.ENDPOINT).repo_info(
            repository.repo, repo_type=repository.kind, revision=repository.revision, timeout=PATIENCE * 5,
            files_metadata=files,
        )  # fmt: skip


def download(repository: Repository, patterns: Sequence[str]) -> tuple[Path, str]:
    """What matches `patterns`, by the client's own download: the snapshot's folder and its commit."""
    import huggingface_hub as hub
    from huggingface_hub import constants

    with downloading(repository):
        # by the revision's own name, so that the cache remembers which commit it stood for
        folder = hub.snapshot_download(
            repository.repo,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=list(patterns),
            etag_timeout=PATIENCE * 5,
            endpoint=constants.ENDPOINT,
        )
    return Path(folder), Path(folder).name


@contextmanager
def downloading(repository: Repository) -> Iterator[None]:
    """Inside, the client shows bars on a terminal alone, and what goes wrong is a HubError of one line."""
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        with hub_errors(repository):
            yield
    finally:
        enable_progress_bars()


def parse_repository(text: str) -> tuple[str, str | None]:
    """`ORG/NAME@REV` as (repo, revision); raises HubError where it is neither."""
    repo, at, revision = text.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo) or (at and not revision):
        raise HubError(f"{text!r} is no repository: give ORG/NAME or ORG/NAME@REVISION")
    return repo, revision or None
