"""From an open_clip model to an encoder: where it is read, and how its images are prepared."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from open_clip.transform import PreprocessCfg, image_transform_v2

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import Hook, freeze, raster, vector
from encoders.extraction.images import pil
from encoders.extraction.size import whole_patches
from encoders.extraction.tower_sites import block_sites
from encoders.identity.architecture import without_memory
from encoders.libraries.open_clip.text import text_of
from hub.errors import one_line

LIBRARIES = ("open_clip_torch", "torchvision")


def from_config(card: Card, config: Mapping[str, Any], preprocess: Mapping[str, Any], device: str) -> Encoder:
    """The untrained image tower of a `model_cfg`; the text tower is left out, for it says nothing."""
    model = torch.nn.Module()
    model.visual = image_tower(config)
    described(model, preprocess)
    return encoder(card, model, device, (), config, None)


def architecture(card: Card, config: Mapping[str, Any], preprocess: Mapping[str, Any]) -> Card:
    """`card` with the sites, parameters and preprocessing of the image tower of a `model_cfg`, built without memory."""
    model = torch.nn.Module()
    with one_line(card.name, "open_clip's architecture"), without_memory():
        model.visual = image_tower(config).eval()
        described(model, preprocess)
        settings = _settings(model)
        _, sites, _ = _parts(model.visual, settings, config["embed_dim"], "meta")
    count = sum(value.numel() for value in model.parameters())
    any_size = _resizable(model.visual)
    return replace(card, sites=sites, input=_input(settings), parameters=count, any_size=any_size)


def image_tower(config: Mapping[str, Any]) -> torch.nn.Module:
    """The image side of a `model_cfg`, untrained."""
    from open_clip.model import _build_vision_tower

    return _build_vision_tower(config["embed_dim"], dict(config["vision_cfg"]), config.get("quick_gelu", False))


def described(model: Any, preprocess: Mapping[str, Any]) -> None:
    """Note on the model how its images are prepared: at its own size, otherwise as `preprocess` says."""
    from open_clip.model import set_model_preprocess_cfg

    set_model_preprocess_cfg(model, {**asdict(PreprocessCfg()), **preprocess, "size": model.visual.image_size})


def encoder(
    card: Card,
    model: Any,
    device: str,
    files: tuple[Path, ...],
    config: Mapping[str, Any],
    tokenizer: Callable[[], Any] | None,
) -> Encoder:
    """The encoder around an open_clip model; `tokenizer` makes its tokenizer, None for an image tower."""
    model = freeze(model, device)
    settings = _settings(model)
    apply = image_transform_v2(settings, is_train=False)
    hooks, sites, run = _parts(model.visual, settings, config["embed_dim"], device)

    def at_size(side: int) -> Encoder:
        _resize(card.name, model, side)
        return encoder(card, model, device, files, config, tokenizer)

    return assemble(
        card,
        model,
        run=run,
        hooks=hooks,
        sites=sites,
        preprocess=lambda image: apply(pil(image)),
        input=_input(settings),
        device=device,
        architecture=[_portable(config), str(apply)],
        libraries=(*LIBRARIES, *(("timm",) if hasattr(model.visual, "trunk") else ())),
        files=files,
        text=text_of(card.name, model, tokenizer, device) if tokenizer else None,
        image_side=(model.visual,),
        at_size=at_size if _resizable(model.visual) else None,
    )


def _settings(model: Any) -> PreprocessCfg:
    return PreprocessCfg(**model.visual.preprocess_cfg)


def _resizable(visual: Any) -> bool:
    """Whether the library interpolates the positions of a tower: not those of a ResNet's attention pool."""
    if hasattr(visual, "trunk"):
        from encoders.libraries.timm.size import resizable

        fixed = {"AbsAttentionPool2d", "RotAttentionPool2d"} & {type(part).__name__ for part in visual.head}
        return resizable(visual.trunk) and not fixed
    return hasattr(visual, "transformer")


