"""A hub on loopback that serves tiny checkpoints, in the real on-disk formats, under the real repository ids.

Every parameter of the tiny models is random: gates, class tokens and layer scales start at 0 or 1, and a test
on such values could not see that they were never loaded.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import encoders
from tests.hub_server import Hub, Repository, serving

__all__ = ["Hub", "Repository", "serving"]
WORDS = ["[PAD]", "[UNK]", "a", "chest", "film", "upright", "turned", "contrast", "no", "with", "[BOS]", "[EOS]"]


def randomise(module: Any, seed: int = 0) -> Any:
    """Every parameter and float buffer random, variances positive, under a generator of its own."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if value.is_floating_point():
                draw = torch.randn(value.shape, generator=rng) * (
                    0.5 / max(value.shape[-1] if value.ndim else 1, 1) ** 0.5
                )
                value.copy_(draw.abs() + 0.5 if "var" in name or (value.ndim < 2 and "weight" in name) else draw)
    return module.eval()


def filled(model: Any) -> Any:
    """Random parameters; what is computed and never saved, such as rotary positions, stays as it was."""
    saved = model.state_dict()
    computed = {name: value.clone() for name, value in model.named_buffers() if name not in saved}
    randomise(model)
    for name, value in computed.items():
        model.get_buffer(name).copy_(value)
    return model


def sharded(model: Any, processor: Any, folder: Path, infix: tuple[str, str]) -> Any:
    """A whole model in small shards beside its image processor, as on the hub; `infix` are ours and its spelling."""
    model.save_pretrained(folder, max_shard_size="20KB")
    processor.save_pretrained(folder)
    if infix[1]:
        respelt(folder, begun(*infix))
    return model


def respelt(folder: Path, spell: Callable[[str], str]) -> None:
    """Other names for the tensors of a checkpoint on disk."""
    from safetensors.torch import load_file, save_file

    for file in folder.glob("*.safetensors"):
        save_file({spell(k): v for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if index.exists():
        told = json.loads(index.read_text())
        index.write_text(json.dumps({**told, "weight_map": {spell(k): v for k, v in told["weight_map"].items()}}))


def begun(old: str, new: str) -> Callable[[str], str]:
    """The spelling of names that begin with `new` where the library's begin with `old`."""
    return lambda key: new + key[len(old) :] if key.startswith(old) else key


def tokenizer(folder: Path) -> None:
    """A word-level tokenizer in the format of the tokenizers library; [EOS] has the highest id."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    fast = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    fast.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", WORDS.index("[BOS]")), ("[EOS]", WORDS.index("[EOS]"))]
    )
    fast.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]",
              "bos_token": "[BOS]", "eos_token": "[EOS]", "model_max_length": 24}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


NATIVE = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "patch_size": 16, "layers": 3, "width": 32, "head_width": 16},
    "text_cfg": {"context_length": 12, "vocab_size": len(WORDS), "hf_tokenizer_name": "phantom-clip",
                 "width": 32, "heads": 2, "layers": 2},
}  # fmt: skip
BERT = {
    "embed_dim": 16,
    "vision_cfg": {"timm_model_name": "vit_tiny_patch16_224", "timm_model_pretrained": False, "timm_pool": "",
                   "timm_proj": "linear"},
    "text_cfg": {"hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
                 "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
                 "hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 16},
}  # fmt: skip
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def open_clip_folder(folder: Path, config: dict[str, Any] = NATIVE, *, half: bool = False) -> Any:
    """A snapshot in open_clip's format; returns the model whose weights it holds."""
    import copy

    import open_clip
    import torch
    import transformers
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    built = copy.deepcopy(config)
    if "hf_model_name" in built["text_cfg"]:
        small = transformers.BertConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            vocab_size=len(WORDS), max_position_embeddings=16,
        )  # fmt: skip
        small.save_pretrained(folder)
        built["text_cfg"] |= {"hf_model_name": str(folder), "hf_model_pretrained": False}
        model: Any = open_clip.CustomTextCLIP(**built)
    else:
        model = open_clip.CLIP(**built)
    randomise(model)
    if half:
        model.half().float()
    state = {k: v.to(torch.float16 if half else v.dtype).contiguous() for k, v in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    described = {"model_cfg": config, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    tokenizer(folder)
    return model


def clip_folder(folder: Path) -> Any:
    """A tiny CLIP in the transformers format."""
    import transformers as library

    config = library.CLIPConfig(
        text_config={"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
                     "vocab_size": len(WORDS), "max_position_embeddings": 12, "eos_token_id": WORDS.index("[EOS]"),
                     "bos_token_id": WORDS.index("[BOS]"), "pad_token_id": 0},
        vision_config={"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
                       "num_attention_heads": 2, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )  # fmt: skip
    processor = library.CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    return _saved(folder, library.CLIPModel(config), processor, text=True)


def siglip_folder(folder: Path) -> Any:
    """A tiny SigLIP in the transformers format."""
    import transformers as library

    config = library.SiglipConfig(
        text_config={"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
                     "vocab_size": len(WORDS), "max_position_embeddings": 12, "projection_size": 32},
        vision_config={"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
                       "num_attention_heads": 2, "image_size": 64, "patch_size": 16},
    )  # fmt: skip
    processor = library.SiglipImageProcessorPil(size={"height": 64, "width": 64})
    return _saved(folder, library.SiglipModel(config), processor, text=True)


def dinov2_folder(folder: Path) -> Any:
    """A tiny DINOv2 in the transformers format, trained at another size than it is asked at."""
    import transformers as library

    config = library.Dinov2Config(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=98, patch_size=14, mlp_ratio=2
    )
    processor = library.BitImageProcessorPil(
        size={"shortest_edge": 80}, crop_size={"height": 70, "width": 70}, image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    return _saved(folder, library.Dinov2Model(config), processor)


def _saved(folder: Path, model: Any, processor: Any, *, text: bool = False) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    randomise(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    if text:
        tokenizer(folder)
    return model


def stand_in(spec: str, **options: Any) -> encoders.Encoder:
    """A tiny network under a published name, which is told that it holds other weights than that name's."""
    return encoders.load(spec, other_weights=True, **options)
