"""Registered encoders in timm's format: a configuration that names the architecture, and the weights beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from encoders._base import IMAGENET_NORM, Card, Encoder, Input
from encoders._registry import Checkpoint
from encoders._weights import FLOAT32, source, weights_folder

NEEDED = ("config.json",)
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
IMAGENET = Input(
    size=(224, 224), resize="shortest", crop="center", interpolation="bilinear", edge=224, backend="timm",
    **IMAGENET_NORM,
)  # fmt: skip


def gated() -> dict[str, Any]:
    """The arguments of a gated feed-forward layer, which are classes and no configuration names."""
    import torch
    from timm.layers.mlp import SwiGLUPacked

    return {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU}


def checkpoint(
    model: str, arguments: Callable[[], Mapping[str, Any]], *, own_input: bool = False, **card: Any
) -> Checkpoint:
    """A gated checkpoint of timm: `model` with `arguments()`, which also go to the architecture beside the weights.

    Images are prepared as the configuration beside the weights says, or with `own_input` as the card does.
    """
    size = FLOAT32 * card["parameters"]
    card = {
        "gated": True,
        "bytes": size,
        "bytes_whole": size,
        "note": "revision resolved at first load",
        "any_size": True,
    } | card

    def network() -> Any:
        import timm

        return timm.create_model(model, num_classes=0, **arguments())

    def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
        card, folder = weights_folder(card, weights, offline, files=WEIGHTS, needed=NEEDED, others=())
        from encoders.libraries.timm.load import from_folder

        return from_folder(card, folder, device, arguments(), card.input if own_input else None)

    def untrained(card: Card, device: str) -> Encoder:
        from encoders.libraries.timm.load import encoder

        return encoder(card, network(), device, (), card.input)

    made = Card(**card)
    return Checkpoint(
        card=made, load=load, untrained=untrained, network=network, sources=source(made, WEIGHTS, NEEDED, ())
    )
