"""Image side of Molmo: overlapping crops through a CLIP tower of 23 blocks, pooled two by two and projected.

In this order: the adapter behind the tower, the tensors of the checkpoint, the encoder, the crops of an image, and
where their tokens lie in it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from encoders._base import Card, Encoder, Input, Site, View
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import freeze
from encoders.extraction.images import pil
from encoders.extraction.tiles import Box, canvas, site
from encoders.multimodal.pieces import hooks
from encoders.networks.clip import HEAD, clip, source, tower
from encoders.networks.files import MOLMO as AT
from encoders.networks.files import molmo
from hub.tensors import files_read
from hub.torch_files import below, fill, required

VIT = "image_vit."
READ = (-2, -9)  # the blocks that the adapter reads, one behind the other
PATCH, SIDE, MARGIN, POOL = 14, 24, 4, 2  # pixels of a patch; patches of a crop, of its margin, of a token
CROP, WINDOW = SIDE * PATCH, (SIDE - 2 * MARGIN) * PATCH  # pixels of a crop, and of what it shares with no other
CROPS = 12  # at most, beside the whole image
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


class _Pool(nn.Module):
    """Attention from the mean of four patches to the four: [n, 4, values] to [n, width]."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.wq = nn.Linear(values, width)
        self.wk = nn.Linear(values, width)
        self.wv = nn.Linear(values, width)
        self.wo = nn.Linear(width, width)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        asked = self.wq(patches.mean(1, keepdim=True))
        heads = max(asked.shape[-1] // HEAD, 1)
        q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (asked, self.wk(patches), self.wv(patches)))
        return self.wo(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))[:, 0]


class _Project(nn.Module):
    """A gated map to the width of the language model."""

    def __init__(self, width: int, inner: int, language: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, language, bias=False)
        self.w3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w2(functional.silu(self.w1(x)) * self.w3(x))


class Adapter(nn.Module):
    """What stands between the tower and the language model."""

    def __init__(self, width: int, inner: int, language: int) -> None:
        super().__init__()
        values = len(READ) * width
        self.image_pooling_2d = _Pool(width, values)
        self.image_projector = _Project(width, inner, language)
        self.pad_embed = nn.Parameter(torch.zeros(2, values))

    def forward(self, patches: torch.Tensor, filled: torch.Tensor) -> torch.Tensor:
        """Tokens [b, crops, h, w, language] of patches [b, crops, h * w, values]; `filled` [b, crops, h * w].

        `filled` is the share of a patch that is image: 0 where it is all padding; below 1, which takes in the -1
        that the model's processor writes, it counts as partly padding.
        """
        empty = (filled == 0)[..., None]
        partly = (filled < 1)[..., None] & ~empty
        patches = patches + self.pad_embed[0] * empty + self.pad_embed[1] * partly
        side = round(patches.shape[2] ** 0.5) // POOL
        b, crops, _, values = patches.shape
        four = patches.reshape(b, crops, side, POOL, side, POOL, values).transpose(3, 4)
        pooled = self.image_pooling_2d(four.reshape(-1, POOL * POOL, values))
        return self.image_projector(pooled).reshape(b, crops, side, side, -1)


def network(inner: int, language: int) -> nn.Module:
    """The image side in full size."""
    import transformers

    module, vision = nn.Module(), transformers.CLIPVisionModel(tower(layers=23))
    vision.add_module("post_layernorm", nn.Identity())
    module.vision = vision
    module.adapter = Adapter(1024, inner, language)
    return module


