"""Features of one image are its own: what depends on a neighbour, on chance or on earlier calls is refused at load."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import encoders
from encoders import EncoderError
from encoders.extraction.own_features import require_own_features

SIZES = encoders.Card(name="mine", sites={"pooled": encoders.Site(width=2)})
SQUARE = encoders.Input(
    size=(32, 32), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bilinear", backend="pil"
)
CALLS, CHANCE = [0.0], np.random.default_rng(0)
NEIGHBOURS, PASSES = "depend on its neighbours in the batch", "two passes over one image differ"


def numbers(image: np.ndarray) -> list[float]:
    return [float(image.mean()), float(image.std())]


def each(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([numbers(image) for image in images])


def by_range(images: Sequence[np.ndarray]) -> np.ndarray:
    x = each(images)
    low, high = min(i.min() for i in images), max(i.max() for i in images)
    return (x - low) / max(high - low, 1)


def by_range_beside_a_large_number(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([[image.size, row[0]] for image, row in zip(images, by_range(images), strict=True)])


def by_brightest(images: Sequence[np.ndarray]) -> np.ndarray:
    return each(images) / max(i.max() for i in images)


def by_batch_mean(images: Sequence[np.ndarray]) -> np.ndarray:
    return each(images) - each(images).mean(axis=0)


def reversed_order(images: Sequence[np.ndarray]) -> np.ndarray:
    return each(images)[::-1]


def by_first(images: Sequence[np.ndarray]) -> np.ndarray:
    return each(images) - each(images[:1])


def by_last(images: Sequence[np.ndarray]) -> np.ndarray:
    return each(images) - each(images[-1:])


def sorted_order(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.array(sorted(each(images).tolist()))


def with_capacity(images: Sequence[np.ndarray]) -> np.ndarray:
    return each(images) * (np.arange(len(images)) < 2)[:, None]


def padded(images: Sequence[np.ndarray]) -> np.ndarray:
    side = max(i.shape[0] for i in images)
    return np.array([[i.mean(), i.sum() / side] for i in images])


def counted(images: Sequence[np.ndarray]) -> np.ndarray:
    CALLS[0] += 1
    return each(images) + CALLS[0]


def by_chance(images: Sequence[np.ndarray]) -> np.ndarray:
    x = each(images)
    return x + 9 * CHANCE.normal(size=x.shape)


def constant(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.ones((len(images), 2))


def far_from_zero(images: Sequence[np.ndarray]) -> np.ndarray:
    return each(images) / 255 + 1e6


def not_numbers(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.full((len(images), 2), np.nan)


def grey_alone(images: Sequence[np.ndarray]) -> np.ndarray:
    if images[0].ndim != 2:
        raise ValueError("grey images alone")
    return by_range(images)


def colour_alone(images: Sequence[np.ndarray]) -> np.ndarray:
    if images[0].ndim != 3:
        raise ValueError("colour images alone")
    return by_range(images)


def of(function: Callable[[Any], np.ndarray]) -> encoders.Encoder:
    def features(images: Any) -> dict[str, np.ndarray]:
        return {"pooled": function(images)}

    return encoders.from_function(SIZES, features)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (by_range, NEIGHBOURS), (by_range_beside_a_large_number, NEIGHBOURS), (by_brightest, NEIGHBOURS),
        (by_batch_mean, NEIGHBOURS), (reversed_order, NEIGHBOURS), (by_first, NEIGHBOURS), (by_last, NEIGHBOURS),
        (sorted_order, NEIGHBOURS), (with_capacity, NEIGHBOURS), (grey_alone, NEIGHBOURS), (colour_alone, NEIGHBOURS),
        (padded, "depend on the sizes of its neighbours"), (counted, PASSES), (by_chance, PASSES),
    ],
)  # fmt: skip
def test_a_function_whose_features_are_not_an_images_own_is_refused(function: Any, said: str) -> None:
    with pytest.raises(EncoderError, match=said) as caught:
        require_own_features(of(function))
    assert "\n" not in str(caught.value)
    assert "mine" in str(caught.value)


def rounded_otherwise(images: Sequence[np.ndarray]) -> np.ndarray:
    return each(images) * (1 + 1e-6 * len(images))


@pytest.mark.parametrize("function", [each, constant, far_from_zero, not_numbers, rounded_otherwise])
def test_a_function_of_each_image_alone_passes(function: Any) -> None:
    require_own_features(of(function))


class Net(torch.nn.Module):
    """A small network, with what `between` does behind its convolution."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor] | torch.nn.Module) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 16, 8, 8)
        self.between = between
        self.out = torch.nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.between(self.conv(x)).relu().mean((2, 3)))


