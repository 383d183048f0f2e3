"""Numbers as answers: their normal scores, values far out that look like typing errors, and long tails."""

from collections.abc import Sequence

import numpy as np

FAR = 8.0  # robust standard deviations from the median
FAR_IN_LOG = 4.5  # the same of logarithms, where all numbers have one sign: the long tail of a quantity is no error
DISTINCT = 10  # numbers: among fewer none is far
OTHERS = 0.1  # share of the distinct numbers: where more lie far out they are no errors but a kind of their own
SHOWN = 5  # far values that a caution names
SKEWED = 0.2  # (sum e^2)^2 / (n sum e^4): 1/3 of a normal distribution, 1/9 of an exponential one


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Normal scores of numbers [n]: Phi^-1((rank - .5) / n), equal numbers by their mean rank.

    A monotone change that looks at no feature, so that no number far out carries what is read.

    >>> normal_scores(np.array([40.0, 414.0, 50.0])).round(2).tolist()
    [-0.97, 0.97, 0.0]
    """
    from scipy.special import ndtri

    _, where, many = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.cumsum(many) - (many - 1) / 2  # mean rank, from 1
    return ndtri((rank[where.ravel()] - 0.5) / max(1, len(values)))


def far_values(values: np.ndarray) -> np.ndarray:
    """Which numbers [n] lie so far from all others that they look like typing errors, bool [n].

    Far is more than FAR robust standard deviations (1.4826 x the median absolute deviation) from the median. Where more
    than half are equal to the median the deviation is that of the others. Where no two numbers have different signs it
    is also more than FAR_IN_LOG of those of their logarithms.
    """
    none, distinct = np.zeros(len(values), dtype=bool), len(np.unique(values))
    if distinct < DISTINCT:
        return none
    found = _distance(values) > FAR
    if values.min() >= 0 or values.max() <= 0:
        some = values != 0
        found[some] &= _distance(np.log(np.abs(values[some]))) > FAR_IN_LOG
    return none if len(np.unique(values[found])) > OTHERS * distinct else found


def _distance(values: np.ndarray) -> np.ndarray:
    """From the median, in robust standard deviations."""
    away = np.abs(values - np.median(values))
    return away / (1.4826 * (np.median(away) or np.median(away[away > 0])))


def typing_errors(values: np.ndarray, names: Sequence[str] | None = None) -> list[str]:
    """The caution, if any, that names the values [n] far out, the farthest first; `names` say where each stands."""
    far = far_values(values)
    if not far.any():
        return []
    order = np.flatnonzero(far)
    order = order[np.argsort(-np.abs(values[order] - np.median(values)), kind="stable")]
    shown = "; ".join(
        f"{values[i]:g}" + (f" in {names[i]}" if names is not None else "") + _ranges(values, float(values[i]))
        for i in order[:SHOWN]
    )
    more = f" and {len(order) - SHOWN} more" if len(order) > SHOWN else ""
    look = "looks like a typing error" if len(order) == 1 else "look like typing errors"
    return [
        f"{len(order)} of {len(values)} values {look} or marks of missing values ({shown}{more}; the others lie in "
        f"{values[~far].min():g} to {values[~far].max():g}): mend them or empty the cells"
    ]


def _ranges(values: np.ndarray, value: float) -> str:
    """How far a number lies outside the quartiles of all [n], in words; nothing where half of all are equal."""
    low, high = np.quantile(values, (0.25, 0.75))
    away = max(low - value, value - high)
    if not away > 0 or not high > low:
        return ""
    ranges = away / (high - low)
    return f", {ranges:.{0 if ranges > 10 else 1}f} interquartile ranges {'below' if value < low else 'above'}"


def cautions(values: np.ndarray, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """What a reader should know of the numbers [n] that were given: values far out, and a long tail."""
    error = values - values.mean()
    error = error / (np.abs(error).max() or 1.0)  # fourth powers of what was given could overflow
    found, fourth = typing_errors(values, names), len(values) * float((error**4).sum())
    if fourth > 0 and np.square(error).sum() ** 2 / fourth < SKEWED:
        distinct, where, many = np.unique(values, return_inverse=True, return_counts=True)
        share = np.bincount(where.ravel(), np.square(error))
        share /= share.sum()
        order = np.argsort(-np.abs(distinct - values.mean()), kind="stable")
        order = order[: min(SHOWN, 1 + int((np.cumsum(share[order]) < 0.5).sum()))]
        shown = "; ".join(
            f"{distinct[i]:g}" + (f" {many[i]} times" if many[i] > 1 else "") + _ranges(values, float(distinct[i]))
            for i in order
        )
        found.append(
            f"few values lie far out ({shown}) and make up {share[order].sum():.0%} of what varies between the "
            "numbers: R2 of the number rests on them; the score, which goes by ranks, does not"
        )
    return tuple(found)
