"""Figures that are drawn again only where what they show, how it is drawn, or a file of theirs has changed."""

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cache import write_atomically
from slitlamp.keys import code_digest, digest
from slitlamp.reports import plots

DRAWN_BY = ("matplotlib", "fonttools", "pillow")
HERE = Path(__file__).parents[1]


def seal_of(draw: Callable[[], Any]) -> str | None:
    """What a figure is drawn from: the values given to a function of a module, this package's code, the libraries.

    None for a figure of which that is not known: another callable, or values that JSON has not.
    """
    if not isinstance(draw, partial) or "<" in getattr(draw.func, "__qualname__", "<"):
        return None
    asked = [draw.func.__module__, draw.func.__qualname__, draw.args, draw.keywords]
    try:
        return digest([asked, code_digest(str(HERE)), [importlib.metadata.version(name) for name in DRAWN_BY]])
    except (TypeError, ValueError, importlib.metadata.PackageNotFoundError):
        return None


def written(draw: Callable[[], Any], stem: Path, mark: Path, seal: str | None) -> list[str]:
    """As `plots.written`, but for a figure whose files lie there as they were written under this seal.

    The file `mark` holds the seal and digests of the files: a damaged one is drawn again.
    """
    names = [f"{stem.name}.{suffix}" for suffix in plots.SUFFIXES]
    if seal is not None and mark.is_file() and mark.read_bytes() == _with_files(seal, stem.parent, names):
        return names
    drawn = plots.written(draw, stem)
    if seal is not None and drawn == names:
        write_atomically(mark, _with_files(seal, stem.parent, names))
    return drawn


def _with_files(seal: str, out: Path, names: Sequence[str]) -> bytes:
    held = [(out / name).read_bytes() if (out / name).is_file() else b"" for name in names]
    return " ".join([seal, *(hashlib.sha256(data).hexdigest() for data in held)]).encode()
