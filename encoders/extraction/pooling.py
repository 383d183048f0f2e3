"""Pooling matrices: the rows over a site's tokens that each readout is computed by."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from encoders._base import Site, View
from encoders.extraction.readouts import AT_MARK, CLS, GRID3, HALVES, LAST, MEAN, QUERIES, READOUTS, VECTOR

WHOLE = (0.0, 0.0, 1.0, 1.0)


def parts(site: Site, readout: str) -> int:
    """How many token-wide vectors a readout concatenates at a site."""
    deep = site.grid is not None and len(site.grid) == 3
    if readout == QUERIES.name:
        return site.queries
    return READOUTS[readout].parts + READOUTS[readout].slice_parts * deep


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
    """The pooling matrix float32 [parts, tokens] of a readout at a site; every row sums to one.

    `halves` are left, right, top, bottom; `grid3` goes row by row. Over a volume these average all slices, and
    the halves (thirds) of the slices follow, first to last, each over the whole plane.
    With several views every token counts alike, by the share of it that lies in the region; what lies outside
    the image is read by none. `cls` is that of the view of the whole image, else the mean over the tiles.
    Where the last token of a prompt stands behind the others, `last` is that one, and no other readout sees it.
    """
    if site.last:
        if site.grid is None and not site.queries:
            return np.ones((1, 1), np.float32)
        others = matrix(replace(site, last=False), MEAN.name if readout == LAST.name else readout)
        if readout == LAST.name:
            return np.eye(1, others.shape[1] + 1, others.shape[1], dtype=np.float32)
        return np.pad(others, ((0, 0), (0, 1)))
    if readout == VECTOR.name:
        return np.ones((1, 1), np.float32)
    if readout == QUERIES.name:
        return np.eye(site.queries, dtype=np.float32)
    if site.queries:
        return np.full((1, site.queries), 1 / site.queries, np.float32)
    assert site.grid is not None
    if site.views:
        return _of_views(site, readout)
    if readout == CLS.name:
        return np.eye(1, site.prefix + int(np.prod(site.grid)), dtype=np.float32)
    *depth, h, w = site.grid
    rows, columns = {
        MEAN.name: (shares(h, 1), shares(w, 1)),
        HALVES.name: (shares(h, 2), shares(w, 2)),
        GRID3.name: (shares(h, 3), shares(w, 3)),
    }[readout]
    if readout == HALVES.name:
        all_rows, all_columns = shares(h, 1), shares(w, 1)
        patches = np.concatenate([np.kron(all_rows, columns), np.kron(rows, all_columns)])
    else:
        patches = np.kron(rows, columns)
    if depth:
        plane = np.kron(shares(h, 1), shares(w, 1))
        thirds = READOUTS[readout].slice_parts
        deep = [np.kron(shares(depth[0], thirds), plane)] if thirds else []
        patches = np.concatenate([np.kron(shares(depth[0], 1), patches), *deep])
    return np.concatenate([np.zeros((len(patches), site.prefix)), patches], axis=1).astype(np.float32)


def _of_views(site: Site, readout: str) -> np.ndarray:
    if readout == CLS.name:
        whole = [_covers(view) for view in site.views]
        chosen = whole if any(whole) else [True] * len(site.views)
        sizes = [site.prefix + view.grid[0] * view.grid[1] for view in site.views]
        blocks = [np.eye(1, size) * on for on, size in zip(chosen, sizes, strict=True)]
        return _normal(np.concatenate(blocks, axis=1))
    regions = {
        MEAN.name: [WHOLE],
        HALVES.name: [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0), (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)],
        GRID3.name: [(i / 3, j / 3, (i + 1) / 3, (j + 1) / 3) for i in range(3) for j in range(3)],
    }[readout]
    rows = [np.concatenate([_inside(view, site.prefix, region) for view in site.views]) for region in regions]
    return _normal(np.stack(rows))


def _inside(view: View, prefix: int, region: tuple[float, float, float, float]) -> np.ndarray:
    """The share of each token of a view that lies in a region of the image; its prefix tokens lie nowhere."""
    h, w = view.grid
    top, left, bottom, right = view.box
    rows = _overlap(np.linspace(top, bottom, h + 1), region[0], region[2])
    columns = _overlap(np.linspace(left, right, w + 1), region[1], region[3])
    return np.concatenate([np.zeros(prefix), np.outer(rows, columns).ravel()])


def _overlap(edges: np.ndarray, low: float, high: float) -> np.ndarray:
    inside = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) / np.diff(edges)
    return np.where(inside < 1e-9, 0, inside)  # a border that is a third off by rounding is no overlap


def _normal(rows: np.ndarray) -> np.ndarray:
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def _covers(view: View) -> bool:
    top, left, bottom, right = view.box
    return max(top, left) < 1e-6 and min(bottom, right) > 1 - 1e-6


@cache
def stacked(site: Site, readouts: tuple[str, ...]) -> np.ndarray:
    """The pooling matrices of several readouts as one, so that a site needs one multiplication."""
    return np.concatenate([matrix(site, readout) for readout in readouts])


def unstack(pooled: np.ndarray, site: Site, readouts: Sequence[str], marks: int = 0) -> dict[str, np.ndarray]:
    """Pooled [n, parts, d] as one float32 [n, parts * d] per readout; `at-mark` has as many parts as `marks`."""
    found, start = {}, 0
    for readout in readouts:
        stop = start + (marks if readout == AT_MARK.name else parts(site, readout))
        found[readout] = np.ascontiguousarray(pooled[:, start:stop].reshape(len(pooled), -1), np.float32)
        start = stop
    return found
