"""Labels of a user's manifest and of a benchmark: the usual words are read, others are named."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import tasks
from tasks import DataError, Picture, Row, Source, contrast, depth, histology, teeth, wave_depth
from tasks import label as tasks_label
from tasks.sources import values

TASKS = {"nearest": wave_depth.TASK, "tissue": histology.TASK, "count": teeth.TASK}


def made(column: str, *values: str, benchmark: str = "") -> Source:
    picture = Picture(read=partial(np.zeros, (8, 8), np.uint8))
    rows = (Row(id=f"r{i}", group=f"g{i}", picture=picture, columns={column: v}) for i, v in enumerate(values))
    return Source(name="mine.csv", rows=tuple(rows), benchmark=benchmark)


def test_contrast_reads_the_usual_words_of_a_manifest() -> None:
    given = made("contrast", "0", "1", "No", " yes", "FALSE", "true", "pre", "post", "plain", "Enhanced")
    said = [item.label for item in contrast.TASK.items(given, np.random.default_rng(0), None)]
    assert said == ["plain", "enhanced"] * 5
    given = made("phase", "pre")
    assert [i.label for i in contrast.TASK.items(given, np.random.default_rng(0), "phase")] == ["plain"]


def test_an_unknown_word_and_a_missing_column_are_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"mine.csv: item r1 has contrast = 'arterial'; known values are plain, 0"):
        list(contrast.TASK.items(made("contrast", "0", "arterial"), rng, None))
    with pytest.raises(DataError, match=r"needs a column 'contrast' .*\(nearest: 'contrasted'\).*--label COLUMN"):
        list(contrast.TASK.items(made("contrasted", "0"), rng, None))
    with pytest.raises(DataError, match=r"task depth needs a column 'nearest' with one of red, green, blue"):
        list(depth.TASK.items(made("age", "7"), rng, None))


def test_depth_reads_a_manifest_whose_marks_are_already_drawn() -> None:
    given = made("nearest", "red", "Green", "b")
    assert [i.label for i in depth.TASK.items(given, np.random.default_rng(0), None)] == ["red", "green", "blue"]


def test_age_and_position_read_the_usual_words_of_a_manifest_and_name_what_they_do_not_know() -> None:
    rng = np.random.default_rng(0)
    said = [i.label for i in tasks.load("age").items(made("age", "Child", "paediatric", "adult"), rng, None)]
    assert said == ["child", "child", "adult"]
    said = [i.label for i in tasks.load("relative-position").items(made("quarter", "upper-left"), rng, None)]
    assert said == ["upper left"]
    with pytest.raises(DataError, match=r"mine.csv: item r0 has age = '7'; known values are child"):
        list(tasks.load("age").items(made("age", "7"), rng, None))
    with pytest.raises(DataError, match="needs a column 'quarter'"):
        list(tasks.load("relative-position").items(made("side", "left"), rng, None))


def labels(column: str, given: Source) -> list[str | float]:
    return [item.label for item in TASKS[column].items(given, np.random.default_rng(0), None)]


def test_labelled_sources_are_read_from_their_column() -> None:
    assert labels("nearest", made("nearest", "Red", "g", "blue")) == ["red", "green", "blue"]
    given = made("tissue", "Lamina propria", "adipose tissue", "muscularis", "epithelial")
    assert labels("tissue", given) == ["stroma", "fat", "muscle", "epithelium"]
    assert labels("count", made("count", "4", "none", " two ")) == ["4", "0", "2"]
    other = [i.label for i in teeth.TASK.items(made("wisdom", "3"), np.random.default_rng(0), "wisdom")]
    assert other == ["3"]


def test_a_missing_column_and_an_unknown_word_are_named() -> None:
    with pytest.raises(DataError, match=r"task wave-depth needs a column 'nearest' .*\(nearest: 'nearer'\)"):
        labels("nearest", made("nearer", "red"))
    with pytest.raises(DataError, match=r"item r0 has tissue = 'bone'; known values are epithelium"):
        labels("tissue", made("tissue", "bone"))
    with pytest.raises(DataError, match=r"task teeth: mine.csv: item r1 has count = '5'; known values are 0, zero"):
        labels("count", made("count", "4", "5"))


def medblink(*rows: tuple[str, str]) -> Source:
    picture = Picture(read=partial(np.zeros, (8, 8, 3), np.uint8))
    made_ = (
        Row(id=f"q{i}", group=f"q{i}", picture=picture, columns={"task": t, "answer": a, "question": "Which?"})
        for i, (t, a) in enumerate(rows)
    )
    return Source(name="medblink", rows=tuple(made_), benchmark="medblink")


def test_rows_of_the_benchmark_are_those_of_the_task() -> None:
    given = medblink(
        ("histology_structure", "stroma"),
        ("morphology_quantification", "3"),
        ("ultrasound_depth", "the red dot"),
        ("histology_structure", "muscle"),
    )
    assert labels("tissue", given) == ["stroma", "muscle"]
    assert labels("count", given) == ["3"]
    assert labels("nearest", given) == ["red"]


def test_the_task_of_ultrasound_must_be_the_only_one_of_that_name() -> None:
    with pytest.raises(DataError, match=r"'wave' or 'ultrasound'; none does; its tasks are relative_position"):
        labels("nearest", medblink(("relative_position", "left")))
    with pytest.raises(DataError, match="ultrasound_a and wave_b do; its tasks are ultrasound_a, wave_b"):
        labels("nearest", medblink(("ultrasound_a", "red"), ("wave_b", "red")))


# ---- any column: what is missing, what is a number, what is spelt in two ways


def label(*values: str, **how: Any) -> list[str | float]:
    given = made("dx", *values)
    reader = tasks_label.reading(tasks_label.Reading(**how))
    return [item.label for item in reader.items(given, np.random.default_rng(0), "dx")]


def said_of(*values: str, **how: Any) -> tuple[str, ...]:
    notes = tasks_label.reading(tasks_label.Reading(**how)).notes
    assert notes is not None
    return notes(made("dx", *values), "dx")


AB = ("a", "b", "a", "b")


@pytest.mark.parametrize("mark", [*values.PANDAS, *values.OTHERS, "NONE", " nan ", "\u200b", "\ufeff"])
def test_every_mark_that_pandas_knows_and_the_usual_others_are_missing_counted_and_said(mark: str) -> None:
    assert label(*AB, mark, mark) == [*AB]
    (note,) = said_of(*AB, mark, mark)
    written = f" ({mark.strip()})" if mark.strip() else ""
    assert note.startswith(f"2 of 6 rows have no dx{written} and are left out")


def test_a_word_that_is_an_answer_is_kept_where_the_user_says_so_and_words_like_marks_are_classes() -> None:
    assert label(*AB, "None", "none", "-", answers=("none",), spelling="unite").count("None") == 2
    assert not said_of("none", "mild", "none", "mild", answers=("None",))
    assert "where it is an answer, say --not-missing none" in said_of(*AB, "none")[0]
    assert label("none of these", "n", "none of these", "n", "not a", "not a").count("n") == 2
    with pytest.raises(DataError, match=r"--not-missing never: no row of mine\.csv has dx = 'never'"):
        label(*AB, answers=("never",))
    with pytest.raises(DataError, match=r"no row of mine\.csv has a value in 'dx' \(None\)"):
        label("None", "None")


NUMBERS = [f"{k}.5" for k in range(12)]


@pytest.mark.parametrize(
    "spelt",
    [NUMBERS, [f" {n} " for n in NUMBERS], [f"+{n}" for n in NUMBERS], [f"{n}e-03" for n in NUMBERS],
     [f"-{n}E+2" for n in NUMBERS], [f"{k}e-05" for k in range(12)], [f".{k}" for k in range(10, 22)]],
)  # fmt: skip
def test_more_than_ten_numbers_are_a_number(spelt: list[str]) -> None:
    assert label(*spelt) == [float(text) for text in spelt]


CODES = {
    "underscores": [f"{i % 4 + 1}_{i // 4 % 3 + 1}" for i in range(24)],
    "wells": [f"{i % 12 + 1}E1" for i in range(24)],
    "full width": [chr(0xFF11 + i % 4) + chr(0xFF10 + i // 4 % 3) for i in range(24)],
    "hexadecimal": [f"0x{i % 12}" for i in range(24)],
}


@pytest.mark.parametrize("name", CODES)
def test_codes_are_classes_and_never_a_number_in_silence(name: str) -> None:
    assert label(*CODES[name]) == CODES[name]


def test_the_user_says_classes_or_number() -> None:
    twice = [str(410 + k) for k in range(12)] * 2
    assert label(*twice, kind="classes") == twice
    assert label("1", "2", "1", "2", kind="number") == [1.0, 2.0, 1.0, 2.0]
    assert label("1E1", "2E1", "1E1", kind="number") == [10.0, 20.0, 10.0]
    with pytest.raises(DataError, match=r"1 of 4 values of dx are no numbers.*item r2 says 'x'; .* leave out --number"):
        label("1", "2", "x", "2", kind="number")


@pytest.mark.parametrize("odd", ["unknown", "12 mm", "1_2", "inf", "1e999", "9" * 5000, "40-50", "<5"])
def test_a_value_that_is_no_number_among_numbers_is_refused_by_row_and_value(odd: str) -> None:
    with pytest.raises(DataError) as caught:
        label(*NUMBERS, odd)
    assert f"1 of 13 values of dx are no numbers, among numbers: item r12 says {odd[:40]!r}" in str(caught.value)
    assert "say --classes" in str(caught.value)
    assert label(*NUMBERS, "NA") == [float(n) for n in NUMBERS]


def test_decimal_commas_are_named_and_a_row_is_called_by_its_place() -> None:
    with pytest.raises(DataError, match=r"12 of 12 values of dx are no numbers.*says '0,5'; .*write them with a point"):
        label(*(n.replace(".", ",") for n in NUMBERS))
    assert label("1,5", "2,5", "1,5", "2,5") == ["1,5", "2,5", "1,5", "2,5"]
    given = made("dx", *NUMBERS, "x")
    placed = replace(given, rows=tuple(replace(r, place=f"row {k}") for k, r in enumerate(given.rows, 1)))
    with pytest.raises(DataError, match=r"row 13 says 'x'"):
        tasks_label.read(placed, "dx", tasks_label.Reading())


@pytest.mark.parametrize(
    ("one", "two"), [("no", "No"), ("yes", "YES"), ("True", "true"), ("no", "no\u200b"), ("T1", "T01"), ("a b", "a  b"),
                     ("grade 1", "grade 1.0"), ("left_eye", "left eye"), ("é", "e\u0301"), ("m", "ｍ"),
                     ("non-small", "nonsmall"), ("ill.", "ill")]
)  # fmt: skip
def test_one_answer_in_two_spellings_is_refused_united_or_kept(one: str, two: str) -> None:
    spelt = [one, "other", one, two, "other", one]
    with pytest.raises(
        DataError, match=r"1 value differs only in spelling in the column 'dx' of mine\.csv: .*\(3 times"
    ):
        label(*spelt, two)
    assert label(*spelt, two, spelling="unite") == [one, "other", one, one, "other", one, one]
    assert label(*spelt, two, spelling="keep") == [*spelt, two]
    assert said_of(*spelt, spelling="unite")[0].endswith(": they are one")


@pytest.mark.parametrize(
    "spelt", ["1,2{:02d}", "1.2{:02d},5", "1'2{:02d}", "1 2{:02d}", "\u22121.{}", "1\u00a02{:02d}.5"]
)
def test_numbers_in_another_notation_are_refused_and_not_made_classes(spelt: str) -> None:
    with pytest.raises(DataError, match=r"24 of 24 values of dx are no numbers.*write them with a point"):
        label(*[spelt.format(k % 12) for k in range(24)])


def test_notations_that_may_mean_something_else_are_said() -> None:
    def note(*given: str) -> str:
        return " ".join(said_of(*given, *given))

    assert "24 values of dx are a class each" not in note(*NUMBERS)
    assert "12 of them are numbers with a word ('040Y'): for a number, take 'Y' off" in note(
        *(f"0{k}Y" for k in range(40, 52))
    )
    with pytest.raises(DataError, match=r"one group only.*12 of them are numbers with a word \('1%'\)"):
        label(*(f"{k}%" for k in range(1, 13)))
    assert "begin with zeros ('001')" in note(*(f"{k:03d}" for k in range(1, 13)))
    assert "have three digits behind the point ('1.230'), others none ('5')" in note(
        *(f"1.23{k}" for k in range(9)), "5", "6", "7"
    )
    for good in (
        NUMBERS,
        [f"0.12{k}" for k in range(9)] + ["1", "2", "3"],
        [f"1.23{k}" for k in range(9)] + ["5.5", "6", "7"],
        [f"1.23{k}" for k in range(12)],
        ["1a", "2b", "3c"],
        [f"{k}E1" for k in range(12)],
    ):
        assert not note(*good), good


@pytest.mark.parametrize(
    ("values_", "said"),
    [(("True", "1", "False"), "'True' (2) and '1' (2) of dx"), (("M", "male", "F"), "'M' (2) and 'male' (2) of dx"),
     (("ill", "well", "Unknown"), "2 rows have dx = 'Unknown'"), (("0", "1", "9"), "2 rows have dx = '9'"),
     (("1", "2", "-99"), "2 rows have dx = '-99'"), (("yes", "no"), ""), (("0", "1"), ""), (("7", "8", "9"), ""),
     (("0", "9"), ""), (("T", "N"), ""), (("none of these", "known"), ""), (("1", "0", "2"), "")],
)  # fmt: skip
def test_classes_that_are_perhaps_no_answer_or_one_answer_are_said(values_: tuple[str, ...], said: str) -> None:
    notes = " ".join(said_of(*values_, *values_))
    assert (said in notes) if said else not notes


def test_a_mark_of_a_missing_answer_that_leaves_one_class_is_named() -> None:
    with pytest.raises(DataError, match=r"all 2 rows of .*: '\+'; 2 others have none \(-\) .*say --not-missing -\)"):
        label("+", "-", "+", "-")
    assert label("+", "-", "+", "-", answers=("-",)) == ["+", "-", "+", "-"]


def test_equal_numbers_are_one_class_and_that_is_said() -> None:
    assert label("0", "0.0", "1", "1.0", "0", "1") == ["0", "0", "1", "1", "0", "1"]
    said = "equal numbers of dx that are spelt in several ways are one class each: '0' (2) and '0.0' (1)"
    assert said_of("0", "0.0", "1", "0", "1") == (said,)
    assert not said_of("0", "1", "0", "1")
    assert not said_of("a", "b", "ab", "a", "b", "ab")
    with pytest.raises(DataError, match="differs only in spelling"):
        label("0", "0.0", "x", "x", "0", kind="classes")


# ---- numbers that stand for a missing value


def marks(numbers: Any) -> list[str]:
    return values.repeated_marks([float(n) for n in numbers], [f"row {k}" for k in range(1, len(numbers) + 1)])


def test_a_negative_mark_beside_zero_is_named_where_it_is_frequent() -> None:
    scores = [float(k % 40) for k in range(200)]
    assert "12 values are -1 (row 201, …), a usual mark of a missing value" in marks([*scores, *[-1.0] * 12])[0]
    assert not marks([*scores, -1.0, -1.0])


@pytest.mark.parametrize("mark", [-1, 0, 99, -9])
def test_a_usual_mark_that_is_repeated_at_an_end_is_named(mark: float) -> None:
    ages = np.random.default_rng(0).integers(20, 86, 200).astype(float)
    ages[7:9] = mark
    (said,) = marks(ages)
    assert f"2 values are {mark} (row 8, …)" in said
    ages[8] = 50
    assert not marks(ages)


@pytest.mark.parametrize(
    "name", ["normal", "lognormal", "exponential", "poisson", "uniform", "zeros", "two", "censored"]
)
def test_numbers_of_one_distribution_are_not_suspected(name: str) -> None:
    rng = np.random.default_rng(1)
    draw = {
        "normal": lambda n: rng.normal(0, 1, n),
        "lognormal": lambda n: rng.lognormal(3, 1, n),
        "exponential": lambda n: rng.exponential(1, n),
        "poisson": lambda n: rng.poisson(6, n),
        "uniform": lambda n: rng.integers(-1, 99, n),
        "zeros": lambda n: np.where(rng.random(n) < 0.5, 0, np.round(rng.lognormal(4, 1, n))),
        "two": lambda n: np.where(rng.random(n) < 0.5, rng.normal(0, 1, n), rng.normal(100, 1, n)),
        "censored": lambda n: np.maximum(rng.normal(10, 5, n), 5),
    }[name]
    assert not [said for said in (marks(draw(n)) for n in (60, 200, 1000) for _ in range(20)) if said]
