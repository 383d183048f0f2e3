"""Molmo 2: SigLIP 2 for 378 pixels over overlapping crops; windows of two by two tokens are pooled by attention.

Clark et al. 2026, arXiv:2601.10611. The adapter reads blocks 24 and 18; the published configuration declares 27
blocks, of which 25 are there, and there is no final norm. The language model receives the whole image, then the
crops as one grid without their overlaps; a last row or column pools what is left of its windows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import HALF_NORM, Card, Input, Site, View
from encoders.answering.families import MOLMO2
from encoders.extraction.tiles import site
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType


def _config(library: Any) -> Any:
    return library.Molmo2Config(
        vision_config={},
        adapter_config={"intermediate_size": 12288, "text_hidden_size": 4096},
        text_config={},
    )


def _processor(library: Any, folder: Path | None) -> Any:
    if folder is None:
        return library.Molmo2ImageProcessor(image_mean=list(HALF_NORM["mean"]), image_std=list(HALF_NORM["std"]))
    return library.Molmo2ImageProcessor.from_pretrained(folder, local_files_only=True)


def views(rows: int, columns: int, side: int, margin: int, pool: tuple[int, int]) -> tuple[list[View], list[View]]:
    """The views of the tower and of the language model, of rows x columns crops with `margin` tokens in common."""
    step = side - margin
    tall, wide = rows * step + margin, columns * step + margin
    crops = [
        View(grid=(side, side), box=(i / tall, j / wide, (i + side) / tall, (j + side) / wide))
        for i in range(0, rows * step, step)
        for j in range(0, columns * step, step)
    ]
    return [View(grid=(side, side)), *crops], [_pooled(side, side, pool), _pooled(tall, wide, pool)]


def _pooled(tall: int, wide: int, pool: tuple[int, int]) -> View:
    """Windows over a grid, the last of which may reach past its end."""
    rows, columns = -(-tall // pool[0]), -(-wide // pool[1])
    return View(grid=(rows, columns), box=(0.0, 0.0, rows * pool[0] / tall, columns * pool[1] / wide))


def _take_apart(model: Any, processor: Any) -> ModelParts:
    import torch
    from transformers.models.molmo2.image_processing_molmo2 import compute_crop_geometry

    from encoders.extraction.images import pil
    from encoders.multimodal.pieces import described, hooks

    inner, vision = model.model, model.config.vision_config
    tile, patch = vision.image_size[0], vision.patch_size
    margins, pool = list(processor.overlap_margins), tuple(processor.pooling_size)

    def preprocess(image: np.ndarray) -> dict[str, Any]:
        made = processor(images=pil(image), return_tensors="pt")
        found = {key: made[key] for key in ("pixel_values", "image_token_pooling")}
        return {**found, "image_grids": made["image_grids"][0], "size": torch.tensor(image.shape[:2])}

    def layout(prepared: Any) -> dict[str, Site]:
        height, width = (int(x) for x in prepared["size"])
        rows, columns, *_ = compute_crop_geometry(height, width, processor.max_crops, margins, tile, patch)
        towers, merged = views(rows, columns, tile // patch, sum(margins), pool)
        block = site(vision.hidden_size, towers)
        named = {f"block.{i}": block for i in range(vision.num_hidden_layers)}
        return named | {"connector": site(model.config.text_config.hidden_size, merged)}

    def run(batch: Any) -> Mapping[str, Any]:
        count, crops, patches = batch["pixel_values"].shape[:3]
        index = batch["image_token_pooling"]
        first = torch.arange(count, device=index.device)[:, None, None] * crops * patches
        out = inner.get_image_features(
            pixel_values=batch["pixel_values"].flatten(0, 1),
            image_token_pooling=torch.where(index < 0, index, index + first).flatten(0, 1),
            image_grids=batch["image_grids"],
        )
        return {"connector": torch.stack(list(out.pooler_output))}

    return ModelParts(
        image_side={"vision_tower": inner.vision_tower, "multi_modal_projector": inner.multi_modal_projector},
        hooks=hooks(inner.vision_tower.layers),
        run=run,
        preprocess=preprocess,
        input=described(processor, (tile, tile), "tiles"),
        layout=layout,
        varies=True,
    )


TOWER, MERGED = views(2, 2, 27, 8, (2, 2))
CARD = Card(
    name="molmo2-8b",
    repo="allenai/Molmo2-8B",
    licence="Apache-2.0",
    parameters=470_443_472,
    bytes=1_881_773_888,
    bytes_whole=34_646_812_480,
    input=Input(
        size=(378, 378), resize="tiles", crop=None, **HALF_NORM, interpolation="bilinear",
        backend="transformers Molmo2ImageProcessor",
    ),
    sites={f"block.{i}": site(1152, TOWER) for i in range(25)} | {"connector": site(4096, MERGED)},
    note="the whole image, then up to eight overlapping crops",
    unverified="configuration (the adapter's width above all), shard placement, float32 on disk, licence",
)  # fmt: skip
MODEL_TYPE = ModelType(
    model="Molmo2ForConditionalGeneration",
    types=("molmo2",),
    config=_config,
    processor=_processor,
    take_apart=_take_apart,
    answers=MOLMO2,
)

CHECKPOINTS = (checkpoint(CARD, MODEL_TYPE),)
