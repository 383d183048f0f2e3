"""Exact nearest neighbours: one product of matrices screens, differences of the rows decide.

A distance from |a|^2 + |b|^2 - 2 ab cancels where two rows are almost equal, so that of two copies of an image the item
itself need not come first (TorchDR issue 295: 100 twins among 800 items change a UMAP). Here the product only leaves
candidates, with a margin for its rounding, and the distance of each candidate is taken from the rows themselves.
"""

import numpy as np

from probes._base import ProbeError

ROWS = 512  # of the product that are held at once
CELLS = 1 << 17  # numbers of candidates' differences that are held at once: what a cache holds


def top_k(near: np.ndarray, k: int) -> np.ndarray:
    """The places of the k largest of each row of `near` [m, n], largest first, equal ones by place: int [m, k]."""
    m, n = near.shape
    if k >= n:
        return np.argsort(-near, axis=1, kind="stable")[:, :k]
    edge = -np.partition(-near, k - 1, axis=1)[:, k - 1]
    found = np.empty((m, k), np.int64)
    for r, row in enumerate(near):
        held = np.flatnonzero(row >= edge[r])
        found[r] = held[np.argsort(-row[held], kind="stable")[:k]]
    return found


def prepared(x: np.ndarray, metric: str = "euclidean") -> np.ndarray:
    """Features [n, d] as distances are taken from: float64 and centred, of length one before where `metric` is cosine.

    Raises:
        ProbeError: values that are not finite, all rows equal, or a row of length 0 that has no direction.
    """
    x = np.asarray(x, np.float64)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise ProbeError(
            f"{int(bad.sum())} of {len(x)} items have features that are NaN or infinite; none is filled in"
        )
    if metric == "cosine":
        length = np.linalg.norm(x, axis=1)
        if not length.all():
            raise ProbeError(f"{int((length == 0).sum())} of {len(x)} items have features that are all 0: no direction")
        x = x / length[:, None]
    if len(x) and np.ptp(x, axis=0).max(initial=0) <= 1e-12 * np.abs(x).max(initial=0):  # but for rounding
        raise ProbeError(f"all {len(x)} items have the same features: there is nothing to map")
    return x - x.mean(axis=0)


def neighbours(x: np.ndarray, k: int, *, apart: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of each row of x [n, d], nearest first: places int64 [n, k] and distances float64 [n, k].

    Without `apart` the row itself is left out by its place, so that a twin of it is a neighbour at distance 0. With
    `apart` [n] no row of the same group is a neighbour. Equally near ones come in the order of their places.

    Raises:
        ProbeError: there are fewer than k others.
    """
    x = np.ascontiguousarray(x, np.float64)
    n = len(x)
    own = np.arange(n) if apart is None else np.unique(apart, return_inverse=True)[1].ravel()
    fewest = n - int(np.bincount(own).max()) if n else 0
    if not 1 <= k <= fewest:
        others = "items" if apart is None else "items outside their own group"
        raise ProbeError(f"{k} neighbours are asked for, and some items have {fewest} other {others}")
    small, slack = _screen(x)
    square = np.einsum("nd,nd->n", small, small)
    places, distances = np.empty((n, k), np.int64), np.empty((n, k))
    for start in range(0, n, ROWS):
        rows = np.arange(start, min(start + ROWS, n))
        far = small[rows] @ small.T
        far *= -2
        far += square
        far += square[rows, None]
        if apart is None:
            far[rows - start, rows] = np.inf
        else:
            far[own[rows, None] == own] = np.inf
        edge = np.partition(far, k - 1, axis=1)[:, k - 1] + 2 * slack[rows]
        held = np.maximum((far <= edge[:, None]).sum(axis=1), k)
        usual = held <= 4 * k + 32
        for some in ([np.flatnonzero(usual)] if usual.any() else []) + [np.array([r]) for r in np.flatnonzero(~usual)]:
            count = int(held[some].max())
            near = np.sort(np.argpartition(far[some], min(count, n - 1), axis=1)[:, :count], axis=1)
            found, length = _nearest_of(x, rows[some], near, k, np.take_along_axis(far[some], near, axis=1))
            places[rows[some]], distances[rows[some]] = found, length
    return places, distances


def _screen(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows [n, d] centred, scaled and in float32, and how far a squared distance from them may be off, [n].

    Rounding a row costs a share u of its length, a product of d terms (d + 2) u |a| |b|, and 1 + |a|^2 + |b|^2 twice u.
    """
    small = x - x.mean(axis=0)
    small = (small / max(float(np.abs(small).max(initial=0)), 1e-300)).astype(np.float32)
    length = np.sqrt(np.einsum("nd,nd->n", small, small, dtype=np.float64))
    longest, u = float(length.max(initial=0)), 2.0**-24
    return small, u * ((2 * x.shape[1] + 4) * length * longest + 8 * (length + longest) ** 2)


def _nearest_of(
    x: np.ndarray, rows: np.ndarray, near: np.ndarray, k: int, far: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the candidates `near` [r, c] (in the order of their places) of each row, by the rows of x."""
    squared = np.empty(near.shape)
    step = max(1, CELLS // (near.shape[1] * x.shape[1]))
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        apart = x[near[some]]
        apart -= x[rows[some], None]
        np.einsum("rcd,rcd->rc", apart, apart, out=squared[some])
    squared[np.isinf(far)] = np.inf  # of the own group
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(near, order, axis=1), np.sqrt(np.take_along_axis(squared, order, axis=1))


def with_itself(places: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbour lists [n, k] with the row itself first, at distance 0: int [n, k + 1] and float [n, k + 1]."""
    own = np.arange(len(places))[:, None]
    return np.concatenate([own, places], axis=1), np.concatenate([np.zeros(own.shape), distances], axis=1)


def ranks(x: np.ndarray, lists: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """How near each listed row is among all others, 1 the nearest: int [m, k] for lists [m, k] of `rows` [m] of x.

    Rows that are equally near share the first rank of theirs, to the rounding of a product of matrices.
    """
    x = np.ascontiguousarray(x, np.float64)
    rows = np.arange(len(x)) if rows is None else rows
    square = np.einsum("nd,nd->n", x, x)
    found = np.empty(lists.shape, np.int64)
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        far = square[some, None] + square - 2 * (x[some] @ x.T)
        far[np.arange(len(some)), some] = np.inf
        ordered = np.sort(far, axis=1)
        listed = np.take_along_axis(far, lists[start : start + ROWS], axis=1)
        for r in range(len(some)):
            found[start + r] = np.searchsorted(ordered[r], listed[r], side="left") + 1
    return found
