"""Echoes of an ultrasound probe: tissue that scatters, surfaces that reflect, and attenuation along the beam.

Everything is made on a grid of beams: rows are depths, columns beams. Speckle is the envelope of complex
normal noise smoothed by the pulse along the beam and by the beam's width across it (Rayleigh statistics,
Rice statistics where a surface reflects; Wagner et al. 1983).
"""

from functools import lru_cache

import numpy as np

from tasks.phantoms.grid import bilinear
from tasks.phantoms.noise import piece
from tasks.phantoms.shapes import axes, bell, inside
from tasks.phantoms.ultrasound.patient import Scan, beam, place


def grid(p: Scan, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Depths [n, 1] and places across [1, m] of the samples for an image of `size` pixels."""
    n, m = round(size * 0.9), round(size * 0.56)
    return (
        ((np.arange(n, dtype=np.float32) + 0.5) / n * np.float32(p.span))[:, None],
        np.linspace(-1, 1, m, dtype=np.float32)[None, :],
    )


def _layers(
    p: Scan, share: np.ndarray, across: np.ndarray, texture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Scatter of the layers, dB, and their surfaces that reflect, 0 … 1; rows lie along the skin."""
    stretch = (np.arange(across.size) * np.float32(p.streak)).astype(int)
    streaks = piece(rng, share.size, (17, 52), 0.9)[:, stretch]
    bend = np.float32(p.slope) * across + np.float32(p.wave) * np.sin(np.float32(p.ripple) * across + p.phase)
    bend = bend.astype(np.float32)
    level, lines = np.float32(p.patches) * texture + np.float32(p.strands) * streaks, np.zeros_like(texture)
    glint = np.clip(np.float32(0.7) + np.float32(0.4) * streaks, np.float32(0.1), np.float32(1))
    into = share
    for end, here, there, bent in (
        (p.skin, 9.0, p.fat_level, 0.0),
        (p.fat, p.fat_level, p.muscle_level, 1.0),
        (p.fascia, p.muscle_level, p.deep_level, 1.6),
    ):
        past = share - np.float32(end) - np.float32(bent) * bend - np.float32(0.005 * bent) * texture
        level += np.float32(there - here) * inside(-past, 0.012)
        lines = np.maximum(lines, bell(past / np.float32(0.005 + 0.001 * bent)) * glint)
        into = past if end == p.fat else into
    fibres = np.maximum(np.sin(into * np.float32(170) + 9 * across + texture), 0)
    muscle = inside(-into, 0.02) * inside(share - np.float32(p.fascia) - np.float32(1.6) * bend, 0.02)
    level += np.float32(p.stripes) * fibres * fibres * muscle
    return level + np.float32(9), lines


def _inclusions(
    p: Scan, depth: np.ndarray, across: np.ndarray, texture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What inclusions add to levels, dB, and to attenuation, dB per half width; their walls and fluid, 0 … 1."""
    x, y = (np.broadcast_to(a, (depth.size, across.size)) for a in place(p, depth, across))
    level, loss, walls, clear = (np.zeros(np.broadcast_shapes(depth.shape, across.shape), np.float32) for _ in range(4))
    along = False
    for _ in range(rng.integers(1, 6)):
        u, kind = rng.uniform, rng.integers(4)  # fluid, dark, bright, calcified
        deep = p.span * u(0.1, 0.92)
        at_x, at_y = place(p, np.array([deep]), np.array([u(-0.85, 0.85)]))
        wide, tall = (u(0.02, 0.06), u(0.012, 0.025)) if kind == 3 else (u(0.07, 0.26), u(0.05, 0.16))
        turn = 0.0 if kind == 3 else u(-0.5, 0.5)
        if kind == 0 and not along and u() < 0.3:
            along, wide, tall = True, 1.5, tall * 0.6  # a vessel through the image
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        reach = 1.7 * max(wide, tall) + 0.05
        rows = slice(*np.searchsorted(depth[:, 0], (deep - reach, deep + reach)))  # further off it changes nothing
        dx, dy = x[rows] - np.float32(at_x[0]), y[rows] - np.float32(at_y[0])
        q = np.sqrt(((c * dx + s * dy) / np.float32(wide)) ** 2 + ((c * dy - s * dx) / np.float32(tall)) ** 2)
        q += np.float32((0.03, 0.13, 0.1, 0.05)[kind]) * texture[rows]
        body = inside((q - 1) * np.float32(min(wide, tall)), 0.02)
        level[rows] += body * np.float32((-48, u(-20, -9), u(4, 9), 14)[kind])
        loss[rows] += body * np.float32((-p.attenuation * 0.9, u(-20, 45), u(-10, 20), u(250, 700))[kind])
        if kind == 0:
            clear[rows] = np.maximum(clear[rows], body)
            upright = np.abs(dy) / (np.abs(dx) + np.abs(dy) + np.float32(0.01))
            walls[rows] = np.maximum(walls[rows], bell((q - 1) * np.float32(tall / 0.012)) * upright)
    return level, loss, walls, clear


def expected(p: Scan, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels of scatter and of mirror-like reflection before noise, dB [n, m], after the time gain."""
    depth, across = grid(p, size)
    share = depth / np.float32(p.span)
    texture = piece(rng, depth.size, (5, 11, 24), 0.8)[:, : across.size]
    level, lines = _layers(p, share, across, texture, rng)
    more, loss, walls, clear = _inclusions(p, depth, across, texture[::-1], rng)
    lost = np.cumsum(loss, 0, dtype=np.float32) * np.float32(p.span / depth.size)
    touch = np.interp(across, np.linspace(-1, 1, 9), np.clip(rng.normal(0, 0.7, 9), -2, 0.3)).astype(np.float32)
    over = np.clip(timegain(p, share) - lost + np.float32(p.contact) * touch, -70, 25)
    reflect = np.float32(p.line_level + 6) + 20 * np.log10(np.maximum(np.maximum(lines * (1 - clear), walls), 1e-3))
    return level + more + over, reflect + over


def timegain(p: Scan, share: np.ndarray) -> np.ndarray:
    """What attenuation and its compensation leave of an echo from each share of the span, dB."""
    knobs = np.array([p.knob_1, p.knob_2, p.knob_3, p.knob_4, p.knob_5])
    error = np.interp(share, np.linspace(0, 1, 5), knobs).astype(np.float32)
    return error + np.float32(p.gain) + np.float32(p.attenuation * (p.compensated - 1) * p.span) * share


def _blurred(a: np.ndarray, weights: tuple[float, ...], axis: int) -> np.ndarray:
    """The array filtered along one axis by a symmetric kernel, given from its middle outwards."""
    reach = len(weights) - 1
    wide = np.pad(a, [(reach, reach) if i == axis else (0, 0) for i in range(a.ndim)], mode="wrap")
    length = a.shape[axis]
    out = np.zeros_like(a)
    for k in range(-reach, reach + 1):
        cut = tuple(slice(reach + k, reach + k + length) if i == axis else slice(None) for i in range(a.ndim))
        out += np.float32(weights[abs(k)]) * wide[cut]
    return out


def _kernel(sigma: float) -> tuple[float, ...]:
    """Gaussian weights from the middle outwards whose squares add to 1: noise keeps its power."""
    half = np.exp(-0.5 * (np.arange(int(2.2 * sigma + 1.5)) / sigma) ** 2)
    return tuple((half / np.sqrt(2 * (half**2).sum() - half[0] ** 2)).tolist())


@lru_cache(maxsize=16)
def _waves(wide: float, side: int) -> np.ndarray:
    """Complex noise without seams as two real planes [2, side, side], smoothed by the pulse and by a beam of a width.

    The noise is the same for every width.
    """
    raw = np.random.default_rng(side).standard_normal((2, side, side), np.float32)
    return _blurred(_blurred(raw, _kernel(0.8), 1), _kernel(wide), 2)


def _speckle(p: Scan, share: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Complex noise of mean power 2 as two real planes [2, n, m], smoothed by pulse and beam.

    It is read from a bank, at a place drawn by `rng`; the width of the beam is kept to 0.3 samples.
    """
    side, broad = max(640, 2 * max(shape)), round(p.wide / 0.3) * 0.3
    narrow, wide = _kernel(0.6), _kernel(broad)
    first = sum(a * b * (1 if i == 0 else 2) for i, (a, b) in enumerate(zip(narrow, wide, strict=False)))
    w = np.clip(np.abs(share - np.float32(p.focus)) * 2, 0, 1)
    scale = 1 / np.sqrt((1 - w) ** 2 + w**2 + 2 * w * (1 - w) * np.float32(first))
    top, left = (int(rng.integers(side - k)) for k in shape)
    here = np.s_[:, top : top + shape[0], left : left + shape[1]]
    mixed = _waves(0.6, side)[here] * ((1 - w) * scale)
    mixed += _waves(broad, side)[here] * (w * scale)
    return mixed


def _between(p: Scan, shown: np.ndarray, size: int) -> np.ndarray:
    """The grid of beams as an image, float32 [size, size], 0 outside the field."""
    n, m = shown.shape
    depth, across = beam(p, *axes(size))
    field = inside(np.maximum(-depth, depth - np.float32(p.span)), 0.01)
    field = field * inside((np.abs(across) - 1) * np.float32(p.half), 0.01)
    row = _held(depth * np.float32(n / p.span) - np.float32(0.5), n)
    column = _held((across + 1) * np.float32((m - 1) / 2), m)
    top, left = np.floor(row), np.floor(column)
    row -= top
    column -= left
    if not p.bow:  # a flat probe's beams are columns: rows first, then columns
        first, second = top[:, 0].astype(np.intp), left[0].astype(np.intp)
        lines = shown[first] + row * (shown[first + 1] - shown[first])
        out = lines[:, second] + column * (lines[:, second + 1] - lines[:, second])
        out *= field
        return out
    top *= m
    top += left
    out = bilinear(shown.ravel(), top.astype(np.intp), m, row, column)
    out *= field
    return out


def _held(place: np.ndarray, count: int) -> np.ndarray:
    """Places among `count` samples, changed so that each has a sample on either side."""
    np.maximum(place, 0, out=place)
    return np.minimum(place, np.float32(count - 1.01), out=place)


def heard(p: Scan, rng: np.random.Generator, levels: tuple[np.ndarray, np.ndarray], size: int) -> np.ndarray:
    """The image without marks, uint8 [size, size]; `levels` as `expected` gives them."""
    scatter, reflect = levels
    share = grid(p, size)[0] / np.float32(p.span)
    hiss = np.float32(p.hiss) + np.float32(p.attenuation * p.compensated * p.span) * share
    speckle = _speckle(p, share, scatter.shape, rng)
    power = np.exp(np.float32(0.2303) * scatter) + np.exp(np.float32(0.2303) * np.minimum(hiss, 0))
    real = speckle[0] * np.sqrt(power / 2) + np.exp(np.float32(0.1151) * reflect)
    heard_power = real * real + speckle[1] ** 2 * (power / 2)
    shown = shown_at(p, np.float32(4.3429) * np.log(heard_power + np.float32(1e-7)))
    image = _between(p, shown, size)
    image += np.float32(0.5)
    return image.astype(np.uint8)  # `shown_at` keeps to 0 … 255


def shown_at(p: Scan, level: np.ndarray) -> np.ndarray:
    """Grey values 0 … 255 of levels in dB."""
    return np.clip((level + np.float32(p.range * 0.5)) * np.float32(255 / p.range), 0, 255)
