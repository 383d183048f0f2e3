"""Towers of the transformers library: CLIP, SigLIP, DINOv2, DINOv3 and ViT, from a folder in its format."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers

from encoders._base import Card, Encoder, EncoderError, Site
from encoders._registry import checkpoints
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import Hook, freeze
from encoders.extraction.size import whole_patches
from encoders.extraction.tower_sites import block_sites
from encoders.libraries.transformers.images import at_side, input_of, preprocessed_by, read_processor
from encoders.libraries.transformers.text import text_of
from hub.choices import others_beside, require_plain
from hub.contents import require_unquantised
from hub.errors import missing_tensors, one_line, unexpected_tensors
from hub.files import FORMS, settings, weights

LIBRARIES = ("transformers", "torchvision", "tokenizers")
DUAL = {"clip": "CLIPModel", "siglip": "SiglipModel"}
PLAIN = ("dinov2", "dinov2_with_registers", "dinov3_vit", "vit")
TABLES = ("clip_vision_model", "siglip_vision_model", "vit")  # interpolate their positions where they are told to
TORCHVISION = ("dinov3_vit",)  # their own code resizes tensors, and the library has no other way for them
MOST_LAYERS = 1000
OUTSIDE = re.compile(
    r"(^|\.)(classifier|pooler|lm_head|decoder|mask_token)\b|\.position_ids$"
)  # of heads and old buffers


def load(card: Card, folder: Path, device: str, model_class: str = "") -> Encoder:
    """The encoder whose configuration, preprocessing and weights lie in `folder`, read by the library.

    `model_class` names the library's class of the image side, where the card is of one family.
    Raises EncoderError for another family, for one that has no known layout, and for weights that are not whole.
    """
    with one_line(card.name, str(folder)), quiet():
        model_type = _model_type(card.name, folder)
        due = model_type
        if model_class:  # what a configuration states for a checkpoint whose image side is of that class
            due = getattr(transformers, model_class).config_class.model_type.removesuffix("_vision_model")
        if model_type != due:
            raise EncoderError(
                f"{card.name}: {folder} holds a model of type {model_type!r}, not {due!r}; give a folder of that "
                "family, or the name of the encoder that it is"
            )
        (read, *_) = files = weights(folder) or (folder / FORMS[0],)
        chosen = require_plain(card.name, [file for file in files if file.is_file()])
        card = replace(card, read="; ".join(filter(None, (chosen, others_beside(read, FORMS)))))
        cls = getattr(transformers, DUAL[model_type]) if model_type in DUAL else transformers.AutoModel
        extra = {"add_pooling_layer": False} if model_type == "vit" else {}
        # eager loading of a strict subset would leave random tensors behind with only a log line
        model, info = cls.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True, **extra
        )
        if info["missing_keys"]:
            raise missing_tensors(card.name, sorted(info["missing_keys"]), str(folder))
        if unexpected := sorted(key for key in info["unexpected_keys"] if not OUTSIDE.search(key)):
            raise unexpected_tensors(card.name, unexpected, str(folder))
        backend = "torchvision" if model_type in TORCHVISION else "pil"
        reader = read_processor(card.name, folder, backend)
    return encoder(card, model, reader, device, folder)


@contextmanager
def quiet() -> Iterator[None]:
    """No bar and no report on stderr: what takes long is shown by whoever runs, what lacks is an error here."""
    from transformers.utils import logging

    was, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if was:
            logging.enable_progress_bar()


def _model_type(name: str, folder: Path) -> str:
    declared = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    require_unquantised(name, folder / "config.json", declared)
    sides = [declared, *(declared[side] for side in ("vision_config", "text_config") if side in declared)]
    for layers in (side.get("num_hidden_layers", 1) for side in sides if isinstance(side, dict)):
        if not isinstance(layers, int) or not 1 <= layers <= MOST_LAYERS:  # the library would build them one by one
            raise EncoderError(f"{name}: {folder / 'config.json'} says {str(layers)[:40]} layers; 1 to {MOST_LAYERS}")
    model_type = declared.get("model_type")
    if model_type not in DUAL and model_type not in PLAIN:
        multimodal = {
            t for checkpoint in checkpoints().values() if checkpoint.model_type for t in checkpoint.model_type.types
        }
        known = ", ".join([*DUAL, *PLAIN, *sorted(multimodal)])
        raise EncoderError(
            f"{name}: transformers models of type {model_type!r} have no known layout here (known: {known}); "
            "write a file with CARD and load(device) that names its sites"
        )
    return model_type


def untrained(card: Card, folder: Path, device: str) -> Encoder:
    """The network that the configuration in `folder` describes, under torch's current random state."""
    with one_line(card.name, str(folder)), quiet():
        model_type = _model_type(card.name, folder)
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        made = read_processor(card.name, folder, "torchvision" if model_type in TORCHVISION else "pil")
        return encoder(card, transformers.AutoModel.from_config(config), made, device)


