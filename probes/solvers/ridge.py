"""Ridge regression whose leave-fold-out predictions are exact and closed-form, for thousands of label vectors.

One eigendecomposition K = u diag(w) u' of the Gram matrix serves every penalty, every fold assignment and every
permuted label vector. With a relative penalty p the smoother is H = u diag(w / (w + p trace(K) / n)) u' + 11'/n, the
last term being the unpenalised intercept. Leaving the rows s of a fold out changes their predictions to
y_s - (I - H_ss)^-1 (y - Hy)_s (Cook & Weisberg 1982, for blocks); (I - H_ss)^-1 is called the fold inverse here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from probes.solvers.auc import auc
from probes.solvers.scale import standardised

_RANK = 1e-9  # of the largest eigenvalue: below it lies the rounding of a float64 Gram matrix
_WHOLE = 4000  # items up to which I - H is held whole, which is faster
_BATCH = 512  # label vectors at a time: keeps the work arrays of 2,000 items within a few megabytes


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """The decomposed Gram matrix K = u diag(w) u' of centred features.

    w: float64 [r] eigenvalues, ascending, above rounding. u: float64 [n, r] orthonormal, columns of mean 0.
    unit: trace(K) / n, the unit of every penalty: the one used is `penalty * unit`.
    """

    w: np.ndarray
    u: np.ndarray
    unit: float

    @classmethod
    def of(cls, x: np.ndarray, *, standardise: bool = True) -> "Ridge":
        """Decompose features [n, d], centred and (unless `standardise` is false) scaled to unit sd on all rows.

        No label enters, so a permutation of labels stays exact. Everything is float64 until it is decomposed:
        a float32 Gram matrix has noise eigenvalues that pass for signal under a weak penalty.
        """
        import scipy.linalg

        wide = standardised(x) if standardise else np.asarray(x, dtype=np.float64) - x.mean(axis=0, dtype=float)
        n, d = wide.shape
        if n <= d:
            return cls._from_gram(wide @ wide.T)
        w, v = scipy.linalg.eigh(wide.T @ wide, check_finite=False, driver="evd")
        keep = w > _RANK * max(w[-1], np.finfo(float).tiny)
        w, v = w[keep], v[:, keep]
        return cls(w=w, u=(wide @ v) / np.sqrt(w), unit=float(w.sum() / n))

    @classmethod
    def of_kernel(cls, kernel: np.ndarray) -> "Ridge":
        """Decompose a positive semi-definite kernel [n, n], centred in feature space first."""
        mean = kernel.mean(axis=0, dtype=float)
        return cls._from_gram(kernel - mean - mean[:, None] + mean.mean())

    @classmethod
    def _from_gram(cls, gram: np.ndarray) -> "Ridge":
        import scipy.linalg

        w, u = scipy.linalg.eigh(gram, check_finite=False, driver="evd")
        keep = w > _RANK * max(w[-1], np.finfo(float).tiny)
        return cls(w=w[keep], u=u[:, keep], unit=float(np.trace(gram) / len(gram)))

    def shrink(self, penalty: float) -> np.ndarray:
        """The share of each eigendirection [r] that survives the relative penalty."""
        return self.w / (self.w + penalty * self.unit) if len(self.w) else self.w

    def each(
        self, y: np.ndarray, folds: np.ndarray, penalties: Sequence[float], *, dtype: type = np.float32
    ) -> Iterator[np.ndarray]:
        """For each penalty in turn, the predictions of every item while its own fold is held out.

        y: [B, n] label vectors as rows, or [B, n, K] coded. folds: [n]. Yields arrays shaped like y. Products
        run in `dtype`; the inverse of every fold's block is float64 always.
        """
        rows = _as_rows(y, dtype)
        by_fold = ByFold(self.u, folds, dtype)
        starts = range(0, len(rows), _BATCH)
        in_basis = [rows[a : a + _BATCH][:, by_fold.order] @ by_fold.narrow for a in starts]  # under every penalty
        for penalty in penalties:
            shrink = self.shrink(penalty)
            inverses = by_fold.inverses(shrink, len(rows))
            out = np.empty_like(rows)
            for start, products in zip(starts, in_basis, strict=True):
                part = rows[start : start + _BATCH][:, by_fold.order]
                centred = part - part.mean(axis=1, keepdims=True, dtype=np.float64).astype(dtype)
                fitted = _predict(part, centred, products, by_fold, shrink.astype(dtype), inverses)
                out[start : start + _BATCH, by_fold.order] = fitted
            yield out if y.ndim == 2 else np.moveaxis(out.reshape(len(y), y.shape[2], y.shape[1]), 1, 2)

    def held_out(
        self, y: np.ndarray, folds: np.ndarray, penalties: Sequence[float], *, dtype: type = np.float32
    ) -> np.ndarray:
        """All of `each` at once: [P, B, n] or [P, B, n, K]."""
        return np.stack(list(self.each(y, folds, penalties, dtype=dtype)))

    def largest_auc(self, y: np.ndarray, folds: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
        """For each of B label vectors [B, n] of 0 and 1: the largest held-out AUC over the penalties, [B].

        The observed labels go through the same code as the permuted ones, so float32 favours neither.
        """
        best = np.zeros(len(y))
        by_fold = ByFold(self.u, folds, np.float32)
        shrinks = [self.shrink(p) for p in penalties]
        inverses = [by_fold.inverses(s, len(y)) for s in shrinks]
        for start in range(0, len(y), _BATCH):
            labels = np.asarray(y[start : start + _BATCH], dtype=np.float32)[:, by_fold.order]
            centred = labels - labels.mean(axis=1, keepdims=True)
            in_basis = labels @ by_fold.narrow
            for shrink, inverse in zip(shrinks, inverses, strict=True):
                fitted = _predict(labels, centred, in_basis, by_fold, shrink.astype(np.float32), inverse)
                part = best[start : start + _BATCH]
                np.maximum(part, auc(fitted, labels), out=part)
        return best

    def inner_errors(
        self, y: np.ndarray, outer: np.ndarray, inner: np.ndarray, penalties: Sequence[float]
    ) -> np.ndarray:
        """Squared error [P, M, B] over M training parts, each item left out with its inner fold.

        The rows outside a training part take no part: they are left out together with every inner fold, exactly.
        y: [B, n] or [B, n, K]. outer: bool [M, n], who trains. inner: [M, n], read only where outer.
        """
        rows = _as_rows(y, np.float64)
        total = np.zeros((len(penalties), len(outer), len(rows)))
        n = self.u.shape[0]
        for p, penalty in enumerate(penalties):
            # H = root root'; its last column is the unpenalised intercept. I - H is held whole where it is small
            root = np.column_stack([self.u * np.sqrt(self.shrink(penalty)), np.full(n, n**-0.5)])
            keep = np.eye(n) - root @ root.T if n <= _WHOLE else None
            residual = rows - (rows @ root) @ root.T
            for m, (train, fold) in enumerate(zip(outer, inner, strict=True)):
                outside = np.flatnonzero(~train)
                beyond, before = root[outside], None
                for part in np.unique(fold[train]):
                    test = np.flatnonzero(train & (fold == part))
                    left = np.concatenate([test, outside])
                    mine, wrong = root[left], residual[:, left].T
                    if root.shape[1] < len(left):  # (I - aa')^-1 = I + a (I - a'a)^-1 a'
                        if before is None:
                            before = np.eye(root.shape[1]) - beyond.T @ beyond
                        block = before - root[test].T @ root[test]
                        error = wrong + mine @ _solved(block, mine.T @ wrong)
                    else:
                        block = np.eye(len(left)) - mine @ mine.T if keep is None else keep[np.ix_(left, left)]
                        error = _solved(block, wrong)
                    total[p, m] += np.square(error[: len(test)]).sum(axis=0)
        return total if y.ndim == 2 else total.reshape(*total.shape[:2], len(y), -1).sum(axis=3)


def _solved(block: np.ndarray, right: np.ndarray) -> np.ndarray:
    """block^-1 right, of a symmetric positive definite block, which is overwritten."""
    import scipy.linalg

    factor = scipy.linalg.cho_factor(block, overwrite_a=True, check_finite=False)
    return scipy.linalg.cho_solve(factor, right, check_finite=False)


def _as_rows(y: np.ndarray, dtype: type) -> np.ndarray:
    """Label vectors [B, n] or [B, n, K] as rows [B (* K), n]."""
    flat = y if y.ndim == 2 else np.moveaxis(y, 2, 1).reshape(-1, y.shape[1])
    return np.ascontiguousarray(flat, dtype=dtype)


def _edges(ordered: np.ndarray) -> list[tuple[int, int]]:
    """First and last row of each fold, of fold indices [n] in order."""
    cuts = np.flatnonzero(np.diff(ordered)) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(ordered)], strict=True))


class FoldGram:
    """u'u of a fold's rows u [s, r], multiplied when it is first asked for."""

    def __init__(self, u: np.ndarray) -> None:
        self._u = u

    @cached_property
    def products(self) -> np.ndarray:
        """U'u [r, r]."""
        return self._u.T @ self._u


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldInverse:
    """(I - H_ss)^-1 over the rows s of one fold, computed in float64 and applied in the precision of its arrays.

    `whole` [s, s] is its transpose; where a fold has far more rows than directions, that matrix grows with the square
    of the rows and its inverse with the cube, and it is I + u core u' + (the intercept's share) instead (Woodbury).
    """

    whole: np.ndarray | None = None
    u: np.ndarray | None = None  # [s, r]
    core: np.ndarray | None = None  # [r + 1, r + 1], the last row and column for the intercept

    @classmethod
    def of(
        cls,
        u: np.ndarray,
        shrink: np.ndarray,
        n: int,
        dtype: type = np.float64,
        narrow: np.ndarray | None = None,
        *,
        many: int = 1,
        gram: FoldGram | None = None,
    ) -> "FoldInverse":
        """From the fold's rows u [s, r] and the shares that survive [r]; 1/n is the unpenalised intercept.

        `narrow` is u in `dtype` and `gram` its products, where the caller has them; `many` label vectors will be put
        through it.
        """
        rows, rank = u.shape
        if _cheaper_whole(rows, rank, many):
            return cls(whole=np.linalg.inv(np.eye(rows) - (u * shrink) @ u.T - 1.0 / n).T.astype(dtype))
        scale = np.append(np.sqrt(shrink), n**-0.5)
        sums = u.sum(axis=0)
        products = (FoldGram(u) if gram is None else gram).products
        whole = np.block([[products, sums[:, None]], [sums[None], np.full((1, 1), float(rows))]])
        core = np.linalg.inv(np.eye(rank + 1) - scale[:, None] * whole * scale) * scale * scale[:, None]
        return cls(u=u.astype(dtype) if narrow is None else narrow, core=core.astype(dtype))

    def applied(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The inverse times each of the rows [B, s]."""
        if self.whole is not None:
            return np.matmul(rows, self.whole, out=out)
        assert self.u is not None
        assert self.core is not None
        inner = np.column_stack([rows @ self.u, rows.sum(axis=1)]) @ self.core
        found = rows + inner[:, :-1] @ self.u.T + inner[:, -1:]
        if out is None:
            return found
        out[...] = found
        return out


class ByFold:
    """The rows of u [n, r] sorted by fold, and the inverses of its folds under any penalty.

    order [n] sorts items; edges are the first and last row of each fold; u, and `narrow`, the same in `dtype`, are
    sorted. The products of each fold's rows are the same under every penalty, and made once.
    """

    def __init__(self, u: np.ndarray, folds: np.ndarray, dtype: type = np.float64) -> None:
        self.order = np.argsort(folds, kind="stable")
        self.edges = _edges(folds[self.order])
        self.u = u[self.order]
        self.narrow = np.ascontiguousarray(self.u, dtype=dtype)
        self._grams = [FoldGram(self.u[a:b]) for a, b in self.edges]

    def inverses(self, shrink: np.ndarray, many: int) -> list[FoldInverse]:
        """Of each fold, under the shares that survive [r]; `many` label vectors will be put through it."""
        return [
            FoldInverse.of(
                self.u[a:b], shrink, len(self.u), self.narrow.dtype.type, self.narrow[a:b], many=many, gram=gram
            )
            for (a, b), gram in zip(self.edges, self._grams, strict=True)
        ]


def _cheaper_whole(rows: int, rank: int, many: int) -> bool:
    """Whether the inverse of a fold is sooner made, and applied to so many vectors, as a matrix of its rows."""
    whole = rows**3 + rows**2 * rank + many * rows**2
    return whole <= rank**3 + rows * rank**2 / 2 + 2 * many * rows * rank


def _predict(
    rows: np.ndarray,
    centred: np.ndarray,
    in_basis: np.ndarray,
    by_fold: ByFold,
    shrink: np.ndarray,
    inverses: list[FoldInverse],
) -> np.ndarray:
    """Held-out predictions of label vectors [B, n] sorted by fold; in_basis [B, r] are their products with u."""
    residual = (in_basis * shrink) @ by_fold.narrow.T
    np.subtract(centred, residual, out=residual)
    out = np.empty_like(residual)
    for (a, b), inverse in zip(by_fold.edges, inverses, strict=True):
        inverse.applied(residual[:, a:b], out[:, a:b])
    return np.subtract(rows, out, out=out)
