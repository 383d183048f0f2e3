"""Each line of the tables of formats in docs/images.md is a test, and each such test is a line."""

import importlib
from pathlib import Path

from tests.tasks.images.documented import PROVEN, documented_lines


def test_each_line_of_the_tables_of_formats_is_proven_by_a_test() -> None:
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.tasks.images.{file.stem}")
    lines = documented_lines()
    assert len(lines) == len(set(lines))
    assert {*lines} == {*PROVEN}
