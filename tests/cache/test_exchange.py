"""Features carried to another store or program: what arrives is what was sent, and nothing bad ever arrives."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache import Space, Store, StoreError
from experiments.features import main
from tests.cache.test_hostile_store import with_index
from tests.cache.test_store import features, fill, ids

WIDTHS = ("a/mean", "a/grid3", "b/cls")
ARRAYS = {name: x * (1e6 if name == "b/cls" else 1) for name, x in features(20).items()}  # b/cls in single precision


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    store = Store(tmp_path / "store")
    fill(store.space({"e": 1}, label="toy"), ids(20), ARRAYS, shard_items=8)
    return store


def sent(store: Store, out: Path, **how: object) -> Path:
    store.export(store.ls()[0].digest, out, **how)  # type: ignore[arg-type]
    return out


def stored(space: Space) -> dict[str, np.ndarray]:
    return {name: space.read(ids(20), name) for name in WIDTHS}


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_what_is_imported_is_what_was_exported_byte_for_byte(store: Store, tmp_path: Path) -> None:
    folder = sent(store, tmp_path / "out")
    other = Store(tmp_path / "other")
    made = other.take_in(folder)
    assert (made.items, made.datasets, made.files, made.known) == (20, 3, 3, 0)
    assert files(other.root / "features") == files(store.root / "features")
    assert not list((other.root / "incoming").iterdir())
    assert other.verify() == []
    before = files(other.root)
    assert other.take_in(folder).known == 20, "a second time nothing changes"
    assert files(other.root) == before


def test_what_is_imported_beside_others_completes_them_and_changes_nothing(store: Store, tmp_path: Path) -> None:
    folder, other = sent(store, tmp_path / "out"), Store(tmp_path / "other")
    space = other.space({"e": 1}, label="mine")
    fill(space, ids(6), {"b/cls": ARRAYS["b/cls"][:6]})
    fill(space, ids(3, 100), features(3))
    assert other.take_in(folder).known == 6
    assert space.missing([*ids(20), *ids(3, 100)], WIDTHS) == []
    for name, x in stored(store.space({"e": 1})).items():
        np.testing.assert_array_equal(space.read(ids(20), name), x)
    assert [entry.label for entry in other.ls()] == ["mine"]
    damaged = next(p for p in space.folder.glob("shard-*") if (folder / p.name).exists())
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x55")
    other.take_in(folder)
    assert other.verify() == [], "what was damaged here is whole again"


@pytest.mark.parametrize("clash", ["value", "width"])
def test_other_values_of_what_is_stored_are_refused(store: Store, tmp_path: Path, clash: str) -> None:
    """What a run has read must not change; the shard that was made first would be read."""
    folder, other = sent(store, tmp_path / "out"), Store(tmp_path / "other")
    mine = ARRAYS["a/mean"][5:9, : 24 if clash == "value" else 5].copy()
    mine[2] += clash == "value"
    fill(other.space({"e": 1}), ids(4, 5), {"a/mean": mine})
    before = files(other.root)
    said = {
        "value": rf"a/mean of item {ids(8)[7][:12]} has another value here .*must not change; nothing was imported",
        "width": r"a/mean has 24 numbers, and 5 here under the same key; nothing was imported",
    }
    with pytest.raises(StoreError, match=said[clash]):
        other.take_in(folder)
    assert {k: v for k, v in files(other.root).items() if "index" not in k} == before


def _manifest(folder: Path, change: Callable[[dict], object]) -> None:
    said = json.loads((folder / "manifest.json").read_text())
    change(said)
    (folder / "manifest.json").write_text(json.dumps(said))


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def _linked(folder: Path, path: Path) -> None:
    path.rename(folder.parent / "elsewhere.h5")
    path.symlink_to(folder.parent / "elsewhere.h5")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _rehashed(folder: Path, path: Path, made: Path) -> None:
    """Put a shard that somebody made in the place of another, with a manifest that fits."""
    import hashlib

    facts = {"name": made.name, "bytes": made.stat().st_size, "sha256": hashlib.sha256(made.read_bytes()).hexdigest()}
    _manifest(folder, lambda m: m.update(files=[facts if f["name"] == path.name else f for f in m["files"]]))


def _not_finite(folder: Path, path: Path) -> None:
    """A shard of NaN whose digests are right."""
    import hashlib

    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        column, n = file["features/a/mean"], int(file.attrs["n"])
        offset, size = column.id.get_offset(), n * 24 * 2
    data[offset : offset + 2] = np.array([np.nan], "<f2").tobytes()
    path.write_bytes(data)
    taken = hashlib.sha256(b"a/mean <f2 24\n" + data[offset : offset + size]).hexdigest()
    made = with_index(path, lambda index: index["columns"]["a/mean"].__setitem__(3, taken))
    _rehashed(folder, path, made)


FAULTS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a bit": (lambda _f, p: _flip(p, -3), "is not as the manifest says; nothing was imported"),
    "truncated": (lambda _f, p: os.truncate(p, 999), "is truncated; nothing was imported"),
    "longer": (lambda _f, p: p.write_bytes(p.read_bytes() + b"x"), "is longer than it was"),
    "gone": (lambda _f, p: p.unlink(), "is missing, and the manifest names it"),
    "a link": (_linked, "cannot be read (Too many levels"),
    "a pipe": (lambda _f, p: _pipe(p), "is no file"),
    "no manifest": (lambda f, _p: (f / "manifest.json").unlink(), "or one that did not come to its end; export again"),
    "no JSON": (lambda f, _p: (f / "manifest.json").write_text("["), "is none that this project writes"),
    "brackets": (lambda f, _p: (f / "manifest.json").write_text("[" * 10**5), "is none that this project writes"),
    "a huge one": (lambda f, _p: os.truncate(f / "manifest.json", 1 << 40), "is none that this project writes"),
    "a manifest that is a pipe": (lambda f, _p: _pipe(f / "manifest.json"), "is none that this project writes"),
    "a later one": (lambda f, _p: _manifest(f, lambda m: m.update(schema=2)), "by a newer version (schema 2"),
    "another key": (
        lambda f, _p: _manifest(f, lambda m: m["space"].update(material={"e": 2})), "is none that this project writes",
    ),
    "a path out": (
        lambda f, p: _manifest(f, lambda m: m["files"][0].update(name=f"../{p.name}")), "is none that this project",
    ),
    "a whole path": (
        lambda f, p: _manifest(f, lambda m: m["files"][0].update(name=str(p.absolute()))), "is none that this project",
    ),
    "twice": (lambda f, _p: _manifest(f, lambda m: m["files"].append(m["files"][0])), "is none that this project"),
    "no files": (lambda f, _p: _manifest(f, lambda m: m.update(files=[])), "is none that this project writes"),
    "files of numbers": (lambda f, _p: _manifest(f, lambda m: m.update(files=[3])), "is none that this project"),
    "beyond any disk": (
        lambda f, _p: _manifest(f, lambda m: m["files"][0].update(bytes=10**18)), "its disk has",
    ),
    "a label that turns": (
        lambda f, _p: _manifest(f, lambda m: m["space"].update(label="a\x1b[2J")), "is none that this project writes",
    ),
    "other counts": (lambda f, _p: _manifest(f, lambda m: m.update(items=21)), "the manifest counts 21 items"),
    "NaN": (_not_finite, "a/mean holds NaN or infinity; nothing was imported"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_folder_is_one_line_and_leaves_the_store_as_it_was(
    fault: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = sent(store, tmp_path / "out"), Store(tmp_path / "other")
    fill(other.space({"e": 1}), ids(4, 50), features(4))
    before = files(other.root)
    act, said = FAULTS[fault]
    act(folder, max(folder.glob("shard-*")))
    monkeypatch.setenv("SLITLAMP_CACHE", str(other.root))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["import", str(folder)]) == 5
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert said in line
    assert files(other.root) == before
    assert other.gc() == []


def test_an_import_of_another_key_puts_nothing_into_this_one(store: Store, tmp_path: Path) -> None:
    """The shards are sound, and the manifest is that of other features."""
    fill(store.space({"e": 2}, label="other"), ids(20), features(20))
    keys = {entry.label: entry.digest for entry in store.ls()}
    for label, key in keys.items():
        store.export(key, tmp_path / label)
    shutil.copy(tmp_path / "other" / "manifest.json", tmp_path / "manifest.json")
    _manifest(
        tmp_path / "toy",
        lambda m: m.update(space=json.loads((tmp_path / "manifest.json").read_text())["space"]),
    )
    with pytest.raises(StoreError, match="it holds features of another key than the manifest's"):
        Store(tmp_path / "new").take_in(tmp_path / "toy")


@pytest.mark.parametrize("to", ["npy", "safetensors", "parquet"])
def test_other_programs_read_the_same_numbers(to: str, store: Store, tmp_path: Path) -> None:
    out = sent(store, tmp_path / "out", to=to)
    assert (out / "contents.txt").read_text().split() == ids(20)
    for name, x in stored(store.space({"e": 1})).items():
        path = out / f"{name}.{to}"
        dtype = np.float32 if name == "b/cls" else np.float16
        if to == "npy":
            back = np.load(path, allow_pickle=False)
        elif to == "safetensors":
            from safetensors.numpy import load_file

            back = load_file(path)["features"]
        else:
            import pyarrow.parquet as pq

            table = pq.read_table(path)
            assert table["content"].to_pylist() == ids(20)
            back = np.stack(table["features"].to_numpy())
        assert back.dtype == dtype
        np.testing.assert_array_equal(back.astype(np.float32), x)
    said = json.loads((out / "manifest.json").read_text())
    assert {f["name"] for f in said["files"]} == {"contents.txt", *(f"{name}.{to}" for name in WIDTHS)}
    assert (said["items"], said["datasets"]["b/cls"]) == (20, {"width": 6, "dtype": "float32"})
    with pytest.raises(StoreError, match=f"holds {to} for other programs; export --to slitlamp to import it again"):
        Store(tmp_path / "new").take_in(out)


def test_a_choice_of_names_and_ids_is_kept_in_order_and_what_lacks_a_name_is_counted(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    fill(store.space({"e": 1}, label="toy"), ids(3, 100), {"b/cls": features(3)["b/cls"]})
    assert main(["export", "toy", "--out", str(tmp_path / "all"), "--to", "npy"]) == 0
    assert "exported 20 items x 3 datasets" in (err := capsys.readouterr().err)
    assert "3 items that lack some of them are left out" in err
    chosen = [ids(101)[100], *ids(3)[::-1]]
    with (tmp_path / "ids.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "content"], *((f"film {i}\n", c) for i, c in enumerate(chosen))])
    asked = ["export", "toy", "--to", "npy", "--only", "b/*", "--ids", str(tmp_path / "ids.csv")]
    assert main([*asked, "--out", str(tmp_path / "some"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exported"]["items"] == 4
    np.testing.assert_array_equal(
        np.load(tmp_path / "some" / "b" / "cls.npy"), store.space({"e": 1}).read(chosen, "b/cls")
    )
    lines = (tmp_path / "some" / "ids.txt").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [f"film {i}\n" for i in range(4)]
    assert not (tmp_path / "some" / "a").exists()
    for wrong, code, said in (
        (["export", "toyy", "--out", "x"], 2, "holds no features of 'toyy'; did you mean 'toy'? it has toy"),
        (["export", "toy", "--out", str(tmp_path / "all")], 5, "is there and not an empty folder; name a new one"),
        (["export", "toy", "--out", str(tmp_path / "x"), "--only", "c/*", "--to", "npy"], 5, "that fit c/*; it has a/"),
        (["export", "toy", "--out", str(tmp_path / "x"), "--only", "b/*"], 2, "slitlamp copies whole shards"),
        ([*asked, "--out", str(tmp_path / "x"), "--only", "a/mean"], 5, "1 of the 4 items with an id are not stored"),
        (["verify", "--seed", "3"], 2, "--seed is that of --sample"),
    ):
        assert main(wrong) == code
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_damaged_features_are_not_exported(store: Store, tmp_path: Path) -> None:
    path = max(store.space({"e": 1}).folder.glob("shard-*"))
    _flip(path, -3)
    for to, said in (("slitlamp", "b/cls is not as it was written; .*verify --remove"), ("npy", "have no b/cls")):
        with pytest.raises(StoreError, match=said):
            sent(store, tmp_path / "out", to=to)
        assert not (tmp_path / "out").exists()


def test_what_a_killed_import_left_is_collected_and_not_that_of_a_living_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache import exchange

    folder, other = sent(store, tmp_path / "out"), Store(tmp_path / "other")
    seen: list[list] = []

    def meanwhile(_done: int, _total: int) -> None:
        seen.append(Store(other.root).gc())
        monkeypatch.setattr(exchange, "_remove", lambda _folder: None)  # killed before it can

    other.take_in(folder, meanwhile)
    assert seen == [[], [], []]
    (left,) = other.gc()
    assert left.why == "left by an import that is gone"
    assert not list((other.root / "incoming").iterdir())


@pytest.fixture
def faulty(store: Store) -> Path:
    path = max(store.space({"e": 1}).folder.glob("shard-*"))
    _flip(path, -3)
    return path


def test_a_sample_is_drawn_by_its_seed_says_what_it_covers_and_finds_what_it_draws(
    faulty: Path, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    found = {seed: len(store.verify_sample(4, np.random.default_rng(seed)).problems) for seed in range(40)}
    assert set(found.values()) == {0, 1}
    assert 6 <= sum(found.values()) <= 24, "4 of 12 datasets, of which one is damaged: a third"
    hit = next(seed for seed, count in found.items() if count)
    miss = next(seed for seed, count in found.items() if not count)
    assert main(["verify", "--sample", "4", "--seed", str(miss)]) == 0
    said = capsys.readouterr().err
    assert (
        f"verified 4 of 12 datasets of shards, 1.5 kB, drawn with --seed {miss}, and no memo" in said or "of 12" in said
    )
    assert "every byte of them is as it was written; had 6 of them been damaged, 95 of 100" in said
    assert main(["verify", "--sample", "34%", "--seed", str(hit)]) == 3
    out, err = capsys.readouterr()
    assert out == f"features/{faulty.parent.name}/{faulty.name}: b/cls: the bytes are not as written\n"
    assert "verified 4 of 12 datasets of shards" in err
    assert main(["verify", "--sample", "100%"]) == 3
    assert main(["verify", "--sample", "999", "--json", "--remove"]) == 3
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1])["sample"]["datasets"] == 12
    assert main(["verify", "--sample", "1"]) == 0
    assert "95 of 100" in capsys.readouterr().err
    for odd in ("0", "-1", "x", "101%", "2.5"):
        with pytest.raises(SystemExit):
            main(["verify", f"--sample={odd}"])
        assert "is no sample; give a number of datasets, or a share such as 5%" in capsys.readouterr().err
