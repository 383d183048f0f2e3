"""Answers without their bias: what a model's log-odds tell apart, and how its raw accuracy differs from that.

A model that prefers one option answers at chance although its log-odds may order the items rightly. The mean log-odds
over prompts and both option orders, and a score that needs no threshold (AUC; 2AFC on counterfactual pairs), leave
that bias out; what it costs is told beside (METHOD 4.6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes._base import ProbeError
from probes.solvers.auc import auc
from probes.stages.contrast import (
    TIE,
    Contrast,
    contrast,
    frozen,
    paired,
    repeats,
    scored_margin,
    scored_order,
)
from probes.stats.intervals import interval
from probes.stats.loss import margin_of
from probes.stats.measurement import Difference
from probes.stats.plan import FEW, Plan
from probes.stats.scores import Scored


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
    """What answers tell apart. margin [n, C] are mean log-odds over all asks; C is 1 for two classes, else K.

    `auc` has a permutation p (exchanged labels of the plan); `two_afc` is the share of pairs of items of one group and
    of different classes that are in order, None without any pair. `accuracy` is balanced, at the threshold
    that the class shares of the other folds give (`centred`); `raw` that of what was answered, an ask without
    an option counting as wrong; `bias` is accuracy less raw. `invalid` is the share of asks without an option,
    `favours` the share in which each class was answered, `position` that in which the option that came first was.
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


def bias_free(
    log_p: np.ndarray, plan: Plan, *, chosen: np.ndarray | None = None, first: np.ndarray | None = None
) -> BiasFree:
    """Score a model's answers to the items of a plan of classes.

    log_p [A, n, K]: log-probability of each class's option in each of A asks (prompt x wording x order), classes in the
    plan's order whatever the order of the options. chosen int [A, n] is the class that was answered, -1 where none was
    (default: the largest of log_p, a tie being right as often as a coin). first int [A, n] is the class whose option
    came first.

    Raises:
        ProbeError: a plan of a number, other shapes, log-probabilities that are NaN or infinite.
    """
    if plan.classes is None:
        raise ProbeError("options are of classes, and the target is a number")
    k, n = len(plan.classes), len(plan.y)
    log_p = np.asarray(log_p, np.float64)
    if log_p.ndim != 3 or log_p.shape[1:] != (n, k):
        raise ProbeError(f"log-odds must be [asks, {n} items, {k} classes], not of shape {log_p.shape}")
    if not np.isfinite(log_p).all():
        raise ProbeError("some log-probabilities of options are NaN or infinite: nothing was filled in")
    margin = log_odds(log_p)
    order = scored_order(margin[None], plan.y, plan)
    ok = _answered(log_p, chosen, plan)
    raw = _balanced(ok.mean(axis=0), plan)
    level = scored_margin(centred(margin, plan)[None], plan.y, plan)
    told = log_p.argmax(axis=2) if chosen is None else np.asarray(chosen)
    return BiasFree(
        margin=margin,
        auc=rate(order, plan, 0.5, _permutation_p(margin, plan)),
        two_afc=two_afc(margin, plan),
        accuracy=rate(level, plan, plan.chance),
        raw=rate(raw, plan, plan.chance),
        bias=contrast(paired(level, raw, plan), margin_of(plan)),
        invalid=float((told < 0).mean()),
        favours=tuple(float((told == c).mean()) for c in range(k)),
        position=None if first is None else float((told == np.asarray(first))[told >= 0].mean()),
    )


def log_odds(log_p: np.ndarray) -> np.ndarray:
    """Mean log-odds [n, C] over asks of log-probabilities [A, n, K]: of the second class, or each against the rest."""
    if log_p.shape[2] == 2:
        return (log_p[..., 1:] - log_p[..., :1]).mean(axis=0)
    level = log_p - np.logaddexp.reduce(log_p, axis=2, keepdims=True)
    rest = np.log(np.maximum(-np.expm1(level), np.finfo(float).tiny))
    return (level - rest).mean(axis=0)


