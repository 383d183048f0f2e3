"""From measurements to records and verdicts: the multiplicity rule, the controls, the credit."""

from collections.abc import Sequence
from typing import Any

import probes
from encoders.extraction.readouts import AT_MARK, READOUTS, VECTOR
from probes.stats.credit import PIXELS, UNTRAINED
from slitlamp.probing.judged import Judged, best_of
from slitlamp.probing.points import relative_depth
from slitlamp.probing.state import CONTROLS, Cell, QuestionCells, Run
from slitlamp.probing.words import sentences
from slitlamp.questions import Question
from slitlamp.records import Record, code_version
from slitlamp.settings import command_line

AT_MARKS = "the brightness around the marks"  # what a map of pixels reads there


def adjusted(measurements: Sequence[Any]) -> list[float | None]:
    """P of each point of one encoder's map, with the search over all of its points paid for.

    The largest statistic over the map under the same permuted labels where the probe can be refitted
    (Westfall & Young 1993, single step), Holm's rule otherwise.
    """
    from probes.stats.multiplicity import holm, over_layers

    if all(m.permuted is not None for m in measurements):
        count = min(len(m.null.statistic) for m in measurements)
        return [float(p) for p in over_layers([m.null.statistic[:count] for m in measurements])]
    return [float(p) for p in holm([1.0 if m.estimate.p is None else m.estimate.p for m in measurements])]


def judge(
    run: Run, question: Question, cells: QuestionCells, experiment: str
) -> tuple[list[Record], list[dict[str, Any]]]:
    """Records of every cell and control of one question, and one verdict for each encoder."""
    plan = run.plan(question)
    command = command_line(run.settings, experiment)
    found = [(c.readout, (c.encoder.spec, run.measurement(c).screened), run.measurement(c)) for c in cells.control]
    controls = {key: m for readout, key, m in found if readout != AT_MARK.name}
    by_place = {key: m for readout, key, m in found if readout == AT_MARK.name}
    records: list[Record] = []
    verdicts: list[dict[str, Any]] = []

    def record(cell: Cell, name: str, role: str, **more: Any) -> Record:
        return _record(run, question, cell, name, role, experiment, command, **more)

    for cell in cells.control:
        if not run.measurement(cell).screened:
            records.append(record(cell, cell.encoder.label, "control"))
    for spec in dict.fromkeys(c.encoder.spec for c in cells.encoder):
        mine = [c for c in cells.encoder if c.encoder.spec == spec]
        measurements = [run.measurement(c) for c in mine]
        untrained = cells.untrained.get(spec, [])
        shuffled = {c.name: c for c in cells.shuffled if c.encoder.spec == spec}
        judged = []
        for cell, m, p in zip(mine, measurements, adjusted(measurements), strict=True):
            against = {name: controls[name, m.screened] for name in CONTROLS if name != spec}
            place = by_place.get((PIXELS, m.screened)) if cell.readout == AT_MARK.name and spec != PIXELS else None
            if place is not None and place.estimate.score > against[PIXELS].estimate.score:
                against[PIXELS] = place  # what brightness at the place answers is no merit of the token there
            draws = [run.measurement(c) for c in untrained if c.name == cell.name]
            pairs = {name: (other, probes.compare(m, other, plan)) for name, other in against.items()}
            if draws:
                pairs[UNTRAINED] = hardest([(other, probes.compare(m, other, plan)) for other in draws])
            layout = [run.measurement(c) for c in layout_of(cell, mine)]
            known = None if spec in CONTROLS else pairs  # a control has nothing weaker to be measured against
            called = {PIXELS: AT_MARKS} if place is not None and against[PIXELS] is place else {}
            if len(draws) > 1:
                called[UNTRAINED] = f"the same network untrained (the hardest to beat of {len(draws)} draws)"
            verdict = probes.verdict(m, controls=known, layout=layout, adjusted=p, called=called)
            judged.append(Judged(cell=cell, measurement=m, verdict=verdict, p=p, controls=pairs))
            scores = {f"control_{name}": pair[0].estimate.score for name, pair in pairs.items()}
            scores["control_shuffled"] = run.measurement(shuffled[cell.name]).estimate.score
            records.append(record(cell, cell.encoder.label, "encoder", verdict=verdict, p=p, scores=scores))
        records += [record(c, c.encoder.label, "control") for c in untrained]
        records += [record(c, f"shuffled:{c.encoder.label}", "control") for c in shuffled.values()]
        verdicts.append(_summary(question, judged, sentences(run, question, spec, judged, controls)))
    return records, verdicts


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


