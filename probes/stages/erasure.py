"""Erasing a concept from features, and the controls of such an edit.

LEACE (Belrose et al. 2023, NeurIPS 36, "LEACE: Perfect linear concept erasure in closed form", theorem 4.3): the least
change, in the metric of the features' own covariance, after which no linear probe can do better than a constant. With
W = Sigma_xx^(-1/2) (pseudo-inverse), P the orthogonal projection on the columns of W Sigma_xz,

    r(x) = x - W^+ P W (x - E[x])

It must be fitted on training rows only: erased and cross-validated on the same rows, labels are encoded anew by the
very projection, and accuracy falls far below chance (METHOD 4.7).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

RANK = 1e-9  # of the largest eigenvalue of the covariance: below it lies rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """An affine edit of rank r: x - (x - mean) right left', with mean [d], left and right [d, r].

    `apply` works on rows [..., d]; `norm` is the mean Mahalanobis length of what it takes from the rows it was fitted
    on; `shrinkage` the share of the covariance replaced by a multiple of the identity (0: exact).
    """

    mean: np.ndarray
    left: np.ndarray
    right: np.ndarray
    norm: float
    shrinkage: float = 0.0
    name: str = "leace"

    @property
    def rank(self) -> int:
        """How many directions are taken away."""
        return self.left.shape[1]

    def apply(self, x: Any) -> np.ndarray:
        """Rows [..., d] without what is erased; float64."""
        wide = np.asarray(x, dtype=np.float64)
        return wide - ((wide - self.mean) @ self.right) @ self.left.T


class Leace:
    """LEACE: `Leace.fit(x, y)` on training rows, `.apply(x)` on others."""

    @staticmethod
    def fit(x: np.ndarray, y: np.ndarray, *, shrinkage: float = 0.0) -> Edit:
        """Fit on rows x [n, d] and labels y [n] (class indices) or targets [n, k]; see `leace`."""
        return leace(x, y, shrinkage=shrinkage)


def leace(x: np.ndarray, y: np.ndarray, *, shrinkage: float = 0.0) -> Edit:
    """The least-squares concept erasure of labels y [n] (whole numbers: classes, else targets [n, k]) from x [n, d].

    `shrinkage` a replaces the covariance S by (1 - a) S + a trace(S)/d I in both whitenings, where there are fewer rows
    than columns and the exact one would erase far too much; 0 is the exact closed form.

    Raises:
        ProbeError: features that do not vary, rows that do not fit.
    """
    raise NotImplementedError


def mean_projection(x: np.ndarray, y: np.ndarray) -> Edit:
    """Project the span of the classes' mean differences out of features, orthogonally in the plain metric."""
    raise NotImplementedError


def random_erasure(x: np.ndarray, like: Edit, rng: np.random.Generator) -> Edit:
    """Erase random directions, of the same rank, drawn in the whitened space: the control of an erasure."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False)
class Steering:
    """A direction to step along: `step` [d] moves the probed score by one of its sd; `of` says which.

    Its Mahalanobis length is 1, like that of `random_step`, so that a dose of k means k sigma of either.
    """

    step: np.ndarray
    of: str

    def apply(self, x: Any, dose: float) -> np.ndarray:
        """Rows [..., d] moved by `dose` sigma."""
        return np.asarray(x, dtype=np.float64) + dose * self.step


def steering(x: np.ndarray, w: np.ndarray) -> Steering:
    """The pattern Sigma w of a filter w [d] over rows x [n, d] (Haufe et al. 2014), of Mahalanobis length 1."""
    raise NotImplementedError


def random_step(x: np.ndarray, rng: np.random.Generator) -> Steering:
    """A random direction of Mahalanobis length 1, drawn in the whitened space of rows x [n, d]."""
    raise NotImplementedError
