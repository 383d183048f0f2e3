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


class Counted(Kept):
    """A memory that counts the keys that it is asked for."""

    asked = 0

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        self.asked += len(keys)
        return super().get_many(keys)


def many(folder: Path, count: int) -> None:
    """So many images of two sizes, in folders of 500."""
    data = []
    for side in (5, 6):
        Image.fromarray(np.full((side, side), 7, np.uint8)).save(folder / "one.png")
        data.append((folder / "one.png").read_bytes())
    (folder / "one.png").unlink()
    for i in range(count):
        home = folder / f"{i // 500}"
        home.mkdir(exist_ok=True)
        (home / f"{i:04d}.png").write_bytes(data[i % 2])


def test_many_known_files_are_asked_for_in_blocks_and_one_that_changed_costs_its_block(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "SETTLED", -60.0)
    many(tmp_path, 600)
    monkeypatch.setattr("tasks.sources.blocks.ENDS", 63)
    memory = Counted()
    first = names(asked(tmp_path, memory))
    memory.asked = 0
    opened.clear()
    again = names(asked(tmp_path, memory))
    assert again == first
    assert not opened
    assert memory.asked < 60  # blocks of 64 names on average
    data = bytearray((tmp_path / "0/0300.png").read_bytes())
    (tmp_path / "0/0300.png").write_bytes((tmp_path / "0/0301.png").read_bytes())
    (tmp_path / "0/9999.png").write_bytes(data)
    memory.asked = 0
    changed = names(asked(tmp_path, memory))
    assert set(opened) == {"0300.png", "9999.png"}
    assert memory.asked < 600
    assert changed[300] == first[301] != first[300]
    assert changed[500] == first[300]
    assert [*changed[:300], *changed[301:500], *changed[501:]] == [*first[:300], *first[301:]]


def test_each_file_of_a_block_keeps_the_header_that_is_its_own(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "SETTLED", -60.0)
    turned = Image.Exif()
    turned[0x0112] = 6
    for i in range(80):
        exif = turned if i % 3 == 0 else Image.Exif()
        Image.fromarray(np.full((8, 9), 3 * i, np.uint8)).save(tmp_path / f"{i:02d}.jpg", exif=exif)
    memory = Counted()
    first = [told(row) for row in asked(tmp_path, memory).rows]
    assert [columns["exif_orientation"] for _, _, columns, *_ in first] == ["1" if i % 3 else "6" for i in range(80)]
    opened.clear()
    memory.asked = 0
    assert [told(row) for row in asked(tmp_path, memory).rows] == first
    assert not opened
    assert memory.asked < 80, "asked for in blocks"


def test_a_listing_holds_few_bytes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name 65 bytes, 5 numbers of 8, a digest of 32, references: half of 500; a graph of objects held 4,500."""
    import tracemalloc

    monkeypatch.setattr(headers, "SETTLED", -60.0)
    many(tmp_path, 2000)
    memory = Kept()
    asked(tmp_path, memory)
    for kept in (Kept(), memory):  # opened for the first time, and known
        held = []
        for _ in range(2):  # what is loaded or looked up once in a process is not of the listing
            tracemalloc.start()
            try:
                source = tasks.open_source(str(tmp_path), headers=Kept(kept))
                held.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
            assert len(source.rows) == 2000
        assert min(held) / 2000 < 500


def test_a_picture_goes_to_another_process_without_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.setattr(headers, "SETTLED", -60.0)
    many(tmp_path, 40)
    for source in (tasks.open_source(str(tmp_path)), asked(tmp_path, Kept())):
        one = source.rows[7].picture
        sent = pickle.dumps(one)
        assert len(sent) < 4000
        there = pickle.loads(sent)
        assert there.identity == one.identity
        assert np.array_equal(there.read(), one.read())


def test_the_order_of_texts_is_the_natural_one() -> None:
    from tasks.sources.files import in_natural_order, natural

    parts = ("a", "A", "b/", "-", ".", "1", "01", "10", "2", "0", "00", "ß", "٣", "")
    every = sorted({x + y + z for x in parts for y in parts for z in parts})
    shuffled = [every[i] for i in np.random.default_rng(0).permutation(len(every))]
    assert sorted(shuffled, key=in_natural_order) == sorted(shuffled, key=natural)
