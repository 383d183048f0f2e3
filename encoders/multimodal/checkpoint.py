"""Registered checkpoints of multimodal models."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder
from encoders._registry import Checkpoint
from encoders.answering.files import texts
from encoders.multimodal.kind import ModelType
from hub.wanted import Wanted


def checkpoint(card: Card, model_type: ModelType, shipped: Path | None = None) -> Checkpoint:
    """The checkpoint of a multimodal model, as the registry wants it; `shipped` is a folder of the project's own."""

    def read(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        from encoders.multimodal.load import load

        return load(card, model_type, device, weights, offline, shipped)

    def build_untrained(card: Card, device: str) -> Encoder:
        from encoders.multimodal.load import untrained

        return untrained(card, model_type, device)

    def alone() -> Any:
        from encoders.multimodal.model import network

        return network(model_type)

    def whole(card: Card, weights: Path | None, offline: bool) -> Any:
        from encoders.answering.files import sources

        return sources(card, model_type, weights, offline, shipped)

    image, every = sources_of(card.repo, card.revision, model_type) if card.repo is not None else (None, None)
    return Checkpoint(
        card=card,
        load=read,
        untrained=build_untrained,
        network=alone,
        model_type=model_type,
        whole=whole if model_type.answers else None,
        sources=(image,) if image else (),
        sources_whole=(every,) if every else (),
    )


def sources_of(repo: str, revision: str | None, model_type: ModelType) -> tuple[Wanted, Wanted | None]:
    """What is read of a repository: for the image side, and for the whole model where it can be asked."""
    image = Wanted(
        repo=repo, revision=revision, needed=model_type.needed, others=model_type.others, keep=model_type.wanted
    )
    return image, replace(image, keep=None, others=texts(model_type)) if model_type.answers else None
