"""The permutation test: the whole procedure replayed on exchanged labels of one feature set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.solvers.ridge import Ridge
from probes.stats.plan import GRID, Plan
from probes.stats.scores import Scored, association, coded, fold_means, score_margin

PERMUTED = 99  # exchanged label vectors that the whole procedure is replayed on


CHOICES = tuple(float(p) for p in 10.0 ** np.arange(-3, 3.5, 1.0))  # penalties of a replayed choice


@dataclass(frozen=True, kw_only=True, eq=False)
class Null:
    """The permutation test and the replay of one feature set.

    statistic [1 + B]: the observed one first, through the same code. `fixed` replays the ridge of the plan's
    penalty on the first REPLAYS exchanged label vectors; `chosen` the ridge that chooses its penalty on each.
    """

    statistic: np.ndarray
    fixed: Scored
    chosen: Scored | None

    @property
    def p(self) -> float:
        """(1 + how many exchanged label vectors reach the observed statistic) / (1 + how many there are)."""
        return (1 + int((self.statistic[1:] >= self.statistic[0]).sum())) / len(self.statistic)


def null(ridge: Ridge, plan: Plan, *, permutations: int | None = None, choose: bool = False) -> Null:
    """Permute, test and replay on one decomposed feature set (Phipson & Smyth 2010 for the p-value)."""
    classes = None if plan.classes is None else len(plan.classes)
    labels = np.concatenate([plan.y[None], plan.permuted[:permutations]])
    codes, folds = coded(labels, classes), plan.folds[0]
    means = fold_means(codes, folds)
    base = means if classes is None else np.zeros((1, 1))
    best = np.full(len(labels), -np.inf)
    fixed = None
    for penalty, fitted in zip(GRID, ridge.each(codes, folds, GRID), strict=True):
        margin = fitted - means
        np.maximum(best, association(margin, labels, base, classes), out=best)
        if penalty == plan.penalty:
            fixed = score_margin(margin[1 : 1 + PERMUTED], labels[1 : 1 + PERMUTED], base[1 : 1 + PERMUTED], classes)
    few, cut = slice(1, 1 + PERMUTED), (labels[1 : 1 + PERMUTED], codes[1 : 1 + PERMUTED], means[1 : 1 + PERMUTED])
    if fixed is None:
        (fitted,) = ridge.each(cut[1], folds, [plan.penalty])
        fixed = score_margin(fitted - cut[2], cut[0], base[few], classes)
    chosen = permute_choice(ridge, folds, *cut, classes) if choose else None
    return Null(statistic=best, fixed=fixed, chosen=chosen)


def permute_choice(
    ridge: Ridge,
    folds: np.ndarray,
    labels: np.ndarray,
    codes: np.ndarray,
    means: np.ndarray,
    classes: int | None,
    grid: Sequence[float] = CHOICES,
) -> Scored:
    """Scores when every label vector chooses its penalty anew, fold by fold, from the errors of the others.

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
        picked[:, held] = margins[best, np.arange(len(labels))][:, held]
    return score_margin(picked, labels, means if classes is None else np.zeros((1, 1)), classes)
