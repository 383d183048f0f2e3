"""Fast drawing of films: grids coarser than the picture, tables, and grain cut from a field drawn once.

A film is blurred over about a pixel, so that five points draw what seven pixels show, and soft parts need fewer.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How a body lies in a picture that `side` x `side` points cover: turned (radians), scaled, then shifted.

    Lengths are in half image widths, y points down.
    """

    side: int
    turn: float
    scale: float
    dx: float
    dy: float

    def grid(self, at: tuple[slice, slice] = (slice(None), slice(None))) -> tuple[np.ndarray, np.ndarray]:
        """Body coordinates x, y of all points [side, side], or of those in some rows and columns; float32."""
        line = (2 * np.arange(self.side, dtype=np.float32) + 1) / np.float32(self.side) - 1
        c, s = math.cos(self.turn) / self.scale, math.sin(self.turn) / self.scale
        x, y = line[at[1]] - self.dx, (line[at[0]] - self.dy)[:, None]
        return c * x + s * y, c * y - s * x

    def at(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Column and row of points of the body."""
        c, s = math.cos(self.turn) * self.scale, math.sin(self.turn) * self.scale
        half = self.side / 2
        return (c * x - s * y + (self.dx + 1)) * half - 0.5, (s * x + c * y + (self.dy + 1)) * half - 0.5

    def box(self, left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
        """Rows and columns that hold a rectangle of the body; one of each at least."""
        spans = []
        for values in zip(*(self.at(x, y) for x in (left, right) for y in (top, bottom)), strict=True):
            low = min(max(math.floor(min(values)), 0), self.side - 1)
            spans.append(slice(low, min(max(math.ceil(max(values)) + 1, low + 1), self.side)))
        return spans[1], spans[0]


def bilinear(table: np.ndarray, first: np.ndarray, width: int, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Values between the points of a grid that `table` [n * width] holds row by row, of the shape of `first`.

    `first` is the point above and to the left of each place, and is changed; `down` and `across` are what remains, in
    points of the grid.
    """
    upper, lower = table.take(first), table.take(first + width)
    first += 1
    after = table.take(first)
    after -= upper
    after *= across
    upper += after
    after = table.take(first + width)
    after -= lower
    after *= across
    lower += after
    lower -= upper
    lower *= down
    upper += lower
    return upper


@lru_cache(maxsize=32)
def _between(side: int, size: int, blur: float) -> np.ndarray:
    """Weights [size, side] of cubic interpolation; borders repeat themselves."""
    at = (np.arange(size) + 0.5) * side / size - 0.5
    which = np.floor(at).astype(int)[:, None] + np.arange(-1, 3)
    far, b, c = np.abs(at[:, None] - which), blur, (1 - blur) / 2
    near = (2 - 1.5 * b - c) * far**3 + (2 * b + c - 3) * far**2 + 1 - b / 3
    beyond = (-b / 6 - c) * far**3 + (b + 5 * c) * far**2 - (2 * b + 8 * c) * far + 4 * b / 3 + 4 * c
    out = np.zeros((size, side))
    np.add.at(out, (np.arange(size)[:, None], np.clip(which, 0, side - 1)), np.where(far < 1, near, beyond))
    return out.astype(np.float32)


def resized(image: np.ndarray, size: int, blur: float = 1 / 3) -> np.ndarray:
    """An image [side, side] brought to [size, size], `size` being the greater, by cubic interpolation.

    `blur` is B of Mitchell and Netravali (1988), from 0 (through the values given) to 1 (B-splines). The short
    sums are not split among threads, so that how many there are changes no bit.
    """
    weights = _between(len(image), size, blur)
    return weights @ image @ weights.T


def shrunk(image: np.ndarray) -> np.ndarray:
    """An image [size, size] at half the size, each value a weighted mean of those around it."""
    weights = _between(-(-len(image) // 2), len(image), 1.0).T
    weights = weights / weights.sum(1, keepdims=True)
    return weights @ image @ weights.T


def looked_up(table: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The values of a table at shares of its length, 0 … 1; its ends beyond."""
    return table.take((share * np.float32(len(table))).astype(np.intp), mode="clip")
