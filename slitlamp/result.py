"""What a probing run gives back: records, verdicts, predictions and files, as a table, a figure or a page."""

import dataclasses
import html
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from slitlamp.errors import UsageError
from slitlamp.log import printable
from slitlamp.records import Record, as_json, document
from slitlamp.reports.summary import summary
from slitlamp.reports.table import BLIND, COLUMNS, RIGHT, called, heading, legend, rows_of, table
from slitlamp.reports.text import filled, question_line, wide, wrapped_notes

REPEATED = ("Synthetic:", "WARNING:", "Caution:", "Note:")  # how sentences begin that are said once for all encoders


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The verdict on one question and one encoder, in a word and in sentences.

    `verdict` is present, absent or inconclusive; `credit` what a present is credited to; `best` the site and readout
    that every table marks. `score`, `low` and `high` are what the best reads when it is chosen inside the training
    folds, None where it could not be; `highest` is the score of the marked row, chosen on these data, and
    `highest_low` and `highest_high` its interval with that paid for. `points` counts verdicts. `blind` says that the
    features are blind to the question by construction, so that no number of items would decide.
    """

    task: str
    encoder: str
    verdict: str
    credit: str | None
    best: str
    score: float | None
    low: float | None
    high: float | None
    highest: float
    highest_low: float | None
    highest_high: float | None
    points: Mapping[str, int]
    sentences: Sequence[str]
    blind: bool = False

    @property
    def said(self) -> str:
        """The verdict as people read it: what is blind by construction is not called undecided."""
        return BLIND if self.blind else self.verdict

    def __str__(self) -> str:
        credit = f", credit: {self.credit}" if self.credit else ""
        return f"{self.said}{credit}. {self.sentences[0]}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Records as a table: text in a terminal, HTML in a notebook."""

    records: Sequence[Record]
    encoders: Sequence[tuple[str, str]]  # (task, encoder), in order

    def __str__(self) -> str:
        parts = [table([r for r in self.records if r.task == task], name) for task, name in self.encoders]
        return printable("\n\n".join([*parts, legend(self.records)]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = []
        for task, name in self.encoders:
            head = "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS)
            mine = [r for r in self.records if r.task == task]
            ends = [' style="text-align: right"' * (column in RIGHT) for column in COLUMNS]
            body = "".join(
                "<tr>"
                + "".join(f"<td{end}>{html.escape(value)}</td>" for value, end in zip(row, ends, strict=True))
                + "</tr>"
                for row in rows_of(mine, name)
            )
            caption = f"<caption>{'<br>'.join(html.escape(line) for line in heading(mine, name))}</caption>"
            parts.append(f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        return "".join(parts) + f"<p><small>{html.escape(legend(self.records))}</small></p>"

    def to_frame(self) -> Any:
        """All records as a pandas DataFrame, a column for each field.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UsageError("to_frame() needs pandas, which is not installed: `uv pip install pandas`") from None
        return pandas.DataFrame([dataclasses.asdict(record) for record in self.records])


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a probing run found.

    `records` hold every published number with everything needed to make it again; `verdicts` one conclusion for each
    question and encoder; `comparisons` paired differences between encoders at their best points; `predictions` the
    held-out predictions of every cell under `task/encoder/site/readout`; `files` what was written, empty where no
    folder was asked for; `failed` the encoders that could not be asked; `notes` what the reader must know of the data;
    `questions` of each question how many items there are in how many groups, its `classes` with their counts or the
    `range` of its numbers, and what was `left_out` (see the manual).
    `home` is the folder whose `cells/` hold the measurements. `encoded` images and `measured` cells are new.
    """

    records: Sequence[Record]
    verdicts: Sequence[Conclusion]
    predictions: Mapping[str, Any] = field(repr=False)
    comparisons: Sequence[Mapping[str, Any]] = ()
    files: Sequence[Path] = ()
    failed: Sequence[str] = ()
    notes: Sequence[str] = ()
    questions: Sequence[Mapping[str, Any]] = ()
    command: str = ""
    experiment: str = "linear_probe"
    summary: str = ""
    home: Path | None = None
    encoded: int = 0
    measured: int = 0

    @property
    def verdict(self) -> Conclusion:
        """The conclusion, where the run asked one question of one encoder.

        Raises:
            UsageError: there are several; `verdicts` holds them.
        """
        if len(self.verdicts) != 1:
            raise UsageError(f"this run came to {len(self.verdicts)} verdicts: they are in `.verdicts`")
        return self.verdicts[0]

    def table(self) -> Table:
        """The table of all sites and readouts with their intervals, controls and verdicts."""
        return Table(records=self.records, encoders=[(one.task, one.encoder) for one in self.verdicts])

    def plot(self) -> Any:
        """The layer curve, a matplotlib Figure: score along the sites with its interval and the controls."""
        from slitlamp.reports.plots import layer_curve

        return layer_curve(self.records)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The JSON document of the run, as `results.json` holds it."""
        verdicts = [dataclasses.asdict(one) for one in self.verdicts]
        names = [path.name for path in self.files]
        return document(self.experiment, self.records, verdicts, names, self.questions, self.comparisons)

    def to_json(self) -> str:
        """The JSON document as text."""
        return as_json(self.document).decode()

    def text(self, *, full: bool = False) -> str:
        """What was found: a line for each question and encoder, the differences between encoders, then the sentences.

        With `full` the map of all points and controls stands before the sentences of its question and encoder.
        """
        lines = [line for one in self.questions for line in (filled(question_line(one)), *wrapped_notes(one["notes"]))]
        parts = ["\n".join(lines), summary(self.verdicts, self.records, self.comparisons)]
        every = Counter(
            sentence for one in self.verdicts for sentence in one.sentences if sentence.startswith(REPEATED)
        )
        several = [sentence for sentence, count in every.items() if count > 1]
        for one in self.verdicts:
            asked = [r for r in self.records if r.task == one.task]
            if full:
                parts.append(table(asked, one.encoder))
            credit = f", credit: {one.credit}" if one.credit else ""
            first = next(
                r for r in self.records if r.role == "encoder" and (r.task, r.encoder) == (one.task, one.encoder)
            )
            verdict = f"{one.said.upper()}{credit}" + " · LIMITED RUN" * first.limited
            own = [sentence for sentence in one.sentences if sentence not in several]
            head = filled(f"{one.task} · {called(first)}: {verdict}")
            parts.append("\n".join([head, *_wrapped(own)]))
        parts += ["\n".join(["Of several of these:", *_wrapped(several)])] if several else []
        where = next((f"{path}" for path in self.files if path.name == "table.csv"), None)
        count = sum(r.role == "encoder" for r in self.records)
        folded = f"All {count} points and their controls: --table full" + f", or {where}" * (where is not None)
        parts.append(legend(self.records) if full else filled(folded))
        return printable("\n\n".join([*filter(None, parts), f"To repeat: {self.command}"]))

    __str__ = text

    def _repr_html_(self) -> str:
        said = "".join(
            f"<p><b>{html.escape(one.task)} · {html.escape(one.encoder)}: {html.escape(one.said)}"
            f"{html.escape(f', credit: {one.credit}') if one.credit else ''}</b></p><ul>"
            + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in one.sentences)
            + "</ul>"
            for one in self.verdicts
        )
        facts = "".join(
            f"<p>{'<br>'.join(html.escape(line) for line in (question_line(one), *one['notes']))}</p>"
            for one in self.questions
        )
        return facts + said + self.table()._repr_html_()


def _wrapped(sentences: Sequence[str]) -> list[str]:
    return [
        textwrap.fill(sentence, width=wide(110), initial_indent="  · ", subsequent_indent="    ")
        for sentence in sentences
    ]
