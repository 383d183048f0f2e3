"""Kernel ridge probe with a Gaussian kernel: the control that reads what no hyperplane can.

Closed form like `ridge`; width and penalty are chosen inside each training part.
"""

import numpy as np

from probes._base import FeatureSet, Predictions
from probes.ridge import choose
from probes.solvers.codes import decide
from probes.solvers.ridge import Ridge
from probes.solvers.scale import standardised

WIDTHS = (0.1, 0.5, 1.0, 2.0)  # gamma times the median squared distance
GRID = (1e-3, 1e-2, 1e-1, 1.0)


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
    z = standardised(x)
    norms = np.square(z).sum(axis=1)
    distance = np.maximum(norms + norms[:, None] - 2.0 * (z @ z.T), 0.0)
    median = float(np.median(distance[np.triu_indices(len(z), 1)]))
    unit = median if median > 0 else 1.0  # identical features: every kernel is constant, whatever its width
    return [np.exp(-(width / unit) * distance) for width in widths]
