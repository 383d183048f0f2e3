"""Answers made elsewhere are read again: formats, both denominators, doubles, other versions, and the metrics."""

import csv
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slitlamp.answers.commands import COMMANDS
from slitlamp.answers.formats import FORMATS, read_answers, shown_options
from slitlamp.answers.import_settings import KINDS
from slitlamp.answers.xlsx import read_sheet
from slitlamp.errors import UsageError
from slitlamp.reports.result import CommandResult
from tasks import DataError
from tests import tiny_benchmarks
from tests.slitlamp.answers import answer_files as made


def imported(*files: Path, **flags: Any) -> CommandResult:
    return COMMANDS["import"].call({"files": tuple(str(file) for file in files), **flags})


def score(found: CommandResult, reader: str = "ours", task: str | None = None) -> dict[str, Any]:
    rows = [r for r in found.table("scores") if r["reader"] == reader and task in (None, r["task"])]
    return rows[0]


MAKERS = {
    "lmms-eval absent": lambda p: made.lmms(p, "absent"), "lmms-eval flat": lambda p: made.lmms(p, "flat"),
    "lmms-eval deep": lambda p: made.lmms(p, "deep"), "vlmevalkit xlsx": lambda p: made.vlmevalkit(p, "xlsx"),
    "vlmevalkit tsv": lambda p: made.vlmevalkit(p, "tsv"), "vlmevalkit csv": lambda p: made.vlmevalkit(p, "csv"),
    "inspect json": lambda p: made.inspect(p, "json"), "inspect eval": lambda p: made.inspect(p, "eval"),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_each_format_gives_one_row_per_item_and_our_reading_of_the_raw_text(name: str, tmp_path: Path) -> None:
    path = MAKERS[name](tmp_path)
    found = imported(path, out=str(tmp_path / "out"))
    assert read_answers(str(path)).format == name.split()[0]
    with (tmp_path / "out" / "answers.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    words = dict(zip("AB", made.OPTIONS, strict=True)) | {"": ""}
    cut_off = 7 if name.startswith("inspect") else None  # the last reply of these logs is not finished
    expected = ["" if k == cut_off else words[letter] for k, letter in enumerate(made.OURS)]
    assert [row["ours"] for row in rows] == expected
    assert [row["item"] for row in rows] == [item for item, _, _ in made.ROWS]
    assert [row["theirs_right"] for row in rows] == [f"{right:g}" for right in made.RIGHT]
    ours, theirs = score(found), score(found, "theirs")
    hits = sum(a == words[target] for a, (_, _, target) in zip(expected, made.ROWS, strict=True))
    assert ours["accuracy"] == hits / 8
    assert ours["of_read"] == hits / sum(map(bool, expected))
    assert theirs["accuracy"] == sum(made.RIGHT) / 8
    change = found.table("changes")[0]
    assert change["change"] == pytest.approx(ours["accuracy"] - theirs["accuracy"])
    if not name.startswith("vlmevalkit"):  # whose tables do not say which letter was read
        mine = [letter or "-" for letter in made.OURS]
        mine[7] = "-" if cut_off else mine[7]
        taken = [letter if letter in "AB" else "-" for letter in made.FIRST]
        assert change["letters_differ"] == sum(a != b for a, b in zip(mine, taken, strict=True))


def test_likelihoods_of_options_are_an_answer_and_a_tie_is_none(tmp_path: Path) -> None:
    path = made.lmms(tmp_path, "nested")
    assert score(imported(path))["accuracy"] == 1.0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["resps"] = [[["-1.0", "False"]], [["-1.0", "True"]]]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = imported(path)
    assert score(found)["read"] == 7
    assert any("equally likely" in line for line in found.sentences)


def test_the_formats_are_the_flag_s_choices() -> None:
    assert tuple(FORMATS) == KINDS


def test_a_prompt_s_options_are_read_from_its_lines() -> None:
    assert shown_options(made.PROMPT) == made.OPTIONS
    assert shown_options('("A": upright)\n("B": upside down)') == made.OPTIONS
    assert shown_options("A: left\nB: right\nAnswer: ") == ("left", "right")
    assert shown_options("A short text.") == ()


# doubles, denominators, versions


def plain(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def simple(count: int = 6) -> list[dict[str, Any]]:
    return [
        {"item": f"i{k}", "answer": "AB"[k % 2], "target": "AB"[k // 2 % 2], "options": list(made.OPTIONS)}
        for k in range(count)
    ]


def test_a_file_appended_to_twice_counts_once_and_a_contradiction_is_refused(tmp_path: Path) -> None:
    rows = simple()
    found = imported(plain(tmp_path / "a.jsonl", rows + rows))
    assert score(found)["replies"] == 6
    assert any("6 answers are there twice" in note for note in found.notes)
    other = [*rows, {**rows[2], "answer": "B"}]
    with pytest.raises(DataError, match=r"item 'i2' is answered twice and differently.*--last"):
        imported(plain(tmp_path / "b.jsonl", other))
    before = score(imported(plain(tmp_path / "a.jsonl", rows)))["accuracy"]
    last = imported(tmp_path / "b.jsonl", last=True)
    assert score(last)["accuracy"] == pytest.approx(before + 1 / 6)
    assert any("1 items are answered twice and differently" in note for note in last.notes)


def test_a_contradiction_over_two_files_names_them_and_files_of_one_name_their_folders(tmp_path: Path) -> None:
    paths = []
    for folder, answer in (("first", "A"), ("second", "B")):
        (tmp_path / folder).mkdir()
        paths.append(plain(tmp_path / folder / "m.jsonl", [*simple(2), {**simple(3)[2], "answer": answer}]))
    with pytest.raises(DataError, match=r"first/m\.jsonl line 3 'A' and second/m\.jsonl line 3 'B'"):
        imported(*paths)
    with pytest.raises(DataError, match=r"differently, line 1 'A' and line 2 'B'"):
        imported(plain(tmp_path / "one.jsonl", [simple()[0], {**simple()[0], "answer": "B"}]))


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_an_item_that_is_scored_beside_one_that_is_not_is_one_item(tmp_path: Path) -> None:
    both = "upright|upside down"
    path = table(tmp_path / "a.csv", f"item,answer,options,target\nq1,A,{both},maybe\nq2,what,{both},A\n")
    found = imported(path)
    row = score(found)
    assert (row["items"], row["unscored"], row["replies"], row["read"]) == (1, 1, 2, 0)
    assert (row["accuracy"], row["of_read"]) == (0.0, None)
    assert "0.000 of 1 answers are right" in found.sentences[0]
    assert "1 of 2 has no known right answer and is not scored" in found.sentences[0]


def test_items_without_a_right_answer_are_in_neither_denominator(tmp_path: Path) -> None:
    rows = simple(8)
    for k, (answer, target) in enumerate(zip("AAABBB?B", "AAAAAAA?", strict=True)):
        rows[k] |= {"answer": answer, "target": target}
    found = imported(plain(tmp_path / "a.jsonl", rows))
    row = score(found)
    assert (row["items"], row["unscored"], row["replies"], row["read"]) == (7, 1, 8, 6)
    assert (row["accuracy"], row["of_read"]) == (pytest.approx(3 / 7), 0.5)
    said = found.sentences[0]
    assert said.startswith("a: 0.429 [")
    assert "] of 7 answers are right, by our reading, 0.500 of the 6 that can be read; 1 of 8 has no" in said
    whole = imported(plain(tmp_path / "b.jsonl", rows[:7]))
    assert (score(whole)["items"], score(whole)["unscored"]) == (7, 0)
    assert "known right answer" not in whole.sentences[0]


def test_a_missing_item_whose_right_answer_is_not_known_is_no_wrong_answer() -> None:
    from slitlamp.answers.rescored import OURS, Answered
    from slitlamp.answers.truth import Known

    missing = [
        Known(id=f"q{k}", group=f"q{k}", options=made.OPTIONS, answer=answer) for k, answer in enumerate((0, None))
    ]
    assert Answered(model="m", task="", read=(), missing=missing).values(OURS)[0].tolist() == [0.0]


def test_the_mean_over_tasks_is_told_where_the_file_says_what_is_right_and_not_what_it_read(tmp_path: Path) -> None:
    rows = [{**row, "category": f"t{k % 2}", "score": k // 4 % 2} for k, row in enumerate(simple(8))]
    mean = score(imported(plain(tmp_path / "a.jsonl", rows)), "theirs", "mean of 2 tasks")
    assert (mean["accuracy"], mean["items"], mean["read"]) == (0.5, 8, None)


def test_what_is_no_score_in_the_column_of_scores_is_told(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "item,answer,options,right\nq1,A,a|b,maybe\nq2,what,a|b,A\nq3,B,a|b,1\n")
    found = imported(path)
    assert any("2 of 3 values of 'right' are no scores from 0 to 1 (the first is 'maybe')" in n for n in found.notes)
    assert score(found)["accuracy"] is None
    assert not any(
        "no scores" in n for n in imported(table(path, "item,answer,options,right\n1,A,a|b,false\n2,A,a|b,1\n")).notes
    )


def test_presentations_of_one_item_are_no_doubles_and_share_its_group(tmp_path: Path) -> None:
    rows = [{**row, "order": order} for row in simple() for order in (0, 1)]
    found = imported(plain(tmp_path / "a.jsonl", rows))
    once = imported(plain(tmp_path / "b.jsonl", simple()))
    assert score(found)["replies"] == 12
    assert score(found)["accuracy"] == score(once)["accuracy"]
    width = [score(one)["accuracy_high"] - score(one)["accuracy_low"] for one in (found, once)]
    assert width[0] == pytest.approx(width[1], rel=0.25)  # twice the replies, no more items


@pytest.fixture(scope="module")
def medblink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_benchmarks.medblink(tmp_path_factory.mktemp("medblink"))


TASK = "visual_depth_estimation"


def dots(count: int = 144) -> list[dict[str, Any]]:
    """Right answers to the dots of the tiny MedBLINK, in words."""
    return [
        {"item": f"{TASK}-{k}", "answer": f"It is the {('red', 'green', 'blue')[k % 3]} one."} for k in range(count)
    ]


def test_truth_and_groups_come_from_a_benchmark_and_both_denominators_are_shown(medblink: Path, tmp_path: Path) -> None:
    rows = dots(100)
    rows[0]["answer"] = "I cannot tell."
    rows.append({"item": "nobody", "answer": "red"})
    found = imported(plain(tmp_path / "m.jsonl", rows), data=f"medblink+{TASK}:{medblink}")
    row = score(found)
    assert (row["items"], row["replies"], row["missing"], row["read"]) == (144, 100, 44, 99)
    assert row["accuracy"] == pytest.approx(99 / 144)
    assert row["of_read"] == 1.0
    assert row["chance"] == pytest.approx(1 / 3)
    assert row["accuracy_low"] < 99 / 144 < row["accuracy_high"]
    assert any("44 of 144 items" in note and "count as wrong" in note for note in found.notes)
    assert any("1 of 101 answers are to items that medblink" in note and "'nobody'" in note for note in found.notes)


def test_another_benchmark_and_another_version_of_it_are_one_line(medblink: Path, tmp_path: Path) -> None:
    data = f"medblink+{TASK}:{medblink}"
    with pytest.raises(DataError, match=r"none of its 6 items is in medblink.*another version"):
        imported(plain(tmp_path / "a.jsonl", simple()), data=data)
    rows = [{**row, "options": ["red", "green", "purple"]} for row in dots()]
    with pytest.raises(DataError, match=r"red \| green \| purple in the file and .*another version"):
        imported(plain(tmp_path / "b.jsonl", rows), data=data)
    other = [{**row, "target": "red"} for row in dots()]
    found = imported(plain(tmp_path / "c.jsonl", other), data=data)
    assert any("counts another answer as right" in note and "in 96 of 144" in note for note in found.notes)
    assert score(found)["accuracy"] == 1.0


def test_letters_are_those_of_the_order_that_the_file_shows(medblink: Path, tmp_path: Path) -> None:
    colours = ("red", "green", "blue")
    for n, order in enumerate((("green", "blue", "red"), ("red", "blue", "green"))):
        rows = [
            {**row, "answer": f"({'ABC'[order.index(colours[k % 3])]})", "options": list(order)}
            for k, row in enumerate(dots())
        ]
        found = imported(plain(tmp_path / f"{n}.jsonl", rows), data=f"medblink+{TASK}:{medblink}")
        assert score(found)["accuracy"] == 1.0, order


def test_a_constant_answer_and_the_majority_are_named(tmp_path: Path) -> None:
    rows = [{**row, "target": "AB"[k % 4 == 0], "answer": "A"} for k, row in enumerate(simple(40))]
    found = imported(plain(tmp_path / "a.jsonl", rows))
    assert score(found)["majority"] == 0.75
    assert score(found)["accuracy"] == 0.75
    assert any("'upright' (40 of 40): a constant answer" in line for line in found.sentences)
    varied = imported(plain(tmp_path / "b.jsonl", simple(40)))
    assert not any("constant" in line for line in varied.sentences)


def test_a_file_of_which_nothing_can_be_read_says_so(tmp_path: Path) -> None:
    found = imported(plain(tmp_path / "a.jsonl", [{**row, "answer": "I cannot tell."} for row in simple(40)]))
    assert score(found)["accuracy"] == 0.0
    assert score(found)["of_read"] is None
    assert any("of which none can be read" in line for line in found.sentences)


def test_answers_to_phantoms_are_held_against_their_task(tmp_path: Path) -> None:
    from slitlamp.answers.truth import truth_of
    from slitlamp.settings import Settings

    truth = truth_of(Settings.of(task=("contrast",), items=20))
    assert truth is not None
    rows = [{"item": k, "answer": f"It is {one.options[one.answer or 0]}."} for k, one in truth.items.items()]
    found = imported(plain(tmp_path / "a.jsonl", rows), task=("contrast",), items=20)
    assert score(found)["accuracy"] == 1.0
    by_wording = [{"item": k, "answer": one.synonyms[one.answer or 0][0]} for k, one in truth.items.items()]
    assert score(imported(plain(tmp_path / "b.jsonl", by_wording), task=("contrast",), items=20))["accuracy"] == 1.0


def test_files_of_a_folder_and_their_turned_copies_are_known_by_name(tmp_path: Path) -> None:
    for k in range(3):
        tiny_benchmarks.jpeg(tmp_path / "films" / f"f{k}.jpg", k)
    from slitlamp.answers.truth import truth_of
    from slitlamp.settings import Settings

    truth = truth_of(Settings.of(task=("orientation",), data=str(tmp_path / "films")))
    assert truth is not None
    copies = sorted({name.partition(":")[2] for name in truth.items})
    rows = [{"item": f"f{k}.jpg:{copy}", "answer": "It is upright."} for k in range(3) for copy in copies]
    found = imported(plain(tmp_path / "a.jsonl", rows), task=("orientation",), data=str(tmp_path / "films"))
    assert (score(found)["replies"], score(found)["accuracy"]) == (6, 0.5)
    assert truth.find("f9.jpg:0") is None


def test_a_column_of_a_manifest_is_the_truth_by_group(tmp_path: Path) -> None:
    for k in range(12):
        tiny_benchmarks.jpeg(tmp_path / f"f{k}.jpg", k)
    lines = [f"f{k}.jpg,{'MF'[k % 2]},p{k // 4}" for k in range(12)]
    (tmp_path / "manifest.csv").write_text("\n".join(["file,sex,patient", *lines]))
    said = [
        {"item": f"f{k}.jpg", "answer": "The patient is male: M." if k % 2 == 0 else "Answer: F"} for k in range(12)
    ]
    flags = {"data": str(tmp_path / "manifest.csv"), "label": "sex"}
    found = imported(plain(tmp_path / "a.jsonl", said), **flags, group="patient", out=str(tmp_path / "out"))
    assert score(found)["accuracy"] == 1.0
    assert score(found)["task"] == "label sex"
    with (tmp_path / "out" / "answers.csv").open() as handle:
        assert len({row["group"] for row in csv.DictReader(handle)}) == 3
    with pytest.raises(UsageError, match="needs --task NAME or --label COLUMN"):
        imported(tmp_path / "a.jsonl", data=flags["data"])


def test_a_manifest_s_images_are_known_by_every_name_that_is_theirs_alone(tmp_path: Path) -> None:
    names = ("one/f00.jpg", "one/f01.jpg", "two/f01.jpg", "two/f02.jpg")
    for k, name in enumerate(names):
        tiny_benchmarks.jpeg(tmp_path / name, k)
    (tmp_path / "manifest.csv").write_text(
        "\n".join(["file,sex", *(f"{n},{s}" for n, s in zip(names, "MFMF", strict=True))])
    )
    flags = {"data": str(tmp_path / "manifest.csv"), "label": "sex"}
    for name in ("one/f00.jpg", "f00.jpg", "one/f00", "f00"):
        found = imported(plain(tmp_path / "a.jsonl", [{"item": name, "answer": "M"}]), **flags)
        assert (score(found)["replies"], score(found)["accuracy"]) == (1, 0.25), name
        assert any("3 of 4 items" in note and "the first is 'one/f01.jpg'" in note for note in found.notes)
    for name in ("f01.jpg", "f01", "g7"):  # the first two are names of two files
        with pytest.raises(DataError, match=rf"'{name}' is not; .*'(one|two)/f0\d\.jpg'"):
            imported(plain(tmp_path / "a.jsonl", [{"item": name, "answer": "M"}]), **flags)
    del flags["label"]
    copies = [{"item": "f00:180", "answer": "upside down"}]
    found = imported(plain(tmp_path / "a.jsonl", copies), **flags, task=("orientation",))
    assert score(found)["of_read"] == 1.0
    assert any("the first is 'one/f00.jpg:0'" in note for note in found.notes)


def test_a_name_without_its_ending_has_none_of_a_packed_file_s_two() -> None:
    from slitlamp.answers.truth import other_names
    from tasks import Picture, Row

    one = Picture(read=lambda: np.zeros((1, 1)))
    rows = [Row(id=str(k), group="g", picture=one, columns={"file": f"b/scan{k}.nii.gz"}) for k in range(2)]
    names = other_names(rows, ["0", "1"])
    assert (names["scan1"], names["b/scan1.nii.gz"]) == ("1", "1")


# MediConfusion and BLINK


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[str, str]]]:
    """MediConfusion's tables without its images, and the two right letters of every pair."""
    folder = tmp_path_factory.mktemp("mediconfusion")
    tables, images = tiny_benchmarks.mediconfusion_tables()
    (folder / "dataset.json").write_text(json.dumps(tables))
    (folder / "image_dict.json").write_text(json.dumps(images))
    return folder, {name: (one["im_1_correct"], one["im_2_correct"]) for name, one in tables.items()}


def answers_of(keys: dict[str, tuple[str, str]], right: int, alike: int, unread: int = 0) -> dict[str, tuple[str, str]]:
    """So many pairs right twice, answered alike, unread once (the other right), and the others exchanged."""
    found = {}
    for k, (name, (a, b)) in enumerate(keys.items()):
        if k < right:
            found[name] = (a, b)
        elif k < right + alike:
            found[name] = ("A", "A") if k % 2 else ("B", "B")
        elif k < right + alike + unread:
            found[name] = (a, "I cannot say.")
        else:
            found[name] = (b, a)
    return found


@pytest.mark.parametrize(
    ("published", "right", "alike"),
    [((18.75, 56.25, 75.00), 33, 132), ((1.14, 49.72, 97.16), 2, 171), ((6.82, 51.42, None), 12, 157)],
)
def test_published_rows_of_mediconfusion_come_out_of_a_result_file(
    published: tuple[float, float, float | None], right: int, alike: int, pairs: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, keys = pairs
    path = made.mediconfusion(tmp_path, answers_of(keys, right, alike))
    found = imported(path, data=f"mediconfusion:{folder}")
    for row in found.table("pairs"):
        assert row["readable_pairs"] == 176
        percent = [round(100 * row[name], 2) for name in ("set", "individual", "confusion")]
        assert [a for a, b in zip(percent, published, strict=True) if b is not None] == [
            b for b in published if b is not None
        ]
        assert row["set_low"] < row["set"] < row["set_high"]
        assert row["exchanged"] == 176 - right - alike
    assert any("176 readable pairs of 176" in line for line in found.sentences)
    assert score(found)["items"] == 352


def test_where_no_pair_can_be_read_there_is_no_confusion(pairs: tuple[Path, Any], tmp_path: Path) -> None:
    folder, keys = pairs
    silent = dict.fromkeys(keys, ("I cannot say.", "I cannot say."))
    found = imported(made.mediconfusion(tmp_path, silent), data=f"mediconfusion:{folder}")
    row = found.table("pairs")[0]
    assert (row["readable_pairs"], row["confusion"], row["confusion_low"], row["set"]) == (0, None, None, 0)
    assert any("no pair of 176 can be read, so that there is no confusion to tell" in line for line in found.sentences)


def test_confusion_is_over_the_readable_pairs_and_categories_are_weighted_by_image(
    pairs: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, keys = pairs
    choices = answers_of(keys, 35, 79, unread=41)
    found = imported(made.mediconfusion(tmp_path, choices), data=f"mediconfusion:{folder}")
    row = found.table("pairs")[0]
    assert row["readable_pairs"] == 135
    assert row["confusion"] == pytest.approx(79 / 135)
    assert row["confusion_low"] < 79 / 135 < row["confusion_high"]
    assert row["set"] == pytest.approx(35 / 176)
    assert row["invalid"] == pytest.approx(41 / 352)
    tables, _ = tiny_benchmarks.mediconfusion_tables()
    for line in found.table("categories"):
        slots = [name for name, one in tables.items() for side in (1, 2) if line["category"] in one[f"category_{side}"]]
        both = [name for name in slots if choices[name] == keys[name]]
        assert line["images"] == len(slots)
        assert line["set"] == pytest.approx(len(both) / len(slots))


def test_a_reply_that_the_published_rule_misses_changes_the_score(pairs: tuple[Path, Any], tmp_path: Path) -> None:
    folder, keys = pairs
    choices = {name: (f"The correct answer is ({a}).", b) for name, (a, b) in keys.items()}
    found = imported(made.mediconfusion(tmp_path, choices), data=f"mediconfusion:{folder}", rescore=True)
    by = {row["reader"]: row for row in found.table("pairs")}
    assert by["ours"]["set"] == 1.0
    assert by["theirs"]["set"] == by["rule of mediconfusion"]["set"] == 0.0
    assert by["theirs"]["readable_pairs"] == 0
    change = found.table("changes")[0]
    assert (change["letters_differ"], change["only_ours_read"]) == (176, 176)
    assert change["change"] == pytest.approx(0.5)
    assert len(found.table("read otherwise")) == 176


def test_a_missing_pair_counts_and_scores_that_are_not_the_answers_are_named(
    pairs: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, keys = pairs
    choices = dict(list(answers_of(keys, 176, 0).items())[:170])
    total = {name: {"total": 0} for name in ("confused", "invalid")}
    own = {n: {**total, "set_score": {"total": 1}, "individual_score": {"total": 2}, "valids": {"total": 1},
               "valid_pairs": {"total": 1}} for n in choices}  # fmt: skip
    found = imported(made.mediconfusion(tmp_path, choices, own), data=f"mediconfusion:{folder}")
    row = found.table("pairs")[0]
    assert (row["pairs"], row["readable_pairs"]) == (176, 170)
    assert row["set"] == pytest.approx(170 / 176)
    assert any("12 of 352 items" in note for note in found.notes)
    assert any("not those of its answers: invalid 0 where the answers give 12" in line for line in found.sentences)
    whole = {n: (a, b) for n, (a, b) in keys.items()}
    fits = {n: own[next(iter(own))] for n in whole}
    clean = imported(made.mediconfusion(tmp_path, whole, fits), data=f"mediconfusion:{folder}")
    assert not any("scores are" in line for line in clean.sentences)
    fits[next(iter(fits))] = {**own[next(iter(own))], "confused": {"total": 9}}
    broken = imported(made.mediconfusion(tmp_path, whole, fits), data=f"mediconfusion:{folder}")
    assert any("impossible" in line for line in broken.sentences)


@pytest.mark.parametrize(
    ("claimed", "said"),
    [
        (("4.55", "51.99", "98.30"), "is impossible"), (("9.09", "51.70", "85.80"), "needs unread answers"),
        (("19.89", "51.14", "58.52"), "at most 135 of 176"), (("8.52", "50.85", "84.09"), "at most 132 of 176"),
        (("18.75", "56.25", "75.00"), "can be of one set"), (("25.00", "50.00", "50.00"), "can be of one set"),
    ],
)  # fmt: skip
def test_claimed_figures_are_held_against_what_answers_can_give(
    claimed: tuple[str, str, str], said: str, pairs: tuple[Path, Any], tmp_path: Path
) -> None:
    path = made.mediconfusion(tmp_path, answers_of(pairs[1], 33, 132))
    found = imported(path, claimed=claimed)
    assert any(line.startswith("claimed:") and said in line for line in found.sentences)


def test_without_its_keys_mediconfusion_gives_confusion_and_says_what_is_needed(
    pairs: tuple[Path, Any], tmp_path: Path
) -> None:
    found = imported(made.mediconfusion(tmp_path, answers_of(pairs[1], 33, 132)))
    row = found.table("pairs")[0]
    assert row["set"] is None
    assert row["confusion"] == 0.75
    assert score(found)["accuracy"] is None
    assert any("need --data mediconfusion:PATH" in line for line in found.sentences)


def test_blink_s_total_is_the_mean_over_tasks_whatever_their_sizes(tmp_path: Path) -> None:
    few = [("A", "(A)", "A"), ("B", "(A)", "A")]
    many = [("A", "(A) yes", "A")] * 7 + [("B", "The answer is (B).", "Z")]
    found = imported(made.blink(tmp_path, "Jigsaw", few), made.blink(tmp_path, "Counting", many))
    assert score(found, task="Jigsaw")["accuracy"] == 0.5
    assert score(found, task="mean of 2 tasks")["accuracy"] == pytest.approx((0.5 + 1.0) / 2)
    assert score(found, "theirs", "mean of 2 tasks")["accuracy"] == pytest.approx((0.5 + 7 / 8) / 2)
    assert any("1 answers of the test split are left out" in note for note in found.notes)


def test_blink_s_files_are_held_against_its_data(tmp_path: Path) -> None:
    folder = tiny_benchmarks.blink(tmp_path / "data", ["Jigsaw"])
    replies = [("AB"[k % 2], f"({'AB'[k % 2]})", "AB"[k % 2]) for k in range(1, 151)]
    found = imported(made.blink(tmp_path, "Jigsaw", replies), data=f"blink+Jigsaw:{folder}")
    assert score(found)["accuracy"] == 1.0
    assert score(found)["items"] == 150


def test_lmms_eval_numbers_are_places_where_the_right_answers_agree_and_are_refused_where_they_do_not(
    tmp_path: Path,
) -> None:
    folder = tiny_benchmarks.blink(tmp_path / "data", ["Jigsaw"])
    rows = [(str(k - 1), f"({'AB'[k % 2]})", "AB"[k % 2]) for k in range(1, 151)]
    for shift in (0, 1):
        moved = [(str((int(item) + shift) % 150), reply, target) for item, reply, target in rows]
        path = made.lmms(tmp_path / str(shift), "absent", moved)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        text = "\n".join(json.dumps({**line, "input": "Which point is closer?"}) for line in lines)
        path.write_text(text)
        if shift:
            with pytest.raises(DataError, match=r"150 of 150 right answers would be others"):
                imported(path, data=f"blink+Jigsaw:{folder}")
        else:
            found = imported(path, data=f"blink+Jigsaw:{folder}")
            assert score(found)["accuracy"] == 1.0
            assert any("doc_id is the place" in note for note in found.notes)


def test_lmms_eval_numbers_are_places_where_prompts_show_the_options_in_another_order() -> None:
    from slitlamp.answers.formats import AnswerFile, Record
    from slitlamp.answers.import_run import read_again
    from slitlamp.answers.import_settings import ImportSettings
    from slitlamp.answers.truth import Known, Truth

    items = {f"i{k}": Known(id=f"i{k}", group=f"i{k}", options=("left", "right"), answer=k % 2) for k in range(10)}
    records = [
        Record(item=str(k), reply="AB"[shown], target="AB"[shown], options=options, where=f"line {k}")
        for k in range(10)
        for shown, options in [(1 - k % 2, ("right", "left")) if k < 6 else (k % 2, ("left", "right"))]
    ]
    file = AnswerFile(name="a.jsonl", format="lmms-eval", model="m", records=tuple(records))
    (found,), notes = read_again([file], Truth(name="benchmark", items=items), ImportSettings())
    assert [one.hit("ours") for one in found.read] == [1.0] * 10
    assert any("doc_id is the place" in note for note in notes)


# what cannot be read


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"set_score": {}, "individual_score": {}}', "MediConfusion's scores, not its answers"),
        ("a.json", '{"results": {}, "configs": {}}', "holds scores of tasks, not answers"),
        ("a.json", '{"x": 1}', "is none of .*JSON with the keys x"),
        ("a.jsonl", '{"item": 1, "answer": "A"}\n{"item": ', "line 2 is not JSON"),
        ("a.jsonl", "[1, 2]", "entry 1 is no JSON object"),
        ("a.csv", "name,said\n1,A\n", "a table with the columns name, said; a plain file has a column item"),
        ("a.csv", "item,answer\n1,A,B\n", "row 2 has 3 values for 2 columns"),
        ("a.csv", "", "is empty"),
        ("a.csv", "item,answer\n", "holds no answer"),
        ("a.csv", "item,answer\n,A\n", "line 2 names no item"),
        ("a.csv", "item,answer\n1,upright\n2,so\n", "the options are not known"),
        ("a.json", '{"val": [], "test": []}', "is none of"),
        ("a.json", "[" * 100_000, "nested deeper"),
        ("a.jsonl", '{"doc_id": 0, "resps": ["A"]}\n{"target": "A", "resps": ["A"]}', r"a\.jsonl line 2 has no doc_id"),
        ("a.jsonl", '{"doc_id": null, "resps": ["A"]}', r"a\.jsonl line 1 has no doc_id"),
        ("a.json", '{"1": {"answer": {"im1": {"A": Infinity}, "im2": {}}}}', "score inf, which is no number"),
        (
            "a.json",
            '{"eval": {"task": "t"}, "samples": [{"id": 1, "output": {"choices": [3]}}]}',
            "not as inspect files",
        ),
    ],
)
def test_a_file_of_no_known_format_is_one_line(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as error:
        imported(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"item,answer\n1,A\n", mtime=0), "is packed with gzip: unpack it"),
        ("item,answer\n1,A\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b"\xd0\xcf\x11\xe0" + bytes(64), "a workbook of the old format"),
        ("item,answer\n1,schr\xe4g\n".encode("latin-1"), r"is not UTF-8 text \(line 2\)"),
    ],
)
def test_bytes_that_are_no_text_say_what_they_are(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DataError, match=message):
        imported(tmp_path / "a.csv")


def test_a_reply_may_hold_what_separates_lines_elsewhere(tmp_path: Path) -> None:
    reply = "The answer is\u2028 (B).\x85\x0b\x1c"
    line = {"item": "1", "answer": reply, "options": ["upright", "upside down"], "truth": "B"}
    (tmp_path / "a.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text(f"item,answer,options,truth\n1,{reply},upright|upside down,B\n", encoding="utf-8")
    for name in ("a.jsonl", "a.csv"):
        assert read_answers(str(tmp_path / name)).records[0].reply == reply


def test_a_sheet_that_spans_more_than_a_sheet_can_is_one_line(tmp_path: Path) -> None:
    for place in ("ZZZZZZ1", "XFE1"):
        with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as book:
            book.writestr("xl/workbook.xml", "<workbook/>")
            cell = f'<row><c r="{place}"><v>1</v></c></row>'
            book.writestr("xl/worksheets/sheet1.xml", f"<worksheet><sheetData>{cell}</sheetData></worksheet>")
        with pytest.raises(DataError, match="behind column XFD"):
            imported(tmp_path / "a.xlsx")


def test_rows_and_columns_together_have_a_bound(tmp_path: Path) -> None:
    for rows in (4096, 4097):  # of 2 ** 14 columns
        with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as book:
            book.writestr("xl/workbook.xml", "<workbook/>")
            cells = '<row><c r="XFD1"><v>1</v></c></row>' + "<row/>" * (rows - 1)
            book.writestr("xl/worksheets/sheet1.xml", f"<worksheet><sheetData>{cells}</sheetData></worksheet>")
        if rows == 4096:
            assert [len(row) for row in read_sheet(tmp_path / "a.xlsx")] == [2**14]
        else:
            with pytest.raises(DataError, match="4097 rows of 16384 columns, most of them empty"):
                read_sheet(tmp_path / "a.xlsx")


def test_options_that_cannot_be_told_apart_cost_their_items_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("item,answer,options,target\n1,a,a|the a,A\n2,B,a|b,B\n3,A,only,A\n")
    found = imported(path)
    assert (score(found)["read"], score(found)["replies"], score(found)["accuracy"]) == (1, 3, pytest.approx(1 / 3))
    assert any("share the words" in line for line in found.sentences)


def test_replies_none_of_which_can_be_read_are_wrong_answers_and_chance_is_that_of_all_items(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('item,answer\nchest-000000:0,"I cannot help with that"\n')
    row = score(imported(path, task="orientation", items=20, limit=8))
    assert (row["items"], row["missing"], row["read"], row["accuracy"]) == (8, 7, 0, 0)
    assert (row["chance"], row["majority"]) == (0.5, 0.5)


def test_flags_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.jsonl", simple())
    with pytest.raises(UsageError, match="no file is named"):
        COMMANDS["import"].call({})
    with pytest.raises(UsageError, match="no such file"):
        imported(tmp_path / "b.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl is no blink"):
        imported(path, format="blink")
    with pytest.raises(UsageError, match="three percentages"):
        imported(path, claimed=("5",))
    with pytest.raises(UsageError, match="must be a percentage"):
        imported(path, claimed=("5", "x", "7"))
    with pytest.raises(UsageError, match="--group has nothing to act on"):
        imported(path, group="patient")


def test_a_workbook_is_read_as_its_cells_are(tmp_path: Path) -> None:
    rows = [["index", "prediction", "hit"], [1, "A & B <c>", True], [2, "", False], [2.5, "x\ny", None]]
    for inline in (True, False):
        read = read_sheet(made.xlsx(tmp_path / "a.xlsx", rows, inline=inline))
        assert read == [
            ["index", "prediction", "hit"], ["1", "A & B <c>", "TRUE"], ["2", "", "FALSE"], ["2.5", "x\ny", ""],
        ]  # fmt: skip
    (tmp_path / "b.xlsx").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match="damaged archive"):
        imported(tmp_path / "b.xlsx")


def test_a_workbook_whose_names_are_no_text_or_whose_parts_do_not_unpack_is_one_line(tmp_path: Path) -> None:
    good = made.xlsx(tmp_path / "a.xlsx", [["index", "prediction"], [1, "A"]]).read_bytes()
    data, entry = bytearray(good), good.index(b"PK\x01\x02")
    data[entry + 9] |= 8  # names are UTF-8
    data[entry + 46] = 0xEE
    (tmp_path / "a.xlsx").write_bytes(data)
    with pytest.raises(DataError, match=r"^a\.xlsx is a damaged archive"):
        imported(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
        book.writestr("xl/worksheets/sheet1.xml", "<worksheet>" + "<row/>" * 100 + "</worksheet>")
    data = bytearray((tmp_path / "b.xlsx").read_bytes())
    begins = data.index(b"sheet1.xml") + len("sheet1.xml")
    data[begins : begins + 4] = b"\xff" * 4
    (tmp_path / "b.xlsx").write_bytes(data)
    with pytest.raises(DataError, match=r"^b\.xlsx cannot be read as XLSX"):
        imported(tmp_path / "b.xlsx")


def test_an_archive_that_cannot_be_unpacked_and_a_sheet_with_a_document_type_are_one_line(tmp_path: Path) -> None:
    path = made.inspect(tmp_path, "eval")
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # zstd, as newer logs are packed
        at = data.find(mark)
        while at >= 0:
            data[at + place : at + place + 2] = (93).to_bytes(2, "little")
            at = data.find(mark, at + 4)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"cannot unpack; say `inspect log convert log\.eval --to json`"):
        imported(path)
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
        book.writestr("xl/worksheets/sheet1.xml", '<!DOCTYPE a [<!ENTITY b "c">]><worksheet>&b;</worksheet>')
    with pytest.raises(DataError, match="declares a document type"):
        imported(tmp_path / "b.xlsx")


def test_a_log_of_several_epochs_holds_several_presentations(tmp_path: Path) -> None:
    found = imported(made.inspect(tmp_path, "json", epochs=2))
    assert score(found)["replies"] == 16
    assert score(found)["accuracy"] == 3 / 8


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    path = made.lmms(tmp_path, "absent")
    for name in ("a", "b"):
        imported(path, out=str(tmp_path / name))
    for file in ("answers.csv", "results.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
