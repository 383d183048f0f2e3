"""RadFM: a model of 2D images and 3D volumes. Wu et al. 2023, arXiv:2308.02463.

Its tower cuts a volume into patches of 32 x 32 pixels and 4 slices; an image is a volume of four equal slices. There is
no norm behind the last block, so there is no `final`. The published test code crops at random: here an image is
resized whole. Volumes are brought to the nearest depth of training (4, 8, ... 64 slices) by nearest neighbour.
"""

from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders._registry import Checkpoint

FILE = "pytorch_model.bin"
CARD = Card(
    name="radfm",
    repo="chaoyi-wu/RadFM",
    licence="none stated",
    parameters=107_947_776,
    input=Input(
        size=(512, 512),
        resize="squash",
        crop=None,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        interpolation="bicubic",
        backend="pillow",
    ),
    sites={f"block.{i}": Site(width=768, grid=(1, 16, 16)) for i in range(12)}
    | {"perceiver": Site(width=768, queries=32), "connector": Site(width=5120, queries=32)},
    volumes=True,
    note="its weights are parts of a zip on the hub and are given with --weights",
    unverified="the checkpoint's names, and which of a training volume's axes came first in the plane",
)


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The image side from the unzipped file, or the folder that holds it."""
    del offline  # nothing is fetched
    how = (
        f"`hf download {CARD.repo}`, join the parts with `zip -s 0 RadFM.zip --out whole.zip`, `unzip whole.zip`, "
        f"and give the {FILE} in it with --weights PATH"
    )
    if weights is None:
        raise EncoderError(f"{card.name}: its weights are a zip in parts, which is not unpacked here: {how}")
    file = weights / FILE if weights.is_dir() else weights
    if not file.is_file():
        raise EncoderError(f"{card.name}: --weights {weights} has no {FILE}: {how}")
    if file.suffix in (".zip", ".z01"):
        raise EncoderError(f"{card.name}: --weights {weights} is a part of a zip: {how}")
    from dataclasses import replace

    from encoders.networks.radfm import load as read

    return read(replace(card, repo=None, revision=None), device, file)


def network() -> Any:
    """The image side in full size."""
    from encoders.networks.radfm import RadFMVision

    return RadFMVision()


def untrained(card: Card, device: str) -> Encoder:
    """The image side under torch's current random state."""
    from encoders.networks.radfm import encoder

    return encoder(card, network(), device)


CHECKPOINTS = (Checkpoint(card=CARD, load=load, untrained=untrained, network=network),)
