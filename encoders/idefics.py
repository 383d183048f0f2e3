"""IDEFICS-9B: OpenCLIP's ViT-H and a perceiver of 64 latents, read by cross-attention as in Flamingo.

Laurençon et al. 2023, arXiv:2306.16527. The tower's tokens reach the perceiver without the final norm; `final` is
normed here as elsewhere.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import CLIP_NORM, Card, Input, Site
from encoders.answering.families import IDEFICS
from encoders.extraction.tower_sites import sites
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType


def _config(library: Any) -> Any:
    return library.IdeficsConfig(
        vision_config={"embed_dim": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "patch_size": 14},
        perceiver_config={"use_resampler": True, "resampler_n_latents": 64, "resampler_depth": 6,
                          "resampler_n_heads": 16, "resampler_head_dim": 96, "qk_layer_norms_perceiver": True},
        use_resampler=True, cross_layer_interval=4, qk_layer_norms=True, additional_vocab_size=2,
    )  # fmt: skip


def _processor(library: Any, folder: Path | None) -> Any:
    if folder is not None:
        return library.IdeficsImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return library.IdeficsImageProcessorPil()


def _take_apart(model: Any, processor: Any) -> ModelParts:
    from encoders.extraction.images import pil
    from encoders.multimodal.pieces import clip_ends, described, hooks

    tower, perceiver, vision = model.model.vision_model, model.model.perceiver_resampler, model.config.vision_config
    side = vision.image_size // vision.patch_size

    def run(batch: Any) -> Mapping[str, Any]:
        tokens = tower(pixel_values=batch).last_hidden_state
        return {**clip_ends(tower, tokens), "connector": perceiver(tokens)}

    def preprocess(image: np.ndarray) -> Any:
        return processor(images=pil(image), return_tensors="pt")[0]  # this one answers with the tensor itself

    found = _sites(vision.num_hidden_layers, vision.embed_dim, side, model.config.perceiver_config.resampler_n_latents)
    return ModelParts(
        image_side={"vision_model": tower, "perceiver_resampler": perceiver},
        hooks=hooks(tower.encoder.layers),
        run=run,
        preprocess=preprocess,
        input=described(processor, (vision.image_size, vision.image_size), "squash"),
        layout=lambda _prepared: found,
    )


def _sites(blocks: int, width: int, side: int, latents: int) -> dict[str, Site]:
    tower = sites(blocks, width, side, prefix=1, vectors={"pooled": width})
    return tower | {"connector": Site(width=width, queries=latents)}


CARD = Card(
    name="idefics-9b",
    repo="HuggingFaceM4/idefics-9b",
    licence="LLaMA-1 terms",
    parameters=756_728_064,
    bytes=1_513_456_128,
    bytes_whole=17_859_359_264,
    input=Input(
        size=(224, 224), resize="squash", crop=None, **CLIP_NORM, interpolation="bicubic",
        backend="transformers IdeficsImageProcessorPil",
    ),
    sites=_sites(32, 1280, 16, 64),
    unverified="configuration, shard placement, licence",
)  # fmt: skip
MODEL_TYPE = ModelType(
    model="IdeficsForVisionText2Text",
    types=("idefics",),
    config=_config,
    processor=_processor,
    take_apart=_take_apart,
    answers=IDEFICS,
)

CHECKPOINTS = (checkpoint(CARD, MODEL_TYPE),)
