"""The index finds what a plain search finds, is kept in a file, and that file is never trusted over the shards."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import Space, Store, StoreError, index
from cache.index import INDEX, Index, digests_of, texts_of
from tests.cache.test_store import features, fill, ids, rounded

WIDTHS = ("a/mean", "a/grid3", "b/cls")


@settings(max_examples=80, deadline=None)
@given(
    stored=st.lists(st.integers(0, 30), max_size=60),
    asked=st.lists(st.integers(0, 40), max_size=60),
    alike=st.booleans(),
)
def test_every_row_of_every_content_is_found_in_order(stored: list[int], asked: list[int], alike: bool) -> None:
    """Contents that begin alike, as nobody makes them by chance, are told apart too."""
    start = "ab" * 8 if alike else ""
    texts = [start + text[len(start) :] for text in ids(41)]
    made = Index(heads=[], digests=digests_of([texts[i] for i in stored]), listing={})
    found: dict[int, list[int]] = {}
    for positions, rows in made.rounds(digests_of([texts[i] for i in asked])):
        for position, row in zip(positions.tolist(), rows.tolist(), strict=True):
            found.setdefault(position, []).append(row)
    want = {p: rows for p, i in enumerate(asked) if (rows := [r for r, j in enumerate(stored) if i == j])}
    assert found == want
    assert made.items == len(set(stored))


def test_digests_are_read_as_they_are_written_and_nothing_else_is() -> None:
    assert texts_of(digests_of(ids(5))) == ids(5)
    assert len(digests_of([])) == 0
    for odd in ("", "ab", "g" * 64, " " + ids(1)[0], ids(1)[0] + "00"):
        with pytest.raises(StoreError, match="is no content digest; give what cache"):
            digests_of([ids(1)[0], odd])
    with pytest.raises(StoreError, match="is no content digest"):
        digests_of(["ab", "a" * 126])  # as long as two together


@pytest.mark.parametrize("seed", range(4))
def test_missing_is_what_a_search_item_by_item_says(tmp_path: Path, seed: int) -> None:
    """Sites of one item in several shards, equal contents, what was never stored: against a plain dictionary."""
    rng, space = np.random.default_rng(seed), Store(tmp_path).space({"e": 1})
    held: dict[str, set[str]] = {}
    for _ in range(6):
        some = [ids(40)[i] for i in rng.integers(0, 40, 12)]
        names = [str(n) for n in rng.choice(WIDTHS, int(rng.integers(1, 4)), replace=False)]
        fill(space, some, {name: x for name, x in features(12).items() if name in names}, shard_items=5)
        for content in some:
            held.setdefault(content, set()).update(names)
    for count in (0, 1, 2, 3):
        asked, seen, want = [ids(50)[i] for i in rng.integers(0, 50, 60)], set[str](), []
        for position, content in enumerate(asked):
            if content not in seen and not set(WIDTHS[:count]) <= held.get(content, set()):
                want.append(position)
            seen.add(content)
        for verify in (False, True):
            assert space.missing(asked, WIDTHS[:count], verify=verify) == want
    assert set(space.stored()) == set(held)
    assert set(space.stored(["b/cls"])) == {content for content, names in held.items() if "b/cls" in names}


def many(root: Path, shards: int = 40) -> tuple[Space, dict[str, np.ndarray]]:
    """A space of so many shards of two rows, and its file of the index."""
    space, arrays = Store(root).space({"e": 1}), features(2 * shards)
    fill(space, ids(2 * shards), arrays, shard_items=2)
    assert Store(root).space({"e": 1}).missing(ids(2 * shards), WIDTHS) == []
    assert (space.folder / INDEX).is_file()
    return space, arrays


def test_the_file_saves_opening_the_shards_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, arrays = many(tmp_path)
    opened: list[Path] = []
    from cache import verified

    load = verified.load
    monkeypatch.setattr(verified, "load", lambda path: opened.append(path) or load(path))
    fresh = Store(tmp_path).space({"e": 1})
    assert fresh.missing(ids(90), WIDTHS, verify=False) == list(range(80, 90))
    assert opened == []
    assert Store(tmp_path).ls()[0].items == 80
    assert opened == []
    np.testing.assert_array_equal(fresh.read(ids(4, 30), "b/cls"), rounded(arrays["b/cls"])[30:34])
    assert len(opened) == 2, "only what is relied on is opened"
    (space.folder / INDEX).unlink()
    assert Store(tmp_path).space({"e": 1}).missing(ids(90), WIDTHS, verify=False) == list(range(80, 90))
    assert len(opened) > 40


def test_an_old_file_is_brought_up_to_date_with_the_shards(tmp_path: Path) -> None:
    space, _ = many(tmp_path)
    old = (space.folder / INDEX).read_bytes()
    fill(space, ids(2, 80), features(2))
    gone = min(space.folder.glob("shard-*"))
    gone.unlink()
    changed = max(space.folder.glob("shard-*"))
    changed.write_bytes(changed.read_bytes()[:-1])
    assert (space.folder / INDEX).read_bytes() == old, "one new shard is not worth a file"
    missing = Store(tmp_path).space({"e": 1}).missing(ids(82), WIDTHS, verify=False)
    assert len(missing) == 4
    assert not {80, 81} & set(missing)
    assert Store(tmp_path).ls()[0].items == 78


@pytest.mark.parametrize("how", ["bit", "short", "link", "pipe", "other"])
def test_a_damaged_file_is_not_believed(tmp_path: Path, how: str) -> None:
    space, arrays = many(tmp_path)
    path = space.folder / INDEX
    data = bytearray(path.read_bytes())
    if how == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif how == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif how == "bit":
        rng = np.random.default_rng(0)
        for place in [*range(0, 32, 3), *rng.integers(0, len(data), 12).tolist()]:
            bad = bytearray(data)
            bad[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(bad)
            assert Store(tmp_path).space({"e": 1}).missing(ids(82), WIDTHS, verify=False) == [80, 81], place
    else:
        path.write_bytes({"short": data[:-9], "long": data + b"123456789", "empty": b"", "other": b"{}" * 999}[how])
    fresh = Store(tmp_path).space({"e": 1})
    assert fresh.missing(ids(82), WIDTHS, verify=False) == [80, 81]
    np.testing.assert_array_equal(fresh.read(ids(80), "b/cls"), rounded(arrays["b/cls"]))
    assert Store(tmp_path).verify() == []


def test_a_file_that_gives_other_rows_than_the_shards_moves_no_features(tmp_path: Path) -> None:
    """A file with a right sum and wrong digests, as no writer makes it: what is read is as in the shards."""
    space, arrays = many(tmp_path)
    good = space.index()
    digests = good.digests.copy()
    digests[[0, 1]] = digests[[1, 0]]
    (space.folder / INDEX).write_bytes(index._to_bytes(Index(heads=good.heads, digests=digests, listing={})))
    fresh = Store(tmp_path).space({"e": 1})
    np.testing.assert_array_equal(fresh.read(ids(80), "b/cls"), rounded(arrays["b/cls"]))
    np.testing.assert_array_equal(fresh.index().digests, good.digests)
    assert Store(tmp_path).space({"e": 1}).read(ids(1), "b/cls").shape == (1, 6)


def settled(folder: Path) -> None:
    """Let an hour pass since the shards were written."""
    for path in folder.glob("shard-*"):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns - 3600 * 10**9))


def test_what_was_hashed_is_remembered_until_the_file_changes_and_read_only_when_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage that leaves size, time and number of a file alone is not used either: reading finds it."""
    monkeypatch.setattr("cache.verified.WORTH", 0)
    store, arrays = Store(tmp_path), features(10)
    space = store.space({"e": 1})
    fill(space, ids(10), arrays)
    settled(space.folder)
    hashed: list[str] = []
    from cache.shard import Shard

    sound = Shard.sound
    monkeypatch.setattr(Shard, "sound", lambda shard, name: hashed.append(name) or sound(shard, name))
    for want in (list(WIDTHS), [], []):
        hashed.clear()
        assert Store(tmp_path).space({"e": 1}).missing(ids(10), WIDTHS) == []
        assert sorted(hashed) == sorted(want)
    fresh = Store(tmp_path).space({"e": 1})
    assert fresh.missing(ids(10), WIDTHS) == []
    fresh.read(ids(10), "b/cls")
    assert hashed == ["b/cls"], "what is read is hashed by the process that reads it"
    (path,) = space.folder.glob("shard-*")
    facts, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 4  # of b/cls, the last dataset
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    fresh = Store(tmp_path).space({"e": 1})
    assert fresh.missing(ids(10), WIDTHS) == []
    with pytest.raises(StoreError, match=r"10 of 10 items have no b/cls in the store .*run the same command again"):
        fresh.read(ids(10), "b/cls")
    assert "b/cls is not as written" in caplog.text
    for again in (fresh, Store(tmp_path).space({"e": 1})):
        assert again.missing(ids(10), WIDTHS) == list(range(10)), "the next run encodes them"
        assert again.missing(ids(10), ["a/mean"]) == []
    os.utime(path)
    hashed.clear()
    assert Store(tmp_path).space({"e": 1}).missing(ids(10), ["a/mean"]) == []
    assert hashed == ["a/mean"], "another time, another file"


