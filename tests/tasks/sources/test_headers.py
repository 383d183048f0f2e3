"""What is remembered of files on this disk: not opened again while they are the same, looked at when they are not."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tasks
from tasks.images import content, decode
from tasks.sources import headers
from tests.tasks.images.helpers import dicom, picture


class Kept(dict[str, Any]):
    """A memory of headers."""

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        return {key: self[key] for key in keys if key in self}

    def put_many(self, values: Mapping[str, Any]) -> None:
        self |= values


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for k, name in enumerate(("a.bmp", "b.bmp", "in/c.bmp", "in/cut.png")):
        Image.fromarray(np.full((9, 7), 40 * k + 3, np.uint8)).save(tmp_path / name)
    (tmp_path / "in/cut.png").write_bytes((tmp_path / "in/cut.png").read_bytes()[:-28])
    dicom(tmp_path / "d.dcm", picture(12, 12), PatientID="Somebody")
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files whose headers were read, or whose bytes were hashed, since it was cleared."""
    names: list[str] = []
    kind, digest = decode.kind, content.Content.digest

    def of_header(path: Any) -> str | None:
        names.append(path.name)
        return kind(path)

    def of_bytes(self: content.Content) -> str | None:
        if self.known is None:
            names.append(self.path.name)
        return digest(self)

    monkeypatch.setattr(decode, "kind", of_header)
    monkeypatch.setattr(content.Content, "digest", of_bytes)
    return names


def asked(folder: Path, memory: Kept, **choices: Any) -> tasks.Source:
    """A source whose identities were asked for, and that was remembered."""
    source = tasks.open_source(str(folder), headers=memory, unreadable_limit=1.0, **choices)
    assert all(row.picture.identity for row in source.rows)
    source.remember()
    return source


def names(source: tasks.Source) -> list[str | None]:
    return [row.picture.identity for row in source.rows]


def told(row: tasks.Row) -> tuple[Any, ...]:
    return row.id, row.group, row.columns, row.place, row.in_folder


def test_files_that_did_not_change_are_not_opened_again(
    folder: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "SETTLED", -60.0)
    memory = Kept()
    plain = asked(folder, Kept())
    tasks.open_source(str(folder), headers=memory)
    assert not memory  # bytes that nobody asked for were not read
    first = asked(folder, memory)
    assert len(memory) == 4  # nothing of DICOM
    text = json.dumps([*memory, *memory.values()])
    assert "Somebody" not in text
    assert "bmp" not in text
    assert folder.name not in text
    opened.clear()
    again = asked(folder, memory)
    assert set(opened) == {"d.dcm"}
    assert names(again) == names(first) == names(plain)
    assert [told(row) for row in again.rows] == [told(row) for row in first.rows]
    assert (again.warnings, again.undecided, again.unreadable) == (first.warnings, first.undecided, first.unreadable)
    for one, other in zip(again.rows[:3], plain.rows[:3], strict=True):
        assert np.array_equal(one.picture.read(), other.picture.read())
    with pytest.raises(tasks.DataError, match=r"^in/cut\.png: "):
        again.rows[-1].picture.read()  # a broken one stays broken
    opened.clear()
    asked(folder, memory, window="minmax")  # read by another policy
    assert len(set(opened)) == 5


def test_a_file_that_changed_is_looked_at_again(
    folder: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "SETTLED", -60.0)
    memory = Kept()
    first = asked(folder, memory)
    path = folder / "a.bmp"
    for change in ("written over", "put in its place", "broken"):
        facts = path.stat()
        data = bytearray(path.read_bytes())
        if change == "broken":
            data[:2] = b"\0\0"
        else:
            data[-1 - len(change)] ^= 1
        new = folder / "new.part"
        target = new if change == "put in its place" else path
        time.sleep(0.02)  # two ticks of the clock by which times are kept
        target.write_bytes(data)
        os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as large, and as old, as before
        target.replace(path)
        opened.clear()
        source = tasks.open_source(str(folder), headers=memory, unreadable_limit=1.0)
        if change == "broken":
            assert [reason[:5] for _, reason in source.unreadable] == ["a.bmp"]
            continue
        assert names(source)[0] not in (None, names(first)[0])
        assert names(source)[1:] == names(first)[1:]
        assert {one for one in opened if one != "d.dcm"} == {"a.bmp"}


def test_a_file_as_young_as_its_clock_is_coarse_is_not_remembered(folder: Path) -> None:
    memory = Kept()
    asked(folder, memory)
    assert not memory


def test_bytes_that_changed_between_listing_and_hashing_are_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "SETTLED", -60.0)
    memory = Kept()
    source = tasks.open_source(str(folder), headers=memory)
    time.sleep(0.02)
    (folder / "b.bmp").write_bytes((folder / "a.bmp").read_bytes())
    assert names(source)[0] == names(source)[1]
    source.remember()
    assert len(memory) == 3
