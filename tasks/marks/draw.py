"""Draw coloured marks: points that a question asks about, drawn so that a colour's place changes no statistic.

Every mark is the same set of pixels, centred on a whole pixel, flat inside, with a ring wider than the
reach of a 3x3 operator around it: exchanging two colours exchanges the discs and changes nothing else.
Marks drawn smaller than 6 pixels have a narrower ring.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from tasks._base import DataError, Mark, Mask

Colour = tuple[int, int, int]

COLOURS: Mapping[str, Colour] = {"red": (235, 30, 30), "green": (30, 200, 40), "blue": (40, 70, 240)}
RING: Colour = (255, 255, 255)
SHARE = 0.036  # radius, ring included, as a share of the shorter side


def radius(size: int, share: float = SHARE) -> int:
    """Radius of a mark, ring included, in pixels of an image whose shorter side is `size`; at least 6."""
    return max(round(size * share), 6)


def draw(
    image: np.ndarray,
    marks: Sequence[Mark],
    *,
    reach: int | None = None,
    colours: Mapping[str, Colour] = COLOURS,
    outline: Colour | None = RING,
) -> np.ndarray:
    """A copy of an RGB image, uint8 [h, w, 3], with a ringed disc at every mark.

    `reach` is the radius in pixels, ring included (by default that of `radius`); `colours` gives RGB by a
    mark's name; without an `outline` the disc takes the whole radius.

    Raises:
        DataError: the image is grey, the radius is below 2, a mark's name is no known colour, it lies outside
            the image or would leave it, or it would cover or touch another one.
    """
    if image.ndim != 3:
        raise DataError(f"coloured marks need an RGB image; this one is grey, {image.shape}")
    h, w = image.shape[:2]
    reach = radius(min(h, w)) if reach is None else reach
    if reach < 2:
        raise DataError(f"marks of radius {reach} show no colour; give 2 pixels or more")
    check(marks, reach, h, w, colours)
    out = image.copy()
    line = np.arange(-reach, reach + 1)
    far = np.hypot(line[:, None], line)
    inner = reach - min(2.7, 0.45 * reach) if outline is not None else reach + 0.3
    for mark in marks:
        column, row = round(mark.x), round(mark.y)
        view = out[row - reach : row + reach + 1, column - reach : column + reach + 1]
        if outline is not None:
            view[far <= reach + 0.3] = outline
        view[far <= inner] = colours[mark.name]
    return out


def covered(marks: Sequence[Mark], h: int, w: int, reach: int | None = None) -> np.ndarray:
    """Which pixels marks cover, rings included, bool [h, w]; `reach` is their radius, by default that of `radius`."""
    reach = radius(min(h, w)) if reach is None else reach
    down, right = np.arange(h)[:, None], np.arange(w)
    out = np.zeros((h, w), bool)
    for mark in marks:
        out |= np.hypot(down - round(mark.y), right - round(mark.x)) <= reach + 0.3
    return out


def around(marks: Sequence[Mark], h: int, w: int) -> np.ndarray:
    """Which pixels lie from one to two radii around marks and under none, bool [h, w]."""
    return covered(marks, h, w, 2 * radius(min(h, w))) & ~covered(marks, h, w)


def regions(marks: Sequence[Mark], size: int) -> dict[str, Mask]:
    """Regions of a square picture with marks of `draw`'s own size, the first of them the nearest."""
    return {
        "marks": partial(covered, marks, size, size),
        "nearest mark": partial(covered, marks[:1], size, size),
        "around the marks": partial(around, marks, size, size),
    }


def check(marks: Sequence[Mark], reach: int, h: int, w: int, colours: Mapping[str, Colour] = COLOURS) -> None:
    """Every mark has a known colour, lies inside an image [h, w] and covers or touches no other; else DataError."""
    for i, mark in enumerate(marks):
        if mark.name not in colours:
            raise DataError(f"mark {mark.name!r} is no known colour; known are {', '.join(colours)}")
        at = f"mark {mark.name} at ({mark.x:g}, {mark.y:g})"
        if not (0 <= round(mark.x) < w and 0 <= round(mark.y) < h):
            raise DataError(f"{at} lies outside the image of {w} x {h}; x is 0 … {w - 1}, y is 0 … {h - 1}")
        if not (reach <= round(mark.x) < w - reach and reach <= round(mark.y) < h - reach):
            raise DataError(f"{at} leaves the image of {w} x {h}; keep {reach} pixels from the border")
        for other in marks[:i]:
            distance, keep = np.hypot(mark.x - other.x, mark.y - other.y), 2 * reach + 3
            if distance < reach / 2:
                raise DataError(f"{at} covers mark {other.name}, {distance:.0f} pixels away; keep {keep}")
            if distance < keep:
                raise DataError(
                    f"marks {other.name} and {mark.name} lie {distance:.0f} pixels apart and would touch; keep {keep}"
                )
