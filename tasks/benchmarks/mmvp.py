"""MMVP ("Eyes Wide Shut?", arXiv 2401.06209): pairs of photographs that CLIP confuses, one question each."""

import re
from collections.abc import Sequence
from pathlib import Path

from tasks._base import DataError, Source
from tasks.benchmarks._open import Pinned, folder_of
from tasks.benchmarks._rows import Entry, OpenSettings, assemble
from tasks.benchmarks._table import numbers_of, table_of
from tasks.sources.table import no_column

PINNED = Pinned(
    name="mmvp",
    repo="MMVP/MMVP",
    revision="37eafecab8a3940c50c2ade5b36de69dbc99a8cf",
    patterns=("Questions.csv", "MMVP Images/*"),
)
COLUMNS = ("Index", "Question", "Options", "Correct Answer")
SWAPPED = ((99, 100), (279, 280))  # whose answers were published as a and b, and are b and a: MMVP issues 14 and 30
QUESTIONS = 300


def source(path: str | None, options: Sequence[str], settings: OpenSettings) -> Source:
    """The 300 questions of MMVP; `published` in `options` keeps the answers that are known to be exchanged.

    Raises DataError: another option, commit or count, an answer that is none of its options.
    """
    wrong = [o for o in options if o not in ("published", "corrected")]
    if wrong or len(set(options)) > 1:
        raise DataError(f"mmvp+{(wrong or options)[0]}: say mmvp (answers corrected) or mmvp+published (as they came)")
    published = "published" in options
    folder = folder_of(PINNED, path, offline=settings.offline)
    table = table_of(folder, PINNED)
    for column in COLUMNS:
        if column not in table[0]:
            raise no_column(column, table[0], "MMVP's Questions.csv")
    rows = [dict(zip(table[0], values, strict=True)) for values in table[1:]]
    numbers = numbers_of([row["Index"] for row in rows], QUESTIONS, PINNED)
    keys = {n: _letter(row["Correct Answer"], row["Options"], n) for n, row in zip(numbers, rows, strict=True)}
    published_keys = dict(keys)
    already = [pair for pair in SWAPPED if (keys[pair[0]], keys[pair[1]]) != ("a", "b")]
    for a, b in () if published else SWAPPED:
        keys[a], keys[b] = "b", "a"
    images = folder / "MMVP Images"
    entries = [_question(n, row, keys[n], published_keys[n], images) for n, row in zip(numbers, rows, strict=True)]
    note = [] if published else ["mmvp: the exchanged answers of questions 99/100 and 279/280 are corrected"]
    if already:
        pairs = " and ".join(f"{a}/{b}" for a, b in already)
        note.append(f"mmvp: this copy does not hold the published answers a and b of {pairs}: it was corrected before")
    return assemble("mmvp+published" if published else "mmvp", "mmvp", entries, settings, warnings=note)


def _options(text: str) -> dict[str, str]:
    """The options by letter.

    >>> _options("(a) Open (b) Closed")
    {'a': 'Open', 'b': 'Closed'}
    """
    parts = re.split(r"\(([a-z])\)", text)
    return {letter: text.strip() for letter, text in zip(parts[1::2], parts[2::2], strict=True)}


def _letter(text: str, options: str, number: int) -> str:
    letter = text.strip().strip("()").lower()
    if letter not in _options(options):
        raise DataError(f"mmvp: question {number} has the answer {text!r}; its options are {options}")
    return letter


def _question(n: int, row: dict[str, str], key: str, published: str, images: Path) -> Entry:
    options = _options(row["Options"])
    columns = {
        "pair": str((n - 1) // 2 + 1),
        "index": str(n),
        "question": row["Question"],
        **{f"option_{letter}": text for letter, text in options.items()},
        "correct": key,
        "published": published,
        "answer": options[key],
    }
    text = {"question": row["Question"], "options": tuple(options.values()), "answer": options[key]}
    return Entry(
        id=f"mmvp-{n:03d}",
        group=f"mmvp-pair-{columns['pair']}",
        files=[images / f"{n}.jpg"],
        names=[f"MMVP Images/{n}.jpg"],
        columns=columns,
        text=text,
    )
