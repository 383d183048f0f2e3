"""Paired differences of many measurements of one plan, with intervals that hold all at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.stats.best import simultaneous
from probes.stats.difference import compare
from probes.stats.measurement import Difference, Measurement
from probes.stats.plan import FEW, Plan

POWER = 0.8  # of a difference that is said to be seen
TINY = 1e-9  # half an interval below which no spread was seen


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The difference a - b of two of several measurements, by their numbers.

    `error` is its standard error; `low` and `high` hold for all pairs at once; `detectable` is the difference that such
    an interval tells from 0 eight times in ten. All None below 20 groups.
    """

    a: int
    b: int
    difference: Difference
    error: float | None
    low: float | None
    high: float | None
    detectable: float | None


def pairs_of(
    measurements: Sequence[Measurement], pairs: Sequence[tuple[int, int]], plan: Plan, confidence: float = 0.95
) -> list[Pair]:
    """The differences of pairs of measurements of one plan, item by item on identical folds.

    Each is that of `probes.compare`; `best.simultaneous` makes its interval wider, so that with `confidence` all hold.
    Where two answer so much alike that their difference shows no spread, it is as uncertain as that of groups none of
    which was seen to differ, unless both are one and the same.
    """
    from scipy.special import stdtr, stdtrit

    parts = [m.scored.part.mean(axis=0) for m in measurements]
    df = plan.n_groups - 1
    t, power = float(stdtrit(df, 0.975)), float(stdtrit(df, POWER))
    wider = float(stdtrit(df, (1 + confidence) / 2)) / t
    if len(pairs) > 1:
        wider = max(wider, simultaneous([parts[a] - parts[b] for a, b in pairs], plan, confidence))
    found = []
    for a, b in pairs:
        d = compare(measurements[a], measurements[b], plan)
        if d.low is None or d.high is None or plan.n_groups < FEW:
            found.append(Pair(a=a, b=b, difference=d, error=None, low=None, high=None, detectable=None))
            continue
        half = (d.high - d.low) / 2
        if half < TINY and not same(measurements[a], measurements[b]):
            half = unseen(plan)
            p = float(2 * stdtr(df, -abs(d.score) * t / half))
            d = Difference(score=d.score, low=d.score - half, high=d.score + half, p=p)
        found.append(
            Pair(a=a, b=b, difference=d, error=half / t, low=d.score - wider * half, high=d.score + wider * half,
                 detectable=(wider + power / t) * half)
        )  # fmt: skip
    return found


def same(a: Measurement, b: Measurement) -> bool:
    """Whether two measurements are one: the same held-out decision values for every item."""
    return np.array_equal(a.predictions.score, b.predictions.score)


def unseen(plan: Plan) -> float:
    """The difference that may have escaped where no group was seen to differ: the exact binomial bound.

    With every doubt in the smallest class, as the interval of a score that is all right (`intervals.interval`).
    """
    return (1 - 0.025 ** (1 / plan.rare)) * (1.0 if plan.number else plan.chance)


def variances(pairs: Sequence[Pair], count: int) -> np.ndarray:
    """The variance [S, S] of the difference of each two of `count` measurements, all of whose pairs are given."""
    found = np.zeros((count, count))
    for one in pairs:
        assert one.error is not None, "below 20 groups there is no error"
        found[one.a, one.b] = found[one.b, one.a] = one.error**2
    return found


def half_widths(pairs: Sequence[Pair], count: int) -> np.ndarray:
    """Simultaneous half widths [S, S] of the difference of each two of `count` measurements, infinite of others."""
    found = np.full((count, count), np.inf)
    for one in pairs:
        assert one.high is not None, "below 20 groups there is no interval"
        found[one.a, one.b] = found[one.b, one.a] = one.high - one.difference.score
    return found


def unpaired(a: Measurement, b: Measurement) -> tuple[Difference, float | None, float]:
    """The difference of two scores of independent sets, its standard error and its degrees of freedom.

    Welch's interval on the two standard errors, with groups for observations (Welch 1947, Biometrika 34, 28-35); None
    where either set has fewer than 20 groups. A set of which all is right, or all wrong, is as uncertain as `unseen`.
    """
    from scipy.special import stdtr, stdtrit

    score = a.estimate.score - b.estimate.score
    na, nb = a.plan.n_groups, b.plan.n_groups
    if min(na, nb) < FEW:
        return Difference(score=score, low=None, high=None, p=None), None, np.nan
    va, vb = (np.square(m.error if m.error > TINY else unseen(m.plan) / stdtrit(m.plan.n_groups - 1, 0.975))
              for m in (a, b))  # fmt: skip
    error = float(np.sqrt(va + vb))
    df = float((va + vb) ** 2 / (va**2 / (na - 1) + vb**2 / (nb - 1)))
    half = float(stdtrit(df, 0.975)) * error
    p = float(2 * stdtr(df, -abs(score) / error))
    return Difference(score=score, low=score - half, high=score + half, p=p), error, df
