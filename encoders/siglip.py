"""SigLIP ViT-B/16: image and text towers trained with a pairwise sigmoid loss. Zhai et al. 2023, arXiv:2303.15343."""

from encoders._base import Card, Input
from encoders._pinned import load, sites, untrained
from encoders._registry import Checkpoint

CHECKPOINTS = (
    Checkpoint(
        card=Card(
            name="siglip-b16",
            repo="google/siglip-base-patch16-224",
            licence="Apache-2.0",
            parameters=203_155_970,
            input=Input(
                size=(224, 224),
                resize="squash",
                crop=None,
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                interpolation="bicubic",
                backend="transformers SiglipImageProcessorPil",
            ),
            sites=sites(12, 768, 14, prefix=0, vectors={"pooled": 768, "joint": 768}),
            text=True,
            note="revision resolved at first load; the pooled vector is the joint embedding",
        ),
        load=load,
        untrained=untrained(
            lambda library: library.SiglipVisionModel(library.SiglipVisionConfig(image_size=224)),
            lambda library: library.SiglipImageProcessorPil(size={"height": 224, "width": 224}),
        ),
    ),
)
