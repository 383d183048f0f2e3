"""Image side of LLaVA: its square or its tiles, what the projector hands on, and the authors' spelling of keys."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from encoders._base import CLIP_NORM, EncoderError, Input, Site, View
from encoders.answering.kind import LanguageSide
from encoders.extraction import tower_sites
from encoders.multimodal.kind import ModelParts, ModelType
from encoders.networks.pixtral import native

PAD = Input(
    size=(336, 336), resize="pad", crop=None, interpolation="bicubic",
    backend="transformers LlavaImageProcessorPil", **CLIP_NORM,
)  # fmt: skip
TOWER = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
         "image_size": 336, "patch_size": 14, "projection_dim": 768}  # fmt: skip
SQUARE = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}


def config(model: str, family: str, **text: Any) -> Callable[[Any], Any]:
    """The full-size configuration of `model` with CLIP-L/336 and a language model of `family`."""

    def build(library: Any) -> Any:
        vision = library.CLIPVisionConfig(**TOWER)
        language = getattr(library, f"{family}Config")(**text, tie_word_embeddings=False)
        return getattr(library, f"{model}Config")(vision_config=vision, text_config=language)

    return build


def descendant(model_type: str, family: str, answers: LanguageSide, **text: Any) -> ModelType:
    """What is said of a LLaVA-1.5 that was trained further and published in its authors' layout, of that type.

    Its code pads images to a square, and no file beside the weights says so. `answers` says how it is asked.
    """
    return ModelType(
        model="LlavaForConditionalGeneration",
        types=("llava",),
        foreign=(model_type,),
        config=config("Llava", family, **text),
        processor=processor("LlavaImageProcessorPil", published=False, do_pad=True),
        take_apart=plain,
        rename=original,
        others=(),
        answers=answers,
    )


def sites(connector: int) -> dict[str, Site]:
    """The sites of CLIP-L/336 on one square, and of a connector of that width."""
    tower = tower_sites.sites(24, 1024, 24, prefix=1, vectors={"pooled": 1024})
    return tower | {"connector": Site(width=connector, grid=(24, 24))}


def processor(name: str, *, published: bool = True, **options: Any) -> Callable[[Any, Path | None], Any]:
    """The image processor of class `name`: the repository's settings, or the usual ones where it has none."""

    def read(library: Any, folder: Path | None) -> Any:
        if folder is None or not published:
            return getattr(library, name)(**SQUARE, **options)
        if own := PROCESSORS.get(_tower_of(folder)):
            return getattr(library, own).from_pretrained(folder, local_files_only=True)
        return getattr(library, name).from_pretrained(folder, local_files_only=True, **options)

    return read


CLIP = "clip_vision_model"
PROCESSORS = {"pixtral": "PixtralImageProcessorPil", "siglip_vision_model": "SiglipImageProcessorPil"}


def _tower_of(folder: Path) -> str:
    """The type of tower that the configuration in a folder names; CLIP where it names none, as the library has it."""
    declared = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str((declared.get("vision_config") or {}).get("model_type", CLIP))


def _require(config: Any, towers: tuple[str, ...]) -> None:
    """Refuse, in words, a tower that is not read here, and one whose first patch would be dropped for a CLS."""
    tower, strategy = config.vision_config.model_type, config.vision_feature_select_strategy
    if tower not in towers:
        raise EncoderError(
            f"its configuration (model type {config.model_type!r}) has a tower of type {tower!r}; such models are read "
            f"with {' or '.join(towers)}"
        )
    if tower == CLIP and config.model_type == "llava_next" and strategy != "default":
        raise EncoderError(
            f"its configuration hands CLS on with the patches of each tile (vision_feature_select_strategy "
            f"{strategy!r}); of model type 'llava_next' only 'default' is read"
        )
    if tower != CLIP and strategy != "full":
        raise EncoderError(
            f"its configuration takes the first token of the tower off as CLS (vision_feature_select_strategy "
            f"{strategy!r}), and a tower of type {tower!r} has no CLS: its first patch would be lost; 'full' is meant"
        )


def plain(model: Any, processor: Any) -> ModelParts:
    """LLaVA-1.5: one square, 576 tokens; before SigLIP or Pixtral in the place of CLIP if the configuration says so."""
    import torch

    from encoders.multimodal.pieces import clip_ends, described, hooks, preprocess

    _require(model.config, (CLIP, *PROCESSORS))
    inner, vision = model.model, model.config.vision_config
    if vision.model_type == "pixtral":
        return native(model, processor)
    clip = vision.model_type == CLIP
    side = vision.image_size // vision.patch_size
    padded = getattr(processor, "do_pad", False)
    width, handed = vision.hidden_size, model.config.text_config.hidden_size
    ends = {"pooled": width} if clip else {}
    sites = tower_sites.sites(vision.num_hidden_layers, width, side, prefix=int(clip), vectors=ends)
    first = clip and model.config.vision_feature_select_strategy == "full"  # CLS is handed on too
    sites["connector"] = Site(width=handed, grid=(side, side), prefix=int(first), cls=first)

    def run(batch: Any) -> Mapping[str, Any]:
        out = inner.get_image_features(pixel_values=batch)
        tower = clip_ends(inner.vision_tower, out.last_hidden_state) if clip else {"final": out.last_hidden_state}
        return {**tower, "connector": torch.stack(list(out.pooler_output))}

    square = (vision.image_size, vision.image_size)
    how = ("squash", None) if not clip else ("pad", None) if padded else ("shortest", "center")
    return ModelParts(
        image_side={"vision_tower": inner.vision_tower, "multi_modal_projector": inner.multi_modal_projector},
        hooks=hooks(inner.vision_tower.encoder.layers),
        run=run,
        preprocess=preprocess(processor, "pixel_values"),
        input=described(processor, square, *how),
        layout=lambda _prepared: sites,
    )


