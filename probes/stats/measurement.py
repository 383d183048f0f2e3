"""Records of what was measured: one probe on one feature set, and the paired difference of two measurements."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from probes._base import Estimate, Predictions, State
from probes.stats.exclusion import Exclusion
from probes.stats.permutation import Null
from probes.stats.plan import ALPHA, Plan
from probes.stats.scores import Scored


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """One probe on one feature set: score, error, permutation test, what silence excludes, state.

    `probe` says which number this is ("ridge 0.03", "linear-v1" …), `screened` that it is a closed-form map
    value rather than a headline. `scored` holds the score and item contributions of each repeat, `permuted`
    the same of refits to permuted labels (None for a probe that is not refitted); paired differences need both.
    `error` is the standard error, `null_error` that where nothing is to be read. `leak` is the alarm of a score below
    chance; it, `state` and `reason` are those of this cell alone. `limit` is what the cell's silence excludes and
    `kernel_p` the permutation p of kernel ridge, both None where absence is out of the question.
    `inner` [R, folds] is the squared error of the closed-form ridge in the inner folds of each training part, by which
    one site or another is chosen without the fold that is held out. `blind` says that equal features go with every
    answer equally often, so that no rule can read anything and there is no interval. `companions` are scores
    without an interval, by name: of a number, R2 of its normal scores, and R2 of the number itself as a ridge on it
    reads it. `device` is where the heavy linear algebra was computed.
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
    leak: bool
    inner: np.ndarray | None = None
    nested: Estimate | None = None
    nested_probe: str | None = None
    companions: Mapping[str, float] = field(default_factory=dict)
    limit: Exclusion | None = None
    kernel_p: float | None = None
    state: State = "inconclusive"
    reason: str = ""
    groups_needed: int | None = None
    blind: bool = False
    device: str = "cpu"
    warnings: tuple[str, ...] = ()

    @property
    def reads(self) -> bool:
        """Whether its own p, with no search paid for, is at most .05."""
        return self.estimate.p is not None and self.estimate.p <= ALPHA


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference of two scores on identical folds; p is two-sided."""

    score: float
    low: float | None
    high: float | None
    p: float | None
