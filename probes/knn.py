"""Nearest-neighbour probe: 20 cosine neighbours vote with softmax weights; nothing is trained.

Settings of DINO's k-NN evaluation (Caron et al. 2021): temperature 0.07, features of length one.
"""

import numpy as np

from probes._base import FeatureSet, Predictions
from probes.embedding.neighbours import top_k
from probes.solvers.codes import coded, training_means

NEIGHBOURS = 20
TEMPERATURE = 0.07


def probe(
    given: FeatureSet,
    folds: np.ndarray,
    rng: np.random.Generator,  # noqa: ARG001  every probe is called alike; this one has no freedom
    *,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> Predictions:
    """Predict every item from its neighbours outside its own fold.

    For classes `probability` is the share of votes and the score that share over the class's share of the
    training part; for numbers the answer is the weighted mean of the neighbours.

    Raises:
        ProbeError: folds that split a group or leave a class out of a training part.
    """
    codes = coded(given)
    x = np.asarray(given.x, dtype=np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit = x / np.where(length > 0, length, 1.0)
    similarity = unit @ unit.T
    votes = np.stack([_vote(similarity, codes, fold, neighbours, temperature) for fold in folds])
    means = training_means(codes, folds)
    numbers = given.classes is None
    score = votes if numbers else np.divide(votes, means, out=np.zeros_like(votes), where=means > 0)
    return Predictions(
        label=given.y,
        predicted=votes[..., 0] if numbers else score.argmax(axis=2),
        score=score,
        probability=None if numbers else votes,
        fold=folds,
        groups=given.groups,
        ids=given.ids,
        baseline=means[..., 0] if numbers else None,
    )


def _vote(
    similarity: np.ndarray, codes: np.ndarray, fold: np.ndarray, neighbours: int, temperature: float
) -> np.ndarray:
    votes = np.full((len(fold), codes.shape[1]), np.nan)
    for part in np.unique(fold):
        test, train = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        near = similarity[np.ix_(test, train)]
        k = min(neighbours, len(train))
        who = top_k(near, k)
        weight = np.exp((np.take_along_axis(near, who, axis=1) - near.max(axis=1, keepdims=True)) / temperature)
        votes[test] = np.einsum("tk,tkc->tc", weight, codes[train[who]]) / weight.sum(axis=1, keepdims=True)
    assert np.isfinite(votes).all(), "the folds left some item out"
    return votes
