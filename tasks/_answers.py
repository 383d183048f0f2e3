"""Answers that a source already holds: a column's values as the names of a task's classes."""

import difflib
from collections.abc import Mapping, Sequence

from tasks._base import DataError, Source


def answers(source: Source, column: str, words: Mapping[str, Sequence[str]], *, task: str) -> list[str]:
    """The class of every row: the key of `words` whose list holds the row's value in `column`.

    Case and surrounding blanks do not count.

    Raises:
        DataError: the column is missing, or one of its values is none of the words.
    """
    known = {word.lower(): name for name, list_ in words.items() for word in (name, *list_)}
    out = []
    for row in source.rows:
        if column not in row.columns:
            raise DataError(_missing(source, column, words, task))
        value = row.columns[column].strip().lower()
        if value not in known:
            raise DataError(
                f"task {task}: {source.name}: item {row.id} has {column} = {row.columns[column]!r}; "
                f"known values are {', '.join(known)}"
            )
        out.append(known[value])
    return out


def _missing(source: Source, column: str, words: Mapping[str, Sequence[str]], task: str) -> str:
    """One line that says which column is needed, with which values, and the nearest that is there."""
    have = sorted({name for row in source.rows for name in row.columns})
    near = difflib.get_close_matches(column, have, n=1)
    there = ", ".join(have) if have else "none"
    return (
        f"task {task} needs a column {column!r} with one of {', '.join(words)} for each image"
        f"{f' (nearest: {near[0]!r})' if near else ''}; {source.name} has columns: {there}; "
        "name yours with --label COLUMN"
    )
