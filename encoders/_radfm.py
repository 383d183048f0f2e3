"""RadFM's eye: read from its whole checkpoint, over images and volumes of any depth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders._build import assemble
from encoders._hooks import Tap, freeze
from encoders._images import transform
from encoders._perceiver import shaped_like
from encoders._pickles import below, fill, state_dict
from encoders._radfm_network import CELLS, DEPTH, HEAD, SIDE, RadFMVision
from encoders._volumes import is_volume

DEPTHS = tuple(range(4, 65, 4))  # the depths of training
PARTS = ("vision_encoder.", "perceiver.", "fc.")


def load(card: Card, device: str, file: Path) -> Encoder:
    """RadFM's eye from the unpacked pytorch_model.bin, of which only the eye is read."""
    whole = state_dict(file, card.name)
    state = {k: v for k, v in below(whole, "embedding_layer.").items() if k.startswith(PARTS)}
    first = "vision_encoder.transformer.layers.0."
    for name in (f"{first}0.fn.to_qkv.weight", f"{first}1.fn.net.0.bias", "perceiver.latents", "fc.weight"):
        if name not in state:
            raise EncoderError(f"{card.name}: {file} lacks embedding_layer.{name}; give RadFM's pytorch_model.bin")
    three, width = state[f"{first}0.fn.to_qkv.weight"].shape
    module = RadFMVision(
        width=width,
        blocks=len({k.split(".")[3] for k in state if k.startswith("vision_encoder.transformer.layers.")}),
        heads=three // (3 * HEAD),
        inner=len(state[f"{first}1.fn.net.0.bias"]),
        perceiver=shaped_like(below(state, "perceiver."), card.name, str(file)),
        language=len(state["fc.weight"]),
    )
    return encoder(card, fill(module, state, card.name, str(file)), device, (file,))


def encoder(card: Card, module: Any, device: str, files: Sequence[Path] = ()) -> Encoder:
    """The encoder around a RadFMVision."""
    freeze(module, device)
    assert card.input is not None
    blocks = module.vision_encoder.transformer.layers

    def layout(prepared: torch.Tensor) -> Mapping[str, Site]:
        depth = prepared.shape[-1] // DEPTH
        width, latents = module.perceiver.latents.shape[1], module.perceiver.latents.shape[0]
        tokens = Site(width=width, grid=(depth, CELLS, CELLS))
        return {f"block.{i}": tokens for i in range(len(blocks))} | {
            "perceiver": Site(width=width, queries=latents),
            "connector": Site(width=module.fc.out_features, queries=latents),
        }

    return assemble(
        card,
        module,
        run=lambda batch: {"connector": module(batch)},
        taps={f"block.{i}": Tap(module=block, tokens=_raster) for i, block in enumerate(blocks)}
        | {"perceiver": Tap(module=module.perceiver)},
        sites=layout(torch.empty(0, DEPTH)),
        preprocess=_preprocess(card.input),
        input=card.input,
        device=device,
        architecture=["RadFM", DEPTHS, "halves and thirds of the slices"],
        libraries=(),
        files=files,
        layout=layout,
    )


def _raster(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens with depth innermost, [b, h' * w' * d', c], in the order of (d, h, w)."""
    return tokens.unflatten(1, (CELLS, CELLS, -1)).permute(0, 3, 1, 2, 4).flatten(1, 3)


def _preprocess(spec: Input) -> Any:
    flat = transform(spec)

    def preprocess(image: np.ndarray) -> torch.Tensor:
        if is_volume(image):
            volume = torch.from_numpy(np.ascontiguousarray(image.transpose(1, 2, 0)))[None, None].float() / 255
            depth = min(DEPTHS, key=lambda known: (abs(known - len(image)), known))
            return functional.interpolate(volume, size=(SIDE, SIDE, depth))[0].expand(3, -1, -1, -1)
        return torch.from_numpy(flat(image))[..., None].expand(-1, -1, -1, DEPTH)

    return preprocess
