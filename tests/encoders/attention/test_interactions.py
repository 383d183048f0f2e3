"""Pair interactions: they sum to four similarities, and are those of one backward pass per dimension."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from encoders import Card, Encoder, EncoderError, from_module
from encoders.attention.interactions import interactions
from encoders.attention.response import legendre, response
from encoders.extraction.hooks import first
from tests.encoders.attention.towers import images, tower

POINTS = [
    ("clip-b16", "joint", "vector", "block.2", True),  # QuickGELU
    ("clip-b16", "block.1", "cls", "block.1", True),
    ("siglip-b16", "joint", "vector", "block.2", False),  # a pooling head
    ("dinov2-b14", "pooled", "vector", "block.2", True),  # layer scale
    ("dinov2-b14-reg", "final", "cls", "block.2", True),
    ("dinov3-b16", "pooled", "vector", "block.2", True),  # rotary positions
    ("uni", "final", "cls", "block.2", True),  # timm, layer scale
    ("phantom-clip", "joint", "vector", "block.5", True),  # open_clip
    ("random:timm:eva02_tiny_patch14_224", "pooled", "vector", "block.11", False),  # a mean, and a norm behind it
]


def by_backward(encoder: Encoder, site: str, layer: str, entering: bool, pair: Any, nodes: int) -> np.ndarray:
    """The response [t, d] by one backward pass per dimension through the whole of what lies behind a block."""
    module = encoder.hooks[layer].module
    put: list[torch.Tensor] = []
    kept: list[torch.Tensor] = []

    def before(_module: Any, args: Any, kwargs: Any) -> Any:
        kept.append(args[0] if args else next(iter(kwargs.values())))
        if not put:
            return None
        return ((put[0], *args[1:]), kwargs) if args else (args, kwargs | {next(iter(kwargs)): put[0]})

    def after(_module: Any, _args: Any, output: Any) -> Any:
        kept.append(first(output))
        return put[0] if put else None

    handle = module.register_forward_pre_hook(before, with_kwargs=True) if entering else (
        module.register_forward_hook(after)
    )  # fmt: skip
    ends = []
    for image in pair:
        encoder.forward(image[None], [site])
        ends.append(kept[-1][0].clone())
    z, r = ends
    total = np.zeros(0)
    for at, weight in legendre(nodes):
        put[:] = [(r + at * (z - r))[None].detach().requires_grad_()]
        read = encoder.forward(pair[0][None], [site], grad=True)[site][0, 0]
        slopes = [torch.autograd.grad(one, put, retain_graph=True)[0][0] for one in read]
        part = weight * torch.einsum("dtf,tf->td", torch.stack(slopes), z - r).double().numpy()
        total = total + part if total.size else part
    handle.remove()
    return total


@pytest.mark.parametrize(("name", "site", "readout", "layer", "entering"), POINTS)
def test_a_response_is_that_of_one_backward_pass_per_dimension(
    name: str, site: str, readout: str, layer: str, entering: bool
) -> None:
    encoder = tower(name)
    image, reference = images(encoder, 2)
    found = response(encoder, site, readout, image, reference)
    assert found.tokens == f"{'entering' if entering else 'behind'} {layer}"
    assert found.error <= 0.002
    theirs = by_backward(encoder, site, layer, entering, (image, reference), found.nodes)
    np.testing.assert_allclose(found.values, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
    assert not any("forward" in vars(m) for m in encoder.module.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.module.modules())


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(
    ("name", "site", "readout"),
    [*(point[:3] for point in POINTS), ("dinov2-b14-reg", "final", "halves"), ("siglip-b16", "block.1", "mean")],
)
def test_interactions_sum_to_the_four_similarities(name: str, site: str, readout: str, normalise: bool) -> None:
    encoder = tower(name)
    a, b, r, s = (images(encoder, 1, seed) for seed in range(4))
    (found,) = interactions(encoder, site, readout, a, b, r, s, normalise=normalise)
    e = [embedding(encoder, site, readout, one[0]) for one in (a, b, r, s)]
    norm = np.linalg.norm(e[0]) * np.linalg.norm(e[1]) if normalise else 1.0
    similar = {(i, j): e[i] @ e[j] / norm for i in (0, 2) for j in (1, 3)}
    due = similar[0, 1] - similar[0, 3] - similar[2, 1] + similar[2, 3]
    assert found.similarity == pytest.approx(similar[0, 1], rel=1e-5)
    assert found.due == pytest.approx(due, rel=1e-3, abs=1e-7)
    assert found.values.sum() == pytest.approx(due, rel=0.01, abs=1e-6)
    assert found.error <= 0.01
    count = found.grid[0] * found.grid[1]
    assert found.places.shape == (count, count)
    assert found.values.shape == (count + found.prefix,) * 2
    assert found.places.sum() + found.of_prefix == pytest.approx(found.values.sum())


def embedding(encoder: Encoder, site: str, readout: str, image: torch.Tensor) -> np.ndarray:
    from encoders.extraction.pooling import matrix

    tokens = encoder.forward(image[None], [site])[site][0].double().numpy()
    return (matrix(encoder.card.sites[site], readout) @ tokens).ravel()


def test_a_token_that_does_not_differ_from_its_reference_interacts_with_none() -> None:
    """At a site's own tokens, where single patches can be left alone: a convolution of 16 x 16 pixels."""
    torch.manual_seed(0)
    encoder = from_module(
        Card(name="patches"), torch.nn.Conv2d(3, 8, 16, 16), lambda _image: torch.zeros(3, 64, 64), {"map": ""}
    )
    image = torch.randn(3, 64, 64)
    reference = image.clone()
    reference[:, 16:32, 32:48] = 0  # of the second row the third
    (found,) = interactions(encoder, "map", "mean", [image], [image], [reference], [reference], normalise=False)
    assert np.flatnonzero(found.values) == [6 * 16 + 6]
    assert found.error < 1e-12


