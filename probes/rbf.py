"""Kernel ridge probe with a Gaussian kernel: the control that reads what no hyperplane can.

Closed form like `ridge`; width and penalty are chosen inside each training part.
"""

from collections.abc import Iterator

import numpy as np

from probes._base import FeatureSet, Predictions
from probes.ridge import choose
from probes.solvers import algebra
from probes.solvers.codes import decide
from probes.solvers.ridge import Ridge
from probes.solvers.scale import standardised

WIDTHS = (0.1, 0.5, 1.0, 2.0)  # gamma times the median squared distance
GRID = (1e-3, 1e-2, 1e-1, 1.0)
ROWS = 8192  # at a time
RANK = 1e-9  # of the largest eigenvalue of the landmarks' kernel, below which lies rounding


def probe(
    given: FeatureSet,
    folds: np.ndarray,
    rng: np.random.Generator,
    *,
    widths: tuple[float, ...] = WIDTHS,
    grid: tuple[float, ...] = GRID,
) -> Predictions:
    """Predict every item while its fold is held out, from kernels exp(-gamma |x - x'|^2).

    gamma is each of `widths` over the median squared distance of standardised features. `penalty` of the
    result is the relative ridge penalty chosen in each training part.

    Raises:
        ProbeError: folds that split a group or leave a class out of a training part.
    """
    solvers = [Ridge.of_kernel(kernel) for kernel in kernels(given.x, widths)]
    fitted, chosen = choose(solvers, given, folds, rng, grid)
    return decide(given, folds, fitted, penalty=chosen[..., 1])


def kernels(x: np.ndarray, widths: tuple[float, ...] = WIDTHS) -> list[np.ndarray]:
    """One Gaussian kernel [n, n] per width; features are standardised on all rows, which uses no label."""
    distance, unit = _distances(standardised(x), np.arange(len(x)))
    return [np.exp(-(width / unit) * distance) for width in widths]


def spanned(x: np.ndarray, landmarks: np.ndarray, widths: tuple[float, ...] = WIDTHS) -> Iterator[np.ndarray]:
    """For each width features [n, m] whose products are the kernel as m landmark rows span it.

    Nystroem's method (Williams & Seeger 2001, NIPS 13, 682-688).
    """
    distance, unit = _distances(standardised(x), landmarks)
    for width in widths:
        w, v = algebra.current().eigh(np.exp(-(width / unit) * distance[landmarks]))
        keep = w > RANK * w[-1]
        turn, found = v[:, keep] / np.sqrt(w[keep]), np.empty((len(x), int(keep.sum())))
        for some in _rows(len(x)):
            found[some] = algebra.current().product(np.exp(-(width / unit) * distance[some]), turn)
        yield found


def _distances(z: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Squared distances [n, m] of rows to landmark rows, and the median of those between landmarks as their unit."""
    norms = np.square(z).sum(axis=1)
    distance, other = np.empty((len(z), len(landmarks))), z[landmarks].T
    for some in _rows(len(z)):
        distance[some] = np.maximum(
            norms[some, None] + norms[landmarks] - 2.0 * algebra.current().product(z[some], other), 0.0
        )
    median = float(np.median(distance[landmarks][np.triu_indices(len(landmarks), 1)]))
    return distance, median if median > 0 else 1.0  # identical features: every kernel is constant at any width


def _rows(n: int) -> Iterator[slice]:
    """So many rows at a time that a second matrix of all is not needed."""
    return (slice(start, start + ROWS) for start in range(0, n, ROWS))
