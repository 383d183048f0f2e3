"""Registered checkpoints of multimodal models: tower and connector, read without the language model."""

from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder
from encoders._registry import Checkpoint
from encoders.multimodal.kind import ModelType


def checkpoint(card: Card, kind: ModelType) -> Checkpoint:
    """The checkpoint of a multimodal model, as the registry wants it."""

    def read(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        from encoders.multimodal.load import load

        return load(card, kind, device, weights, offline)

    def twin(card: Card, device: str) -> Encoder:
        from encoders.multimodal.load import untrained

        return untrained(card, kind, device)

    def alone() -> Any:
        from encoders.multimodal.model import network

        return network(kind)

    return Checkpoint(
        card=card,
        load=read,
        untrained=twin,
        network=alone,
        kind=kind,
    )
