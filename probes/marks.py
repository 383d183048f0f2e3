"""Choice probe: one direction is looked for in the token under every mark, and the mark furthest along it is chosen.

It asks whether what the question ranks (depth) can be read at a place, one weight vector for all marks, whatever
their colours; a probe of the pooled image must also bind colour to place. A linear model of choice (McFadden 1974)
by least squares, so that held-out predictions are exact.
"""

import numpy as np

from probes._base import FeatureSet, Predictions, ProbeError
from probes._inner import check
from probes._ridge import Ridge
from probes._scale import standardised

PENALTY = 0.03  # relative to trace(K) / rows, as for the ridge probe


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
    if given.classes is None:
        raise ProbeError("the probe 'marks' chooses one of an image's marks: it needs classes, not a number")
    n, count = len(given.x), len(given.classes)
    if given.x.shape[1] % count:
        raise ProbeError(
            f"the probe 'marks' needs one token for each of {count} classes: a width of {given.x.shape[1]} is none; "
            "use the readout at-mark"
        )
    check(given, folds, probe="marks")
    tokens = standardised(given.x.reshape(n * count, -1)).reshape(n, count, -1)
    rows = (tokens - tokens.mean(axis=1, keepdims=True)).reshape(n * count, -1)
    target = (np.eye(count)[given.y] - 1 / count).reshape(1, -1, 1)
    solver = Ridge.of(rows, standardise=False)
    score = np.stack(
        [solver.held_out(target, np.repeat(fold, count), [penalty], dtype=np.float64)[0, 0, :, 0] for fold in folds]
    ).reshape(len(folds), n, count)
    return Predictions(
        truth=given.y,
        said=score.argmax(axis=2),
        score=score,
        fold=folds,
        groups=given.groups,
        ids=given.ids,
    )
