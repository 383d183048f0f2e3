"""PaliGemma 2: SigLIP so400m at 224 or 448 pixels and one linear layer in front of Gemma 2.

Steiner et al. 2024, arXiv:2412.03555. The language model receives every token of the tower, behind its last norm.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from encoders._base import HALF_NORM, Card, Input
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelType, image_processor
from encoders.networks.gemma import sites, take_apart


def _config(side: int) -> Callable[[Any], Any]:
    def build(library: Any) -> Any:
        vision = library.SiglipVisionConfig(
            hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16, image_size=side,
            patch_size=14, vision_use_head=False, projection_dim=2304,
        )  # fmt: skip
        text = library.Gemma2Config(hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, vocab_size=257216)
        return library.PaliGemmaConfig(vision_config=vision, text_config=text, projection_dim=2304, hidden_size=2304)

    return build


def _model_type(side: int) -> ModelType:
    return ModelType(
        model="PaliGemmaForConditionalGeneration", types=("paligemma",), config=_config(side),
        processor=image_processor("SiglipImageProcessorPil", size={"height": side, "width": side}),
        take_apart=take_apart,
    )  # fmt: skip


CARD = Card(
    name="paligemma2-3b-224",
    repo="google/paligemma2-3b-mix-224",
    licence="Gemma",
    gated=True,
    parameters=415_098_864,
    input=Input(
        size=(224, 224), resize="squash", crop=None, interpolation="bicubic",
        backend="transformers SiglipImageProcessorPil", **HALF_NORM,
    ),
    sites=sites(27, 1152, 16, merged=16, connector=2304),
    unverified="configuration, processor, shard placement",
)  # fmt: skip
WIDE = replace(
    CARD, name="paligemma2-3b-448", repo="google/paligemma2-3b-mix-448", parameters=415_983_600,
    input=Input(
        size=(448, 448), resize="squash", crop=None, interpolation="bicubic",
        backend="transformers SiglipImageProcessorPil", **HALF_NORM,
    ),
    sites=sites(27, 1152, 32, merged=32, connector=2304),
)  # fmt: skip
CHECKPOINTS = (checkpoint(CARD, _model_type(224)), checkpoint(WIDE, _model_type(448)))
