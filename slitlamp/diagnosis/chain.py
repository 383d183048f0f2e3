"""The stages of a model as measurements of one plan: what each reads, chosen inside the folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from encoders.extraction.readouts import VECTOR
from probes.stages.contrast import Contrast, contrast, margins_of, paired, repeats
from probes.stages.failure import Stage, Step, decompose
from probes.stats.best import Candidates
from probes.stats.credit import LOWLEVEL, PIXELS
from probes.stats.difference import discordant
from probes.stats.intervals import inflation
from probes.stats.loss import margin_of
from probes.stats.plan import ALPHA, FEW
from slitlamp.probing.points import screened
from slitlamp.probing.state import Cell, QuestionCells, Run
from slitlamp.records import Record
from slitlamp.reports.table import BLIND, blind_throughout

StageName = Literal["reference", "encoder", "connector", "language_model", "answer", "control", "blind", "external"]
State = Literal["present", "absent", "inconclusive"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadStage:
    """One stage: what it reads, at the best of its points where it has several.

    `name` is what tables call it, `place` the site and readout that inner folds chose most often, of `points`. `state`
    is present, absent or inconclusive, with the p that has all points of the command paid for; `excluded` the weakest
    accuracy that an absent excludes; `credit` what a present is credited to. `trained` says whether a probe was trained
    on the items, `blind` that what is read is equal for items of every answer, by construction.
    """

    stage: StageName
    name: str
    measurement: Any
    place: str = ""
    points: int = 1
    cell: Cell | None = None
    state: State = "inconclusive"
    excluded: float | None = None
    credit: str | None = None
    p: float | None = None
    trained: bool = True
    blind: bool = False
    note: str = ""

    @property
    def score(self) -> float:
        """Balanced accuracy."""
        return self.measurement.estimate.score

    @property
    def said(self) -> str:
        """The state as people read it: what is blind by construction is not called undecided."""
        return BLIND if self.blind else self.state

    @property
    def ends(self) -> tuple[float, float] | None:
        """The interval of the score; None where there is none, and of what is blind, which cannot vary."""
        e = self.measurement.estimate
        return None if self.blind or e.low is None or e.high is None else (e.low, e.high)


def read_stage(
    run: Run, cells: Sequence[Cell], records: Mapping[tuple[str, str], Record], stage: StageName, name: str
) -> ReadStage | None:
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
    state: State = "present" if "present" in states else "absent" if set(states) == {"absent"} else "inconclusive"
    paid = [one.p_adjusted for one in found if one.p_adjusted is not None]
    present = [one for one in found if one.verdict == "present"]
    best = max(present or found, key=lambda one: one.score)
    return ReadStage(
        stage=stage, name=name, measurement=chosen, place=cells[usual].name, points=len(cells), cell=cells[usual],
        state=state, excluded=max((one.limit or 1.0 for one in found), default=None) if state == "absent" else None,
        credit=best.credit if state == "present" else None, p=min(paid, default=None), blind=blind_throughout(found),
        note="" if state == "present" else best.reason,
    )  # fmt: skip


def at_map(run: Run, cell: Cell) -> Cell:
    """The cell as the map measures it: with closed-form ridge, where the headline is another probe."""
    return screened(cell) if run.plan(cell.question).headline == "linear" and cell.level == "full" else cell


def untrained_stage(measurement: Any, name: str, stage: StageName = "answer", *, blind: bool = False) -> ReadStage:
    """A stage that was not trained on the items, such as an answer; its p is that of its own exchanged labels."""
    p = measurement.estimate.p
    state = _unjudged(measurement, p is not None and p <= ALPHA)
    return ReadStage(stage=stage, name=name, measurement=measurement, state=state, p=p, trained=False, blind=blind)


def _unjudged(measurement: Any, reads: bool) -> State:
    """The state of what no verdict of the map is given on: below 20 groups there is none."""
    e = measurement.estimate
    return "present" if reads and e.score > e.chance and measurement.plan.n_groups >= FEW else "inconclusive"


def loss(a: ReadStage, b: ReadStage, plan: Any) -> Contrast:
    """How much more stage `a` reads than `b` on the same items."""
    first, second = a.measurement, b.measurement
    return contrast(paired(first.scored, second.scored, plan, (first.permuted, second.permuted)), margin_of(plan))


def order_loss(a: ReadStage, b: ReadStage, plan: Any) -> Contrast:
    """The same on the AUC scale, which no threshold of either side touches."""
    first, second = (repeats(margins_of(one.measurement), plan, order=True) for one in (a, b))
    return contrast(paired(first, second, plan, phi=inflation_of(a, b, plan)), margin_of(plan))


def inflation_of(a: ReadStage, b: ReadStage, plan: Any) -> float:
    """How much wider differences of refits to exchanged labels spread than their own errors say."""
    one, other = a.measurement.permuted, b.measurement.permuted
    return 1.0 if one is None or other is None else inflation(one.minus(other), plan, discordant)


def decomposed(chain: Sequence[ReadStage], plan: Any) -> tuple[list[Step], Step | None]:
    """The losses between neighbours of a chain and that over all of it: see `probes.stages.failure.decompose`."""
    if len(chain) < 2:
        return [], None
    rows = [(one.name, one.measurement.scored, one.measurement.permuted) for one in chain]
    return decompose(rows, plan, margin_of(plan))


def as_stage(one: ReadStage, asked: float) -> Stage:
    """The stage as the rule that decides takes it; `asked` is the strength that a claim of absence must exclude."""
    e = one.measurement.estimate
    return Stage(
        name=one.name, score=e.score, low=e.low, high=e.high, chance=e.chance, p=one.p, state=one.state,
        excluded=one.excluded, asked=asked, leak=one.measurement.leak,
    )  # fmt: skip


def reference_of(run: Run, cells: QuestionCells, own: Sequence[Cell], asked: str | None = None) -> ReadStage | None:
    """The best reader of the same items before a point, chosen in inner folds; None where there is nothing.

    Of the encoder that is `asked` for by name, or of thumbnails, untrained draws and the model's `own` earlier points.
    """
    if asked is not None:
        mine = [(cell.encoder.label, cell) for cell in cells.encoder if cell.encoder.spec == asked]
        return best_reader(run, mine, "reference", "reference") if mine else None
    found = readers_before(cells) | {"tower": list(own)}
    named = [(kind, cell) for kind, some in found.items() if kind != STATISTICS for cell in some]
    return None if not named else best_reader(run, named, "reference", "reference")


THUMBNAIL, UNTRAINED_NETWORKS, STATISTICS = "thumbnail", "untrained networks", "image statistics"


def readers_before(cells: QuestionCells) -> dict[str, list[Cell]]:
    """The cells that read the same items without the model, by what they are called; none that is not measured."""
    spec = cells.encoder[0].encoder.spec
    found: dict[str, list[Cell]] = {
        THUMBNAIL: [c for c in cells.control if c.encoder.spec == PIXELS and c.readout == VECTOR.name],
        STATISTICS: [c for c in cells.control if c.encoder.spec == LOWLEVEL],
        UNTRAINED_NETWORKS: [c for some in cells.untrained.values() for c in some],
    }
    for cell in cells.encoder:
        if cell.encoder.spec != spec:
            found.setdefault(cell.encoder.label, []).append(cell)
    return found


def controls_of(run: Run, cells: QuestionCells) -> list[ReadStage]:
    """What thumbnails, image statistics and untrained networks read, the best point chosen inside the folds."""
    found = [(name, [(name, cell) for cell in some]) for name, some in readers_before(cells).items() if some]
    return [best_reader(run, named, "control", name) for name, named in found]


def best_reader(run: Run, named: Sequence[tuple[str, Cell]], stage: StageName, name: str) -> ReadStage:
    """The best of several cells, chosen in inner folds, with the name of what it is of before its point."""
    plan = run.plan(named[0][1].question)
    unique: dict[str, tuple[str, Cell]] = {}
    for kind, cell in named:
        at = at_map(run, cell)
        if run.finished([at]) and run.measurement(at).inner is not None:
            unique.setdefault(run.key(at), (kind, at))
    every = [*unique.values()]
    candidates = Candidates.among([run.measurement(cell) for _, cell in every], plan)
    chosen = candidates.chosen(range(len(every)))
    kind, cell = every[int(np.bincount(candidates.choices(range(len(every))).ravel()).argmax())]
    return ReadStage(
        stage=stage, name=name, measurement=chosen, points=len(every), cell=cell,
        place=_place(kind, cell),
        state=_unjudged(chosen, chosen.reads), p=chosen.estimate.p,
        blind=all(run.measurement(cell).blind for _, cell in every),
    )  # fmt: skip


def _place(kind: str, cell: Cell) -> str:
    """Whose point it is that reads best, and which."""
    return cell.name.removesuffix(f"/{VECTOR.name}") if kind in (THUMBNAIL, STATISTICS) else f"{kind} {cell.name}"
