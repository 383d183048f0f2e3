"""The hyperplanes of linear probes on raw features: what a probe that never saw an item would say of its neighbours.

Standardisation and thresholds are folded into the weights (METHOD 6.1), so that the score of features x is
x . weights + intercept, the same number that the probe gave the item while its fold was held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from probes._base import FeatureSet, ProbeError
from probes.linear import fit_parts
from probes.solvers.codes import coded
from probes.solvers.scale import inverse_scale

LINEAR = ("ridge", "linear")


@dataclass(frozen=True, kw_only=True, eq=False)
class Hyperplanes:
    """Weights float64 [m, K, d] and intercept [m, K] of m items: the mean over repeats of their out-of-fold probes.

    K is the number of classes, or 1 for a number; x . weights + intercept is the item's held-out score.
    """

    weights: np.ndarray
    intercept: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """The scores [m, K] of features [m, d], one row per item."""
        return np.einsum("md,mkd->mk", np.asarray(x, np.float64), self.weights) + self.intercept


def hyperplanes(
    given: FeatureSet,
    folds: np.ndarray,
    items: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    *,
    probe: str = "ridge",
    penalty: float = 0.3,
) -> Hyperplanes:
    """The out-of-fold hyperplanes of some items; folds int [R, n].

    Raises:
        ProbeError: a probe that has no hyperplane.
    """
    where = np.asarray(items, dtype=np.int64)
    if probe == "ridge":
        return _ridge(given, folds, where, penalty, coded(given)[None], np.zeros(len(where), int))
    if probe != "linear":
        raise ProbeError(f"--probe {probe} has no hyperplane that could be explained; {' and '.join(LINEAR)} have one")
    return _linear(given, folds, where, rng)


def _linear(given: FeatureSet, folds: np.ndarray, items: np.ndarray, rng: np.random.Generator) -> Hyperplanes:
    parts, present, fits = fit_parts(given, folds, rng)
    prior = np.log(fits.prior)
    if fits.weights.shape[1] == 1:  # two classes: the score of each is half the logit, above the prior
        half = fits.weights / 2
        weights = np.concatenate([-half, half], axis=1)
        level = (fits.intercept[:, 0] - (prior[:, 1] - prior[:, 0])) / 2
        intercept = np.stack([-level, level], axis=1)
    else:
        weights, intercept = fits.weights, fits.intercept - prior
    of = {part: k for k, part in enumerate(parts)}
    fit = np.array([[of[r, int(folds[r, i])] for r in range(len(folds))] for i in items])
    shape = (len(items), len(given.classes or ()))
    found = Hyperplanes(weights=np.zeros((*shape, given.x.shape[1])), intercept=np.full(shape, -np.inf))
    found.weights[:, present] = weights[fit].mean(axis=1)
    found.intercept[:, present] = intercept[fit].mean(axis=1)
    return found


def exchanged(
    given: FeatureSet,
    folds: np.ndarray,
    items: Sequence[int] | np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    probe: str = "ridge",
    penalty: float = 0.3,
) -> Hyperplanes:
    """As `hyperplanes`, of probes trained on permuted labels [B, n]: item k of `items` has those of draw k modulo B."""
    where, draw = np.asarray(items, dtype=np.int64), np.arange(len(items)) % len(labels)
    dtype = given.y.dtype
    if probe == "ridge":
        codes = np.stack([coded(replace(given, y=one.astype(dtype))) for one in labels])
        return _ridge(given, folds, where, penalty, codes, draw)
    parts = {}
    for b in np.unique(draw):
        one = replace(given, y=labels[b].astype(dtype))
        parts[b] = hyperplanes(one, folds, where[draw == b], rng, probe=probe, penalty=penalty)
    first = next(iter(parts.values()))
    found = Hyperplanes(
        weights=np.zeros((len(where), *first.weights.shape[1:])),
        intercept=np.zeros((len(where), first.intercept.shape[1])),
    )
    for b, part in parts.items():
        found.weights[draw == b], found.intercept[draw == b] = part.weights, part.intercept
    return found


def _ridge(
    given: FeatureSet, folds: np.ndarray, items: np.ndarray, penalty: float, codes: np.ndarray, draw: np.ndarray
) -> Hyperplanes:
    """Codes [B, n, K] of B label vectors, fitted together; item k of `items` has those of `draw` [m]."""
    import scipy.linalg

    x = np.asarray(given.x, np.float64)
    n, d = x.shape
    centre = x.mean(axis=0)
    scale = inverse_scale((x - centre).std(axis=0), np.abs(centre))
    z = (x - centre) * scale
    strength = penalty * float(np.square(z).sum() / n) or 1.0  # where all features are equal the plane is 0
    b, _, k = codes.shape
    weights, intercept = np.zeros((len(items), k, d)), np.zeros((len(items), k))
    for fold in folds:
        for part in np.unique(fold[items]):
            train, mine = fold != part, np.flatnonzero(fold[items] == part)
            mean, level = z[train].mean(axis=0), codes[:, train].mean(axis=1)  # [d], [B, K]
            a = z[train] - mean
            t = (codes[:, train] - level[:, None]).transpose(1, 0, 2).reshape(len(a), b * k)
            if len(a) <= d:
                v = a.T @ scipy.linalg.solve(a @ a.T + strength * np.eye(len(a)), t, assume_a="pos")
            else:
                v = scipy.linalg.solve(a.T @ a + strength * np.eye(d), a.T @ t, assume_a="pos")
            v = (v * scale[:, None]).reshape(d, b, k).transpose(1, 2, 0)[draw[mine]]  # [mine, K, d]
            weights[mine] += v
            # for classes the score is the fitted code less the mean code, for numbers the fitted number
            above = 0.0 if given.classes is not None else level[draw[mine]]
            intercept[mine] += above - v @ (mean / np.where(scale > 0, scale, 1) + centre)
    return Hyperplanes(weights=weights / len(folds), intercept=intercept / len(folds))
