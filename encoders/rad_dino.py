"""RAD-DINO: a DINOv2 ViT-B/14 trained further on chest films, at 518 pixels; `-maira-2` is that of MAIRA-2.

Its repository holds three weight files, of which `model.safetensors` is the tower; another is in the original
spelling, the third is a head of the training. Pérez-García et al. 2024, arXiv:2401.10815.
"""

from typing import Any

from encoders._base import Input
from encoders.extraction.tower_sites import sites
from encoders.libraries.transformers.checkpoint import checkpoint


def _tower(name: str, **card: Any) -> Any:
    return checkpoint(
        "Dinov2Model",
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "patch_size": 14, "image_size": 518},
        whole=86_580_480,
        name=name,
        repo=f"microsoft/{name}",
        parameters=86_580_480,
        input=Input(
            size=(518, 518), resize="shortest", crop="center", mean=(0.5307,) * 3, std=(0.2583,) * 3,
            interpolation="bicubic", edge=518, backend="transformers BitImageProcessorPil",
        ),
        sites=sites(12, 768, 37, prefix=1, vectors={"pooled": 768}),
        **card,
    )  # fmt: skip


CHECKPOINTS = (
    _tower(
        "rad-dino",
        licence="MIT",
        note="revision resolved at first load; licence MIT since 2025, MSRLA before",
        unverified="licence",
    ),
    _tower("rad-dino-maira-2", licence="MSRLA", unverified="preprocessing"),
)
