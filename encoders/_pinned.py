"""Registered encoders: a pinned snapshot, or a folder in its place, and the network they hold in full size."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders._base import Card, Encoder, EncoderError, Site
from encoders._hub import snapshot
from encoders._registry import Checkpoint

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
NEEDED = ("config.json", "preprocessor_config.json")
OTHERS = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "spiece.model")
FLOAT32 = 4  # bytes


def checkpoint(model: str, config: Mapping[str, Any], *, whole: int, **card: Any) -> Checkpoint:
    """A checkpoint of transformers: `model` names the class of its image side, `config` the class's settings.

    `whole` is the parameter count of the checkpoint, stored as float32 in one file that is fetched as it is.
    The untrained twin is preprocessed as the card's input says.
    """
    size = FLOAT32 * whole
    card = {"bytes": size, "bytes_whole": size, "note": "revision resolved at first load"} | card

    def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        card, folder = fetch(card, weights, offline)
        from encoders._transformers import load as build

        return build(card, folder, device, model)

    def network() -> Any:
        import transformers

        family = getattr(transformers, model)
        return family(family.config_class(**config))

    def untrained(card: Card, device: str) -> Encoder:
        from encoders._transformers import encoder
        from encoders._transformers_images import processor

        assert card.input is not None
        return encoder(card, network(), processor(card.input), device)

    return Checkpoint(card=Card(**card), load=load, untrained=untrained, network=network)


def fetch(
    card: Card,
    weights: Path | None,
    offline: bool,
    *,
    files: Sequence[str] = WEIGHTS,
    needed: Sequence[str] = NEEDED,
    others: Sequence[str] = OTHERS,
) -> tuple[Card, Path]:
    """The folder to load and the card with the commit it holds; a local folder has no commit.

    The first of `files` that is there holds the weights, beside the files `needed` and what matches `others`.
    """
    assert card.repo is not None
    wanted = ", ".join([*needed, " or ".join(files)])
    if weights is None:
        folder, commit = snapshot(
            card.repo, card.revision, weights=files, needed=needed, others=others, offline=offline
        )
        return replace(card, revision=commit), folder
    if not weights.is_dir():
        raise EncoderError(
            f"{card.name}: --weights {weights} is not a folder; give one with {wanted}, "
            f"as `hf download {card.repo}` makes it"
        )
    for name in needed:
        if not (weights / name).exists():
            raise EncoderError(f"{card.name}: --weights {weights} has no {name}")
    if not any((weights / name).exists() for name in files):
        raise EncoderError(f"{card.name}: --weights {weights} has none of {', '.join(files)}")
    return replace(card, repo=None, revision=None), weights


def fetch_file(card: Card, weights: Path | None, offline: bool, *, files: Sequence[str]) -> tuple[Card, Path]:
    """The one weight file of a checkpoint that needs nothing beside it, and the card with its commit.

    `weights` may be the file itself, or the folder where one of `files` lies.
    """
    if weights is not None and weights.is_file():
        return replace(card, repo=None, revision=None), weights
    card, folder = fetch(card, weights, offline, files=files, needed=(), others=())
    return card, next(folder / name for name in files if (folder / name).exists())


def sites(layers: int, width: int, side: int, *, prefix: int, vectors: dict[str, int]) -> dict[str, Site]:
    """The sites of a square transformer tower, as they are once it is loaded."""
    tokens = Site(width=width, grid=(side, side), prefix=prefix, cls=prefix > 0)
    named = {f"block.{i}": tokens for i in range(layers)} | {"final": tokens}
    return named | {name: Site(width=width) for name, width in vectors.items()}