def tiled(model: Any, processor: Any) -> ModelParts:
    """LLaVA-1.6: the whole image and the tiles of its best resolution; the newlines between rows are left out."""
    import torch

    from encoders.multimodal.pieces import clip_ends, described, hooks, preprocess

    _require(model.config, (CLIP,))
    inner, vision = model.model, model.config.vision_config
    side = vision.image_size // vision.patch_size

    def layout(prepared: Any) -> dict[str, Site]:
        from encoders.extraction.tiles import site

        height, width = (int(x) for x in prepared["image_sizes"])
        towers, merged = _views((height, width), model.config.image_grid_pinpoints, vision.image_size, side)
        block = site(vision.hidden_size, towers, prefix=1, cls=True)
        return {
            **{f"block.{i}": block for i in range(vision.num_hidden_layers)},
            "final": block,
            "pooled": Site(width=vision.hidden_size),
            "connector": site(model.config.text_config.hidden_size, merged),
        }

    def run(batch: Any) -> Mapping[str, Any]:
        count, tiles_each = batch["pixel_values"].shape[:2]
        out = inner.get_image_features(**batch)
        ends = clip_ends(inner.vision_tower, out.last_hidden_state)
        whole = ends["pooled"].reshape(count, tiles_each, -1)[:, :1]
        height, width = (int(x) for x in batch["image_sizes"][0])
        (_, high) = _views((height, width), model.config.image_grid_pinpoints, vision.image_size, side)[1]
        tokens = torch.stack(list(out.pooler_output))
        base, rows = tokens[:, : side * side], tokens[:, side * side :]
        rows = rows.reshape(count, high.grid[0], high.grid[1] + 1, -1)[:, :, :-1].flatten(1, 2)
        return {"final": ends["final"], "pooled": whole, "connector": torch.cat([base, rows], dim=1)}

    return ModelParts(
        image_side={
            "vision_tower": inner.vision_tower,
            "multi_modal_projector": inner.multi_modal_projector,
            "image_newline": inner.image_newline,
        },
        hooks=hooks(inner.vision_tower.encoder.layers),
        run=run,
        preprocess=preprocess(processor, "pixel_values", "image_sizes"),
        input=described(processor, (vision.image_size, vision.image_size), "tiles"),
        layout=layout,
        varies=True,
    )


def _views(image: tuple[int, int], pinpoints: Any, tile: int, side: int) -> tuple[tuple[View, ...], tuple[View, View]]:
    """The views of the tower's tiles, and those of what the language model receives, padding removed."""
    from math import ceil

    from transformers.image_processing_utils import select_best_resolution

    from encoders.extraction.tiles import canvas, tiles

    tall, wide = select_best_resolution(image, pinpoints)
    down, across = tall / image[0], wide / image[1]
    scaled = (min(ceil(image[0] * across), tall), wide) if across < down else (tall, min(ceil(image[1] * down), wide))
    box = canvas(scaled, (tall, wide), ((tall - scaled[0]) // 2, (wide - scaled[1]) // 2))
    rows, columns = tall // tile, wide // tile
    whole = View(grid=(side, side))
    cut = _kept(image, (rows * side, columns * side))
    height, width = box[2] - box[0], box[3] - box[1]
    within = (
        box[0] + height * cut[0] / (rows * side), box[1] + width * cut[1] / (columns * side),
        box[2] - height * cut[0] / (rows * side), box[3] - width * cut[1] / (columns * side),
    )  # fmt: skip
    merged = View(grid=(rows * side - 2 * cut[0], columns * side - 2 * cut[1]), box=within)
    if min(merged.grid) < 1:
        raise EncoderError(
            f"an image of {image} pixels is too narrow for LLaVA-1.6: without its padding no token is left of its "
            f"{rows} x {columns} tiles; crop it, or leave it out"
        )
    return (whole, *tiles(rows, columns, (side, side), box)), (whole, merged)


def _kept(image: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of padding tokens that the model cuts from each end, by its own rounding."""
    (height, width), (rows, columns) = image, grid
    if width / height > columns / rows:
        return (rows - int(round(height * (columns / width), 7))) // 2, 0
    return 0, (columns - int(round(width * (rows / height), 7))) // 2


def original(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of the authors' own layout in the spelling of the converted repositories; others stay as they are."""
    renamed = {}
    for name, value in tensors.items():
        name = name.replace("model.vision_tower.vision_tower.", "vision_tower.")
        name = name.replace("model.mm_projector.0.", "multi_modal_projector.linear_1.")
        name = name.replace("model.mm_projector.2.", "multi_modal_projector.linear_2.")
        if name.startswith(("model.layers.", "model.embed_tokens.", "model.norm.")):
            name = f"language_model.{name}"
        renamed[name] = value
    return renamed
