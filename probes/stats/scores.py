"""Scores of held-out predictions: balanced accuracy, R2, AUC; what each item contributes, and the clustered error."""

from dataclasses import dataclass

import numpy as np

from probes._base import Predictions
from probes.solvers.auc import auc

TIE = 1e-6  # held-out decision values closer than this are equal: a tie, and scored as one
_TIE32 = 2e-5  # the same in float32


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Scores of several label vectors or repeats, and what each item contributes to them.

    score [A]; part [A, n] linearised contributions, which sum to 0 in each row: the score of a resample is
    about score + sum of the resampled parts; share [A, K] what is right of each class, None for a number or a
    difference.
    """

    score: np.ndarray
    part: np.ndarray
    share: np.ndarray | None = None

    def error(self, groups: np.ndarray) -> np.ndarray:
        """Cluster-robust standard error of each score, [A]: groups are independent, items in one are not."""
        return clustered_error(self.part, groups)

    def minus(self, other: "Scored") -> "Scored":
        """The paired difference, item by item."""
        return Scored(score=self.score - other.score, part=self.part - other.part)

    @property
    def mean(self) -> float:
        """Average over rows."""
        return float(self.score.mean())


def clustered_error(part: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Cluster-robust standard error of each row [A, n]: sqrt(G / (G - 1) * sum over groups of (sum of parts)^2)."""
    count = int(groups.max()) + 1
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(count))
    summed = np.add.reduceat(part[:, order], starts, axis=1, dtype=np.float64)
    return np.sqrt(count / (count - 1) * np.square(summed).sum(axis=1))


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


def explained(error: np.ndarray, baseline_error: np.ndarray) -> Scored:
    """R2 against the training part's mean, 1 - sum e^2 / sum e0^2, and its linearised contributions."""
    whole = np.square(baseline_error).sum(axis=1, dtype=np.float64)
    r2 = 1 - np.square(error).sum(axis=1, dtype=np.float64) / whole
    lost = np.square(error) - (1 - r2)[:, None] * np.square(baseline_error)
    return Scored(score=r2, part=-lost / whole[:, None])


def scored(predictions: Predictions, classes: int | None) -> Scored:
    """Scores of held-out predictions, one row per repeat.

    Items whose highest decision values tie share one right answer among the tied classes. An encoder blind
    to the question gives two copies of an image the same features: whatever the probe says, chance it is.
    """
    if classes is None:
        assert predictions.baseline is not None
        return explained(predictions.label - predictions.predicted, predictions.label - predictions.baseline)
    score, label = predictions.score, predictions.label
    tied = score >= score.max(axis=2, keepdims=True) - TIE
    many = tied.sum(axis=2)
    mine = np.take_along_axis(tied, np.broadcast_to(label, many.shape)[..., None], axis=2)[..., 0]
    ok = np.where(many > 1, mine / many, predictions.predicted == label)
    return balanced(ok.astype(np.float64), label, classes)


def score_margin(margin: np.ndarray, labels: np.ndarray, baseline: np.ndarray, classes: int | None) -> Scored:
    """Scores of held-out ridge margins (prediction less training mean) for many label vectors.

    margin [B, n], or [B, n, K] for more than two classes; labels [B, n]; baseline is subtracted from numbers.
    """
    if classes is None:
        label = labels - baseline
        return explained(label - margin, label)
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
