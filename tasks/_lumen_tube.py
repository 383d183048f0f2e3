"""The shape of a bent tube with folds, and where rays from a camera inside it meet its wall."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tasks._phantom import axes, stretched

_Z = np.geomspace(0.42, 12, 84)


@dataclass(frozen=True, kw_only=True)
class Lumen:
    """One view into one lumen; lengths in radii of the tube, angles in radians."""

    focal: float  # in half image widths
    off_x: float  # of the camera from the axis
    off_y: float
    tilt_x: float  # slope of the axis against the view
    tilt_y: float
    bend_x: float  # curvature of the axis
    bend_y: float
    fold: float  # height of the folds
    spacing: float
    phase: float
    lobes: float  # how triangular the lumen is
    lobe_turn: float
    sway: float  # how obliquely folds run
    sway_turn: float
    red: float  # colour of the mucosa
    green: float
    blue: float
    vessels: float
    bump: float
    wet: float
    exposure: float
    gamma: float
    aperture: float
    corner: float  # 0 a round field, 1 an octagon
    grain: float
    blur: float  # pixels at 224


def draw(rng: np.random.Generator) -> Lumen:
    """A view at random."""
    u = rng.uniform
    return Lumen(
        focal=u(0.62, 0.85),
        off_x=u(-0.28, 0.28),
        off_y=u(-0.28, 0.28),
        tilt_x=u(-0.3, 0.3),
        tilt_y=u(-0.3, 0.3),
        bend_x=u(-0.13, 0.13),
        bend_y=u(-0.13, 0.13),
        fold=u(0.16, 0.34),
        spacing=u(0.9, 1.5),
        phase=u(0, 6.28),
        lobes=u(0.0, 0.4),
        lobe_turn=u(0, 6.28),
        sway=u(0.1, 0.9),
        sway_turn=u(0, 6.28),
        red=u(0.9, 1.0),
        green=u(0.24, 0.42),
        blue=u(0.15, 0.32),
        vessels=u(0.3, 0.8),
        bump=u(0.003, 0.009),
        wet=u(0.3, 1.0),
        exposure=u(0.75, 1.3),
        gamma=u(0.6, 0.8),
        aperture=u(0.93, 1.08),
        corner=u(0, 1),
        grain=u(0.004, 0.018),
        blur=u(0.45, 0.8),
    )


def march(p: Lumen, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Depth along the optical axis, in tube radii, where the ray through (u, v) meets the wall.

    u and v are image coordinates in half image widths from the centre. Rays that meet nothing within 12
    radii get 12.
    """
    shape, u, v = u.shape, u.ravel().astype(np.float32), v.ravel().astype(np.float32)
    angle = np.arctan2(v - p.focal * p.tilt_y, u - p.focal * p.tilt_x)
    height = p.fold * (1 + p.lobes * np.cos(3 * angle + p.lobe_turn))
    bent = p.sway * np.cos(angle + p.sway_turn)
    c, s = np.cos(bent), np.sin(bent)
    out, alive = np.full(u.shape, _Z[-1], np.float32), np.arange(u.size)
    before, unmet, last = np.zeros(u.shape, np.float32), np.ones(u.shape, bool), _Z[0]
    for i, z in enumerate(_Z):
        cx = p.off_x + p.tilt_x * z + p.bend_x * z * z / 2
        cy = p.off_y + p.tilt_y * z + p.bend_y * z * z / 2
        turn = 6.2832 * z / p.spacing + p.phase
        ridge = (0.5 + 0.5 * (float(np.cos(turn)) * c - float(np.sin(turn)) * s)) ** 2
        gap = (u * float(z / p.focal) - cx) ** 2 + (v * float(z / p.focal) - cy) ** 2
        gap = np.sqrt(gap) - 1 + height * ridge * ridge
        hit = np.flatnonzero((gap > 0) & unmet)
        if len(hit):
            share = before[hit] / (before[hit] - gap[hit]) if i else np.float32(1)
            out[alive[hit]] = last + share * (z - last)
            unmet[hit] = False
        before, last = gap, z
        if unmet.sum() < 0.8 * len(unmet):  # drop the rays that have met the wall, but not at every step
            alive = alive[unmet]
            u, v, height, c, s, before = (a[unmet] for a in (u, v, height, c, s, before))
            unmet = np.ones(len(u), bool)
    return out.reshape(shape)


@lru_cache(maxsize=8)
def _double(size: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Which 2 of `half` pixels make each of `size` by linear interpolation [2, size], and their weights."""
    at = np.clip((np.arange(size) + 0.5) * half / size - 0.5, 0, half - 1)
    first = np.minimum(at.astype(int), half - 2)
    share = (at - first).astype(np.float32)
    return np.stack([first, first + 1]), np.stack([1 - share, share])


def depth(p: Lumen, size: int = 224) -> np.ndarray:
    """Depth along the optical axis of every pixel, float32 [size, size], in tube radii."""
    half = -(-size // 2)
    x, y = axes(half)
    coarse = np.log(march(p, *np.broadcast_arrays(x, y)))
    up = _double(size, half)
    return np.exp(stretched(np.ascontiguousarray(stretched(coarse, *up).T), *up).T)
