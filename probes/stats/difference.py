"""The paired difference of two measurements, item by item on identical folds."""

import numpy as np

from probes.stats.intervals import corrected_resampling, floored_error, inflation, is_rare
from probes.stats.measurement import Difference, Measurement
from probes.stats.plan import FEW, Plan


def compare(a: Measurement, b: Measurement, plan: Plan) -> Difference:
    """The paired difference a - b, item by item on identical folds, its error inflated as permuted differences show.

    Paired: what makes both probes err on the same images cancels. None for the interval below 20 groups. With a rare
    class none contributes less to the error than with a group more in favour of each of the two.
    """
    from scipy.special import stdtr, stdtrit

    difference = a.scored.minus(b.scored)
    error = float(floored_error(difference, plan.y, plan, discordant).mean())
    if a.permuted is None or b.permuted is None:
        corrected = corrected_resampling(difference, plan)
        error = max(error, corrected) if is_rare(plan) else corrected
    else:
        error *= inflation(a.permuted.minus(b.permuted), plan, discordant)
    if plan.n_groups < FEW:
        return Difference(score=difference.mean, low=None, high=None, p=None)
    df = plan.n_groups - 1
    half = float(stdtrit(df, 0.975)) * error
    p = 1.0 if error == 0 else float(2 * stdtr(df, -abs(difference.mean) / error))
    if error == 0 and difference.mean != 0:
        p = 0.0
    return Difference(score=difference.mean, low=difference.mean - half, high=difference.mean + half, p=p)


def discordant(share: np.ndarray, sums: np.ndarray, counts: np.ndarray, k: int) -> np.ndarray:
    """Variance [A] that a class adds to a difference if one group more were in favour of each of the two.

    share [A] how much more of the class is right; sums of parts and counts of items [A, G] by group; k classes.
    """
    held = counts > 0
    m, items = held.sum(axis=1), counts.sum(axis=1, keepdims=True)
    d = np.where(held, sums * k * items / np.maximum(counts, 1) + share[:, None], 0.0)  # of a group's items, on average
    square, whole = np.square(d).sum(axis=1), d.sum(axis=1)
    return (square + 2 - whole**2 / (m + 2)) / (m + 2) / (k**2 * m)
