"""Labels as numbers, and numbers back as labels: the coding that the closed-form probes share."""

import numpy as np

from probes._base import FeatureSet, Predictions


def coded(given: FeatureSet) -> np.ndarray:
    """Targets as float64 [n, K]: one-hot classes, or the number itself as [n, 1]."""
    if given.classes is None:
        return np.asarray(given.y, dtype=np.float64)[:, None]
    return np.eye(len(given.classes))[given.y]


def training_means(codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """For every repeat and item, the mean code of the items outside its fold: [R, n, K] from [n, K]."""
    means = np.empty((*folds.shape, codes.shape[1]))
    for repeat, fold in enumerate(folds):
        for part in np.unique(fold):
            means[repeat, fold == part] = codes[fold != part].mean(axis=0)
    return means


def coded_vectors(labels: np.ndarray, classes: int | None) -> np.ndarray:
    """Label vectors [B, n] as ridge targets: -1 and 1, one-hot [B, n, K], or the numbers themselves."""
    if classes is None:
        return np.asarray(labels, dtype=np.float64)
    if classes == 2:
        return labels * 2.0 - 1.0
    return (labels[..., None] == np.arange(classes)).astype(np.float64)


def fold_means(codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Mean code of the training part for every item, shaped like codes [B, n(, K)]: the threshold at the prior."""
    k = int(folds.max()) + 1
    member = (folds[:, None] == np.arange(k)).astype(np.float64)
    held = codes @ member if codes.ndim == 2 else np.einsum("bn...,nk->bk...", codes, member)
    left = len(folds) - member.sum(axis=0)
    mean = (held.sum(axis=1, keepdims=True) - held) / left.reshape(1, k, *[1] * (codes.ndim - 2))
    return mean[:, folds]


def decide(
    given: FeatureSet, folds: np.ndarray, fitted: np.ndarray, *, penalty: np.ndarray | None = None
) -> Predictions:
    """Predictions from fitted codes [R, n, K], decided at the training part's mean code.

    For classes the score is the fitted code less that mean, so its argmax decides at the training prior: with
    unequal classes an argmax of the fitted codes themselves would give the larger class for almost every item.
    For numbers score and answer are the fitted number, and the baseline is the mean of the training part.
    """
    means = training_means(coded(given), folds)
    numbers = given.classes is None
    score = fitted if numbers else fitted - means
    return Predictions(
        label=given.y,
        predicted=fitted[..., 0] if numbers else score.argmax(axis=2),
        score=score,
        fold=folds,
        groups=given.groups,
        ids=given.ids,
        baseline=means[..., 0] if numbers else None,
        penalty=penalty,
    )
