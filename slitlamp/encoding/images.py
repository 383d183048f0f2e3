"""The images of a question: decoded, hashed, and kept for the next encoder while they fit."""

import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import cache
from slitlamp.encoding.remembered import Remembered
from slitlamp.keys import digest
from slitlamp.log import progress
from tasks import DataError, Picture
from tasks.sources.rows import identities

BOX_BYTES = 1 << 30  # decoded images kept for the next encoder
KEPT = 1000  # digests that are gathered before they are written: what a killed run would hash again


@dataclass(kw_only=True)
class ImageSet:
    """Pictures with their content digests; decoded arrays are kept while they fit in `room` bytes.

    `marks` are the points (x, y) of each picture, equally many for all and in the same order, or (). `volumes` says
    that each is a volume, which fills a pass of the encoder by itself.
    """

    pictures: Sequence[Picture]
    names: Sequence[str]
    store: cache.Store
    marks: Sequence[Sequence[tuple[float, float]]] = ()
    volumes: bool = False
    box: dict[str, np.ndarray] = field(default_factory=dict)
    held: int = 0
    room: int = BOX_BYTES
    _learnt: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _remembered: Remembered | None = field(default=None, init=False, repr=False)

    def read(self, index: int) -> np.ndarray:
        """Decode one picture, or take it from the box."""
        picture = self.pictures[index]
        key = picture.identity
        if key is not None and key in self.box:
            return self.box[key]
        try:
            image = picture.read()
        except DataError as error:
            raise DataError(f"{self.names[index]}: {error}") from error
        if key is not None and self.held + image.nbytes <= self.room:
            self.box[key] = image
            self.held += image.nbytes
        return image

    @property
    def marked(self) -> int:
        """How many marks each picture carries."""
        return len(self.marks[0]) if self.marks else 0

    @property
    def distinct(self) -> int:
        """How many pictures there are to encode, those of one identity once."""
        keys = [*identities(self.pictures)]
        return len({k for k in keys if k is not None}) + sum(k is None for k in keys)

    def known(self) -> list[str] | None:
        """The digests, if an earlier run hashed every picture; nothing is decoded."""
        if any(one is None for one in self._recalled(self.digests)):
            return None
        return [self.content(i) for i in range(len(self.pictures))]

    @cached_property
    def digests(self) -> list[str | None]:
        """The digest of each picture's decoded pixels where an earlier run, or this one, found it out; else None."""
        self._remembered = Remembered(self.store.memo("images"), [*identities(self.pictures)])
        found: list[str | None] = self._remembered.values
        self._remembered.keep(found)
        return found

    def _recalled(self, digests: list[str | None]) -> list[str | None]:
        """The same list, with what the memo knows by now of those that are None."""
        keys = {i: key for i, known in enumerate(digests) if known is None and (key := self.pictures[i].identity)}
        known = self.store.memo("images").get_many(list(keys.values()))
        for i, key in keys.items():
            digests[i] = known.get(key)
        return digests

    @cached_property
    def contents(self) -> list[str]:
        """A digest of each picture's decoded pixels and marks; from the memo where its identity is known."""
        missing = [i for i, known in enumerate(self.digests) if known is None]
        with progress(len(missing), "hashing images") as bar:
            for i in missing:
                self.learn(i, cache.content_digest(self.read(i)))
                bar.update()
        self.finish()
        return [self.content(i) for i in range(len(self.pictures))]

    def content(self, index: int) -> str:
        """The digest of one picture's pixels, which is known, and its marks: the token under a mark depends on both."""
        content = self.digests[index]
        assert content is not None
        if not self.marks:
            return content
        points = self.marks[index]
        return digest([content, *points])

    def learn(self, index: int, content: str) -> None:
        """Take the digest of one picture's pixels; see `remember`."""
        self.digests[index] = content
        key = self.pictures[index].identity
        if key is not None:
            self._learnt[key] = content
            if len(self._learnt) >= KEPT:
                self.remember()

    def remember(self) -> None:
        """Write the digests that were found out to the memo."""
        self.store.memo("images").put_many(self._learnt)
        self._learnt.clear()

    def finish(self) -> None:
        """As `remember`, after the last digest was found out: whoever asks for the same pictures finds them quickly."""
        self.remember()
        if self._remembered is not None:
            self._remembered.keep(self.digests)

    def stream(self, indices: Sequence[int], threads: int = 0, prepare: Any = None) -> "Generator[Decoded, None, None]":
        """The pictures at those places, decoded and hashed in that order, by threads that run ahead where there are.

        At most a few pictures for each thread lie in memory. `prepare(image)` is what an encoder makes of it first.
        One that cannot be read comes with its error.
        """
        if threads == 0:
            for index in indices:
                yield self._decoded(index, prepare)
            return
        from concurrent.futures import Future, ThreadPoolExecutor

        waiting: deque[Future[Decoded]] = deque()
        rest = iter(indices)
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            try:
                for index in rest:
                    waiting.append(pool.submit(self._decoded, index, prepare))
                    if len(waiting) >= AHEAD * threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for one in waiting:  # whoever leaves early waits for no picture that nobody takes
                    one.cancel()

    def _decoded(self, index: int, prepare: Any) -> "Decoded":
        began = time.perf_counter()
        try:
            image = self.read(index)
        except DataError as error:
            return Decoded(index=index, error=error, seconds=time.perf_counter() - began)
        content = cache.content_digest(image) if self.digests[index] is None else None
        prepared = None
        if prepare is not None:
            with suppress(Exception):  # whoever encodes it meets the same, and says whose it is
                prepared = prepare(image)
        seconds = time.perf_counter() - began
        return Decoded(index=index, image=image, content=content, prepared=prepared, seconds=seconds)


AHEAD = 8  # pictures for each thread that are decoded before they are asked for


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A picture of an `ImageSet`: its pixels, their digest where it was not known, and seconds; or why it has none."""

    index: int
    image: np.ndarray | None = None
    content: str | None = None
    prepared: Any = None
    error: DataError | None = None
    seconds: float = 0.0
