"""Scores of held-out predictions: balanced accuracy, concordance; what each item adds, and the clustered error."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from probes._base import Predictions
from probes.solvers.auc import auc
from probes.solvers.concordance import ordered_pairs

TIE = 1e-6  # held-out decision values closer than this are equal: a tie, and scored as one
_TIE32 = 2e-5  # the same in float32
ALL_PAIRS = 3000  # items up to which pairs are formed over all folds, above inside each


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Scores of several label vectors or repeats, and what each item contributes to them.

    score [A]; part [A, n] linearised contributions, which sum to 0 in each row: the score of a resample is
    about score + sum of the resampled parts; share [A, K] what is right of each class (of a difference, how much more),
    None for a number.
    """

    score: np.ndarray
    part: np.ndarray
    share: np.ndarray | None = None

    def error(self, groups: np.ndarray) -> np.ndarray:
        """Cluster-robust standard error of each score, [A]: groups are independent, items in one are not."""
        return clustered_error(self.part, groups)

    def minus(self, other: "Scored") -> "Scored":
        """The paired difference, item by item."""
        share = None if self.share is None or other.share is None else self.share - other.share
        return Scored(score=self.score - other.score, part=self.part - other.part, share=share)

    @property
    def mean(self) -> float:
        """Average over rows."""
        return float(self.score.mean())


def of_mean(values: np.ndarray) -> Scored:
    """The mean of values [n] as a score, a single row."""
    mean = values.mean()
    return Scored(score=np.array([mean]), part=((values - mean) / len(values))[None])


