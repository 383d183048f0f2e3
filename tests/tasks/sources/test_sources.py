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
from tasks.sources.table import split_lines
from tasks.sources.values import cut_digits
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


def linked(folder: Path) -> tasks.Source:
    return tasks.open_source(str(folder))


def test_a_linked_folder_is_read_like_any_other(tmp_path: Path) -> None:
    for k in range(3):
        save(tmp_path / "set" / "a" / f"{k}.png", k)
        save(tmp_path / ".store" / "deep" / f"{k}.png", 10 + k)
    (tmp_path / "set" / "c").symlink_to("../.store")
    (tmp_path / "set" / "a" / "9.png").symlink_to("0.png")
    source = linked(tmp_path / "set")
    assert [r.columns["folder"] for r in source.rows] == ["a"] * 4 + ["c"] * 3
    assert {r.columns["parent"] for r in source.rows} == {"a", "deep"}
    note = f"1 of {len(source.rows)} files are links to one that has another name here, and are images too"
    assert [w for w in source.warnings if "link" in w] == [note]
    (tmp_path / "set" / "a" / "9.png").unlink()
    assert not any("link" in w for w in linked(tmp_path / "set").warnings)


def test_a_folder_that_is_reached_twice_is_read_once_under_its_own_name(tmp_path: Path) -> None:
    root = tmp_path / "set"
    save(root / "b" / "1.png", 1)
    save(tmp_path / "elsewhere" / "2.png", 2)
    (root / "a").symlink_to("b")  # before b in order, and yet a second name for it
    (root / "b" / "up").symlink_to("..")  # a loop
    (root / "c").symlink_to("../elsewhere")
    source = linked(root)
    assert [r.columns["folder"] for r in source.rows] == ["b", "c"]
    assert "2 linked folders lead to one that is read already" in source.warnings
    (root / "b" / "up").unlink()
    assert "1 linked folder leads to one that is read already" in linked(root).warnings
    (root / "a").unlink()
    (root / "d").symlink_to("c")  # two links to one folder
    assert [r.columns["folder"] for r in linked(root).rows] == ["b", "c"]
    assert "1 linked folder leads to one that is read already" in linked(root).warnings


def test_a_link_that_leads_nowhere_is_named_and_a_hidden_one_is_passed_over(tmp_path: Path) -> None:
    for k in range(30):
        save(tmp_path / f"{k}.png", k)
    (tmp_path / "gone").symlink_to("nothing")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / ".hidden").symlink_to("nothing")
    (tmp_path / "30.png").symlink_to("nothing.png")
    source = linked(tmp_path)
    assert len(source.rows) == 30
    assert "2 links lead nowhere: gone, round" in source.warnings
    assert [why for _, why in source.unreadable] == ["30.png: a link that leads nowhere"]


def test_pipes_do_not_block_a_folder(tmp_path: Path) -> None:
    import os

    for k in range(30):
        save(tmp_path / f"{k}.png", k)
    for name in ("pipe", "pipe.dat", "pipe.png"):
        os.mkfifo(tmp_path / name)
    source = linked(tmp_path)
    assert len(source.rows) == 30
    assert "files that are no images were passed over: 2 pipe, socket or device" in source.warnings
    assert [why for _, why in source.unreadable] == ["pipe.png: a pipe, socket or device, which is no regular file"]


# ---- manifests


@pytest.mark.parametrize("column", ["file", "path", "image", "filename", "Image_Path"])
def test_the_image_column_is_found_by_its_usual_names(tmp_path: Path, column: str) -> None:
    source = tasks.open_source(str(manifest(tmp_path / "d", column=column)), group="patient")
    assert source.name == "manifest.csv", "of a whole path the last part"
    assert tasks.open_source(str(tmp_path / "d")).name == "d/manifest.csv"
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


