"""Plain text for the terminal: tables that fit it, and numbers of bytes."""

import re
import shutil
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from slitlamp.log import printable

WIDE = 120  # letters of a line where nothing says how many a terminal shows
NARROW = 60  # below which nothing fits
UNBROKEN = 100_000  # for tables that a program may read, a row to a line, where their output is no terminal


def wide(most: int = WIDE) -> int:
    """How many letters a line may have: as many as the terminal shows, or COLUMNS says, and at `most` so many.

    Where the output is no terminal, and COLUMNS says nothing, it is `most`.
    """
    return max(NARROW, min(most, shutil.get_terminal_size((most, 24)).columns))


def fitted(
    rows: Sequence[dict[str, Any]], right: Collection[str] = (), most: int = WIDE, *, whole: bool = False
) -> str:
    """A table that fits the terminal: long words are cut, then the last columns left out, which is said below it.

    With `whole` no word is cut.
    """
    kept, room = [*rows[0]], wide(most)
    while True:
        text = table([{key: row[key] for key in kept} for row in rows], None if whole else room, right, middle=True)
        if len(kept) <= 2 or max(map(len, text.splitlines())) <= room:
            break
        kept.pop()
    left = ", ".join(key.replace("_", " ") for key in rows[0] if key not in kept)
    return text + ("\n" + filled(f"not shown here: {left}", most) if left else "")


def filled(text: str, most: int = WIDE, indent: str = "  ") -> str:
    """A text in lines as wide as the terminal, and at `most` so wide; those behind the first begin with `indent`."""
    return textwrap.fill(
        text, wide(most), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


def bullets(lines: Sequence[str]) -> str:
    """Lines below one another, each with its point and as wide as the terminal; a command stays in one line."""
    return "\n".join(
        f"· {line}" if "python -m" in line else filled(f"· {line}")
        for line in lines
    )  # fmt: skip


def table(
    rows: Sequence[dict[str, Any]], width: int | None = None, right: Collection[str] = (), *, middle: bool = False,
    wrap: bool = False,
) -> str:  # fmt: skip
    """Rows of equal keys as text in columns; None is a dash, and columns named in `right` end in line.

    What is wider than `width` is cut, widest column first, but no column named in `right`; with `middle` not at its
    end, where long names differ; with `wrap` it is not cut but broken into lines.
    """
    if not rows:
        return ""
    words = [[_word(v) for v in row.values()] for row in rows]
    heads = [key.replace("_", " ") for key in rows[0]]
    widths = [max(len(h), *(len(line[i]) for line in words)) for i, h in enumerate(heads)]
    words_of = [i for i, key in enumerate(rows[0]) if key not in right]
    while width and sum(widths) + 2 * len(widths) - 2 > width:
        widest = max(words_of, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= 16:
            break
        widths[widest] -= 1
    ends = [key in right for key in rows[0]]

    def line(words: Sequence[str]) -> str:
        shown = [cut(word, n, middle=middle) for word, n in zip(words, widths, strict=True)]
        cells = [w.rjust(n) if end else w.ljust(n) for w, n, end in zip(shown, widths, ends, strict=True)]
        return "  ".join(cells).rstrip()

    def lines(words: Sequence[str]) -> list[str]:
        if not wrap:
            return [line(words)]
        parts = (textwrap.wrap(word, n, break_on_hyphens=False) for word, n in zip(words, widths, strict=True))
        return [line(each) for each in zip_longest(*parts, fillvalue="")]

    return "\n".join(one for each in [heads, *words] for one in lines(each))


MANY = 12  # classes that are all shown
FEW = 3  # of more classes, how many of the rarest are


def question_line(facts: Mapping[str, Any]) -> str:
    """One line on a question: its classes with their counts or the range of its numbers, groups, and what is left out.

    `facts` is an entry of `Result.questions`.
    """
    items, images = facts["items"], facts["images"]
    of = f" of {images} images" if images < items else ""
    left = ", ".join(f"{count} {reason}" for reason, count in facts["left_out"].items())
    parts = [_answers(facts), f"{items} items{of} in {facts['groups']} groups"]
    return f"{facts['task']}: {'; '.join(parts)}" + f"; left out: {left}" * bool(left) + "; LIMITED" * facts["limited"]


def _answers(facts: Mapping[str, Any]) -> str:
    label = facts["task"].partition(" ")[0] == "label"
    if facts["range"] is not None:
        low, middle, high = facts["range"]
        how = " (--classes: classes)" * label
        return f"a number from {low:g} to {high:g}, median {middle:g}{how}"
    counts = facts["classes"]
    numbers = label and len(counts) > 2 and all(re.fullmatch(r"[+-]?[0-9.]+", name) for name in counts)
    how = " (--number: a number)" * numbers
    if len(counts) <= MANY:
        return f"{len(counts)} classes{how}: {', '.join(f'{_shown(name)} {n}' for name, n in counts.items())}"
    rare = sorted(counts.items(), key=lambda one: one[1])
    first = ", ".join(f"{_shown(name)} {n}" for name, n in rare[:FEW])
    least, most = rare[0][1], rare[-1][1]
    of = f"{least} items each" if least == most else f"{least} to {most} items"
    return f"{len(counts)} classes{how} of {of}: {first}, … and {len(counts) - FEW} more"


def _shown(name: str) -> str:
    return cut(printable(name, lines=False), 40)


def wrapped_notes(notes: Sequence[str]) -> list[str]:
    """Notes below a line, each within 110 columns, or those that the terminal has."""
    return [textwrap.fill(f"note: {note}", wide(110), initial_indent="  ", subsequent_indent="    ") for note in notes]


def listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    every = list(words)
    return " and ".join(filter(None, (", ".join(every[:-1]), *every[-1:])))


def cut(text: str, width: int, *, middle: bool = False) -> str:
    """A text of at most `width` letters; what is left out, at the end or in the `middle`, is an ellipsis."""
    end = (width - 1) // 2 if middle else 0
    return text if len(text) <= width else f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def _word(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value >= 100_000:
        return f"{value / 1e6:.1f} M"
    return printable(str(value), lines=False)  # here, so that columns are as wide as what is shown


def human_size(count: float) -> str:
    """A number of bytes in three digits and a unit.

    >>> human_size(1_234_000_000)
    '1.23 GB'
    """
    if not count:
        return "0 B"
    unit, name = next(((u, n) for u, n in ((1e9, "GB"), (1e6, "MB")) if count >= u), (1e3, "kB"))
    return f"{three_digits(count / unit)} {name}"


def three_digits(value: float) -> str:
    """A number in three digits, or in as many as stand before its point.

    >>> three_digits(86.42)
    '86.4'
    """
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
