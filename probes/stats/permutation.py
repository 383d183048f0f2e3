"""The permutation test of one feature set: its p-value, and the scores of refits to permuted labels.

Which labels may be permuted with which is the plan's: see `probes.stats.block_permutation`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from probes.solvers.codes import coded_vectors, fold_means
from probes.solvers.ridge import LeftOut, Ridge, as_coded, as_rows
from probes.stats.plan import GRID, Plan
from probes.stats.scores import Scored, association, score_margin

HELD = 1 << 24  # numbers of label vectors that are worked on at a time (128 MiB), however many there are
CACHED = 1 << 17  # numbers of label vectors that are coded and ordered at a time (1 MiB)
REFITS = 99  # permuted label vectors to which the whole procedure is refitted
ROUNDING = 1e-4  # of a statistic whose products are of float32, beside what two pairs that change places make
CHOICE_GRID = tuple(float(p) for p in 10.0 ** np.arange(-3, 3.5, 1.0))  # penalties a refit may choose from


@dataclass(frozen=True, kw_only=True, eq=False)
class Null:
    """What the permutation test of one feature set gives.

    statistic [1 + B]: that of the observed labels first, then of the permuted ones, all through the same code.
    `fixed` holds the scores of ridge with the plan's penalty refitted to the first REFITS permuted label vectors,
    `chosen` those of ridge that chooses its penalty anew for each. `fixed_margin` and `chosen_margin` [REFITS, n(, K)]
    are the held-out margins behind them, float32, so that a choice between sites can be replayed.
    """

    statistic: np.ndarray
    fixed: Scored
    chosen: Scored | None
    fixed_margin: np.ndarray
    chosen_margin: np.ndarray | None = None

    @property
    def p(self) -> float:
        """The permutation p: (1 + permuted label vectors that reach the observed statistic) / (1 + B).

        Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9, article 39.
        """
        return permutation_p(self.statistic)

    @property
    def p_low(self) -> float:
        """The same the other way: how seldom exchanged labels give a statistic as low as the observed one."""
        return (1 + int((self.statistic[1:] <= self.statistic[0]).sum())) / len(self.statistic)


def permutation_p(statistic: np.ndarray) -> float:
    """The permutation p of statistics [1 + B], the observed one first; see `Null.p`."""
    return (1 + int((statistic[1:] >= statistic[0]).sum())) / len(statistic)


def each_penalty(
    ridge: Ridge, labels: np.ndarray, plan: Plan, dtype: type = np.float32
) -> Iterator[tuple[float, int, int, np.ndarray, np.ndarray]]:
    """For each penalty of GRID and span of label vectors [B, n]: the penalty, first and last, margins, `association`.

    Products run in `dtype`. Margins [b, n(, K)] are held-out predictions less the mean of the training part, on the
    plan's first repeat of folds; what is the same for all label vectors, or for all penalties, is computed once.
    """
    classes, folds = None if plan.classes is None else len(plan.classes), plan.folds[0]
    many = 1 if classes is None or classes == 2 else classes
    left = LeftOut(ridge, folds, len(labels) * many, dtype)
    spans = _spans(len(labels), len(folds) * many)
    wide = max(1, 2 * HELD // ((spans[0][1] - spans[0][0]) * many * left.width))  # spans whose sums are kept
    for some in (spans[first : first + wide] for first in range(0, len(spans), wide)):
        sums = [left.sums(_coded_rows(labels[a:b, left.order], classes, many, dtype)) for a, b in some]
        for penalty in GRID:
            made = left.made(penalty)
            for (a, b), one in zip(some, sums, strict=True):
                rows = _coded_rows(labels[a:b, left.order], classes, many, dtype) if left.needs_rows else None
                fitted = left.predicted(rows, one, made)
                for first, last in _blocks(a, b, len(folds) * many):
                    codes = coded_vectors(labels[first:last], classes)
                    means = fold_means(codes, folds)
                    mine = fitted[(first - a) * many : (last - a) * many]
                    margin = as_coded(mine[:, left.back], codes) - means
                    base = means if classes is None else np.zeros((1, 1))
                    yield penalty, first, last, margin, association(margin, labels[first:last], base, classes)


def _coded_rows(labels: np.ndarray, classes: int | None, many: int, dtype: type) -> np.ndarray:
    """Label vectors [B, n] as ridge targets, `many` rows each."""
    out = np.empty((len(labels) * many, labels.shape[1]), dtype=dtype)
    for first, last in _blocks(0, len(labels), labels.shape[1] * many):
        out[first * many : last * many] = as_rows(coded_vectors(labels[first:last], classes), dtype)
    return out


def _blocks(start: int, stop: int, wide: int) -> Iterator[tuple[int, int]]:
    """First and last of label vectors, of `wide` numbers each, that the processor's cache holds."""
    size = max(1, CACHED // wide)
    return ((first, min(first + size, stop)) for first in range(start, stop, size))


def permutation_test(ridge: Ridge, plan: Plan, *, permutations: int | None = None, choose: bool = False) -> Null:
    """Permutation test of one decomposed feature set, and refits to the first permuted label vectors.

    The statistic is the largest `association` of held-out margins over the penalties of GRID, on the plan's first
    repeat of folds. `permutations` takes only so many of the plan's permuted labels; `choose` also refits with a
    penalty chosen anew for each label vector.
    """
    classes = None if plan.classes is None else len(plan.classes)
    permuted = plan.permuted[:permutations]
    labels = np.concatenate([plan.y[None].astype(permuted.dtype), permuted])
    best = settled(
        _largest(ridge, labels, plan, np.float32), plan, lambda some: _largest(ridge, labels[some], plan, np.float64)
    )
    refits, folds = labels[1 : 1 + REFITS], plan.folds[0]
    parts, many = [], 1 if classes is None or classes == 2 else classes
    # in float64: whom a refit says of an item that it hardly tells apart is not left to the order of a sum
    for start, stop in _spans(len(refits), len(folds) * many * len(CHOICE_GRID)):
        codes = coded_vectors(refits[start:stop], classes)
        (fitted,) = ridge.each(codes, folds, [plan.penalty], dtype=np.float64)
        parts.append((fitted - fold_means(codes, folds)).astype(np.float32))
    kept, chosen = np.concatenate(parts), None
    if choose:
        codes = coded_vectors(refits, classes)
        chosen = margin_with_chosen_penalty(ridge, folds, codes, fold_means(codes, folds))
    return Null(
        statistic=best,
        fixed=score_margin(kept, refits, classes, plan.groups, folds),
        chosen=None if chosen is None else score_margin(chosen, refits, classes, plan.groups, folds),
        fixed_margin=kept,
        chosen_margin=chosen,
    )


def _largest(ridge: Ridge, labels: np.ndarray, plan: Plan, dtype: type) -> np.ndarray:
    """The largest `association` over the penalties of GRID of each label vector [B, n], [B]."""
    best = np.full(len(labels), -np.inf)
    for _, start, stop, _, found in each_penalty(ridge, labels, plan, dtype):
        np.maximum(best[start:stop], found, out=best[start:stop])
    return best


def settled(best: np.ndarray, plan: Plan, exact: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Statistics [1 + B] of float32 products, made anew in float64 where rounding could change the p.

    Those are the ones that lie so near the observed one that another order of the sums could put them on its other
    side, and it. `exact(which)` gives them for some of the label vectors.
    """
    pairs = len(plan.y) ** 2
    if plan.classes is not None:
        held = np.bincount(plan.y.astype(np.int64))
        pairs = int((held * (len(plan.y) - held))[held > 0].min())
    near = np.flatnonzero(np.abs(best - best[0]) <= ROUNDING + 2 / pairs)  # the observed one is among them
    if len(near) > 1:
        best[near] = exact(near)
    return best


def _spans(vectors: int, wide: int) -> list[tuple[int, int]]:
    """First and last of the label vectors, of `wide` numbers each, that are worked on at a time; at least one span."""
    size = max(1, HELD // wide)
    return [(start, min(start + size, vectors)) for start in range(0, max(vectors, 1), size)]


def margin_with_chosen_penalty(
    ridge: Ridge, folds: np.ndarray, codes: np.ndarray, means: np.ndarray, grid: Sequence[float] = CHOICE_GRID
) -> np.ndarray:
    """Margins when every label vector [B, n] chooses its penalty anew, fold by fold, from the errors of the others.

    A stand-in for choosing inside each training part that needs no further decomposition; only the spread of
    the scores is used, never the scores.
    """
    margins, error = [], []
    for fitted in ridge.each(codes, folds, grid, dtype=np.float64):
        margin = fitted - means
        wrong = np.square(margin - (codes - means))
        wrong = wrong if codes.ndim == 2 else wrong.sum(axis=-1)  # [B, n]
        error.append([wrong[:, folds == part].sum(axis=1) for part in range(int(folds.max()) + 1)])
        margins.append(margin.astype(np.float32))
    squares = np.array(error)  # [P, folds, B]
    picked = np.empty_like(margins[0])
    for part in range(int(folds.max()) + 1):
        held = np.flatnonzero(folds == part)
        best = (squares.sum(axis=1) - squares[:, part]).argmin(axis=0)
        for penalty, margin in enumerate(margins):
            mine = np.flatnonzero(best == penalty)
            picked[np.ix_(mine, held)] = margin[np.ix_(mine, held)]
    return picked
