"""Chest films of children and adults that differ in proportion only: heart, shape of the rib cage, run of the ribs.

A child's heart is larger against the thorax, the rib cage is rounder and its ribs run more level. The film is
scaled alike, and its greys are put, rank by rank, in a tone scale that is drawn whatever the age, so that no
histogram tells it. Nothing else of a child (growth plates, thymus, size) is drawn.
"""

from dataclasses import asdict, replace
from functools import partial

import numpy as np

from tasks._base import Source
from tasks._chest import exposed
from tasks._chest_patient import Chest, draw
from tasks._phantom import axes, balanced, inside, smooth
from tasks._phantom import source as _source

VERSION = 1
CODE = 404
CLASSES = ("child", "adult")
EDGE = 1.06  # by how much a child's edges are raised: its larger heart hides some of the lungs' sharpest
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
        vessels=p.vessels * u(0.4, 1.4),
        bone=u(0.5, 1.5),
        heart=(0.585 if child else 0.445) + 0.035 * heart,
        heart_left=float(np.clip(p.heart_left, 0.04, 0.14)),
        round=(0.88 if child else 0.10) + 0.10 * roundness,
        rib_drop=(0.24 if child else 1.15) + 0.12 * run,
    )


def ranked(values: np.ndarray, shown: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Values by rank: those `shown` follow `quantiles` (evenly spaced from least to greatest), the rest is 0."""
    low, high = values[shown].min(), values[shown].max()
    level = np.clip((values - low) * np.float32(16383 / (high - low)), 0, 16383).astype(np.uint16)
    count = np.bincount(level[shown], minlength=16384)
    share = (np.cumsum(count) - count / 2) * ((len(quantiles) - 1) / count.sum())
    return np.interp(share, np.arange(len(quantiles)), quantiles).astype(np.float32)[level] * shown


def _spread(shape: float) -> np.ndarray:
    """Quantiles [401] of a symmetric distribution of deviation about 1 with tails as those of edges."""
    at = np.linspace(-1, 1, 401)
    tail = -np.log(np.maximum(1 - np.abs(at), 2e-4))
    out = np.sign(at) * tail**shape
    return out / np.sqrt(np.mean(out**2))


def _leads(rng: np.random.Generator, size: int) -> np.ndarray:
    """The wires and electrodes of none to five leads that lie on the chest, 0 … 0.55 [size, size]."""
    n, t = int(rng.integers(0, 6)), np.linspace(0, 1, 3 * size)[:, None, None]
    start = np.stack([rng.uniform(-0.9, 0.9, n), np.full(n, -1.02)], 1)
    end = np.stack([rng.uniform(-0.7, 0.7, n), rng.uniform(-0.6, 0.6, n)], 1)
    bow = (start + end) / 2 + rng.normal(0, 0.3, (n, 2))
    at = (start * (1 - t) ** 2 + 2 * bow * t * (1 - t) + end * t**2).reshape(-1, 2)
    column, row = ((at + 1) * size / 2).astype(int).T
    good = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    drawn = np.zeros((size, size), np.float32)
    drawn[row[good], column[good]] = 1.6
    wire = np.minimum(smooth(drawn, 0.6 * size / 224), 1)
    x, y = axes(size)
    for ex, ey in end:
        wire = np.maximum(wire, inside(np.hypot(x - np.float32(ex), y - np.float32(ey)) - 0.028, 0.012))
    return np.float32(rng.uniform(0.15, 0.55)) * wire


def film(seed: int, i: int, child: bool, size: int = 224) -> np.ndarray:
    """The film of patient number i as a child or as an adult, uint8 [size, size]."""
    p, rng = patient(seed, i, child), np.random.default_rng([seed, i, CODE, 1])
    steps, bright = rng.uniform(0.7, 1.3, 10), rng.uniform(0.75, 1.3)  # before the body, so that no age moves them
    fine, coarse, wide = rng.uniform(0.012, 0.03), rng.uniform(0.018, 0.032), rng.uniform(0.03, 0.05)
    shape = rng.uniform(1.05, 1.45)
    tones = np.concatenate([[0], np.cumsum(np.diff(_TONES) * steps)])
    tones = (tones / tones[-1]) ** bright * p.contrast * 0.82 + _TONES[0]
    leads = _leads(rng, size)
    depth, grain = exposed(p, rng, size)
    seen = depth + np.float32(p.grain * 4) * grain * (0.4 + depth / 3)
    line = np.abs(np.linspace(-1, 1, size, dtype=np.float32))
    field = inside(np.maximum(line[:, None], line) - 1 + p.border, 0.02) if p.border else np.ones_like(seen)
    body = (depth > 0.25) & (field > 0)
    grey = ranked(seen, body, tones)
    tail = _spread(shape)
    whole = np.zeros_like(grey)
    for sigma, spread in ((0.9, fine), (2.6, coarse * (EDGE if child else 1)), (6.0, wide)):
        soft = smooth(grey, sigma * size / 224)
        whole += ranked(grey - soft, body, spread * tail)
        grey = soft
    grey = grey + whole
    grey = ranked(grey, body, tones) + leads
    grey += np.where(body, 0, 0.1 * np.clip(seen, 0, None))
    return np.clip(255 * grey * field + np.float32(0.5), 0, 255).astype(np.uint8)


def source(n: int, seed: int, size: int = 224) -> Source:
    """Films of n patients, half of them (rounded) children; columns hold what was drawn, and `age`.

    Raises:
        DataError: n is below 1.
    """
    answers = balanced(n, 2, seed, CODE)

    def build(i: int) -> tuple:
        child = not answers[i]
        return partial(film, seed, i, child, size), {"age": CLASSES[not child], **asdict(patient(seed, i, child))}, ()

    return _source("age", n, build, version=VERSION, seed=seed, size=size)
