"""Cells of a CSV that a spreadsheet would run: how they are written, and how they are read back."""

import re
from typing import Any

RUNS = re.compile(r"'*[=+\-@\t\r\n]")  # how a formula begins, behind apostrophes that guard one already
BLANK = re.compile(r"\A\s+(?=[=+\-@])")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
GUARDED = re.compile(r"''*[=+\-@\t\r\n]|'\s+[=+\-@]")


def guarded(value: Any) -> Any:
    """A cell as it is written: a text that begins with = + - @, a tab or a line break has an apostrophe before it.

    What a spreadsheet reads as a number (`-0.5`, `+1e3`) stays as it is, so that numbers remain numbers. `plain` is the
    inverse.

    >>> guarded("=1+1"), guarded("-0.5"), guarded("a-b")
    ("'=1+1", '-0.5', 'a-b')
    """
    if not isinstance(value, str) or NUMBER.fullmatch(value):
        return value
    return f"'{value}" if RUNS.match(value) or BLANK.match(value) else value


def plain(text: str) -> str:
    """A cell as it was before `guarded`: without the apostrophe before what a spreadsheet would run.

    >>> plain("'=1+1"), plain("'quoted'"), plain(guarded("'=1"))
    ('=1+1', "'quoted'", "'=1")
    """
    return text[1:] if GUARDED.match(text) else text
