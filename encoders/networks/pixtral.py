"""Pixtral's tower: one image in its own shape, with rotary positions. Agrawal et al. 2024, arXiv:2410.07073."""

from collections.abc import Mapping
from typing import Any

from encoders._base import Site
from encoders.multimodal.kind import ModelParts


def native(model: Any, processor: Any) -> ModelParts:
    """A Pixtral tower on one image in its own shape: every token, or one for each square of the merger."""
    import torch

    from encoders.extraction.images import pil
    from encoders.multimodal.pieces import described, hooks

    inner, vision = model.model, model.config.vision_config
    patch, merge = vision.patch_size, getattr(model.config, "spatial_merge_size", 1)

    def prepare(image: Any) -> dict[str, Any]:
        cell = {"height": patch * merge, "width": patch * merge}  # as the processor of the whole model asks
        made = processor(images=pil(image), return_tensors="pt", patch_size=cell)
        return {"pixel_values": made["pixel_values"][0], "image_sizes": torch.as_tensor(made["image_sizes"][0])}

    def layout(prepared: Any) -> dict[str, Site]:
        rows, columns = (int(x) // patch for x in prepared["image_sizes"])
        block = Site(width=vision.hidden_size, grid=(rows, columns))
        merged = Site(width=model.config.text_config.hidden_size, grid=(rows // merge, columns // merge))
        return {f"block.{i}": block for i in range(vision.num_hidden_layers)} | {"connector": merged}

    def run(batch: Any) -> Mapping[str, Any]:
        out = inner.get_image_features(pixel_values=batch["pixel_values"], image_sizes=batch["image_sizes"])
        return {"connector": torch.stack(list(out.pooler_output))}

    return ModelParts(
        image_side={"vision_tower": inner.vision_tower, "multi_modal_projector": inner.multi_modal_projector},
        hooks=hooks(inner.vision_tower.transformer.layers),
        run=run,
        preprocess=prepare,
        input=described(processor, (512, 512), "native"),
        layout=layout,
        varies=True,
    )
