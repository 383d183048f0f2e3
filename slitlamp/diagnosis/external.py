"""Is it the training on these very items that reads the fact? Probes trained on another data set of the same classes.

A probe of the question is trained on its items, and an answer is not. So the same probe is trained on an external data
set (other images of the same classes) and read, without a further look at a label, on the items (METHOD 4.6 iv).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import probes
import tasks
from plugins import hint
from probes import FeatureSet, ProbeError
from probes.stages.alignment import direction_filters
from probes.stages.answers import centred, each_class
from probes.stages.contrast import Contrast
from probes.stages.failure import External
from probes.stats.exclusion import strength_to_exclude
from probes.stats.fixed import measure_fixed
from probes.stats.plan import ALPHA, FEW
from slitlamp.diagnosis.chain import ReadStage, as_stage, order_loss, untrained_stage
from slitlamp.diagnosis.transport import features
from slitlamp.duplicates.guard import Copies
from slitlamp.encoding.fill import encode_missing
from slitlamp.errors import UsageError
from slitlamp.probing.state import Cell, Run
from slitlamp.questions import Question, ask
from slitlamp.settings import Settings
from slitlamp.sources import has_manifest
from tasks import DataError

ELSEWHERE = ", trained elsewhere"  # behind a stage's name
OTHER_DRAW = 1_000_003  # added to the seed, so that external phantoms are no draw of those that are asked
CHOSEN_BY = 99  # permutations of the plan by which a point is chosen


@dataclass(frozen=True, kw_only=True, eq=False)
class Elsewhere:
    """What probes trained elsewhere read: a stage for each of those of the chain, and what the rule takes of the best.

    `losses` are those of `External` by name, `notes` what must be said beside.
    """

    stages: Sequence[ReadStage]
    external: External | None
    losses: dict[str, Contrast]


def external_of(given: Sequence[str], question: Question, run: Run) -> Question | None:
    """The external question of `--external`, checked against the one that is asked; None where none is named for it.

    Raises:
        UsageError: a source that is neither file nor task, or other classes. DataError: images, or groups, that are
            asked themselves; fewer than 20 groups, or too few of one class.
    """
    entry = entry_for(given, question.name)
    if entry is None:
        return None
    flag = f"--external {entry}"  # as messages call it
    (found,) = ask(_settings(entry, question, run.settings).source, run.store)
    wanted, classes = set(question.classes or ()), found.classes or ()
    there = {classes[int(k)] for k in np.unique(found.y)} if classes else set()
    if there != wanted or set(classes) != wanted:
        has = ", ".join(sorted(there)) or "numbers"
        raise UsageError(
            f"{flag}: its answers are {has}, and those of {question.name} {', '.join(question.classes or ())}; give "
            "other images of the same classes"
        )
    _check_apart(entry, found, question, run)
    groups = len(set(found.groups))
    if groups < FEW:
        raise DataError(f"{flag} has {groups} groups: {FEW} are needed to train a probe that can be judged")
    return found


def check_entries(given: Sequence[str], names: Sequence[str]) -> None:
    """Raises UsageError for a TASK=SOURCE of a task that is not asked."""
    for one in given:
        task, equals, _ = one.partition("=")
        if equals and task not in names and not Path(one).exists():
            raise UsageError(
                f"--external {one}: {task} is no task of this command; {hint(task, names)}there are {', '.join(names)}"
            )


def entry_for(given: Sequence[str], task: str) -> str | None:
    """What is named for a task: its own TASK=SOURCE, else the entry without a task.

    >>> entry_for(("films", "contrast=ct.csv"), "contrast")
    'ct.csv'
    """
    own = [one.partition("=")[2] for one in given if one.partition("=")[0] == task and "=" in one]
    plain = [one for one in given if "=" not in one or Path(one).exists()]
    return (own or plain or [None])[-1]


def _settings(entry: str, question: Question, settings: Settings) -> Settings:
    """The settings that ask the external source: a file or folder as --data, or a task's phantoms."""
    plain: dict[str, Any] = {"pool": None, "limit": None, "take_groups": None, "draw": 0}
    known = [name for name in tasks.names() if tasks.load(name).phantoms is not None]
    mine = [one for one in settings.source.task if tasks.load(one).name == question.task.name]  # by name or file
    if Path(entry).expanduser().exists() or ":" in entry:
        group = settings.source.group if has_manifest(entry) else None
        columns = {} if has_manifest(entry) else {"image_column": None}
        return settings.but(data=entry, task=tuple(mine[:1]), group=group, **columns, **plain)
    if entry not in known:
        raise UsageError(
            f"--external {entry}: no such file or folder, and no task with phantoms; {hint(entry, known)}there are "
            f"{', '.join(known)}"
        )
    return settings.but(
        data=None, task=(entry,), label=None, group=None, image_column=None, window=None, intercept=0.0, exif=None,
        classes=False, number=False, not_missing=(), volumes=False, copies="refuse", spelling="refuse",
        seed=settings.source.seed + OTHER_DRAW, **plain,
    )  # fmt: skip


