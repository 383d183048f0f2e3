"""Mistral Small 3.1: Pixtral's tower of native resolution, and a projector that joins two by two tokens.

Agrawal et al. 2024, arXiv:2410.07073. There is no norm behind the last block, so there is no `final`. Pixtral 12B
itself is published as a LLaVA, and read by `hf:mistral-community/pixtral-12b`.
"""

from typing import Any

from encoders._base import CLIP_NORM, Card, Input, Site
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelType, image_processor
from encoders.networks.pixtral import native

TOWER = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
         "image_size": 1540, "patch_size": 14}  # fmt: skip


def _config(library: Any) -> Any:
    text = library.MistralConfig(
        hidden_size=5120, intermediate_size=32768, num_hidden_layers=40, num_attention_heads=32, num_key_value_heads=8,
        head_dim=128, vocab_size=131072,
    )  # fmt: skip
    vision = library.PixtralVisionConfig(**TOWER)
    return library.Mistral3Config(vision_config=vision, text_config=text, spatial_merge_size=2)


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
    unverified="gate and licence, processor, shard placement",
)  # fmt: skip
CHECKPOINTS = (
    checkpoint(
        CARD,
        ModelType(
            model="Mistral3ForConditionalGeneration", types=("mistral3",), config=_config,
            processor=image_processor("PixtralImageProcessorPil", size={"longest_edge": 1540}, patch_size=14),
            take_apart=native,
        ),
    ),
)  # fmt: skip
