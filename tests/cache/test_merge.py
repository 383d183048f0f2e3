"""Small shards are put together, and nobody who reads before, after or meanwhile reads anything else."""

from pathlib import Path

import numpy as np
import pytest

from cache import Space, Store
from cache.open_shard import OpenShard
from experiments.features import main
from tests.cache.test_store import features, fill, ids, rounded

NAMES = ("a/mean", "a/grid3", "b/cls")


def small(root: Path, n: int = 30, size: int = 3) -> tuple[Space, dict[str, np.ndarray]]:
    space, arrays = Store(root).space({"e": 1}, label="toy"), features(n)
    arrays["b/cls"][4] *= 1e6  # one shard of float32
    fill(space, ids(n), arrays, shard_items=size)
    return space, {name: space.read(ids(n), name) for name in NAMES}


def held(root: Path, n: int = 30) -> dict[str, np.ndarray]:
    space = Store(root).space({"e": 1})
    assert space.missing(ids(n), NAMES) == []
    return {name: space.read(ids(n), name) for name in NAMES}


def test_small_shards_become_one_that_holds_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space, truth = small(tmp_path)
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["gc"]) == 0
    assert len(list(space.folder.glob("shard-*"))) == 10, "only where it is asked for"
    assert main(["gc", "--merge", "--dry-run"]) == 0
    assert "10 small shards would be put into few" in capsys.readouterr().out
    assert len(list(space.folder.glob("shard-*"))) == 10
    assert main(["gc", "--merge"]) == 0
    assert "10 small shards were put into few" in capsys.readouterr().out
    assert len(list(space.folder.glob("shard-*"))) == 1
    for now in (held(tmp_path), {name: space.read(ids(30), name) for name in NAMES}):
        for name in NAMES:
            np.testing.assert_array_equal(now[name], truth[name])
    assert Store(tmp_path).verify() == []
    assert Store(tmp_path).gc(merge=True) == []
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_first_of_two_values_stays_the_one_that_is_read(tmp_path: Path) -> None:
    """A large shard, or one of other sites, between two small ones keeps its place in the order."""
    first, truth = small(tmp_path, 6)
    later = features(30, seed=1)
    fill(first, ids(6), {"b/cls": later["b/cls"][:6]})
    fill(first, ids(30), later, shard_items=5)
    fill(first, ids(30), features(30, seed=2), shard_items=5)
    before = held(tmp_path)
    np.testing.assert_array_equal(before["a/mean"][:6], truth["a/mean"])
    np.testing.assert_array_equal(before["a/mean"][6:], rounded(later["a/mean"])[6:])
    Store(tmp_path).gc(merge=True)
    assert len(list(first.folder.glob("shard-*"))) == 3
    assert {head.n for head in first.index().heads} == {6, 30}
    for name, x in held(tmp_path).items():
        np.testing.assert_array_equal(x, before[name])
    assert Store(tmp_path).ls()[0].items == 30


def test_damaged_shards_are_left_as_they_are(tmp_path: Path) -> None:
    space, _ = small(tmp_path, 6)
    path = max(space.folder.glob("shard-*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert Store(tmp_path).gc(merge=True) == []
    assert len(list(space.folder.glob("shard-*"))) == 2


@pytest.mark.parametrize("moment", ["seal", "after"])
def test_a_kill_between_two_steps_loses_nothing_and_the_next_merge_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    space, truth = small(tmp_path)
    seal = OpenShard.seal

    def killed(shard: OpenShard) -> Path:
        if moment == "after":
            seal(shard)
        raise KeyboardInterrupt

    monkeypatch.setattr(OpenShard, "seal", killed)
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).gc(merge=True)
    monkeypatch.undo()
    for step in range(2):
        for name, x in held(tmp_path).items():
            np.testing.assert_array_equal(x, truth[name])
        assert Store(tmp_path).ls()[0].items == 30
        assert Store(tmp_path).verify() == []
        if not step:
            Store(tmp_path).gc(merge=True)
    assert len(list(space.folder.glob("shard-*"))) == 1
