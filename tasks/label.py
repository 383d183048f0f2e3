"""Any column of the user's manifest: classes, or a number."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from tasks._base import DataError, Item, Row, Source, Task
from tasks.sources.files import natural
from tasks.sources.table import no_column

MISSING = ("", "nan", "na", "n/a", "null")
MANY = 10  # more distinct numbers than this are a quantity, not classes
SHOWN = 5


def labelled_rows(source: Source, column: str | None) -> list[tuple[Row, str]]:
    """The rows that have a label in the column, with it; raises DataError where it is not there."""
    present = list(dict.fromkeys(c for row in source.rows for c in row.columns))
    if column is None:
        listing = ", ".join(present) if present else "none"
        raise DataError(f"the label task needs a column: say --label COLUMN; columns: {listing}")
    if column not in present:
        raise no_column(column, present, source.name, "--label:")
    pairs = [(row, row.columns.get(column, "").strip()) for row in source.rows]
    return [(row, value) for row, value in pairs if value.lower() not in MISSING]


def numbers(values: Sequence[str]) -> list[float] | None:
    """The values as finite numbers; None where one is none, or where they take at most ten values.

    >>> numbers(["0", "1", "1"]) is None
    True
    """
    try:
        found = [float(v) for v in values]
    except ValueError:
        return None
    return found if len(set(found)) > MANY and all(np.isfinite(found)) else None


def items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:  # noqa: ARG001
    """One item per row with an answer, in the source's order; nothing is drawn at random.

    The label is a number where every answer is one and there are more than ten different ones, else
    the text itself. Raises DataError where there is no answer, one class, or a class in one group only.
    """
    rows = labelled_rows(source, column)
    if not rows:
        raise DataError(f"no row of {source.name} has a value in {column!r}")
    values = numbers([value for _, value in rows])
    if values is None:
        _refuse(rows, str(column), source.name)
    labels: Sequence[str | float] = [value for _, value in rows] if values is None else values
    return (
        Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks, text=row.text)
        for (row, _), label in zip(rows, labels, strict=True)
    )


def _refuse(rows: Sequence[tuple[Row, str]], column: str, name: str) -> None:
    groups: dict[str, set[str]] = defaultdict(set)
    for row, value in rows:
        groups[value].add(row.group)
    if len(groups) == 1:
        raise DataError(f"all {len(rows)} rows of {name} have the same {column}: {next(iter(groups))!r}")
    single = sorted((c for c, g in groups.items() if len(g) == 1), key=natural)
    if single:
        first = ", ".join(repr(c) for c in single[:SHOWN])
        more = f" and {len(single) - SHOWN} more" if len(single) > SHOWN else ""
        raise DataError(
            f"{len(single)} of {len(groups)} classes of {column} occur in one group only, so they cannot be "
            f"both learnt and tested: {first}{more}; leave those rows out, or merge the classes"
        )


def notes(source: Source, column: str | None) -> tuple[str, ...]:
    """How many rows are left out because they have no answer."""
    missing = len(source.rows) - len(labelled_rows(source, column))
    return (f"{missing} of {len(source.rows)} rows have no {column} and are left out",) if missing else ()


TASK = Task(
    name="label",
    question="What does the manifest say of the image?",
    classes=None,
    version=1,
    items=items,
    notes=notes,
)
