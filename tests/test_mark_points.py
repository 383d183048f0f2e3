"""Coloured marks drawn where the depth is known, and read back by the depth task."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tasks
from experiments.mark_points import main
from tasks._base import DataError
from tasks._marks_placed import Point, from_columns, place

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("SLITLAMP_SHARED", ROOT.parent / "shared" / "data")) / "endo_depth"


def written(folder: Path, *, shortcut: bool, images: int = 8, group: bool = True) -> Path:
    """Grey images with points of random depth; with the shortcut what is near is bright."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / "points.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "x", "y", "depth_mm", *(["group"] if group else [])])
        for i in range(images):
            image = rng.integers(90, 110, (200, 240)).astype(np.uint8)
            for x in range(30, 230, 36):
                for y in range(30, 190, 36):
                    depth = rng.uniform(10, 60)
                    if shortcut:
                        image[y - 18 : y + 18, x - 18 : x + 18] = 250 - 4 * depth
                    writer.writerow([f"frame{i}.png", x, y, f"{depth:.3f}", *([f"case{i // 2}"] if group else [])])
            Image.fromarray(image).save(folder / f"frame{i}.png")
    return folder / "points.csv"


def share(out: str, word: str) -> float:
    return float(out.split(f"the {word} surroundings are the nearest mark's in ")[1].split()[0])


def test_the_depth_task_reads_what_was_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = written(tmp_path / "in", shortcut=True)
    assert main(["--points", str(points), "--depth", "depth_mm", "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "32 items from 8 images in 4 groups" in out
    assert err == ""
    assert share(out, "brightest") > 0.9
    source = tasks.open_source(str(tmp_path / "out" / "manifest.csv"), group="group")
    items = list(tasks.load("depth").items(source, np.random.default_rng(0), None))
    answers = [item.label for item in items]
    assert max(answers.count(c) for c in ("red", "green", "blue")) <= 11
    for row, item in zip(source.rows, items, strict=True):
        depth = {c: float(row.columns[f"depth_{c}"]) for c in ("red", "green", "blue")}
        assert item.label == min(depth, key=lambda c: depth[c])
        image = row.picture.read()
        for mark in item.marks:
            assert image[round(mark.y), round(mark.x)].argmax() == ("red", "green", "blue").index(mark.name)


def test_brightness_tells_nothing_where_it_has_nothing_to_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = written(tmp_path / "in", shortcut=False, images=24, group=False)
    assert main(["--points", str(points), "--depth", "depth_mm", "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert share(out, "brightest") == pytest.approx(1 / 3, abs=0.15)
    assert "has no column group, so every image is a group of its own" in err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--points", "nowhere.csv"], "nowhere.csv does not exist"),
        (["--depth", "depht"], "points.csv has no column 'depht'; it has file, x, y, depth_mm, group"),
        (["--apart", "99"], "no image of points.csv has three points that are 99 times apart"),
    ],
)
def test_what_cannot_be_marked_is_one_line(
    change: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = written(tmp_path / "in", shortcut=False, images=1)
    words = ["--points", str(points), "--depth", "depth_mm", "--out", str(tmp_path / "out"), *change]
    assert main(words) == 3
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_points_that_would_touch_or_leave_the_image_are_not_marked() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    rng = np.random.default_rng(0)
    close = [Point(x=50.0 + i, y=50.0, depth=1.0 + i) for i in range(3)]
    assert place(image, close, rng, nearest="red", apart=1.05) is None
    edge = [Point(x=2.0, y=20.0 * i, depth=1.0 + i) for i in range(5)]
    assert place(image, edge, rng, nearest="red", apart=1.05) is None
    good = [Point(x=20.0 + 30 * i, y=50.0, depth=1.0 + i) for i in range(3)]
    made = place(image, good, rng, nearest="blue", apart=1.05)
    assert made is not None
    assert made.nearest == "blue"


def test_a_manifest_s_marks_are_numbers_or_nothing() -> None:
    (mark,) = from_columns({"red_x": "3.5", "red_y": "4", "green_x": "", "green_y": ""})
    assert (mark.name, mark.x, mark.y) == ("red", 3.5, 4.0)
    with pytest.raises(DataError, match=r"red mark lies at x = '3', y = ''.*both numbers.*or both empty"):
        from_columns({"red_x": "3", "red_y": ""})


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real endoscopy frames are not on this machine")
def test_on_real_endoscopy_the_brightest_mark_is_too_often_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = ["--points", str(SHARED / "points.csv"), "--depth", "depth_sfm_units", "--apart", "1.2"]
    assert main([*points, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert share(out, "brightest") > 0.42 > 1 / 3 > share(out, "darkest")
    from experiments.linear_probe import main as linear_probe

    words = [
        "--encoder",
        "pixels",
        "--task",
        "depth",
        "--probe",
        "marks",
        "--data",
        str(tmp_path / "out" / "manifest.csv"),
    ]
    more = ["--group", "group", "--copies", "warn", "--permutations", "99", "--jobs", "1", "--json"]
    assert linear_probe([*words, *more, "--out", str(tmp_path / "run")]) == 0
    told = json.loads(capsys.readouterr().out)["verdicts"][0]
    assert told["verdict"] == "present"
