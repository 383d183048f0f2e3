"""Linear readouts of visual prompts: their answers to other images and to other assignments of colours."""

from dataclasses import dataclass

import numpy as np

from probes._base import ProbeError
from probes.solvers.scale import standardised

PENALTY = 0.03  # relative to trace(K) / rows, as for the ridge probe
# assignments are the permutations of three colours in lexical order; a readout is trained on one and the three of the
# other parity, so that every mark has every colour among the four, and asked about that one and the next of its parity
PARITY = np.array((0, 1, 1, 0, 0, 1))
PARTNER = (3, 5, 1, 4, 0, 2)
TIE = 1e-6  # scores this near are equal but for rounding: codes are a whole unit apart


def fit_ridge(x: np.ndarray, codes: np.ndarray, unknown: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression of codes [n, K] on x [n, d], predicted at `unknown` [m, d]."""
    import scipy.linalg

    middle, mean = x.mean(axis=0), codes.mean(axis=0)
    x, unknown, codes = x - middle, unknown - middle, codes - mean
    n, d = x.shape
    unit = max(float((x**2).sum()) / n, np.finfo(float).tiny)
    if d <= n:
        gram = x.T @ x
        gram[np.diag_indices(d)] += penalty * unit
        return mean + unknown @ scipy.linalg.solve(gram, x.T @ codes, assume_a="pos", check_finite=False)
    kernel = x @ x.T
    kernel[np.diag_indices(n)] += penalty * unit
    return mean + unknown @ (x.T @ scipy.linalg.solve(kernel, codes, assume_a="pos", check_finite=False))


@dataclass(frozen=True, kw_only=True, eq=False)
class Transfer:
    """Answers [n] under assignments that did not train the readout, and under those that did; trainings of one size."""

    unseen: np.ndarray
    seen: np.ndarray


def answers(
    x: np.ndarray,
    target: np.ndarray,
    fold: np.ndarray,
    assignment: np.ndarray,
    rng: np.random.Generator,
    *,
    marks: bool,
) -> Transfer:
    """Answers of a readout to every presentation, its image's fold left out: under trained and other assignments.

    x [n, d], target [n] in 0 … 2, fold [n] by group, assignment [n] in 0 … 5. A readout is trained on one assignment
    and the three of the other parity; it is asked about that one (`seen`) and about its partner (`unseen`). With
    `marks`, x holds the tokens under three marks one behind the other, one direction is sought for all of them, and the
    mark furthest along it is the answer. Where scores are equal, `rng` draws one: who knows nothing guesses, and does
    not name one colour or place throughout.

    Raises:
        ProbeError: a width that three marks do not share, or a training part without one of the answers.
    """
    rows = token_rows(x, marks=marks)
    unseen, seen = np.zeros(len(x), np.int64), np.zeros(len(x), np.int64)
    for part in np.unique(fold):
        for kind in range(6):
            train = (fold != part) & ((assignment == kind) | (PARITY[assignment] != PARITY[kind]))
            tests = [(fold == part) & (assignment == k) for k in (kind, PARTNER[kind])]
            both = np.concatenate([rows[test] for test in tests])
            if not len(both):
                continue
            predicted = _predict(rows[train], target[train], both, rng, marks=marks)
            seen[tests[0]], unseen[tests[1]] = predicted[: tests[0].sum()], predicted[tests[0].sum() :]
    return Transfer(unseen=unseen, seen=seen)


def asked(
    x: np.ndarray,
    target: np.ndarray,
    fold: np.ndarray,
    other: np.ndarray,
    other_fold: np.ndarray,
    rng: np.random.Generator,
    *,
    marks: bool,
) -> np.ndarray:
    """Answers [m] of a readout trained on x [n, d] to other pictures [m, d], whose fold took no part in its training.

    Equal scores are drawn from by `rng`.
    """
    rows = token_rows(np.concatenate([x, other]), marks=marks)
    predicted = np.zeros(len(other), np.int64)
    for part in np.unique(other_fold):
        test, train = np.flatnonzero(other_fold == part), fold != part
        predicted[test] = _predict(rows[: len(x)][train], target[train], rows[len(x) + test], rng, marks=marks)
    return predicted


def token_rows(x: np.ndarray, *, marks: bool) -> np.ndarray:
    """Standardised features [n, d], or those of three tokens [n, 3, d] less what the three have in common."""
    if not marks:
        return standardised(x)
    if x.shape[1] % 3:
        raise ProbeError(f"three marks need three tokens of one width; {x.shape[1]} features are none")
    tokens = standardised(x.reshape(3 * len(x), -1)).reshape(len(x), 3, -1)
    return tokens - tokens.mean(axis=1, keepdims=True)


def chosen(score: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The place [n] of the largest score [n, K] of each row, at random among those that are equal but for rounding.

    The first of equal scores, or the one that rounding favours, would be a liking that the features do not have, and
    the same in every image of a fold.
    """
    near = score > score.max(axis=1, keepdims=True) - TIE
    return np.where(near, rng.random(score.shape), -1.0).argmax(axis=1)


def _predict(
    train: np.ndarray, target: np.ndarray, test: np.ndarray, rng: np.random.Generator, *, marks: bool
) -> np.ndarray:
    codes = np.eye(3)[target] - 1 / 3
    if marks:
        width = train.shape[2]
        flat = fit_ridge(train.reshape(-1, width), codes.reshape(-1, 1), test.reshape(-1, width), PENALTY)
        return chosen(flat.reshape(-1, 3), rng)
    if len(np.unique(target)) < 3:
        raise ProbeError("too few images: one of the three answers is missing where the readout is trained")
    return chosen(fit_ridge(train, codes, test, PENALTY), rng)


def two_sided(x: np.ndarray, target: np.ndarray, fold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Answers [n], 0 or 1, of a readout to every image, its fold left out; `rng` draws from equal scores."""
    rows, codes = standardised(x), np.eye(2)[target] - 0.5
    predicted = np.zeros(len(x), dtype=np.int64)
    for part in np.unique(fold):
        test = fold == part
        predicted[test] = chosen(fit_ridge(rows[~test], codes[~test], rows[test], PENALTY), rng)
    return predicted


def folds(groups: np.ndarray, rng: np.random.Generator, count: int = 5) -> np.ndarray:
    """A fold [n] for every image, groups kept whole and spread evenly.

    Raises:
        ProbeError: fewer groups than folds.
    """
    names, which = np.unique(groups, return_inverse=True)
    if len(names) < count:
        raise ProbeError(f"{len(names)} groups for {count} folds: an audit needs {count} groups or more")
    return rng.permutation(np.arange(len(names)) % count)[which]
