"""Attention of blocks: what is watched is what the network mixes by, and nothing of the network is changed."""

from typing import Any

import numpy as np
import pytest
import torch

from encoders import Card, Encoder, EncoderError, from_module
from encoders.attention.reading import layers
from encoders.attention.watch import attention
from encoders.extraction.encode import collate
from tests.encoders.attention.towers import built, images, tower

POINTS = [
    ("clip-b16", "block.1", "cls", 2),
    ("clip-b16", "final", "halves", 3),
    ("clip-b16", "joint", "vector", 3),
    ("siglip-b16", "final", "mean", 3),
    ("siglip-b16", "pooled", "vector", 4),  # the last is the pooling head's
    ("dinov2-b14", "pooled", "vector", 3),
    ("dinov2-b14-reg", "final", "grid3", 3),
    ("dinov3-b16", "final", "cls", 3),
    ("uni", "pooled", "vector", 3),
    ("biomedclip", "joint", "vector", 12),
    ("phantom-clip", "joint", "vector", 6),
    ("random:timm:eva02_tiny_patch14_224", "pooled", "vector", 12),
]


@pytest.mark.parametrize(("name", "site", "readout", "count"), POINTS)
def test_rows_sum_to_one_and_features_stay_what_they_were(name: str, site: str, readout: str, count: int) -> None:
    encoder = tower(name)
    batch = collate(images(encoder, 2))
    before = encoder.forward(batch, [site])[site]
    found = attention(encoder, site, readout)
    with found.watch() as seen:
        inside = encoder.forward(batch, [site], grad=True)[site].detach()
    after = encoder.forward(batch, [site])[site]
    assert torch.equal(before, after)
    assert float((inside - before).abs().max()) <= 4e-6 * float(before.abs().max())
    assert len(seen) == count
    tokens = found.prefix + found.grid[0] * found.grid[1]
    assert all(weights.shape[0] == 2 and weights.shape[-1] == tokens for weights in seen)
    assert all(torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5) for weights in seen)
    assert found.head == (name == "siglip-b16" and site == "pooled")
    assert seen[-1].shape[-2] == (len(found.reads) if found.head else tokens)
    assert found.reads.sum() == pytest.approx(1)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.module.modules())


def test_what_is_watched_is_what_the_library_itself_gives_as_attention() -> None:
    encoder = built("clip-b16")  # the library leaves hooks in it
    batch = collate(images(encoder, 2))
    with attention(encoder, "final", "cls").watch() as seen:
        encoder.forward(batch, ["final"])
    vision = encoder.module.vision_model
    was = vision.config._attn_implementation
    encoder.module.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = vision(pixel_values=batch, output_attentions=True).attentions
    encoder.module.set_attn_implementation(was)
    for ours, other in zip(seen, theirs, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-6)


def test_attention_in_the_graph_has_the_gradient_that_a_change_of_it_has() -> None:
    """By a central difference: the softmax itself is exchanged for another in a second pass."""
    from encoders.attention.intercept import Handlers, intercepted

    encoder = tower("phantom-clip")
    batch = collate(images(encoder, 1))
    found = attention(encoder, "joint", "vector")
    weights = torch.randn(1, 1, 128, generator=torch.Generator().manual_seed(0))
    with torch.enable_grad(), found.watch() as seen:
        score = (encoder.forward(batch, ["joint"], grad=True)["joint"] * weights).sum()
        slope = torch.autograd.grad(score, seen)[3]
    step = torch.randn(slope.shape, generator=torch.Generator().manual_seed(1)) * seen[3].detach() * 0.02
    blocks = [encoder.hooks[f"block.{i}"].module for i in range(6)]

    def moved(by: float) -> float:
        handlers = Handlers(weights=lambda place, softmax: softmax + by * step if place.block == 3 else softmax)
        with intercepted(blocks, handlers):
            return float((encoder.forward(batch, ["joint"])["joint"].double() * weights).sum())

    assert (moved(1) - moved(-1)) / 2 == pytest.approx(float((slope * step).sum()), rel=2e-2, abs=1e-5)


def test_nothing_is_left_behind_where_a_pass_fails() -> None:
    encoder = tower("siglip-b16")
    batch = collate(images(encoder, 1))
    before = encoder.forward(batch, ["pooled"])["pooled"]
    found = attention(encoder, "pooled", "vector")

    def fail(*_given: Any) -> None:
        raise RuntimeError("in the middle")

    def failing() -> None:
        handle = encoder.hooks["block.1"].module.mlp.register_forward_hook(fail)
        try:
            encoder.forward(batch, ["pooled"])
        finally:
            handle.remove()

    with pytest.raises(RuntimeError, match="in the middle"), found.watch():
        failing()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.module.modules())
    assert torch.equal(encoder.forward(batch, ["pooled"])["pooled"], before)
    # nor is anything counted on within one context, where the head that runs behind the blocks is not asked for
    with attention(encoder, "final", "mean").watch() as seen:
        with pytest.raises(RuntimeError, match="in the middle"):
            failing()
        encoder.forward(batch, ["pooled"])
        assert [tuple(one.shape) for one in seen] == [(1, 2, 16, 16)] * 3


