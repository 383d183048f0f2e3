"""Methods on pixels: exact where the truth is known, equal to captum's own, and an image's map is its own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Occlusion

import encoders
from encoders.extraction.differentiable import Differentiable, differentiable
from probes import attribution
from probes.attribution import Subject
from probes.attribution.gradient_input import gradient

PIXELS = ("gradient-input", "integrated-gradients", "occlusion", "smoothgrad")


def subject(score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], n: int = 3, side: int = 28) -> Subject:
    images = torch.randn((n, 3, side, side), generator=torch.Generator().manual_seed(0))
    return Subject(
        name="s", images=images, blurred=images.mean(dim=(2, 3), keepdim=True).expand_as(images), score=score
    )


def linear(n: int = 3) -> tuple[Subject, torch.Tensor]:
    weights = torch.randn((n, 3, 28, 28), generator=torch.Generator().manual_seed(1))
    return subject(lambda batch, rows: (batch * weights[rows]).sum(dim=(1, 2, 3)), n), weights


def curved() -> Subject:
    torch.manual_seed(3)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=3), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.LazyLinear(1)
    )
    net(torch.zeros(1, 3, 28, 28))
    net.requires_grad_(False)
    return subject(lambda batch, rows: net(batch)[:, 0] * (1 + rows))


@pytest.mark.parametrize("name", PIXELS)
def test_a_linear_network_is_explained_exactly(name: str) -> None:
    one, weights = linear()
    made = attribution.load(name).explain(one)
    due = (weights * (one.images - one.blurred)).sum(dim=1).numpy()
    if name == "occlusion":
        due = np.repeat(np.repeat(due.reshape(3, 14, 2, 14, 2).mean(axis=(2, 4)), 2, axis=1), 2, axis=2)
    assert made.values.dtype == np.float32
    assert np.allclose(made.values, due, atol=1e-5 * np.abs(due).max())


def test_the_gradient_of_a_linear_pixel_encoder_is_its_weights() -> None:
    """METHOD 6.2's last row, through an encoder of the project: site, readout and probe in between."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 6))
    spec = encoders.Input(size=(16, 16), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3,
                          interpolation="bilinear", backend="own")  # fmt: skip
    card = encoders.Card(name="linear pixels", sites={"pooled": encoders.Site(width=6)})
    example = np.zeros((16, 16), np.uint8)
    made = encoders.from_module(card, net, spec, {"pooled": "1"}, example=example)
    images = [np.random.default_rng(k).integers(0, 256, (16, 16), dtype=np.uint8) for k in range(2)]
    network = differentiable(made, "pooled", "vector", images)
    head = torch.randn(2, 6)
    one = Subject(
        name="s", images=network.images, blurred=torch.zeros_like(network.images),
        score=lambda batch, rows: (network.features(batch, rows) * head[rows]).sum(dim=1),
    )  # fmt: skip
    due = (head @ net[1].weight).reshape(2, 3, 16, 16).detach().numpy()  # type: ignore[operator]
    assert np.allclose(gradient(one), due, rtol=1e-5, atol=1e-5 * np.abs(due).max())


def test_maps_are_captum_s() -> None:
    one = curved()
    made = attribution.load("integrated-gradients").explain(one)
    assert made.completeness is not None
    assert (made.completeness < 0.02).all()
    due = IntegratedGradients(one.score).attribute(
        one.images, baselines=one.blurred, n_steps=16, additional_forward_args=(torch.arange(3),)
    )
    assert np.allclose(made.values, due.sum(dim=1).numpy(), atol=1e-5 * float(due.abs().max()))
    window = Occlusion(one.score).attribute(
        one.images, sliding_window_shapes=(3, 2, 2), strides=(3, 2, 2), baselines=one.blurred,
        additional_forward_args=(torch.arange(3),),
    )  # fmt: skip
    made = attribution.load("occlusion").explain(one)
    assert np.allclose(made.values, window[:, 0].numpy() / 4, atol=1e-5 * float(window.abs().max()))


