"""MedVInT-TD: PMC-CLIP's ResNet up to its third stage, and the decoder whose queries read it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from encoders import _modified_resnet as resnet
from encoders._base import Card, Encoder, EncoderError, Site
from encoders._build import assemble
from encoders._hooks import Tap, freeze
from encoders._images import transform
from encoders._pickles import fill, state_dict

PARTS = ("vision_model.", "query_embed.", "decoder.", "fc_l1.", "fc_l2.")
STAGES = ("10.", "11.", "12.")  # the stages among the children of the trunk, whose last two were cut off
HEADS = 8


class Decoder(nn.Module):
    """Trunk up to its third stage, learnt queries that read it, and two layers: [b, 3, h, w] to [b, n, language]."""

    def __init__(
        self,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6),
        queries: int = 32,
        depth: int = 12,
        inner: int = 1024,
        language: int = 4096,
    ) -> None:
        super().__init__()
        whole = resnet.network(width=width, layers=(*blocks, 1))
        wide = 16 * width
        self.vision_model = nn.Sequential(*list(whole.children())[:-2])
        self.query_embed = nn.Embedding(queries, wide)
        layer = nn.TransformerDecoderLayer(wide, HEADS, inner, norm_first=True, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, depth, nn.LayerNorm(wide))
        self.fc_l1 = nn.Linear(wide, wide)
        self.fc_l2 = nn.Linear(wide, language)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The tokens that the language model receives."""
        tokens = self.vision_model(images).flatten(2).transpose(1, 2)
        read = self.decoder(self.query_embed.weight.expand(len(images), -1, -1), tokens)
        return self.fc_l2(functional.relu(self.fc_l1(read)))


def load_decoder(card: Card, device: str, file: Path) -> Encoder:
    """MedVInT-TD's eye and connector from its pytorch_model.bin, beside the language model in it."""
    state = {k: v for k, v in resnet.unwrapped(state_dict(file, card.name)).items() if k.startswith(PARTS)}
    for name in ("vision_model.6.weight", "query_embed.weight", "decoder.layers.0.linear1.bias", "fc_l2.bias"):
        if name not in state:
            raise EncoderError(f"{card.name}: {file} lacks {name}; give the pytorch_model.bin of {card.name}")
    module = Decoder(
        width=len(state["vision_model.6.weight"]),
        blocks=resnet.blocks(state, *(f"vision_model.{stage}" for stage in STAGES)),
        queries=len(state["query_embed.weight"]),
        depth=resnet.blocks(state, "decoder.layers.")[0],
        inner=len(state["decoder.layers.0.linear1.bias"]),
        language=len(state["fc_l2.bias"]),
    )
    card = replace(card, repo=None, revision=None)
    return decoder(card, fill(module, state, card.name, str(file)), device, (file,))


def decoder(card: Card, module: Any, device: str, files: Sequence[Path] = ()) -> Encoder:
    """The encoder around a Decoder."""
    freeze(module, device)
    queries, wide = module.query_embed.weight.shape
    size = card.input.size[0] if card.input else 512
    stages = [module.vision_model[int(stage.rstrip("."))] for stage in STAGES]
    return assembled(
        card,
        module,
        device,
        files,
        run=lambda batch: {"connector": module(batch)},
        taps={f"stage.{i + 1}": Tap(module=stage, tokens=resnet.raster) for i, stage in enumerate(stages)},
        sites=resnet.stages(wide // 16, size, 3)
        | {"connector": Site(width=module.fc_l2.out_features, queries=queries)},
    )


def assembled(card: Card, module: Any, device: str, files: Sequence[Path], **parts: Any) -> Encoder:
    """The encoder of either model, over images as the card says."""
    assert card.input is not None
    return assemble(
        card,
        module,
        **parts,
        preprocess=transform(card.input),
        input=card.input,
        device=device,
        architecture=["MedVInT", type(module).__name__],
        libraries=("open_clip_torch",),
        files=files,
    )
