"""Kills, flipped bits, full disks and company: nothing bad is ever used, and little is ever lost."""

import contextlib
import errno
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cache import Space, Store, StoreError, atomic
from cache.open_shard import OpenShard
from experiments.features import main
from tests.paths import ROOT

WIDTHS = {"a/mean": 16, "a/grid3": 36, "b/cls": 4}

# an encoder in another process: the features of item i are drawn from the seed i; each batch takes a while
CHILD = """
import hashlib, sys, time
import h5py
from pathlib import Path
import numpy as np
from cache import Store, atomic
root, start, stop, pause, log = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
if sys.argv[6] == "False":
    atomic.fcntl = None  # a disk that has no locks
widths = {"a/mean": 16, "a/grid3": 36, "b/cls": 4}
def encode(i):
    rng = np.random.default_rng(i)
    scale = 1e6 if i % 97 == 5 else 1  # some items do not fit float16
    return {name: rng.normal(size=(1, d)).astype(np.float32) * scale for name, d in widths.items()}
ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, stop)]
space = Store(root).space({"e": 1}, label="toy")
todo = space.missing(ids, widths)
print("ready", flush=True)
with open(log, "a") as seen, space.writer(widths, total=len(todo), shard_items=24, shard_seconds=0.04) as writer:
    for a in range(0, len(todo), 4):
        some = todo[a : a + 4]
        rows = [encode(start + i) for i in some]
        time.sleep(pause)
        writer.add([ids[i] for i in some], {name: np.concatenate([r[name] for r in rows]) for name in widths})
        seen.write("".join(ids[i] + "\\n" for i in some)); seen.flush()
print("done", flush=True)
"""


def ids(n: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, start + n)]


