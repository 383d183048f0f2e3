"""An open shard: a temporary file with room for a known number of rows, sealed once and for all.

HDF5 lays the file out; the rows are written to their place as bytes. Through h5py the file operations take 1.3 times
as long, and an error on a full disk leaves a file that HDF5 can neither read nor close.
"""

import hashlib
import io
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cache.atomic import lock, share, sync_folder, temporary
from cache.shard import CONTENT, SCHEMA, Column, hasher


class OpenShard:
    """A shard that is being filled. Rows are written in place as they come; what is not sealed does not count.

    `forms` gives for each dataset its dtype and width. The file is locked while its writer lives. `created`, in
    nanoseconds since 1970, says since when its rows are there, where that is not now.
    """

    def __init__(
        self, folder: Path, space: str, forms: Mapping[str, tuple[str, int]], capacity: int, created: int | None = None
    ) -> None:
        self.folder, self.space, self.capacity = folder, space, capacity
        self.forms = dict(forms)
        self._every = {CONTENT: ("|u1", 32), **self.forms}
        self.path = temporary(folder, f"shard-{secrets.token_hex(8)}")
        self.created, self.sealed = time.time_ns() if created is None else created, False
        self._state: tuple[int, list[str], dict[str, Any]] = (
            0,
            [],
            {name: hasher(name, *form) for name, form in self._every.items()},
        )
        self.file = io.FileIO(self.path, "x+")
        try:
            lock(self.file)
            share(self.path)
            self._lay_out()
            self._write(self._index_at, b" " * self._index_size)  # sealing takes no more room on the disk
        except BaseException:
            self.discard()
            raise

    @property
    def n(self) -> int:
        """Rows written so far."""
        return self._state[0]

    @property
    def contents(self) -> list[str]:
        """Content digests of the rows written so far."""
        return self._state[1]

    def _lay_out(self) -> None:
        # HDF5 puts metadata into blocks of its own; a block that holds all of it leaves the payload without gaps
        sites = {name.split("/")[0] for name in self.forms}
        block = 4096 + 640 * len(self.forms) + 1536 * len(sites)
        while not self._try_layout(block):
            block *= 2

    def _try_layout(self, block: int) -> bool:
        import h5py

        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # the place of each dataset is fixed now
        self._index_size = len(self._index(1 << 50, "0" * 64))
        with h5py.File(self.path, "w", locking=False, meta_block_size=block) as file:

            def place(name: str, shape: tuple[int, ...], dtype: str) -> int:
                return file.create_dataset(name, shape, dtype, fill_time="never", dcpl=made).id.get_offset()

            file.attrs["schema"] = SCHEMA
            file.attrs["space"] = self.space
            file.attrs["n"] = self.capacity
            file.attrs["created_utc"] = datetime.fromtimestamp(self.created / 1e9, UTC).isoformat()
            self._index_at = place("index", (self._index_size,), "|u1")
            self.columns = {
                name: Column(
                    offset=place(name if name == CONTENT else f"features/{name}", (self.capacity, width), dtype),
                    dtype=dtype,
                    width=width,
                )
                for name, (dtype, width) in self._every.items()
            }
        self.head = self.columns[CONTENT].offset
        offset = self.head
        for column in self.columns.values():
            if column.offset != offset:
                return False
            offset += column.row * self.capacity
        return self.path.stat().st_size == offset and self._index_at + self._index_size <= self.head

    def _index(self, offset: int | None = None, sha256: str | None = None) -> bytes:
        columns = (
            {name: [c.offset, c.dtype, c.width, c.sha256] for name, c in self.columns.items()}
            if offset is None
            else {name: [offset, *form, sha256] for name, form in self._every.items()}
        )
        index = {"schema": SCHEMA, "space": self.space, "n": self.capacity, "created": self.created, "columns": columns}
        return json.dumps(index).encode()

    def put(self, contents: Sequence[str], arrays: Mapping[str, np.ndarray]) -> None:
        """Append rows in their stored dtype. Nothing counts before all of it is written."""
        n, known, taken = self._state
        taken = {name: h.copy() for name, h in taken.items()}
        for name, column in self.columns.items():
            data = _digests(contents) if name == CONTENT else np.ascontiguousarray(arrays[name], dtype=column.dtype)
            assert data.shape == (len(contents), column.width)
            view = data.reshape(-1).view(np.uint8).data
            self._write(column.offset + n * column.row, view)
            taken[name].update(view)
        self._state = (n + len(contents), known + list(contents), taken)

    def _write(self, offset: int, data: memoryview | bytes) -> None:
        self.file.seek(offset)
        view = memoryview(data)
        while len(view):
            view = view[self.file.write(view) :]

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows written so far, in their stored dtype."""
        column = self.columns[name]
        out = np.empty((stop - start, column.width), column.dtype)
        self.file.seek(column.offset + start * column.row)
        view = out.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(view):
            got = self.file.readinto(view[done:])
            if not got:
                raise OSError(5, "a temporary file of the store ended early")
            done += got
        return out

    def seal(self) -> Path:
        """Write the digests, sync, rename: from here on it is a shard, and `path` is its name. It must be full."""
        if self.sealed:  # interrupted between the rename and the return
            return self.path
        n, _, taken = self._state
        assert n == self.capacity
        self.columns = {
            name: Column(offset=c.offset, dtype=c.dtype, width=c.width, sha256=taken[name].hexdigest())
            for name, c in self.columns.items()
        }
        self._write(self._index_at, self._index().ljust(self._index_size))
        self.file.seek(0)
        name = hashlib.sha256(self.file.read(self.head)).hexdigest()[:32]
        os.fsync(self.file.fileno())
        final = self.folder / f"shard-{name}-{self.head}.h5"
        self.path.replace(final)
        self.path, self.sealed = final, True
        self.file.close()
        sync_folder(self.folder)
        return final

    def discard(self) -> None:
        """Remove the temporary file."""
        self.file.close()
        if not self.sealed:
            self.path.unlink(missing_ok=True)


def _digests(contents: Sequence[str]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(contents)), np.uint8).reshape(-1, 32)
