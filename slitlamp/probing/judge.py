"""From measurements to records and verdicts: the multiplicity rule, the controls, the credit, the loss."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import probes
from encoders.extraction.readouts import AT_MARK, READOUTS, VECTOR
from encoders.pixels import DEEP, THUMBNAILS
from probes.stats.best import nested_best, simultaneous, widened
from probes.stats.credit import CONTROLS as CREDIT_CONTROLS
from probes.stats.credit import (
    DRAWS,
    LOWLEVEL,
    ORDER,
    PIXELS,
    UNTRAINED,
    credit_of,
    hardest,
    over_population,
)
from probes.stats.loss import Kind, Loss, Reference, losses
from probes.stats.multiplicity import holm, low_over_map, over_layers, over_tasks
from probes.stats.order import carried_order
from probes.stats.verdict import rings
from slitlamp.probing.judged import Best, Judged, ListTold
from slitlamp.probing.order import ListOrder
from slitlamp.probing.points import relative_depth, screened
from slitlamp.probing.state import CONTROLS, Cell, QuestionCells, Run
from slitlamp.probing.words import place, sentences
from slitlamp.questions import Question
from slitlamp.records import Record, best_of, code_version
from slitlamp.reports.table import blind_throughout
from slitlamp.settings import command_line

REFERENCES: dict[str, Kind] = {"pixels": "thumbnail", "untrained": "untrained"}  # names for --reference


def adjusted(tasks: Sequence[Sequence[Any]]) -> list[list[float]]:
    """P of every point of every encoder, by task, with the search over all of them paid for.

    One maximum over the encoders and sites of a task under the same permuted labels (Westfall & Young 1993, single
    step), then Holm's rule over tasks; Holm's rule over all points where some probe is not refitted.
    """
    every = [m for many in tasks for m in many]
    if every and all(m.permuted is not None for m in every):
        found = []
        for many in tasks:
            count = min(len(m.null.statistic) for m in many)
            found.append(over_layers([m.null.statistic[:count] for m in many]))
        return [p.tolist() for p in over_tasks(found)]
    paid = iter(holm([1.0 if m.estimate.p is None else m.estimate.p for m in every]).tolist())
    return [[next(paid) for _ in many] for many in tasks]


def compared(run: Run, cells: QuestionCells, cell: Cell) -> dict[str, tuple[Cell, tuple[Any, Any]]]:
    """The cell of each control beside a cell, measured as the cell is, with its measurement and the paired difference.

    Of thumbnails it is the one that is hardest to surpass, and under marks the brightness around them if that reads
    more. What is itself such a control is held against the others.
    """
    m, plan = run.measurement(cell), run.plan(cell.question)
    found: dict[str, list[tuple[Cell, tuple[Any, Any]]]] = {}
    for one in cells.control:
        other = run.measurement(one)
        elsewhere = one.readout == AT_MARK.name and cell.readout != AT_MARK.name
        if other.screened == m.screened and one.encoder.spec != cell.encoder.spec and not elsewhere:
            found.setdefault(one.encoder.spec, []).append((one, (other, probes.compare(m, other, plan))))
    least = {name: hardest([pair for _, pair in many]) for name, many in found.items()}
    return {name: next(one for one in many if one[1] is least[name]) for name, many in found.items()}


def judge(
    run: Run, question: Question, cells: QuestionCells, paid: Sequence[float], experiment: str
) -> tuple[list[Record], list[dict[str, Any]], dict[str, Any]]:
    """Records of every cell and control of one question, and of each encoder a verdict and what its best point reads.

    That point is chosen inside the training folds; what it reads is a measurement, by the encoder's name.

    `paid` is the p of each of the encoders' cells with the search paid for.
    """
    plan = run.plan(question)
    command = command_line(run.settings, experiment)
    records: list[Record] = []
    verdicts: list[dict[str, Any]] = []
    read: dict[str, Any] = {}

    def record(cell: Cell, role: str, **more: Any) -> Record:
        return _record(run, question, cell, role, experiment, command, **more)

    shown = [cell for cell in cells.control if not run.measurement(cell).screened]
    low = _lowest(run, [cell for cell in shown if cell.encoder.spec != ORDER])
    leak = _lowest(run, cells.encoder)
    alarm = any(rings(leak, run.measurement(cell).estimate) for cell in cells.encoder)
    records += [record(cell, "control", verdict=_of_control(run, cell, low)) for cell in shown]
    p_of = dict(zip((c.tag for c in cells.encoder), paid, strict=True))
    for spec in dict.fromkeys(c.encoder.spec for c in cells.encoder):
        mine = [c for c in cells.encoder if c.encoder.spec == spec]
        measurements = [run.measurement(c) for c in mine]
        told = _order(run, question, cells, mine)
        wider = simultaneous([m.scored.part.mean(axis=0) for m in measurements], plan)
        judged: list[Judged] = []
        for cell, m, loss in zip(mine, measurements, _losses(run, cells, mine), strict=True):
            pairs, called = _controls(run, cells, cell)
            known = {name: pair for name, pair in pairs.items() if name != ORDER or (told is not None and told.carried)}
            verdict = probes.verdict(
                m,
                controls=None if spec in CONTROLS else known,  # a control has nothing weaker to be held against
                layout=[run.measurement(c) for c in layout_of(cell, mine)],
                adjusted=p_of[cell.tag],
                leak=leak,
                alarm=alarm,
                called=called,
            )
            words = "" if verdict.credit is None else credit_of(known, called)[1]
            scores = {f"control_{name}": pair[0].estimate.score for name, pair in pairs.items()}
            made = record(cell, "encoder", verdict=verdict, p=p_of[cell.tag], scores=scores, loss=loss, wider=wider)
            judged.append(
                Judged(cell=cell, measurement=m, verdict=verdict, p=p_of[cell.tag], controls=pairs, loss=loss,
                       credit_words=words, record=made)
            )  # fmt: skip
        records += [one.record for one in judged]
        draws = cells.untrained.get(spec, [])
        records += [record(c, "control", verdict=_of_control(run, c, _lowest(run, draws))) for c in draws]
        nested = nested_best(measurements, plan) if len(mine) > 1 else measurements[0]
        read[mine[0].encoder.label] = nested
        highest = best_of([one.record for one in judged])
        best = Best(row=next(one for one in judged if one.record is highest), of=len(judged), nested=nested)
        verdicts.append(_summary(question, judged, best, sentences(run, question, spec, judged, best, cells, told)))
    return records, verdicts, read


def _lowest(run: Run, cells: Sequence[Cell]) -> float:
    """P of the lowest statistic of several cells: one leak alarm for all; 1 where there are none."""
    return low_over_map([run.measurement(cell).null.statistic for cell in cells]) if cells else 1.0


def _of_control(run: Run, cell: Cell, low: float) -> probes.Verdict:
    """What is said of a control; a list whose neighbours differ in their answers reads below chance without a leak."""
    m = run.measurement(cell)
    if cell.encoder.spec != ORDER:
        return probes.verdict(m, leak=low)
    found = probes.verdict(m, leak=1.0)
    if found.state == "present":
        return found
    return dataclasses.replace(found, reason="The place of an item in its list or folder does not tell its answer.")


def _controls(run: Run, cells: QuestionCells, cell: Cell) -> tuple[dict[str, tuple[Any, Any]], dict[str, str]]:
    """The controls of a cell with the paired differences to them, and what each is called in a sentence."""
    found, called = compared(run, cells, cell), {}
    pairs = {name: pair for name, (_, pair) in found.items()}
    if PIXELS in found:
        called[PIXELS] = thumbnail(cell.question, found[PIXELS][0])
    untrained = cells.untrained.get(cell.encoder.spec, [])
    draws = [run.measurement(c) for c in untrained if (c.name, c.level) == (cell.name, cell.level)]
    if draws:
        pairs[UNTRAINED] = over_population(run.measurement(cell), draws, run.plan(cell.question))
        few = f", too few to stand for others: {DRAWS} are needed" if len(draws) < DRAWS else ", as a population"
        called[UNTRAINED] = f"untrained networks ({len(draws)} draw{'s' * (len(draws) > 1)}{few})"
    elif cell.encoder.source.endswith(".py") and not cell.encoder.has_network:
        called[UNTRAINED] = "anything untrained (it is no network)"
    return pairs, called


def thumbnail(question: Question, cell: Cell) -> str:
    """What a cell of the control `pixels` is called in a sentence."""
    if cell.readout == AT_MARK.name:
        return "the brightness around the marks"
    side = THUMBNAILS[cell.site]
    size = f"{DEEP} × {side // 2} × {side // 2} values" if question.pictures.volumes else f"{side} × {side} pixels"
    return f"a thumbnail of {size}"


def _order(run: Run, question: Question, cells: QuestionCells, mine: Sequence[Cell]) -> ListTold | None:
    """What the order of the list tells of the answer, and whether the images carry it; None where it tells nothing.

    They do where the statistics of the images, or the features of the encoder's highest point, tell the place of an
    item among those of the same answer; they may where that cannot be asked.
    """
    one = next((c for c in cells.control if c.encoder.spec == ORDER and not run.measurement(c).screened), None)
    if one is None or not run.measurement(one).reads:
        return None
    assert isinstance(one.encoder, ListOrder)
    best = max(mine, key=lambda c: run.measurement(c).estimate.score)
    asked = [(best.encoder.spec, best.name), (LOWLEVEL, f"pooled/{VECTOR.name}")]
    tables = [run.filled[question.name, spec].read(name) for spec, name in asked if (question.name, spec) in run.filled]
    plan = run.plan(question)
    found = [carried_order(x, where, plan) for x in tables for where in one.encoder.places]
    known = [p for p in found if p is not None]
    return ListTold(measurement=run.measurement(one), p=min(known, default=None))


def layout_of(cell: Cell, points: Sequence[Cell]) -> list[Cell]:
    """The readouts that keep the layout of the tokens a cell is made of.

    Those of its site; of a vector, which has no tokens of its own, those of the last site before it that has any.
    """
    kept = [c for c in points if READOUTS[c.readout].keeps_layout and c is not cell]
    site = cell.site
    if cell.readout == VECTOR.name:
        before = [c.site for c in points[: points.index(cell)] if READOUTS[c.readout].keeps_layout]
        site = before[-1] if before else site
    return [c for c in kept if c.site == site]


def _losses(run: Run, cells: QuestionCells, mine: Sequence[Cell]) -> list[Loss | None]:
    """How much less each point reads than its references; all are measured as the map is."""
    if mine[0].encoder.spec in CONTROLS:
        return [None] * len(mine)
    plan = run.plan(mine[0].question)
    found = [_references(run, cells, mine, cell) for cell in mine]
    return losses([run.measurement(_at_map(run, cell)) for cell in mine], found, plan)


def _map_cell(run: Run, cell: Cell) -> str | None:
    """The name of the cell as the map measures it, where that is another."""
    other = _at_map(run, cell)
    return None if other is cell else run.key(other)[:32]


def _at_map(run: Run, cell: Cell) -> Cell:
    """The cell as the map measures it: with closed-form ridge, where the headline is another probe."""
    return screened(cell) if run.plan(cell.question).headline == "linear" and cell.level == "full" else cell


def _references(run: Run, cells: QuestionCells, mine: Sequence[Cell], cell: Cell) -> list[Reference]:
    """What a point is held against: what reads the same items before it, the image's thumbnails, other encoders."""
    named, spec = run.settings.probe.reference, cell.encoder.spec
    level = _at_map(run, mine[0]).level
    own = [c for c in mine if c.name == named and c is not cell]
    if not own:
        apart = not READOUTS[cell.readout].keeps_layout
        own = [c for c in mine[: mine.index(cell)] if c.site != cell.site]
        own += [c for c in mine if apart and c.site == cell.site and READOUTS[c.readout].keeps_layout]
    thumbnails = [
        c for c in cells.control if c.encoder.spec == PIXELS and c.readout == VECTOR.name and c.level == level
    ]
    draws = [c for c in cells.untrained.get(spec, []) if c.name == cell.name]
    others = [c for c in cells.encoder if c.encoder.spec not in (spec, *CONTROLS)]
    found: dict[Kind, list[tuple[Cell, str]]] = {
        "earlier": [(c, place(c)) for c in own],
        "thumbnail": [(c, thumbnail(c.question, c)) for c in thumbnails],
        "untrained": [(c, f"{place(c)} of untrained networks") for c in draws],
        "other": [(c, f"{place(c)} of {c.encoder.label}") for c in others],
    }
    if named is not None and named in REFERENCES:
        found = {REFERENCES[named]: found[REFERENCES[named]]}
    elif named is not None and any(c.name == named for c in mine):
        found = {"earlier": found["earlier"]}
    elif named is not None:
        found = {"other": [(c, name) for c, name in found["other"] if c.encoder.label == named]}
    return [
        Reference(name=name, kind=kind, measurement=run.measurement(at))
        for kind, some in found.items()
        for c, name in some
        for at in run.finished([_at_map(run, c)])
    ]


