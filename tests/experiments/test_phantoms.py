"""Contact sheets of phantoms: the gallery of the documentation, and the command that draws it."""

import re
from pathlib import Path

import pytest
from PIL import Image

import tasks
from experiments import phantoms
from tests.paths import ROOT


def test_the_gallery_shows_every_task_that_has_phantoms_and_no_other() -> None:
    docs = ROOT / "docs"
    page = (docs / "gallery.md").read_text(encoding="utf-8")
    have = [name for name in tasks.names() if tasks.load(name).phantoms is not None]
    assert sorted(re.findall(r"^## `(.+)`$", page, flags=re.MULTILINE)) == have
    for name in have:
        figure = docs / "figures" / f"gallery_{name}.jpg"
        assert f"(figures/{figure.name})" in page
        assert figure.stat().st_size < 150_000
        assert all(str(answer) in page for answer in tasks.load(name).classes or ())


def test_a_sheet_is_drawn_for_a_task_and_refused_for_one_without_phantoms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--task", "orientation-pelvis", "--n", "2", "--side", "64", "--out", str(tmp_path)]
    assert phantoms.main(asked) == 0
    with Image.open(tmp_path / "gallery_orientation-pelvis.jpg") as sheet:
        assert sheet.size == (2 * 68 - 4, 64 + 18)
    assert phantoms.main(["--task", "label"]) == 2
    assert "task label has no phantoms; those that have: age" in capsys.readouterr().err