def test_parquet_columns_of_every_type_are_text(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    save(tmp_path / "a.png")
    nano = pa.array([1577836800000000001]).cast(pa.timestamp("ns"))
    places = pa.py_buffer(np.array([0, 1], np.int32))
    bad = pa.Array.from_buffers(pa.string(), 1, [None, places, pa.py_buffer(b"\xfc")])
    table = {"file": pa.array([b"a.png"]), "seen": nano, "icon": pa.array([b"\x89PNG"]), " dx ": pa.array(["x"])}
    parquet.write_table(pa.table(table), tmp_path / "m.parquet")
    columns = tasks.open_source(str(tmp_path / "m.parquet")).rows[0].columns
    assert {name: columns[name] for name in ("seen", "icon", "dx")} == {
        "seen": "2020-01-01 00:00:00.000000001",
        "icon": "4 bytes",
        "dx": "x",
    }
    parquet.write_table(pa.table(table | {"name": bad}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match=r"m\.parquet column 'name' row 1 is not UTF-8 text"):
        tasks.open_source(str(tmp_path / "m.parquet"))


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
        ("", r"^m\.csv is empty; a manifest has a line of column names"),
        ("file,red_x,red_y\nx.png,,\n", "no such file"),
    ],
)
def test_broken_tables_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        tasks.open_source(str(tmp_path / "m.csv"))


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nfile;dx, old\na.png;1,5\n",
        '"sep=,"\r\nfile,"dx, old"\r\na.png,"1,5"\r\n',
        'file;"dx, old"\na.png;1,5\n',
        "file;dx, old\na.png;1,5\n",
        'file\t"dx,\n old"\na.png\t1,5\n',
        'file|"dx, old"|\na.png|1,5|\n',
        'file,"dx, old",,\na.png,"1,5",,\n',
        'file,"dx, old"\na.png,"1,5",,,\n',
        ',file,"dx, old"\n0,a.png,"1,5"\n',
        '\ufeff"file","dx, old"\n"a.png","1,5"\n,\n',
    ],
)
def test_the_habits_of_spreadsheets_are_read_as_they_are_meant(tmp_path: Path, text: str) -> None:
    save(tmp_path / "a.png")
    with (tmp_path / "m.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(text)
    (row,) = tasks.open_source(str(tmp_path / "m.csv")).rows
    assert row.columns["dx, old"] == "1,5"
    assert set(row.columns) - {"", "exif_orientation"} == {"dx, old"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"file,a,,\na.png,1,2,3\n", r"values in columns 3 and 4, which have no name"),
        (b"file,note\na.png,x\nb.png,\xe4\n", r"m\.csv line 3 is not UTF-8 text"),
        ("file,a\na.png,1\n".encode("utf-16"), r"m\.csv is UTF-16 text; save the table as UTF-8"),
        (b"file,a\na.png,1\n\0.png,2\n", r"m\.csv row 2: file is '\\x00\.png'; no name of a file holds a NUL"),
        (b"sep=;\nfile;a\na.png;1;2\n", r"m\.csv line 3 has 3 values for 2 columns"),
    ],
)
def test_what_a_table_cannot_mean_is_refused_by_its_place(tmp_path: Path, data: bytes, message: str) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_bytes(data)
    with pytest.raises(DataError, match=message):
        tasks.open_source(str(tmp_path / "m.csv"))


def test_names_from_windows_and_from_macos_lead_to_their_files_and_that_is_said(tmp_path: Path) -> None:
    composed, apart = "R\u00f6ntgen", "Ro\u0308ntgen"
    save(tmp_path / "img" / apart / "0.png", 0)
    save(tmp_path / "img" / "1.png", 1)
    save(tmp_path / "img" / f"{composed}.png", 2)
    save(tmp_path / "odd\\2.png", 3)  # a backslash is a letter here
    names = [f"img\\{composed}\\0.png", "img\\1.png", f"img/{apart}.png", "odd\\2.png"]
    (tmp_path / "m.csv").write_text("\n".join(["file", *names]), encoding="utf-8")
    source = tasks.open_source(str(tmp_path / "m.csv"))
    shown = [np.random.default_rng([k, 1]).integers(0, 255, (24, 32), dtype=np.uint8) for k in range(4)]
    for row, image in zip(source.rows, shown, strict=True):
        np.testing.assert_array_equal(row.picture.read(), image)
    assert "2 file names hold backslashes, which were read as /" in source.warnings
    assert any(w.startswith("2 file names are those of files in another Unicode form") for w in source.warnings)
    (tmp_path / "m.csv").write_text("file\nimg/1.png\n")
    assert not any("file names" in w for w in tasks.open_source(str(tmp_path / "m.csv")).warnings)
    save(tmp_path / "img" / f"{apart}.png", 4)  # both forms are there: each is its own file
    assert len({r.picture.identity for r in tasks.open_source(str(tmp_path / "img")).rows}) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("C:\\films\\0.png", r"no such file \(the name is a path of Windows"),
        ("img\\7.png", r"no such file \(nor with / for each backslash\)"),
        ("A.PNG", r"no such file \(there is 'a\.png'\)"),
        ("none.png", r"none\.png: no such file$"),
        ("x" * 5000, r"File name too long"),
    ],
)
def test_a_name_that_leads_nowhere_is_told_why(tmp_path: Path, name: str, message: str) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text(f"file\n{name}\n")
    with pytest.raises(DataError, match=message):
        tasks.open_source(str(tmp_path / "m.csv"))


