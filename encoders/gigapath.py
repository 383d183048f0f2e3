"""Prov-GigaPath: the tile tower, trained without labels on 1.3 billion tiles of slides. Xu et al. 2024, Nature 630.

Its model card resizes the shorter side to 256 before the crop to 224, whatever the configuration beside the weights
says. The encoder of whole slides is another model and not here.
"""

from dataclasses import replace
from typing import Any

from encoders.extraction.tower_sites import sites
from encoders.libraries.timm.checkpoint import IMAGENET, checkpoint

GIANT: dict[str, Any] = {"img_size": 224, "patch_size": 16, "init_values": 1e-5}
CHECKPOINTS = (
    checkpoint(
        "vit_giant_patch14_dinov2", lambda: GIANT, own_input=True, name="gigapath", repo="prov-gigapath/prov-gigapath",
        licence="Apache-2.0", parameters=1_134_953_984, input=replace(IMAGENET, interpolation="bicubic", edge=256),
        sites=sites(40, 1536, 14, prefix=1, vectors={"pooled": 1536}),
        unverified="arguments of the architecture, names and size of the files",
    ),
)  # fmt: skip
