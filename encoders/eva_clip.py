"""EVA-CLIP: EVA02 towers with rotary positions, trained on 2 B pairs. Sun et al. 2023, arXiv:2303.15389.

The pooled vector is CLS after the last norm and the joint embedding a linear layer behind it; timm's copies of the
same towers pool the mean over patches.
"""

from typing import Any

from encoders._base import Card
from encoders._registry import Checkpoint
from encoders._weights import FLOAT32
from encoders.extraction.tower_sites import sites
from encoders.libraries.open_clip.checkpoint import checkpoint, cropped


def _eva(
    name: str, model: str, tag: str, *, side: int, patch: int, parameters: int, text: int, **shape: int
) -> Checkpoint:
    width, joint = shape["width"], shape["joint"]
    size = FLOAT32 * (parameters + text + 1)  # and the temperature
    card = Card(
        name=name,
        repo=f"timm/{model}.{tag}",
        licence="MIT",
        parameters=parameters,
        bytes=size,
        bytes_whole=size,
        input=cropped(side),
        sites=sites(shape["layers"], width, side // patch, prefix=1, vectors={"pooled": width, "joint": joint}),
        text=True,
        any_size=True,
        note="revision resolved at first load",
        unverified="licence, names and size of the files",
    )
    vision: dict[str, Any] = {"image_size": side, "timm_model_name": model, "timm_model_pretrained": False,
                              "timm_pool": "token", "timm_proj": None}  # fmt: skip
    return checkpoint(card, {"embed_dim": joint, "vision_cfg": vision})


CHECKPOINTS = (
    _eva("eva02-b16", "eva02_base_patch16_clip_224", "merged2b_s8b_b131k", side=224, patch=16,
         width=768, layers=12, joint=512, parameters=86_263_040, text=63_428_096),
    _eva("eva02-l14-336", "eva02_large_patch14_clip_336", "merged2b_s6b_b61k", side=336, patch=14,
         width=1024, layers=24, joint=768, parameters=304_432_832, text=123_650_304),
)  # fmt: skip
