"""Inner folds of a training part, and the check of outer folds that every probe makes."""

import numpy as np

from probes._base import FeatureSet, ProbeError

INNER = 5


def inner_folds(y: np.ndarray, groups: np.ndarray, rng: np.random.Generator, k: int = INNER) -> np.ndarray:
    """Fold index [n] in 0..k-1: groups whole, classes spread evenly, the same from the same generator.

    Groups with the same number of items of each class are shuffled and dealt out in turn, largest first, so
    that every fold gets its share of every kind. Numbers are spread by their fifths.

    Raises:
        ProbeError: fewer groups than folds.
    """
    _, group = np.unique(groups, return_inverse=True)
    if np.issubdtype(y.dtype, np.floating):
        kind = np.searchsorted(np.quantile(y, [0.2, 0.4, 0.6, 0.8]), y)
    else:
        kind = np.unique(y, return_inverse=True)[1]
    count = np.zeros((group.max() + 1, kind.max() + 1), dtype=np.int64)
    np.add.at(count, (group, kind), 1)
    if len(count) < k:
        raise ProbeError(f"{len(count)} groups cannot fill {k} inner folds: more groups or fewer folds would do")
    shuffled = rng.permutation(len(count))
    order = np.lexsort((*count[shuffled].T[::-1], count[shuffled].sum(axis=1)))[::-1]
    fold = np.empty(len(count), dtype=np.int64)
    fold[shuffled[order]] = np.arange(len(count)) % k
    return fold[group]


CLASSES_ONLY = ("linear",)


def classes_only(probe: str) -> ProbeError:
    """The error of a probe that reads classes and is asked for a number."""
    return ProbeError(f"--probe {probe} reads classes, and the target is a number: --probe ridge reads numbers")


def check(given: FeatureSet, folds: np.ndarray, *, probe: str, numbers: bool = True) -> None:
    """Refuse folds that do not fit the data, and data that the probe cannot read.

    Raises:
        ProbeError: folds of another length, a group over two folds, a class missing from a training part, or
            a number as target where the probe reads classes only.
    """
    n = len(given.x)
    if folds.ndim != 2 or folds.shape[1] != n:
        raise ProbeError(f"folds must be [repeats, {n}] for {n} items, not of shape {folds.shape}")
    if given.classes is None and not numbers:
        raise classes_only(probe)
    _, group = np.unique(given.groups, return_inverse=True)
    for repeat, fold in enumerate(folds):
        parts = np.unique(fold)
        if len(parts) < 2:
            raise ProbeError(f"repeat {repeat} has {len(parts)} fold: at least two are needed to hold anything out")
        first = np.empty(group.max() + 1, dtype=fold.dtype)
        first[group] = fold
        split = np.flatnonzero(first[group] != fold)
        if len(split):
            name = given.groups[split[0]]
            raise ProbeError(f"group '{name}' lies in two folds of repeat {repeat}: groups may not be split")
        if given.classes is None:
            continue
        for part in parts:
            missing = set(np.unique(given.y).tolist()) - set(np.unique(given.y[fold != part]).tolist())
            if missing:
                label = given.classes[min(missing)]
                raise ProbeError(
                    f"class '{label}' is missing from the training part of fold {part}, repeat {repeat}: "
                    "it needs items in at least two groups, or fewer folds"
                )
