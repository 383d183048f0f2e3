"""The paired difference of two measurements, item by item on identical folds."""

from probes.stats.intervals import corrected_resampling, inflation, widening
from probes.stats.measurement import Difference, Measurement
from probes.stats.plan import FEW, Plan


def compare(a: Measurement, b: Measurement, plan: Plan) -> Difference:
    """The paired difference a - b, item by item on identical folds, its error inflated as permuted differences show.

    Paired: what makes both probes err on the same images cancels. None for the interval below 20 groups.
    """
    from scipy.special import stdtr, stdtrit

    difference = a.scored.minus(b.scored)
    if a.permuted is None or b.permuted is None:
        error = corrected_resampling(difference, plan)
    else:
        error = float(difference.error(plan.groups).mean())
        error *= inflation(a.permuted.minus(b.permuted), plan.groups)
    error *= widening(plan)
    if plan.n_groups < FEW:
        return Difference(score=difference.mean, low=None, high=None, p=None)
    df = plan.n_groups - 1
    half = float(stdtrit(df, 0.975)) * error
    p = 1.0 if error == 0 else float(2 * stdtr(df, -abs(difference.mean) / error))
    if error == 0 and difference.mean != 0:
        p = 0.0
    return Difference(score=difference.mean, low=difference.mean - half, high=difference.mean + half, p=p)
