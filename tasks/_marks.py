"""Coloured markers: points that a question asks about, drawn so that a colour's place changes no statistic.

Every marker is the same set of pixels, centred on a whole pixel, flat inside, with a ring wider than the
reach of a 3x3 operator around it: exchanging two colours exchanges the discs and changes nothing else.
"""

from collections.abc import Sequence

import numpy as np

from tasks._base import DataError, Mark

COLOURS = {"red": (235, 30, 30), "green": (30, 200, 40), "blue": (40, 70, 240)}
RING = (255, 255, 255)


def radius(size: int) -> int:
    """Radius of a marker, ring included, in pixels of an image whose shorter side is `size`."""
    return max(round(size * 0.036), 6)


def draw(image: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """A copy of an RGB image, uint8 [h, w, 3], with a ringed disc at every mark.

    Raises:
        DataError: the image is grey, a mark's name is no known colour, it would leave the image, or it
            would touch another one.
    """
    if image.ndim != 3:
        raise DataError(f"coloured marks need an RGB image; this one is grey, {image.shape}")
    h, w = image.shape[:2]
    reach = radius(min(h, w))
    _check(marks, reach, h, w)
    out = image.copy()
    line = np.arange(-reach, reach + 1)
    far = np.hypot(line[:, None], line)
    ring, disc = far <= reach + 0.3, far <= reach - 2.7
    for mark in marks:
        column, row = round(mark.x), round(mark.y)
        view = out[row - reach : row + reach + 1, column - reach : column + reach + 1]
        view[ring] = RING
        view[disc] = COLOURS[mark.name]
    return out


def _check(marks: Sequence[Mark], reach: int, h: int, w: int) -> None:
    """Every mark has a known colour, lies inside and touches no other."""
    for i, mark in enumerate(marks):
        if mark.name not in COLOURS:
            raise DataError(f"mark {mark.name!r} is no known colour; known are {', '.join(COLOURS)}")
        if not (reach <= round(mark.x) < w - reach and reach <= round(mark.y) < h - reach):
            raise DataError(
                f"mark {mark.name} at ({mark.x:g}, {mark.y:g}) leaves the image of {w} x {h}; "
                f"keep {reach} pixels from the border"
            )
        for other in marks[:i]:
            if np.hypot(mark.x - other.x, mark.y - other.y) < 2 * reach + 3:
                raise DataError(
                    f"marks {other.name} and {mark.name} lie {np.hypot(mark.x - other.x, mark.y - other.y):.0f} "
                    f"pixels apart and would touch; keep {2 * reach + 3}"
                )
