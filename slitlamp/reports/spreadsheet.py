"""CSV as every command writes it: a table for programs that a spreadsheet can open without running a cell of it."""

import csv
import io
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
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([guarded(name) for name in names])
    writer.writerows([["" if row.get(name) is None else guarded(row[name]) for name in names] for row in held])
    return out.getvalue().encode("utf-8", "backslashreplace")
