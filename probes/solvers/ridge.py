"""Ridge regression whose leave-fold-out predictions are exact and closed-form, for thousands of label vectors.

One eigendecomposition K = u diag(w) u' of the Gram matrix serves every penalty, every fold assignment and every
permuted label vector. With a relative penalty p the smoother is H = u diag(w / (w + p trace(K) / n)) u' + 11'/n, the
last term being the unpenalised intercept. Leaving the rows s of a fold out changes their predictions to
y_s - (I - H_ss)^-1 (y - Hy)_s (Cook & Weisberg 1982, for blocks); (I - H_ss)^-1 is called the fold inverse here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from probes.solvers import algebra
from probes.solvers.auc import auc
from probes.solvers.scale import standardised

_RANK = 1e-9  # of the largest eigenvalue: below it lies the rounding of a float64 Gram matrix
_WHOLE = 4000  # items up to which I - H is held whole, which is faster
_BATCH = 512  # label vectors at a time: keeps the work arrays of 2,000 items within a few megabytes
_AT_ONCE = 1 << 24  # numbers of label vectors at a time, where there are so many items (64 MiB in float32)
_FEWEST = 64  # label vectors at a time: fewer make the product with the directions wait for memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """The decomposed Gram matrix K = u diag(w) u' of centred features.

    w: float64 [r] eigenvalues, ascending, above rounding. u: float64 [n, r] orthonormal, columns of mean 0.
    unit: trace(K) / n, the unit of every penalty: the one used is `penalty * unit`.
    """

    w: np.ndarray
    u: np.ndarray
    unit: float
    _kept: dict[bytes, list[np.ndarray]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, x: np.ndarray, *, standardise: bool = True, own: bool = False) -> "Ridge":
        """Decompose features [n, d], centred and (unless `standardise` is false) scaled to unit sd on all rows.

        No label enters, so a permutation of labels stays exact. `own` lets float64 features that are not standardised
        be overwritten, which spares a copy of them. Everything is float64 until it is decomposed:
        a float32 Gram matrix has noise eigenvalues that pass for signal under a weak penalty.
        """
        if standardise:
            wide = standardised(x)
        else:
            wide = np.subtract(x, x.mean(axis=0, dtype=float), out=x if own else None, dtype=np.float64)
        n, d = wide.shape
        if n <= d:
            return cls._from_gram(algebra.current().gram(wide.T))
        w, v = algebra.current().eigh(algebra.current().gram(wide))
        keep = w > _RANK * max(w[-1], np.finfo(float).tiny)
        w, v = w[keep], v[:, keep]
        u = algebra.current().product(wide, v)
        u /= np.sqrt(w)
        return cls(w=w, u=u, unit=float(w.sum() / n))

    @classmethod
    def of_kernel(cls, kernel: np.ndarray) -> "Ridge":
        """Decompose a positive semi-definite kernel [n, n], centred in feature space first."""
        mean = kernel.mean(axis=0, dtype=float)
        return cls._from_gram(kernel - mean - mean[:, None] + mean.mean())

    @classmethod
    def _from_gram(cls, gram: np.ndarray) -> "Ridge":
        w, u = algebra.current().eigh(gram)
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
        rows = as_rows(y, dtype)
        left = LeftOut(self, folds, len(rows), dtype)
        size = left.batch
        edges = [(a, min(a + size, len(rows))) for a in range(0, len(rows), size)]
        sums = [left.sums(rows[a:b, left.order]) for a, b in edges]  # under every penalty
        for penalty in penalties:
            made, out = left.made(penalty), np.empty_like(rows)
            for (a, b), one in zip(edges, sums, strict=True):
                out[a:b, left.order] = left.predicted(rows[a:b, left.order], one, made)
            yield as_coded(out, y)

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
        left = LeftOut(self, folds, len(y))
        made = [left.made(p) for p in penalties]
        for start in range(0, len(y), left.batch):
            labels = np.asarray(y[start : start + left.batch], dtype=np.float32)[:, left.order]
            sums, part = left.sums(labels), best[start : start + left.batch]
            for one in made:
                np.maximum(part, auc(left.predicted(labels, sums, one), labels), out=part)
        return best

    def inner_errors(
        self, y: np.ndarray, outer: np.ndarray, inner: np.ndarray, penalties: Sequence[float]
    ) -> np.ndarray:
        """Squared error [P, M, B] over M training parts, each item left out with its inner fold.

        The rows outside a training part take no part: they are left out together with every inner fold, exactly.
        y: [B, n] or [B, n, K]. outer: bool [M, n], who trains. inner: [M, n], read only where outer.
        """
        rows = as_rows(y, np.float64)
        total = np.zeros((len(penalties), len(outer), len(rows)))
        n, width = self.u.shape[0], self.u.shape[1] + 1
        if width < _least_left(outer, inner):
            for m, (train, fold) in enumerate(zip(outer, inner, strict=True)):
                total[:, m] = self._errors_by_directions(rows, train, fold, penalties)
            return total if y.ndim == 2 else total.reshape(*total.shape[:2], len(y), -1).sum(axis=3)
        product = algebra.current().product
        for p, penalty in enumerate(penalties):
            # H = root root'; its last column is the unpenalised intercept. I - H is held whole where it is small
            root = np.column_stack([self.u * np.sqrt(self.shrink(penalty)), np.full(n, n**-0.5)])
            keep = np.eye(n) - product(root, root, turned=True) if n <= _WHOLE else None
            residual = rows - product(product(rows, root), root, turned=True)
            for m, (train, fold) in enumerate(zip(outer, inner, strict=True)):
                outside = np.flatnonzero(~train)
                for part in np.unique(fold[train]):
                    test = np.flatnonzero(train & (fold == part))
                    left = np.concatenate([test, outside])
                    mine = root[left]
                    block = (
                        np.eye(len(left)) - product(mine, mine, turned=True)
                        if keep is None
                        else keep[np.ix_(left, left)]
                    )
                    error = algebra.current().solved(block, residual[:, left].T)
                    total[p, m] += np.square(error[: len(test)]).sum(axis=0)
        return total if y.ndim == 2 else total.reshape(*total.shape[:2], len(y), -1).sum(axis=3)

    def pair_errors(self, y: np.ndarray, folds: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
        """As `inner_errors`, [P, folds, B], where the inner folds of each training part are the other folds [n].

        Leaving two folds out is one solution for both of them, and the products of a fold's rows are made once.
        """
        rows, grams, n = as_rows(y, np.float64), self.grams(folds), len(self.u)
        parts = [np.flatnonzero(folds == part) for part in np.unique(folds)]
        us = [self.u[part] for part in parts]
        sums = [_sums(rows[:, part], u, n) for part, u in zip(parts, us, strict=True)]
        whole, every = np.sum(grams, axis=0), np.sum(sums, axis=0)
        total = np.zeros((len(penalties), len(parts), len(rows)))
        for p, penalty in enumerate(penalties):
            scale = np.sqrt(np.append(self.shrink(penalty), 1.0))
            weights = np.zeros((len(parts), len(parts), len(rows), len(scale)))
            for a in range(len(parts)):
                for b in range(a):
                    rest = whole - grams[a] - grams[b]
                    weights[a, b] = weights[b, a] = _without(rest, every - sums[a] - sums[b], scale)
            for b, (part, u) in enumerate(zip(parts, us, strict=True)):
                found = weights[:, b].reshape(-1, len(scale))
                fitted = algebra.current().product(found[:, :-1], u, turned=True) + found[:, -1:] * n**-0.5
                error = np.square(rows[:, part] - fitted.reshape(len(parts), *rows[:, part].shape)).sum(axis=2)
                error[b] = 0.0  # the fold itself is not of its training part
                total[p] += error
        return total if y.ndim == 2 else total.reshape(*total.shape[:2], len(y), -1).sum(axis=3)

    def grams(self, folds: np.ndarray) -> list[np.ndarray]:
        """Products [r + 1, r + 1] of the rows of each fold, those of the last folds [n] kept; see `_gram`."""
        key = folds.tobytes()
        if key not in self._kept:
            self._kept.clear()
            self._kept[key] = [_gram(self.u[folds == part], len(self.u)) for part in np.unique(folds)]
        return self._kept[key]

    def _errors_by_directions(
        self, rows: np.ndarray, train: np.ndarray, fold: np.ndarray, penalties: Sequence[float]
    ) -> np.ndarray:
        """Squared error [P, B] over one training part [n]: each inner fold by what the others say of the directions.

        No matrix grows with the items; the products of each fold's rows are made once for all penalties.
        """
        tests = [np.flatnonzero(train & (fold == part)) for part in np.unique(fold[train])]
        us, n = [self.u[test] for test in tests], len(self.u)
        grams = [_gram(u, n) for u in us]
        sums = [_sums(rows[:, test], u, n) for test, u in zip(tests, us, strict=True)]
        whole, every = np.sum(grams, axis=0), np.sum(sums, axis=0)
        found = np.empty((len(penalties), len(rows)))
        for p, penalty in enumerate(penalties):
            scale = np.sqrt(np.append(self.shrink(penalty), 1.0))
            square = np.zeros(len(rows))
            for test, u, gram, mine in zip(tests, us, grams, sums, strict=True):
                weights = _without(whole - gram, every - mine, scale)
                fitted = algebra.current().product(weights[:, :-1], u, turned=True)
                error = rows[:, test] - fitted - weights[:, -1:] * n**-0.5
                square += np.square(error).sum(axis=1)
            found[p] = square
        return found


def _least_left(outer: np.ndarray, inner: np.ndarray) -> int:
    """How many rows are left out at least: of a training part of [M, n], an inner fold and all that does not train."""
    return min(
        int((~train).sum() + np.unique(fold[train], return_counts=True)[1].min())
        for train, fold in zip(outer, inner, strict=True)
    )


def _gram(u: np.ndarray, n: int) -> np.ndarray:
    """Products [r + 1, r + 1] of some of n rows u [s, r] with the intercept's column 1 / sqrt(n), float64."""
    sums = u.sum(axis=0)[:, None] * n**-0.5
    return np.block([[algebra.current().gram(u), sums], [sums.T, np.full((1, 1), len(u) / n)]])


