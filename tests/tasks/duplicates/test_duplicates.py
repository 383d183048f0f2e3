"""Copies of one image are found under other bytes, sizes, greys, crops and turns, and nothing else is."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import tasks
from cache import Store
from experiments import duplicates, linear_probe, visual_prompts
from slitlamp.duplicates.guard import Copies, resolve_duplicates
from slitlamp.duplicates.near import close
from slitlamp.errors import UsageError
from slitlamp.settings import SourceSettings
from tasks import Source
from tasks.duplicates.find import Cluster, Fingerprint, Pair, fingerprint, groups, pairs, unpacked
from tests.paths import SHARED as DATA

Change = Callable[[np.ndarray], np.ndarray]


def scene(seed: int, side: int = 160) -> np.ndarray:
    """A picture with structure at every scale, as photographs have it."""
    rng = np.random.default_rng([71, seed])
    waves = np.fft.fft2(rng.standard_normal((side, side)))
    there = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    smooth = np.fft.ifft2(waves / (there + 0.01) ** 1.2).real
    low, high = smooth.min(), smooth.max()
    return (20 + 200 * (smooth - low) / (high - low)).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int = 50) -> np.ndarray:
    """The image as a JPEG gives it back."""
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG", quality=quality)
    return np.asarray(Image.open(held))


def resized(image: np.ndarray, share: float = 0.6) -> np.ndarray:
    """The image at another size."""
    size = tuple(round(n * share) for n in image.shape[1::-1])
    return np.asarray(Image.fromarray(image).resize((size[0], size[1]), Image.Resampling.BICUBIC))


def written(image: np.ndarray) -> np.ndarray:
    """The image with text burned into a corner."""
    page = Image.fromarray(image)
    ImageDraw.Draw(page).text((8, 8), "L PORTABLE 12:30", fill=255)
    return np.asarray(page)


def cropped(image: np.ndarray) -> np.ndarray:
    """The image without 5 % of each side, more of it on one than on the other."""
    h, w = image.shape[:2]
    return image[h // 60 : h - h // 30, w // 25 : w - w // 100]


def everything(image: np.ndarray) -> np.ndarray:
    """Cropped, brighter, smaller, mirrored and compressed."""
    bright = np.clip(cropped(image) * 1.1 + 5, 0, 255).astype(np.uint8)
    return jpeg(np.ascontiguousarray(resized(bright)[:, ::-1]), 70)


CHANGES: dict[str, tuple[Change, str]] = {
    "resized": (resized, "recompressed"),
    "compressed": (jpeg, "recompressed"),
    "brighter": (lambda x: np.clip(x * 1.15 + 15, 0, 255).astype(np.uint8), "recompressed"),
    "of another gamma": (lambda x: (255 * (x / 255) ** 1.6).astype(np.uint8), "recompressed"),
    "written on": (written, "recompressed"),
    "cropped": (cropped, "cropped"),
    "mirrored": (lambda x: x[:, ::-1], "turned"),
    "turned": (lambda x: np.rot90(x), "turned"),
    "turned and mirrored": (lambda x: np.rot90(x)[:, ::-1], "turned"),
    "all of it": (everything, "turned"),
}


def prints(images: list[np.ndarray]) -> list[Fingerprint]:
    return [fingerprint(np.ascontiguousarray(image)) for image in images]


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_is_found_whatever_was_done_to_it_and_nothing_else_is(name: str) -> None:
    change, kind = CHANGES[name]
    images = [scene(k) for k in range(12)]
    found = pairs(prints([*images, *(change(x) for x in images)]))
    assert [(p.first, p.second, p.kind) for p in found] == [(k, 12 + k, kind) for k in range(12)]


def test_equal_pixels_are_identical_and_different_images_are_not_copies() -> None:
    images = [scene(k) for k in range(40)]
    assert pairs(prints(images)) == []
    assert pairs(prints([*images, images[3]])) == [Pair(first=3, second=40, kind="identical", alike=1.0)]


def test_blank_images_are_copies_only_where_their_pixels_are_equal() -> None:
    blank = [np.full((80, 80), grey, np.uint8) for grey in (0, 90, 91, 90)]
    assert [(p.first, p.second) for p in pairs(prints(blank))] == [(1, 3)]
    assert pairs([]) == []
    assert pairs(prints([scene(0)])) == []


def test_a_fingerprint_comes_back_from_the_text_that_it_is_kept_as() -> None:
    held = fingerprint(np.stack([scene(1)] * 3, axis=2))
    back = unpacked(json.loads(json.dumps(held.packed())))
    assert back.exact == held.exact
    assert np.array_equal(back.small, held.small)


def test_clusters_are_connected_and_those_inside_one_group_cross_nothing() -> None:
    chain = [
        Pair(first=0, second=2, kind="recompressed", alike=0.95),
        Pair(first=2, second=5, kind="turned", alike=0.9),
        Pair(first=1, second=3, kind="identical", alike=1.0),
    ]
    found = groups(chain, ["a", "b", "a", "b", "c", "a"])
    assert list(found.clusters) == [Cluster(members=(0, 2, 5), kind="turned", alike=0.9),
                     Cluster(members=(1, 3), kind="identical", alike=1.0)]  # fmt: skip
    assert found.across_groups == ()
    found = groups(chain, ["a", "b", "a", "b", "c", "d"])
    assert found.across_groups == found.clusters[:1]
    assert found.merged_groups == ("a", "b", "a", "b", "c", "a")
    assert groups(chain, ["a", "b", "c", "d", "e", "a"]).merged_groups == ("a", "b", "a", "b", "e", "a")


def test_near_pairs_in_features_stand_out_from_different_ones_and_none_do_where_there_are_none() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((120, 24))
    groups = np.arange(120)
    assert close(x, groups)[1] == []
    x[7] = x[90] + 0.05 * rng.standard_normal(24)
    limit, found = close(x, groups)
    assert [(a, b) for a, b, _ in found] == [(7, 90)]
    assert 0.7 < limit < found[0][2]
    assert close(x, groups, {(7, 90)})[1] == []
    groups[90] = 7
    assert close(x, groups)[1] == []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve images in twelve groups; the last is a mirrored, compressed copy of the first, the eleventh of the second.

    The manifest names patients; `b` and `c` are one patient under two names.
    """
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    place = tmp_path / "films"
    place.mkdir()
    images = [scene(k) for k in range(10)]
    images += [jpeg(images[1]), np.ascontiguousarray(jpeg(images[0])[:, ::-1])]
    lines = ["path,patient,group,side"]
    for k, image in enumerate(images):
        Image.fromarray(image).save(place / f"{k}.png")
        lines.append(f"{k}.png,p{k},old{k},{'left' if k % 2 else 'right'}")
    (place / "manifest.csv").write_text("\n".join(lines) + "\n")
    return place


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = duplicates.main([*words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_command_names_the_copies_that_cross_groups_and_ends_with_3(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = asked(capsys, "--data", str(folder), "--group", "patient", "--json")
    whole = json.loads(out)
    assert code == 3
    assert (whole["images"], whole["groups"], whole["clusters_across_groups"]) == (12, 12, 2)
    ids = [row.id for row in tasks.open_source(str(folder)).rows]
    assert [c["ids"] for c in whole["across_groups"]] == [[ids[0], ids[11]], [ids[1], ids[10]]]
    assert [c["kind"] for c in whole["across_groups"]] == ["turned", "recompressed"]
    code, out, _ = asked(capsys, "--data", str(folder), "--group", "patient")
    assert code == 3
    said = " ".join(out.split())
    assert "2 clusters of copies (4 images), 2 of them across groups (1 turned, 1 recompressed)" in said
    assert str(folder) not in out


def test_the_manifest_that_it_writes_holds_copies_together_and_keeps_the_user_s_columns(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "groups.csv"
    code, _, err = asked(capsys, "--data", str(folder), "--group", "patient", "--write", str(target))
    assert code == 3
    assert f"use it as --data {target} --group group" in err
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"films/{k}.png" for k in range(12)]
    assert [row["group_before"] for row in rows] == [f"old{k}" for k in range(12)]
    assert rows[0]["group"] == rows[11]["group"] != rows[1]["group"] == rows[10]["group"]
    code, out, _ = asked(capsys, "--data", str(target), "--group", "group")
    assert code == 0
    assert "12 images in 10 groups; 2 clusters of copies (4 images), 0 of them across groups" in out


@pytest.mark.usefixtures("folder")
def test_pages_of_one_file_are_named_by_their_frames(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    pages = [Image.fromarray(scene(k)) for k in (20, 21, 20)]
    pages[0].save(scans / "a.tif", save_all=True, append_images=pages[1:])
    pages[1].save(scans / "b.png")
    target = tmp_path / "scans.csv"
    assert asked(capsys, "--data", str(scans), "--write", str(target))[0] == 3
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["frame"]) for row in rows] == [
        ("scans/a.tif", "1"), ("scans/a.tif", "2"), ("scans/a.tif", "3"), ("scans/b.png", "")]  # fmt: skip
    assert asked(capsys, "--data", str(target), "--group", "group")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--write", "groups.parquet"], "call it groups.csv"),
        (["--weights", "w"], "--weights w has nothing to act on: copies are found without one; give --encoder NAME"),
        (["--batch-size", "4"], "--batch-size 4 has nothing to act on"),
        (["--batch-size", "0", "--encoder", "pixels"], "--batch-size 0: must be at least 1"),
        (["--unreadable", "2"], "--unreadable 2.0: must be a share from 0 to 1"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_an_image_is_read(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = asked(capsys, "--data", "nowhere", *words)
    assert (code, message in err) == (2, True)


def test_what_to_do_with_copies_is_not_asked_of_a_benchmark(tmp_path: Path) -> None:
    source = Source(name="mmvp", rows=(), synthetic=False, benchmark="mmvp")
    with pytest.raises(UsageError, match="--copies unite has nothing to act on: mmvp keeps the groups"):
        resolve_duplicates(source, Copies(store=Store(tmp_path)), SourceSettings(copies="unite"))


def test_pairs_are_drawn_only_when_asked(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert not [*tmp_path.glob("*.png")]
    asked(capsys, "--data", str(folder), "--thumbnails", str(tmp_path / "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as page:
        assert page.size[0] > 500


def probe(capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: str) -> tuple[int, str]:
    code = linear_probe.main([*words, "--encoder", "lowlevel", "--task", "label", "--label", "side", "--folds", "2",
                              "--dry-run", "--out", str(tmp_path / "out")])  # fmt: skip
    return code, capsys.readouterr().err


def test_a_run_is_refused_with_the_line_that_mends_it_unless_the_user_says_warn(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, err = probe(capsys, tmp_path, "--data", str(folder), "--group", "patient")
    assert code == 3
    assert "2 clusters of copies (4 images) lie in more than one group" in err
    assert f"python -m experiments.duplicates --data {folder} --group patient --write groups.csv" in err
    code, err = probe(capsys, tmp_path, "--data", str(folder), "--group", "patient", "--copies", "warn")
    assert code == 0
    assert "warning: label side: 2 clusters of copies" in err
    asked(capsys, "--data", str(folder), "--write", str(tmp_path / "groups.csv"))
    code, err = probe(capsys, tmp_path, "--data", str(tmp_path / "groups.csv"), "--group", "group")
    assert (code, "copies" in err) == (0, False)


def test_equal_files_in_two_groups_are_refused_as_near_copies_are_with_a_group_column_and_without(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for k in (10, 11):
        (folder / f"{k}.png").write_bytes((folder / f"{k - 10}.png").read_bytes())
    code, err = probe(capsys, tmp_path, "--data", str(folder), "--group", "patient")
    assert code == 3
    assert "identical, 1.00 alike" in err
    assert "--group patient says that they belong to different ones" in err
    code, err = probe(capsys, tmp_path, "--data", str(folder))
    assert code == 3
    assert "without --group every file is its own group" in err
    code, err = probe(capsys, tmp_path, "--data", str(folder), "--group", "patient", "--copies", "unite")
    assert code == 0
    assert "these groups were united, 10 of 12 are left" in err


def test_the_audit_of_marks_refuses_copies_in_two_groups_too(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = (folder / "manifest.csv").read_text().splitlines()
    named = [lines[0] + ",nearest", *(line + ",red" for line in lines[1:])]
    (folder / "manifest.csv").write_text("\n".join(named))
    words = ["--data", str(folder), "--encoder", "lowlevel", "--out", str(tmp_path / "out")]
    assert visual_prompts.main(words) == 3
    assert "2 clusters of copies (4 images) lie in more than one group" in capsys.readouterr().err
    assert visual_prompts.main([*words, "--copies", "warn"]) == 3
    err = capsys.readouterr().err
    assert "warning: depth: 2 clusters of copies" in err
    assert "holds no coloured marks" in err


def test_a_pool_is_used_without_copies_and_without_the_groups_that_are_asked(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    images = [scene(30 + k) for k in range(20)] + [jpeg(scene(30)), jpeg(scene(4)), scene(60)]
    for k, image in enumerate(images):  # 20 of its own, a copy of these, a copy of an image that is asked, and p5's
        Image.fromarray(image).save(pool / f"{k}.png")
    named = [f"{k}.png,{'p5' if k == 22 else f'q{k}'}" for k in range(23)]
    (pool / "manifest.csv").write_text("\n".join(["path,patient", *named]) + "\n")
    words = ["--data", str(folder), "--copies", "unite", "--pool", str(pool)]
    code, err = probe(capsys, tmp_path, *words, "--group", "patient")
    assert code == 0
    assert "3 of 23 images of the pool are left out: copies of one another or of images that are asked" in err
    (pool / "manifest.csv").unlink()
    code, err = probe(capsys, tmp_path, *words)  # equal names of files are no equal groups
    assert code == 0
    assert "2 of 23 images of the pool are left out" in err
    for k in (0, 21):
        (pool / f"{k}.png").unlink()
    code, err = probe(capsys, tmp_path, *words)
    assert (code, "of the pool" in err) == (0, False)
    for k in (1, 2):
        (pool / f"{k}.png").unlink()
    code, err = probe(capsys, tmp_path, *words)
    assert code == 3
    assert "has 19 images that are neither asked themselves nor copies" in err


def test_a_pool_needs_no_answers(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = (folder / "manifest.csv").read_text().splitlines()
    told = [f"{line},{'enhanced' if k % 2 else 'unenhanced'}" for k, line in enumerate(lines[1:])]
    (folder / "manifest.csv").write_text("\n".join([f"{lines[0]},contrast", *told]))
    (tmp_path / "pool").mkdir()
    for k in range(30, 50):
        Image.fromarray(scene(k)).save(tmp_path / "pool" / f"{k}.png")
    words = ["--encoder", "lowlevel", "--task", "contrast", "--data", str(folder), "--copies", "unite", "--folds", "2"]
    assert linear_probe.main([*words, "--pool", str(tmp_path / "pool"), "--dry-run"]) == 0, capsys.readouterr().err


def test_one_image_with_two_answers_is_refused_and_with_two_questions_it_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (folder / "manifest.csv").unlink()
    lines = ["path,side"] + [f"{k}.png,{'left' if k % 2 else 'right'}" for k in range(10)]
    table = tmp_path / "films" / "answers.csv"
    for more in (["0.png,right"], []):  # twice with one answer, and once, are no contradiction
        table.write_text("\n".join([*lines, *more]))
        assert probe(capsys, tmp_path, "--data", str(table))[0] == 0
    table.write_text("\n".join([*lines, "0.png,left"]))
    code, err = probe(capsys, tmp_path, "--data", str(table))
    assert code == 3
    assert "label side: one image has two different answers: row 1 (0.png) says 'right' " in err
    assert "and row 11 (0.png) says 'left'" in err
    (folder / "again.png").write_bytes((folder / "0.png").read_bytes())
    table.write_text("\n".join([*lines, "again.png,left"]))
    code, err = probe(capsys, tmp_path, "--data", str(table), "--copies", "unite")
    assert code == 3
    assert "and row 11 (again.png) says 'left'" in err
    asked_twice = [f"{line},{'question' if k == 0 else 'Which side?'}" for k, line in enumerate(lines)]
    table.write_text("\n".join([*asked_twice, "0.png,left,Which side is marked?"]))
    assert probe(capsys, tmp_path, "--data", str(table))[0] == 0


def test_what_was_compared_once_is_neither_decoded_nor_compared_again(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probe(capsys, tmp_path, "--data", str(folder))[0] == 3

    def never(*_: object, **__: object) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr("tasks.duplicates.find.fingerprint", never)
    monkeypatch.setattr("tasks.duplicates.find.pairs", never)
    monkeypatch.setattr("tasks.images.content._named", never)
    code, err = probe(capsys, tmp_path, "--data", str(folder))
    assert code == 3
    assert "2 clusters" in err


def test_a_source_without_copies_and_phantoms_are_not_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for k in (10, 11):
        Image.fromarray(scene(50 + k)).save(folder / f"{k}.png")
    assert probe(capsys, tmp_path, "--data", str(folder))[0] == 0
    assert asked(capsys, "--data", str(folder))[0] == 0
    code = linear_probe.main(["--encoder", "lowlevel", "--task", "contrast", "--items", "40", "--dry-run"])
    assert code == 0


@pytest.mark.parametrize("together", [False, True])
def test_a_turned_copy_in_another_fold_rings_in_the_table_the_words_and_the_record_and_kept_together_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], together: bool
) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr("slitlamp.reports.files._figure", lambda *_: [])
    rng, lines = np.random.default_rng(0), ["file,side,source"]
    for k in range(30):
        image = rng.normal(rng.uniform(60, 190), rng.uniform(5, 50), (16, 16)).clip(0, 255).astype(np.uint8)
        for name, turned in (("up", image), ("down", np.ascontiguousarray(image[::-1, ::-1]))):
            Image.fromarray(turned).save(tmp_path / f"{k}{name}.png")
            lines.append(f"{k}{name}.png,{name},s{k}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    words = ["--encoder", "lowlevel", "--task", "label", "--label", "side", "--data", str(tmp_path), "--copies", "warn"]
    words += ["--group", "source"] if together else []
    quick = ["--permutations", "199", "--repeats", "1", "--folds", "5", "--jobs", "1", "--out", str(tmp_path / "run")]
    assert linear_probe.main([*words, *quick]) == 0
    out = capsys.readouterr().out
    told = json.loads((tmp_path / "run" / "results.json").read_text())
    record = next(r for r in told["records"] if r["role"] == "encoder")
    assert ("inconclusive, LEAK" in out) == (not together)
    assert ("below chance by more than exchanged labels ever give" in " ".join(out.split())) == (not together)
    assert record["reason"].startswith("LEAK: balanced accuracy 0.") == (not together)
    assert any("LEAK" in s for v in told["verdicts"] for s in v["sentences"]) == (not together)


def real(name: str) -> tasks.Source:
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not in SLITLAMP_SHARED")
    return tasks.open_source(str(DATA / name), group="group")


def test_films_of_different_patients_are_no_copies_and_planted_ones_are_found() -> None:
    rows = real("cxr_nih").rows[:160]
    images = [row.picture.read() for row in rows]
    planted = [everything(image) for image in images[:40]]
    names = [row.group for row in rows] + [row.group for row in rows[:40]]
    found = pairs(prints([*images, *planted]))
    assert not groups(found, names).across_groups
    assert sum((p.second - 160 == p.first) for p in found) == 40


def test_the_known_copies_among_ultrasound_images_are_found_and_no_others() -> None:
    rows = real("us_busi").rows
    found = pairs(prints([row.picture.read() for row in rows]))
    groups = np.array([row.group for row in rows])
    known = {(a, b) for a in range(len(rows)) for b in range(a + 1, len(rows)) if groups[a] == groups[b]}
    assert {(p.first, p.second) for p in found} == known
