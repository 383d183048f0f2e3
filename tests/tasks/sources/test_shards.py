"""Webdataset tars and the hub's Parquet on this disk: what is read, and what is refused in one line."""

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tests.hub_server import Hub, Repository, serving
from tests.tasks.images.helpers import dicom, wide
from tests.tasks.sources.test_remote import message, parquet, png, save, tar


def kept(spec: Path, **more: Any) -> list[dict[str, str]]:
    return [dict(row.columns) for row in tasks.open_source(str(spec), **more).rows]


# ---- webdataset


def test_members_of_one_key_are_a_sample(tmp_path: Path) -> None:
    dicom(tmp_path / "x.dcm", wide()[:40, :36])
    said = {"age": 61, "sharp": 0.5, "side": None, "seen": True, "boxes": [1, 2], "note": " é "}
    shard = tar({
        "./a/0.b.png": b"not this one", "a/001.jpg.txt": b"no image",  # keys a/0 and a/001, endings b.png and jpg.txt
        "s.1/002.PNG": png(2), "s.1/002.json": json.dumps(said).encode(), "s.1/002.cls": b"3\n",
        "003.txt": b"ein Bild", "003.png": png(3), "003.seg.png.bak": b"x", ".hidden": b"x", "readme": b"x",
        "004.dcm": (tmp_path / "x.dcm").read_bytes(), "005.json": b"{}",
    })  # fmt: skip
    save(tmp_path / "set", {"one.tar": shard})
    (tmp_path / "set" / "deeper").mkdir()
    source = tasks.open_source(str(tmp_path / "set"), window="minmax", unreadable_limit=0.9)
    assert [text for _, text in source.unreadable] == [
        "a/0.b.png: cannot be opened (UnidentifiedImageError: cannot identify image file 'the file')"
    ]
    assert [row.id for row in source.rows] == [tasks.item_id(n) for n in ("s.1/002.PNG", "003.png", "004.dcm")]
    first = source.rows[0].columns
    assert {k: first[k] for k in ("key", "age", "sharp", "side", "seen", "boxes", "note", "cls", "txt")} == {
        "key": "s.1/002", "age": "61", "sharp": "0.5", "side": "", "seen": "True", "boxes": "[1, 2]", "note": "é",
        "cls": "3", "txt": "",
    }  # fmt: skip
    assert source.rows[1].columns["txt"] == "ein Bild"
    assert source.rows[2].picture.read().shape == (40, 36)
    assert any("2 without a key or an ending" in note for note in source.warnings)
    assert any("2 of samples without an image" in note for note in source.warnings)
    again = tmp_path / "two.tar"
    again.write_bytes((tmp_path / "set" / "one.tar").read_bytes())
    (tmp_path / "set" / "two.tar").write_bytes(shard)
    both = tasks.open_source(str(tmp_path / "set"), window="minmax", unreadable_limit=0.9)
    assert len({row.id for row in both.rows}) == 6  # one key in two shards is two samples
    assert len({row.group for row in both.rows}) == 5  # and two groups, but for the DICOM file, which names its patient


def test_the_image_among_several_is_chosen(tmp_path: Path) -> None:
    members = {f"{k}.{end}": png(k + 10 * (end == "mask.png")) for k in range(2) for end in ("image.png", "mask.png")}
    path = save(tmp_path, {"set.tar": tar(members)}) / "set.tar"
    assert "holds 2 images; say --image-column ENDING, one of: image.png, mask.png" in message(str(path))
    assert "no sample of set.tar has a member .film.png; there are: image.png, mask.png" in message(
        str(path), image_column="film.png"
    )
    rows = tasks.open_source(str(path), image_column="mask.png").rows
    assert len(rows) == 2
    assert rows[0].picture.read().tolist() == tasks.open_source(
        str(save(tmp_path / "plain", {"0.png": png(10)}))
    ).rows[0].picture.read().tolist()  # fmt: skip


