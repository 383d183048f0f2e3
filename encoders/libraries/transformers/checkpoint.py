"""Registered checkpoints of the transformers library, each the class of its image side and the class's settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder
from encoders._registry import Checkpoint
from encoders._weights import FLOAT32, source, weights_folder


def checkpoint(model: str, config: Mapping[str, Any], *, whole: int, **card: Any) -> Checkpoint:
    """A checkpoint of transformers: `model` names the class of its image side, `config` the class's settings.

    `whole` is the parameter count of the checkpoint, stored as float32 in one file that is fetched as it is.
    The untrained encoder is preprocessed as the card's input says.
    """
    size = FLOAT32 * whole
    card = {"bytes": size, "bytes_whole": size, "note": "revision resolved at first load", "any_size": True} | card

    def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        card, folder = weights_folder(card, weights, offline)
        from encoders.libraries.transformers.load import load as build

        return build(card, folder, device, model)

    def network() -> Any:
        import transformers

        family = getattr(transformers, model)
        return family(family.config_class(**config))

    def untrained(card: Card, device: str) -> Encoder:
        from encoders.libraries.transformers.images import processor
        from encoders.libraries.transformers.load import encoder

        assert card.input is not None
        return encoder(card, network(), processor(card.input), device)

    made = Card(**card)
    both = whole if made.text else None
    return Checkpoint(
        card=made, load=load, untrained=untrained, network=network, both_towers=both, sources=source(made)
    )
