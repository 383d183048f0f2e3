"""What several multimodal families share: hooks on blocks, a CLIP tower's ends, a library's image processor."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from encoders._base import EncoderError, Input
from encoders.extraction.hooks import Hook
from encoders.extraction.images import FILTERS, pil


def hooks(blocks: Any, **how: Any) -> dict[str, Hook]:
    """A hook on each block, named block.0 and so on."""
    return {f"block.{i}": Hook(module=block, **how) for i, block in enumerate(blocks)}


def preprocess(processor: Any, key: str, *others: str) -> Callable[[np.ndarray], Any]:
    """One image through a library's processor: the tensor `key`, or {key: tensor} where there are `others`."""

    def apply(image: np.ndarray) -> Any:
        made = processor(images=pil(image), return_tensors="pt")
        return {name: made[name][0] for name in (key, *others)} if others else made[key][0]

    return apply


def described(processor: Any, size: tuple[int, int], resize: str, crop: str | None = None) -> Input:
    """The `Input` of a card that describes a processor; EncoderError if it makes other sizes than the tower reads."""
    made = dict((getattr(processor, "do_center_crop", False) and processor.crop_size) or processor.size)
    if (
        resize in ("squash", "tiles", "pad", "shortest")
        and "height" in made
        and (made["height"], made["width"]) != size
    ):
        raise EncoderError(
            f"the image processor makes {made['height']} x {made['width']} pixels where the tower reads "
            f"{size[0]} x {size[1]}; configuration and preprocessor_config.json are of different models"
        )
    return Input(
        size=size,
        resize=resize,
        crop=crop,
        mean=tuple(float(x) for x in processor.image_mean),
        std=tuple(float(x) for x in processor.image_std),
        interpolation=FILTERS.get(int(processor.resample), str(processor.resample)),
        backend=f"transformers {type(processor).__name__}",
    )


def clip_ends(tower: Any, tokens: Any) -> Mapping[str, Any]:
    """`final` and `pooled` of a CLIP tower from its last block: the library norms CLS alone, we norm every token."""
    final = tower.post_layernorm(tokens)
    return {"final": final, "pooled": final[:, :1]}
