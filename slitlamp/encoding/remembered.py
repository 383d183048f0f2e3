"""What a memo knows of a long list of keys: asked for block by block once all of a block was known, else key by key."""

from collections.abc import Sequence
from typing import Any

from cache.memo import Memo
from tasks.sources.blocks import LONGEST, Block, blocks, key_of


class Remembered:
    """The values that a memo has for a list of keys, None where a key is."""

    def __init__(self, memo: Memo, keys: Sequence[str | None]) -> None:
        self._memo = memo
        self.values: list[Any] = [None] * len(keys)
        every = blocks([key or "" for key in keys], lambda a, b: key_of("block", [key or "" for key in keys[a:b]]))
        self._blocks: list[Block] = []  # that are not remembered as such, and could be
        said = memo.get_many([block.key for block in every])
        single: list[int] = []
        for block in every:
            part = range(block.start, block.stop)
            whole = all(keys[i] is not None for i in part)  # else another list of such members would have the same key
            if whole and block.key in said:
                self.values[block.start : block.stop] = said.pop(block.key)
                continue
            self._blocks += [block] * whole
            single += [i for i in part if keys[i] is not None]
        for start in range(0, len(single), LONGEST):
            part = {i: key for i in single[start : start + LONGEST] if (key := keys[i]) is not None}
            known = memo.get_many([*part.values()])
            for i, key in part.items():
                self.values[i] = known.get(key)

    def keep(self, values: Sequence[Any]) -> None:
        """Write the blocks that were not known as such, and of which every value is by now."""
        whole = [b for b in self._blocks if all(value is not None for value in values[b.start : b.stop])]
        self._memo.put_many({b.key: [*values[b.start : b.stop]] for b in whole})
        self._blocks = [block for block in self._blocks if block not in whole]
