"""The endoscopic lumen with marks at places that neither brightness nor the middle of the picture tells apart.

The view is the lumen's own, looked at askance and with its light evened out. Of all places for three marks those
are taken that keep two orders, both drawn apart from the colours: one of brightness, which holds for a narrow band
around each mark and for about an eighth of the picture alike, and one of distance from the picture's centre. What
remains is the shape of the tube: where it leads, and which folds lie before which.
"""

from dataclasses import fields, replace
from functools import partial

import numpy as np

from tasks._base import Mark, Source
from tasks.marks import draw as drawing
from tasks.phantoms.lumen.even_light import around, evened, luma, surroundings
from tasks.phantoms.lumen.light import render
from tasks.phantoms.lumen.tube import Lumen, draw
from tasks.phantoms.lumen.view import COLOURS, ORDERS, candidates
from tasks.phantoms.source import balanced
from tasks.phantoms.source import source as _source

VERSION = 2
CODE = 606
RATIO = 1.25  # ratio of the distances of two neighbouring marks that is sought
LEAST = 1.15  # smallest ratio that is taken
GAP = 4.0  # smallest difference of two marks' brightness, grey values of 255
ATTEMPTS = 24  # views drawn for one that has such places; the last is taken as it is


def patient(seed: int, i: int, attempt: int) -> Lumen:
    """The lumen of view i of a seed, drawn for the first time (attempt 0) or again, and looked at askance."""
    rng = np.random.default_rng([seed, i, CODE, 4, attempt])
    way, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.65)
    return replace(draw(rng), tilt_x=float(far * np.cos(way)), tilt_y=float(far * np.sin(way)))


def shown(seed: int, i: int, attempt: int, size: int) -> np.ndarray:
    """The view without marks, uint8 [size, size, 3]."""
    image = render(patient(seed, i, attempt), np.random.default_rng([seed, i, CODE, 1, attempt]), size)
    return evened(image, np.random.default_rng([seed, i, CODE, 2, attempt]))


def _places(
    p: Lumen, image: np.ndarray, rng: np.random.Generator, size: int, ranks: tuple[int, ...], away: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Pixels [3, 2] of three marks from near to far, their distances, the brightness around each, and if all fits.

    `image` is the view without marks, of any size. The nearest is number ranks[0] in brightness and number
    away[0] in distance from the centre (counted from the least), and so on. Of 16000 trials that one is taken
    whose neighbouring distances differ by RATIO or nearly so and whose steps in both orders are about the same
    in every view, whatever the depths.
    """
    pixel, distance, calm = candidates(p, rng, size, 120)
    rank = np.flatnonzero(calm)[np.argsort(distance[calm])]
    pixel, distance = pixel[rank], distance[rank]
    triple = _triples(pixel, rng, size)
    steps, middle = distance[triple], np.hypot(*((2 * pixel + 1) / size - 1).T)
    ratio = np.minimum(steps[:, 1] / steps[:, 0], steps[:, 2] / steps[:, 1])
    out = _off(middle[triple], away, 0.03)
    fits = np.isfinite(out) & (ratio >= LEAST)
    if fits.any():
        triple, ratio, out = triple[fits], ratio[fits], out[fits]
    grey = luma(image)
    bright = around(grey, (pixel + 0.5) * len(image) / size - 0.5)
    wide, added = surroundings(grey, pixel, size)
    light = bright[triple]
    broad = wide[triple] + added[triple, triple[:, :1]] + added[triple, triple[:, 1:2]] + added[triple, triple[:, 2:]]
    off = 2 * _off(-light, ranks, GAP) + 2 * _off(-broad, ranks, GAP)
    cost = np.nan_to_num(off, posinf=1000) + np.nan_to_num(250 * out, posinf=1000) + 600 * np.maximum(RATIO - ratio, 0)
    best = int(np.argmin(cost))
    return pixel[triple[best]], distance[triple[best]], light[best], bool(fits.any() and np.isfinite(off[best]))


def _triples(pixel: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """Of 16000 triples of places [n, 2] drawn by `rng` those whose marks do not touch, [k, 3], each in rising order."""
    first, second, third = rng.integers(0, len(pixel), (3, 16000))
    least, most = np.minimum(np.minimum(first, second), third), np.maximum(np.maximum(first, second), third)
    between = first + second + third - least - most
    clear = (((pixel[:, None] - pixel) ** 2).sum(2) > (2 * drawing.radius(size) + 4) ** 2).ravel()
    n = len(pixel)
    kept = clear.take(least * n + between) & clear.take(between * n + most) & clear.take(least * n + most)
    return np.stack([least, between, most], 1)[kept]


def _off(values: np.ndarray, ranks: tuple[int, ...], gap: float) -> np.ndarray:
    """How far the steps of each row [n, 3] from low to high are from 2 gap, infinite where the order is another.

    Number ranks[j] from below must be the j-th, and each step at least `gap`.
    """
    low, mid, high = (values[:, j] for j in np.argsort(ranks))
    steps = np.stack([mid - low, high - mid])
    return np.where((steps >= gap).all(0), np.abs(steps - 2 * gap).sum(0), np.inf)


def scene(
    seed: int, i: int, size: int = 224, order: tuple[int, ...] = (0, 1, 2), ranks: tuple[int, ...] = (0, 1, 2)
) -> tuple[int, tuple[Mark, ...], np.ndarray, np.ndarray]:
    """The attempt that was taken, its marks from near to far, their distances and the brightness around each [3]."""
    found = None
    away = tuple(np.random.default_rng([seed, i, CODE, 5]).permutation(3).tolist())
    for attempt in range(ATTEMPTS):
        rng, half = np.random.default_rng([seed, i, CODE, 3, attempt]), size // 2  # half as fine will do
        found = attempt, *_places(patient(seed, i, attempt), shown(seed, i, attempt, half), rng, size, ranks, away)
        if found[-1]:
            break
    assert found is not None
    attempt, where, distance, bright, _ = found
    marks = tuple(Mark(name=COLOURS[c], x=float(x), y=float(y)) for c, (x, y) in zip(order, where, strict=True))
    return attempt, marks, distance, bright


def view(seed: int, i: int, size: int, attempt: int, marks: tuple[Mark, ...]) -> np.ndarray:
    """View number i of a seed with these marks, uint8 [size, size, 3]."""
    return drawing.draw(shown(seed, i, attempt, size), marks)


def source(n: int, seed: int, size: int = 224) -> Source:
    """N views with three marks at equally bright places; columns as those of the lumen, and `bright_red` … .

    The 36 pairs of an order of colours and an order of brightness come equally often.

    Raises:
        DataError: n is below 1.
    """
    kinds = balanced(n, 36, seed, CODE)

    def build(i: int) -> tuple:
        order, ranks = (tuple(int(c) for c in ORDERS[k]) for k in divmod(int(kinds[i]), 6))
        attempt, marks, distance, bright = scene(seed, i, size, order, ranks)
        p = patient(seed, i, attempt)
        columns = {"nearest": marks[0].name, **{f.name: getattr(p, f.name) for f in fields(p)}}
        for m, d, b in zip(marks, distance, bright, strict=True):
            columns |= {f"depth_{m.name}": float(d), f"bright_{m.name}": float(b)}
        return partial(view, seed, i, size, attempt, marks), columns, marks, drawing.regions(marks, size)

    return _source("lumen-matched", n, build, version=VERSION, seed=seed, size=size)
