"""MedGemma: a SigLIP tower for 896 pixels, trained on medical images, in front of Gemma 3; and Gemma 3 itself.

Sellergren et al. 2025, arXiv:2507.05201. The tower has no pooling head and is not the one of `medsiglip`. The language
model receives means of four by four tokens, normed and projected: a grid of 16 by 16.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import HALF_NORM, Card, Input, Site
from encoders.answering.families import GEMMA
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType


def _config(**text: Any) -> Any:
    def build(library: Any) -> Any:
        vision = library.SiglipVisionConfig(
            hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16,
            image_size=896, patch_size=14, vision_use_head=False,
        )  # fmt: skip
        language = library.Gemma3TextConfig(vocab_size=262208, **text)
        return library.Gemma3Config(vision_config=vision, text_config=language, mm_tokens_per_image=256)

    return build


def _processor(library: Any, folder: Path | None) -> Any:
    if folder is not None:
        return library.Gemma3ImageProcessorPil.from_pretrained(folder, local_files_only=True)
    norm = {"image_mean": list(HALF_NORM["mean"]), "image_std": list(HALF_NORM["std"])}
    return library.Gemma3ImageProcessorPil(size={"height": 896, "width": 896}, **norm)


def _take_apart(model: Any, processor: Any) -> ModelParts:
    from encoders.multimodal.pieces import described, hooks, preprocess

    inner, vision = model.model, model.config.vision_config
    side, merged = vision.image_size // vision.patch_size, int(model.config.mm_tokens_per_image**0.5)

    def run(batch: Any) -> Mapping[str, Any]:
        out = inner.get_image_features(pixel_values=batch)
        return {"final": out.last_hidden_state, "connector": out.pooler_output}

    block = Site(width=vision.hidden_size, grid=(side, side))
    sites = {f"block.{i}": block for i in range(vision.num_hidden_layers)} | {"final": block}
    sites["connector"] = Site(width=model.config.text_config.hidden_size, grid=(merged, merged))
    return ModelParts(
        image_side={"vision_tower": inner.vision_tower, "multi_modal_projector": inner.multi_modal_projector},
        hooks=hooks(inner.vision_tower.encoder.layers),
        run=run,
        preprocess=preprocess(processor, "pixel_values"),
        input=described(processor, (vision.image_size, vision.image_size), "squash"),
        layout=lambda _prepared: sites,
    )


BLOCK = Site(width=1152, grid=(64, 64))
TOWER = {f"block.{i}": BLOCK for i in range(27)} | {"final": BLOCK}
SMALL = ModelType(
    model="Gemma3ForConditionalGeneration",
    types=("gemma3",),
    config=_config(
        hidden_size=2560, intermediate_size=10240, num_hidden_layers=34, num_attention_heads=8, num_key_value_heads=4,
        head_dim=256,
    ),
    processor=_processor,
    take_apart=_take_apart,
    answers=GEMMA,
)  # fmt: skip
LARGE = replace(
    SMALL,
    config=_config(
        hidden_size=5376, intermediate_size=21504, num_hidden_layers=62, num_attention_heads=32,
        num_key_value_heads=16, head_dim=128,
    ),
)  # fmt: skip
CARD = Card(
    name="medgemma-4b",
    repo="google/medgemma-4b-it",
    licence="HAI-DEF",
    gated=True,
    parameters=419_816_304,
    bytes=839_632_608,
    bytes_whole=8_600_158_944,
    input=Input(
        size=(896, 896), resize="squash", crop=None, **HALF_NORM, interpolation="bilinear",
        backend="transformers Gemma3ImageProcessorPil",
    ),
    sites=TOWER | {"connector": Site(width=2560, grid=(16, 16))},
    note="one square; pan and scan is off, as in the processor",
    unverified="configuration, shard placement",
)  # fmt: skip

CHECKPOINTS = (
    checkpoint(CARD, SMALL),
    checkpoint(replace(CARD, name="medgemma-1.5-4b", repo="google/medgemma-1.5-4b-it"), SMALL),
    checkpoint(
        replace(
            CARD,
            name="medgemma-27b",
            repo="google/medgemma-27b-it",
            parameters=423_060_336,
            bytes=846_120_672,
            bytes_whole=54_864_813_280,
            sites=TOWER | {"connector": Site(width=5376, grid=(16, 16))},
        ),
        LARGE,
    ),
    *(
        checkpoint(
            replace(
                CARD,
                name=f"gemma-3-{size}",
                repo=f"google/gemma-3-{size}-it",
                licence="Gemma",
                parameters=parameters,
                bytes=2 * parameters,
                bytes_whole=whole,
                sites=TOWER | {"connector": Site(width=width, grid=(16, 16))},
                unverified="configuration, shard placement, licence",
            ),
            model_type,
        )
        for size, parameters, whole, width, model_type in (
            ("4b", 419_816_304, 8_600_158_944, 2560, SMALL),
            ("27b", 423_060_336, 54_864_813_280, 5376, LARGE),
        )
    ),
)