def test_what_was_written_a_moment_ago_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change within the tick of a clock leaves the time of a file alone."""
    monkeypatch.setattr("cache.verified.WORTH", 0)
    space = Store(tmp_path).space({"e": 1})
    fill(space, ids(10), features(10))
    assert Store(tmp_path).space({"e": 1}).missing(ids(10), WIDTHS) == []
    assert Store(tmp_path).memo("checked").get_many([f"{p.parent.name}/{p.name}" for p in space.folder.iterdir()]) == {}


def test_blocks_are_what_is_read_at_once_in_any_order(tmp_path: Path) -> None:
    space, arrays = Store(tmp_path).space({"e": 1}), features(50)
    fill(space, ids(50), arrays, shard_items=7)
    rng = np.random.default_rng(0)
    for asked in (space.stored(), [ids(50)[i] for i in rng.integers(0, 50, 77)]):
        blocks = list(space.blocks(asked, "a/mean", rows=9))
        assert {len(block) for block in blocks[:-1]} == {9}
        np.testing.assert_array_equal(np.concatenate(blocks), space.read(asked, "a/mean"))
    (nothing,) = space.blocks([], "a/mean")
    assert len(nothing) == 0
    with pytest.raises(StoreError, match="1 of 51 items have no a/mean"):
        next(space.blocks(ids(51), "a/mean"))


def test_a_shard_that_goes_while_its_rows_are_read_is_found_elsewhere(tmp_path: Path) -> None:
    """Another process may remove a damaged shard, or a host may have written the same items."""
    space, arrays = Store(tmp_path).space({"e": 1}), features(20)
    for _ in range(2):
        fill(Store(tmp_path).space({"e": 1}), ids(20), arrays, shard_items=10)
    blocks = space.blocks(ids(20), "a/mean", rows=10)
    first = next(blocks)
    for head in space.index().heads[:2]:
        head.path.unlink()
    np.testing.assert_array_equal(np.concatenate([first, *blocks]), rounded(arrays["a/mean"]))
    shutil.rmtree(space.folder)
    with pytest.raises(StoreError, match="20 of 20 items have no a/mean"):
        space.read(ids(20), "a/mean")


def test_contents_are_digests(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="'x' is no content digest"):
        Store(tmp_path).space({"e": 1}).missing(["x"], ["a/mean"])
    assert hashlib.sha256(b"").hexdigest() in texts_of(digests_of([hashlib.sha256(b"").hexdigest()]))
