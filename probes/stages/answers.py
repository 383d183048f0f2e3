"""Answers without their bias: what a model's log-odds tell apart, and how its raw accuracy differs from that.

A model that prefers one option answers at chance although its log-odds may order the items rightly. The mean log-odds
over prompts and both option orders, and a score that needs no threshold (AUC; 2AFC on counterfactual pairs), leave
that bias out; what it costs is told beside (METHOD 4.6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes.stages.contrast import Contrast
from probes.stats.measurement import Difference
from probes.stats.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A score with its 95 % interval by group and p against chance (None where there is none)."""

    value: float
    low: float | None
    high: float | None
    p: float | None
    chance: float = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class BiasFree:
    """What answers tell apart. margin [n, C] are mean log-odds over all asks, C = 1 for two classes.

    `auc` with the permutation p; `two_afc` over pairs of items of one group and different classes, None without any;
    `accuracy` balanced, at the threshold that the class shares give (see `bias_free`); `raw` the balanced accuracy of
    what was answered, wrong where nothing was; `bias` accuracy less raw; `invalid` share of asks without an option;
    `favours` share of the asks in which each class was answered.
    """

    margin: np.ndarray
    auc: Rate
    two_afc: Rate | None
    accuracy: Rate
    raw: Rate
    bias: Contrast
    invalid: float
    favours: tuple[float, ...]
    position: float | None = None


def bias_free(log_p: np.ndarray, chosen: np.ndarray | None, plan: Plan, *, first: np.ndarray | None = None) -> BiasFree:
    """Score the answers of one model to the items of a plan.

    log_p [A, n, K]: log-probability of each class's option in each of A asks (prompt x wording x order), classes in the
    plan's order whatever the order of the options. chosen int [A, n] is the class that was answered, -1 where none was
    (default: the largest of log_p). first int [A, n] is the class whose option came first, where known.
    """
    raise NotImplementedError


def unsaid(held_out: np.ndarray, margin: np.ndarray, plan: Plan, permuted: np.ndarray | None = None) -> Difference:
    """How much more a stage's held-out score reads than the answers say, both on the AUC scale, paired by item.

    held_out [R, n, C] (`contrast.margins_of`), margin [n, C] of `bias_free`. permuted [B, n, C] are the stage's
    held-out values refitted to the plan's first permuted labels (`Null.fixed_margin`), by which the error is inflated.
    """
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Two columns of 0 and 1 over the same items: how many only one of them has; exact p, and p by whole groups."""

    only_first: int
    only_second: int
    p: float
    p_group: float


def mcnemar(first: np.ndarray, second: np.ndarray, groups: np.ndarray, seed: int = 0) -> McNemar:
    """McNemar's exact test of two columns [n] of 0 and 1, and the same with whole groups changing sign."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ItemTable:
    """Columns of 0 and 1 over items (encoded, passed on, carried, answered): counts of each pattern, and tests.

    `counts` maps each pattern that occurs, a tuple of 0 and 1 in the order of `names`, to its items; `totals` are the
    shares of each column; `tests` McNemar's between neighbours; `lost` items that one column has and the next has not.
    """

    names: tuple[str, ...]
    counts: Mapping[tuple[int, ...], int]
    totals: tuple[float, ...]
    tests: tuple[McNemar, ...]
    lost: tuple[int, ...]


def item_table(columns: Mapping[str, np.ndarray], groups: np.ndarray) -> ItemTable:
    """The item table of columns [n] of 0 and 1, in the order of the stages."""
    raise NotImplementedError


def right(held_out: np.ndarray, plan: Plan) -> np.ndarray:
    """Whether each item is told rightly by held-out decision values [R, n, C], by the majority of the repeats: [n]."""
    raise NotImplementedError


def columns_of(stages: Sequence[tuple[str, np.ndarray]], plan: Plan) -> dict[str, np.ndarray]:
    """Columns for `item_table` from the names and held-out decision values [R or 1, n, C] of stages."""
    return {name: right(values, plan) for name, values in stages}
