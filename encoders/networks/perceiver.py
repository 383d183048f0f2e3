"""The perceiver resampler of Flamingo: learnt latents that read any number of image tokens. arXiv:2204.14198.

Its names are those of the published checkpoints, so that their tensors load without a map.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from hub.torch_files import required

HEAD = 64  # the width of an attention head in every checkpoint


class Attention(nn.Module):
    """Latents [b, n, d] read image tokens [b, t, d] and one another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, HEAD * heads, bias=False)
        self.to_kv = nn.Linear(width, 2 * HEAD * heads, bias=False)
        self.to_out = nn.Linear(HEAD * heads, width, bias=False)

    def forward(self, tokens: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """The change to the latents [b, n, d]."""
        latents = self.norm_latents(latents)
        keys, values = self.to_kv(torch.cat([self.norm_media(tokens), latents], dim=1)).chunk(2, dim=-1)
        q, k, v = (x.unflatten(2, (self.heads, HEAD)).transpose(1, 2) for x in (self.to_q(latents), keys, values))
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Perceiver(nn.Module):
    """Image tokens [b, t, d] to latents [b, n, d], after a last norm."""

    def __init__(self, width: int, latents: int, depth: int = 6, heads: int = 8, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or 4 * width
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.layers = nn.ModuleList(
            nn.ModuleList([Attention(width, heads), _feed_forward(width, inner)]) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The latents [b, n, d] after they have read the tokens."""
        latents = self.latents.expand(len(tokens), -1, -1)
        for layer in self.layers:
            attention, feed_forward = layer  # pyright: ignore[reportGeneralTypeIssues]
            latents = latents + attention(tokens, latents)
            latents = latents + feed_forward(latents)
        return self.norm(latents)


def _feed_forward(width: int, inner: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, inner, bias=False), nn.GELU(), nn.Linear(inner, width, bias=False)
    )


def shaped_like(state: Mapping[str, torch.Tensor], who: str, where: str) -> Perceiver:
    """A perceiver of the sizes that the tensors of `state` have."""
    required(state, who, where, "latents", "layers.0.0.to_q.weight", "layers.0.1.1.weight")
    latents, width = state["latents"].shape
    return Perceiver(
        width,
        latents,
        depth=len({name.split(".")[1] for name in state if name.startswith("layers.")}),
        heads=len(state["layers.0.0.to_q.weight"]) // HEAD,
        inner=len(state["layers.0.1.1.weight"]),
    )
