"""The choice between an image's marks for thousands of label vectors at once, exactly as the probe makes it.

The fit is linear in the labels, so one decomposition serves the observed labels and every exchanged vector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from probes._base import FeatureSet, ProbeError
from probes.solvers.ridge import Ridge
from probes.solvers.scale import standardised
from probes.stats.exchange import Exchange
from probes.stats.permutation import PERMUTED, Null
from probes.stats.plan import GRID, Plan
from probes.stats.planting import Planting, inflation_at
from probes.stats.scores import Scored, association, score_margin

PENALTY = 0.03  # relative to trace(K) / rows, as for the ridge probe


def solver_of(given: FeatureSet) -> Ridge:
    """Decompose the tokens [n * K, d] under the K marks of every item.

    Tokens are standardised over all marks of all items and centred within each item. No label enters.

    Raises:
        ProbeError: a numeric target, or a width that K does not divide.
    """
    if given.classes is None:
        raise ProbeError("the probe 'marks' chooses one of an image's marks: it needs classes, not a number")
    n, count = len(given.x), len(given.classes)
    if given.x.shape[1] % count:
        raise ProbeError(
            f"the probe 'marks' needs one token for each of {count} classes: a width of {given.x.shape[1]} is none; "
            "use the readout at-mark"
        )
    tokens = standardised(given.x.reshape(n * count, -1)).reshape(n, count, -1)
    return Ridge.of((tokens - tokens.mean(axis=1, keepdims=True)).reshape(n * count, -1), standardise=False)


def choices(
    solver: Ridge,
    labels: np.ndarray,
    fold: np.ndarray,
    count: int,
    penalties: Sequence[float],
    *,
    dtype: type = np.float32,
) -> Iterator[np.ndarray]:
    """For each penalty in turn, the held-out score of every mark, [B, n, K], for label vectors [B, n]."""
    for fitted in solver.each(_targets(labels, count), np.repeat(fold, count), penalties, dtype=dtype):
        yield fitted.reshape(*labels.shape, count)


def null_of_choices(solver: Ridge, plan: Plan, *, permutations: int | None = None) -> Null:
    """Permutation test and replay of the choice under the plan's exchanged labels; the statistic is ridge's.

    Labels change places between items as the plan says, never between the marks of one item: what marks have in
    common by their place or colour is the same under every exchange.
    """
    count = len(plan.classes or ())
    labels = np.concatenate([plan.y[None], plan.permuted[:permutations]])
    best, none = np.full(len(labels), -np.inf), np.zeros((1, 1))
    fixed: Scored | None = None
    for penalty, score in zip(GRID, choices(solver, labels, plan.folds[0], count, GRID), strict=True):
        margin = score[..., 1] - score[..., 0] if count == 2 else score
        np.maximum(best, association(margin, labels, none, count), out=best)
        if penalty == PENALTY:
            fixed = score_margin(margin[1 : 1 + PERMUTED], labels[1 : 1 + PERMUTED], none, count)
    assert fixed is not None, "the test's penalties hold the probe's own"
    return Null(statistic=best, fixed=fixed, chosen=None)


@dataclass(frozen=True, kw_only=True, eq=False)
class _OverMarks(Exchange):
    """Exchanged labels of items as the targets of all their marks: 1 - 1/K for the chosen one, -1/K for the others."""

    count: int

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return _targets(super().draw(rng, count), self.count)


def choice_inflation(solver: Ridge, plan: Plan, width: int, score: float, *, draws: int = PERMUTED) -> float:
    """The phi of a choice that reads something: directions are planted in the tokens under the chosen marks.

    Near as many marks as features a probe's luck with its training set grows with the signal; exchanged labels
    alone covered 90 to 94 % there.
    """
    count, goal = len(plan.classes or ()), min(score, 0.95)
    if goal <= plan.chance or len(solver.w) < 2 * count:
        return 1.0
    swap = plan.exchange
    marks = replace(
        plan,
        classes=None,
        folds=np.repeat(plan.folds, count, axis=1),
        groups=np.repeat(plan.groups, count),
        exchange=_OverMarks(y=swap.y, unit=swap.unit, stratum=swap.stratum, vectors=swap.vectors, count=count),
        n_groups=plan.n_groups * (count - 1),
        penalty=PENALTY,
    )
    planting = Planting.alike(solver, marks, width, draws=draws, chosen=False)
    labels, none = plan.draws(draws, 2), np.zeros((1, 1))

    def scores(s: float, few: int) -> tuple[float, float]:
        fitted = np.empty((few, solver.u.shape[0]), dtype=np.float32)
        for draw in range(few):
            fitted[draw, planting.order] = planting.margin(planting.bases[0], draw, s)[0, 0]
        mark = fitted.reshape(few, -1, count)
        got = score_margin(mark[..., 1] - mark[..., 0] if count == 2 else mark, labels[:few], none, count)
        predicted = float(got.error(plan.groups).mean())
        return got.mean, float(got.score.std(ddof=1)) / predicted if predicted > 0 else 1.0

    return inflation_at(scores, goal, draws)


def _targets(labels: np.ndarray, count: int) -> np.ndarray:
    return ((labels[..., None] == np.arange(count)) - 1 / count).reshape(len(labels), -1)
