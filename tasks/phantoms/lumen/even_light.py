"""A lumen's light evened out, and how bright it is around places, narrowly and over a good part of the picture."""

from functools import lru_cache

import numpy as np

from tasks.marks import draw
from tasks.phantoms.noise import piece

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_COARSE = 28  # cells across, in which the local light is measured
_WIDE = 8  # cells across, of which a surrounding takes about one
_INK = 101.0  # mean luma of a mark's three colours


def luma(image: np.ndarray) -> np.ndarray:
    """The brightness 0 … 255 of an RGB image, float32 [h, w] (ITU-R BT.601)."""
    return image @ _LUMA


def around(grey: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Mean brightness of a band around a mark at each pixel [n, 2] (column, row) of a square of grey values."""
    size = len(grey)
    far = draw.radius(224) + np.array([1.5, 3.0, 4.5, 6.0])
    angle, far = np.meshgrid(np.linspace(0, 2 * np.pi, 24, endpoint=False), far * size / 224)
    offset = np.stack([far * np.cos(angle), far * np.sin(angle)], -1).reshape(-1, 2)
    at = np.clip(np.rint(pixel[:, None] + offset).astype(int), 0, size - 1)
    return grey[at[..., 1], at[..., 0]].mean(1)


def _cells(values: np.ndarray, count: int) -> np.ndarray:
    """Means over `count` by `count` cells of values [size, size]."""
    first = np.arange(count) * len(values) // count
    wide = np.diff(np.append(first, len(values))).astype(np.float32)
    total = np.add.reduceat(np.add.reduceat(values, first, 0, dtype=np.float32), first, 1)
    return total / wide / wide[:, None]


@lru_cache(maxsize=1)
def _blur() -> np.ndarray:
    """Gaussian weights of deviation 1.4 cells between all cells of a line, [_COARSE, _COARSE], rows add to 1."""
    line = np.arange(_COARSE)
    weight = np.exp(-0.5 * ((line - line[:, None]) / 1.4) ** 2)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)


def _fine(values: np.ndarray, size: int) -> np.ndarray:
    """Values [k, k] of cells as an image [size, size], linearly between their middles."""
    for _ in (0, 1):
        at = np.clip((np.arange(size, dtype=np.float32) + 0.5) * (len(values) / size) - 0.5, 0, len(values) - 1.001)
        first = at.astype(int)
        share = (at - first).astype(np.float32)[:, None]
        values = np.ascontiguousarray((values[first] * (1 - share) + values[first + 1] * share).T)
    return values


def evened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The RGB image with its light evened out, and then made uneven by a slow variation of its own, uint8.

    Each pixel is multiplied by (mean / local mean) ** power, where power and variation are drawn by `rng`.
    """
    size, power, uneven = len(image), rng.uniform(0.75, 0.95), rng.uniform(0.1, 0.3)
    grey = luma(image)
    some = np.ascontiguousarray(grey[:: max(size // 112, 1), :: max(size // 112, 1)])
    seen = (some > 8).astype(np.float32)
    share = _blur() @ _cells(seen, _COARSE) @ _blur().T
    local = _blur() @ _cells(some * seen, _COARSE) @ _blur().T
    local = local / np.maximum(share, np.float32(0.02)) + np.float32(8)
    gain = np.exp(np.float32(power) * (np.log(np.average(local, weights=share)).astype(np.float32) - np.log(local)))
    gain = _fine(gain, size)
    gain *= np.exp(np.float32(uneven) * piece(rng, size, (3, 5)))
    shine = np.clip((grey - 170) / 60, 0, 1)
    gain += shine * (1 - gain)  # what shines stays as it is
    out = np.empty_like(image)
    for channel in range(3):
        given = image[..., channel] * gain
        given += np.float32(0.5)
        out[..., channel] = np.minimum(given, 255, out=given)
    return out


def surroundings(grey: np.ndarray, pixel: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Brightness around each of n places over about an eighth of the picture, and what marks add to it.

    `grey` is the picture of any size, pixels [n, 2] (column, row) are those of one of `size`. The first result
    [n] is read between the middles of an 8 by 8 map; the second [n, n] holds in row j, column k what a mark at
    k adds to what is read at j.
    """
    reach, n = draw.radius(size), len(pixel)
    cells = _cells(grey, _WIDE).ravel()
    at = np.clip((pixel + 0.5) * (_WIDE / size) - 0.5, 0, _WIDE - 1.001)
    first, share = at.astype(int), at - at.astype(int)
    weights = np.zeros((n, _WIDE * _WIDE))
    for right in (0, 1):
        for down in (0, 1):
            part = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
            weights[np.arange(n), (first[:, 1] + down) * _WIDE + first[:, 0] + right] = part
    line = np.arange(-reach, reach + 1)
    down, right = (a.ravel() for a in np.meshgrid(line, line, indexing="ij"))
    far = np.hypot(down, right)
    down, right, far = (a[far <= reach + 0.3] for a in (down, right, far))
    ink = np.where(far <= reach - min(2.7, 0.45 * reach), _INK, 255.0)
    column, row = (pixel[:, None, j].astype(int) + offset for j, offset in enumerate((right, down)))
    change = ink - grey[row * len(grey) // size, column * len(grey) // size]
    cell = (row * _WIDE // size) * _WIDE + column * _WIDE // size + np.arange(n)[:, None] * _WIDE**2
    added = np.bincount(cell.ravel(), change.ravel(), n * _WIDE**2).reshape(n, -1) * (_WIDE / size) ** 2
    return weights @ cells, weights @ added.T
