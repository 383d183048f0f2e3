"""Whether the features of an image are its own: the same alone, alone again, and among other images.

The batch size and the other images of a batch are not part of the key under which features are kept, so they must not
count. Dropout that stays active, batch normalisation by the batch, experts with a capacity, a scale taken from the
whole batch, a counter that a call moves on: each gives features from which a probe can read the order of a manifest.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from encoders._base import Encoder, EncoderError
from encoders.extraction.encode import encode

FLAT, COLOUR, VOLUME = (224, 224), (192, 256, 3), (16, 64, 64)
PLACE = 2  # of the image among the others, where neither a reversal nor a sort by brightness leaves it
# What float32 rounds differently from one batch size to another is below 2e-6 of the largest value of a network's
# vector (measured on all kinds that are registered); the numbers of a function have scales of their own. A number of
# bfloat16 is rounded by up to 2**-9 of itself, and that in every layer.
ROUNDING = {"network": 2e-5, "function": 1e-4, "half precision": 2e-2}
HARMLESS = 1e-3  # of what images differ by: no probe reads what is below


def require_finite(encoder: Encoder) -> None:
    """Refuse weights that hold NaN or infinity, in one line that names the tensor."""
    if encoder.module is None:
        return
    for name, value in encoder.module.named_parameters():
        if not value.isfinite().all():
            raise EncoderError(
                f"{encoder.card.name}: tensor {name} of its weights holds NaN or infinity, so that its features mean "
                "nothing; the file is damaged, or was saved from a training that diverged"
            )
    for name, value in encoder.module.named_buffers():
        if value.is_floating_point() and value.isnan().any():  # a mask may hold infinity
            raise EncoderError(f"{encoder.card.name}: tensor {name} of its weights holds NaN; the file is damaged")


def require_own_features(encoder: Encoder) -> None:
    """Refuse an encoder whose features of one image change from pass to pass, or with the other images of a batch.

    All sites are read. An encoder of volumes, which go one by one, is also asked twice about one volume.
    Raises EncoderError in one line; what an encoder raises itself about these images is left to the real ones.
    """
    wanted = {name: site.readouts for name, site in encoder.card.sites.items()}
    if not wanted:
        return
    for shape in (FLAT, COLOUR):
        image, others = _images(shape)
        if _compared(encoder, wanted, image, others):
            break
    if encoder.card.volumes:
        _compared(encoder, wanted, _images(VOLUME)[0], [])


def _compared(encoder: Encoder, wanted: Mapping[str, Any], image: np.ndarray, others: list[np.ndarray]) -> bool:
    """Whether the encoder reads images of this kind at all; EncoderError where it does, and not each by itself."""

    def features(images: list[np.ndarray], row: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        with _exact(encoder):
            found = {name: x.astype(np.float64) for name, x in encode(encoder, images, wanted).items()}
        finite = {name: np.where(np.isfinite(x), x, 0.0) for name, x in found.items()}
        return {name: x[row] for name, x in found.items()}, {name: x.std(axis=0) for name, x in finite.items()}

    try:
        alone, _ = features([image])
    except Exception:  # an encoder may read grey or colour alone, and says so where it is asked about such an image
        return False
    batch = [*others[:PLACE], image, *others[PLACE:]]
    among, spread = features(batch, PLACE) if others else (alone, {})
    again, _ = features([image])
    _same(encoder, alone, again, spread, "two passes over one image differ")
    _same(encoder, alone, among, spread, "features of one image depend on its neighbours in the batch")
    if encoder.module is None and others:
        _of_other_sizes(encoder, features, image, alone, spread)
    return True


def _of_other_sizes(
    encoder: Encoder,
    features: Callable[..., tuple[dict[str, np.ndarray], dict[str, np.ndarray]]],
    image: np.ndarray,
    alone: Mapping[str, np.ndarray],
    spread: Mapping[str, np.ndarray],
) -> None:
    """The same among images of other sizes, to which a function may pad; one that takes none says so itself."""
    smaller = image[: image.shape[0] // 2]
    larger = np.concatenate([image, image[::-1]])
    try:
        among, _ = features([larger, image, smaller], 1)
    except Exception:
        return
    _same(encoder, alone, among, spread, "features of one image depend on the sizes of its neighbours in the batch")


def _same(
    encoder: Encoder,
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
    spread: Mapping[str, np.ndarray],
    what: str,
) -> None:
    for name, a in first.items():
        b = second[name]
        finite = np.isfinite(a) & np.isfinite(b)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        gap = np.abs(np.where(finite, a, 0.0) - np.where(finite, b, 0.0))
        size = np.abs(np.where(finite, a, 0.0))
        usual = spread.get(name, np.zeros_like(size))
        if encoder.module is not None:  # rounding errors of a network are spread over its whole vector
            gap, size, usual = gap.max(keepdims=True), size.max(keepdims=True), _rms(usual)
        half = encoder.dtype != "float32"
        rounding = ROUNDING["function" if encoder.module is None else "half precision" if half else "network"]
        differs = (gap > rounding * size) & (gap > HARMLESS * usual)
        if differs.any() or not same[~finite].all():
            worst = int(np.argmax(np.where(differs, gap, -1.0)))
            raise EncoderError(
                f"{encoder.card.name}: {what} (by {gap[worst]:.2g} at {name}, where the value is {size[worst]:.2g}), "
                "so what is probed would not be a property of the image; compute each image by itself, without "
                "dropout, and in evaluation mode"
            )


def _rms(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(values), keepdims=True))


def _images(shape: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """An image of low contrast, and three others that are darker in the mean and reach from black to white."""
    draw = np.random.default_rng(11)
    ramp = np.linspace(0, 1, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    noise = [draw.random(shape) for _ in range(4)]
    image = 120 + 50 * ramp + 30 * noise[0]
    others = [8 * noise[1], 255 * (noise[2] > 0.75), 255 * (noise[3] > 0.3 + 0.4 * ramp)]
    return np.rint(image).astype(np.uint8), [np.rint(one).astype(np.uint8) for one in others]


@contextmanager
def _exact(encoder: Encoder) -> Iterator[None]:
    """On a GPU, convolutions in float32: TensorFloat-32 rounds a thousandth away, differently for each batch size."""
    torch = sys.modules.get("torch")
    if torch is None or encoder.device == "cpu":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
