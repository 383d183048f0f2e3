"""An endoscopic lumen: a bent tube with folds, lit by a spotlight at the camera, with its exact depth map.

A ray meets the wall where it first leaves the tube's cross-section; the light falls off with the square
of the distance and the cosine of incidence (Lambert), with highlights where mucus faces the camera. The
radius of the tube is the unit of length. Brightness betrays depth here as it does in any endoscope.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial

import numpy as np

from tasks import _marks
from tasks._base import Mark, Source
from tasks._phantom import axes, balanced, bell, inside, noise, smooth, stretched
from tasks._phantom import source as _source

VERSION = 3
CODE = 303
COLOURS = ("red", "green", "blue")
RATIO = 1.35  # smallest ratio of the distances of two neighbouring marks
_Z = np.geomspace(0.42, 12, 84)
_ORDERS = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])


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


def _shade(p: Lumen, z: np.ndarray, rough: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light that comes back from every pixel, and how squarely the wall faces the camera."""
    size = z.shape[0]
    x, y = axes(size)
    step = np.float32(size / 4)
    bumpy = z * (1 + np.float32(p.bump) * rough)
    zx, zy = np.zeros_like(z), np.zeros_like(z)
    zx[:, 1:-1], zy[1:-1] = (bumpy[:, 2:] - bumpy[:, :-2]) * step, (bumpy[2:] - bumpy[:-2]) * step
    f = np.float32(p.focal)
    long = f * f + x * x + y * y
    normal = (f * zx) ** 2 + (f * zy) ** 2 + (z + x * zx + y * zy) ** 2
    facing = f * z / np.sqrt(normal * long)
    # a pixel that spans two surfaces, a fold and what lies behind it, has no one normal
    leap = (np.abs(zx) + np.abs(zy)) / (z * step)
    facing = np.maximum(facing, np.float32(0.6) * np.clip(leap * 8 - 1, 0, 1))
    return facing * f * f / (z * z * long), facing


