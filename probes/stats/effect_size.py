"""From an asymptotic accuracy or R2 to the distance between classes that gives it, and back."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=256)
def separation(strength: float, classes: int | None) -> float:
    """The planted distance, in units of the sd along any direction, of an asymptotic accuracy or R2.

    Classes sit on a regular simplex: accuracy = integral of phi(z) Phi(z + s)^(K-1), with s sqrt(2) between
    any two means. A number moves the features by s per sd of it: R2 = s^2 / (1 + s^2).
    """
    if classes is None:
        return float(np.sqrt(strength / (1 - strength)))
    if strength <= 1 / classes + 1e-9:
        return 0.0
    from scipy.optimize import brentq

    return float(brentq(lambda s: accuracy(s, classes) - strength, 0.0, 20.0))


def accuracy(s: float, classes: int) -> float:
    """Bayes accuracy of K equally likely Gaussian classes on a regular simplex of edge s sqrt(2)."""
    from scipy.special import ndtr

    z, weight = np.polynomial.hermite_e.hermegauss(80)
    return float((weight * ndtr(z + s) ** (classes - 1)).sum() / np.sqrt(2 * np.pi))
