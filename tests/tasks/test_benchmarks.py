"""The published benchmarks are read whole from copies in their formats, asked by tasks, or refused in one line."""

import inspect
import json
import pickle
import shutil
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, Picture, Row, Source
from tasks._labels import benchmark_items, dot_words, rows_of
from tasks.benchmarks import blink
from tasks.benchmarks._open import NAMES, near, parse
from tasks.benchmarks._rows import side_by_side
from tasks.benchmarks.medblink import COUNTS, PINNED
from tasks.benchmarks.mediconfusion import CATEGORIES, linked, read
from tests import tiny_benchmarks as tiny
from tests.hub_server import Hub, Repository, serving
from tests.paths import SHARED


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of all five, made once and only read."""
    root = tmp_path_factory.mktemp("copies")
    tiny.medblink(root / "medblink")
    tiny.blink(root / "blink", ("Relative_Depth", "Jigsaw"))
    (root / "mmvp").mkdir()
    tiny.mmvp(root / "mmvp")
    tiny.mmvp_vlm(root / "vlm")
    tiny.mediconfusion(root / "mediconfusion")
    return root


@pytest.fixture(scope="module")
def medblink(copies: Path) -> Source:
    return tasks.open_source(f"medblink:{copies / 'medblink'}")


def ask(source: Source, task: str, column: str | None = None) -> list[tasks.Item]:
    return list(tasks.load(task).items(source, np.random.default_rng(0), column))


def refused(spec: str, **more: Any) -> str:
    """The one line with which a source is refused."""
    with pytest.raises(DataError) as caught:
        tasks.open_source(spec, **more)
    text = str(caught.value)
    assert "\n" not in text
    return text


# ---- names


def test_every_file_of_the_folder_is_a_benchmark_with_a_reader_of_one_shape() -> None:
    assert NAMES == ("blink", "medblink", "mediconfusion", "mmvp", "mmvp-vlm")
    for name in NAMES:
        reader = import_module(f"tasks.benchmarks.{name.replace('-', '_')}").source
        assert list(inspect.signature(reader).parameters) == ["path", "options", "settings"]
        assert near(f"{name}x") == name


def test_a_benchmarks_name_is_told_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse("mmvp+published:copies/x:y")
    assert spec is not None
    assert (spec.name, spec.options, spec.path) == ("mmvp", ("published",), "copies/x:y")
    assert parse("./mmvp") is None
    assert parse("films/mmvp") is None
    assert parse("mmvp_vlm") == parse("mmvp-vlm")
    monkeypatch.chdir(tmp_path)
    tiny.jpeg(tmp_path / "mmvp" / "1.jpg", 1)
    assert "./mmvp for its images alone" in refused("mmvp")
    assert len(tasks.open_source("./mmvp").rows) == 1
    assert "did you mean the benchmark medblink?" in refused("medblnk")
    assert "empty path" in refused("blink:")
    assert "hf download --repo-type dataset MMVP/MMVP --revision 37eafec" in refused("mmvp:nowhere")
    assert "--image-column has nothing to act on" in refused("mmvp", image_column="x")


# ---- MedBLINK


def test_medblink_keeps_every_row_its_question_and_its_options(medblink: Source) -> None:
    assert medblink.name == medblink.benchmark == "medblink"
    assert len(medblink.rows) == 1429
    have = Counter(row.columns["task"] for row in medblink.rows)
    assert {task: have[task] for task in COUNTS} == COUNTS
    row = next(r for r in medblink.rows if r.columns["task"] == "visual_depth_estimation")
    assert row.id == "visual_depth_estimation-0"
    assert row.text == {
        "question": "Which dot is nearest to the camera?",
        "options": ("blue", "green", "red"),
        "answer": "red",
    }
    assert row.columns["options"] == "blue; green; red"
    assert any("names no patient" in w for w in medblink.warnings)
    assert not medblink.unreadable


def test_medblinks_embedded_images_are_decoded_with_an_identity(medblink: Source) -> None:
    row = medblink.rows[130]
    expected = np.random.default_rng([130, 7]).integers(0, 255, (6, 8), dtype=np.uint8)
    np.testing.assert_array_equal(row.picture.read(), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(row.picture.read))(), expected)
    assert len({r.picture.identity for r in medblink.rows}) == 1429


def test_two_images_of_a_question_are_shown_side_by_side_and_kept_apart(medblink: Source) -> None:
    row = next(r for r in medblink.rows if r.columns["task"] == "relative_position")
    left, right = (p.read() for p in row.pictures)
    shown = row.picture.read()
    assert shown.shape == (6, 8 + 10 + 8)
    np.testing.assert_array_equal(shown[:, :8], left)
    np.testing.assert_array_equal(shown[:, 18:], right)
    assert not shown[:, 8:18].any()
    assert any(w.startswith("176 of 1429 questions have several images") for w in medblink.warnings)
    assert row.columns["images"] == "2"


def test_images_of_two_heights_and_kinds_are_centred_in_colour() -> None:
    small, tall = np.full((2, 3), 9, np.uint8), np.full((4, 2, 3), 7, np.uint8)
    picture = side_by_side([Picture(read=lambda: small, identity="a"), Picture(read=lambda: tall)])
    out = picture.read()
    assert out.shape == (4, 15, 3)
    assert (out[1:3, :3] == 9).all()
    assert not out[0, :3].any()
    assert picture.identity is None


def test_rows_that_share_an_image_share_a_group_and_others_do_not(tmp_path: Path) -> None:
    rows = tiny.medblink_rows()
    rows[100]["image"] = rows[0]["image"]
    pair = next(r for r in rows if r["task"] == "relative_position")
    pair["image_2"] = rows[100]["image"]
    folder = tiny.medblink(tmp_path, rows)
    source = tasks.open_source(f"medblink+image_enhancement_detection+relative_position:{folder}")
    groups = [r.group for r in source.rows]
    assert groups[0] == groups[100] == groups[134]
    assert len(set(groups)) == 134 + 176 - 2


def test_a_row_without_an_image_is_listed_and_too_many_stop(tmp_path: Path) -> None:
    rows = tiny.medblink_rows()
    rows[3]["image"] = None
    rows[4]["image"] = tiny.embedded(b"not an image")
    rows[5]["image"] = tiny.embedded(None, "gone.png")
    folder = tiny.medblink(tmp_path, rows)
    spec = f"medblink+image_enhancement_detection:{folder}"
    source = tasks.open_source(spec)
    assert len(source.rows) == 131
    assert [name for name, _ in source.unreadable] == [f"image_enhancement_detection-{i}" for i in (3, 4, 5)]
    assert [why.partition(": ")[2] for _, why in source.unreadable] == [
        "it holds no image",
        "the embedded file is no image of a known kind",
        "no such file",
    ]
    assert "3 of 134 images cannot be read (--unreadable 0.01 accepts 1)" in refused(spec, unreadable_limit=0.01)


def test_another_count_or_commit_is_one_line_that_names_both(tmp_path: Path) -> None:
    folder = tiny.medblink(tmp_path / "a", tiny.medblink_rows()[1:])
    said = refused(f"medblink:{folder}")
    assert "image_enhancement_detection has 133 questions and 134 at commit e492d79" in said
    assert "hf download --repo-type dataset MahtabBg/MedBLINK --revision e492d79" in said
    note = tmp_path / "a" / ".cache" / "huggingface" / "download" / "data" / "val.metadata"
    note.parent.mkdir(parents=True)
    note.write_text("f" * 40 + "\netag\n1.0\n")
    said = refused(f"medblink:{folder}")
    assert f"at commit {'f' * 40}; medblink is read at {PINNED.revision}" in said


def test_a_copy_of_the_pinned_commit_with_another_total_is_warned_of_and_not_refused(tmp_path: Path) -> None:
    folder = tiny.medblink(tmp_path, tiny.medblink_rows(wave=10))
    note = tmp_path / ".cache" / "huggingface" / "download" / "val.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(PINNED.revision + "\netag\n1.0\n")
    source = tasks.open_source(f"medblink+age_estimation:{folder}")
    assert any("1293 questions are there; the paper counts 1429" in w for w in source.warnings)


def test_a_question_twice_and_one_without_an_answer_are_refused(tmp_path: Path) -> None:
    rows = tiny.medblink_rows()
    rows[1]["question_id"] = rows[0]["question_id"]
    assert "1 questions have an id that occurs before" in refused(f"medblink:{tiny.medblink(tmp_path / 'a', rows)}")
    rows = tiny.medblink_rows()
    rows[7]["answer"] = None
    assert "question '7' of 'image_enhancement_detection' has no answer" in refused(
        f"medblink:{tiny.medblink(tmp_path / 'b', rows)}"
    )
    tiny.write_parquet(tmp_path / "c" / "val.parquet", [{"task": "x", "question": "y"}])
    assert "has no column 'question_id'" in refused(f"medblink:{tmp_path / 'c'}")
    (tmp_path / "d").mkdir()
    assert "holds no Parquet file" in refused(f"medblink:{tmp_path / 'd'}")
    (tmp_path / "d" / "val.parquet").write_bytes(b"PAR1 and no more")
    assert "val.parquet cannot be read as Parquet" in refused(f"medblink:{tmp_path / 'd'}")


def test_one_task_of_medblink_can_be_opened_alone(copies: Path) -> None:
    source = tasks.open_source(f"medblink+imaging_orientation_*:{copies / 'medblink'}")
    assert len(source.rows) == 400
    assert source.name == "medblink+imaging_orientation_*"
    said = refused(f"medblink+teeth:{copies / 'medblink'}")
    assert "medblink has no task 'teeth'; its tasks are age_estimation" in said


def test_limit_and_group_act_on_a_benchmark_as_on_any_source(copies: Path) -> None:
    spec = f"medblink+age_estimation:{copies / 'medblink'}"
    assert len(tasks.open_source(spec, limit=20).rows) == 20
    assert len({r.group for r in tasks.open_source(spec, group="answer").rows}) == 2
    assert "has no column 'patient'" in refused(spec, group="patient")
    assert "has no column 'anser'; did you mean 'answer'?" in refused(spec, columns_needed=("anser",))


# ---- what tasks ask of it


def test_contrast_takes_yes_from_the_question(medblink: Source) -> None:
    items = ask(medblink, "contrast")
    assert len(items) == 134
    assert Counter(i.label for i in items) == {"enhanced": 67, "plain": 67}
    assert items[0].label == "enhanced"
    assert items[0].text is not None
    assert items[0].text["question"] == "Is this CT image contrast-enhanced?"


def test_orientation_names_its_classes_though_two_questions_mean_opposite_things(medblink: Source) -> None:
    items = ask(medblink, "orientation")
    assert len(items) == 400
    told = {(i.id.split("-")[0], i.text["answer"]): i.label for i in items if i.text is not None}
    assert told == {
        ("imaging_orientation_cxr", "yes"): "upside down",
        ("imaging_orientation_cxr", "no"): "upright",
        ("imaging_orientation_pelvic", "yes"): "upright",
        ("imaging_orientation_pelvic", "no"): "upside down",
    }


def test_depth_reads_the_colour_of_the_dot(medblink: Source) -> None:
    items = ask(medblink, "depth")
    assert Counter(i.label for i in items) == {"red": 48, "green": 48, "blue": 48}
    assert dot_words(("red",))["red"][1] == "red dot"


def made(*told: tuple[str, str, str]) -> Source:
    """A source of (task, question, answer)."""
    picture = Picture(read=lambda: np.zeros((4, 4), np.uint8))
    rows = tuple(
        Row(id=f"r{i}", group=f"g{i}", picture=picture, columns={"task": t, "question": q, "answer": a})
        for i, (t, q, a) in enumerate(told)
    )
    return Source(name="medblink", benchmark="medblink", rows=rows)


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("Is this a non-contrast CT?", "plain"),
        ("Was contrast given?", "enhanced"),
        ("Is this CT enhanced?", "enhanced"),
        ("Is this CT not enhanced?", "yes"),
        ("What is this?", "yes"),
        ("Is this enhanced or unenhanced?", "yes"),
    ],
)
def test_yes_means_a_class_only_where_the_question_leaves_no_doubt(question: str, label: str) -> None:
    source = made(("image_enhancement_detection", question, "Yes"))
    assert [i.label for i in ask(source, "contrast")] == [label]


def test_answers_outside_the_classes_stay_the_benchmarks_own() -> None:
    source = made(("visual_depth_estimation", "?", "Red"), ("visual_depth_estimation", "?", "purple"))
    assert [i.label for i in ask(source, "depth")] == ["red", "purple"]
    source = made(("imaging_orientation_cxr", "Fine?", "yes"), ("imaging_orientation_pelvic", "Good?", "no"))
    with pytest.raises(DataError, match=r"ask one at a time, e.g. --data medblink\+imaging_orientation_cxr"):
        ask(source, "orientation")


def test_a_task_that_the_benchmark_cannot_answer_says_what_it_has() -> None:
    source = made(("age_estimation", "?", "adult"))
    with pytest.raises(DataError, match=r"needs rows of visual_depth_estimation, .* its tasks are age_estimation"):
        ask(source, "depth")
    assert [r.id for r in rows_of(source, ("age*",), task="age")] == ["r0"]
    words = {"adult": (), "child": ("pediatric",)}
    assert [i.label for i in benchmark_items(source, ("age*",), words, task="age")] == ["adult"]


# ---- BLINK


def test_blink_is_read_with_its_choices_and_the_test_split_is_refused(copies: Path) -> None:
    spec = f"blink+Relative_Depth+Jigsaw:{copies / 'blink'}"
    source = tasks.open_source(spec)
    assert Counter(r.columns["config"] for r in source.rows) == {"Relative_Depth": 124, "Jigsaw": 150}
    row = next(r for r in source.rows if r.id == "val_Relative_Depth_1")
    assert (row.columns["answer"], row.columns["answer_text"]) == ("(B)", "B")
    assert row.text is not None
    assert row.text["options"] == ("A", "B")
    assert row.picture.read().shape == (6, 26)
    twin = next(r for r in source.rows if r.id == "val_Jigsaw_1")  # the same two images
    assert twin.group == row.group
    assert len({r.group for r in source.rows}) == 150
    assert "test split are hidden" in refused(f"blink+test:{copies / 'blink'}")
    assert "did you mean Counting?" in refused("blink+counting")


def test_blink_at_another_count_or_with_an_answer_beyond_its_choices_is_refused(copies: Path, tmp_path: Path) -> None:
    assert "Art_Style has 0 questions and 117 at commit a3666eb" in refused(f"blink:{copies / 'blink'}")
    tiny.blink(tmp_path / "a", ("Jigsaw",), answer="(C)")
    assert "val_Jigsaw_1 has the answer '(C)'; its choices are (A), (B)" in refused(f"blink+Jigsaw:{tmp_path / 'a'}")
    tiny.blink(tmp_path / "b", ("Jigsaw",), answer="hidden")
    assert "test split are hidden" in refused(f"blink+Jigsaw:{tmp_path / 'b'}")
    (tmp_path / "b" / "Jigsaw" / "val-00000-of-00001.parquet").unlink()
    assert "test split are hidden" in refused(f"blink+Jigsaw:{tmp_path / 'b'}")
    tiny.blink(tmp_path / "c", ("Jigsaw",), idx="val_Jigsaw_2")
    assert "an id that occurs before; the first is 'val_Jigsaw_2'" in refused(f"blink+Jigsaw:{tmp_path / 'c'}")


# ---- MMVP


def test_mmvp_corrects_the_exchanged_answers_unless_told_not_to(copies: Path) -> None:
    source = tasks.open_source(f"mmvp:{copies / 'mmvp'}")
    assert len(source.rows) == 300
    assert len({r.group for r in source.rows}) == 150
    exchanged = [r.columns["correct"] for r in source.rows]
    assert [exchanged[i - 1] for i in (99, 100, 279, 280)] == ["b", "a", "b", "a"]
    assert exchanged[:98] + exchanged[100:278] + exchanged[280:] == ["a", "b"] * 148
    assert (
        source.rows[98].columns.items()
        >= {"pair": "50", "published": "a", "answer": "Closed", "option_b": "Closed"}.items()
    )
    assert any("99/100 and 279/280 are corrected" in w for w in source.warnings)
    plain = tasks.open_source(f"mmvp+published:{copies / 'mmvp'}")
    differ = [i + 1 for i, (r, s) in enumerate(zip(source.rows, plain.rows, strict=True)) if r.columns != s.columns]
    assert differ == [99, 100, 279, 280]
    assert plain.name == "mmvp+published"
    assert not any("corrected" in w for w in plain.warnings)
    assert "say mmvp (answers corrected) or mmvp+published" in refused(f"mmvp+raw:{copies / 'mmvp'}")


def test_a_copy_of_mmvp_that_was_corrected_before_is_not_exchanged_back(copies: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(copies / "mmvp", folder)
    lines = (folder / "Questions.csv").read_text().splitlines()
    for number, (old, new) in {279: ("(a)", "(b)"), 280: ("(b)", "(a)")}.items():
        lines[number] = lines[number].removesuffix(old) + new
    (folder / "Questions.csv").write_text("\n".join(lines) + "\n")
    source = tasks.open_source(f"mmvp:{folder}")
    assert [source.rows[i - 1].columns["correct"] for i in (99, 100, 279, 280)] == ["b", "a", "b", "a"]
    assert any("published answers a and b of 279/280: it was corrected before" in w for w in source.warnings)


def test_old_answers_of_blinks_relative_reflectance_are_named_and_new_ones_are_not(tmp_path: Path) -> None:
    def said(answers: str, *, noted: bool = False) -> list[str]:
        folder = tiny.blink(tmp_path / f"{answers[:20]}{noted}", ("Relative_Reflectance",), answers=answers)
        if noted:
            note = folder / ".cache" / "huggingface" / "download" / "x.metadata"
            note.parent.mkdir(parents=True)
            note.write_text(f"{blink.REVISION}\n")
        warnings = tasks.open_source(f"blink+Relative_Reflectance:{folder}").warnings
        return [w for w in warnings if "2025-09-03" in w]

    moved = blink.BEFORE[1:] + blink.BEFORE[0]
    (old,), (open_,) = said(blink.BEFORE), said(moved.translate(str.maketrans("ABC", "CAB")))
    assert "this copy is from before: 134 of its 134 answers are those of 2024" in old
    assert "does not say of which commit it is (" in open_
    assert blink.REVISION in open_
    assert "from before" in said(blink.BEFORE, noted=True)[0]
    assert not said(moved, noted=True)
    folder = tiny.blink(tmp_path / "other", ("Jigsaw",))
    assert not any("2025-09-03" in w for w in tasks.open_source(f"blink+Jigsaw:{folder}").warnings)


def test_mmvp_with_a_wrong_table_is_refused_and_missing_images_are_listed(copies: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(copies / "mmvp", folder)
    table = (folder / "Questions.csv").read_text()
    for old, new, said in (
        ("300,", "299,", "the number '299' occurs twice"),
        ("300,", "0,", "'0' is no number from 1 to 300"),
        ("Correct Answer", "Key", "has no column 'Correct Answer'"),
        ("(a)\n2,", "(c)\n2,", "question 1 has the answer '(c)'; its options are (a) Open (b) Closed"),
        (table.splitlines()[-1], "", "299 questions and 300 at commit 37eafec"),
        (table, "Index\n", "it has no rows"),
    ):
        assert table.replace(old, new) != table
        (folder / "Questions.csv").write_text(table.replace(old, new))
        assert said in refused(f"mmvp:{folder}")
    shutil.copy(copies / "mmvp" / "Questions.csv", folder / "Questions.csv")
    (folder / "MMVP Images" / "7.jpg").unlink()
    source = tasks.open_source(f"mmvp:{folder}")
    assert source.unreadable == (("mmvp-007", "MMVP Images/7.jpg: no such file"),)
    shutil.rmtree(folder / "MMVP Images")
    assert "300 of 300 images cannot be read" in refused(f"mmvp:{folder}")
    (folder / "Questions.csv").unlink()
    assert "Questions.csv cannot be read (No such file or directory)" in refused(f"mmvp:{folder}")


@pytest.mark.parametrize("images", ["MLLM_VLM Images", "MMVP_VLM_Images"])
def test_mmvp_vlm_is_read_under_both_folder_names(copies: Path, images: str, tmp_path: Path) -> None:
    shutil.copytree(copies / "vlm", tmp_path / "v")
    (tmp_path / "v" / "MLLM_VLM Images").rename(tmp_path / "v" / images)
    source = tasks.open_source(f"mmvp-vlm:{tmp_path / 'v'}")
    assert Counter(r.columns["pattern"] for r in source.rows) == dict.fromkeys(tiny.PATTERNS, 30)
    assert len({r.group for r in source.rows}) == 135
    assert source.rows[31].columns.items() >= {"pair": "16", "side": "2", "statement": "animal 32"}.items()
    assert source.rows[31].text == {"question": "a photo of animal 32", "options": (), "answer": "animal 32"}
    assert not source.warnings


def test_mmvp_vlm_in_another_order_is_warned_of_and_other_folders_are_refused(copies: Path, tmp_path: Path) -> None:
    folder = tmp_path / "v"
    shutil.copytree(copies / "vlm", folder)
    lines = (folder / "Questions.csv").read_text().splitlines()
    (folder / "Questions.csv").write_text("\n".join([lines[0], *lines[31:33], *lines[1:31], *lines[33:]]))
    assert any("pattern 1 of the file holds more" in w for w in tasks.open_source(f"mmvp-vlm:{folder}").warnings)
    (folder / "MLLM_VLM Images").rename(folder / "pictures")
    assert "holds no folder 'MLLM_VLM Images' or 'MMVP_VLM_Images'" in refused(f"mmvp-vlm:{folder}")
    assert "has no option 'x'" in refused(f"mmvp-vlm+x:{folder}")


# ---- MediConfusion


def test_mediconfusion_is_two_rows_per_pair_grouped_by_image_and_article(copies: Path) -> None:
    source = tasks.open_source(f"mediconfusion:{copies / 'mediconfusion'}")
    assert len(source.rows) == 352
    assert len({r.columns["image"] for r in source.rows}) == 228
    assert len({r.group for r in source.rows}) == tiny.TREES - 1  # an article links two of them
    assert len({r.columns["image_component"] for r in source.rows}) == tiny.TREES
    assert any("form 51 groups (52 by image alone" in w for w in source.warnings)
    first, second = source.rows[:2]
    assert (first.columns["correct"], second.columns["correct"]) == ("A", "B")
    assert first.columns.items() >= {"pair": "10001", "side": "1", "answer": "finding 0"}.items()
    assert first.text is not None
    assert first.text["options"] == ("finding 0", "finding 1")
    for a, b in zip(source.rows[::2], source.rows[1::2], strict=True):
        assert a.group == b.group
        assert a.columns["correct"] != b.columns["correct"]
    by_image = tasks.open_source(f"mediconfusion:{copies / 'mediconfusion'}", group="image_component")
    assert len({r.group for r in by_image.rows}) == tiny.TREES


def test_no_image_of_mediconfusion_lies_in_two_groups(copies: Path) -> None:
    source = tasks.open_source(f"mediconfusion:{copies / 'mediconfusion'}")
    groups: dict[str, set[str]] = {}
    for row in source.rows:
        groups.setdefault(row.columns["image"], set()).add(row.group)
    assert all(len(found) == 1 for found in groups.values())


def test_a_roco_checkout_and_the_whole_repository_serve_as_well(tmp_path: Path, copies: Path) -> None:
    tables = tiny.mediconfusion_tables()
    tiny.mediconfusion(tmp_path / "r", tables, roco=True)
    assert len(tasks.open_source(f"mediconfusion:{tmp_path / 'r'}").rows) == 352
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "data").symlink_to(copies / "mediconfusion")
    assert len(tasks.open_source(f"mediconfusion:{tmp_path / 'repo'}").rows) == 352


def test_missing_images_of_mediconfusion_are_listed_and_a_share_above_the_limit_stops(tmp_path: Path) -> None:
    folder = tiny.mediconfusion(tmp_path / "m")
    (folder / "images" / "20000.jpg").unlink()
    source = tasks.open_source(f"mediconfusion:{folder}")
    assert [why for _, why in source.unreadable] == ["20000.jpg: no such file"]
    assert len(source.rows) == 351
    for i in range(20001, 20030):
        (folder / "images" / f"{i}.jpg").unlink()
    said = refused(f"mediconfusion:{folder}")
    assert "30 of 228 images cannot be read (--unreadable 0.05 accepts 11): 20000.jpg is missing" in said
    assert len(tasks.open_source(f"mediconfusion:{folder}", unreadable_limit=0.5).unreadable) == _slots(folder)


def _slots(folder: Path) -> int:
    """How many rows show one of the thirty images that were taken away: images recur."""
    return sum(s.local < 20030 for s in read(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p, i: p.popitem(), "175 pairs and 176 as published"),  # noqa: ARG005
        (lambda p, i: p["10001"].update(im_1_correct="C"), "the answer 'C' for image 1"),  # noqa: ARG005
        (lambda p, i: p["10001"].update(im_2_correct="A"), "both images of pair 10001 have the answer 'A'"),  # noqa: ARG005
        (lambda p, i: p["10001"].pop("question"), "pair 10001 has no field 'question'"),  # noqa: ARG005
        (lambda p, i: p["10001"].update(category_1=["Dental"]), "as published: this is another copy"),  # noqa: ARG005
        (lambda p, i: i.popitem(), "does not say where image"),  # noqa: ARG005
    ],
)
def test_another_mediconfusion_is_one_line(change: Any, said: str, tmp_path: Path) -> None:
    pairs, images = tiny.mediconfusion_tables()
    change(pairs, images)
    (tmp_path / "dataset.json").write_text(json.dumps(pairs))
    (tmp_path / "image_dict.json").write_text(json.dumps(images))
    assert said in refused(f"mediconfusion:{tmp_path}")


def test_mediconfusion_without_tables_or_with_a_pair_twice_is_one_line(tmp_path: Path) -> None:
    assert "git clone https://github.com/AIF4S/MediConfusion" in refused("mediconfusion")
    assert "no folder" in refused(f"mediconfusion:{tmp_path / 'x'}")
    assert "holds no dataset.json" in refused(f"mediconfusion:{tmp_path}")
    (tmp_path / "dataset.json").write_text('{"10001": {}, "10001": {}}')
    assert "'10001' occurs twice" in refused(f"mediconfusion:{tmp_path}")
    (tmp_path / "dataset.json").write_text("{")
    assert "dataset.json cannot be read as JSON" in refused(f"mediconfusion:{tmp_path}")


def test_a_category_of_mediconfusion_can_be_asked_as_a_label(copies: Path) -> None:
    source = tasks.check(tasks.open_source(f"mediconfusion:{copies / 'mediconfusion'}"))
    items = ask(source, "label", "category_1")
    assert len(items) == 352
    assert {i.label for i in items} == set(CATEGORIES)
    assert items[0].text is not None
    assert Counter(i.label for i in ask(source, "label", "head_and_neck")) == {"yes": 67, "no": 285}
    some = tasks.open_source(f"mediconfusion+head_and_neck+Spinal:{copies / 'mediconfusion'}")
    assert {i.label for i in ask(some, "label", "category_1")} == {"Head and Neck", "Spinal"}
    assert "did you mean spinal?" in refused(f"mediconfusion+spine:{copies / 'mediconfusion'}")


def real() -> Path:
    folder = SHARED / "mediconfusion"
    if not folder.is_dir():
        pytest.skip("the shared images are not on this machine (SLITLAMP_SHARED)")
    return folder


def test_the_published_mediconfusion_has_176_pairs_of_228_images_in_60_components() -> None:
    slots = read(real())
    assert len({s.pair for s in slots}) == 176
    assert len({s.image for s in slots}) == 228
    assert len({s.article for s in slots}) == 219
    assert len(set(linked(slots, by="image").values())) == 60
    by_article = Counter(linked(slots, by="article").values())
    assert len(by_article) == 58
    sizes = Counter(linked(slots, by="image").values())
    assert [n for _, n in sizes.most_common(4)] == [25, 20, 18, 8]
    assert sum(n == 1 for n in sizes.values()) == 33
    assert Counter(c for s in slots for c in s.categories) == CATEGORIES
    groups = linked(slots, by="article")
    assert len({groups[s.pair] for s in slots if "Cardiac" in s.categories}) == 1  # all of them hang together
    assert json.loads((real() / "statistics.json").read_text()) == CATEGORIES


def test_the_published_pair_with_both_images_is_opened(tmp_path: Path) -> None:
    folder = real()
    for name in ("dataset.json", "image_dict.json"):
        shutil.copy(folder / name, tmp_path / name)
    said = refused(f"mediconfusion:{tmp_path}", unreadable_limit=1.0)
    assert "228 of 228 images cannot be read" in said
    (tmp_path / "images").mkdir()
    for side, local in (("a", 20157), ("b", 20193)):
        shutil.copy(folder / "images" / f"example_{side}.png", tmp_path / "images" / f"{local}.png")
    assert "226 of 228 images cannot be read" in refused(f"mediconfusion:{tmp_path}")
    source = tasks.open_source(f"mediconfusion:{tmp_path}", unreadable_limit=1.0)
    pair = [r for r in source.rows if r.columns["pair"] == "10013"]
    assert [r.columns["correct"] for r in pair] == ["B", "A"]
    assert [r.picture.read().shape[:2] for r in pair] == [(520, 510), (518, 498)]
    assert len({r.group for r in source.rows}) >= 1


def test_a_run_accepts_the_share_of_missing_images_that_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from experiments.linear_probe import main

    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "cache"))
    folder = tiny.mediconfusion(tmp_path / "m")
    for i in range(20000, 20040):
        (folder / "images" / f"{i}.jpg").unlink()
    words = ["--encoder", "pixels", "--data", f"mediconfusion:{folder}", "--label", "vascular", "--dry-run"]
    assert main([*words, "--out", str(tmp_path / "o")]) == 3
    assert "40 of 228 images cannot be read (--unreadable 0.05 accepts 11)" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "o"), "--unreadable", "0.4"]) == 0
    assert "20001.jpg: no such file" in capsys.readouterr().err


# ---- the hub


@pytest.fixture
def hub(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    repository = Repository(folder=copies / "medblink", commit=PINNED.revision)
    with serving(Hub(repositories={"datasets/MahtabBg/MedBLINK": repository})) as running:
        running.set_client(monkeypatch.setattr, tmp_path / "hub")
        monkeypatch.chdir(tmp_path)
        yield running


def test_a_name_alone_is_fetched_at_the_pinned_commit_and_then_served_offline(hub: Hub, medblink: Source) -> None:
    assert "the run is offline: run `hf download" in refused("medblink", offline=True)
    fetched = tasks.open_source("medblink+age_estimation")
    assert len(fetched.rows) == 200
    known = {r.id: r.picture.identity for r in medblink.rows}
    assert {r.id: r.picture.identity for r in fetched.rows}.items() <= known.items()
    assert any(PINNED.revision in path for path in hub.asked)
    hub.asked.clear()
    again = tasks.open_source("medblink+age_estimation", offline=True)
    assert [r.id for r in again.rows] == [r.id for r in fetched.rows]
    assert not hub.asked


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("gated", "is gated or private (ask for access at"),
        ("forbidden", "is gated or private (ask for access at"),
        ("absent", "or is private (`hf auth login`)"),
    ],
)
def test_what_the_hub_refuses_is_one_line_with_the_command(fault: str, said: str, hub: Hub) -> None:
    hub.repositories["datasets/MahtabBg/MedBLINK"].fault = fault
    line = refused("medblink")
    assert said in line
    assert "hf download --repo-type dataset MahtabBg/MedBLINK --revision e492d79" in line
    assert "--data medblink:PATH" in line


def test_another_commit_on_the_hub_and_no_hub_at_all_are_told_apart(hub: Hub) -> None:
    hub.repositories["datasets/MahtabBg/MedBLINK"].commit = "b" * 40
    assert "which has other commits of it" in refused("medblink")


def test_a_hub_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Hub(endpoint="http://127.0.0.1:9").set_client(monkeypatch.setattr, tmp_path / "hub")
    assert "http://127.0.0.1:9 cannot be reached" in refused("medblink")


def test_the_images_of_a_question_follow_one_another_by_the_numbers_of_their_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from tasks.images.decode import LastOpened
    from tasks.sources.embedded import Embedded, questions

    columns = {f"image_{k}": pa.array([{"bytes": b"x", "path": f"{k}.png"}]) for k in (10, 9, 1)}
    parquet.write_table(pa.table({**columns, "id": [7]}), tmp_path / "q.parquet")
    ((fields, held),) = questions(tmp_path / "q.parquet", LastOpened())
    assert fields == {"id": 7}
    assert [one.name for one in held if isinstance(one, Embedded)] == ["1.png", "9.png", "10.png"]
