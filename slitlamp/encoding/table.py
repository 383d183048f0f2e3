"""Features of images that a notebook names: from the store, or encoded and stored."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import cache
import encoders
import tasks
from plugins import hint
from slitlamp.encoding.encoder import StoredEncoder, stored_encoders
from slitlamp.encoding.fill import encode_missing
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.settings import Settings
from slitlamp.sources import open_source
from tasks import Picture, Source
from tasks.images.decode import DecodePolicy


def features_of(settings: Settings, images: Any, site: str | None, readout: str | None) -> np.ndarray:
    """Features [n, d] float32 of images at one point; see `slitlamp.features`."""
    store = cache.Store(cache.default_root())
    settings = settings.but(spelling="keep")  # features have no groups
    (encoder,) = stored_encoders(settings.encoder, store)
    source = _source(settings, images, store)
    point = _point(encoder, site, readout)
    pictures = ImageSet(
        pictures=[row.picture for row in source.rows], names=[row.id for row in source.rows], store=store
    )
    return encode_missing(encoder, pictures, [point], source.policy).read(f"{point[0]}/{point[1]}")


def _source(settings: Settings, images: Any, store: cache.Store) -> Source:
    if isinstance(images, str | Path):
        return open_source(settings.source, str(images), store)
    if isinstance(images, np.ndarray) and images.ndim in (3, 4) and images.dtype == np.uint8:
        images = list(images)
    if not isinstance(images, Sequence) or not len(images):
        given = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
        raise UsageError(
            "images must be a folder, a manifest, or a list of files and of uint8 arrays [h, w] or [h, w, 3]; given is "
            f"{'an empty ' * (hasattr(images, '__len__') and not len(images))}{given}"
        )
    rows = []
    for number, image in enumerate(images):
        if isinstance(image, str | Path):
            rows += open_source(settings.source, str(image), store).rows
            continue
        array = np.ascontiguousarray(image)
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
            raise UsageError(
                f"image {number} is {array.dtype} {list(array.shape)}; an image is uint8 [h, w] or [h, w, 3] "
                "(scale other numbers yourself, so that it is known how)"
            )
        digest = hashlib.sha256(f"array {array.shape}".encode() + array.tobytes()).hexdigest()
        picture = Picture(read=lambda array=array: array, identity=digest)
        rows.append(tasks.Row(id=f"image {number}", group=str(number), picture=picture))
    return Source(name="images of a list", rows=tuple(rows), policy=DecodePolicy().policy)


def _point(encoder: StoredEncoder, site: str | None, readout: str | None) -> tuple[str, str, int]:
    """The one site and readout that is meant."""
    every = encoders.points(encoder.card)
    sites, readouts = dict.fromkeys(p[0] for p in every), dict.fromkeys(p[1] for p in every)
    for what, given, known in (("site", site, sites), ("readout", readout, readouts)):
        if given is not None and given not in known:
            raise UsageError(f"{encoder.label} has no {what} {given!r}; {hint(given, known)}it has {', '.join(known)}")
    fitting = [p for p in every if site in (None, p[0]) and readout in (None, p[1])]
    if len(fitting) != 1:
        names = ", ".join(f"{s}/{r}" for s, r, _ in fitting or every)
        what = "several points fit" if fitting else f"{site} is not read by {readout}"
        raise UsageError(f"{what}: name a site and a readout of {names}")
    return fitting[0]
