"""The notebook page: its cells run, say what stands below them, and mkdocs shows them."""

import contextlib
import importlib.util
import json
from pathlib import Path

import pytest

import slitlamp
from tests import notebook
from tests.paths import ROOT

PAGES = sorted((ROOT / "docs").glob("*.ipynb"))


def test_there_is_one() -> None:
    assert [page.name for page in PAGES] == ["walkthrough.ipynb"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_cell_says_what_stands_below_it(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = page.read_text(encoding="utf-8")
    lacking = [n for n in ("ablate", "compare", "report") if f"slitlamp.{n}(" in told and n not in slitlamp.__all__]
    if lacking:
        pytest.skip(f"slitlamp has no {', '.join(lacking)} yet")
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    with contextlib.chdir(tmp_path):
        for cell, outputs in notebook.run(json.loads(told)):
            assert notebook.text_of(outputs) == notebook.text_of(cell["outputs"]), notebook.source(cell)


def test_outputs_are_those_of_the_cells() -> None:
    """The runner sees a cell that says something else, and what a cell prints and gives."""
    made = {"cells": [{"cell_type": "code", "source": ["x = 2\n", "print(x)\n", "x + 1"]}]}
    ((_, outputs),) = notebook.run(made)
    assert notebook.text_of(outputs) == "2\n\n3\n"


def test_mkdocs_shows_cells_and_what_they_give() -> None:
    spec = importlib.util.spec_from_file_location("notebook_pages", ROOT / ".ci" / "notebook_pages.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    text = hook.markdown(json.loads(PAGES[0].read_text(encoding="utf-8")))
    assert text.startswith("# From images to a report\n")
    assert "~~~~python\nfrom pathlib import Path\n" in text
    assert "~~~~text\n60\n~~~~" in text
    assert text.count("~~~~") % 2 == 0
