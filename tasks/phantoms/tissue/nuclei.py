"""Nuclei of a stained section: where they lie in each layer, how they are shaped, and what they absorb."""

from functools import lru_cache

import numpy as np

from tasks.phantoms.tissue.patient import EPITHELIUM, FAT, LUMEN, MUSCLE, STROMA, Plan, Wall

SPACING = {EPITHELIUM: 7.2, STROMA: 12.5, MUSCLE: 12.0, FAT: 30.0}  # of nuclei, pixels at 224
SPREAD = {EPITHELIUM: 3.0, STROMA: 0.55, MUSCLE: 0.12, FAT: 3.0}  # of their directions, radians
_FLAT, _ROUND = LUMEN + 1, LUMEN + 2  # cells of the epithelium's surface, and lymphocytes
_SHAPE = {
    EPITHELIUM: (2.7, 1.9),  # half axes, pixels at 224
    _FLAT: (2.7, 1.35),
    STROMA: (3.8, 1.2),
    _ROUND: (1.9, 1.8),
    MUSCLE: (5.0, 1.15),
    FAT: (3.2, 1.2),
}
_ANGLES, _SIZES, _LEAST, _MOST = 24, 8, 0.7, 1.6  # directions and sizes that are drawn once


@lru_cache(maxsize=32)
def _stamps(kind: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Absorbance of one nucleus in every size and direction [_SIZES * _ANGLES, k * k], and the offsets [k * k, 2]."""
    scale = np.geomspace(_LEAST, _MOST, _SIZES)[:, None, None] * size / 224
    long, short = scale * _SHAPE[kind][0], np.maximum(scale * _SHAPE[kind][1], 0.8)
    reach = int(np.ceil(long.max()))
    down, right = (a.ravel() for a in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    angle = np.arange(_ANGLES)[None, :, None] * np.pi / _ANGLES
    c, s = np.cos(angle), np.sin(angle)
    q = np.sqrt(((c * right + s * down) / long) ** 2 + ((c * down - s * right) / short) ** 2)
    value = np.clip(1.25 - (q - 0.4) * short, 0, 1).reshape(_SIZES * _ANGLES, -1)
    used = value.max(0) > 0
    return value[:, used].astype(np.float32), np.stack([down, right], 1)[used]


def _lattice(rng: np.random.Generator, size: int, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of points spread over the image at about one per `pitch` by `pitch` pixels."""
    k = int(size / pitch) + 2
    line = np.arange(-1, k - 1)
    at = rng.uniform(-0.36, 0.36, (2, k, k)) + rng.uniform(0, 1, (2, 1, 1))
    at[0] += line[:, None]
    at[1] += line
    at[1, 1::2] += 0.5
    row, column = np.rint(at * pitch).astype(np.intp).reshape(2, -1)
    fits = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    return row[fits], column[fits]


def nuclei(p: Wall, given: Plan, rng: np.random.Generator) -> np.ndarray:
    """Absorbance of all nuclei, the darkest where they overlap, float32 [size, size]."""
    size = len(given.labels)
    rim = int(np.ceil(_MOST * 5.0 * size / 224))
    out = np.zeros((size + 2 * rim, size + 2 * rim), np.float32)
    for layer, pitch in SPACING.items():
        row, column = _lattice(rng, size, pitch * size / 224 * p.zoom)
        at = given.labels[row, column] == layer
        row, column = row[at], column[at]
        n = len(row)
        scale, dark = p.zoom * rng.normal(1, 0.12, n), rng.uniform(0.75, 1.15, n)
        angle = p.turn + np.pi / 2 + rng.normal(0, SPREAD[layer], n)
        other = np.zeros(n, bool)
        if layer == EPITHELIUM:  # basal cells are crowded and dark, those at the surface pale and flat
            up = np.clip(1 - given.across[row, column] / p.epithelium, 0, 1)
            other, dark = up > 0.5, dark * (1.15 - 0.55 * up)
            angle = np.where(other, p.turn + np.pi / 2, angle)
        if layer == STROMA:
            other = rng.uniform(0, 1, n) < p.crowd
            dark = np.where(other, 1.25, dark)
        which = np.clip(np.rint(np.log(scale / _LEAST) * ((_SIZES - 1) / np.log(_MOST / _LEAST))), 0, _SIZES - 1)
        which = which.astype(int) * _ANGLES + np.rint(angle * (_ANGLES / np.pi)).astype(int) % _ANGLES
        middle = (row + rim) * len(out) + column + rim
        for kind, those in ((layer, ~other), ({EPITHELIUM: _FLAT}.get(layer, _ROUND), other)):
            if those.any():
                stamp, offset = _stamps(kind, size)
                value = stamp[which[those]] * dark[those, None].astype(np.float32)
                where = middle[those, None] + (offset[:, 0] * len(out) + offset[:, 1])
                np.maximum.at(out.reshape(-1), where.ravel(), value.ravel())
    return out[rim:-rim, rim:-rim]
