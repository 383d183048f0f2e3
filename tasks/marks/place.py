"""Places of marks: from columns of a manifest, or drawn among an image's own points of known depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from tasks._base import DataError, Mark
from tasks.marks.draw import COLOURS, draw, radius
from tasks.sources.table import one_column
from tasks.sources.values import is_missing, number

TRIES = 300


@dataclass(frozen=True, kw_only=True)
class Point:
    """A place of an image, x to the right and y down in its pixels, with its depth in any unit, smaller is nearer."""

    x: float
    y: float
    depth: float


@dataclass(frozen=True, kw_only=True)
class Marked:
    """An image with one mark of each colour drawn, and what was under them: depth, and brightness around each."""

    image: np.ndarray
    marks: tuple[Mark, ...]
    depth: Mapping[str, float]
    brightness: Mapping[str, float]

    @property
    def nearest(self) -> str:
        """The colour of the mark with the least depth."""
        return min(self.depth, key=lambda name: self.depth[name])


def from_columns(columns: Mapping[str, str]) -> tuple[Mark, ...]:
    """The marks that a manifest's columns `red_x`, `red_y` and so on hold, in any case; () where it has none.

    Raises:
        DataError: one of the two is missing or no number from 0, or two marks lie on one spot.
    """
    found = []
    for name, places in _columns_of_marks(tuple(columns)):
        texts = [columns[place] if place else "" for place in places]
        if all(map(is_missing, texts)):
            continue
        x, y = (number(text) for text in texts)
        if x is None or y is None or x < 0 or y < 0:
            raise DataError(
                f"the {name} mark lies at x = {texts[0]!r}, y = {texts[1]!r}: {name}_x and {name}_y are both numbers "
                "from 0 with a point (1.5), in pixels of the image, or both empty"
            )
        there = [mark.name for mark in found if (mark.x, mark.y) == (x, y)]
        if there:
            raise DataError(f"the marks {there[0]} and {name} both lie at x = {x:g}, y = {y:g}; one of them is wrong")
        found.append(Mark(name=name, x=x, y=y))
    return tuple(found)


@cache
def _columns_of_marks(columns: tuple[str, ...]) -> list[tuple[str, list[str | None]]]:
    """The columns of x and y by the name of each mark that has any, the same for all rows of a manifest."""
    places = [(n, [one_column(f"{n}_{axis}", columns, "the manifest") for axis in "xy"]) for n in COLOURS]
    return [(n, two) for n, two in places if any(two)]


def place(
    image: np.ndarray, points: Sequence[Point], rng: np.random.Generator, *, nearest: str, ratio: float
) -> Marked | None:
    """Three of the points marked at random, the nearest in the colour `nearest`; None where no three fit.

    Marks neither touch each other nor leave the image, and the second depth is at least `ratio` times the first.
    `image` is uint8 RGB [h, w, 3].
    """
    h, w = image.shape[:2]
    reach = radius(min(h, w))
    inside = [p for p in points if reach <= round(p.x) < w - reach and reach <= round(p.y) < h - reach]
    others = [name for name in COLOURS if name != nearest]
    for _ in range(TRIES if len(inside) >= len(COLOURS) else 0):
        chosen = sorted(
            (inside[i] for i in rng.choice(len(inside), len(COLOURS), replace=False)), key=lambda p: p.depth
        )
        if chosen[1].depth < ratio * chosen[0].depth or _touching(chosen, reach):
            continue
        names = [nearest, *(others[i] for i in rng.permutation(len(others)))]
        marks = tuple(
            Mark(name=n, x=p.x, y=p.y)
            for n, p in sorted(zip(names, chosen, strict=True), key=lambda pair: list(COLOURS).index(pair[0]))
        )
        return Marked(
            image=draw(image, marks),
            marks=marks,
            depth={n: p.depth for n, p in zip(names, chosen, strict=True)},
            brightness={mark.name: around(image, mark, reach) for mark in marks},
        )
    return None


def _touching(points: Sequence[Point], reach: int) -> bool:
    return any(
        np.hypot(round(a.x) - round(b.x), round(a.y) - round(b.y)) < 2 * reach + 4
        for i, a in enumerate(points)
        for b in points[:i]
    )


def around(image: np.ndarray, mark: Mark, reach: int) -> float:
    """Mean grey value of the ring from one to two radii around a place, from 0 to 255."""
    top, left = (max(int(at) - 2 * reach - 1, 0) for at in (mark.y, mark.x))
    near = image[top : int(mark.y) + 2 * reach + 2, left : int(mark.x) + 2 * reach + 2]
    rows, columns = np.ogrid[top : top + near.shape[0], left : left + near.shape[1]]
    far = np.hypot(rows - mark.y, columns - mark.x)
    ring = (far > reach) & (far <= 2 * reach)
    return float(near[ring].mean())
