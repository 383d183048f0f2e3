"""MedGemma: a SigLIP tower for 896 pixels, trained on medical images, in front of Gemma 3; and Gemma 3 itself.

Sellergren et al. 2025, arXiv:2507.05201. The tower has no pooling head and is not the one of `medsiglip`. The language
model receives means of four by four tokens, normed and projected: a grid of 16 by 16.
"""

from dataclasses import replace
from typing import Any

from encoders._base import HALF_NORM, Card, Input
from encoders.answering.families import GEMMA
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelType, image_processor
from encoders.networks.gemma import sites, take_apart


def _config(**text: Any) -> Any:
    def build(library: Any) -> Any:
        vision = library.SiglipVisionConfig(
            hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16,
            image_size=896, patch_size=14, vision_use_head=False,
        )  # fmt: skip
        language = library.Gemma3TextConfig(vocab_size=262208, **text)
        return library.Gemma3Config(vision_config=vision, text_config=language, mm_tokens_per_image=256)

    return build


SMALL = ModelType(
    model="Gemma3ForConditionalGeneration",
    types=("gemma3",),
    config=_config(
        hidden_size=2560, intermediate_size=10240, num_hidden_layers=34, num_attention_heads=8, num_key_value_heads=4,
        head_dim=256,
    ),
    processor=image_processor(
        "Gemma3ImageProcessorPil", size={"height": 896, "width": 896}, image_mean=list(HALF_NORM["mean"]),
        image_std=list(HALF_NORM["std"]),
    ),
    take_apart=take_apart,
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
    sites=sites(27, 1152, 64, merged=16, connector=2560),
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
            sites=sites(27, 1152, 64, merged=16, connector=5376),
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
                sites=sites(27, 1152, 64, merged=16, connector=width),
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
