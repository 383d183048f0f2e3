"""Nearest class mean: which class's training mean is closest, in units of each feature's spread?"""

import numpy as np

from probes import FeatureSet, Predictions, ProbeError


def probe(given: FeatureSet, folds: np.ndarray, rng: np.random.Generator) -> Predictions:
    """Say the class whose training mean is nearest; every row is predicted while it is held out."""
    del rng  # nothing is drawn
    if given.classes is None:
        raise ProbeError("nearest_mean tells classes apart; for a number ask --probe ridge")
    score = np.empty((*folds.shape, len(given.classes)))
    for r, fold in enumerate(folds):
        for k in np.unique(fold):
            train = fold != k
            spread = given.x[train].std(axis=0) + 1e-6
            for c in range(len(given.classes)):
                mine = train & (given.y == c)
                far = ((given.x[~train] - given.x[mine].mean(axis=0)) / spread) ** 2
                few = 1 / len(np.unique(given.groups[mine]))  # a mean of few patients lies farther from everybody
                score[r, ~train, c] = few - far.mean(axis=1)
    return Predictions(
        label=given.y, predicted=score.argmax(axis=2), score=score, fold=folds, groups=given.groups, ids=given.ids
    )