class Mixing(torch.nn.Module):
    """A block in which tokens meet before attention, or behind it, or that multiplies queries and keys by hand."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.qkv, self.out = torch.nn.Linear(16, 48), torch.nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = torch.cat([x[:, :1], x[:, 1:].roll(1, 1)], 1) + x if self.where == "before" else x
        q, k, v = self.qkv(given)[:, None].chunk(3, -1)
        if self.where == "by hand":
            return x + self.out((q @ k.mT).softmax(-1) @ v)[:, 0]
        out = x + self.out(torch.nn.functional.scaled_dot_product_attention(q, k, v))[:, 0]
        return out + out.mean(1, keepdim=True) if self.where == "behind" else out


class Tower(torch.nn.Module):
    """Patches behind a CLS token, one block, and CLS."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.patch, self.block, self.read = torch.nn.Conv2d(3, 16, 16, 16), block, torch.nn.Identity()
        self.cls = torch.nn.Parameter(torch.randn(1, 1, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return self.read(self.block(torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1))[:, 0])


def own(block: torch.nn.Module) -> Encoder:
    torch.manual_seed(0)
    sites = {"block.0": "block", "read": "read"}
    return from_module(Card(name="own"), Tower(block), lambda _image: torch.rand(3, 64, 64), sites, prefix=1, cls=True)


def test_a_block_of_another_kind_is_refused_by_its_name() -> None:
    for where, message in (
        ("by hand", "multiplies queries and keys in code of its own"),
        ("before", "lets tokens meet before its attention"),
        ("behind", r"is no block whose one row can be run alone \(it misses by"),
    ):
        encoder = own(Mixing(where))
        image, reference = images(encoder, 2)
        with pytest.raises(EncoderError, match=rf"own: block.0 \(Mixing\) {message}") as caught:
            response(encoder, "read", "vector", image, reference)
        assert "\n" not in str(caught.value)
        assert not any("forward" in vars(m) for m in encoder.module.modules())
    encoder = own(Mixing(""))
    assert response(encoder, "read", "vector", *images(encoder, 2)).error < 0.002


def test_a_block_of_ones_own_that_is_one_is_opened() -> None:
    encoder = own(torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True, activation="gelu"))
    image, reference = images(encoder, 2)
    found = response(encoder, "read", "vector", image, reference)
    theirs = by_backward(encoder, "read", "block.0", True, (image, reference), found.nodes)
    np.testing.assert_allclose(found.values, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


def test_what_cannot_be_paired_is_said_in_one_line() -> None:
    encoder = tower("clip-b16")
    a = images(encoder, 2)
    for change, given, message in (
        ({}, (a, a[:1], a, a), r"as many first and second images and references; given are \[2, 1, 2, 2\]"),
        ({"dtype": "bfloat16"}, (a, a, a, a), "clip-b16 in bfloat16: responses are differences, use --dtype float32"),
    ):
        with pytest.raises(EncoderError, match=message):
            interactions(replace(encoder, **change), "joint", "vector", *given)
    with pytest.raises(EncoderError, match="has no attention in any layer"):
        response(tower("random:timm:resnet18"), "pooled", "vector", *images(tower("random:timm:resnet18"), 2))


def test_the_same_image_as_its_own_reference_leaves_nothing() -> None:
    encoder = tower("clip-b16")
    a = images(encoder, 1)
    (found,) = interactions(encoder, "joint", "vector", a, a, a, a)
    assert not found.values.any()
    assert (found.due, found.error) == (0.0, 0.0)
