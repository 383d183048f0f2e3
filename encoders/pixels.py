"""Control `pixels`: the image itself, as 32 x 32 grey values. What they answer needs no encoder.

Of a volume there are as many: 4 parts of the slices, 16 x 16 values each.
Its site `final` is an 8 x 8 map of grey for questions about places: what the brightness around a mark answers.
"""

from collections.abc import Sequence

import numpy as np

from encoders._base import Card, Encoder, Input, Site
from encoders.extraction.volumes import is_volume

SIDE = 32
DEEP, PLANE = 4, 16  # parts of a volume's slices, and the side of each: 1024 values again
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
    sites={"pooled": Site(width=SIDE * SIDE), "final": Site(width=1, grid=(MAP, MAP))},
    volumes=True,
    note="32 x 32 grey, area-averaged; of a volume 4 x 16 x 16",
)


def small(image: np.ndarray) -> np.ndarray:
    """The image's grey values [32, 32] from 0 to 1, each the mean over its exact share of the area.

    Sums are of whole numbers, so that turning the image turns the result bit for bit.
    """
    grey = image @ LUMA.astype(np.float64) if image.ndim == 3 else image * 1000.0
    h, w = grey.shape
    total = _overlap(h) @ grey @ _overlap(w).T  # whole numbers below 2**53: exact in any order
    return (total / (h * w * 255_000.0)).astype(np.float32)


def small_volume(volume: np.ndarray) -> np.ndarray:
    """The grey values [4, 16, 16] from 0 to 1 of uint8 [d, h, w], each the mean over its exact share of the volume.

    Sums are of whole numbers, as in `small`.
    """
    d, h, w = volume.shape
    down, across = _overlap(h, PLANE), _overlap(w, PLANE).T
    planes = np.stack([down @ plane.astype(np.float64) @ across for plane in volume])
    total = np.tensordot(_overlap(d, DEEP), planes, axes=1)
    return (total / (d * h * w * 255.0)).astype(np.float32)


def _overlap(cells: int, parts: int = SIDE) -> np.ndarray:
    """How much of each cell lies in each of `parts` equal parts, in so many parts of a cell [parts, cells]."""
    low = np.arange(parts)[:, None] * cells
    cell = np.arange(cells) * parts
    return np.clip(np.minimum(low + cells, cell + parts) - np.maximum(low, cell), 0, None).astype(np.float64)


def features(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """`pooled` [n, 1024], row by row (slice by slice), and `final` [n, 64, 1]: an 8 x 8 map of their means."""
    pairs = [_of_volume(image) if is_volume(image) else _of_image(image) for image in images]
    return {"final": np.stack([cells for cells, _ in pairs]), "pooled": np.stack([grey for _, grey in pairs])}


def _of_image(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grey, step = small(image), SIDE // MAP
    return grey.reshape(MAP, step, MAP, step).mean(axis=(1, 3)).reshape(-1, 1), grey.ravel()


def _of_volume(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grey, step = small_volume(volume), PLANE // MAP
    return grey.reshape(DEEP, MAP, step, MAP, step).mean(axis=(0, 2, 4)).reshape(-1, 1), grey.ravel()


def load(device: str) -> Encoder:  # noqa: ARG001  every encoder is asked for a device
    """The control; it computes with NumPy wherever it is asked to run."""
    from encoders.custom.function import from_function

    return from_function(CARD, features)