def features(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {name: rng.normal(size=(n, d)).astype(np.float32) for name, d in WIDTHS.items()}


def fill(space: Space, n: int, **options: float) -> dict[str, np.ndarray]:
    arrays = features(n)
    with space.writer(WIDTHS, total=n, **options) as writer:  # type: ignore[arg-type]
        for a in range(0, n, 8):
            writer.add(ids(n)[a : a + 8], {name: x[a : a + 8] for name, x in arrays.items()})
    return {name: x.astype(np.float16).astype(np.float32) for name, x in arrays.items()}


def begun(root: Path, start: int, stop: int, pause: float, log: Path, *, locks: bool) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", CHILD, *map(str, (root, start, stop, pause, log, locks))]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def ready(process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def child(root: Path, start: int, stop: int, pause: float, log: Path) -> "subprocess.Popen[str]":
    return ready(begun(root, start, stop, pause, log, locks=True))


def end(process: "subprocess.Popen[str]") -> int:
    process.communicate(timeout=60)
    return process.returncode


def wait_for(log: Path, items: int) -> None:
    while not log.exists() or len(log.read_text().split()) < items:
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_at_ten_moments_the_resumed_run_adds_only_what_is_missing(tmp_path: Path) -> None:
    n, rng = 600, np.random.default_rng(11)
    whole = child(tmp_path / "whole", 0, n, 0, tmp_path / "log-whole")
    assert end(whole) == 0
    kills, rounds = 0, 0
    while True:
        missing = {ids(n)[i] for i in Store(tmp_path / "cut").space({"e": 1}).missing(ids(n), WIDTHS)}
        log = tmp_path / f"log-{rounds}"
        process = child(tmp_path / "cut", 0, n, 0.002 if kills < 10 else 0, log)
        if kills < 10:
            wait_for(log, int(rng.integers(40)))
            time.sleep(float(rng.uniform(0, 0.03)))
            process.send_signal(signal.SIGKILL)
            kills += 1
        code = end(process)
        added = set(log.read_text().split()) if log.exists() else set()
        assert added <= missing, "an item of a closed shard was encoded again"
        rounds += 1
        if code == 0:
            break
    assert kills == 10
    assert added == missing
    assert missing < set(ids(n)), "nothing had been kept from the runs that were killed"
    cut, uncut = (Store(tmp_path / name).space({"e": 1}) for name in ("cut", "whole"))
    for name in WIDTHS:
        np.testing.assert_array_equal(cut.read(ids(n), name), uncut.read(ids(n), name))
    assert Store(tmp_path / "cut").verify() == []


def test_writers_without_locks_fill_one_space_while_another_host_reads_and_collects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that several computers share, whose locks are seen by none: the same items twice, each read whole."""
    alone = child(tmp_path / "alone", 0, 120, 0, tmp_path / "log")
    assert end(alone) == 0
    truth = {name: Store(tmp_path / "alone").space({"e": 1}).read(ids(120), name) for name in WIDTHS}
    parts = [(0, 80), (40, 120), (0, 80)]
    several = [begun(tmp_path / "s", *part, 0.05, tmp_path / f"log-{i}", locks=False) for i, part in enumerate(parts)]
    for process in several:
        ready(process)
    monkeypatch.setattr("cache.atomic.system", lambda: "0" * 8)
    read, open_shards = 0, 0
    while any(process.poll() is None for process in several):
        open_shards += len(list((tmp_path / "s").rglob(".shard-*.tmp")))
        assert Store(tmp_path / "s").gc() == []
        space = Store(tmp_path / "s").space({"e": 1})
        stored = space.stored(WIDTHS)
        at = [ids(120).index(content) for content in stored]
        for name in WIDTHS if stored else ():
            np.testing.assert_array_equal(space.read(stored, name), truth[name][at])
        read += len(stored)
    assert [end(process) for process in several] == [0, 0, 0], "a writer lost its open shard"
    assert read
    assert open_shards
    space = Store(tmp_path / "s").space({"e": 1})
    assert space.missing(ids(120), WIDTHS) == []
    for name in WIDTHS:
        np.testing.assert_array_equal(space.read(ids(120), name), truth[name])
    assert Store(tmp_path / "s").verify() == []
    assert Store(tmp_path / "s").ls()[0].items == 120


def test_an_open_shard_whose_lock_is_not_seen_goes_at_once_only_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Store(tmp_path).space({"e": 1})
    monkeypatch.setattr("cache.open_shard.lock", lambda _file: None)
    with space.writer(WIDTHS) as writer:
        writer.add(ids(2), features(2))
        (mine,) = tmp_path.rglob(".shard-*.tmp")
        here = atomic.system()
        for elsewhere in ("0" * 8, "1" * 8):
            monkeypatch.setattr("cache.atomic.system", lambda elsewhere=elsewhere: elsewhere)
            assert Store(tmp_path).gc(dry_run=True) == []
            assert Store(tmp_path).gc(older_than_days=0) == [], "someone may be writing there"
        monkeypatch.setattr("cache.atomic.system", lambda: here)
        assert [tmp_path / one.path for one in Store(tmp_path).gc(dry_run=True)] == [mine]
        monkeypatch.setattr("cache.atomic.system", lambda: "0" * 8)
        os.utime(mine, (0, time.time() - 2 * 86_400))
        assert [tmp_path / one.path for one in Store(tmp_path).gc(dry_run=True)] == [mine], "nobody wrote for a day"


def test_what_a_dead_writer_left_is_ignored_and_collected_but_not_a_living_ones(tmp_path: Path) -> None:
    process = child(tmp_path, 0, 400, 0.05, tmp_path / "log")
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        if len(list(tmp_path.rglob(".shard-*.tmp"))) == 1:  # neither between two shards nor on the way to a smaller one
            break
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    store = Store(tmp_path)
    with store.space({"e": 1}).writer(WIDTHS) as writer:
        writer.add(ids(2, 1000), features(2))
        process.kill()
        end(process)
        left = list(tmp_path.rglob(".shard-*.tmp"))
        assert len(left) == 2
        planned = store.gc(dry_run=True)
        assert len(planned) == 1
        assert "left by a writer that is gone" in planned[0].why
        assert len(list(tmp_path.rglob(".shard-*.tmp"))) == 2
        assert store.gc() == planned
        assert store.gc(older_than_days=0) == [], "someone is writing there"
    assert store.gc(older_than_days=0, orphans=False, dry_run=True)[0].why == "not used"
    assert store.space({"e": 1}).missing(ids(2, 1000), WIDTHS) == []
    assert store.verify() == []


def test_a_folder_without_features_goes_when_nobody_can_have_made_it_just_now(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.space({"e": 1}).folder
    folder.mkdir(parents=True)
    assert store.gc() == []
    os.utime(folder, (0, time.time() - 2 * 86_400))
    assert [one.why for one in store.gc()] == ["holds no features"]
    assert not folder.exists()


def flip(path: Path, position: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def regions(path: Path) -> dict[str, range]:
    """Byte ranges of a shard by what lies there, as the index says."""
    import h5py

    with h5py.File(path) as file:
        index = json.loads(file["index"][()].tobytes())  # type: ignore[index]
    sizes = {"|u1": 1, "<f2": 2, "<f4": 4}
    found = {
        name: range(offset, offset + index["n"] * sizes[dtype] * width)
        for name, (offset, dtype, width, _) in index["columns"].items()
    }
    return {"head": range(found["content"].start), **found}


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, Path, dict[str, np.ndarray]]:
    store = Store(tmp_path / "store")
    truth = fill(store.space({"e": 1}, label="toy"), 40)
    (path,) = tmp_path.rglob("shard-*.h5")
    return tmp_path / "store", path, truth


def test_a_healthy_store_has_no_problems(filled: tuple[Path, Path, dict[str, np.ndarray]]) -> None:
    root, path, _ = filled
    seen: list[tuple[int, int]] = []
    assert Store(root).verify(lambda done, total: seen.append((done, total))) == []
    assert seen[-1] == (path.stat().st_size,) * 2


def test_every_part_of_a_shard_is_covered(filled: tuple[Path, Path, dict[str, np.ndarray]]) -> None:
    _, path, _ = filled
    assert sum(map(len, regions(path).values())) == path.stat().st_size


@pytest.mark.parametrize("part", ["head", "content", *WIDTHS])
def test_a_flipped_bit_is_found_and_never_used(filled: tuple[Path, Path, dict[str, np.ndarray]], part: str) -> None:
    root, path, truth = filled
    where, good = regions(path)[part], path.read_bytes()
    rng = np.random.default_rng([5, len(part)])
    for position in {where[0], where[-1], *rng.choice(where, 25).tolist()}:
        flip(path, position, int(rng.integers(8)))
        problems = Store(root).verify()
        assert [p.path for p in problems] == [path.relative_to(root)], position
        assert problems[0].dataset == (None if part == "head" else part)
        space = Store(root).space({"e": 1})
        assert space.missing(ids(40), WIDTHS) == list(range(40))
        for name in WIDTHS:
            if name == part or part in ("head", "content"):
                with pytest.raises(StoreError, match=f"40 of 40 items have no {name}"):
                    space.read(ids(40), name)
            else:
                np.testing.assert_array_equal(space.read(ids(40), name), truth[name])
        path.write_bytes(good)
    assert Store(root).verify() == []


@pytest.mark.parametrize("cut", [0, 100, -1, "longer"])
def test_a_shard_of_the_wrong_length_is_not_used(
    filled: tuple[Path, Path, dict[str, np.ndarray]], cut: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    root, path, _ = filled
    path.write_bytes(path.read_bytes() + b"x" if isinstance(cut, str) else path.read_bytes()[:cut])
    assert Store(root).space({"e": 1}).missing(ids(40), WIDTHS) == list(range(40))
    assert "truncated" in caplog.text
    assert "it is not used, its items are encoded again" in caplog.text
    assert "truncated" in Store(root).verify()[0].what


def test_a_damaged_dataset_is_encoded_again_and_read_from_the_new_shard(
    filled: tuple[Path, Path, dict[str, np.ndarray]],
) -> None:
    root, path, truth = filled
    flip(path, regions(path)["a/mean"][7], 2)
    space = Store(root).space({"e": 1})
    assert space.missing(ids(40), ["b/cls"]) == []
    assert space.missing(ids(40), ["a/mean", "b/cls"]) == list(range(40))
    fill(space, 40)
    for fresh in (space, Store(root).space({"e": 1})):
        assert fresh.missing(ids(40), WIDTHS) == []
        np.testing.assert_array_equal(fresh.read(ids(40), "a/mean"), truth["a/mean"])


def test_a_shard_in_the_folder_of_another_key_is_not_used(filled: tuple[Path, Path, dict[str, np.ndarray]]) -> None:
    root, path, _ = filled
    other = Store(root).space({"e": 2})
    fill(other, 8)
    path.rename(other.folder / path.name)
    assert Store(root).space({"e": 2}).missing(ids(40), WIDTHS) == list(range(8, 40))
    assert [p.what for p in Store(root).verify()] == ["it lies in the folder of another key"]


def test_a_damaged_spec_is_found_and_written_again(filled: tuple[Path, Path, dict[str, np.ndarray]]) -> None:
    root, path, _ = filled
    spec = path.parent / "spec.json"
    spec.write_text(spec.read_text().replace('"e": 1', '"e": 3'))
    assert "does not say" in Store(root).verify()[0].what
    with Store(root).space({"e": 1}).writer(WIDTHS):
        pass
    assert Store(root).verify() == []


class Budget:
    """A disk with so many bytes: what is removed is given back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, size: int, code: int = errno.ENOSPC) -> None:
        self.left, self.held = size, dict[str, int]()
        write, discard = OpenShard._write, OpenShard.discard

        def limited(shard: OpenShard, offset: int, data: memoryview | bytes) -> None:
            count = memoryview(data).nbytes
            if count > self.left:
                raise OSError(code, os.strerror(code))
            self.left -= count
            self.held[str(shard.path)] = self.held.get(str(shard.path), 0) + count
            write(shard, offset, data)

        def freed(shard: OpenShard) -> None:
            self.left += self.held.pop(str(shard.path), 0)
            discard(shard)

        monkeypatch.setattr(OpenShard, "_write", limited)
        monkeypatch.setattr(OpenShard, "discard", freed)


