"""A source is opened from whatever a user has, says what it is, and refuses in one line."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from plugins import UserFileError
from tasks import DataError, Picture, Row, Source, UnknownName
from tests.paths import ROOT


def save(path: Path, value: int = 0, shape: tuple[int, int] = (24, 32)) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng([value, 1]).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(image).save(path)
    return path


def manifest(folder: Path, n: int = 8, name: str = "manifest.csv", column: str = "file") -> Path:
    lines = [f"{column},patient,age,sex"]
    for i in range(n):
        save(folder / "images" / f"{i}.png", i)
        lines.append(f"images/{i}.png,P-{i // 2},{40 + i},{'MF'[i % 2]}")
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


# ---- folders


def test_a_folder_is_read_in_natural_order_with_its_classes(tmp_path: Path) -> None:
    for i, name in enumerate(["b/10.png", "b/2.png", "a/1.png", "a/deep/3.png", "top.png"]):
        save(tmp_path / "x" / name, i)
    (tmp_path / "x" / "notes.txt").write_text("hello")
    (tmp_path / "x" / ".hidden.png").write_text("no image")
    source = tasks.open_source(str(tmp_path / "x"))
    assert source.name == "x"
    assert [(r.columns["folder"], r.columns["parent"]) for r in source.rows] == [
        ("a", "a"),
        ("a", "deep"),
        ("b", "b"),
        ("b", "b"),
        ("", ""),
    ]
    expected = np.random.default_rng([1, 1]).integers(0, 255, (24, 32), dtype=np.uint8)
    np.testing.assert_array_equal(source.rows[2].picture.read(), expected)  # b/2.png before b/10.png
    assert any("1 .txt" in w for w in source.warnings)
    assert any("its own group" in w for w in source.warnings)
    assert not source.unreadable


def test_ids_do_not_depend_on_where_the_folder_lies_and_tell_nothing(tmp_path: Path) -> None:
    for place in ("one", "two/three"):
        save(tmp_path / place / "data" / "Doe_Jane" / "1.png")
        save(tmp_path / place / "data" / "Doe_Jane" / "2.png", 2)
    first, second = (tasks.open_source(str(tmp_path / p / "data")) for p in ("one", "two/three"))
    assert [r.id for r in first.rows] == [r.id for r in second.rows]
    assert [r.group for r in first.rows] == [r.group for r in second.rows]
    assert len({r.id for r in first.rows}) == 2
    for row in first.rows:
        assert "Doe" not in row.id + row.group


def test_an_empty_folder_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        tasks.open_source(str(tmp_path / "empty"))
    (tmp_path / "empty" / "readme.md").write_text("x")
    with pytest.raises(DataError, match=r"holds no image \(1 other files\)"):
        tasks.open_source(str(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"no file or folder .*; did you mean .*empty"):
        tasks.open_source(str(tmp_path / "emty"))
    with pytest.raises(DataError, match="--data takes a folder, a manifest"):
        tasks.open_source("no/such/place")
    with pytest.raises(DataError, match="no file or folder ''"):
        tasks.open_source("")


def test_every_refusal_is_one_line(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    calls: list[dict[str, Any]] = [{"group": "nothing"}, {"image_column": "no"}, {"window": "40/400"}]
    for choices in calls:
        with pytest.raises((DataError, UnknownName)) as caught:
            tasks.open_source(str(path), **choices)
        assert "\n" not in str(caught.value)


# ---- manifests


@pytest.mark.parametrize("column", ["file", "path", "image", "filename", "Image_Path"])
def test_the_image_column_is_found_by_its_usual_names(tmp_path: Path, column: str) -> None:
    source = tasks.open_source(str(manifest(tmp_path / "d", column=column)), group="patient")
    assert source.name == "d/manifest.csv"
    assert len(source.rows) == 8
    assert len({r.group for r in source.rows}) == 4
    assert source.rows[3].columns["age"] == "43"
    assert column not in source.rows[0].columns
    assert "P-0" not in source.rows[0].group
    assert not source.warnings


def test_an_unknown_image_column_lists_the_columns_and_the_flag(tmp_path: Path) -> None:
    path = manifest(tmp_path, column="xray")
    with pytest.raises(DataError, match="say --image-column COLUMN, one of: xray, patient, age, sex"):
        tasks.open_source(str(path))
    assert len(tasks.open_source(str(path), image_column="xray").rows) == 8
    with pytest.raises(DataError, match=r"--image-column: .* no column 'xrya'; did you mean 'xray'\?"):
        tasks.open_source(str(path), image_column="xrya")


def test_missing_columns_name_the_nearest_and_those_present(tmp_path: Path) -> None:
    path = str(manifest(tmp_path))
    with pytest.raises(DataError, match=r"--group: .*no column 'pateint'; did you mean 'patient'\? it has: file"):
        tasks.open_source(path, group="pateint")
    with pytest.raises(DataError, match=r"no column 'agee'; did you mean 'age'\?"):
        tasks.open_source(path, columns_needed=["sex", "agee"])
    assert tasks.open_source(path, columns_needed=["sex", "age"]).rows


def test_without_group_the_user_is_told_and_shown_a_likely_column(tmp_path: Path) -> None:
    source = tasks.open_source(str(manifest(tmp_path)))
    assert len({r.group for r in source.rows}) == 8
    assert any("say --group COLUMN (perhaps patient)" in w for w in source.warnings)


def test_a_folder_with_a_manifest_is_read_through_it(tmp_path: Path) -> None:
    manifest(tmp_path)
    source = tasks.open_source(str(tmp_path), group="patient")
    assert source.rows[0].columns["sex"] == "M"
    assert source.warnings == ("the folder is read through its manifest.csv",)
    manifest(tmp_path, name="metadata.csv")
    with pytest.raises(DataError, match=r"holds manifest\.csv and metadata\.csv"):
        tasks.open_source(str(tmp_path))


def test_semicolons_tabs_quotes_and_a_byte_order_mark_are_understood(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    save(tmp_path / "b, c.png", 2)
    texts = {
        "s.csv": 'file;note\na.png;"x;y"\n"b, c.png";z\n',
        "t.tsv": 'file\tnote\na.png\t"x;y"\nb, c.png\tz\n',
        "q.csv": '\ufefffile,note\na.png,"x;y"\n\n"b, c.png","z"\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        rows = tasks.open_source(str(tmp_path / name)).rows
        assert [r.columns["note"] for r in rows] == ["x;y", "z"]


def test_parquet_says_what_csv_says(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = manifest(tmp_path)
    table = pa.table(
        {
            "file": [f"images/{i}.png" for i in range(8)],
            "patient": [f"P-{i // 2}" for i in range(8)],
            "age": pa.array([None if i == 3 else 40 + i for i in range(8)]),
            "weight": [float("nan")] * 8,
        }
    )
    parquet.write_table(table, tmp_path / "m.parquet")
    a = tasks.open_source(str(path), group="patient")
    b = tasks.open_source(str(tmp_path / "m.parquet"), group="patient")
    assert [(r.id, r.group) for r in a.rows] == [(r.id, r.group) for r in b.rows]
    assert [r.columns["age"] for r in b.rows][2:5] == ["42", "", "44"]
    assert {r.columns["weight"] for r in b.rows} == {""}
    (tmp_path / "bad.parquet").write_text("nonsense")
    with pytest.raises(DataError, match=r"bad\.parquet cannot be read as Parquet"):
        tasks.open_source(str(tmp_path / "bad.parquet"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,a\nx.png,1,2\n", "line 2 has 3 values for 2 columns"),
        ("file,a,a\nx.png,1,2\n", "more than one column 'a'"),
        ("file,a\n", "has no rows"),
        ("", r"/m\.csv is empty; a manifest has a line of column names"),
        ("file,red_x,red_y\nx.png,,\n", "no such file"),
    ],
)
def test_broken_tables_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        tasks.open_source(str(tmp_path / "m.csv"))


def test_an_empty_group_value_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("file,patient\na.png,1\na.png,\n")
    with pytest.raises(DataError, match=r"1 of 2 rows of .* have no value in the group column 'patient'"):
        tasks.open_source(str(tmp_path / "m.csv"), group="patient")


def test_a_file_listed_twice_has_two_ids_and_one_group(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("file,side\na.png,L\na.png,R\n")
    a, b = tasks.open_source(str(tmp_path / "m.csv")).rows
    assert a.id != b.id
    assert a.group == b.group


def test_a_manifest_may_name_volumes_and_pick_a_frame(tmp_path: Path) -> None:
    import nibabel

    values = np.arange(4 * 5 * 3, dtype=np.int16).reshape(4, 5, 3)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii.gz")
    (tmp_path / "all.csv").write_text("file,patient\nv.nii.gz,1\n")
    (tmp_path / "one.csv").write_text("file,patient,frame\nv.nii.gz,1,2\n")
    every = tasks.open_source(str(tmp_path / "all.csv"), group="patient")
    assert [r.columns["slice"] for r in every.rows] == ["1", "2", "3"]
    (row,) = tasks.open_source(str(tmp_path / "one.csv"), group="patient").rows
    np.testing.assert_array_equal(row.picture.read(), every.rows[1].picture.read())
    (tmp_path / "bad.csv").write_text("file,patient,frame\nv.nii.gz,1,9\n")
    with pytest.raises(DataError, match=r"v\.nii\.gz: it has frames 1 to 3, not 9"):
        tasks.open_source(str(tmp_path / "bad.csv"))


# ---- what cannot be read


def test_missing_files_are_listed_counted_and_stop_above_the_limit(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    (tmp_path / "images" / "3.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of 8 images cannot be read \(--unreadable 0\.05 accepts 0\): images/3\.png: no such file"
    ):
        tasks.open_source(str(path))
    source = tasks.open_source(str(path), unreadable_limit=0.2)
    assert len(source.rows) == 7
    assert [why for _, why in source.unreadable] == ["images/3.png: no such file"]
    assert "images" not in source.unreadable[0][0]
    (tmp_path / "images" / "3.png").write_bytes(b"")
    source = tasks.open_source(str(path), unreadable_limit=0.2)
    assert [why for _, why in source.unreadable] == ["images/3.png: the file is empty: it holds 0 bytes"]


def test_a_row_that_names_no_file_and_a_wrong_mark_are_told_by_name(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("file,red_x,red_y\na.png,1,1\n,1,1\n")
    source = tasks.open_source(str(tmp_path / "m.csv"), unreadable_limit=0.5)
    assert [why for _, why in source.unreadable] == ["a row: the manifest names no file"]
    (tmp_path / "m.csv").write_text("file,red_x,red_y\na.png,1,nan\n")
    with pytest.raises(DataError, match=r"/m\.csv: row 1: a\.png: the red mark lies at x = '1', y = 'nan'"):
        tasks.open_source(str(tmp_path / "m.csv"))


def test_when_nothing_can_be_read_no_limit_helps(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("file\n" + "\n".join(f"{i}.png" for i in range(9)))
    with pytest.raises(DataError, match=r"9 of 9 images cannot be read: 0\.png: .*; and 6 more"):
        tasks.open_source(str(tmp_path / "m.csv"), unreadable_limit=1.0)


def test_check_finds_what_the_header_hides_and_leaves_good_images_alone(tmp_path: Path) -> None:
    for i in range(30):
        save(tmp_path / "x" / f"{i}.png", i, (60, 60))
    cut = tmp_path / "x" / "7.png"
    cut.write_bytes(cut.read_bytes()[:1500])
    source = tasks.open_source(str(tmp_path / "x"))
    assert len(source.rows) == 30
    decoded: list[str] = []
    steps: list[tuple[int, int]] = []
    checked = tasks.check(
        source,
        decoded=lambda row, image: decoded.append(f"{row.id} {image.shape}"),
        progress=lambda a, b: steps.append((a, b)),
    )
    assert len(checked.rows) == 29
    assert len(decoded) == 29
    assert steps[-1] == (30, 30)
    assert [why.split(":")[0] for _, why in checked.unreadable] == ["7.png"]
    with pytest.raises(DataError, match=r"1 of 30 images cannot be read .*7\.png"):
        tasks.check(source, unreadable_limit=0.01)


def test_check_does_not_decode_what_is_known(tmp_path: Path) -> None:
    save(tmp_path / "x" / "a.png")
    source = tasks.open_source(str(tmp_path / "x"))

    def refuse() -> np.ndarray:
        raise AssertionError("decoded again")

    (row,) = source.rows
    key = row.picture.identity
    assert key is not None
    again = Source(name="x", rows=(Row(id=row.id, group=row.group, picture=Picture(read=refuse, identity=key)),))
    assert tasks.check(again, known={key}).rows == again.rows


def test_copies_in_two_groups_of_a_benchmark_become_one_group_and_those_of_a_user_are_left_to_the_run(
    tmp_path: Path,
) -> None:
    for i in range(4):
        save(tmp_path / "x" / f"{i}.png", i % 3)
    plain = tasks.open_source(str(tmp_path / "x"))
    assert tasks.check(plain).rows == plain.rows
    checked = tasks.check(replace(plain, benchmark="mmvp"))
    assert checked.rows[0].group == checked.rows[3].group
    assert len({r.group for r in checked.rows}) == 3
    assert any("1 images are byte for byte copies" in w for w in checked.warnings)
    alone = replace(tasks.open_source(str(tmp_path / "x" / "1.png")), benchmark="mmvp")
    assert not any("copies" in w for w in tasks.check(alone).warnings)


# ---- limit, start-up, registry


def test_limit_keeps_whole_groups_the_same_ones_each_time(tmp_path: Path) -> None:
    path = str(manifest(tmp_path, n=40))
    whole = [r.id for r in tasks.open_source(path, group="patient").rows]
    some = tasks.open_source(path, group="patient", limit=10)
    assert len(some.rows) == 10
    assert len({r.group for r in some.rows}) == 5
    assert [r.id for r in some.rows] == [i for i in whole if i in {r.id for r in some.rows}]
    again = tasks.open_source(path, group="patient", limit=10)
    assert [r.id for r in again.rows] == [r.id for r in some.rows]
    other = tasks.open_source(path, group="patient", limit=10, seed=1)
    assert [r.id for r in other.rows] != [r.id for r in some.rows]
    assert len(tasks.open_source(path, group="patient", limit=400).rows) == 40


def test_a_thousand_files_are_opened_and_identified_quickly(tmp_path: Path) -> None:
    """CPU time, so that a busy machine does not decide."""
    whole = save(tmp_path / "x" / "0.jpg", 0, (150, 150)).read_bytes()
    for i in range(1, 1000):
        (tmp_path / "x" / f"{i}.jpg").write_bytes(whole + bytes(20_000))
    start = time.process_time()
    source = tasks.open_source(str(tmp_path / "x"))
    opened = time.process_time()
    assert len({r.picture.identity for r in source.rows}) == 2
    assert time.process_time() - opened < 0.6
    assert opened - start < 3


def test_the_package_starts_light_and_lists_its_files() -> None:
    program = (
        "import sys, tasks; print(tasks.names()); heavy = 'torch PIL pyarrow scipy pydicom highdicom "
        "nibabel tifffile imagecodecs'.split(); print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    for name in ("label", "mirror", "orientation", "rotation"):
        assert f"'{name}'" in first
    assert second == "[]"


@pytest.mark.parametrize("name", tasks.names())
def test_every_listed_task_loads_and_asks_a_question(name: str) -> None:
    task = tasks.load(name)
    assert task.name == name
    assert task.question.endswith("?")
    assert task.classes is None or len(set(task.classes)) == len(task.classes) >= 2


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no task 'orientaton'; did you mean orientation\? there are .*contrast"):
        tasks.load("orientaton")


MINE = """
import tasks
def items(source, rng, column):
    for i, row in enumerate(source.rows):
        yield tasks.Item(id=row.id, group=row.group, label=("odd", "even")[i % 2], picture=row.picture)
