"""Planting signals of known strength in real features, and what the rule for `present` makes of them.

The share of plantings called present says whether the instrument's silence means anything (the analogue of the
limit of detection of CLSI EP17; see `probes.stats.detection`), and their spread how uncertain a score is where
something can be read.

A planting adds s * code * way' to features x, along m directions. It changes the Gram matrix by a term of low rank,
so that one decomposition serves every draw and every separation s. With K = x x', H the ridge smoother of K with
its intercept, rho its absolute penalty, and C [n, 2m] = (x * ways, codes), both centred:

    K'       = K + C M C',                  M^-1 = [[-S, I/s], [I/s, 0]],  S = ways' ways
    I - H'   = I - H - F Q F',              F = (I - H) C,  Q = (C'F + rho M^-1)^-1       (Woodbury)
    e'_k     = e_k + J_k ((Q^-1 - F_k' J_k)^-1 (F_k' e_k - F_k' J_k q) - q),              J_k = (I - H)_kk^-1 F_k

e_k and e'_k are the held-out errors of the labels y in fold k before and after planting, and q = Q F'y.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from probes._base import ProbeError
from probes.solvers.codes import coded_vectors, fold_means
from probes.solvers.ridge import Ridge
from probes.stats.effect_size import separation
from probes.stats.intervals import floored_error
from probes.stats.permutation import REFITS
from probes.stats.plan import GRID, Plan
from probes.stats.scores import association, score_margin
from probes.stats.subspace import Subspace

DRAWS = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class Unplanted:
    """Ridge of one penalty before planting, and the terms that correct it at any separation.

    In the letters of the module: rho; margin [V, K, n], the held-out predictions less training means of V label
    vectors; fold_inverse J [draws, n, 2m]; column_gram C'F [draws, 2m, 2m]; label_products F'y [draws, 2m, V, K];
    error_products F_k'e_k [draws, folds, 2m, V, K]; fold_gram F_k'J_k [draws, folds, 2m, 2m].
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
        edges: list[tuple[int, int]],
        penalty: float,
        dtype: type,
    ) -> "Unplanted":
        """From codes and means [V, K, n] and columns C [draws, n, 2m], items sorted by fold at `edges`."""
        v, wide, n = codes.shape
        draws, _, pair = columns.shape
        shrink = ridge.shrink(penalty)
        through = ridge.u * shrink
        flat = codes.reshape(v * wide, n)
        error = flat - flat.mean(axis=1, keepdims=True) - (flat @ through) @ ridge.u.T
        both = np.swapaxes(columns, 0, 1).reshape(n, draws * pair)
        f = both - through @ (ridge.u.T @ both)
        j = np.empty_like(f)
        error_products = np.empty((draws, len(edges), pair, v * wide))
        fold_gram = np.empty((draws, len(edges), pair, pair))
        by_draw = f.reshape(n, draws, pair)
        for part, (a, b) in enumerate(edges):
            inverse = np.linalg.inv(np.eye(b - a) - through[a:b] @ ridge.u[a:b].T - 1.0 / n)
            error[:, a:b] = error[:, a:b] @ inverse.T
            j[a:b] = inverse @ f[a:b]
            error_products[:, part] = (f[a:b].T @ error[:, a:b].T).reshape(draws, pair, -1)
            fold_gram[:, part] = np.einsum("ndp,ndq->dpq", by_draw[a:b], j[a:b].reshape(b - a, draws, pair))
        return cls(
            rho=penalty * ridge.unit,
            margin=(codes - means - error.reshape(codes.shape)).astype(dtype),
            fold_inverse=np.ascontiguousarray(np.swapaxes(j.reshape(n, draws, pair), 0, 1)).astype(dtype),
            column_gram=np.einsum("dnp,ndq->dpq", columns, by_draw),
            label_products=(f.T @ flat.T).reshape(draws, pair, v, wide),
            error_products=error_products.reshape(draws, len(edges), pair, v, wide),
            fold_gram=fold_gram,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Planting:
    """Plantings ready for any separation: all that does not depend on it, items sorted by fold.

    labels [V, n]: first the planted ones, one per draw, then the permuted ones that make the null of every
    draw. target [V, K, n] codes less training means, means [V, K, n]; size S [draws, m, m] inner products of
    the planted directions; edges of the folds; `chosen` whether the penalty is chosen fold by fold.
    """

    plan: Plan
    order: np.ndarray
    edges: list[tuple[int, int]]
    labels: np.ndarray
    target: np.ndarray
    means: np.ndarray
    size: np.ndarray
    unplanted: tuple[Unplanted, ...]
    draws: int
    chosen: bool

    @classmethod
    def prepare(
        cls,
        x: np.ndarray,
        plan: Plan,
        space: Subspace,
        *,
        draws: int = DRAWS,
        permutations: int = REFITS,
        dtype: type = np.float32,
    ) -> "Planting":
        """For the limit of detection: plant in directions of the subspace, with a permutation test to pass."""
        classes = None if plan.classes is None else len(plan.classes)
        scaled = np.asarray(x, dtype=np.float64) * space.scale
        scaled = scaled - scaled.mean(axis=0)
        labels = np.concatenate([plan.draws(draws, 1), plan.permuted[:permutations]])
        shift = planted_code(labels[:draws], classes)
        directions = planted_directions(space, plan.seed, draws, shift.shape[2])
        columns = np.concatenate([(scaled @ space.directions) @ directions, shift], axis=2)
        ridge = Ridge.of(scaled, standardise=False)
        size = np.swapaxes(directions, 1, 2) @ directions
        chosen = plan.headline == "linear"
        penalties = GRID if chosen or plan.penalty in GRID else (*GRID, plan.penalty)
        return cls._of(ridge, plan, labels, columns, size, penalties, chosen, dtype)

    @classmethod
    def in_population(cls, ridge: Ridge, plan: Plan, width: int, *, draws: int, chosen: bool) -> "Planting":
        """For the error of a score: plant along whitened random directions of the population, untested.

        The population's covariance is the items' own, shrunk as Ledoit and Wolf (2004) do: unshrunk, directions
        that happen to vary in these items would draw all signals.
        """
        labels = plan.draws(draws, 2)
        shift = planted_code(labels, None if plan.classes is None else len(plan.classes))
        n, m = shift.shape[1:]
        rank = len(ridge.w)
        level, share = _shrinkage(ridge, plan.n_groups, max(width, rank))
        ways = np.random.default_rng([plan.seed, 83]).standard_normal((draws, max(width, rank), m))
        ways = np.linalg.qr(ways)[0]
        spanned = np.sqrt((1 - share) * ridge.w / n + share * level)[:, None] * ways[:, :rank]
        beyond = np.sqrt(share * level) * ways[:, rank:]
        columns = np.concatenate([(ridge.u * np.sqrt(ridge.w)) @ spanned, shift], axis=2)
        size = np.swapaxes(spanned, 1, 2) @ spanned + np.swapaxes(beyond, 1, 2) @ beyond
        penalties = GRID if chosen else (plan.penalty,)
        return cls._of(ridge, plan, labels, columns, size, penalties, chosen, np.float32)

    @classmethod
    def _of(
        cls,
        ridge: Ridge,
        plan: Plan,
        labels: np.ndarray,
        columns: np.ndarray,
        size: np.ndarray,
        penalties: tuple[float, ...],
        chosen: bool,
        dtype: type,
    ) -> "Planting":
        """Sort by fold and predict before planting; `columns` C [draws, n, 2m] are features and codes."""
        order = np.argsort(plan.folds[0], kind="stable")
        folds = plan.folds[0][order]
        raw = coded_vectors(labels[:, order], None if plan.classes is None else len(plan.classes))
        codes, means = (_classes_second(a) for a in (raw, fold_means(raw, folds)))
        cuts = np.searchsorted(folds, np.arange(plan.n_folds + 1))
        edges = list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))
        sorted_ridge = replace(ridge, u=ridge.u[order])
        columns = columns[:, order]
        return cls(
            plan=plan,
            order=order,
            edges=edges,
            labels=labels[:, order],
            target=(codes - means).astype(dtype),
            means=means,
            size=size,
            unplanted=tuple(Unplanted.fit(sorted_ridge, codes, means, columns, edges, p, dtype) for p in penalties),
            draws=len(columns),
            chosen=chosen,
        )

    def scores(self, s: float, draws: int) -> tuple[float, float]:
        """Mean score of the first draws planted at this separation, and phi: their spread over their own error."""
        classes = None if self.plan.classes is None else len(self.plan.classes)
        found, errors, back = [], [], np.argsort(self.order)
        for draw in range(draws):
            rows = self._rows(draw)
            margin = self._headline([self.margin(before, draw, s) for before in self.unplanted], draw)
            label = self.labels[rows][:1, back]
            got = score_margin(_classes_last(margin)[:1, back], label, classes, self.plan.groups, self.plan.folds[0])
            found.append(float(got.score[0]))
            errors.append(float(floored_error(got, label, self.plan)[0]))
        predicted = float(np.mean(errors))
        return float(np.mean(found)), float(np.std(found, ddof=1)) / predicted if predicted > 0 else 1.0

    def rate(self, strength: float) -> float:
        """Share of draws that the rule calls present when a signal of this strength is planted."""
        classes = None if self.plan.classes is None else len(self.plan.classes)
        s = separation(strength, classes)
        return float(np.mean([self.detected(draw, s) for draw in range(self.draws)]))

    def detected(self, draw: int, s: float) -> bool:
        """The rule for `present` on one planting: permutation p at most .05."""
        return self._significant([self.margin(before, draw, s) for before in self.unplanted], draw)

    def _rows(self, draw: int) -> np.ndarray:
        """Label vectors of one draw: its own, then the permuted ones."""
        return np.concatenate([[draw], np.arange(self.draws, len(self.labels))])

    def _significant(self, margins: list[np.ndarray], draw: int) -> bool:
        rows, classes = self._rows(draw), None if self.plan.classes is None else len(self.plan.classes)
        best = np.full(len(rows), -np.inf)
        for margin in margins[: len(GRID)]:
            found = association(_classes_last(margin), self.labels[rows], self._baseline(rows), classes)
            np.maximum(best, found, out=best)
        return bool((best[1:] >= best[0]).sum() + 1 <= 0.05 * len(best))

    def _baseline(self, rows: np.ndarray) -> np.ndarray:
        return self.means[rows, 0] if self.plan.number else np.zeros((1, 1))

    def _headline(self, margins: list[np.ndarray], draw: int) -> np.ndarray:
        """The margins that decide: of the fixed penalty, or of the one chosen fold by fold."""
        if not self.chosen:
            return margins[GRID.index(self.plan.penalty) if len(margins) > 1 and self.plan.penalty in GRID else -1]
        target = self.target[self._rows(draw)]
        left = (target - margin for margin in margins)
        error = np.stack(
            [np.stack([np.einsum("vkn,vkn->v", e[..., a:b], e[..., a:b]) for a, b in self.edges], axis=1) for e in left]
        )  # squared, [P, V, folds]
        best = (error.sum(axis=2, keepdims=True) - error).argmin(axis=0)
        picked = np.empty_like(margins[0])
        for part, (a, b) in enumerate(self.edges):
            for penalty, margin in enumerate(margins):
                mine = best[:, part] == penalty
                picked[mine, :, a:b] = margin[mine, :, a:b]
        return picked

    def margin(self, before: Unplanted, draw: int, s: float) -> np.ndarray:
        """Held-out margins [1 + permuted, K, n] of one draw planted at separation s: the module's formula."""
        rows = self._rows(draw)
        out = before.margin[rows]
        if s <= 0:
            return out
        m = self.size.shape[1]
        inverse_q = before.column_gram[draw].copy()
        inverse_q[:m, :m] -= before.rho * self.size[draw]
        step = before.rho / s * np.eye(m)
        inverse_q[:m, m:] += step
        inverse_q[m:, :m] += step
        q = np.linalg.solve(inverse_q, before.label_products[draw][:, rows].reshape(2 * m, -1))
        gram = before.fold_gram[draw]
        products = before.error_products[draw][:, :, rows].reshape(len(self.edges), 2 * m, -1)
        g = np.linalg.solve(inverse_q - gram, products - gram @ q) - q
        for (a, b), change in zip(self.edges, np.swapaxes(g, 1, 2).astype(out.dtype), strict=True):
            out[:, :, a:b] -= (change @ before.fold_inverse[draw, a:b].T).reshape(len(rows), -1, b - a)
        return out


