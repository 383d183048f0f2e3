"""The best of several sites: what it reads when it is chosen inside the training part, and its simultaneous interval.

The highest of several scores is too high: it was chosen for its luck. Two numbers are honest. The nested one lets
inner folds of every training part choose the site, which then reads the fold that was held out. And an interval that
holds for all sites at once holds for whichever is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from probes._base import Estimate, Predictions
from probes.solvers.codes import coded_vectors, fold_means
from probes.stats.intervals import floored_error
from probes.stats.measure import summarise
from probes.stats.measurement import Measurement
from probes.stats.permutation import HELD, Null
from probes.stats.plan import Plan
from probes.stats.scores import Scored, score_margin

BOOTSTRAP = 1999  # draws of the multiplier bootstrap


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Measurements of one plan among which inner folds choose, with what a replay of the choice needs.

    margin [S][B, n(, K)] are held-out margins of refits to permuted labels, error [S, B, folds] their squared errors
    in each fold; both None where some probe was not refitted.
    """

    plan: Plan
    of: tuple[Measurement, ...]
    margin: tuple[np.ndarray, ...] | None
    error: np.ndarray | None

    @classmethod
    def among(cls, measurements: Sequence[Measurement], plan: Plan) -> "Candidates":
        """Make ready to choose among measurements, each of which has the errors of its inner folds."""
        if any(m.permuted is None for m in measurements):
            return cls(plan=plan, of=tuple(measurements), margin=None, error=None)
        margins = [_margin(m) for m in measurements]
        count = min(len(margin) for margin in margins)
        classes, fold = None if plan.classes is None else len(plan.classes), plan.folds[0]
        error = np.empty((len(margins), count, plan.n_folds))
        held, size = [fold == k for k in range(plan.n_folds)], max(1, HELD // max(1, margins[0][0].size))
        for rows in (slice(start, min(start + size, count)) for start in range(0, count, size)):
            codes = coded_vectors(plan.permuted[rows], classes)
            target = codes - fold_means(codes, fold)
            for of, margin in zip(error, margins, strict=True):
                wrong = np.square(margin[rows] - target)
                wrong = wrong if wrong.ndim == 2 else wrong.sum(axis=-1)
                of[rows] = np.stack([wrong[:, mine].sum(axis=1) for mine in held], axis=-1)
        return cls(plan=plan, of=tuple(measurements), margin=tuple(one[:count] for one in margins), error=error)

    def choices(self, which: Sequence[int]) -> np.ndarray:
        """The candidate of least squared error in the inner folds of each training part, [R, folds]."""
        inner = [self.of[i].inner for i in which]
        assert all(one is not None for one in inner), "a choice needs the errors of inner folds"
        return np.asarray(which)[np.stack(inner).argmin(axis=0)]  # type: ignore[arg-type]

    def chosen(self, which: Sequence[int]) -> Measurement:
        """The measurement in which every fold is read by the candidate that inner folds of the others choose.

        Its interval has the phi of refits to permuted labels that choose anew on the other folds; its p is that of the
        largest statistic of the candidates, the search paid for.
        """
        picked = self.choices(which)
        usual = self.of[int(np.bincount(picked.ravel()).argmax())]
        if len(which) == 1:
            return usual
        predictions = self._predictions(picked)
        null, permuted = usual.null, None
        if self.margin is not None:
            null = self._null(which)
            permuted = null.fixed
        return summarise(predictions, None, self.plan, null, permuted, usual.probe, screened=usual.screened,
                         signal=_signal(usual, self.plan))  # fmt: skip

    def _predictions(self, picked: np.ndarray) -> Predictions:
        first = self.of[int(picked[0, 0])].predictions
        predicted, score = first.predicted.copy(), first.score.copy()
        for r, fold in enumerate(self.plan.folds):
            for k, i in enumerate(picked[r]):
                held, of = fold == k, self.of[int(i)].predictions
                predicted[r, held], score[r, held] = of.predicted[r, held], of.score[r, held]
        return replace(first, predicted=predicted, score=score, probability=None, penalty=None, notes=())

    def _null(self, which: Sequence[int]) -> Null:
        """Refits to permuted labels in which every fold is read by the candidate with least error on the others."""
        assert self.margin is not None
        assert self.error is not None
        which = list(which)
        others = self.error[which].sum(axis=-1, keepdims=True) - self.error[which]
        best = np.asarray(which)[others.argmin(axis=0)]  # [B, folds]
        margin = np.empty_like(self.margin[which[0]])
        for k, mine in enumerate(best.T):
            held = np.flatnonzero(self.plan.folds[0] == k)
            for i in which:
                some = np.ix_(np.flatnonzero(mine == i), held)
                margin[some] = self.margin[i][some]
        count = min(len(self.of[i].null.statistic) for i in which)
        return Null(
            statistic=np.max([self.of[i].null.statistic[:count] for i in which], axis=0),
            fixed=_replayed(self.plan, margin),
            chosen=None,
            fixed_margin=margin,
        )


def nested_best(measurements: Sequence[Measurement], plan: Plan) -> Measurement | None:
    """What the best of several sites reads, the site chosen inside each training part.

    None where a probe has no errors of inner folds to choose by.
    """
    if any(m.inner is None for m in measurements):
        return None
    return Candidates.among(measurements, plan).chosen(range(len(measurements)))


def widened(estimate: Estimate, wider: float) -> tuple[float | None, float | None]:
    """The interval of one of several estimates, made wider so that it holds for all at once; see `simultaneous`."""
    e = estimate
    if e.low is None or e.high is None:
        return None, None
    return max(0.0, e.score - wider * (e.score - e.low)), min(1.0, e.score + wider * (e.high - e.score))


def simultaneous(parts: Sequence[np.ndarray], plan: Plan, confidence: float = 0.95) -> float:
    """By how much 95 % intervals of several scores must be wider to hold all at once with a confidence.

    Contributions [S][n] are given.

    The largest absolute t of a Gaussian multiplier bootstrap of the contributions of groups (Chernozhukov, Chetverikov
    & Kato 2013, Annals of Statistics 41, 2786-2819; Montiel Olea & Plagborg-Moller 2019, Journal of Applied
    Econometrics 34, 1-17), on Student's scale, beside the quantile of one. Seeded by the plan.
    """
    from scipy.special import ndtr, stdtrit

    df = plan.n_groups - 1
    each = np.zeros((plan.n_groups, len(parts)))
    np.add.at(each, plan.groups, np.stack(parts, axis=1))
    spread = np.sqrt(np.square(each).sum(axis=0))
    each = each[:, spread > 0] / spread[spread > 0]
    if not each.shape[1]:
        return 1.0
    rng, size = np.random.default_rng([plan.seed, 76]), max(1, HELD // 4 // plan.n_groups)
    draws = (rng.standard_normal((min(size, BOOTSTRAP - a), plan.n_groups)) for a in range(0, BOOTSTRAP, size))
    highest = [np.abs(some @ each).max(axis=1) for some in draws]
    largest = np.quantile(np.concatenate(highest), confidence)
    return max(1.0, float(stdtrit(df, ndtr(largest)) / stdtrit(df, 0.975)))


def _margin(m: Measurement) -> np.ndarray:
    """The margins of the refits that are this measurement's own procedure."""
    chosen = m.null.chosen_margin if m.probe.startswith("linear") else None
    return m.null.fixed_margin if chosen is None else chosen


def _replayed(plan: Plan, margin: np.ndarray) -> Scored:
    classes = None if plan.classes is None else len(plan.classes)
    return score_margin(margin, plan.permuted[: len(margin)], classes, plan.groups, plan.folds[0])


def _signal(m: Measurement, plan: Plan) -> float:
    """The inflation that a measurement's own error was found to need, where something is to be read."""
    plain = float(floored_error(m.scored, plan.y, plan).mean())
    return m.error / plain if plain > 0 else 1.0
