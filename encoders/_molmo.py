"""Molmo's eye: overlapping crops through a CLIP tower of 23 blocks, pooled two by two by attention, and projected."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from encoders._base import Card, Encoder, Site
from encoders._build import assemble
from encoders._eyes import clip, source
from encoders._hooks import freeze
from encoders._molmo_images import MARGIN, POOL, SIDE, layout, preprocess, tiling
from encoders._molmo_network import READ, Adapter
from encoders._parts import read_from
from encoders._pickles import below, fill, required
from encoders._towers import taps

AT = "model.vision_backbone."
VIT = "image_vit."


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The eye from its repository, of which the language model is not fetched, or from a snapshot."""
    card, folder, tensors = source(card, weights, offline, _wanted)
    state, module = below(tensors, AT), nn.Module()
    module.vision = clip(_renamed(below(state, VIT)), card.name, str(folder), last_norm=False, called=_original)
    rest = {name: value for name, value in state.items() if not name.startswith(VIT)}
    required(rest, card.name, str(folder), "image_projector.w2.weight")
    language, inner = rest["image_projector.w2.weight"].shape
    module.adapter = fill(Adapter(module.vision.config.hidden_size, inner, language), rest, card.name, str(folder))
    return encoder(card, module, device, read_from(folder, _wanted))


def _wanted(name: str) -> bool:
    return name.startswith(AT)


NAMES = {
    "class_embedding": "embeddings.class_embedding",
    "patch_embedding": "embeddings.patch_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "pre_ln": "pre_layrnorm",
    "transformer.resblocks": "encoder.layers",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.out_proj",
    "attention_norm": "layer_norm1",
    "ffn_norm": "layer_norm2",
    "feed_forward.w1": "mlp.fc1",
    "feed_forward.w2": "mlp.fc2",
}


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tower's tensors under the library's names; flat patches become the kernel of a convolution."""
    found = {}
    for name, value in state.items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours) if ours not in name else name
        if name == "embeddings.patch_embedding.weight":
            side = round((value.shape[1] / 3) ** 0.5)
            value = value.unflatten(1, (side, side, 3)).permute(0, 3, 1, 2)
        found[name] = value
    return found


def _original(name: str) -> str:
    """The name in the checkpoint of a tensor of the library's tower."""
    for theirs, ours in NAMES.items():
        name = name.replace(ours, theirs)
    return f"{AT}{VIT}{name}"


def encoder(card: Card, module: Any, device: str, known: Sequence[Path] = ()) -> Encoder:
    """The encoder around tower and adapter."""
    freeze(module, device)
    assert card.input is not None
    vision, config = module.vision, module.vision.config
    language = module.adapter.image_projector.w2.out_features

    def run(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        pixels = batch["pixels"]
        states = vision(pixel_values=pixels.flatten(0, 1), output_hidden_states=True).hidden_states
        patches = torch.cat([states[i] for i in READ], dim=-1)[:, 1:].unflatten(0, pixels.shape[:2])
        tokens = module.adapter(patches, batch["filled"])
        rows, columns = tiling(*_pair(batch["size"][0]))
        return {"connector": torch.cat([tokens[:, 0].flatten(1, 2), _merged(tokens[:, 1:], rows, columns)], dim=1)}

    def sites(prepared: Mapping[str, torch.Tensor]) -> dict[str, Site]:
        crops, merged = layout(_pair(prepared["size"]), config.hidden_size, language)
        return {f"block.{i}": crops for i in range(config.num_hidden_layers)} | {"connector": merged}

    return assemble(
        card,
        module,
        run=run,
        taps=taps(vision.encoder.layers),
        sites=sites({"size": torch.tensor([512, 512])}),
        preprocess=preprocess(card.input),
        input=card.input,
        device=device,
        architecture=["Molmo", READ, config.hidden_act, config.num_attention_heads],
        libraries=("transformers",),
        files=known,
        layout=sites,
    )


def _pair(size: torch.Tensor) -> tuple[int, int]:
    height, width = (int(n) for n in size)
    return height, width


def _merged(tokens: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Tokens [b, rows * columns, h, w, d] of overlapping crops as those of one map, each place once, row by row."""
    lost = MARGIN // POOL

    def kept(i: int, count: int) -> slice:
        return slice(lost if i else 0, SIDE // POOL - (lost if i < count - 1 else 0))

    bands = [
        torch.cat([tokens[:, i * columns + j, kept(i, rows), kept(j, columns)] for j in range(columns)], dim=2)
        for i in range(rows)
    ]
    return torch.cat(bands, dim=1).flatten(1, 2)
