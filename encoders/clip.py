"""CLIP ViT-B/16 and ViT-L/14 as OpenAI released them: image and text towers trained on 400 M pairs.

Read through transformers, because these repositories hold its format: the commit can be pinned, and the
configuration beside the weights sets the activation (QuickGELU) and the preprocessing, which a bare weight
file does not. Radford et al. 2021, arXiv:2103.00020.
"""

from typing import Any

from encoders._base import Card, Input
from encoders._pinned import load, sites, untrained
from encoders._registry import Checkpoint

INPUT = Input(
    size=(224, 224),
    resize="shortest",
    crop="center",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    interpolation="bicubic",
    backend="transformers CLIPImageProcessorPil",
    edge=224,
)


def _card(name: str, repo: str, millions: float, **shape: Any) -> Card:
    return Card(
        name=name,
        repo=repo,
        licence="MIT",
        parameters=round(millions * 1e6),
        input=INPUT,
        sites=sites(prefix=1, **shape),
        text=True,
        note="revision resolved at first load",
    )


def _vision(width: int, layers: int, patch: int, joint: int) -> Any:
    def build(library: Any) -> Any:
        config = library.CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            patch_size=patch,
            image_size=224,
            projection_dim=joint,
        )
        return library.CLIPVisionModelWithProjection(config)

    return untrained(build, lambda library: library.CLIPImageProcessorPil())


CHECKPOINTS = (
    Checkpoint(
        card=_card(
            "clip-b16", "openai/clip-vit-base-patch16", 149.6,
            layers=12, width=768, side=14, vectors={"pooled": 768, "joint": 512},
        ),
        load=load,
        untrained=_vision(768, 12, 16, 512),
    ),
    Checkpoint(
        card=_card(
            "clip-l14", "openai/clip-vit-large-patch14", 427.6,
            layers=24, width=1024, side=16, vectors={"pooled": 1024, "joint": 768},
        ),
        load=load,
        untrained=_vision(1024, 24, 14, 768),
    ),
)  # fmt: skip
