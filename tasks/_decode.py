"""One decoder for every kind of image file, under one policy that is written into the keys."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError, Picture, Undecided
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


MAGIC = {
    b"\x89PNG": "raster",
    b"\xff\xd8\xff": "raster",
    b"BM": "raster",
    b"GIF8": "raster",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\0\0\0\x0cjP  ": "raster",
    b"\xff\x4f\xff\x51": "raster",
}
SUFFIXES = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".jp2", ".j2k"), "raster"),
    **dict.fromkeys((".pgm", ".ppm", ".pnm", ".pbm", ".jfif"), "raster"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), "dicom"),
    **dict.fromkeys((".nii", ".nii.gz"), "nifti"),
}


def suffix(name: str) -> str:
    """The ending of a file name in lower case; `.nii.gz` is one ending.

    >>> suffix("a/b.NII.gz"), suffix("scan.1.2.840")
    ('.nii.gz', '.840')
    """
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else Path(lower).suffix


def kind(path: Path) -> str | None:
    """`raster`, `tiff`, `dicom` or `nifti`, by the first bytes and then by the name; None for neither.

    Raises OSError.
    """
    named = SUFFIXES.get(suffix(path.name))
    if named == "nifti":
        return named
    with path.open("rb") as file:
        head = file.read(132)
    if head[128:132] == b"DICM":
        return "dicom"
    found = next((k for magic, k in MAGIC.items() if head.startswith(magic)), None)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        found = "raster"
    return found or named


def look(path: Path, optics: Optics, shelf: Shelf) -> list[Frame]:
    """The frames of a file, from its header; empty for a DICOM object without an image.

    Raises DataError with the reason, which names neither the file nor anything inside it.
    """
    try:
        found = kind(path)
    except FileNotFoundError:
        raise DataError("no such file") from None
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror})") from None
    if found is None:
        raise DataError("not an image of a known kind")
    return import_module(f"tasks._decode_{found}").look(path, optics, shelf)


def digest(*parts: str) -> str:
    """A sha256 over the parts, each kept apart from the next."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Content:
    """The sha256 of a file's bytes, computed once and shared by all its frames."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest: str | None = None

    def digest(self) -> str | None:
        """Hex digest, or None where the file cannot be read (reading it then says why)."""
        if self._digest is None:
            try:
                with self.path.open("rb") as file:
                    self._digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                return None
        return self._digest


def identity(content: Content, policy: str, number: int) -> str | None:
    """What determines the pixels of one frame: the file's bytes, the policy and the frame's number."""
    found = content.digest()
    return None if found is None else digest(found, policy, str(number))


def picture(frame: Frame, content: Content, optics: Optics, name: str) -> Picture:
    """A picture that decodes the frame when it is read; its errors begin with `name`."""
    policy = json.dumps(optics.policy, sort_keys=True)
    number = frame.number
    return Picture(read=partial(_named, name, frame.read), identity=partial(identity, content, policy, number))


def _named(name: str, read: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return read()
    except Undecided:
        raise
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


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


def reason(error: BaseException, path: Path) -> str:
    """An error's text without the path, in one line."""
    text = " ".join(str(error).replace(str(path), "the file").split())
    return f"{type(error).__name__}: {text}"[:160] if text else type(error).__name__