def _without(gram: np.ndarray, sums: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Coefficients [B, r + 1] of the rows whose products and sums are given; `scale` are roots of what survives."""
    inside = scale[:, None] * gram * scale
    inside[np.diag_indices_from(inside)] += 1 - np.square(scale)
    return scale * algebra.current().solved(inside, (sums * scale).T).T


def _sums(rows: np.ndarray, u: np.ndarray, n: int) -> np.ndarray:
    """Label vectors [B, s] times some of n rows u [s, r] and the intercept's column, [B, r + 1]."""
    return np.column_stack([algebra.current().product(rows, u), rows.sum(axis=1) * u.dtype.type(n**-0.5)])


def as_rows(y: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Label vectors [B, n] or [B, n, K] as rows [B (* K), n]."""
    flat = y if y.ndim == 2 else np.moveaxis(y, 2, 1).reshape(-1, y.shape[1])
    return np.ascontiguousarray(flat, dtype=dtype)


def as_coded(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rows [B (* K), n] in the shape of the label vectors y, the inverse of `as_rows`."""
    return rows if y.ndim == 2 else np.moveaxis(rows.reshape(len(y), y.shape[2], y.shape[1]), 1, 2)


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
        return algebra.current().gram(self._u)


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
            return cls(whole=cls.whole_of(u, shrink, n).astype(dtype))
        scale = np.append(np.sqrt(shrink), n**-0.5)
        sums = u.sum(axis=0)
        products = (FoldGram(u) if gram is None else gram).products
        whole = np.block([[products, sums[:, None]], [sums[None], np.full((1, 1), float(rows))]])
        core = algebra.current().inverse(np.eye(rank + 1) - scale[:, None] * whole * scale)
        core *= scale
        core *= scale[:, None]
        return cls(u=u.astype(dtype) if narrow is None else narrow, core=core.astype(dtype))

    @staticmethod
    def whole_of(u: np.ndarray, shrink: np.ndarray, n: int) -> np.ndarray:
        """The transpose of the inverse [s, s], float64."""
        rows = len(u)
        there = algebra.current()
        return there.inverse(np.eye(rows) - there.product(u * shrink, u, turned=True) - 1.0 / n).T

    def applied(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The inverse times each of the rows [B, s]."""
        product = algebra.current().product
        if self.whole is not None:
            return product(rows, self.whole, out=out)
        assert self.u is not None
        assert self.core is not None
        inner = product(np.column_stack([product(rows, self.u), rows.sum(axis=1)]), self.core)
        found = rows + product(inner[:, :-1], self.u, turned=True) + inner[:, -1:]
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
        algebra.current().keep(self.u)
        self._grams = [FoldGram(self.u[a:b]) for a, b in self.edges]

    def inverses(self, shrink: np.ndarray, many: int) -> list[FoldInverse]:
        """Of each fold, under the shares that survive [r]; `many` label vectors will be put through it."""
        return [
            FoldInverse.of(
                self.u[a:b], shrink, len(self.u), self.narrow.dtype.type, self.narrow[a:b], many=many, gram=gram
            )
            for (a, b), gram in zip(self.edges, self._grams, strict=True)
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Made:
    """What one penalty makes of the folds: the shares that survive [r], and of each fold an inverse.

    That of the block of its rows [s, s] where those are few, else that of the directions of all others [r + 1, r + 1].
    """

    shrink: np.ndarray
    inverses: list[np.ndarray]


class LeftOut:
    """Ridge with each fold in turn left out: what all penalties and label vectors share, of one choice of folds.

    A fold of few rows is left out by the inverse of its block. Of far more rows than directions that matrix grows with
    the square of the rows and its inverse with the cube. There the others' ridge is solved along the directions: with
    U = [u, 1 / sqrt(n)], the products of whose n rows are the identity, and D the shares that survive, the coefficients
    are (D^-1 - U_s'U_s)^-1 (U'y - U_s'y_s), and two products with U a penalty are all that grows with the items.
    """

    def __init__(self, ridge: Ridge, folds: np.ndarray, many: int, dtype: type = np.float32) -> None:
        self._ridge = ridge
        self.order = np.argsort(folds, kind="stable")
        self.back = np.argsort(self.order)
        self.edges = _edges(folds[self.order])
        self.narrow = ridge.u.astype(dtype, copy=False)[self.order]
        self._parts = [self.narrow[a:b] for a, b in self.edges]
        n, rank = ridge.u.shape
        self.batch = max(_FEWEST, min(_BATCH, _AT_ONCE // max(n, 1)))
        self.width = (rank + 1) * len(self.edges)  # numbers that `sums` keeps of a label vector
        self._whole = [b - a <= max(rank, _BATCH) and _cheaper_whole(b - a, rank, many) for a, b in self.edges]
        self._grams = [None] * len(self.edges) if all(self._whole) else ridge.grams(folds)
        algebra.current().keep(*([self.narrow] if all(self._whole) else self._parts))

    def made(self, penalty: float) -> _Made:
        """What is the same for all label vectors under one penalty."""
        shrink, dtype = self._ridge.shrink(penalty), self.narrow.dtype
        scale, inverses = np.sqrt(np.append(shrink, 1.0)), []
        for (a, b), whole, gram in zip(self.edges, self._whole, self._grams, strict=True):
            if whole:
                u = self._ridge.u[self.order[a:b]]
                inverse = FoldInverse.whole_of(u, shrink, len(self.order))
            else:
                apart = np.eye(len(scale)) - scale[:, None] * gram * scale
                inverse = scale[:, None] * algebra.current().inverse_definite(apart) * scale
            inverses.append(inverse.astype(dtype))
        return _Made(shrink=shrink.astype(dtype), inverses=inverses)

    @property
    def needs_rows(self) -> bool:
        """Whether predictions need the label vectors once more."""
        return any(self._whole)

    def sums(self, rows: np.ndarray) -> list[np.ndarray]:
        """Label vectors [B, n] in `order` along the directions: over all rows, [B, r], or each fold's, [B, r + 1]."""
        if all(self._whole):
            return [algebra.current().product(rows, self.narrow)]
        each = zip(self.edges, self._parts, strict=True)
        return [_sums(rows[:, a:b], part, len(self.order)) for (a, b), part in each]

    def predicted(self, rows: np.ndarray | None, sums: list[np.ndarray], made: _Made) -> np.ndarray:
        """Held-out predictions [B, n], in `order`, of label vectors [B, n] in `order`, whose `sums` are given."""
        product = algebra.current().product
        out = np.empty((len(sums[0]), len(self.order)), dtype=self.narrow.dtype)
        if all(self._whole):
            assert rows is not None
            residual = product(sums[0] * made.shrink, self.narrow, turned=True)
            np.subtract(_centred(rows), residual, out=residual)
            for (a, b), inverse in zip(self.edges, made.inverses, strict=True):
                product(residual[:, a:b], inverse, out=out[:, a:b])
            return np.subtract(rows, out, out=out)
        every = np.sum(sums, axis=0)
        each = zip(self.edges, self._parts, self._whole, sums, made.inverses, strict=True)
        for (a, b), u, whole, mine, inverse in each:
            if whole:
                assert rows is not None
                residual = _centred(rows)[:, a:b] - product(every[:, :-1] * made.shrink, u, turned=True)
                out[:, a:b] = rows[:, a:b] - product(residual, inverse)
            else:
                weights = product(every - mine, inverse)
                product(weights[:, :-1], u, out=out[:, a:b], turned=True)
                out[:, a:b] += weights[:, -1:] * u.dtype.type(len(self.order) ** -0.5)
        return out


def _centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=1, keepdims=True, dtype=np.float64).astype(rows.dtype)


def _cheaper_whole(rows: int, rank: int, many: int) -> bool:
    """Whether the inverse of a fold is sooner made, and applied to so many vectors, as a matrix of its rows."""
    whole = rows**3 + rows**2 * rank + many * rows**2
    return whole <= rank**3 + rows * rank**2 / 2 + 2 * many * rows * rank
