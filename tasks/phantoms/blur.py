"""Blur of less than a pixel, by nine weights."""

from functools import lru_cache

import numpy as np


def soft(image: np.ndarray, blur: float) -> None:
    """Blur the image [h, w], contiguous, in place by three by three weights of deviation `blur` pixels, at most 0.7.

    Its outermost lines are blurred along themselves only.
    """
    share = np.float32(min(blur * blur / 2, 0.25))
    flat, rim = image.reshape(-1), image[:, [0, -1]]
    for step in (1, image.shape[1]):  # along rows as if they were one, which the rim alone would notice
        sides = flat[: -2 * step] + flat[2 * step :]
        sides *= share
        middle = flat[step:-step]
        middle *= 1 - 2 * share
        middle += sides
        if step == 1:
            image[:, [0, -1]] = rim


@lru_cache(maxsize=128)
def _taps(sigma: float) -> tuple[float, ...]:
    """Gaussian weights from the middle outwards, to three deviations; the whole kernel adds to 1."""
    half = np.exp(-0.5 * (np.arange(int(3 * sigma + 1.5)) / sigma) ** 2)
    return tuple((half / (2 * half.sum() - 1)).tolist())


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """The image [h, w] blurred by a Gaussian of `sigma` pixels (kept to 0.05), its border repeated."""
    middle, *hooks = _taps(max(round(sigma * 20) / 20, 0.2))
    reach = len(hooks)
    for _ in (0, 1):  # rows, then the columns of what is turned
        wide = np.pad(image, ((reach, reach), (0, 0)), mode="edge")
        n = len(image)
        out = wide[reach : reach + n] * middle
        for i, weight in enumerate(hooks, 1):
            both = wide[reach - i : reach - i + n] + wide[reach + i : reach + i + n]
            both *= weight
            out += both
        image = np.ascontiguousarray(out.T)
    return image


def smeared(image: np.ndarray, middle: float) -> np.ndarray:
    """The image smeared over three rows and three columns, `middle` of a line staying; its border is repeated."""
    side_weight = np.float32((1 - middle) / 2)
    for _ in (0, 1):
        out = image * np.float32(middle)
        part = image * side_weight
        out[1:] += part[:-1]
        out[:-1] += part[1:]
        out[0] += part[0]
        out[-1] += part[-1]
        image = np.ascontiguousarray(out.T)
    return image