def test_nodes_are_doubled_until_the_map_adds_up() -> None:
    """A kink between blurred image and image needs more nodes than a smooth score does."""

    def kinked(batch: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return torch.relu(batch.mean(dim=(1, 2, 3)) * 0 + batch[:, 0, 3, 3] * 40 - 7.3 - rows)

    base = subject(kinked, n=2)
    images = base.images.clone()
    images[:, 0, 3, 3] = 1.0
    made = attribution.load("integrated-gradients").explain(replace(base, images=images))
    assert "16 to 16" not in made.facts["nodes"]
    assert made.completeness is not None
    assert (made.completeness < 0.02).all()
    smooth = attribution.load("integrated-gradients").explain(curved())
    assert smooth.facts["nodes"] == "16 to 16"


@pytest.mark.parametrize("name", PIXELS)
def test_an_image_s_map_is_its_own(name: str) -> None:
    one = curved()
    together = attribution.load(name).explain(one).values
    alone = replace(
        one, images=one.images[:1], blurred=one.blurred[:1], score=lambda batch, rows: one.score(batch, rows)
    )
    assert np.allclose(attribution.load(name).explain(alone).values, together[:1], atol=1e-6)
    again = attribution.load(name).explain(one).values
    assert np.array_equal(again, together)


def test_each_variant_has_the_pool_and_the_inputs_of_its_image_and_is_remembered_as_such() -> None:
    passes = []

    class Times(encoders.Encoder):
        def forward(self, given: Any, sites: Any, *, grad: bool = False) -> dict[str, torch.Tensor]:
            del grad
            passes.append(len(given["pixels"]))
            return {sites[0]: given["pixels"].mean(dim=(1, 2))[:, :, None] * given["times"][:, None, None]}

    one = Differentiable(
        encoder=object.__new__(Times), site="s", readout="at-mark", images=torch.zeros(3, 1, 1, 4), pixels="pixels",
        others={"times": torch.tensor([1.0, 10.0, 100.0])}, pool=torch.eye(4)[:3, None],
    )  # fmt: skip
    batch = torch.tensor([3.0, 5.0, 7.0, 9.0]).expand(3, 1, 1, 4)
    with torch.no_grad():
        assert one.features(batch, torch.tensor([2, 0, 1])).ravel().tolist() == [700, 3, 50]
        assert one.features(batch, torch.tensor([0, 1, 2])).ravel().tolist() == [3, 50, 700]
        assert one.features(batch, torch.tensor([0, 1, 2])).ravel().tolist() == [3, 50, 700]
        assert passes == [3, 3]  # the third is remembered
        with one.watched():
            one.features(batch, torch.tensor([0, 1, 2]))
        assert len(passes) == 3


def test_a_pass_that_leaves_the_graph_is_named() -> None:
    class Frozen(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.detach().mean(dim=(2, 3))

    spec = encoders.Input(size=(16, 16), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3,
                          interpolation="bilinear", backend="own")  # fmt: skip
    card = encoders.Card(name="frozen", sites={"pooled": encoders.Site(width=3)})
    net = torch.nn.Sequential(Frozen())
    made = encoders.from_module(card, net, spec, {"pooled": "0"}, example=np.zeros((16, 16), np.uint8))
    network = differentiable(made, "pooled", "vector", [np.zeros((16, 16), np.uint8)])
    with pytest.raises(encoders.EncoderError, match="gives no gradient at pooled"):
        network.features(network.images.clone().requires_grad_(), torch.arange(1))


@pytest.mark.parametrize(
    ("name", "said"), [("pixels", "computes without torch"), ("lowlevel", "computes without torch")]
)
def test_encoders_that_no_gradient_passes_are_refused(name: str, said: str) -> None:
    image = np.zeros((32, 32), np.uint8)
    site = next(iter(encoders.card(name).sites))
    with pytest.raises(encoders.EncoderError, match=said):
        differentiable(encoders.load(name), site, "vector", [image])


def test_images_prepared_to_several_sizes_or_volumes_are_refused() -> None:
    made = encoders.load("phantom-clip")
    with pytest.raises(encoders.EncoderError, match="flat images"):
        differentiable(made, "joint", "vector", [np.zeros((8, 32, 32), np.uint8)])


def test_names_are_looked_up() -> None:
    assert set(PIXELS) <= set(attribution.names())
    with pytest.raises(attribution.UnknownName, match="did you mean 'occlusion'"):
        attribution.load("oclusion")
