"""CSV as every command writes it: a table for programs that a spreadsheet can open without running a cell of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.sources.cells import guarded


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> bytes:
    r"""Rows as UTF-8 CSV with a head; a missing value is an empty field, a text that begins like a formula is guarded.

    The guard is `tasks.sources.cells.guarded`: an apostrophe before the cell, which tables read back are freed of.
    Numbers are not touched. Commas, quotation marks and newlines stand inside quotation marks (RFC 4180), and a byte of
    a name that is no UTF-8 is written as `\udcXX`. `columns` are all keys in the order in which they occur where they
    are not given.

    >>> as_csv([{"name": "=1+1", "score": -0.5}])
    b"name,score\n'=1+1,-0.5\n"
    """
    held = list(rows)
    names = list(dict.fromkeys(key for row in held for key in row)) if columns is None else list(columns)
    lines = [names, *([row.get(name) for name in names] for row in held)]
    text = "".join(",".join(_field(value) for value in line) + "\n" for line in lines)
    return text.encode("utf-8", "backslashreplace")


def _field(value: Any) -> str:
    text = "" if value is None else str(guarded(value))
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
