"""Any column of the user's manifest: classes, or a number."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from tasks._base import DataError, Item, Row, Source, Task
from tasks.sources.files import natural
from tasks.sources.table import no_column
from tasks.sources.values import CODES_OF_UNKNOWN, is_missing, number, one_spelling, spelling, stands_for_unknown

MANY = 10  # more distinct numbers than this are a quantity, not classes
FEW = 5  # values that make a notation
SHOWN = 5
GROUPED = re.compile(r"[+\-\u2212]?\d{1,3}(?:[.,'’ \u00a0\u202f]\d{3})+(?:[.,]\d+)?", re.ASCII)  # 1,234 or 1.234,5
OTHER_NOTATION = re.compile(rf"{GROUPED.pattern}|[+\-\u2212]?\d+,\d+|\u2212\d+(?:\.\d*)?", re.ASCII)
WITH_UNIT = re.compile(r"[<>~]?\s*[+-]?\d+(?:[.,]\d+)?\s*([^\W\d_]+\.?|%)")
SAME = (
    {"true", "yes", "y", "t", "1", "positive", "pos", "+"},
    {"false", "no", "n", "f", "0", "negative", "neg", "-"},
    {"male", "m", "man"},
    {"female", "f", "w", "woman"},
)  # what is perhaps one answer in several words


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a column is read as answers.

    `kind` says "classes" or "number" where the values must not decide; `answers` are words that look like marks of a
    missing answer and are none; `spelling` says what to do with answers that differ only in their spelling: "refuse",
    "unite" or "keep".
    """

    kind: Literal["", "classes", "number"] = ""
    answers: tuple[str, ...] = ()
    spelling: str = "refuse"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The rows that have an answer with it, how often each mark stands for a missing one, and sentences about it."""

    rows: Sequence[tuple[Row, str | float]]
    missing: Counter[str]
    notes: tuple[str, ...] = ()


def column_of(source: Source, column: str | None) -> str:
    """The column that is asked; raises DataError where none is named or it is not there."""
    present = list(dict.fromkeys(c for row in source.rows for c in row.columns))
    if column is None:
        listing = ", ".join(present) if present else "none"
        raise DataError(f"the label task needs a column: say --label COLUMN; columns: {listing}")
    if column not in present:
        raise no_column(column, present, source.name, "--label:")
    return column


def read(source: Source, column: str | None, how: Reading) -> Answers:
    """The answers in a column: numbers where every answer is one and there are more than ten, else classes.

    Raises:
        DataError: no column or answer; a value that is no number among numbers; answers that differ only in spelling.
    """
    name = column_of(source, column)
    kept = {spelling(word) for word in how.answers}
    rows: list[Row] = []
    texts: list[str] = []
    missing: Counter[str] = Counter()
    for row in source.rows:
        text = row.columns.get(name, "").strip()
        if is_missing(text) and not (text and spelling(text) in kept):
            missing[text] += 1
            continue
        rows.append(row)
        texts.append(text)
    idle = [word for word in how.answers if spelling(word) not in {spelling(text) for text in texts}]
    if idle:
        raise DataError(f"--not-missing {idle[0]}: no row of {source.name} has {name} = {idle[0]!r}")
    if not rows:
        raise DataError(f"no row of {source.name} has a value in {name!r}{_marks(missing)}")
    numbers = _numbers(rows, texts, name, how.kind)
    notes: list[str] = []
    if numbers is None:
        if how.kind != "classes":
            texts, notes = _equal_numbers(texts, name)
        places = [place_of(row) for row in rows]
        texts, more = one_spelling(texts, how.spelling, f"the column {name!r} of {source.name}", places)
        notes += [*more, *(_odd_classes(texts, name) if how.kind != "classes" else [])]
    else:
        notes += _odd_numbers(texts, name) if how.kind != "number" else []
    if missing:
        said = f"{missing.total()} of {len(source.rows)} rows have no {name}{_marks(missing)} and are left out"
        word = next((mark for mark in missing if mark.lower() in ("none", "-")), None)
        notes.insert(0, said + (f"; where it is an answer, say --not-missing {word}" if word else ""))
    labels: Sequence[str | float] = texts if numbers is None else numbers
    return Answers(rows=list(zip(rows, labels, strict=True)), missing=missing, notes=tuple(notes))


def place_of(row: Row) -> str:
    """How a message calls a row: by its place in the manifest, else by its id."""
    return row.place or f"item {row.id}"


def _marks(missing: Mapping[str, int]) -> str:
    """The marks as they are written, with their counts where there are several kinds: ` (None)`."""
    written = {mark or "empty": count for mark, count in missing.items()}
    if not any(missing):
        return ""
    return f" ({', '.join(written if len(written) == 1 else (f'{m} {n}' for m, n in written.items()))})"


def _numbers(rows: Sequence[Row], texts: Sequence[str], column: str, kind: str) -> list[float] | None:
    """The values as numbers; None where they are classes. Raises DataError where a value is no number among numbers."""
    if kind == "classes":
        return None
    found = [number(text, exponents=kind == "number") for text in texts]
    numbers = [value for value in found if value is not None]
    odd = [k for k, value in enumerate(found) if value is None]
    if not odd:
        return numbers if kind == "number" or len(set(numbers)) > MANY else None
    foreign = [k for k in odd if OTHER_NOTATION.fullmatch(texts[k])]
    alike = {*numbers, *(texts[k] for k in foreign)}
    if kind != "number" and (len(alike) <= MANY or 2 * (len(numbers) + len(foreign)) <= len(texts)):
        return None
    said = "; ".join(f"{place_of(rows[k])} says {texts[k][:40]!r}" for k in odd[:SHOWN])
    more = f"; and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
    ours = "write them with a point (1.5), a plain minus, and nothing between thousands (1234.5)"
    how = ours if len(foreign) == len(odd) else "correct them, or empty the cells"
    other = "leave out --number" if kind == "number" else "say --classes"
    raise DataError(
        f"{len(odd)} of {len(texts)} values of {column} are no numbers, among numbers: {said}{more}; {how}, or {other} "
        "where all values are names of classes"
    )


def _odd_numbers(texts: Sequence[str], column: str) -> list[str]:
    """Sentences about numbers that are perhaps codes, or whose points perhaps separate thousands."""
    zeros = [text for text in texts if re.match(r"[+-]?0\d", text)]
    notes = []
    if zeros:
        notes.append(
            f"{len(zeros)} values of {column} begin with zeros ({zeros[0]!r}) and are read as numbers; say --classes "
            "where they are codes"
        )
    points = [text for text in texts if "." in text]
    thousands = all(re.fullmatch(r"[+-]?[1-9]\d{0,2}\.\d{3}", text) for text in points)
    if thousands and len(points) >= FEW and any(number(text) == int(text) for text in texts if text.isdecimal()):
        whole = next(text for text in texts if "." not in text)
        notes.append(
            f"{len(points)} values of {column} have three digits behind the point ({points[0]!r}), others none "
            f"({whole!r}): where the point separates thousands, take it out"
        )
    return notes


def _odd_classes(texts: Sequence[str], column: str) -> list[str]:
    """Sentences about classes that are perhaps no answers, numbers with a unit, or one answer in two words."""
    counts = Counter(texts)
    values = {text: number(text) for text in counts}
    notes = [
        f"{n} rows have {column} = {text!r}, which is a class here; where it means that nothing is known, empty the "
        "cells"
        for text, n in counts.items()
        if (stands_for_unknown(text) if values[text] is None else _far_code(text, values))
    ]
    unit = _unit(counts)
    if unit:
        notes.append(f"{len(counts)} values of {column} are a class each{unit}")
    for same in SAME:
        twice = [text for text in counts if text.lower() in same]
        if len({spelling(text) for text in twice}) > 1 and len(counts) > 2:
            said = " and ".join(f"{text!r} ({counts[text]})" for text in twice)
            notes.append(f"{said} of {column} are a class each; where they are one answer, write one word")
    return notes


def _unit(classes: Iterable[object]) -> str:
    """What to add where more than ten classes are numbers with a unit, and most are."""
    texts = [text for text in classes if isinstance(text, str)]
    found = [match for match in map(WITH_UNIT.fullmatch, texts) if match]
    if len(found) <= MANY or 2 * len(found) <= len(texts):
        return ""
    unit = Counter(match[1] for match in found).most_common(1)[0][0]
    return f"; {len(found)} of them are numbers with a word ({found[0][0]!r}): for a number, take {unit!r} off"


def _far_code(text: str, values: Mapping[str, float | None]) -> bool:
    """Whether a class is a usual code of what is not known, farther from all others than those from each other."""
    others = [value for value in values.values() if value is not None and value != values[text]]
    value = values[text]
    if value is None or text not in CODES_OF_UNKNOWN or len(set(others)) < 2:
        return False
    return min(abs(value - other) for other in others) > max(others) - min(others)


def _equal_numbers(texts: Sequence[str], column: str) -> tuple[list[str], list[str]]:
    """Classes that are all numbers, each in its most frequent spelling, and a sentence where that united some."""
    values = [number(text) for text in texts]
    if None in values:
        return list(texts), []
    spelt: dict[float | None, Counter[str]] = defaultdict(Counter)
    for text, value in zip(texts, values, strict=True):
        spelt[value][text] += 1
    twice = [counts for counts in spelt.values() if len(counts) > 1]
    if not twice:
        return list(texts), []
    said = "; ".join(" and ".join(f"{text!r} ({n})" for text, n in counts.items()) for counts in twice[:SHOWN])
    more = f"; and {len(twice) - SHOWN} more" if len(twice) > SHOWN else ""
    note = f"equal numbers of {column} that are spelt in several ways are one class each: {said}{more}"
    return [spelt[value].most_common(1)[0][0] for value in values], [note]


def items(
    source: Source,
    rng: np.random.Generator,  # noqa: ARG001 - nothing is drawn
    column: str | None,
    *,
    how: Reading = Reading(),
) -> Iterator[Item]:
    """One item per row with an answer, in the source's order; nothing is drawn at random.

    The label is a number or the name of a class, see `read`. Raises DataError where there is no answer, one class, or
    a class in one group only.
    """
    found = read(source, column, how)
    rows = found.rows
    _refuse(rows, str(column), source.name, found.missing)
    return (row.item(label) for row, label in rows)


def _refuse(rows: Sequence[tuple[Row, str | float]], column: str, name: str, missing: Counter[str]) -> None:
    groups: dict[str | float, set[str]] = defaultdict(set)
    for row, value in rows:
        groups[value].add(row.group)
    if len(groups) == 1:
        only = next(iter(groups))
        what = repr(only) if len(str(only)) <= 40 else f"{str(only)[:40]!r}…"
        mark = next(iter(missing), "")
        out = f"; {missing.total()} others have none{_marks(missing)}" if missing else ""
        hint = f" (where that is an answer, say --not-missing {mark})" if mark else ""
        raise DataError(f"all {len(rows)} rows of {name} have the same {column}: {what}{out}{hint}")
    single = sorted((c for c, g in groups.items() if isinstance(c, str) and len(g) == 1), key=natural)
    if single:
        first = ", ".join(repr(c[:40]) for c in single[:SHOWN])
        more = f" and {len(single) - SHOWN} more" if len(single) > SHOWN else ""
        raise DataError(
            f"{len(single)} of {len(groups)} classes of {column} occur in one group only, so they cannot be "
            f"both learnt and tested: {first}{more}; leave those rows out, or merge the classes{_unit(groups)}"
        )


def notes(source: Source, column: str | None, *, how: Reading = Reading()) -> tuple[str, ...]:
    """How many rows are left out because they have no answer, and which spellings became one."""
    return read(source, column, how).notes


TASK = Task(
    name="label",
    question="What does the manifest say of the image?",
    classes=None,
    version=2,
    items=items,
    notes=notes,
)


def reading(how: Reading) -> Task:
    """The task that reads its column in this way."""
    return replace(TASK, items=partial(items, how=how), notes=partial(notes, how=how))
