"""Control `pixels`: the image itself, as 8 x 8, 16 x 16 and 32 x 32 grey values. What they answer needs no encoder.

Fewer values are often read better than more: an encoder is held against the one that is hardest to surpass. Of a volume
there are as many values: 4 parts of the slices, 4 x 4, 8 x 8 or 16 x 16 each.
Its site `final` is an 8 x 8 map of grey for questions about places: what the brightness around a mark answers.
"""

from collections.abc import Sequence

import numpy as np

from encoders._base import Card, Encoder, Input, Site
from encoders.extraction.volumes import is_volume

SIDE = 32
THUMBNAILS = {"thumbnail.8": 8, "thumbnail.16": 16, "pooled": SIDE}  # site -> side
DEEP = 4  # parts of a volume's slices; each has half the side of a thumbnail of as many values
MAP = 8  # cells across the map: a mark fills a good part of a finer one
LUMA = np.array([299, 587, 114])  # ITU-R BT.601, in thousandths
CARD = Card(
    name="pixels",
    licence="Apache-2.0",
    parameters=0,
    bytes=0,
    bytes_whole=0,
    input=Input(
        size=(SIDE, SIDE), resize="squash", crop=None, mean=(0.0,), std=(1.0,), interpolation="area", backend="numpy"
    ),
    sites={
        **{site: Site(width=side * side) for site, side in THUMBNAILS.items()},
        "final": Site(width=1, grid=(MAP, MAP)),
    },
    volumes=True,
    note="8 x 8, 16 x 16 and 32 x 32 grey, area-averaged; of a volume 4 x 4 x 4 to 4 x 16 x 16",
)


def small(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The image's grey values [side, side] from 0 to 1, each the mean over its exact share of the area.

    Sums are of whole numbers, so that turning the image turns the result bit for bit.
    """
    grey = image @ LUMA.astype(np.float64) if image.ndim == 3 else image * 1000.0
    h, w = grey.shape
    total = _overlap(h, side) @ grey @ _overlap(w, side).T  # whole numbers below 2**53: exact in any order
    return (total / (h * w * 255_000.0)).astype(np.float32)


def small_volume(volume: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The grey values [4, side/2, side/2] from 0 to 1 of uint8 [d, h, w], each the mean over its share of the volume.

    Sums are of whole numbers, as in `small`.
    """
    d, h, w = volume.shape
    down, across = _overlap(h, side // 2), _overlap(w, side // 2).T
    planes = np.stack([down @ plane.astype(np.float64) @ across for plane in volume])
    total = np.tensordot(_overlap(d, DEEP), planes, axes=1)
    return (total / (d * h * w * 255.0)).astype(np.float32)


def _overlap(cells: int, parts: int) -> np.ndarray:
    """How much of each cell lies in each of `parts` equal parts, in so many parts of a cell [parts, cells]."""
    low = np.arange(parts)[:, None] * cells
    cell = np.arange(cells) * parts
    return np.clip(np.minimum(low + cells, cell + parts) - np.maximum(low, cell), 0, None).astype(np.float64)


def features(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The thumbnails [n, side * side], row by row (slice by slice), and `final` [n, 64, 1]: an 8 x 8 map of means."""
    found = [_of(image) for image in images]
    return {site: np.stack([one[site] for one in found]) for site in CARD.sites}


def _of(image: np.ndarray) -> dict[str, np.ndarray]:
    volume = is_volume(image)
    grey = {site: (small_volume if volume else small)(image, side) for site, side in THUMBNAILS.items()}
    deepest = grey["pooled"].mean(axis=0) if volume else grey["pooled"]
    step = deepest.shape[0] // MAP
    cells = deepest.reshape(MAP, step, MAP, step).mean(axis=(1, 3)).reshape(-1, 1)
    return {**{site: values.ravel() for site, values in grey.items()}, "final": cells}


def load(device: str) -> Encoder:  # noqa: ARG001  every encoder is asked for a device
    """The control; it computes with NumPy wherever it is asked to run."""
    from encoders.custom.function import from_function

    return from_function(CARD, features)
