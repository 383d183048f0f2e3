"""Forward hooks on a library's own modules, by which sites are read; no forward pass is rewritten here."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from encoders._base import EncoderError, Reduce
from plugins import hint

Direct = Callable[[Any], Mapping[str, torch.Tensor]]


def first(output: Any) -> torch.Tensor:
    """The tensor among a module's outputs that holds its tokens."""
    return output[0] if isinstance(output, tuple | list) else output


def vector(output: Any) -> torch.Tensor:
    """A vector [b, d], or a map that is already 1 x 1, as one token [b, 1, d]."""
    return first(output).flatten(1).unsqueeze(1)


def raster(output: Any) -> torch.Tensor:
    """A map [b, c, h, w] as tokens [b, h * w, c], row by row."""
    return first(output).flatten(2).transpose(1, 2)


def raster_last(output: Any) -> torch.Tensor:
    """A map [b, h, w, c] as tokens [b, h * w, c], row by row."""
    return first(output).flatten(1, 2)


@dataclass(frozen=True, kw_only=True)
class Hook:
    """Where a site is read: the output of `module`, turned into tokens [b, t, d].

    Where a model passes an image as several tiles, or all images as one sequence, the tokens of one image
    follow one another and are folded into [b, t, d] here. `order(tokens, batch)` then puts them in raster
    order and drops what is padding.
    """

    module: torch.nn.Module
    tokens: Callable[[Any], torch.Tensor] = first
    order: Callable[[torch.Tensor, Any], torch.Tensor] | None = None


def freeze(module: torch.nn.Module, device: str) -> torch.nn.Module:
    """The module in evaluation mode on its device, in float32, without gradients of its own."""
    unloaded = [n for n, t in (*module.named_parameters(), *module.named_buffers()) if t.device.type == "meta"]
    if unloaded:
        raise EncoderError(f"{len(unloaded)} tensors were never loaded (first: {unloaded[0]})")
    return module.eval().requires_grad_(False).float().to(device)


def reader(name: str, run: Direct, hooks: Mapping[str, Hook], device: str) -> Callable[..., dict[str, Any]]:
    """The `forward` of an encoder: `run` makes the pass and returns some sites, the `hooks` the others."""

    def forward(batch: Any, sites: Sequence[str], grad: bool = False, reduce: Reduce | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        placed = _placed(batch, device)
        images = len(next(iter(placed.values())) if isinstance(placed, dict) else placed)

        def keep(site: str, tokens: torch.Tensor) -> None:
            if site in found:
                raise EncoderError(f"{name}: the module of site {site!r} runs more than once in a pass")
            tokens = _folded(tokens, hooks.get(site), placed, images)
            if reduce:
                found[site] = reduce(site, tokens)
            else:  # a later operation in place must not reach what was read; a gradient must
                found[site] = tokens.float() if grad else tokens.float().clone()

        with ExitStack() as stack:
            for site in sites:
                if site in hooks:
                    handle = hooks[site].module.register_forward_hook(_hook(site, hooks[site].tokens, keep))
                    stack.callback(handle.remove)
            stack.enter_context(torch.set_grad_enabled(grad) if grad else torch.inference_mode())
            direct = run(placed)
            for site in sites:
                if site in direct and site not in hooks:
                    keep(site, direct[site])
        for site in sites:
            if site not in found:
                known = list(dict.fromkeys([*hooks, *direct]))
                near = hint(site, known)
                raise EncoderError(f"{name} gave nothing at site {site!r}; {near}it gives {', '.join(known)}")
        return found

    return forward


def _placed(batch: Any, device: str) -> Any:
    if isinstance(batch, Mapping):
        return {key: torch.as_tensor(value).to(device) for key, value in batch.items()}
    return torch.as_tensor(batch).to(device)


def _folded(tokens: torch.Tensor, hook: Hook | None, batch: Any, images: int) -> torch.Tensor:
    if len(tokens) != images:
        tokens = tokens.reshape(images, -1, tokens.shape[-1])
    return hook.order(tokens, batch) if hook and hook.order else tokens


def _hook(
    site: str, tokens: Callable[[Any], torch.Tensor], keep: Callable[[str, torch.Tensor], None]
) -> Callable[..., None]:
    def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        # returns None: a hook that returns anything replaces the block's output for every later block
        keep(site, tokens(output))

    return hook
