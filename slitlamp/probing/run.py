"""A probing run: what is finished is loaded, what is missing is encoded and measured, then all is judged."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import encoders
import probes
from encoders import EncoderError
from encoders.extraction.readouts import AT_MARK
from encoders.extraction.volumes import flat_only
from plugins import UnknownName, UserFileError, hint
from probes.stats.credit import surpassed
from probes.stats.plan import ALPHA, FEW
from slitlamp.encoding.encoder import StoredEncoder, check_points
from slitlamp.encoding.fill import FeatureTable, NotFiniteError, encode_missing, space_of
from slitlamp.errors import UsageError, none_of, said_of
from slitlamp.log import say
from slitlamp.probing.judge import REFERENCES, adjusted, compared, judge
from slitlamp.probing.order import order_of
from slitlamp.probing.pace import Measured
from slitlamp.probing.paired import differences
from slitlamp.probing.points import cells_of, points_of, screened
from slitlamp.probing.state import CHOICE, CONTROLS, Cell, QuestionCells, Role, Run, start
from slitlamp.probing.workers import Job, run_jobs, spare_threads
from slitlamp.questions import Opened, Question
from slitlamp.records import Record
from slitlamp.settings import Settings, portable
from tasks.label import place_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probed:
    """What a run found: records, one verdict per question and encoder, and what failed.

    `comparisons` are paired differences between encoders (see `paired.differences`).
    `questions` say of each who was asked, with which answers, and what was left out (`questions.facts_of`).
    `cell_seconds` are those of the cells that were measured now, `encoded` counts images that were encoded now.
    """

    records: Sequence[Record]
    verdicts: Sequence[dict[str, Any]]
    comparisons: Sequence[dict[str, Any]]
    predictions: dict[str, Any]
    failed: Sequence[str]
    notes: Sequence[str]
    questions: Sequence[Mapping[str, Any]]
    encoded: int
    seconds: float
    cell_seconds: dict[str, float]
    home: Path  # where the cells lie


def run(
    settings: Settings,
    experiment: str,
    *,
    share: bool = False,
    skip: Mapping[tuple[str, str], str] | None = None,
    kept: dict[Any, list[Question]] | None = None,
) -> Probed:
    """Measure and judge every question that was asked; nothing is written but cells and features.

    With `share` cells are found, and left, in the store as well, so that no grid measures what another has. `skip`
    holds encoders that failed before, by question and name: they fail with that line, and are not tried again. `kept`
    keeps the last questions for a next run that puts the same.

    Raises:
        EncoderError: no encoder could be asked; where only some fail, `failed` names them and the others go on.
    """
    began = time.perf_counter()
    with spare_threads():
        state, questions = start(settings, share=share, kept=kept)
        state.skip |= skip or {}
        records: list[Record] = []
        verdicts: list[dict[str, Any]] = []
        predictions: dict[str, Any] = {}
        read = []
        choose_points(state, questions)
        measured = [(question, probe_question(state, question)) for question in questions]
        asked = [(question, cells) for question, cells in measured if cells is not None]
        paid = adjusted([[state.measurement(cell) for cell in cells.encoder] for _, cells in asked])
        for (question, cells), p in zip(asked, paid, strict=True):
            state.save_plan(question)
            found, judged, best = judge(state, question, cells, p, experiment)
            records += found
            verdicts += judged
            read.append((question.name, state.plan(question), best))
            for cell in cells.encoder:
                name = f"{question.name}/{cell.encoder.label}/{cell.name}"
                predictions[name] = state.measurement(cell).predictions
    return Probed(
        records=records,
        verdicts=verdicts,
        comparisons=differences(read),
        predictions=predictions,
        failed=state.failed,
        notes=[*(warning for question in questions for warning in question.warnings), *state.noted],
        questions=[question.facts for question in questions],
        encoded=state.encoded,
        seconds=time.perf_counter() - began,
        cell_seconds=state.seconds,
        home=state.cells.folder.parent,
    )


def choose_points(run: Run, questions: Sequence[Question]) -> None:
    """Refuse sites and readouts that are nowhere, and say where some are not, before anything is encoded.

    An encoder that cannot be loaded is left to the encoding, which names it.
    """
    _check_reference(run, questions)
    asked = run.settings.encoder
    if not (asked.site or asked.readout):
        return
    known = []
    for encoder in run.encoders.asked:
        with contextlib.suppress(*((EncoderError, UserFileError) if len(run.encoders.asked) > 1 else ())):
            _ = encoder.card
            known.append(encoder)
    if known:
        for note in check_points(known, sorted({question.pictures.marked for question in questions})):
            _note(run, f"warning: {note}")


def _check_reference(run: Run, questions: Sequence[Question]) -> None:
    """Refuse a --reference that is nothing of this run, before anything is encoded."""
    named = run.settings.probe.reference
    if named is None or named in REFERENCES:
        return
    known: dict[str, None] = {}
    for encoder in run.encoders.asked:
        with contextlib.suppress(*((EncoderError, UserFileError) if len(run.encoders.asked) > 1 else ())):
            known |= dict.fromkeys([encoder.label] if len(run.encoders.asked) > 1 else [])
            for marked in {question.pictures.marked for question in questions}:
                known |= dict.fromkeys(f"{site}/{readout}" for site, readout, _ in encoder.points(marked))
    if named not in known:
        raise UsageError(
            f"--reference {named}: {hint(named, [*REFERENCES, *known])}it may be pixels, untrained, another encoder of "
            "this command, or a SITE/READOUT of its own"
        )


def check_names(asked: Sequence[StoredEncoder]) -> None:
    """Raises UsageError where two encoders would be called the same in tables."""
    labels = [encoder.label for encoder in asked]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise UsageError(f"two encoders are called {twice[0]}: give their CARDs names of their own")


def _may_be_read(question: Question, encoder: StoredEncoder) -> bool:
    """Whether an encoder has a point that was asked for; an encoder that cannot be loaded may have one."""
    try:
        return bool(encoder.points(question.pictures.marked))
    except (EncoderError, UserFileError):
        return True


def probe_question(run: Run, question: Question) -> QuestionCells | None:
    """Encode and measure one question for all encoders, their untrained draws and the controls.

    None, and a line, where the question has none of the readouts that were asked for.
    """
    asked = encode_all(run, question, run.encoders.asked)
    if not asked and not run.failed and not any(_may_be_read(question, encoder) for encoder in run.encoders.asked):
        _note(run, f"warning: {question.name} is not asked: it has none of the sites and readouts that are asked for")
        return None
    if not asked:
        raise EncoderError(none_of(run.failed))
    check_names(asked)
    encode_all(run, question, run.encoders.controls)
    controls = [cell for control in run.encoders.controls for cell in cells_of(run, question, control, Role.CONTROL)]
    order = order_of(question)
    if order is not None:
        run.filled[question.name, order.spec] = order
        controls += cells_of(run, question, order, Role.CONTROL)
    own = [cell for encoder in asked for cell in cells_of(run, question, encoder, Role.ENCODER)]
    measure_all(run, [*own, *maps_of(run, question, own), *controls], f"probing {question.name}")
    cells = QuestionCells(encoder=own, control=run.finished(controls))
    draws = {
        spec: _encode_untrained(run, question, spec, many)
        for spec, many in run.encoders.untrained.items()
        if _draws_matter(run, cells, spec)
    }
    untrained = {
        spec: [cell for draw in many for cell in cells_of(run, question, draw, Role.UNTRAINED)]
        for spec, many in draws.items()
        if many
    }
    every = [cell for many in untrained.values() for cell in many]
    measure_all(run, [*every, *maps_of(run, question, every)], f"untrained networks, {question.name}")
    cells = dataclasses.replace(cells, untrained={spec: run.finished(many) for spec, many in untrained.items()})
    return dataclasses.replace(cells, encoder=_with_pool(run, question, own))


def maps_of(run: Run, question: Question, cells: Sequence[Cell]) -> list[Cell]:
    """The headline's cells as the map measures them, where that is another measure: a loss is told along the map."""
    if run.plan(question).headline != "linear":
        return []
    return [screened(cell) for cell in cells if cell.level == "full"]


