"""Standard errors and intervals of held-out scores, and the smallest score that could be detected.

The error of a cross-validated score is larger than the spread of its items suggests, because the folds share
training data. Refitting the whole procedure to permuted labels measures by how much, on these features: phi.
Where a class can be read, planted signals measure it too (`probes.stats.planting.signal_inflation`).

With few groups in a class its share may by luck be all right or all wrong, which shows no spread at all. There no class
contributes less to an error than it would with two groups more of each kind (Agresti & Coull 1998), and for up to
three classes the interval joins Wilson intervals of their shares (MOVER: Zou & Donner 2008; Newcombe 1998).
"""

from collections.abc import Callable

import numpy as np

from probes.stats.plan import FEW, RARE, Plan
from probes.stats.scores import Scored, class_sums

JOINED = 3  # classes up to which the interval of rare ones joins one Wilson interval for each
Floor = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


def is_rare(plan: Plan) -> bool:
    """Whether a class has so few groups that the spread of its items says too little."""
    return plan.classes is not None and plan.rare < RARE


def agresti(share: np.ndarray, sums: np.ndarray, counts: np.ndarray, k: int) -> np.ndarray:
    """Variance [A] that a class adds to balanced accuracy if two of its groups more were right and two more wrong.

    share [A] of the class; sums of parts and counts of items [A, G] by group; k classes.
    """
    del sums
    m = (counts > 0).sum(axis=1)
    moved = (m * share + 2) / (m + 4)
    return moved * (1 - moved) / (k**2 * m)


def floored_error(got: Scored, labels: np.ndarray, plan: Plan, floor: Floor = agresti) -> np.ndarray:
    """Standard error of each score [A]: the clustered one; with a rare class none contributes less than its floor.

    labels [A, n] or [n] are those that were scored.
    """
    spread = got.error(plan.groups)
    if not is_rare(plan) or got.share is None:
        return spread
    k, missing = got.share.shape[1], np.zeros(len(spread))
    for share, (sums, counts) in zip(got.share.T, class_sums(got.part, labels, plan.groups, k), strict=True):
        missing += np.maximum(0, floor(share, sums, counts, k) - np.square(sums).sum(axis=1))
    return np.sqrt(np.square(spread) + missing)


def inflation(permuted: Scored, plan: Plan, floor: Floor = agresti) -> float:
    """phi: how much wider scores of the plan's first permuted labels spread than their own errors say; at least 1."""
    predicted = float(floored_error(permuted, plan.permuted[: len(permuted.score)], plan, floor).mean())
    return max(1.0, float(permuted.score.std(ddof=1)) / predicted) if predicted > 0 else 1.0


def error_of(observed: Scored, permuted: Scored | None, plan: Plan, signal: float = 1.0) -> float:
    """Standard error of the score averaged over repeats: the mean of theirs, inflated.

    `signal` is the inflation measured where something was planted; the larger of the two counts.
    """
    error = float(floored_error(observed, plan.y, plan).mean())
    return _inflated(error, observed, permuted, plan, signal)


def _inflated(error: float, observed: Scored, permuted: Scored | None, plan: Plan, signal: float) -> float:
    if permuted is not None:
        return error * max(inflation(permuted, plan), signal)
    corrected = corrected_resampling(observed, plan)
    return max(error, corrected) if is_rare(plan) else corrected


def corrected_resampling(observed: Scored, plan: Plan) -> float:
    """Standard error of probes not refitted to permuted labels: (1/J + test/train) s^2 (Nadeau & Bengio 2003)."""
    pseudo = []
    for score, part, fold in zip(observed.score, observed.part, plan.folds, strict=True):
        held = np.bincount(fold, weights=part, minlength=plan.n_folds)
        pseudo.extend(score + held * len(fold) / np.bincount(fold, minlength=plan.n_folds))
    return float(np.std(pseudo, ddof=1) * np.sqrt(1 / len(pseudo) + 1 / (plan.n_folds - 1)))


