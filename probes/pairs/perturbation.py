"""What a change of the images does to their features: how far they move, whether all one way, and whether it is read.

That features move says that an encoder is sensitive; whether a probe can read the change of one image alone, without
its original beside it, is another matter (METHOD 5.4).
"""

from dataclasses import dataclass

import numpy as np

from probes._base import FeatureSet, ProbeError
from probes.pairs.inference import Share, share
from probes.pairs.matching import two_afc

FLIPS = 999
HALF_WAY = 0.75  # of a psychometric curve of two alternatives
RESAMPLES = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Moved:
    """One strength of one change.

    `movement` is the median distance of an image to its changed copy over the median distance of two images; `rank1`
    the share of changed copies whose nearest original is their own; `common` the share of displacement that all images
    have in common, with its sign-flip `p`; `afc` how often the changed of the two is told by a probe that sees both,
    `absolute` how often it is told by one that sees each alone, with the permutation `absolute_p`.
    """

    strength: float
    movement: float
    rank1: Share
    common: float
    p: float
    afc: Share
    absolute: float
    absolute_low: float
    absolute_high: float
    absolute_p: float
    told: np.ndarray


def moved(z: np.ndarray, changed: np.ndarray, groups: np.ndarray, strength: float, seed: int = 0) -> Moved:
    """Compares features `changed` [n, d] of changed images with `z` [n, d] of the same images as they were.

    `groups` int [n]: the probe's folds, the sign flips and the intervals keep them together.

    Raises:
        ProbeError: fewer than 5 groups, or all images with the same features.
    """
    from probes.stats.measure import measure
    from probes.stats.plan import plan

    z, changed = np.asarray(z, np.float64), np.asarray(changed, np.float64)
    usual = _usual(z)
    step = np.linalg.norm(changed - z, axis=1)
    right = _nearest_is_own(z, changed)
    common, p = common_share(changed - z, groups, seed)
    n = len(z)
    y = np.repeat([0, 1], n)
    both = np.concatenate([groups, groups])
    source = np.tile(np.arange(n), 2)
    x = np.concatenate([z, changed]).astype(np.float32)
    if not step.any():  # nothing moved: there is nothing to fit
        half = share(np.full(n, 0.5), groups)
        return Moved(
            strength=strength, movement=0.0, rank1=share(right, groups), common=0.0, p=1.0, afc=half, absolute=0.5,
            absolute_low=0.5, absolute_high=0.5, absolute_p=1.0, told=np.full(n, 0.5),
        )  # fmt: skip
    design = plan(y, both, classes=("as it was", "changed"), copies=source, permutations=199, seed=seed)
    given = FeatureSet(x=x, y=y, groups=both, ids=tuple(f"{k}" for k in range(2 * n)), classes=design.classes)
    found = measure(given, design, level="screen", seed=seed)
    score = found.predictions.score
    margin = score[..., -1] - (score[..., 0] if score.shape[-1] > 1 else 0)
    told = np.mean([two_afc(one[n:], one[:n]) for one in margin], axis=0)
    low, high = found.estimate.low, found.estimate.high
    return Moved(
        strength=strength, movement=float(np.median(step)) / usual, rank1=share(right, groups), common=common, p=p,
        afc=share(told, groups), absolute=found.estimate.score, absolute_low=float("nan") if low is None else low,
        absolute_high=float("nan") if high is None else high,
        absolute_p=1.0 if found.estimate.p is None else found.estimate.p, told=told,
    )  # fmt: skip


def _usual(z: np.ndarray) -> float:
    """The median distance of two different rows."""
    square = np.einsum("nd,nd->n", z, z)
    i, j = np.triu_indices(len(z), 1)
    gram = (z @ z.T)[i, j]
    found = float(np.median(np.sqrt(np.maximum(square[i] + square[j] - 2 * gram, 0))))
    if found <= 0:
        raise ProbeError("most images have the same features: there is no usual distance to compare with")
    return found


