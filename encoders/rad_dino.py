"""RAD-DINO: a DINOv2 ViT-B/14 trained further on chest films, at 518 pixels.

Its repository holds three weight files, of which `model.safetensors` is the tower; another is in the original
spelling, the third is a head of the training. Pérez-García et al. 2024, arXiv:2401.10815.
"""

from encoders._base import Input
from encoders.extraction.tower_sites import sites
from encoders.libraries.transformers.checkpoint import checkpoint

CHECKPOINTS = (
    checkpoint(
        "Dinov2Model",
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "patch_size": 14, "image_size": 518},
        whole=86_580_480,
        name="rad-dino",
        repo="microsoft/rad-dino",
        licence="MIT",
        parameters=86_580_480,
        input=Input(
            size=(518, 518), resize="shortest", crop="center", mean=(0.5307,) * 3, std=(0.2583,) * 3,
            interpolation="bicubic", edge=518, backend="transformers BitImageProcessorPil",
        ),
        sites=sites(12, 768, 37, prefix=1, vectors={"pooled": 768}),
        note="revision resolved at first load; licence MIT since 2025, MSRLA before",
        unverified="mean and standard deviation of the input, licence",
    ),
)  # fmt: skip
