"""Many L2 logistic regressions over one matrix: the data they share, a batch of problems, their current solutions.

They differ in the rows they train on, in the scale of their columns and in their penalty.
"""

from dataclasses import dataclass

import numpy as np

from probes.solvers import algebra


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """The data that all problems share.

    x: [n, d], columns centred, of unit sd. onehot: [J, n], one row for two classes, K rows for K classes.
    v: [d, k] leading eigenvectors of x'x / n with values s [k]; tail: the mean of the other eigenvalues.
    """

    x: np.ndarray
    onehot: np.ndarray
    v: np.ndarray
    s: np.ndarray
    tail: float

    def astype(self, dtype: type) -> "Shared":
        """The same in another precision."""
        arrays = {k: np.ascontiguousarray(getattr(self, k), dtype=dtype) for k in ("x", "onehot", "v", "s")}
        return type(self)(tail=self.tail, **arrays)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B problems: rows [B, n] 0/1 says who trains, scale [B, d] multiplies columns, strength [B] is lambda.

    The objective of one is sum over its rows of the log-loss + lambda / 2 |u|^2, logits x (scale * u) + b.
    """

    rows: np.ndarray
    scale: np.ndarray
    strength: np.ndarray

    def pick(self, which: np.ndarray) -> "Batch":
        """Some of the problems."""
        return type(self)(rows=self.rows[which], scale=self.scale[which], strength=self.strength[which])


@dataclass(kw_only=True, eq=False)
class Point:
    """Current solutions of B problems: weights u [B, J, d], intercepts b [B, J], logits z [B, J, n] of every row."""

    u: np.ndarray
    b: np.ndarray
    z: np.ndarray

    def pick(self, which: np.ndarray) -> "Point":
        """Some of the problems."""
        return type(self)(u=self.u[which], b=self.b[which], z=self.z[which])

    def put(self, which: np.ndarray, other: "Point") -> None:
        """Write `other` into some of the problems."""
        self.u[which], self.b[which], self.z[which] = other.u, other.b, other.z


def losses(z: np.ndarray, onehot: np.ndarray) -> np.ndarray:
    """Log-loss in nats of every row: [B, n] from logits [B, J, n]."""
    if z.shape[1] == 1:
        only = z[:, 0]
        return np.log1p(np.exp(-np.abs(only))) + np.maximum(only, 0) - only * onehot[0]
    top = z.max(axis=1)
    return np.log(np.exp(z - top[:, None]).sum(axis=1)) + top - np.einsum("bjn,jn->bn", z, onehot)


def probabilities(z: np.ndarray) -> np.ndarray:
    """Class probabilities [B, J, n]; for J = 1 that of the second class."""
    if z.shape[1] == 1:
        small = np.exp(-np.abs(z))
        return np.where(z >= 0, 1, small) / (1 + small)
    raised = np.exp(z - z.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def objectives(shared: Shared, batch: Batch, at: Point) -> np.ndarray:
    """The objective of every problem, [B] float64."""
    fit = np.einsum("bn,bn->b", losses(at.z, shared.onehot), batch.rows, dtype=np.float64)
    return fit + 0.5 * batch.strength * dot(at.u, at.u)


def logits(shared: Shared, batch: Batch, u: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The logits x (scale * u) + b of every row: [B, J, n]."""
    scaled = (u * batch.scale[:, None]).reshape(-1, u.shape[2])
    return algebra.current().product(scaled, shared.x, turned=True).reshape(*u.shape[:2], -1) + b[..., None]


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product of every problem, [B] float64."""
    flat = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return np.einsum("bi,bi->b", *flat).astype(np.float64)
