"""The command about a model's failures: every task followed through the stages, judged, and what is written."""

import io
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from cache import write_atomically
from encoders import EncoderError
from slitlamp.diagnose import figures
from slitlamp.diagnose.chain import controls_of, read_stage, reference_of
from slitlamp.diagnose.contrastive import read_texts
from slitlamp.diagnose.found import Diagnosed
from slitlamp.diagnose.prompts import styles_of
from slitlamp.diagnose.settings import DiagnoseSettings
from slitlamp.diagnose.stages import Stages, conclude
from slitlamp.diagnose.tables import tables_of
from slitlamp.diagnose.transport import carried
from slitlamp.diagnose.words import sentences_of
from slitlamp.disk import stems
from slitlamp.errors import UsageError
from slitlamp.probing.judge import adjusted, judge
from slitlamp.probing.points import INNER
from slitlamp.probing.run import choose_points, probe_question
from slitlamp.probing.state import Cell, QuestionCells, Run, start
from slitlamp.probing.words import synthetic
from slitlamp.probing.workers import spare_threads
from slitlamp.questions import Question
from slitlamp.records import Record, rounded
from slitlamp.reports.result import CommandResult
from slitlamp.reports.spreadsheet import as_csv
from slitlamp.settings import Settings

NAME = "diagnose"
JOINT, CONNECTOR, LANGUAGE = "joint", "connector", "lm."


def diagnose(settings: Settings, own: DiagnoseSettings, command: str) -> CommandResult:
    """Follow every task through the model; see `slitlamp.diagnose`."""
    asked = (own.model, *((own.reference,) if own.reference else ()))
    settings = settings.but(encoder=asked)
    with spare_threads():
        run, questions = start(settings, share=True)
        for question in questions:
            _check_options(question, own)
        choose_points(run, questions)
        many = [(question, probe_question(run, question)) for question in questions]
        measured = [(question, cells) for question, cells in many if cells is not None]
        paid = adjusted([[run.measurement(cell) for cell in cells.encoder] for _, cells in measured])
        found = []
        for (question, cells), p in zip(measured, paid, strict=True):
            run.save_plan(question)
            records, _ = judge(run, question, cells, p, NAME)
            found.append(_followed(run, question, cells, records, own))
    return _result(run, found, own, command)


def _check_options(question: Question, own: DiagnoseSettings) -> None:
    """Raises UsageError for a task that no model can be asked with options, before anything is encoded."""
    if question.classes is None:
        raise UsageError(
            f"--task {question.name}: its answers are numbers, and a model is asked with options; `linear_probe` tells "
            "what can be read, or --classes makes classes of the values"
        )
    if own.prompt:
        styles_of(question, own.prompt)


def _followed(
    run: Run, question: Question, cells: QuestionCells, records: Sequence[Record], own: DiagnoseSettings
) -> Diagnosed:
    """One task along the stages that the model has."""
    mine = [cell for cell in cells.encoder if cell.encoder.spec == own.model]
    if not mine:
        raise EncoderError("; ".join(run.failed))
    if mine[0].encoder.card.text and any(cell.site == JOINT for cell in mine):
        return _contrastive(run, question, cells, mine, records, own)
    raise UsageError(f"--model {own.model} has neither a joint space with texts nor a connector")


def is_of_tower(cell: Cell) -> bool:
    """Whether a cell is of the tower itself, and not of what stands behind it."""
    return cell.site not in (JOINT, CONNECTOR) and not cell.site.startswith(LANGUAGE)


def tail(cells: Sequence[Cell]) -> list[Cell]:
    """The points at which a tower ends: its last two blocks or stages, and what stands behind them."""
    tower = [cell for cell in cells if is_of_tower(cell)]
    inner = list(dict.fromkeys(c.site for c in tower if c.site.startswith(INNER)))
    return [c for c in tower if c.site not in inner[:-2]]


def _contrastive(
    run: Run, question: Question, cells: QuestionCells, mine: Sequence[Cell], records: Sequence[Record],
    own: DiagnoseSettings,
) -> Diagnosed:  # fmt: skip
    """Tower, joint space and text of a contrastive model."""
    got = _tower(run, cells, mine, records)
    joint = [cell for cell in mine if cell.site == JOINT]
    got.connector = read_stage(run, joint, by_point(records), "connector", "joint space")
    assert got.connector is not None
    got.to_connector = carried(run, question, got.encoder, joint)
    got.text = read_texts(run, question, got.connector, styles_of(question, own.prompt))
    got.tables["texts"] = [dict(row) for row in got.text.rows]
    return conclude(run, question, cells, records, got, own)


def _tower(run: Run, cells: QuestionCells, mine: Sequence[Cell], records: Sequence[Record]) -> Stages:
    """Where the tower ends, and the best reader of the same items before."""
    by, ends = by_point(records), tail(mine)
    earlier = [c for c in mine if is_of_tower(c) and c not in ends]
    encoder = read_stage(run, ends, by, "encoder", "tower")
    assert encoder is not None
    return Stages(encoder=encoder, reference=reference_of(run, cells, earlier), untold=controls_of(run, cells))


def by_point(records: Sequence[Record]) -> dict[tuple[str, str], Record]:
    """Records by encoder and point."""
    return {(r.encoder, f"{r.site}/{r.readout}"): r for r in records}


def _result(run: Run, found: Sequence[Diagnosed], own: DiagnoseSettings, command: str) -> CommandResult:
    rows = tables_of(found, run.settings, command)
    card = run.encoders.asked[0].card
    made_here = synthetic(
        "images" * any(one.question.source.synthetic for one in found),
        f"the weights of {own.model}" if card.synthetic else "",
    )
    drawn = rows["stages"]
    names = stems([one.name for one in found])
    pictures = {f"stages-{stem}": partial(figures.chain, _of(drawn, one.name), _of(rows["verdicts"], one.name))
                for one, stem in zip(found, names, strict=True)}  # fmt: skip
    if len(found) > 1:
        pictures = {"stages": partial(figures.chain, drawn, rows["verdicts"])} | pictures
    items = [{"task": one.name, **row} for one in found for row in one.items]
    data = {
        "stages.csv": partial(_csv, rows["stages"]),
        "points.csv": partial(_csv, [_of_cell(record) for one in found for record in one.points]),
    }
    if items:
        data |= {"items.csv": partial(_csv, items), "items.parquet": partial(_parquet, items)}
    notes = [*made_here, *(note for one in found for note in one.question.warnings), *run.noted]
    return CommandResult(
        experiment=NAME, command=command, tables=rows,
        sentences=[line for one in found for line in sentences_of(one)],
        notes=list(dict.fromkeys(notes)), questions=[one.question.facts for one in found],
        figures=pictures, data=data,
        failed=list(dict.fromkeys([*run.failed, *(line for one in found for line in one.got.failed)])),
        summary=f"{run.encoded} images encoded, {len(run.seconds)} cells measured",
    )  # fmt: skip


def _of(rows: Sequence[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["task"] == task]


def _of_cell(record: Record) -> dict[str, Any]:
    """A record as a row that is the same whatever version wrote it."""
    return {name: value for name, value in rounded(asdict(record)).items() if name not in ("code_version", "seconds")}


def _csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_atomically(path, as_csv(rounded([*rows]), names))


def _parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink, compression="zstd")
    write_atomically(path, sink.getvalue())
