"""Features from the store; what is missing there is encoded first."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import encoders
from slitlamp.encoding.encoder import StoredEncoder, errors_of_device
from slitlamp.encoding.images import ImageSet
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
    space = space_of(encoder, policy)
    widths = {f"{site}/{readout}": width for site, readout, width in points}
    contents = pictures.contents
    todo = space.missing(contents, list(widths))
    if todo:
        _encode(encoder, pictures, contents, todo, widths, space)
    return FeatureTable(space=space, contents=contents, encoded=len(todo))


def _encode(
    encoder: StoredEncoder,
    pictures: ImageSet,
    contents: Sequence[str],
    todo: Sequence[int],
    widths: Mapping[str, int],
    space: Any,
) -> None:
    wanted: dict[str, list[str]] = {}
    for name in widths:
        site, readout = name.split("/")
        wanted.setdefault(site, []).append(readout)
    network = encoder.load()
    began = time.perf_counter()
    encoder.store.require_space(len(todo) * sum(widths.values()) * 2)
    with (
        progress(len(todo), f"encoding with {encoder.card.name}") as bar,
        space.writer(widths, total=len(todo)) as writer,
    ):
        for batch in _batches(todo, 1 if pictures.volumes else encoder.settings.batch_size):  # one volume fills a pass
            images = [pictures.read(i) for i in batch]
            with errors_of_device(encoder.spec, encoder.device):
                arrays = encoders.encode(
                    network, images, wanted, [pictures.marks[i] for i in batch] if pictures.marks else ()
                )
            for name, array in arrays.items():
                bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
                if len(bad):
                    raise NotFiniteError(
                        f"{encoder.card.name} gives NaN or infinite features at {name} for item "
                        f"{pictures.names[batch[int(bad[0])]]}; nothing was filled in for it"
                    )
            writer.add([contents[i] for i in batch], arrays)
            bar.update(len(batch))
    remember_pace(encoder, len(todo), time.perf_counter() - began)


def pace_key(encoder: StoredEncoder) -> str:
    """What the pace of an encoder is kept by, once its fingerprint is known."""
    return f"{encoder.fingerprint}:{encoder.device}:{encoder.dtype}"


def remember_pace(encoder: StoredEncoder, images: int, seconds: float) -> None:
    """Keep how long images took on this machine, of the most that were encoded at once; see `slitlamp.ablation`."""
    memo, key = encoder.store.memo("pace"), pace_key(encoder)
    known = memo.get_many([key]).get(key)
    if known is None or images >= known["images"] / 2:  # a few images at the end tell little
        memo.put_many({key: {"images": images, "seconds": seconds}})


def _batches(todo: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(todo), size):
        yield todo[start : start + size]
