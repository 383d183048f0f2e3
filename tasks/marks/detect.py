"""Detect coloured marks in images that already contain them, exchange their colours, or erase them.

A mark is a disc of one strong colour with a sharp round edge, whatever it is drawn on; red tissue is red too, but
neither flat nor sharply bounded. Its centre and radius come from the share of the disc's colour in every pixel, so
they are finer than a pixel. A ring around the disc may be there or not, and is not counted in the radius.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tasks._base import DataError, Mark

NAMES = ("red", "green", "blue")
LEVELS = (210, 180, 150, 120, 90, 65)  # how far one channel must lie above the two others
LARGEST, SMALLEST = 0.1, 0.012  # radius as a share of the shorter side
ROUND = 0.72  # least overlap (intersection over union) with a perfect disc
RIVAL = 0.15  # what is less round by this than another mark of its colour is tissue
FLAT = 18.0  # largest deviation of the channels inside
SOFT = 3.0  # widest edge in pixels: JPEG keeps colour at half resolution


@dataclass(frozen=True, kw_only=True)
class Found(Mark):
    """A mark that was measured in the image: its disc's radius in pixels, ring not counted, and its colour."""

    radius: float
    colour: tuple[float, float, float]


def find(image: np.ndarray, names: Sequence[str] = NAMES) -> tuple[Found, ...]:
    """The marks called `names` in an RGB image, uint8 [h, w, 3], exactly one of each, in that order.

    Raises:
        DataError: the image is grey, a mark is missing (with the reason, where something of its colour is there),
            or there are two of one colour.
    """
    if image.ndim != 3:
        raise DataError(f"a grey image holds no coloured marks; looked for {', '.join(names)}")
    out = []
    for name in names:
        those, reason = _of_colour(image, name)
        if len(those) > 1:
            places = " and ".join(f"({m.x:.0f}, {m.y:.0f})" for m in those)
            raise DataError(f"{len(those)} {name} marks, at {places}; expected one of each of {', '.join(names)}")
        if not those:
            raise DataError(f"no {name} mark found{reason}; expected one of each of {', '.join(names)}")
        out.append(those[0])
    return tuple(out)


def every(image: np.ndarray) -> tuple[Found, ...]:
    """All red, green and blue marks of an image, as many as there are; a grey image has none."""
    if image.ndim != 3:
        return ()
    return tuple(mark for name in NAMES for mark in _of_colour(image, name)[0])


def _of_colour(image: np.ndarray, name: str) -> tuple[list[Found], str]:
    """The marks of one colour, and what was there instead where there is none."""
    wide = image.astype(np.int16)
    own, short = NAMES.index(name), min(image.shape[:2])
    over = wide[..., own] - np.maximum(wide[..., own - 1], wide[..., own - 2])
    kept, other = [], ""
    for x, y, broad, high, area in _areas(over, max(7.0, 2 * (SMALLEST * short) ** 2)):
        if max(high, broad) > 2.4 * LARGEST * short:
            other = f": {name} around ({x:.0f}, {y:.0f}), {broad} x {high} pixels, is too big for a mark"
        elif min(high, broad) >= 2 * SMALLEST * short and 0.55 < high / broad < 1.8 and area >= 0.5 * high * broad:
            first = Found(name=name, x=x, y=y, radius=float(np.sqrt(area / np.pi)), colour=(0.0, 0.0, 0.0))
            mark, fit = _measured(image, first)
            if mark is not None and SMALLEST * short <= mark.radius <= LARGEST * short:
                kept.append((fit, mark))
    return _distinct(kept), other


def _areas(over: np.ndarray, least: float) -> Iterator[tuple[float, float, int, int, float]]:
    """Connected areas above each level: their middle x and y, width, height and number of pixels."""
    from scipy import ndimage

    for level in LEVELS:
        labels, count = ndimage.label(over >= level)
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        boxes = ndimage.find_objects(labels)
        for part in np.flatnonzero(areas >= least):
            rows, columns = boxes[part]
            y, x = np.nonzero(labels[boxes[part]] == part + 1)
            yield (
                float(x.mean() + columns.start), float(y.mean() + rows.start),
                columns.stop - columns.start, rows.stop - rows.start, float(areas[part]),
            )  # fmt: skip