def clustered_error(part: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Cluster-robust standard error of each row [A, n]: sqrt(G / (G - 1) * sum over groups of (sum of parts)^2)."""
    count = int(groups.max()) + 1
    return np.sqrt(count / (count - 1) * np.square(_summed(part, groups)).sum(axis=1))


def class_sums(part: np.ndarray, y: np.ndarray, groups: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each class in turn, sums of the parts [A, n] of its items in every group, and how many they are, [A, G]."""
    label = np.broadcast_to(y, part.shape)
    for c in range(k):
        mine = label == c
        yield _summed(part * mine, groups), _summed(mine, groups)


def _summed(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums [A, G] of the rows [A, n] over groups, which are numbered from 0 without a gap."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(int(groups.max()) + 1))
    return np.add.reduceat(values[:, order], starts, axis=1, dtype=np.float64)


def balanced(ok: np.ndarray, y: np.ndarray, k: int) -> Scored:
    """Balanced accuracy of each row and its linearised contributions.

    ok [A, n] in [0, 1]; y [A, n] or [n] class indices. With unequal classes the contribution of an item is
    (ok - accuracy of its class) / (classes * items of its class).
    """
    label = np.broadcast_to(y, ok.shape)
    part = np.zeros_like(ok)
    shares = np.zeros((len(ok), k))
    for c in range(k):
        mine = label == c
        many = mine.sum(axis=1)
        shares[:, c] = (ok * mine).sum(axis=1, dtype=np.float64) / many
        part += mine * ((ok - shares[:, c, None]) / (k * many[:, None])).astype(ok.dtype)
    return Scored(score=shares.mean(axis=1), part=part, share=shares)


def concordance(prediction: np.ndarray, truth: np.ndarray, groups: np.ndarray, folds: np.ndarray) -> Scored:
    """Concordance of each row of held-out predictions, and its linearised contributions.

    The share of pairs of items of different groups and different truth that are predicted in the right order, half of a
    pair that is predicted equal. prediction [A, n], less the mean of its training part, so that folds are comparable;
    truth [A, n] or [n] (normal scores: predictions of a millionth's difference are equal); groups, folds [n]. Pairs lie
    over all folds, above ALL_PAIRS items inside each. What an item adds is (c - C k) / M, where of its k pairs c are
    right, and M are all: half the derivative of a U-statistic's weights (Hoeffding 1948). With no pair at all it is .5.
    """
    step = _TIE32 if prediction.dtype == np.float32 else TIE
    level, truth = np.round(prediction / step), np.broadcast_to(truth, prediction.shape)
    right, pairs = ordered_pairs(level, truth, folds if len(folds) > ALL_PAIRS else np.zeros_like(folds))
    if int(groups.max()) + 1 < len(groups):
        for count, inside in zip((right, pairs), ordered_pairs(level, truth, groups), strict=True):
            count -= inside
    both = np.maximum(pairs.sum(axis=1, keepdims=True), 1)  # twice M: a pair counts at each of its ends
    score = np.where(pairs.any(axis=1, keepdims=True), right.sum(axis=1, keepdims=True) / both, 0.5)
    return Scored(score=score[:, 0], part=((right - score * pairs) * 2 / both).astype(prediction.dtype))


def explained(error: np.ndarray, baseline_error: np.ndarray) -> np.ndarray:
    """R2 of each row [A, n] against the training part's mean, 1 - sum e^2 / sum e0^2."""
    unit = np.abs(baseline_error).max(axis=1, keepdims=True)  # squares of what was given could overflow
    error, baseline = np.square(error / unit), np.square(baseline_error / unit)
    return 1 - error.sum(axis=1, dtype=np.float64) / baseline.sum(axis=1, dtype=np.float64)


def scored(predictions: Predictions, classes: int | None) -> Scored:
    """Scores of held-out predictions, one row per repeat.

    Items whose highest decision values tie share one right answer among the tied classes. An encoder blind
    to the question gives two copies of an image the same features: whatever the probe says, chance it is.
    """
    if classes is None:
        assert predictions.baseline is not None
        groups = np.unique(predictions.groups, return_inverse=True)[1].ravel()
        above = np.asarray(predictions.predicted - predictions.baseline, dtype=np.float64)
        rows = [
            concordance(d[None], predictions.label, groups, f) for d, f in zip(above, predictions.fold, strict=True)
        ]
        return Scored(score=np.concatenate([r.score for r in rows]), part=np.concatenate([r.part for r in rows]))
    score, label = predictions.score, predictions.label
    tied = score >= score.max(axis=2, keepdims=True) - TIE
    many = tied.sum(axis=2)
    mine = np.take_along_axis(tied, np.broadcast_to(label, many.shape)[..., None], axis=2)[..., 0]
    ok = np.where(many > 1, mine / many, predictions.predicted == label)
    return balanced(ok.astype(np.float64), label, classes)


def score_margin(
    margin: np.ndarray,
    labels: np.ndarray,
    classes: int | None,
    groups: np.ndarray | None = None,
    folds: np.ndarray | None = None,
) -> Scored:
    """Scores of held-out ridge margins (prediction less training mean) for many label vectors.

    margin [B, n], or [B, n, K] for more than two classes; labels [B, n]; a number needs groups and folds [n].
    """
    if classes is None:
        assert groups is not None, "pairs of items of one group do not count"
        assert folds is not None, "pairs of many items lie inside a fold"
        return concordance(margin, labels, groups, folds)
    if classes == 2:
        ok = ((margin > 0) == (labels > 0)).astype(np.float32)
        ok[np.abs(margin) < _TIE32] = 0.5
    else:
        tied = margin >= margin.max(axis=2, keepdims=True) - _TIE32
        mine = np.take_along_axis(tied, labels[..., None].astype(np.int64), axis=2)[..., 0]
        ok = (mine / tied.sum(axis=2)).astype(np.float32)
    return balanced(ok, labels, classes)


def association(margin: np.ndarray, labels: np.ndarray, baseline: np.ndarray, classes: int | None) -> np.ndarray:
    """The test statistic of each label vector, [B]: AUC, mean one-against-the-rest AUC, or correlation."""
    if classes is None:
        a, b = margin - margin.mean(axis=1, keepdims=True), labels - baseline
        b = b - b.mean(axis=1, keepdims=True)
        norm = np.sqrt(np.square(a).sum(axis=1, dtype=np.float64) * np.square(b).sum(axis=1))
        return np.divide((a * b).sum(axis=1), norm, out=np.zeros(len(a)), where=norm > 1e-9)
    step = np.where(np.abs(margin) < _TIE32, np.float32(0), margin)  # rounding noise may not order equal features
    if classes == 2:
        return auc(step, labels)
    return np.mean([auc(step[..., c], labels == c) for c in range(classes)], axis=0)
