"""Questions.csv, the table in which MMVP and MMVP-VLM keep their questions."""

import csv
from collections.abc import Sequence
from pathlib import Path

from tasks._base import DataError
from tasks.benchmarks._open import Pinned


def table_of(folder: Path, pinned: Pinned) -> list[list[str]]:
    """The rows of Questions.csv with its heading, blanks stripped; DataError where it is missing or ragged."""
    path = folder / "Questions.csv"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = [[v.strip() for v in row] for row in csv.reader(file) if any(v.strip() for v in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{folder.name}/Questions.csv cannot be read ({why}); {pinned.remedy}") from None
    ragged = [i for i, row in enumerate(table, 1) if len(row) != len(table[0])]
    if len(table) < 2 or ragged:
        what = f"row {ragged[0]} has {len(table[ragged[0] - 1])} values" if ragged else "it has no rows"
        raise DataError(f"{folder.name}/Questions.csv is not the benchmark's table: {what}; {pinned.remedy}")
    return table


def numbers_of(texts: Sequence[str], count: int, pinned: Pinned) -> list[int]:
    """The questions' numbers: 1 to `count`, each once; DataError otherwise."""
    if len(texts) != count:
        raise DataError(
            f"{pinned.name}: {len(texts)} questions and {count} at commit {pinned.revision}: this is another copy; "
            f"{pinned.remedy}"
        )
    numbers = [int(n) if n.isdecimal() else 0 for n in texts]
    twice = [n for i, n in enumerate(numbers) if n in numbers[:i]]
    if twice:
        raise DataError(f"{pinned.name}: the number {texts[numbers.index(twice[0])]!r} occurs twice")
    wrong = [t for t, n in zip(texts, numbers, strict=True) if not 1 <= n <= count]
    if wrong:
        raise DataError(f"{pinned.name}: {wrong[0]!r} is no number from 1 to {count}")
    return numbers
