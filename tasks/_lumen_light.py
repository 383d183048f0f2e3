"""What a camera sees of a lumen: light that falls off, mucosa with vessels, mucus that shines."""

from collections.abc import Callable

import numpy as np

from tasks._lumen_tube import Lumen, depth
from tasks._phantom import axes, bell, inside, noise, smooth


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
