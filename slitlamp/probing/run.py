"""A probing run: what is finished is loaded, what is missing is encoded and measured, then all is judged."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import encoders
from encoders import EncoderError
from encoders.extraction.volumes import flat_only
from slitlamp.disk import require_writable
from slitlamp.errors import UsageError
from slitlamp.features.encoder import StoredEncoder
from slitlamp.features.fill import FeatureTable, NotFiniteError, fill, space_of
from slitlamp.log import say
from slitlamp.probing.points import cells_of, points_of
from slitlamp.probing.state import CHOICE, CONTROLS, Cell, Run, eyes, start
from slitlamp.probing.workers import Job, run_jobs
from slitlamp.questions import Question
from slitlamp.settings import Options


def fill_all(run: Run, question: Question, who: Sequence[StoredEncoder]) -> list[StoredEncoder]:
    """Encode what is missing for each eye; one that fails is named and left out, the others go on."""
    ready = []
    for eye in who:
        try:
            if run.options.volumes and not eye.reads_volumes:
                raise flat_only(eye.label)
            filled = _filled(run, question, eye)
        except (EncoderError, NotFiniteError) as error:
            if len(who) == 1 or eye.spec in CONTROLS:
                raise
            line = f"{eye.spec}: {' '.join(str(error).split())}"
            if line not in run.failed:
                run.failed.append(line)
                say(f"error: {line}")
            continue
        run.filled[question.name, eye.spec] = filled
        run.encoded += filled.encoded
        ready.append(eye)
    return ready


def _filled(run: Run, question: Question, eye: StoredEncoder) -> FeatureTable:
    """The features of one eye; where its crop leaves a mark out, all but those under marks, which it is told."""
    try:
        return fill(eye, question.pictures, points_of(eye, question), question.source.policy)
    except encoders.UnseenMarkError as error:
        if run.options.probe == CHOICE or "at-mark" in run.options.readout:
            raise
        question.unmarked.add(eye.spec)
        _note(run, f"warning: {eye.spec} is not read under the marks: {error}")
        return fill(eye, question.pictures, points_of(eye, question), question.source.policy)


def _fill_twins(run: Run, question: Question, spec: str, twins: Sequence[StoredEncoder]) -> list[StoredEncoder]:
    """Encode with the untrained draws; an encoder that is no network has none, which every verdict then says.

    A draw that equals an earlier one (a file that draws its weights the same each time) is left out, and said.
    """
    drawn: dict[str, StoredEncoder] = {}
    if (question.name, spec) not in run.filled:
        return []
    for twin in twins:
        try:
            fill_all(run, question, [twin])
        except (EncoderError, NotFiniteError, encoders.UnknownName) as error:
            have = "no untrained twin" if not drawn else f"only {len(drawn)} of {len(twins)} untrained draws"
            _note(run, f"warning: {have} beside {spec}: {' '.join(str(error).split())}")
            break
        if twin.fingerprint in drawn:
            _note(run, f"warning: {twin.spec} is the draw that {drawn[twin.fingerprint].spec} is; it is left out")
        drawn.setdefault(twin.fingerprint, twin)
        twin.loaded.clear()  # several full networks need not lie in memory at once
    return list(drawn.values())


def _note(run: Run, line: str) -> None:
    """Say a line that holds for the whole run once."""
    if line not in run.noted:
        run.noted.append(line)
        say(line)


def measure_all(run: Run, cells: Sequence[Cell], what: str) -> None:
    """Load finished cells and measure the rest; each is written as soon as it is done."""
    todo: dict[str, Cell] = {}
    for cell in cells:
        key = run.key(cell)
        if key in run.measured or key in todo:
            continue
        known = run.cells.load(key, plan=run.plan(cell.question))
        if known is None:
            todo[key] = cell
        else:
            run.measured[key] = known
    jobs: Iterator[Job] = (run.job(cell) for cell in todo.values())
    with contextlib.closing(run_jobs(jobs, len(todo), run.options.jobs, what)) as results:
        for key, measurement, seconds in results:
            cell = todo[key]
            run.cells.save(key, measurement, cell.question.classes)
            run.measured[key] = measurement
            run.seconds[key] = seconds


def could_be_absent(m: Any) -> bool:
    """Whether only a limit of detection stands between this cell and a claim of absence."""
    found = m.limit is not None or m.leak or m.state == "present" or m.probe == CHOICE  # no limit is known for a choice
    return not found and m.upper < m.plan.chance + m.plan.margin


def probe_question(run: Run, question: Question) -> tuple[list[Cell], dict[str, list[Cell]], list[Cell]]:
    """Measure one question for all encoders: returns (encoder cells, twin cells by spec, control cells)."""
    asked, twins, controls = eyes(run)
    asked = fill_all(run, question, asked)
    if not asked:
        raise EncoderError("; ".join(run.failed))
    labels = [eye.label for eye in asked]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise UsageError(f"two encoders are called {twice[0]}: give their CARDs names of their own")
    fill_all(run, question, controls)
    twins = {spec: _fill_twins(run, question, spec, draws) for spec, draws in twins.items()}
    own = [c for eye in asked for c in cells_of(run, question, eye, "encoder")]
    shuffled = [dataclasses.replace(c, role="shuffled", level="screen", nested=False) for c in own]
    twin = {
        e.spec: [c for draw in twins[e.spec] for c in cells_of(run, question, draw, "twin")]
        for e in asked
        if twins.get(e.spec)
    }
    basic = [c for eye in controls for c in cells_of(run, question, eye, "control")]
    everything = [*own, *basic, *(c for group in twin.values() for c in group), *shuffled]
    measure_all(run, everything, f"probing {question.name}")
    pool = question.pool
    doubtful = [c for c in own if c.level == "full" and could_be_absent(run.measurement(c))]
    if pool is not None and pool.pictures.marked != question.pictures.marked:
        doubtful = [c for c in doubtful if c.readout != "at-mark"]  # a pool without marks has no token under them
    if doubtful and pool is not None:
        for spec in dict.fromkeys(c.eye.spec for c in doubtful):
            eye = next(e for e in asked if e.spec == spec)
            names = {c.name for c in doubtful if c.eye.spec == spec}
            points = [p for p in points_of(eye, question) if f"{p[0]}/{p[1]}" in names]
            try:
                run.pools[question.name, spec] = fill(eye, pool.pictures, points, pool.source.policy)
            except encoders.UnseenMarkError:  # a mark of the pool alone: its cells stay without a limit of detection
                doubtful = [c for c in doubtful if c.eye.spec != spec or c.readout != "at-mark"]
                points = [p for p in points if p[1] != "at-mark"]
                run.pools[question.name, spec] = fill(eye, pool.pictures, points, pool.source.policy)
        again = [dataclasses.replace(c, pooled=True) for c in doubtful]
        measure_all(run, again, f"limits of detection, {question.name}")
        replaced = {old.tag: new for old, new in zip(doubtful, again, strict=True)}
        own = [replaced.get(c.tag, c) for c in own]
    return own, {**twin, "shuffled": shuffled}, basic


def run(options: Options, experiment: str) -> int:
    """The whole run: measure, judge, write and print; returns the exit code."""
    from slitlamp.probing.judge import judge
    from slitlamp.reports.files import deliver

    began = time.perf_counter()
    require_writable(Path(options.out))
    state, questions = start(options)
    records, verdicts = [], []
    for question in questions:
        own, beside, basic = probe_question(state, question)
        found, judged = judge(state, question, own, beside, basic, experiment)
        records += found
        verdicts += judged
    deliver(state, options, experiment, records, verdicts, time.perf_counter() - began)
    if state.failed:
        return 5 if records else 4
    return 0


def plan_of(options: Options) -> dict[str, Any]:
    """What a run would do: cells, images to encode, bytes; nothing is encoded or probed.

    None where only loading the encoder would tell.
    """
    state, questions = start(options)
    rows = []
    for question in questions:
        contents = question.pictures.known()
        for eye in _everyone(state):
            row = {
                "task": question.name,
                "source": question.source.name,
                "items": len(question.ids),
                "groups": state.plan(question).n_groups,
                "probe": options.probe or state.plan(question).headline,
                "encoder": eye.spec,
                "points": None,
                "images_to_encode": None,
                "bytes_to_store": None,
            }
            if eye.remembered is not None:
                points = points_of(eye, question)
                widths = {f"{site}/{readout}": width for site, readout, width in points}
                todo = len(question.ids)
                if contents is not None:
                    todo = len(space_of(eye, question.source.policy).missing(contents, list(widths), verify=False))
                row |= {
                    "points": len(points),
                    "images_to_encode": todo,
                    "bytes_to_store": 2 * todo * sum(widths.values()),
                }
            rows.append(row)
    limited = options.limit is not None
    return {
        "experiment": "linear_probe",
        "plan": rows,
        "volumes": options.volumes,
        "limited": limited,
        "out": options.out,
    }


def _everyone(state: Run) -> list[StoredEncoder]:
    asked, twins, controls = eyes(state)
    return [*asked, *(draw for draws in twins.values() for draw in draws), *controls]