class Running(torch.nn.Module):
    """A mean that moves with every batch, in evaluation mode as well."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.mean()
        return x - self.mean


def batch_norm(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (lambda x: torch.nn.functional.dropout(x, 0.1), PASSES),
        (Running(), PASSES),
        (batch_norm, NEIGHBOURS),
        (lambda x: x / x.abs().amax(), NEIGHBOURS),
        (lambda x: x.flip(0), NEIGHBOURS),
        (torch.nn.BatchNorm2d(16, track_running_stats=False), NEIGHBOURS),
        (torch.nn.BatchNorm2d(16), ""),
        (torch.nn.Dropout(0.5), ""),
        (torch.nn.InstanceNorm2d(16), ""),
    ],
)
def test_a_network_is_held_to_the_same(between: Any, said: str) -> None:
    torch.manual_seed(0)
    encoder = encoders.from_module(SIZES_FREE, Net(between), SQUARE, {"pooled": "out"})
    if not said:
        require_own_features(encoder)
        return
    with pytest.raises(EncoderError, match=said):
        require_own_features(encoder)


SIZES_FREE = encoders.Card(name="net")


def test_volumes_go_one_by_one_and_twice() -> None:
    card = encoders.Card(name="mine", volumes=True, sites={"pooled": encoders.Site(width=2)})

    def chance(images: Any) -> dict[str, np.ndarray]:
        if images[0].ndim == 2 or images[0].shape[2] == 3:
            raise ValueError("volumes alone")
        return {"pooled": by_chance(images)}

    with pytest.raises(EncoderError, match=PASSES):
        require_own_features(encoders.from_function(card, chance))


@pytest.mark.parametrize("spec", ["{}", "random:{}"])
def test_every_encoder_is_tried_as_it_is_loaded(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch, encoders\n"
        "CARD = encoders.Card(name='mine')\n"
        "INPUT = encoders.Input(size=(32, 32), resize='squash', crop=None, mean=(0.5,) * 3, std=(0.5,) * 3,\n"
        "                       interpolation='bilinear', backend='pillow')\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv, self.out = torch.nn.Conv2d(3, 8, 8, 8), torch.nn.Identity()\n"
        "    def forward(self, x):\n"
        "        x = torch.nn.functional.batch_norm(self.conv(x), None, None, training=True)\n"
        "        return self.out(x.amax((2, 3)))\n"
        "def load(device):\n"
        "    return encoders.from_module(CARD, Net(), INPUT, {'pooled': 'out'}, device=device)\n"
    )
    with pytest.raises(EncoderError, match=NEIGHBOURS):
        encoders.load(spec.format(path))


def test_weights_that_are_no_numbers_are_refused() -> None:
    from encoders.extraction.own_features import require_finite

    norm = torch.nn.BatchNorm2d(16)
    net = Net(norm)
    encoder = encoders.from_module(SIZES_FREE, net, SQUARE, {"pooled": "out"})
    require_finite(encoder)
    norm.get_buffer("running_mean")[3] = torch.nan
    with pytest.raises(EncoderError, match=r"between\.running_mean of its weights holds NaN"):
        require_finite(encoder)
    net.conv.weight[0, 0, 0, 0] = torch.inf
    with pytest.raises(EncoderError, match=r"net: tensor conv\.weight of its weights holds NaN or infinity"):
        require_finite(encoder)
