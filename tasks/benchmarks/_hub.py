"""Where a benchmark's files are: a local copy, the hub's cache, or the hub, always at the pinned commit."""

import re
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tasks._base import DataError

PATIENCE = 2.0  # seconds; a hub that cannot be reached is reported within three
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A data set repository at a commit, and the files of it that are needed (patterns)."""

    name: str
    repo: str
    revision: str
    patterns: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """The commands that obtain it by hand."""
        return (
            f"run `hf download --repo-type dataset {self.repo} --revision {self.revision} --local-dir PATH` "
            f"where the hub can be reached, then say --data {self.name}:PATH"
        )


def folder_of(pinned: Pinned, path: str | None, *, offline: bool = False) -> Path:
    """The folder that holds the benchmark: the user's copy at `path`, else the hub's at the pinned commit.

    Raises DataError in one line where there is none, or where a copy is known to be of another commit.
    """
    if path is not None:
        return local(pinned, path)
    told_offline = offline or _told_offline()
    if not told_offline and _reached():
        return _fetched(pinned)
    here = _cached(pinned)
    if here is not None:
        return here
    if told_offline:
        raise _absent(pinned, "is not on this machine and the run is offline")
    from huggingface_hub import constants

    raise _absent(pinned, f"is not on this machine and {constants.ENDPOINT} cannot be reached")


def local(pinned: Pinned, path: str) -> Path:
    """The user's copy; DataError where it is not there, or was made from another commit."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {path!r} for --data {pinned.name}:PATH; {pinned.remedy}")
    found = _commits(folder) - {pinned.revision}
    if found:
        raise DataError(
            f"{path} is {pinned.repo} at commit {sorted(found)[0]}; {pinned.name} is read at {pinned.revision}: "
            f"{pinned.remedy}"
        )
    return folder


def _commits(folder: Path) -> set[str]:
    """The commits that the hub's client noted beside the files it brought, or in the name of a snapshot."""
    notes = (folder / ".cache" / "huggingface").rglob("*.metadata")
    told = {(note.read_text(encoding="utf-8").split() or [""])[0] for note in notes}
    told.add(folder.resolve().name if folder.resolve().parent.name == "snapshots" else "")
    return {commit for commit in told if COMMIT.fullmatch(commit)}


def _absent(pinned: Pinned, what: str) -> DataError:
    beside = f"; the folder ./{pinned.name} here is asked as {pinned.name}:{pinned.name}"
    hint = beside if Path(pinned.name).is_dir() else ""
    return DataError(f"{pinned.name}: {pinned.repo} at {pinned.revision} {what}: {pinned.remedy}{hint}")


def _told_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _cached(pinned: Pinned) -> Path | None:
    import huggingface_hub as hub
    from huggingface_hub import constants, errors

    try:
        return Path(
            hub.snapshot_download(
                pinned.repo,
                repo_type="dataset",
                revision=pinned.revision,
                cache_dir=constants.HF_HUB_CACHE,
                local_files_only=True,
            )
        )
    except errors.LocalEntryNotFoundError:
        return None


def _fetched(pinned: Pinned) -> Path:
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        folder = hub.snapshot_download(
            pinned.repo,
            repo_type="dataset",
            revision=pinned.revision,
            cache_dir=constants.HF_HUB_CACHE,
            allow_patterns=list(pinned.patterns),
            etag_timeout=PATIENCE * 5,
            endpoint=constants.ENDPOINT,
        )
    except Exception as error:  # the client raises its own, its transport's and the system's errors
        raise _said(pinned, error) from error
    finally:
        enable_progress_bars()
    return Path(folder)


def _said(pinned: Pinned, error: Exception) -> DataError:
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/datasets/{pinned.repo}"
    cause = error if getattr(error, "response", None) is not None else error.__cause__
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError) or status in (401, 403):
        return _absent(pinned, f"is gated or private (ask for access at {page}, then `hf auth login`)")
    if isinstance(error, errors.RepositoryNotFoundError):
        return _absent(pinned, f"is not at {constants.ENDPOINT}, or is private (`hf auth login`)")
    if isinstance(error, errors.RevisionNotFoundError):
        return _absent(pinned, f"is not at {constants.ENDPOINT}, which has other commits of it")
    line = (str(error).splitlines() or [""])[0][:160]
    return _absent(pinned, f"could not be fetched ({type(error).__name__}: {line})")


def _reached() -> bool:
    """Whether anything answers at the hub's address, before the client begins its retries."""
    from urllib.request import getproxies, proxy_bypass

    from huggingface_hub import constants

    url = urlsplit(constants.ENDPOINT)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
    outcome: list[bool] = []

    def attempt() -> None:
        try:
            socket.create_connection(address, timeout=PATIENCE).close()
            outcome.append(True)
        except OSError:
            outcome.append(False)

    thread = threading.Thread(target=attempt, daemon=True)  # name resolution knows no time limit
    thread.start()
    thread.join(PATIENCE + 0.2)
    return bool(outcome and outcome[0])
