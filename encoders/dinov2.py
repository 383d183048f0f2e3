"""DINOv2 ViT-B/14: an image tower trained without any labels or text. Oquab et al. 2023, arXiv:2304.07193."""

from encoders._base import Card, Input
from encoders._pinned import load, sites, untrained
from encoders._registry import Checkpoint

CHECKPOINTS = (
    Checkpoint(
        card=Card(
            name="dinov2-b14",
            repo="facebook/dinov2-base",
            licence="Apache-2.0",
            parameters=86_580_480,
            input=Input(
                size=(224, 224),
                resize="shortest",
                crop="center",
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                interpolation="bicubic",
                backend="transformers BitImageProcessorPil",
                edge=256,
            ),
            sites=sites(12, 768, 16, prefix=1, vectors={"pooled": 768}),
            note="revision resolved at first load",
        ),
        load=load,
        untrained=untrained(
            lambda library: library.Dinov2Model(library.Dinov2Config(image_size=518, patch_size=14)),
            lambda library: library.BitImageProcessorPil(
                size={"shortest_edge": 256},
                crop_size={"height": 224, "width": 224},
                image_mean=[0.485, 0.456, 0.406],
                image_std=[0.229, 0.224, 0.225],
            ),
        ),
    ),
)
