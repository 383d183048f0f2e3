"""How many pairs any two thresholds would yield, and how common the mined ones are among random pairs."""

from dataclasses import dataclass

import numpy as np

from probes.pairs.mining import Box, Filter, Space

EXACT = 5_000_000  # pairs up to which every pair is counted
DRAWN = 1_000_000  # pairs that are drawn where there are more
CELLS = 60  # thresholds along each side of the plane


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """Pairs over the plane of both similarities.

    `counts` [CELLS, CELLS] are pairs by the similarity in the first space (rows, edges `a` [CELLS + 1]) and in the
    second (columns, edges `b`); `looked_at` of `pairs` were counted: all, or a random draw with replacement.
    `inside` of them lie in the box and pass the filters.
    """

    counts: np.ndarray
    a: np.ndarray
    b: np.ndarray
    looked_at: int
    pairs: int
    inside: int

    @property
    def exact(self) -> bool:
        """Whether every pair was counted."""
        return self.looked_at == self.pairs

    @property
    def yields(self) -> np.ndarray:
        """Pairs [CELLS, CELLS] at least as similar as edge `a[i]` and at most as edge `b[j + 1]`, of all pairs."""
        over = np.cumsum(self.counts[::-1], axis=0)[::-1]
        return np.cumsum(over, axis=1) * (self.pairs / self.looked_at)

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


def _drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs i < j, or where there are too many a draw of pairs of two different images, each as likely."""
    if n * (n - 1) // 2 <= EXACT:
        return np.triu_indices(n, 1)
    rng = np.random.default_rng([seed, n, 23])
    i, j = rng.integers(0, n, DRAWN), rng.integers(0, n - 1, DRAWN)
    return i, j + (j >= i)


def plane(first: Space, second: Space, box: Box, filters: tuple[Filter, ...] = (), seed: int = 0) -> Plane:
    """Count all pairs, or a seeded draw of them, over the plane of both similarities."""
    n = len(first)
    pairs = n * (n - 1) // 2
    i, j = _drawn(n, seed)
    a, b = first.similarities(i, j), second.similarities(i, j)
    inside = (a > box.at_least) & (b < box.at_most) if box.strict else (a >= box.at_least) & (b <= box.at_most)
    for one in filters:
        inside &= one.codes[i] != one.codes[j]
    edges = [_edges(values, mark) for values, mark in ((a, box.at_least), (b, box.at_most))]
    counts = np.histogram2d(a, b, bins=edges)[0]
    return Plane(counts=counts, a=edges[0], b=edges[1], looked_at=len(i), pairs=pairs, inside=int(inside.sum()))


def _edges(values: np.ndarray, mark: float) -> np.ndarray:
    """Even edges over all values, one of them on the threshold where it lies among them."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high + 1e-9 * max(1.0, abs(high)), CELLS + 1)
    if edges[1] < mark < edges[-2]:
        edges[1 + np.abs(edges[1:-1] - mark).argmin()] = mark
    return edges
