"""Standard errors and intervals of held-out scores, and the smallest score that could be detected.

The error of a cross-validated score is larger than the spread of its items suggests, because the folds share
training data. Refitting the whole procedure to permuted labels measures by how much, on these features: phi.
Where something can be read, planted signals measure it too (`probes.stats.planting.signal_inflation`).
"""

import numpy as np

from probes.stats.plan import FEW, RARE, Plan
from probes.stats.scores import Scored

WIDEN = 1.35  # of intervals with few groups in a class


def inflation(permuted: Scored, groups: np.ndarray) -> float:
    """phi: how much wider scores of permuted labels spread than their own errors say; never below 1."""
    predicted = float(permuted.error(groups).mean())
    return max(1.0, float(permuted.score.std(ddof=1)) / predicted) if predicted > 0 else 1.0


def error_of(observed: Scored, permuted: Scored | None, plan: Plan, signal: float = 1.0) -> float:
    """Standard error of the score averaged over repeats: the mean of theirs, inflated, widened where rare.

    `signal` is the inflation measured where something was planted; the larger of the two counts.
    """
    if permuted is None:
        return corrected_resampling(observed, plan) * widening(plan)
    phi = max(inflation(permuted, plan.groups), signal)
    return float(observed.error(plan.groups).mean()) * phi * widening(plan)


def widening(plan: Plan) -> float:
    """1.35 where intervals were found a quarter to a third too narrow on real features, else 1."""
    return WIDEN if (plan.n_groups < 100 if plan.number else plan.rare < RARE) else 1.0


def corrected_resampling(observed: Scored, plan: Plan) -> float:
    """Standard error of probes not refitted to permuted labels: (1/J + test/train) s^2 (Nadeau & Bengio 2003)."""
    pseudo = []
    for score, part, fold in zip(observed.score, observed.part, plan.folds, strict=True):
        held = np.bincount(fold, weights=part, minlength=plan.n_folds)
        pseudo.extend(score + held * len(fold) / np.bincount(fold, minlength=plan.n_folds))
    return float(np.std(pseudo, ddof=1) * np.sqrt(1 / len(pseudo) + 1 / (plan.n_folds - 1)))


def interval(score: float, error: float, plan: Plan) -> tuple[float, float] | None:
    """95 % interval by Student's t on groups; None below 20 groups.

    Above .95 on the logit scale. A perfect score has no spread to show: its lower end is that of the exact
    binomial interval with every doubt in the smallest class.
    """
    from scipy.special import stdtrit

    if plan.n_groups < FEW:
        return None
    half = float(stdtrit(plan.n_groups - 1, 0.975)) * error
    if plan.number:
        return score - half, min(1.0, score + half)
    if score >= 1:
        return 1 - (1 - 0.025 ** (1 / plan.rare)) * plan.chance, 1.0
    if score > 0.95:
        logit, step = np.log(score / (1 - score)), half / (score * (1 - score))
        return float(1 / (1 + np.exp(step - logit))), float(1 / (1 + np.exp(-step - logit)))
    return max(0.0, score - half), min(1.0, score + half)


def null_error(permuted: Scored, plan: Plan) -> float:
    """Standard error of the score where nothing is to be read."""
    return max(float(permuted.error(plan.groups).mean()), float(permuted.score.std(ddof=1))) * widening(plan)


def detectable(error: float, plan: Plan) -> float:
    """Smallest score above chance found at least 8 times in 10 by a one-sided 5 % test with this standard error."""
    from scipy.special import stdtrit

    df = plan.n_groups - 1
    return min(1.0, plan.chance + float(stdtrit(df, 0.95) + stdtrit(df, 0.8)) * error)