def interval_of(
    observed: Scored, permuted: Scored | None, plan: Plan, signal: float = 1.0
) -> tuple[float, float] | None:
    """95 % interval of the score averaged over repeats, in [0, 1]; None below 20 groups.

    With a class of fewer than 30 groups it joins Wilson intervals of two or three classes' shares, each with its own
    groups' t; of more classes it is that of the floored error. Else see `interval`.
    """
    error = error_of(observed, permuted, plan, signal)
    if not is_rare(plan) or observed.share is None or plan.n_groups < FEW:
        return interval(observed.mean, error, plan)
    if observed.share.shape[1] > JOINED:
        half = _t(plan.n_groups - 1) * error
        return max(0.0, observed.mean - half), min(1.0, observed.mean + half)
    return _joined(observed, error / float(floored_error(observed, plan.y, plan).mean()), plan)


def _joined(observed: Scored, phi: float, plan: Plan) -> tuple[float, float]:
    """The interval that joins a Wilson interval of each class's share; their distances from it add in squares."""
    assert observed.share is not None
    share = observed.share.mean(axis=0)
    k = len(share)
    groups, variance = np.empty(k), np.empty((len(observed.score), k))
    for c, (sums, counts) in enumerate(class_sums(observed.part, plan.y, plan.groups, k)):
        groups[c], variance[:, c] = (counts[0] > 0).sum(), np.square(sums).sum(axis=1)
    whole, squared = variance.sum(axis=1), np.square(observed.error(plan.groups))
    together = float(np.divide(squared, whole, out=np.ones_like(whole), where=whole > 0).mean())
    doubt = share * (1 - share)
    design = np.ones(k)  # effect of several items in a group; where hardly an item differs it cannot be measured
    seen = doubt > 0.01
    design[seen] = np.maximum(1, (variance.mean(axis=0) * k**2 * groups)[seen] / doubt[seen])
    worth = groups / design / phi**2 / together
    low, high = wilson(share, worth, np.array([_t(max(int(m) - 1, 1)) for m in groups]))
    below, above = (float(np.sqrt(np.square((share - end) / k).sum())) for end in (low, high))
    return max(0.0, observed.mean - below), min(1.0, observed.mean + above)


def wilson(share: np.ndarray, size: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of Wilson's interval: the shares whose distance from the one seen is t of their own standard errors."""
    scale = 1 + t**2 / size
    middle = (share + t**2 / (2 * size)) / scale
    half = t / scale * np.sqrt(share * (1 - share) / size + t**2 / (4 * size**2))
    return np.maximum(0, middle - half), np.minimum(1, middle + half)


def _t(df: int, level: float = 0.975) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, level))


def interval(score: float, error: float, plan: Plan) -> tuple[float, float] | None:
    """95 % interval in [0, 1] by Student's t on groups; None below 20 groups.

    Of classes, above .95 and below .05 it is Wilson's, of as many items as would have this error: on the logit scale an
    error that is not the binomial's would reach down to chance. Where all is right or all wrong there is no spread to
    show: the other end is that of the exact binomial interval with every doubt in the smallest class; for a number, in
    as many groups as it has, whose order with the others would be a coin's.
    """
    if plan.n_groups < FEW:
        return None
    unseen = (1 - 0.025 ** (1 / plan.rare)) * (1.0 if plan.number else plan.chance)
    if score >= 1:
        return 1 - unseen, 1.0
    if score <= 0:
        return 0.0, unseen
    t = _t(plan.n_groups - 1)
    half = t * error
    if not plan.number and not 0.05 <= score <= 0.95 and error > 0:
        low, high = wilson(np.array([score]), np.array([score * (1 - score) / error**2]), np.array([t]))
        return float(low[0]), float(high[0])
    return max(0.0, score - half), min(1.0, score + half)


def null_error(permuted: Scored, plan: Plan) -> float:
    """Standard error of the score where nothing is to be read."""
    return max(float(permuted.error(plan.groups).mean()), float(permuted.score.std(ddof=1)))


def detectable(error: float, plan: Plan) -> float:
    """Smallest score above chance found at least 8 times in 10 by a one-sided 5 % test with this standard error."""
    df = plan.n_groups - 1
    return min(1.0, plan.chance + (_t(df, 0.95) + _t(df, 0.8)) * error)
