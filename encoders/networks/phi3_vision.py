"""Image side of Phi-3-vision: the image at one size and cut into tiles, two by two tokens joined and projected."""

import math
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
from encoders.extraction.tiles import canvas, site, tiles
from encoders.multimodal.pieces import clip_ends, hooks
from encoders.networks.clip import clip, source, tower
from encoders.networks.files import PHI3 as AT
from encoders.networks.files import phi3_vision
from hub.tensors import files_read
from hub.torch_files import below, fill

CLIP = "img_processor.vision_model."
TILE = 336
WHITE = (255, 255, 255)


class Connector(nn.Module):
    """Four joined tokens [.., 4 * width] to one of the language model; the separators are loaded and not used here."""

    def __init__(self, width: int = 1024, language: int = 3072) -> None:
        super().__init__()
        self.glb_GN = nn.Parameter(torch.zeros(1, 1, 4 * width))
        self.sub_GN = nn.Parameter(torch.zeros(1, 1, 1, 4 * width))
        self.img_projection = nn.Sequential(nn.Linear(4 * width, language), nn.GELU(), nn.Linear(language, language))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [b, t, language]."""
        return self.img_projection(tokens)


def network() -> nn.Module:
    """The image side in full size."""
    import transformers

    module = nn.Module()
    module.vision, module.connector = transformers.CLIPVisionModel(tower()), Connector()
    return module


def load(card: Card, crops: int, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The image side from its repository, of which the language model is not fetched, or from a snapshot."""
    card, folder, tensors = source(card, weights, offline, phi3_vision)
    state, module = below(tensors, AT), nn.Module()
    module.vision = clip(below(state, CLIP), card.name, str(folder), called=f"{AT}{CLIP}{{}}".format)
    rest = {name: value for name, value in state.items() if not name.startswith(CLIP)}
    language = len(rest["img_projection.0.bias"]) if "img_projection.0.bias" in rest else 3072
    module.connector = fill(Connector(module.vision.config.hidden_size, language), rest, card.name, str(folder))
    return encoder(card, module, crops, device, files_read(folder, phi3_vision))


def encoder(card: Card, module: Any, crops: int, device: str, known: Sequence[Path] = ()) -> Encoder:
    """The encoder around tower and connector, for at most `crops` tiles beside the whole image."""
    freeze(module, device)
    assert card.input is not None
    vision, config = module.vision, module.vision.config
    side = TILE // config.patch_size

    def run(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        pixels = batch["pixels"]
        out = vision(pixel_values=pixels.flatten(0, 1), output_hidden_states=True)
        ends = clip_ends(vision, out.last_hidden_state)
        tokens = out.hidden_states[-2][:, 1:].unflatten(0, pixels.shape[:2])
        rows, columns = (int(n) for n in batch["tiling"][0])
        whole, cut = tokens[:, :1], tokens[:, 1:]
        joined = torch.cat([_joined(cut, rows, columns, side), _joined(whole, 1, 1, side)], dim=1)
        pooled = ends["pooled"].unflatten(0, pixels.shape[:2])[:, 0]
        return {"final": ends["final"], "pooled": pooled, "connector": module.connector(joined)}

    def layout(prepared: Mapping[str, torch.Tensor]) -> dict[str, Site]:
        rows, columns = (int(n) for n in prepared["tiling"])
        size = tuple(int(n) for n in prepared["scaled"])
        tall, wide = TILE * rows, TILE * columns
        box = canvas((size[0], size[1]), (tall, wide), ((tall - size[0]) // 2, (wide - size[1]) // 2))
        views = (View(grid=(side, side), box=box), *tiles(rows, columns, (side, side), box))
        block = site(config.hidden_size, views, prefix=1, cls=True)
        merged = (
            View(grid=(rows * side // 2, columns * side // 2), box=box),
            View(grid=(side // 2, side // 2), box=box),
        )
        return {f"block.{i}": block for i in range(config.num_hidden_layers)} | {
            "final": block,
            "pooled": Site(width=config.hidden_size),
            "connector": site(module.connector.img_projection[0].out_features, merged),
        }

    preprocess = _preprocess(card.input, crops)
    return assemble(
        card,
        module,
        run=run,
        hooks=hooks(vision.encoder.layers),
        sites=layout(preprocess(np.zeros((512, 512), np.uint8))),
        preprocess=preprocess,
        input=card.input,
        device=device,
        architecture=["Phi-3-vision", crops, config.hidden_act, config.num_attention_heads],
        libraries=("transformers",),
        files=known,
        layout=layout,
    )


def _joined(tokens: torch.Tensor, rows: int, columns: int, side: int) -> torch.Tensor:
    """Tokens [b, rows * columns, side * side, d] as those of one map, two by two of them joined, row by row."""
    half = side // 2
    cut = tokens.unflatten(2, (half, 2, half, 2)).unflatten(1, (rows, columns))
    return cut.permute(0, 1, 3, 2, 5, 4, 6, 7).flatten(5).flatten(1, 4)


def _preprocess(spec: Input, crops: int) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
    from PIL import Image

    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))

    def preprocess(image: np.ndarray) -> dict[str, torch.Tensor]:
        picture = pil(image)
        turned = picture.width < picture.height
        if turned:  # a tall image is treated as a wide one, and turned back
            picture = picture.transpose(Image.Transpose.TRANSPOSE)
        ratio = picture.width / picture.height
        scale = 1
        while scale * math.ceil(scale / ratio) <= crops:
            scale += 1
        width = (scale - 1) * TILE
        height = max(int(width / ratio), 1)
        tall = math.ceil(height / TILE) * TILE
        padded = Image.new("RGB", (width, tall), WHITE)
        padded.paste(picture.resize((width, height), Image.Resampling.BILINEAR), (0, (tall - height) // 2))
        size = (height, width)
        if turned:
            padded, size = padded.transpose(Image.Transpose.TRANSPOSE), (width, height)
        pixels = (torch.from_numpy(np.asarray(padded).transpose(2, 0, 1) / np.float32(255)) - mean) / std
        rows, columns = pixels.shape[1] // TILE, pixels.shape[2] // TILE
        cut = pixels.unflatten(2, (columns, TILE)).unflatten(1, (rows, TILE)).permute(1, 3, 0, 2, 4).flatten(0, 1)
        whole = functional.interpolate(pixels[None], size=(TILE, TILE), mode="bicubic")
        return {
            "pixels": torch.cat([whole, cut]),
            "tiling": torch.tensor([rows, columns]),
            "scaled": torch.tensor(size),
        }

    return preprocess
