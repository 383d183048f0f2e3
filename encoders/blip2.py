"""BLIP-2 and InstructBLIP: EVA's ViT-g and a Q-Former of 32 queries in front of a language model.

Li et al. 2023, arXiv:2301.12597, and Dai et al. 2023, arXiv:2305.06500. InstructBLIP's queries also read the user's
instruction, so that its tokens depend on it: here it is always INSTRUCTION, part of the feature key. The library
norms CLS a second time for its pooled output; here `pooled` is CLS of `final`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, Card, Input, Site
from encoders.answering.families import BLIP2 as BLIP2_ASKED
from encoders.answering.families import INSTRUCTBLIP as INSTRUCTBLIP_ASKED
from encoders.extraction.tower_sites import sites
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import FILES, ModelParts, ModelType

INSTRUCTION = "Describe the image."
WORDS = (101, 6235, 1996, 3746, 1012, 102)  # in the vocabulary of uncased BERT, for the untrained encoder


@dataclass(frozen=True, kw_only=True)
class Instructed:
    """An image processor, and the instruction as the Q-Former reads it."""

    image: Any
    words: tuple[int, ...]
    tokenizer: Any = None  # the Q-Former's

    def to_dict(self) -> dict[str, Any]:
        """What enters the identity."""
        return {**self.image.to_dict(), "instruction": INSTRUCTION, "qformer_input_ids": list(self.words)}


def _processor(library: Any, folder: Path | None) -> Any:
    if folder is not None:
        return library.BlipImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return library.BlipImageProcessorPil(size={"height": 224, "width": 224})


def _instructed(library: Any, folder: Path | None) -> Instructed:
    words, read = WORDS, None
    if folder is not None:
        read = library.AutoTokenizer.from_pretrained(folder / "qformer_tokenizer", local_files_only=True)
        words = tuple(int(i) for i in read(INSTRUCTION)["input_ids"])
    return Instructed(image=_processor(library, folder), words=words, tokenizer=read)


def _take_apart(model: Any, processor: Any) -> ModelParts:
    import torch

    from encoders.multimodal.pieces import described, hooks, preprocess

    image, words = getattr(processor, "image", processor), getattr(processor, "words", None)
    config, vision = model.config, model.config.vision_config
    count, side = config.num_query_tokens, vision.image_size // vision.patch_size

    def run(batch: Any) -> Mapping[str, Any]:
        text = {} if words is None else {"qformer_input_ids": torch.tensor([words] * len(batch), device=batch.device)}
        out = model.get_image_features(pixel_values=batch, **text)
        final = out.last_hidden_state
        queries = out.qformer_outputs.last_hidden_state[:, :count]  # behind them stands the instruction
        return {"final": final, "pooled": final[:, :1], "qformer": queries, "connector": out.pooler_output}

    found = _sites(vision.num_hidden_layers, vision.hidden_size, side, count, config.qformer_config.hidden_size)
    found["connector"] = Site(width=config.text_config.hidden_size, queries=count)
    parts = ("vision_model", "query_tokens", "qformer", "language_projection")
    return ModelParts(
        image_side={name: getattr(model, name) for name in parts},
        hooks=hooks(model.vision_model.encoder.layers),
        run=run,
        preprocess=preprocess(image, "pixel_values"),
        input=described(image, (vision.image_size, vision.image_size), "squash"),
        layout=lambda _prepared: found,
    )


def _sites(blocks: int, width: int, side: int, queries: int, qformer: int) -> dict[str, Site]:
    tower = sites(blocks, width, side, prefix=1, vectors={"pooled": width})
    return tower | {"qformer": Site(width=qformer, queries=queries)}


def _blip2(library: Any) -> Any:
    language = library.OPTConfig(
        hidden_size=2560, ffn_dim=10240, num_hidden_layers=32, num_attention_heads=32, word_embed_proj_dim=2560,
        vocab_size=50304,
    )  # fmt: skip
    return library.Blip2Config(vision_config={}, qformer_config={}, text_config=language)


def _instructblip(library: Any) -> Any:
    language = library.LlamaConfig(vocab_size=32001, tie_word_embeddings=False)
    qformer = library.InstructBlipQFormerConfig(vocab_size=30523)
    return library.InstructBlipConfig(vision_config={}, qformer_config=qformer, text_config=language)


def _shrink(config: Any) -> None:
    config.vision_config.initializer_range = 0.02  # the library's 1e-10 would leave the untrained encoder blind


BLIP2 = ModelType(
    model="Blip2ForConditionalGeneration",
    types=("blip-2",),
    config=_blip2,
    processor=_processor,
    take_apart=_take_apart,
    shrink=_shrink,
    answers=BLIP2_ASKED,
)
INSTRUCTBLIP = replace(
    BLIP2,
    model="InstructBlipForConditionalGeneration",
    types=("instructblip",),
    config=_instructblip,
    processor=_instructed,
    needed=("config.json", "qformer_tokenizer/tokenizer.json"),
    others=(*FILES, "qformer_tokenizer/*"),
    answers=INSTRUCTBLIP_ASKED,
)
CARD = Card(
    name="blip2-opt-2.7b",
    repo="Salesforce/blip2-opt-2.7b",
    licence="MIT",
    parameters=1_093_083_136,
    bytes=4_372_332_544,
    bytes_whole=15_494_160_384,
    input=Input(
        size=(224, 224), resize="squash", crop=None, **CLIP_NORM, interpolation="bicubic",
        backend="transformers BlipImageProcessorPil",
    ),
    sites=_sites(39, 1408, 16, 32, 768) | {"connector": Site(width=2560, queries=32)},
    unverified="configuration, shard placement, float32 on disk, licence",
)  # fmt: skip

CHECKPOINTS = (
    checkpoint(CARD, BLIP2),
    checkpoint(
        replace(
            CARD,
            name="instructblip-vicuna-7b",
            repo="Salesforce/instructblip-vicuna-7b",
            licence="research only",
            parameters=1_174_786_816,
            bytes=4_699_147_264,
            bytes_whole=31_652_842_496,
            sites=_sites(39, 1408, 16, 32, 768) | {"connector": Site(width=4096, queries=32)},
            note=f"its queries read the instruction {INSTRUCTION!r}",
        ),
        INSTRUCTBLIP,
    ),
)
