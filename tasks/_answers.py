"""Answers that a source already holds: a column's values as the names of a task's classes."""

import difflib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tasks._base import DataError, Item, Source
from tasks._benchmarks import benchmark_items


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


def told_items(
    source: Source,
    rng: np.random.Generator,  # noqa: ARG001 - nothing is drawn
    column: str | None,
    *,
    task: str,
    default: str,
    words: Mapping[str, Sequence[str]],
    medblink: Sequence[str] = (),
    told: Mapping[str, Sequence[str]] | None = None,
    yes: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Item]:
    """One item per image as it is, marks drawn or not, its answer read from `column`, or else from `default`.

    MedBLINK's images, where it has tasks named in `medblink`, keep the benchmark's own questions and answers:
    `told` (or else `words`) and `yes` say how those are worded.
    """
    if medblink and source.benchmark == "medblink":
        yield from benchmark_items(source, tuple(medblink), told or words, task=task, yes=yes)
        return
    for row, label in zip(source.rows, answers(source, column or default, words, task=task), strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks)


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
