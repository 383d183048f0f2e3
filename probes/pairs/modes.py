"""Kinds of images that one encoder puts together and another does not: eigenvectors of the difference of two kernels.

Jalali et al. 2025 (ICML, "Towards an explainable comparison and alignment of feature embeddings", SPEC) take the
leading eigenvectors of K_A - K_B for clusters that A has and B lacks. They give no null. Two views of one and the same
encoder differ by their noise, and so does their leading eigenvalue from 0; the null here asks whether it is larger than
when the dimensions of both encoders are dealt out anew.
"""

from dataclasses import dataclass

import numpy as np

from probes._base import ProbeError

PARTS = 32  # bundles of dimensions that are dealt out
COUNT = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes:
    """Leading modes of K_A - K_B: `value` [m], `vector` [n, m] of length 1, and `null` [K] of the largest eigenvalue.

    The sign of a vector is that of its heavier side. `kept` [m] is the share v'K_B v / v'K_A v that B has of it.
    """

    value: np.ndarray
    vector: np.ndarray
    kept: np.ndarray
    null: np.ndarray

    @property
    def p(self) -> np.ndarray:
        """For each mode (1 + null values of the largest eigenvalue that reach it) / (1 + K), [m]."""
        return np.array([(1 + (self.null >= one).sum()) / (1 + len(self.null)) for one in self.value])


def modes(a: np.ndarray, b: np.ndarray, *, count: int = COUNT, permutations: int = 99, seed: int = 0) -> Modes:
    """The leading modes of the difference of two linear kernels, of features a [n, d] and b [n, e] of the same images.

    Rows are centred, made as long as each other, centred again, and scaled so that both kernels have trace n. For the
    null each encoder is turned at random, its dimensions are put into equal bundles, and the bundles of both are dealt
    to two new encoders: under the null that both are views of one thing with noise of their own, bundles are
    exchangeable.

    Raises:
        ProbeError: features of different items, fewer than 10 of them, or all the same.
    """
    if len(a) != len(b):
        raise ProbeError(f"features of {len(a)} and of {len(b)} items")
    if len(a) < 10:
        raise ProbeError(f"{len(a)} images; modes need at least 10")
    rng = np.random.default_rng([seed, len(a), 59])
    f, g = (_turned(_normed(x), rng) for x in (a, b))
    count = min(count, len(a) - 2)
    value, vector = _leading(f, g, count)
    many = min(PARTS, f.shape[1], g.shape[1])
    bundles = [x[:, part] for x in (f, g) for part in np.array_split(np.arange(x.shape[1]), many)]
    null = []
    for _ in range(permutations):
        dealt = rng.permutation(2 * many)
        near, far = (
            np.concatenate([bundles[k] for k in dealt[side]], axis=1) for side in (slice(many), slice(many, None))
        )
        null.append(_leading(near, far, 1)[0][0])
    energy = [np.einsum("nm,nm->m", vector, x @ (x.T @ vector)) for x in (f, g)]
    heavier = np.sign((vector**3).sum(axis=0))
    return Modes(
        value=value, vector=vector * np.where(heavier == 0, 1.0, heavier),
        kept=energy[1] / np.maximum(energy[0], 1e-12),
        null=np.array(null),
    )  # fmt: skip


def _normed(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if not length.any():
        raise ProbeError("all images have the same features: there are no modes")
    x = x / np.maximum(length, 1e-12)
    x = x - x.mean(axis=0)
    return x * np.sqrt(len(x) / (x**2).sum())


def _turned(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows in a random orthogonal basis, so that every dimension holds a share of everything."""
    q, r = np.linalg.qr(rng.standard_normal((x.shape[1], x.shape[1])))
    return x @ (q * np.sign(np.diag(r)))


def _leading(f: np.ndarray, g: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues of f f' - g g' and their vectors, largest first."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    n = len(f)
    difference = LinearOperator((n, n), matvec=lambda v: f @ (f.T @ v) - g @ (g.T @ v), dtype=np.float64)
    start = np.random.default_rng(n).standard_normal(n)
    value, vector = eigsh(difference, k=count, which="LA", v0=start, tol=1e-8 if count > 1 else 1e-4)
    order = np.argsort(-value)
    return value[order], vector[:, order]
