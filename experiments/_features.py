"""From pictures to features: content keys, the store, and one pass of the encoder over what is missing."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import cache
import encoders
from encoders._base import Card, Encoder, EncoderError
from encoders._identity import recall, snapshot
from encoders._registry import draw_of
from experiments._exit import UsageError, progress, say
from experiments._options import Options
from tasks._base import DataError, Picture

BOX_BYTES = 1 << 30  # decoded images kept between hashing and encoding


class NotFiniteError(DataError):
    """An encoder gives NaN or infinite features; the others may go on."""


def digest(material: Any) -> str:
    """A sha256 over the canonical JSON of `material`."""
    text = json.dumps(material, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Eye:
    """An encoder as a run knows it: card and fingerprint at once, tensors only when it must encode."""

    spec: str
    options: Options
    store: cache.Store
    device: str
    dtype: str
    loaded: list[Encoder] = field(default_factory=list)

    @property
    def weights(self) -> str | None:
        """The path of --weights for the encoder that was asked for and its untrained twin, None for other controls."""
        asked = draw_of(self.spec.removeprefix("random:"))[0]
        return self.options.weights if asked in self.options.encoder or self.spec in self.options.encoder else None

    @property
    def _key(self) -> str:
        return digest([self.spec, self.weights, self.device, self.dtype])

    def encoder(self) -> Encoder:
        """Load the tensors once; what determines them is remembered for the next run."""
        if not self.loaded:
            say(f"loading {self.spec}")
            encoder = encoders.load(
                self.spec,
                device=self.device,
                dtype=self.dtype,
                weights=self.weights,
                offline=self.options.offline,
            )
            self.loaded.append(encoder)
            record = snapshot(self.spec, encoder)
            if record is not None:
                self.store.memo("encoders").put_many({self._key: record})
        return self.loaded[0]

    @cached_property
    def remembered(self) -> tuple[Card, str] | None:
        """Card and fingerprint from an earlier run, if every file they rest on is still the same."""
        record = self.store.memo("encoders").get_many([self._key]).get(self._key)
        return recall(record) if record is not None else None

    @cached_property
    def _identity(self) -> tuple[Card, str]:
        if self.remembered is not None:
            return self.remembered
        encoder = self.encoder()
        return encoder.card, encoder.fingerprint

    @property
    def card(self) -> Card:
        """Who the encoder is, with the commit that was resolved when it was loaded."""
        return self._identity[0]

    @property
    def reads_volumes(self) -> bool:
        """Whether it reads volumes, as its card says; only a user's own file is loaded to know."""
        known = reads_volumes(self.spec)
        return self.card.volumes if known is None else known

    @property
    def label(self) -> str:
        """What tables and records call it: the name it was asked by, or its card's for a user's own file."""
        file, draw = draw_of(self.spec)
        if not file.endswith(".py"):
            return self.spec
        return self.card.name + (f"#{draw}" if draw else "")

    @property
    def fingerprint(self) -> str:
        """What its features are determined by, besides the image."""
        return self._identity[1]

    def points(self, marks: int = 0) -> list[tuple[str, str, int]]:
        """The (site, readout, width) that were asked for; an unknown name is refused with the nearest.

        `marks` is how many marks each image carries.
        """
        every = encoders.points(self.card, marks)
        sites = _matching(self.options.site, [s for s, _, _ in every], "site", self.spec)
        readouts = _matching(self.options.readout, [r for _, r, _ in every], "readout", self.spec)
        return [p for p in every if p[0] in sites and p[1] in readouts]


def reads_volumes(spec: str) -> bool | None:
    """Whether the card of a registered encoder says that it reads volumes; None for a user's own file."""
    inner = draw_of(spec.removeprefix("random:"))[0]
    return None if inner.endswith(".py") else encoders.card(inner).volumes


def _matching(asked: Sequence[str], known: Sequence[str], what: str, spec: str) -> set[str]:
    import difflib
    import fnmatch

    if not asked:
        return set(known)
    found: set[str] = set()
    for pattern in asked:
        hits = set(fnmatch.filter(known, pattern))
        if not hits:
            near = difflib.get_close_matches(pattern, known, 1, 0.3)
            listing = ", ".join(dict.fromkeys(known))
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"{spec} has no {what} {pattern!r}; {hint}it has {listing}")
        found |= hits
    return found


@dataclass(kw_only=True)
class Pictures:
    """Pictures with their content digests; decoded arrays are kept while they fit in `BOX_BYTES`.

    `marks` are the points (x, y) of each picture, equally many for all and in the same order, or ().
    """

    pictures: Sequence[Picture]
    names: Sequence[str]
    store: cache.Store
    marks: Sequence[Sequence[tuple[float, float]]] = ()
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


@dataclass(frozen=True, kw_only=True)
class Filled:
    """Features of a list of pictures at every point asked for, read from the store."""

    space: Any
    contents: Sequence[str]
    encoded: int

    def read(self, name: str) -> np.ndarray:
        """Features [n, d] float32 of `site/readout`, one row per picture."""
        return self.space.read(self.contents, name)


def space_of(eye: Eye, policy: Mapping[str, Any]) -> Any:
    """The part of the store whose key holds everything but the image."""
    material = {
        "fingerprint": eye.fingerprint,
        "device": eye.device.split(":")[0],
        "dtype": eye.dtype,
        "policy": dict(policy),
    }
    return eye.store.space(material, label=eye.label)


def fill(eye: Eye, pictures: Pictures, points: Sequence[tuple[str, str, int]], policy: Mapping[str, Any]) -> Filled:
    """Encode what the store lacks, in one pass over all sites and readouts, and close the shards."""
    space = space_of(eye, policy)
    widths = {f"{site}/{readout}": width for site, readout, width in points}
    contents = pictures.contents
    todo = space.missing(contents, list(widths))
    if todo:
        _encode(eye, pictures, contents, todo, widths, space)
    return Filled(space=space, contents=contents, encoded=len(todo))


def _encode(
    eye: Eye,
    pictures: Pictures,
    contents: Sequence[str],
    todo: Sequence[int],
    widths: Mapping[str, int],
    space: Any,
) -> None:
    wanted: dict[str, list[str]] = {}
    for name in widths:
        site, readout = name.split("/")
        wanted.setdefault(site, []).append(readout)
    encoder = eye.encoder()
    eye.store.room(len(todo) * sum(widths.values()) * 2)
    with (
        progress(len(todo), f"encoding with {eye.card.name}") as bar,
        space.writer(widths, total=len(todo)) as writer,
    ):
        for batch in _batches(todo, 1 if eye.options.volumes else eye.options.batch_size):  # one volume fills a pass
            images = [pictures.read(i) for i in batch]
            arrays = encoders.encode(
                encoder, images, wanted, [pictures.marks[i] for i in batch] if pictures.marks else ()
            )
            for name, array in arrays.items():
                bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
                if len(bad):
                    raise NotFiniteError(
                        f"{eye.card.name} gives NaN or infinite features at {name} for item "
                        f"{pictures.names[batch[int(bad[0])]]}; nothing was filled in for it"
                    )
            writer.add([contents[i] for i in batch], arrays)
            bar.update(len(batch))


def _batches(todo: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(todo), size):
        yield todo[start : start + size]


def resolve_device(name: str) -> str:
    """`auto` becomes cuda where there is one, else cpu; a device asked for by name is never replaced."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


__all__ = ["EncoderError", "Eye", "Filled", "Pictures", "digest", "fill", "progress", "resolve_device"]
