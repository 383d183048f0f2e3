"""Llama 3.2 Vision: up to four tiles through 32 local and 8 gated global blocks. Meta 2024, arXiv:2407.21783.

The language model attends to the tokens of every tile, CLS among them, after one linear layer over the last state
and five inner ones. Rows that pad a tile and tiles that pad an image are left out. The global blocks are block.32
to block.39. An image lies in the upper left of its canvas.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import CLIP_NORM, Card, Input, Site
from encoders.answering.families import MLLAMA
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType


def _config(hidden: int, inner: int, layers: int, heads: int) -> Callable[[Any], Any]:
    def build(library: Any) -> Any:
        vision = library.models.mllama.configuration_mllama.MllamaVisionConfig(image_size=560)
        text = library.models.mllama.configuration_mllama.MllamaTextConfig(
            hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=8, vocab_size=128256, cross_attention_layers=list(range(3, layers, 5)),
        )  # fmt: skip
        return library.MllamaConfig(vision_config=vision, text_config=text)

    return build


def _processor(library: Any, folder: Path | None) -> Any:
    if folder is None:
        norm = {"image_mean": list(CLIP_NORM["mean"]), "image_std": list(CLIP_NORM["std"])}
        return library.MllamaImageProcessorPil(size={"height": 560, "width": 560}, **norm)
    return library.MllamaImageProcessorPil.from_pretrained(folder, local_files_only=True)


def _take_apart(model: Any, processor: Any) -> ModelParts:
    from encoders.multimodal.pieces import described, hooks, preprocess

    inner, vision = model.model, model.config.vision_config
    tower, tile = inner.vision_model, vision.image_size
    side = tile // vision.patch_size
    local, deep = tower.transformer.layers, tower.global_transformer.layers
    names = [f"block.{i}" for i in range(len(local) + len(deep))]
    prepare = preprocess(processor, "pixel_values", "aspect_ratio_ids", "aspect_ratio_mask")

    def prepared(image: np.ndarray) -> dict[str, Any]:
        return {**prepare(image), "image_size": np.array(image.shape[:2])}

    def layout(made: Any) -> dict[str, Site]:
        from encoders.extraction.tiles import canvas, site, tiles

        rows, columns = vision.supported_aspect_ratios[int(made["aspect_ratio_ids"][0]) - 1]
        image = tuple(int(x) for x in made["image_size"])
        box = canvas(_fitted(image, (rows * tile, columns * tile), tile), (rows * tile, columns * tile))
        views = tiles(rows, columns, (side, side), box)
        block = site(vision.hidden_size, views, prefix=1, cls=True)
        received = site(model.config.text_config.hidden_size, views, prefix=1, cls=True)
        return dict.fromkeys(names, block) | {"connector": received}

    def real(tokens: Any, batch: Any) -> Any:
        """Tokens [b, tiles * t, d] without the rows and the tiles that are padding."""
        tiles = batch["aspect_ratio_mask"].shape[-1]
        count = int(batch["aspect_ratio_mask"][0].sum())
        return tokens.unflatten(1, (tiles, -1))[:, :count, : side * side + 1].flatten(1, 2)

    def run(batch: Any) -> Mapping[str, Any]:
        given = {k: batch[k] for k in ("aspect_ratio_ids", "aspect_ratio_mask")}
        state = tower(batch["pixel_values"], **given).last_hidden_state
        return {"connector": real(inner.multi_modal_projector(state[:, 0]).flatten(1, 2), batch)}

    return ModelParts(
        image_side={"vision_model": tower, "multi_modal_projector": inner.multi_modal_projector},
        hooks=hooks([*local, *deep], order=real),
        run=run,
        preprocess=prepared,
        input=described(processor, (tile, tile), "tiles"),
        layout=layout,
        varies=True,
    )


def _fitted(image: tuple[int, ...], canvas: tuple[int, int], tile: int) -> tuple[int, int]:
    from transformers.models.mllama.image_processing_mllama import get_image_size_fit_to_canvas

    height, width = get_image_size_fit_to_canvas(image[0], image[1], canvas[0], canvas[1], tile)
    return int(height), int(width)


def _sites(connector: int) -> dict[str, Site]:
    """The sites of a square image of up to one tile."""
    block = Site(width=1280, grid=(40, 40), prefix=1, cls=True)
    named = {f"block.{i}": block for i in range(40)}
    return named | {"connector": replace(block, width=connector)}


def _model_type(hidden: int, inner: int, layers: int, heads: int) -> ModelType:
    return ModelType(
        model="MllamaForConditionalGeneration",
        types=("mllama",),
        config=_config(hidden, inner, layers, heads),
        processor=_processor,
        take_apart=_take_apart,
        answers=MLLAMA,
    )


CARD = Card(
    name="llama-3.2-vision-11b",
    repo="meta-llama/Llama-3.2-11B-Vision-Instruct",
    licence="Llama 3.2 community",
    gated=True,
    parameters=895_028_755,
    bytes=1_790_057_510,
    bytes_whole=21_340_441_670,
    input=Input(
        size=(560, 560), resize="tiles", crop=None, **CLIP_NORM, interpolation="bilinear",
        backend="transformers MllamaImageProcessorPil",
    ),
    sites=_sites(4096),
    note="up to four tiles; block.32 to block.39 are the global blocks",
    unverified="configuration, normalisation, shard placement",
)  # fmt: skip

CHECKPOINTS = (
    checkpoint(CARD, _model_type(4096, 14336, 40, 32)),
    checkpoint(
        replace(
            CARD,
            name="llama-3.2-vision-90b",
            repo="meta-llama/Llama-3.2-90B-Vision-Instruct",
            parameters=926_490_131,
            bytes=1_852_980_262,
            bytes_whole=177_186_710_646,
            sites=_sites(8192),
        ),
        _model_type(8192, 28672, 100, 64),
    ),
)
