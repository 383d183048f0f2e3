"""How Molmo cuts an image up: the whole of it, then crops that overlap, each 336 pixels, padded with black."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from encoders._base import Input, Site, View
from encoders._images import pil
from encoders._tiles import Box, canvas, site

PATCH, SIDE, MARGIN, POOL = 14, 24, 4, 2  # pixels of a patch; patches of a crop, of its margin, of a token
CROP, WINDOW = SIDE * PATCH, (SIDE - 2 * MARGIN) * PATCH
CROPS = 12


def tiling(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of crops for an image: the tiling that it needs to be enlarged for least, else shrunk least."""
    known = sorted(
        ((i, j) for i in range(1, CROPS + 1) for j in range(1, CROPS // i + 1)), key=lambda t: (t[0] * t[1], t[0])
    )
    size = np.array([height, width], np.float32) - 2 * MARGIN * PATCH
    with np.errstate(divide="ignore"):
        scale = (np.array(known, np.float32) * WINDOW / size).min(axis=1)
    best = np.argmax(scale) if (scale < 1).all() else np.argmin(np.where(scale < 1, np.inf, scale))
    return known[int(best)]


def _canvas(rows: int, columns: int) -> tuple[int, int]:
    return rows * WINDOW + 2 * MARGIN * PATCH, columns * WINDOW + 2 * MARGIN * PATCH


def _scaled(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The image's size on a canvas, in the model's own rounding: float32 throughout."""
    scale = min(np.float32(size[0]) / np.float32(height), np.float32(size[1]) / np.float32(width))
    return max(int(np.float32(height) * scale), 1), max(int(np.float32(width) * scale), 1)


def _laid(image: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """An image [3, h, w] in 0 to 1 resized onto a black canvas of `size`, and where on it there is image."""
    tall, wide = _scaled(image.shape[1], image.shape[2], size)
    small = functional.interpolate(image[None], size=(tall, wide), mode="bilinear", antialias=True)[0].clip(0, 1)
    top, left = (size[0] - tall) // 2, (size[1] - wide) // 2
    pad = (left, size[1] - wide - left, top, size[0] - tall - top)
    return functional.pad(small, pad), functional.pad(torch.ones(tall, wide), pad)


def preprocess(spec: Input) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
    """One image as {pixels [crops, 3, 336, 336], filled [crops, 576], size [2]}, the whole image first."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))

    def apply(image: np.ndarray) -> dict[str, torch.Tensor]:
        pixels = torch.from_numpy(np.array(pil(image)).transpose(2, 0, 1) / np.float32(255))
        rows, columns = tiling(*pixels.shape[1:])
        whole, _ = _laid(pixels, (CROP, CROP))
        large, filled = _laid(pixels, _canvas(rows, columns))
        cut = [(i * WINDOW, j * WINDOW) for i in range(rows) for j in range(columns)]
        crops = [whole] + [large[:, y : y + CROP, x : x + CROP] for y, x in cut]
        shares = [
            filled[y : y + CROP, x : x + CROP].reshape(SIDE, PATCH, SIDE, PATCH).mean((1, 3)).flatten() for y, x in cut
        ]
        # the model's processor puts the shares one crop early and -1 at the end, so the model was trained that way
        shares.append(torch.full((SIDE * SIDE,), -1.0))
        return {
            "pixels": (torch.stack(crops) - mean) / std,
            "filled": torch.stack(shares),
            "size": torch.tensor(pixels.shape[1:]),
        }

    return apply


def layout(image: tuple[int, int], tower: int, language: int) -> tuple[Site, Site]:
    """The site of a block, crop by crop, and that of the tokens that the language model receives."""
    rows, columns = tiling(*image)
    whole, large = (_box(*image, size) for size in ((CROP, CROP), _canvas(rows, columns)))
    tall, wide = _canvas(rows, columns)
    boxes = [
        _part(large, (y / tall, x / wide, (y + CROP) / tall, (x + CROP) / wide))
        for y in range(0, rows * WINDOW, WINDOW)
        for x in range(0, columns * WINDOW, WINDOW)
    ]
    crops = [View(grid=(SIDE, SIDE), box=box) for box in (whole, *boxes)]
    half, grid = SIDE // POOL, (tall // PATCH // POOL, wide // PATCH // POOL)
    merged = [View(grid=(half, half), box=whole), View(grid=grid, box=large)]
    return site(tower, crops, prefix=1, cls=True), site(language, merged)


def _box(height: int, width: int, size: tuple[int, int]) -> Box:
    tall, wide = _scaled(height, width, size)
    return canvas((tall, wide), size, ((size[0] - tall) // 2, (size[1] - wide) // 2))


def _part(box: Box, inside: Box) -> Box:
    """The box of a part of a canvas, given in fractions of the canvas that lies at `box`."""
    top, left, bottom, right = box
    height, width = bottom - top, right - left
    return (top + height * inside[0], left + width * inside[1], top + height * inside[2], left + width * inside[3])