def test_a_name_in_a_third_unicode_form_of_two_files_is_neither(tmp_path: Path) -> None:
    save(tmp_path / "\u00c5.png", 0)
    save(tmp_path / "A\u030a.png", 1)
    (tmp_path / "m.csv").write_text("file\n\u212b.png\n", encoding="utf-8")
    with pytest.raises(DataError, match="no such file"):
        tasks.open_source(str(tmp_path / "m.csv"))


def test_a_row_that_goes_on_behind_the_lines_tried_says_nothing_about_the_separator() -> None:
    lines = ["file;note, old;dx\n", *["a.png;x;y\n"] * 48, 'b.png;"one\n', 'two";y\n']
    assert split_lines(lines)[1:] == (";", 0)


@pytest.mark.parametrize("form", ["struct", "struct with paths", "list", "bytes"])
def test_images_inside_a_parquet_file_are_read_and_never_printed(tmp_path: Path, form: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    held = [save(tmp_path / "x" / f"{k}.png", k).read_bytes() for k in range(4)]
    paths = [f"train/{k // 2}.png" if form == "struct with paths" else None for k in range(4)]
    cells: list[Any] = [{"bytes": b, "path": p} for b, p in zip(held, paths, strict=True)]
    cells = {"list": [[c] for c in cells], "bytes": held}.get(form, cells)
    parquet.write_table(pa.table({"image": cells, "who": list("aabb"), "empty": [None] * 4}), tmp_path / "m.parquet")
    source = tasks.check(tasks.open_source(str(tmp_path / "m.parquet"), group="who"))
    assert len({row.id for row in source.rows}) == 4
    assert [row.group for row in source.rows][::2] == [row.group for row in source.rows][1::2]
    for k, row in enumerate(source.rows):
        expected = np.random.default_rng([k, 1]).integers(0, 255, (24, 32), dtype=np.uint8)
        np.testing.assert_array_equal(row.picture.read(), expected)
        assert set(row.columns) == {"who", "empty", "exif_orientation"}


def test_a_parquet_file_whose_images_are_none_is_refused_by_row_and_without_their_bytes(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    image = save(tmp_path / "a.png").read_bytes()

    def opened(cells: list[Any]) -> Source:
        parquet.write_table(pa.table({"image": cells}), tmp_path / "m.parquet")
        return tasks.open_source(str(tmp_path / "m.parquet"), unreadable_limit=0.9)

    one = {"bytes": image, "path": None}
    source = opened([one, None, {"bytes": b"\x1b[31m no image", "path": "b.png"}, {"bytes": None, "path": "a.png"}])
    assert len(source.rows) == 2  # of which the last is a path to a file
    assert [why for _, why in source.unreadable] == [
        "a row: the manifest names no file",
        "row 3 b.png: cannot be opened (UnidentifiedImageError: cannot identify image file 'the file')",
    ]
    named = pa.array([b"a.png", b"\x80.png"], pa.binary())
    paths = pa.Array.from_buffers(pa.string(), 2, named.buffers())
    held = pa.StructArray.from_arrays([pa.array([image, image], pa.binary()), paths], ["bytes", "path"])
    parquet.write_table(pa.table({"image": held}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match=r"m\.parquet column 'image\.path' row 2 is not UTF-8 text"):
        tasks.open_source(str(tmp_path / "m.parquet"))
    with pytest.raises(DataError, match=r"m\.parquet column 'image' row 2 holds 2 images; a row is one image"):
        opened([[one], [one, one]])
    with pytest.raises(DataError, match=r"m\.parquet column 'image' holds list<.*>, not images or their names"):
        opened([[1.0], [2.0]])


def test_only_regular_files_are_tables(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "m.csv")
    with pytest.raises(DataError, match=r"m\.csv is a folder, pipe, socket or device, which is no regular file"):
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


# ---- what a row's frame, group and images say


def stack(path: Path, pages: int = 3) -> Path:
    import tifffile

    pixels = np.random.default_rng(pages).integers(0, 255, (pages, 24, 32), dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


def rows_of(folder: Path, head: str, *rows: str, end: str = ".csv") -> Path:
    """A table of texts: CSV, TSV, or Parquet whose columns of numbers are float64, as pandas writes them."""
    lines = [line.split(",") for line in (head, *rows)]
    path = folder / f"m{end}"
    if end != ".parquet":
        mark = {".csv": ",", ".tsv": "\t"}[end]
        path.write_text("\n".join(mark.join(line) for line in lines) + "\n", encoding="utf-8")
        return path
    import pyarrow as pa
    from pyarrow import parquet

    def column(values: list[str]) -> Any:
        try:
            return pa.array([float(v) if v else None for v in values], pa.float64())
        except ValueError:
            return pa.array(values)

    names = lines[0]
    table = pa.table({name: column([line[k] for line in lines[1:]]) for k, name in enumerate(names)})
    parquet.write_table(table, path)
    return path


@pytest.mark.parametrize("end", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("head", ["file,frame", "file,Frame", "FILE,FRAME", "file,frame\u200b"])
def test_whole_frame_numbers_are_taken_however_they_and_their_heading_are_spelt(
    tmp_path: Path, end: str, head: str
) -> None:
    stack(tmp_path / "a.tif")
    spelt = ("1", "2.0", "+3", "3e0", "02", "2.00E+00")
    source = tasks.open_source(str(rows_of(tmp_path, head, *(f"a.tif,{s}" for s in spelt), end=end)))
    every = tasks.open_source(str(tmp_path / "a.tif")).rows
    shown = [next(k for k, page in enumerate(every, 1) if (page.picture.read() == r.picture.read()).all())
             for r in source.rows]  # fmt: skip
    assert shown == [1, 2, 3, 3, 2, 2]


@pytest.mark.parametrize("text", ["-1", "0", "2.5", "slice 3", "1_0", "٣", "inf", "9" * 5000, "1e99", "0x1", "3 4"])
def test_what_is_no_frame_number_is_refused_by_row_and_value(tmp_path: Path, text: str) -> None:
    stack(tmp_path / "a.tif")
    with pytest.raises(DataError) as caught:
        tasks.open_source(str(rows_of(tmp_path, "file,frame", "a.tif,1", f"a.tif,{text}")))
    assert f"m.csv row 2 (a.tif): frame is {text[:40]!r}"[:-1] in str(caught.value)
    assert "it is a whole number from 1, or empty" in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("frame", "message"),
    [("4", r"row 2: a\.tif: it has frames 1 to 3, not 4"), ("2", r"row 2: b\.png: it has one frame, not frame 2")],
)
def test_a_frame_that_a_file_does_not_have_is_refused_though_others_have_theirs(
    tmp_path: Path, frame: str, message: str
) -> None:
    stack(tmp_path / "a.tif")
    save(tmp_path / "b.png")
    file = "a.tif" if frame == "4" else "b.png"
    good = [f"{f},1" for f in ("a.tif", "b.png") for _ in range(20)]
    with pytest.raises(DataError, match=message):
        tasks.open_source(str(rows_of(tmp_path, "file,frame", good[0], f"{file},{frame}", *good)), unreadable_limit=0.5)


def test_rows_without_a_frame_and_columns_that_look_like_one_are_said(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        stack(tmp_path / name)
    save(tmp_path / "c.png")

    def said(head: str, *rows: str, word: str) -> list[str]:
        return [w for w in tasks.open_source(str(rows_of(tmp_path, head, *rows))).warnings if word in w]

    some = "1 rows name no frame of a file that holds several: all 3 frames of these are asked (the first is row 2)"
    assert said("file,frame", "a.tif,2", "b.tif,", "c.png,NA", word="frame") == [some]
    assert not said("file,frame", "a.tif,2", "c.png,", word="frame")
    like = "the column 'Slice' is not read as the number of a frame: all 6 frames of 2 files are asked"
    assert said("file,Slice", "a.tif,2", "b.tif,3", word="frame")[0].startswith(like)
    for head, rows in {
        "file,slice": ("a.tif,12", "b.tif,40"),  # beyond the frames of the files
        "file,index": ("a.tif,1", "b.tif,1"),
        "file,dose": ("a.tif,1", "b.tif,2"),
    }.items():
        assert not said(head, *rows, word="frame"), head
    with pytest.raises(DataError, match=r"two columns that may be 'frame': 'frame' and 'Frame'; rename all but one"):
        said("file,frame,Frame", "a.tif,1,2", word="")
    with pytest.raises(DataError, match=r"two columns that may be 'file': 'file' and 'File'"):
        said("file,File", "a.tif,b.tif", word="")


def test_a_row_that_repeats_another_and_a_second_column_of_images_are_said(tmp_path: Path) -> None:
    for k, name in enumerate(("a.png", "b.png")):
        save(tmp_path / name, k)

    def said(head: str, *rows: str) -> list[str]:
        return [w for w in tasks.open_source(str(rows_of(tmp_path, head, *rows))).warnings if "its own group" not in w]

    again = "2 images are named by an earlier row too and are asked once for each (the first is row 3)"
    assert said("file,dx", "a.png,1", "b.png,0", "a.png,1", "./a.png,1") == [again]
    assert not said("file,dx,question", "a.png,1,how", "a.png,0,where")
    assert not said("file,red_x,red_y", "a.png,1,1", "a.png,2,2")
    other = "images are read from the column 'file', not 'path'; --image-column chooses"
    assert said("file,path", "a.png,b.png", "b.png,a.png") == [other]
    assert not said("file,path", "a.png,/far/away/a.png", "b.png,C:\\far\\b.png")
    assert not said("file,image", "a.png,1", "b.png,2")
    assert not said("file,image", "a.png,b.png", "b.png,1"), "half of a column is no list of files"


NBSP, ZERO = "\u00a0", "\u200b"
SPELT = [("7", "7.0"), ("7", "0007"), ("P7", "p7"), ("P007", "P7"), ("P7", f"P{ZERO}7"), ("P 7", f"P{NBSP}7"),
         ("P 7", "P7"), ("Ré", "Re\u0301"), ("P7", "\uff307"), ("P-7", "P\u20137"), ("\ufeffP7", "P7"), ("1e3", "1000"),
         ("P7\u00ad", "P7"), ("'007", "7"), ("P-7", "P7"), ("P_7", "P-7"), ("P7.", "P7"), ("#7", "7"), ("(7)", "7"),
         ('"=""7"""', "7"), ("'7'", "7"), ("\u04217", "C7"), ('"7,0"', "7"),
         ("\u0412\u043e", "\u0432\u043e"), ("1_1", "1-1")]  # fmt: skip
APART = [("7", "70"), ("1.05", "1.5"), ("v1.05", "v1.5"), ("1 2", "12"), ("1.2.840.0", "1.2.840"),
         ("a", "á"), ("0e12", "0e34"), ("A", "B"), ("-7", "7"), ("1_1", "11"), ("10", "1E1x"), ("CD4", "CD4-"),
         ("t -1", "t 1"), ("#", "…"), ('"1,000"', "1"), ("1-2", "12"), ("\u00b5g", "mg")]  # fmt: skip


@pytest.mark.parametrize(("one", "two"), SPELT)
def test_one_group_in_two_spellings_is_refused_united_or_kept(tmp_path: Path, one: str, two: str) -> None:
    for k in range(4):
        save(tmp_path / f"{k}.png", k)
    path = str(rows_of(tmp_path, "file,patient", f"0.png,{one}", "1.png,Q", f"2.png,{two}", f"3.png,{one}"))
    said = r"differs only in spelling in the group column 'patient' of .*m\.csv: .*\(2 times, first row 1\) and .*"
    with pytest.raises(DataError, match=rf"1 value {said}\(1 times, first row 3\); .*--spelling unite .*keep"):
        tasks.open_source(path, group="patient")
    united, kept = (tasks.open_source(path, group="patient", spelling=rule) for rule in ("unite", "keep"))
    assert [len({r.group for r in source.rows}) for source in (united, kept)] == [2, 3]
    assert united.rows[0].group == kept.rows[0].group == united.rows[2].group
    assert united.warnings[-1].endswith("m.csv: row 1 and row 3: they are one")
    assert kept.warnings[-1].endswith("m.csv: row 1 and row 3: they stay apart")


@pytest.mark.parametrize(("one", "two"), APART)
def test_groups_that_differ_in_more_than_spelling_are_two_without_a_word(tmp_path: Path, one: str, two: str) -> None:
    for k in range(2):
        save(tmp_path / f"{k}.png", k)
    source = tasks.open_source(str(rows_of(tmp_path, "file,patient", f"0.png,{one}", f"1.png,{two}")), group="patient")
    assert len({r.group for r in source.rows}) == 2
    assert not source.warnings


def test_patients_of_dicom_files_are_held_to_the_same_and_never_named(tmp_path: Path) -> None:
    from tests.tasks.images.helpers import ct, hounsfield

    for k, name in enumerate(("SECRET7", "secret7", "OTHER", "N/A")):
        ct(tmp_path / f"{k}.dcm", hounsfield() + k, PatientID=name)
    with pytest.raises(DataError, match=r"1 value differs only in spelling in PatientID: 0\.dcm and 1\.dcm;") as caught:
        tasks.open_source(str(tmp_path))
    source = tasks.open_source(str(tmp_path), spelling="unite")
    assert len({row.group for row in source.rows}) == 3
    assert any("PatientID: image 1 and image 2: they are one" in w for w in source.warnings)
    assert any("(1 images name none: each file is its own group)" in w for w in source.warnings)
    assert "secret" not in (str(caught.value) + " ".join(source.warnings)).lower()


@pytest.mark.parametrize("mark", ["nan", "None", "#N/A", "<NA>", "?", "-", ".", "NaT", "N/A", ZERO])
def test_a_mark_of_a_missing_value_is_no_group(tmp_path: Path, mark: str) -> None:
    for k in range(3):
        save(tmp_path / f"{k}.png", k)
    path = rows_of(tmp_path, "file,patient", "0.png,1", f"1.png,{mark}", f"2.png,{mark}")
    with pytest.raises(DataError, match=r"2 of 3 rows of .* have no value in the group column 'patient' \(.*row 2: 1"):
        tasks.open_source(str(path), group="patient")


def test_ids_that_a_spreadsheet_cut_are_said(tmp_path: Path) -> None:
    for k in range(2):
        save(tmp_path / f"{k}.png", k)
    path = rows_of(tmp_path, "file,patient", "0.png,1.23457E+12", "1.png,1.23457E+12")
    assert "2 rows have a patient like 1.23E+12" in tasks.open_source(str(path), group="patient").warnings[0]
    for ids, count in {
        ("9007199254740992.0", "7.0"): 1,
        ("123456789012345000", "123456789012346000"): 2,
        ("123456789012345000", "123456789012345678"): 0,
        ("1234567890", "1230000000"): 0,
    }.items():
        assert cut_digits(ids) == count, ids


@pytest.mark.parametrize("word", ["unknown", "Anonymous", "n.a.", "0", "-1", "999"])
def test_a_group_that_perhaps_is_nobodys_is_named(tmp_path: Path, word: str) -> None:
    for k in range(6):
        save(tmp_path / f"{k}.png", k)

    def said(*groups: str) -> list[str]:
        path = rows_of(tmp_path, "file,patient", *(f"{k}.png,{group}" for k, group in enumerate(groups)))
        return list(tasks.open_source(str(path), group="patient").warnings)

    (note,) = said("a", word, "b", word, word, "c")
    assert note.startswith(f"3 rows are one group, {word!r}, in the group column 'patient' of ")
    assert "(the first is row 2)" in note
    assert not said("a", word, "b", "c", "d", "d")
    assert not said("a", "a", "a", "b", "b", "b")


def test_a_cell_that_holds_whole_rows_is_an_open_quotation_mark(tmp_path: Path) -> None:
    for k in range(5):
        save(tmp_path / f"{k}.png", k)
    lost = rows_of(tmp_path, "file,note", "0.png,a", '1.png,"5 mm', "2.png,b", '3.png,wide"', "4.png,c")
    with pytest.raises(DataError, match=r"m\.csv line 5: 'note' holds whole rows \('2\.png,b'\): a quotation mark"):
        tasks.open_source(str(lost))
    text = rows_of(tmp_path, "file,note", '0.png,"Heart is large,\nlungs are clear, ends at 5.5"', "1.png,b")
    assert len(tasks.open_source(str(text)).rows) == 2


def test_a_column_beside_one_of_nearly_its_name_is_said(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    path = str(rows_of(tmp_path, "file,dx,DX,Patient_ID,patient-id", "a.png,1,2,3,4"))
    said = tasks.open_source(path, columns_needed=("dx",), group="Patient_ID").warnings
    assert "--label 'dx' is not the column 'DX', which is called alike" in said
    assert "--group 'Patient_ID' is not the column 'patient-id', which is called alike" in said
    assert not tasks.open_source(
        str(rows_of(tmp_path, "file,dx,g", "a.png,1,2")), columns_needed=("dx",), group="g"
    ).warnings
    path = str(rows_of(tmp_path, f"file,my{NBSP}dx{ZERO},Patient No", "a.png,1,2"))
    source = tasks.open_source(path, columns_needed=("my dx",))
    assert source.rows[0].columns["my dx"] == "1"


def test_a_column_frame_of_images_that_hold_one_each_is_not_used_and_that_is_said(tmp_path: Path) -> None:
    for k in range(3):
        save(tmp_path / f"{k}.png", k)
    source = tasks.open_source(str(rows_of(tmp_path, "file,frame", "0.png,4584", "1.png,1", "2.png,4590")))
    assert [row.columns["frame"] for row in source.rows] == ["4584", "1", "4590"]
    assert source.rows[0].id == tasks.item_id("0.png")
    assert "it has other numbers for 2 of them" in source.warnings[-1]
    with pytest.raises(DataError, match=r"row 2: 0\.png: it has one frame, not frame 2"):  # parts of a lost stack
        tasks.open_source(str(rows_of(tmp_path, "file,frame", "0.png,1", "0.png,2", "1.png,1")))


@pytest.mark.parametrize("x", ["1,5", "1_0", "-1", "nan", "inf", "", "left"])
def test_places_of_marks_are_numbers_with_a_point(tmp_path: Path, x: str) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text(f'file,Red_X,red_y\na.png,1.5,2\na.png,"{x}",2\n')
    with pytest.raises(DataError, match=rf"row 2: a\.png: the red mark lies at x = '{x}', y = '2'"):
        tasks.open_source(str(tmp_path / "m.csv"))
    (tmp_path / "m.csv").write_text("file,Red_X,red_y\na.png,1.5,2\n")
    assert tasks.open_source(str(tmp_path / "m.csv")).rows[0].marks == (tasks.Mark(name="red", x=1.5, y=2.0),)


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
    with pytest.raises(DataError, match=r"^m\.csv: row 1: a\.png: the red mark lies at x = '1', y = 'nan'"):
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
    assert [(row.id, row.group) for row in tasks.check(plain).rows] == [(row.id, row.group) for row in plain.rows]
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
    assert time.process_time() - opened < 2
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
