"""The vessel trees of the lungs, grown at random and drawn as blood along the beam."""

import numpy as np

from tasks._chest_patient import Chest
from tasks._phantom import smooth


def _branches(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 2] along both vessel trees of the lungs, and the calibre [n] at each."""
    side = np.where(np.arange(56) % 2, 1.0, -1.0)
    start = np.stack([side * rng.uniform(0.13, 0.19, 56), rng.uniform(-0.16, 0.08, 56)], 1)
    start[:, 1] += np.where(side > 0, -0.03, 0.01)
    heading = rng.uniform(-1.35, 1.25, 56)
    calibre = rng.uniform(0.5, 1.0, 56)
    points, sizes = [], []
    for generation, length in enumerate((0.16, 0.15, 0.14, 0.13)):
        steps = np.linspace(0, 1, 22)[None, :]
        bend = heading[:, None] + rng.normal(0, 0.25, len(side))[:, None] * steps
        reach = length * rng.uniform(0.7, 1.3, len(side))[:, None] * steps
        px = start[:, :1] + side[:, None] * np.cos(bend) * reach
        py = start[:, 1:] + np.sin(bend) * reach
        points.append(np.stack([px, py], -1).reshape(-1, 2))
        sizes.append((calibre[:, None] * (1 - 0.25 * steps)).ravel())
        keep = np.repeat(np.arange(len(side)), 2 if generation < 2 else 1)
        start = np.stack([px[keep, -1], py[keep, -1]], 1)
        heading = bend[keep, -1] + rng.normal(0, 0.42, len(keep))
        side, calibre = side[keep], calibre[keep] * 0.62
    return np.concatenate(points), np.concatenate(sizes)


def vessels(p: Chest, rng: np.random.Generator, size: int) -> np.ndarray:
    """Blood in the lungs' vessels along the beam [size, size]."""
    at, calibre = _branches(rng)
    c, s = np.cos(p.turn) * p.scale, np.sin(p.turn) * p.scale
    x, y = at[:, 0] + p.yaw, at[:, 1] + 0.02
    column = ((c * x - s * y + p.dx + 1) * size / 2).astype(int)
    row = ((s * x + c * y + p.dy + 1) * size / 2).astype(int)
    good = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    where, calibre = row[good] * size + column[good], calibre[good]
    out = np.zeros((size, size), np.float32)
    for low, high, sigma in ((0.0, 0.3, 0.5), (0.3, 0.6, 1.1), (0.6, 9.0, 2.1)):
        some = (calibre >= low) & (calibre < high)
        drawn = np.bincount(where[some], calibre[some], minlength=size * size).reshape(size, size)
        out += smooth(np.minimum(drawn, 2.5).astype(np.float32), sigma * size / 224) * np.float32(0.6 + sigma)
    return out * np.float32(p.vessels)
