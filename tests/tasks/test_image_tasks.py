"""Copies differ by an exact turn and by nothing else; labels are what the manifest says."""

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from plugins import UserFileError
from tasks import DataError, Item, Picture, Row, Source
from tasks._turns import crop
from tests.paths import ROOT, SHARED

TURNING = ("orientation", "rotation", "mirror")
UNDO: dict[str, Any] = {
    "upright": lambda a: a,
    "upside down": lambda a: np.rot90(a, 2),
    "0°": lambda a: a,
    "90°": lambda a: np.rot90(a, -1),
    "180°": lambda a: np.rot90(a, 2),
    "270°": lambda a: np.rot90(a, 1),
    "as taken": lambda a: a,
    "mirrored": np.fliplr,
}


def noise(h: int, w: int, channels: int | None = None) -> np.ndarray:
    shape = (h, w) if channels is None else (h, w, channels)
    return np.random.default_rng([h, w]).integers(0, 256, shape, dtype=np.uint8)


def source(*images: np.ndarray, columns: list[dict[str, str]] | None = None, **more: Any) -> Source:
    rows = tuple(
        Row(
            id=f"r{i}",
            group=f"g{i // 2}",
            picture=Picture(read=lambda image=image: image, identity=f"{i:064x}"),
            columns=columns[i] if columns else {},
        )
        for i, image in enumerate(images)
    )
    return Source(name="made", rows=rows, **more)


def items(name: str, given: Source, column: str | None = None) -> list[Item]:
    return list(tasks.load(name).items(given, np.random.default_rng(0), column))


@pytest.mark.parametrize("name", TURNING)
def test_copies_are_the_same_pixels_exactly_turned_and_the_classes_are_balanced(name: str) -> None:
    given = source(noise(41, 59), noise(64, 40), noise(57, 83, 3))
    task = tasks.load(name)
    found = items(name, given)
    assert task.classes is not None
    assert set(Counter(i.label for i in found).values()) == {3}
    assert len({i.id for i in found}) == len({i.picture.identity for i in found}) == 3 * len(task.classes)
    for k, row in enumerate(given.rows):
        mine = found[k * len(task.classes) : (k + 1) * len(task.classes)]
        assert {i.group for i in mine} == {row.group}
        assert {i.label for i in mine} == set(task.classes)
        first = mine[0].picture.read()
        for item in mine:
            image = item.picture.read()
            assert image.flags.c_contiguous
            np.testing.assert_array_equal(UNDO[str(item.label)](image), first)
        block = 8 if first.ndim == 2 else 16
        assert not any(n % block for n in first.shape[:2])


def test_rotation_looks_through_a_square_so_that_shape_betrays_nothing() -> None:
    for item in items("rotation", source(noise(41, 99), noise(120, 50, 3))):
        h, w = item.picture.read().shape[:2]
        assert h == w
    image = noise(40, 200)
    found = items("rotation", source(image))[0].picture.read()
    np.testing.assert_array_equal(found, image[:, 80:120])


def test_order_does_not_depend_on_chance_and_reading_order_changes_nothing() -> None:
    given = source(*(noise(32, 40 + i) for i in range(4)))
    first = items("rotation", given)
    second = items("rotation", given)
    assert [(i.id, i.label, i.picture.identity) for i in first] == [(i.id, i.label, i.picture.identity) for i in second]
    forward = [i.picture.read() for i in first]
    backward = [i.picture.read() for i in reversed(second)][::-1]
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(a, b)


def test_copies_of_one_image_decode_it_once() -> None:
    count = Counter[str]()

    def read() -> np.ndarray:
        count["read"] += 1
        return noise(32, 32)

    given = Source(name="x", rows=(Row(id="a", group="a", picture=Picture(read=read)),))
    for item in items("rotation", given):
        item.picture.read()
        assert item.picture.identity is None
    assert count["read"] == 1


