"""Atomic writes: a file is the old or the new one, never half; what a dead writer left behind is known and removed."""

import contextlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not a POSIX system: age alone tells a dead writer
    fcntl = None

DAY = 86_400.0
TEMPORARY = re.compile(r"\..+\.(\d+)(?:-[0-9a-f]+)?\.tmp")


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file, text as UTF-8, so that a reader sees the old one or the new one, never a part.

    The folder is made where there is none. What writers that were killed left in it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(".*.tmp"):
        named = TEMPORARY.fullmatch(left.name)
        if named is not None and not _runs(int(named[1])) and is_dead(left):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            lock(file)
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


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
        if fcntl is not None:
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
