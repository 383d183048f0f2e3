"""SigLIP and SigLIP 2 at one resolution: two towers trained with a pairwise sigmoid loss.

The pooled vector is the attention head's answer and the joint embedding at once; there is no class token. The
text towers were trained on 64 tokens, padded, and read the padding. Zhai et al. 2023, arXiv:2303.15343;
Tschannen et al. 2025, arXiv:2502.14786 (`siglip2-`: many languages, lower case, Gemma's 256 000 tokens).
"""

from encoders._base import HALF_NORM, Input
from encoders._registry import Checkpoint
from encoders.extraction.tower_sites import sites
from encoders.libraries.transformers.checkpoint import checkpoint

SHAPES = {
    "base": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "so400m": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16},
}


def _siglip(
    name: str, repo: str, shape: str, *, patch: int, size: int, counts: tuple[int, int], interpolation: str
) -> Checkpoint:
    parameters, whole = counts
    config = SHAPES[shape]
    width = config["hidden_size"]
    return checkpoint(
        "SiglipVisionModel",
        config | {"patch_size": patch, "image_size": size},
        whole=whole,
        name=name,
        repo=f"google/{repo}",
        licence="Apache-2.0",
        parameters=parameters,
        input=Input(size=(size, size), resize="squash", crop=None, interpolation=interpolation,
                    backend="transformers SiglipImageProcessorPil", **HALF_NORM),
        sites=sites(config["num_hidden_layers"], width, size // patch, prefix=0,
                    vectors={"pooled": width, "joint": width}),
        text=True,
        note="revision resolved at first load; the pooled vector is the joint embedding",
        unverified="licence, interpolation, tokenizer, size of the file",
    )  # fmt: skip


CHECKPOINTS = (
    _siglip("siglip-b16", "siglip-base-patch16-224", "base", patch=16, size=224,
            counts=(92_884_224, 203_155_970), interpolation="bicubic"),
    _siglip("siglip-so400m", "siglip-so400m-patch14-384", "so400m", patch=14, size=384,
            counts=(428_225_600, 877_960_498), interpolation="bicubic"),
    _siglip("siglip2-b16", "siglip2-base-patch16-224", "base", patch=16, size=224,
            counts=(92_884_224, 375_187_970), interpolation="bilinear"),
    _siglip("siglip2-so400m", "siglip2-so400m-patch14-384", "so400m", patch=14, size=384,
            counts=(428_225_600, 1_136_008_498), interpolation="bilinear"),
)  # fmt: skip