def load(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The image side from its repository, of which the language model is not fetched, or from a snapshot."""
    card, folder, tensors = source(card, weights, offline, molmo)
    state, module = below(tensors, AT), nn.Module()
    module.vision = clip(_renamed(below(state, VIT)), card.name, str(folder), last_norm=False, called=_original)
    rest = {name: value for name, value in state.items() if not name.startswith(VIT)}
    required(rest, card.name, str(folder), "image_projector.w2.weight")
    language, inner = rest["image_projector.w2.weight"].shape
    module.adapter = fill(Adapter(module.vision.config.hidden_size, inner, language), rest, card.name, str(folder))
    return encoder(card, module, device, files_read(folder, molmo))


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
        hooks=hooks(vision.encoder.layers),
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


def preprocess(spec: Input) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
    """One image as {pixels [crops, 3, 336, 336], filled [crops, 576], size [2]}, the whole image first."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))

    def apply(image: np.ndarray) -> dict[str, torch.Tensor]:
        pixels = torch.from_numpy(np.array(pil(image)).transpose(2, 0, 1) / np.float32(255))
        rows, columns = tiling(*pixels.shape[1:])
        whole, _ = _laid(pixels, (CROP, CROP))
        large, filled = _laid(pixels, _canvas(rows, columns))
        cut = [(i * WINDOW, j * WINDOW) for i in range(rows) for j in range(columns)]
        crops = [whole] + [large[:, y : y + CROP, x : x + CROP] for y, x in cut]
        shares = [
            filled[y : y + CROP, x : x + CROP].reshape(SIDE, PATCH, SIDE, PATCH).mean((1, 3)).flatten() for y, x in cut
        ]
        # the model's processor puts the shares one crop early and -1 at the end, so the model was trained that way
        shares.append(torch.full((SIDE * SIDE,), -1.0))
        return {
            "pixels": (torch.stack(crops) - mean) / std,
            "filled": torch.stack(shares),
            "size": torch.tensor(pixels.shape[1:]),
        }

    return apply


def tiling(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of crops for an image: the tiling that it needs to be enlarged for least, else shrunk least."""
    known = sorted(
        ((i, j) for i in range(1, CROPS + 1) for j in range(1, CROPS // i + 1)), key=lambda t: (t[0] * t[1], t[0])
    )
    size = np.array([height, width], np.float32) - 2 * MARGIN * PATCH
    with np.errstate(divide="ignore"):
        scale = (np.array(known, np.float32) * WINDOW / size).min(axis=1)
    best = np.argmax(scale) if (scale < 1).all() else np.argmin(np.where(scale < 1, np.inf, scale))
    return known[int(best)]


def _canvas(rows: int, columns: int) -> tuple[int, int]:
    return rows * WINDOW + 2 * MARGIN * PATCH, columns * WINDOW + 2 * MARGIN * PATCH


def _scaled(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The image's size on a canvas, in the model's own rounding: float32 throughout."""
    scale = min(np.float32(size[0]) / np.float32(height), np.float32(size[1]) / np.float32(width))
    return max(int(np.float32(height) * scale), 1), max(int(np.float32(width) * scale), 1)


def _laid(image: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """An image [3, h, w] in 0 to 1 resized onto a black canvas of `size`, and where on it there is image."""
    tall, wide = _scaled(image.shape[1], image.shape[2], size)
    small = functional.interpolate(image[None], size=(tall, wide), mode="bilinear", antialias=True)[0].clip(0, 1)
    top, left = (size[0] - tall) // 2, (size[1] - wide) // 2
    pad = (left, size[1] - wide - left, top, size[0] - tall - top)
    return functional.pad(small, pad), functional.pad(torch.ones(tall, wide), pad)


def layout(image: tuple[int, int], tower: int, language: int) -> tuple[Site, Site]:
    """The site of a block, crop by crop, and that of the tokens that the language model receives."""
    rows, columns = tiling(*image)
    whole, large = (_box(*image, size) for size in ((CROP, CROP), _canvas(rows, columns)))
    tall, wide = _canvas(rows, columns)
    boxes = [
        _part(large, (y / tall, x / wide, (y + CROP) / tall, (x + CROP) / wide))
        for y in range(0, rows * WINDOW, WINDOW)
        for x in range(0, columns * WINDOW, WINDOW)
    ]
    crops = [View(grid=(SIDE, SIDE), box=box) for box in (whole, *boxes)]
    half, grid = SIDE // POOL, (tall // PATCH // POOL, wide // PATCH // POOL)
    merged = [View(grid=(half, half), box=whole), View(grid=grid, box=large)]
    return site(tower, crops, prefix=1, cls=True), site(language, merged)


def _box(height: int, width: int, size: tuple[int, int]) -> Box:
    tall, wide = _scaled(height, width, size)
    return canvas((tall, wide), size, ((size[0] - tall) // 2, (size[1] - wide) // 2))


def _part(box: Box, inside: Box) -> Box:
    """The box of a part of a canvas, given in fractions of the canvas that lies at `box`."""
    top, left, bottom, right = box
    height, width = bottom - top, right - left
    return (top + height * inside[0], left + width * inside[1], top + height * inside[2], left + width * inside[3])