def _nearest_is_own(z: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Whether the nearest original of each changed image is its own, float [n]; equally near ones share the point."""
    square = np.einsum("nd,nd->n", z, z)
    distance = square[None] - 2 * changed @ z.T
    scale = 1e-9 * max(1.0, float(np.abs(distance).max()))
    least = distance.min(axis=1)
    near = distance <= least[:, None] + scale
    own = near[np.arange(len(z)), np.arange(len(z))]
    return own / near.sum(axis=1)


def common_share(d: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """c, the share of displacements d [n, d] that is common to all, and its sign-flip p over whole groups.

    c = mean over pairs of different groups of d_i.d_j / mean |d_i|^2 (METHOD 2.4). Under the null a group's
    displacement is as likely as its opposite.
    """
    groups = np.unique(groups, return_inverse=True)[1]
    total = np.zeros((int(groups.max()) + 1, d.shape[1]))
    np.add.at(total, groups, d)
    size = np.bincount(groups)
    pairs = len(d) ** 2 - float((size**2).sum())
    length = float((d**2).sum()) / len(d)
    if length <= 0 or pairs <= 0:
        return 0.0, 1.0
    gram = total @ total.T
    own = float(np.trace(gram))
    observed = float(gram.sum()) - own
    rng = np.random.default_rng([seed, len(d), 47])
    signs = rng.choice((-1.0, 1.0), size=(FLIPS, len(total)))
    null = np.einsum("fg,fg->f", signs @ gram, signs) - own
    p = (1 + int((null >= observed - 1e-12 * abs(observed)).sum())) / (1 + FLIPS)
    return observed / pairs / length, p


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The strength at which a changed image is told from its original three times in four, with a 95 % interval.

    None where no strength reaches it; `below` says that the least strength does already.
    """

    strength: float | None
    low: float | None
    high: float | None
    below: bool


def threshold(strengths: np.ndarray, told: np.ndarray, groups: np.ndarray, seed: int = 0) -> Threshold:
    """The 75 % point of a dose-response curve `told` [strengths, n], in the order of growing effect.

    The curve is made monotone (pool adjacent violators) and read between two strengths in a straight line; the interval
    is that of resampled groups, without fitting anew.
    """
    groups = np.unique(groups, return_inverse=True)[1]
    size = np.bincount(groups)
    sums = np.stack([np.bincount(groups, one) for one in told])
    observed = _crossing(sums.sum(axis=1) / size.sum())
    rng = np.random.default_rng([seed, len(groups), 53])
    drawn = []
    for _ in range(RESAMPLES):
        some = rng.integers(0, len(size), len(size))
        drawn.append(_crossing(sums[:, some].sum(axis=1) / size[some].sum()))
    place = np.sort([float(len(strengths)) if k is None else k for k in drawn])
    ends = [float(np.quantile(place, q, method="inverted_cdf")) for q in (0.025, 0.975)]
    low, high = (None if k > len(strengths) - 1 else _strength(strengths, k) for k in ends)
    return Threshold(
        strength=None if observed is None else _strength(strengths, observed), low=low, high=high,
        below=observed is not None and observed <= 0,
    )  # fmt: skip


def _crossing(curve: np.ndarray) -> float | None:
    """Where the monotone curve reaches 75 %, as a place among the strengths; None where it does not."""
    values, weights = [], []
    for one in curve.tolist():  # pool adjacent violators
        values.append(one)
        weights.append(1)
        while len(values) > 1 and values[-2] > values[-1]:
            last, many = values.pop(), weights.pop()
            values[-1] = (values[-1] * weights[-1] + last * many) / (weights[-1] + many)
            weights[-1] += many
    smooth = np.repeat(values, weights)
    if smooth[-1] < HALF_WAY:
        return None
    at = int(np.argmax(smooth >= HALF_WAY))
    if at == 0:
        return 0.0
    return at - 1 + float((HALF_WAY - smooth[at - 1]) / (smooth[at] - smooth[at - 1]))


def _strength(strengths: np.ndarray, place: float) -> float:
    return float(np.interp(place, np.arange(len(strengths)), strengths))
