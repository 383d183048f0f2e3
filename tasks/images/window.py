"""Grey windows: named ones, CENTRE/WIDTH and ranges, and how values become 256 greys under them.

Which window a DICOM file is shown in is decided in `dicom_voi`.
"""

import math
import re

import numpy as np

from plugins import UnknownName, nearest
from tasks._base import Undecided

WINDOWS = {  # centre and width in Hounsfield units, as radiology departments preset them
    "soft": (40.0, 400.0),
    "mediastinum": (50.0, 350.0),
    "lung": (-600.0, 1500.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "liver": (60.0, 160.0),
    "angio": (300.0, 600.0),
}
RANGES = ("full", "minmax", "file")

Window = tuple[float, float] | str


def parse_window(text: str) -> Window:
    """(centre, width) of a name or `CENTRE/WIDTH`; `full`, `minmax` and `file` stay words.

    Raises UnknownName with the nearest name.

    >>> parse_window("soft")
    (40.0, 400.0)
    >>> parse_window("-600/1500")
    (-600.0, 1500.0)
    """
    if text in WINDOWS:
        return WINDOWS[text]
    if text in RANGES:
        return text
    match = re.fullmatch(r"\s*([-+]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*", text)
    if match and 0 < float(match[2]) < math.inf and math.isfinite(float(match[1])):
        return float(match[1]), float(match[2])
    known = [*WINDOWS, *RANGES]
    near = nearest(text, known)
    hint = f"did you mean {near}? " if near else ""
    raise UnknownName(
        f"no window {text!r}; {hint}it is CENTRE/WIDTH such as 40/400 (the width above 0), or {', '.join(known)}"
    )


def bounds(values: np.ndarray, window: Window, intercept: float = 0.0) -> tuple[float, float]:
    """The stored values (low, high) that become black and white.

    `intercept` is added to stored values before the window is laid over them; it cancels for `full`
    (the range of the number type; 0 to 1 for floats) and for `minmax` (the range of this image).
    Raises Undecided where a float image leaves 0 to 1 and `full` was asked for.
    """
    if isinstance(window, tuple):
        centre, width = window
        return centre - width / 2 - intercept, centre + width / 2 - intercept
    if window == "minmax":
        return float(values.min()), float(values.max())
    if window != "full":
        raise Undecided("the file holds no window of its own; say --window CENTRE/WIDTH, full or minmax")
    if values.dtype.kind != "f":
        info = np.iinfo(values.dtype)
        return float(info.min), float(info.max)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise Undecided(
            f"--window full means 0 to 1 for numbers with a fraction, but this image holds {low:g} to "
            f"{high:g}; say --window CENTRE/WIDTH or --window minmax"
        )
    return 0.0, 1.0


def to_grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 of the same shape: `low` becomes 0, `high` 255, linear between, rounded to the nearest.

    A range without extent becomes black.
    """
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    exact = np.float32 if values.dtype.itemsize <= 2 else np.float64
    scaled = values.astype(exact)
    scaled -= exact(low)
    scaled *= exact(255.0)  # exact for integers, so that a half is a half whatever the number type
    scaled /= exact(high - low)
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0, 255, out=scaled)
    return scaled.astype(np.uint8)
