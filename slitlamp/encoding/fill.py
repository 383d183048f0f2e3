"""Features from the store; what is missing there is encoded first."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import encoders
from cache.space import shard_paths
from slitlamp.encoding.encoder import StoredEncoder, errors_of_device
from slitlamp.encoding.images import Decoded, ImageSet
from slitlamp.log import progress
from tasks import DataError


class NotFiniteError(DataError):
    """An encoder gives NaN or infinite features; the others may go on."""


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """Features of a list of pictures at every point asked for, read from the store."""

    space: Any
    contents: Sequence[str]
    encoded: int

    def read(self, name: str) -> np.ndarray:
        """Features [n, d] float32 of `site/readout`, one row per picture."""
        return self.space.read(self.contents, name)


def space_of(encoder: StoredEncoder, policy: Mapping[str, Any]) -> Any:
    """The part of the store whose key holds everything but the image."""
    material = {
        "fingerprint": encoder.fingerprint,
        "device": encoder.device.split(":")[0],
        "dtype": encoder.dtype,
        "policy": dict(policy),
    }
    return encoder.store.space(material, label=encoder.label)


def encode_missing(
    encoder: StoredEncoder, pictures: ImageSet, points: Sequence[tuple[str, str, int]], policy: Mapping[str, Any]
) -> FeatureTable:
    """Encode what the store lacks, in one pass over all sites and readouts, and close the shards."""
    filled = fill(encoder, pictures, points, policy)
    return FeatureTable(space=filled.space, contents=pictures.contents, encoded=filled.encoded)


@dataclass(kw_only=True)
class Filled:
    """What one pass over pictures did: counts of pictures, and where the time of this process went, in seconds.

    `encoded` and `known` count pictures by their pixels, copies once; `unreadable` are the places of those that could
    not be read, with the reason. `load` is what loading the network took, before this pass or in it, `decode` the time
    of the threads that decode and hash, `waiting` what the encoder waited for them.
    """

    space: Any
    pictures: int = 0
    encoded: int = 0
    known: int = 0
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    bytes: int = 0
    load: float = 0.0
    decode: float = 0.0
    waiting: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    seconds: float = 0.0


def fill(
    encoder: StoredEncoder,
    pictures: ImageSet,
    points: Sequence[tuple[str, str, int]],
    policy: Mapping[str, Any],
    *,
    places: Sequence[int] | None = None,
    threads: int = 0,
    unreadable: Callable[[int, DataError], None] | None = None,
    told: Callable[[int], None] | None = None,
) -> Filled:
    """Encode what the store lacks of the pictures at `places` (all of them): each is decoded once, hashed, encoded.

    What was never hashed is decoded to know whether it is stored. `threads` decode ahead of the encoder. A picture that
    cannot be read is handed to `unreadable`, which may raise; without it DataError ends the pass. `told(left)`
    is called after each batch.
    """
    began = time.perf_counter()
    space = space_of(encoder, policy)
    widths = {f"{site}/{readout}": width for site, readout, width in points}
    places = range(len(pictures.pictures)) if places is None else places
    filled = Filled(space=space, pictures=len(places))
    todo, seen = left_to_encode(filled, pictures, places, list(widths))
    if todo:
        _encode(encoder, pictures, todo, widths, filled, seen, threads, unreadable, told)
    filled.load = encoder.spent_loading()
    filled.seconds = time.perf_counter() - began
    return filled


def left_to_encode(
    filled: Filled, pictures: ImageSet, places: Sequence[int], names: Sequence[str]
) -> tuple[list[int], set[str]]:
    """The places whose `names` the store lacks or whose pixels were never hashed; and the contents that were hashed.

    What is stored already is counted in `filled`.
    """
    hashed = [i for i in places if pictures.digests[i] is not None]
    contents = [pictures.content(i) for i in hashed]
    lacking = [hashed[k] for k in filled.space.missing(contents, names)]
    seen = set(contents)
    filled.known = len(seen) - len(lacking)
    return sorted({*lacking, *(i for i in places if pictures.digests[i] is None)}), seen


def _encode(
    encoder: StoredEncoder,
    pictures: ImageSet,
    todo: Sequence[int],
    widths: Mapping[str, int],
    filled: Filled,
    seen: set[str],
    threads: int,
    unreadable: Callable[[int, DataError], None] | None,
    told: Callable[[int], None] | None,
) -> None:
    """Decode the pictures of `todo`, encode those that are not stored, batch by batch, and count in `filled`.

    `seen` are contents that were counted before, stored or not.
    """
    one_pass = _Pass(encoder, pictures, widths, filled, seen)
    began = time.perf_counter()
    if not one_pass.earlier or any(pictures.digests[i] is not None for i in todo):
        one_pass.begin(len(todo))
    with (
        progress(len(todo), f"encoding with {encoder.card.name}") as bar,
        filled.space.writer(widths, total=len(todo)) as writer,
    ):
        stream = pictures.stream(todo, threads, one_pass.prepare if threads else None)
        batch: list[Decoded] = []
        try:
            for left in reversed(range(len(todo))):
                start = time.perf_counter()
                one = next(stream)
                filled.waiting += time.perf_counter() - start if threads else 0.0  # without, it decodes itself
                filled.decode += one.seconds
                bar.update()
                if one.error is not None:
                    if unreadable is None:
                        raise one.error
                    filled.unreadable.append((one.index, str(one.error)))
                    unreadable(one.index, one.error)
                elif one_pass.lacks(one):
                    one_pass.begin(left + 1)
                    batch.append(one)
                if len(batch) == one_pass.size or (batch and not left):
                    one_pass.store(batch, writer)
                    batch.clear()
                if told is not None:
                    told(left)
        finally:
            stream.close()
            pictures.finish()
        start = time.perf_counter()
    filled.write += time.perf_counter() - start  # the last shard is closed
    if filled.encoded:
        remember_pace(encoder, filled.encoded, time.perf_counter() - began)


class _Pass:
    """One pass of an encoder over pictures: which of them it lacks, and their features into the store.

    The network is loaded once there is something to encode: pictures may have to be decoded to know that there is not.
    """

    def __init__(
        self,
        encoder: StoredEncoder,
        pictures: ImageSet,
        widths: Mapping[str, int],
        filled: Filled,
        seen: set[str],
    ) -> None:
        self.encoder, self.pictures = encoder, pictures
        self.network: encoders.Encoder | None = None
        self.widths, self.filled, self.seen = widths, filled, seen
        self.size = 1 if pictures.volumes else encoder.settings.batch_size  # one volume fills a pass
        self.earlier = bool(shard_paths(filled.space.folder))  # whether a picture hashed now could be stored
        self.wanted: dict[str, list[str]] = {}
        for name in widths:
            site, readout = name.split("/")
            self.wanted.setdefault(site, []).append(readout)

    def begin(self, left: int) -> None:
        """Load the network, and see that the disk has room for so many pictures, before the first is encoded."""
        if self.network is None:
            self.network = self.encoder.load()
            self.encoder.store.require_space(left * sum(self.widths.values()) * 2)

    def prepare(self, image: np.ndarray) -> Any:
        """What the network makes of an image first; None while nothing is to encode."""
        return None if self.network is None else self.network.preprocess(image)

    def lacks(self, one: Decoded) -> bool:
        """Whether the store lacks a picture; what was hashed just now may lie there, or be another's copy."""
        if one.content is None:
            return True  # known by its digest, and asked for before
        self.pictures.learn(one.index, one.content)
        content = self.pictures.content(one.index)
        if content in self.seen:
            return False
        self.seen.add(content)
        if self.earlier and not self.filled.space.missing([content], list(self.widths)):
            self.filled.known += 1
            return False
        return True

    def store(self, batch: Sequence[Decoded], writer: Any) -> None:
        """Encode a batch and store its features."""
        start = time.perf_counter()
        arrays = self._features(batch)
        between = time.perf_counter()
        writer.add([self.pictures.content(one.index) for one in batch], arrays)
        self.filled.encoded += len(batch)
        self.filled.bytes += len(batch) * sum(self.widths.values()) * 2
        self.filled.encode += between - start
        self.filled.write += time.perf_counter() - between

    def _features(self, batch: Sequence[Decoded]) -> dict[str, np.ndarray]:
        network = self.network
        assert network is not None
        # a network gives other last bits for a batch of another size: one that is not full repeats its last image
        more = self.size - len(batch) if network.module is not None else 0
        full = [*batch, *[batch[-1]] * more]
        images = [one.image for one in full if one.image is not None]
        marks = [self.pictures.marks[one.index] for one in full] if self.pictures.marks else ()
        with errors_of_device(self.encoder.spec, self.encoder.device):
            arrays = encoders.encode(_prepared(network, batch), images, self.wanted, marks)
        arrays = {name: array[: len(batch)] for name, array in arrays.items()}
        for name, array in arrays.items():
            bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
            if len(bad):
                raise NotFiniteError(
                    f"{self.encoder.card.name} gives NaN or infinite features at {name} for item "
                    f"{self.pictures.names[batch[int(bad[0])].index]}; nothing was filled in for it"
                )
        return arrays


def _prepared(network: encoders.Encoder, batch: Sequence[Decoded]) -> encoders.Encoder:
    """The encoder, which takes what threads have preprocessed, and preprocesses no image twice."""
    ready = {id(one.image): one.prepared for one in batch if one.prepared is not None}

    def preprocess(image: np.ndarray) -> Any:
        if id(image) not in ready:
            ready[id(image)] = network.preprocess(image)
        return ready[id(image)]

    return replace(network, preprocess=preprocess)


def pace_key(encoder: StoredEncoder) -> str:
    """What the pace of an encoder is kept by, once its fingerprint is known."""
    return f"{encoder.fingerprint}:{encoder.device}:{encoder.dtype}"


def remember_pace(encoder: StoredEncoder, images: int, seconds: float) -> None:
    """Keep how long images took on this machine, of the most that were encoded at once; see `slitlamp.ablation`."""
    memo, key = encoder.store.memo("pace"), pace_key(encoder)
    known = memo.get_many([key]).get(key)
    if known is None or images >= known["images"] / 2:  # a few images at the end tell little
        memo.put_many({key: {"images": images, "seconds": seconds}})
