"""A store that somebody else made, damaged, locked, shared or closed: nothing raw, nothing wrong, nothing outside."""

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cache import Store, StoreError, atomic, write_atomically
from cache.shard import HEAD
from experiments.features import main as features

WIDTHS = {"a/mean": 4}
IDS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(6)]
X = np.arange(24, dtype=np.float32).reshape(6, 4)


def fill(store: Store) -> Path:
    space = store.space({"e": 1}, label="toy")
    with space.writer(WIDTHS, total=6) as writer:
        writer.add(IDS, {"a/mean": X})
    return next(space.folder.glob("shard-*.h5"))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


def named(path: Path, data: bytes, head: int) -> Path:
    """A shard under the name that its head has by its sha256, as whoever can write a file can name it."""
    made = path.with_name(f"shard-{hashlib.sha256(data[:head]).hexdigest()[:32]}-{head}.h5")
    path.unlink(missing_ok=True)
    made.write_bytes(data)
    return made


def with_index(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The shard with another index, under a right name."""
    data, head = path.read_bytes(), int(path.stem.split("-")[2])
    at = data.index(b'{"schema"')
    end = data.index(b"\0", at) if b"\0" in data[at:head] else head
    index = json.loads(data[at:end])
    text = change(index)
    text = (text if isinstance(text, bytes) else json.dumps(index).encode()).ljust(end - at)[: end - at]
    return named(path, data[:at] + text + data[end:], head)


def _column(index: dict[str, Any], place: int, value: object) -> None:
    index["columns"]["a/mean"][place] = value


INDEXES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an offset before the file": lambda i: _column(i, 0, -1),
    "an offset into the head": lambda i: _column(i, 0, 8),
    "a dtype of objects": lambda i: _column(i, 1, "|O"),
    "a dtype that is none": lambda i: _column(i, 1, "no dtype"),
    "a width of nought": lambda i: _column(i, 2, 0),
    "a width beyond all": lambda i: _column(i, 2, 1 << 40),
    "a width that is a text": lambda i: _column(i, 2, "4"),
    "rows below nought": lambda i: i.update(n=-6),
    "rows without end": lambda i: i.update(n=1 << 62),
    "rows that are a truth": lambda i: i.update(n=True),
    "no content": lambda i: i["columns"].pop("content"),
    "columns that are a list": lambda i: i.update(columns=[]),
    "a column that is a number": lambda i: i["columns"].update({"a/mean": 3}),
    "no time": lambda i: i.pop("created"),
    "a schema that is a text": lambda i: i.update(schema="one"),
    "a number of five thousand digits": lambda _: b'{"schema": ' + b"9" * 5000 + b"}",
    "brackets without end": lambda _: b'{"schema": ' + b"[" * 5000,
    "no JSON": lambda _: b"{" * 300,
}


def hold(store: Store, capsys: pytest.CaptureFixture[str], bad: Path) -> str:
    """What `verify` says of a shard that is bad; none of it is used, and no command ends raw."""
    fresh = Store(store.root)
    assert fresh.space({"e": 1}).missing(IDS, WIDTHS) == list(range(6))
    with pytest.raises(StoreError, match="have no a/mean in the store"):
        Store(store.root).space({"e": 1}).read(IDS, "a/mean")
    for act, code in (("ls", 0), ("verify", 3), ("gc", 0)):
        assert features([act]) == code
    said = capsys.readouterr()
    assert "internal error" not in said.err
    (problem,) = fresh.verify()
    assert problem.path == bad.relative_to(store.root)
    return problem.what


@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_that_no_writer_made_is_refused(kind: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    what = hold(store, capsys, with_index(fill(store), INDEXES[kind]))
    assert what in (
        "the index is none that this project writes", "it holds no index",
        "the file is truncated, or longer than what was written",
    )  # fmt: skip


@pytest.mark.parametrize("how", ["external link", "soft link", "external storage", "virtual"])
def test_a_shard_that_points_out_of_itself_is_not_followed(
    how: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = fill(store)
    index = good.read_bytes()[good.read_bytes().index(b'{"schema"') :].split(b"\0")[0]
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["index"] = np.frombuffer(index, np.uint8)
    (tmp_path / "outside.raw").write_bytes(index)
    made = tmp_path / "made.h5"
    with h5py.File(made, "w") as file:
        if how == "external link":
            file["index"] = h5py.ExternalLink(str(outside), "index")
        elif how == "soft link":
            file["index"] = h5py.SoftLink("/nowhere")
        elif how == "external storage":
            raw = [(str(tmp_path / "outside.raw"), 0, len(index))]
            file.create_dataset("index", (len(index),), "|u1", external=raw)
        else:
            layout = h5py.VirtualLayout((len(index),), "|u1")
            layout[:] = h5py.VirtualSource(str(outside), "index", (len(index),), "|u1")
            file.create_virtual_dataset("index", layout)
    data = made.read_bytes()
    good.unlink()
    monkeypatch.setattr(h5py, "File", None)  # whoever opened it would follow
    assert hold(store, capsys, named(good, data, len(data))) == "it holds no index"


def test_links_pipes_and_promises_in_place_of_a_shard(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fill(store)
    path.replace(tmp_path / path.name)
    path.symlink_to(tmp_path / path.name)
    assert "it is a link" in hold(store, capsys, path)
    assert [str(r.path) for r in store.drop(store.verify())] == [str(path.relative_to(store.root))]
    assert (tmp_path / path.name).is_file(), "what a link leads to is not ours"
    os.mkfifo(path)
    assert hold(store, capsys, path) == "it is no file"
    path.unlink()
    long = path.with_name(f"shard-{'0' * 32}-{HEAD + 1}.h5")
    with long.open("wb") as file:
        file.truncate(HEAD + 10)
    assert "longer than any" in hold(store, capsys, long)


@pytest.mark.parametrize("part", ["features", "memo"])
def test_a_folder_that_is_a_link_leads_nowhere(part: str, store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_text("kept")
    store.root.mkdir()
    (store.root / part).symlink_to(outside)
    with pytest.raises(StoreError, match=r"is a link that leads out of the feature store; remove it, or name"):
        store.space({"e": 1}) if part == "features" else store.memo("m")
    with pytest.raises(StoreError, match="leads out"):
        (store.ls if part == "features" else store.verify)()
    assert [p.name for p in outside.iterdir()] == ["theirs"]


def test_a_space_that_is_a_link_is_refused_and_gc_leaves_what_it_leads_to(store: Store, tmp_path: Path) -> None:
    folder = fill(store).parent
    folder.replace(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    with pytest.raises(StoreError, match="leads out"):
        Store(store.root).space({"e": 1})
    assert store.ls() == []
    assert store.gc(older_than_days=0) == []
    assert len(list((tmp_path / "moved").iterdir())) == 3


def test_a_spec_or_label_that_is_no_small_text_ends_nothing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(store).parent
    for name, bad in (("spec.json", b"[" * 100_000), ("label.txt", b"\xff"), ("spec.json", None), ("label.txt", None)):
        good = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name) if bad is None else (folder / name).write_bytes(bad)
        assert Store(store.root).space({"e": 1}).missing(IDS, WIDTHS) == []
        assert features(["ls"]) == 0
        assert features(["verify"]) == (3 if name == "spec.json" else 0)
        (folder / name).unlink()
        (folder / name).write_bytes(good)
    assert "internal error" not in capsys.readouterr().err


def test_a_flipped_bit_anywhere_in_a_memo_ends_no_run_and_gives_no_other_value(tmp_path: Path) -> None:
    """What verify calls right is right; what it does not is made again, with what can still be read."""
    memo = Store(tmp_path).memo("m")
    truth = {f"key {k}": {"value": k, "text": "x" * 40} for k in range(60)}
    memo.put_many(truth)
    good, rng, lost, kept = memo.path.read_bytes(), np.random.default_rng(0), 0, 0
    places = [*range(100), *rng.choice(len(good), 200).tolist()]
    for place in places:
        data = bytearray(good)
        data[place] ^= 1 << int(rng.integers(8))
        memo.path.write_bytes(data)
        problems = Store(tmp_path).verify()
        found = Store(tmp_path).memo("m").get_many([*truth])
        assert all(truth[key] == value for key, value in found.items()), place
        if len(found) < len(truth):
            lost += 1
            kept += bool(found)
            assert problems or list(tmp_path.rglob("*.damaged-*")), f"verify calls it right at {place}"
        Store(tmp_path).memo("m").put_many({"new": place})
        assert Store(tmp_path).memo("m").get_many(["new"]) == {"new": place}
        for aside in tmp_path.rglob("*.damaged-*"):
            aside.unlink()
        memo.path.with_name("m.sqlite-journal").unlink(missing_ok=True)
    assert lost > 10
    assert kept > 5


def test_a_memo_whose_head_says_table_in_other_letters_is_a_memo(tmp_path: Path) -> None:
    """A changed bit there makes no fault that SQLite finds: it reads and writes the table as before."""
    memo = Store(tmp_path).memo("m")
    memo.put_many({"old": 1})
    data = memo.path.read_bytes()
    at = data.index(b"tablememomemo")
    memo.path.write_bytes(data[:at] + b"TAblememomemo" + data[at + 13 :])
    again = Store(tmp_path).memo("m")
    again.put_many({"new": 2})
    assert Store(tmp_path).memo("m").get_many(["old", "new"]) == {"old": 1, "new": 2}


def test_what_can_be_read_of_a_damaged_memo_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    memo = store.memo("m")
    memo.put_many({f"key {k:04d}": "y" * 200 for k in range(400)})
    data = bytearray(memo.path.read_bytes())
    middle = (len(data) // 4096 // 2) * 4096
    data[middle : middle + 8] = b"\xff" * 8  # the head of one page of the tree
    memo.path.write_bytes(data)
    assert "SQLite" in store.verify()[0].what
    found = memo.get_many([f"key {k:04d}" for k in range(400)])
    assert 100 < len(found) < 400
    assert "entries of it could be read and are kept" in caplog.text
    assert store.verify() == []


def test_a_memo_that_another_process_holds_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.memo.Manners.patience", 0.2)
    store = Store(tmp_path)
    store.memo("m").put_many({"a": 1})
    holder = sqlite3.connect(tmp_path / "memo" / "m.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for _ in range(2):
        assert store.memo("m").get_many(["a"]) == {}
        assert store._manners.patience == 0.5, "a lock is waited for at length once"
        store.memo("m").put_many({"b": 2})
    assert caplog.text.count("another process holds m.sqlite") == 1, "it is said once"
    assert "the run goes on" in caplog.text
    holder.close()
    assert store.memo("m").get_many(["a", "b"]) == {"a": 1}


def test_the_rows_on_both_sides_of_a_damaged_page_are_kept(tmp_path: Path) -> None:
    memo = Store(tmp_path).memo("m")
    names = [f"key {k:04d}" for k in range(400)]
    memo.put_many(dict.fromkeys(names, "y" * 200))
    data = bytearray(memo.path.read_bytes())
    at = data.find(b"key 0200") // 4096 * 4096
    data[at : at + 8] = b"\xff" * 8
    memo.path.write_bytes(data)
    found = memo.get_many(names)
    assert {names[0], names[-1]} <= found.keys()


@pytest.mark.parametrize("view", ["CREATE VIEW memo AS SELECT 'a' AS key, '1' AS value, 'x' AS sum",
                                  "CREATE TABLE memo (other INT)"])  # fmt: skip
def test_a_database_of_another_make_is_set_aside(view: str, tmp_path: Path) -> None:
    memo = Store(tmp_path).memo("m")
    memo.path.parent.mkdir()
    with sqlite3.connect(memo.path) as db:
        db.execute(view)
    assert memo.get_many(["a"]) == {}
    memo.put_many({"a": 1})
    assert memo.get_many(["a"]) == {"a": 1}


def as_user(number: int, act: Callable[[], object], umask: int = 0o022) -> str:
    """What an act prints of its failure when another user does it; empty where it succeeds."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.umask(umask)
            os.setgroups([4242])
            os.setgid(number)
            os.setuid(number)
            act()
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-4000:])
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as file:
        return file.read()


needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root acts as others")


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@needs_root
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_users_of_a_group_share_a_store_whatever_their_umask(umask: int, public: Path) -> None:
    root = public / "store"
    root.mkdir()
    os.chown(root, 0, 4242)
    root.chmod(0o2775)

    def first() -> None:
        fill(Store(root))
        Store(root).memo("m").put_many({"a": 1})

    def second() -> None:
        store = Store(root)
        assert np.array_equal(store.space({"e": 1}).read(IDS, "a/mean"), X)
        with store.space({"e": 1}).writer({"b/mean": 4}, total=6) as writer:
            writer.add(IDS, {"b/mean": X})
        store.memo("m").put_many({"b": 2}, required=True)
        assert store.memo("m").get_many(["a", "b"]) == {"a": 1, "b": 2}
        write_atomically(root / "cells" / "x.npz", b"second")
        assert store.verify() == []

    def third() -> None:
        write_atomically(root / "cells" / "x.npz", b"third")
        assert Store(root).gc() == []

    assert as_user(5001, first, umask) == ""
    assert as_user(5002, second, umask) == ""
    assert as_user(5001, third, umask) == ""
    assert (root / "cells" / "x.npz").read_bytes() == b"third"


@needs_root
def test_a_store_that_may_only_be_read_is_read(public: Path) -> None:
    root = public / "store"
    fill(Store(root))
    Store(root).memo("m").put_many({"a": 1})
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)

    def other() -> None:
        store = Store(root)
        assert np.array_equal(store.space({"e": 1}).read(IDS, "a/mean"), X)
        assert store.memo("m").get_many(["a"]) == {"a": 1}
        store.memo("m").put_many({"b": 2})
        store.memo("n").put_many({"b": 2})
        assert store.ls()[0].items == 6
        assert store.verify() == []
        with pytest.raises(StoreError, match=r"cannot be written \(Permission denied\)"):
            fill(store)

    assert as_user(5003, other) == ""


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "results.json", b"{}")
    assert caught.value.filename == str(tmp_path / "results.json")


def test_a_killed_writers_shard_goes_with_the_next_writer_and_a_living_ones_stays(store: Store) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    folder = fill(store).parent
    gone = folder / f".shard-{'0' * 16}.at-{atomic.system()}.{dead.pid}.tmp"
    old = folder / f".shard-{'1' * 16}.tmp"  # as earlier versions named them
    mine = atomic.temporary(folder, f"shard-{'2' * 16}")
    for path in (gone, old, mine):
        path.touch()
    os.utime(old, (0, 0))
    atomic._SWEPT.clear()  # another process
    with Store(store.root).space({"e": 1}).writer({"b/mean": 4}, total=6) as writer:
        writer.add(IDS, {"b/mean": X})
    assert [p.exists() for p in (gone, old, mine)] == [False, False, True]


def test_the_store_may_itself_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    fill(Store(tmp_path / "store"))
    np.testing.assert_array_equal(Store(tmp_path / "store").space({"e": 1}).read(IDS, "a/mean"), X)
    shutil.rmtree(tmp_path / "disk")
