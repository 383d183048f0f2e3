"""Records of what was measured: one probe on one feature set, and the paired difference of two measurements."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from probes._base import Estimate, Predictions, State
from probes.stats.detection import Limit
from probes.stats.permutation import Null
from probes.stats.plan import Plan
from probes.stats.scores import Scored


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """One probe on one feature set: score, error, permutation test, limit of detection, state.

    `probe` says which number this is ("ridge 0.03", "linear-v1" …), `screened` that it is a closed-form map
    value rather than a headline. `scored` holds the score and item contributions of each repeat, `permuted`
    the same of refits to permuted labels (None for a probe that is not refitted); paired differences need both.
    `error` is the standard error, `null_error` that where nothing is to be read, `upper` the one-sided 95 %
    bound. `leak` is the alarm: significantly below chance. `state` and `reason` are those of this cell alone.
    `inner` [R, folds] is the squared error of the closed-form ridge in the inner folds of each training part, by which
    one site or another is chosen without the fold that is held out. `companions` are scores without an interval, by
    name: of a number, R2 of its normal scores, and R2 of the number itself as a ridge on it reads it.
    """

    plan: Plan
    estimate: Estimate
    predictions: Predictions
    probe: str
    screened: bool
    scored: Scored
    permuted: Scored | None
    null: Null
    error: float
    null_error: float
    upper: float
    leak: bool
    inner: np.ndarray | None = None
    nested: Estimate | None = None
    nested_probe: str | None = None
    companions: Mapping[str, float] = field(default_factory=dict)
    limit: Limit | None = None
    nonlinear: Estimate | None = None
    nonlinear_upper: float | None = None
    state: State = "inconclusive"
    reason: str = ""
    items_needed: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def lod(self) -> float | None:
        """Asymptotic accuracy (or R2) found 95 times in 100; None where not computed or not valid."""
        return None if self.limit is None else self.limit.lod

    @property
    def lod_self_check(self) -> float | None:
        """Detection rate of a planting of no strength."""
        return None if self.limit is None else self.limit.self_check

    @property
    def variance_held(self) -> float | None:
        """Share of the images' variance in the directions that were searched."""
        return None if self.limit is None else self.limit.held


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference of two scores on identical folds; p is two-sided."""

    score: float
    low: float | None
    high: float | None
    p: float | None
