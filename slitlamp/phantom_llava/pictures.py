"""Phantoms as the model sees them: pixels from its own image processor, and the tower's tokens of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Phantoms:
    """Phantoms of a task: pixels uint8 [n, side, side] behind the processor's resize, classes [n], groups and ids."""

    task: Any
    pixels: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    ids: tuple[str, ...]


def phantoms(name: str, count: int, seed: int) -> Phantoms:
    """About `count` phantoms of a task, resized as CLIP's processor resizes them."""
    from PIL import Image

    import tasks
    from slitlamp.log import progress
    from slitlamp.phantom_llava.network import SIDE

    task = tasks.load(name)
    assert task.phantoms is not None
    assert task.classes is not None
    items = list(task.items(task.phantoms(count, seed), np.random.default_rng(seed), None))
    seen = np.empty((len(items), SIDE, SIDE), np.uint8)
    with progress(len(items), f"drawing {name}") as bar:
        for i, item in enumerate(items):
            image = item.picture.read()
            assert image.shape[0] == image.shape[1]
            seen[i] = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            bar.update()
    return Phantoms(
        task=task, pixels=seen, y=np.array([task.classes.index(str(i.label)) for i in items]),
        groups=np.array([i.group for i in items]), ids=tuple(i.id for i in items),
    )  # fmt: skip


def normalised(pixels: np.ndarray) -> Any:
    """Pixel values [n, 3, side, side] of grey uint8 images, as CLIP's processor normalises them."""
    import torch
    from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    mean, std = OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
    values = torch.as_tensor(pixels).float()[:, None].expand(-1, 3, -1, -1) / 255
    return (values - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def tokens(model: Any, pixels: np.ndarray) -> np.ndarray:
    """The tower's tokens float16 [n, t, d] of grey uint8 images."""
    import torch

    from slitlamp.phantom_llava.network import tower_tokens

    with torch.no_grad():
        batches = [tower_tokens(model, normalised(pixels[s : s + 100])).half() for s in range(0, len(pixels), 100)]
    return torch.cat(batches).numpy()


def stamped(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Grey images uint8 [n, h, w] with a letter burned into the upper left corner: L for the first class, R otherwise.

    White on black, on the square that the tower sees as its first patch.
    """
    from PIL import Image

    from slitlamp.phantom_llava.network import GRID
    from tasks.phantoms.chest.film import glyph

    side = images.shape[1] // GRID
    burned = images.copy()
    for image, c in zip(burned, classes, strict=True):
        box = np.zeros((28, 28), np.uint8)
        letter = glyph("R" if c else "L", 3)
        box[3 : 3 + letter.shape[0], 8 : 8 + letter.shape[1]] = 255 * letter
        image[:side, :side] = np.asarray(Image.fromarray(box).resize((side, side), Image.Resampling.BICUBIC))
    return burned
