"""A closed shard: an HDF5 file that is never changed, every byte of which is covered by a digest.

The payload is read as bytes from where the index says it lies. Opening the file with h5py for each dataset makes the
check of a store of many small shards 30 times as long (48 shards of 52 datasets: 1.3 s instead of 0.04 s).

    [ HDF5 metadata | index ][ content | features/site/readout | features/site/readout | … ]
      the head: its sha256 is the     the payload: contiguous, uncompressed, without gaps;
      file's name                     one sha256 per dataset, kept in the index

`index` is JSON (UTF-8 bytes in a dataset): schema, space, n, when it was made, and for each dataset its offset,
dtype, width and sha256. The head is checked before HDF5 is given the file, since the library trusts its metadata.
"""

import hashlib
import json
import re
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
    def contents(self) -> list[str]:
        """The content digest of each row; raises DamagedError where they are not as written."""
        if not self.sound(CONTENT):
            raise DamagedError("the content digests are not as written")
        text = b"".join(block.tobytes() for block in self._blocks(self.columns[CONTENT], 0, self.n)).hex()
        return [text[i : i + 64] for i in range(0, len(text), 64)]

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
    length = int(named[2])
    if length > path.stat().st_size:
        raise DamagedError("the file is truncated")
    with path.open("rb") as file:
        head = file.read(length)
    if hashlib.sha256(head).hexdigest()[:32] != named[1]:
        raise DamagedError("the head is not as written")
    index = _index(path)
    if index["schema"] > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer version (schema {index['schema']}; this one reads {SCHEMA}); "
            "update, or name another folder in SLITLAMP_CACHE"
        )
    columns = {
        name: Column(offset=offset, dtype=dtype, width=width, sha256=sha256)
        for name, (offset, dtype, width, sha256) in index["columns"].items()
    }
    shard = Shard(path=path, space=index["space"], n=index["n"], created=index["created"], columns=columns)
    if path.stat().st_size != length + sum(c.row for c in columns.values()) * shard.n:
        raise DamagedError("the file is truncated, or longer than what was written")
    return shard


def _index(path: Path) -> dict:
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            dataset = file["index"]
            assert isinstance(dataset, h5py.Dataset)
            return json.loads(dataset[()].tobytes())
    except (OSError, KeyError, ValueError) as error:
        raise DamagedError(f"HDF5 cannot open it ({str(error).splitlines()[0]})") from None
