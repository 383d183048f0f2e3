"""Erasing a concept from features, stepping along it, and the controls of such edits.

LEACE (Belrose et al. 2023, NeurIPS 36, theorem 4.3): the least change, in mean square, after which no linear probe can
do better than a constant. With W the pseudo-inverse of the covariance's square root, and U an orthonormal basis of the
columns of W Sigma_xz,

    r(x) = x - W^+ U U' W (x - E[x])

It must be fitted on training rows only: erased and cross-validated on the same rows, labels are encoded anew by the
very projection, and accuracy falls far below chance (METHOD 4.7).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from probes._base import ProbeError

RANK = 1e-9  # of the largest eigenvalue of the covariance: below it lies rounding
CONCEPT = 1e-6  # of the largest singular value of the whitened cross-covariance: below it lies rounding
Shrinkage = float | Literal["oas"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """An affine erasure of rank r: x - left right' (x - mean), with mean [d], left and right [d, r].

    `shrinkage` is the share of the covariance that was replaced by a multiple of the identity (0: the exact closed
    form); `rows` how many rows it was fitted on. What it takes away has a mean squared Mahalanobis length of r.
    """

    name: str
    mean: np.ndarray
    left: np.ndarray
    right: np.ndarray
    shrinkage: float
    rows: int

    @property
    def rank(self) -> int:
        """How many directions are taken away."""
        return self.left.shape[1]

    def apply(self, x: Any) -> np.ndarray:
        """Rows [..., d] without what is erased; float64."""
        wide = np.asarray(x, dtype=np.float64)
        return wide - ((wide - self.mean) @ self.right) @ self.left.T


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sums over rows, from which every edit follows: features need not be held. `Moments.of(x, y)`, `a.plus(b)`.

    count; shift [d] taken off before summing, for accuracy; sums [d] and products [d, d] of x; targets [k] and cross
    [d, k] of targets z (one-hot classes).
    """

    count: int
    shift: np.ndarray
    sums: np.ndarray
    products: np.ndarray
    targets: np.ndarray
    cross: np.ndarray

    @classmethod
    def of(
        cls, x: np.ndarray, z: np.ndarray, *, classes: int | None = None, shift: np.ndarray | None = None
    ) -> "Moments":
        """Of rows x [n, d] and z: class indices [n] (whole numbers), or targets [n, k]. More rows: see `plus`.

        Raises:
            ProbeError: rows that do not fit, or that are not finite.
        """
        wide = np.asarray(x, np.float64)
        if wide.ndim != 2 or not len(wide) or len(wide) != len(z):
            raise ProbeError(f"features of shape {list(wide.shape)} and {len(z)} labels do not fit")
        if not np.isfinite(wide).all():
            raise ProbeError("some features are NaN or infinite: nothing can be erased from them")
        z = np.asarray(z)
        if z.ndim == 1:
            z = np.eye(int(z.max()) + 1 if classes is None else classes)[z] if z.dtype.kind in "iub" else z[:, None]
        target, base = np.asarray(z, np.float64), wide.mean(axis=0) if shift is None else shift
        wide = wide - base
        return cls(
            count=len(wide), shift=base, sums=wide.sum(axis=0), products=wide.T @ wide, targets=target.sum(axis=0),
            cross=wide.T @ target,
        )  # fmt: skip

    def plus(self, x: np.ndarray, z: np.ndarray) -> "Moments":
        """With further rows; classes as many as before."""
        more = Moments.of(x, z, classes=len(self.targets), shift=self.shift)
        return Moments(
            count=self.count + more.count, shift=self.shift, sums=self.sums + more.sums,
            products=self.products + more.products, targets=self.targets + more.targets, cross=self.cross + more.cross,
        )  # fmt: skip

    @property
    def mean(self) -> np.ndarray:
        """Mean of x, [d]."""
        return self.shift + self.sums / self.count

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of x, [d, d]."""
        m = self.sums / self.count
        return self.products / self.count - np.outer(m, m)

    @property
    def cross_covariance(self) -> np.ndarray:
        """Covariance of x with the targets, [d, k]."""
        return (self.cross - np.outer(self.sums / self.count, self.targets)) / self.count


def oas(covariance: np.ndarray, rows: int) -> float:
    """The oracle approximating shrinkage of a covariance of `rows` rows (Chen et al. 2010, IEEE TSP 58, eq. 23)."""
    d = len(covariance)
    square, trace = float(np.square(covariance).sum()), float(np.trace(covariance))
    over = (1 - 2 / d) * square + trace**2
    under = (rows + 1 - 2 / d) * (square - trace**2 / d)
    return 1.0 if under <= 0 else min(1.0, over / under)


class Leace:
    """LEACE by its usual name: `Leace.fit(x, y)` on training rows gives an `Edit`, to be applied to others."""

    @staticmethod
    def fit(x: np.ndarray, y: np.ndarray, *, shrinkage: Shrinkage = 0.0) -> Edit:
        """Fit on rows x [n, d] and y [n] (class indices) or targets [n, k]: see `leace`."""
        return leace(Moments.of(x, y), shrinkage=shrinkage)


def leace(moments: Moments, *, shrinkage: Shrinkage = 0.0, name: str = "leace") -> Edit:
    """The least-squares erasure of the targets of `moments`.

    `shrinkage` a puts (1 - a) S + a trace(S) / d I in the place of the covariance S; "oas" chooses a. The covariance
    with the targets is 0 behind the edit either way; what differs is the metric in which the change is least, and with
    fewer rows than a few times the width only a shrunk metric erases what is to be read from other rows.

    Raises:
        ProbeError: features or targets that do not vary.
    """
    w, v, used = _spectrum(moments, shrinkage)
    white = (v.T @ moments.cross_covariance) / np.sqrt(w)[:, None]
    u, s, _ = np.linalg.svd(white, full_matrices=False)
    keep = s > CONCEPT * s.max(initial=0)
    if not keep.any() or s.max() <= 1e-12:
        raise ProbeError("nothing to erase: the features have no linear relation to the labels at all")
    return _edit(name, moments, w, v, u[:, keep], used)


def random_erasure(moments: Moments, like: Edit, rng: np.random.Generator) -> Edit:
    """Erase random directions drawn in the whitened space, as many as `like` erases and of equal Mahalanobis length."""
    w, v, used = _spectrum(moments, like.shrinkage)
    u = np.linalg.qr(rng.standard_normal((len(w), like.rank)))[0]
    return _edit("random direction", moments, w, v, u, used)


def mean_projection(moments: Moments) -> Edit:
    """Project the span of the classes' means out of features, orthogonally in the plain metric.

    Raises:
        ProbeError: all classes have one mean.
    """
    u, s, _ = np.linalg.svd(moments.cross_covariance, full_matrices=False)
    keep = s > CONCEPT * s.max(initial=0)
    if not keep.any() or s.max() <= 0:
        raise ProbeError("nothing to erase: all classes have one mean")
    return Edit(
        name="mean projection", mean=moments.mean, left=u[:, keep], right=u[:, keep], shrinkage=0.0, rows=moments.count
    )


def _spectrum(moments: Moments, shrinkage: Shrinkage) -> tuple[np.ndarray, np.ndarray, float]:
    """Eigenvalues [r] and vectors [d, r] of the (shrunk) covariance above rounding, and the shrinkage used."""
    import scipy.linalg

    covariance = moments.covariance
    a = oas(covariance, moments.count) if shrinkage == "oas" else float(shrinkage)
    if not 0 <= a <= 1:
        raise ProbeError(f"shrinkage {a:g} given: it is a share from 0 to 1, or 'oas'")
    if a > 0:
        covariance = (1 - a) * covariance + a * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    w, v = scipy.linalg.eigh(covariance, check_finite=False)
    keep = w > RANK * max(w[-1], np.finfo(float).tiny)
    if w[-1] <= 0 or not keep.any():
        raise ProbeError("the features do not vary: there is nothing to erase from")
    return w[keep], v[:, keep], a


def _edit(name: str, moments: Moments, w: np.ndarray, v: np.ndarray, u: np.ndarray, shrinkage: float) -> Edit:
    """The edit of orthonormal directions u [r, q] of the whitened space."""
    root = np.sqrt(w)[:, None]
    return Edit(
        name=name, mean=moments.mean, left=v @ (root * u), right=v @ (u / root), shrinkage=shrinkage, rows=moments.count
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Steering:
    """A direction to step along, `step` [d] of Mahalanobis length 1: a dose of k means k sigma of any of them."""

    name: str
    step: np.ndarray

    def apply(self, x: Any, dose: float) -> np.ndarray:
        """Rows [..., d] moved by `dose` sigma."""
        return np.asarray(x, dtype=np.float64) + dose * self.step


def steering(moments: Moments, w: np.ndarray) -> Steering:
    """The pattern Sigma w of a filter w [d] (Haufe et al. 2014, NeuroImage 87): one step moves the score by its sd.

    Raises:
        ProbeError: the filter's score does not vary.
    """
    pattern = moments.covariance @ np.asarray(w, np.float64)
    variance = float(np.asarray(w, np.float64) @ pattern)
    if variance <= 0:
        raise ProbeError("the probe's score does not vary over these rows: there is no direction to step along")
    return Steering(name="pattern", step=pattern / np.sqrt(variance))


def random_step(moments: Moments, rng: np.random.Generator) -> Steering:
    """A random direction of Mahalanobis length 1, drawn in the whitened space."""
    w, v, _ = _spectrum(moments, 0.0)
    return Steering(name="random direction", step=_drawn(w, v, 1, rng)[0])


def random_steps(moments: Moments, like: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many random steps [count, d], each of the Mahalanobis length of the step `like` [d].

    Raises:
        ProbeError: features that do not vary.
    """
    w, v, _ = _spectrum(moments, 0.0)
    return float(np.linalg.norm(like @ v / np.sqrt(w))) * _drawn(w, v, count, rng)


def _drawn(w: np.ndarray, v: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random directions [count, d] of Mahalanobis length 1, drawn in the whitened space."""
    xi = rng.standard_normal((count, len(w)))
    return (np.sqrt(w) * xi / np.linalg.norm(xi, axis=1, keepdims=True)) @ v.T


def slope(doses: Sequence[float | int], log_odds: np.ndarray) -> np.ndarray:
    """Dose-response slope of each item's log-odds [doses, n], by least squares: [n]."""
    dose = np.asarray(doses, np.float64) - np.mean(doses)
    return dose @ np.asarray(log_odds, np.float64) / float(dose @ dose)
