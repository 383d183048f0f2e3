"""Med-Flamingo: OpenFlamingo trained on further medical text and figures. Moor et al. 2023, arXiv:2307.15189.

Its tower is OpenAI's CLIP ViT-L/14, never trained on, in a repository of its own; the checkpoint holds the perceiver
that makes 64 tokens of an image. The perceiver reads the last block before the tower's norm, as the library did with
which it was trained; newer versions of that library hand on normed tokens.
"""

from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Encoder, Input, Site
from encoders._registry import Checkpoint
from encoders.extraction.tower_sites import sites
from encoders.networks.files import FLAMINGO, FLAMINGO_TOWER, stock_tower
from hub.wanted import Wanted

CARD = Card(
    name="med-flamingo",
    repo="med-flamingo/med-flamingo",
    licence="LLaMA-1 terms",
    parameters=366_198_784,
    bytes=6_450_000_000,
    bytes_whole=6_950_000_000,
    input=Input(
        size=(224, 224),
        resize="shortest",
        crop="center",
        interpolation="bicubic",
        backend="pillow",
        edge=224,
        **CLIP_NORM,
    ),
    sites=sites(24, 1024, 16, prefix=1, vectors={"pooled": 1024}) | {"connector": Site(width=1024, queries=64)},
    note="its tower comes from openai/clip-vit-large-patch14; bytes are to 1 %",
    unverified="the names in model.pt, and its licence",
)


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The image side from its two repositories, or one folder with both."""
    from encoders.networks.med_flamingo import load as read

    return read(card, device, weights, offline)


def network() -> Any:
    """The image side in full size."""
    from encoders.networks.med_flamingo import network as build

    return build()


def untrained(card: Card, device: str) -> Encoder:
    """The image side under torch's current random state."""
    from encoders.networks.med_flamingo import encoder

    return encoder(card, network(), device)


SOURCES = (
    Wanted(repo=FLAMINGO_TOWER, needed=("config.json",), keep=stock_tower),
    Wanted(repo="med-flamingo/med-flamingo", weights=(FLAMINGO,)),
)
CHECKPOINTS = (Checkpoint(card=CARD, load=load, untrained=untrained, network=network, sources=SOURCES),)
