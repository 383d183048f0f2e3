"""Tiny checkpoints of models that no library reads, in the files and under the names in which they were published."""

import copy
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.stand_in_hub import WORDS, randomise, tokenizer


def bert() -> Any:
    """A tiny BERT, and its tensors under the names of the library that trained it."""
    import torch
    import transformers

    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=1, intermediate_size=48, vocab_size=len(WORDS),
        max_position_embeddings=96,
    )  # fmt: skip
    model = randomise(transformers.BertModel(config))
    return model, {**model.state_dict(), "embeddings.position_ids": torch.arange(96)[None]}


def pmc_clip(folder: Path, *, heads: int = 4) -> dict[str, Any]:
    """PMC-CLIP's checkpoint with what its training code wrapped around it; gives the models behind it."""
    import torch
    from open_clip.modified_resnet import ModifiedResNet

    folder.mkdir(parents=True, exist_ok=True)
    visual = randomise(ModifiedResNet([1, 2, 1, 1], 24, heads, 64, 8))
    text, words = bert()
    projection = torch.randn(32, 24, generator=torch.Generator().manual_seed(3))
    state = {f"module.visual.{k}": v for k, v in visual.state_dict().items()}
    state |= {f"module.text_encoder.{k}": v for k, v in words.items()}
    state |= {"module.text_projection": projection, "module.fusion_module.x": torch.ones(3)}
    wrapped = {"epoch": 3, "name": "pmc", "loss": np.float64(0.5), "state_dict": state}
    torch.save(wrapped, folder / "checkpoint.pt")
    tokenizer(folder)
    return {"visual": visual, "text": text, "projection": projection}


def pmc_clip_files(folder: Path) -> None:
    """The same tensors in the three files that lie beside the checkpoint."""
    import torch

    state = torch.load(folder / "checkpoint.pt", weights_only=False)["state_dict"]

    def part(prefix: str) -> dict[str, Any]:
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

    (folder / "apart").mkdir()
    torch.save(part("module.visual."), folder / "apart" / "image_encoder(resnet50).pth")
    torch.save(part("module.text_encoder."), folder / "apart" / "text_encoder.pth")
    torch.save(torch.nn.Parameter(state["module.text_projection"]), folder / "apart" / "text_projection_layer.pth")
    tokenizer(folder / "apart")


def radfm(folder: Path, *, width: int = 48, blocks: int = 2, language: int = 40) -> dict[str, Any]:
    """RadFM's checkpoint: its eye below `embedding_layer.`, beside tensors of its language model."""
    import torch

    rng = torch.Generator().manual_seed(5)

    def made(*shape: int) -> Any:
        return torch.randn(shape, generator=rng) * 0.7 / max(shape[-1], 1) ** 0.5

    def norm(name: str, size: int) -> dict[str, Any]:
        return {f"{name}.weight": made(size) + 1, f"{name}.bias": made(size)}

    def linear(name: str, out: int, size: int, *, bias: bool = True) -> dict[str, Any]:
        return {f"{name}.weight": made(out, size)} | ({f"{name}.bias": made(out)} if bias else {})

    eye = norm("vision_encoder.to_patch_embedding.1", 12288)
    eye |= linear("vision_encoder.to_patch_embedding.2", width, 12288) | norm(
        "vision_encoder.to_patch_embedding.3", width
    )
    for axis, count in (("row", 16), ("col", 16), ("dep", 128)):
        eye[f"vision_encoder.pos_embedding.{axis}_embed.weight"] = made(count, width // 3) * 3
    for i in range(blocks):
        at = f"vision_encoder.transformer.layers.{i}"
        eye |= norm(f"{at}.0.norm", width) | linear(f"{at}.0.fn.to_qkv", 384, width, bias=False)
        eye |= linear(f"{at}.0.fn.to_out.0", width, 128) | norm(f"{at}.1.norm", width)
        eye |= linear(f"{at}.1.fn.net.0", 64, width) | linear(f"{at}.1.fn.net.3", width, 64)
    eye |= {f"perceiver.{k}": v for k, v in perceiver(width, 5, made).items()}
    eye |= linear("fc", language, width)
    state = {f"embedding_layer.{k}": v for k, v in eye.items()}
    state |= {"embedding_layer.weight": made(6, language), "lang_model.lm_head.weight": made(6, language)}
    state |= {"embedding_layer.bert_model.embeddings.word_embeddings.weight": made(6, 8)}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "pytorch_model.bin")
    return eye


