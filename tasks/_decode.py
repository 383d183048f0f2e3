"""One decoder for every kind of image file, under one policy that is written into the keys."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks._decode_kinds import File, kind
from tasks._decode_window import Window, parse_window

VERSION = 1  # changes whenever a file would be decoded to other pixels


@dataclass(frozen=True, kw_only=True)
class Optics:
    """How files become pixels: the user's choices; None where they left it to the defaults."""

    exif: str | None = None
    window: str | None = None
    intercept: float = 0.0

    @property
    def range(self) -> Window | None:
        """The window as numbers or as `full`, `minmax`, `file`; None where nothing was chosen."""
        return None if self.window is None else parse_window(self.window)

    @property
    def policy(self) -> dict[str, Any]:
        """Everything that decides the pixels besides the file, as JSON; equal choices are equal here."""
        chosen = self.range
        default = "CT soft 40/400; other DICOM its own, else min to max; NIfTI min to max of the volume"
        return {
            "decoder": VERSION,
            "exif": self.exif or "apply",
            "window": default if chosen is None else list(chosen) if isinstance(chosen, tuple) else chosen,
            "intercept": self.intercept,
            "equal_channels": "grey",
            "alpha": "over black",
            "icc": "ignored",
            "nifti": "canonical, patient's right on the left, anterior up",
            "dicom": "as stored",
        }


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image inside a file, known from the header and not yet decoded.

    `patient` is what a group may rest on; it leaves this package only as a hash. `flags` end the
    sentence "12 of 40 images …". `wide` marks values that need a window before they can be shown.
    """

    read: Callable[[], np.ndarray]
    number: int = 1
    columns: Mapping[str, str] = field(default_factory=dict)
    patient: str = ""
    exif: int = 1
    wide: bool = False
    windowed: bool = False  # a window, chosen or default, acts on it
    flags: tuple[str, ...] = ()


class Shelf:
    """The last file that was opened, because the frames of one file are read one after another."""

    def __init__(self) -> None:
        self._last: tuple[Any, Any] | None = None

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returned for this key, without calling it twice in a row."""
        last = self._last
        if last is None or last[0] != key:
            last = self._last = (key, make())
        return last[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"_last": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._last = None


def look(path: File, optics: Optics, shelf: Shelf) -> list[Frame]:
    """The frames of a file, from its header; empty for a DICOM object without an image.

    Raises DataError with the reason, which names neither the file nor anything inside it.
    """
    try:
        found = kind(path)
    except FileNotFoundError:
        raise DataError("no such file") from None
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror})") from None
    if found != "raster" and not isinstance(path, Path):
        raise DataError("the embedded file is no image of a known kind")
    if found is None:
        raise DataError("not an image of a known kind (and a manifest ends in .csv, .tsv or .parquet)")
    return import_module(f"tasks._decode_{found}").look(path, optics, shelf)


def digest(*parts: str) -> str:
    """A sha256 over the parts, each kept apart from the next."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def plain(values: np.ndarray) -> np.ndarray:
    """uint8, C-contiguous and writable; three equal channels become one."""
    if values.ndim == 3 and _equal_channels(values):
        values = values[..., 0]
    return np.ascontiguousarray(values) if values.flags.writeable else np.array(values, order="C")


def _equal_channels(values: np.ndarray) -> bool:
    sample = values[::16, ::16]
    if not _same(sample):
        return False
    return _same(values)


def _same(values: np.ndarray) -> bool:
    return bool(np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2]))


def reason(error: BaseException, path: File) -> str:
    """An error's text without the path, in one line."""
    text = " ".join(str(error).replace(str(path), "the file").split())
    return f"{type(error).__name__}: {text}"[:160] if text else type(error).__name__
