"""Tiny, fully random checkpoints of the towers that transformers, timm and open_clip read, in their real formats.

Each builder lays a snapshot into a folder and gives back what the library's own full model says of images: a
function from PIL images to {site: tokens [b, t, d]}, and one from sentences to vectors where there is a text tower.
"""

import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.stand_in_hub import (
    PREPROCESS,
    WORDS,
    clip_folder,
    dinov2_folder,
    filled,
    randomise,
    siglip_folder,
    tokenizer,
)

TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
EVA = "eva02_base_patch16_clip_224"
SMALL = {"embed_dim": 32, "depth": 3, "num_heads": 2}


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A snapshot and what its model says; `pixels` is the reference processor, batch first."""

    folder: Path
    pixels: Callable[[Sequence[Any]], Any]
    sites: Callable[[Any], Mapping[str, Any]]
    text: Callable[[list[str]], Any] | None = None


def _transformers(folder: Path, model: Any) -> Tiny:
    import torch
    import transformers

    backend = "torchvision" if model.config.model_type == "dinov3_vit" else "pil"
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend=backend)
    vision = getattr(model, "vision_model", model)
    siglip = model.config.model_type == "siglip"

    def sites(batch: Any) -> dict[str, Any]:
        out = vision(pixel_values=batch, output_hidden_states=True)
        clip = model.config.model_type == "clip"
        found = {f"block.{i}": tokens for i, tokens in enumerate(out.hidden_states[1:])}
        found["final"] = vision.post_layernorm(out.last_hidden_state) if clip else out.last_hidden_state
        found["pooled"] = out.pooler_output[:, None]
        if hasattr(model, "get_image_features"):
            found["joint"] = model.get_image_features(pixel_values=batch).pooler_output[:, None]
        return found

    def text(sentences: list[str]) -> Any:
        length = model.config.text_config.max_position_embeddings
        rows = [[WORDS.index(w) for w in ("[BOS]", *one.lower().split(), "[EOS]")] for one in sentences]
        wide = length if siglip else max(map(len, rows))  # SigLIP reads padding, which follows the words
        ids = torch.tensor([row + [0] * (wide - len(row)) for row in rows])
        mask = {} if siglip else {"attention_mask": (ids != 0).long()}
        return model.get_text_features(input_ids=ids, **mask).pooler_output

    dual = hasattr(model, "get_text_features")
    return Tiny(
        folder=folder,
        pixels=lambda images: processor(images=list(images), return_tensors="pt")["pixel_values"],
        sites=sites,
        text=text if dual else None,
    )


def clip(folder: Path) -> Tiny:
    """CLIP as it is published today."""
    return _transformers(folder, clip_folder(folder))


def clip_bin(folder: Path) -> Tiny:
    """CLIP as it was published first: torch's format, with the position indices that are no longer saved."""
    import torch

    model = clip_folder(folder)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for side, count in (("text", 12), ("vision", 17)):
        state[f"{side}_model.embeddings.position_ids"] = torch.arange(count)[None]
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return _transformers(folder, model)


def siglip(folder: Path) -> Tiny:
    """SigLIP and MedSigLIP, whose tokenizer's class asks for SentencePiece."""
    return _siglip(folder, "SiglipTokenizer")


def siglip2(folder: Path) -> Tiny:
    """SigLIP 2 at one resolution: the same class, and a tokenizer whose class pads on the left."""
    return _siglip(folder, "GemmaTokenizer")


