"""How a tower of the transformers library has its images prepared: by the library's own processor."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from encoders._base import EncoderError, Input
from encoders.extraction.images import FILTERS, pil
from hub.files import IMAGES, images_said

OLD = "FeatureExtractor"  # what the library called image processors before 2022


def processor(spec: Input) -> Any:
    """The image processor that `spec.backend` ends with, as `spec` says."""
    height, width = spec.size
    squash = spec.resize == "squash"
    size = {"height": height, "width": width} if squash else {"shortest_edge": spec.edge}
    crop = {"crop_size": {"height": height, "width": width}} if spec.crop else {}
    filters = {name: code for code, name in FILTERS.items()}
    return getattr(transformers, spec.backend.rpartition(" ")[2])(
        size=size,
        image_mean=list(spec.mean),
        image_std=list(spec.std),
        resample=filters[spec.interpolation.partition(" ")[0]],
        **crop,
    )


def read_processor(who: str, folder: Path, backend: str) -> Any:
    """The image processor that a folder describes, under the name of today where it has that of before 2022.

    Raises EncoderError where nothing in the folder says how images are prepared.
    """
    if not images_said(folder):
        raise EncoderError(f"{who}: {folder} has neither {IMAGES[0]} nor {IMAGES[1]} with an image processor in it")
    said, _ = transformers.ImageProcessingMixin.get_image_processor_dict(folder, local_files_only=True)
    kind = str(said.get("image_processor_type") or said.get("feature_extractor_type") or "")
    if kind.endswith(OLD):
        name = kind.removesuffix(OLD) + "ImageProcessor" + "Pil" * (backend == "pil")
        if hasattr(transformers, name):
            return getattr(transformers, name).from_pretrained(folder, local_files_only=True)
    return transformers.AutoImageProcessor.from_pretrained(folder, backend=backend, local_files_only=True)


def preprocessed_by(processor: Any) -> tuple[tuple[int, int], Callable[[np.ndarray], torch.Tensor]]:
    """The size of the pixels that a processor makes, and the function of one image that makes them."""

    def preprocess(image: np.ndarray) -> torch.Tensor:
        return processor(images=pil(image), return_tensors="pt")["pixel_values"][0]

    height, width = (int(side) for side in preprocess(np.zeros((8, 8), np.uint8)).shape[1:])
    if not height or not width:
        raise EncoderError(f"its image processor makes pixels of {height} x {width}: sizes and crops are from 1 on")
    return (height, width), preprocess


def at_side(processor: Any, side: int) -> Any:
    """The same processor for pixels of side x side: a resize before a crop keeps its proportion to the crop."""
    made = copy.deepcopy(processor)
    size = {key: value for key, value in dict(processor.size).items() if value is not None}
    if "height" in size:
        size = {"height": side, "width": side}
    elif getattr(processor, "do_center_crop", False):
        crop = dict(processor.crop_size)
        size = {"shortest_edge": round(size["shortest_edge"] * side / min(crop["height"], crop["width"]))}
        made.crop_size = type(processor.crop_size)(height=side, width=side)
    else:
        size = {"shortest_edge": side}
    made.size = type(processor.size)(**size)
    return made


def input_of(processor: Any, size: tuple[int, int]) -> Input:
    """The `Input` of a card that describes what a processor does."""
    for what, values in (("image_mean", processor.image_mean), ("image_std", processor.image_std)):
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
            raise EncoderError(f"its image processor's {what} holds what is no number: {str(list(values))[:80]}")
    crop = bool(getattr(processor, "do_center_crop", False))
    squash = "height" in dict(processor.size)
    return Input(
        size=size,
        resize="squash" if squash else "shortest",
        crop="center" if crop else None,
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        interpolation=FILTERS.get(int(processor.resample), str(processor.resample)),
        backend=f"transformers {type(processor).__name__}",
        edge=None if squash else int(dict(processor.size)["shortest_edge"]),
    )
