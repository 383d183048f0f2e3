"""The decode policy, what every decoder returns for a file (`Frame`), and which decoder reads it."""

import hashlib
import json
import math
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tasks._base import DataError
from tasks.images.kinds import File, kind
from tasks.images.window import Window, parse_window

VOLUMES = ("dicom", "nifti")  # kinds of files that hold volumes or slices of them
EMBEDDED = ("raster", "portable")  # kinds that are also read from inside another file
NARROW = 4  # pixels: [d, h, 3] would be a colour image
ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)  # of the program, and no fault of a file
_QUOTED = json.encoder.encode_basestring_ascii
VERSION = 1  # changes whenever a file would be decoded to other pixels


@dataclass(frozen=True, kw_only=True)
class DecodePolicy:
    """Decode policy: how files become pixels, by the user's choices; None where they left it to the defaults.

    With `volumes` a NIfTI file (each of its time points) or a DICOM series is one image [d, h, w].
    """

    exif: str | None = None
    window: str | None = None
    intercept: float = 0.0
    volumes: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.intercept):
            raise DataError(f"--intercept {self.intercept:g}: it is a number that is added to stored values")

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
        } | ({"volumes": "whole, slices by position, min to max of all slices"} if self.volumes else {})

    @property
    def noun(self) -> str:
        """What an item is called in a sentence."""
        return "volumes" if self.volumes else "images"


@dataclass(frozen=True, kw_only=True)
class SlicePosition:
    """Position of a DICOM frame among the slices of its series.

    `series` is what a volume is known by, `normal` the direction in which its slices follow one another, and
    `position` how far along it this one lies, in mm; None where the file does not say. `number` counts instances.
    """

    series: tuple[str, ...]
    shape: tuple[int, int]
    normal: tuple[float, float, float] | None = None
    position: float | None = None
    number: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image inside a file, known from the header and not yet decoded.

    `patient` is what a group may rest on; it leaves this package only as a hash. `flags` end the
    sentence "12 of 40 images …" (or volumes). `wide` marks values that need a window before they can be shown;
    `stored` reads the numbers as the file holds them, where a window acts on them, [h, w], [h, w, channels] or
    [d, h, w], before they are turned as EXIF says. `revision` is part of the picture's identity from 2 on:
    it counts up where such a file comes to be decoded to other pixels, so that others keep their stored features.
    `shape` is [h, w], or [d, h, w] of a volume, as it is shown; None where only decoding tells.
    """

    read: Callable[[], np.ndarray]
    number: int = 1
    columns: Mapping[str, str] = field(default_factory=dict)
    patient: str = ""
    exif: int = 1
    wide: bool = False  # more than 8 bits
    windowed: bool = False  # a window, chosen or default, acts on it
    stored: Callable[[], np.ndarray] | None = None
    revision: int = 1
    flags: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    slice_position: SlicePosition | None = None  # of a slice that is to become part of a volume


class LastOpened:
    """A cache of one: the last file that was opened, as the frames of one file are read one after another."""

    def __init__(self) -> None:
        self._last: tuple[Any, Any] | None = None

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returned for this key, without calling it twice in a row."""
        last = self._last
        if last is None or last[0] != key:
            last = self._last = (key, make())
        return last[1]

    def forget(self) -> None:
        """Let go of it."""
        self._last = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_last": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._last = None


def list_frames(path: File, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:
    """List the frames of a file from its header; empty for a DICOM object without an image.

    The decoder is that of the file's kind; no pixel is decoded before `Frame.read`. Whatever a decoder raises, here
    or in `Frame.read`, makes this one file unreadable: DataError with the reason, which names neither the file nor
    anything inside it. Only regular files are opened.
    """
    try:
        facts = path.stat() if isinstance(path, Path) else None
        if facts is not None and stat.S_ISDIR(facts.st_mode):
            hint = "holds no image" if policy.volumes else "is one item with --volumes, where it holds one series"
            raise DataError(f"a folder, which {hint}")
        if facts is not None and not stat.S_ISREG(facts.st_mode):
            raise DataError("a pipe, socket or device, which is no regular file")
        found = kind(path)
    except FileNotFoundError:
        link = isinstance(path, Path) and path.is_symlink()
        raise DataError("a link that leads nowhere" if link else "no such file") from None
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror})") from None
    except ValueError:  # a NUL, or half of a character
        raise DataError("no file has such a name") from None
    if facts is not None and facts.st_size == 0:
        raise DataError("the file is empty: it holds 0 bytes")
    if found not in EMBEDDED and facts is None:
        raise DataError("the embedded file is no image of a known kind")
    if found is None:
        raise DataError("not an image of a known kind (and a manifest ends in .csv, .tsv or .parquet)")
    if policy.volumes and found not in VOLUMES:
        raise DataError("a flat image; --volumes makes items of NIfTI files and DICOM series")
    decoder = import_module(f"tasks.images.{found}")
    frames = _guarded("opened", path, partial(decoder.list_frames, path, policy, last_opened))
    return [
        replace(
            frame,
            read=partial(_guarded, "decoded", path, frame.read),
            stored=frame.stored and partial(_guarded, "decoded", path, frame.stored),
        )
        for frame in frames
    ]


def _guarded(verb: str, path: File, step: Callable[[], Any]) -> Any:
    """What the step returns; any error of a decoder as DataError."""
    try:
        return step()
    except (DataError, *ENDS):
        raise
    except BaseException as error:  # a panic of a library in Rust is no Exception
        raise DataError(f"cannot be {verb} ({reason(error, path)})") from error


def require_thick(shape: tuple[int, ...]) -> None:
    """Raises DataError where [d, h, w] is no volume: a single slice, or a plane too narrow to be one."""
    d, h, w = shape
    if d == 1:
        raise DataError("it holds one slice, which is no volume; leave --volumes out to ask slices")
    if min(h, w) < NARROW:
        raise DataError(f"its slices have {w} x {h} pixels; a volume has at least {NARROW} x {NARROW}")


def digest(*parts: str) -> str:
    """A sha256 over the parts, each kept apart from the next."""
    text = f"[{', '.join(map(_QUOTED, parts))}]"  # what json.dumps writes, at a fifth of its time
    return hashlib.sha256(text.encode()).hexdigest()


def plain(values: np.ndarray) -> np.ndarray:
    """uint8, C-contiguous and writable; three equal channels become one."""
    if values.ndim == 3 and _equal_channels(values[::16, ::16]) and _equal_channels(values):
        values = values[..., 0]
    return np.ascontiguousarray(values) if values.flags.writeable else np.array(values, order="C")


def _equal_channels(values: np.ndarray) -> bool:
    return bool(np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2]))


def reason(error: BaseException, path: File) -> str:
    """An error's text without the path, in one line."""
    text = str(error)
    for written in (str(path), repr(str(path))[1:-1]):  # with its escapes, as most errors write it
        text = text.replace(written, "the file")
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text}"[:160] if text else type(error).__name__
