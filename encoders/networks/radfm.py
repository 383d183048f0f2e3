"""Image side of RadFM: a transformer over patches of images and volumes, and the perceiver behind it.

The names of the modules are those of the checkpoint, from which the image side alone is read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import Hook, freeze
from encoders.extraction.images import transform
from encoders.extraction.volumes import is_volume
from encoders.networks.perceiver import Perceiver, shaped_like
from hub.torch_files import below, fill, state_dict

SIDE, PATCH, DEPTH, FRAMES = 512, 32, 4, 512  # pixels of an image and a patch; slices of a patch; the deepest volume
CELLS = SIDE // PATCH
HEAD = 64  # the width of an attention head
DEPTHS = tuple(range(DEPTH, 65, DEPTH))  # the depths of training
PARTS = ("vision_encoder.", "perceiver.", "fc.")


class _Patches(nn.Module):
    """Volumes [b, c, h, w, d] to flat patches [b, h' * w' * d', values], slices innermost as in training."""

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        b, c, h, w, d = volumes.shape
        cut = volumes.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH, d // DEPTH, DEPTH)
        return cut.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).flatten(1, 3)


class _Positions(nn.Module):
    """Learnt positions of rows, columns and depth, one third of the width each."""

    def __init__(self, third: int) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(CELLS, third)
        self.col_embed = nn.Embedding(CELLS, third)
        self.dep_embed = nn.Embedding(FRAMES // DEPTH, third)

    def forward(self, depth: int) -> torch.Tensor:
        """Positions [h' * w' * d', width]; a shallow volume spreads over the whole table of depths."""
        steps = torch.arange(1, depth + 1, device=self.dep_embed.weight.device)
        deep = self.dep_embed(steps * (FRAMES // DEPTH // depth) - 1)
        shape = (CELLS, CELLS, depth, -1)
        axes = (self.row_embed.weight[:, None, None], self.col_embed.weight[None, :, None], deep[None, None])
        return torch.cat([axis.expand(shape) for axis in axes], dim=-1).flatten(0, 2)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * HEAD * heads, bias=False)
        self.to_out = nn.Sequential(nn.Linear(HEAD * heads, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.to_qkv(x).unflatten(2, (3, self.heads, HEAD)).permute(2, 0, 3, 1, 4)
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Feed(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        # the places of the dropouts are kept: the checkpoint counts them
        self.net = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Identity(), nn.Linear(inner, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class _Normed(nn.Module):
    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = fn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fn(self.norm(x))


class _Block(nn.ModuleList):
    """A transformer block whose parts bear the numbers of the checkpoint."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self:
            x = x + part(x)
        return x


class _Transformer(nn.Module):
    def __init__(self, width: int, blocks: int, heads: int, inner: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Block([_Normed(width, _Attention(width, heads)), _Normed(width, _Feed(width, inner))])
            for _ in range(blocks)
        )


class _Tower(nn.Module):
    def __init__(self, width: int, blocks: int, heads: int, inner: int) -> None:
        super().__init__()
        values = 3 * PATCH * PATCH * DEPTH
        self.to_patch_embedding = nn.Sequential(
            _Patches(), nn.LayerNorm(values), nn.Linear(values, width), nn.LayerNorm(width)
        )
        self.pos_embedding = _Positions(width // 3)
        self.transformer = _Transformer(width, blocks, heads, inner)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Tokens [b, h' * w' * d', width] of volumes [b, 3, 512, 512, d]; there is no last norm."""
        x = self.to_patch_embedding(volumes) + self.pos_embedding(volumes.shape[-1] // DEPTH)
        for block in self.transformer.layers:
            x = block(x)
        return x


class RadFMVision(nn.Module):
    """Volumes [b, 3, 512, 512, d] to the tokens [b, 32, 5120] that RadFM's language model receives."""

    def __init__(
        self,
        width: int = 768,
        blocks: int = 12,
        heads: int = 8,
        inner: int = 2048,
        perceiver: Perceiver | None = None,
        language: int = 5120,
    ) -> None:
        super().__init__()
        self.vision_encoder = _Tower(width, blocks, heads, inner)
        self.perceiver = perceiver or Perceiver(width, 32)
        self.fc = nn.Linear(width, language)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """The connector's tokens."""
        return self.fc(self.perceiver(self.vision_encoder(volumes)))


def load(card: Card, device: str, file: Path) -> Encoder:
    """The image side from the unpacked pytorch_model.bin of the whole model."""
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
        hooks={f"block.{i}": Hook(module=block, tokens=_raster) for i, block in enumerate(blocks)}
        | {"perceiver": Hook(module=module.perceiver)},
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
