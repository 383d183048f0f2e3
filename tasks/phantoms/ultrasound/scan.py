"""A B-mode ultrasound image with three marks at known depths along the beam.

Under a flat probe the depth is the height in the image; under a curved one it is the distance from the
probe's arc along the beam, so that the uppermost mark need not be the nearest. Place tells depth here, as it
does in any scan: the question asks for nothing else. Brightness must not: the errors of the time gain are
drawn at random, and the marks lie where tissue is about equally bright, in an order drawn beside the answer.
"""

from dataclasses import fields
from functools import partial

import numpy as np

from tasks._base import Mark, Source
from tasks.marks import draw as drawing
from tasks.phantoms.blur import smooth
from tasks.phantoms.shapes import axes
from tasks.phantoms.source import balanced
from tasks.phantoms.source import source as _source
from tasks.phantoms.ultrasound.echo import expected, heard, shown_at
from tasks.phantoms.ultrasound.patient import Scan, beam, draw, place

VERSION = 3
CODE = 404
COLOURS = ("red", "green", "blue")
GAP = 0.1  # smallest difference in depth of two marks, as a share of the span
ALIKE = 14.0  # largest difference in brightness around two matched marks, grey values of 255
CROSSED = 0.6  # share of curved scans in which another mark than the nearest is sought to lie uppermost
_ORDERS = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])


def _candidates(
    p: Scan, rng: np.random.Generator, size: int, n: int = 160
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels [k, 2] (column, row) where a mark fits, by depth, their depths [k] and places across [k]."""
    reach = drawing.radius(size)
    x, y = place(p, p.span * rng.uniform(0.03, 0.97, n), 0.97 * np.sin(1.571 * rng.uniform(-1, 1, n)))
    pixel = np.rint((np.stack([x, y], 1) + 1) * (size / 2) - 0.5)
    at = (2 * pixel.astype(np.float64) + 1) / size - 1
    depth, across = (np.asarray(a, np.float64) for a in beam(p, at[:, 0], at[:, 1]))
    edge = 2.2 * reach / size
    from_side = (1 - np.abs(across)) * p.half * (p.bow + depth if p.bow else 1.0)
    fits = (depth > edge) & (depth < p.span - edge) & (from_side > edge)
    fits &= ((pixel > reach + 1) & (pixel < size - reach - 2)).all(1)
    # many places are equally deep, and an unstable sort orders them by what the processor can do
    rank = np.flatnonzero(fits)[np.argsort(depth[fits], kind="stable")]
    return pixel[rank], depth[rank], across[rank]


def _bright(p: Scan, levels: tuple[np.ndarray, np.ndarray], depth: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Grey value expected around each place [k], over about the width of a mark and its surroundings."""
    n, m = levels[0].shape
    shown = smooth(shown_at(p, np.maximum(*levels)), 0.039 * n)
    row = np.clip((depth / p.span * n).astype(int), 0, n - 1)
    return shown[row, np.clip(((across + 1) / 2 * (m - 1)).round().astype(int), 0, m - 1)]


def _places(
    p: Scan, rng: np.random.Generator, levels: tuple[np.ndarray, np.ndarray], size: int, matched: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [3, 2] of three marks from near to far, and their depths in half image widths.

    Matched marks have surroundings of like brightness, in an order that is drawn before they are sought;
    where a view offers none so, the likeness gives way first, the order last.
    """
    pixel, depth, across = _candidates(p, rng, size)
    bright = _bright(p, levels, depth, across)
    first, second, third = rng.integers(0, len(depth), (3, 5000))
    near, far = np.minimum(np.minimum(first, second), third), np.maximum(np.maximum(first, second), third)
    triple = np.stack([near, first + second + third - near - far, far])  # candidates are sorted by depth
    x, y = pixel[triple].transpose(2, 0, 1)
    separation = np.min([(x[a] - x[b]) ** 2 + (y[a] - y[b]) ** 2 for a, b in ((0, 1), (1, 2), (0, 2))], 0)
    steps = np.diff(depth[triple], axis=0).min(0) / (GAP * p.span)
    score = 50 * np.minimum(steps, 1) + 100.0 * (separation > (2 * drawing.radius(size) + 4) ** 2)
    wanted = _ORDERS[rng.integers(6)]
    if rng.uniform() < CROSSED and p.bow:
        score += 3 * (y.argmin(0) > 0)
    if matched:
        light = bright[triple][wanted]
        score += 4 * ((light[0] < light[1]) & (light[1] < light[2]))
        score -= np.maximum((light.max(0) - light.min(0)) / ALIKE - 1, 0)
    best = triple[:, int(score.argmax())]
    return pixel[best], depth[best]


def scene(
    seed: int, i: int, size: int = 224, order: tuple[int, ...] = (0, 1, 2), matched: bool = True
) -> tuple[Scan, tuple[Mark, ...], np.ndarray]:
    """The image's parameters, its marks from near to far, and their depths in half image widths [3]."""
    p = draw(np.random.default_rng([seed, i, CODE]))
    levels = expected(p, np.random.default_rng([seed, i, CODE, 1]), -(-size // 2))  # finer needs no search
    where, depth = _places(p, np.random.default_rng([seed, i, CODE, 3]), levels, size, matched)
    marks = tuple(Mark(name=COLOURS[c], x=float(x), y=float(y)) for c, (x, y) in zip(order, where, strict=True))
    return p, marks, depth


def view(seed: int, i: int, size: int = 224) -> np.ndarray:
    """Image number i of a seed without marks, uint8 [size, size]."""
    p = draw(np.random.default_rng([seed, i, CODE]))
    rng = np.random.default_rng([seed, i, CODE, 1])
    return heard(p, rng, expected(p, rng, size), size)


def marked(seed: int, i: int, size: int, marks: tuple[Mark, ...]) -> np.ndarray:
    """Image number i of a seed with marks, uint8 [size, size, 3]."""
    image = np.empty((size, size, 3), np.uint8)
    image[:] = view(seed, i, size)[:, :, None]
    return drawing.draw(image, marks)


def source(n: int, seed: int, size: int = 224, matched: bool = True) -> Source:
    """N images of n patients with three coloured marks each; columns hold what was drawn.

    Column `nearest` is the colour of the mark nearest to the probe along its beam, `uppermost` that of the
    highest mark in the image, `depth_red` … the depths in millimetres. The six orders of colours come
    equally often. Without `matched` marks lie anywhere.

    Raises:
        DataError: n is below 1.
    """
    orders = _ORDERS[balanced(n, 6, seed, CODE)]

    def build(i: int) -> tuple:
        order = tuple(int(c) for c in orders[i])
        p, marks, depth = scene(seed, i, size, order, matched)
        columns = {"nearest": marks[0].name, "uppermost": min(marks, key=lambda m: m.y).name}
        columns |= {f.name: getattr(p, f.name) for f in fields(p)}
        columns |= {f"depth_{m.name}": float(d) * p.millimetres for m, d in zip(marks, depth, strict=True)}
        where = drawing.regions(marks, size) | {"skin": partial(_skin, p, size)}
        return partial(marked, seed, i, size, marks), columns, marks, where

    return _source("ultrasound", n, build, version=VERSION, seed=seed, size=size, matched=matched)


def _skin(p: Scan, size: int) -> np.ndarray:
    """The skin in the field, bool [size, size]: from the probe's surface to where its layer ends."""
    depth, across = beam(p, *axes(size))
    return (depth > 0) & (depth < p.skin * p.span) & (np.abs(across) < 1)
