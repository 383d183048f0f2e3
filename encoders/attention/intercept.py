"""Attention where it is computed: calls of softmax(q k') v caught inside a pass, whatever library makes them.

Nothing of a network is changed for it. All three libraries end in torch's own functions: timm and transformers in
`scaled_dot_product_attention`, open_clip and pooling heads in `multi_head_attention_forward`, and unfused code in
`softmax`. A `TorchFunctionMode` sees these calls in this thread alone, behind norms of queries and keys, rotary
positions and biases, so that what it sees is what the network mixes by.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

Tensor = torch.Tensor
SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a call stands in a pass: in which of the blocks, or the how-many-eth behind or between them."""

    block: int | None
    outside: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """What attention is made of: softmax(scale q k' + bias) v, with q [n, heads, q, d], k and v [n, heads, t, d]."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None
    scale: float

    def weights(self) -> Tensor:
        """The attention [n, heads, q, t]."""
        scores = (self.q * self.scale) @ self.k.mT
        return torch.softmax(scores if self.bias is None else scores + self.bias, -1)


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """What becomes of a call.

    `weights(place, softmax)` may look at attention [n, heads, q, t] and returns what is used in its stead.
    `output(place, made)` returns the output [n, heads, q, d] of a call, or None for the usual one; `made()` is the
    call. Calls of unfused code pass it by.
    """

    weights: Callable[[Place, Tensor], Tensor] = lambda _place, softmax: softmax
    output: Callable[[Place, Callable[[], Call]], Tensor | None] = lambda _place, _made: None


class Interception(TorchFunctionMode):
    """The mode: `inside` holds the blocks that a pass is in now, `outside` counts the calls in none."""

    def __init__(self, handlers: Handlers) -> None:
        super().__init__()
        self.handlers = handlers
        self.inside: list[int] = []
        self.outside = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Torch's own result of a call, with attention handed to the handlers."""
        del types
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._scaled_dot_product(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return self._multi_head(*args, **kwargs)
        found = func(*args, **kwargs)
        if func in SOFTMAX and found.ndim == 4 and _over_last(args, kwargs):
            return self.handlers.weights(self._place(), found)
        return found

    def _place(self) -> Place:
        if self.inside:
            return Place(block=self.inside[-1])
        self.outside += 1
        return Place(block=None, outside=self.outside - 1)

    def _attend(self, made: Callable[[], Call]) -> tuple[Tensor, Tensor | None]:
        place = self._place()
        found = self.handlers.output(place, made)
        if found is not None:
            return found, None
        call = made()
        weights = self.handlers.weights(place, call.weights())
        return weights @ call.v, weights

    def _scaled_dot_product(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if is_causal or enable_gqa or dropout_p or query.ndim != 4:  # of no image tower in evaluation mode
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        factor = query.shape[-1] ** -0.5 if scale is None else scale
        return self._attend(lambda: Call(q=query, k=key, v=value, bias=_bias(attn_mask, query), scale=factor))[0]

    def _multi_head(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """Attention of `torch.nn.MultiheadAttention`, whose own weights are a view outside the graph."""
        given = MULTI_HEAD.bind(*args, **kwargs)
        given.apply_defaults()
        of = given.arguments
        odd = any(of[name] is not None for name in ("bias_k", "bias_v", "static_k", "static_v", "key_padding_mask"))
        if odd or of["add_zero_attn"] or of["query"].ndim != 3 or (of["training"] and of["dropout_p"]):
            return F.multi_head_attention_forward(*args, **kwargs)
        out, weights = self._attend(lambda: _projected(of))
        out = F.linear(out.permute(2, 0, 1, 3).flatten(2), of["out_proj_weight"], of["out_proj_bias"])
        if not of["need_weights"] or weights is None:
            return out, None
        return out, weights.mean(1) if of["average_attn_weights"] else weights


def _projected(of: Mapping[str, Any]) -> Call:
    """The call that `multi_head_attention_forward` makes of its arguments."""
    inputs, heads = (of["query"], of["key"], of["value"]), of["num_heads"]
    if of["use_separate_proj_weight"]:
        matrices = [of[f"{name}_proj_weight"] for name in "qkv"]
    else:
        matrices = of["in_proj_weight"].chunk(3)
    offsets = (None,) * 3 if of["in_proj_bias"] is None else of["in_proj_bias"].chunk(3)
    q, k, v = (  # [t, n, width] to [n, heads, t, d]; of a transposed tensor torch would make t products
        F.linear(x.contiguous(), w, b).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
        for x, w, b in zip(inputs, matrices, offsets, strict=True)
    )
    mask = of["attn_mask"]
    if mask is not None and mask.ndim == 3:
        mask = mask.unflatten(0, (-1, heads))
    return Call(q=q, k=k, v=v, bias=_bias(mask, q), scale=q.shape[-1] ** -0.5)


def _over_last(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return kwargs.get("dim", args[1] if len(args) > 1 else None) in (-1, 3)


def _bias(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask of either kind as what is added to the scores."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(~mask, -torch.inf)


@contextmanager
def intercepted(
    blocks: Sequence[torch.nn.Module], handlers: Handlers, begin: Callable[[], Any] | None = None
) -> Iterator[None]:
    """Every pass in this block hands its attention to the handlers.

    Hooks on the blocks say where a call stands; they are taken off at the end, also where a pass fails. With blocks in
    the order of the pass, `begin()` is called as the first is entered, from where on calls outside are counted.
    """
    mode = Interception(handlers)

    def enter(index: int) -> None:
        if index == 0 and begin:
            mode.inside.clear()
            mode.outside = 0
            begin()
        mode.inside.append(index)

    with ExitStack() as stack:
        for i, block in enumerate(blocks):
            before = block.register_forward_pre_hook(lambda *_given, i=i: enter(i), prepend=True)
            stack.callback(before.remove)
            after = block.register_forward_hook(lambda *_given: _left(mode.inside), prepend=True)
            stack.callback(after.remove)
        stack.enter_context(mode)
        yield


def _left(inside: list[int]) -> None:
    inside.pop()