def _resize(name: str, model: Any, side: int) -> None:
    """Let an image tower take images of side x side pixels, in place, with positions as the library loads them."""
    from open_clip.model import resize_pos_embed, set_model_preprocess_cfg

    visual = model.visual
    if hasattr(visual, "trunk"):
        from encoders.libraries.timm.size import resize

        resize(name, visual.trunk, side)
    else:
        patch = visual.patch_size[0]
        whole_patches(name, side, patch)
        visual.grid_size = (side // patch, side // patch)
        state = {"visual.positional_embedding": visual.positional_embedding.detach()}
        resize_pos_embed(state, model)
        visual.positional_embedding = torch.nn.Parameter(state["visual.positional_embedding"], requires_grad=False)
    visual.image_size = (side, side)
    set_model_preprocess_cfg(model, {**visual.preprocess_cfg, "size": (side, side)})


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the folder that a run happened to use."""
    text = {k: v for k, v in config.get("text_cfg", {}).items() if not k.startswith("hf_model_")}
    return {**config, "text_cfg": text}


def _input(settings: PreprocessCfg) -> Input:
    size = settings.size if isinstance(settings.size, tuple | list) else (settings.size, settings.size)
    shortest = settings.resize_mode == "shortest"
    return Input(
        size=(int(size[0]), int(size[1])),
        resize=settings.resize_mode,
        crop="center" if shortest else None,
        mean=tuple(settings.mean),
        std=tuple(settings.std),
        interpolation=settings.interpolation,
        backend="open_clip",
    )


def _parts(
    visual: Any, settings: PreprocessCfg, joint: int, device: str
) -> tuple[dict[str, Hook], dict[str, Site], Callable[[torch.Tensor], dict[str, torch.Tensor]]]:
    if hasattr(visual, "trunk"):
        return _timm_tower(visual, settings, joint, device)
    hooks: dict[str, Hook] = {}
    sites: dict[str, Site] = {}
    if hasattr(visual, "transformer"):
        width = visual.conv1.out_channels
        blocks = visual.transformer.resblocks
        sites |= block_sites(len(blocks), width, tuple(visual.grid_size), 1, True)
        hooks |= {f"block.{i}": Hook(module=block) for i, block in enumerate(blocks)}
        if visual.attn_pool is None and not visual.final_ln_after_pool:
            sites["final"] = sites["block.0"]
            hooks["final"] = Hook(module=visual.ln_post)
        if "final" in sites and visual.pool_type != "none":
            sites["pooled"] = Site(width=width)
            hooks["pooled"] = Hook(module=visual.ln_post, tokens=lambda x: visual._global_pool(x)[0][:, None])
    elif hasattr(visual, "layer4"):
        h, w = _size(settings)
        for stage, stride in enumerate((4, 8, 16, 32), 1):
            module = getattr(visual, f"layer{stage}")
            channels = module[-1].conv3.out_channels
            sites[f"stage.{stage}"] = Site(width=channels, grid=(h // stride, w // stride))
            hooks[f"stage.{stage}"] = Hook(module=module, tokens=raster)
    else:
        raise EncoderError(f"open_clip towers of type {type(visual).__name__} have no known layout here")
    sites["joint"] = Site(width=joint)
    return hooks, sites, lambda batch: {"joint": vector(visual(batch))}


def _timm_tower(
    visual: Any, settings: PreprocessCfg, joint: int, device: str
) -> tuple[dict[str, Hook], dict[str, Site], Callable[[torch.Tensor], dict[str, torch.Tensor]]]:
    from encoders.libraries.timm.sites import parts

    h, w = _size(settings)
    hooks, sites, trunk = parts(visual.trunk, (3, h, w), device)

    def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        found = trunk(batch)
        # the projection is the trunk's classifier, or a head of open_clip's own
        project = visual.trunk.get_classifier()
        features = project(found["pooled"][:, 0]) if "pooled" in found else visual.trunk(batch)
        return found | {"joint": visual.head(features)[:, None]}

    return hooks, sites | {"joint": Site(width=joint)}, run


def _size(settings: PreprocessCfg) -> tuple[int, int]:
    size = settings.size
    return (int(size[0]), int(size[1])) if isinstance(size, tuple | list) else (int(size), int(size))