def _distinct(kept: list[tuple[float, Found]]) -> list[Found]:
    """Of marks that lie over each other, found at several levels, the roundest; none much less round than the best."""
    out: list[Found] = []
    best = max((fit for fit, _ in kept), default=0.0)
    for fit, mark in sorted(kept, key=lambda pair: -pair[0]):
        if fit < best - RIVAL:
            break
        if all(np.hypot(mark.x - o.x, mark.y - o.y) > max(mark.radius, o.radius) + 1 for o in out):
            out.append(mark)
    return out


@dataclass(frozen=True)
class _Patch:
    """What lies around a mark: pixels [h, w, 3], their distances from its centre, and the share of its colour."""

    rows: slice
    columns: slice
    pixels: np.ndarray
    far: np.ndarray
    share: np.ndarray
    colour: np.ndarray
    contrast: float


def _patch(image: np.ndarray, mark: Found, margin: int = 4) -> _Patch:
    reach = int(np.ceil(mark.radius)) + margin
    row, column = round(mark.y), round(mark.x)
    rows = slice(max(row - reach, 0), row + reach + 1)
    columns = slice(max(column - reach, 0), column + reach + 1)
    pixels = image[rows, columns].astype(np.float64)
    y, x = np.mgrid[rows.start : rows.start + len(pixels), columns.start : columns.start + pixels.shape[1]]
    far = np.hypot(x - mark.x, y - mark.y)
    core = far <= max(0.5 * mark.radius, 1.0)
    colour = np.median(pixels[core], axis=0)
    around = np.median(pixels[(far > mark.radius + 1.2) & (far <= mark.radius + 2.8)], axis=0)
    contrast = float(np.linalg.norm(around - colour))
    off = np.linalg.norm(pixels - colour, axis=2)
    share = np.clip(1 - off / max(contrast, 1.0), 0, 1)
    return _Patch(rows, columns, pixels, far, share, colour, contrast)


def _measured(image: np.ndarray, mark: Found) -> tuple[Found | None, float]:
    """The mark to a fraction of a pixel, and how round it is; None if it is no disc."""
    good, fit = False, 0.0
    for _ in range(3):
        there = _patch(image, mark)
        near = there.far <= mark.radius + 2.2
        # shares near 0 and 1 are noise of the surroundings and of compression, not coverage
        weight = np.clip((there.share - 0.2) / 0.6, 0, 1) * near
        total = weight.sum()
        if there.contrast < 50 or total < 5:
            return None, 0.0
        y, x = np.mgrid[: len(weight), : weight.shape[1]]
        column, row = (weight * x).sum() / total, (weight * y).sum() / total
        disc = np.clip(np.sqrt(total / np.pi) + 0.5 - np.hypot(x - column, y - row), 0, 1)
        fit = float(np.minimum(disc, weight).sum() / np.maximum(disc, weight).sum())
        soft = float(((there.share > 0.2) & (there.share < 0.8) & near).sum() / (2 * np.sqrt(np.pi * total)))
        rough = there.pixels[there.far <= max(0.6 * mark.radius, 1.0)].std(axis=0).max()
        red, green, blue = (float(v) for v in there.colour)
        mark = replace(
            mark, x=float(column + there.columns.start), y=float(row + there.rows.start),
            radius=float(np.sqrt(total / np.pi)), colour=(red, green, blue),
        )  # fmt: skip
        good = fit >= ROUND and rough <= FLAT and soft <= SOFT
    return (mark if good else None), fit


