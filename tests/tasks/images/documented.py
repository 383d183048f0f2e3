"""Lines of the tables under "Format by format" in docs/images.md, each proven by a test that names it."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from tests.paths import ROOT

Test = TypeVar("Test", bound=Callable[..., Any])
PROVEN: dict[str, str] = {}  # a line's first cell, and the test that proves it


def documents(*lines: str) -> Callable[[Test], Test]:
    """Mark a test as the proof of lines of docs/images.md, named by their first cells."""

    def mark(test: Test) -> Test:
        PROVEN.update(dict.fromkeys(lines, test.__name__))
        return test

    return mark


def documented_lines() -> list[str]:
    """The first cells of all tables under "Format by format", in their order."""
    page = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", page.partition("## Format by format\n")[2], flags=re.MULTILINE)[0]
    cells = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    return [c for c in cells if c and not set(c) <= {"-", ":"} and not c.startswith("what the file holds")]