def blocks(image: np.ndarray) -> tuple[int, int]:
    """Where the 8x8 grid of a JPEG lies: the offset with the largest mean step, down and across."""
    grey = image.astype(float)
    rows = np.abs(np.diff(grey, axis=0)).mean(axis=1)
    columns = np.abs(np.diff(grey, axis=1)).mean(axis=0)
    return tuple(int(np.argmax([s[k::8].mean() for k in range(8)])) for s in (rows, columns))  # type: ignore[return-value]


@pytest.mark.parametrize("name", TURNING)
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 6, 8])
def test_the_jpeg_grid_does_not_betray_the_turn(tmp_path: Path, name: str, orientation: int) -> None:
    from PIL import Image

    tags = Image.Exif()
    tags[274] = orientation
    smooth = np.random.default_rng(5).normal(0, 40, (109, 147)) + 128
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(path, quality=8, exif=tags)
    found = items(name, tasks.open_source(str(path), exif="apply"))
    assert {blocks(item.picture.read()) for item in found} == {(7, 7)}


def test_a_plain_flip_would_have_betrayed_itself(tmp_path: Path) -> None:
    """The twin of the test above: without the crop, the grid moves."""
    from PIL import Image

    smooth = np.random.default_rng(5).normal(0, 40, (109, 147)) + 128
    Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=8)
    image = np.asarray(Image.open(tmp_path / "a.jpg"))
    assert blocks(image) == (7, 7)
    assert blocks(image[:, ::-1])[1] != 7


def test_crop_keeps_all_but_a_part_of_a_block_and_refuses_what_is_too_small() -> None:
    assert crop(noise(64, 80)).shape == (64, 80)
    assert crop(noise(71, 87)).shape == (64, 80)
    assert crop(noise(71, 87, 3)).shape == (64, 80, 3)
    assert crop(noise(33, 90), square=True).shape == (32, 32)
    with pytest.raises(DataError, match="90x7 pixels is too small to be turned"):
        crop(noise(7, 90))


@pytest.mark.parametrize("name", TURNING)
def test_turning_waits_for_a_decision_about_exif_and_label_does_not(tmp_path: Path, name: str) -> None:
    from PIL import Image

    lines = ["file,side,patient"]
    for i in range(8):
        tags = Image.Exif()
        tags[274] = 3 if i == 5 else 1
        Image.fromarray(noise(32, 40 + i)).save(tmp_path / f"{i}.jpg", exif=tags)
        lines.append(f"{i}.jpg,{'LR'[i % 2]},{i}")
    (tmp_path / "m.csv").write_text("\n".join(lines))
    mixed = tasks.open_source(str(tmp_path / "m.csv"), group="patient")
    with pytest.raises(DataError, match=r"1 of 8 images carry an EXIF.*--exif apply .*--exif ignore"):
        items(name, mixed)
    assert len(items("label", mixed, "side")) == 8
    for choice in ("apply", "ignore"):
        chosen = tasks.open_source(str(tmp_path / "m.csv"), group="patient", exif=choice)
        assert len(items(name, chosen)) >= 16


def test_the_phantoms_of_the_turning_tasks_have_about_n_items_and_no_letter() -> None:
    for name in TURNING:
        task = tasks.load(name)
        assert task.phantoms is not None
        made = task.phantoms(16, 0)
        assert len(items(name, made)) == 16
        assert made.synthetic


# ---- label


def labelled(values: list[str]) -> Source:
    return source(*(noise(16, 16) for _ in values), columns=[{"answer": v} for v in values])


def test_few_values_are_classes_and_many_numbers_are_a_number() -> None:
    few = items("label", labelled(["0", "1", "0", "0", "1", "1"] * 2), "answer")
    assert {i.label for i in few} == {"0", "1"}
    many = items("label", labelled([str(k / 2) for k in range(12)]), "answer")
    assert [i.label for i in many] == [k / 2 for k in range(12)]
    ten = labelled([str(k % 10) for k in range(40)])
    assert {type(i.label) for i in items("label", ten, "answer")} == {str}
    words = labelled([f"c{k // 4}" for k in range(48)])
    assert {type(i.label) for i in items("label", words, "answer")} == {str}


