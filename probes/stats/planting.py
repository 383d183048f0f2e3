"""Planting signals of known strength in real features, and what ridge regression reads of them.

How little the planted signals may read says what a silent cell excludes (`probes.stats.exclusion`), and their spread
how uncertain a score is where something can be read.

A planting adds s * code * way' to features x, along m directions. It changes the Gram matrix by a term of low rank,
so that one decomposition serves every draw and every separation s. With K = x x', H the ridge smoother of K with
its intercept, rho its absolute penalty, and C [n, 2m] = (x * ways, codes), both centred:

    K'       = K + C M C',                  M^-1 = [[-S, I/s], [I/s, 0]],  S = ways' ways
    I - H'   = I - H - F Q F',              F = (I - H) C,  Q = (C'F + rho M^-1)^-1       (Woodbury)
    e'_k     = e_k + J_k ((Q^-1 - F_k' J_k)^-1 (F_k' e_k - F_k' J_k q) - q),              J_k = (I - H)_kk^-1 F_k

e_k and e'_k are the held-out errors of the labels y in fold k before and after planting, and q = Q F'y. Every draw
has labels and directions of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from probes.solvers import algebra
from probes.solvers.codes import coded_vectors, fold_means
from probes.solvers.ridge import ByFold, Ridge
from probes.stats.intervals import floored_error
from probes.stats.permutation import REFITS
from probes.stats.plan import GRID, Plan
from probes.stats.scores import association, score_margin

ROWS = 8192  # at a time, where a second matrix of all would be needed


@dataclass(frozen=True, kw_only=True, eq=False)
class Unplanted:
    """Ridge of one penalty before planting, and the terms that correct it at any separation.

    In the letters of the module, for K codes of each of D draws: rho; margin [D, K, n], the held-out predictions
    less training means; fold_inverse J [D, n, 2m]; column_gram C'F [D, 2m, 2m]; label_products F'y [D, 2m, K];
    error_products F_k'e_k [D, folds, 2m, K]; fold_gram F_k'J_k [D, folds, 2m, 2m].
    """

    rho: float
    margin: np.ndarray
    fold_inverse: np.ndarray
    column_gram: np.ndarray
    label_products: np.ndarray
    error_products: np.ndarray
    fold_gram: np.ndarray

    @classmethod
    def fit(
        cls,
        ridge: Ridge,
        codes: np.ndarray,
        means: np.ndarray,
        columns: np.ndarray,
        by_fold: ByFold,
        penalty: float,
        dtype: type,
    ) -> "Unplanted":
        """From codes and means [D, K, n] and columns C [D, n, 2m], items in the order of `by_fold`."""
        u, edges, product = by_fold.u, by_fold.edges, algebra.current().product
        draws, wide, n = codes.shape
        pair = columns.shape[2]
        share = ridge.shrink(penalty)
        flat = codes.reshape(draws * wide, n)
        error = flat - flat.mean(axis=1, keepdims=True) - product(product(flat, u) * share, u, turned=True)
        both = np.swapaxes(columns, 0, 1).reshape(n, draws * pair)
        f = both - product(u, share[:, None] * product(u.T, both))
        j = np.empty_like(f)
        inverses = by_fold.inverses(share, len(flat) + draws * pair)
        for (a, b), inverse in zip(edges, inverses, strict=True):
            error[:, a:b] = inverse.applied(error[:, a:b])
            j[a:b] = inverse.applied(f[a:b].T).T
        error = error.reshape(codes.shape)
        by_draw = np.moveaxis(f.reshape(n, draws, pair), 0, 2)  # F' [D, 2m, n]
        solved = np.ascontiguousarray(np.swapaxes(j.reshape(n, draws, pair), 0, 1))
        return cls(
            rho=penalty * ridge.unit,
            margin=(codes - means - error).astype(dtype),
            fold_inverse=solved.astype(dtype),
            column_gram=by_draw @ columns,  # symmetric, so F'C is C'F
            label_products=by_draw @ np.swapaxes(codes, 1, 2),
            error_products=np.stack([by_draw[..., a:b] @ np.swapaxes(error[..., a:b], 1, 2) for a, b in edges], axis=1),
            fold_gram=np.stack([by_draw[..., a:b] @ solved[:, a:b] for a, b in edges], axis=1),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Planting:
    """D plantings ready for any separation: all that does not depend on it, items sorted by fold.

    labels [D, n] of the draws, sorted like `order` [n]; target [D, K, n] codes less training means, means [D, K, n];
    size S [D, m, m] inner products of the planted directions; edges of the folds; `classes` their number, None for
    numbers; `chosen` whether the penalty is chosen fold by fold.
    """

    order: np.ndarray
    edges: list[tuple[int, int]]
    labels: np.ndarray
    classes: int | None
    target: np.ndarray
    means: np.ndarray
    size: np.ndarray
    unplanted: tuple[Unplanted, ...]
    chosen: bool

    @classmethod
    def of(
        cls,
        ridge: Ridge,
        folds: np.ndarray,
        labels: np.ndarray,
        classes: int | None,
        columns: np.ndarray,
        size: np.ndarray,
        *,
        penalties: tuple[float, ...] = GRID,
        chosen: bool = False,
        dtype: type = np.float32,
    ) -> "Planting":
        """Sort by fold and predict before planting; `columns` C [D, n, 2m] are features along the ways, and codes."""
        by_fold = ByFold(ridge.u, folds)
        order = by_fold.order
        raw = coded_vectors(labels[:, order], classes)
        codes, means = (_classes_second(a) for a in (raw, fold_means(raw, folds[order])))
        columns = columns[:, order]
        return cls(
            order=order,
            edges=by_fold.edges,
            labels=labels[:, order],
            classes=classes,
            target=(codes - means).astype(dtype),
            means=means,
            size=size,
            unplanted=tuple(Unplanted.fit(ridge, codes, means, columns, by_fold, p, dtype) for p in penalties),
            chosen=chosen,
        )

    @classmethod
    def in_population(cls, ridge: Ridge, plan: Plan, width: int, *, draws: int, chosen: bool) -> "Planting":
        """For the error of a score: plant along whitened random directions of the population.

        The population's covariance is the items' own, shrunk as Ledoit and Wolf (2004) do: unshrunk, directions
        that happen to vary in these items would draw all signals.
        """
        labels, classes = plan.draws(draws, 2), None if plan.classes is None else len(plan.classes)
        shift = planted_code(labels, classes)
        n, m = shift.shape[1:]
        rank = len(ridge.w)
        level, share = _shrinkage(ridge, plan.n_groups, max(width, rank))
        # drawn for the items, not for the eigenvectors, whose signs differ from one library to another
        rng = np.random.default_rng([plan.seed, 83])
        along = _through(ridge.u.T, rng.standard_normal((draws, n, m)))
        beyond = rng.standard_normal((draws, max(width, rank) - rank, m))
        ways, upper = np.linalg.qr(np.concatenate([along, beyond], axis=1))
        ways *= np.where(np.diagonal(upper, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, None]
        spanned = np.sqrt((1 - share) * ridge.w / n + share * level)[:, None] * ways[:, :rank]
        beyond = np.sqrt(share * level) * ways[:, rank:]
        columns = np.concatenate([_through(ridge.u, np.sqrt(ridge.w)[:, None] * spanned), shift], axis=2)
        size = np.swapaxes(spanned, 1, 2) @ spanned + np.swapaxes(beyond, 1, 2) @ beyond
        penalties = GRID if chosen else (plan.penalty,)
        return cls.of(ridge, plan.folds[0], labels, classes, columns, size, penalties=penalties, chosen=chosen)

    def scores(self, s: float, draws: int, plan: Plan) -> tuple[float, float]:
        """Mean score of the first draws planted at this separation, and phi: their spread over their own error."""
        margin = self._headline([self.margin(before, s, draws) for before in self.unplanted], draws)
        back = np.argsort(self.order)
        labels = self.labels[:draws, back]
        got = score_margin(_classes_last(margin)[:, back], labels, self.classes, plan.groups, plan.folds[0])
        predicted = float(floored_error(got, labels, plan).mean())
        return got.mean, float(got.score.std(ddof=1)) / predicted if predicted > 0 else 1.0

    def statistic(self, s: float) -> np.ndarray:
        """The permutation test's statistic of every draw planted at this separation, [D]."""
        found = [
            association(
                _classes_last(self.margin(before, s)), self.labels, self._baseline(len(self.labels)), self.classes
            )
            for before in self.unplanted
        ]
        return np.max(found, axis=0)

    def _baseline(self, draws: int) -> np.ndarray:
        return self.means[:draws, 0] if self.classes is None else np.zeros((1, 1))

    def _headline(self, margins: list[np.ndarray], draws: int) -> np.ndarray:
        """The margins that decide: of the fixed penalty, or of the one chosen fold by fold."""
        if not self.chosen:
            return margins[0]
        left = (self.target[:draws] - margin for margin in margins)
        error = np.stack(
            [np.stack([np.einsum("vkn,vkn->v", e[..., a:b], e[..., a:b]) for a, b in self.edges], axis=1) for e in left]
        )  # squared, [P, D, folds]
        best = (error.sum(axis=2, keepdims=True) - error).argmin(axis=0)
        picked = np.empty_like(margins[0])
        for part, (a, b) in enumerate(self.edges):
            for penalty, margin in enumerate(margins):
                mine = best[:, part] == penalty
                picked[mine, :, a:b] = margin[mine, :, a:b]
        return picked

    def margin(self, before: Unplanted, s: float, draws: int | None = None) -> np.ndarray:
        """Held-out margins [D, K, n] of the first draws planted at separation s: the module's formula."""
        some = slice(draws)
        out = before.margin[some].copy()
        if s <= 0 or before.rho == 0:  # features that do not vary have no direction either
            return out
        m = self.size.shape[1]
        inverse_q = before.column_gram[some].copy()
        inverse_q[:, :m, :m] -= before.rho * self.size[some]
        step = before.rho / s * np.eye(m)
        inverse_q[:, :m, m:] += step
        inverse_q[:, m:, :m] += step
        q = np.linalg.solve(inverse_q, before.label_products[some])[:, None]
        gram = before.fold_gram[some]
        g = np.linalg.solve(inverse_q[:, None] - gram, before.error_products[some] - gram @ q) - q  # [D, folds, 2m, K]
        change = np.swapaxes(g, 2, 3).astype(out.dtype)
        for part, (a, b) in enumerate(self.edges):
            out[..., a:b] -= change[:, part] @ np.swapaxes(before.fold_inverse[some, a:b], 1, 2)
        return out


