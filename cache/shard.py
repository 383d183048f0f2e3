"""A closed shard: an HDF5 file that is never changed, every byte of which is covered by a digest.

The payload is read as bytes from where the index says it lies. Opening the file with h5py for each dataset makes the
check of a store of many small shards 30 times as long (48 shards of 52 datasets: 1.3 s instead of 0.04 s).

    [ HDF5 metadata | index ][ content | features/site/readout | features/site/readout | … ]
      the head: its sha256 is the     the payload: contiguous, uncompressed, without gaps;
      file's name                     one sha256 per dataset, kept in the index

`index` is JSON (UTF-8 bytes in a dataset): schema, space, n, when it was made, and for each dataset its offset,
dtype, width and sha256. It is read from the head's bytes, without HDF5: a file that somebody else made may point out of
the store (external links and storage, virtual datasets), and the library would follow. What it says is held against the
file before anything is built from it.
"""

import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import DamagedError, StoreError

SCHEMA = 1
CONTENT = "content"
NAME = re.compile(r"shard-([0-9a-f]{32})-([0-9]+)\.h5")
HEAD = 1 << 26  # bytes of the longest head that is read; ten thousand datasets need an eighth of it
WIDEST = 1 << 24  # numbers of the widest vector
DTYPES = ("<f2", "<f4")
BLOCK = 1 << 21  # bytes read at a time: fits the cache of the processor


@dataclass(frozen=True, kw_only=True)
class Column:
    """Where a dataset lies in the file: `n` rows of `width` numbers from `offset` on."""

    offset: int
    dtype: str
    width: int
    sha256: str = ""

    @property
    def row(self) -> int:
        """Bytes per row."""
        return np.dtype(self.dtype).itemsize * self.width


def hasher(name: str, dtype: str, width: int) -> Any:
    """A sha256 that starts with what turns bytes into numbers, so that no dataset passes for another."""
    return hashlib.sha256(f"{name} {dtype} {width}\n".encode())


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What the head of a closed shard says."""

    path: Path
    space: str
    n: int
    created: int
    columns: Mapping[str, Column] = field(repr=False)

    @cached_property
    def digests(self) -> np.ndarray:
        """The content digest of each row [n, 32]; raises DamagedError where they are not as written."""
        column = self.columns[CONTENT]
        taken, found = hasher(CONTENT, column.dtype, column.width), np.empty((self.n, 32), np.uint8)
        done = 0
        for block in self._blocks(column, 0, self.n):
            taken.update(block.data)
            found.reshape(-1)[done : done + len(block)] = block
            done += len(block)
        if taken.hexdigest() != column.sha256:
            raise DamagedError("the content digests are not as written")
        return found

    def sound(self, name: str) -> bool:
        """Whether the bytes of a dataset are those that were written."""
        column = self.columns[name]
        taken = hasher(name, column.dtype, column.width)
        try:
            for block in self._blocks(column, 0, self.n):
                taken.update(block.data)
        except (OSError, DamagedError):
            return False
        return taken.hexdigest() == column.sha256

    def read(self, name: str, start: int, out: np.ndarray) -> None:
        """Copy the rows from `start` on into `out` [m, d] float32."""
        column = self.columns[name]
        done = 0
        for block in self._blocks(column, start, start + len(out)):
            rows = block.view(column.dtype).reshape(-1, column.width)
            out[done : done + len(rows)] = rows
            done += len(rows)

    def _blocks(self, column: Column, start: int, stop: int) -> Iterator[np.ndarray]:
        step = max(1, BLOCK // column.row)
        buffer = np.empty(min(step, stop - start) * column.row, np.uint8)
        with self.path.open("rb", buffering=0) as file:
            file.seek(column.offset + start * column.row)
            for at in range(start, stop, step):
                block = buffer[: (min(at + step, stop) - at) * column.row]
                if file.readinto(block.data) != len(block):
                    raise DamagedError("the file ends early")
                yield block


def load(path: Path) -> Shard:
    """Open a closed shard; raises DamagedError where its name, head or size is wrong, StoreError for a newer schema."""
    named = NAME.fullmatch(path.name)
    if named is None:
        raise DamagedError("the name is not that of a shard")
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise DamagedError("it is a link, which may lead out of the store" if path.is_symlink() else "it is no file")
    length = int(named[2])
    if length > facts.st_size:
        raise DamagedError("the file is truncated")
    if length > HEAD:
        raise DamagedError("the name promises a head longer than any")
    with path.open("rb") as file:
        head = file.read(length)
    if hashlib.sha256(head).hexdigest()[:32] != named[1]:
        raise DamagedError("the head is not as written")
    index = _index(head)
    if isinstance(index["schema"], int) and index["schema"] > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer version (schema {index['schema']}; this one reads {SCHEMA}); "
            "update, or name another folder in SLITLAMP_CACHE"
        )
    try:
        shard = _shard(path, index, length)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DamagedError("the index is none that this project writes") from None
    if facts.st_size != length + sum(c.row for c in shard.columns.values()) * shard.n:
        raise DamagedError("the file is truncated, or longer than what was written")
    return shard


def _index(head: bytes) -> dict:
    """The JSON in the head that says where everything lies."""
    at = head.find(b'{"schema"')
    while at >= 0:
        end = head.find(b"\0", at)
        try:
            text = head[at : end if end > 0 else len(head)].decode("utf-8", "replace")
            return json.JSONDecoder().raw_decode(text)[0]
        except (ValueError, RecursionError):
            at = head.find(b'{"schema"', at + 1)  # a dataset may be called like this
    raise DamagedError("it holds no index")


def _shard(path: Path, index: Mapping[str, Any], length: int) -> Shard:
    """What an index says, each value held to its kind; raises what the first of them raises, or ValueError."""
    columns = {}
    n, created, offset = index["n"], index["created"], length
    for name, (at, dtype, width, sha256) in index["columns"].items():
        kinds = ("|u1",) if name == CONTENT else DTYPES
        whole = all(type(value) is int for value in (at, width, n, created, index["schema"]))
        if not whole or at != offset or dtype not in kinds or not 0 < width <= WIDEST or n < 1:
            raise ValueError(name)
        columns[name] = Column(offset=at, dtype=dtype, width=width, sha256=str(sha256))
        offset += columns[name].row * n
    if columns[CONTENT].width != 32:
        raise ValueError(CONTENT)
    return Shard(path=path, space=str(index["space"]), n=n, created=created, columns=columns)
