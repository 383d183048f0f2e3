"""GLM-4.1V: a tower of native resolution whose tokens are joined two by two by a convolution and a merger.

GLM-V team 2025, arXiv:2507.01006. Inside the tower tokens lie in merge groups: they leave here row by row.
"""

from collections.abc import Mapping
from typing import Any

from encoders._base import CLIP_NORM, Card, Input, Site
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelType, image_processor
from encoders.networks.qwen_vl import take_apart_as

TOWER: Mapping[str, Any] = {
    "depth": 24, "hidden_size": 1536, "intermediate_size": 13696, "num_heads": 12, "out_hidden_size": 4096,
    "image_size": 336, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
}  # fmt: skip


def _config(library: Any) -> Any:
    text = {"hidden_size": 4096, "intermediate_size": 13696, "num_hidden_layers": 40, "num_attention_heads": 32,
            "num_key_value_heads": 2, "vocab_size": 151552}  # fmt: skip
    return library.Glm4vConfig(vision_config=dict(TOWER), text_config=text)


def _sites(side: int) -> dict[str, Site]:
    block, merged = Site(width=1536, grid=(side, side)), Site(width=4096, grid=(side // 2, side // 2))
    return {f"block.{i}": block for i in range(24)} | {"final": block, "connector": merged}


CHECKPOINTS = (
    checkpoint(
        Card(
            name="glm-4.1v-9b", repo="zai-org/GLM-4.1V-9B-Thinking", licence="MIT", parameters=892_498_432,
            input=Input(size=(512, 512), resize="native", crop=None, interpolation="bicubic",
                        backend="transformers Glm4vImageProcessorPil", **CLIP_NORM),
            sites=_sites(36), note="native resolution: the grid follows the image",
            unverified="configuration, processor, shard placement, licence",
        ),
        ModelType(
            model="Glm4vForConditionalGeneration", types=("glm4v",), config=_config,
            processor=image_processor("Glm4vImageProcessorPil"),
            take_apart=take_apart_as(fixed=False), language=r"(?!(?:model\.)?visual\.)",
        ),
    ),
)  # fmt: skip
