"""Scores of pairs of images with a text each, and of pairs ordered by one number, with what chance gives."""

from collections.abc import Mapping

import numpy as np

from probes._base import ProbeError

CHANCE: Mapping[str, float] = {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6, "match": 1 / 2, "2afc": 1 / 2}


def matching(similarity: np.ndarray) -> dict[str, np.ndarray]:
    """Which pairs are matched rightly, bool [pairs] by score, from `similarity` [pairs, image, text].

    `text`: each image is nearer to its own text; `image`: each text is nearer to its own image (MMVP-VLM's rule);
    `group`: both (Thrush et al. 2022, Winoground, equations 1-3); `match`: the right matching of the two is the better
    one (arXiv 2510.07632). By chance 1/4, 1/4, 1/6 and 1/2. Ties are wrong. A high `match` with a low `image` is an
    offset, not missing information.
    Raises ProbeError for another shape, or for NaN.
    """
    s = np.asarray(similarity, np.float64)
    if s.ndim != 3 or s.shape[1:] != (2, 2):
        raise ProbeError(f"similarities must be [pairs, 2 images, 2 texts], not {list(s.shape)}")
    if not np.isfinite(s).all():
        raise ProbeError("similarities hold NaN or infinite values")
    text = (s[:, 0, 0] > s[:, 0, 1]) & (s[:, 1, 1] > s[:, 1, 0])
    image = (s[:, 0, 0] > s[:, 1, 0]) & (s[:, 1, 1] > s[:, 0, 1])
    match = s[:, 0, 0] + s[:, 1, 1] > s[:, 0, 1] + s[:, 1, 0]
    return {"text": text, "image": image, "group": text & image, "match": match}


def two_afc(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pair 2AFC, [pairs]: 1 where the first score is the larger, 1/2 where both are equal, else 0.

    `first` are scores of the images that should have the larger one. It is blind to any offset that both images of a
    pair share; by chance 1/2.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return (a > b) + 0.5 * (a == b)
