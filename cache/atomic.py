"""Atomic writes: a file is the old or the new one, never half; what a dead writer left behind is known and removed."""

import contextlib
import hashlib
import os
import platform
import re
import secrets
import stat
import time
from functools import cache as once
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not a POSIX system: age alone tells a dead writer
    fcntl = None

DAY = 86_400.0
TEMPORARY = re.compile(r"\..+?(?:\.at-([0-9a-f]{8}))?\.(\d+)(?:-[0-9a-f]+)?\.tmp|\.shard-[0-9a-f]{16}\.tmp")
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
    new = temporary(path.parent, path.name, f"-{secrets.token_hex(4)}")
    try:
        with new.open("xb") as file:
            lock(file)
            share(new)
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a full disk tells no file
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        new.unlink(missing_ok=True)
    sync_folder(path.parent)


@once
def system() -> str:
    """Eight digits for the running system: a lock and the number of a process mean something within it alone.

    Two computers differ, and so does one before and after it was started anew.
    """
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        name = platform.node()
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def temporary(folder: Path, name: str, more: str = "") -> Path:
    """The name of a temporary file of this process, with what tells others whether its writer lives."""
    return folder / f".{name}.at-{system()}.{os.getpid()}{more}.tmp"


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
            if named is not None and _is_left(left, named[2]):
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
    """Whether the writer of a temporary file is gone: its lock is free, or nothing can be known and a day has passed.

    The lock tells it of a file that this system made. On a shared disk the locks of another system may not be seen, so
    a file of its, or one that does not say whose it is, counts as dead when nobody has written to it for a day.
    """
    with contextlib.suppress(FileNotFoundError):
        named = TEMPORARY.fullmatch(path.name)
        if fcntl is not None and named is not None and named[1] == system() and os.access(path, os.R_OK):
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
