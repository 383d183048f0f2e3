"""Similarity of two sets of features of the same items: debiased CKA, RSA, neighbour overlap, and their nulls.

An index says how alike two geometries are, never whether something was lost: an invertible linear map lowers it with
the information unchanged (METHOD 5.5). Every index here leaves each item itself out, by its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

import numpy as np

from probes._base import ProbeError
from probes.embedding.neighbours import top_k
from probes.stats.block_permutation import block_permutation

Index = Literal["cka", "rsa", "knn"]
NAMES = {"cka": "debiased linear CKA", "rsa": "RSA", "knn": "mutual k-nearest neighbours"}
NEIGHBOURS = 10
LONG = 4  # times as many neighbours are held, so that a part of the items still has enough of them
PART, DRAWS = 0.8, 200  # of the subsamples of groups that the interval rests on
ALPHA = 0.05


def unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased Hilbert-Schmidt independence criterion of linear kernels of x [n, d] and y [n, e].

    Song et al. 2012, JMLR 13, equation 4 (HSIC_1), in the form that needs no n x n matrix.
    Raises ProbeError below 4 items.
    """
    x, y = _centred(x), _centred(y)
    n = len(x)
    if n < 4:
        raise ProbeError(f"{n} items; an unbiased HSIC needs at least 4")
    k, own_k = x @ x.sum(axis=0), np.einsum("nd,nd->n", x, x)
    m, own_m = y @ y.sum(axis=0), np.einsum("nd,nd->n", y, y)
    rows_k, rows_m = k - own_k, m - own_m
    cross = float(np.square(x.T @ y).sum() - own_k @ own_m)
    return (cross + rows_k.sum() * rows_m.sum() / ((n - 1) * (n - 2)) - 2 * float(rows_k @ rows_m) / (n - 2)) / (
        n * (n - 3)
    )


def debiased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear CKA with unbiased HSIC, of features x [n, d] and y [n, e] of the same items; it may be below 0.

    Kornblith et al. 2019, equation 4, with the estimator of Nguyen et al. 2021, equation 3: of independent features
    it is 0 on average, where the biased form gives .79 at n = 200 and d = 768.
    """
    norm = unbiased_hsic(x, x) * unbiased_hsic(y, y)
    if norm <= 0:
        raise ProbeError("all items have the same features: there is no geometry to compare")
    return unbiased_hsic(x, y) / sqrt(norm)


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear CKA as it is usually computed, of x [n, d] and y [n, e]: shown beside the debiased one, never alone."""
    x, y = _centred(x), _centred(y)

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        small = a.shape[1] * b.shape[1] < len(a) ** 2
        return float(np.square(a.T @ b).sum()) if small else float(((a @ a.T) * (b @ b.T)).sum())

    return hsic(x, y) / sqrt(hsic(x, x) * hsic(y, y))


def rsa(x: np.ndarray, y: np.ndarray) -> float:
    """Representational similarity of x [n, d] and y [n, e]: Spearman correlation of their correlation distances.

    Kriegeskorte et al. 2008, Front Syst Neurosci 2, article 4.
    """
    return float(_rsa_vector(x) @ _rsa_vector(y))


def mutual_knn(x: np.ndarray, y: np.ndarray, k: int = NEIGHBOURS) -> float:
    """Mean share of the k nearest neighbours in x [n, d] that are so in y [n, e] too; k / (n - 1) by chance.

    Huh et al. 2024 (arXiv 2405.07987), with the item itself left out by its place.
    """
    n = len(x)
    return float(_overlaps([nearest(x, k)], [nearest(y, k)], n, k)[0, 0])