def hardest(draws: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Of several untrained draws, with their paired differences, the one that an encoder surpasses least surely.

    Learning is credited only to what surpasses this one, and so every draw: each is tested at the full level,
    and no more needs to be paid (an intersection-union test; Berger 1982, Technometrics 24, 295-300).
    """
    return min(draws, key=lambda draw: draw[1].score if draw[1].low is None else draw[1].low)


def _summary(question: Question, judged: Sequence[Judged], text: Sequence[str]) -> dict[str, Any]:
    best = best_of(judged)
    states = [j.verdict.state for j in judged]
    state = "present" if "present" in states else "absent" if set(states) == {"absent"} else "inconclusive"
    return {
        "task": question.name,
        "encoder": judged[0].cell.encoder.label,
        "verdict": state,
        "credit": best.verdict.credit,
        "best": best.cell.name,
        "points": {s: states.count(s) for s in ("present", "absent", "inconclusive")},
        "sentences": list(text),
    }


def _record(
    run: Run, question: Question, cell: Cell, name: str, role: str, experiment: str, command: str,
    *, verdict: Any = None, p: float | None = None, scores: dict[str, float] | None = None,
) -> Record:  # fmt: skip
    m, plan, card = run.measurement(cell), run.plan(question), cell.encoder.card
    e, other, found = m.estimate, m.nested, m.limit
    control = dict.fromkeys(("control_shuffled", "control_pixels", "control_lowlevel", "control_random"))
    return Record(
        experiment=experiment,
        role=role,
        encoder=name,
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
        p_adjusted=p,
        mde=e.mde,
        lod=None if found is None else found.limit,
        variance_held=None,
        margin=plan.margin,
        verdict=m.state if verdict is None else verdict.state,
        credit=None if verdict is None else verdict.credit,
        reason=m.reason if verdict is None else verdict.reason,
        nested=None if other is None else other.score,
        nested_low=None if other is None else other.low,
        nested_high=None if other is None else other.high,
        **{**control, **(scores or {})},  # type: ignore[arg-type]
        seed=run.settings.probe.seed,
        folds=plan.n_folds,
        repeats=plan.repeats,
        permutations=len(m.null.statistic) - 1,
        device=cell.encoder.device,
        dtype=cell.encoder.dtype,
        seconds=None,
        features_key=f"{run.filled[question.name, cell.encoder.spec].space.digest[:16]}:{cell.name}",
        data_key=question.data_key[:16],
        code_version=code_version(),
        command=command,
        limited=question.limited,
    )


def _weights(cell: Cell, card: Any) -> str:
    """What the numbers were computed with: repository and commit, or the fingerprint of local tensors."""
    if cell.encoder.spec in CONTROLS:
        return "none"
    if cell.encoder.spec.startswith("random:") or card.name.startswith("random:"):
        return "untrained"
    parts = ["other weights"] if card.other_weights else []
    if cell.encoder.weights is not None:
        parts = parts or ["local weights"]
    elif card.repo and card.revision:
        parts.append(f"{card.repo}@{card.revision[:12]}")
    if card.synthetic:
        parts.append("synthetic training")
    if card.name != cell.encoder.spec and not cell.encoder.spec.endswith(".py"):  # under a label
        parts.append(card.name)
    return ", ".join([*parts, f"fingerprint {cell.encoder.fingerprint[:12]}"])
