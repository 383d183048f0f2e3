"""CLIP ViT-B/16, B/32, L/14 and L/14 at 336 pixels as OpenAI released them: two towers trained on 400 M pairs.

Read through transformers, because these repositories hold its format: the commit can be pinned, and the
configuration beside the weights sets the activation (QuickGELU) and the preprocessing, which a bare weight
file does not. Radford et al. 2021, arXiv:2103.00020. Of the same architecture, trained further: `pubmed-clip` on
radiology (Eslami et al. 2023), `plip` on pathology (Huang et al. 2023) and `monet` on dermatology (Kim et al. 2024),
whose authors norm its images as those of ImageNet.
"""

from collections.abc import Mapping
from typing import Any

from encoders._base import CLIP_NORM, IMAGENET_NORM, Input
from encoders._registry import Checkpoint
from encoders.extraction.tower_sites import sites
from encoders.libraries.transformers.checkpoint import checkpoint


def _clip(
    name: str,
    repo: str,
    *,
    width: int,
    layers: int,
    patch: int,
    size: int,
    joint: int,
    counts: tuple[int, int],
    norm: Mapping[str, Any] = CLIP_NORM,
    **more: Any,
) -> Checkpoint:
    parameters, whole = counts
    return checkpoint(
        "CLIPVisionModelWithProjection",
        {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
         "num_attention_heads": width // 64, "patch_size": patch, "image_size": size, "projection_dim": joint},
        whole=whole,
        name=name,
        repo=repo if "/" in repo else f"openai/clip-vit-{repo}",
        parameters=parameters,
        input=Input(size=(size, size), resize="shortest", crop="center", interpolation="bicubic", edge=size,
                    backend="transformers CLIPImageProcessorPil", **norm),
        sites=sites(layers, width, size // patch, prefix=1, vectors={"pooled": width, "joint": joint}),
        text=True,
        **{"licence": "MIT", "unverified": "licence of the weights, size of the file"} | more,
    )  # fmt: skip


OTHERS = "configuration, preprocessing, size of the file"
BASE: dict[str, Any] = {"width": 768, "layers": 12, "joint": 512}
LARGE: dict[str, Any] = {"width": 1024, "layers": 24, "joint": 768, "patch": 14}
CHECKPOINTS = (
    _clip("clip-b16", "base-patch16", **BASE, patch=16, size=224, counts=(86_192_640, 149_620_737)),
    _clip("clip-b32", "base-patch32", **BASE, patch=32, size=224, counts=(87_849_216, 151_277_313)),
    _clip("clip-l14", "large-patch14", **LARGE, size=224, counts=(303_966_208, 427_616_513)),
    _clip("clip-l14-336", "large-patch14-336", **LARGE, size=336, counts=(304_293_888, 427_944_193)),
    _clip("pubmed-clip", "flaviagiammarino/pubmed-clip-vit-base-patch32", **BASE, patch=32, size=224,
          counts=(87_849_216, 151_277_313), unverified=OTHERS),
    _clip("plip", "vinid/plip", **BASE, patch=32, size=224, counts=(87_849_216, 151_277_313),
          licence="none stated", unverified="licence, configuration, preprocessing"),
    _clip("monet", "suinleelab/monet", **LARGE, size=224, counts=(303_966_208, 427_616_513),
          norm=IMAGENET_NORM, licence="none stated", unverified="licence, configuration, normalisation"),
)  # fmt: skip
