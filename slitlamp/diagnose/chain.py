"""The stages of a model as measurements of one plan: what each reads, chosen inside the folds, and what lies between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

import probes
from probes.stats.best import Candidates, simultaneous
from probes.stats.loss import MANY
from slitlamp.probing.points import screened
from slitlamp.probing.state import Cell, Run
from slitlamp.records import Record

StageName = Literal["reference", "encoder", "connector", "language_model", "answer"]
Change = Literal["material", "some", "none", "unknown"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One stage: what it reads, at the best of its points where it has several.

    `name` is what tables call it, `place` the site and readout that inner folds chose most often, of `points`. `state`
    is present, absent or inconclusive, with the p that has all points of the command paid for; `excluded` the weakest
    accuracy that an absent excludes; `credit` what a present is credited to. `trained` says whether a probe was trained
    on the items.
    """

    stage: StageName
    name: str
    measurement: Any
    place: str = ""
    points: int = 1
    cell: Cell | None = None
    state: str = "inconclusive"
    excluded: float | None = None
    credit: str | None = None
    p: float | None = None
    trained: bool = True
    note: str = ""

    @property
    def score(self) -> float:
        """Balanced accuracy."""
        return self.measurement.estimate.score


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """How much more one stage reads than the next on the same items; `low` and `high` hold for all of a chain at once.

    `change` is material where `low` is above the margin, some where it is above 0, none where `high` is below the
    margin, else unknown.
    """

    before: str
    after: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    margin: float
    change: Change

    @property
    def gained(self) -> bool:
        """Whether the later stage surely reads more: the answer is more accessible there, none was created."""
        return self.high is not None and self.high < 0


def margin_of(plan: Any) -> float:
    """The loss that matters: half of the plan's margin from 643 items on, METHOD 4.4."""
    return plan.margin if len(plan.y) < MANY else plan.margin / 2


def change_of(low: float | None, high: float | None, margin: float) -> Change:
    """What an interval of a loss says.

    >>> change_of(0.12, 0.3, 0.1), change_of(0.02, 0.3, 0.1), change_of(-0.03, 0.08, 0.1), change_of(-0.1, 0.2, 0.1)
    ('material', 'some', 'none', 'unknown')
    """
    if low is None or high is None:
        return "unknown"
    if low > margin:
        return "material"
    return "some" if low > 0 else "none" if high < margin else "unknown"


def step_of(
    run: Run, cells: Sequence[Cell], records: Mapping[tuple[str, str], Record], stage: StageName, name: str
) -> Step | None:
    """A stage of several points, each measured as the map is; None without any point.

    `records` are those of the cells by encoder and point, with the verdicts.
    """
    if not cells:
        return None
    plan = run.plan(cells[0].question)
    measured = [run.measurement(at_map(run, cell)) for cell in cells]
    chosen, usual = measured[0], 0
    if len(cells) > 1:
        candidates = Candidates.among(measured, plan)
        every = range(len(measured))
        chosen, usual = candidates.chosen(every), int(np.bincount(candidates.choices(every).ravel()).argmax())
    found = [records[cell.encoder.label, cell.name] for cell in cells]
    states = [one.verdict for one in found]
    state = "present" if "present" in states else "absent" if set(states) == {"absent"} else "inconclusive"
    paid = [one.p_adjusted for one in found if one.p_adjusted is not None]
    present = [one for one in found if one.verdict == "present"]
    best = max(present or found, key=lambda one: one.score)
    return Step(
        stage=stage, name=name, measurement=chosen, place=cells[usual].name, points=len(cells), cell=cells[usual],
        state=state, excluded=max((one.limit or 1.0 for one in found), default=None) if state == "absent" else None,
        credit=best.credit if state == "present" else None, p=min(paid, default=None),
        note="" if state == "present" else best.reason,
    )  # fmt: skip


def at_map(run: Run, cell: Cell) -> Cell:
    """The cell as the map measures it: with closed-form ridge, where the headline is another probe."""
    return screened(cell) if run.plan(cell.question).headline == "linear" and cell.level == "full" else cell


