"""DINOv3 ViT-S, B and L/16, distilled from a 7 B tower. Siméoni et al. 2025, arXiv:2508.10104.

The pooled vector is CLS after the last norm, as transformers has it; timm's copies pool the mean instead. The image
is resized as float after rescaling, not as bytes.
"""

from encoders._base import IMAGENET_NORM, Input
from encoders._registry import Checkpoint
from encoders.extraction.tower_sites import sites
from encoders.libraries.transformers.checkpoint import checkpoint

SHAPES = {  # width, blocks, heads, parameters
    "s": (384, 12, 6, 21_596_544),
    "b": (768, 12, 12, 85_660_416),
    "l": (1024, 24, 16, 303_129_600),
}
INPUT = Input(
    size=(224, 224), resize="squash", crop=None, interpolation="bilinear",
    backend="transformers DINOv3ViTImageProcessor", **IMAGENET_NORM,
)  # fmt: skip


def _dinov3(size: str) -> Checkpoint:
    width, layers, heads, count = SHAPES[size]
    return checkpoint(
        "DINOv3ViTModel",
        {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
         "num_attention_heads": heads, "num_register_tokens": 4, "patch_size": 16, "image_size": 224},
        whole=count,
        name=f"dinov3-{size}16",
        repo=f"facebook/dinov3-vit{size}16-pretrain-lvd1689m",
        licence="DINOv3",
        gated=True,
        parameters=count,
        input=INPUT,
        sites=sites(layers, width, 14, prefix=5, vectors={"pooled": width}),
        unverified="size of the file",
    )  # fmt: skip


CHECKPOINTS = tuple(_dinov3(size) for size in SHAPES)
