"""Where a timm model is read: its blocks, or the stages of a convolutional or hierarchical network."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from encoders._base import EncoderError, Site
from encoders.extraction.hooks import Hook, first, raster, raster_last, vector
from encoders.extraction.tower_sites import block_sites


def parts(
    model: Any, shape: tuple[int, int, int], device: str
) -> tuple[dict[str, Hook], dict[str, Site], Callable[[torch.Tensor], dict[str, torch.Tensor]]]:
    """Hooks, sites and pass of a timm model without classifier, for images of `shape`."""
    zeros = torch.zeros(1, *shape, device=device)
    if is_transformer(model):
        hooks, sites, final = _transformer(model)
    else:
        hooks, sites, final = _stages(model, zeros)

    def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        features = model.forward_features(batch)
        found = {"final": final(features)} if final else {}
        pooled = model.forward_head(features, pre_logits=True)
        return found | ({"pooled": vector(pooled)} if pooled.ndim == 2 else {})

    with torch.inference_mode():
        direct = run(zeros)
    if final and "final" not in sites:
        h, w = _grid(direct["final"].shape[1], sites)
        sites["final"] = Site(width=direct["final"].shape[2], grid=(h, w))
    if "pooled" in direct:
        sites["pooled"] = Site(width=direct["pooled"].shape[2])
    return hooks, sites, run


def is_transformer(model: Any) -> bool:
    """Whether a timm model is a plain transformer: blocks of one grid of patches."""
    return all(hasattr(model, part) for part in ("blocks", "num_prefix_tokens", "patch_embed"))


def _transformer(model: Any) -> tuple[dict[str, Hook], dict[str, Site], Callable[[Any], torch.Tensor] | None]:
    has_cls = getattr(model, "cls_token", None) is not None
    sites = block_sites(
        len(model.blocks), model.embed_dim, tuple(model.patch_embed.grid_size), model.num_prefix_tokens, has_cls
    )
    hooks = {f"block.{i}": Hook(module=block) for i, block in enumerate(model.blocks)}
    if isinstance(model.norm, torch.nn.Identity):
        return hooks, sites, None  # the norm stands behind the pooling: raw tokens are not `final`
    sites["final"] = next(iter(sites.values()))
    return hooks, sites, first


def _stages(
    model: Any, zeros: torch.Tensor
) -> tuple[dict[str, Hook], dict[str, Site], Callable[[Any], torch.Tensor] | None]:
    """Stages as timm lists them in `feature_info`; their layout is learnt from a dry pass."""
    seen: dict[str, torch.Tensor] = {}
    modules = {info["module"]: info["num_chs"] for info in getattr(model, "feature_info", None) or ()}
    named = dict(model.named_modules())
    handles = [
        named[path].register_forward_hook(lambda _m, _i, out, path=path: seen.update({path: first(out)}))
        for path in modules
        if path in named
    ]
    with torch.inference_mode():
        end = model.forward_features(zeros)
    for handle in handles:
        handle.remove()
    hooks, sites = {}, {}
    for path, channels in modules.items():
        shape = tuple(seen[path].shape) if path in seen else ()
        if len(shape) != 4 or channels not in (shape[1], shape[3]):
            raise EncoderError(
                f"{type(model).__name__}: the output of {path!r} is {shape}, no map; write a file with "
                "CARD and load(device) that names the sites of this network"
            )
        last = shape[3] == channels and shape[1] != channels
        name = f"stage.{len(sites) + 1}"
        hooks[name] = Hook(module=named[path], tokens=raster_last if last else raster)
        sites[name] = Site(width=channels, grid=(shape[1], shape[2]) if last else (shape[2], shape[3]))
    if any(end is out for out in seen.values()):
        return hooks, sites, None
    return hooks, sites, _last_map(end, sites)


def _last_map(end: torch.Tensor, sites: Mapping[str, Site]) -> Callable[[Any], torch.Tensor] | None:
    """How the last feature map becomes tokens; None where it is no map."""
    if end.ndim != 4:
        return None
    grids = {site.grid for site in sites.values()}
    if tuple(end.shape[2:]) in grids or end.shape[2] == end.shape[3]:
        return raster
    return raster_last


def _grid(tokens: int, sites: Mapping[str, Site]) -> tuple[int, int]:
    for site in reversed(list(sites.values())):
        if site.grid and site.grid[0] * site.grid[1] == tokens:
            return site.grid[0], site.grid[1]
    side = round(tokens**0.5)
    if side * side != tokens:
        raise EncoderError(f"the last feature map has {tokens} cells, which no stage's grid explains")
    return side, side
