"""CLIP towers inside other models' checkpoints: tensors found, sizes read off, the class the library's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers

from encoders._base import Card, EncoderError
from encoders.libraries.transformers.load import quiet
from hub.errors import missing_tensors, one_line, other_shapes, unexpected_tensors
from hub.tensors import fetch, floats

Naming = Callable[[str], str]
HEAD = 64  # the width of an attention head in every CLIP
COUNTER = "embeddings.position_ids"  # computed, not learnt


def source(
    card: Card, weights: Path | None, offline: bool, keep: Callable[[str], bool]
) -> tuple[Card, Path, dict[str, torch.Tensor]]:
    """The folder of a checkpoint and those of its tensors that `keep` wants, fetched without the others.

    The card comes back with the commit that was read; a folder given as `weights` has none.
    """
    if weights is None:
        assert card.repo is not None
        folder, commit = fetch(card.repo, card.revision, keep, needed=("config.json",), offline=offline)
        return replace(card, revision=commit), folder, floats(folder, keep)
    if not weights.is_dir():
        raise EncoderError(
            f"{card.name}: --weights {weights} is not a folder; give a snapshot of {card.repo}, as "
            f"`hf download {card.repo}` makes it"
        )
    return replace(card, repo=None, revision=None), weights, floats(weights, keep)


def clip(
    state: Mapping[str, torch.Tensor], who: str, where: str, *, last_norm: bool = True, called: Naming = str
) -> Any:
    """The CLIPVisionModel whose tensors `state` holds under the library's names, its sizes read off their shapes.

    Without `last_norm` the checkpoint has none, and the tower's own is taken out. `called(name)` is what the
    checkpoint calls a tensor, for the message about one that is missing.
    """
    for name in ("embeddings.patch_embedding.weight", "embeddings.position_embedding.weight"):
        if name not in state:
            raise missing_tensors(who, [called(name)], where)
    width, _, patch, _ = state["embeddings.patch_embedding.weight"].shape
    side = round((len(state["embeddings.position_embedding.weight"]) - 1) ** 0.5)
    layers = [name for name in state if name.startswith("encoder.layers.")]
    inner = next((len(state[name]) for name in layers if name.endswith("mlp.fc1.bias")), 4 * width)
    config = tower(
        width=width,
        layers=1 + max((int(name.split(".")[2]) for name in layers), default=-1),
        inner=inner,
        patch=patch,
        side=side * patch,
    )
    absent = () if last_norm else ("post_layernorm.weight", "post_layernorm.bias")
    model = read(transformers.CLIPVisionModel, config, state, who, where, absent, called)
    if not last_norm:
        model.post_layernorm = torch.nn.Identity()
    return model


def tower(*, width: int = 1024, layers: int = 24, inner: int = 4096, patch: int = 14, side: int = 336) -> Any:
    """The configuration of a CLIP tower with QuickGELU, as OpenAI trained them; CLIP-L/336 by default."""
    return transformers.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=max(width // HEAD, 1),
        patch_size=patch,
        image_size=side,
        hidden_act="quick_gelu",
    )


def read(
    library: Any,
    config: Any,
    state: Mapping[str, torch.Tensor],
    who: str,
    where: str,
    absent: Sequence[str] = (),
    called: Naming = str,
) -> Any:
    """A model of `library` with the tensors of `state`; EncoderError where one lacks, but `absent`, or is too many."""
    given = {name: value for name, value in state.items() if name != COUNTER}
    with one_line(who, where), quiet():
        model, found = library.from_pretrained(
            None, config=config, state_dict=given, dtype=torch.float32, output_loading_info=True
        )
    missing = sorted(set(found["missing_keys"]) - set(absent))
    if missing:
        raise missing_tensors(who, [called(name) for name in missing], where)
    if found["unexpected_keys"]:
        raise unexpected_tensors(who, sorted(found["unexpected_keys"]), where)
    if other := found.get("mismatched_keys"):
        raise other_shapes(who, sorted(other), where)
    return model
