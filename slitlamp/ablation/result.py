"""What a grid found: one line for each run, task and encoder, and the runs themselves."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache import write_atomically
from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.records import SCHEMA, as_json, rounded
from slitlamp.reports.text import bullets, fitted
from slitlamp.result import Result

EXPERIMENT = "ablation"
SHOWN = 100  # rows that a terminal shows
GRID_FILE = "grid.toml"


@dataclass(frozen=True, kw_only=True, eq=False)
class AblationResult:
    """The result of a grid, or its plan.

    `tables` hold `runs`, a row for each run, task and encoder with its verdict (or `plan`, a row for each unit of work,
    and `totals`), `about` how each run stands (its name, folder, settings, command, status and error), `runs` the
    Result of each run that is done, by name, `failed` a line for each unit that could not be answered. `encoded` and
    `measured` count the images and cells of this call.
    """

    command: str
    axes: Mapping[str, Sequence[Any]]
    tables: Mapping[str, Sequence[dict[str, Any]]]
    about: Sequence[Mapping[str, Any]] = ()
    runs: Mapping[str, Result] = field(default_factory=dict, repr=False)
    failed: Sequence[str] = ()
    sentences: Sequence[str] = ()
    notes: Sequence[str] = ()
    files: Sequence[Path] = ()
    encoded: int = 0
    measured: int = 0
    summary: str = ""
    grid: str = field(default="", repr=False)
    experiment: str = EXPERIMENT

    def table(self, name: str | None = None) -> Sequence[dict[str, Any]]:
        """The rows of a table, the first one where none is named; UsageError for a name that is none."""
        found = next(iter(self.tables)) if name is None else name
        if found not in self.tables:
            raise UsageError(f"no table {name!r}; {hint(found, self.tables)}there are {', '.join(self.tables)}")
        return self.tables[found]

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document, as `results.json` holds it."""
        whole = {
            "schema": SCHEMA, "experiment": self.experiment, "command": self.command,
            "axes": {name: [*values] for name, values in self.axes.items()}, "runs": [dict(one) for one in self.about],
            "failed": [*self.failed], "sentences": [*self.sentences], "notes": [*self.notes], "questions": [],
            "tables": {name: [*rows] for name, rows in self.tables.items()},
            "files": [path.name for path in self.files],
        }  # fmt: skip
        return rounded(whole)

    def to_json(self) -> str:
        """The JSON document as text."""
        return json.dumps(self.document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def written(self, out: Path) -> "AblationResult":
        """The result once its document lies in the folder; its runs were written as they were judged."""
        write_atomically(out / "results.json", as_json(self.document))
        return self

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        parts = []
        for name, rows in self.tables.items():
            if rows and name != "totals":
                more = f"\n… and {len(rows) - SHOWN} more rows in results.json" if len(rows) > SHOWN else ""
                parts.append(fitted(_shown(rows[:SHOWN], self.axes), right=RIGHT) + more)
        lines = [*self.sentences, *self.notes, *(f"failed: {line}" for line in self.failed)]
        return "\n\n".join([*parts, *([bullets(lines)] if lines else []), f"To repeat: {self.command}"])


ALIKE = ("run", "metric", "chance", "points", "best")  # columns that are shown where they differ
LATER = ("items", "points", "best", "chance", "metric")  # columns that are left out where a line has no room
RIGHT = ("items", "groups", "points", "cells", "known", "images", "bytes", "seconds", "score")


def _shown(rows: Sequence[dict[str, Any]], axes: Collection[str]) -> list[dict[str, Any]]:
    """The rows for a terminal: intervals beside their scores, without columns that tell nothing, or nothing more."""
    kept = [key for key in rows[0] if key not in ("low", "high") and any(row[key] not in (None, "") for row in rows)]
    kept = [key for key in kept if key not in ALIKE or len({row[key] for row in rows}) > 1]
    told = [key for key in kept if key in axes and key not in ("task", "encoder")]  # a run's name is made of these
    twice = ["run"] * bool(told) + ["label"] * all(f"label {row.get('label')}" == row["task"] for row in rows)
    order = sorted((key for key in kept if key not in twice), key=lambda key: key in LATER)
    return [{key: _word(key, row) for key in order} for row in rows]


def _word(key: str, row: Mapping[str, Any]) -> Any:
    value = row[key]
    if key == "score" and value is not None:
        ends = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
        return f"{value:.3f}{ends}"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return " ".join(str(one) for one in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