def at(image: np.ndarray, mark: Mark) -> Found:
    """The disc that lies at a mark whose place is known.

    Raises:
        DataError: no coloured disc lies there.
    """
    if isinstance(mark, Found):
        return mark
    from scipy import ndimage

    row, column = round(mark.y), round(mark.x)
    if image.ndim == 3 and 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
        reach = int(2 * LARGEST * min(image.shape[:2])) + 2
        top, left = max(row - reach, 0), max(column - reach, 0)
        near = image[top : row + reach + 1, left : column + reach + 1].astype(np.float64)
        alike = np.linalg.norm(near - image[row, column], axis=2) < 40
        labels: Any = ndimage.label(alike)[0]
        area = float((labels == labels[row - top, column - left]).sum())
        first = Found(name=mark.name, x=mark.x, y=mark.y, radius=float(np.sqrt(area / np.pi)), colour=(0.0, 0.0, 0.0))
        found, _ = _measured(image, first)
        if found is not None and np.hypot(found.x - mark.x, found.y - mark.y) < found.radius:
            return found
    raise DataError(f"no coloured disc lies at mark {mark.name}, ({mark.x:g}, {mark.y:g}) of {image.shape}")


def recoloured(image: np.ndarray, marks: Sequence[Mark], assignment: Mapping[str, str]) -> np.ndarray:
    """The image with the colours of its marks exchanged, all else kept: mark `name` gets that of `assignment[name]`.

    Colours are those measured in the image, so no new one appears. Marks drawn by this project change exactly as if
    they had been drawn in the other colour. Of a compressed image the fringe of colour further than 1.5 pixels from a
    disc stays.

    Raises:
        DataError: the assignment is no permutation of the marks' names, or no disc lies at a mark.
    """
    names = [mark.name for mark in marks]
    if sorted(assignment) != sorted(names) or sorted(assignment.values()) != sorted(names):
        given = ", ".join(f"{a} to {b}" for a, b in assignment.items())
        raise DataError(f"an exchange of colours must be a permutation of {', '.join(names)}; given is {given}")
    found = {mark.name: at(image, mark) for mark in marks}
    out = image.copy()
    for name, mark in found.items():
        step = np.array(found[assignment[name]].colour) - mark.colour
        there = _patch(image, mark)
        cap = np.clip(mark.radius + 1.5 - there.far, 0, 1)
        share = np.where(there.far <= mark.radius - 1, 1.0, np.minimum(there.share, cap))
        changed = there.pixels + share[..., None] * step
        out[there.rows, there.columns] = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return out


def erased(image: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """The image with its marks, rings included, filled smoothly from what surrounds them.

    Raises:
        DataError: no disc lies at a mark.
    """
    out = image.copy()
    for mark in marks:
        disc = at(image, mark)
        there = _patch(image, disc, margin=8)
        outer = _outer(there, disc.radius)
        hole, rim = there.far <= outer, (there.far > outer) & (there.far <= outer + 2.5)
        inside, edge = np.argwhere(hole), np.argwhere(rim)
        weight = 1 / np.maximum(((inside[:, None] - edge) ** 2).sum(axis=2), 1.0) ** 1.5
        fill = weight @ there.pixels[rim] / weight.sum(axis=1, keepdims=True)
        out[there.rows, there.columns][hole] = np.clip(np.rint(fill), 0, 255).astype(np.uint8)
    return out


def outer(image: np.ndarray, mark: Mark) -> float:
    """Radius in pixels of a mark with its ring; DataError where no disc lies at it."""
    disc = at(image, mark)
    return _outer(_patch(image, disc, margin=8), disc.radius) - 0.5


def _outer(there: _Patch, radius: float) -> float:
    """Radius of a mark with its ring: the annuli that have one colour all round, unlike what lies further out."""
    outer, widest = radius + 1.2, radius + max(3.0, 0.6 * radius)
    while outer < widest:
        band = there.pixels[(there.far > outer) & (there.far <= outer + 1)]
        if not len(band) or band.std(axis=0).max() > 20:
            break
        outer += 0.5
    return outer + 1.0