def nearest(x: np.ndarray, k: int) -> np.ndarray:
    """The k nearest neighbours of each row of x [n, d] by centred cosine, nearest first, int [n, k].

    The row itself is left out by its place, so that a twin of it is a neighbour. Neighbours that are equally near
    come in the order of their places.
    """
    n = len(x)
    if not 1 <= k < n:
        raise ProbeError(f"{k} neighbours of {n} items; there can be 1 to {n - 1}")
    unit = _unit(_centred(x))
    found = np.empty((n, k), np.int64)
    for start in range(0, n, 512):
        # rounded, so that twins are equally near wherever they stand in a product of matrices
        near = np.round(unit[start : start + 512] @ unit.T, 12)
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -np.inf
        found[start : start + len(near)] = top_k(near, k)
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """Two lists of sites compared by one index: A sites of one encoder, B of the other.

    `score` [A, B] are the values, `low` and `high` [A, B] their 95 % intervals over groups, `null` [K, A, B] the values
    when whole groups are exchanged. `p` [A, B] is each cell's own, `best_p` that of the largest cell, which pays for
    all of them.
    """

    index: Index
    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null: np.ndarray

    @property
    def p(self) -> np.ndarray:
        """The permutation p of each cell, [A, B]: (1 + null values that reach it) / (1 + K)."""
        return (1 + (self.null >= self.score).sum(axis=0)) / (1 + len(self.null))

    @property
    def best_p(self) -> float:
        """The permutation p of the largest cell against the largest of each permutation."""
        return float((1 + (self.null.max(axis=(1, 2)) >= self.score.max()).sum()) / (1 + len(self.null)))

    @property
    def threshold(self) -> np.ndarray:
        """Tau [A, B]: the order statistic ceil(.95 (K + 1)) of the observed and the null values."""
        every = np.sort(np.concatenate([self.score[None], self.null]), axis=0)
        return every[ceil((1 - ALPHA) * len(every)) - 1]

    @property
    def calibrated(self) -> np.ndarray:
        """(s - tau) / (1 - tau) [A, B], 0 where the null reaches the score (Groeger et al. 2026, algorithm 1)."""
        tau = self.threshold
        return np.clip((self.score - tau) / np.maximum(1 - tau, 1e-12), 0, 1)

    @property
    def expected(self) -> np.ndarray:
        """The mean of the null [A, B]."""
        return self.null.mean(axis=0)


def compare(
    xs: Sequence[np.ndarray],
    ys: Sequence[np.ndarray],
    groups: np.ndarray,
    *,
    index: Index = "cka",
    k: int = NEIGHBOURS,
    permutations: int = 199,
    seed: int = 0,
) -> Compared:
    """Compare every site of `xs` ([n, d] each) with every one of `ys`, with a null and an interval over groups.

    `groups` int [n]. One permutation, which moves whole groups of one size, serves all cells, so that the best cell
    is held against the best of each permutation. The interval comes from subsamples of groups without replacement
    (0.8 of them, delete-d jackknife: Shao & Wu 1989, Ann Stat 17): a bootstrap would give items twins.

    Raises:
        ProbeError: fewer than 5 groups; features of different items.
    """
    n = len(groups)
    if any(len(x) != n for x in (*xs, *ys)):
        raise ProbeError(f"features of {sorted({len(x) for x in (*xs, *ys)})} items are compared in {n} groups")
    groups = np.unique(groups, return_inverse=True)[1]
    count = int(groups.max()) + 1
    if count < 5:
        raise ProbeError(f"{count} groups; a comparison needs at least 5")
    rng = np.random.default_rng([seed, n, 17])
    moved = block_permutation(np.arange(n), groups, None, "group label vectors").draw(rng, permutations)
    parts = [
        np.flatnonzero(np.isin(groups, rng.permutation(count)[: max(4, round(PART * count))])) for _ in range(DRAWS)
    ]
    rows = KnnRows(xs, ys, k) if index == "knn" else MatrixRows(xs, ys, index)
    score = rows.score()
    null = np.stack([rows.permuted(order) for order in moved]) if len(moved) else np.empty((0, *score.shape))
    spread = np.stack([rows.part(members) for members in parts]).std(axis=0, ddof=1)
    kept = max(4, round(PART * count)) / count
    error = spread * sqrt(kept / (1 - kept))
    return Compared(index=index, score=score, low=score - 1.96 * error, high=score + 1.96 * error, null=null)


