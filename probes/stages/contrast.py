"""The paired contrast of two stages on the same items: how much is lost, with what error, and is that much material.

Both sides are scores of the same items; what makes both err on the same images cancels. A contrast is counted on
balanced accuracy and on the AUC scale (one class against the rest, the mean of K; concordance for numbers), pairs of
items of one group left out.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from probes.stats.difference import discordant
from probes.stats.intervals import floored_error, inflation
from probes.stats.measurement import Difference, Measurement
from probes.stats.paired import TINY, unseen
from probes.stats.plan import FEW, Plan
from probes.stats.scores import Scored, balanced, concordance

ContrastState = Literal["material", "some", "none", "unknown"]
TIE = 1e-6  # decision values closer than this are equal: a tie, and scored as one


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A paired loss with its 95 % interval and two-sided p, and what it amounts to at a margin.

    "material" where `low` is above the margin, "none" where `high` is below it, "some" where `low` is above 0, else
    "unknown" (METHOD 4.4). Below 20 groups nothing but the loss is known.
    """

    loss: float
    low: float | None
    high: float | None
    p: float | None
    margin: float
    state: ContrastState

    @property
    def material(self) -> bool:
        """Whether more than the margin is lost for sure."""
        return self.state == "material"

    @property
    def some(self) -> bool:
        """Whether something is lost for sure, be it little or much."""
        small = self.state == "none" and self.low is not None and self.low > 0
        return self.state in ("material", "some") or small

    @property
    def none(self) -> bool:
        """Whether less than the margin is lost for sure."""
        return self.state == "none"


def contrast(difference: Difference, margin: float) -> Contrast:
    """What a paired difference amounts to at a margin.

    >>> contrast(Difference(score=0.3, low=0.2, high=0.4, p=0.001), 0.1).state
    'material'
    >>> contrast(Difference(score=0.01, low=-0.02, high=0.04, p=0.5), 0.1).state
    'none'
    """
    low, high = difference.low, difference.high
    state: ContrastState = "unknown"
    if low is not None and high is not None:
        state = "material" if low > margin else "none" if high < margin else "some" if low > 0 else "unknown"
    return Contrast(loss=difference.score, low=low, high=high, p=difference.p, margin=margin, state=state)


def scored_margin(margin: np.ndarray, labels: np.ndarray, plan: Plan, folds: np.ndarray | None = None) -> Scored:
    """Balanced accuracy (concordance for numbers) of decision values, one row per vector.

    margin [A, n, C], the training prior already taken off: C is 1 for two classes (the second where above 0) and for
    numbers, else K. labels [A, n] or [n]. folds [n], which numbers of many items need.
    """
    if plan.classes is None:
        where = plan.folds[0] if folds is None else folds
        return concordance(np.asarray(margin[..., 0], np.float64), labels, plan.groups, where)
    label = np.broadcast_to(labels, margin.shape[:2])
    k = len(plan.classes)
    if margin.shape[2] == 1:
        ok = ((margin[..., 0] > 0) == (label > 0)).astype(np.float64)
        ok[np.abs(margin[..., 0]) < TIE] = 0.5
    else:
        tied = margin >= margin.max(axis=2, keepdims=True) - TIE
        mine = np.take_along_axis(tied, label[..., None].astype(np.int64), axis=2)[..., 0]
        ok = mine / tied.sum(axis=2)
    return balanced(ok, label, k)


def scored_order(margin: np.ndarray, labels: np.ndarray, plan: Plan, folds: np.ndarray | None = None) -> Scored:
    """The AUC of decision values, one row per vector, with what each item adds (DeLong 1988, by group).

    margin [A, n, C], labels [A, n] or [n] as `scored_margin` has them. The share of pairs of items of different
    classes and different groups that are in order; for K classes the mean over one class against the rest.
    """
    where = plan.folds[0] if folds is None else folds
    label = np.broadcast_to(labels, margin.shape[:2])
    if margin.shape[2] == 1:
        return concordance(np.asarray(margin[..., 0], np.float64), label.astype(np.float64), plan.groups, where)
    each = [
        concordance(np.asarray(margin[..., c], np.float64), (label == c).astype(np.float64), plan.groups, where)
        for c in range(margin.shape[2])
    ]
    return Scored(score=np.mean([e.score for e in each], axis=0), part=np.mean([e.part for e in each], axis=0))


def repeats(margin: np.ndarray, plan: Plan, *, order: bool = False) -> Scored:
    """The score of held-out decision values [R, n, C] of every repeat of the plan; with `order` on the AUC scale."""
    one = scored_order if order else scored_margin
    rows = [one(m[None], plan.y, plan, f) for m, f in zip(margin, plan.folds, strict=True)]
    share = None if rows[0].share is None else np.concatenate([r.share for r in rows if r.share is not None])
    return Scored(
        score=np.concatenate([r.score for r in rows]), part=np.concatenate([r.part for r in rows]), share=share
    )


def whole(scored: Scored, count: int) -> Scored:
    """A single row of scores said `count` times: a frozen answer beside the repeats of a probe."""
    share = None if scored.share is None else np.repeat(scored.share, count, axis=0)
    return replace(
        scored, score=np.repeat(scored.score, count), part=np.repeat(scored.part, count, axis=0), share=share
    )


def paired(
    a: Scored, b: Scored, plan: Plan, permuted: tuple[Scored | None, Scored | None] | None = None, phi: float = 1.0
) -> Difference:
    """The paired difference a - b with a cluster-robust t interval, as `probes.compare` has it.

    `permuted` are both sides refitted to the plan's first permuted labels, by which the error is inflated (a side that
    was not trained is the same for all labels: give its scores on the permuted labels); `phi` is another inflation, of
    which the larger counts. Where two answer so much alike that nothing differs, the interval is that of what may
    have escaped (`paired.unseen`). None for the interval below 20 groups.
    """
    from scipy.special import stdtr, stdtrit

    difference = a.minus(b)
    score = difference.mean
    if plan.n_groups < FEW:
        return Difference(score=score, low=None, high=None, p=None)
    error = float(floored_error(difference, plan.y, plan, discordant).mean())
    if permuted is not None and permuted[0] is not None and permuted[1] is not None:
        phi = max(phi, inflation(permuted[0].minus(permuted[1]), plan, discordant))
    df = plan.n_groups - 1
    half = float(stdtrit(df, 0.975)) * error * phi
    if half < TINY:
        half = unseen(plan)
    p = float(2 * stdtr(df, -abs(score) * float(stdtrit(df, 0.975)) / half))
    return Difference(score=score, low=score - half, high=score + half, p=p)


def margins_of(found: Measurement) -> np.ndarray:
    """The held-out decision values [R, n, C] of a measurement, as `scored_margin` has them."""
    got = found.predictions
    if found.plan.classes is None:
        assert got.baseline is not None
        return (got.predicted - got.baseline)[..., None]
    if len(found.plan.classes) == 2:
        return got.score[..., 1:] - got.score[..., :1]
    return got.score


def frozen(margin: np.ndarray, plan: Plan, *, order: bool = False) -> tuple[Scored, Scored]:
    """A score that was trained on nothing, decision values [n, C]: once for every repeat, and on the permuted labels.

    The second is what `paired` needs beside refits of a probe to the same permuted labels.
    """
    from probes.stats.permutation import REFITS

    one = scored_order if order else scored_margin
    labels = plan.permuted[:REFITS]
    there = np.broadcast_to(margin, (len(labels), *margin.shape))
    return whole(one(margin[None], plan.y, plan), plan.repeats), one(there, labels, plan)
