"""What can go wrong in the store, and how it is said."""

import errno
import os
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreError(Exception):
    """The feature store cannot do what was asked; the message is one line for the user."""


class DamagedError(Exception):
    """A file of the store is not what was written; it is never used."""


def is_full(error: OSError | RuntimeError) -> bool:
    """Whether the disk is full. HDF5 passes the system's error on in words."""
    return getattr(error, "errno", None) in FULL or "No space left" in str(error) or "quota exceeded" in str(error)


def size(count: int | float) -> str:
    """A number of bytes in words.

    >>> size(1_234_000_000)
    '1.2 GB'
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def unwritable(where: Path, error: OSError) -> StoreError:
    """The error for a store that cannot be written."""
    why = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]  # HDF5 words it over many lines
    return StoreError(
        f"the feature store at {where} cannot be written ({why}); "
        "make it writable, or name another folder in SLITLAMP_CACHE"
    )
