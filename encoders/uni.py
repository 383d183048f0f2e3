"""UNI and UNI2-h: towers of pathology, trained without labels on tiles of slides. Chen et al. 2024, arXiv:2308.15474.

Both need arguments beside the architecture that their repository names: layer scale, and for UNI2-h a gated
feed-forward layer and eight registers, which stand between CLS and the patches.
"""

from typing import Any

from encoders.extraction.tower_sites import sites
from encoders.libraries.timm.checkpoint import IMAGENET, checkpoint, gated

LARGE: dict[str, Any] = {"init_values": 1e-5, "dynamic_img_size": True}
HUGE: dict[str, Any] = {
    "img_size": 224, "patch_size": 14, "depth": 24, "num_heads": 24, "embed_dim": 1536, "mlp_ratio": 2.66667 * 2,
    "init_values": 1e-5, "no_embed_class": True, "reg_tokens": 8, "dynamic_img_size": True,
}  # fmt: skip


def huge() -> dict[str, Any]:
    """The arguments of UNI2-h, those that are classes among them."""
    return HUGE | gated()


CHECKPOINTS = (
    checkpoint(
        "vit_large_patch16_224", lambda: LARGE, name="uni", repo="MahmoodLab/UNI", licence="CC-BY-NC-ND-4.0",
        parameters=303_350_784, input=IMAGENET, sites=sites(24, 1024, 14, prefix=1, vectors={"pooled": 1024}),
        unverified="interpolation, names and size of the files",
    ),
    checkpoint(
        "vit_giant_patch14_224", huge, name="uni2-h", repo="MahmoodLab/UNI2-h", licence="CC-BY-NC-ND-4.0",
        parameters=681_394_176, input=IMAGENET, sites=sites(24, 1536, 16, prefix=9, vectors={"pooled": 1536}),
        unverified="interpolation, names and size of the files",
    ),
)  # fmt: skip
