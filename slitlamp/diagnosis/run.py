"""The command about a model's failures: every task followed through the stages, judged, and what is written."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from cache import write_atomically
from encoders import EncoderError
from slitlamp.answers.inquiry import check_words
from slitlamp.diagnosis import figures, kept_figures
from slitlamp.diagnosis.controls import share_controls
from slitlamp.diagnosis.external import check_entries, external_of
from slitlamp.diagnosis.follow import (
    PASSING,
    Gathered,
    Route,
    asking_of,
    check_asking,
    check_options,
    follow,
    gather,
    route_of,
    told,
)
from slitlamp.diagnosis.found import Diagnosed
from slitlamp.diagnosis.settings import DiagnoseSettings
from slitlamp.diagnosis.stages import conclude
from slitlamp.diagnosis.tables import NAME, tables_of
from slitlamp.diagnosis.words import sentences_of
from slitlamp.errors import none_of
from slitlamp.log import say
from slitlamp.probing.judge import adjusted, judge
from slitlamp.probing.run import choose_points
from slitlamp.probing.state import Run, start
from slitlamp.probing.words import synthetic
from slitlamp.probing.workers import spare_threads
from slitlamp.questions import Question
from slitlamp.records import rounded
from slitlamp.reports.result import CommandResult
from slitlamp.reports.spreadsheet import as_csv
from slitlamp.reports.text import question_line
from slitlamp.settings import Settings, portable


def diagnose(settings: Settings, own: DiagnoseSettings, command: str) -> CommandResult:
    """Follow every task through the model; see `slitlamp.diagnose`."""
    asked = (own.model, *((own.reference,) if own.reference else ()))
    settings = settings.but(encoder=asked)
    with spare_threads():
        run, questions = start(settings, share=True)
        for question in questions:
            check_options(question, own, settings)
        route = route_of(run, own)
        check_words(questions, asking_of(own))
        for question in questions:
            check_asking(question, route, own)
        check_entries(own.external, [question.name for question in questions])
        external = {question.name: external_of(own.external, question, run) for question in questions}
        for name, one in external.items():
            if one is not None:
                say(f"external, for {name}: {question_line(one.facts)}")
        choose_points(run, questions)
        gathered = _gathered(run, questions, route, own)
        paid = adjusted([[run.measurement(cell) for cell in one.cells.encoder] for one in gathered])
        measured, asked_too = [], [one.question for one in gathered]
        for one, p in zip(gathered, paid, strict=True):
            run.save_plan(one.question)
            records, _, _ = judge(run, one.question, one.cells, p, NAME)
            one = replace(one, external=external[one.question.name])
            measured.append((one, records, follow(run, one, records, route, own, asked_too)))
        share_controls({one.question.name: stages for one, _, stages in measured})
        found = [conclude(run, one.question, one.cells, records, stages, own) for one, records, stages in measured]
    return _result(run, found, own, command)


def _gathered(run: Run, questions: Sequence[Question], route: Route, own: DiagnoseSettings) -> list[Gathered]:
    """The cells of every question; one that cannot be measured costs a line, and the others are kept."""
    found: list[Gathered] = []
    lost: list[tuple[Question, Exception]] = []
    for question in questions:
        try:
            one = gather(run, question, route, own)
        except PASSING as error:
            lost.append((question, error))
            continue
        found += [] if one is None else [one]
    if not found:
        raise (
            lost[0][1]
            if lost
            else EncoderError(none_of(run.failed) if run.failed else f"{portable(own.model)}: no task could be asked")
        )
    for question, error in lost:
        if not run.failed or str(error) != none_of(run.failed):  # which was said when it could not be encoded
            run.failed.append(told(own, question, error))
    return found


def _result(run: Run, found: Sequence[Diagnosed], own: DiagnoseSettings, command: str) -> CommandResult:
    rows = tables_of(found, run.settings, command)
    card = run.encoders.asked[0].card
    made_here = synthetic(
        "images" * any(one.question.source.synthetic for one in found),
        f"the weights of {portable(own.model)}" if card.synthetic else "",
    )
    drawn = rows["stages"]
    pictures: dict[str, Any] = {"stages": partial(figures.chain, drawn, rows["verdicts"])}
    if rows.get("layers"):
        pictures["layers"] = partial(figures.layers, rows["layers"], rows["stages"])
    if rows.get("information"):
        pictures["information"] = partial(kept_figures.information, rows["information"])
    if rows.get("patches"):
        pictures["patches"] = partial(kept_figures.patches, rows["patches"])
    items = [{"task": one.name, **row} for one in found for row in one.items]
    data = {
        "stages.csv": partial(_csv, [_plain(row) for row in rows["stages"]]),
        "points.csv": partial(_csv, [_plain(asdict(record)) for one in found for record in one.points]),
    }
    if items:
        data |= {"items.csv": partial(_csv, items), "items.parquet": partial(_parquet, items)}
    notes = [*made_here, *(note for one in found for note in one.question.warnings), *run.noted]
    return CommandResult(
        experiment=NAME, command=command, tables=rows,
        sentences=_verdicts_first([sentences_of(one) for one in found]),
        notes=list(dict.fromkeys(notes)), questions=[one.question.facts for one in found],
        figures=pictures, data=data,
        failed=list(dict.fromkeys([*run.failed, *(line for one in found for line in one.got.failed)])),
        summary=f"{run.encoded} images encoded, {len(run.seconds)} cells measured",
    )  # fmt: skip


def _verdicts_first(said: Sequence[Sequence[str]]) -> list[str]:
    """The verdict of every task, then what each rests on."""
    return [*(lines[0] for lines in said), *(line for lines in said for line in lines[1:])]


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a row that is the same whatever version wrote it."""
    return {name: value for name, value in record.items() if name not in ("code_version", "seconds")}


def _csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_atomically(path, as_csv(rounded([*rows]), names))


def _parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink, compression="zstd")
    write_atomically(path, sink.getvalue())
