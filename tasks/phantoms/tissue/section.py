"""A section through the wall of a hollow organ, stained with haematoxylin and eosin, with its exact layers.

Every field shows the same four layers; the answer is nothing but which of them the mark covers. Where a mark
may lie is drawn so that its distance from the middle of the image is the same for all four answers: layers
in the middle of the wall are no nearer to it than those at its edges. The mark's colour is drawn at random.
"""

from dataclasses import fields
from functools import lru_cache, partial

import numpy as np

from tasks._base import DataError, Mark, Source
from tasks.marks import draw as drawing
from tasks.phantoms.source import balanced
from tasks.phantoms.source import source as _source
from tasks.phantoms.tissue.patient import CLASSES, Plan, Wall, draw, interior, plan
from tasks.phantoms.tissue.stain import render, stained

VERSION = 2
CODE = 505
COLOURS = ("red", "green", "blue")
RINGS = np.linspace(0, 1.2, 25)  # classes of distance from the middle, half image widths


def field(seed: int, i: int, size: int, attempt: int) -> tuple[Wall, Plan]:
    """Parameters and layers of field i of a seed, drawn for the first time (attempt 0) or again."""
    p = draw(np.random.default_rng([seed, i, CODE, 4, attempt]))
    return p, plan(p, np.random.default_rng([seed, i, CODE, 5, attempt]), size)


def scene(seed: int, i: int, size: int = 224) -> tuple[int, Wall, Plan, tuple[Mark, ...]]:
    """The attempt, parameters and layers of a field with one mark in each of the four layers, all as far out.

    Fields without such places (a layer too thin, or all of it too near the edge) are drawn again.

    Raises:
        DataError: images of that size leave no room for marks.
    """
    for attempt in range(50):
        p, given = field(seed, i, size, attempt)
        rng = np.random.default_rng([seed, i, CODE, 6, attempt])
        places = _places(given.labels, rng, size)
        if places is not None:
            name = COLOURS[rng.integers(3)]
            return attempt, p, given, tuple(Mark(name=name, x=float(x), y=float(y)) for y, x in places)
    raise DataError(f"{size} pixels are too few for a mark in each layer of a section; ask for 64 or more")


@lru_cache(maxsize=8)
def _rings(size: int) -> np.ndarray:
    """The class of distance from the middle of every pixel, [size * size]."""
    line = (2 * np.arange(size) + 1) / size - 1
    return np.digitize(np.hypot(line[:, None], line), RINGS).ravel()


def _places(labels: np.ndarray, rng: np.random.Generator, size: int) -> list[np.ndarray] | None:
    """One pixel (row, column) in each layer, all in one ring about the middle; None where no ring has all."""
    reach = drawing.radius(size) + 1
    within = np.full((size, size), 255, np.uint8)
    within[reach:-reach, reach:-reach] = interior(labels, reach)
    spots = [np.flatnonzero(within == layer) for layer in range(len(CLASSES))]
    rings = [_rings(size).take(at) for at in spots]
    enough = np.all([np.bincount(ring, minlength=len(RINGS) + 1) >= 12 for ring in rings], axis=0)
    if not enough.any():
        return None
    ring = rng.choice(np.flatnonzero(enough))
    found = (rng.choice(at[r == ring]) for at, r in zip(spots, rings, strict=True))
    return [np.array(divmod(int(at), size)) for at in found]


def view(seed: int, i: int, size: int = 224, attempt: int = 0, marks: tuple[Mark, ...] = ()) -> np.ndarray:
    """Field i of a seed with its marks, uint8 [size, size, 3]."""
    image = render(*field(seed, i, size, attempt), np.random.default_rng([seed, i, CODE, 1]))
    return drawing.draw(image, marks)


def _layer(seed: int, i: int, size: int, attempt: int, marks: tuple[Mark, ...], layer: int) -> np.ndarray:
    """A layer as far as no mark covers it, bool [size, size]."""
    return (field(seed, i, size, attempt)[1].labels == layer) & ~drawing.covered(marks, size, size)


def _nuclei(seed: int, i: int, size: int, attempt: int, marks: tuple[Mark, ...]) -> np.ndarray:
    """Nuclei that no mark covers, bool [size, size]."""
    dark = stained(*field(seed, i, size, attempt), np.random.default_rng([seed, i, CODE, 1]))[2]
    return (dark > 0.1) & ~drawing.covered(marks, size, size)


def source(n: int, seed: int, size: int = 224) -> Source:
    """N fields of n patients with one mark each; columns hold what was drawn, `tissue` the layer under the mark.

    Raises:
        DataError: n is below 1.
    """
    layers = balanced(n, len(CLASSES), seed, CODE)

    def build(i: int) -> tuple:
        layer = int(layers[i])
        attempt, p, _, marks = scene(seed, i, size)
        marks = marks[layer : layer + 1]
        columns = {"tissue": CLASSES[layer], **{f.name: getattr(p, f.name) for f in fields(p)}}
        where = {
            "mark": partial(drawing.covered, marks, size, size),
            "tissue under the mark": partial(_layer, seed, i, size, attempt, marks, layer),
            "nuclei": partial(_nuclei, seed, i, size, attempt, marks),
        }
        return partial(view, seed, i, size, attempt, marks), columns, marks, where

    return _source("tissue", n, build, version=VERSION, seed=seed, size=size)
