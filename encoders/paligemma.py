"""PaliGemma 2: SigLIP so400m at 224 or 448 pixels and one linear layer in front of Gemma 2.

Steiner et al. 2024, arXiv:2412.03555. The language model receives every token of the tower, behind its last norm.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import HALF_NORM, Card, Input, Site
from encoders.extraction.tower_sites import block_sites
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType


def _config(side: int) -> Callable[[Any], Any]:
    def build(library: Any) -> Any:
        vision = library.SiglipVisionConfig(
            hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16, image_size=side,
            patch_size=14, vision_use_head=False, projection_dim=2304,
        )  # fmt: skip
        text = library.Gemma2Config(hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, vocab_size=257216)
        return library.PaliGemmaConfig(vision_config=vision, text_config=text, projection_dim=2304, hidden_size=2304)

    return build


def _processor(side: int) -> Callable[[Any, Path | None], Any]:
    def read(library: Any, folder: Path | None) -> Any:
        if folder is not None:
            return library.SiglipImageProcessorPil.from_pretrained(folder, local_files_only=True)
        return library.SiglipImageProcessorPil(size={"height": side, "width": side})

    return read


def _take_apart(model: Any, processor: Any) -> ModelParts:
    from encoders.multimodal.pieces import described, hooks, preprocess

    inner, vision = model.model, model.config.vision_config
    side = vision.image_size // vision.patch_size
    tower, projector = inner.vision_tower, inner.multi_modal_projector

    def run(batch: Any) -> Mapping[str, Any]:
        out = inner.get_image_features(pixel_values=batch)
        return {"final": out.last_hidden_state, "connector": out.pooler_output}

    found = _sites(vision.num_hidden_layers, vision.hidden_size, side, projector.linear.out_features)
    return ModelParts(
        image_side={"vision_tower": tower, "multi_modal_projector": projector},
        hooks=hooks(tower.encoder.layers),
        run=run,
        preprocess=preprocess(processor, "pixel_values"),
        input=described(processor, (vision.image_size, vision.image_size), "squash"),
        layout=lambda _prepared: found,
    )


def _sites(layers: int, width: int, side: int, connector: int) -> dict[str, Site]:
    blocks = block_sites(layers, width, (side, side), 0, cls=False)
    return blocks | {"final": blocks["block.0"], "connector": Site(width=connector, grid=(side, side))}


def _model_type(side: int) -> ModelType:
    return ModelType(
        model="PaliGemmaForConditionalGeneration", types=("paligemma",), config=_config(side),
        processor=_processor(side), take_apart=_take_apart,
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
    sites=_sites(27, 1152, 16, 2304),
    unverified="configuration, processor, shard placement",
)  # fmt: skip
WIDE = replace(
    CARD, name="paligemma2-3b-448", repo="google/paligemma2-3b-mix-448", parameters=415_983_600,
    input=Input(
        size=(448, 448), resize="squash", crop=None, interpolation="bicubic",
        backend="transformers SiglipImageProcessorPil", **HALF_NORM,
    ),
    sites=_sites(27, 1152, 32, 2304),
)  # fmt: skip
CHECKPOINTS = (checkpoint(CARD, _model_type(224)), checkpoint(WIDE, _model_type(448)))
