"""Graded changes of an image: turns, flips, contrast, noise, blur and the like, each in steps of strength.

Images are uint8 [h, w] or [h, w, 3]. A change is a function of the image and its strength alone: what it draws at
random is drawn from a seed that the pixels give.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plugins import UnknownName, hint
from tasks._base import DataError, is_volume

Change = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """A change with the strengths at which it is tried; `unit` says what a strength counts."""

    name: str
    unit: str
    strengths: tuple[float, ...]
    change: Change

    def __call__(self, image: np.ndarray, strength: float) -> np.ndarray:
        """The changed image, uint8; DataError for a volume, which no change here is made for."""
        if is_volume(image):
            raise DataError("images are perturbed, not volumes; leave --volumes out")
        return np.ascontiguousarray(self.change(image, strength))


def _quarter(image: np.ndarray, turns: float) -> np.ndarray:
    return np.rot90(image, int(turns))


def _flip(image: np.ndarray, _: float) -> np.ndarray:
    return image[:, ::-1]


def _upside_down(image: np.ndarray, _: float) -> np.ndarray:
    return image[::-1]


def _moved(image: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The image resampled at `matrix @ place + offset` (row, column), bilinear; beyond the edge, the edge."""
    from scipy.ndimage import affine_transform

    planes = image[..., None] if image.ndim == 2 else image
    found = [
        affine_transform(planes[..., k].astype(np.float64), matrix, offset, order=1, mode="nearest")
        for k in range(planes.shape[2])
    ]
    return _grey(np.stack(found, axis=-1)).reshape(image.shape)


def _rotation(image: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = (np.array(image.shape[:2]) - 1) / 2
    return _moved(image, matrix, middle - matrix @ middle)


def _translation(image: np.ndarray, share: float) -> np.ndarray:
    return _moved(image, np.eye(2), -share * np.array(image.shape[:2]))


def _nearer(image: np.ndarray, share: float) -> np.ndarray:
    """The middle of the image, a share of each side, at the size of the whole."""
    middle = (np.array(image.shape[:2]) - 1) / 2
    return _moved(image, np.eye(2) * share, middle * (1 - share))


def _crop(image: np.ndarray, share: float) -> np.ndarray:
    h, w = image.shape[:2]
    top, left = (min(round(share * side), (side - 1) // 2) for side in (h, w))
    return image[top : h - top, left : w - left]


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    values = image.astype(np.float64)
    return _grey(values.mean() + factor * (values - values.mean()))


def _gamma(image: np.ndarray, power: float) -> np.ndarray:
    return _grey(255 * (image / 255.0) ** power)


def _window(image: np.ndarray, width: float) -> np.ndarray:
    return _grey(127.5 + (image - 127.5) / width)


def _noise(image: np.ndarray, sd: float) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(np.ascontiguousarray(image).data).digest()[:8], "little")
    return _grey(image + sd * np.random.default_rng(seed).standard_normal(image.shape[:2] + (1,) * (image.ndim - 2)))


def _blur(image: np.ndarray, share: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    sigma = share * min(image.shape[:2])
    return _grey(gaussian_filter(image.astype(np.float64), (sigma, sigma) + (0,) * (image.ndim - 2)))


def _jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(image).save(held, format="JPEG", quality=int(quality))
    with Image.open(held) as found:
        return np.asarray(found)


def _grey(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


_ALL = (
    ("quarter-turn", "quarter turns to the left", (1, 2, 3), _quarter),
    ("flip", "left and right exchanged", (1,), _flip),
    ("upside-down", "top and bottom exchanged", (1,), _upside_down),
    ("rotation", "degrees to the left", (1, 2, 5, 10, 20), _rotation),
    ("translation", "share of the side", (0.02, 0.05, 0.1), _translation),
    ("crop", "share cut from each side", (0.02, 0.05, 0.1, 0.2), _crop),
    ("contrast", "factor about the mean", (0.9, 0.8, 0.6, 0.4), _contrast),
    ("gamma", "exponent", (1.1, 1.25, 1.6, 2.2), _gamma),
    ("window", "share of the grey range that is shown", (0.9, 0.75, 0.5), _window),
    ("noise", "grey levels (standard deviation)", (2, 5, 10, 20), _noise),
    ("blur", "share of the shorter side (standard deviation)", (0.003, 0.006, 0.012, 0.025), _blur),
    ("jpeg", "quality", (90, 50, 20, 10), _jpeg),
)
PERTURBATIONS = {
    name: Perturbation(name=name, unit=unit, strengths=tuple(float(s) for s in strengths), change=change)
    for name, unit, strengths, change in _ALL
}


def perturbation(name: str) -> Perturbation:
    """The change of that name; UnknownName with the nearest."""
    if name not in PERTURBATIONS:
        raise UnknownName(f"no perturbation {name!r}; {hint(name, PERTURBATIONS)}there are {', '.join(PERTURBATIONS)}")
    return PERTURBATIONS[name]


def augmented(image: np.ndarray, seed: int) -> np.ndarray:
    """The image as it might as well have been taken: turned, moved, cropped and lit a little otherwise, by a seed."""
    rng = np.random.default_rng(seed)
    image = _rotation(image, float(rng.uniform(-4, 4)))
    image = _nearer(image, float(rng.uniform(0.92, 1.0)))
    image = _gamma(image, float(np.exp(rng.uniform(-0.15, 0.15))))
    return _contrast(image, float(rng.uniform(0.9, 1.1)))
