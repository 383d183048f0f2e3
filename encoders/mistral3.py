"""Mistral Small 3.1 and Pixtral: a tower of native resolution with rotary positions, in front of a Mistral.

Agrawal et al. 2024, arXiv:2410.07073. Pixtral's projector hands on every token (its repository is of type `llava`),
Mistral 3's joins two by two. There is no norm behind the last block, so there is no `final`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Input, Site
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType

TOWER = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
         "image_size": 1540, "patch_size": 14}  # fmt: skip


def _config(library: Any) -> Any:
    text = library.MistralConfig(
        hidden_size=5120, intermediate_size=32768, num_hidden_layers=40, num_attention_heads=32, num_key_value_heads=8,
        head_dim=128, vocab_size=131072,
    )  # fmt: skip
    vision = library.PixtralVisionConfig(**TOWER)
    return library.Mistral3Config(vision_config=vision, text_config=text, spatial_merge_size=2)


def _processor(library: Any, folder: Path | None) -> Any:
    if folder is not None:
        return library.PixtralImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return library.PixtralImageProcessorPil(size={"longest_edge": 1540}, patch_size=14)


def native(model: Any, processor: Any) -> ModelParts:
    """A Pixtral tower on one image in its own shape: every token, or one for each square of the merger."""
    import torch

    from encoders.extraction.images import pil
    from encoders.multimodal.pieces import described, hooks

    inner, vision = model.model, model.config.vision_config
    patch, merge = vision.patch_size, getattr(model.config, "spatial_merge_size", 1)

    def prepare(image: Any) -> dict[str, Any]:
        cell = {"height": patch * merge, "width": patch * merge}  # as the processor of the whole model asks
        made = processor(images=pil(image), return_tensors="pt", patch_size=cell)
        return {"pixel_values": made["pixel_values"][0], "image_sizes": torch.as_tensor(made["image_sizes"][0])}

    def layout(prepared: Any) -> dict[str, Site]:
        rows, columns = (int(x) // patch for x in prepared["image_sizes"])
        block = Site(width=vision.hidden_size, grid=(rows, columns))
        merged = Site(width=model.config.text_config.hidden_size, grid=(rows // merge, columns // merge))
        return {f"block.{i}": block for i in range(vision.num_hidden_layers)} | {"connector": merged}

    def run(batch: Any) -> Mapping[str, Any]:
        out = inner.get_image_features(pixel_values=batch["pixel_values"], image_sizes=batch["image_sizes"])
        return {"connector": torch.stack(list(out.pooler_output))}

    return ModelParts(
        image_side={"vision_tower": inner.vision_tower, "multi_modal_projector": inner.multi_modal_projector},
        hooks=hooks(inner.vision_tower.transformer.layers),
        run=run,
        preprocess=prepare,
        input=described(processor, (512, 512), "native"),
        layout=layout,
        varies=True,
    )


def _sites(side: int, merge: int, connector: int) -> dict[str, Site]:
    blocks = {f"block.{i}": Site(width=1024, grid=(side, side)) for i in range(24)}
    return blocks | {"connector": Site(width=connector, grid=(side // merge, side // merge))}


CARD = Card(
    name="mistral-small-3.1",
    repo="mistralai/Mistral-Small-3.1-24B-Instruct-2503",
    licence="Apache-2.0",
    parameters=438_958_080,
    input=Input(
        size=(512, 512), resize="native", crop=None, interpolation="bicubic",
        backend="transformers PixtralImageProcessorPil", **CLIP_NORM,
    ),
    sites=_sites(38, 2, 5120),
    note="native resolution: the grid follows the image",
    unverified="configuration, processor, shard placement, licence",
)  # fmt: skip
CHECKPOINTS = (
    checkpoint(
        CARD,
        ModelType(model="Mistral3ForConditionalGeneration", types=("mistral3",), config=_config, processor=_processor,
             take_apart=native),
    ),
)  # fmt: skip
