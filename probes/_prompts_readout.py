"""Answers that a linear readout gives to presentations it never saw: other images, and other assignments of colours."""

import numpy as np

from probes._base import ProbeError
from probes._scale import standardised

PENALTY = 0.03  # relative to trace(K) / rows, as for the ridge probe
# assignments are the permutations of three colours in lexical order; left out beside each is the next of its parity,
# so that every mark has every colour among the four that train
PARTNER = (3, 5, 1, 4, 0, 2)


def _fit(x: np.ndarray, codes: np.ndarray, unknown: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression of codes [n, K] on x [n, d], predicted at `unknown` [m, d]."""
    import scipy.linalg

    middle, mean = x.mean(axis=0), codes.mean(axis=0)
    x, unknown, codes = x - middle, unknown - middle, codes - mean
    n, d = x.shape
    unit = max(float((x**2).sum()) / n, np.finfo(float).tiny)
    if d <= n:
        gram = x.T @ x
        gram[np.diag_indices(d)] += penalty * unit
        return unknown @ scipy.linalg.solve(gram, x.T @ codes, assume_a="pos", check_finite=False)
    kernel = x @ x.T
    kernel[np.diag_indices(n)] += penalty * unit
    return unknown @ (x.T @ scipy.linalg.solve(kernel, codes, assume_a="pos", check_finite=False))


def answers(
    x: np.ndarray, target: np.ndarray, fold: np.ndarray, assignment: np.ndarray, *, unseen: bool, marks: bool
) -> np.ndarray:
    """The class [n] that a readout says of every presentation, its image's fold left out.

    x [n, d], target [n] in 0 … 2, fold [n] by group, assignment [n] in 0 … 5. With `unseen` the presentation's own
    assignment and its partner are left out too. With `marks`, x holds the tokens under three marks one behind the
    other, one direction is sought for all of them, and the mark furthest along it is the answer.

    Raises:
        ProbeError: a width that three marks do not share, or a training part without one of the answers.
    """
    n = len(x)
    if marks and x.shape[1] % 3:
        raise ProbeError(f"three marks need three tokens of one width; {x.shape[1]} features are none")
    codes = np.eye(3)[target] - 1 / 3
    if marks:
        tokens = standardised(x.reshape(3 * n, -1)).reshape(n, 3, -1)
        rows = tokens - tokens.mean(axis=1, keepdims=True)
    else:
        rows = standardised(x)
    score = np.full((n, 3), np.nan)
    for part in np.unique(fold):
        for kind in range(6) if unseen else (-1,):
            test = (fold == part) & ((assignment == kind) | (kind < 0))
            train = fold != part
            if unseen:
                train &= (assignment != kind) & (assignment != PARTNER[kind])
            if not test.any():
                continue
            if len(np.unique(target[train])) < 3 and not marks:
                raise ProbeError("too few images: one of the three answers is missing where the readout is trained")
            if marks:
                flat = rows[train].reshape(-1, rows.shape[2])
                told = _fit(flat, codes[train].reshape(-1, 1), rows[test].reshape(-1, rows.shape[2]), PENALTY)
                score[test] = told.reshape(-1, 3)
            else:
                score[test] = _fit(rows[train], codes[train], rows[test], PENALTY)
    return score.argmax(axis=1)


def two_sided(x: np.ndarray, target: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The class [n], 0 or 1, that a readout says of every image, its fold left out."""
    rows, codes = standardised(x), np.eye(2)[target] - 0.5
    said = np.zeros(len(x), dtype=np.int64)
    for part in np.unique(fold):
        test = fold == part
        said[test] = _fit(rows[~test], codes[~test], rows[test], PENALTY).argmax(axis=1)
    return said


def folds(groups: np.ndarray, rng: np.random.Generator, count: int = 5) -> np.ndarray:
    """A fold [n] for every image, groups kept whole and spread evenly.

    Raises:
        ProbeError: fewer groups than folds.
    """
    names, which = np.unique(groups, return_inverse=True)
    if len(names) < count:
        raise ProbeError(f"{len(names)} groups for {count} folds: an audit needs {count} groups or more")
    return rng.permutation(np.arange(len(names)) % count)[which]
