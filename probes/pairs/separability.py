"""How far the images of a pair lie apart: for the space as a whole, and along the direction of a probe.

A pair that is near by the first measure and apart by the second is similar but separable: a rule of similarity calls
it lost, a probe does not (METHOD 5.4).
"""

import numpy as np

from probes._base import Predictions, ProbeError
from probes.pairs.mining import inverse_root

DRAWN = 200_000  # pairs of the pool whose distances are taken


def pair_separability(
    x: np.ndarray, first: np.ndarray, second: np.ndarray, pool: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """The distance of the pairs `first`, `second` (rows of x [n, d]) over the median distance in the pool, [m].

    Distances are those of whitened features (inverse root of the shrunk covariance); `pool` are rows, all by default.
    """
    x = np.asarray(x, np.float64)
    held = x if pool is None else x[pool]
    root = inverse_root(held)
    white = (x - held.mean(axis=0)) @ root
    usual = (held - held.mean(axis=0)) @ root
    n = len(usual)
    if n < 3:
        raise ProbeError(f"{n} images; a usual distance needs at least 3")
    if n * (n - 1) // 2 <= DRAWN:
        i, j = np.triu_indices(n, 1)
    else:
        rng = np.random.default_rng([seed, n, 41])
        i, j = rng.integers(0, n, DRAWN), rng.integers(0, n - 1, DRAWN)
        j = j + (j >= i)
    median = float(np.median(np.linalg.norm(usual[i] - usual[j], axis=1)))
    return np.linalg.norm(white[first] - white[second], axis=1) / median


def directional_separability(predictions: Predictions, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """|w (z_i - z_j)| / sd(w z) of pairs along the direction of a probe that has seen neither image, [m].

    The scores are the held-out ones of `predictions`, where the folds keep both images of a pair together (they must
    share a group); their spread is taken within the fold, and the mean over repeats is given. Of several classes the
    direction is that between the labels of the two images.
    Raises ProbeError where a pair lies in two folds.
    """
    found = np.zeros(len(first))
    label = predictions.label
    for scores, fold in zip(predictions.score, predictions.fold, strict=True):
        if (fold[first] != fold[second]).any():
            raise ProbeError("a pair lies in two folds; its images must share a group")
        for k in range(len(first)):
            i, j = int(first[k]), int(second[k])
            line = scores[:, 0] if scores.shape[1] == 1 else scores[:, int(label[i])] - scores[:, int(label[j])]
            spread = float(line[fold == fold[i]].std())
            found[k] += abs(float(line[i] - line[j])) / spread if spread > 0 else 0.0
    return found / len(predictions.score)