def perceiver(width: int, latents: int, made: Any, depth: int = 2) -> dict[str, Any]:
    """The tensors of a perceiver under the names of the Flamingo code."""
    found = {"latents": made(latents, width) * 3, "norm.weight": made(width) + 1, "norm.bias": made(width)}
    for i in range(depth):
        for part in ("0.norm_media", "0.norm_latents", "1.0"):
            found |= {f"layers.{i}.{part}.weight": made(width) + 1, f"layers.{i}.{part}.bias": made(width)}
        found |= {f"layers.{i}.0.to_q.weight": made(128, width), f"layers.{i}.0.to_kv.weight": made(256, width)}
        found |= {f"layers.{i}.0.to_out.weight": made(width, 128)}
        found |= {f"layers.{i}.1.1.weight": made(72, width), f"layers.{i}.1.3.weight": made(width, 72)}
    return found


def medclip(folder: Path, kind: str) -> dict[str, Any]:
    """MedCLIP's zip, with Swin names as its library wrote them then; gives the models behind it."""
    import torch
    import torchvision
    import transformers
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    if kind == "vit":
        config = transformers.SwinConfig(embed_dim=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 4])
        eye = randomise(transformers.SwinModel(config))
        eye.save_pretrained(folder / "swin")  # writes the names of the hub
        named = load_file(folder / "swin" / "model.safetensors")
        named["encoder.layers.0.blocks.0.attention.self.relative_position_index"] = torch.zeros(49, 49)
        head = torch.randn(512, 128, generator=torch.Generator().manual_seed(1)) / 10
        state = {f"vision_model.model.{k}": v for k, v in named.items()}
        state["vision_model.projection_head.weight"] = head
    else:
        eye = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
        eye.fc = torch.nn.Linear(2048, 512, bias=False)
        randomise(eye)
        head = eye.fc.weight
        state = {f"vision_model.model.{k}": v for k, v in eye.state_dict().items()}
    text, words = bert()
    projection = torch.randn(512, 32, generator=torch.Generator().manual_seed(2))
    state |= {f"text_model.model.{k}": v for k, v in words.items()}
    state |= {"text_model.projection_head.weight": projection, "logit_scale": torch.tensor(2.0)}
    torch.save(state, folder / "pytorch_model.bin")
    with zipfile.ZipFile(folder / "pretrained.zip", "w") as archive:
        archive.write(folder / "pytorch_model.bin", "pytorch_model.bin")
    tokenizer(folder)
    return {"vision": eye, "head": head, "text": text, "projection": projection}


def clip(side: int, layers: int = 3) -> Any:
    """A tiny CLIP tower with QuickGELU over images of `side` pixels."""
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=1, image_size=side,
        patch_size=14, hidden_act="quick_gelu",
    )  # fmt: skip
    return randomise(transformers.CLIPVisionModel(config))


