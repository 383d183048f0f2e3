"""SigLIP without its head before Gemma, which receives every token of one square, or means of neighbours.

Steiner et al. 2024, arXiv:2412.03555 (PaliGemma 2); Gemma team 2025, arXiv:2503.19786 (Gemma 3).
"""

from collections.abc import Mapping
from typing import Any

from encoders._base import Site
from encoders.extraction import tower_sites
from encoders.multimodal.kind import ModelParts


def sites(layers: int, width: int, side: int, *, merged: int, connector: int) -> dict[str, Site]:
    """The sites of a tower over side x side patches, and of a connector of merged x merged tokens of that width."""
    tower = tower_sites.sites(layers, width, side, prefix=0, vectors={})
    return tower | {"connector": Site(width=connector, grid=(merged, merged))}


def take_apart(model: Any, processor: Any) -> ModelParts:
    """PaliGemma or Gemma 3 taken apart; Gemma 3 alone says to how many tokens an image is merged."""
    from encoders.multimodal.pieces import described, hooks, preprocess

    inner, vision = model.model, model.config.vision_config
    side = vision.image_size // vision.patch_size
    merged = int(getattr(model.config, "mm_tokens_per_image", side * side) ** 0.5)
    handed = model.config.text_config.hidden_size
    found = sites(vision.num_hidden_layers, vision.hidden_size, side, merged=merged, connector=handed)

    def run(batch: Any) -> Mapping[str, Any]:
        out = inner.get_image_features(pixel_values=batch)
        return {"final": out.last_hidden_state, "connector": out.pooler_output}

    return ModelParts(
        image_side={"vision_tower": inner.vision_tower, "multi_modal_projector": inner.multi_modal_projector},
        hooks=hooks(inner.vision_tower.encoder.layers),
        run=run,
        preprocess=preprocess(processor, "pixel_values"),
        input=described(processor, (vision.image_size, vision.image_size), "squash"),
        layout=lambda _prepared: found,
    )