FULL = r"^the disk of the feature store is full at \S+; \S+ kB are still needed; {} free some .*SLITLAMP_CACHE$"


def test_a_disk_that_fills_up_is_one_line_and_costs_nothing_that_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Budget(monkeypatch, 40 * 112 + 16 * 32 + 1200 + 100)  # room for 40 rows and a head
    space = Store(tmp_path).space({"e": 1})
    with pytest.raises(StoreError, match=FULL.format("everything added before is kept;")):
        fill(space, 400, shard_items=16)
    missing = space.missing(ids(400), WIDTHS)
    assert 0 < missing[0] < 64
    assert missing == list(range(missing[0], 400))
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    assert Store(tmp_path).verify() == []


def test_a_disk_that_fails_otherwise_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Budget(monkeypatch, 3000, errno.EIO)
    with pytest.raises(StoreError, match=r"^the feature store at \S+ cannot be written \(Input/output error\)"):
        fill(Store(tmp_path).space({"e": 1}), 40, shard_items=8)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("free", [0, 4096, 8192, 16_384])
def test_a_disk_too_full_for_a_shards_head_is_one_line_too(small_disk: Path, free: int) -> None:
    space = Store(small_disk).space({"e": 1})
    with space.writer(WIDTHS):
        pass
    with contextlib.suppress(OSError), (small_disk / "other").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(small_disk / "other", (small_disk / "other").stat().st_size - free)
    with pytest.raises(StoreError, match=r"^the disk of the feature store is full .* kept; free some"):
        fill(space, 400)
    assert not list(small_disk.rglob("*.tmp"))


