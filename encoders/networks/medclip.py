"""MedCLIP from its published file: a Swin or a ResNet-50 over films padded to a square, and a clinical BERT."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
import transformers

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import Hook, first, freeze, raster, vector
from encoders.extraction.images import transform
from encoders.networks import bert
from encoders.networks.clip import read
from encoders.networks.modified_resnet import STAGES
from hub.torch_files import below, fill, state_dict

TOKENIZER = "emilyalsentzer/Bio_ClinicalBERT"
CONTEXT = 77
COUNTERS = ("relative_position_index", "num_batches_tracked")  # computed, not learnt


def swin(**shape: Any) -> torch.nn.Module:
    """Swin-T and the projection to the joint space."""
    module = torch.nn.Module()
    module.model = transformers.SwinModel(transformers.SwinConfig(**shape))
    module.projection_head = torch.nn.Linear(module.model.num_features, 512, bias=False)
    return module


def resnet(layers: Sequence[int] = (3, 4, 6, 3)) -> torch.nn.Module:
    """ResNet-50 with the projection to the joint space in the place of its classifier."""
    module = torch.nn.Module()
    blocks = torchvision.models.resnet.Bottleneck
    module.model = torchvision.models.ResNet(blocks, list(layers))
    module.model.fc = torch.nn.Linear(module.model.fc.in_features, 512, bias=False)
    return module


def load(card: Card, device: str, file: Path, offline: bool) -> Encoder:
    """MedCLIP from its zip, or the pytorch_model.bin in it."""
    state = state_dict(file, card.name)
    vision = below(state, "vision_model.")
    convolutional = card.name.endswith("rn50")
    classifier, head = ("model.fc.weight" in vision), ("projection_head.weight" in vision)
    if classifier != convolutional or not (classifier or head):
        other = card.name.replace("rn50", "vit") if convolutional else card.name.replace("vit", "rn50")
        raise EncoderError(f"{card.name}: {file} holds no such image tower; is it {other}'s, or another model's?")
    module = torch.nn.Module()
    module.vision = _resnet(card.name, vision, file) if convolutional else _swin(card.name, vision, file)
    words = below(state, "text_model.")
    if "projection_head.weight" in words:
        module.text = bert.tower(below(words, "model."), card.name, str(file))
        module.text_projection = torch.nn.Parameter(words["projection_head.weight"].clone())
    return encoder(card, module, device, (file,), offline)


def _resnet(who: str, state: Mapping[str, torch.Tensor], file: Path) -> Any:
    layers = [len({key.split(".")[2] for key in state if key.startswith(f"model.layer{i}.")}) for i in STAGES]
    return fill(resnet(layers), state, who, str(file))


def _swin(who: str, state: Mapping[str, torch.Tensor], file: Path) -> Any:
    """The Swin is read by its library, which translates the names that it had when this checkpoint was made."""
    tower = {k: v for k, v in below(state, "model.").items() if not k.endswith(COUNTERS)}
    module = torch.nn.Module()
    module.model = read(transformers.SwinModel, _config(tower), tower, who, str(file))
    module.projection_head = torch.nn.Linear(module.model.num_features, 512, bias=False)
    fill(module.projection_head, below(state, "projection_head."), who, str(file))
    return module


def _config(state: Mapping[str, torch.Tensor]) -> Any:
    blocks = {tuple(int(n) for n in key.split(".")[2:5:2]) for key in state if ".blocks." in key}
    depths = [sum(stage == i for stage, _ in blocks) for i in range(1 + max((i for i, _ in blocks), default=-1))]
    width = len(state.get("embeddings.norm.weight", ())) or 96
    bias = "encoder.layers.{}.blocks.0.attention.self.relative_position_bias_table"
    heads = [  # the width of a table; where it is missing, the library refuses it by name
        state[bias.format(i)].shape[1] if bias.format(i) in state else 3 * 2**i for i in range(len(depths))
    ]
    return transformers.SwinConfig(embed_dim=width, depths=depths, num_heads=heads)


def untrained(card: Card, module: Any, device: str) -> Encoder:
    """The image tower under torch's current random state."""
    whole = torch.nn.Module()
    whole.vision = module
    return encoder(card, whole, device, (), True)


def encoder(card: Card, module: Any, device: str, files: Sequence[Path], offline: bool) -> Encoder:
    """The encoder around `vision` and, where the weights hold one, the text tower."""
    freeze(module, device)
    assert card.input is not None
    vision, size = module.vision, card.input.size[0]
    parts = _of_resnet(vision) if hasattr(vision.model, "fc") else _of_swin(vision, size)
    has_text = hasattr(module, "text")
    folder = files[0].parent if files else None
    words = bert.text(card.name, TOKENIZER, folder, offline, CONTEXT, _embed(module, device), padded=False)
    return assemble(
        card,
        module,
        **parts,
        preprocess=_preprocess(card.input),
        input=card.input,
        device=device,
        architecture=["MedCLIP", type(vision.model).__name__],
        libraries=("torchvision", "transformers", *(("tokenizers",) if has_text else ())),
        files=files,
        text=words if has_text else None,
        image_side=(vision,),
    )


def _of_resnet(vision: Any) -> dict[str, Any]:
    net = vision.model
    hooks = {f"stage.{i}": Hook(module=getattr(net, f"layer{i}"), tokens=raster) for i in STAGES}
    sites = {f"stage.{i}": Site(width=128 * 2**i, grid=(112 // 2**i, 112 // 2**i)) for i in STAGES}
    return {
        "hooks": hooks | {"pooled": Hook(module=net.avgpool, tokens=vector)},
        "sites": sites | {"pooled": Site(width=2048), "joint": Site(width=512)},
        "run": lambda batch: {"joint": net(batch)[:, None]},
    }


def _of_swin(vision: Any, size: int) -> dict[str, Any]:
    config, layers = vision.model.config, vision.model.encoder.layers

    def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        out = vision.model(batch)
        pooled = out.pooler_output
        return {
            "final": out.last_hidden_state,
            "pooled": pooled[:, None],
            "joint": vision.projection_head(pooled)[:, None],
        }

    sites = {}
    for i in range(len(layers)):
        side = size // config.patch_size // 2**i
        sites[f"stage.{i + 1}"] = Site(width=config.embed_dim * 2**i, grid=(side, side))
    last = sites[f"stage.{len(layers)}"]
    return {
        # a stage ends before its patches are merged for the next one
        "hooks": {f"stage.{i + 1}": Hook(module=layer.blocks[-1], tokens=first) for i, layer in enumerate(layers)},
        "sites": sites | {"final": last, "pooled": Site(width=last.width), "joint": Site(width=512)},
        "run": run,
    }


def _preprocess(spec: Input) -> Any:
    from PIL import Image

    resized = transform(Input(**{**vars(spec), "resize": "squash"}))

    def preprocess(image: np.ndarray) -> np.ndarray:
        grey = Image.fromarray(image).convert("L")
        side = max(*spec.size, *grey.size)
        square = Image.new("L", (side, side), 0)
        square.paste(grey, ((side - grey.size[0]) // 2, (side - grey.size[1]) // 2))
        return resized(np.asarray(square))

    return preprocess


def _embed(module: Any, device: str) -> Any:
    def embed(tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
        out = module.text(**{k: v.to(device) for k, v in tokens.items()}, output_hidden_states=True)
        hidden = torch.stack([out.hidden_states[i] for i in (1, 2, -1)])
        return hidden.mean(2).mean(0) @ module.text_projection.T

    return embed