class MatrixRows:
    """CKA or RSA of many sites at once: each site is one matrix [n, n] of norm 1, and a score a product of two."""

    def __init__(self, xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], index: Index) -> None:
        self.index = index
        self.n = len(xs[0])
        self.a = np.stack([self._matrix(x) for x in xs])
        self.b = np.stack([self._matrix(y) for y in ys])

    def _matrix(self, x: np.ndarray) -> np.ndarray:
        if self.index == "rsa":
            return _square(_ranks(x), self.n)
        x = _centred(x)
        return _without_diagonal(x @ x.T)

    def _rows(self, matrices: np.ndarray) -> np.ndarray:
        """Each matrix as a row of norm 1: U-centred for CKA, standardised off the diagonal for RSA."""
        found = [self._normed(m) for m in matrices]
        return np.stack(found).reshape(len(found), -1)

    def _normed(self, m: np.ndarray) -> np.ndarray:
        n = len(m)
        if self.index == "cka":
            # U-centring (Székely & Rizzo 2014, equation 2.4): the inner product is n (n - 3) times the unbiased HSIC
            rows = m.sum(axis=0)
            m = m - (rows[:, None] + rows[None]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
        else:
            m = m - m.sum() / (n * (n - 1))
        m = _without_diagonal(m)
        length = np.linalg.norm(m)
        if not length:
            raise ProbeError("all items have the same features: there is no geometry to compare")
        return m / length

    def score(self) -> np.ndarray:
        """The index of all pairs of sites, [A, B]."""
        self._a, self._b = self._rows(self.a), self._rows(self.b)
        return self._a @ self._b.T

    def permuted(self, order: np.ndarray) -> np.ndarray:
        """The index when the items of the second list are exchanged, [A, B]."""
        moved = self._b.reshape(-1, self.n, self.n)[:, order][:, :, order]
        return self._a @ moved.reshape(len(moved), -1).T

    def part(self, members: np.ndarray) -> np.ndarray:
        """The index of some of the items, [A, B]; RSA keeps the ranks that the distances have among all."""
        inside = np.ix_(members, members)
        return self._rows(np.stack([m[inside] for m in self.a])) @ self._rows(np.stack([m[inside] for m in self.b])).T


class KnnRows:
    """Mutual nearest neighbours of many sites at once, by relabelling lists that are made once."""

    def __init__(self, xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], k: int) -> None:
        self.n, self.k = len(xs[0]), k
        held = min(LONG * k, self.n - 1)
        self.a, self.b = [nearest(x, held) for x in xs], [nearest(y, held) for y in ys]

    def score(self) -> np.ndarray:
        """The index of all pairs of sites, [A, B]."""
        return _overlaps([a[:, : self.k] for a in self.a], [b[:, : self.k] for b in self.b], self.n, self.k)

    def permuted(self, order: np.ndarray) -> np.ndarray:
        """The index when the items of the second list are exchanged, [A, B]: item i is now the former order[i]."""
        place = np.empty(self.n, np.int64)
        place[order] = np.arange(self.n)
        b = [place[b[order, : self.k]] for b in self.b]
        return _overlaps([a[:, : self.k] for a in self.a], b, self.n, self.k)

    def part(self, members: np.ndarray) -> np.ndarray:
        """The index of some of the items, [A, B], among themselves."""
        inside = np.full(self.n, -1, np.int64)
        inside[members] = np.arange(len(members))
        k = min(self.k, len(members) - 1)
        a, b = ([self._kept(inside[site[members]], k) for site in sites] for sites in (self.a, self.b))
        return _overlaps(a, b, len(members), k)

    @staticmethod
    def _kept(lists: np.ndarray, k: int) -> np.ndarray:
        """The first k of each row that are in the part; a row that holds fewer repeats its last."""
        order = np.argsort(lists < 0, axis=1, kind="stable")
        ranked = np.take_along_axis(lists, order, axis=1)[:, :k]
        count = np.maximum((ranked >= 0).sum(axis=1), 1)
        last = np.minimum(np.arange(k)[None], count[:, None] - 1)
        return np.maximum(np.take_along_axis(ranked, last, axis=1), 0)


def _overlaps(a: Sequence[np.ndarray], b: Sequence[np.ndarray], n: int, k: int) -> np.ndarray:
    rows = np.arange(n)[:, None]
    found = np.empty((len(a), len(b)))
    for s, lists in enumerate(a):
        member = np.zeros((n, n), bool)
        member[rows, lists] = True
        found[s] = [member[rows, other].sum() / (n * k) for other in b]
    return found


def _centred(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    return x - x.mean(axis=0)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)


def _without_diagonal(m: np.ndarray) -> np.ndarray:
    m = np.array(m)
    np.fill_diagonal(m, 0.0)
    return m


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks of the correlation distances of all pairs i < j, ties sharing their mean rank."""
    from scipy.stats import rankdata

    x = np.asarray(x, np.float64)
    unit = _unit(x - x.mean(axis=1, keepdims=True))
    return rankdata(np.round(1 - (unit @ unit.T)[np.triu_indices(len(x), 1)], 12))


def _rsa_vector(x: np.ndarray) -> np.ndarray:
    ranks = _ranks(x)
    ranks = ranks - ranks.mean()
    return ranks / np.linalg.norm(ranks)


def _square(upper: np.ndarray, n: int) -> np.ndarray:
    m = np.zeros((n, n))
    m[np.triu_indices(n, 1)] = upper
    return m + m.T
