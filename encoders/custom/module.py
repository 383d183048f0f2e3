"""Any torch module becomes an encoder: named submodules are read by hooks, their layout from a dry pass."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoders._base import Card, Encoder, EncoderError, Input, Site
from encoders.extraction.assemble import assemble
from encoders.extraction.hooks import Hook, first, freeze, raster, vector
from encoders.extraction.images import transform
from plugins import nearest

FLAT, VOLUME = (224, 224), (16, 64, 64)


def from_module(
    card: Card,
    module: torch.nn.Module,
    preprocess: Input | Callable[[np.ndarray], Any],
    sites: Mapping[str, str],
    *,
    device: str = "cpu",
    prefix: int = 0,
    cls: bool | None = None,
    files: Sequence[str | Path] = (),
    example: np.ndarray | None = None,
) -> Encoder:
    """The encoder; see `encoders.from_module`.

    A 4-D output is a map [b, c, h, w], a 3-D one tokens [b, t, d], a 2-D one a vector [b, d]. Where the card says
    `volumes`, a 5-D output is a map [b, c, d, h, w], and tokens lie on the grid that the card declares for the site.
    """
    if not sites:
        raise EncoderError(f'{card.name}: name at least one site, e.g. {{"final": "{_last(module)}"}}')
    module = freeze(module, device)
    described = preprocess if isinstance(preprocess, Input) else None
    apply = transform(preprocess) if isinstance(preprocess, Input) else preprocess
    if card.volumes and described is not None:
        raise EncoderError(f"{card.name}: an Input prepares flat images; for volumes give a function of [d, h, w]")
    has_cls = prefix > 0 if cls is None else cls
    if example is None:
        example = np.random.default_rng(0).integers(0, 256, VOLUME if card.volumes else FLAT, dtype=np.uint8)
    found, hooks = _learn(card, module, apply, sites, device, example, (prefix, has_cls))
    for name, site in card.sites.items():
        _declared(card.name, name, site, found)
    return assemble(
        card,
        module,
        run=lambda batch: _run(module, batch),
        hooks=hooks,
        sites=found,
        preprocess=apply,
        input=described,
        device=device,
        architecture=[dict(sites), prefix, has_cls],
        libraries=(),
        files=tuple(Path(file) for file in files),
    )


def _run(module: torch.nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    module(batch)
    return {}


def _last(module: torch.nn.Module) -> str:
    return ([name for name, _ in module.named_children()] or ["head"])[-1]


def _learn(
    card: Card,
    module: torch.nn.Module,
    apply: Callable[[np.ndarray], Any],
    sites: Mapping[str, str],
    device: str,
    example: np.ndarray,
    layout: tuple[int, bool],
) -> tuple[dict[str, Site], dict[str, Hook]]:
    who = card.name
    named = dict(module.named_modules())
    shapes: dict[str, tuple[int, ...]] = {}
    handles = [
        _child(who, named, path).register_forward_hook(
            lambda _m, _i, out, site=site: shapes.update({site: _shape(who, site, out)})
        )
        for site, path in sites.items()
    ]
    try:
        with torch.inference_mode():
            module(torch.as_tensor(apply(example))[None].to(device))
    finally:
        for handle in handles:
            handle.remove()
    found, hooks = {}, {}
    for site, path in sites.items():
        if site not in shapes:
            raise EncoderError(f"{who}: the submodule {path!r} of site {site!r} does not run in a forward pass")
        found[site] = _site(card, site, path, shapes[site], layout)
        tokens = {5: raster, 4: raster, 3: first, 2: vector}[len(shapes[site])]
        hooks[site] = Hook(module=named[path], tokens=vector if found[site].grid is None else tokens)
    return found, hooks


def _child(who: str, named: Mapping[str, torch.nn.Module], path: str) -> torch.nn.Module:
    if path not in named:
        near = nearest(path, [n for n in named if n], 0.6)
        hint = f"; did you mean {near!r}?" if near else ""
        raise EncoderError(f"{who}: the module has no submodule {path!r}{hint}")
    return named[path]


def _shape(who: str, site: str, output: Any) -> tuple[int, ...]:
    tensor = first(output)
    if not isinstance(tensor, torch.Tensor):
        raise EncoderError(
            f"{who}: site {site!r} gives a {type(tensor).__name__}, no tensor; name a submodule whose output is "
            "a map [b, c, h, w], tokens [b, t, d] or a vector [b, d]"
        )
    return tuple(tensor.shape)


def _site(card: Card, site: str, path: str, shape: tuple[int, ...], layout: tuple[int, bool]) -> Site:
    who = card.name
    if len(shape) == 2:
        return Site(width=shape[1])
    if len(shape) == 4 or (len(shape) == 5 and card.volumes):
        return Site(width=shape[1], grid=shape[2:]) if max(shape[2:]) > 1 else Site(width=shape[1])
    if len(shape) == 3:
        prefix, cls = layout
        declared_grid = card.sites[site].grid if card.volumes and site in card.sites else None
        if declared_grid is not None and math.prod(declared_grid) == shape[1] - prefix:
            return Site(width=shape[2], grid=declared_grid, prefix=prefix, cls=cls)
        side = round(max(shape[1] - prefix, 0) ** 0.5)
        if side and side * side == shape[1] - prefix:
            return Site(width=shape[2], grid=(side, side), prefix=prefix, cls=cls)
        raise EncoderError(
            f"{who}: site {site!r} ({path}) gives {shape[1]} tokens, which with prefix={prefix} are no square grid; "
            "pass prefix= the number of tokens before the patches"
            + (", and let the CARD declare the site's grid=(depth, height, width)" if card.volumes else "")
        )
    raise EncoderError(
        f"{who}: site {site!r} ({path}) gives shape {shape}; a map [b, c, h, w], tokens [b, t, d] or a vector "
        "[b, d] can be read"
    )


def _declared(who: str, name: str, declared: Site, found: Mapping[str, Site]) -> None:
    if name not in found:
        near = nearest(name, found, 0.6)
        hint = f"did you mean {near!r}? " if near else ""
        raise EncoderError(
            f"{who}: the card declares site {name!r}, which is not given; {hint}given are {', '.join(found)}"
        )
    if declared != found[name]:
        raise EncoderError(f"{who}: the card declares {declared} at {name!r}, the module gives {found[name]}")
