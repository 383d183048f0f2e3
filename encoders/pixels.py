"""Control `pixels`: the image itself, as 32 x 32 grey values. What they answer needs no encoder.

Its site `final` is an 8 x 8 map of grey for questions about places: what the brightness around a mark answers.
"""

from collections.abc import Sequence

import numpy as np

from encoders._base import Card, Encoder, Input, Site

SIDE = 32
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
    note="32 x 32 grey, area-averaged",
)


def small(image: np.ndarray) -> np.ndarray:
    """The image's grey values [32, 32] from 0 to 1, each the mean over its exact share of the area.

    Sums are of whole numbers, so that turning the image turns the result bit for bit.
    """
    grey = image @ LUMA.astype(np.float64) if image.ndim == 3 else image * 1000.0
    h, w = grey.shape
    total = _overlap(h) @ grey @ _overlap(w).T  # whole numbers below 2**53: exact in any order
    return (total / (h * w * 255_000.0)).astype(np.float32)


def _overlap(cells: int) -> np.ndarray:
    """How much of each cell lies in each of 32 equal parts, in 32nds of a cell [32, cells]."""
    low = np.arange(SIDE)[:, None] * cells
    cell = np.arange(cells) * SIDE
    return np.clip(np.minimum(low + cells, cell + SIDE) - np.maximum(low, cell), 0, None).astype(np.float64)


def features(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """`pooled` [n, 1024], row by row, and `final` [n, 64, 1], means of four by four of them."""
    grey = np.stack([small(image) for image in images])
    step = SIDE // MAP
    cells = grey.reshape(-1, MAP, step, MAP, step).mean(axis=(2, 4))
    return {"final": cells.reshape(-1, MAP * MAP, 1), "pooled": grey.reshape(-1, SIDE * SIDE)}


def load(device: str) -> Encoder:  # noqa: ARG001  every encoder is asked for a device
    """The control; it computes with NumPy wherever it is asked to run."""
    from encoders._function import from_function

    return from_function(CARD, features)
