"""What a command about pairs found: sentences, tables, figures and files, for a terminal, a notebook and JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.records import SCHEMA
from slitlamp.reports.text import table as text_table

Rows = Sequence[dict[str, Any]]
ROWS = 12  # of a table that a terminal shows


@dataclass(frozen=True, kw_only=True, eq=False)
class PairResult:
    """The result of one command about pairs.

    `tables` hold rows by name, `sentences` what they say in words, `notes` what the reader must know of the data,
    `figures` functions that draw, by name, and `files` what was written.
    """

    experiment: str
    tables: Mapping[str, Rows]
    sentences: Sequence[str] = ()
    notes: Sequence[str] = ()
    figures: Mapping[str, Callable[[], Any]] = field(default_factory=dict, repr=False)
    files: Sequence[Path] = ()
    command: str = ""
    summary: str = ""

    def table(self, name: str | None = None) -> Rows:
        """The rows of a table, the first one where none is named; UsageError for a name that is none."""
        return self.tables[_one_of(name, self.tables, "table")]

    def plot(self, name: str | None = None) -> Any:
        """A figure, the first one where none is named; UsageError for a name that is none."""
        return self.figures[_one_of(name, self.figures, "figure")]()

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document, as `results.json` holds it."""
        return {
            "schema": SCHEMA, "experiment": self.experiment, "command": self.command,
            "tables": {name: [*rows] for name, rows in self.tables.items()}, "sentences": [*self.sentences],
            "notes": [*self.notes], "files": [path.name for path in self.files],
        }  # fmt: skip

    def to_json(self) -> str:
        """The JSON document as text; numbers that are not finite are null."""
        return json.dumps(_finite(self.document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def __str__(self) -> str:
        parts = []
        for rows in filter(None, self.tables.values()):
            more = f"\n… and {len(rows) - ROWS} more rows in results.json" if len(rows) > ROWS else ""
            parts.append(text_table(_shown(rows[:ROWS]), right=_numbers(rows)) + more)
        parts += ["\n".join(f"· {line}" for line in lines) for lines in (self.sentences, self.notes) if lines]
        return "\n\n".join([*parts, f"To repeat: {self.command}"])


def _one_of(name: str | None, known: Mapping[str, Any], what: str) -> str:
    if name is None and known:
        return next(iter(known))
    if name not in known:
        raise UsageError(f"no {what} {name!r}; {hint(str(name), known)}there are {', '.join(known) or 'none'}")
    return str(name)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def _shown(rows: Rows) -> Rows:
    """The rows with numbers in four digits, without the columns that hold nothing or nought in all of them."""
    kept = [key for key in rows[0] if any(row[key] not in (None, 0, "") for row in rows)]
    return [{key: f"{row[key]:.4g}" if isinstance(row[key], float) else row[key] for key in kept} for row in rows]


def _numbers(rows: Rows) -> list[str]:
    return [key for key in rows[0] if any(isinstance(row[key], int | float) for row in rows)]
