"""Tiny, fully random whole models of the registered families: with tokenizer, processor and chat template on disk.

Each is laid into a folder as its repository on the hub is, and answers through its library's own processor and
class: `Whole.told` is what our code is compared with. The generation configuration of each asks for sampling with a
strong penalty, which no score may follow.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.stand_in_hub import begun, filled, respelt

VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
          "image_size": 56, "patch_size": 14}  # fmt: skip
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2}  # fmt: skip
QFORMER = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
           "encoder_hidden_size": 32}  # fmt: skip
ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
SQUARE = {"size": {"height": 56, "width": 56}}
MESSAGES = "{%% for message in messages %%}%s{%% endfor %%}"


@dataclass(frozen=True, kw_only=True)
class Words:
    """A tokenizer in the format of the tokenizers library: bytes as GPT-2 has them, or SentencePiece's spaces.

    A capital behind a space is one token, as it is in every real vocabulary. `special` come last, in their order;
    `named` are the tokenizer's own names for some of them, `bos` is set before a text by the tokenizer itself.
    """

    kind: str
    special: tuple[str, ...]
    named: Mapping[str, str]
    pieces: bool = False
    sets_bos: bool = False

    def save(self, folder: Path, **more: Any) -> Any:
        """The files of the tokenizer; returns it as the library reads it."""
        import transformers
        from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

        space = "▁" if self.pieces else "Ġ"
        first = (*self.special[:3], *(f"<0x{i:02X}>" for i in range(256))) if self.pieces else ()
        letters = ["▁", *map(chr, range(33, 127))] if self.pieces else sorted(pre_tokenizers.ByteLevel.alphabet())
        merges = [(space, chr(code)) for code in range(65, 91)]
        words = [*first, *letters, *(a + b for a, b in merges)]
        made: Any = Tokenizer(
            models.BPE(
                {word: i for i, word in enumerate(words)}, merges, byte_fallback=self.pieces,
                unk_token=self.special[0] if self.pieces else None,
            )
        )  # fmt: skip
        if self.pieces:
            made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
            made.decoder = decoders.Sequence(
                [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
            )
        else:
            made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            made.decoder = decoders.ByteLevel()
        made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in self.special])
        if self.sets_bos:
            bos = self.named["bos_token"]
            made.post_processor = processors.TemplateProcessing(
                single=f"{bos} $A", special_tokens=[(bos, made.token_to_id(bos))]
            )
        folder.mkdir(parents=True, exist_ok=True)
        made.save(str(folder / "tokenizer.json"))
        own = ("bos_token", "eos_token", "pad_token", "unk_token")
        config = {"tokenizer_class": self.kind, "extra_special_tokens": {}, **more}
        for name, word in self.named.items():
            (config if name in own else config["extra_special_tokens"])[name] = word
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a family's tiny model is built.

    `model(library, ids, size)` builds it over a vocabulary of `size`; `ids(word)` is the number of a token.
    `processor(library, tokenizer)` is the library's own. `places` is the token that marks an image's tokens in the
    language model, None where it has none. `template_file` is where the repository keeps its chat template.
    """

    words: Words
    model: Callable[[Any, Callable[[str], int], int], Any]
    processor: Callable[[Any, Any, Path], Any]
    places: str | None = None
    template: str | None = None
    template_file: str = "chat_template.json"
    infix: tuple[str, str] = ("", "")
    strings: str = ""  # what stands for an image in a turn that is one string and has no parts
    connector: str = ""  # the module whose output is the connector's
    declared: Mapping[str, Any] = field(default_factory=dict)  # of processor_config.json


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A family's tiny model on disk, and what its library says of it."""

    folder: Path
    model: Any
    processor: Any
    family: Family
    name: str

    def inputs(self, text: str, image: np.ndarray | None, start: str = "") -> dict[str, Any]:
        """The inputs of one prompt as the library's own processor makes them."""
        from PIL import Image

        picture = None if image is None else Image.fromarray(image).convert("RGB")
        if self.family.template is None:
            given = {"text": text + start} if picture is None else {"images": picture, "text": text + start}
            if type(self.processor).__name__ == "IdeficsProcessor":
                given = {"text": [part for part in (picture, text + start) if part is not None]}
            return dict(self.processor(**given, return_tensors="pt"))
        content: Any = [] if picture is None else [{"type": "image", "image": picture}]
        content = [*content, {"type": "text", "text": text}]
        if self.family.strings:
            content = (self.family.strings if picture is not None else "") + text
        messages = [{"role": "user", "content": content}]
        if not start and not self.family.strings:
            made = self.processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
            return dict(made)
        made = self.processor.apply_chat_template(messages, add_generation_prompt=True) + start
        given: dict[str, Any] = {} if picture is None else {"images": [picture]}
        bos = self.processor.tokenizer.bos_token
        plain = bos is not None and made.startswith(bos)
        return dict(self.processor(text=[made], **given, return_tensors="pt", add_special_tokens=not plain))

    def told(
        self, text: str, image: np.ndarray | None, start: str = "", more: Sequence[int] = (), emptied: bool = False
    ) -> dict[str, Any]:
        """One forward pass of one prompt: `ids`, `at`, `states` and `logits` [t, vocabulary].

        `at` is where the connector's tokens go, `states` [layers + 1, t, d] are what the blocks receive, and last
        what is behind the last norm.
        `more` are ids behind the prompt; `emptied`: the connector gives zeros.
        """
        import torch

        given = self.inputs(text, image, start)
        count = given["input_ids"].shape[1]
        for name, value in given.items() if more else ():
            if name == "input_ids":
                given[name] = torch.cat([value, torch.tensor([list(more)])], 1)
            elif value.ndim > 1 and value.shape[:2] == (1, count) and not name.startswith("qformer"):
                given[name] = torch.cat([value, value[:, -1:].expand(1, len(more), *value.shape[2:])], 1)
        if "pixel_values" not in given and self.model.config.model_type in ("blip-2", "instructblip"):
            plain = {key: given[key] for key in ("input_ids", "attention_mask")}
            with torch.no_grad():
                out = self.model.language_model(**plain, output_hidden_states=True)
            return {"ids": given["input_ids"][0], "states": [x[0] for x in out.hidden_states], "logits": out.logits[0]}
        separators = self.separators() if emptied and self.family.strings else []

        def zeros(_module: Any, _args: Any, out: Any) -> Any:
            """Zeros for what a connector gives; Phi-4's separators go through the same module and stay."""
            if not isinstance(out, torch.Tensor):
                out.last_hidden_state = torch.zeros_like(out.last_hidden_state)
                return out
            if "aspect_ratio_mask" in given:  # the tiles that pad an image are none of the connector's
                return out * (1 - given["aspect_ratio_mask"][..., None, None])
            kept = [torch.isclose(out, one, atol=1e-5).all(-1, keepdim=True) for one in separators]
            return out * torch.stack(kept).any(0) if kept else torch.zeros_like(out)

        handles = [self.model.get_submodule(self.family.connector).register_forward_hook(zeros)] if emptied else []
        with torch.no_grad():
            out = self.model(**given, output_hidden_states=True, use_cache=False)
        for handle in handles:
            handle.remove()
        ids = given["input_ids"][0]
        states = getattr(out, "hidden_states", None) or out.language_model_outputs.hidden_states
        found = {"ids": ids, "states": [state[0] for state in states], "logits": out.logits[0], "given": given}
        return {**found, "at": self._at(ids, found["states"][0])}

    def _at(self, ids: Any, received: Any) -> Any:
        """The positions of the connector's tokens: those of the image's mark, but for Phi-4's separators."""
        import torch

        if not self.family.places:
            return ids[:0]
        at = torch.nonzero(ids == self.processor.tokenizer.convert_tokens_to_ids(self.family.places))[:, 0]
        if not self.family.strings or not len(at):
            return at
        separators = self.separators()
        return at[[not any(torch.allclose(received[i], one, atol=1e-5) for one in separators) for i in at]]

    def separators(self) -> list[Any]:
        """What Phi-4 sets behind each row of an image and between its parts, as its language model receives it."""
        import torch

        image = self.model.model.embed_tokens_extend.image_embed
        ends = (image.sub_img_feature_extensor[0, 0], image.global_img_feature_extensor[0, 0])
        return [image.img_projection_down(torch.nn.functional.gelu(image.img_projection_up(one))) for one in ends]


IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN = Words(
    kind="Qwen2Tokenizer",
    special=(*IM, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
)
QWEN_TURN = MESSAGES % (
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n"
) + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"  # fmt: skip


def _parts(image: str, before: str, after: str, end: str) -> str:
    """A template whose turns hold the marks of images and the texts in their order."""
    return MESSAGES % (
        before + "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        + "{% for part in message['content'] %}{% if part['type'] == 'image' %}" + image
        + "{% elif part['type'] == 'text' %}{{ part['text'] | trim }}{% endif %}{% endfor %}{% endif %}" + after
    ) + "{% if add_generation_prompt %}" + end + "{% endif %}"  # fmt: skip


def _qwen(name: str, layers: int = 2, **vision: Any) -> Callable[..., Any]:
    def build(library: Any, ids: Callable[[str], int], size: int) -> Any:
        sizes = {"depth": 3, "num_heads": 2, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32}
        sizes = {key: value for key, value in {**sizes, **vision}.items() if value is not None}
        config = getattr(library, f"{name}Config")(
            vision_config=sizes,
            text_config={**TEXT, "num_hidden_layers": layers, "vocab_size": size, "rope_parameters": ROPE,
                         "head_dim": 16, "tie_word_embeddings": False},
            image_token_id=ids("<|image_pad|>"), video_token_id=ids("<|video_pad|>"),
            vision_start_token_id=ids("<|vision_start|>"), vision_end_token_id=ids("<|vision_end|>"),
        )  # fmt: skip
        return getattr(library, f"{name}ForConditionalGeneration")(config)

    return build


def _qwen_processor(name: str, patch: int) -> Callable[..., Any]:
    def build(library: Any, tokenizer: Any, _folder: Path) -> Any:
        images = library.Qwen2VLImageProcessorPil(
            patch_size=patch,
            size={"shortest_edge": 56 * 56, "longest_edge": 160 * 160},
            **(HALF if patch == 16 else {}),
        )
        videos = getattr(library, "Qwen3VLVideoProcessor" if patch == 16 else "Qwen2VLVideoProcessor")()
        return getattr(library, f"{name}Processor")(images, tokenizer, videos)

    return build


def _internvl(library: Any, ids: Callable[[str], int], size: int) -> Any:
    vision = library.InternVLVisionConfig(**{**VISION, "image_size": [56, 56], "patch_size": [14, 14]})
    text = library.Qwen2Config(**TEXT, vocab_size=size, tie_word_embeddings=False)
    config = library.InternVLConfig(
        vision_config=vision, text_config=text, image_token_id=ids("<IMG_CONTEXT>"), image_seq_length=4
    )
    return library.InternVLForConditionalGeneration(config)


def _internvl_processor(library: Any, tokenizer: Any, _folder: Path) -> Any:
    images = library.GotOcr2ImageProcessorPil(
        **SQUARE, min_patches=1, max_patches=12, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    )
    return library.InternVLProcessor(images, tokenizer, library.InternVLVideoProcessor(), image_seq_length=4)


def _gemma(library: Any, ids: Callable[[str], int], size: int) -> Any:
    text = library.Gemma3TextConfig(
        **TEXT, head_dim=16, vocab_size=size, sliding_window=8, pad_token_id=0, eos_token_id=1, bos_token_id=2,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    vision = library.SiglipVisionConfig(**{**VISION, "image_size": 112}, vision_use_head=False)
    config = library.Gemma3Config(
        vision_config=vision, text_config=text, mm_tokens_per_image=16, image_token_index=ids("<image_soft_token>"),
        boi_token_index=ids("<start_of_image>"), eoi_token_index=ids("<end_of_image>"),
    )  # fmt: skip
    return library.Gemma3ForConditionalGeneration(config)


def _gemma_processor(library: Any, tokenizer: Any, _folder: Path) -> Any:
    images = library.Gemma3ImageProcessorPil(size={"height": 112, "width": 112}, **HALF)
    return library.Gemma3Processor(images, tokenizer, image_seq_length=16)


def _mllama(library: Any, ids: Callable[[str], int], size: int) -> Any:
    kinds = library.models.mllama.configuration_mllama
    vision = kinds.MllamaVisionConfig(
        hidden_size=32, num_hidden_layers=3, num_global_layers=2, attention_heads=2, intermediate_size=48,
        vision_output_dim=96, image_size=56, patch_size=14, intermediate_layers_indices=[0, 2],
    )  # fmt: skip
    text = kinds.MllamaTextConfig(
        **{**TEXT, "num_hidden_layers": 3}, vocab_size=size - 1, pad_token_id=ids("<|finetune_right_pad_id|>"),
        bos_token_id=ids("<|begin_of_text|>"), eos_token_id=ids("<|eot_id|>"), cross_attention_layers=[1],
    )  # fmt: skip
    config = library.MllamaConfig(vision_config=vision, text_config=text, image_token_index=ids("<|image|>"))
    return library.MllamaForConditionalGeneration(config)


def _mllama_processor(library: Any, tokenizer: Any, _folder: Path) -> Any:
    images = library.MllamaImageProcessorPil(
        **SQUARE, max_image_tiles=4, image_mean=[0.481, 0.458, 0.408], image_std=[0.269, 0.261, 0.276]
    )
    return library.MllamaProcessor(images, tokenizer)


def _blip2(library: Any, ids: Callable[[str], int], size: int) -> Any:
    text = library.OPTConfig(
        hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=32, vocab_size=size,
        max_position_embeddings=512, pad_token_id=ids("<pad>"), bos_token_id=ids("</s>"), eos_token_id=ids("</s>"),
    )  # fmt: skip
    config = library.Blip2Config(
        vision_config=VISION, qformer_config={**QFORMER, "vocab_size": size}, text_config=text, num_query_tokens=5,
        image_token_index=ids("<image>"),
    )  # fmt: skip
    return library.Blip2ForConditionalGeneration(config)


def _instructblip(library: Any, ids: Callable[[str], int], size: int) -> Any:
    text = library.LlamaConfig(**TEXT, vocab_size=size, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config = library.InstructBlipConfig(
        vision_config=VISION, qformer_config={**QFORMER, "vocab_size": size, "max_position_embeddings": 512},
        text_config=text, num_query_tokens=5, image_token_index=ids("<image>"),
    )  # fmt: skip
    return library.InstructBlipForConditionalGeneration(config)


def _blip(name: str) -> Callable[..., Any]:
    def build(library: Any, tokenizer: Any, folder: Path) -> Any:
        images = library.BlipImageProcessorPil(**SQUARE)
        extra = [BERT.save(folder / "qformer_tokenizer")] if name == "InstructBlip" else []
        return getattr(library, f"{name}Processor")(images, tokenizer, *extra, num_query_tokens=5)

    return build


def _idefics(library: Any, _ids: Callable[[str], int], size: int) -> Any:
    vision = {**VISION, "embed_dim": 32}
    del vision["hidden_size"]
    config = library.IdeficsConfig(
        vision_config=vision,
        perceiver_config={"use_resampler": True, "resampler_n_latents": 6, "resampler_depth": 2,
                          "resampler_n_heads": 2, "resampler_head_dim": 8, "qk_layer_norms_perceiver": True},
        use_resampler=True, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        vocab_size=size - 2, additional_vocab_size=2, cross_layer_interval=1, qk_layer_norms=True,
        tie_word_embeddings=False, alpha_initializer="ones", pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return library.IdeficsForVisionText2Text(config)


def _idefics_processor(library: Any, tokenizer: Any, _folder: Path) -> Any:
    return library.IdeficsProcessor(library.IdeficsImageProcessorPil(image_size=56, **SQUARE), tokenizer)


def _phi4(library: Any, ids: Callable[[str], int], size: int) -> Any:
    config = library.Phi4MultimodalConfig(
        **TEXT, vocab_size=size, pad_token_id=ids("<|endoftext|>"), bos_token_id=ids("<|endoftext|>"),
        eos_token_id=ids("<|end|>"), tie_word_embeddings=True,
        vision_config={**VISION, "num_attention_heads": 1, "image_size": 448, "crop_size": 448, "patch_size": 14,
                       "image_token_id": ids("<|image|>")},
        audio_config={"hidden_size": 16, "intermediate_size": 16, "num_blocks": 1, "num_attention_heads": 2,
                      "nemo_conv_channels": 8, "ext_pw_out_channel": 16, "depthwise_separable_out_channel": 16,
                      "audio_token_id": ids("<|audio|>")},
    )  # fmt: skip
    return library.Phi4MultimodalForCausalLM(config)


def _phi4_processor(library: Any, tokenizer: Any, _folder: Path) -> Any:
    images = library.Phi4MultimodalImageProcessor(size={"height": 448, "width": 448}, dynamic_hd=1)
    return library.Phi4MultimodalProcessor(images, library.Phi4MultimodalFeatureExtractor(), tokenizer)


def _molmo2(library: Any, ids: Callable[[str], int], size: int) -> Any:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    extra = len(MOLMO_EXTRA)
    config = library.Molmo2Config(
        vision_config={**VISION, "image_size": [98, 98], **heads, "num_hidden_layers": 4},
        adapter_config={"vision_feature_layer": [3, 1], "hidden_size": 32, "intermediate_size": 40,
                        "text_hidden_size": 32, **heads},
        text_config={**TEXT, "head_dim": 16, "vocab_size": size - extra, "additional_vocab_size": extra},
        image_start_token_id=ids("<im_start>"), low_res_image_start_token_id=ids("<low_res_im_start>"),
        image_end_token_id=ids("<im_end>"), image_patch_id=ids("<im_patch>"),
        frame_start_token_id=ids("<frame_start>"), frame_end_token_id=ids("<frame_end>"),
    )  # fmt: skip
    return library.Molmo2ForConditionalGeneration(config)


def _molmo2_processor(library: Any, tokenizer: Any, _folder: Path) -> Any:
    images = library.Molmo2ImageProcessor(size={"height": 98, "width": 98}, overlap_margins=[1, 1], max_crops=6, **HALF)
    return library.Molmo2Processor(images, library.Molmo2VideoProcessor(), tokenizer)


MOLMO_EXTRA = ("<im_start>", "<im_end>", "<im_patch>", "<im_col>", "<low_res_im_start>", "<|image|>", "<|video|>",
               "<frame_start>", "<frame_end>", "<im_low>")  # fmt: skip
BERT = Words(
    kind="PreTrainedTokenizerFast", special=("[PAD]", "[CLS]", "[SEP]"), sets_bos=True,
    named={"pad_token": "[PAD]", "bos_token": "[CLS]", "eos_token": "[SEP]"},
)  # fmt: skip
LLAMA = Words(
    kind="LlamaTokenizer", special=("<unk>", "<s>", "</s>"), pieces=True, sets_bos=True,
    named={"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"},
)  # fmt: skip
FAMILIES: dict[str, Family] = {
    "blip2-opt-2.7b": Family(
        connector="language_projection",
        words=Words(
            kind="GPT2Tokenizer", special=("<pad>", "</s>", "<image>"), sets_bos=True,
            named={"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"},
        ),
        model=_blip2, processor=_blip("Blip2"), places="<image>",
        declared={"num_query_tokens": 5, "processor_class": "Blip2Processor"},
    ),
    "instructblip-vicuna-7b": Family(
        connector="language_projection",
        words=Words(
            kind="LlamaTokenizer", special=(*LLAMA.special, "<image>"), pieces=True, sets_bos=True,
            named=LLAMA.named,
        ),
        model=_instructblip, processor=_blip("InstructBlip"), places="<image>",
        declared={"num_query_tokens": 5, "processor_class": "InstructBlipProcessor"},
    ),
    "idefics-9b": Family(
        connector="model.perceiver_resampler",
        words=Words(
            kind="LlamaTokenizer", special=(*LLAMA.special, "<fake_token_around_image>", "<image>"), pieces=True,
            sets_bos=True, named=LLAMA.named,
        ),
        model=_idefics, processor=_idefics_processor,
    ),
    "llama-3.2-vision-11b": Family(
        connector="model.multi_modal_projector",
        words=Words(
            kind="PreTrainedTokenizerFast",
            special=("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>",
                     "<|finetune_right_pad_id|>", "<|image|>"),
            named={"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>",
                   "pad_token": "<|finetune_right_pad_id|>"},
            sets_bos=True,
        ),
        model=_mllama, processor=_mllama_processor,
        template="{{ bos_token }}" + _parts(
            "<|image|>", "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n", "<|eot_id|>",
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ),
    "qwen2-vl-7b": Family(
        connector="model.visual.merger",
        words=QWEN,
        model=_qwen("Qwen2VL", embed_dim=32, hidden_size=32, mlp_ratio=2, out_hidden_size=None, intermediate_size=None),
        processor=_qwen_processor("Qwen2VL", 14), places="<|image_pad|>", template=QWEN_TURN,
    ),
    "qwen2.5-vl-7b": Family(
        connector="model.visual.merger",
        words=QWEN, model=_qwen("Qwen2_5_VL", window_size=56, fullatt_block_indexes=[1]),
        processor=_qwen_processor("Qwen2_5_VL", 14), places="<|image_pad|>", template=QWEN_TURN,
    ),
    "qwen3-vl-8b": Family(
        connector="model.visual.merger",
        words=QWEN,
        model=_qwen(
            "Qwen3VL", layers=4, patch_size=16, num_position_embeddings=64, deepstack_visual_indexes=[0, 1, 2]
        ),
        processor=_qwen_processor("Qwen3VL", 16), places="<|image_pad|>",
        template=_parts(
            "<|vision_start|><|image_pad|><|vision_end|>", "<|im_start|>{{ message['role'] }}\n", "<|im_end|>\n",
            "<|im_start|>assistant\n",
        ),
    ),
    "internvl3-1b": Family(
        connector="model.multi_modal_projector",
        words=Words(
            kind="Qwen2Tokenizer", special=(*IM, "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
            named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "start_image_token": "<img>",
                   "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"},
        ),
        model=_internvl, processor=_internvl_processor, places="<IMG_CONTEXT>",
        template=_parts(
            "<IMG_CONTEXT>\n", "<|im_start|>{{ message['role'] }}\n", "<|im_end|>\n", "<|im_start|>assistant\n"
        ),
        template_file="chat_template.jinja",
        declared={"image_seq_length": 4, "processor_class": "InternVLProcessor"},
    ),
    "medgemma-4b": Family(
        connector="model.multi_modal_projector",
        words=Words(
            kind="GemmaTokenizer",
            special=("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>",
                     "<end_of_image>", "<image_soft_token>"),
            named={"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>",
                   "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
                   "image_token": "<image_soft_token>"},
            pieces=True, sets_bos=True,
        ),
        model=_gemma, processor=_gemma_processor, places="<image_soft_token>",
        template="{{ bos_token }}" + _parts(
            "<start_of_image>", "<start_of_turn>{{ message['role'] }}\n", "<end_of_turn>\n", "<start_of_turn>model\n"
        ),
        template_file="chat_template.jinja",
        infix=("vision_tower.", "vision_tower.vision_model."),
        declared={"image_seq_length": 16, "processor_class": "Gemma3Processor"},
    ),
    "phi-4-multimodal": Family(
        connector="model.embed_tokens_extend.image_embed.img_projection_down",
        words=Words(
            kind="GPT2Tokenizer",
            special=("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<|image|>", "<|audio|>"),
            named={"bos_token": "<|endoftext|>", "eos_token": "<|end|>", "pad_token": "<|endoftext|>",
                   "image_token": "<|image|>", "audio_token": "<|audio|>"},
        ),
        model=_phi4, processor=_phi4_processor, places="<|image|>",
        template="{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
        strings="<|image|>",
        template_file="tokenizer_config.json",
    ),
    "molmo2-8b": Family(
        connector="model.multi_modal_projector",
        words=Words(
            kind="Qwen2Tokenizer", special=(*IM, *MOLMO_EXTRA),
            named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "image_token": "<|image|>",
                   "video_token": "<|video|>"},
        ),
        model=_molmo2, processor=_molmo2_processor, places="<im_patch>",
        template=_parts(
            "<|image|>", "<|im_start|>{{ message['role'] }}\n", "<|im_end|>\n", "<|im_start|>assistant\n"
        ),
        template_file="chat_template.jinja",
    ),
}  # fmt: skip


def publish(name: str, folder: Path) -> Whole:
    """The tiny whole model of a registered name under `folder`, sharded, as its repository is laid out."""
    import transformers

    family = FAMILIES[name]
    more = {"chat_template": family.template} if family.template_file == "tokenizer_config.json" else {}
    tokenizer = family.words.save(folder, **more)
    model = filled(family.model(transformers, tokenizer.convert_tokens_to_ids, len(tokenizer)))
    model.tie_weights()
    model.generation_config.update(do_sample=True, temperature=5.0, repetition_penalty=9.0, max_length=3)
    model.save_pretrained(folder, max_shard_size="40KB")
    processor = family.processor(transformers, tokenizer, folder)
    processor.image_processor.save_pretrained(folder)
    if family.template:
        processor.chat_template = family.template
        if family.template_file == "chat_template.json":
            (folder / "chat_template.json").write_text(json.dumps({"chat_template": family.template}))
        elif family.template_file == "chat_template.jinja":
            (folder / "chat_template.jinja").write_text(family.template)
    if family.declared:
        (folder / "processor_config.json").write_text(json.dumps(family.declared))
    if family.infix[1]:
        respelt(folder, begun(*family.infix))
    return Whole(folder=folder, model=model, processor=processor, family=family, name=name)


def images(seed: int = 0) -> Sequence[np.ndarray]:
    """Three images, grey and coloured, of two shapes."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 256, (90, 120), dtype=np.uint8),
        rng.integers(0, 256, (150, 70, 3), dtype=np.uint8),
        rng.integers(0, 256, (90, 120, 3), dtype=np.uint8),
    )
