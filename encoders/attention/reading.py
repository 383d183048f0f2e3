"""What a readout reads: the layers and blocks before its site, and which tokens of the last of them, learnt in a pass.

In one pass over noise every layer's output is cut out of the graph, so that a gradient of the readout reaches the
layers that it reads directly and no others, of these the tokens that it reads, and the pooling head that it reads by.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from encoders._base import Encoder, EncoderError, Site
from encoders.attention.intercept import Handlers, Place, intercepted
from encoders.extraction.encode import collate, require_known
from encoders.extraction.hooks import Hook, first
from encoders.extraction.pooling import matrix
from encoders.extraction.readouts import AT_MARK

Tensor = torch.Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A layer of tokens: the output of `module` becomes tokens [n, t, d] by `tokens`, `prefix` of no place first.

    `block` says that it is a block of tokens, not a stage of maps.
    """

    name: str
    module: torch.nn.Module
    tokens: Callable[[Any], Tensor]
    prefix: int
    grid: tuple[int, int]
    block: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """The blocks up to the last that a readout reads, in the order of the pass, and how it reads that one.

    `weights` sum to one: [t] over the tokens behind the last block, or where a pooling head reads them [q] over the
    queries of the head, whose call is the `head`-th outside of the blocks. `every` are all blocks of the tower, in
    the order of the pass; `numbers` is how many weights of attention one image has.
    """

    blocks: tuple[Layer, ...]
    every: tuple[Layer, ...]
    weights: np.ndarray
    head: int | None
    numbers: int


def layers(encoder: Encoder, site: str) -> tuple[Layer, ...]:
    """The layers on a grid up to the last that a site reads, in the order of the pass; () where there is none.

    A tower that cuts images into tiles or windows has none. Raises EncoderError for a site that it has not.
    """
    require_known(encoder, site, ())
    if encoder.module is None or _cut_up(encoder, site):
        return ()
    order = _ordered(encoder, site)
    kept = [layer for layer, calls in order if calls or not layer.block] or [layer for layer, _ in order]
    seen = _reads(encoder, site, None, kept)
    last = max((kept.index(layer) for layer in seen.read), default=-1)
    return tuple(kept[: last + 1])


def reading(encoder: Encoder, site: str, readout: str) -> Reading:
    """How a readout of a site reads the blocks; EncoderError in one line where there is no such reading.

    That is where images are cut into tiles or windows, where blocks have no single attention over all tokens, and
    where a readout reads several blocks or pooling heads.
    """
    name = encoder.card.name
    require_flat(encoder, site, readout)
    calls = dict(_ordered(encoder, site))
    every = [layer for layer in calls if calls[layer]]
    if not every:
        raise EncoderError(f"{name} has no attention in any layer that its sites name")
    seen = _reads(encoder, site, readout, every)
    if len(seen.read) != 1:
        raise EncoderError(f"{name} at {site} reads {len(seen.read)} of its blocks directly, not one")
    blocks = tuple(every[: every.index(seen.read[0]) + 1])
    tokens = blocks[-1].prefix + blocks[-1].grid[0] * blocks[-1].grid[1]
    for layer in blocks:
        shapes = calls[layer]
        if len(shapes) != 1 or shapes[0][-2:] != (tokens, tokens):
            shape = " x ".join(map(str, shapes[0]))
            what = f"{len(shapes)} attentions" if len(shapes) > 1 else f"attention in windows ({shape})"
            raise EncoderError(
                f"{name}: {layer.name} ({type(layer.module).__name__}) has {what}, not one of all tokens"
            )
    if len(seen.heads) > 1:
        raise EncoderError(f"{name} at {site} reads by {len(seen.heads)} pooling heads, not one")
    head = seen.heads[0] if seen.heads else None
    if head is not None and head.shape[-1] != tokens:
        raise EncoderError(f"{name} at {site} reads by a pooling head over {head.shape[-1]} tokens, not {tokens}")
    return Reading(
        blocks=blocks,
        every=tuple(every),
        weights=seen.tokens[0] if head is None else head.queries,
        head=None if head is None else head.call,
        numbers=sum(int(np.prod(calls[layer][0])) for layer in blocks),
    )


def require_flat(encoder: Encoder, site: str, readout: str) -> Site:
    """The site, of one grid or one vector for every image; EncoderError for what has no such site or readout."""
    name = encoder.card.name
    require_known(encoder, site, (readout,))
    if encoder.module is None:
        raise EncoderError(f"{name} computes without torch: it has no attention")
    if why := _cut_up(encoder, site):
        raise EncoderError(f"{name} {why}: it has no attention over one grid of tokens")
    if readout == AT_MARK.name:
        raise EncoderError(f"{name}: {readout!r} reads another token in every image; attention has no one last row")
    return encoder.card.sites[site]


def noise(encoder: Encoder) -> Any:
    """A prepared batch of one image of noise."""
    image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    return collate([encoder.preprocess(image)])


