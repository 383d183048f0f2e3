"""InternVL as its authors publish it: a configuration of type internvl_chat, and tensors spelt as in their code.

None of that code is run: the configuration says what it would compute, and where that is something which the
library's class does not compute, the checkpoint is refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoders._base import IMAGENET_NORM, EncoderError

TYPE = "internvl_chat"
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size", "patch_size")
TO = "multi_modal_projector"
SPELLING = (
    ("vision_model.embeddings.class_embedding", "vision_tower.embeddings.cls_token"),
    ("vision_model.embeddings.patch_embedding.", "vision_tower.embeddings.patch_embeddings.projection."),
    ("vision_model.embeddings.position_embedding", "vision_tower.embeddings.position_embeddings"),
    ("vision_model.encoder.layers.", "vision_tower.encoder.layer."),
    (".attn.proj.", ".attention.projection_layer."),
    (".attn.q_norm.", ".attention.q_norm."),
    (".attn.k_norm.", ".attention.k_norm."),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".ls1", ".lambda_1"),
    (".ls2", ".lambda_2"),
)


def authors_config(folder: Path | None) -> Mapping[str, Any] | None:
    """The authors' own configuration if it lies in `folder`, else None."""
    if folder is None:
        return None
    found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found if found.get("model_type") == TYPE else None


def config(library: Any, declared: Mapping[str, Any]) -> Any:
    """The library's configuration of the same image side; of the language model it has the width alone.

    Raises EncoderError, whose message goes on after the name of the file, where the library computes otherwise.
    """
    tower, words = dict(declared.get("vision_config") or {}), dict(declared.get("llm_config") or {})
    absent = [f"vision_config.{name}" for name in SIZES if name not in tower]
    absent += [] if "hidden_size" in words else ["llm_config.hidden_size"]
    if absent:
        raise EncoderError(f"lacks {', '.join(absent)}; it is no configuration of an InternVL of type {TYPE}")
    _refuse_variants(declared, tower)
    vision = library.InternVLVisionConfig(
        **{name: tower[name] for name in SIZES},
        attention_bias=tower.get("qkv_bias", False),
        use_qk_norm=tower.get("qk_normalization", True),
        norm_type=tower.get("norm_type", "rms_norm"),
        hidden_act=tower.get("hidden_act", "gelu"),
        layer_norm_eps=tower.get("layer_norm_eps", 1e-6),
        use_mean_pooling=True,  # the authors' tower ends without a norm
    )
    return library.InternVLConfig(
        vision_config=vision,
        text_config=library.Qwen2Config(hidden_size=words["hidden_size"]),
        downsample_ratio=declared.get("downsample_ratio", 0.5),
        vision_feature_layer=declared.get("select_layer", -1),
    )


def _refuse_variants(declared: Mapping[str, Any], tower: Mapping[str, Any]) -> None:
    """Refuse a variant of which the library has no equal."""
    network = (tower.get("architectures") or ["InternVisionModel"])[0]
    side = declared.get("force_image_size") or tower["image_size"]
    version = declared.get("ps_version", "v1")
    no_whole = _most_tiles(declared) > 1 and not declared.get("use_thumbnail", False)
    for odd, what in (
        (network != "InternVisionModel", f"a tower {network!r}"),
        (version != "v2", f"ps_version {version!r}, which transposes tokens"),
        (declared.get("pad2square", False), "pad2square, which pads images"),
        (no_whole, "tiles without the whole image (use_thumbnail)"),
        (side != tower["image_size"], f"force_image_size {side} over a position table for {tower['image_size']}"),
    ):
        if odd:
            raise EncoderError(f"asks for {what}, which is not built here; give a model without it")


def _most_tiles(declared: Mapping[str, Any]) -> int:
    return declared.get("max_dynamic_patch", 6) if declared.get("dynamic_image_size", False) else 1


def processor(library: Any, declared: Mapping[str, Any]) -> Any:
    """The image processor that does what the authors' example code does with that configuration."""
    side = declared["vision_config"]["image_size"]
    return library.GotOcr2ImageProcessorPil(
        size={"height": side, "width": side},
        min_patches=min(declared.get("min_dynamic_patch", 1), _most_tiles(declared)),
        max_patches=_most_tiles(declared),
        image_mean=list(IMAGENET_NORM["mean"]),
        image_std=list(IMAGENET_NORM["std"]),
    )


def original(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of the authors' own layout in the library's spelling, fused attention split; others stay as they are."""
    renamed: dict[str, Any] = {}
    for name, value in tensors.items():
        if name.startswith("mlp1."):
            name = name.replace("mlp1.0.", f"{TO}.layer_norm.").replace("mlp1.1.", f"{TO}.linear_1.")
            renamed[name.replace("mlp1.3.", f"{TO}.linear_2.")] = value
        elif not name.startswith("vision_model."):
            renamed[name] = value
        elif ".attn.qkv." in name:
            stem, _, parameter = name.rpartition(".attn.qkv.")
            stem = stem.replace("vision_model.encoder.layers.", "vision_tower.encoder.layer.")
            for part, tensor in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{stem}.attention.{part}_proj.{parameter}"] = tensor
        else:
            for old, new in SPELLING:
                name = name.replace(old, new)
            renamed[name] = value
    return renamed
