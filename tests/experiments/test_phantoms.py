"""Contact sheets of phantoms: the gallery of the documentation, and the command that draws it."""

import re
from pathlib import Path

import numpy as np
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


def test_masks_come_back_from_the_folder_they_were_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--task", "mirror", "wave-depth", "--masks", "--n", "6", "--seed", "5", "--out", str(tmp_path)]
    assert phantoms.main(asked) == phantoms.main(asked) == 0
    assert capsys.readouterr().out.split()[:2] == [str(tmp_path / t / "manifest.csv") for t in ("mirror", "wave-depth")]
    for name, regions in (("mirror", ("heart", "gastric bubble")), ("wave-depth", ("nearest mark", "skin"))):
        task = tasks.load(name)
        assert task.phantoms is not None
        made = list(task.items(task.phantoms(6, 5), np.random.default_rng(5), None))
        for region in regions:
            source = tasks.open_source(str(tmp_path / name), group="group", evidence=region)
            assert [row.columns["label"] for row in source.rows] == [str(item.label) for item in made]
            for row, item in zip(source.rows, made, strict=True):
                assert np.array_equal(row.picture.read(), item.picture.read())
                assert (region in row.regions) == (region in item.evidence)
                if region in item.evidence:
                    assert np.array_equal(row.regions[region](), item.evidence[region]())
    there = [row.regions for row in tasks.open_source(str(tmp_path / "mirror"), evidence="gastric bubble").rows]
    assert {bool(regions) for regions in there} == {True, False}
    assert phantoms.main([*asked, "--n", "4"]) == 2
    assert "--out: another manifest" in capsys.readouterr().err
