"""An endoscopic lumen: a bent tube with folds, lit by a spotlight at the camera, with its exact depth map.

A ray meets the wall where it first leaves the tube's cross-section; the light falls off with the square
of the distance and the cosine of incidence (Lambert), with highlights where mucus faces the camera. The
radius of the tube is the unit of length. Brightness betrays depth here as it does in any endoscope.
"""

from dataclasses import fields
from functools import partial

import numpy as np

from tasks._base import Mark, Source
from tasks.marks import draw as drawing
from tasks.phantoms.lumen.light import render
from tasks.phantoms.lumen.tube import Lumen, draw, march
from tasks.phantoms.source import balanced
from tasks.phantoms.source import source as _source

VERSION = 4
CODE = 303
COLOURS = ("red", "green", "blue")
RATIO = 1.35  # smallest ratio of the distances of two neighbouring marks
ORDERS = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])


def candidates(p: Lumen, rng: np.random.Generator, size: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels [n, 2] (column, row) that a mark may take, their distances from the camera, and which lie over no edge."""
    reach = drawing.radius(size)
    limit = (p.aperture if p.corner < 0.5 else min(p.aperture, 1.0)) * 0.95 - 2.6 * reach / size
    angle, far = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.uniform(0, 1, n)) * min(limit, 0.86)
    middle = (np.stack([far * np.cos(angle), far * np.sin(angle)], 1) + 1) * size / 2
    pixel = np.clip(np.rint(middle), reach + 1, size - reach - 2)
    offsets = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]) * reach * 0.8
    uv = (2 * (pixel[:, None] + offsets) + 1) / size - 1
    z = march(p, uv[..., 0], uv[..., 1])
    distance = z[:, 0] * np.sqrt(1 + (uv[:, 0] ** 2).sum(1) / p.focal**2)
    return pixel, distance, (z.max(1) / z.min(1) < 1.6) & (z[:, 0] < 7)


def separation(pixel: np.ndarray, triple: np.ndarray) -> np.ndarray:
    """The least distance, in pixels, between two of the three marks of each triple [n, 3]."""
    near, mid, last = (pixel[triple[:, j]] for j in range(3))
    return np.min([np.hypot(*(a - b).T) for a, b in ((near, mid), (mid, last), (near, last))], 0)


def _places(p: Lumen, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [3, 2] (column, row) of three marks from near to far, and their distances from the camera.

    Neighbouring distances differ by RATIO at least (by as much as 4000 trials give, where the view allows
    no more), no mark touches another, and none lies over an edge in depth.
    """
    reach = drawing.radius(size)
    pixel, distance, calm = candidates(p, rng, size, 96)
    best, found = -1.0, np.array([0, 1, 2])
    for _ in range(10):
        triple = rng.integers(0, 96, (400, 3))
        triple = np.take_along_axis(triple, np.argsort(distance[triple], 1), 1)
        steps = distance[triple]
        score = np.minimum(steps[:, 1] / steps[:, 0], steps[:, 2] / steps[:, 1])
        score = np.where(
            (separation(pixel, triple) > 2 * reach + 4) & calm[triple].all(1), np.minimum(score, RATIO), -1
        )
        if score.max() > best:
            best, found = float(score.max()), triple[int(score.argmax())]
        if best >= RATIO:
            break
    return pixel[found], distance[found]


def marked(seed: int, i: int, size: int, marks: tuple[Mark, ...]) -> np.ndarray:
    """View number i of a seed with these marks, uint8 [size, size, 3]."""
    p = draw(np.random.default_rng([seed, i, CODE]))
    return drawing.draw(render(p, np.random.default_rng([seed, i, CODE, 1]), size), marks)


def view(seed: int, i: int, size: int = 224, order: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    """View number i of a seed with its marks, uint8 [size, size, 3]; `order` colours them near to far."""
    return marked(seed, i, size, scene(seed, i, size, order)[1])


def scene(
    seed: int, i: int, size: int = 224, order: tuple[int, ...] = (0, 1, 2)
) -> tuple[Lumen, tuple[Mark, ...], np.ndarray]:
    """The view's parameters, its marks from near to far, and their distances from the camera [3]."""
    rng = np.random.default_rng([seed, i, CODE])
    p = draw(rng)
    where, distance = _places(p, rng, size)
    marks = tuple(Mark(name=COLOURS[c], x=float(x), y=float(y)) for c, (x, y) in zip(order, where, strict=True))
    return p, marks, distance


def source(n: int, seed: int, size: int = 224) -> Source:
    """N views into n lumens with three coloured marks each; columns hold what was drawn.

    Column `nearest` is the colour of the mark nearest to the camera, `depth_red` … the distances in tube
    radii. The six orders of colours come equally often.

    Raises:
        DataError: n is below 1.
    """
    orders = ORDERS[balanced(n, 6, seed, CODE)]

    def build(i: int) -> tuple:
        order = tuple(int(c) for c in orders[i])
        p, marks, distance = scene(seed, i, size, order)
        columns = {"nearest": marks[0].name, **{f.name: getattr(p, f.name) for f in fields(p)}}
        columns.update({f"depth_{m.name}": float(d) for m, d in zip(marks, distance, strict=True)})
        return partial(marked, seed, i, size, marks), columns, marks, drawing.regions(marks, size)

    return _source("lumen", n, build, version=VERSION, seed=seed, size=size)
