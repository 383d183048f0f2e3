"""Atomic writes: a file is the old or the new one, never half; what a dead writer left behind is known and removed."""

import contextlib
import os
import re
import secrets
import stat
import time
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not a POSIX system: age alone tells a dead writer
    fcntl = None

DAY = 86_400.0
TEMPORARY = re.compile(r"\..+\.(\d+)(?:-[0-9a-f]+)?\.tmp|\.shard-[0-9a-f]{16}\.tmp")
YOUNG = 60.0  # seconds for which a temporary file of a running process is its own, locked or not yet
GROUP_WRITES = stat.S_IRGRP | stat.S_IWGRP
_SWEPT: set[Path] = set()  # folders whose dead writers this process has cleared away


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file, text as UTF-8, so that a reader sees the old one or the new one, never a part.

    The folder is made where there is none. What writers that were killed left in it is removed by the first writer of a
    process. A folder that its group may write gets files that the group may write, whatever the umask.
    """
    make_folder(path.parent)
    sweep(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            lock(file)
            share(temporary)
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a full disk tells no file
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; what the first of them lets its group do, the new ones let it too."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(new):
        share(one)


def share(path: Path, *, create: bool = False) -> None:
    """Let the group write a file or folder of this user's where it may write the folder around it.

    With `create` an empty file is made where there is none.
    """
    if create and not path.exists():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    elif create:
        return
    if os.name != "posix" or not path.parent.stat().st_mode & stat.S_IWGRP:
        return
    facts = path.lstat()
    wanted = GROUP_WRITES | (stat.S_IXGRP if stat.S_ISDIR(facts.st_mode) else 0)
    if facts.st_mode & wanted != wanted:
        with contextlib.suppress(OSError):  # another user's, or a disk without modes
            path.chmod(stat.S_IMODE(facts.st_mode) | wanted)


def sweep(folder: Path) -> None:
    """Remove what writers that are gone left in a folder, once for each process."""
    if folder in _SWEPT:
        return
    _SWEPT.add(folder)
    for left in folder.glob(".*.tmp"):
        named = TEMPORARY.fullmatch(left.name)
        with contextlib.suppress(OSError):  # gone already, or another user's
            if named is not None and _is_left(left, named[1]):
                left.unlink(missing_ok=True)


def _is_left(path: Path, process: str | None) -> bool:
    # between making and locking its file a living writer looks dead; a number may be that of another process by now
    young = time.time() - path.stat().st_mtime < YOUNG
    return is_dead(path) and not (young and (process is None or _runs(int(process))))


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system lets a folder be synced."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(file: IO[bytes]) -> None:
    """Mark a temporary file as that of a living writer, until it is closed."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a network disk without locks: age alone tells a dead writer
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_dead(path: Path) -> bool:
    """Whether the writer of a temporary file is gone: its lock is free, or no lock can be had and a day has passed."""
    with contextlib.suppress(FileNotFoundError):
        if fcntl is not None and os.access(path, os.R_OK):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                except OSError:
                    pass
                else:
                    return True
        return time.time() - path.stat().st_mtime > DAY
    return False


def _runs(process: int) -> bool:
    """Whether a process of this machine has that number; False where only the age of its file can tell."""
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
