"""Long lists cut into blocks, so that what is remembered of their members is asked for block by block."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

ENDS = 511  # a name ends a block where these bits of its checksum are 0: 512 names a block, on average
LONGEST = 8192


@dataclass(frozen=True)
class Block:
    """Members `start` to `stop` of a list, and what they are known by together."""

    start: int
    stop: int
    key: str


def blocks(names: Sequence[str], key: Callable[[int, int], str]) -> list[Block]:
    """The blocks of a list of names. Where they end the names say themselves: one more, or less, changes one block.

    `key(start, stop)` is what the members of a block are known by.
    """
    ends = [i for i, name in enumerate(names, 1) if not crc32(name.encode(errors="surrogatepass")) & ENDS]
    found, start = [], 0
    for end in [*ends, len(names)]:
        while start < end:
            stop = min(end, start + LONGEST)
            found.append(Block(start, stop, key(start, stop)))
            start = stop
    return found


def key_of(kind: str, texts: Sequence[str]) -> str:
    """A sha256 over texts, none of which holds a NUL, for one kind of memory."""
    return hashlib.sha256("\0\0".join((kind, *texts)).encode(errors="surrogatepass")).hexdigest()
