"""Soft tissue of a pelvis along the beam: trunk, thighs, bladder, and gas in the bowel."""

import numpy as np

from tasks.phantoms.grid import Pose
from tasks.phantoms.noise import piece
from tasks.phantoms.pelvis.patient import Pelvis
from tasks.phantoms.shapes import chord


def soft(p: Pelvis, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Tissue along the beam: trunk from waist to hips, two thighs, bladder; less the gas in loops of bowel."""
    x, y = pose.grid()
    rise = np.minimum(np.maximum((y + 1.1) * (1 / 1.3), 0), 1)
    half = p.waist + (p.hip - p.waist) * rise * rise * (3 - 2 * rise)
    side = np.abs(x)
    out = 1.05 * chord((side / half) ** 3)
    at = pose.box(-2.0, 2.0, 0.5, 2.0)
    x, y = pose.grid(at)
    half, side = half[at], side[at]
    between = p.gap * np.minimum(np.maximum((y - 0.66) * 2.5, 0), 1.5) ** 0.7
    thigh = 0.92 * chord(np.abs((side - (between + half) / 2) / ((half - between) / 2)) ** 2.6)
    out[at] += np.minimum(np.maximum((y - 0.52) * (1 / 0.3), 0), 1) * (thigh - out[at])
    if p.bladder:
        at, full = bladder(p, pose)
        out[at] += full
    air = _gas(p, pose, rng)
    air *= out > 0.3
    out -= air
    return np.maximum(out, 0, out=out)


def bladder(p: Pelvis, pose: Pose) -> tuple[tuple[slice, slice], np.ndarray]:
    """The bladder along the beam, in the part of the picture that holds it."""
    at = pose.box(p.yaw - 0.3, p.yaw + 0.3, -0.1, 0.4)
    x, y = pose.grid(at)
    return at, 0.06 * chord(((x - p.yaw) / p.bladder) ** 2 + ((y - 0.14) / (0.62 * p.bladder)) ** 2)


# Where loops of bowel hold gas: in both flanks, across the middle, and in the rectum.
_HOMES = ((-0.58, -0.45), (-0.50, -0.68), (0.60, -0.50), (0.48, -0.72), (0.25, -0.30), (-0.2, -0.72), (0.1, -0.05),
          (0.0, 0.05), (-0.3, -0.25))  # fmt: skip


def _gas(p: Pelvis, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """What the gas in loops of bowel takes away along the beam."""
    ripple = piece(rng, pose.side, (10, 20))
    out = np.zeros_like(ripple)
    for hx, hy in _HOMES:
        cx, cy, rx = hx + 0.06 * rng.standard_normal(), hy + 0.06 * rng.standard_normal(), 0.05 + 0.08 * rng.random()
        ry, full = rx * (0.5 + 0.45 * rng.random()), (0.4 + 0.6 * rng.random()) * (rng.random() < 0.75 * p.gas)
        if full:
            at = pose.box(cx - 2 * rx, cx + 2 * rx, cy - 2 * ry, cy + 2 * ry)
            x, y = pose.grid(at)
            q = np.square((x - cx) * (1 / rx)) + np.square((y - cy) * (1 / ry))
            part = out[at]
            np.maximum(part, (0.16 * full) * chord(q * (1 + 0.25 * ripple[at])), out=part)
    return out