def test_only_the_pass_in_the_context_is_watched_and_each_pass_anew() -> None:
    encoder = tower("dinov2-b14")
    found = attention(encoder, "block.1", "mean")
    with torch.no_grad(), found.watch(lambda weights: weights.mean(1)) as seen:
        for n in (1, 3):
            encoder.forward(collate(images(encoder, n)), ["block.1"])
            assert [tuple(one.shape) for one in seen] == [(n, 26, 26)] * 2
    encoder.forward(collate(images(encoder, 2)), ["block.1"])
    assert len(seen[0]) == 3
    assert not seen[0].requires_grad


@pytest.mark.parametrize(
    ("name", "site", "readout", "reads"),
    [
        ("clip-b16", "joint", "vector", [0]),
        ("clip-b16", "final", "mean", range(1, 17)),
        ("dinov2-b14-reg", "block.2", "mean", range(5, 21)),
        ("dinov2-b14-reg", "pooled", "vector", [0]),
        ("siglip-b16", "joint", "vector", [0]),  # of one query
        ("random:timm:eva02_tiny_patch14_224", "pooled", "vector", range(1, 257)),  # mean of patches behind the blocks
    ],
)
def test_the_row_that_is_read_is_known(name: str, site: str, readout: str, reads: Any) -> None:
    found = attention(tower(name), site, readout)
    assert list(np.flatnonzero(found.reads)) == list(reads)


def test_parts_of_a_grid_are_read_by_the_mean_of_their_rows() -> None:
    from encoders.extraction.pooling import matrix

    encoder = tower("dinov2-b14")  # 5 x 5: the middle is shared
    for readout in ("halves", "grid3", "mean", "cls"):
        due = matrix(encoder.card.sites["final"], readout).mean(0)
        np.testing.assert_allclose(attention(encoder, "final", readout).reads, due, atol=1e-7)


def test_layers_end_where_a_site_reads_them() -> None:
    clip = tower("clip-b16")
    assert [one.name for one in layers(clip, "block.1")] == ["block.0", "block.1"]
    assert [one.name for one in layers(clip, "joint")] == ["block.0", "block.1", "block.2"]
    assert layers(tower("phantom-clip"), "joint")[-1].name == "block.5"  # not the norm behind it
    resnet = tower("random:timm:resnet18")
    stages = layers(resnet, "stage.3")
    assert [(one.name, one.grid, one.block) for one in stages][-1] == ("stage.3", (28, 28), False)
    assert layers(resnet, "pooled")[-1].grid == (7, 7)
    assert layers(tower("pixels"), "final") == ()


def test_what_has_no_one_attention_over_all_tokens_is_refused_in_one_line() -> None:
    for name, site, readout, message in (
        ("random:timm:resnet18", "pooled", "vector", "has no attention in any layer that its sites name"),
        ("random:timm:vit_dlittle_patch16_reg1_gap_256", "block.0", "mean", r"block.0 \(Block\) has 2 attentions"),
        ("pixels", "final", "mean", "pixels computes without torch: it has no attention"),
        ("clip-b16", "blok.1", "mean", r"no site 'blok.1'; did you mean 'block.1'\?"),
        ("clip-b16", "pooled", "mean", "no readout 'mean'; it has vector"),
        ("clip-b16", "final", "at-mark", "'at-mark' reads another token in every image"),
    ):
        with pytest.raises(EncoderError, match=message) as caught:
            attention(tower(name), site, readout)
        assert "\n" not in str(caught.value)


class Windows(torch.nn.Module):
    """A block whose tokens meet in four windows."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.unflatten(1, (4, -1)).flatten(0, 1)).unflatten(0, (-1, 4)).flatten(1, 2)


class Twice(torch.nn.Module):
    """Patches, and a sum of two blocks' tokens: what a network of somebody's own may read."""

    def __init__(self, windows: bool = False) -> None:
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 16, 16, 16)
        self.blocks = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True) for _ in range(2)
        )
        if windows:
            self.blocks[0] = Windows()
        self.both = torch.nn.Identity()
        self.last = torch.nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        one = self.blocks[0](x)
        two = self.blocks[1](one)
        return self.both((one + two).mean(1)) + self.last(two.mean(1))


def own(module: torch.nn.Module) -> Encoder:
    """An encoder of that module, with random weights."""
    torch.manual_seed(0)
    sites = {"block.0": "blocks.0", "block.1": "blocks.1", "both": "both", "last": "last"}
    return from_module(Card(name="own"), module, lambda image: torch.zeros(3, 64, 64) + image.mean() / 255, sites)


def test_a_module_of_ones_own_is_watched_and_a_readout_of_two_blocks_refused() -> None:
    encoder = own(Twice())
    found = attention(encoder, "last", "vector")
    with found.watch() as seen:
        encoder.forward(torch.randn(2, 3, 64, 64), ["last"])
    assert [tuple(one.shape) for one in seen] == [(2, 2, 16, 16)] * 2
    with pytest.raises(EncoderError, match="own at both reads 2 of its blocks directly, not one"):
        attention(encoder, "both", "vector")
    with pytest.raises(EncoderError, match=r"own: block.0 \(Windows\) has attention in windows \(4 x 2 x 4 x 4\)"):
        attention(own(Twice(windows=True)), "last", "vector")