def _draws_matter(run: Run, cells: QuestionCells, spec: str) -> bool:
    """Whether untrained networks can change what an encoder is credited with: where it surpasses the image's controls.

    They are asked always where --twins names their number, or --reference names them.
    """
    if run.settings.encoder.twins is not None or run.settings.probe.reference == "untrained":
        return True
    for cell in cells.encoder:
        m = run.measurement(cell)
        if cell.encoder.spec == spec and m.reads:
            found = compared(run, cells, cell)
            if all(name in found and surpassed(found[name][1][1]) for name in CONTROLS):
                return True
    return False


def encode_all(run: Run, question: Question, who: Sequence[StoredEncoder]) -> list[StoredEncoder]:
    """Encode what is missing for each encoder; one that fails is named and left out, the others go on."""
    ready = []
    for encoder in who:
        try:
            if (question.name, encoder.spec) in run.skip:
                raise EncoderError(run.skip[question.name, encoder.spec])
            if run.settings.source.volumes and not encoder.reads_volumes:
                raise flat_only(encoder.label)
            if _is_asked(run, encoder) and not encoder.points(question.pictures.marked):
                continue  # of the sites and readouts that were asked for it has none, which was said
            table = _encoded(run, question, encoder)
        except (EncoderError, UserFileError, NotFiniteError) as error:
            if len(who) == 1 or encoder.spec in CONTROLS:
                raise
            line = said_of(portable(encoder.spec), error)
            if line not in run.failed:
                run.failed.append(line)
                say(f"error: {line}")
            continue
        run.filled[question.name, encoder.spec] = table
        run.encoded += table.encoded
        ready.append(encoder)
    return ready


