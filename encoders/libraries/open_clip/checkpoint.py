"""Registered checkpoints in open_clip's format, and the input that most of them have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Encoder, Input
from encoders._registry import Checkpoint
from encoders._weights import FLOAT32, source, weights_folder
from encoders.libraries.open_clip.files import NEEDED, TOKENIZER, WEIGHTS


def checkpoint(card: Card, config: Mapping[str, Any]) -> Checkpoint:
    """A checkpoint in open_clip's format; `config` holds the `embed_dim` and `vision_cfg` of its image side."""

    def network() -> Any:
        from encoders.libraries.open_clip.tower import image_tower

        return image_tower(config)

    def untrained(card: Card, device: str) -> Encoder:
        from encoders.libraries.open_clip.tower import from_config

        assert card.input is not None
        return from_config(card, config, {"mean": card.input.mean, "std": card.input.std}, device)

    both = None if card.bytes_whole is None else card.bytes_whole // FLOAT32
    read = source(card, WEIGHTS, NEEDED, TOKENIZER) if card.repo else ()
    return Checkpoint(card=card, load=load, untrained=untrained, network=network, both_towers=both, sources=read)


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The encoder from its repository at its commit, or from the folder `weights` in open_clip's format."""
    card, folder = weights_folder(card, weights, offline, files=WEIGHTS, needed=NEEDED, others=TOKENIZER)
    from encoders.libraries.open_clip.load import from_folder

    return from_folder(card, folder, device)


def cropped(side: int) -> Input:
    """open_clip's usual input: the shorter side to `side`, the centre, and CLIP's mean and deviation."""
    return Input(
        size=(side, side), resize="shortest", crop="center", interpolation="bicubic", backend="open_clip", **CLIP_NORM
    )
