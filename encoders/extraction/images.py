"""Images as the libraries want them: PIL in RGB, resized and normalised as an `Input` says."""

from collections.abc import Callable
from typing import Any

import numpy as np

from encoders._base import EncoderError, Input

FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # by Pillow's codes


def pil(image: np.ndarray) -> Any:
    """A PIL image in RGB; grey is replicated exactly as `convert("RGB")` does."""
    from PIL import Image

    return Image.fromarray(image).convert("RGB")


def transform(spec: Input) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 image -> float32 [3, H, W] with Pillow's antialiased resize, as torchvision's transforms give.

    Raises EncoderError for a resize, crop or interpolation that it does not know.
    """
    from PIL import Image

    filters = {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
        "box": Image.Resampling.BOX,
    }
    _one_of("interpolation", spec.interpolation, tuple(filters))
    _one_of("resize", spec.resize, ("shortest", "squash", "none"))
    _one_of("crop", spec.crop, ("center", None))
    resample = filters[spec.interpolation]
    mean = np.asarray(spec.mean, np.float32)[:, None, None]
    std = np.asarray(spec.std, np.float32)[:, None, None]

    def apply(image: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(image)  # grey stays one channel until it is small: the same bits, a third of the work
        width, height = picture.size
        if spec.resize == "squash":
            picture = picture.resize((spec.size[1], spec.size[0]), resample)
        elif spec.resize == "shortest":
            picture = picture.resize(_shortest(spec, width, height), resample)
        if spec.crop == "center":
            left, top = (round((have - want) / 2) for have, want in zip(picture.size, spec.size[::-1], strict=True))
            picture = picture.crop((left, top, left + spec.size[1], top + spec.size[0]))
        planes = np.ascontiguousarray(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))
        pixels = planes.astype(np.float32)
        pixels /= np.float32(255)
        pixels -= mean
        pixels /= std
        return pixels

    return apply


def _shortest(spec: Input, width: int, height: int) -> tuple[int, int]:
    """Width and height with the shorter side exact and the longer one truncated, as torchvision does."""
    edge = spec.edge or max(spec.size)
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


def _one_of(what: str, given: str | None, known: tuple[str | None, ...]) -> None:
    if given not in known:
        raise EncoderError(f"Input.{what} {given!r} is not known; it may be {', '.join(map(repr, known))}")
