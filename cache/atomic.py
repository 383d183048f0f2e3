"""Small files that are either the old or the new one, never half."""

import os
import secrets
from pathlib import Path

from cache.shard import sync_folder


def replace_text(path: Path, text: str) -> None:
    """Write a small text file atomically; one that says the same already is left alone."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
