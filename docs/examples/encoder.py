"""Mean and spread of 4 x 4 tiles: an encoder of NumPy alone, with no weights."""

from collections.abc import Sequence

import numpy as np

import encoders

CARD = encoders.Card(
    name="tiles",
    licence="Apache-2.0",
    sites={"final": encoders.Site(width=2, grid=(4, 4)), "pooled": encoders.Site(width=2)},
)
FILES = ()  # rests on nothing but this source


def features(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Tokens [n, 16, 2] in raster order at `final`, their mean at `pooled`."""
    tiles = np.stack([
        [[f(part) for f in (np.mean, np.std)]
         for row in np.array_split(image, 4) for part in np.array_split(row, 4, axis=1)]
        for image in images
    ])  # fmt: skip
    return {"final": tiles, "pooled": tiles.mean(axis=1)}


def load(device: str) -> encoders.Encoder:
    """The encoder; it computes on the CPU wherever it is asked."""
    del device
    return encoders.from_function(CARD, features)