def _check_apart(entry: str, found: Question, question: Question, run: Run) -> None:
    """DataError where an image, or a group that is named, is external and asked."""
    mine = dict(zip(question.pictures.contents, question.ids, strict=True))
    same = [(name, mine[c]) for name, c in zip(found.ids, found.pictures.contents, strict=True) if c in mine]
    if not same and not (found.source.synthetic or question.source.synthetic):
        rows = [*found.source.rows, *question.source.rows]
        n = len(found.source.rows)
        ends = [(min(p.first, p.second), max(p.first, p.second)) for p in Copies(store=run.store).pairs(rows)]
        same = [(rows[a].id, rows[b].id) for a, b in ends if a < n <= b]
    if same:
        a, b = same[0]
        raise DataError(
            f"--external {entry} holds {len(same)} images that are asked themselves, or copies of them ({a} is {b}): "
            "leave them out, or the probe is not trained elsewhere"
        )
    if run.settings.source.group is not None and not found.source.synthetic and has_manifest(entry):
        both = sorted({str(g) for g in found.groups} & {str(g) for g in question.groups})
        if both:
            raise DataError(
                f"--external {entry} holds {len(both)} groups that are asked ({', '.join(both[:3])}): leave them "
                "out, or the probe has seen them"
            )


def read_elsewhere(
    run: Run, question: Question, found: Question, stages: Sequence[tuple[ReadStage, Sequence[Cell]]],
    answer: ReadStage | None,
) -> Elsewhere:  # fmt: skip
    """Train a probe on the external question at each stage, and read the items with it.

    The point of a stage, of the cells beside it, is the one where the external items are read best in inner folds: no
    label of the items has part in it. The threshold is that of the share of the classes (`centred`), as of an answer.

    Raises:
        ProbeError: the external items cannot be split into folds. EncoderError: they cannot be encoded.
    """
    s, plan = run.settings.probe, run.plan(question)
    y = np.array([(question.classes or ()).index(name) for name in found.classes or ()])[found.y]
    theirs = probes.plan(y, found.groups, classes=question.classes, seed=s.seed, repeats=1, permutations=CHOSEN_BY,
                         copies=found.copies)  # fmt: skip
    asked, each = strength_to_exclude(len(plan.classes)), []
    for stage, cells in stages:
        if not cells:
            continue
        x = _encoded(run, found, cells)
        fitted = {}
        for cell in cells:
            given = FeatureSet(x=x[cell.name], y=y, groups=found.groups, ids=found.ids, classes=question.classes)
            fitted[cell.name] = probes.measure(given, theirs, probe="ridge", level="screen", detect=False, nested=False)
        best = min(cells, key=lambda c: float(np.mean(_inner(fitted[c.name]))))
        there, here = x[best.name].astype(np.float64), features(run, question, best).x
        margin = (here - there.mean(axis=0)) @ direction_filters(there, y, len(plan.classes), theirs.penalty)
        score = each_class(centred(margin, plan))
        m = measure_fixed(score, question.features(score), plan, f"trained on {found.name}")
        made = replace(
            untrained_stage(m, stage.name + ELSEWHERE, "external"), place=best.name, points=len(cells), cell=best,
            trained=True, note=f"trained on {called(found)}",
        )  # fmt: skip
        own = untrained_stage(fitted[best.name], f"its own data at {stage.name}", "external")
        each.append((stage, made, own))
    if not each:
        return Elsewhere(stages=[], external=None, losses={})
    losses = {f"{stage.name} to the same{ELSEWHERE}, AUC": order_loss(stage, made, plan) for stage, made, _ in each}
    behind = [one for one in each if one[0].stage != "encoder"] or each
    _, made, own = max(behind, key=lambda one: one[1].score)
    unsaid = None if answer is None else order_loss(made, answer, plan)
    if unsaid is not None:
        losses[f"{made.name} to answer, AUC"] = unsaid
    p = None if made.p is None else min(1.0, made.p * len(behind))  # the best of several
    reads = made.state == "present" and p is not None and p <= ALPHA
    best = replace(as_stage(made, asked), p=p, state="present" if reads else "inconclusive")
    external = External(source=called(found), stage=best, own=as_stage(own, asked), unsaid=unsaid)
    return Elsewhere(stages=[made for _, made, _ in each], external=external, losses=losses)


def called(found: Question) -> str:
    """What an external question is called in words."""
    return f"{found.source.name} ({len(found.ids)} items, {found.name})"


def _inner(m: Any) -> np.ndarray:
    return np.ones(1) if m.inner is None else m.inner


def _encoded(run: Run, found: Question, cells: Sequence[Cell]) -> dict[str, np.ndarray]:
    """Features of the external images at each cell, by its name; all cells of one encoder are read in one pass."""
    x: dict[str, np.ndarray] = {}
    for encoder in {id(cell.encoder): cell.encoder for cell in cells}.values():
        mine = {cell.name for cell in cells if cell.encoder is encoder}
        points = {f"{site}/{readout}": (site, readout, n) for site, readout, n in encoder.points(found.pictures.marked)}
        for name in mine - set(points):
            raise ProbeError(f"the external images have no {name}: they carry no marks, and those that are asked do")
        table = encode_missing(
            encoder, found.pictures, [p for n, p in points.items() if n in mine], found.source.policy
        )
        run.encoded += table.encoded
        x |= {name: table.read(name) for name in mine}
    return x
