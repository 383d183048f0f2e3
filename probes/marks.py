"""Choice probe: one direction is looked for in the token under every mark, and the mark furthest along it is chosen.

It asks whether what the question ranks (depth) can be read at a place, one weight vector for all marks, whatever
their colours; a probe of the pooled image must also bind colour to place. A linear model of choice (McFadden 1974)
by least squares, so that held-out predictions are exact.
"""

import numpy as np

from probes._base import FeatureSet, Predictions
from probes.solvers.choice import PENALTY, decompose_tokens, score_marks


def probe(
    given: FeatureSet,
    folds: np.ndarray,
    rng: np.random.Generator,  # noqa: ARG001  every probe is called alike; this one has no freedom
    *,
    penalty: float = PENALTY,
) -> Predictions:
    """Choose one of K marks for every item while its fold is held out; class k is the choice of mark k.

    `given.x` [n, K * d] holds the tokens under the K marks one behind the other, in the order of the classes.
    Tokens are standardised over all marks of all items and centred within each item, so that what is common to
    an image cannot enter. The score of a mark is its share of the fitted direction.

    Raises:
        ProbeError: a numeric target, a width that K does not divide, or folds that split a group.
    """
    ridge = decompose_tokens(given)
    count = len(given.classes or ())
    each = (score_marks(ridge, given.y[None], fold, count, [penalty], dtype=np.float64) for fold in folds)
    score = np.concatenate([found for scores in each for found in scores])
    return Predictions(
        label=given.y,
        predicted=score.argmax(axis=2),
        score=score,
        fold=folds,
        groups=given.groups,
        ids=given.ids,
    )