def _encoded(run: Run, question: Question, encoder: StoredEncoder) -> FeatureTable:
    """The features of one encoder; where its crop leaves a mark out, all but those under marks, and that is said."""
    pictures, policy, probe = question.pictures, question.source.policy, run.settings.probe.probe
    try:
        return encode_missing(encoder, pictures, _points(run, question, encoder), policy)
    except encoders.UnseenMarkError as error:
        what = f"{error}{_outside(question)}"
        if probe == CHOICE or AT_MARK.name in run.settings.encoder.readout:
            raise encoders.UnseenMarkError(what) from error
        question.unmarked.add(encoder.spec)
        _note(run, f"warning: {portable(encoder.spec)} is not read under the marks: {what}")
        return encode_missing(encoder, pictures, _points(run, question, encoder), policy)


def _points(run: Run, question: Question, encoder: StoredEncoder) -> list[tuple[str, str, int]]:
    """Where an encoder is read; where it was asked for by name, also at points that no control has."""
    return points_of(encoder, question, run.settings.probe.probe, asked=_is_asked(run, encoder))


def _is_asked(run: Run, encoder: StoredEncoder) -> bool:
    return any(encoder is one for one in run.encoders.asked)


def _outside(question: Question) -> str:
    """Where the first mark outside its image stands, to be added to a message; empty where all lie inside."""
    places = {row.id: place_of(row) for row in question.source.rows}
    pictures = question.pictures
    for name, picture, marks in zip(question.ids, pictures.pictures, pictures.marks, strict=True):
        height, width = picture.read().shape[:2]
        if any(not (0 <= x <= width and 0 <= y <= height) for x, y in marks):
            return f" (the first mark outside is of {places.get(name, f'item {name}')})"
    return ""


def _encode_untrained(run: Run, question: Question, spec: str, draws: Sequence[StoredEncoder]) -> list[StoredEncoder]:
    """Encode with the untrained draws; an encoder that is no network has none, which every verdict then says.

    A draw that equals an earlier one (a file that draws its weights the same each time) is left out, and said.
    """
    different: dict[str, StoredEncoder] = {}
    if (question.name, spec) not in run.filled or not draws:
        return []
    asked = next(encoder for encoder in run.encoders.asked if encoder.spec == spec)
    if asked.source.endswith(".py") and not asked.has_network:
        _note(run, f"warning: no untrained draw beside {portable(spec)}: {asked.label} computes without torch")
        return []
    for draw in draws:
        try:
            if (draw.card.sites, draw.card.parameters) != (asked.card.sites, asked.card.parameters):
                raise EncoderError(f"the weights of {asked.label} are of another architecture than {draw.spec}")
            encode_all(run, question, [draw])
        except (EncoderError, UserFileError, NotFiniteError, UnknownName) as error:
            have = "no untrained draw" if not different else f"only {len(different)} of {len(draws)} untrained draws"
            _note(run, f"warning: {have} beside {said_of(portable(spec), error)}")
            break
        same = different.setdefault(draw.fingerprint, draw)
        if same is not draw:
            _note(run, f"warning: {portable(draw.spec)} is the draw that {portable(same.spec)} is; it is left out")
        draw.loaded.clear()  # several full networks need not lie in memory at once
    return list(different.values())


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
    learnt = Measured()
    jobs: Iterator[Job] = (learnt.begun(run.job(cell)) for cell in todo.values())
    with contextlib.closing(run_jobs(jobs, len(todo), run.settings.probe.jobs, what)) as results:
        for key, measurement, seconds in results:
            cell = todo[key]
            if isinstance(measurement, probes.ProbeError):
                _note(run, f"warning: {cell.encoder.label} is no control of {cell.question.name}: {measurement}")
                continue
            run.cells.save(key, measurement, cell.question.classes)
            run.measured[key] = run.cells.kept(key, measurement, plan=run.plan(cell.question))
            run.seconds[key] = seconds
            learnt.done(key, seconds)
    learnt.keep(run.store)