@pytest.mark.slow
def test_a_real_disk_that_fills_up_keeps_closed_shards(small_disk: Path) -> None:
    space = Store(small_disk).space({"e": 1})
    with pytest.raises(StoreError, match=r"^the disk of the feature store is full .*everything added before is kept"):
        fill(space, 8000, shard_items=512)
    missing = Store(small_disk).space({"e": 1}).missing(ids(8000), WIDTHS)
    assert 512 <= missing[0] < 2300
    assert Store(small_disk).verify() == []
    assert not list(small_disk.rglob("*.tmp"))


MEMO = """
import sqlite3, sys
from pathlib import Path
from cache import Store
connect = sqlite3.connect
if len(sys.argv) > 3:  # a network disk whose locks are not seen by others
    sqlite3.connect = lambda path, **more: connect(f"file:{path}?vfs=unix-none", uri=True, **more)
memo = Store(Path(sys.argv[1])).memo("images")
for a in range(0, 200, 10):
    memo.put_many({f"{sys.argv[2]}-{i}": [i, "ü", None] for i in range(a, a + 10)})
"""


def test_two_processes_write_one_memo(tmp_path: Path) -> None:
    both = [subprocess.Popen([sys.executable, "-c", MEMO, str(tmp_path), name], cwd=ROOT) for name in "xy"]
    assert [process.wait(60) for process in both] == [0, 0]
    keys = [f"{name}-{i}" for name in "xy" for i in range(200)]
    memo = Store(tmp_path).memo("images")
    assert memo.get_many([*keys, "z"]) == {key: [int(key[2:]), "ü", None] for key in keys}
    assert Store(tmp_path).memo("encoders").get_many(keys) == {}


def test_a_memo_that_two_computers_write_without_locks_gives_no_wrong_value(tmp_path: Path) -> None:
    both = [subprocess.Popen([sys.executable, "-c", MEMO, str(tmp_path), name, "nolock"], cwd=ROOT) for name in "xy"]
    assert [process.wait(60) for process in both] == [0, 0]
    truth = {f"{name}-{i}": [i, "ü", None] for name in "xy" for i in range(200)}
    found = Store(tmp_path).memo("images").get_many([*truth])
    assert all(truth[key] == value for key, value in found.items())
    Store(tmp_path).memo("images").put_many({"z": 1}, required=True)
    assert Store(tmp_path).memo("images").get_many(["z"]) == {"z": 1}


