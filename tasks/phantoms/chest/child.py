"""Chest films of children and adults that differ in proportion only: heart, shape of the rib cage, run of the ribs.

A child's heart is larger against the thorax, the rib cage is rounder and its ribs run more level. The film is
scaled alike, and its greys are put, rank by rank, in a tone scale that is drawn whatever the age, so that no
histogram tells it. Nothing else of a child (growth plates, thymus, size) is drawn.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from tasks._base import Source
from tasks.phantoms.blur import smeared
from tasks.phantoms.chest.body import regions
from tasks.phantoms.chest.film import exposed
from tasks.phantoms.chest.patient import Chest, draw
from tasks.phantoms.grid import Pose, resized, shrunk
from tasks.phantoms.noise import grain
from tasks.phantoms.radiograph import rim
from tasks.phantoms.shapes import inside
from tasks.phantoms.source import balanced
from tasks.phantoms.source import source as _source

VERSION = 2
CODE = 404
CLASSES = ("child", "adult")
LINES = 0.012  # of grey: the most that a plate's columns differ in sensitivity, whatever the age
LEVELS = 4096  # to which values are rounded before they are ranked
# A larger heart hides some of the lungs' edges, and level ribs make others: by how much a child's details of one,
# two and four pixels and its grain are raised, and the tails of all details, so that on average no count of edges
# differs. Fitted at 224 pixels to 400 patients, each drawn at both ages.
LIFT, TAIL = np.array([0.985, 1.26, 1.0, 1.095]), 0.053
# The tone scale of an average film: grey value (0 … 1) at every tenth of the pixels, from dark to bright.
_TONES = np.array([0.03, 0.17, 0.25, 0.31, 0.38, 0.46, 0.55, 0.63, 0.70, 0.76, 0.90], np.float32)


def patient(seed: int, i: int, child: bool) -> Chest:
    """Patient number i of a seed, with the proportions of a child or of an adult; all else is the same."""
    rng = np.random.default_rng([seed, i, CODE])
    p, u = draw(rng), rng.uniform
    heart, roundness, run = u(-1, 1), u(-1, 1), u(-1, 1)
    return replace(
        p,
        grain=p.grain * u(0.4, 1.6),
        vessels=p.vessels * u(0.3, 1.1),
        bone=u(0.9, 1.7),
        heart=(0.585 if child else 0.445) + 0.035 * heart,
        heart_left=float(np.clip(p.heart_left, 0.04, 0.14)),
        round=(0.88 if child else 0.10) + 0.10 * roundness,
        rib_drop=(0.24 if child else 1.15) + 0.12 * run,
    )


def ranked(values: np.ndarray, shown: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Values by rank: those `shown` follow `quantiles` (evenly spaced from least to greatest), the rest is 0."""
    values = values * shown
    low = float(values.min())
    scale = (LEVELS - 1) / (float(values.max()) - low)
    level = ((values - low) * scale).astype(np.intp)
    count = np.bincount(level.ravel(), minlength=LEVELS)
    count[int(np.float32(-low) * np.float32(scale))] -= shown.size - np.count_nonzero(shown)
    share = (np.cumsum(count) - count / 2) * ((len(quantiles) - 1) / count.sum())
    table = np.interp(share, np.arange(len(quantiles)), quantiles).astype(np.float32)
    return table.take(level, mode="clip") * shown


def _spread(shape: float) -> np.ndarray:
    """Quantiles [401] of a symmetric distribution of deviation about 1 with tails as those of edges."""
    at = np.linspace(-1, 1, 401)
    tail = -np.log(np.maximum(1 - np.abs(at), 2e-4))
    out = np.sign(at) * tail**shape
    return out / np.sqrt(np.mean(out**2))


