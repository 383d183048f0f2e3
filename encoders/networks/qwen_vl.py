"""Qwen-VL taken apart: images in their own shape or as one square, and tokens brought back into rows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import EncoderError, Site
from encoders.multimodal.kind import ModelParts

FIXED = 448


def processor(patch: int, mean: float | None) -> Callable[[Any, Path | None], Any]:
    """The image processor of a folder, or the published one for patches of that size."""

    def read(library: Any, folder: Path | None) -> Any:
        if folder is not None:
            return library.Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
        norm = {"image_mean": [mean] * 3, "image_std": [mean] * 3} if mean else {}
        size = {"shortest_edge": 65536, "longest_edge": 16777216} if mean else {
            "shortest_edge": 3136, "longest_edge": 12845056}  # fmt: skip
        return library.Qwen2VLImageProcessorPil(patch_size=patch, size=size, **norm)

    return read


def take_apart_as(fixed: bool) -> Callable[[Any, Any], ModelParts]:
    """How a model is taken apart, its images in their own shape, or `fixed` to one square."""

    def take_apart(model: Any, processor: Any) -> ModelParts:
        import torch

        from encoders.extraction.hooks import Hook
        from encoders.extraction.images import pil
        from encoders.multimodal.pieces import described, hooks

        visual, vision = model.model.visual, model.config.vision_config
        merge, width = vision.spatial_merge_size, getattr(vision, "embed_dim", vision.hidden_size)
        norm = getattr(visual, "post_layernorm", None) or getattr(visual.merger, "ln_q", None) or visual.merger.norm
        extra = len(getattr(vision, "deepstack_visual_indexes", ()))

        def layout(prepared: Any) -> dict[str, Site]:
            _, h, w = (int(x) for x in prepared["image_grid_thw"])
            block = Site(width=width, grid=(h, w))
            merged = Site(width=model.config.text_config.hidden_size, grid=(h // merge, w // merge))
            deep = {f"deepstack.{i}": merged for i in range(extra)}
            return {f"block.{i}": block for i in range(vision.depth)} | {"final": block, "connector": merged} | deep

        def order(tokens: Any, batch: Any) -> Any:
            return raster(tokens, batch["image_grid_thw"][:1], visual, merge)

        def run(batch: Any) -> Mapping[str, Any]:
            out = model.model.get_image_features(batch["pixel_values"].flatten(0, 1), batch["image_grid_thw"])
            deep = {f"deepstack.{i}": torch.stack(list(out.deepstack_features[i])) for i in range(extra)}
            return {"connector": torch.stack(list(out.pooler_output))} | deep

        def prepare(image: np.ndarray) -> dict[str, Any]:
            try:
                made = processor(images=pil(image), return_tensors="pt")
            except ValueError as error:
                raise EncoderError(
                    f"an image of {image.shape[:2]} pixels cannot be read in its own shape: {error}; the encoder with "
                    "-448 at the end of its name squashes it"
                ) from error
            return {"pixel_values": made["pixel_values"], "image_grid_thw": made["image_grid_thw"][0]}

        return ModelParts(
            image_side={"visual": visual},
            hooks=hooks(visual.blocks, order=order) | {"final": Hook(module=norm, order=order)},
            run=run,
            preprocess=(lambda image: prepare(squash(image, processor))) if fixed else prepare,
            input=described(processor, (FIXED, FIXED) if fixed else (512, 512), "squash" if fixed else "native"),
            layout=layout,
            varies=not fixed,
        )

    return take_apart


def squash(image: np.ndarray, processor: Any) -> np.ndarray:
    """The image as one square of a size that every patch and merger divides."""
    from PIL import Image

    from encoders.extraction.images import pil

    return np.asarray(pil(image).resize((FIXED, FIXED), Image.Resampling(int(processor.resample))))


def raster(tokens: Any, grid: Any, visual: Any, merge: int) -> Any:
    """Tokens [b, h * w, d] of a tower's inside, row by row: windows first undone, then the merge groups."""
    count, _, width = tokens.shape
    _, h, w = (int(x) for x in grid[0])
    groups = tokens.reshape(count, -1, merge * merge, width)
    if hasattr(visual, "window_size"):
        from transformers.vision_utils import get_vision_window_index

        index, _ = get_vision_window_index(
            grid, spatial_merge_size=merge, window_size=visual.window_size, patch_size=visual.patch_size
        )
        groups = groups[:, index.argsort().to(groups.device)]
    cells = groups.reshape(count, h // merge, w // merge, merge, merge, width)
    return cells.permute(0, 1, 3, 2, 4, 5).reshape(count, h * w, width)
