"""Which shard and row holds an image: the digests of all shards of a space as one sorted array.

A space of many rows keeps it in a file, so that it need not open every shard. The file is never trusted over the
shards: each entry counts only while its shard has the size, time and number that it had, the file carries a checksum,
and before features are read the digests in the shard itself are compared. Without the file, or with a damaged or old
one, the index is made from the shards.
"""

import contextlib
import json
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from cache.atomic import write_atomically
from cache.errors import StoreError
from cache.shard import CONTENT, DTYPES, HEAD, NAME, WIDEST
from cache.verified import Stamp, VerifiedShards, stamp_of

INDEX = "index.bin"
KEPT = 32  # shards that were opened by hand before the file is written
_MAGIC = b"slitlamp index 1"
_START = struct.Struct("<16sIQ")  # magic, crc32 of what follows it, length of the JSON
_ROW = 32 + 4  # bytes of a digest and of its place in the order


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the index knows of a shard: when it was made, its rows, and dtype and width of each dataset."""

    path: Path
    stamp: Stamp
    n: int
    created: int
    forms: Mapping[str, tuple[str, int]] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Index:
    """Rows of all shards of a space, shard after shard in the order in which they were made.

    `digests` [N, 32] are the contents of the rows, `listing` is what was seen in the folder.
    """

    heads: Sequence[Head]
    digests: np.ndarray = field(repr=False)
    listing: Mapping[str, Stamp] = field(repr=False)
    ready: np.ndarray | None = field(default=None, repr=False)

    @cached_property
    def start(self) -> np.ndarray:
        """The first row of each shard, and the number of all rows [S + 1]."""
        return np.concatenate([[0], np.cumsum([head.n for head in self.heads], dtype=np.int64)]).astype(np.int64)

    @cached_property
    def order(self) -> np.ndarray:
        """Rows by the first eight bytes of their digest; of equal ones, by their place."""
        return np.argsort(_prefix(self.digests), kind="stable") if self.ready is None else self.ready

    @cached_property
    def _sorted(self) -> np.ndarray:
        return _prefix(self.digests)[self.order]

    def rounds(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions in `wanted` [n, 32] and the rows that hold them: the first row of each, then the second."""
        if not len(wanted) or not len(self.digests):
            return
        prefix = _prefix(wanted)
        quick = np.argsort(prefix)  # a search for sorted values stays within the cache of the processor
        low, high = np.empty(len(wanted), np.int64), np.empty(len(wanted), np.int64)
        low[quick] = np.searchsorted(self._sorted, prefix[quick], "left")
        high[quick] = np.searchsorted(self._sorted, prefix[quick], "right")
        left = np.flatnonzero(low < high)
        mine = low[left]
        while len(left):
            rows = self.order[mine]
            same = (_words(self.digests)[rows] == _words(wanted)[left]).all(axis=1)
            if same.any():
                yield left[same], rows[same]
            mine = mine + 1
            go_on = mine < high[left]
            left, mine = left[go_on], mine[go_on]

    def shards_of(self, rows: np.ndarray) -> np.ndarray:
        """The shard that each row lies in."""
        return np.searchsorted(self.start, rows, "right") - 1

    def present(self, shards: np.ndarray) -> list[int]:
        """The different ones of shards."""
        return np.flatnonzero(np.bincount(shards, minlength=len(self.heads))).tolist() if len(shards) else []

    @property
    def items(self) -> int:
        """How many different contents there are."""
        if not len(self.digests):
            return 0
        new = np.diff(self._sorted) != 0
        distinct = 1 + int(new.sum())
        tied = np.flatnonzero(~new)
        if len(tied):  # equal contents in two shards, or other contents that begin alike
            rows = self.order[np.union1d(tied, tied + 1)]
            distinct += len(np.unique(self.digests[rows], axis=0)) - len(np.unique(_prefix(self.digests[rows])))
        return distinct


def digests_of(contents: Sequence[str]) -> np.ndarray:
    """Content digests as bytes [n, 32]; StoreError for one that is none."""
    try:
        found = np.frombuffer(bytes.fromhex("".join(contents)), np.uint8)
        if found.size == 32 * len(contents) and set(map(len, contents)) <= {64}:
            return found.reshape(-1, 32)
    except ValueError:
        pass
    odd = next((c for c in contents if len(c) != 64 or set(c.lower()) - set("0123456789abcdef")), "")
    raise StoreError(f"{odd[:80]!r} is no content digest; give what cache.content_digest says of the pixels")


def texts_of(digests: np.ndarray) -> list[str]:
    """Content digests [n, 32] as they are written, in hexadecimal digits."""
    text = np.ascontiguousarray(digests).tobytes().hex()
    return [text[i : i + 64] for i in range(0, len(text), 64)]


