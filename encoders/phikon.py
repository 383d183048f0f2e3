"""Phikon-v2: a ViT-L/16 of pathology that Owkin trained as DINOv2. Filiot et al. 2024, arXiv:2409.09173."""

from encoders._base import IMAGENET_NORM, Input
from encoders.extraction.tower_sites import sites
from encoders.libraries.transformers.checkpoint import checkpoint

CHECKPOINTS = (
    checkpoint(
        "Dinov2Model",
        {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 16, "image_size": 224},
        whole=303_351_808,
        name="phikon-v2",
        repo="owkin/phikon-v2",
        licence="Owkin non-commercial",
        parameters=303_351_808,
        input=Input(
            size=(224, 224), resize="shortest", crop="center", interpolation="bicubic", edge=224,
            backend="transformers BitImageProcessorPil", **IMAGENET_NORM,
        ),
        sites=sites(24, 1024, 14, prefix=1, vectors={"pooled": 1024}),
        unverified="configuration, preprocessing",
    ),
)  # fmt: skip
