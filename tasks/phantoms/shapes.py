"""Coordinates of a picture, and the soft-edged shapes that phantoms are drawn of."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=8)
def axes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres x [1, size] and y [size, 1] in [-1, 1], x to the right and y down, read-only."""
    line = ((2 * np.arange(size, dtype=np.float32) + 1) / size - 1).astype(np.float32)
    line.flags.writeable = False
    return line[None, :], line[:, None]


def inside(distance: np.ndarray, width: float) -> np.ndarray:
    """1 where a signed distance is negative, 0 where positive, a ramp of `width` between."""
    out = distance / np.float32(width)
    np.subtract(np.float32(0.5), out, out=out)
    np.maximum(out, 0, out=out)
    return np.minimum(out, 1, out=out)


def chord(level: np.ndarray) -> np.ndarray:
    """sqrt(1 - level) where level < 1, else 0: half the chord of a ball at squared radius `level`."""
    out = np.float32(1) - level
    np.maximum(out, 0, out=out)
    return np.sqrt(out, out=out)


def bell(distance: np.ndarray) -> np.ndarray:
    """exp(-distance²), cut off before float32 runs into denormal numbers, which are slow."""
    out = distance * distance
    np.minimum(out, np.float32(30), out=out)
    np.negative(out, out=out)
    return np.exp(out, out=out)