def _shrinkage(ridge: Ridge, independent: int, width: int) -> tuple[float, float]:
    """Mean variance of a feature and the share of it in the shrunk covariance (Ledoit & Wolf 2004)."""
    n = len(ridge.u)
    level = float(ridge.w.sum() / n / width)
    square = float(np.square(ridge.w / n).sum())
    anisotropy = square - width * level**2
    parts = (ridge.u[start : start + ROWS] for start in range(0, len(ridge.u), ROWS))
    fourth = float(np.square(np.concatenate([(np.square(part) * ridge.w).sum(axis=1) for part in parts])).mean())
    noise = (fourth - square) / independent
    return level, min(1.0, max(0.0, noise / anisotropy)) if anisotropy > 0 else 1.0


def _through(a: np.ndarray, each: np.ndarray) -> np.ndarray:
    """The product of a [m, k] and each of D matrices [D, k, j] in one, which reads a once: [D, m, j]."""
    draws, k, j = each.shape
    found = algebra.current().product(a, np.moveaxis(each, 0, 1).reshape(k, draws * j))
    return np.moveaxis(found.reshape(len(a), draws, j), 1, 0)


def signal_inflation(ridge: Ridge, plan: Plan, width: int, score: float, *, chosen: bool, draws: int = REFITS) -> float:
    """The phi of a score that reads something: the spread of plantings that read as well as the observed labels.

    Near as many items as features a probe's luck with its training set grows with the signal, which permuted
    labels alone do not show: there the interval would cover 89 % instead of 95.
    """
    goal = min(score, 0.95)
    if goal <= plan.chance or len(ridge.w) < 2 * len(plan.classes or (0, 0)):
        return 1.0
    planting = Planting.in_population(ridge, plan, width, draws=draws, chosen=chosen)
    return inflation_at(lambda s, few: planting.scores(s, few, plan), goal, draws)


