"""Phi-4-multimodal: SigLIP for 448 pixels over up to 36 tiles and the whole image, then means of two by two tokens.

Abouelenin et al. 2025, arXiv:2503.01743. The projector reads the tower's last block but one. An image is scaled to
fill a canvas of tiles from its top left corner; what stays white is masked in the tiles, but not in the whole image.
The separators between rows and between the two parts are left out here, and audio is never read.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from encoders._base import HALF_NORM, Card, EncoderError, Input, Site, View
from encoders.answering.families import PHI4
from encoders.extraction.tiles import canvas, site, tiles
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import ModelParts, ModelType

INTERPOLATION = "bilinear, whole image bicubic"
BASE = "model.embed_tokens_extend.image_embed."
ORIGINAL = {
    "img_projection.0.": "img_projection_up.",
    "img_projection.2.": "img_projection_down.",
    "glb_GN": "global_img_feature_extensor",
    "sub_GN": "sub_img_feature_extensor",
}


def _rename(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The authors' keys in the library's spelling."""
    renamed = {}
    for name, value in tensors.items():
        for theirs, ours in ORIGINAL.items():
            name = name.replace(BASE + theirs, BASE + ours)
        renamed[name] = value
    return renamed


def _config(library: Any) -> Any:
    return library.Phi4MultimodalConfig(vision_config={}, audio_config={}, tie_word_embeddings=True)


def _shrink(config: Any) -> None:
    config.audio_config.num_blocks = 0


def _processor(library: Any, folder: Path | None) -> Any:
    if folder is None:
        return library.Phi4MultimodalImageProcessor()
    return library.Phi4MultimodalImageProcessor.from_pretrained(folder, local_files_only=True)


def views(size: tuple[int, int], tall: int, wide: int, tile: int, patch: int) -> tuple[list[View], list[View]]:
    """The views of the tower, and those of what the language model receives: the tiles as one, then the whole."""
    across, down = wide / size[1], tall / size[0]
    scaled = (int(size[0] * across), wide) if across < down else (tall, int(size[1] * down))
    box, side, cell = canvas(scaled, (tall, wide)), tile // patch, 2 * patch
    rows, columns = (ceil(used / cell) for used in scaled)  # what lies wholly on white is masked
    merged = View(grid=(rows, columns), box=canvas(scaled, (rows * cell, columns * cell)))
    towers = [View(grid=(side, side), box=box), *tiles(tall // tile, wide // tile, (side, side), box)]
    return towers, [merged, View(grid=(side // 2, side // 2), box=box)]


def _take_apart(model: Any, processor: Any) -> ModelParts:
    import torch

    from encoders.extraction.hooks import Hook
    from encoders.extraction.images import pil
    from encoders.multimodal.pieces import described, hooks

    embed, vision = model.model.embed_tokens_extend.image_embed, model.config.vision_config
    tower, tile, patch, width = embed.img_processor, vision.crop_size, vision.patch_size, model.config.hidden_size

    def preprocess(image: np.ndarray) -> dict[str, Any]:
        try:
            made = processor(images=pil(image), return_tensors="pt")
        except ValueError as error:
            raise EncoderError(f"an image of {image.shape[:2]} pixels cannot be cut into tiles: {error}") from error
        found = {key: made[key][0] for key in ("image_pixel_values", "image_sizes", "image_attention_mask")}
        return {**found, "size": torch.tensor(image.shape[:2])}

    def seen(prepared: Any) -> tuple[list[View], list[View]]:
        height, width, tall, wide = (int(x) for key in ("size", "image_sizes") for x in prepared[key])
        return views((height, width), tall, wide, tile, patch)

    def layout(prepared: Any) -> dict[str, Site]:
        towers, merged = seen(prepared)
        block = site(vision.hidden_size, towers)
        named = {f"block.{i}": block for i in range(vision.num_hidden_layers)} | {"final": block}
        return named | {"pooled": Site(width=vision.hidden_size), "connector": site(width, merged)}

    def run(batch: Any) -> Mapping[str, Any]:
        count = len(batch["size"])
        grids = [view.grid for view in seen({key: value[0] for key, value in batch.items()})[1]]
        spans = [rows * (columns + 1) for rows, columns in grids]
        ids = torch.full(
            (1, count * (sum(spans) + 1)), vision.image_token_id, device=embed.img_projection_up.bias.device
        )
        inputs = {key: value for key, value in batch.items() if key != "size"}
        blank = torch.zeros(*ids.shape, width, device=ids.device)
        tokens = embed(input_ids=ids, inputs_embeds=blank, **inputs).reshape(count, -1, width)
        parts = (tokens[:, : spans[0]], tokens[:, spans[0] + 1 :])
        rows = [t.unflatten(1, (h, w + 1))[:, :, :-1].flatten(1, 2) for t, (h, w) in zip(parts, grids, strict=True)]
        return {"connector": torch.cat(rows, dim=1)}

    ends = {
        "final": Hook(module=tower, tokens=lambda out: out.last_hidden_state),
        "pooled": Hook(
            module=tower, tokens=lambda out: out.pooler_output[:, None], order=lambda tokens, _: tokens[:, :1]
        ),
    }
    return ModelParts(
        image_side={"image_embed": embed},
        hooks=hooks(tower.encoder.layers) | ends,
        run=run,
        preprocess=preprocess,
        input=replace(described(processor, (tile, tile), "tiles"), interpolation=INTERPOLATION),
        layout=layout,
        varies=True,
    )


TOWER, MERGED = views((512, 512), 896, 896, 448, 14)
BLOCK = site(1152, TOWER)
CARD = Card(
    name="phi-4-multimodal",
    repo="microsoft/Phi-4-multimodal-instruct",
    licence="MIT",
    parameters=441_550_016,
    bytes=883_100_032,
    bytes_whole=11_048_289_152,
    input=Input(
        size=(448, 448), resize="tiles", crop=None, **HALF_NORM, interpolation=INTERPOLATION,
        backend="transformers Phi4MultimodalImageProcessor",
    ),
    sites={f"block.{i}": BLOCK for i in range(27)}
    | {"final": BLOCK, "pooled": Site(width=1152), "connector": site(3072, MERGED)},
    note="up to 36 tiles, then the whole image; its separators are left out",
    unverified="configuration, shard placement, size of the checkpoint, licence",
)  # fmt: skip
MODEL_TYPE = ModelType(
    model="Phi4MultimodalForCausalLM",
    types=("phi4_multimodal",),
    foreign=("phi4mm",),
    config=_config,
    processor=_processor,
    take_apart=_take_apart,
    answers=PHI4,
    language=r"(?!model\.embed_tokens_extend\.image_embed\.)",
    rename=_rename,
    shrink=_shrink,
)

CHECKPOINTS = (checkpoint(CARD, MODEL_TYPE),)