def _summary(question: Question, judged: Sequence[Judged], best: Best, text: Sequence[str]) -> dict[str, Any]:
    states = [j.verdict.state for j in judged]
    state = "present" if "present" in states else "absent" if set(states) == {"absent"} else "inconclusive"
    row = best.row.record
    read = None if best.nested is None else best.nested.estimate
    return {
        "task": question.name,
        "encoder": row.encoder,
        "verdict": state,
        "credit": best.row.verdict.credit,
        "best": best.row.cell.name,
        "score": None if read is None else read.score,
        "low": None if read is None else read.low,
        "high": None if read is None else read.high,
        "highest": row.score,
        "highest_low": row.simultaneous_low,
        "highest_high": row.simultaneous_high,
        "points": {s: states.count(s) for s in ("present", "absent", "inconclusive")},
        "blind": blind_throughout([j.record for j in judged]),
        "sentences": list(text),
    }


def _record(
    run: Run, question: Question, cell: Cell, role: str, experiment: str, command: str,
    *, verdict: probes.Verdict, p: float | None = None, scores: dict[str, float] | None = None,
    loss: Loss | None = None, wider: float | None = None,
) -> Record:  # fmt: skip
    m, plan, card = run.measurement(cell), run.plan(question), cell.encoder.card
    e, other = m.estimate, m.nested
    low, high = (None, None) if wider is None else widened(e, wider)
    under = (m.permuted or m.null.fixed).score  # refits of ridge beside a probe that is not refitted
    control = dict.fromkeys(f"control_{one.name}" for one in CREDIT_CONTROLS)
    return Record(
        experiment=experiment,
        role=role,
        encoder=cell.encoder.label,
        weights=_weights(cell, card),
        task=question.name,
        source=question.source.name,
        site=cell.site,
        readout=cell.readout,
        depth=relative_depth(cell.site, card.sites),
        probe=m.probe,
        screened=m.screened,
        n_items=len(question.ids),
        n_groups=plan.n_groups,
        n_classes=None if question.classes is None else len(question.classes),
        metric=e.metric,
        score=e.score,
        low=e.low,
        high=e.high,
        confidence=e.confidence,
        chance=e.chance,
        p_value=e.p,
        p_from="folds" if m.permuted is None else "permutation",
        p_adjusted=p,
        mde=e.mde,
        limit=verdict.excluded,
        simultaneous_low=low,
        simultaneous_high=high,
        margin=plan.margin,
        verdict=verdict.state,
        credit=verdict.credit,
        size_open=verdict.size_open,
        loss=None if loss is None else loss.whole.difference.score,
        loss_low=None if loss is None else loss.low,
        loss_high=None if loss is None else loss.high,
        loss_state=None if loss is None else loss.state,
        reference=None if loss is None else loss.whole.reference,
        reason=verdict.reason,
        nested=None if other is None else other.score,
        nested_low=None if other is None else other.low,
        nested_high=None if other is None else other.high,
        control_shuffled=float(under.mean()),
        control_shuffled_low=float(under.min()),
        control_shuffled_high=float(under.max()),
        **{**control, **(scores or {})},  # type: ignore[arg-type]
        seed=run.settings.probe.seed,
        folds=plan.n_folds,
        repeats=plan.repeats,
        permutations=len(m.null.statistic) - 1,
        device=cell.encoder.device,
        dtype=cell.encoder.dtype,
        probe_device=m.device,
        seconds=None,
        features_key=f"{run.filled[question.name, cell.encoder.spec].space.digest[:16]}:{cell.name}",
        data_key=question.data_key[:16],
        cell=run.key(cell)[:32],
        plan_key=run.plan_key(question),
        code_version=code_version(),
        command=command,
        limited=question.limited,
        r2_scores=m.companions.get("R2 of normal scores"),
        r2_number=m.companions.get("R2 of the number"),
        map_cell=_map_cell(run, cell) if role == "encoder" else None,
    )


def _weights(cell: Cell, card: Any) -> str:
    """What the numbers were computed with: repository and commit, or the fingerprint of local tensors."""
    if cell.encoder.spec in (*CONTROLS, ORDER):
        return "none"
    size = [] if cell.encoder.image_size is None else [f"at {cell.encoder.image_size} pixels"]
    if cell.encoder.spec.startswith("random:") or card.name.startswith("random:"):
        return ", ".join(["untrained", *size])
    parts = ["other weights"] if card.other_weights else []
    if cell.encoder.weights is not None:
        parts = parts or ["local weights"]
    elif card.repo and card.revision:
        parts.append(f"{card.repo}@{card.revision[:12]}")
    if card.synthetic:
        parts.append("synthetic training")
    if card.name != cell.encoder.spec and not cell.encoder.spec.endswith(".py"):  # under a label
        parts.append(card.name)
    return ", ".join([*parts, *size, f"fingerprint {cell.encoder.fingerprint[:12]}"])