def inflation_at(scores: Callable[[float, int], tuple[float, float]], goal: float, draws: int) -> float:
    """Phi at the separation whose plantings read as well as `goal`, by doubling and halving; see `Planting.scores`."""
    few, low, high = max(8, draws // 5), 0.0, 1.0
    while scores(high, few)[0] < goal and high < 64:
        low, high = high, 2 * high
    for _ in range(4):
        middle = (low + high) / 2
        low, high = (middle, high) if scores(middle, few)[0] < goal else (low, middle)
    return scores((low + high) / 2, draws)[1]


def planted_code(labels: np.ndarray, classes: int | None) -> np.ndarray:
    """What is added for each label: simplex corners sqrt(2) apart [.., n, K-1], or the standardised number."""
    if classes is None:
        centred = labels - labels.mean(axis=1, keepdims=True)
        spread = centred.std(axis=1, keepdims=True)
        return (centred / np.where(spread > 0, spread, 1))[..., None]  # all that differ may be of the fold mixed from
    basis = np.linalg.qr(np.eye(classes) - 1 / classes)[0][:, : classes - 1]
    code = basis[labels.astype(np.int64)]
    return code - code.mean(axis=1, keepdims=True)


def _classes_second(rows: np.ndarray) -> np.ndarray:
    """[V, n] or [V, n, K] to [V, K, n]."""
    return rows[:, None] if rows.ndim == 2 else np.moveaxis(rows, 2, 1)


def _classes_last(rows: np.ndarray) -> np.ndarray:
    """[V, 1, n] to [V, n], else [V, K, n] to [V, n, K]."""
    return rows[:, 0] if rows.shape[1] == 1 else np.moveaxis(rows, 1, 2)
