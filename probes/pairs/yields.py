"""How many pairs any two thresholds would yield, and how common the mined ones are among random pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.pairs.mining import Box, Filter, Space

EXACT = 5_000_000  # pairs up to which every pair is counted
DRAWN = 1_000_000  # pairs that are drawn where there are more
CELLS = 60  # thresholds along each side of the plane, at most


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """Pairs over the plane of both similarities.

    `counts` [C, C] are pairs by the similarity in the first space (rows, edges `a` [C + 1]) and in the second
    (columns, edges `b`). With `shares` the coordinates are not similarities but the share of pairs that are at
    least as near in the first space, and at most as near in the second; edges and rows then run from near to apart.
    `corner` is the box's corner in these coordinates. `looked_at` of `pairs` were counted: all, or a random draw with
    replacement; `inside` of them lie in the box and pass the filters.
    """

    counts: np.ndarray
    a: np.ndarray
    b: np.ndarray
    corner: tuple[float, float]
    shares: bool
    looked_at: int
    pairs: int
    inside: int

    @property
    def exact(self) -> bool:
        """Whether every pair was counted."""
        return self.looked_at == self.pairs

    @property
    def yields(self) -> np.ndarray:
        """Pairs [C, C] that a box with that corner holds, of all pairs, before any filter.

        Row i is the corner at `a[i]` (with shares `a[i + 1]`), column j that at `b[j + 1]`.
        """
        near = self.counts if self.shares else self.counts[::-1]
        over = np.cumsum(near, axis=0)
        over = over if self.shares else over[::-1]
        return np.cumsum(over, axis=1) * (self.pairs / self.looked_at)

    @property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates of the corners that `yields` counts for, [C] each."""
        return (self.a[1:] if self.shares else self.a[:-1]), self.b[1:]

    def prevalence(self) -> tuple[float, float, float]:
        """The share of pairs in the box with its exact 95 % interval (Clopper & Pearson 1934); no width if exact."""
        share = self.inside / self.looked_at
        if self.exact:
            return share, share, share
        from scipy.stats import binomtest

        ends = binomtest(self.inside, self.looked_at).proportion_ci(0.95, "exact")
        return share, float(ends.low), float(ends.high)


def quantiles(space: Space, values: np.ndarray, seed: int = 0) -> np.ndarray:
    """The share of all pairs (or of a seeded draw of them) that each value reaches, [m]."""
    i, j = _drawn(len(space), seed)
    return np.searchsorted(np.sort(space.similarities(i, j)), values, side="right") / len(i)


def plane(
    first: Space,
    second: Space,
    box: Box,
    filters: Sequence[Filter] = (),
    *,
    seed: int = 0,
    corner: tuple[float, float] | None = None,
) -> Plane:
    """Count all pairs, or a seeded draw of them, over the plane of both similarities.

    `corner` are the two quantiles that the box came from; with them the plane is one of shares of pairs.
    """
    n = len(first)
    i, j = _drawn(n, seed)
    a, b = first.similarities(i, j), second.similarities(i, j)
    cells = int(np.clip(np.sqrt(len(i)) / 8, 8, CELLS))  # some pairs in each
    inside = (a > box.at_least) & (b < box.at_most) if box.strict else (a >= box.at_least) & (b <= box.at_most)
    for one in filters:
        inside &= one.codes[i] != one.codes[j]
    if corner is None:
        edges = [_even(values, mark, cells) for values, mark in ((a, box.at_least), (b, box.at_most))]
        at = (box.at_least, box.at_most)
    else:
        a, b = _share_at_least(-a), _share_at_least(b)
        at = (1 - corner[0], corner[1])
        least = max(min(at[0] / 10, 0.01), 1 / len(a))
        edges = [
            _with_mark(np.concatenate([[0.0], np.geomspace(least, 1, cells)]), at[0]),
            _with_mark(np.linspace(0, 1, cells + 1), at[1]),
        ]
    counts = np.histogram2d(a, b, bins=edges)[0]
    return Plane(
        counts=counts, a=edges[0], b=edges[1], corner=at, shares=corner is not None, looked_at=len(i),
        pairs=n * (n - 1) // 2, inside=int(inside.sum()),
    )  # fmt: skip


def _drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs i < j, or where there are too many a draw of pairs of two different images, each as likely."""
    if n * (n - 1) // 2 <= EXACT:
        return np.triu_indices(n, 1)
    rng = np.random.default_rng([seed, n, 23])
    i, j = rng.integers(0, n, DRAWN), rng.integers(0, n - 1, DRAWN)
    return i, j + (j >= i)


def _share_at_least(values: np.ndarray) -> np.ndarray:
    """For each value the share of all values that are at most as large."""
    return np.searchsorted(np.sort(values), values, side="right") / len(values)


def _even(values: np.ndarray, mark: float, cells: int) -> np.ndarray:
    """Even edges over all values, one of them on the threshold where it lies among them."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    return _with_mark(np.linspace(low, high + 1e-9 * max(1.0, abs(high)), cells + 1), mark)


def _with_mark(edges: np.ndarray, mark: float) -> np.ndarray:
    """The edges with the nearest of the inner ones moved onto a mark."""
    if edges[1] < mark < edges[-2]:
        edges[1 + np.abs(edges[1:-1] - mark).argmin()] = mark
    return edges
