"""MedCLIP: chest films and reports, matched by their findings. Wang et al. 2022, arXiv:2210.10163.

A film is made grey, padded with black to a square of at least 224 pixels and resized, as the authors' processor does;
the training code resizes without the bicubic filter. Grids are those of the padded square.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders._registry import Checkpoint

URL = "https://storage.googleapis.com/pytrial/"
FILE = "pytorch_model.bin"
ZIPS = {"medclip-vit": "medclip-vit-pretrained.zip", "medclip-rn50": "medclip-pretrained.zip"}
SIDES = {i: (112 // 2**i, 112 // 2**i) for i in (1, 2, 3, 4)}
VIT = Card(
    name="medclip-vit",
    licence="none stated",
    parameters=27_912_570,
    input=Input(
        size=(224, 224),
        resize="pad",
        crop=None,
        mean=(0.5862785803043838,) * 3,
        std=(0.27950088968644304,) * 3,
        interpolation="bicubic",
        backend="pillow",
    ),
    sites={f"stage.{i}": Site(width=48 * 2**i, grid=SIDES[i]) for i in SIDES}
    | {"final": Site(width=768, grid=(7, 7)), "pooled": Site(width=768), "joint": Site(width=512)},
    text=True,
    note=f"weights are a zip at {URL}{ZIPS['medclip-vit']}, given with --weights",
    unverified="the checkpoint's names",
)
RESNET = replace(
    VIT,
    name="medclip-rn50",
    parameters=24_556_608,
    sites={f"stage.{i}": Site(width=128 * 2**i, grid=SIDES[i]) for i in SIDES}
    | {"pooled": Site(width=2048), "joint": Site(width=512)},
    note=f"weights are a zip at {URL}{ZIPS['medclip-rn50']}, given with --weights",
)


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """MedCLIP from its zip, the folder that it unpacks to, or the weight file in it."""
    how = f"fetch {URL}{ZIPS[card.name]} and give the zip, or the {FILE} in it, with --weights PATH"
    if weights is None:
        raise EncoderError(f"{card.name}: its weights lie in no repository that can be pinned: {how}")
    file = weights / FILE if weights.is_dir() else weights
    if not file.is_file():
        raise EncoderError(f"{card.name}: --weights {weights} has no {FILE}: {how}")
    from encoders.networks.medclip import load as read

    return read(card, device, file, offline)


def _swin() -> Any:
    from encoders.networks.medclip import swin

    return swin()


def _resnet() -> Any:
    from encoders.networks.medclip import resnet

    return resnet()


def untrained(card: Card, device: str) -> Encoder:
    """The image tower under torch's current random state."""
    from encoders.networks.medclip import untrained as build

    return build(card, _resnet() if "rn50" in card.name else _swin(), device)


CHECKPOINTS = (
    Checkpoint(card=VIT, load=load, untrained=untrained, network=_swin),
    Checkpoint(card=RESNET, load=load, untrained=untrained, network=_resnet),
)
