"""What a memo knows of a list of keys, asked for in blocks."""

from pathlib import Path

from cache import Store
from slitlamp.encoding.remembered import Remembered


def test_what_was_kept_is_found_again_in_blocks_and_key_by_key(tmp_path: Path) -> None:
    memo, keys = Store(tmp_path).memo("m"), [f"key {k}" for k in range(40)]
    first = Remembered(memo, keys)
    assert first.values == [None] * 40
    memo.put_many({key: f"value of {key}" for key in keys})
    values = Remembered(memo, keys).values
    assert values == [f"value of {key}" for key in keys]
    first.keep(values)
    (memo.path).unlink()
    memo.put_many({"other": 1})
    assert Remembered(memo, keys).values == [None] * 40, "the memo was lost, and nothing else knows"
    first = Remembered(memo, keys)
    first.keep(values)
    assert Remembered(memo, keys).values == values, "by their blocks, without an entry for each"
    assert Remembered(memo, keys[::-1]).values == [None] * 40, "another order is another block"


def test_lists_of_members_without_keys_are_not_taken_for_one_another(tmp_path: Path) -> None:
    memo = Store(tmp_path).memo("m")
    Remembered(memo, [None, None, "a"]).keep(["x", "y", "z"])
    assert Remembered(memo, [None, None, "a"]).values == [None, None, "z"]
    Remembered(memo, ["", "b"]).keep(["x", "y"])
    assert Remembered(memo, [None, "b"]).values == [None, "y"]


def test_a_block_is_kept_once_all_of_it_is_known(tmp_path: Path) -> None:
    memo, keys = Store(tmp_path).memo("m"), [f"key {k}" for k in range(4)]
    first = Remembered(memo, keys)
    first.keep(["a", None, "c", "d"])
    assert Remembered(memo, keys).values == [None] * 4
    first.keep(["a", "b", "c", "d"])
    assert Remembered(memo, keys).values == ["a", "b", "c", "d"]
