"""The vessel trees of the lungs, grown at random and drawn as blood along the beam."""

import numpy as np

from tasks.phantoms.blur import smeared
from tasks.phantoms.chest.patient import Chest
from tasks.phantoms.grid import Pose

_STEPS = np.linspace(0, 1, 20, dtype=np.float32)[None, :]


def _branches(rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Points along both vessel trees of the lungs, by generation: x, y and the calibre at each, float32."""
    side = np.where(np.arange(56) % 2, np.float32(1), np.float32(-1))
    start = rng.random((2, 56), np.float32) * np.array([[0.06], [0.24]], np.float32)
    x, y = side * (start[0] + np.float32(0.13)), start[1] - np.where(side > 0, np.float32(0.19), np.float32(0.15))
    heading = rng.random(56, np.float32) * np.float32(2.6) - np.float32(1.35)
    calibre = rng.random(56, np.float32) * np.float32(0.5) + np.float32(0.5)
    points = []
    for generation, length in enumerate((0.16, 0.15, 0.14, 0.13)):
        n = len(side)
        bend = heading[:, None] + rng.standard_normal((n, 1), np.float32) * np.float32(0.25) * _STEPS
        reach = (rng.random((n, 1), np.float32) * np.float32(0.6) + np.float32(0.7)) * np.float32(length) * _STEPS
        px = x[:, None] + side[:, None] * np.cos(bend) * reach
        py = y[:, None] + np.sin(bend) * reach
        points.append((px.ravel(), py.ravel(), (calibre[:, None] * (1 - np.float32(0.25) * _STEPS)).ravel()))
        keep = np.repeat(np.arange(n), 2 if generation < 2 else 1)
        x, y = px[keep, -1], py[keep, -1]
        heading = bend[keep, -1] + rng.standard_normal(len(keep), np.float32) * np.float32(0.42)
        side, calibre = side[keep], calibre[keep] * np.float32(0.62)
    return points


def _drawn(pose: Pose, x: np.ndarray, y: np.ndarray, calibre: np.ndarray) -> np.ndarray:
    """Calibres added up at the nearest points of the grid; what leaves the picture gathers on its border."""
    side = pose.side
    places = (np.clip(np.rint(at), 0, side - 1).astype(np.intp) for at in pose.at(x, y))
    column, row = places
    drawn = np.bincount(row * side + column, calibre, minlength=side * side).reshape(side, side)
    dense = np.float32(side / 160)  # points are as many on every grid
    return np.minimum(drawn.astype(np.float32) * dense, 3)


def vessels(p: Chest, rng: np.random.Generator, pose: Pose) -> np.ndarray:
    """Blood in the lungs' vessels along the beam through each grid point."""
    first, second, *thin = _branches(rng)
    x, y, calibre = (np.concatenate(values) for values in zip(first, second, strict=True))
    out = smeared(smeared(_drawn(pose, x + p.yaw, y + 0.02, calibre), 0.4), 0.4) * np.float32(1.4)
    x, y, calibre = (np.concatenate(values) for values in zip(*thin, strict=True))
    out += _drawn(pose, x + p.yaw, y + 0.02, calibre) * np.float32(0.8)
    out = smeared(out, 0.76) * np.float32(p.vessels)
    out[[0, -1]] = out[:, [0, -1]] = 0
    return out
