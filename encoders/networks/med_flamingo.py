"""Image side of Med-Flamingo: OpenAI's CLIP ViT-L/14 as it is, and the perceiver of the published checkpoint."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from encoders._base import Card, Encoder, EncoderError, Site
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import freeze
from encoders.extraction.images import transform
from encoders.extraction.tower_sites import sites
from encoders.multimodal.pieces import clip_ends, hooks
from encoders.networks.clip import clip, source, tower
from encoders.networks.files import FLAMINGO, FLAMINGO_TOWER, stock_tower
from encoders.networks.perceiver import Perceiver, shaped_like
from hub.snapshots import snapshot
from hub.tensors import files_read
from hub.torch_files import below, fill, state_dict


def image_side(vision: Any, perceiver: Perceiver) -> torch.nn.Module:
    """Tower and perceiver as one module."""
    module = torch.nn.Module()
    module.vision, module.perceiver = vision, perceiver
    return module


def network() -> torch.nn.Module:
    """The image side in full size."""
    import transformers

    return image_side(transformers.CLIPVisionModel(tower(side=224)), Perceiver(1024, 64))


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The image side from its two repositories, or from one folder that holds the files of both."""
    if weights is not None and not (weights / FLAMINGO).is_file():
        raise EncoderError(
            f"{card.name}: --weights {weights} has no {FLAMINGO}; fill one folder with both: `hf download {card.repo} "
            f"--local-dir DIR` and `hf download {FLAMINGO_TOWER} --local-dir DIR`"
        )
    stock = replace(card, repo=FLAMINGO_TOWER, revision=None)
    _, folder, tensors = source(stock, weights, offline, stock_tower)
    if weights is None:
        assert card.repo is not None
        place, commit = snapshot(card.repo, card.revision, weights=(FLAMINGO,), needed=(), offline=offline)
        card = replace(card, revision=commit)
    else:
        place, card = weights, replace(card, repo=None, revision=None)
    vision = clip(below(tensors, "vision_model."), card.name, str(folder), called="vision_model.{}".format)
    state = below(state_dict(place / FLAMINGO, card.name), "perceiver.")
    where = str(place / FLAMINGO)
    resampler = fill(shaped_like(state, card.name, where), state, card.name, where)
    return encoder(card, image_side(vision, resampler), device, (*files_read(folder, stock_tower), place / FLAMINGO))


def encoder(card: Card, module: Any, device: str, known: Sequence[Path] = ()) -> Encoder:
    """The encoder around tower and perceiver."""
    freeze(module, device)
    assert card.input is not None
    vision, config = module.vision, module.vision.config
    side = config.image_size // config.patch_size
    latents, width = module.perceiver.latents.shape
    wide = config.hidden_size

    def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        tokens = vision(pixel_values=batch).last_hidden_state  # the last block, before the norm
        return {**clip_ends(vision, tokens), "connector": module.perceiver(tokens[:, 1:])}

    return assemble(
        card,
        module,
        run=run,
        hooks=hooks(vision.encoder.layers),
        sites=sites(config.num_hidden_layers, wide, side, prefix=1, vectors={"pooled": wide})
        | {"connector": Site(width=width, queries=latents)},
        preprocess=transform(card.input),
        input=card.input,
        device=device,
        architecture=["Med-Flamingo", config.hidden_act, config.num_attention_heads],
        libraries=("transformers",),
        files=known,
    )
