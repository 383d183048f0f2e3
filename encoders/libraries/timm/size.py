"""timm models for images of another size: positions are interpolated by the library, convolutions read any size."""

from typing import Any

from encoders._base import EncoderError
from encoders.extraction.size import whole_patches
from encoders.libraries.timm.sites import is_transformer


def resizable(model: Any) -> bool:
    """Whether the model reads other sizes: a transformer that the library resizes, or one of no fixed size."""
    if is_transformer(model):
        return hasattr(model, "set_input_size")
    return not getattr(model, "pretrained_cfg", {}).get("fixed_input_size", False)


def resize(name: str, model: Any, side: int) -> None:
    """Let a model that is `resizable` take images of side x side pixels, in place.

    Raises EncoderError for a size that is no multiple of the patch, or below one cell of the last map.
    """
    if is_transformer(model):
        patches = model.patch_embed
        whole_patches(name, side, patches.img_size[0] // patches.grid_size[0])
        model.set_input_size(img_size=(side, side))
        return
    least = max((info["reduction"] for info in getattr(model, "feature_info", None) or ()), default=1)
    if side < least:
        raise EncoderError(f"{name}: --image-size {side} is below one cell of its last map, {least} pixels")
