"""MedVInT-TD and MedVInT-TE: PMC-CLIP's ResNet over images of 512 pixels. Zhang et al. 2023, arXiv:2305.10415.

TD drops the tower's last stage; 32 learnt queries read the third through 12 decoder layers, and two linear layers hand
them to a language model. TE reads the last stage by 32 queries of its own, and its language model sees the question
alone: the queries' answers are laid behind it for one more transformer, and are the site `connector`. TE's repository
also holds the PMC-CLIP checkpoint from which it was trained: that tower is `medvint-te-pmc-clip`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import IMAGENET_NORM, Card, Encoder, Input, Site
from encoders._registry import Checkpoint
from encoders._weights import source
from encoders.networks.files import MEDVINT_START, MEDVINT_TD, MEDVINT_TE

STAGES = {f"stage.{i}": Site(width=128 * 2**i, grid=(256 // 2**i, 256 // 2**i)) for i in (1, 2, 3, 4)}
TD = Card(
    name="medvint-td",
    repo="xmcmic/MedVInT-TD",
    licence="Apache-2.0",
    parameters=139_871_072,
    input=Input(
        size=(512, 512),
        resize="squash",
        crop=None,
        interpolation="bicubic",
        backend="pillow",
        **IMAGENET_NORM,
    ),
    sites={name: STAGES[name] for name in ("stage.1", "stage.2", "stage.3")}
    | {"connector": Site(width=4096, queries=32)},
    note="of the run with PMC-CLIP and PMC-LLaMA; one file of torch that holds a language model of 7 B too, and is "
    "fetched whole",
    unverified="the checkpoint's names",
)
TE = replace(
    TD,
    name="medvint-te",
    repo="xmcmic/MedVInT-TE",
    parameters=96_053_344,
    sites=STAGES | {"pooled": Site(width=2048), "connector": Site(width=768, queries=32)},
    note="of the run with PMC-CLIP; one file of torch of 27 GB that holds a language model too, and is fetched whole",
    unverified="the checkpoint's names",
)
START = replace(
    TE,
    name="medvint-te-pmc-clip",
    parameters=23_527_264,
    bytes=2_392_108_473,
    bytes_whole=2_392_108_473,
    sites=STAGES | {"pooled": Site(width=2048)},
    note="the tower from which MedVInT-TE was trained, as it was before",
    unverified="whether the licence is that of PMC-CLIP's weights too",
)


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """TD's image side from the file of its whole model, in its repository or in `weights`."""
    from encoders.networks.medvint import load_td

    return load_td(card, device, weights, offline)


def load_reader(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """TE's image side from its repository, or from `weights`."""
    from encoders.networks.medvint import load_te

    return load_te(card, device, weights, offline)


def load_start(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The ResNet from which TE was trained, from its repository, or from `weights`."""
    from encoders.networks.medvint import load_start as read

    return read(card, device, weights, offline)


def network() -> Any:
    """TD's image side in full size."""
    from encoders.networks.medvint import Decoder

    return Decoder()


def reader() -> Any:
    """TE's image side in full size."""
    from encoders.networks.medvint import Reader

    return Reader()


def trunk() -> Any:
    """The tower before TE in full size."""
    from encoders.networks.medvint import trunk as build

    return build()


def untrained(card: Card, device: str) -> Encoder:
    """TD's network under torch's current random state."""
    from encoders.networks.medvint import td_encoder

    return td_encoder(card, network(), device)


def untrained_te(card: Card, device: str) -> Encoder:
    """TE's network, or its tower alone, under torch's current random state."""
    from encoders.networks.medvint import te_encoder

    return te_encoder(card, reader() if "connector" in card.sites else trunk(), device)


CHECKPOINTS = (
    Checkpoint(card=TD, load=load, untrained=untrained, network=network, sources=source(TD, (MEDVINT_TD,), (), ())),
    Checkpoint(
        card=TE, load=load_reader, untrained=untrained_te, network=reader, sources=source(TE, (MEDVINT_TE,), (), ())
    ),
    Checkpoint(
        card=START, load=load_start, untrained=untrained_te, network=trunk,
        sources=source(START, (MEDVINT_START,), (), ()),
    ),
)  # fmt: skip
