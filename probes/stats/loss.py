"""How much less a point reads than the best reference on the same items, paired: a partial loss shows with few items.

Probes that are trained on labels compare how easily an answer is read, so the word is "reads less", not "lost".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.stats.best import Candidates, simultaneous
from probes.stats.difference import compare
from probes.stats.measurement import Difference, Measurement
from probes.stats.plan import Plan

LossState = Literal["material", "reads less", "kept", "open"]
Kind = Literal["earlier", "thumbnail", "untrained", "other"]
MANY = 643  # items from which half the margin can be told apart


def margin_of(plan: Plan, items: int | None = None) -> float:
    """dl, the loss that counts: .05 from 643 items on, else .10; half and whole of the plan's own for numbers.

    `items` are those of the plan where they are not given.
    """
    return plan.margin if (len(plan.y) if items is None else items) < MANY else plan.margin / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Something that reads the same items: its name, of which kind it is, and its measurement under the same plan."""

    name: str
    kind: Kind
    measurement: Measurement


@dataclass(frozen=True, kw_only=True)
class Less:
    """How much more one reference reads than a point: the reference that was chosen most often, and the difference."""

    reference: str
    kind: Kind
    score: float
    difference: Difference

    @property
    def sure(self) -> bool:
        """Whether the point surely reads less than this reference."""
        return self.difference.low is not None and self.difference.low > 0


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How much less a point reads than its reference, chosen in inner folds among all, and than each kind of them.

    `low` and `high` hold for all points of a map at once; `state` is "material" where `low` is above `margin`, "reads
    less" where it is above 0, "kept" where `high` is below `margin`, else "open"; it is "open" too where the
    reference itself is not shown to read anything. `score` is what the point reads, measured as its references are.
    """

    state: LossState
    margin: float
    score: float
    whole: Less
    kinds: tuple[Less, ...]

    @property
    def low(self) -> float | None:
        """Lower end of the simultaneous interval."""
        return self.whole.difference.low

    @property
    def high(self) -> float | None:
        """Upper end of the simultaneous interval."""
        return self.whole.difference.high


def losses(points: Sequence[Measurement], references: Sequence[Sequence[Reference]], plan: Plan) -> list[Loss | None]:
    """The loss of each point of a map against its own references; None for a point without any.

    In every outer fold the reference is the one of least error in inner folds of its training part. All differences of
    the map, to the reference and to the best of each kind, hold at once: see `best.simultaneous`.
    """
    unique = list({id(one.measurement): one for many in references for one in many}.values())
    if not unique or any(one.measurement.inner is None for one in unique):
        return [None] * len(points)
    place = {id(one.measurement): i for i, one in enumerate(unique)}
    candidates = Candidates.among([one.measurement for one in unique], plan)
    known: dict[tuple[int, ...], tuple[Measurement, int]] = {}  # by those that stood to be chosen, and the usual one

    compared: list[list[tuple[Less, Measurement, np.ndarray]]] = []
    for point, many in zip(points, references, strict=True):
        named: dict[int, Reference] = {}  # one network under two labels is one measurement, and of the first kind
        for one in many:
            named.setdefault(place[id(one.measurement)], one)
        kinds = list(dict.fromkeys(one.kind for one in named.values()))
        sets = [tuple(named), *(tuple(i for i, one in named.items() if one.kind == kind) for kind in kinds)]
        rows = []
        for which in sets if many else ():
            if which not in known:
                usual = np.bincount(candidates.choices(which).ravel()).argmax()
                known[which] = candidates.chosen(which), int(usual)
            found, usual = known[which][0], named[known[which][1]]
            difference = compare(found, point, plan)
            less = Less(reference=usual.name, kind=usual.kind, score=found.estimate.score, difference=difference)
            rows.append((less, found, (found.scored.part - point.scored.part).mean(axis=0)))
        compared.append(rows)
    wider = simultaneous([part for rows in compared for _, _, part in rows], plan)
    margin = margin_of(plan)
    return [
        None if not rows else _loss(point, [(_wide(less, wider), found) for less, found, _ in rows], margin)
        for point, rows in zip(points, compared, strict=True)
    ]


def _wide(less: Less, wider: float) -> Less:
    d = less.difference
    if d.low is None or d.high is None:
        return less
    wide = Difference(
        score=d.score, low=d.score - wider * (d.score - d.low), high=d.score + wider * (d.high - d.score), p=None
    )
    return Less(reference=less.reference, kind=less.kind, score=less.score, difference=wide)


def _loss(point: Measurement, rows: Sequence[tuple[Less, Measurement]], margin: float) -> Loss:
    (whole, reference), kinds = rows[0], tuple(less for less, found in rows[1:] if found.reads)
    low, high = whole.difference.low, whole.difference.high
    state: LossState = "open"
    if low is not None and high is not None and reference.reads:
        state = "material" if low > margin else "reads less" if low > 0 else "kept" if high < margin else "open"
    return Loss(state=state, margin=margin, score=point.estimate.score, whole=whole, kinds=kinds)
