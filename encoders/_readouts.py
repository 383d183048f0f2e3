"""Readouts turn a site's tokens into one vector: rows of a pooling matrix over the token axis."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from encoders._base import Site

PARTS = {"cls": 1, "mean": 1, "halves": 4, "grid3": 9, "vector": 1}  # vectors that a readout concatenates


def shares(cells: int, parts: int) -> np.ndarray:
    """Weights [parts, cells] that average over exact parts of an axis; a cell on a border is shared by area.

    >>> shares(3, 2) * 3
    array([[2., 1., 0.],
           [0., 1., 2.]])
    """
    edges = np.arange(parts + 1) * cells  # in units of 1/parts of a cell, so that overlaps are whole numbers
    low, high = edges[:-1, None], edges[1:, None]
    cell = np.arange(cells) * parts
    overlap = np.minimum(high, cell + parts) - np.maximum(low, cell)
    return np.clip(overlap, 0, None) / cells


def matrix(site: Site, readout: str) -> np.ndarray:
    """The pooling matrix float32 [parts, prefix + h*w] of a readout at a site; every row sums to one.

    `halves` are left, right, top, bottom; `grid3` goes row by row.
    """
    if readout == "vector":
        return np.ones((1, 1), np.float32)
    if readout == "cls":
        return np.eye(1, _tokens(site), dtype=np.float32)
    assert site.grid is not None
    h, w = site.grid
    rows, columns = {
        "mean": (shares(h, 1), shares(w, 1)),
        "halves": (shares(h, 2), shares(w, 2)),
        "grid3": (shares(h, 3), shares(w, 3)),
    }[readout]
    if readout == "halves":
        all_rows, all_columns = shares(h, 1), shares(w, 1)
        patches = np.concatenate([np.kron(all_rows, columns), np.kron(rows, all_columns)])
    else:
        patches = np.kron(rows, columns)
    return np.concatenate([np.zeros((len(patches), site.prefix)), patches], axis=1).astype(np.float32)


@cache
def stacked(site: Site, readouts: tuple[str, ...]) -> np.ndarray:
    """The pooling matrices of several readouts as one, so that a site needs one multiplication."""
    return np.concatenate([matrix(site, readout) for readout in readouts])


def unstack(pooled: np.ndarray, readouts: Sequence[str]) -> dict[str, np.ndarray]:
    """Pooled [n, parts, d] as one float32 [n, parts * d] per readout."""
    found, start = {}, 0
    for readout in readouts:
        stop = start + PARTS[readout]
        found[readout] = np.ascontiguousarray(pooled[:, start:stop].reshape(len(pooled), -1), np.float32)
        start = stop
    return found


def _tokens(site: Site) -> int:
    return site.prefix + (site.grid[0] * site.grid[1] if site.grid else 1)