def _prefix(digests: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(digests[:, :8]).view(">u8").ravel().astype(np.uint64)


def _words(digests: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(digests).view(np.uint64)


def listing_of(folder: Path) -> dict[str, Stamp]:
    """The closed shards of a folder by name, with what changes when they do."""
    found = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if NAME.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):  # removed a moment ago
                    found[entry.name] = stamp_of(entry.stat(follow_symlinks=False))
    return found


def open_index(folder: Path, verified: VerifiedShards, known: Index | None = None, *, keep: bool = True) -> Index:
    """The index of a space as its shards are now; what `known` or the file says of unchanged shards is taken over.

    With `keep` the file is written where many shards had to be opened.
    """
    listing = listing_of(folder)
    if known is not None and known.listing == listing:
        return known
    base = known or _from_file(folder, listing)
    at = {} if base is None else {head.path.name: s for s, head in enumerate(base.heads)}
    parts: list[tuple[Head, np.ndarray]] = []
    opened = 0
    for name, stamp in listing.items():
        s = at.get(name)
        if base is not None and s is not None and base.heads[s].stamp == stamp:
            parts.append((base.heads[s], base.digests[base.start[s] : base.start[s + 1]]))
            continue
        shard = verified.shard(folder / name)
        opened += 1
        if shard is not None and shard.space[:32] == folder.name:
            forms = {column: (c.dtype, c.width) for column, c in shard.columns.items() if column != CONTENT}
            head = Head(path=folder / name, stamp=stamp, n=shard.n, created=shard.created, forms=forms)
            parts.append((head, shard.digests))
    if base is not None and not opened and len(parts) == len(base.heads):
        return Index(heads=base.heads, digests=base.digests, listing=listing, ready=base.ready)
    parts.sort(key=lambda part: (part[0].created, part[0].path.name))
    found = Index(
        heads=[head for head, _ in parts],
        digests=np.concatenate([np.empty((0, 32), np.uint8), *(digests for _, digests in parts)]),
        listing=listing,
    )
    if keep and opened >= max(KEPT, len(listing) // 16):
        with contextlib.suppress(OSError):  # a store that may only be read, or a full disk: it only saves time
            write_atomically(folder / INDEX, _to_bytes(found))
    return found


def forget_index(folder: Path) -> None:
    """Remove the file, which said of a shard what is not so."""
    with contextlib.suppress(OSError):
        (folder / INDEX).unlink()


def _to_bytes(index: Index) -> bytes:
    forms: dict[str, int] = {}
    rows = []
    for head in index.heads:
        form = json.dumps(head.forms, sort_keys=True)
        rows.append([head.path.name, *head.stamp, head.n, head.created, forms.setdefault(form, len(forms))])
    text = json.dumps({"shards": rows, "forms": [json.loads(form) for form in forms]}).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join([text, index.digests.tobytes(), index.order.astype("<u4").tobytes()])
    return _START.pack(_MAGIC, zlib.crc32(body), len(text)) + body


def _from_file(folder: Path, listing: Mapping[str, Stamp]) -> Index | None:
    """What the file says; None where there is none that was written as it is."""
    path = folder / INDEX
    room = HEAD + sum(stamp[0] for stamp in listing.values()) * 2
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > room:
            return None
        data = path.read_bytes()
        magic, check, length = _START.unpack_from(data)
        body = memoryview(data)[_START.size :]
        if magic != _MAGIC or zlib.crc32(body) != check or length > len(body):
            return None
        heads = _heads(folder, json.loads(bytes(body[:length])))
        n = sum(head.n for head in heads)
        if len(body) != length + n * _ROW:
            return None
        digests = np.frombuffer(body, np.uint8, n * 32, length).reshape(-1, 32)
        order = np.frombuffer(body, "<u4", n, length + n * 32)
        if n and order.max() >= n:
            return None
        return Index(heads=heads, digests=digests, listing={}, ready=order)  # in another order nothing would be found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        return None


def _heads(folder: Path, said: Mapping[str, list]) -> list[Head]:
    """The shards that the file names; raises ValueError, or what else is raised first, where one is none of ours."""
    forms = [{str(name): (str(dtype), width) for name, (dtype, width) in form.items()} for form in said["forms"]]
    for form in forms:
        for dtype, width in form.values():
            if dtype not in DTYPES or type(width) is not int or not 0 < width <= WIDEST:
                raise ValueError(dtype)
    heads = []
    for name, size, time, number, n, created, form in said["shards"]:
        if not NAME.fullmatch(name) or any(type(v) is not int for v in (size, time, number, n, created, form)) or n < 1:
            raise ValueError(name)
        heads.append(Head(path=folder / name, stamp=(size, time, number), n=n, created=created, forms=forms[form]))
    return heads
