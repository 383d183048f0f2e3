"""Virchow and Virchow2: ViT-H/14 of pathology, trained without labels. Vorontsov et al. 2024; Zimmermann et al. 2024.

Both have a gated feed-forward layer, which their configurations do not name. Virchow2 has four registers between CLS
and the patches. Their cards make an embedding of CLS and the mean of the patches: here these are the readouts `cls` and
`mean` of `final`, and `pooled` is CLS alone.
"""

from dataclasses import replace
from typing import Any

from encoders.extraction.tower_sites import sites
from encoders.libraries.timm.checkpoint import IMAGENET, checkpoint, gated

HUGE: dict[str, Any] = {
    "init_values": 1e-5, "mlp_ratio": 5.3375, "global_pool": "token", "dynamic_img_size": True,
}  # fmt: skip
CUBIC = replace(IMAGENET, interpolation="bicubic")
UNVERIFIED = "names and size of the files"


def first() -> dict[str, Any]:
    """The arguments of Virchow, those that are classes among them."""
    return HUGE | gated()


def second() -> dict[str, Any]:
    """The arguments of Virchow2."""
    return first() | {"reg_tokens": 4}


CHECKPOINTS = (
    checkpoint(
        "vit_huge_patch14_224", first, name="virchow", repo="paige-ai/Virchow", licence="Apache-2.0",
        parameters=631_229_184, input=CUBIC, sites=sites(32, 1280, 16, prefix=1, vectors={"pooled": 1280}),
        unverified=UNVERIFIED,
    ),
    checkpoint(
        "vit_huge_patch14_224", second, name="virchow2", repo="paige-ai/Virchow2", licence="CC-BY-NC-ND-4.0",
        parameters=631_239_424, input=CUBIC, sites=sites(32, 1280, 16, prefix=5, vectors={"pooled": 1280}),
        unverified=UNVERIFIED,
    ),
)  # fmt: skip
