"""Fills closed shards from batches of features; whatever ends it, what was added before is kept."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from cache.errors import StoreError, is_full, size, unwritable
from cache.float16 import narrow
from cache.open_shard import OpenShard

HALF, SINGLE = "<f2", "<f4"
COPIED = 256  # rows moved at a time


class Writer:
    """Adds features of items to a space. Use it in a `with` block: leaving it closes the open shard.

    A shard is closed when it holds `shard_items`, or `shard_seconds` after its first batch: that much work
    is lost by SIGKILL. An exception or Ctrl-C closes the open shard with the rows it has.
    """

    def __init__(
        self,
        folder: Path,
        space: str,
        widths: Mapping[str, int],
        *,
        total: int | None,
        shard_items: int,
        shard_seconds: int | float,
        prepare: Callable[[], None],
        finished: Callable[[Sequence[Path]], None],
    ) -> None:
        check_names(widths)
        self.folder, self.space, self.widths = folder, space, dict(widths)
        self.total, self.shard_items, self.shard_seconds = total, shard_items, shard_seconds
        self.prepare, self.finished = prepare, finished
        self.sealed: list[Path] = []
        self.written = 0
        self._forms = {name: (HALF, width) for name, width in widths.items()}
        self._shard: OpenShard | None = None
        self._opened = 0.0

    def __enter__(self) -> "Writer":
        with self._explained():
            self.prepare()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
        self.finished(self.sealed)

    def add(self, contents: Sequence[str], arrays: Mapping[str, np.ndarray]) -> None:
        """Store float32 arrays {site/readout: [b, d]}, one row per content; raises StoreError for NaN or infinity.

        A vector that float16 holds to 1e-3 of its norm is rounded to float16, any other is kept in float32,
        each by itself: what is read back does not depend on what else is stored beside it.
        """
        self._check(contents, arrays)
        halves = {name: self._halve(name, arrays[name], contents) for name in self.widths}
        done = 0
        while done < len(contents):
            if self._shard is None:
                self._open(len(contents) - done)
            assert self._shard is not None
            take = min(len(contents) - done, self._shard.capacity - self._shard.n)
            part = slice(done, done + take)
            with self._explained():
                self._put(contents[part], arrays, halves, part)
            done += take
            if self._shard.n == self._shard.capacity or time.monotonic() - self._opened >= self.shard_seconds:
                self.close()

    def close(self) -> None:
        """Close the open shard with the rows it has; nothing happens where none is open."""
        if self._shard is None:
            return
        with self._explained():
            if self._shard.n == 0:
                self._shard.discard()
            else:
                if self._shard.n < self._shard.capacity:
                    self._move(self._shard.n)
                self.sealed.append(self._shard.seal())
        self._shard = None

    def _check(self, contents: Sequence[str], arrays: Mapping[str, np.ndarray]) -> None:
        if set(arrays) != set(self.widths):
            odd = sorted(set(arrays) ^ set(self.widths))[0]
            raise StoreError(f"{odd} is {'not expected' if odd in arrays else 'missing'} among the features to store")
        for name, width in self.widths.items():
            x = arrays[name]
            if x.dtype != np.float32 or x.shape != (len(contents), width):
                raise StoreError(
                    f"{name} is {x.dtype} {list(x.shape)}; the store takes float32 {[len(contents), width]}"
                )

    @staticmethod
    def _halve(name: str, x: np.ndarray, contents: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        half, fits = narrow(x)
        for row in np.flatnonzero(~fits).tolist():
            if not np.isfinite(x[row]).all():
                raise StoreError(
                    f"{name} of item {contents[row][:12]} (row {row} of the batch) holds NaN or infinity; "
                    "the batch is not stored"
                )
        return half, fits

    def _open(self, least: int) -> None:
        left = self.shard_items if self.total is None else self.total - self.written
        with self._explained():
            self._shard = OpenShard(self.folder, self.space, self._forms, min(self.shard_items, max(left, least)))
        self._opened = time.monotonic()

    def _put(
        self,
        contents: Sequence[str],
        arrays: Mapping[str, np.ndarray],
        halves: Mapping[str, tuple[np.ndarray, np.ndarray]],
        part: slice,
    ) -> None:
        assert self._shard is not None
        stored, wide = {}, []
        for name, (half, fits) in halves.items():
            whole = bool(fits[part].all())
            stored[name] = half[part] if whole else np.where(fits[part, None], half[part], arrays[name][part])
            if not whole and self._forms[name][0] == HALF:
                wide.append(name)
        if wide:
            # later shards of this writer start wide: moving rows is paid once; the values are the same
            self._forms |= {name: (SINGLE, self.widths[name]) for name in wide}
            self._move(self._shard.capacity)
        self._shard.put(contents, stored)
        self.written += len(contents)

    def _move(self, capacity: int) -> None:
        """Go on in a new shard with room for `capacity` rows and the present dtypes."""
        old = self._shard
        assert old is not None
        new = OpenShard(self.folder, self.space, self._forms, capacity)
        try:
            for start in range(0, old.n, COPIED):
                stop = min(start + COPIED, old.n)
                new.put(old.contents[start:stop], {name: old.rows(name, start, stop) for name in self.widths})
        except BaseException:
            new.discard()
            raise
        self._shard = new
        old.discard()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the system raises into one line; on a full disk, save what was added before."""
        try:
            yield
        except (OSError, RuntimeError) as error:  # HDF5 raises either where its own metadata cannot be written
            kept = self._rescue()
            if not is_full(error):
                if isinstance(error, RuntimeError):
                    raise
                raise unwritable(self.folder, error) from error
            each = sum(np.dtype(dtype).itemsize * width for dtype, width in self._forms.values())
            rest = "" if self.total is None else f"; {size(each * (self.total - self.written))} are still needed"
            raise StoreError(
                f"the disk of the feature store is full at {self.folder}{rest}; {kept}; free some "
                "(`python -m experiments.features gc`) or name another folder in SLITLAMP_CACHE"
            ) from error

    def _rescue(self) -> str:
        """Close the open shard by way of memory: its room on the disk is given back before it is written again."""
        shard, self._shard = self._shard, None
        if shard is None or shard.n == 0:
            if shard is not None:
                shard.discard()
            return "closed shards are kept"
        try:
            arrays = {name: shard.rows(name, 0, shard.n) for name in self.widths}
        finally:
            shard.discard()
        try:
            exact = OpenShard(self.folder, self.space, shard.forms, shard.n)
        except OSError:
            return f"closed shards are kept, {shard.n} items of the open one are lost"
        try:
            exact.put(shard.contents, arrays)
            exact.seal()
        except OSError:
            exact.discard()
            return f"closed shards are kept, {shard.n} items of the open one are lost"
        return "everything added before is kept"


def check_names(widths: Mapping[str, int]) -> None:
    """Raise StoreError for a name of features that is not site/readout, or that could be a path elsewhere."""
    if not widths:
        raise StoreError("no site/readout was named to be stored")
    for name in widths:
        parts = name.split("/")
        if len(parts) != 2 or any(p in ("", ".", "..") or "\0" in p for p in parts):
            raise StoreError(f"{name!r} does not name features; give site/readout, such as block.3/mean")