def centred(margin: np.ndarray, plan: Plan) -> np.ndarray:
    """Log-odds [n, C] less the threshold of the class shares, found on the items outside the fold of each.

    Of two classes it is the quantile at which as many items lie above as are of the second class; of more the mean of
    each class's log-odds. No label of the fold itself has part.
    """
    found = np.empty_like(margin)
    for part in range(plan.n_folds):
        held = plan.folds[0] == part
        others = margin[~held]
        if margin.shape[1] == 1:
            share = float((plan.y[~held] == 0).mean())
            level = np.quantile(others, share, axis=0)
        else:
            level = others.mean(axis=0)
        found[held] = margin[held] - level
    return found


def each_class(margin: np.ndarray) -> np.ndarray:
    """A value of each class [n, K] from decision values [n, C], of which two classes have one (C = 1)."""
    return margin if margin.shape[1] > 1 else np.concatenate([-margin, margin], axis=1)


def _answered(log_p: np.ndarray, chosen: np.ndarray | None, plan: Plan) -> np.ndarray:
    """Whether each ask was answered rightly, [A, n]; a tie of the log-probabilities as often as a coin."""
    if chosen is not None:
        told = np.asarray(chosen)
        if told.shape != log_p.shape[:2]:
            raise ProbeError(f"answers must be [asks, items] {list(log_p.shape[:2])}, not of shape {told.shape}")
        return (told == plan.y).astype(np.float64)
    tied = log_p >= log_p.max(axis=2, keepdims=True)
    mine = np.take_along_axis(tied, np.broadcast_to(plan.y, tied.shape[:2])[..., None], axis=2)[..., 0]
    return mine / tied.sum(axis=2)


def _balanced(ok: np.ndarray, plan: Plan) -> Scored:
    from probes.stats.scores import balanced

    return balanced(ok[None].astype(np.float64), plan.y, len(plan.classes or ()))


def rate(scored: Scored, plan: Plan, chance: float, p: float | None = None) -> Rate:
    """A frozen score with a cluster-robust interval; p against chance by the normal score test where none is given."""
    from scipy.special import stdtr

    error = float(scored.error(plan.groups).mean())
    ends = interval(scored.mean, error, plan)
    if p is None and plan.n_groups >= FEW:
        z = (scored.mean - chance) / error if error > 0 else np.inf
        p = 1.0 if scored.mean == chance else float(2 * stdtr(plan.n_groups - 1, -abs(z)))
    return Rate(
        value=scored.mean, low=None if ends is None else ends[0], high=None if ends is None else ends[1], p=p,
        chance=chance,
    )  # fmt: skip


def _permutation_p(margin: np.ndarray, plan: Plan) -> float:
    """How often the plan's exchanged labels give an AUC as high, with the observed counted (Phipson & Smyth 2010)."""
    labels = np.concatenate([plan.y[None], plan.permuted])
    rows = [(margin[:, 0], labels)] if margin.shape[1] == 1 else [(m, labels == c) for c, m in enumerate(margin.T)]
    found = np.mean([auc(np.broadcast_to(np.round(m / TIE) * TIE, y.shape), y) for m, y in rows], axis=0)
    return (1 + int((found[1:] >= found[0] - 1e-12).sum())) / len(found)


def two_afc(margin: np.ndarray, plan: Plan) -> Rate | None:
    """Two-alternative forced choice inside groups: of two items of one group the one of the higher class is told.

    margin [n, C]. For K classes a pair is in order where each item's own class leads by more than in the other item.
    Every group counts alike; the interval is over groups, p from exchanging the members of whole groups.
    """
    from probes.pairs.inference import sign_flip

    full = each_class(margin)
    share: list[float] = []
    for g in range(plan.n_groups):
        rows = np.flatnonzero(plan.groups == g)
        won = [
            float(np.sign(full[i, plan.y[i]] - full[i, plan.y[j]] - full[j, plan.y[i]] + full[j, plan.y[j]])) / 2 + 0.5
            for a, i in enumerate(rows)
            for j in rows[a + 1 :]
            if plan.y[i] != plan.y[j]
        ]
        if won:
            share.append(float(np.mean(won)))
    if not share:
        return None
    values, count = np.array(share), len(share)
    p = sign_flip(values - 0.5, np.arange(count), plan.seed) if count > 1 else None
    if count < FEW:
        return Rate(value=float(values.mean()), low=None, high=None, p=p)
    from scipy.special import stdtrit

    error = float(values.std(ddof=1)) / np.sqrt(count)
    half = float(stdtrit(count - 1, 0.975)) * error if error > 0 else (1 - 0.025 ** (1 / count))
    mean = float(values.mean())
    return Rate(value=mean, low=max(0.0, mean - half), high=min(1.0, mean + half), p=p)


