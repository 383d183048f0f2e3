"""Masks of the evidence as an encoder sees them: brought into the prepared image that its map lies on."""

import numpy as np

from encoders import Encoder, EncoderError, Input
from encoders.extraction.at_mark import PADDED, frame
from tasks import DataError

KNOWN = ("shortest", "squash", "none", *PADDED)  # ways of resizing that keep the image in one piece


def in_frame(
    mask: np.ndarray, encoder: Encoder | Input | None, size: tuple[int, int], image: tuple[int, ...] | None = None
) -> np.ndarray:
    """The share of each prepared pixel that is evidence, float32 [H, W] from 0 to 1, by areas.

    `mask` is bool [h, w] over the decoded image, whose size is held against `image` where that is given; `encoder`, or
    its `Input`, says how an image is resized, padded and cropped to `size`, (H, W). What is cropped away is lost; what
    is padded holds no evidence.

    Raises:
        DataError: the mask is of another size than its image.
        EncoderError: the encoder prepares images by a function of its own, cuts them into tiles, or reads a volume.
    """
    spec, name = (encoder.card.input, encoder.card.name) if isinstance(encoder, Encoder) else (encoder, "the encoder")
    if image is not None and mask.shape != image:
        given, wanted = (" x ".join(map(str, shape)) for shape in (mask.shape, image))
        raise DataError(f"a mask of {given} does not lie on an image of {wanted} (height x width)")
    if mask.ndim != 2:
        raise EncoderError(f"{name} reads a volume here: evidence is laid on maps of flat images alone")
    if spec is None:
        raise EncoderError(
            f"{name} prepares images by a function of its own: where its pixels lie in an image is not known, so no "
            "evidence can be laid on its maps"
        )
    if spec.resize not in KNOWN:
        own = f"resizes images by a rule of its own ({spec.resize})"
        what = "cuts images into tiles" if spec.resize == "tiles" else own
        raise EncoderError(f"{name} {what}, so no evidence can be laid on one map; known are {', '.join(KNOWN)}")
    top, left, bottom, right = frame(spec, *mask.shape)
    rows = _overlap(top * mask.shape[0], bottom * mask.shape[0], size[0], mask.shape[0])
    columns = _overlap(left * mask.shape[1], right * mask.shape[1], size[1], mask.shape[1])
    return np.clip(rows @ mask.astype(np.float32) @ columns.T, 0, 1)


def _overlap(first: float, last: float, cells: int, pixels: int) -> np.ndarray:
    """The share of each of `cells` equal parts of the line from `first` to `last` that every pixel takes, by rows."""
    edges, line = np.linspace(first, last, cells + 1), np.arange(pixels)
    shared = np.minimum(edges[1:, None], line + 1) - np.maximum(edges[:-1, None], line)
    return (np.maximum(shared, 0) * (cells / (last - first))).astype(np.float32)
