"""The control `order`: what the place of an item in its list answers, and whether the images carry that place.

A list that is sorted by the answer gives it away to whatever drifts along it (a scanner, a compression, a batch).
"""

from collections.abc import Sequence

import numpy as np

from probes._base import ProbeError
from probes.solvers.ridge import Ridge
from probes.stats.permutation import permutation_test
from probes.stats.plan import Plan, plan

DEGREE = 12  # of the polynomials: a list of up to twelve blocks is seen
STRATA = 5  # into which a number is cut, to ask for the place within each
FREE = 0.05  # share of the places' variance that the answer must leave, so that both can be told apart


def order_features(places: Sequence[np.ndarray]) -> np.ndarray:
    """Smooth functions of places in one or more lists [n], as features: Legendre polynomials, [n, 12 for each list]."""
    return np.hstack([np.polynomial.legendre.legvander(scaled(place), DEGREE)[:, 1:] for place in places])


def scaled(place: np.ndarray) -> np.ndarray:
    """Places as ranks from -1 to 1; equal ones stay equal."""
    _, rank = np.unique(np.asarray(place, dtype=float), return_inverse=True)
    return 2.0 * rank.ravel() / max(int(rank.max()), 1) - 1.0


def carried_order(x: np.ndarray, place: np.ndarray, question: Plan, *, permutations: int = 499) -> float | None:
    """Permutation p that features [n, d] tell the place [n] among items of one answer: they drift along the list.

    The place is ranked within each class, or each fifth of a number, so that the answer tells nothing of it, and is
    exchanged among all. None where the answer leaves too little of the places to tell (a list sorted by a number), or
    the groups are too few.
    """
    within = np.zeros(len(place))
    for mine in _strata(question):
        within[mine] = scaled(place[mine])
        within[mine] -= within[mine].mean()
        if question.number:
            whole = float(np.square(within[mine]).sum())
            within[mine] = _apart(within[mine], question.y[mine])
            if np.square(within[mine]).sum() < FREE * whole:
                within[mine] = 0
    if not within.any():
        return None
    try:
        exchange = plan(within, question.groups, seed=question.seed, repeats=1, permutations=permutations)
    except ProbeError:
        return None
    return permutation_test(Ridge.of(x), exchange).p


def _strata(question: Plan) -> list[np.ndarray]:
    if not question.number:
        return [question.y == c for c in range(len(question.classes or ()))]
    cuts = np.quantile(question.y, np.linspace(0, 1, STRATA + 1)[1:-1])
    part = np.searchsorted(cuts, question.y, side="right")
    return [part == k for k in np.unique(part)]


def _apart(place: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Centred places less what a line through the answer's ranks tells of them."""
    rank = scaled(answer)
    rank = rank - rank.mean()
    norm = float(rank @ rank)
    return place - rank * (float(rank @ place) / norm) if norm > 0 else place