def _mucosa(p: Lumen, z: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """On the wall: vessels 0 … 1, blotches and roughness, in textures that follow the surface."""
    size = z.shape[0]
    x, y = axes(size)
    u, v = x - np.float32(p.focal * p.tilt_x), y - np.float32(p.focal * p.tilt_y)
    scale = (np.float32(0.34) + np.float32(0.22) * np.log(z)) / np.sqrt(u * u + v * v + np.float32(1e-4))
    at = _between(u * scale, v * scale, 256)
    lines = noise(rng, 256, (24, 48, 96), 0.6)
    net = bell(lines / np.float32(0.13)) * np.clip(0.4 + noise(rng, 256, (12, 24)), 0, 1)
    rough = noise(rng, 256, (32, 64), 0.8)
    return at(net), noise(rng, size, (5, 10, 20)), at(rough)


def _between(u: np.ndarray, v: np.ndarray, side: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function that reads a texture [side, side] over [-1, 1]² at (u, v), linearly between its values."""
    x = np.clip((u + 1) * np.float32(side / 2), 0, side - 1.01)
    y = np.clip((v + 1) * np.float32(side / 2), 0, side - 1.01)
    column, row = x.astype(np.int32), y.astype(np.int32)
    fx, fy, first = x - column, y - row, row * side + column

    def read(texture: np.ndarray) -> np.ndarray:
        flat = texture.ravel()
        top = flat[first] + fx * (flat[first + 1] - flat[first])
        low = flat[first + side] + fx * (flat[first + side + 1] - flat[first + side])
        return top + fy * (low - top)

    return read


def render(p: Lumen, rng: np.random.Generator, size: int = 224) -> np.ndarray:
    """The view without marks, uint8 [size, size, 3]; `rng` gives texture and grain."""
    z = depth(p, size)
    net, blotch, rough = _mucosa(p, z, rng)
    light, facing = _shade(p, z, rough)
    x, y = axes(size)
    rim = np.sqrt(x * x + y * y)
    octagon = np.maximum(np.maximum(np.abs(x), np.abs(y)), (np.abs(x) + np.abs(y)) * np.float32(0.74))
    field = inside((1 - p.corner) * rim + p.corner * octagon - p.aperture, 0.02)
    gain = np.float32(p.exposure * 0.9 / np.quantile(light[::4, ::4], 0.75))
    light = light * gain * (1 - np.float32(0.25) * rim**2)
    shine = (
        np.float32(p.wet)
        * np.exp(np.maximum((facing + np.float32(0.025) * rough - 1) / np.float32(0.012), -20))
        * light
    )
    out = np.empty((size, size, 3), np.float32)
    for channel, (albedo, drop) in enumerate(((p.red, 0.18), (p.green, 0.62), (p.blue, 0.55))):
        tint = albedo * (1 + 0.06 * blotch - np.float32(drop * p.vessels) * net)
        seen = (1 - np.exp(-tint * light)) ** np.float32(p.gamma)
        seen = smooth(seen + np.minimum(shine, 1), p.blur * size / 224)
        seen += np.float32(p.grain) * rng.standard_normal((size, size), np.float32)
        out[..., channel] = seen * field * np.float32(255) + np.float32(0.5)
    return np.clip(out, 0, 255).astype(np.uint8)


def _places(p: Lumen, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [3, 2] (column, row) of three marks from near to far, and their distances from the camera.

    Neighbouring distances differ by RATIO at least (by as much as 4000 trials give, where the view allows
    no more), no mark touches another, and none lies over an edge in depth.
    """
    reach = _marks.radius(size)
    limit = (p.aperture if p.corner < 0.5 else min(p.aperture, 1.0)) * 0.95 - 2.6 * reach / size
    angle, far = rng.uniform(0, 2 * np.pi, 96), np.sqrt(rng.uniform(0, 1, 96)) * min(limit, 0.86)
    middle = (np.stack([far * np.cos(angle), far * np.sin(angle)], 1) + 1) * size / 2
    pixel = np.clip(np.rint(middle), reach + 1, size - reach - 2)
    offsets = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]) * reach * 0.8
    uv = (2 * (pixel[:, None] + offsets) + 1) / size - 1
    z = march(p, uv[..., 0], uv[..., 1])
    distance = z[:, 0] * np.sqrt(1 + (uv[:, 0] ** 2).sum(1) / p.focal**2)
    calm = (z.max(1) / z.min(1) < 1.6) & (z[:, 0] < 7)
    best, found = -1.0, np.array([0, 1, 2])
    for _ in range(10):
        triple = rng.integers(0, 96, (400, 3))
        triple = np.take_along_axis(triple, np.argsort(distance[triple], 1), 1)
        near, mid, last = (pixel[triple[:, j]] for j in range(3))
        apart = np.min([np.hypot(*(a - b).T) for a, b in ((near, mid), (mid, last), (near, last))], 0)
        steps = distance[triple]
        score = np.minimum(steps[:, 1] / steps[:, 0], steps[:, 2] / steps[:, 1])
        score = np.where((apart > 2 * reach + 4) & calm[triple].all(1), np.minimum(score, RATIO), -1)
        if score.max() > best:
            best, found = float(score.max()), triple[int(score.argmax())]
        if best >= RATIO:
            break
    return pixel[found], distance[found]


def view(seed: int, i: int, size: int = 224, order: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    """View number i of a seed with its marks, uint8 [size, size, 3]; `order` colours them near to far."""
    p, marks, _ = scene(seed, i, size, order)
    return _marks.draw(render(p, np.random.default_rng([seed, i, CODE, 1]), size), marks)


def scene(
    seed: int, i: int, size: int = 224, order: tuple[int, ...] = (0, 1, 2)
) -> tuple[Lumen, tuple[Mark, ...], np.ndarray]:
    """The view's parameters, its marks from near to far, and their distances from the camera [3]."""
    rng = np.random.default_rng([seed, i, CODE])
    p = draw(rng)
    where, distance = _places(p, rng, size)
    marks = tuple(Mark(name=COLOURS[c], x=float(x), y=float(y)) for c, (x, y) in zip(order, where, strict=True))
    return p, marks, distance


def source(n: int, seed: int, size: int = 224) -> Source:
    """N views into n lumens with three coloured marks each; columns hold what was drawn.

    Column `nearest` is the colour of the mark nearest to the camera, `depth_red` … the distances in tube
    radii. The six orders of colours come equally often.

    Raises:
        DataError: n is below 1.
    """
    orders = _ORDERS[balanced(n, 6, seed, CODE)]

    def build(i: int) -> tuple:
        order = tuple(int(c) for c in orders[i])
        p, marks, distance = scene(seed, i, size, order)
        columns = {"nearest": marks[0].name, **{f.name: getattr(p, f.name) for f in fields(p)}}
        columns.update({f"depth_{m.name}": float(d) for m, d in zip(marks, distance, strict=True)})
        return partial(view, seed, i, size, order), columns, marks

    return _source("lumen", n, build, version=VERSION, seed=seed, size=size)