def _shrinkage(ridge: Ridge, independent: int, width: int) -> tuple[float, float]:
    """Mean variance of a feature and the share of it in the shrunk covariance (Ledoit & Wolf 2004)."""
    n = len(ridge.u)
    level = float(ridge.w.sum() / n / width)
    square = float(np.square(ridge.w / n).sum())
    anisotropy = square - width * level**2
    fourth = float(np.square((np.square(ridge.u) * ridge.w).sum(axis=1)).mean())
    noise = (fourth - square) / independent
    return level, min(1.0, max(0.0, noise / anisotropy)) if anisotropy > 0 else 1.0


def signal_inflation(ridge: Ridge, plan: Plan, width: int, score: float, *, chosen: bool, draws: int = REFITS) -> float:
    """The phi of a score that reads something: the spread of plantings that read as well as the observed labels.

    Near as many items as features a probe's luck with its training set grows with the signal, which permuted
    labels alone do not show: there the interval would cover 89 % instead of 95.
    """
    goal = min(score, 0.95)
    if goal <= plan.chance or len(ridge.w) < 2 * len(plan.classes or (0, 0)):
        return 1.0
    return inflation_at(Planting.in_population(ridge, plan, width, draws=draws, chosen=chosen).scores, goal, draws)


def inflation_at(scores: Callable[[float, int], tuple[float, float]], goal: float, draws: int) -> float:
    """Phi at the separation whose plantings read as well as `goal`, by doubling and halving; see `Planting.scores`."""
    few, low, high = max(8, draws // 5), 0.0, 1.0
    while scores(high, few)[0] < goal and high < 64:
        low, high = high, 2 * high
    for _ in range(4):
        middle = (low + high) / 2
        low, high = (middle, high) if scores(middle, few)[0] < goal else (low, middle)
    return scores((low + high) / 2, draws)[1]


def planted_directions(space: Subspace, seed: int, draws: int, m: int) -> np.ndarray:
    """Random directions, orthonormal after whitening, in the coordinates of the subspace: [draws, k, m]."""
    k = len(space.variance)
    if k < m:
        raise ProbeError(f"{k} directions cannot hold a signal for {m + 1} classes: bring more unlabelled images")
    ways = np.linalg.qr(np.random.default_rng([seed, 82]).standard_normal((draws, k, m)))[0]
    return np.sqrt(space.variance)[:, None] * ways


def planted_code(labels: np.ndarray, classes: int | None) -> np.ndarray:
    """What is added for each label: simplex corners sqrt(2) apart [.., n, K-1], or the standardised number."""
    if classes is None:
        centred = labels - labels.mean(axis=1, keepdims=True)
        return (centred / centred.std(axis=1, keepdims=True))[..., None]
    basis = np.linalg.qr(np.eye(classes) - 1 / classes)[0][:, : classes - 1]
    code = basis[labels.astype(np.int64)]
    return code - code.mean(axis=1, keepdims=True)


def _classes_second(rows: np.ndarray) -> np.ndarray:
    """[V, n] or [V, n, K] to [V, K, n]."""
    return rows[:, None] if rows.ndim == 2 else np.moveaxis(rows, 2, 1)


def _classes_last(rows: np.ndarray) -> np.ndarray:
    """[V, 1, n] to [V, n], else [V, K, n] to [V, n, K]."""
    return rows[:, 0] if rows.shape[1] == 1 else np.moveaxis(rows, 1, 2)
