"""Grad-CAM, rollout, relevance and LeGrad: by hand, by captum, and on a patch that was planted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from encoders import Encoder
from encoders.extraction.differentiable import differentiable
from encoders.extraction.encode import collate
from encoders.extraction.pooling import matrix
from probes.attribution import Attention, Layer, Subject, load
from slitlamp.attribution.inside import attention_of, layers
from tests.encoders.attention.towers import built, images, tower

METHODS = ("grad-cam", "legrad", "relevance", "rollout")
INSIDE = METHODS[1:]
POINTS = [
    ("clip-b16", "final", "cls"),
    ("clip-b16", "final", "mean"),
    ("siglip-b16", "final", "halves"),  # no CLS, raster order
    ("siglip-b16", "pooled", "vector"),  # a pooling head
    ("dinov2-b14-reg", "final", "cls"),
    ("dinov2-b14-reg", "final", "mean"),
    ("dinov3-b16", "pooled", "vector"),
]


def subject(
    encoder: Encoder, site: str, batch: torch.Tensor, score: Callable[[torch.Tensor], torch.Tensor], readout: str
) -> Subject:
    """A subject whose score is that of the features [m, d], the same for every image."""
    pool = torch.from_numpy(matrix(encoder.card.sites[site], readout))

    def of(given: torch.Tensor, _rows: torch.Tensor) -> torch.Tensor:
        return score((pool @ encoder.forward(given, [site], grad=True)[site]).flatten(1))

    return Subject(
        name=encoder.card.name, images=batch, blurred=torch.zeros_like(batch), score=of, layers=layers(encoder, site),
        attention=attention_of(encoder, site, readout) if "resnet" not in encoder.card.name else None,
        absent="it has no attention",
    )  # fmt: skip


def noise(encoder: Encoder, site: str, readout: str, n: int = 3) -> Subject:
    """Images of noise, and a random linear score."""
    width = encoder.card.sites[site].width * len(matrix(encoder.card.sites[site], readout))
    weights = torch.randn(width, generator=torch.Generator().manual_seed(0))
    return subject(encoder, site, collate(images(encoder, n)), lambda x: x @ weights, readout)


def hits(values: np.ndarray, cells: Sequence[int]) -> float:
    """The share of maps whose largest value lies in the cell of that number, row by row."""
    return float(np.mean(values.reshape(len(values), -1).argmax(1) == np.asarray(cells)))


# by hand


def test_rollout_is_the_product_of_the_matrices() -> None:
    for name, site, readout in (("dinov2-b14-reg", "final", "grid3"), ("siglip-b16", "pooled", "vector")):
        given = noise(tower(name), site, readout)
        attention = given.attention
        assert attention
        with torch.no_grad(), attention.watch() as seen:
            given.score(given.images, torch.arange(3))
        row = torch.as_tensor(attention.reads, dtype=torch.float32)
        matrices = [weights.mean(1) for weights in seen]
        product = torch.eye(matrices[0].shape[-1])
        for one in matrices[: len(matrices) - attention.head]:
            product = (one + torch.eye(len(one[0]))) / 2 @ product
        first = matrices[-1] if attention.head else torch.eye(len(product[0]))
        due = (row @ (first @ product))[:, attention.prefix :].unflatten(1, attention.grid)
        found = load("rollout").explain(given).values
        np.testing.assert_allclose(found, due.numpy(), atol=1e-6)
        assert found.sum() <= 3 + 1e-5
    assert attention.head


def test_relevance_and_legrad_are_their_equations() -> None:
    for name, site, readout in (("dinov2-b14-reg", "final", "cls"), ("siglip-b16", "pooled", "vector")):
        given = noise(tower(name), site, readout)
        attention = given.attention
        assert attention
        with torch.enable_grad(), attention.watch() as seen:
            slopes = torch.autograd.grad(given.score(given.images, torch.arange(3)).sum(), seen)
        row = torch.as_tensor(attention.reads, dtype=torch.float32)
        bars = [(a.detach() * slope).clamp(min=0).mean(1) for a, slope in zip(seen, slopes, strict=True)]
        relevance = torch.eye(bars[0].shape[-1]).expand(3, -1, -1)
        for bar in bars[: len(bars) - attention.head]:
            relevance = relevance + bar @ relevance
        read = row @ (bars[-1] @ relevance) if attention.head else row @ relevance - row
        due = read[:, attention.prefix :].unflatten(1, attention.grid)
        np.testing.assert_allclose(load("relevance").explain(given).values, due.numpy(), atol=1e-6)
        positive = torch.stack([slope.clamp(min=0).mean((1, 2)) for slope in slopes]).sum(0)
        due = positive[:, attention.prefix :].unflatten(1, attention.grid)
        np.testing.assert_allclose(load("legrad").explain(given).values, due.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("site", "readout", "layer"), [("pooled", "vector", "stage.5"), ("stage.4", "grid3", "stage.4")]
)
def test_grad_cam_of_a_convolutional_network_is_captums(site: str, readout: str, layer: str) -> None:
    """Also where the slope differs from place to place, as in a readout of regions."""
    from captum.attr import LayerGradCam

    encoder = tower("random:timm:resnet18")
    given = noise(encoder, site, readout, 2)
    found = load("grad-cam").explain(given)
    assert found.facts["layer"] == layer
    theirs = LayerGradCam(given.score, encoder.hooks[layer].module)
    batch = given.images.clone().requires_grad_()  # captum reads no layer that depends on nothing that asks for a slope
    values: Any = theirs.attribute(batch, additional_forward_args=(torch.arange(2),))
    due = values[:, 0].detach().numpy()
    assert np.abs(due[0] - due[1]).max() > 0.01 * np.abs(due).max()
    np.testing.assert_allclose(found.values, due, rtol=0, atol=1e-5 * np.abs(due).max())


def test_grad_cam_of_a_linear_mean_is_what_each_token_adds() -> None:
    """At a convolutional site that is read by a mean, the weighted activations sum to the score."""
    encoder = tower("random:timm:resnet18")
    given = noise(encoder, "stage.4", "mean", 2)
    found = load("grad-cam").explain(given)
    assert found.facts["layer"] == "stage.4"
    scores = given.score(given.images, torch.arange(2)).detach().numpy()
    np.testing.assert_allclose(found.values.sum((1, 2)), scores, rtol=1e-4)


def test_behind_the_last_block_cls_alone_is_read_so_that_the_one_before_is_drawn() -> None:
    encoder = tower("clip-b16")
    given = noise(encoder, "joint", "vector")
    found = load("grad-cam").explain(given)
    assert found.facts["layer"] == "block.1"
    assert np.abs(found.values).max() > 0
    last = load("grad-cam").explain(replace(given, layers=given.layers[-1:]))
    assert last.facts["layer"] == "block.2"
    assert not last.values.any()  # as grad-cam #513 found


# what each method promises


@pytest.mark.parametrize(("name", "site", "readout"), POINTS)
def test_maps_have_the_grid_are_not_zero_and_do_not_depend_on_the_others(name: str, site: str, readout: str) -> None:
    encoder = tower(name)
    given = noise(encoder, site, readout, 10)  # more than one pass holds
    h, w = layers(encoder, site)[-1].grid
    alone = replace(given, images=given.images[9:])
    for method in METHODS:
        found = load(method).explain(given)
        assert found.values.shape == (10, h, w)
        assert found.values.dtype == np.float32
        assert np.abs(found.values).reshape(10, -1).max(1).min() > 0
        assert load(method).signed or found.values.min() >= 0
        np.testing.assert_allclose(load(method).explain(alone).values[0], found.values[9], rtol=1e-3, atol=1e-7)
    assert not any(p.requires_grad or p.grad is not None for p in encoder.module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.module.modules())


def test_each_image_has_its_own_score() -> None:
    """Rows say which image a variant is of: with the score of the others turned round, its map stays."""
    encoder = tower("clip-b16")
    given = noise(encoder, "joint", "vector")
    sign = torch.tensor([1.0, -1.0, 1.0])
    turned = replace(given, score=lambda batch, rows: given.score(batch, rows) * sign[rows])
    for method in ("grad-cam", "legrad", "relevance"):
        one, other = load(method).explain(given).values, load(method).explain(turned).values
        np.testing.assert_allclose(one[[0, 2]], other[[0, 2]], atol=1e-6)
        assert not np.allclose(one[1], other[1], atol=1e-6)
    same = [load("rollout").explain(one).values for one in (given, turned)]
    np.testing.assert_array_equal(same[0], same[1])


def test_a_score_that_is_remembered_without_gradients_is_asked_again() -> None:
    encoder = tower("clip-b16")
    network = differentiable(
        encoder, "joint", "vector", [np.random.default_rng(k).integers(0, 256, (64, 64), np.uint8) for k in range(2)]
    )
    given = Subject(
        name="clip",
        images=network.images,
        blurred=network.images,
        score=lambda x, rows: network.features(x, rows)[:, 0],
        layers=layers(encoder, "joint"),
        attention=attention_of(encoder, "joint", "vector"),
    )
    with torch.no_grad():
        given.score(given.images, torch.arange(2))
    once, again = (load("rollout").explain(given).values for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_a_method_says_what_a_subject_lacks() -> None:
    encoder = tower("random:timm:resnet18")
    given = noise(encoder, "pooled", "vector", 1)
    assert [method for method in METHODS if load(method).lacks(given)] == list(INSIDE)
    assert load("rollout").lacks(given) == "it has no attention"
    assert load("grad-cam").lacks(replace(given, layers=())) == "the encoder has no layer of tokens on one grid"


def test_passes_hold_no_more_attention_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of 4,096 tokens: eight images of it would be 34 GB."""
    from probes.attribution import _base

    sizes: list[int] = []
    layer = Layer(name="one", module=torch.nn.Identity(), tokens=lambda x: x, prefix=0, grid=(64, 64))
    watch: Any = None
    wide = Attention(watch=watch, reads=np.ones(4096), prefix=0, grid=(64, 64), numbers=27 * 16 * 4096**2)
    given = Subject(
        name="wide", images=torch.zeros(3, 1, 1, 1), blurred=torch.zeros(3, 1, 1, 1), score=lambda x, _rows: x,
        layers=(layer,), attention=wide,
    )  # fmt: skip
    sizes = [len(rows) for rows in _base.chunks(given)]
    assert sizes == [1, 1, 1]
    monkeypatch.setattr(_base, "WEIGHTS_HELD", 2 * wide.numbers)
    assert [len(rows) for rows in _base.chunks(given)] == [2, 1]


