"""phantom-clip: a small CLIP trained by this project on its own phantom images and captions, shipped with it.

It is loaded exactly as BiomedCLIP is, from a folder in open_clip's on-disk format. Images and weights are
synthetic: it exists so that everything can be tried without a hub, not to say anything about medicine.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Encoder, EncoderError
from encoders._registry import Checkpoint
from encoders.extraction.tower_sites import sites
from encoders.libraries.open_clip.checkpoint import cropped
from encoders.libraries.open_clip.files import CONFIG

FOLDER = Path(__file__).parent / "weights" / "phantom-clip"
ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 128, "patch_size": 16, "layers": 6, "width": 128, "head_width": 32},
}


def _card() -> Card:
    """The card, with what it was trained on, for how long and how well, from the file beside the weights."""
    file = FOLDER / "card.json"
    described = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    note = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in described.items() if key != "parameters")
    return Card(
        name="phantom-clip",
        licence="Apache-2.0",
        parameters=1_313_280,
        bytes=0,  # it is here already
        input=cropped(128),
        sites=sites(6, 128, 8, prefix=1, vectors={"pooled": 128, "joint": 128}),
        text=True,
        synthetic=True,
        any_size=True,
        note=note,
    )


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:  # noqa: ARG001  never asks a hub
    """The shipped weights, or those of the folder `weights` in open_clip's format."""
    folder = weights or FOLDER
    if not (folder / CONFIG).is_file():
        raise EncoderError(
            f"{card.name}: no weights in {folder.name}; they ship with the project, so this copy is incomplete: "
            "clone it again, or pass --weights PATH with a folder in open_clip's format"
        )
    from encoders.libraries.open_clip.load import from_folder

    return from_folder(card, folder, device)


def untrained(card: Card, device: str) -> Encoder:
    """The same image tower under torch's current random state."""
    from encoders.libraries.open_clip.tower import from_config

    file = FOLDER / CONFIG
    encoder = from_config(card, _architecture(), CLIP_NORM, device)
    return replace(encoder, files=(file,) if file.is_file() else ())


def network() -> Any:
    """The image tower under torch's current default device."""
    from encoders.libraries.open_clip.tower import image_tower

    return image_tower(_architecture())


def _architecture() -> dict[str, Any]:
    file = FOLDER / CONFIG
    return json.loads(file.read_text(encoding="utf-8"))["model_cfg"] if file.is_file() else ARCHITECTURE


CHECKPOINTS = (Checkpoint(card=_card(), load=load, untrained=untrained, network=network),)
