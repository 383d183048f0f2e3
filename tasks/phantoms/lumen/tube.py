"""The shape of a bent tube with folds, and where rays from a camera inside it meet its wall.

At a given depth the rays that stay within the tube, on a line out from the point to which its axis runs, are
those between two bounds (a quadratic equation). A ray meets the wall at the first depth whose bounds leave it
out; what has stayed in so far lies between the running maximum and minimum of the bounds. So a map in polar
coordinates about that point gives all depths at once, exactly, and the picture reads it.
"""

from dataclasses import dataclass

import numpy as np

from tasks.phantoms.grid import bilinear
from tasks.phantoms.shapes import axes

_Z = np.geomspace(0.42, 12, 84).astype(np.float32)  # depths that are looked at, in equal steps of the logarithm
_STEP = np.float32(np.log(12 / 0.42) / 83)
_BEND = np.float32((1 - np.exp(-_STEP)) / _STEP)
_ANGLES, _REACHES = 144, 160  # cells of the polar map


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


def bounds(p: Lumen, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Within which of two distances from the axis' far end a ray is still in the tube, at every depth looked at.

    The angles [n] are directions in the image about the point to which the axis runs at the camera; both
    results are [n, depths], in half image widths. Where they are equal no ray is in the tube.
    """
    angle = angle.astype(np.float32)[:, None]
    bent_x, bent_y = (
        np.float32(a) + np.float32(b / 2) * _Z * _Z for a, b in ((p.off_x, p.bend_x), (p.off_y, p.bend_y))
    )
    towards = np.cos(angle) * bent_x + np.sin(angle) * bent_y
    height = np.float32(p.fold) * (1 + np.float32(p.lobes) * np.cos(3 * angle + np.float32(p.lobe_turn)))
    turn = np.float32(6.2832 / p.spacing) * _Z + np.float32(p.phase)
    ridge = np.cos(turn + np.float32(p.sway) * np.cos(angle + np.float32(p.sway_turn)))
    ridge += 1
    ridge *= ridge
    ridge *= ridge
    radius = 1 - height / 16 * ridge
    root = np.sqrt(np.maximum(towards * towards + radius * radius - (bent_x * bent_x + bent_y * bent_y), 0))
    scale = np.float32(p.focal) / _Z
    return (towards - root) * scale, (towards + root) * scale


def march(p: Lumen, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Depth along the optical axis, in tube radii, where the ray through (u, v) meets the wall.

    u and v are image coordinates in half image widths from the centre. Rays that meet nothing within 12
    radii get 12.
    """
    across, down = u.ravel() - p.focal * p.tilt_x, v.ravel() - p.focal * p.tilt_y
    far = np.hypot(across, down).astype(np.float32)[:, None]
    inner, outer = bounds(p, np.arctan2(down, across))
    out = (far > outer) | (far < inner)
    met = np.clip(np.where(out.any(1), out.argmax(1), len(_Z)), 1, len(_Z) - 1)[:, None]
    wall = np.where(np.take_along_axis(far < inner, met, 1), inner, outer)
    here, before = np.take_along_axis(wall, met, 1), np.take_along_axis(wall, met - 1, 1)
    return _Z[0] * np.exp((met - 1 + _between(before, here, far)) * _STEP).reshape(u.shape).astype(np.float32)


def _between(before: np.ndarray, here: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Where between two depths, as a share of the logarithm's step, a wall from `before` to `here` passes `far`.

    Between them 1 / depth goes with the distance in the image, as on a straight wall.
    """
    gap = before - here
    gap[gap == 0] = 1
    share = before - far
    share /= gap
    np.maximum(share, 0, out=share)
    np.minimum(share, 1, out=share)
    share *= share * (1 - _BEND) + _BEND  # -log(1 - share * (1 - exp(-step))) / step, to second order
    return share


def _polar(p: Lumen, reach: float) -> np.ndarray:
    """Logarithm of the depth over directions from -π to π and distances up to `reach`, [_ANGLES + 1, _REACHES]."""
    angle = np.arange(_ANGLES, dtype=np.float32) * np.float32(2 * np.pi / _ANGLES) - np.float32(np.pi)
    inner, outer = bounds(p, angle)
    cell, depths = np.float32(reach / (_REACHES - 1)), len(_Z)
    # the cells [first, last) of a direction still hold rays at a depth: one difference per end, then their sum
    last = np.clip(np.minimum.accumulate(outer, 1) / cell + 1, 0, _REACHES).astype(np.int32)
    first = np.clip(np.maximum.accumulate(inner, 1) / cell + 1, 0, last).astype(np.int32)
    ends = np.arange(_ANGLES, dtype=np.int32)[:, None] * (_REACHES + 1)
    change = np.bincount((first + ends).ravel(), minlength=_ANGLES * (_REACHES + 1))
    change -= np.bincount((last + ends).ravel(), minlength=_ANGLES * (_REACHES + 1))
    met = change.cumsum().reshape(_ANGLES, -1)[:, :-1]
    met = np.clip(met, 1, depths - 1)
    # rays nearer than the cell that holds out longest leave through the inner bound
    longest = first[np.arange(_ANGLES), np.maximum((first < last).sum(1), 1) - 1]
    near = np.arange(longest.max()) < longest[:, None]
    at = met + (np.arange(_ANGLES) * depths)[:, None]
    at[:, : near.shape[1]] += near * outer.size
    wall = np.concatenate([outer.ravel(), inner.ravel()])
    out = met.astype(np.float32)
    out += _between(wall.take(at - 1), wall.take(at), np.arange(_REACHES, dtype=np.float32) * cell)
    out *= _STEP
    out += np.log(_Z[0]) - _STEP
    return np.concatenate([out, out[:1]])


def logdepth(p: Lumen, size: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of every pixel's depth in tube radii, and its direction from the axis' far end in turns, 0 … 1.

    Both float32 [size, size].
    """
    x, y = axes(size)
    across, down = x - np.float32(p.focal * p.tilt_x), y - np.float32(p.focal * p.tilt_y)
    reach = 1.001 * float(np.hypot(np.abs(across).max(), np.abs(down).max()))
    polar = _polar(p, reach).ravel()
    turn = np.arctan2(np.broadcast_to(down, (size, size)), np.broadcast_to(across, (size, size)))
    turn *= np.float32(1 / (2 * np.pi))
    turn += np.float32(0.5)
    angle = turn * np.float32(_ANGLES)
    place = across * across + down * down
    np.sqrt(place, out=place)
    place *= np.float32((_REACHES - 1) / reach)
    row, column = np.floor(angle), np.floor(place)
    np.minimum(row, _ANGLES - 1, out=row)
    angle -= row
    place -= column
    row *= _REACHES
    row += column
    return bilinear(polar, row.astype(np.intp), _REACHES, angle, place), turn


def depth(p: Lumen, size: int = 224) -> np.ndarray:
    """Depth along the optical axis of every pixel, float32 [size, size], in tube radii."""
    return np.exp(logdepth(p, size)[0])
