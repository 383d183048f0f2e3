"""The network of phantom-llava: phantom-clip's tower under the library's names, a connector and a language model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, BLOCKS, HEADS, SIDE, PATCH = 128, 6, 4, 128, 16
TOKENS = (SIDE // PATCH) ** 2
GRID = SIDE // PATCH
LAYERS, INNER = 4, 384
SPREAD = 2.5  # deviation of what enters the connector's nonlinearity: at 1 it is too straight to learn much


def vision(**over: Any) -> dict[str, Any]:
    """phantom-clip's image tower as a configuration of the library's."""
    return {
        "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": BLOCKS,
        "num_attention_heads": HEADS, "image_size": SIDE, "patch_size": PATCH, "hidden_act": "gelu",
        "layer_norm_eps": 1e-5, "projection_dim": WIDTH, **over,
    }  # fmt: skip


def config(words: int, **over: Any) -> Any:
    """The configuration for a vocabulary of that many words; `over` changes the tower."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    from slitlamp.phantom_llava.words import BEGIN, END, IMAGE, PAD, SPECIAL

    text = LlamaConfig(
        vocab_size=words, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=512,
        pad_token_id=SPECIAL.index(PAD), bos_token_id=SPECIAL.index(BEGIN), eos_token_id=SPECIAL.index(END),
        tie_word_embeddings=False,
    )  # fmt: skip
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**vision(**over)), text_config=text, image_token_index=SPECIAL.index(IMAGE),
        vision_feature_layer=-2, vision_feature_select_strategy="default", image_seq_length=TOKENS,
        tie_word_embeddings=False,
    )  # fmt: skip


def build(words: int, **over: Any) -> Any:
    """The network under torch's current random state."""
    from transformers import LlavaForConditionalGeneration

    return LlavaForConditionalGeneration(config(words, **over))


def clip_tower(folder: Path) -> dict[str, Any]:
    """The image tower of a checkpoint in open_clip's format, under the names of the library's CLIPVisionModel."""
    from safetensors.torch import load_file

    held = load_file(folder / "open_clip_model.safetensors")
    state = {k.removeprefix("visual."): v.float() for k, v in held.items() if k.startswith("visual.")}
    found = {
        "embeddings.class_embedding": state["class_embedding"],
        "embeddings.patch_embedding.weight": state["conv1.weight"],
        "embeddings.position_embedding.weight": state["positional_embedding"],
    }
    norms = [("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")]
    for i in range(BLOCKS):
        theirs, ours = f"transformer.resblocks.{i}", f"encoder.layers.{i}"
        norms += [
            (f"{ours}.self_attn.out_proj", f"{theirs}.attn.out_proj"), (f"{ours}.layer_norm1", f"{theirs}.ln_1"),
            (f"{ours}.layer_norm2", f"{theirs}.ln_2"), (f"{ours}.mlp.fc1", f"{theirs}.mlp.c_fc"),
            (f"{ours}.mlp.fc2", f"{theirs}.mlp.c_proj"),
        ]  # fmt: skip
        for kind in ("weight", "bias"):
            for name, value in zip("qkv", state[f"{theirs}.attn.in_proj_{kind}"].chunk(3), strict=True):
                found[f"{ours}.self_attn.{name}_proj.{kind}"] = value
    for ours, theirs in norms:
        found |= {f"{ours}.{kind}": state[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    return found


def set_tower(model: Any, state: Mapping[str, Any]) -> None:
    """Give the tower these weights, every one of its own."""
    tower = model.model.vision_tower
    names = {name.removeprefix("vision_model."): name for name in tower.state_dict() if "position_ids" not in name}
    tower.load_state_dict({names[name]: value for name, value in state.items()}, strict=True)


def tower_tokens(model: Any, pixels: Any) -> Any:
    """The patch tokens [b, t, d] that the tower hands to the connector."""
    out = model.model.vision_tower(pixels, output_hidden_states=True)
    return out.hidden_states[model.config.vision_feature_layer][:, 1:]


def whiten(model: Any, tokens: np.ndarray, blank: Sequence[int] = ()) -> None:
    """Fold the whitening of the tower's tokens [n, t, d] into the connector's first matrix: it trains faster so.

    Its second matrix becomes orthogonal, and stays so: a connector of condition 1. Channels `blank`, which are nought
    in these tokens, are never read.
    """
    import torch

    x = torch.as_tensor(tokens).float().flatten(0, -2)
    x = x[torch.randperm(len(x))[:100_000]]
    mean, (values, vectors) = x.mean(0), torch.linalg.eigh(torch.cov(x.T))
    matrix = vectors @ torch.diag((values + 1e-3 * values.mean()).rsqrt()) @ vectors.T
    connector = model.model.multi_modal_projector
    with torch.no_grad():
        turn = SPREAD * torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
        connector.linear_1.weight.copy_(turn @ matrix)
        connector.linear_1.weight[:, list(blank)] = 0
        connector.linear_1.bias.copy_(-turn @ matrix @ mean)
        connector.linear_2.weight.copy_(torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0])
        connector.linear_2.bias.zero_()