def replaced(output: Any, tokens: Tensor) -> Any:
    """A module's output with other tokens in it."""
    return type(output)((tokens, *output[1:])) if isinstance(output, tuple | list) else tokens


def _cut_up(encoder: Encoder, site: str) -> str:
    """Why there is no one grid of tokens, in words that follow the encoder's name."""
    sites = [encoder.card.sites[name] for name in (*encoder.hooks, site) if name in encoder.card.sites]
    if encoder.layout is not None or any(one.views for one in sites):
        return "lays out every image by its shape, in tiles or windows"
    if any(hook.order is not None for hook in encoder.hooks.values()):
        return "orders tokens in tiles or windows"
    return ""


def _layers(encoder: Encoder) -> list[Layer]:
    """The hooked modules whose sites lie on a flat grid; of those that share a module the first."""
    found: dict[int, Layer] = {}
    for name, hook in encoder.hooks.items():
        site: Site | None = encoder.card.sites.get(name)
        if site is None or site.grid is None or len(site.grid) != 2 or not isinstance(hook, Hook):
            continue
        grid = (site.grid[0], site.grid[1])
        layer = Layer(
            name=name, module=hook.module, tokens=hook.tokens, prefix=site.prefix, grid=grid, block=hook.tokens is first
        )
        found.setdefault(id(hook.module), layer)
    return list(found.values())


def _ordered(encoder: Encoder, site: str) -> list[tuple[Layer, list[tuple[int, ...]]]]:
    """The layers that a pass to the site runs through, in its order, each with the shapes of the attention in it."""
    found = _layers(encoder)
    order: list[Layer] = []
    shapes: dict[int, list[tuple[int, ...]]] = {i: [] for i in range(len(found))}

    def see(place: Place, weights: Tensor) -> Tensor:
        if place.block is not None:
            shapes[place.block].append(tuple(weights.shape))
        return weights

    with ExitStack() as stack:
        for layer in found:
            handle = layer.module.register_forward_hook(lambda _m, _given, _out, layer=layer: order.append(layer))
            stack.callback(handle.remove)
        stack.enter_context(intercepted([layer.module for layer in found], Handlers(weights=see)))
        encoder.forward(noise(encoder), [site])
    return [(layer, shapes[found.index(layer)]) for layer in order]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Head:
    """A pooling head: its call, counted from the first block on, the weights of its queries, its shape [1, h, q, t]."""

    call: int
    queries: np.ndarray
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Reads:
    """The layers that a site reads directly, the weights of each one's tokens, and the pooling heads that it uses."""

    read: list[Layer]
    tokens: list[np.ndarray]
    heads: list[_Head]


def _reads(encoder: Encoder, site: str, readout: str | None, found: Sequence[Layer]) -> _Reads:
    leaves: dict[int, Tensor] = {}
    calls: dict[int, Tensor] = {}

    def see(place: Place, weights: Tensor) -> Tensor:
        if place.block is None and weights.requires_grad:
            calls[place.outside] = weights
        return weights

    with (
        intercepted([layer.module for layer in found], Handlers(weights=see), begin=calls.clear),
        _leaves(found, leaves),
    ):
        value = encoder.forward(noise(encoder), [site], grad=True)[site]
    pool = matrix(encoder.card.sites[site], readout) if readout else None
    pooled = value if pool is None else torch.from_numpy(pool).to(value.device) @ value
    probe = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(0)).to(pooled)
    if not pooled.requires_grad:
        return _Reads(read=[], tokens=[], heads=[])
    gradients = torch.autograd.grad((pooled * probe).sum(), [*leaves.values(), *calls.values()], allow_unused=True)
    read = {
        i: found[i].tokens(gradient)[0].abs().amax(-1) > 0
        for i, gradient in zip(leaves, gradients, strict=False)
        if gradient is not None and bool(gradient.any())
    }
    heads = [
        _Head(call=call, queries=_even(gradient[0].abs().amax((0, 2)) > 0), shape=tuple(gradient.shape))
        for call, gradient in zip(calls, gradients[len(leaves) :], strict=True)
        if gradient is not None and bool(gradient.any())
    ]
    return _Reads(read=[found[i] for i in read], tokens=[_even(which) for which in read.values()], heads=heads)


@contextmanager
def _leaves(found: Sequence[Layer], leaves: dict[int, Tensor]) -> Iterator[None]:
    """Every layer's output a leaf of the graph, kept in the order of the pass."""

    def cut(index: int, output: Any) -> Any:
        leaves[index] = leaf = first(output).detach().requires_grad_()
        return replaced(output, leaf.clone())  # a later operation in place must not reach the leaf

    with ExitStack() as stack:
        for i, layer in enumerate(found):
            handle = layer.module.register_forward_hook(lambda _m, _given, out, i=i: cut(i, out), prepend=True)
            stack.callback(handle.remove)
        yield


def _even(which: Tensor) -> np.ndarray:
    """Equal weights for those that are read: parts of a grid have equal areas, so that so have their cells."""
    chosen = which.cpu().numpy().astype(np.float64)
    return chosen / chosen.sum()
