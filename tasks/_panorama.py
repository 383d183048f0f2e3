"""A panoramic dental film with none to four third molars.

Counting needs sight of four places behind the second molars: other teeth are missing, of the area of the
third molars that are there, so that the area of all teeth says nothing. The price is a weak hint: the more
third molars, the more gaps elsewhere. Without `matched` gaps are independent of the count.
"""

from dataclasses import fields
from functools import partial

import numpy as np

from tasks._base import Source
from tasks._panorama_bones import jaws
from tasks._panorama_patient import PLACES, Film, Teeth, draw, erupt, present
from tasks._panorama_teeth import pixels, shadows
from tasks._phantom import axes, balanced, inside, noise, posed, smooth
from tasks._phantom import source as _source

VERSION = 1
CODE = 606
CLASSES = ("0", "1", "2", "3", "4")


def patient(seed: int, i: int, count: int, matched: bool = True) -> tuple[Film, Teeth, np.ndarray]:
    """Parameters, 32 places of teeth and which teeth are there, of patient i of a seed with `count` third molars."""
    p = draw(np.random.default_rng([seed, i, CODE]))
    teeth = erupt(p, np.random.default_rng([seed, i, CODE, 3]))
    return p, teeth, present(p, teeth, count, np.random.default_rng([seed, i, CODE, 4]), matched)


def render(p: Film, teeth: Teeth, there: np.ndarray, rng: np.random.Generator, size: int = 224) -> np.ndarray:
    """The film, uint8 [size, size]; `rng` gives trabeculae and grain."""
    x, y = posed(-(-size // 2), p.turn, p.scale, p.dx, p.dy)
    x = x - np.float32(p.yaw) * (1 - x * x)
    bone, rest = (_doubled(half, size) for half in jaws(p, x, y))
    dense, taken = shadows(p, teeth, there, size)
    bone *= (1 + np.float32(p.grit * 2.2) * noise(rng, size, (14, 48, 100), 1.0)) * (1 - 0.45 * np.minimum(taken, 1))
    film = smooth(bone + rest + dense, p.blur * size / 224)
    film += np.float32(p.grain) * smooth(rng.standard_normal((size, size), np.float32), 0.5)
    shown = 255 / (1 + np.exp(np.float32(-4.2 * p.contrast) * (film - np.float32(0.72 - 0.5 * p.exposure))))
    if p.border:
        across, down = axes(size)
        shown *= inside(np.maximum(np.abs(across), np.abs(down)) - np.float32(1 - p.border), 0.02)
    return np.clip(shown + np.float32(0.5), 0, 255).astype(np.uint8)


def _doubled(half: np.ndarray, size: int) -> np.ndarray:
    """An image of half the size made `size` pixels wide, linearly between its values."""
    wide = np.pad(half, 1, mode="edge")
    for _ in (0, 1):  # rows, then the columns of what is turned
        near = wide[1:-1] * np.float32(0.75)
        both = np.stack([near + wide[:-2] * np.float32(0.25), near + wide[2:] * np.float32(0.25)], 1)
        wide = np.ascontiguousarray(both.reshape(-1, wide.shape[1]).T)
    return wide[:size, :size]


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
        return partial(film, seed, i, count, size, matched), columns, ()

    return _source("panorama", n, build, version=VERSION, seed=seed, size=size, matched=matched)


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
