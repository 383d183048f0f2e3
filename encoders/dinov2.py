"""DINOv2 ViT-S, B, L and g: image towers trained without any labels or text, each without and with registers.

The four registers stand between CLS and the patches and belong to no place. Oquab et al. 2023, arXiv:2304.07193;
Darcet et al. 2023, arXiv:2309.16588.
"""

from encoders._base import IMAGENET_NORM, Input
from encoders._registry import Checkpoint
from encoders.extraction.tower_sites import sites
from encoders.libraries.transformers.checkpoint import checkpoint

REGISTERS = 4
SHAPES = {  # width, blocks, heads, parameters without and with registers
    "small": (384, 12, 6, 22_056_576, 22_058_112),
    "base": (768, 12, 12, 86_580_480, 86_583_552),
    "large": (1024, 24, 16, 304_368_640, 304_372_736),
    "giant": (1536, 40, 24, 1_136_480_768, 1_136_486_912),
}
INPUT = Input(
    size=(224, 224), resize="shortest", crop="center", interpolation="bicubic", edge=256,
    backend="transformers BitImageProcessorPil", **IMAGENET_NORM,
)  # fmt: skip


def _dinov2(size: str, registers: int) -> Checkpoint:
    width, layers, heads, plain, with_registers = SHAPES[size]
    count = with_registers if registers else plain
    extra = {"num_register_tokens": registers} if registers else {}
    return checkpoint(
        "Dinov2WithRegistersModel" if registers else "Dinov2Model",
        {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "patch_size": 14,
         "image_size": 518, "use_swiglu_ffn": size == "giant", **extra},
        whole=count,
        name=f"dinov2-{size[0]}14" + "-reg" * bool(registers),
        repo=f"facebook/dinov2-{'with-registers-' * bool(registers)}{size}",
        licence="Apache-2.0",
        parameters=count,
        input=INPUT,
        sites=sites(layers, width, 16, prefix=1 + registers, vectors={"pooled": width}),
        unverified="licence, size of the file",
    )  # fmt: skip


CHECKPOINTS = tuple(_dinov2(size, registers) for size in SHAPES for registers in (0, REGISTERS))
