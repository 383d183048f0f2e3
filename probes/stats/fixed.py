"""The measurement of a reader that was not trained on the items: a model's answers, or the similarity to texts."""

import numpy as np

from probes._base import FeatureSet, Predictions
from probes.stats.measure import summarise
from probes.stats.measurement import Measurement
from probes.stats.permutation import REFITS, Null
from probes.stats.plan import Plan
from probes.stats.scores import association, score_margin


def measure_fixed(score: np.ndarray, given: FeatureSet, plan: Plan, name: str) -> Measurement:
    """Measure scores [n, K] of the classes that no training on these items has made, under a plan.

    The class of the highest score is the answer; the same answers are held against the plan's permuted labels for p and
    phi, so that the result can be compared, paired, with probes of the same plan.
    """
    k = score.shape[1]
    score = score.astype(np.float64) - score.mean(axis=1, keepdims=True)
    unit = float(np.abs(score).mean()) or 1.0
    score = score / unit  # ties are told by differences of a millionth
    margin = (score[:, 1] - score[:, 0]).astype(np.float32) if k == 2 else score.astype(np.float32)
    labels = np.concatenate([plan.y[None], plan.permuted])
    statistic = np.concatenate(
        [_associated(margin, some, k) for some in np.array_split(labels, -(-len(labels) // 200))]
    )
    count = min(REFITS, len(plan.permuted))
    many = np.repeat(margin[None], count, axis=0)
    fixed = score_margin(many, plan.permuted[:count], k, plan.groups, plan.folds[0])
    null = Null(statistic=statistic, fixed=fixed, chosen=None, fixed_margin=many)
    predicted = np.repeat(score.argmax(axis=1)[None], plan.repeats, axis=0)
    predictions = Predictions(
        label=plan.y, predicted=predicted, score=np.repeat(score[None], plan.repeats, axis=0), fold=plan.folds,
        groups=given.groups, ids=given.ids,
    )  # fmt: skip
    return summarise(predictions, None, plan, null, fixed, name, screened=False)


def _associated(margin: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    many = np.broadcast_to(margin, (len(labels), *margin.shape))
    return association(np.ascontiguousarray(many), labels, np.zeros(len(labels)), k)
