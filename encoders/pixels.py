"""Control `pixels`: the image itself, as 32 x 32 grey values. What they answer needs no encoder."""

from collections.abc import Sequence

import numpy as np

from encoders._base import Card, Encoder, Site

SIDE = 32
LUMA = np.array([299, 587, 114])  # ITU-R BT.601, in thousandths
CARD = Card(
    name="pixels",
    licence="Apache-2.0",
    parameters=0,
    bytes=0,
    bytes_whole=0,
    sites={"pooled": Site(width=SIDE * SIDE)},
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
    """`pooled` [n, 1024], row by row."""
    return {"pooled": np.stack([small(image).ravel() for image in images])}


def load(device: str) -> Encoder:  # noqa: ARG001  every encoder is asked for a device
    """The control; it computes with NumPy wherever it is asked to run."""
    from encoders._function import from_function

    return from_function(CARD, features)