def fixed_step(measurement: Any, name: str, p: float | None = None, note: str = "") -> Step:
    """A stage that was not trained on the items, such as an answer; its p is that of its own exchanged labels."""
    p = measurement.estimate.p if p is None else p
    above = measurement.estimate.score > measurement.estimate.chance
    state = "present" if p is not None and p <= 0.05 and above else "inconclusive"
    return Step(stage="answer", name=name, measurement=measurement, state=state, p=p, trained=False, note=note)


def contrasts_of(chain: Sequence[Step], plan: Any) -> list[Contrast]:
    """The paired differences between neighbours of a chain, and last that from its first to its last stage.

    All their intervals hold at once, and the neighbours' differences add up to the last one.
    """
    pairs = [*pairwise(chain)]
    if len(pairs) > 1:
        pairs.append((chain[0], chain[-1]))
    if not pairs:
        return []
    parts = [(a.measurement.scored.part - b.measurement.scored.part).mean(axis=0) for a, b in pairs]
    wider = simultaneous(parts, plan)
    return [contrast(a, b, plan, wider) for a, b in pairs]


def contrast(a: Step, b: Step, plan: Any, wider: float = 1.0) -> Contrast:
    """How much more stage `a` reads than `b`; the interval is `wider` than that of one difference alone."""
    found = probes.compare(a.measurement, b.measurement, plan)
    margin, low, high = margin_of(plan), found.low, found.high
    if low is not None and high is not None:
        low, high = found.score - wider * (found.score - low), found.score + wider * (high - found.score)
    return Contrast(
        before=a.name, after=b.name, difference=found.score, low=low, high=high, p=found.p, margin=margin,
        change=change_of(low, high, margin),
    )  # fmt: skip


def reference_of(run: Run, cells: Any, records: Mapping[tuple[str, str], Record], own: Sequence[Cell]) -> Step | None:
    """The best reader of the same items before a point, chosen in inner folds; None where there is nothing.

    Of thumbnails, untrained draws, other encoders and the model's `own` earlier points.
    """
    question = own[0].question if own else cells.encoder[0].question
    plan = run.plan(question)
    level = "screen" if plan.headline == "linear" else "full"
    spec = cells.encoder[0].encoder.spec
    many: dict[str, list[Cell]] = {
        "thumbnail": [c for c in cells.control if c.encoder.spec == "pixels" and c.readout == "vector"],
        "untrained": [c for some in cells.untrained.values() for c in some],
        "earlier": list(own),
        "other": [c for c in cells.encoder if c.encoder.spec != spec],
    }
    found = [(kind, at_map(run, c)) for kind, some in many.items() for c in some]
    found = [(kind, c) for kind, c in found if c.level == level or kind == "earlier"]
    found = [(kind, c) for kind, c in found if run.finished([c]) and run.measurement(c).inner is not None]
    unique = list({run.key(c): (kind, c) for kind, c in found}.values())
    if not unique:
        return None
    candidates = Candidates.among([run.measurement(c) for _, c in unique], plan)
    chosen = candidates.chosen(range(len(unique)))
    kind, cell = unique[int(np.bincount(candidates.choices(range(len(unique))).ravel()).argmax())]
    known = records.get((cell.encoder.label, cell.name))
    reads = chosen.reads and chosen.estimate.score > chosen.estimate.chance
    return Step(
        stage="reference", name="reference", measurement=chosen, points=len(unique), cell=cell,
        place=f"{_whose(kind, cell)} {cell.name}", state="present" if reads else "inconclusive",
        p=chosen.estimate.p, note=kind if known is None else kind,
    )  # fmt: skip


def _whose(kind: str, cell: Cell) -> str:
    words = {"thumbnail": "thumbnail", "untrained": "untrained", "earlier": "tower", "other": cell.encoder.label}
    return words[kind]


def renamed(step: Step | None, name: str, stage: StageName) -> Step | None:
    """A stage under another name."""
    return None if step is None else replace(step, name=name, stage=stage)
