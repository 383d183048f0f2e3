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


def predictions(
    given: FeatureSet,
    folds: np.ndarray,
    fitted: np.ndarray,
    *,
    penalty: np.ndarray | None = None,
    notes: tuple[str, ...] = (),
) -> Predictions:
    """Predictions from fitted codes [R, n, K], decided at the training part's mean code.

    For classes the score is the fitted code less that mean, so its argmax decides at the training prior: with
    unequal classes an argmax of the fitted codes themselves would say the larger class for almost every item.
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
        notes=notes,
    )
