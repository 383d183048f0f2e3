"""The store gives back what was put in, under keys that hold everything that determines it."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cache import Space, Store, StoreError, content_digest, default_root, write_atomically
from cache.atomic import is_dead, system, temporary
from cache.float16 import narrow
from cache.keys import digest
from tests.paths import ROOT


def ids(n: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, start + n)]


def features(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(n, d)).astype(np.float32)
        for name, d in {"a/mean": 24, "a/grid3": 54, "b/cls": 6}.items()
    }


def fill(space: Space, contents: list[str], arrays: dict[str, np.ndarray], batch: int = 16, **options: float) -> None:
    widths = {name: x.shape[1] for name, x in arrays.items()}
    with space.writer(widths, total=len(contents), **options) as writer:  # type: ignore[arg-type]
        for a in range(0, len(contents), batch):
            writer.add(contents[a : a + batch], {name: x[a : a + batch] for name, x in arrays.items()})


def rounded(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("shard_items", [7, 16, 4096])
def test_what_was_stored_is_read_back(tmp_path: Path, shard_items: int) -> None:
    space, arrays = Store(tmp_path).space({"e": 1}), features(50)
    fill(space, ids(50), arrays, shard_items=shard_items)
    assert space.missing(ids(50), arrays) == []
    for name, x in arrays.items():
        np.testing.assert_array_equal(space.read(ids(50), name), rounded(x))


def test_another_process_reads_the_same(tmp_path: Path) -> None:
    arrays = features(20)
    fill(Store(tmp_path).space({"e": 1}), ids(20), arrays)
    again = Store(tmp_path).space({"e": 1})
    np.testing.assert_array_equal(again.read(ids(20), "a/mean"), rounded(arrays["a/mean"]))


@settings(max_examples=30, deadline=None)
@given(order=st.lists(st.integers(0, 39), max_size=60))
def test_reading_follows_the_order_asked_for_with_repeats(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    root = tmp_path_factory.getbasetemp() / "order"
    space, arrays = Store(root).space({"e": 1}), features(40)
    if space.missing(ids(40), arrays):
        fill(space, ids(40), arrays, shard_items=11)
    contents = [ids(40)[i] for i in order]
    np.testing.assert_array_equal(space.read(contents, "b/cls").reshape(-1, 6) if order else np.empty((0, 6)),
                                  rounded(arrays["b/cls"])[order])  # fmt: skip


def test_missing_names_the_first_of_equal_contents_and_what_lacks_a_name(tmp_path: Path) -> None:
    space, arrays = Store(tmp_path).space({"e": 1}), features(10)
    fill(space, ids(10), arrays)
    new = ids(2, start=100)
    asked = [new[0], *ids(3), new[1], new[0], new[1]]
    assert space.missing(asked, ["a/mean"]) == [0, 4]
    assert space.missing(ids(3), ["a/mean", "c/mean"]) == [0, 1, 2]
    assert space.missing([], ["a/mean"]) == []


def test_a_second_site_completes_the_first(tmp_path: Path) -> None:
    space, arrays = Store(tmp_path).space({"e": 1}), features(10)
    fill(space, ids(10), {"a/mean": arrays["a/mean"]})
    fill(space, ids(10), {"b/cls": arrays["b/cls"]})
    assert space.missing(ids(10), ["a/mean", "b/cls"]) == []
    np.testing.assert_array_equal(space.read(ids(10), "b/cls"), rounded(arrays["b/cls"]))


def test_what_is_not_stored_is_an_error_and_never_zeros(tmp_path: Path) -> None:
    space, arrays = Store(tmp_path).space({"e": 1}), features(10)
    fill(space, ids(10), arrays)
    with pytest.raises(StoreError, match=r"^2 of 12 items have no a/mean in the store \(the first is [0-9a-f]{12}\)"):
        space.read(ids(12), "a/mean")
    with pytest.raises(StoreError, match="10 of 10 items have no c/mean"):
        space.read(ids(10), "c/mean")


def test_the_first_of_two_shards_that_hold_the_same_is_read(tmp_path: Path) -> None:
    first, second = features(10, seed=1), features(10, seed=2)
    for arrays in (first, second):
        fill(Store(tmp_path).space({"e": 1}), ids(10), arrays)
    space = Store(tmp_path).space({"e": 1})
    np.testing.assert_array_equal(space.read(ids(10), "a/mean"), rounded(first["a/mean"]))


def test_spaces_of_different_material_share_nothing(tmp_path: Path) -> None:
    store, arrays = Store(tmp_path), features(10)
    fill(store.space({"fingerprint": "x", "policy": {"exif": "applied"}}), ids(10), arrays)
    other = store.space({"fingerprint": "x", "policy": {"exif": "ignored"}})
    assert other.missing(ids(10), ["a/mean"]) == list(range(10))


def test_the_label_is_not_part_of_the_key(tmp_path: Path) -> None:
    store, arrays = Store(tmp_path), features(10)
    fill(store.space({"e": 1}, label="one"), ids(10), arrays)
    assert store.space({"e": 1}, label="two").missing(ids(10), arrays) == []
    assert [entry.label for entry in store.ls()] == ["one"]


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
MATERIAL = st.dictionaries(st.text(max_size=4), JSONS, max_size=4)


@settings(max_examples=50)
@given(one=MATERIAL, other=MATERIAL)
def test_two_materials_share_a_key_only_if_their_json_is_the_same(one: dict, other: dict) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


@settings(max_examples=30)
@given(material=MATERIAL)
def test_the_order_of_a_material_does_not_matter(material: dict) -> None:
    assert digest(dict(reversed(material.items()))) == digest(material)


BASE = {"fingerprint": "f0", "device": "cpu", "dtype": "float32", "policy": {"exif": "applied", "window": [40, 400]}}
CHANGES = [
    {"fingerprint": "f1"}, {"device": "cuda"}, {"dtype": "bfloat16"}, {"policy": {"exif": "raw", "window": [40, 400]}},
    {"policy": {"exif": "applied", "window": [40, 401]}}, {"policy": {"exif": "applied"}}, {"version": 2},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=json.dumps)
def test_every_ingredient_of_a_key_matters(change: dict) -> None:
    assert digest(BASE | change) != digest(BASE)


@pytest.mark.parametrize(
    "bad",
    [{"x": float("nan")}, {"x": object()}, {"x": {1: 2}}, {"x": [{2: 3}]}],
    ids=["nan", "object", "number as key", "inner number as key"],
)
def test_a_key_that_json_would_blur_is_refused(bad: dict) -> None:
    with pytest.raises(StoreError, match=r"^a key holds "):
        digest(bad)


IMAGES = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=4),
    elements={"min_value": 0, "max_value": 200},
)


@given(image=IMAGES, data=st.data())
def test_any_change_of_pixels_shape_or_dtype_changes_the_content_digest(image: np.ndarray, data: st.DataObject) -> None:
    known = content_digest(image)
    assert content_digest(image.copy(order="F")) == known
    assert content_digest(image[None]) != known
    assert content_digest(image.astype(np.float64)) != known
    changed = image.copy()
    changed.flat[data.draw(st.integers(0, image.size - 1))] += 1
    assert content_digest(changed) != known


def test_a_6_by_4_image_is_not_a_4_by_6_image() -> None:
    pixels = np.zeros(24, np.uint8)
    assert content_digest(pixels.reshape(6, 4)) != content_digest(pixels.reshape(4, 6))


def test_the_same_bytes_of_another_dtype_are_another_image() -> None:
    pixels = np.arange(24, dtype=np.uint16).reshape(4, 6)
    assert content_digest(pixels.view(np.int16)) != content_digest(pixels)
    assert content_digest(pixels.astype(">u2")) == content_digest(pixels)


def test_an_image_and_its_turned_view_differ_though_they_share_memory() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert content_digest(image[::-1]) != content_digest(image)
    assert content_digest(image[::-1]) == content_digest(image[::-1].copy())


def dtypes(store: Store) -> tuple[str, ...]:
    return store.ls()[0].dtypes


def test_features_that_fit_are_stored_in_half(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store.space({"e": 1}), ids(10), features(10))
    assert dtypes(store) == ("float16",)


@pytest.mark.parametrize(("value", "why"), [(1e5, "overflow"), (1e30, "square overflow")])
def test_a_feature_that_overflows_half_is_kept_in_single(tmp_path: Path, value: float, why: str) -> None:
    store, arrays = Store(tmp_path), features(50)
    arrays["a/mean"][37, 3] = value
    fill(store.space({"e": 1}), ids(50), arrays)
    space = Store(tmp_path).space({"e": 1})
    back = space.read(ids(50), "a/mean")
    np.testing.assert_array_equal(back[37], arrays["a/mean"][37], err_msg=why)
    np.testing.assert_array_equal(np.delete(back, 37, 0), np.delete(rounded(arrays["a/mean"]), 37, 0))
    assert dtypes(store) == ("float16", "float32")


def test_tiny_features_that_half_would_blur_are_kept_in_single(tmp_path: Path) -> None:
    arrays = features(20)
    arrays["b/cls"] *= 1e-7
    space = Store(tmp_path).space({"e": 1})
    fill(space, ids(20), arrays)
    np.testing.assert_array_equal(space.read(ids(20), "b/cls"), arrays["b/cls"])


def test_what_is_read_back_does_not_depend_on_how_items_fell_into_shards(tmp_path: Path) -> None:
    arrays = features(60)
    arrays["a/mean"][[5, 41]] *= 1e6
    arrays["b/cls"][20:23] *= 1e-8
    arrays["b/cls"][24] = 0
    found = []
    for shard_items, batch in [(4096, 60), (7, 3), (13, 16), (4096, 1)]:
        space = Store(tmp_path / f"{shard_items}-{batch}").space({"e": 1})
        fill(space, ids(60), arrays, batch=batch, shard_items=shard_items)
        found.append({name: space.read(ids(60), name) for name in arrays})
    for other in found[1:]:
        for name in arrays:
            np.testing.assert_array_equal(other[name], found[0][name])


@settings(max_examples=200)
@given(x=hnp.arrays(np.float32, (4, 5), elements=st.floats(-1e6, 1e6, width=32)), scale=st.integers(-40, 0))
def test_half_is_used_only_where_it_holds_the_vector_to_a_thousandth(x: np.ndarray, scale: int) -> None:
    x = np.ldexp(x, scale)
    half, fits = narrow(x)
    exact = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.linalg.norm(exact - half, axis=1)
    norm = np.linalg.norm(exact, axis=1)
    np.testing.assert_array_equal(fits, (off < 1e-3 * norm) | (off == 0))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused_and_the_rest_is_kept(tmp_path: Path, bad: float) -> None:
    space, arrays = Store(tmp_path).space({"e": 1}), features(40)
    arrays["a/grid3"][21, 7] = bad
    with pytest.raises(
        StoreError, match=rf"^a/grid3 of item {ids(40)[21][:12]} \(row 5 of the batch\) holds NaN or inf"
    ):
        fill(space, ids(40), arrays)
    assert space.missing(ids(40), arrays) == list(range(16, 40))


def test_arrays_of_the_wrong_name_shape_or_dtype_are_refused(tmp_path: Path) -> None:
    space, x = Store(tmp_path).space({"e": 1}), np.zeros((3, 4), np.float32)
    with space.writer({"a/mean": 4}) as writer:
        for arrays, match in [
            ({}, "a/mean is missing"),
            ({"a/mean": x, "b/mean": x}, "b/mean is not expected"),
            ({"a/mean": x[:, :3]}, r"a/mean is float32 \[3, 3\]; the store takes float32 \[3, 4\]"),
            ({"a/mean": x.astype(np.float64)}, r"a/mean is float64 \[3, 4\]"),
        ]:
            with pytest.raises(StoreError, match=match):
                writer.add(ids(3), arrays)
    for name in ("mean", "a/b/c", "../x", "a/"):
        with pytest.raises(StoreError, match="does not name features; give site/readout"):
            space.writer({name: 4})


def test_a_writer_that_is_interrupted_keeps_what_was_added(tmp_path: Path) -> None:
    space, arrays = Store(tmp_path).space({"e": 1}), features(40)

    def interrupted() -> None:
        with space.writer({name: x.shape[1] for name, x in arrays.items()}, total=40) as writer:
            writer.add(ids(25), {name: x[:25] for name, x in arrays.items()})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert space.missing(ids(40), arrays) == list(range(25, 40))
    np.testing.assert_array_equal(space.read(ids(25), "a/mean"), rounded(arrays["a/mean"][:25]))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_slow_encoder_closes_a_shard_when_the_time_is_up(tmp_path: Path) -> None:
    store, arrays = Store(tmp_path), features(48)
    fill(store.space({"e": 1}), ids(48), arrays, shard_seconds=0.0)
    assert store.ls()[0].shards == 3


def test_shards_are_as_large_as_their_rows(tmp_path: Path) -> None:
    """52 datasets of a ViT-B; the metadata of HDF5 and the digests of contents are all there is besides."""
    rng, n = np.random.default_rng(0), 64
    arrays = {f"block.{i}/{r}": rng.normal(size=(n, 768)).astype(np.float32) for i in range(13) for r in "abcd"}
    store = Store(tmp_path)
    fill(store.space({"e": 1}), ids(n), arrays, batch=50)
    payload = sum(x.size * 2 for x in arrays.values())
    assert store.ls()[0].bytes < 1.02 * payload


def test_a_shard_is_plain_hdf5(tmp_path: Path) -> None:
    import h5py

    arrays = features(10)
    fill(Store(tmp_path).space({"e": 1}), ids(10), arrays)
    (path,) = tmp_path.rglob("shard-*.h5")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["features/a/mean"], arrays["a/mean"].astype(np.float16))
        assert [row.tobytes().hex() for row in file["content"][()]] == ids(10)
        assert file["features/a/mean"].chunks is None
        assert file.attrs["n"] == 10
        assert json.loads(file["index"][()].tobytes())["schema"] == 1


def write_by_hand(folder: Path, space: str, contents: list[str], arrays: dict[str, np.ndarray]) -> Path:
    """A shard as schema 1 lays it out, by h5py alone: metadata and index, then content and features without gaps."""
    import h5py

    n = len(contents)
    stored = {"content": np.array([list(bytes.fromhex(c)) for c in contents], np.uint8), **arrays}
    index = {"schema": 1, "space": space, "n": n, "created": 1_700_000_000_000_000_000, "columns": {}}
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    path = folder / "by-hand"
    with h5py.File(path, "w", meta_block_size=1 << 16) as file:
        file.attrs.update({"schema": 1, "space": space, "n": n, "created_utc": "2023-11-14T22:13:20+00:00"})
        text = file.create_dataset("index", 2000, "|u1", fill_time="never", dcpl=made)
        for name, x in stored.items():
            place = name if name == "content" else f"features/{name}"
            held = file.create_dataset(place, x.shape, x.dtype, fill_time="never", dcpl=made)
            held[...] = x
            named = hashlib.sha256(f"{name} {x.dtype.str} {x.shape[1]}\n".encode() + x.tobytes()).hexdigest()
            index["columns"][name] = [held.id.get_offset(), x.dtype.str, x.shape[1], named]
        text[...] = np.frombuffer(json.dumps(index).encode().ljust(2000), np.uint8)
        head = file["content"].id.get_offset()  # type: ignore[union-attr]
    digest_of_head = hashlib.sha256(path.read_bytes()[:head]).hexdigest()[:32]
    return path.rename(folder / f"shard-{digest_of_head}-{head}.h5")


def test_a_store_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    space, rng = store.space({"e": 1}), np.random.default_rng(0)
    fill(space, ids(4, start=50), {"a/mean": features(4)["a/mean"]})
    halves, singles = rng.normal(size=(10, 24)).astype("<f2"), rng.normal(size=(10, 6)).astype("<f4") * 1e6
    path = write_by_hand(space.folder, space.digest, ids(10), {"a/mean": halves, "b/cls": singles})
    fresh = Store(tmp_path).space({"e": 1})
    assert fresh.missing(ids(10), ["a/mean", "b/cls"]) == []
    np.testing.assert_array_equal(fresh.read(ids(10), "a/mean"), halves.astype(np.float32))
    np.testing.assert_array_equal(fresh.read(ids(10), "b/cls"), singles)
    assert store.verify() == []
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert [p.dataset for p in store.verify()] == ["b/cls"]


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "results.json"
    write_atomically(path, "ä")
    assert path.read_bytes() == "ä".encode()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert [(p.name, p.read_bytes()) for p in path.parent.iterdir()] == [(path.name, "ä".encode())]


def test_the_next_writer_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here, elsewhere = f"at-{system()}", f"at-{'0' * 8}"
    left = [f".a.npz.{here}.{dead.pid}.tmp", f".b.json.{here}.{dead.pid}-0123abcd.tmp"]
    kept = [temporary(tmp_path, "c.npz").name, ".mine.tmp", "d.tmp", f".e.{here}.{dead.pid}.txt",
            f".f.npz.{elsewhere}.{dead.pid}.tmp", f".g.npz.{dead.pid}.tmp"]  # fmt: skip
    for name in left + kept:
        (tmp_path / name).touch()
    write_atomically(tmp_path / "f.json", b"{}")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "f.json"])
    for name in kept[-2:]:
        os.utime(tmp_path / name, (0, time.time() - 2 * 86_400))  # nobody has written there for a day
    assert is_dead(tmp_path / kept[-2])
    assert is_dead(tmp_path / kept[-1])


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    space = Store(tmp_path).space({"e": 1})
    fill(space, ids(4), features(4))
    path = space.folder / "spec.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(StoreError, match=r"written by a newer version \(schema 2; this one reads 1\); update, or name"):
        Store(tmp_path).space({"e": 1})
    problems = Store(tmp_path).verify()
    assert "newer version" in problems[0].what
    assert Store(tmp_path).drop(problems) == []


def test_a_store_that_cannot_be_written_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "store")
    assert store.ls() == []
    assert store.verify() == []
    assert store.space({"e": 1}).missing(ids(2), ["a/mean"]) == [0, 1]
    for attempt in (
        lambda: fill(store.space({"e": 1}), ids(4), features(4)),
        lambda: store.memo("m").put_many({"a": 1}, required=True),
    ):
        with pytest.raises(
            StoreError, match=r"^the feature store at \S+ cannot be written \(Not a directory\); .*SLITLAMP_CACHE$"
        ):
            attempt()


def test_space_is_required_before_work_starts(tmp_path: Path) -> None:
    store = Store(tmp_path / "not" / "yet")
    store.require_space(1000)
    with pytest.raises(StoreError, match=r"needs \d+\.\d GB and its disk has \S+ \SB free; .*SLITLAMP_CACHE"):
        store.require_space(10**18)
    assert not (tmp_path / "not").exists()


def test_the_root_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "x"))
    assert default_root() == tmp_path / "x"
    monkeypatch.delenv("SLITLAMP_CACHE")
    assert default_root().name == "slitlamp"


def test_nothing_is_logged_about_a_healthy_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="cache"):
        fill(Store(tmp_path).space({"e": 1}), ids(10), features(10))
        Store(tmp_path).space({"e": 1}).read(ids(10), "a/mean")
    assert caplog.records == []


def test_importing_the_store_loads_no_h5py_and_the_package_no_numpy() -> None:
    program = (
        "import sys, cache\nassert 'numpy' not in sys.modules\n"
        "cache.Store, cache.default_root\nassert not {'h5py', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_a_name_the_package_lacks_is_an_attribute_error() -> None:
    import cache

    with pytest.raises(AttributeError, match="no attribute 'Stor'"):
        cache.Stor  # type: ignore[attr-defined]  # noqa: B018


def test_one_name_in_two_widths_is_refused_and_not_mixed(tmp_path: Path) -> None:
    space = Store(tmp_path).space({"e": 1})
    for start, wide in ((0, 3), (4, 5)):
        fill(space, ids(4, start), {"a/mean": np.ones((4, wide), np.float32)})
    with pytest.raises(StoreError, match=r"a/mean is stored with the widths \[3, 5\] under one key"):
        space.read(ids(8), "a/mean")
    assert space.read(ids(4, 4), "a/mean").shape == (4, 5)
