"""The permutation test of one feature set: its p-value, and the scores of refits to permuted labels.

Which labels may be permuted with which is the plan's: see `probes.stats.block_permutation`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from probes.solvers.codes import coded_vectors, fold_means
from probes.solvers.ridge import Ridge
from probes.stats.plan import GRID, Plan
from probes.stats.scores import Scored, association, score_margin

HELD = 1 << 24  # numbers of label vectors that are worked on at a time (128 MiB), however many there are
REFITS = 99  # permuted label vectors to which the whole procedure is refitted
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


def each_penalty(ridge: Ridge, labels: np.ndarray, plan: Plan) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """For each penalty of GRID: it, the held-out margins of label vectors [B, n], and their `association` [B].

    Margins [B, n(, K)] are predictions less the mean of the training part, on the plan's first repeat of folds.
    """
    classes = None if plan.classes is None else len(plan.classes)
    codes, folds = coded_vectors(labels, classes), plan.folds[0]
    means = fold_means(codes, folds)
    base = means if classes is None else np.zeros((1, 1))
    for penalty, fitted in zip(GRID, ridge.each(codes, folds, GRID), strict=True):
        margin = fitted - means
        yield penalty, margin, association(margin, labels, base, classes)


def permutation_test(ridge: Ridge, plan: Plan, *, permutations: int | None = None, choose: bool = False) -> Null:
    """Permutation test of one decomposed feature set, and refits to the first permuted label vectors.

    The statistic is the largest `association` of held-out margins over the penalties of GRID, on the plan's first
    repeat of folds. `permutations` takes only so many of the plan's permuted labels; `choose` also refits with a
    penalty chosen anew for each label vector.
    """
    classes = None if plan.classes is None else len(plan.classes)
    labels = np.concatenate([plan.y[None], plan.permuted[:permutations]])
    best = np.full(len(labels), -np.inf)
    refits, folds = labels[1 : 1 + REFITS], plan.folds[0]
    many = 1 if classes is None or classes == 2 else classes
    parts = []
    for start, stop in _spans(len(labels), len(folds) * many):
        for penalty, margin, found in each_penalty(ridge, labels[start:stop], plan):
            np.maximum(best[start:stop], found, out=best[start:stop])
            if penalty == plan.penalty and start <= REFITS:
                parts.append(margin[max(0, 1 - start) : 1 + REFITS - start].astype(np.float32))
    of_refits = _spans(len(refits), len(folds) * many * len(CHOICE_GRID))
    if not parts:
        for start, stop in of_refits:
            codes = coded_vectors(refits[start:stop], classes)
            (fitted,) = ridge.each(codes, folds, [plan.penalty])
            parts.append((fitted - fold_means(codes, folds)).astype(np.float32))
    kept, chosen = np.concatenate(parts), None
    if choose:
        coded = (coded_vectors(refits[start:stop], classes) for start, stop in of_refits)
        chosen = np.concatenate(
            [margin_with_chosen_penalty(ridge, folds, codes, fold_means(codes, folds)) for codes in coded]
        )
    return Null(
        statistic=best,
        fixed=score_margin(kept, refits, classes, plan.groups, folds),
        chosen=None if chosen is None else score_margin(chosen, refits, classes, plan.groups, folds),
        fixed_margin=kept,
        chosen_margin=chosen,
    )


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
    margins = np.stack([fitted - means for fitted in ridge.each(codes, folds, grid)])  # [P, B, n(, K)]
    error = np.square(margins - (codes - means))
    error = error if codes.ndim == 2 else error.sum(axis=-1)  # [P, B, n]
    picked = np.empty_like(margins[0])
    for part in range(int(folds.max()) + 1):
        held = folds == part
        best = error[:, :, ~held].sum(axis=2).argmin(axis=0)
        picked[:, held] = margins[best, np.arange(len(codes))][:, held]
    return picked.astype(np.float32)
