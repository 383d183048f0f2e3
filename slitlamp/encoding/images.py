"""The images of a question: decoded once, hashed, and kept between hashing and encoding."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

import cache
from slitlamp.keys import digest
from slitlamp.log import progress
from tasks import DataError, Picture

BOX_BYTES = 1 << 30  # decoded images kept between hashing and encoding


@dataclass(kw_only=True)
class ImageSet:
    """Pictures with their content digests; decoded arrays are kept while they fit in `BOX_BYTES`.

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
        if key is not None and self.held + image.nbytes <= BOX_BYTES:
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
        keys = [p.identity for p in self.pictures]
        return len({k for k in keys if k is not None}) + sum(k is None for k in keys)

    def known(self) -> list[str] | None:
        """The digests, if an earlier run hashed every picture; nothing is decoded."""
        keys = [p.identity for p in self.pictures]
        found = self.store.memo("images").get_many([k for k in keys if k is not None])
        if not all(k in found for k in keys):
            return None
        return self._with_marks([found[k] for k in keys if k is not None])

    def _with_marks(self, contents: list[str]) -> list[str]:
        """Digests in which the marks count too: the token under a mark is another where the mark is."""
        if not self.marks:
            return contents
        return [digest([content, *points]) for content, points in zip(contents, self.marks, strict=True)]

    @cached_property
    def contents(self) -> list[str]:
        """A digest of each picture's decoded pixels and marks; from the memo where its identity is known."""
        memo = self.store.memo("images")
        keys = [p.identity for p in self.pictures]
        known = memo.get_many([k for k in keys if k is not None])
        missing = [i for i, k in enumerate(keys) if k is None or k not in known]
        fresh: dict[int, str] = {}
        learnt: dict[str, str] = {}
        with progress(len(missing), "hashing images") as bar:
            for i in missing:
                fresh[i] = cache.content_digest(self.read(i))
                key = keys[i]
                if key is not None:
                    learnt[key] = fresh[i]
                bar.update()
        memo.put_many(learnt)
        return self._with_marks([fresh[i] if i in fresh else known[str(k)] for i, k in enumerate(keys)])