def encoder(
    card: Card,
    network: torch.nn.Module,
    processor: Any,
    device: str,
    folder: Path | None = None,
    interpolate: bool = False,
) -> Encoder:
    """The encoder around a model of this library and its image processor.

    With `interpolate` the library interpolates a table of positions to the size that the processor makes.
    """
    model: Any = freeze(network, device)
    vision: Any = getattr(model, "vision_model", model)
    with one_line(card.name, str(folder / "preprocessor_config.json") if folder else "its image processor"):
        size, preprocess = preprocessed_by(processor)
        prepared = input_of(processor, size)
    blocks = _blocks(vision)
    cls = vision.config.model_type != "siglip_vision_model"
    prefix = int(cls) + getattr(vision.config, "num_register_tokens", 0)  # CLS, then registers
    patch = vision.config.patch_size
    grid = (size[0] // patch, size[1] // patch)
    sites = block_sites(len(blocks), vision.config.hidden_size, grid, prefix, cls)
    sites["final"] = next(iter(sites.values()))
    run, vectors = _run(model, vision, interpolate)

    def at_size(side: int) -> Encoder:
        whole_patches(card.name, side, patch)
        return encoder(card, model, at_side(processor, side), device, folder, interpolate=True)

    sites |= {name: Site(width=width) for name, width in vectors.items()}
    return assemble(
        card,
        model,
        run=run,
        hooks={f"block.{i}": Hook(module=block) for i, block in enumerate(blocks)},
        sites=sites,
        preprocess=preprocess,
        input=prepared,
        device=device,
        architecture=portable([model.config.to_dict(), processor.to_dict()]),
        libraries=LIBRARIES,
        files=(*settings(folder), *weights(folder)) if folder else (),
        text=text_of(model, folder, device) if folder and hasattr(model, "get_text_features") else None,
        image_side=(vision, getattr(model, "visual_projection", vision)),
        at_size=at_size,
    )


def portable(value: Any) -> Any:
    """A configuration without the folder that it was read from."""
    if isinstance(value, Mapping):
        return {str(k): portable(v) for k, v in value.items() if k != "_name_or_path"}
    return [portable(v) for v in value] if isinstance(value, list | tuple) else value


def _blocks(vision: torch.nn.Module) -> torch.nn.ModuleList:
    for name, module in vision.named_modules():
        if name.rpartition(".")[2] in ("layers", "layer", "blocks") and isinstance(module, torch.nn.ModuleList):
            return module
    raise EncoderError(f"{type(vision).__name__} has no list of blocks")


def _run(
    model: Any, vision: Any, interpolate: bool
) -> tuple[Callable[[torch.Tensor], dict[str, torch.Tensor]], dict[str, int]]:
    """The pass through the tower with what follows its blocks, and the widths of its vectors."""
    width = vision.config.hidden_size
    model_type = vision.config.model_type
    # DINOv2 does so unasked, and the rotary positions of DINOv3 are those of any grid
    extra = {"interpolate_pos_encoding": True} if interpolate and model_type in TABLES else {}
    if model_type == "clip_vision_model":

        def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
            out = vision(pixel_values=batch, **extra)
            # this library norms only CLS; the same norm on every token is what `final` means elsewhere
            final = vision.post_layernorm(out.last_hidden_state)
            joint = model.visual_projection(out.pooler_output)
            return {"final": final, "pooled": out.pooler_output[:, None], "joint": joint[:, None]}

        return run, {"pooled": width, "joint": model.visual_projection.out_features}
    if model_type == "siglip_vision_model":

        def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
            out = vision(pixel_values=batch, **extra)
            pooled = out.pooler_output[:, None]  # the attention head's answer is the joint embedding
            return {"final": out.last_hidden_state, "pooled": pooled, "joint": pooled}

        return run, {"pooled": width, "joint": width}

    def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        tokens = vision(pixel_values=batch, **extra).last_hidden_state
        return {"final": tokens, "pooled": tokens[:, :1]}

    return run, {"pooled": width}
