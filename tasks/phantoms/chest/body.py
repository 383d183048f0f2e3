"""Attenuation of a chest along the beam: chord lengths of trunk, lungs, heart and airways, and all bones."""

import math
from functools import lru_cache, partial

import numpy as np

from tasks._base import Mask
from tasks.phantoms.chest.bones import girdle, ribs, spine
from tasks.phantoms.chest.patient import Chest
from tasks.phantoms.grid import Pose, looked_up
from tasks.phantoms.radiograph import bordered
from tasks.phantoms.shapes import chord, inside

_HEIGHTS = np.linspace(-2, 2, 2048, dtype=np.float32)  # of tables of what depends on height alone


def _walls(p: Chest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half-width of an adult's rib cage, of this one, and of what lies between the lungs, at _HEIGHTS."""
    t = np.minimum(np.maximum((_HEIGHTS - p.apex) / 0.62, 0), 1)
    rise = np.sqrt(np.maximum(t * (2 - t), 0))
    outer = adult = 0.31 + (p.width - 0.31) * rise**0.85 * (1 + 0.08 * np.minimum(np.maximum(_HEIGHTS, -0.3), 1))
    if p.round:
        low = p.right_dome + 0.34  # a circle from the apex to below the diaphragm
        middle, radius = (p.apex + low) / 2, (low - p.apex) / 2
        circle = 0.31 + (p.width * 1.05 - 0.31) * chord(((_HEIGHTS - middle) / radius) ** 2) ** 0.8
        outer = adult + p.round * (circle - adult)
    return adult, outer, 0.31 - 0.21 * rise


def _at_height(table: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The values of a table over _HEIGHTS at each height."""
    return looked_up(table, y * np.float32(0.25) + np.float32(0.5))


def _below(p: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth below the diaphragm."""
    left = (x > 0).astype(np.float32)
    flat = np.minimum(np.abs(x + 0.40 - 0.83 * left) * (1 / 0.42), 1.2)
    return y - p.right_dome - p.left_drop * left - 0.30 * flat**2.3


def _lungs(p: Chest, x: np.ndarray, y: np.ndarray, wide: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Air in the lungs along the beam, less what heart and vessels displace."""
    inner = _at_height(_walls(p)[2], y)
    return np.maximum(_air(p, x, y, wide, inner) - filled, 0)


def _air(p: Chest, x: np.ndarray, y: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Air in the lungs along the beam, as if no heart lay between them."""
    side, depth = np.abs(x), _below(p, x, y)
    out = chord((side / outer) ** 2.4)
    out *= inside(inner - side, 0.05)
    out *= inside(side - outer, 0.014)
    out *= inside(p.apex - y, 0.03)
    out *= inside(depth, 0.014) + (depth > 0) * (0.16 * np.exp(np.minimum(depth, 1) * (-1 / 0.07)))
    return out * 0.62


def _oval(x: np.ndarray, y: np.ndarray, centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    """Half the chord of an ellipsoid, 1 at its centre."""
    a, b = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    a *= a
    b *= b
    a += b
    return chord(a)


def _heart(p: Chest, pose: Pose) -> np.ndarray:
    """Blood and muscle along the beam: heart with great vessels and the arch."""
    out, cy = np.zeros((pose.side, pose.side), np.float32), p.right_dome - 0.13
    at = pose.box(-0.75, 0.85, cy - 0.62, cy + 0.62)
    x, y = pose.grid(at)
    x, y, heart = x - (p.heart_left + p.yaw), y - cy, out[at]
    long, short = p.heart * p.width * 0.98, p.heart * p.width * 0.70
    c, s = math.cos(p.heart_tilt), math.sin(p.heart_tilt)
    heart[:] = _oval(c * x + s * y, c * y - s * x, (0.0, 0.0), (long, short))
    for ox, oy, rx, ry, depth in (
        (-0.205, 0.02, 0.17, 0.22, 0.8),  # right atrium
        (0.015, -0.28, 0.10, 0.13, 0.6),  # pulmonary trunk
        (-0.095, -0.26, 0.14, 0.20, 0.6),  # root of the aorta
    ):
        np.maximum(heart, depth * _oval(x, y, (ox, oy), (rx, ry)), out=heart)
    return out


def _arch(p: Chest, pose: Pose) -> tuple[tuple[slice, slice], np.ndarray]:
    """The aortic arch along the beam, in the part of the picture that holds it."""
    at = pose.box(p.yaw - 0.05, p.yaw + 0.22, -0.48, -0.18)
    return at, _oval(*pose.grid(at), (p.yaw + 0.095, -0.33), (p.knob, p.knob * 1.15))


def _bubble(p: Chest, pose: Pose) -> tuple[tuple[slice, slice], np.ndarray]:
    """Gas in the stomach along the beam, in the part of the picture that holds it."""
    top, wide, high = p.right_dome + p.left_drop + 0.05, p.bubble * 1.15, p.bubble * 0.6
    at = pose.box(0.40 - wide, 0.40 + wide, top, top + 2 * high)
    x, y = pose.grid(at)
    gas = _oval(x, y, (0.40, top + high), (wide, high))
    return at, 0.30 * gas * inside(-_below(p, x, y), 0.02)


def _thorax(p: Chest, pose: Pose) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray, np.ndarray]:
    """The part of the picture that holds the rib cage, its coordinates, and the cage's half-width at each point."""
    at = pose.box(-0.9, 0.9, p.apex - 0.04, 1.0)
    x, y = pose.grid(at)
    return at, x, y, _at_height(_walls(p)[1], y)


def _middle(p: Chest, pose: Pose, heart: np.ndarray) -> np.ndarray:
    """The upper mediastinum and the descending aorta along the beam; the aortic arch is put into the heart."""
    at, arch = _arch(p, pose)
    heart[at] = np.maximum(heart[at], 0.75 * arch)
    out = np.zeros_like(heart)
    at = pose.box(p.yaw - 0.20, p.yaw + 0.20, -1.3, 1.3)
    x, y = pose.grid(at)
    x = x - p.yaw
    band = 0.125 + 0.03 * np.maximum(-0.45 - y, 0)
    upper = 0.55 * chord(((x + 0.012) / band) ** 2)
    aorta = 0.30 * chord(((x - 0.10 + 0.07 * np.maximum(y, 0)) / 0.07) ** 2) * inside(-0.3 - y, 0.1)
    out[at] = np.maximum(upper, 0.4 * chord((x / 0.11) ** 2)) + aorta
    return out


@lru_cache(maxsize=1)
def _airway() -> np.ndarray:
    """Air in the trachea and both main bronchi along the beam [256, 96]: y from -1.3 to 0.1, x from -0.2 to 0.2."""
    x, y = np.linspace(-0.2, 0.2, 96, dtype=np.float32), np.linspace(-1.3, 0.1, 256, dtype=np.float32)[:, None]
    trachea = chord(((x + 0.012) / 0.042) ** 2) * inside(y + 0.2, 0.06)
    left = chord(((y + 0.21 - 0.75 * (x + 0.012)) / 0.036) ** 2) * inside(np.abs(x - 0.075) - 0.085, 0.05)
    right = chord(((y + 0.21 + 1.3 * (x + 0.012)) / 0.05) ** 2) * inside(np.abs(x + 0.06) - 0.06, 0.05)
    return 0.16 * np.maximum(trachea, np.maximum(left, right) * 0.8)


def _trunk(p: Chest, x: np.ndarray, y: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Tissue along the beam if the lungs were full of it: trunk, neck, shoulders and breasts."""
    side = np.abs(x)
    trunk = outer + p.wall + 0.16 * np.maximum(y - 0.1, 0)
    arms = np.maximum(0.30 + 1.9 * np.maximum(y + 0.97, 0) ** 0.8, 0.24)
    upper = (y < -0.2) * np.minimum(arms, 1.12)
    lower = (y >= -0.2) * (1.12 - 0.85 * np.maximum(y + 0.2, 0) ** 1.4)
    half = np.maximum(upper + lower, np.minimum(trunk, arms))
    half = np.maximum(half, (y >= -0.2) * trunk)
    body = chord((side / half) ** 3) * (0.86 + 0.16 * np.maximum(y, -1))
    if p.breast:
        q = ((side - 0.42) / 0.27) ** 2 + ((y - 0.34) / 0.24) ** 2
        body += p.breast * chord(q) * (1 + 0.3 * np.maximum(y - 0.3, 0))
    return body


def soft(p: Chest, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Tissue along the beam if the lungs were full of it, and the share of lung that heart and vessels displace."""
    x, y = pose.grid()
    tissue = _trunk(p, x, y, _at_height(_walls(p)[0], y))
    heart = _heart(p, pose)
    middle = _middle(p, pose, heart)
    at = pose.box(p.yaw - 0.19, p.yaw + 0.19, -1.25, 0.06)
    x, y = pose.grid(at)
    column, row = (x + (0.2 - p.yaw)) * (96 / 0.4), (y + 1.3) * (256 / 1.4)
    tissue[at] -= _airway().take(row.astype(np.intp) * 96 + column.astype(np.intp), mode="clip")
    if p.bubble:
        at, gas = _bubble(p, pose)
        tissue[at] -= gas
    tissue += 0.10 * heart + 0.06 * middle
    return tissue, 0.55 * heart + 0.5 * middle


def path(
    p: Chest, pose: Pose, *, tissue: np.ndarray, filled: np.ndarray, blood: np.ndarray, texture: np.ndarray
) -> np.ndarray:
    """The integral of attenuation along the beam through each grid point; all that is given lies on the grid.

    `tissue` and `filled` are what `soft` gives.
    """
    at, x, y, wide = _thorax(p, pose)
    cloud, lung = texture[at], _lungs(p, x, y, wide, filled[at])
    lung *= 0.86 + 0.05 * cloud - np.minimum(0.28 * blood[at], 0.6)
    out = tissue + 0.012 * texture
    out[at] -= lung
    np.maximum(out, 0, out=out)
    out *= 2.6
    dense = 1.15 * p.bone
    out[at] += (0.26 * dense) * ribs(p, x, y, wide)
    at = pose.box(-1.4, 1.4, -1.4, -0.05)
    out[at] += (0.26 * dense) * girdle(p, *pose.grid(at))
    at = pose.box(-0.17, 0.17, -1.3, 1.3)
    out[at] += (0.22 * dense) * spine(p, *pose.grid(at))
    return out


SEEN = 0.1  # of lung or of bone along the beam, from which a mask counts it


def regions(p: Chest, size: int) -> dict[str, Mask]:
    """Masks [size, size] of what is drawn, by the shapes that draw it: a film without gastric bubble has none."""
    there = ["heart", "aortic arch", "lungs", "ribs", *(["gastric bubble"] if p.bubble else [])]
    return {name: partial(_region, p, name, size) for name in there} | bordered(p.border, size)


def _region(p: Chest, name: str, size: int) -> np.ndarray:
    pose, out = p.pose(size), np.zeros((size, size), bool)
    if name == "heart":
        return _heart(p, pose) > 0
    if name in ("aortic arch", "gastric bubble"):
        at, shape = (_arch if name == "aortic arch" else _bubble)(p, pose)
        out[at] = shape > 0
        return out
    at, x, y, wide = _thorax(p, pose)
    out[at] = (ribs(p, x, y, wide) if name == "ribs" else _lungs(p, x, y, wide, soft(p, pose)[1][at])) > SEEN
    return out