TASK = tasks.Task(name="mine", question="Odd or even?", classes=("odd", "even"), version=1, items=items)
"""


def test_a_users_own_file_is_a_task(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    task = tasks.load(str(path))
    save(tmp_path / "x" / "a.png")
    (item,) = task.items(tasks.open_source(str(tmp_path / "x")), np.random.default_rng(0), None)
    assert (task.name, item.label) == ("mine", "odd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"mine\.py does not define TASK \(a tasks\.Task\)"),
        ("TASK = 3\n", r"mine\.py: TASK is a int; it must be a tasks\.Task"),
        ("x = 1\nraise ValueError('boom')\n", r"mine\.py, line 2: ValueError: boom"),
        ("x = = 1\n", r"mine\.py, line 1: SyntaxError: invalid syntax"),
    ],
)
def test_a_users_broken_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserFileError, match=message):
        tasks.load(str(path))
    with pytest.raises(UnknownName, match="no task file"):
        tasks.load(str(tmp_path / "other.py"))


def test_the_task_in_the_manual_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(text.split("```python\n")[1].split("```")[0])
    save(tmp_path / "x" / "a.png")
    (tmp_path / "x" / "manifest.csv").write_text("file,side\na.png,L\n")
    source = tasks.open_source(str(tmp_path / "x"), columns_needed=["side"])
    (item,) = tasks.load(str(tmp_path / "mine.py")).items(source, np.random.default_rng(0), None)
    assert item.label == "left"