def unsaid(held_out: np.ndarray, margin: np.ndarray, plan: Plan, permuted: np.ndarray | None = None) -> Difference:
    """How much more a stage's held-out score reads than the answers say, both on the AUC scale, paired by item.

    held_out [R, n, C] (`contrast.margins_of`), margin [n, C] of `bias_free`. permuted [B, n(, C)] are the stage's
    held-out values refitted to the plan's first permuted labels (`Null.fixed_margin`), by which the error is inflated.
    """
    said, there = frozen(margin, plan, order=True)
    both = None
    if permuted is not None:
        refits = permuted[..., None] if permuted.ndim == 2 else permuted
        both = scored_order(refits, plan.permuted[: len(refits)], plan), _first(there, len(refits))
    return paired(repeats(held_out, plan, order=True), said, plan, both)


def _first(scored: Scored, count: int) -> Scored:
    share = None if scored.share is None else scored.share[:count]
    return Scored(score=scored.score[:count], part=scored.part[:count], share=share)


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Two columns of 0 and 1 over the same items: how many only one of them has; exact p, and p by whole groups."""

    only_first: int
    only_second: int
    p: float
    p_group: float


def mcnemar(first: np.ndarray, second: np.ndarray, groups: np.ndarray, seed: int = 0) -> McNemar:
    """McNemar's exact test of two columns [n] of 0 and 1, and the same with whole groups changing sign."""
    from probes.pairs.inference import coin_p, sign_flip

    a, b = np.asarray(first, bool), np.asarray(second, bool)
    one, two = int((a & ~b).sum()), int((~a & b).sum())
    group = np.unique(groups, return_inverse=True)[1].ravel()
    return McNemar(
        only_first=one,
        only_second=two,
        p=coin_p(one, one + two),
        p_group=sign_flip(a.astype(float) - b, group, seed),
    )


@dataclass(frozen=True, kw_only=True)
class ItemTable:
    """Columns of 0 and 1 over items (encoded, passed on, carried, answered): counts of each pattern, and tests.

    `counts` maps each pattern that occurs, a tuple of 0 and 1 in the order of `names`, to its number of items, the most
    frequent first; `totals` are the shares of each column; `lost` how many items each column has that the next has not;
    `tests` McNemar's between neighbours.
    """

    names: tuple[str, ...]
    counts: Mapping[tuple[int, ...], int]
    totals: tuple[float, ...]
    lost: tuple[int, ...]
    tests: tuple[McNemar, ...]


def item_table(columns: Mapping[str, np.ndarray], groups: np.ndarray, seed: int = 0) -> ItemTable:
    """The item table of columns [n] of 0 and 1, in the order of the stages."""
    table = np.stack([np.asarray(one, bool).astype(int) for one in columns.values()], axis=1)
    patterns, many = np.unique(table, axis=0, return_counts=True)
    order = np.lexsort((*(-patterns.T[::-1]), -many))
    tests = tuple(mcnemar(table[:, i], table[:, i + 1], groups, seed) for i in range(table.shape[1] - 1))
    return ItemTable(
        names=tuple(columns),
        counts={tuple(patterns[i].tolist()): int(many[i]) for i in order},
        totals=tuple(float(one) for one in table.mean(axis=0)),
        lost=tuple(one.only_first for one in tests),
        tests=tests,
    )


def right(held_out: np.ndarray, plan: Plan) -> np.ndarray:
    """Whether each item is told rightly by decision values [R, n, C] in more than half of the repeats: bool [n]."""
    label = np.broadcast_to(plan.y, held_out.shape[:2])
    if held_out.shape[2] == 1:
        ok = np.where(held_out[..., 0] == 0, 0.5, (held_out[..., 0] > 0) == (label > 0))
    else:
        ok = (held_out.argmax(axis=2) == label).astype(float)
    return ok.mean(axis=0) > 0.5


def columns_of(stages: Sequence[tuple[str, np.ndarray]], plan: Plan) -> dict[str, np.ndarray]:
    """Columns for `item_table` from the names and held-out decision values [R or 1, n, C] of stages."""
    return {name: right(values, plan) for name, values in stages}