def _siglip(folder: Path, tokenizer_class: str) -> Tiny:
    made = siglip_folder(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_class": tokenizer_class}))
    return _transformers(folder, made)


def dinov2(folder: Path) -> Tiny:
    """DINOv2."""
    return _transformers(folder, dinov2_folder(folder))


def dinov2_giant(folder: Path) -> Tiny:
    """DINOv2 with the gated feed-forward layer of the giant."""
    return _dino(folder, "Dinov2", use_swiglu_ffn=True)


def dinov2_registers(folder: Path) -> Tiny:
    """DINOv2 with four registers."""
    return _dino(folder, "Dinov2WithRegisters", num_register_tokens=4)


def dinov2_giant_registers(folder: Path) -> Tiny:
    """DINOv2 giant with four registers."""
    return _dino(folder, "Dinov2WithRegisters", num_register_tokens=4, use_swiglu_ffn=True)


def rad_dino(folder: Path) -> Tiny:
    """RAD-DINO: three weight files beside one another, the last in the alphabet no tower."""
    import torch
    from safetensors.torch import save_file

    made = _dino(folder, "Dinov2")
    for name in ("backbone_compatible", "dino_head"):
        save_file({"cls_token": torch.ones(1, 1, 32)}, folder / f"{name}.safetensors", metadata={"format": "pt"})
    return made


def _dino(folder: Path, family: str, **options: Any) -> Tiny:
    import transformers

    config = getattr(transformers, f"{family}Config")(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=56, patch_size=14, mlp_ratio=2, **options
    )
    processor = transformers.BitImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 56, "width": 56})
    return _saved(folder, getattr(transformers, f"{family}Model")(config), processor)


def dinov3(folder: Path) -> Tiny:
    """DINOv3."""
    import transformers

    config = transformers.DINOv3ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, num_register_tokens=4,
        image_size=64, patch_size=16,
    )  # fmt: skip
    processor = transformers.DINOv3ViTImageProcessor(size={"height": 64, "width": 64})
    return _saved(folder, transformers.DINOv3ViTModel(config), processor)


def _saved(folder: Path, model: Any, processor: Any) -> Tiny:
    filled(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    return _transformers(folder, model)


def eva(folder: Path) -> Tiny:
    """EVA-CLIP in open_clip's format; timm's entry for its tower must give a small one meanwhile."""
    import open_clip
    from safetensors.torch import save_file

    vision = {"image_size": 64, "timm_model_name": EVA, "timm_model_pretrained": False,
              "timm_pool": "token", "timm_proj": None}  # fmt: skip
    text = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text, "custom_text": True}
    model: Any = filled(open_clip.CustomTextCLIP(16, copy.deepcopy(vision), copy.deepcopy(text)))
    folder.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}))
    trunk = model.visual.trunk

    def sites(batch: Any) -> dict[str, Any]:
        found = _of_timm(trunk, batch)
        return found | {"pooled": found["final"][:, :1], "joint": model.encode_image(batch)[:, None]}

    def words(sentences: list[str]) -> Any:
        return model.encode_text(open_clip.SimpleTokenizer(context_length=12)(sentences))

    return Tiny(folder=folder, pixels=_cropped(64), sites=sites, text=words)


def _of_timm(model: Any, batch: Any) -> dict[str, Any]:
    import torch

    final, middle = model.forward_intermediates(batch, output_fmt="NLC", return_prefix_tokens=True)
    found = {f"block.{i}": torch.cat([prefix, patches], 1) for i, (patches, prefix) in enumerate(middle)}
    return found | {"final": final}


def _cropped(size: int) -> Callable[[Sequence[Any]], Any]:
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2

    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in PREPROCESS.items()}
    apply: Any = image_transform_v2(PreprocessCfg(size=size, **settings), is_train=False)
    return lambda images: torch.stack([apply(image) for image in images])


