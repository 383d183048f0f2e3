"""A folder to and from an object store: every file whole, by one request, held against its sha256.

`SHA256SUMS` beside the files names each with its digest, as `sha256sum --check` reads it. It is written last, so that a
copy without it is one that was broken off.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from hub.objects import AbsentError, ObjectError, Stores, joined, shown
from slitlamp.errors import UsageError

SUMS = "SHA256SUMS"
Progress = Callable[[int, int], None]  # files done, files in all


def upload(folder: Path, url: str, *, progress: Progress | None = None) -> int:
    """Copy every file below a folder to the prefix `url`; the number of files.

    A prefix that holds the same copy already is left alone; one that holds another is refused.

    Raises:
        UsageError: the folder holds no file, one that is no regular file or called like the list of digests, or the
            prefix holds another copy.
        ObjectError: the store cannot be reached or written; its text holds no credentials.
    """
    stores = Stores()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    for name in names:
        if name == SUMS or "\n" in name or "\\" in name or not (folder / name).is_file():
            raise UsageError(
                f"{folder.name}/{name!r} is no file that can be copied beside a list of digests; remove it"
            )
    if not names:
        raise UsageError(f"{folder.name} holds no file to copy to {shown(url)}")
    sums = "".join(f"{_digest(folder / name)}  {name}\n" for name in names)
    there = _listed(stores, url)
    if there == sums:
        return len(names)
    if there is not None:
        raise UsageError(f"{shown(url)} holds another copy already; name a prefix that is empty")
    for done, name in enumerate(names, 1):
        stores.put(folder / name, joined(url, name))
        if progress is not None:
            progress(done, len(names))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / SUMS
        path.write_text(sums, encoding="utf-8")
        stores.put(path, joined(url, SUMS))
    return len(names)


def download(url: str, folder: Path, *, progress: Progress | None = None) -> int:
    """Copy what `upload` left at the prefix `url` into a folder; the number of files.

    A file that is there with its digest is not fetched again, so that a copy that was broken off goes on.

    Raises:
        UsageError: the prefix holds no list of digests, or one that names a file outside the folder; the folder holds
            another file of a name.
        ObjectError: the store cannot be reached, or a file's bytes are not those of its digest.
    """
    stores = Stores()
    sums = _listed(stores, url)
    if sums is None:
        raise UsageError(f"{shown(url)} holds no {SUMS}: it is no copy of a folder, or one that was broken off")
    wanted = _parsed(sums, url)
    folder.mkdir(parents=True, exist_ok=True)
    for done, (name, digest) in enumerate(wanted.items(), 1):
        path = folder / name
        if not path.exists():
            _bring(stores, url, name, digest, path)
        elif _digest(path) != digest:
            raise UsageError(
                f"{folder.name}/{name} is there with other bytes than {shown(url)} has; name an empty folder"
            )
        if progress is not None:
            progress(done, len(wanted))
    return len(wanted)


def _bring(stores: Stores, url: str, name: str, digest: str, path: Path) -> None:
    """Fetch one file beside its place, and put it there once its bytes are right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    os.close(handle)
    try:
        stores.fetch(joined(url, name), Path(part))
        found = _digest(Path(part))
        if found != digest:
            raise ObjectError(
                f"{shown(joined(url, name))} has sha256 {found[:12]}…, and {SUMS} says {digest[:12]}…: it was changed "
                "or broken there"
            )
        Path(part).chmod(0o644)
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)


def _listed(stores: Stores, url: str) -> str | None:
    """The text of the list of digests at a prefix; None where there is none."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / SUMS
        try:
            stores.fetch(joined(url, SUMS), path)
            return path.read_text(encoding="utf-8")
        except AbsentError as error:
            if "bucket" in str(error):
                raise
            return None
        except UnicodeDecodeError:
            raise UsageError(f"{shown(joined(url, SUMS))} is no list of digests") from None


def _parsed(sums: str, url: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(sums.splitlines(), 1):
        digest, _, name = line.partition("  ")
        parts = PurePosixPath(name).parts
        out = not parts or parts[0] == "/" or ".." in parts or "\\" in name or ":" in parts[0]
        if out or name in found or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise UsageError(f"{shown(joined(url, SUMS))} line {number} is no digest of a file below it: {line[:80]!r}")
        found[name] = digest
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
