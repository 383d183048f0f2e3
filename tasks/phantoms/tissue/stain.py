"""Stain of haematoxylin and eosin in each layer: nuclei, fibres, fat cells, vessels, in absorbances.

Light through the section follows Beer and Lambert with one absorbance vector per stain (Ruifrok and
Johnston 2001).
"""

from functools import lru_cache

import numpy as np

from tasks.phantoms.blur import smooth, soft
from tasks.phantoms.noise import SPAN, periodic, piece, white
from tasks.phantoms.shapes import bell, inside
from tasks.phantoms.tissue.nuclei import nuclei
from tasks.phantoms.tissue.patient import EPITHELIUM, FAT, LUMEN, MUSCLE, STROMA, Plan, Wall

BLUE = np.array([0.65, 0.70, 0.29])
PINK = np.array([0.09, 0.95, 0.28])
_SIDE = 512  # of the texture of fibres, which has no seams


@lru_cache(maxsize=8)
def _walls(size: int) -> np.ndarray:
    """Distance from every point to the nearest wall between fat cells, pixels, [SPAN * size, SPAN * size] in a row."""
    side = SPAN * size
    half, k = -(-side // 2), round(side / (27 * size / 224))
    rng = np.random.default_rng([size, k])
    seeds = np.stack(np.meshgrid(np.arange(k), np.arange(k), indexing="ij"), -1) + rng.uniform(0.12, 0.88, (k, k, 2))
    line = ((np.arange(half) + 0.5) * (k / half)).astype(np.float32)
    own = line.astype(int)
    first, second = np.full((half, half), 99, np.float32), np.full((half, half), 99, np.float32)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            seed = seeds[np.clip(own + i, 0, k - 1)][:, np.clip(own + j, 0, k - 1)].astype(np.float32)
            far = (seed[..., 0] - line[:, None]) ** 2 + (seed[..., 1] - line) ** 2
            # at the bank's rim a seed comes up more than once
            second = np.where(far > first, np.minimum(second, far), np.where(far < first, first, second))
            first = np.minimum(first, far)
    wall = (np.sqrt(second) - np.sqrt(first)) * np.float32(side / k / 2)
    return smooth(np.repeat(np.repeat(wall, 2, 0), 2, 1)[:side, :side], 0.8).ravel()


def _to_wall(p: Wall, at: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Distance from pixels `at` (numbers in a row) to the nearest wall between fat cells, pixels."""
    top, left = rng.uniform(0, SPAN - 1.2, 2) * size
    line = np.arange(size) / p.zoom
    where = ((line + top).astype(np.intp) * (SPAN * size))[:, None] + (line + left).astype(np.intp)
    return _walls(size).take(where.ravel().take(at)) * np.float32(p.zoom)


def _fibres(
    p: Wall, across: np.ndarray, along: np.ndarray, fine: float, long: float, rng: np.random.Generator
) -> np.ndarray:
    """Fibres that run along, about normal, at points of the wall; `fine` and `long` say how dense."""
    texture = periodic(_SIDE, (80, 180), 0.8).ravel()
    down, right = rng.uniform(8, 16, 2) * _SIDE
    row = (across * np.float32(128 * fine / p.zoom) + np.float32(down)).astype(np.int32) & (_SIDE - 1)
    column = (along * np.float32(128 * long / p.zoom) + np.float32(right)).astype(np.int32) & (_SIDE - 1)
    return texture.take((row * _SIDE + column).astype(np.intp))


def _vessels(
    p: Wall, labels: np.ndarray, stroma: np.ndarray, rng: np.random.Generator, pink: np.ndarray, blue: np.ndarray
) -> None:
    """Small vessels in the stroma, with red cells in some."""
    size = len(pink)
    for _ in range(p.vessels if len(stroma) else 0):
        row, column = divmod(int(rng.choice(stroma)), size)
        r, tall = rng.uniform(4, 9) * size / 224, rng.uniform(0.6, 1)
        full = np.float32(rng.choice([0.05, 1.1]))
        low, left = (max(int(k - r - 6), 0) for k in (row, column))
        window = np.s_[low : int(row + r + 7), left : int(column + r + 7)]
        here = labels[window] == STROMA
        down, right = np.arange(here.shape[0]) + low - row, np.arange(here.shape[1]) + left - column
        far = (np.hypot(down[:, None], right / tall) - r).astype(np.float32)
        hole = inside(far, 1.5) * here
        pink[window] = pink[window] * (1 - hole) + full * hole + np.float32(0.35) * bell((far - 1) / 2) * here
        blue[window] *= 1 - hole


def stained(p: Wall, given: Plan, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Haematoxylin and eosin in every pixel, and of the first that in nuclei, float32 [size, size] each."""
    size = len(given.labels)
    labels, across, along, wander = (
        np.ascontiguousarray(a).ravel() for a in (given.labels, given.across, given.along, given.wander)
    )
    at = {layer: np.flatnonzero(labels == layer) for layer in (EPITHELIUM, STROMA, MUSCLE, FAT)}
    fine = np.ascontiguousarray(piece(rng, size, (70,))).ravel()
    pink, blue = np.full(labels.size, 0.01, np.float32), np.zeros(labels.size, np.float32)

    here = at[EPITHELIUM]
    grain, up = fine.take(here), 1 - across.take(here) / np.float32(p.epithelium)
    pink[here] = np.float32(0.36) + np.float32(0.05) * grain + np.float32(0.3) * np.clip(up - np.float32(0.7), 0, 1)
    blue[here] = np.float32(0.3) + np.float32(0.075) * grain
    here = at[STROMA]
    bent = across.take(here) + np.float32(p.swirl) * wander.take(here)
    loose = _fibres(p, bent, along.take(here), 0.7, 0.28, rng)
    pink[here] = np.clip(np.float32(0.34) + np.float32(0.17) * loose, 0.02, 1)
    blue[here] = np.float32(0.05) + np.float32(0.0125) * fine.take(here)
    here = at[MUSCLE]
    bent = across.take(here) + np.float32(0.02) * wander.take(here)
    tight = _fibres(p, bent, along.take(here), 0.75, 0.12, rng)
    cleft = 1 - np.float32(0.8 * p.clefts) * inside(tight + np.float32(1.7), 0.4)
    pink[here] = np.clip(np.float32(0.66) + np.float32(0.10) * tight, 0, 1) * cleft
    blue[here] = np.float32(0.09) + np.float32(0.0225) * fine.take(here)
    here = at[FAT]
    fat = _to_wall(p, here, size, rng)
    pink[here] = np.float32(0.50) * inside(fat - np.float32(0.9), 1.2) + np.float32(0.015)

    pink, blue = pink.reshape(size, size), blue.reshape(size, size)
    _vessels(p, given.labels, at[STROMA], rng, pink, blue)
    dark = np.ascontiguousarray(nuclei(p, given, rng)).ravel()
    dark[here] *= inside(fat - np.float32(1.6), 1.5)
    dark[labels == LUMEN] = 0
    dark = dark.reshape(size, size)
    np.maximum(blue, dark, out=blue)
    pink *= 1 - np.float32(0.5) * np.minimum(dark, 1)
    return blue, pink, dark


def render(p: Wall, given: Plan, rng: np.random.Generator) -> np.ndarray:
    """The section in white light, uint8 [size, size, 3]."""
    size = len(given.labels)
    blue, pink, _ = stained(p, given, rng)
    for stain, strong in ((blue, p.haematoxylin * 1.25), (pink, p.eosin * 1.1)):
        soft(stain, p.blur * size / 224)
        stain *= np.float32(strong)
    grain = np.float32(p.grain) * white(rng, size, size)
    tilt = np.array([-1.0, 0.3, 1.0])
    out = np.empty((size, size, 3), np.uint8)
    for channel in range(3):
        seen = blue * np.float32(-BLUE[channel] - p.hue_h * tilt[channel])
        seen -= pink * np.float32(PINK[channel] + p.hue_e * tilt[2 - channel])
        seen += grain
        np.exp(seen, out=seen)
        seen *= np.float32(255 * (p.ground - p.warmth * tilt[channel]))
        seen += np.float32(0.5)
        out[..., channel] = np.minimum(seen, 255, out=seen)
    return out
