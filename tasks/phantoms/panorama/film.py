"""A panoramic dental film with none to four third molars.

Counting needs sight of four places behind the second molars: other teeth are missing, of the area of the
third molars that are there, so that the area of all teeth says nothing. The price is a weak hint: the more
third molars, the more gaps elsewhere. Without `matched` gaps are independent of the count.
"""

from dataclasses import fields
from functools import partial

import numpy as np

from tasks._base import Mask, Source
from tasks.phantoms.grid import Pose, resized
from tasks.phantoms.noise import grain, piece
from tasks.phantoms.panorama.bones import jaws
from tasks.phantoms.panorama.patient import PLACES, Film, Teeth, draw, erupt, present
from tasks.phantoms.panorama.teeth import pixels, shadows
from tasks.phantoms.radiograph import bordered, developed
from tasks.phantoms.source import balanced
from tasks.phantoms.source import source as _source

VERSION = 2
CODE = 606
CLASSES = ("0", "1", "2", "3", "4")


def patient(seed: int, i: int, count: int, matched: bool = True) -> tuple[Film, Teeth, np.ndarray]:
    """Parameters, 32 places of teeth and which teeth are there, of patient i of a seed with `count` third molars."""
    p = draw(np.random.default_rng([seed, i, CODE]))
    teeth = erupt(p, np.random.default_rng([seed, i, CODE, 3]))
    return p, teeth, present(p, teeth, count, np.random.default_rng([seed, i, CODE, 4]), matched)


def render(p: Film, teeth: Teeth, there: np.ndarray, rng: np.random.Generator, size: int = 224) -> np.ndarray:
    """The film, uint8 [size, size]; `rng` gives trabeculae and grain."""
    coarse = Pose(side=-(-size // 2), turn=p.turn, scale=p.scale, dx=p.dx, dy=p.dy)
    side = -(-5 * size // 7)
    bone, rest = (resized(part, side) for part in jaws(p, coarse))
    dense, taken = shadows(p, teeth, there, side)
    bone *= 1 - 0.45 * np.minimum(taken, 1)
    bone *= 1 + np.float32(p.grit * 2.2) * piece(rng, side, (14, 48, 100), 1.0)
    film = resized(bone + rest + dense, size, blur=round(p.blur, 1))
    film += np.float32(p.grain) * grain(rng, size, 0.5)
    return developed(film, 4.2 * p.contrast, 0.72 - 0.5 * p.exposure, p.border)


def film(seed: int, i: int, count: int, size: int = 224, matched: bool = True) -> np.ndarray:
    """The film of patient i of a seed with `count` third molars, uint8 [size, size]."""
    return render(*patient(seed, i, count, matched), np.random.default_rng([seed, i, CODE, 1]), size)


def source(n: int, seed: int, size: int = 224, matched: bool = True) -> Source:
    """Films of n patients; columns hold what was drawn.

    Column `count` is the number of third molars, `missing` that of other teeth that are not there;
    `third_upper_right` … "yes" or "no", and `third_upper_right_column`, `_row` where the middle of that
    crown lies, or would lie.

    Raises:
        DataError: n is below 1.
    """
    counts = balanced(n, len(CLASSES), seed, CODE)

    def build(i: int) -> tuple:
        count = int(counts[i])
        p, teeth, there = patient(seed, i, count, matched)
        columns = {"count": str(count), "missing": str(28 + count - int(there.sum()))}
        columns |= {f.name: getattr(p, f.name) for f in fields(p)}
        columns |= _thirds(p, teeth, there, size)
        where: dict[str, Mask] = {"teeth": partial(_covered, p, teeth, there, size)}
        if count:
            where["third molars"] = partial(_covered, p, teeth, there & (np.arange(32) % 8 == 7), size)
        return partial(film, seed, i, count, size, matched), columns, (), where | bordered(p.border, size)

    return _source("panorama", n, build, version=VERSION, seed=seed, size=size, matched=matched)


def _covered(p: Film, teeth: Teeth, those: np.ndarray, size: int) -> np.ndarray:
    """The pixels of some teeth, bool [size, size]."""
    return shadows(p, teeth, those, size)[1] > 0.5


def _thirds(p: Film, teeth: Teeth, there: np.ndarray, size: int) -> dict[str, str | float]:
    """Presence and place of the four third molars."""
    third = np.arange(7, 32, 8)
    reach = teeth.length[third] * teeth.crown[third] * 0.55
    lean, down = teeth.lean[third] * teeth.side[third], np.where(teeth.upper[third], -1, 1)
    x, y = teeth.x[third] + reach * np.sin(lean), teeth.y[third] + down * reach * np.cos(lean)
    out: dict[str, str | float] = {}
    for place, is_there, column, row in zip(PLACES, there[third], *pixels(p, x, y, size), strict=True):
        out |= {f"third_{place}": "yes" if is_there else "no"}
        out |= {f"third_{place}_column": float(column), f"third_{place}_row": float(row)}
    return out