def _leads(rng: np.random.Generator, size: int) -> np.ndarray:
    """The wires and electrodes of none to five leads that lie on the chest, 0 … 0.55 [size, size]."""
    n, t = int(rng.integers(0, 6)), np.linspace(0, 1, 2 * size, dtype=np.float32)[:, None, None]
    start = np.stack([rng.uniform(-0.9, 0.9, n), np.full(n, -1.02)], 1)
    end = np.stack([rng.uniform(-0.7, 0.7, n), rng.uniform(-0.6, 0.6, n)], 1)
    bow = (start + end) / 2 + rng.normal(0, 0.3, (n, 2))
    weight = np.float32(rng.uniform(0.15, 0.55))
    at = (
        start.astype(np.float32) * (1 - t) ** 2
        + 2 * bow.astype(np.float32) * t * (1 - t)
        + end.astype(np.float32) * t**2
    )
    column, row = ((at + 1) * (size / 2)).astype(np.intp).reshape(-1, 2).T
    good = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    out = np.zeros((size, size), np.float32)
    out[row[good], column[good]] = 1.6
    out = np.minimum(smeared(out, 0.62), 1)
    pose = Pose(side=size, turn=0.0, scale=1.0, dx=0.0, dy=0.0)
    for ex, ey in end.tolist():
        box = pose.box(ex - 0.05, ex + 0.05, ey - 0.05, ey + 0.05)
        x, y = pose.grid(box)
        disc = inside(np.sqrt(np.square(x - ex) + np.square(y - ey)) - 0.028, 0.012)
        np.maximum(out[box], disc, out=out[box])
    return weight * out


def _restored(grey: np.ndarray, body: np.ndarray, spreads: Sequence[np.ndarray]) -> np.ndarray:
    """The image whose details, of a pixel, of two, of four …, follow the quantiles in `spreads`, by rank."""
    if not spreads:
        return grey
    half = shrunk(grey)
    detail = ranked(grey - resized(half, len(grey)), body, spreads[0])
    return resized(_restored(half, body[::2, ::2][: len(half), : len(half)], spreads[1:]), len(grey)) + detail


def film(seed: int, i: int, child: bool, size: int = 224) -> np.ndarray:
    """The film of patient number i as a child or as an adult, uint8 [size, size]."""
    p, rng = patient(seed, i, child), np.random.default_rng([seed, i, CODE, 1])
    steps, bright = rng.uniform(0.7, 1.3, 10), rng.uniform(0.75, 1.3)  # before the body, so that no age moves them
    amounts = np.array([rng.uniform(0.012, 0.03), rng.uniform(0.018, 0.032), rng.uniform(0.03, 0.05), 4 * p.grain])
    amounts = amounts * LIFT if child else amounts
    tail = _spread(rng.uniform(1.05, 1.45) + TAIL * child)
    tones = np.concatenate([[0], np.cumsum(np.diff(_TONES) * steps)])
    tones = (tones / tones[-1]) ** bright * p.contrast * 0.82 + _TONES[0]
    lines = rng.uniform(0, LINES) * rng.standard_normal(size, np.float32)
    leads = _leads(rng, size)
    depth = exposed(p, rng, size)
    seen = depth + (depth / 3 + np.float32(0.4)) * np.float32(amounts[3]) * grain(rng, size, 0.6)
    line = rim(size, p.border) if p.border else np.ones(size, np.float32)
    body = (depth > 0.25) & (line > 0) & (line[:, None] > 0)
    grey = ranked(seen, body, tones)
    grey = _restored(grey, body, list(amounts[:3, None] * tail))
    grey = ranked(grey + lines, body, tones) + leads
    grey += np.where(body, 0, 0.1 * np.maximum(seen, 0))
    return np.minimum(255 * grey * line * line[:, None] + np.float32(0.5), 255).astype(np.uint8)


def source(n: int, seed: int, size: int = 224) -> Source:
    """Films of n patients, half of them (rounded) children; columns hold what was drawn, and `age`.

    Raises:
        DataError: n is below 1.
    """
    answers = balanced(n, 2, seed, CODE)

    def build(i: int) -> tuple:
        child = not answers[i]
        p = patient(seed, i, child)
        return partial(film, seed, i, child, size), {"age": CLASSES[not child], **asdict(p)}, (), regions(p, size)

    return _source("age", n, build, version=VERSION, seed=seed, size=size)
