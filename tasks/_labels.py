"""Labels that a source already holds: a column's values as the names of a task's classes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from plugins import nearest
from tasks._base import DataError, Item, Row, Source
from tasks.sources.values import spelling


def answers(source: Source, column: str, words: Mapping[str, Sequence[str]], *, task: str) -> list[str]:
    """The class of every row: the key of `words` whose list holds the row's value in `column`.

    Spelling does not count: case, blanks, what does not print, `1.0` for `1`.

    Raises:
        DataError: the column is missing, or one of its values is none of the words.
    """
    known = {spelling(word): name for name, list_ in words.items() for word in (name, *list_)}
    listed = ", ".join(dict.fromkeys(word.lower() for name, list_ in words.items() for word in (name, *list_)))
    out = []
    for row in source.rows:
        if column not in row.columns:
            have = sorted({name for row in source.rows for name in row.columns})
            near = nearest(column, have)
            raise DataError(
                f"task {task} needs a column {column!r} with one of {', '.join(words)} for each image"
                f"{f' (nearest: {near!r})' if near else ''}; {source.name} has columns: {', '.join(have) or 'none'}; "
                "name yours with --label COLUMN"
            )
        value = spelling(row.columns[column])
        if value not in known:
            raise DataError(
                f"task {task}: {source.name}: {row.place or f'item {row.id}'} has {column} = {row.columns[column]!r}; "
                f"known values are {listed}"
            )
        out.append(known[value])
    return out


def labelled_items(
    source: Source,
    rng: np.random.Generator,  # noqa: ARG001 - nothing is drawn
    column: str | None,
    *,
    task: str,
    default: str,
    words: Mapping[str, Sequence[str]],
    medblink: Sequence[str] = (),
    benchmark_words: Mapping[str, Sequence[str]] | None = None,
    yes: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Item]:
    """Items of a task whose answers a column holds: one per image, read from `column`, or else from `default`.

    MedBLINK's images, where it has tasks named in `medblink`, keep the benchmark's own questions and answers:
    `benchmark_words` (or else `words`) and `yes` say how those are worded.
    """
    if medblink and source.benchmark == "medblink":
        yield from benchmark_items(source, tuple(medblink), benchmark_words or words, task=task, yes=yes)
        return
    for row, label in zip(source.rows, answers(source, column or default, words, task=task), strict=True):
        yield Item(id=row.id, group=row.group, label=label, picture=row.picture, marks=row.marks, evidence=row.regions)


YES, NO = "yes", "no"


def rows_of(source: Source, strings: Sequence[str], *, task: str) -> list[Row]:
    """The rows whose column `task` is one of `strings`, in the source's order.

    A string may hold `*`, for a name that is not known to the letter.

    Raises:
        DataError: the benchmark holds no such row; the message says which task strings it has.
    """
    rows = [row for row in source.rows if any(fnmatchcase(row.columns.get("task", ""), s) for s in strings)]
    if not rows:
        have = sorted({row.columns["task"] for row in source.rows if row.columns.get("task")})
        near = nearest(strings[0].strip("*"), have)
        hint = f"; nearest: {near}" if near else ""
        there = f"its tasks are {', '.join(have)}" if have else "its rows name no task"
        raise DataError(f"task {task} needs rows of {' or '.join(strings)}, and {source.name} has none{hint}; {there}")
    return rows


def benchmark_items(
    source: Source,
    strings: Sequence[str],
    words: Mapping[str, Sequence[str]],
    *,
    task: str,
    yes: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Item]:
    """The benchmark's rows of a task, each with its question, its options and its answer.

    `words` maps each class of the task to the answers that mean it, as for `answers`. `yes` says what "yes"
    means where a benchmark asks yes or no: the one class of which a phrase begins in the question, the other
    being "no". Phrases are taken out in the order of `yes`, so "non-contrast" stands before "contrast". Where
    an answer means no class for certain, every item keeps the benchmark's own answer as its label.

    Raises:
        DataError: the benchmark has no such rows, or one of them names no answer.
    """
    rows = rows_of(source, strings, task=task)
    published = [row.columns.get("answer", "").strip().lower() for row in rows]
    for row, answer in zip(rows, published, strict=True):
        if not answer:
            raise DataError(f"{source.name}: row {row.id} has no answer, so nothing can be held against it")
    named = [_named(row, answer, words, yes or {}) for row, answer in zip(rows, published, strict=True)]
    known = [name for name in named if name is not None]
    labels = known if len(known) == len(rows) else published
    asked = sorted({row.columns.get("task", "") for row in rows})
    if labels is published and len(asked) > 1 and {YES, NO} & {_plain(answer) for answer in published}:
        raise DataError(  # yes to one question need not mean yes to another
            f"task {task}: {source.name} answers yes or no to {' and '.join(asked)}, whose questions may not mean the "
            f"same; ask one at a time, e.g. --data {source.name.split('+')[0]}+{asked[0]}"
        )
    return (row.item(label) for row, label in zip(rows, labels, strict=True))


def _named(row: Row, answer: str, words: Mapping[str, Sequence[str]], yes: Mapping[str, Sequence[str]]) -> str | None:
    """The task's class that the answer means; None where it means none for certain."""
    plain = _plain(answer)
    if plain in (YES, NO):
        means = _means(_plain(row.columns.get("question", "")), yes)
        others = [c for c in words if c != means]
        return None if means is None or len(others) != 1 else means if plain == YES else others[0]
    found = [name for name, list_ in words.items() if plain in (name.lower(), *(_plain(word) for word in list_))]
    return found[0] if len(found) == 1 else None


def dot_words(colours: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For each colour, the answers that name the dot of that colour."""
    kinds = ("", "dot", "point", "marker", "circle")
    plain = {c: [f"{c} {kind}".strip() for kind in kinds] for c in colours}
    return {c: (*names, *(f"the {name}" for name in names)) for c, names in plain.items()}


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .")


def _means(question: str, yes: Mapping[str, Sequence[str]]) -> str | None:
    """The class that "yes" names: the only one that the question speaks of; None where that is not certain."""
    if re.search(r"\bnot\b|n't\b", question):
        return None
    found = []
    for name, phrases in yes.items():
        pattern = "|".join(rf"(?<!\w){re.escape(phrase.lower())}" for phrase in phrases)
        if re.search(pattern, question):
            found.append(name)
            question = re.sub(pattern, " ", question)  # what means one class means no other
    return found[0] if len(found) == 1 else None
