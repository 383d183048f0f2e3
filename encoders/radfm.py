"""RadFM: a model of 2D images and 3D volumes. Wu et al. 2023, arXiv:2308.02463.

Its tower cuts a volume into patches of 32 x 32 pixels and 4 slices; an image is a volume of four equal slices. There is
no norm behind the last block, so there is no `final`. The published test code crops at random: here an image is
resized whole. Volumes are brought to the nearest depth of training (4, 8, ... 64 slices) by nearest neighbour.
"""

from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders._registry import Checkpoint
from encoders._weights import source, weights_file

FILES = ("pytorch_model.bin", "pytorch_model.zip")
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
    note="the whole model's file is read, out of its zip of 50 GB too, which is unpacked into TMPDIR at each load",
    unverified="names of the tensors, and which of a training volume's axes came first in the plane",
)


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The image side from its repository, from the whole model's file, a zip of it, or the folder with either."""
    if weights is not None:
        _require_whole(card.name, weights)
    card, file = weights_file(card, weights, offline, files=FILES)
    from encoders.networks.radfm import load as read

    return read(card, device, file)


def _require_whole(who: str, weights: Path) -> None:
    """Refuse one part of a zip, which no other part is beside."""
    folder, names = (weights, set(FILES)) if weights.is_dir() else (weights.parent, {weights.name})
    part = weights.suffix.startswith(".z") and (weights.suffix != ".zip" or (folder / f"{weights.stem}.z01").exists())
    parts = sorted(path.name for path in folder.glob("*.z01")) if weights.is_dir() else []
    if part or (parts and not any((folder / name).is_file() for name in names)):
        what = weights.name if part else parts[0]
        raise EncoderError(
            f"{who}: --weights {weights}: {what} is a part of a zip: join the parts with `zip -s 0 RadFM.zip --out "
            f"whole.zip` and give whole.zip, or the {FILES[0]} in it"
        )


def network() -> Any:
    """The image side in full size."""
    from encoders.networks.radfm import RadFMVision

    return RadFMVision()


def untrained(card: Card, device: str) -> Encoder:
    """The image side under torch's current random state."""
    from encoders.networks.radfm import encoder

    return encoder(card, network(), device)


CHECKPOINTS = (
    Checkpoint(card=CARD, load=load, untrained=untrained, network=network, sources=source(CARD, FILES, (), ())),
)