def test_a_memo_keeps_the_last_value_and_nothing_of_a_bad_batch(tmp_path: Path) -> None:
    memo = Store(tmp_path).memo("m")
    memo.put_many({"a": 1})
    memo.put_many({"a": {"b": 2}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        memo.put_many({"a": 3, "c": float("nan")})
    assert memo.get_many(["a", "a", "c"]) == {"a": {"b": 2}}
    memo.put_many({})


def test_a_damaged_memo_is_moved_aside_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memo = Store(tmp_path).memo("m")
    memo.put_many({"a": 1})
    for act in (lambda: memo.get_many(["a"]), lambda: memo.put_many({"b": 2})):
        memo.path.write_bytes(b"not a database, not at all" * 400)
        caplog.clear()
        assert not act()
        assert "m.sqlite is damaged and was moved to m.sqlite.damaged-" in caplog.text
    assert memo.get_many(["a", "b"]) == {"b": 2}


def test_a_memo_that_does_not_find_what_it_was_told_is_new(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memo = Store(tmp_path).memo("m")
    memo.put_many({"a": 1})
    with contextlib.closing(sqlite3.connect(memo.path)) as db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON memo BEGIN DELETE FROM memo WHERE key = NEW.key; END")
        db.commit()
    memo.put_many({"b": 2, "c": 3})
    assert memo.get_many(["a", "b", "c"]) == {"a": 1, "b": 2, "c": 3}
    assert len(list(memo.path.parent.glob("m.sqlite.damaged-*"))) == 1
    assert "1 entries of it could be read and are kept" in caplog.text
    memo.put_many({"b": 3, "d": 4})  # the twin: a sound one stays where it is
    assert memo.get_many(["b", "d"]) == {"b": 3, "d": 4}
    assert len(list(memo.path.parent.glob("m.sqlite.damaged-*"))) == 1


def test_a_value_changed_in_the_memos_file_is_not_known_and_the_others_are(tmp_path: Path) -> None:
    memo = Store(tmp_path).memo("m")
    memo.put_many({"a": "0123456789", "b": "other"})
    data = memo.path.read_bytes()
    assert data.count(b"0123456789") == 1
    memo.path.write_bytes(data.replace(b"0123456789", b"0123456788"))
    assert memo.get_many(["a", "b"]) == {"b": "other"}


@pytest.fixture
def command(filled: tuple[Path, Path, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLITLAMP_CACHE", str(filled[0]))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return filled[1]


def test_ls_shows_what_is_stored(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:1] for line in out.splitlines()] == [["encoder"], ["toy"]]
    assert out.splitlines()[1].split()[1:6] == [command.parent.name[:12], "40", "3", "float16", "1"]
    assert "1 sets of features" in err
    assert main(["ls", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["spaces"]
    assert (entry["label"], entry["items"], entry["dtypes"]) == ("toy", 40, ["float16"])
    assert entry["bytes"] == command.stat().st_size


def test_verify_ends_with_3_where_a_byte_is_wrong_and_removes_when_asked(
    command: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify"]) == 0
    assert capsys.readouterr().out == ""
    flip(command, regions(command)["a/grid3"][100], 0)
    assert main(["verify"]) == 3
    out, err = capsys.readouterr()
    assert out == f"features/{command.parent.name}/{command.name}: a/grid3: the bytes are not as written\n"
    assert "1 problems in 1 files; `verify --remove` deletes the damaged files" in err
    assert main(["verify", "--json"]) == 3
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["dataset"] == "a/grid3"
    assert main(["verify", "--remove", "--dry-run"]) == 3
    assert command.exists()
    assert main(["verify", "--remove"]) == 3
    assert not command.exists()
    assert main(["verify"]) == 0


def test_gc_removes_what_is_old_and_nothing_else(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--older-than", "1"]) == 0
    assert capsys.readouterr().out == ""
    for path in command.parent.iterdir():
        os.utime(path, (time.time(), time.time() - 3 * 86400))
    assert main(["gc", "--older-than", "1", "--dry-run"]) == 0
    assert "not used" in capsys.readouterr().out
    assert command.exists()
    Store(command.parent.parent.parent).space({"e": 1}).read(ids(3), "a/mean")
    assert main(["gc", "--older-than", "1"]) == 0
    assert command.exists(), "it was read a moment ago"
    capsys.readouterr()
    os.utime(command.parent / "spec.json", (0, 0))
    assert main(["gc", "--older-than", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"][0]["why"] == "not used"
    assert not command.parent.exists()


@pytest.mark.parametrize("arguments", [[], ["lss"], ["gc", "--older-than", "-3"], ["gc", "--older-than", "soon"]])
def test_the_features_command_refuses_what_it_does_not_know(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage:" in capsys.readouterr().err
