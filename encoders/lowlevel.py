"""Control `lowlevel`: what an image is like without anything about where things are.

No number here changes when a square image is flipped or turned by quarter turns: each is made of counts of
whole numbers, joined symmetrically over both axes. What it answers is a nuisance, not sight.
"""

from collections.abc import Sequence

import numpy as np

from encoders._base import Card, Encoder, Site

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
    note="size, aspect, border, intensity statistics, edge density, block artefacts; nothing about layout",
)


def describe(image: np.ndarray) -> np.ndarray:
    """The numbers of `NAMES` for one image, float64."""
    colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    grey = ((colour @ LUMA + 500) // 1000).astype(np.int64)
    h, w = grey.shape
    counts = np.bincount(grey.ravel(), minlength=256)
    border = _border(grey)
    steps = np.concatenate([np.abs(np.diff(grey, axis=a)).ravel() for a in (0, 1)])
    return np.array(
        [
            np.log(w / h),
            np.log(h * w),
            *_moments(np.bincount(border, minlength=256))[:2],
            _blockiness(grey),
            _entropy(counts),
            _entropy(np.bincount(steps, minlength=256)),  # how well it compresses: stands for file size
            *_edges(grey),
            *(v for c in range(3) for v in _channel(np.bincount(colour[:, :, c].ravel(), minlength=256))),
            *(counts.reshape(16, 16).sum(axis=1) / counts.sum()),
        ]
    )


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


def _edges(grey: np.ndarray) -> list[float]:
    """Share of inner pixels whose central-difference gradient is longer than each threshold."""
    if min(grey.shape) < 3:
        return [0.0] * len(EDGES)
    across = grey[1:-1, 2:] - grey[1:-1, :-2]
    down = grey[2:, 1:-1] - grey[:-2, 1:-1]
    squared = across**2 + down**2
    return [float((squared > t * t).mean()) for t in EDGES]


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
    from encoders._function import from_function

    return from_function(CARD, features)