def timm_tower(
    folder: Path,
    architecture: str,
    arguments: Mapping[str, Any],
    listed: Mapping[str, Any],
    side: int,
    resize: int,
    norm: tuple[Sequence[float], Sequence[float]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
) -> Tiny:
    """A tower in timm's format: `arguments` are told by the model card, those `listed` by the configuration."""
    import timm
    import torch
    from torchvision import transforms

    size = resize if resize != side else side
    model: Any = filled(timm.create_model(architecture, num_classes=0, **{**listed, **arguments}))
    folder.mkdir(parents=True)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    cfg = {"input_size": [3, side, side], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
           "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center", "num_classes": 0,
           "first_conv": "patch_embed.proj", "classifier": "head"}  # fmt: skip
    described = {"architecture": architecture, "num_classes": 0, "model_args": dict(listed), "pretrained_cfg": cfg}
    (folder / "config.json").write_text(json.dumps(described))
    apply = transforms.Compose([
        transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(side),
        transforms.ToTensor(), transforms.Normalize(*norm),
    ])  # fmt: skip

    def sites(batch: Any) -> dict[str, Any]:
        return _of_timm(model, batch) | {"pooled": model(batch)[:, None]}

    return Tiny(
        folder=folder,
        pixels=lambda images: torch.stack([apply(image) for image in images]),  # pyright: ignore
        sites=sites,
    )


def retfound(folder: Path, *, fine_tuned: bool = False) -> Tiny:
    """RETFound's file: the autoencoder with its decoder, or what the authors' code saves after fine-tuning.

    The fine-tuned network is computed here by hand: the norm stands behind the mean of the patches.
    """
    import argparse

    import timm
    import torch
    from torchvision import transforms

    from encoders import retfound as family

    pool = {"global_pool": "avg", "fc_norm": True} if fine_tuned else {}
    model: Any = filled(timm.create_model("vit_large_patch16_224", num_classes=0, **family.LARGE, **pool))
    state = dict(model.state_dict())
    if fine_tuned:
        state |= {"head.weight": torch.ones(5, 32), "head.bias": torch.ones(5)}
    else:
        state |= {"mask_token": torch.ones(1, 1, 32), "decoder_pos_embed": torch.ones(1, 197, 16),
                  "decoder_blocks.0.norm1.weight": torch.ones(16), "decoder_pred.bias": torch.ones(768)}  # fmt: skip
    folder.mkdir(parents=True)
    saved = {"model": state, "optimizer": {"state": {}}, "epoch": 49, "scaler": {"scale": 65536.0},
             "args": argparse.Namespace(lr=1e-3, data_path="films")}  # fmt: skip
    torch.save(saved, folder / family.FILES["retfound-cfp"][0])
    apply = transforms.Compose([
        transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224),
        transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip

    def sites(batch: Any) -> dict[str, Any]:
        found = _of_timm(model, batch)
        if not fine_tuned:
            return found | {"pooled": found["final"][:, :1]}
        mean = found[f"block.{len(model.blocks) - 1}"][:, 1:].mean(1)
        del found["final"]
        return found | {
            "pooled": _norm(mean[:, None], {f"n.{k}": v for k, v in model.fc_norm.state_dict().items()}, "n.")
        }

    return Tiny(
        folder=folder,
        pixels=lambda images: torch.stack([apply(image) for image in images]),  # pyright: ignore
        sites=sites,
    )


def phikon(folder: Path) -> Tiny:
    """Phikon-v2: DINOv2's class on patches of 16 pixels."""
    import transformers

    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=16, mlp_ratio=2
    )
    processor = transformers.BitImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    return _saved(folder, transformers.Dinov2Model(config), processor)


def conch(folder: Path) -> Tiny:
    """CONCH's file and tokenizer; the poolers and the text tower are computed here a second time, by hand."""
    import torch
    from open_clip.transformer import TextTransformer

    from encoders import conch as family

    visual = randomise(family.network())
    state = {f"visual.{k}": v for k, v in visual.state_dict().items()}
    words = filled(TextTransformer(**family.TEXT, output_dim=family.HEADS["joint"], embed_cls=True)).state_dict()
    state |= {f"text.{k}": v for k, v in words.items()}
    state |= {"logit_scale": torch.ones([]), "text_decoder.x": torch.ones(3)}
    folder.mkdir(parents=True)
    torch.save(state, folder / "pytorch_model.bin")
    _bytes_tokenizer(folder / "conch_byte_level_bpe_uncased.json")

    def sites(batch: Any) -> dict[str, Any]:
        found = _of_timm(visual.trunk, batch)
        tensors = {k.removeprefix("visual."): v for k, v in state.items()}
        pooled = _norm(_pool(found["final"], tensors, "attn_pool_contrast."), tensors, "ln_contrast.")
        caption = _norm(_pool(found["final"], tensors, "attn_pool_caption."), tensors, "ln_caption.")
        return found | {"pooled": pooled, "joint": pooled @ tensors["proj_contrast"], "caption": caption}

    return Tiny(
        folder=folder,
        pixels=_cropped(family.SIDE),
        sites=sites,
        text=lambda sentences: torch.stack([_conch_sentence(one, words) for one in sentences]),
    )


def _bytes_tokenizer(file: Path) -> None:
    """A tokenizer of bytes that is built as CONCH's is: three special tokens first, accents and capitals dropped."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = {word: i for i, word in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    fast: Any = Tokenizer(models.BPE(letters, []))
    fast.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    fast.post_processor = processors.TemplateProcessing(
        single="<start_of_text> $A <end_of_text>", special_tokens=[("<start_of_text>", 1), ("<end_of_text>", 2)]
    )
    fast.add_special_tokens(SPECIAL)
    fast.save(str(file))


SPECIAL = ["<pad>", "<start_of_text>", "<end_of_text>"]


def _conch_sentence(sentence: str, state: Mapping[str, Any], context: int = 12, heads: int = 2) -> Any:
    """One sentence as the authors' code reads it: bytes, padding, and CLS last, which sees one token too far."""
    import torch
    from tokenizers import pre_tokenizers

    letters = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    spelt = "Ġ" * bool(sentence) + sentence.lower().replace(" ", "Ġ")
    ids = [1, *[letters.index(letter) for letter in spelt][: context - 2], 2]
    count = len(ids)
    ids += [0] * (context - count)
    x = torch.cat([state["token_embedding.weight"][ids], state["cls_emb"][None]]) + state["positional_embedding"]
    mask = torch.full((context + 1, context + 1), -torch.inf).triu(1)
    mask[-1, count + 1 :] = -torch.inf  # of the padding the first is left open, and CLS itself is shut
    for i in range(2):
        at = f"transformer.resblocks.{i}."
        q, k, v = (
            _norm(x, state, f"{at}ln_1.") @ state[f"{at}attn.in_proj_weight"].T + state[f"{at}attn.in_proj_bias"]
        ).chunk(3, -1)
        wide = q.shape[-1] // heads
        answers = [
            torch.softmax(a @ b.T / wide**0.5 + mask, -1) @ c
            for a, b, c in zip(q.split(wide, -1), k.split(wide, -1), v.split(wide, -1), strict=True)
        ]
        x = x + torch.cat(answers, -1) @ state[f"{at}attn.out_proj.weight"].T + state[f"{at}attn.out_proj.bias"]
        inner = _norm(x, state, f"{at}ln_2.") @ state[f"{at}mlp.c_fc.weight"].T + state[f"{at}mlp.c_fc.bias"]
        inner = torch.nn.functional.gelu(inner)
        x = x + inner @ state[f"{at}mlp.c_proj.weight"].T + state[f"{at}mlp.c_proj.bias"]
    return _norm(x[-1], state, "ln_final.") @ state["text_projection"]


def _norm(x: Any, state: Mapping[str, Any], at: str) -> Any:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{at}weight"] + state[f"{at}bias"]


def _pool(tokens: Any, state: Mapping[str, Any], at: str, heads: int = 2) -> Any:
    import torch

    keys, query = _norm(tokens, state, f"{at}ln_k."), _norm(state[f"{at}query"], state, f"{at}ln_q.")
    if f"{at}attn.in_proj_weight" in state:
        of_q, of_k, of_v = state[f"{at}attn.in_proj_weight"].chunk(3)
    else:
        of_q, of_k, of_v = (state[f"{at}attn.{name}_proj_weight"] for name in "qkv")
    bias_q, bias_k, bias_v = state[f"{at}attn.in_proj_bias"].chunk(3)
    q, k, v = query @ of_q.T + bias_q, keys @ of_k.T + bias_k, keys @ of_v.T + bias_v
    answers = []
    for one in range(heads):
        part = slice(one * q.shape[-1] // heads, (one + 1) * q.shape[-1] // heads)
        weight = torch.softmax(q[None, :, part] @ k[..., part].mT / (part.stop - part.start) ** 0.5, -1)
        answers.append(weight @ v[..., part])
    return torch.cat(answers, -1) @ state[f"{at}attn.out_proj.weight"].T + state[f"{at}attn.out_proj.bias"]


def unimed(folder: Path, name: str, file: str, joint: int, scratch: Path) -> Tiny:
    """UniMed-CLIP's training checkpoint: the fork's spelling, NumPy scalars, the optimiser's state."""
    import open_clip
    import torch
    import transformers

    from encoders import unimed_clip as family

    scratch.mkdir(parents=True)
    transformers.BertConfig(**family.BERT).save_pretrained(scratch)
    text = {**family.TEXT, "hf_model_name": str(scratch), "hf_model_pretrained": False}
    vision: Any = family.VISION[name]
    model: Any = randomise(open_clip.CustomTextCLIP(joint, dict(vision), text, quick_gelu=True))
    state = {
        "text_encoder." + k.removeprefix("text.") if k.startswith("text.") else k: v
        for k, v in model.state_dict().items()
    }
    state["text_encoder.transformer.embeddings.position_ids"] = torch.arange(16)[None]
    folder.mkdir(parents=True)
    torch.save({"epoch": np.int64(3), "loss": np.float64(0.5), "state_dict": state, "optimizer": {}}, folder / file)
    tokenizer(scratch)
    blocks = model.visual.transformer.resblocks

    def sites(batch: Any) -> dict[str, Any]:
        out = model.visual.forward_intermediates(
            batch, output_fmt="NLC", output_extra_tokens=True, normalize_intermediates=False
        )
        middle, prefix = out["image_intermediates"], out["image_intermediates_prefix"]
        found = {f"block.{i}": torch.cat([prefix[i], middle[i]], 1) for i in range(len(blocks))}
        found["final"] = model.visual.ln_post(found[f"block.{len(blocks) - 1}"])
        return found | {"pooled": found["final"][:, :1], "joint": model.encode_image(batch)[:, None]}

    def words(sentences: list[str]) -> Any:
        return model.encode_text(
            open_clip.tokenizer.HFTokenizer(str(scratch), context_length=family.CONTEXT)(sentences)
        )

    return Tiny(folder=folder, pixels=_cropped(vision["image_size"]), sites=sites, text=words)


def copied(tiny: Tiny, folder: Path) -> Path:
    """A copy of the snapshot that a test may spoil."""
    return Path(shutil.copytree(tiny.folder, folder))


def weight_file(folder: Path) -> Path:
    """The file of the tower's weights."""
    names = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
    return next((folder / name for name in names if (folder / name).exists()), *folder.glob("*.pt*"))


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Apply `change` to the tensors of the folder's weight file."""
    edited_file(weight_file(folder), change)


def edited_file(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The same for one file."""
    import torch
    from safetensors.torch import load_file, save_file

    if file.suffix == ".safetensors":
        state = load_file(file)
        change(state)
        save_file(state, file, metadata={"format": "pt"})
        return
    whole = torch.load(file, weights_only=False)
    change(whole.get("state_dict", whole.get("model", whole)))
    torch.save(whole, file)
