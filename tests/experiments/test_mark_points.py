"""Coloured marks drawn where the depth is known, and read back by the depth task."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tasks
from experiments.mark_points import main
from tasks import DataError
from tasks.marks.place import Point, from_columns, place
from tests.paths import SHARED

SHARED = SHARED / "endo_depth"


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
    assert all("marking images" in line for line in err.splitlines() if line.strip())  # a slow machine shows its bar
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
        (
            ["add", "frame0.png,nan,50,3,case0"],
            "points.csv row 31: x, y and depth_mm are numbers; given 'nan', '50', '3'",
        ),
        (["add", "frame0.png,50,50,inf,case0"], "given '50', '50', 'inf'"),
        (["add", "frame0.png,50"], "points.csv line 32 has 2 values for 5 columns"),
        (["add", "frame9.png,50,50,3,case0"], "points.csv row 31: there is no image 'frame9.png'; file is relative to"),
        (["encoding", "frame0.png,50,50,3,ü"], "points.csv line 32 is not UTF-8 text"),
    ],
)
def test_what_cannot_be_marked_is_one_line(
    change: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = written(tmp_path / "in", shortcut=False, images=1)
    if not change[0].startswith("--"):
        text = points.read_text() + change[1] + "\n"
        points.write_text(text, encoding="latin-1" if change[0] == "encoding" else "utf-8")
        change = []
    words = ["--points", str(points), "--depth", "depth_mm", "--out", str(tmp_path / "out"), *change]
    assert main(words) == 3
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("flags", [["--seed", "-1"], ["--apart", "nan"], ["--per-image", "0"], ["--ponts", "x"]])
def test_a_flag_that_cannot_be_is_one_line_of_usage(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--points", "p.csv", "--out", "o", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert flags[0] in line


def test_two_folders_may_hold_images_of_one_name_and_the_points_semicolons(tmp_path: Path) -> None:
    points = written(tmp_path / "in", shortcut=False, images=2)
    for i in (0, 1):
        (tmp_path / "in" / f"eye{i}").mkdir()
        (tmp_path / "in" / f"frame{i}.png").rename(tmp_path / "in" / f"eye{i}" / "frame.png")
    text = points.read_text().replace("frame0.png", "eye0/frame.png").replace("frame1.png", "eye1/frame.png")
    points.write_text(text.replace(",", ";"), encoding="utf-8-sig")
    assert main(["--points", str(points), "--depth", "depth_mm", "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["file"] for row in rows}) == len(rows) == 8
    assert len(list((tmp_path / "out" / "images").iterdir())) == 8


def test_points_that_would_touch_or_leave_the_image_are_not_marked() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    rng = np.random.default_rng(0)
    close = [Point(x=50.0 + i, y=50.0, depth=1.0 + i) for i in range(3)]
    assert place(image, close, rng, nearest="red", ratio=1.05) is None
    edge = [Point(x=2.0, y=20.0 * i, depth=1.0 + i) for i in range(5)]
    assert place(image, edge, rng, nearest="red", ratio=1.05) is None
    good = [Point(x=20.0 + 30 * i, y=50.0, depth=1.0 + i) for i in range(3)]
    made = place(image, good, rng, nearest="blue", ratio=1.05)
    assert made is not None
    assert made.nearest == "blue"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("frame0.png,2000,20,3", "the point (2000, 20) lies outside frame0.png, which is"),
        ("frame0.png,20,20,-3", "a depth is above 0, since --apart is a ratio; depth_mm is '-3'"),
    ],
)
def test_a_point_outside_its_image_or_of_no_depth_is_refused_and_not_dropped(
    row: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = written(tmp_path / "in", shortcut=False, images=1)
    words = ["--points", str(points), "--depth", "depth_mm", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    capsys.readouterr()
    head = points.read_text().splitlines()[0].split(",")
    told: dict[str, str] = dict(zip(("file", "x", "y", "depth_mm"), row.split(","), strict=True))
    points.write_text(points.read_text().rstrip() + "\n" + ",".join(told.get(name, "case0") for name in head) + "\n")
    assert main(words) == 3
    assert said in capsys.readouterr().err


def test_a_manifest_s_marks_are_numbers_or_nothing() -> None:
    (mark,) = from_columns({"red_x": "3.5", "red_y": "4", "green_x": "", "green_y": ""})
    assert (mark.name, mark.x, mark.y) == ("red", 3.5, 4.0)
    with pytest.raises(DataError, match=r"red mark lies at x = '3', y = ''.*both numbers.*or both empty"):
        from_columns({"red_x": "3", "red_y": ""})
    for odd in ("nan", "inf", "-4", "left"):
        with pytest.raises(DataError, match=f"red mark lies at x = '{odd}'"):
            from_columns({"red_x": odd, "red_y": "1"})
    with pytest.raises(DataError, match="the marks red and blue both lie at x = 3, y = 4"):
        from_columns({"red_x": "3", "red_y": "4", "blue_x": "3.0", "blue_y": "4"})
    assert len(from_columns({"red_x": "3", "red_y": "4", "blue_x": "3", "blue_y": "40"})) == 2


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real endoscopy frames are not on this machine")
def test_on_real_endoscopy_the_brightest_mark_is_too_often_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr("slitlamp.reports.files._figure", lambda *_: [])
    points = [
        "--points",
        str(SHARED / "points.csv"),
        "--depth",
        "depth_sfm_units",
        "--apart",
        "1.2",
        "--per-image",
        "2",
    ]
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


def test_a_points_table_is_read_in_any_spelling_and_what_it_contradicts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = written(tmp_path / "in", shortcut=False, images=2)
    head, *rows = points.read_text().splitlines()

    def run(*lines: str) -> tuple[int, str]:
        points.write_text("\n".join(lines) + "\n")
        code = main(["--points", str(points), "--depth", "depth_mm", "--out", str(tmp_path / "out"), "--replace"])
        return code, " ".join(capsys.readouterr())

    whole = run(head, *rows)[1]
    assert "8 items from 2 images in 1 groups" in whole
    assert "8 items from 2 images in 1 groups" in run("File,X,Y,depth_mm,Group", *rows)[1]
    halves = ["./" * (k % 2) + row for k, row in enumerate(rows)]
    assert "8 items from 2 images in 1 groups" in run(head, *halves)[1]
    code, said = run(head, *rows, rows[0].replace(rows[0].split(",")[3], "99"))
    assert code == 3
    assert f"row {len(rows) + 1}: the point (30, 30) of frame0.png has the depth_mm 99, and " in said
    lacking = [row.rpartition(",")[0] + "," if row.startswith("frame1") else row for row in rows]
    assert "warning: 1 of 2 images of points.csv have no group: each is its own" in run(head, *lacking)[1]
    far = [",".join([*row.split(",")[:3], "9999", "case0"]) if k < 2 else row for k, row in enumerate(rows)]
    assert (
        "marks of missing values (9999 in row 1, 412 interquartile ranges above; 9999 in row 2, " in run(head, *far)[1]
    )
    assert "warning" not in whole
