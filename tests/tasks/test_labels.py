"""Labels of a user's manifest and of a benchmark: the usual words are read, others are named."""

from functools import partial

import numpy as np
import pytest

import tasks
from tasks import DataError, Picture, Row, Source, contrast, depth, histology, teeth, wave_depth

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
