"""InternVL3, 1B to 8B: an InternViT-300M whose tokens are joined two by two before two linear layers.

Zhu et al. 2025, arXiv:2504.10479. An image is squashed onto the grid of 448-pixel tiles nearest to its shape and,
where that is more than one, seen once more as a whole. `-448` looks at the whole alone. The authors' own layout
(model type internvl_chat) is read too, in any size: `hf:OpenGVLab/InternVL2_5-4B` as well as these names.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import IMAGENET_NORM, Card, Input, Site, View
from encoders.answering.families import INTERNVL, INTERNVL_WHOLE
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType
from encoders.networks import internvl as authors

INPUT = Input(
    size=(448, 448), resize="tiles", crop=None, **IMAGENET_NORM, interpolation="bicubic",
    backend="transformers GotOcr2ImageProcessorPil",
)  # fmt: skip


def _config(**text: Any) -> Callable[[Any], Any]:
    def build(library: Any) -> Any:
        vision = library.InternVLVisionConfig(
            image_size=[448, 448], patch_size=[14, 14], use_mean_pooling=True, attention_bias=True
        )
        language = library.Qwen2Config(**text, vocab_size=151674, tie_word_embeddings=False)
        return library.InternVLConfig(vision_config=vision, text_config=language)

    return build


def _processor(library: Any, folder: Path | None) -> Any:
    processor = library.GotOcr2ImageProcessorPil
    if folder is None:
        norm = {"image_mean": list(IMAGENET_NORM["mean"]), "image_std": list(IMAGENET_NORM["std"])}
        return processor(size={"height": 448, "width": 448}, min_patches=1, max_patches=12, **norm)
    if (declared := authors.authors_config(folder)) is not None:
        return authors.processor(library, declared)
    return processor.from_pretrained(folder, local_files_only=True)


def _take_apart(cut: bool) -> Callable[[Any, Any], ModelParts]:
    def take_apart(model: Any, processor: Any) -> ModelParts:
        from encoders.extraction.hooks import Hook
        from encoders.extraction.tiles import site
        from encoders.multimodal.pieces import described, hooks

        inner, vision = model.model, model.config.vision_config
        tower, tile = inner.vision_tower, vision.image_size[0]
        side, join = tile // vision.patch_size[0], round(1 / model.config.downsample_ratio)
        normed = type(tower.layernorm).__name__ != "Identity"

        def layout(prepared: Any) -> dict[str, Site]:
            count = len(prepared["pixel_values"])
            views = _views(prepared["image_size"], count, tile, side, processor)
            block = site(vision.hidden_size, views, prefix=1, cls=True)
            merged = _views(prepared["image_size"], count, tile, side // join, processor)
            ends = {"final": block} if normed else {}
            received = site(model.config.text_config.hidden_size, merged)
            return {f"block.{i}": block for i in range(vision.num_hidden_layers)} | ends | {"connector": received}

        def run(batch: Any) -> Mapping[str, Any]:
            return {"connector": inner.get_image_features(batch["pixel_values"].flatten(0, 1)).pooler_output}

        return ModelParts(
            image_side={"vision_tower": tower, "multi_modal_projector": inner.multi_modal_projector},
            hooks=hooks(tower.encoder.layer) | ({"final": Hook(module=tower.layernorm)} if normed else {}),
            run=run,
            preprocess=lambda image: _prepared(image, processor, cut),
            input=described(processor, (tile, tile), "tiles" if cut else "squash"),
            layout=layout,
            varies=cut,
        )

    return take_apart


def _prepared(image: np.ndarray, processor: Any, cut: bool) -> dict[str, Any]:
    from encoders.extraction.images import pil

    made = processor(images=pil(image), return_tensors="pt", crop_to_patches=cut)
    return {"pixel_values": made["pixel_values"], "image_size": np.array(image.shape[:2])}


def _views(image: Any, count: int, tile: int, side: int, processor: Any) -> tuple[View, ...]:
    """The tiles row by row, then the whole image where there is more than one."""
    from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

    from encoders.extraction.tiles import tiles

    whole = View(grid=(side, side))
    if count == 1:
        return (whole,)
    size = (int(image[0]), int(image[1]))
    columns, rows = get_optimal_tiled_canvas(size, (tile, tile), processor.min_patches, processor.max_patches)
    return (*tiles(rows, columns, (side, side)), whole)


def _sites(connector: int) -> dict[str, Site]:
    block = Site(width=1024, grid=(32, 32), prefix=1, cls=True)
    return {f"block.{i}": block for i in range(24)} | {"connector": Site(width=connector, grid=(16, 16))}


def _pair(name: str, counts: tuple[int, int], **text: int) -> tuple[Any, Any]:
    parameters, whole = counts
    card = Card(
        name=name,
        repo=f"OpenGVLab/InternVL3-{name.rpartition('-')[2].upper()}-hf",
        licence="MIT and that of its language model",
        parameters=parameters,
        bytes=2 * parameters,
        bytes_whole=whole,
        input=INPUT,
        sites=_sites(text["hidden_size"]),
        note="up to twelve tiles and the whole image",
        unverified="configuration, licence, shard placement",
    )
    model_type = ModelType(
        model="InternVLForConditionalGeneration",
        types=("internvl",),
        foreign=(authors.TYPE,),
        read_config=authors.config,
        config=_config(**text),
        processor=_processor,
        take_apart=_take_apart(cut=True),
        rename=authors.original,
        answers=INTERNVL,
    )
    whole_only = replace(
        card, name=f"{name}-448", input=replace(INPUT, resize="squash"), note="squashed to one tile of 448 x 448"
    )
    return checkpoint(card, model_type), checkpoint(
        whole_only, replace(model_type, take_apart=_take_apart(cut=False), answers=INTERNVL_WHOLE)
    )


CHECKPOINTS = (
    *_pair(
        "internvl3-1b", (308_495_104, 1_604_586_240), hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2,
    ),
    *_pair(
        "internvl3-2b", (312_674_304, 3_711_972_352), hidden_size=1536, intermediate_size=8960, num_hidden_layers=28,
        num_attention_heads=12, num_key_value_heads=2,
    ),
    *_pair(
        "internvl3-8b", (331_552_768, 14_801_548_288), hidden_size=3584, intermediate_size=18944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4,
    ),
)  # fmt: skip
