"""H-optimus-0, H-optimus-1 and H0-mini: pathology towers of Bioptimus with four registers, trained without labels.

Saillard et al. 2024; H0-mini is a ViT-B/14 distilled from H-optimus-0 (Filiot et al. 2025, arXiv:2501.16239), with a
gated feed-forward layer that its configuration does not name. Images are normed by a mean and deviation of slides,
whatever the configuration beside the weights says.
"""

from dataclasses import replace
from typing import Any

from encoders.extraction.tower_sites import sites
from encoders.libraries.timm.checkpoint import IMAGENET, checkpoint, gated

GIANT: dict[str, Any] = {"img_size": 224, "init_values": 1e-5, "global_pool": "token", "dynamic_img_size": False}
MINI: dict[str, Any] = {
    "img_size": 224, "init_values": 1e-5, "global_pool": "token", "dynamic_img_size": True, "mlp_ratio": 5.33334,
}  # fmt: skip
SLIDES = replace(
    IMAGENET, interpolation="bicubic", mean=(0.707223, 0.578729, 0.703617), std=(0.211883, 0.230117, 0.177517)
)
UNVERIFIED = "configuration, interpolation, names and size of the files"


def mini() -> dict[str, Any]:
    """The arguments of H0-mini, those that are classes among them."""
    return MINI | gated()


def _giant(name: str, repo: str, licence: str, *, gated: bool) -> Any:
    return checkpoint(
        "vit_giant_patch14_reg4_dinov2", lambda: GIANT, own_input=True, name=name, repo=f"bioptimus/{repo}",
        licence=licence, gated=gated, parameters=1_134_774_272, input=SLIDES,
        sites=sites(40, 1536, 16, prefix=5, vectors={"pooled": 1536}), unverified=UNVERIFIED,
    )  # fmt: skip


CHECKPOINTS = (
    _giant("h-optimus-0", "H-optimus-0", "Apache-2.0", gated=True),
    _giant("h-optimus-1", "H-optimus-1", "CC-BY-NC-ND-4.0", gated=True),
    checkpoint(
        "vit_base_patch14_reg4_dinov2", mini, own_input=True, name="h0-mini", repo="bioptimus/H0-mini",
        licence="CC-BY-NC-ND-4.0", parameters=85_739_520, input=SLIDES,
        sites=sites(12, 768, 16, prefix=5, vectors={"pooled": 768}), unverified=UNVERIFIED,
    ),
)  # fmt: skip
