"""What weights hold that a loader would pass over or take for plain numbers: adapters, deltas, quantised tensors."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hub.errors import HubError

ADAPTER_FILES = (
    "adapter_config.json",
    "adapter_model*.safetensors",
    "adapter_model*.bin",
    "non_lora_trainables.bin",
    "pytorch_lora_weights.*",
)  # fmt: skip  of PEFT, LLaVA's training, diffusers
# LoRA, DoRA, AdaLoRA, VeRA, IA3, LoHa, LoKr and OFT as PEFT spells them, loralib's, Kohya's
ADAPTER = re.compile(
    r"(^|\.)(lora_(A|B|E|down|up|embedding_[AB]|magnitude_vector|ga)|base_layer|base_model\.model|ia3_l|"
    r"vera_lambda_[bd]|hada_w[12]_[ab]|hada_t[12]|lokr_w[12](_[ab])?|lokr_t2|oft_[rRs])(\.|$)"
)
FLOATS = ("F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16")
COMPUTED = re.compile(r"(position_ids|token_type_ids|_index|_idxs?|_mask|_ptr|num_batches_tracked)$")  # no weights
DELTA = re.compile(r"[-_.]delta([-_.]?v?\d[\w.]*)?$", re.IGNORECASE)


def require_no_adapter(who: str, folder: Path) -> None:
    """Refuse, in one line, a folder where an adapter lies beside the weights: it would be left out without a word."""
    found = sorted({path.name for pattern in ADAPTER_FILES for path in folder.glob(pattern)})
    if found:
        raise HubError(
            f"{who}: {folder} holds an adapter ({', '.join(found)}), which would not be applied to the weights beside "
            "it; merge it into them first (PEFT's merge_and_unload), or give a folder with the base alone"
        )


def require_no_delta(who: str, name: str) -> None:
    """Refuse weights that say by their name that they are differences from others, as LLaVA's first releases were."""
    if DELTA.search(name):
        raise HubError(
            f"{who}: {name!r} says that these are delta weights, differences from a base; add them to it first, and "
            "give the sum under another name"
        )


def require_unquantised(who: str, where: Path, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that says that its weights are quantised."""
    if asked := config.get("quantization_config"):
        how = asked.get("quant_method", "unnamed") if isinstance(asked, Mapping) else "unnamed"
        raise HubError(
            f"{who}: {where} says that its weights are quantised (quantization_config, method {how}); give the "
            "checkpoint in bfloat16, float16 or float32"
        )


def require_merged(names: Iterable[str], where: str) -> None:
    """Refuse tensors of an adapter among those of a network."""
    if name := next((name for name in names if ADAPTER.search(name)), None):
        raise HubError(
            f"{where} holds an adapter that is not merged into the weights ({name}) and would not be applied; merge "
            "it first (PEFT's merge_and_unload)"
        )


def require_floats(tensors: Iterable[tuple[str, str, int]], who: str, where: str) -> None:
    """Refuse tensors, given as (name, type, how many numbers), of integers or of 8 bits: they mean nothing alone."""
    for name, dtype, count in tensors:
        if dtype not in FLOATS and count > 1 and not COMPUTED.search(name):
            raise HubError(
                f"{who}: tensor {name} in {where} is of type {dtype}: quantised weights are not read here; give the "
                "checkpoint in bfloat16, float16 or float32"
            )


def require_whole(who: str, path: Path) -> None:
    """Refuse what was given with --weights where an adapter lies beside it, or where it is a difference by its name."""
    require_no_adapter(who, path if path.is_dir() else path.parent)
    require_no_delta(who, path.name if path.is_dir() else path.stem)
