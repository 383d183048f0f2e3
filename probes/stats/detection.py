"""The limit of detection: the planted strength that the instrument's own rule calls present 95 times in 100."""

from dataclasses import dataclass

import numpy as np

from probes.stats.permutation import REFITS
from probes.stats.plan import Plan
from probes.stats.planting import DRAWS, Planting
from probes.stats.subspace import Subspace

SELF_CHECK = 0.12  # the permutation test's size at 60 draws: what a planting of no strength may be detected
SURE = 0.95  # share of plantings to be detected


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The limit of detection of one feature set, and the rates it rests on.

    `rates` maps strength (accuracy, or R2) to the share of plantings called present; `lod` the strength
    detected 95 times in 100 (A_inf), None where even the strongest is not or the self-check failed;
    `self_check` the share at no strength; `sure` whether the plan's `strength_to_exclude` is detected at that rate.
    """

    lod: float | None
    rates: dict[float, float]
    self_check: float
    valid: bool
    sure: bool
    directions: int
    held: float
    images: int | None


def strengths(classes: int | None) -> tuple[float, ...]:
    """The grid of planted strengths, none first: .5 to .95 for two classes, alike for K, 0 to .9 for R2."""
    if classes is None:
        return tuple(round(0.1 * i, 2) for i in range(10))
    return tuple(round(1 / classes + 0.1 * i * (1 - 1 / classes), 4) for i in range(10))


def limit(x: np.ndarray, plan: Plan, space: Subspace, *, draws: int = DRAWS, permutations: int = REFITS) -> Limit:
    """The limit of detection of features x [n, d] and a plan's folds: plant, ask the rule for `present`, count.

    Raises:
        ProbeError: the subspace has fewer directions than the classes need.
    """
    classes = None if plan.classes is None else len(plan.classes)
    grid = strengths(classes)
    planted = Planting.prepare(x, plan, space, draws=draws, permutations=permutations)
    rates = {grid[0]: planted.rate(grid[0])}
    valid = rates[grid[0]] <= SELF_CHECK
    low, high = 0, len(grid)
    while valid and high - low > 1:
        middle = (low + high) // 2
        rates[grid[middle]] = planted.rate(grid[middle])
        low, high = (low, middle) if rates[grid[middle]] >= SURE else (middle, high)
    if valid and plan.strength_to_exclude not in rates:
        rates[plan.strength_to_exclude] = planted.rate(plan.strength_to_exclude)
    rates = dict(sorted(rates.items()))
    return Limit(
        lod=_crossing(rates) if valid else None,
        rates=rates,
        self_check=rates[grid[0]],
        valid=valid,
        sure=valid and rates[plan.strength_to_exclude] >= SURE,
        directions=space.directions.shape[1],
        held=space.held,
        images=space.images,
    )


def _crossing(rates: dict[float, float]) -> float | None:
    """Strength at which the rate reaches .95, by interpolation of its running maximum."""
    at, rate = np.array(list(rates)), np.maximum.accumulate(np.array(list(rates.values())))
    if rate[-1] < SURE:
        return None
    i = int(np.argmax(rate >= SURE))
    if i == 0:
        return float(at[0])
    return float(at[i - 1] + (SURE - rate[i - 1]) / (rate[i] - rate[i - 1]) * (at[i] - at[i - 1]))
