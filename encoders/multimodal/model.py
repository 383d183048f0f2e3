"""The library's model of tower and connector: built with no language model, and refused where tensors are amiss."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from encoders._base import EncoderError
from encoders.multimodal.kind import UNSAVED, ModelType
from hub.contents import require_unquantised
from hub.errors import missing_tensors, other_shapes, unexpected_tensors

SMALL = {"num_hidden_layers": 0, "vocab_size": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def whole(who: str, folder: Path, declared: Mapping[str, Any], wanted: Callable[[str], bool]) -> None:
    """Refuse what would load without a word and give other features; `wanted` are the names that must be there."""
    missing = [name for name in declared["missing_keys"] if wanted(name)]
    if missing:
        raise missing_tensors(who, missing, str(folder))
    unexpected = [name for name in declared["unexpected_keys"] if not UNSAVED.search(name)]
    if unexpected:
        raise unexpected_tensors(who, unexpected, str(folder))
    if other := declared.get("mismatched_keys"):
        raise other_shapes(who, sorted(other), str(folder))


def config_of(who: str, model_type: ModelType, folder: Path) -> Any:
    """The library's configuration of what lies in `folder`; EncoderError where that is another model."""
    import transformers

    declared = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    require_unquantised(who, folder / "config.json", declared)
    found = declared.get("model_type")
    if found in model_type.foreign and model_type.read_config:
        try:
            return model_type.read_config(transformers, declared)
        except EncoderError as error:
            raise EncoderError(f"{who}: {folder / 'config.json'} {error}") from None
    if found in model_type.foreign:
        return model_type.config(transformers)
    if found not in model_type.types:
        known = " or ".join(repr(name) for name in (*model_type.types, *model_type.foreign))
        raise EncoderError(f"{who}: {folder / 'config.json'} is of model type {found!r}, {who} is {known}")
    return transformers.AutoConfig.from_pretrained(folder, local_files_only=True)


def strip(config: Any, model_type: ModelType) -> None:
    """Leave of the language model its hidden width and nothing else."""
    text = config.get_text_config(decoder=True)
    for name, value in SMALL.items():
        if hasattr(text, name):
            setattr(text, name, value)
    for name in ("layer_types", "mlp_layer_types", "cross_attention_layers"):
        if getattr(text, name, None) is not None:
            setattr(text, name, [])
    if model_type.shrink:
        model_type.shrink(config)


def network(model_type: ModelType) -> Any:
    """The image side in full size, under torch's current default device and random state."""
    import transformers

    model = built(model_type)
    return side(model_type.take_apart(model, model_type.processor(transformers, None)).image_side)


def built(model_type: ModelType, config: Any = None) -> Any:
    """The model without its language model, under torch's current default device and random state."""
    import transformers

    config = model_type.config(transformers) if config is None else config
    strip(config, model_type)
    return getattr(transformers, model_type.model)(config)


def side(parts: Mapping[str, Any]) -> Any:
    """Modules and parameters as one module, so that what is hashed and counted is the image side alone."""
    import torch

    whole = torch.nn.Module()
    for name, part in parts.items():
        if isinstance(part, torch.nn.Parameter):
            whole.register_parameter(name, part)
        else:
            whole.add_module(name, part)
    return whole
