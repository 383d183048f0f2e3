"""Control `lowlevel`: what an image is like without anything about where things are.

No number here changes when a square image is flipped or turned by quarter turns: each is made of counts of
whole numbers, joined symmetrically over both axes. What it answers is a nuisance, not sight.

A volume has the same numbers, counted over all its slices: its area is that of all of them, its rim that of
each, and its steps between neighbours lie between slices too. Reversing the slices changes none of them.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from encoders._base import Card, Encoder, Site
from encoders.extraction.volumes import is_volume

LUMA = np.array([299, 587, 114])
EDGES = (8, 16, 32, 64)
PERCENTILES = (5, 25, 50, 75, 95)
NAMES = (
    "aspect", "log area", "border mean", "border spread", "blockiness", "grey entropy", "step entropy",
    *(f"edges above {t}" for t in EDGES),
    *(f"{c} {s}" for c in ("red", "green", "blue") for s in ("mean", "sd", "skew", *map("p{}".format, PERCENTILES))),
    *(f"histogram {i}" for i in range(16)),
)  # fmt: skip
CARD = Card(
    name="lowlevel",
    licence="Apache-2.0",
    parameters=0,
    bytes=0,
    bytes_whole=0,
    sites={"pooled": Site(width=len(NAMES))},
    volumes=True,
    note="size, aspect, border, intensity statistics, edge density, block artefacts; nothing about layout",
)


def describe(image: np.ndarray) -> np.ndarray:
    """The numbers of `NAMES` for one image or volume, float64."""
    if is_volume(image):
        slices = image.astype(np.int16)  # differences of bytes need a sign
        channels = [_counts(image)] * 3
    else:
        colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        slices = ((colour @ LUMA + 500) // 1000).astype(np.int64)[None]
        channels = [_counts(colour[:, :, c]) for c in range(3)]
    d, h, w = slices.shape
    counts = _counts(slices)
    return np.array(
        [
            np.log(w / h),
            np.log(d * h * w),
            *_moments(_counts(np.concatenate([_border(grey) for grey in slices])))[:2],
            _even([_blockiness(grey) for grey in slices]),
            _entropy(counts),
            _entropy(_steps(slices)),  # how well it compresses: stands for file size
            *_edges(slices),
            *(v for channel in channels for v in _channel(channel)),
            *(counts.reshape(16, 16).sum(axis=1) / counts.sum()),
        ]
    )


def _counts(values: np.ndarray) -> np.ndarray:
    return np.bincount(values.ravel(), minlength=256)


def _even(values: Sequence[float]) -> float:
    """The mean of one value per slice, the same to the last bit in whatever order they come."""
    return sum(sorted(values)) / len(values)


def _steps(slices: np.ndarray) -> np.ndarray:
    """How often neighbours differ by so much, along every axis."""
    found = np.zeros(256, np.int64)
    for grey in slices:
        found += _counts(np.abs(np.diff(grey, axis=0))) + _counts(np.abs(np.diff(grey, axis=1)))
    for one, other in pairwise(slices):
        found += _counts(np.abs(other - one))
    return found


def _border(grey: np.ndarray) -> np.ndarray:
    """The grey values of the whole rim, one pixel wide."""
    rim = np.ones(grey.shape, bool)
    rim[1:-1, 1:-1] = False
    return grey[rim]


def _channel(counts: np.ndarray) -> list[float]:
    """Mean, spread, skew and percentiles from a histogram of 256 values."""
    at = np.searchsorted(np.cumsum(counts), np.array(PERCENTILES) / 100 * counts.sum())
    return [*_moments(counts), *(at / 255.0)]


def _moments(counts: np.ndarray) -> tuple[float, float, float]:
    n, values = counts.sum(), np.arange(256) / 255.0
    mean = (counts * values).sum() / n
    deviation = values - mean
    sd = np.sqrt((counts * deviation**2).sum() / n)
    skew = (counts * deviation**3).sum() / n / sd**3 if sd > 1e-6 else 0.0
    return float(mean), float(sd), float(skew)


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log2(share)).sum())


def _edges(slices: np.ndarray) -> list[float]:
    """Share of inner pixels whose central-difference gradient within the slice is longer than each threshold."""
    if min(slices.shape[1:]) < 3:
        return [0.0] * len(EDGES)
    longer = np.zeros(len(EDGES), np.int64)
    for grey in slices:
        across = grey[1:-1, 2:].astype(np.int64) - grey[1:-1, :-2]
        down = grey[2:, 1:-1].astype(np.int64) - grey[:-2, 1:-1]
        squared = across**2 + down**2
        longer += [int((squared > t * t).sum()) for t in EDGES]
    d, h, w = slices.shape
    return [float(share) for share in longer / (d * (h - 2) * (w - 2))]


def _blockiness(grey: np.ndarray) -> float:
    """How much one phase of eight stands out in the steps between neighbours: JPEG's blocks, on any phase.

    The eight phases of an axis are sorted before they are joined, and the two axes added, so that a flip or
    a turn, which only permutes them, changes nothing. After Wang, Sheikh & Bovik (2002).
    """
    return sum(sorted(_phases(grey if axis else grey.T) for axis in (0, 1)))


def _phases(grey: np.ndarray) -> float:
    if grey.shape[1] < 17:
        return 0.0
    steps = np.abs(np.diff(grey, axis=1)).sum(axis=0)
    means = np.sort([steps[p::8].sum() / (len(steps[p::8]) * grey.shape[0]) for p in range(8)])
    return float((means[-1] - means[:-1].mean()) / 255.0)


def features(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """`pooled` [n, len(NAMES)]."""
    return {"pooled": np.stack([describe(image) for image in images]).astype(np.float32)}


def load(device: str) -> Encoder:  # noqa: ARG001  every encoder is asked for a device
    """The control; it computes with NumPy wherever it is asked to run."""
    from encoders.custom.function import from_function

    return from_function(CARD, features)