def test_rows_without_an_answer_are_left_out_and_counted() -> None:
    given = labelled(["a", "b", "", "nan", "b", "a", "NA", "a"])
    assert [i.id for i in items("label", given, "answer")] == ["r0", "r1", "r4", "r5", "r7"]
    notes = tasks.load("label").notes
    assert notes is not None
    assert notes(given, "answer") == ("3 of 8 rows have no answer (empty 1, nan 1, NA 1) and are left out",)
    assert notes(labelled(["a", "b"] * 3), "answer") == ()


def test_what_cannot_be_asked_of_a_column_is_said_in_one_line() -> None:
    with pytest.raises(DataError, match="say --label COLUMN; columns: answer"):
        items("label", labelled(["a", "b"]))
    with pytest.raises(DataError, match=r"no column 'anwser'; did you mean 'answer'\?"):
        items("label", labelled(["a", "b"]), "anwser")
    with pytest.raises(DataError, match="all 4 rows of made have the same answer: 'a'"):
        items("label", labelled(["a"] * 4), "answer")
    with pytest.raises(DataError, match="no row of made has a value"):
        items("label", labelled(["", "nan"]), "answer")
    with pytest.raises(DataError, match=r"1 of 2 classes of answer occur in one group only.*: 'b'; leave"):
        items("label", labelled(["a", "a", "a", "a", "b", "b"]), "answer")


# ---- real images, where they are


def test_real_chest_films_by_manifest() -> None:
    folder = SHARED / "cxr_nih"
    if not folder.exists():
        pytest.skip("the shared images are not on this machine (SLITLAMP_SHARED)")
    films = tasks.open_source(str(folder / "manifest.csv"), group="group", limit=60)
    assert len(films.rows) == 60
    assert {r.picture.read().ndim for r in films.rows} == {2}
    for name in TURNING:
        first, second = items(name, films)[:2]
        assert first.picture.read().shape == second.picture.read().shape == (384, 384)
    whole = tasks.open_source(str(folder / "manifest.csv"), group="group")
    assert len({r.group for r in whole.rows}) == 689
    assert {type(i.label) for i in items("label", whole, "age")} == {float}
    assert Counter(i.label for i in items("label", whole, "view")) == {"AP": 570, "PA": 439}
    assert {i.label for i in items("label", whole, "sex")} == {"F", "M"}


# ---- evidence


def regioned(*images: np.ndarray) -> Source:
    """Images with a region each: where they are bright in their first channel."""
    given = source(*images)

    def mask(image: np.ndarray) -> np.ndarray:
        return (image if image.ndim == 2 or image.shape[2] != 3 else image[..., 0]) > 127

    rows = (
        replace(row, regions={"bright": partial(mask, image)}) for row, image in zip(given.rows, images, strict=True)
    )
    return replace(given, rows=tuple(rows))


@pytest.mark.parametrize("name", TURNING)
def test_evidence_is_cut_and_turned_exactly_as_its_picture(name: str) -> None:
    given = regioned(noise(41, 59), noise(57, 83, 3), noise(9, 40, 33))  # grey, colour, and a volume
    for item in items(name, given):
        image, mask = item.picture.read(), item.evidence["bright"]()
        assert (mask.dtype, mask.flags.c_contiguous) == (bool, True)
        assert np.array_equal(mask, (image[..., 0] if image.ndim == 3 and image.shape[2] == 3 else image) > 127)
    assert all(not item.evidence for item in items(name, source(noise(64, 40))))


@pytest.mark.parametrize(("name", "column"), [("label", "contrast"), ("contrast", None)])
def test_evidence_of_labels_is_that_of_their_rows(name: str, column: str | None) -> None:
    given = regioned(*(noise(24, 24 + k) for k in range(4)))
    rows = (replace(row, columns={"contrast": str(k % 2)}) for k, row in enumerate(given.rows))
    found = items(name, replace(given, rows=tuple(rows)), column)
    assert len(found) == 4
    assert all(np.array_equal(item.evidence["bright"](), item.picture.read() > 127) for item in found)


