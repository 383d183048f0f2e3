"""CLIP's ResNet with an attention pool, as PMC-CLIP trained it: from bare tensors to the parts of an encoder."""

from collections.abc import Mapping
from typing import Any

import torch
from open_clip.modified_resnet import ModifiedResNet

from encoders._base import EncoderError, Site
from encoders.extraction.hooks import Hook, raster
from hub.torch_files import below, fill

STAGES = (1, 2, 3, 4)


def network(
    *, heads: int = 32, width: int = 64, layers: tuple[int, ...] = (3, 4, 6, 3), joint: int = 768, size: int = 224
) -> Any:
    """The image tower; `heads` is not among its tensors, so every number of heads loads and computes otherwise."""
    return ModifiedResNet(list(layers), joint, heads, size, width)


def trained(state: Mapping[str, torch.Tensor], heads: int | None, who: str, where: str) -> Any:
    """The image tower with the tensors of `state`, its sizes read off their shapes.

    `heads` of None is the rule of the training code: half the width of the first stage.
    """
    for name in ("conv3.weight", "attnpool.positional_embedding", "attnpool.c_proj.weight"):
        if name not in state:
            raise EncoderError(f"{who}: {where} lacks {name}, so it holds no image tower of PMC-CLIP")
    width = len(state["conv3.weight"])
    side = round((len(state["attnpool.positional_embedding"]) - 1) ** 0.5)
    model = network(
        heads=heads or width // 2,
        width=width,
        layers=blocks(state, *(f"layer{i}." for i in STAGES)),
        joint=len(state["attnpool.c_proj.weight"]),
        size=32 * side,
    )
    return fill(model, state, who, where)


def blocks(state: Mapping[str, torch.Tensor], *prefixes: str) -> tuple[int, ...]:
    """How many blocks the tensors below each prefix belong to."""
    return tuple(len({key[len(p) :].split(".")[0] for key in state if key.startswith(p)}) for p in prefixes)


def unwrapped(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names without the `module.` that a parallel wrapper put before every one of them."""
    return below(state, "module.") if all(name.startswith("module.") for name in state) else dict(state)


def stages(width: int, side: int, last: int = 4) -> dict[str, Site]:
    """The stage sites of a tower whose first stage is `4 * width` channels wide, for images of side `side`."""
    return {
        f"stage.{i}": Site(width=2 * width * 2**i, grid=(side // (2 * 2**i), side // (2 * 2**i))) for i in STAGES[:last]
    }


def hooks(visual: Any, last: int = 4) -> dict[str, Hook]:
    """Where the stages are read, maps in raster order."""
    return {f"stage.{i}": Hook(module=getattr(visual, f"layer{i}"), tokens=raster) for i in STAGES[:last]}


def average(output: torch.Tensor) -> torch.Tensor:
    """A map [b, c, h, w] as its mean [b, 1, c]."""
    return output.mean((2, 3))[:, None]