# planted


def planted(n: int, side: int, grid: tuple[int, int], seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise [n, 3, side, side] with a bright patch in one cell of every second image; cells and labels."""
    rng = torch.Generator().manual_seed(seed)
    h, w = grid
    step = side // h
    batch = torch.randn(n, 3, side, side, generator=rng) * 0.3
    cells, labels = torch.randint(h * w, (n,), generator=rng), torch.arange(n) % 2
    for k in range(1, n, 2):
        i, j = divmod(int(cells[k]), w)
        batch[k, :, i * step : (i + 1) * step, j * step : (j + 1) * step] = 2.0
    return batch, cells, labels


def trained(encoder: Encoder, site: str, readout: str, steps: int = 60) -> torch.Tensor:
    """Weights of a readout that finds the patch: network and readout are fitted to what it does to *other* tokens."""
    pool = torch.from_numpy(matrix(encoder.card.sites[site], readout))
    grid, prefix = layers(encoder, site)[-1].grid, layers(encoder, site)[-1].prefix
    side = images(encoder, 1)[0].shape[-1]
    weights = torch.zeros(len(pool) * encoder.card.sites[site].width, requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([*encoder.module.requires_grad_(True).parameters(), weights, offset], 0.005)
    for step in range(steps):
        batch, cells, labels = planted(16, side, grid, step)
        tokens = encoder.forward(batch, [site], grad=True)[site]
        if tokens.shape[1] > 1 and readout != "cls":
            keep = torch.ones(16, tokens.shape[1], 1)
            keep[torch.arange(16), prefix + cells] = 0
            tokens = tokens * keep
        logit = (pool @ tokens).flatten(1) @ weights + offset
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, labels.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    encoder.module.requires_grad_(False)
    encoder.module.zero_grad(set_to_none=True)
    return weights.detach()


@pytest.mark.parametrize(
    ("name", "site", "readout"),
    [
        ("clip-b16", "final", "cls"),
        ("clip-b16", "final", "mean"),
        ("siglip-b16", "pooled", "vector"),
        ("siglip-b16", "final", "halves"),
        ("dinov2-b14-reg", "final", "cls"),
        ("dinov2-b14-reg", "final", "halves"),
        ("dinov3-b16", "final", "mean"),
    ],
)
def test_attention_sits_on_the_patch_that_a_network_was_fitted_to(name: str, site: str, readout: str) -> None:
    encoder = built(name)
    weights = trained(encoder, site, readout)
    grid, side = layers(encoder, site)[-1].grid, images(encoder, 1)[0].shape[-1]
    batch, cells, labels = planted(32, side, grid, 99)
    given = subject(encoder, site, batch, lambda x: x @ weights, readout)
    there, absent = labels == 1, labels == 0
    for method in ("rollout", "relevance"):
        found = load(method).explain(given).values
        assert hits(found[there], cells[there].tolist()) >= 0.7, method  # chance is .06
        assert hits(found[absent], cells[absent].tolist()) <= 0.4, method  # where nothing was planted nothing is found


@pytest.mark.parametrize(
    ("name", "site", "readout", "methods"),
    [
        ("clip-b16", "final", "cls", METHODS[:3]),
        ("clip-b16", "final", "halves", ("grad-cam",)),
        ("clip-b16", "final", "halves", INSIDE[:2]),
        ("siglip-b16", "final", "mean", ("grad-cam",)),
        ("siglip-b16", "final", "mean", INSIDE[:2]),
        ("siglip-b16", "pooled", "vector", INSIDE[:2]),
        ("dinov2-b14-reg", "final", "cls", METHODS[:3]),
        ("dinov2-b14-reg", "final", "mean", ("grad-cam",)),
        ("dinov3-b16", "final", "mean", INSIDE[:2]),
    ],
)
def test_a_map_sits_on_the_patch_that_a_readout_was_fitted_to(
    name: str, site: str, readout: str, methods: Sequence[str]
) -> None:
    """The readout of each image is the direction in which its patch moves the features of a random network.

    For methods of attention, which do not see what a token adds to a mean by itself, it is that in which the patch
    moves the other tokens.
    """
    encoder = tower(name)
    (h, w), side = layers(encoder, site)[-1].grid, images(encoder, 1)[0].shape[-1]
    rng = np.random.default_rng(0)
    plain = [rng.integers(60, 90, (side, side, 3)).astype(np.uint8) for _ in range(12)]
    cells = [int(k) for k in rng.integers(h * w, size=12)]
    step, marked = side // h, [one.copy() for one in plain]
    for one, cell in zip(marked, cells, strict=True):
        i, j = divmod(cell, w)
        one[i * step : (i + 1) * step, j * step : (j + 1) * step] = 255
    with_patch, without = (differentiable(encoder, site, readout, pictures) for pictures in (marked, plain))
    moved = torch.as_tensor(with_patch.tokens(site) - without.tokens(site))
    if methods != ("grad-cam",) and readout in ("mean", "halves"):
        moved[range(12), [layers(encoder, site)[-1].prefix + cell for cell in cells]] = 0
    weights = (torch.from_numpy(matrix(encoder.card.sites[site], readout)) @ moved).flatten(1)

    def score(batch: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return (with_patch.features(batch, at) * weights[at]).sum(1)

    given = Subject(
        name="planted", images=with_patch.images, blurred=without.images, score=score, layers=layers(encoder, site),
        attention=attention_of(encoder, site, readout),
    )  # fmt: skip
    for method in methods:
        found, absent = (load(method).explain(one).values for one in (given, replace(given, images=without.images)))
        assert hits(found, cells) >= (0.5 if method == "grad-cam" else 0.9), method
        assert hits(absent, cells) <= 0.35, method
