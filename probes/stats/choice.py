"""Permutation test and error inflation of the probe `marks`, the choice between an image's marks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from probes.solvers.choice import PENALTY, choice_targets, score_marks
from probes.solvers.ridge import Ridge
from probes.stats.block_permutation import BlockPermutation
from probes.stats.intervals import floored_error
from probes.stats.permutation import REFITS, Null, settled
from probes.stats.plan import GRID, Plan
from probes.stats.planting import Planting, inflation_at
from probes.stats.scores import association, score_margin


def permutation_test_of_choice(ridge: Ridge, plan: Plan, *, permutations: int | None = None) -> Null:
    """Permutation test of the choice, and refits to the plan's permuted labels; the statistic is ridge's.

    `ridge` holds the decomposed tokens. Labels change places between items as the plan says, never between the
    marks of one item: what marks have in common by their place or colour is the same under every permutation.
    """
    count = len(plan.classes or ())
    labels = np.concatenate([plan.y[None], plan.permuted[:permutations]])

    def margins(labels: np.ndarray, penalties: Sequence[float], dtype: type) -> Iterator[np.ndarray]:
        for score in score_marks(ridge, labels, plan.folds[0], count, penalties, dtype=dtype):
            yield score[..., 1] - score[..., 0] if count == 2 else score

    def largest(labels: np.ndarray, dtype: type) -> np.ndarray:
        best, none = np.full(len(labels), -np.inf), np.zeros((1, 1))
        for margin in margins(labels, GRID, dtype):
            np.maximum(best, association(margin, labels, none, count), out=best)
        return best

    best = settled(largest(labels, np.float32), plan, lambda some: largest(labels[some], np.float64))
    (kept,) = (one.astype(np.float32) for one in margins(labels[1 : 1 + REFITS], [PENALTY], np.float64))
    fixed = score_margin(kept, labels[1 : 1 + REFITS], count)
    return Null(statistic=best, fixed=fixed, chosen=None, fixed_margin=kept)


@dataclass(frozen=True, kw_only=True, eq=False)
class _ChoicePermutation(BlockPermutation):
    """Permuted labels of items as the targets of all their marks."""

    count: int

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return choice_targets(super().draw(rng, count), self.count)


def choice_inflation(ridge: Ridge, plan: Plan, width: int, score: float, *, draws: int = REFITS) -> float:
    """The phi of a choice that reads something: directions are planted in the tokens under the chosen marks.

    Near as many marks as features a probe's luck with its training set grows with the signal; permuted labels
    alone covered 90 to 94 % there.
    """
    count, goal = len(plan.classes or ()), min(score, 0.95)
    if goal <= plan.chance or len(ridge.w) < 2 * count:
        return 1.0
    own = plan.permutation
    marks = replace(
        plan,
        classes=None,
        folds=np.repeat(plan.folds, count, axis=1),
        groups=np.repeat(plan.groups, count),
        permutation=_ChoicePermutation(y=own.y, unit=own.unit, block=own.block, vectors=own.vectors, count=count),
        n_groups=plan.n_groups * (count - 1),
        penalty=PENALTY,
    )
    planting = Planting.in_population(ridge, marks, width, draws=draws, chosen=False)
    labels = plan.draws(draws, 2)

    def scores(s: float, few: int) -> tuple[float, float]:
        fitted = np.empty((few, ridge.u.shape[0]), dtype=np.float32)
        fitted[:, planting.order] = planting.margin(planting.unplanted[0], s, few)[:, 0]
        mark = fitted.reshape(few, -1, count)
        got = score_margin(mark[..., 1] - mark[..., 0] if count == 2 else mark, labels[:few], count)
        predicted = float(floored_error(got, labels[:few], plan).mean())
        return got.mean, float(got.score.std(ddof=1)) / predicted if predicted > 0 else 1.0

    return inflation_at(scores, goal, draws)