def sharded(folder: Path, state: dict[str, Any], shards: int = 3) -> None:
    """The tensors as safetensors in several files, with their index."""
    import json

    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    names = list(state)
    files = {name: f"model-{i % shards + 1:05d}-of-{shards:05d}.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        held = {name: state[name].contiguous() for name in names if files[name] == file}
        save_file(held, folder / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 0}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")


def draws(seed: int) -> Any:
    """A function from a shape to a random tensor of it."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=rng) * 0.7 / shape[-1] ** 0.5


def med_flamingo(folder: Path) -> dict[str, Any]:
    """The files of both repositories, in `clip` and `flamingo`, and together in `both`."""
    import shutil

    import torch
    from safetensors.torch import save_file

    tower = clip(224)
    state = {f"vision_model.{k}": v.contiguous() for k, v in tower.state_dict().items()}
    state |= {"text_model.final_layer_norm.weight": torch.ones(4), "logit_scale": torch.tensor(1.0)}
    for name in ("clip", "flamingo", "both"):
        (folder / name).mkdir(parents=True)
    save_file(state, folder / "clip" / "model.safetensors", metadata={"format": "pt"})
    (folder / "clip" / "config.json").write_text("{}")
    latents = perceiver(32, 6, draws(7))
    whole = {f"perceiver.{k}": v for k, v in latents.items()} | {"lang_encoder.gated.x": torch.ones(3)}
    torch.save(whole, folder / "flamingo" / "model.pt")
    for part in ("clip/model.safetensors", "clip/config.json", "flamingo/model.pt"):
        shutil.copy(folder / part, folder / "both")
    return {"tower": tower, "perceiver": latents}


def phi3_vision(folder: Path) -> dict[str, Any]:
    """Phi-3-vision: its eye below `model.vision_embed_tokens.`, beside tensors of its language model."""
    made, tower = draws(9), clip(336)
    rest = {"glb_GN": made(1, 1, 128), "sub_GN": made(1, 1, 1, 128), "img_projection.0.weight": made(20, 128)}
    rest |= {
        "img_projection.0.bias": made(20),
        "img_projection.2.weight": made(20, 20),
        "img_projection.2.bias": made(20),
    }
    at = "model.vision_embed_tokens."
    state = {f"{at}img_processor.vision_model.{k}": v for k, v in tower.state_dict().items()}
    state |= {f"{at}{k}": v for k, v in rest.items()}
    state |= {
        f"{at}wte.weight": made(5, 20),
        "model.layers.0.mlp.down_proj.weight": made(4, 4),
        "lm_head.weight": made(5, 20),
    }
    sharded(folder, state)
    return {"tower": tower, "rest": rest}


def molmo(folder: Path) -> dict[str, Any]:
    """Molmo: its eye under the names of its own code, flat patches and all, beside its language model."""
    made, tower = draws(11), clip(336, layers=10)
    names = {
        "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
        "self_attn.out_proj": "attention.wo", "layer_norm1": "attention_norm", "layer_norm2": "ffn_norm",
        "mlp.fc1": "feed_forward.w1", "mlp.fc2": "feed_forward.w2", "encoder.layers": "transformer.resblocks",
        "pre_layrnorm": "pre_ln", "embeddings.class_embedding": "class_embedding",
        "embeddings.patch_embedding": "patch_embedding", "embeddings.position_embedding.weight": "positional_embedding",
    }  # fmt: skip
    eye = {}
    for name, value in tower.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        if not name.startswith("post_"):
            eye[name] = value.permute(0, 2, 3, 1).flatten(1) if name == "patch_embedding.weight" else value
    rest = {"pad_embed": made(2, 64) * 4, "image_projector.w2.weight": made(18, 24)}
    rest |= {f"image_projector.{w}.weight": made(24, 32) for w in ("w1", "w3")}
    for w in ("wq", "wk", "wv", "wo"):
        rest |= {
            f"image_pooling_2d.{w}.weight": made(32, 32 if w == "wo" else 64),
            f"image_pooling_2d.{w}.bias": made(32),
        }
    state = {f"model.vision_backbone.image_vit.{k}": v for k, v in eye.items()}
    state |= {f"model.vision_backbone.{k}": v for k, v in rest.items()}
    state |= {"model.transformer.wte.embedding": made(5, 18), "model.transformer.ff_out.weight": made(5, 18)}
    sharded(folder, state)
    return {"tower": tower, "rest": rest}


def medvint_td(folder: Path) -> dict[str, Any]:
    """MedVInT-TD: the children of a trunk by number, a decoder and two layers, beside its language model."""
    import torch
    from open_clip.modified_resnet import ModifiedResNet

    folder.mkdir(parents=True, exist_ok=True)
    trunk = randomise(ModifiedResNet([1, 2, 1, 1], 24, 4, 64, 4))
    cut = torch.nn.Sequential(*list(trunk.children())[:-2])
    layer = torch.nn.TransformerDecoderLayer(64, 8, 40, norm_first=True, batch_first=True)
    decoder = randomise(torch.nn.TransformerDecoder(layer, 2, torch.nn.LayerNorm(64)))
    made = draws(13)
    rest = {"query_embed.weight": made(5, 64) * 4, "fc_l1.weight": made(64, 64), "fc_l1.bias": made(64)}
    rest |= {"fc_l2.weight": made(20, 64), "fc_l2.bias": made(20)}
    state = {f"vision_model.{k}": v for k, v in cut.state_dict().items()} | rest
    state |= {f"decoder.{k}": v for k, v in decoder.state_dict().items()}
    torch.save(state | {"llamacasual.base_model.model.lm_head.weight": made(5, 20)}, folder / "pytorch_model.bin")
    return {"trunk": trunk, "decoder": decoder, "rest": rest}


def medvint_te(folder: Path) -> dict[str, Any]:
    """MedVInT-TE's repository: the run's whole model where its authors keep it, and PMC-CLIP's checkpoint."""
    import torch

    found = pmc_clip(folder / "pmc_clip")
    layer = torch.nn.TransformerDecoderLayer(20, 4, 12, norm_first=True)
    decoder = randomise(torch.nn.TransformerDecoder(layer, 2, torch.nn.LayerNorm(20)))
    visual = randomise(copy.deepcopy(found["visual"]), 5)  # the run trains the tower on
    made = draws(14)
    wide = visual.layer4[-1].conv3.out_channels
    rest = {"image_embed.0.weight": made(20, wide), "image_embed.0.bias": made(20), "qformer_query": made(6, 20) * 4}
    state = {f"image_encoder.visual.{k}": v for k, v in visual.state_dict().items()} | rest
    del state["image_encoder.visual.attnpool.positional_embedding"]
    state |= {f"qformer_decoder.{k}": v for k, v in decoder.state_dict().items()}
    state |= {f"qformer_decoder_layer.{k}": v for k, v in layer.state_dict().items()}
    state |= {"text_embed.0.bias": made(20), "img_special_token": made(1, 1, 20), "mlm_projection": made(20, 5)}
    file = folder / "VQA_lora_pmcclip" / "vqa" / "checkpoint-13500" / "pytorch_model.bin"
    file.parent.mkdir(parents=True)
    torch.save(state, file)
    return found | {"trained": visual, "decoder": decoder, "rest": rest}
