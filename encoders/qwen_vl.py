"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: towers of native resolution whose merger joins two by two tokens.

Wang et al. 2024, arXiv:2409.12191; Bai et al. 2025, arXiv:2502.13923. Inside the towers tokens lie in merge groups,
in Qwen2.5 also sorted by attention window: they leave here row by row. By default an image keeps its size, as the
models' own code has it; `-448` squashes it to one square, so that every image has the same grid. Qwen3 hands its
language model the outputs of three more mergers, the sites deepstack.0 to deepstack.2. Lingshu (LASA team 2025,
arXiv:2506.07044) is Qwen2.5-VL trained further on medical images and text.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from encoders._base import CLIP_NORM, HALF_NORM, Card, Input, Site
from encoders.answering.families import QWEN2, QWEN2_5, QWEN3, squashed
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelType
from encoders.networks.qwen_vl import FIXED, processor, squash, take_apart_as


def _config(model: str, vision: Mapping[str, Any], text: Mapping[str, Any]) -> Callable[[Any], Any]:
    return lambda library: getattr(library, f"{model}Config")(vision_config=dict(vision), text_config=dict(text))


def _sites(layers: int, width: int, connector: int, side: int, deep: int = 0) -> dict[str, Site]:
    block, merged = Site(width=width, grid=(side, side)), Site(width=connector, grid=(side // 2, side // 2))
    named = {f"block.{i}": block for i in range(layers)} | {"final": block, "connector": merged}
    return named | {f"deepstack.{i}": merged for i in range(deep)}


TWO = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4, "patch_size": 14}
FIVE = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
        "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]}  # fmt: skip
THREE = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
         "num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24]}  # fmt: skip
SEVEN_B = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152064}  # fmt: skip
NATIVE = Input(
    size=(512, 512), resize="native", crop=None, interpolation="bicubic",
    backend="transformers Qwen2VLImageProcessorPil", **CLIP_NORM,
)  # fmt: skip


def _model_type(model: str, vision: Mapping[str, Any], text: Mapping[str, Any], **more: Any) -> ModelType:
    kinds = {"Qwen2VL": "qwen2_vl", "Qwen2_5_VL": "qwen2_5_vl", "Qwen3VL": "qwen3_vl"}
    sides = {"Qwen2VL": QWEN2, "Qwen2_5_VL": QWEN2_5, "Qwen3VL": QWEN3}
    mean = 0.5 if model == "Qwen3VL" else None
    return ModelType(
        model=f"{model}ForConditionalGeneration",
        types=(kinds[model],),
        config=_config(model, vision, text),
        processor=processor(vision["patch_size"], mean),
        take_apart=take_apart_as(fixed=False),
        language=r"(?!(?:model\.)?visual\.)",
        answers=sides[model],
        **more,
    )


def _pair(card: Card, model_type: ModelType, squares: Mapping[str, Site]) -> tuple[Any, Any]:
    """A checkpoint at native resolution, and at one square."""
    assert card.input is not None
    fixed = replace(
        card,
        name=f"{card.name}-448",
        input=replace(card.input, size=(FIXED, FIXED), resize="squash"),
        sites=squares,
        note="squashed to 448 x 448: one grid for every image",
    )
    assert model_type.answers is not None
    square = replace(model_type, take_apart=take_apart_as(fixed=True), answers=squashed(model_type.answers, squash))
    return checkpoint(card, model_type), checkpoint(fixed, square)


def _card(
    name: str,
    repo: str,
    counts: tuple[int, int],
    sites: Mapping[str, Site],
    licence: str = "Apache-2.0",
    norm: Mapping[str, Any] = CLIP_NORM,
) -> Card:
    parameters, whole = counts
    return Card(
        name=name, repo=f"Qwen/{repo}", licence=licence, input=replace(NATIVE, **norm), parameters=parameters,
        bytes=2 * parameters, bytes_whole=whole,
        note="native resolution: the grid follows the image", unverified="configuration, licence, normalisation",
        sites=sites,
    )  # fmt: skip


CHECKPOINTS = (
    *_pair(
        _card(
            "qwen2-vl-2b", "Qwen2-VL-2B-Instruct", (665_271_296, 4_417_971_200), _sites(32, 1280, 1536, 36),
        ),
        _model_type(
            "Qwen2VL", {**TWO, "hidden_size": 1536},
            {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
             "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
        ),
        _sites(32, 1280, 1536, 32),
    ),
    *_pair(
        _card(
            "qwen2-vl-7b", "Qwen2-VL-7B-Instruct", (675_759_104, 16_582_751_232), _sites(32, 1280, 3584, 36),
        ),
        _model_type("Qwen2VL", {**TWO, "hidden_size": 3584}, SEVEN_B),
        _sites(32, 1280, 3584, 32),
    ),
    *_pair(
        _card(
            "qwen2.5-vl-3b", "Qwen2.5-VL-3B-Instruct", (668_684_288, 7_509_245_952), _sites(32, 1280, 2048, 36),
            "Qwen research",
        ),
        _model_type(
            "Qwen2_5_VL", {**FIVE, "out_hidden_size": 2048},
            {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
             "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
        ),
        _sites(32, 1280, 2048, 32),
    ),
    *_pair(
        _card(
            "qwen2.5-vl-7b", "Qwen2.5-VL-7B-Instruct", (676_550_144, 16_584_333_312), _sites(32, 1280, 3584, 36),
        ),
        _model_type("Qwen2_5_VL", {**FIVE, "out_hidden_size": 3584}, SEVEN_B),
        _sites(32, 1280, 3584, 32),
    ),
    *_pair(
        replace(
            _card("lingshu-7b", "", (676_550_144, 16_584_333_312), _sites(32, 1280, 3584, 36), "MIT"),
            repo="lingshu-medical-mllm/Lingshu-7B",
        ),
        _model_type("Qwen2_5_VL", {**FIVE, "out_hidden_size": 3584}, SEVEN_B),
        _sites(32, 1280, 3584, 32),
    ),
    *_pair(
        _card(
            "qwen3-vl-8b", "Qwen3-VL-8B-Instruct", (576_388_336, 17_534_247_392), _sites(27, 1152, 4096, 32, 3),
            norm=HALF_NORM,
        ),
        _model_type(
            "Qwen3VL", {**THREE, "out_hidden_size": 4096},
            {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
             "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936},
        ),
        _sites(27, 1152, 4096, 28, 3),
    ),
)  # fmt: skip
