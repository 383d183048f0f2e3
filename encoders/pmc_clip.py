"""PMC-CLIP: a ResNet-50 and a PubMed BERT trained on 1.6 M figures and captions. Lin et al. 2023, arXiv:2303.07240.

The number of heads of its attention pool is not in the checkpoint. The training code builds 32; the notebook that
the authors published, copied by many, builds 8. Both load every tensor and give different joint embeddings, so both
are here by name. The stages and their mean are the same in both.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Encoder, Input, Site
from encoders._registry import Checkpoint
from encoders.networks.files import BERT_FILES, PMC_CLIP, PMC_TOKENIZER, VOCABULARY
from hub.wanted import Wanted

CARD = Card(
    name="pmc-clip",
    repo="axiong/pmc_oa",
    licence="unclear",
    parameters=37_792_352,
    bytes=2_392_108_473,
    bytes_whole=2_392_108_473,
    input=Input(
        size=(224, 224),
        resize="shortest",
        crop="center",
        interpolation="bicubic",
        backend="pillow",
        edge=224,
        **CLIP_NORM,
    ),
    sites={f"stage.{i}": Site(width=128 * 2**i, grid=(112 // 2**i, 112 // 2**i)) for i in (1, 2, 3, 4)}
    | {"pooled": Site(width=2048), "joint": Site(width=768)},
    text=True,
    note="32 heads in the attention pool, as the training code builds it; a dataset repository on the hub",
    unverified="the number of heads, and that the three separate files hold the same weights",
)


def _checkpoint(card: Card, heads: int, fixed: int | None) -> Checkpoint:
    def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        from encoders.networks.pmc_clip import load as read

        return read(card, fixed, device, weights, offline)

    def untrained(card: Card, device: str) -> Encoder:
        from encoders.networks.pmc_clip import untrained as build

        return build(card, heads, device)

    def network() -> Any:
        from encoders.networks.modified_resnet import network as build

        return build(heads=heads)

    assert card.repo is not None
    read = (
        Wanted(repo=card.repo, kind="dataset", weights=(PMC_CLIP,)),
        Wanted(repo=PMC_TOKENIZER, weights=VOCABULARY, others=BERT_FILES),
    )
    return Checkpoint(card=card, load=load, untrained=untrained, network=network, sources=read)


CHECKPOINTS = (
    _checkpoint(CARD, 32, None),
    _checkpoint(
        replace(CARD, name="pmc-clip-8h", note="8 heads in the attention pool, as the authors' notebook builds it"),
        8,
        8,
    ),
)
