"""Registered encoders of the transformers library: a pinned snapshot, or a folder in its place."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, EncoderError, Site
from encoders._hub import snapshot

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
NEEDED = ("config.json", "preprocessor_config.json")
OTHERS = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "spiece.model")


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The encoder from its repository at its commit, or from the folder `weights`."""
    card, folder = fetch(card, weights, offline)
    from encoders._transformers import load as build

    return build(card, folder, device)


def fetch(card: Card, weights: Path | None, offline: bool) -> tuple[Card, Path]:
    """The folder to load and the card with the commit it holds; a local folder has no commit."""
    if weights is None:
        assert card.repo is not None
        folder, commit = snapshot(
            card.repo, card.revision, weights=WEIGHTS, needed=NEEDED, others=OTHERS, offline=offline
        )
        return replace(card, revision=commit), folder
    if not weights.is_dir():
        raise EncoderError(
            f"{card.name}: --weights {weights} is not a folder; give one with {', '.join(NEEDED)} "
            f"and {' or '.join(WEIGHTS)}, as `hf download {card.repo}` makes it"
        )
    for name in NEEDED:
        if not (weights / name).exists():
            raise EncoderError(f"{card.name}: --weights {weights} has no {name}")
    if not any((weights / name).exists() for name in WEIGHTS):
        raise EncoderError(f"{card.name}: --weights {weights} has none of {', '.join(WEIGHTS)}")
    return replace(card, repo=None, revision=None), weights


def untrained(build: Callable[[Any], Any], processor: Callable[[Any], Any]) -> Callable[[Card, str], Encoder]:
    """The untrained twin: `build(transformers)` makes the model, `processor(transformers)` its input."""

    def make(card: Card, device: str) -> Encoder:
        import transformers

        from encoders._transformers import encoder

        return encoder(card, build(transformers), processor(transformers), device)

    return make


def sites(layers: int, width: int, side: int, *, prefix: int, vectors: dict[str, int]) -> dict[str, Site]:
    """The sites of a square transformer tower, as they are once it is loaded."""
    tokens = Site(width=width, grid=(side, side), prefix=prefix, cls=prefix > 0)
    named = {f"block.{i}": tokens for i in range(layers)} | {"final": tokens}
    return named | {name: Site(width=width) for name, width in vectors.items()}
