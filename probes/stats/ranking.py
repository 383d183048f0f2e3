"""Several scores of one plan put in order, with what that order is worth.

The arm with the highest score need not be the best. Three things say how sure the order is: the probability of each arm
to be the best, intervals of all ranks at once, and letters that arms share which are not told apart.
"""

from collections.abc import Sequence

import numpy as np

DRAWS = 20_000  # of the posterior
PRIOR = 0.05  # scale of the half-Cauchy prior of the spread of the true scores
SPREADS = np.geomspace(5e-4, 0.5, 61)  # standard deviations of the true scores that are tried
TAILS = 15  # by which the doubt about the errors themselves is stood for


def probability_best(score: np.ndarray, variance: np.ndarray, df: float, seed: int = 0) -> np.ndarray:
    """The probability [S] of each arm to have the highest true score, given paired estimates.

    score [S]; variance [S, S] of the difference of each two, with df degrees of freedom. A normal hierarchical model
    (Rubin 1981, Journal of Educational Statistics 6, 377-401; Gelman et al., Bayesian Data Analysis, 5.4): true scores
    are normal about an unknown middle, their spread has a half-Cauchy prior and is integrated over a grid, so that the
    highest of many estimates is drawn to the others as far as they are alike. What all arms have in common, a hard set
    of images, cancels: only differences are used. Arms that answer every item alike are one, and share its probability.

    >>> probability_best(np.array([0.8, 0.6]), np.array([[0, 0.001], [0.001, 0]]), 100.0).round(2).tolist()
    [1.0, 0.0]
    """
    from scipy.linalg import helmert
    from scipy.stats import chi2

    arm = _distinct(score, variance)
    first = np.unique(arm, return_index=True)[1]
    score, variance = score[first], variance[np.ix_(first, first)]
    count = len(score)
    if count == 1:
        return np.full(len(arm), 1 / len(arm))
    contrast = helmert(count)  # [S - 1, S]; of variances of differences a contrast's own is -1/2 c V c
    values, vectors = np.linalg.eigh(-0.5 * contrast @ variance @ contrast.T)
    values, vectors = np.maximum(values, 1e-12), contrast.T @ vectors
    seen = score @ vectors
    scale = df / chi2.ppf((np.arange(TAILS) + 0.5) / TAILS, df)  # errors are estimated too: Student's t as a mixture
    noise = values * scale[:, None, None]  # [tails, 1, contrasts]
    spread = np.square(SPREADS)[None, :, None]
    fit = -0.5 * (np.log(noise + spread) + np.square(seen) / (noise + spread)).sum(axis=-1)
    prior = np.log(np.gradient(SPREADS) / (1 + np.square(SPREADS / PRIOR)))
    weight = np.exp(fit + prior - (fit + prior).max())
    rng = np.random.default_rng([seed, 77])
    taken = rng.choice(weight.size, DRAWS, p=(weight / weight.sum()).ravel())
    t, s = np.unravel_index(taken, weight.shape)
    noise, spread = noise[t, 0], spread[0, s]
    kept = spread / (noise + spread)
    drawn = kept * seen + np.sqrt(kept * noise) * rng.standard_normal(noise.shape)
    best = np.bincount((drawn @ vectors.T).argmax(axis=1), minlength=count) / DRAWS
    return best[arm] / np.bincount(arm)[arm]


def _distinct(score: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """The number of each arm, the same for those between which there is no difference at all."""
    same = (variance <= 0) & (score[:, None] == score[None])
    return np.unique(same.argmax(axis=1), return_inverse=True)[1].ravel()


def rank_intervals(above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best and the worst rank [S] that each arm may have, all at once, rank 1 the highest true score.

    above [S, S]: whether row is told to be above column, by tests that all hold at once (Mohamad, Goeman & van Zwet
    2019, Statistics in Medicine 38, 1-18; Klein, Wright & Wieczorek 2020, Annals of Applied Statistics 14, 1005-1029).

    >>> [ends.tolist() for ends in rank_intervals(np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool))]
    [[1, 1, 3], [2, 2, 3]]
    """
    return 1 + above.sum(axis=0), len(above) - above.sum(axis=1)


def letters(apart: np.ndarray) -> list[str]:
    """The letters of each arm: arms that share one are not told apart; arms that are, share none.

    apart [S, S], symmetric; arms should stand in the order of their scores. Insert and absorb: Piepho 2004, Journal of
    Computational and Graphical Statistics 13, 456-466.

    >>> letters(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=bool))
    ['a', 'ab', 'b']
    """
    columns = [frozenset(range(len(apart)))]
    for i, j in zip(*np.nonzero(np.triu(apart)), strict=True):
        split = [c - {k} for c in columns if {i, j} <= c for k in (i, j)]
        whole = dict.fromkeys([c for c in columns if not {i, j} <= c] + split)
        columns = [c for c in whole if not any(c < other for other in whole)]
    columns.sort(key=sorted)
    return ["".join(_letter(k) for k, c in enumerate(columns) if arm in c) for arm in range(len(apart))]


def _letter(k: int) -> str:
    """One of a to z, and then (27), (28) and so on."""
    return chr(ord("a") + k) if k < 26 else f"({k + 1})"


def told_above(score: Sequence[float] | np.ndarray, half: np.ndarray) -> np.ndarray:
    """Whether each row is told to be above each column, [S, S], where half [S, S] are simultaneous half widths."""
    score = np.asarray(score, dtype=float)
    return (score[:, None] - score[None] > half) & ~np.eye(len(score), dtype=bool)