def header(name: str, size: int = 0, kind: bytes = b"0", body: bytes = b"", link: str = "") -> bytes:
    """One member of a tar whose header says what it likes."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"%011o\0" % size if size < 8**11 and size >= 0 else b"\x80" + (size % 2**88).to_bytes(11, "big")
    if size < 0:
        block[124] = 0xFF
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    return bytes(block) + body + b"\0" * (-len(body) % 512)


def member(name: str, body: bytes) -> bytes:
    return header(name, len(body), body=body)


END = b"\0" * 1024
GOOD = member("1.png", png(1))
HOSTILE = {
    "out": (GOOD + member("../2.png", png(2)) + END, "a name that leads out of it"),
    "absolute": (GOOD + member("/etc/2.png", png(2)) + END, "a name that leads out of it"),
    "huge": (GOOD + header("2.png", 1 << 60) + END, "is cut: '2.png'"),
    "negative": (GOOD + header("2.png", -512) + END, "is cut: '2.png'"),
    "cut": ((GOOD + member("2.png", png(2)) + END)[: len(GOOD) + 700], "is cut: '2.png'"),
    "cut-between": (GOOD, "has no mark of its end"),
    "damaged": (GOOD + b"\x01" * 1024 + END, "is damaged at byte"),
    "joined": (GOOD + END + GOOD + END, "goes on behind the mark of its end"),
    "twice": (GOOD + GOOD + END, "holds '1.png' twice"),
    "twice-by-case": (GOOD + member("1.PNG", png(1)) + END, "holds '1.PNG' twice"),
    "long-header": (GOOD + header("x", 1 << 30, b"x") + END, "cannot be read as a tar (a header of"),
    "negative-header": (GOOD + header("x", -5, b"x") + END, "cannot be read as a tar"),
    "packed": (gzip.compress(GOOD + END), "is packed by gzip"),
    "empty": (b"", "is empty"),
    "text": (b"this is no tar\n" * 100, "cannot be read as a tar"),
    "none": (END, "holds no image"),
    "json": (GOOD + member("1.json", b"{") + END, "1.json is not JSON"),
    "deep": (GOOD + member("1.json", b"[" * 100_000) + END, "1.json is not JSON"),
    "bytes": (GOOD + member("1.txt", b"\xff") + END, "1.txt is not UTF-8"),
    "text-size": (GOOD + member("1.txt", b"x" * (1 << 21)) + END, "the text of one sample has at most"),
    "two-ways": (GOOD + member("1.json", b'{"cls": 1}') + member("1.cls", b"2") + END, "'cls' is '1' and '2'"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    data, words = HOSTILE[name]
    path = tmp_path / "bad.tar"
    path.write_bytes(data)
    text = message(str(path))
    assert "bad.tar" in text
    assert words in text
    assert [one.name for one in tmp_path.iterdir()] == ["bad.tar"]


def test_links_and_devices_are_passed_over_and_counted(tmp_path: Path) -> None:
    links = [
        header("2.png", 0, b"2", link="/etc/passwd"),
        header("3.png", 0, b"1", link="1.png"),
        header("4.png", 0, b"3"),
    ]
    path = tmp_path / "links.tar"
    path.write_bytes(GOOD + b"".join(links) + END)
    source = tasks.open_source(str(path))
    assert len(source.rows) == 1
    assert "members of links.tar that were passed over: 3 links, devices or sparse files" in source.warnings


def test_names_with_braces_are_shards(tmp_path: Path) -> None:
    save(tmp_path, {f"set-{k:02d}.tar": tar({f"{k}.png": png(k)}) for k in (8, 9, 10)})
    source = tasks.open_source(str(tmp_path / "set-{08..10}.tar"))
    assert source.name == "set-{08..10}.tar"
    assert [row.columns["key"] for row in source.rows] == ["8", "9", "10"]
    assert "1 of 4 shards are not there, the first set-11.tar" in message(str(tmp_path / "set-{08..11}.tar"))
    assert "a range runs up" in message(str(tmp_path / "set-{5..1}.tar"))
    assert "more than 1000000 names" in message(str(tmp_path / "{1..9999}-{1..9999}.tar"))
    save(tmp_path / "mixed", {"a.tar": tar({"1.png": png(1)}), "a.parquet": b""})
    assert "holds 1 .tar and 1 .parquet" in message(str(tmp_path / "mixed"))


# ---- the hub's Parquet


def test_numbers_of_classes_become_their_names(tmp_path: Path) -> None:
    images = [(png(k), label, "p") for k, label in enumerate((0, 1, -1))]
    path = save(tmp_path, {"x.parquet": parquet(images)}) / "x.parquet"
    assert [row["finding"] for row in kept(path)] == ["clear", "mass", ""]
    path.write_bytes(parquet([(png(0), 7, "p")]))
    assert "column 'finding' row 1 is '7'; its note names classes 0 to 1" in message(str(path))
    save(tmp_path / "set", {"data/a.parquet": parquet(images), "data/b.parquet": b"x"})
    assert "b.parquet cannot be read as Parquet" in message(str(tmp_path / "set"))


def test_a_data_set_of_the_hub_is_its_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = {f"data/{split}-00000-of-00001.parquet": parquet([(png(k), k, split)])
              for k, split in enumerate(("train", "test"))}  # fmt: skip
    save(tmp_path / "repo", shards | {"README.md": b"text", "huge.bin": b"not wanted"})
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    commit = "c" * 40
    with serving(Hub(repositories={"datasets/own/films": Repository(folder=tmp_path / "repo", commit=commit)})) as hub:
        hub.set_client(monkeypatch.setattr, tmp_path / "cache")
        source = tasks.open_source("hf://datasets/own/films")
        assert not any("huge.bin" in path for path in hub.asked)
        gone = message("hf://datasets/own/gone")
    assert source.name == "hf://datasets/own/films@cccccccccccc"
    assert [(r.columns["split"], r.columns["finding"]) for r in source.rows] == [("test", "mass"), ("train", "clear")]
    assert "hf download --repo-type dataset own/gone --local-dir PATH" in gone
    again = tasks.open_source(f"hf://datasets/own/films@{commit}/data", offline=True)  # from the hub's own cache
    assert [row.picture.read().tolist() for row in again.rows] == [row.picture.read().tolist() for row in source.rows]
    assert "is not on this machine and the run is offline" in message("hf://datasets/own/other", offline=True)
    assert "is no repository" in message("hf://datasets/films")


def test_of_a_parquet_file_one_row_group_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.sources import embedded

    path = save(tmp_path, {"x.parquet": parquet([(png(k), 0, str(k)) for k in range(20)])}) / "x.parquet"
    held: list[int] = []
    read = embedded._file

    class Counting:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def read_row_group(self, group: int, columns: list[str]) -> Any:
            held.append(group)
            return self.file.read_row_group(group, columns=columns)

    monkeypatch.setattr(embedded, "_file", lambda where: Counting(read(where)))
    source = tasks.open_source(str(path))
    for row in source.rows:
        assert isinstance(row.picture.read(), np.ndarray)
    assert held == [0, 1, 2] * (len(held) // 3)  # one after another, and none for each row
    assert len(held) <= 9
