"""Image sides of MedVInT: PMC-CLIP's ResNet, read by learnt queries.

TD's `Decoder` reads the third stage for a language model of 4096; TE's `Reader` reads the fourth, and its queries are
laid behind the question. `trunk` is the ResNet from which TE was trained, alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from encoders._base import Card, Encoder, EncoderError, Site
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import Hook, freeze
from encoders.extraction.images import transform
from encoders.networks import modified_resnet as resnet
from encoders.networks.files import MEDVINT_START, MEDVINT_TD, MEDVINT_TE
from hub.snapshots import snapshot
from hub.torch_files import below, fill, required, state_dict

TD_HEADS, TE_HEADS = 8, 4  # of the decoders' attention; no tensor says it
TD_PARTS = ("vision_model.", "query_embed.", "decoder.", "fc_l1.", "fc_l2.")
TE_PARTS = ("image_embed.0.", "qformer_query", "qformer_decoder.")  # beside the ResNet
STAGES = ("10.", "11.", "12.")  # of TD, among the children of the ResNet, whose last two were cut off


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
        layer = nn.TransformerDecoderLayer(wide, TD_HEADS, inner, norm_first=True, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, depth, nn.LayerNorm(wide))
        self.fc_l1 = nn.Linear(wide, wide)
        self.fc_l2 = nn.Linear(wide, language)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The tokens that the language model receives."""
        tokens = self.vision_model(images).flatten(2).transpose(1, 2)
        read = self.decoder(self.query_embed.weight.expand(len(images), -1, -1), tokens)
        return self.fc_l2(functional.relu(self.fc_l1(read)))


class Reader(nn.Module):
    """Trunk, a matrix to the width of the queries, and the decoder by which they read: [b, 3, h, w] to [b, n, d]."""

    def __init__(
        self,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6, 3),
        queries: int = 32,
        wide: int = 768,
        depth: int = 12,
        inner: int = 768,
    ) -> None:
        super().__init__()
        self.visual = trunk(width, blocks)
        self.image_embed = nn.Sequential(nn.Linear(32 * width, wide))
        self.qformer_query = nn.Parameter(torch.randn(queries, wide))
        layer = nn.TransformerDecoderLayer(wide, TE_HEADS, inner, norm_first=True, batch_first=True)
        self.qformer_decoder = nn.TransformerDecoder(layer, depth, nn.LayerNorm(wide))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The tokens that are laid behind those of the question."""
        tokens = self.image_embed(self.visual(images).flatten(2).transpose(1, 2))
        return self.qformer_decoder(self.qformer_query.expand(len(images), -1, -1), tokens)


def trunk(width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)) -> Any:
    """PMC-CLIP's ResNet without its attention pool."""
    model = resnet.network(width=width, layers=tuple(blocks))
    model.add_module("attnpool", nn.Identity())
    return model


def load_td(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """TD's image side from its pytorch_model.bin, beside the language model in it."""
    card, file = _file(card, weights, offline, MEDVINT_TD, "pytorch_model.bin")
    state = {k: v for k, v in resnet.unwrapped(state_dict(file, card.name)).items() if k.startswith(TD_PARTS)}
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
    return td_encoder(card, fill(module, state, card.name, str(file)), device, (file,))


def load_te(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """TE's image side: the whole model's file in its repository, or the file or folder `weights`."""
    card, file = _file(card, weights, offline, MEDVINT_TE, "pytorch_model.bin")
    where = str(file)
    state = resnet.unwrapped(state_dict(file, card.name))
    sizes = ("image_encoder.visual.conv3.weight", "qformer_query", "qformer_decoder.layers.0.linear1.bias")
    required(state, card.name, where, *sizes)
    visual = _without_pool(below(state, "image_encoder.visual."))
    module = Reader(
        width=len(visual["conv3.weight"]),
        blocks=resnet.blocks(visual, *(f"layer{i}." for i in resnet.STAGES)),
        queries=len(state["qformer_query"]),
        wide=state["qformer_query"].shape[1],
        depth=resnet.blocks(state, "qformer_decoder.layers.")[0],
        inner=len(state["qformer_decoder.layers.0.linear1.bias"]),
    )
    own = {name: value for name, value in state.items() if name.startswith(TE_PARTS)}
    given = own | {f"visual.{name}": value for name, value in visual.items()}
    return te_encoder(card, fill(module, given, card.name, where), device, (file,))


def load_start(card: Card, device: str, weights: Path | None, offline: bool) -> Encoder:
    """The ResNet from which TE was trained: the PMC-CLIP checkpoint in its repository, or `weights`."""
    card, file = _file(card, weights, offline, MEDVINT_START, "checkpoint.pt")
    state = _without_pool(below(resnet.unwrapped(state_dict(file, card.name)), "visual."))
    if "conv3.weight" not in state:
        raise EncoderError(f"{card.name}: {file} lacks visual.conv3.weight, so it holds no image tower of PMC-CLIP")
    module = trunk(len(state["conv3.weight"]), resnet.blocks(state, *(f"layer{i}." for i in resnet.STAGES)))
    return te_encoder(card, fill(module, state, card.name, str(file)), device, (file,))


def _without_pool(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("attnpool.")}


def _file(card: Card, weights: Path | None, offline: bool, path: str, alone: str) -> tuple[Card, Path]:
    """The file at `path` of the repository, or of a copy of it, and the card with its commit."""
    assert card.repo is not None
    if weights is None:
        folder, commit = snapshot(card.repo, card.revision, weights=(path,), needed=(), offline=offline)
        return replace(card, revision=commit), folder / path
    found = [weights / path, weights / alone] if weights.is_dir() else [weights]
    for file in found:
        if file.is_file():
            return replace(card, repo=None, revision=None), file
    raise EncoderError(f"{card.name}: --weights {weights} has no {path}; give a snapshot of {card.repo}, or that file")


def td_encoder(card: Card, module: Any, device: str, files: Sequence[Path] = ()) -> Encoder:
    """The encoder around a Decoder."""
    freeze(module, device)
    queries, wide = module.query_embed.weight.shape
    size = card.input.size[0] if card.input else 512
    stages = [module.vision_model[int(stage.rstrip("."))] for stage in STAGES]
    return _assembled(
        card,
        module,
        device,
        files,
        run=lambda batch: {"connector": module(batch)},
        hooks={f"stage.{i + 1}": Hook(module=stage, tokens=resnet.raster) for i, stage in enumerate(stages)},
        sites=resnet.stages(wide // 16, size, 3)
        | {"connector": Site(width=module.fc_l2.out_features, queries=queries)},
    )


def te_encoder(card: Card, module: Any, device: str, files: Sequence[Path] = ()) -> Encoder:
    """The encoder around a Reader, or around a trunk alone."""
    freeze(module, device)
    visual = getattr(module, "visual", module)
    sites = resnet.stages(visual.conv3.out_channels, card.input.size[0] if card.input else 512)
    sites |= {"pooled": Site(width=sites["stage.4"].width)}
    if visual is not module:
        queries, wide = module.qformer_query.shape
        sites |= {"connector": Site(width=wide, queries=queries)}
    return _assembled(
        card,
        module,
        device,
        files,
        run=lambda batch: {"connector": module(batch)},
        hooks=resnet.hooks(visual) | {"pooled": Hook(module=visual.layer4, tokens=resnet.average)},
        sites=sites,
    )


def _assembled(card: Card, module: Any, device: str, files: Sequence[Path], **parts: Any) -> Encoder:
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
