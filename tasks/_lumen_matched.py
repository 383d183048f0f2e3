"""The endoscopic lumen with marks at places of equal brightness, so that the light around a mark tells no depth.

The view is the lumen's own. Of all places for three marks those are taken whose surroundings are about equally
bright, and which of them is the brightest follows one of six orders, drawn apart from the colours and equally
often. Where a mark lies in the picture still goes with its depth, as it does in any tube.
"""

from dataclasses import fields
from functools import partial

import numpy as np

from tasks import _marks
from tasks._base import Mark, Source
from tasks._lumen import COLOURS, ORDERS, apart, candidates
from tasks._lumen_light import render
from tasks._lumen_tube import Lumen, draw
from tasks._phantom import balanced, smooth
from tasks._phantom import source as _source

VERSION = 1
CODE = 606
RATIO = 1.25  # smallest ratio of the distances of two neighbouring marks
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def around(image: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Mean brightness 0 … 255 of a band around a mark at each pixel [n, 2] (column, row) of an RGB image."""
    size = len(image)
    far = _marks.radius(224) + np.array([1.5, 3.0, 4.5, 6.0])
    angle, far = np.meshgrid(np.linspace(0, 2 * np.pi, 24, endpoint=False), far * size / 224)
    offset = np.stack([far * np.cos(angle), far * np.sin(angle)], -1).reshape(-1, 2)
    at = np.clip(np.rint(pixel[:, None] + offset).astype(int), 0, size - 1)
    return (image[at[..., 1], at[..., 0]] @ _LUMA).mean(1)


def evened(image: np.ndarray, power: float) -> np.ndarray:
    """The RGB image with its light evened out: each pixel times (mean / local mean) ** power, uint8."""
    grey = image @ _LUMA
    local = smooth(grey, 0.05 * len(grey)) + np.float32(6)
    seen = grey > 8
    gain = (np.float32(local[seen].mean()) / local) ** np.float32(power)
    gain += np.clip((grey - 170) / 60, 0, 1) * (1 - gain)  # what shines stays as it is
    return np.clip(image * np.where(seen, gain, 1)[..., None] + np.float32(0.5), 0, 255).astype(np.uint8)


def _shown(p: Lumen, seed: int, i: int, size: int) -> np.ndarray:
    """The view without marks."""
    power = np.random.default_rng([seed, i, CODE, 2]).uniform(0.65, 0.85)
    return evened(render(p, np.random.default_rng([seed, i, CODE, 1]), size), power)


def _places(
    p: Lumen, image: np.ndarray, rng: np.random.Generator, size: int, ranks: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels [3, 2] of three marks from near to far, their distances, and the brightness around each.

    `image` is the view without marks, of any size. The nearest is number ranks[0] in brightness, and so on.
    Neighbouring distances differ by RATIO at least and brightness as little as 12000 trials give; where no
    trial fits, the ratio gives way first.
    """
    pixel, distance, calm = candidates(p, rng, size, 200)
    pixel, distance = pixel[calm], distance[calm]
    bright = around(image, (pixel + 0.5) * len(image) / size - 0.5)
    triple = rng.integers(0, len(pixel), (12000, 3))
    triple = np.take_along_axis(triple, np.argsort(distance[triple], 1), 1)
    triple = triple[apart(pixel, triple) > 2 * _marks.radius(size) + 4]
    steps = distance[triple]
    ratio = np.minimum(steps[:, 1] / steps[:, 0], steps[:, 2] / steps[:, 1])
    light = bright[triple]
    fits = (np.argsort(np.argsort(-light, 1), 1) == np.array(ranks)).all(1)
    cost = np.maximum(np.ptp(light, 1), 8) + 900 * np.clip(RATIO - ratio, 0, None) + 1000 * ~fits
    best = triple[int(np.argmin(cost))]
    return pixel[best], distance[best], bright[best]


def scene(
    seed: int, i: int, size: int = 224, order: tuple[int, ...] = (0, 1, 2), ranks: tuple[int, ...] = (0, 1, 2)
) -> tuple[Lumen, tuple[Mark, ...], np.ndarray, np.ndarray]:
    """The view's parameters, its marks from near to far, their distances and the brightness around each [3]."""
    rng = np.random.default_rng([seed, i, CODE])
    p = draw(rng)
    where, distance, bright = _places(p, _shown(p, seed, i, size // 2), rng, size, ranks)  # half as fine will do
    marks = tuple(Mark(name=COLOURS[c], x=float(x), y=float(y)) for c, (x, y) in zip(order, where, strict=True))
    return p, marks, distance, bright


def view(seed: int, i: int, size: int, marks: tuple[Mark, ...]) -> np.ndarray:
    """View number i of a seed with these marks, uint8 [size, size, 3]."""
    p = draw(np.random.default_rng([seed, i, CODE]))
    return _marks.draw(_shown(p, seed, i, size), marks)


def source(n: int, seed: int, size: int = 224) -> Source:
    """N views with three marks at equally bright places; columns as those of the lumen, and `bright_red` … .

    The 36 pairs of an order of colours and an order of brightness come equally often.

    Raises:
        DataError: n is below 1.
    """
    kinds = balanced(n, 36, seed, CODE)

    def build(i: int) -> tuple:
        order, ranks = (tuple(int(c) for c in ORDERS[k]) for k in divmod(int(kinds[i]), 6))
        p, marks, distance, bright = scene(seed, i, size, order, ranks)
        columns = {"nearest": marks[0].name, **{f.name: getattr(p, f.name) for f in fields(p)}}
        for m, d, b in zip(marks, distance, bright, strict=True):
            columns |= {f"depth_{m.name}": float(d), f"bright_{m.name}": float(b)}
        return partial(view, seed, i, size, marks), columns, marks

    return _source("lumen-matched", n, build, version=VERSION, seed=seed, size=size)
