"""Tiny, fully random LLaVAs with tokenizer and chat template, laid into folders as their repositories are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.stand_in_hub import begun, filled, respelt

VISION: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
          "image_size": 56, "patch_size": 14, "projection_dim": 16}  # fmt: skip
TEXT: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2}  # fmt: skip
SQUARE: dict[str, Any] = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
PINPOINTS = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
# the template of the llava-hf repositories, whose turn begins with a space behind "ASSISTANT:"
VICUNA = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST] {% for part in "
    "message['content'] %}{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    " [/INST]{% else %}{% for part in message['content'] %} {{ part['text'] }}{% endfor %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
IMAGES = [
    np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (150, 70, 3), dtype=np.uint8),
    np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8),
    np.random.default_rng(3).integers(0, 256, (60, 60), dtype=np.uint8),
]
PIECES = ("<unk>", "<s>", "</s>")
BYTES = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
HOSTILE: dict[str, Any] = {"do_sample": True, "temperature": 3.0, "top_k": 2, "repetition_penalty": 9.0,
           "suppress_tokens": [5, 6, 7],
           "max_new_tokens": 1, "min_new_tokens": 40, "no_repeat_ngram_size": 1, "num_beams": 3,
           "eos_token_id": 11, "bad_words_ids": [[12]]}  # fmt: skip


def vocabulary(folder: Path, *, pieces: bool, image: bool = True, side: str = "left") -> Any:
    """A tokenizer as SentencePiece's converted ones are (`pieces`: spaces are ▁, ASCII byte by byte), or GPT-2's.

    A letter behind a space is one token of both; with `image` the vocabulary has <image>, as its last.
    """
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    space = "▁" if pieces else "Ġ"
    special = PIECES if pieces else BYTES
    plain = [f"<0x{i:02X}>" for i in range(256)] + ["▁", *map(chr, range(33, 127))] if pieces else sorted(
        pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    merges = [(space, chr(code)) for code in (*range(65, 91), *range(97, 123))] + [("u", "p"), (f"{space}u", "p")]
    words = [*special, *plain, *("".join(pair) for pair in merges)]
    fast: Any = Tokenizer(
        models.BPE({word: i for i, word in enumerate(words)}, merges, byte_fallback=pieces,
                   unk_token="<unk>" if pieces else None, fuse_unk=pieces)
    )  # fmt: skip
    if pieces:
        fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        fast.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    else:
        fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    if image:
        fast.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    if pieces:
        fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder.mkdir(parents=True, exist_ok=True)
    fast.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} if pieces else {
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}  # fmt: skip
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "padding_side": side, **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A tiny LLaVA on disk, and the library's own model and processor of it."""

    folder: Path
    model: Any
    processor: Any

    def told(self, prompt: str, image: np.ndarray | None = None, more: tuple[int, ...] = ()) -> dict[str, Any]:
        """What the library says of one rendered prompt: ids, hidden states, logits of every position."""
        import torch
        from PIL import Image

        picture = None if image is None else [Image.fromarray(image).convert("RGB")]
        adds = not prompt.startswith("<s>")
        given = dict(self.processor(text=[prompt], images=picture, return_tensors="pt", add_special_tokens=adds))
        if more:
            given["input_ids"] = torch.cat([given["input_ids"], torch.tensor([more])], 1)
            given["attention_mask"] = torch.ones_like(given["input_ids"])
        with torch.no_grad():
            out = self.model(**given, output_hidden_states=True)
        ids = given["input_ids"][0]
        at = (ids == self.model.config.image_token_id).nonzero()[:, 0]
        return {
            "ids": ids,
            "at": at,
            "states": [s[0] for s in out.hidden_states],
            "logits": out.logits[0],
            "given": given,
        }


def plain(
    folder: Path, *, pieces: bool = True, half: bool = False, template: str = VICUNA, side: str = "left"
) -> Whole:
    """LLaVA-1.5 as the llava-hf repositories have it: sharded, and with another spelling of its tower."""
    import transformers

    tokenizer = vocabulary(folder, pieces=pieces, side=side)
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(
            **TEXT, vocab_size=len(tokenizer) + 3, eos_token_id=tokenizer.eos_token_id
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    images = transformers.CLIPImageProcessorPil(**SQUARE)
    model = filled(transformers.LlavaForConditionalGeneration(config))
    return _saved(folder, model, images, tokenizer, template, "LlavaProcessor", half=half)


def tiled(folder: Path) -> Whole:
    """LLaVA-1.6 over Mistral."""
    import transformers

    tokenizer = vocabulary(folder, pieces=True)
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.MistralConfig(**TEXT, vocab_size=len(tokenizer), eos_token_id=2),
        image_grid_pinpoints=PINPOINTS,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    images = transformers.LlavaNextImageProcessorPil(**SQUARE, image_grid_pinpoints=PINPOINTS)
    model = filled(transformers.LlavaNextForConditionalGeneration(config))
    return _saved(folder, model, images, tokenizer, MISTRAL, "LlavaNextProcessor")


def _saved(
    folder: Path, model: Any, images: Any, tokenizer: Any, template: str, kind: str, *, half: bool = False
) -> Whole:
    import transformers

    if half:
        model = model.half()
    model.save_pretrained(folder, max_shard_size="60KB")
    if half:
        model = model.float()
    respelt(folder, begun("vision_tower.", "vision_tower.vision_model."))
    images.save_pretrained(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    (folder / "generation_config.json").write_text(json.dumps(HOSTILE))
    processor = getattr(transformers, kind)(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return Whole(folder=folder, model=model.eval(), processor=processor)
