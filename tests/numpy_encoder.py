"""An encoder of NumPy alone, for tests: 8 x 8 block means of the grey image, and their total."""

from collections.abc import Sequence

import numpy as np

import encoders

CARD = encoders.Card(
    name="blocks",
    licence="Apache-2.0",
    sites={
        "stage.1": encoders.Site(width=1, grid=(8, 8)),
        "pooled": encoders.Site(width=64),
        "blind": encoders.Site(width=64),
    },
)


def features(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Block means; `blind` is their average over all flips and turns, and cannot know any of them."""
    maps = []
    for image in images:
        grey = image.astype(np.float64) if image.ndim == 2 else image.mean(axis=2)
        h, w = (s // 8 * 8 for s in grey.shape)
        maps.append(grey[:h, :w].reshape(8, h // 8, 8, w // 8).mean(axis=(1, 3)))
    grid = np.stack(maps)
    turns = [np.rot90(grid, k, axes=(1, 2)) for k in range(4)]
    blind = np.stack(turns + [t[:, :, ::-1] for t in turns])
    blind = np.sort(blind, axis=0).mean(axis=0)  # sorted first, so that every order of the eight sums alike
    return {
        "stage.1": grid.reshape(len(grid), 64, 1),
        "pooled": grid.reshape(len(grid), 64),
        "blind": blind.reshape(len(grid), 64),
    }


def load(device: str) -> encoders.Encoder:
    """The encoder; it computes on the CPU wherever it is asked."""
    del device
    return encoders.from_function(CARD, features)
