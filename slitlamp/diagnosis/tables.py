"""Tables of a diagnosis: the verdicts, a record for each stage, losses, the item table's counts, texts."""

from collections.abc import Sequence
from typing import Any

from probes.stages.contrast import Contrast
from slitlamp.diagnosis.chain import STATISTICS, THUMBNAIL, UNTRAINED_NETWORKS, ReadStage
from slitlamp.diagnosis.found import Diagnosed
from slitlamp.records import code_version
from slitlamp.settings import Settings

NAME = "diagnose"
CONTROLS = {
    "control_pixels": THUMBNAIL, "control_lowlevel": STATISTICS, "control_random": UNTRAINED_NETWORKS,
}  # fmt: skip
VERDICT = ("model", "task", "failure", "code", "confidence", "reason")


def tables_of(found: Sequence[Diagnosed], settings: Settings, command: str) -> dict[str, list[dict[str, Any]]]:
    """Every table by name, those first that a reader needs first; none that is empty."""
    made: dict[str, list[dict[str, Any]]] = {
        "verdicts": [_verdict(one) for one in found],
        "stages": [row for one in found for row in stage_rows(one, settings, command)],
        "losses": [row for one in found for row in _losses(one)],
        "items": [row for one in found for row in _counts(one)],
    }
    for one in found:
        for name, rows in one.got.tables.items():
            made.setdefault(name, []).extend(dict(row) for row in rows)
    return {name: rows for name, rows in made.items() if rows}


def _verdict(one: Diagnosed) -> dict[str, Any]:
    failure = one.failure
    return {
        "model": one.model, "task": one.name, "failure": failure.failure, "code": failure.code,
        "confidence": failure.confidence, "p": failure.p, "n_items": len(one.question.ids),
        "n_groups": one.plan.n_groups, "margin": one.parts[0].contrast.margin if one.parts else one.plan.margin,
        "reason": failure.reason, "notes": "; ".join(failure.notes), "inputs": _plain(failure.inputs),
    }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") else value


def stage_rows(one: Diagnosed, settings: Settings, command: str) -> list[dict[str, Any]]:
    """A record for each stage of one task, in the order of the model, and for those beside the chain."""
    after = {part.source: part for part in one.parts}
    return [_stage(one, stage, after.get(stage.name), settings, command) for stage in [*one.got.chain, *one.got.untold]]


def _stage(one: Diagnosed, stage: ReadStage, part: Any, settings: Settings, command: str) -> dict[str, Any]:
    m, e, plan, cell = stage.measurement, stage.measurement.estimate, one.plan, stage.cell
    controls = {control.name: control.score for control in one.got.untold if control.stage == "control"}
    weights = next((record.weights for record in one.points if record.encoder == one.model), None)
    read = {(r.encoder, f"{r.site}/{r.readout}"): r.features_key for r in one.points}
    loss: Contrast | None = None if part is None else part.contrast
    low, high = stage.ends or (None, None)
    return {
        "experiment": NAME, "model": one.model, "task": one.name, "stage": stage.stage, "name": stage.name,
        "at": stage.place, "points": stage.points, "score": e.score, "low": low, "high": high, "chance": e.chance,
        "verdict": stage.said, "p_value": e.p, "p_adjusted": stage.p, "limit": stage.excluded,
        "credit": stage.credit, "mde": e.mde, "trained": stage.trained, "to": None if part is None else part.target,
        "loss": None if loss is None else loss.loss, "loss_low": None if loss is None else loss.low,
        "loss_high": None if loss is None else loss.high, "loss_p": None if loss is None else loss.p,
        "loss_state": None if loss is None else loss.state, "margin": None if loss is None else loss.margin,
        "metric": e.metric, "confidence": e.confidence, "probe": m.probe,
        "weights": weights, "reference": None if one.got.reference is None else one.got.reference.place,
        "control_shuffled": None if m.permuted is None else m.permuted.mean,
        **{column: controls.get(name) for column, name in CONTROLS.items()},
        "encoder": one.model if cell is None else cell.encoder.label, "source": one.question.source.name,
        "site": None if cell is None else cell.site, "readout": None if cell is None else cell.readout,
        "n_items": len(one.question.ids), "n_groups": plan.n_groups, "n_classes": len(plan.classes),
        "seed": settings.probe.seed, "folds": plan.n_folds, "repeats": plan.repeats,
        "permutations": len(m.null.statistic) - 1, "device": None if cell is None else cell.encoder.device,
        "dtype": settings.encoder.dtype, "seconds": None,
        "features_key": None if cell is None else read.get((cell.encoder.label, cell.name)),
        "data_key": one.question.data_key[:16], "code_version": code_version(), "limited": one.question.limited,
        "reason": stage.note, "command": command,
    }  # fmt: skip


def _losses(one: Diagnosed) -> list[dict[str, Any]]:
    """Losses between neighbours and over all of the chain, and those that the verdict rests on."""
    steps = [*one.parts, *([one.gap] if one.gap is not None and len(one.parts) > 1 else [])]
    rows = [(f"{step.source} to {step.target}", step.contrast, "decomposition") for step in steps]
    rows += [(name, contrast, "verdict") for name, contrast in one.contrasts.items()]
    return [
        {"task": one.name, "of": of, "between": name, "loss": c.loss, "low": c.low, "high": c.high, "p": c.p,
         "margin": c.margin, "state": c.state}
        for name, c, of in rows
    ]  # fmt: skip


def _counts(one: Diagnosed) -> list[dict[str, Any]]:
    """How many items have each pattern, the most frequent first."""
    if one.counts is None:
        return []
    rows = []
    for pattern, count in sorted(one.counts.counts.items(), key=lambda pair: (-pair[1], pair[0])):
        shown = dict(zip(one.counts.names, ("yes" if bit else "no" for bit in pattern), strict=True))
        rows.append({"task": one.name, **shown, "items": int(count)})
    return rows


def tests_of(one: Diagnosed) -> list[str]:
    """McNemar's tests between neighbouring columns of the item table, in one sentence; none where nothing differs."""
    if one.counts is None:
        return []
    names, said = one.counts.names, []
    for k, test in enumerate(one.counts.tests):
        if test.only_first + test.only_second:
            group = "" if abs(test.p - test.p_group) < 0.005 else f", by group {test.p_group:.2g}"
            said.append(
                f"{names[k]} but not {names[k + 1]} {test.only_first}, the other way {test.only_second} (p = "
                f"{test.p:.2g}{group})"
            )
    return [f"items {'; '.join(said)}; McNemar's exact test"] if said else []
