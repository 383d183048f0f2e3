"""What a run writes to: its output folder."""

import tempfile
from pathlib import Path

from slitlamp.errors import UsageError


def require_writable(folder: Path) -> None:
    """Make the output folder; raise UsageError where it cannot be written, before hours of encoding and not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be written ({error.strerror}): name a folder of your own") from None