@pytest.mark.parametrize(("file", "betrays"), [("letter_betrays", True), ("letter_independent", False)])
def test_a_letter_betrays_the_answer_or_lies_on_either_side_whatever_it_is(file: str, betrays: bool) -> None:
    task = tasks.load(str(ROOT / "tests" / f"{file}.py"))
    assert task.phantoms is not None
    found = list(task.items(task.phantoms(24, 3), np.random.default_rng(1), None))
    sides = []
    for item in found:
        image, mask = item.picture.read(), item.evidence["lead letter"]()
        assert (image[mask] == 247).all()
        assert mask.sum() > 100
        sides.append(bool(np.argwhere(mask)[:, 1].mean() > 112))
        heart = np.argwhere(item.evidence["heart"]())[:, 1].mean()
        assert "lungs" in item.evidence
        assert (heart > 100) or item.label == "mirrored"
    mirrored = [item.label == "mirrored" for item in found]
    assert Counter(sides) == Counter(mirrored) == {True: 12, False: 12}
    agree = np.mean(np.array(sides) == np.array(mirrored))
    assert agree == (1.0 if betrays else 0.5)
    both = [tuple(sides[k : k + 2]) for k in range(0, 24, 2)]
    assert all((a == b) != betrays for a, b in both)
    assert len({item.picture.identity for item in found}) == 24


TASK_WITH_REGIONS = """
import numpy as np
from dataclasses import replace
import tasks
from tasks import Item, Task
base = tasks.load("mirror")
def items(source, rng, column):
    for row in source.rows:
        yield Item(id=row.id, group=row.group, label="a", picture=row.picture, evidence={"here": lambda: MASK})
TASK = Task(name="mine", question="What?", classes=("a", "b"), version=1, items=items)
"""


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ("np.ones((4, 4), bool)", None),
        ("np.ones((4, 4))", r"the region 'here' is float64 \[4, 4\]; a mask is bool \[h, w\]"),
        ("None", "the region 'here' is NoneType"),
        ("1 / 0", "line 9: ZeroDivisionError"),
    ],
)
def test_evidence_of_a_users_own_task_is_held_to_what_a_mask_is(mask: str, words: str | None, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(TASK_WITH_REGIONS.replace("MASK", mask))
    (item,) = tasks.load(str(file)).items(source(noise(4, 4)), np.random.default_rng(0), None)
    if words is None:
        assert item.evidence["here"]().all()
        return
    with pytest.raises(UserFileError, match=words):
        item.evidence["here"]()


def test_a_turned_slice_is_the_slice_of_contrast_in_one_of_four_ways_that_tell_nothing() -> None:
    """The picture, its regions and its identity follow the way it lies; the answer and the group do not."""
    from tasks.contrast_turned import WAYS

    plain, turned = tasks.load("contrast"), tasks.load("contrast-turned")
    assert plain.phantoms is not None
    source = plain.phantoms(48, 5)
    before = list(plain.items(source, np.random.default_rng(0), None))
    after = list(turned.items(source, np.random.default_rng(0), None))
    assert [(i.id, i.group, i.label) for i in after] == [(i.id, i.group, i.label) for i in before]
    ways: dict[str, list[str]] = {"plain": [], "enhanced": []}
    for one, other in zip(before, after, strict=True):
        image, seen = one.picture.read(), other.picture.read()
        fitting = [name for name, turn in WAYS.items() if np.array_equal(turn(image), seen)]
        assert len(fitting) == 1
        ways[str(other.label)] += fitting
        for region, mask in other.evidence.items():
            np.testing.assert_array_equal(mask(), WAYS[fitting[0]](one.evidence[region]()))
    for name in WAYS:
        assert all(many.count(name) == 6 for many in ways.values())
    assert len({i.picture.identity for i in (*before, *after)}) == 96
    again = list(turned.items(source, np.random.default_rng(1), None))
    assert [i.picture.identity for i in again] != [i.picture.identity for i in after]
