"""Linear choice between an image's marks by least squares, for thousands of label vectors at once.

The fit is linear in the labels, so one decomposition serves the observed labels and every permuted vector.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from probes._base import FeatureSet, ProbeError
from probes.solvers.ridge import Ridge
from probes.solvers.scale import standardised

PENALTY = 0.03  # relative to trace(K) / rows


def decompose_tokens(given: FeatureSet) -> Ridge:
    """Decompose the tokens [n * K, d] under the K marks of every item.

    Tokens are standardised over all marks of all items and centred within each item. No label enters.

    Raises:
        ProbeError: a numeric target, or a width that K does not divide.
    """
    if given.classes is None:
        raise ProbeError("the probe 'marks' chooses one of an image's marks: it needs classes, not a number")
    n, count = len(given.x), len(given.classes)
    if given.x.shape[1] % count:
        raise ProbeError(
            f"the probe 'marks' needs one token for each of {count} classes: a width of {given.x.shape[1]} is none; "
            "use the readout at-mark"
        )
    tokens = standardised(given.x.reshape(n * count, -1)).reshape(n, count, -1)
    return Ridge.of((tokens - tokens.mean(axis=1, keepdims=True)).reshape(n * count, -1), standardise=False)


def score_marks(
    ridge: Ridge,
    labels: np.ndarray,
    fold: np.ndarray,
    count: int,
    penalties: Sequence[float],
    *,
    dtype: type = np.float32,
) -> Iterator[np.ndarray]:
    """For each penalty in turn, the held-out score of every mark, [B, n, K], for label vectors [B, n]."""
    for fitted in ridge.each(choice_targets(labels, count), np.repeat(fold, count), penalties, dtype=dtype):
        yield fitted.reshape(*labels.shape, count)


def choice_targets(labels: np.ndarray, count: int) -> np.ndarray:
    """Label vectors [B, n] as targets of all K marks, [B, n * K]: 1 - 1/K for the chosen one, -1/K for the others."""
    return ((labels[..., None] == np.arange(count)) - 1 / count).reshape(len(labels), -1)
