"""Idefics 2, Idefics 3 and SmolVLM: SigLIP towers whose tokens a perceiver or a pixel shuffle makes fewer.

Laurençon et al. 2024, arXiv:2405.02246 and arXiv:2408.12637; Marafioti et al. 2025, arXiv:2504.05299. Idefics 2 sees an
image in its own shape, here without the splitting into quarters that its processor offers; the 64 latents of its
perceiver stand for no place. Idefics 3 and SmolVLM cut an image into tiles and see the whole image last.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from encoders._base import HALF_NORM, Card, Input, Site, View
from encoders.extraction.tiles import site, tiles
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType, image_processor

LANGUAGE = r"lm_head\b|(?:model\.)?text_model\b"
TOWER = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
         "patch_size": 14}  # fmt: skip
UNSPLIT = {"do_image_splitting": False}


def _second(library: Any) -> Any:
    text = library.MistralConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        vocab_size=32003,
    )  # fmt: skip
    perceiver = {"hidden_size": 4096, "resampler_n_latents": 64, "resampler_depth": 3, "resampler_n_heads": 16,
                 "resampler_head_dim": 96, "num_key_value_heads": 4}  # fmt: skip
    vision = {**TOWER, "image_size": 980}
    return library.Idefics2Config(vision_config=vision, perceiver_config=perceiver, text_config=text)


def _third(model: str, vision: Mapping[str, Any], scale: int, **text: Any) -> Callable[[Any], Any]:
    return lambda library: getattr(library, f"{model}Config")(
        vision_config=dict(vision), text_config=library.LlamaConfig(**text), scale_factor=scale
    )


def _blocks(layers: int, block: Site) -> dict[str, Site]:
    return {f"block.{i}": block for i in range(layers)} | {"final": block}


def _whole(model: Any, processor: Any) -> ModelParts:
    """Idefics 2: one image in its own shape; what is left of it behind the last whole patch is not seen."""
    import torch

    from encoders.extraction.images import pil
    from encoders.multimodal.pieces import described, hooks

    inner, vision = model.model, model.config.vision_config
    connector = inner.connector
    patch, latents = vision.patch_size, connector.perceiver_resampler.latents

    def layout(prepared: Any) -> dict[str, Site]:
        height, width = (int(x) for x in prepared.shape[-2:])
        grid = (height // patch, width // patch)
        view = View(grid=grid, box=(0.0, 0.0, grid[0] * patch / height, grid[1] * patch / width))
        return _blocks(vision.num_hidden_layers, site(vision.hidden_size, (view,))) | {
            "connector": Site(width=latents.shape[1], queries=latents.shape[0])
        }

    def run(batch: Any) -> Mapping[str, Any]:
        out = inner.get_image_features(pixel_values=batch)
        return {"final": out.last_hidden_state, "connector": torch.stack(list(out.pooler_output))}

    return ModelParts(
        image_side={"vision_model": inner.vision_model, "connector": connector},
        hooks=hooks(inner.vision_model.encoder.layers),
        run=run,
        preprocess=lambda image: processor(images=pil(image), return_tensors="pt")["pixel_values"][0],
        input=described(processor, (512, 512), "native"),
        layout=layout,
        varies=True,
    )


def _tiled(model: Any, processor: Any) -> ModelParts:
    """Idefics 3 and SmolVLM: tiles row by row and the whole image behind them, or the whole image alone."""
    import torch

    from encoders.extraction.images import pil
    from encoders.multimodal.pieces import described, hooks

    inner, vision, scale = model.model, model.config.vision_config, model.config.scale_factor
    side = vision.image_size // vision.patch_size

    def prepare(image: np.ndarray) -> dict[str, Any]:
        made = processor(images=pil(image), return_tensors="pt", return_row_col_info=True)
        cut = torch.tensor([int(made["rows"][0][0]), int(made["cols"][0][0])])
        return {"pixel_values": made["pixel_values"][0], "cut": cut}

    def layout(prepared: Any) -> dict[str, Site]:
        rows, columns = (int(x) for x in prepared["cut"])

        def seen(width: int, grid: tuple[int, int]) -> Site:
            return site(width, (*tiles(rows, columns, grid), View(grid=grid)))

        merged = (side // scale, side // scale)
        return _blocks(vision.num_hidden_layers, seen(vision.hidden_size, (side, side))) | {
            "connector": seen(model.config.text_config.hidden_size, merged)
        }

    def run(batch: Any) -> Mapping[str, Any]:
        out = inner.get_image_features(pixel_values=batch["pixel_values"])
        return {"final": out.last_hidden_state, "connector": torch.stack(list(out.pooler_output))}

    return ModelParts(
        image_side={"vision_model": inner.vision_model, "connector": inner.connector},
        hooks=hooks(inner.vision_model.encoder.layers),
        run=run,
        preprocess=prepare,
        input=described(processor, (vision.image_size, vision.image_size), "tiles"),
        layout=layout,
        varies=True,
    )


def _card_sites(layers: int, width: int, side: int, connector: int, scale: int, cut: int) -> dict[str, Site]:
    def seen(size: int, grid: tuple[int, int]) -> Site:
        return site(size, (*tiles(cut, cut, grid), View(grid=grid)))

    return _blocks(layers, seen(width, (side, side))) | {"connector": seen(connector, (side // scale, side // scale))}


def _input(size: int, name: str, resize: str) -> Input:
    return Input(
        size=(size, size), resize=resize, crop=None, interpolation="bilinear" if name == "Idefics2" else "lanczos",
        backend=f"transformers {name}ImageProcessorPil", **HALF_NORM,
    )  # fmt: skip


SQUARE = View(grid=(36, 36), box=(0.0, 0.0, 63 / 64, 63 / 64))  # of 512 pixels: 8 lie behind the last patch
UNVERIFIED = "configuration, processor, shard placement, licence"
CHECKPOINTS = (
    checkpoint(
        Card(
            name="idefics2-8b", repo="HuggingFaceM4/idefics2-8b", licence="Apache-2.0", parameters=1_161_011_440,
            input=_input(512, "Idefics2", "native"),
            sites=_blocks(27, site(1152, (SQUARE,))) | {"connector": Site(width=4096, queries=64)},
            note="the image in its own shape; splitting into quarters is off",
            unverified="processor, shard placement, licence",
        ),
        ModelType(
            model="Idefics2ForConditionalGeneration", types=("idefics2",), config=_second,
            processor=image_processor("Idefics2ImageProcessorPil", over=UNSPLIT, **UNSPLIT), take_apart=_whole,
            language=LANGUAGE,
        ),
    ),
    checkpoint(
        Card(
            name="idefics3-8b", repo="HuggingFaceM4/Idefics3-8B-Llama3", licence="Apache-2.0", parameters=431_800_560,
            input=_input(364, "Idefics3", "tiles"), sites=_card_sites(27, 1152, 26, 4096, 2, 4),
            note="tiles of 364 pixels and the whole image", unverified=UNVERIFIED,
        ),
        ModelType(
            model="Idefics3ForConditionalGeneration", types=("idefics3",),
            config=_third("Idefics3", {**TOWER, "image_size": 364}, 2, hidden_size=4096, intermediate_size=14336,
                          num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, vocab_size=128259),
            processor=image_processor(
                "Idefics3ImageProcessorPil", size={"longest_edge": 1456}, max_image_size={"longest_edge": 364}
            ),
            take_apart=_tiled, language=LANGUAGE,
        ),
    ),
    checkpoint(
        Card(
            name="smolvlm2-2.2b", repo="HuggingFaceTB/SmolVLM2-2.2B-Instruct", licence="Apache-2.0",
            parameters=434_220_912,
            input=_input(384, "SmolVLM", "tiles"), sites=_card_sites(27, 1152, 27, 2048, 3, 4),
            note="tiles of 384 pixels and the whole image",
            unverified="configuration, processor, shard placement",
        ),
        ModelType(
            model="SmolVLMForConditionalGeneration", types=("smolvlm",),
            config=_third("SmolVLM", {**TOWER, "image_size": 384}, 3, hidden_size=2048, intermediate_size=8192,
                          num_hidden_layers=24, num_attention_heads=32, vocab_size=49280),
            processor=image_processor(
                "SmolVLMImageProcessorPil", size={"longest_edge": 1536}, max_image_size={"longest_edge": 384}
            ),
            take_apart=_tiled, language=LANGUAGE,
        ),
    ),
)  # fmt: skip