def _with_pool(run: Run, question: Question, cells: Sequence[Cell]) -> list[Cell]:
    """The encoders' cells; where there is a --pool, those that could be absent measured again with its images."""
    pool = question.pool
    doubtful = [c for c in cells if c.level == "full" and could_be_absent(run.measurement(c))]
    if pool is None or not doubtful:
        return list(cells)
    if pool.pictures.marked != question.pictures.marked:
        doubtful = [c for c in doubtful if c.readout != AT_MARK.name]  # a pool without marks has no token under them
    for encoder in {c.encoder.spec: c.encoder for c in doubtful}.values():
        names = {c.name for c in doubtful if c.encoder is encoder}
        points = [p for p in _points(run, question, encoder) if f"{p[0]}/{p[1]}" in names]
        try:
            table = encode_missing(encoder, pool.pictures, points, pool.source.policy)
        except encoders.UnseenMarkError:  # a mark of the pool alone: what its cells' silence excludes stays open
            doubtful = [c for c in doubtful if c.encoder is not encoder or c.readout != AT_MARK.name]
            points = [p for p in points if p[1] != AT_MARK.name]
            table = encode_missing(encoder, pool.pictures, points, pool.source.policy)
        run.pools[question.name, encoder.spec] = table
    again = {c.tag: dataclasses.replace(c, pooled=True) for c in doubtful}
    measure_all(run, list(again.values()), f"what silence excludes, {question.name}")
    return [again.get(c.tag, c) for c in cells]


def could_be_absent(m: Any) -> bool:
    """Whether it is only unknown what the silence of a cell excludes; for the choice between marks it always is."""
    asked = m.limit is not None or m.leak or m.probe == CHOICE
    return not asked and m.null.p > ALPHA and m.plan.rare >= FEW


def plan_of(settings: Settings, opened: Opened | None = None) -> dict[str, Any]:
    """What a run would do: cells, images to encode, bytes; nothing is encoded or probed.

    `opened` holds a source that is not opened again. None where only loading the encoder would tell.
    """
    state, questions = start(settings, opened=opened)
    rows = []
    for question in questions:
        contents = question.pictures.known()
        for encoder in state.encoders.all:
            row = {
                "task": question.name,
                "source": question.source.name,
                "items": len(question.ids),
                "groups": state.plan(question).n_groups,
                "probe": settings.probe.probe or state.plan(question).headline,
                "encoder": portable(encoder.spec),
                "points": None,
                "images_to_encode": None,
                "bytes_to_store": None,
            }
            if encoder.remembered is not None:
                points = _points(state, question, encoder)
                widths = {f"{site}/{readout}": width for site, readout, width in points}
                todo = question.pictures.distinct
                if contents is not None:
                    space = space_of(encoder, question.source.policy)
                    todo = len(space.missing(contents, list(widths), verify=False))
                row |= {
                    "points": len(points),
                    "images_to_encode": todo,
                    "bytes_to_store": 2 * todo * sum(widths.values()),
                }
            rows.append(row)
    return {
        "experiment": "linear_probe",
        "questions": [dict(question.facts) for question in questions],
        "plan": rows,
        "volumes": settings.source.volumes,
        "limited": settings.source.limit is not None,
        "out": settings.output.out,
    }
