"""CSV that a spreadsheet opens without running a cell, and that reads back equal."""

import csv
import io
from pathlib import Path

import pytest

from slitlamp.reports.spreadsheet import as_csv
from tasks.sources.cells import guarded, plain
from tasks.sources.table import read_table
from tests.hostile import NAMES

FORMULAS = ("=1+1", "+cmd", "-2-x", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "'=1", "''=1", "=", "-", "+")


@pytest.mark.parametrize("name", [*NAMES, *FORMULAS])
def test_no_cell_begins_like_a_formula_and_each_reads_back(name: str) -> None:
    written = as_csv([{"name": name, "score": -0.5}]).decode()
    row = list(csv.reader(io.StringIO(written, newline="")))[1]
    assert row[0].lstrip(" ")[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
    assert plain(row[0]) == name.encode("utf-8", "backslashreplace").decode()
    assert float(row[1]) == -0.5


@pytest.mark.parametrize("text", ["-0.5", "+1e3", "1e-05", "-7", ".5", "-.5"])
def test_numbers_stay_numbers(text: str) -> None:
    assert guarded(text) == text


@pytest.mark.parametrize("text", ["", "'quoted'", "'s", "a=b", "1-2", "it's"])
def test_what_is_no_formula_is_not_touched(text: str) -> None:
    assert guarded(text) == text == plain(text)


def test_a_table_of_ours_is_read_as_it_was(tmp_path: Path) -> None:
    labels = ["=1+1", "-", "+", "@x", "plain", "-3", "'=2"]
    (tmp_path / "t.csv").write_bytes(as_csv([{"file": f"{k}.png", "=label": v} for k, v in enumerate(labels)]))
    columns, rows = read_table(tmp_path / "t.csv")
    assert columns == ["file", "=label"]
    assert [row["=label"] for row in rows] == labels


def test_missing_values_are_empty_and_columns_are_those_of_all_rows() -> None:
    assert as_csv([{"a": None}, {"b": 'x,"y"\nz'}]) == b'a,b\n,\n,"x,""y""\nz"\n'
