"""Masks of the evidence as an encoder sees them: brought into the prepared image that its map lies on."""

import numpy as np

from encoders import EncoderError, Input
from encoders.extraction.at_mark import PADDED, frame
from tasks import DataError

KNOWN = ("shortest", "squash", "none", *PADDED)  # ways of resizing that keep the image in one piece


def in_frame(mask: np.ndarray, spec: Input | None, size: tuple[int, int], name: str = "the encoder") -> np.ndarray:
    """The share of each prepared pixel that is evidence, float32 [H, W] from 0 to 1, by areas.

    `mask` is bool [h, w] over the decoded image, whose `size` is (h, w); `spec` says how the encoder `name` prepares an
    image: resized, padded, cropped. What is cropped away is lost; what is padded holds no evidence.

    Raises:
        DataError: the mask is not of the image's size, or a volume's.
        EncoderError: the encoder prepares images by a function of its own, or cuts them into tiles.
    """
    if mask.shape != size:
        given, wanted = (" x ".join(map(str, shape)) for shape in (mask.shape, size))
        raise DataError(f"a mask of {given} does not lie on an image of {wanted} (height x width)")
    if spec is None:
        raise EncoderError(
            f"{name} prepares images by a function of its own: where its pixels lie in an image is not known, so no "
            "evidence can be laid on its maps"
        )
    if spec.resize not in KNOWN:
        what = (
            "cuts images into tiles"
            if spec.resize == "tiles"
            else f"resizes images by a rule of its own ({spec.resize})"
        )
        raise EncoderError(f"{name} {what}, so no evidence can be laid on one map; known are {', '.join(KNOWN)}")
    top, left, bottom, right = frame(spec, *size)
    high, wide = prepared(spec, size)
    rows, columns = (
        _overlap(top * size[0], bottom * size[0], high, size[0]),
        _overlap(left * size[1], right * size[1], wide, size[1]),
    )
    return np.clip(rows @ mask.astype(np.float32) @ columns.T, 0, 1)


def prepared(spec: Input, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the prepared image of one of that size."""
    if spec.crop is not None or spec.resize in ("squash", *PADDED):
        return spec.size
    if spec.resize == "none":
        return size
    edge, least = spec.edge or max(spec.size), min(size)
    return int(edge * size[0] / least), int(edge * size[1] / least)


def _overlap(first: float, last: float, cells: int, pixels: int) -> np.ndarray:
    """Which share of each of `cells` equal parts of the line from `first` to `last` every pixel takes [cells, pixels]."""
    edges = np.linspace(first, last, cells + 1)
    start, line = edges[:-1, None], np.arange(pixels)
    shared = np.minimum(edges[1:, None], line + 1) - np.maximum(start, line)
    return (np.maximum(shared, 0) * (cells / (last - first))).astype(np.float32)
