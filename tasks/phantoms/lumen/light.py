"""Picture of a lumen as a camera sees it: light that falls off, mucosa with vessels, mucus that shines."""

from functools import lru_cache

import numpy as np

from tasks.phantoms.blur import soft
from tasks.phantoms.lumen.tube import Lumen, logdepth
from tasks.phantoms.noise import periodic, piece, white
from tasks.phantoms.shapes import axes, bell, inside

_SIDE = 1024  # of the texture of vessels, which has no seams
_COLOURS = ("red", 0.18), ("green", 0.62), ("blue", 0.55)  # how much of each colour a vessel takes away


@lru_cache(maxsize=1)
def _texture() -> np.ndarray:
    """Vessels (6 bits) and roughness (10 bits) of a stretch of mucosa without seams, uint16 [_SIDE * _SIDE]."""
    lines = periodic(_SIDE, (24, 48, 96), 0.6)
    net = bell(lines / np.float32(0.13)) * np.clip(0.4 + periodic(_SIDE, (12, 24)), 0, 1)
    rough = np.clip(periodic(_SIDE, (26, 52), 0.8) * 128 + 512, 0, 1023)
    return (np.rint(net * 63).astype(np.uint16) * 1024 + np.rint(rough).astype(np.uint16)).ravel()


def _mucosa(depth: np.ndarray, turn: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Vessels 0 … 1 and roughness on the wall, in a texture wound around the tube from a place drawn by `rng`.

    `depth` is the logarithm, `turn` the direction of every pixel about the axis' far end, 0 … 1.
    """
    around, along = rng.uniform(0, _SIDE, 2)
    column = turn * np.float32(_SIDE)
    column += np.float32(around)
    row = depth * np.float32(rng.choice((-1, 1)) * 0.12 * _SIDE)
    row += np.float32(along + _SIDE)
    at = row.astype(np.int32)
    at &= _SIDE - 1
    at *= _SIDE
    at += column.astype(np.int32) & (_SIDE - 1)
    found = _texture().take(at.astype(np.intp))
    net, rough = (found >> 10).astype(np.float32), (found & 1023).astype(np.float32)
    net *= np.float32(1 / 63)
    rough -= 512
    rough *= np.float32(1 / 128)
    return net, rough


@lru_cache(maxsize=8)
def _frame(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every pixel: squared and plain distance from the centre, and the least octagon that it lies in."""
    x, y = axes(size)
    across, down = np.abs(x), np.abs(y)
    squared = x * x + y * y
    return (
        squared,
        np.sqrt(squared),
        np.maximum(np.maximum(across, down), (across + down) * np.float32(0.74)),
    )


def _shade(p: Lumen, depth: np.ndarray, rough: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light that comes back from every pixel, and how squarely the wall faces the camera; `depth` is the logarithm."""
    size = depth.shape[0]
    x, y = axes(size)
    bumpy = rough * np.float32(p.bump)
    bumpy += depth
    right, down = np.zeros_like(depth), np.zeros_like(depth)
    np.subtract(bumpy[:, 4:], bumpy[:, :-4], out=right[:, 2:-2])
    np.subtract(bumpy[4:], bumpy[:-4], out=down[2:-2])
    # a pixel that spans two surfaces, a fold and what lies behind it, has no one normal
    leap = np.abs(right)
    leap += np.abs(down)
    leap *= np.float32(4)
    leap -= np.float32(0.8)
    np.minimum(leap, np.float32(0.6), out=leap)
    f, step = np.float32(p.focal), np.float32(size / 8)
    facing = right * (x * step)
    facing += down * (y * step)
    facing += 1
    facing *= facing
    right *= right
    down *= down
    right += down
    right *= (f * step) ** 2
    facing += right
    long = _frame(size)[0] + f * f
    facing *= long
    np.sqrt(facing, out=facing)
    np.divide(f, facing, out=facing)
    np.maximum(facing, leap, out=facing)
    light = np.exp(np.multiply(depth, -2, out=leap), out=leap)
    light *= facing
    light /= long
    return light, facing


def _shine(p: Lumen, facing: np.ndarray, light: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """What mucus adds where it faces the camera, up to 1; `facing` is used up."""
    facing += rough * np.float32(0.025)
    facing -= 1
    facing *= np.float32(1 / 0.012)
    np.maximum(facing, -20, out=facing)
    np.minimum(facing, 20, out=facing)
    np.exp(facing, out=facing)
    facing *= light
    facing *= np.float32(p.wet)
    return np.minimum(facing, 1, out=facing)


def render(p: Lumen, rng: np.random.Generator, size: int = 224) -> np.ndarray:
    """The view without marks, uint8 [size, size, 3]; `rng` gives texture and grain."""
    depth, turn = logdepth(p, size)
    net, rough = _mucosa(depth, turn, rng)
    light, facing = _shade(p, depth, rough)
    squared, far, octagon = _frame(size)
    field = inside(far * np.float32(1 - p.corner) + octagon * np.float32(p.corner) - np.float32(p.aperture), 0.02)
    field *= 255
    some = light[::4, ::4].ravel()
    gain = np.float32(p.exposure * 0.9) / np.partition(some, some.size * 3 // 4)[some.size * 3 // 4]
    light *= gain - (gain * np.float32(0.25)) * squared
    shine = _shine(p, facing, light, rough)
    blotch = piece(rng, size, (5, 10, 20)) * np.float32(0.06)
    blotch += 1
    blotch *= light
    light *= net
    grain = white(rng, 3, size, size)
    curve = np.float32(2.1 * p.gamma - 0.97)  # the share of what is not under the root that comes nearest to the power
    out = np.empty((size, size, 3), np.uint8)
    for channel, (colour, drop) in enumerate(_COLOURS):
        seen = light * np.float32(drop * p.vessels)
        seen -= blotch
        seen *= np.float32(getattr(p, colour))
        np.exp(seen, out=seen)
        np.subtract(1, seen, out=seen)
        root = np.sqrt(seen)
        root *= 1 - curve
        seen *= curve
        seen += root
        seen += shine
        soft(seen, p.blur * size / 224)
        seen += grain[channel] * np.float32(p.grain)
        seen *= field
        seen += np.float32(0.5)
        np.maximum(seen, 0, out=seen)
        out[..., channel] = np.minimum(seen, 255, out=seen)
    return out
