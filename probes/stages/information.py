"""What a stage keeps besides accuracy: V-information, description length, neighbours, reconstruction of patches.

V-information (Xu et al. 2020, ICLR) is what a family of probes can use, in bits per item; its summand, the pointwise
V-information (Ethayarajh et al. 2022, ICML), says which items lost it. Estimated from held-out predictions it is
conservative: near 0 it is no evidence of absence (METHOD 2.2).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from probes._base import ProbeError
from probes.solvers.calibration import calibrated
from probes.solvers.inner_folds import INNER, inner_folds
from probes.solvers.logistic import C_GRID, fit_nested
from probes.stats.measurement import Difference
from probes.stats.plan import FEW, Plan
from probes.stats.scores import clustered_error

EDGES = (0.0625, 0.125, 0.25, 0.5, 1.0)  # shares of the groups at which an online code trains anew
ORDERS = 5
PENALTIES = (1e-6, 1e-4, 1e-2, 1.0, 100.0)  # of which the reconstruction of patches takes the best, inside the folds
SMALLEST = 1e-4  # probability below which no prediction is taken: one item may not cost more than 13 bits


@dataclass(frozen=True, kw_only=True, eq=False)
class Information:
    """V-information in bits per item with its interval by group; pvi [n] is each item's own, mean over repeats."""

    bits: float
    low: float | None
    high: float | None
    pvi: np.ndarray


def v_information(probability: np.ndarray, plan: Plan) -> Information:
    """From held-out probabilities [R, n, K] of a calibrated probe (`linear`), against the prior of the training part.

    A probe that does not beat the prior inside its training part gives the prior itself ("optional ignorance"), as
    `probes.linear` does: then nothing is gained or lost.

    Raises:
        ProbeError: a plan of a number.
    """
    if plan.classes is None:
        raise ProbeError("V-information is of classes, and the target is a number")
    prior = _priors(plan)
    mine = np.broadcast_to(plan.y, prior.shape[:2])[..., None]
    said, flat = (
        np.log2(np.maximum(np.take_along_axis(p, mine, axis=2)[..., 0], SMALLEST)) for p in (probability, prior)
    )
    return _information((said - flat).mean(axis=0), plan)


def v_information_of(margin: np.ndarray, plan: Plan) -> Information:
    """From held-out decision values [R, n, C] of a probe without probabilities (`ridge`, `rbf`).

    For each fold, logits a m + b are fitted to the decision values of the other folds (Platt 1999; one slope for all
    classes), and the prior is taken where that does not beat it there.
    """
    if plan.classes is None:
        raise ProbeError("V-information is of classes, and the target is a number")
    prior = _priors(plan)
    probability = np.empty(prior.shape)
    full = margin if margin.shape[2] > 1 else np.concatenate([-margin, margin], axis=2) / 2
    for r, folds in enumerate(plan.folds):
        for part in range(plan.n_folds):
            held = folds == part
            probability[r, held] = _platt(full[r, ~held], plan.y[~held], full[r, held], prior[r, held][0])
    return v_information(probability, plan)


def difference(a: Information, b: Information, plan: Plan) -> Difference:
    """The paired difference a - b of bits per item, cluster-robust."""
    from scipy.special import stdtr, stdtrit

    pvi = a.pvi - b.pvi
    mean = float(pvi.mean())
    if plan.n_groups < FEW:
        return Difference(score=mean, low=None, high=None, p=None)
    error = float(clustered_error((pvi - mean)[None] / len(pvi), plan.groups)[0])
    half = float(stdtrit(plan.n_groups - 1, 0.975)) * error
    p = 1.0 if error == 0 else float(2 * stdtr(plan.n_groups - 1, -abs(mean) / error))
    return Difference(score=mean, low=mean - half, high=mean + half, p=p)


def _information(pvi: np.ndarray, plan: Plan) -> Information:
    zero = Information(bits=0.0, low=0.0, high=0.0, pvi=np.zeros_like(pvi))
    d = difference(Information(bits=0.0, low=None, high=None, pvi=pvi), zero, plan)
    return Information(bits=d.score, low=d.low, high=d.high, pvi=pvi)


def _priors(plan: Plan) -> np.ndarray:
    """Class shares of the training part of each item, [R, n, K]."""
    k = len(plan.classes or ())
    found = np.empty((plan.repeats, len(plan.y), k))
    for r, folds in enumerate(plan.folds):
        for part in range(plan.n_folds):
            held = folds == part
            found[r, held] = np.bincount(plan.y[~held], minlength=k) / (~held).sum()
    return found


def _platt(m: np.ndarray, y: np.ndarray, new: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Probabilities [s, K] of decision values `new`, from logits a m + b fitted to m [t, K] and y [t]."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

    k = m.shape[1]
    scale = float(m.std()) or 1.0
    onehot = np.eye(k)[y]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = theta[0] * m / scale + theta[1:]
        off = softmax(logits, axis=1) - onehot
        value = -float((log_softmax(logits, axis=1) * onehot).sum()) / len(m)
        return value, np.concatenate([[float((off * m).sum()) / scale], off.sum(axis=0)]) / len(m)

    start = np.concatenate([[1.0], np.log(np.maximum(prior, SMALLEST))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] + [(None, None)] * k)
    flat = -float(np.log(np.maximum(onehot.mean(axis=0), SMALLEST)) @ onehot.mean(axis=0))
    if found.x[0] <= 0 or found.fun >= flat:
        return np.broadcast_to(prior, new.shape)
    return softmax(found.x[0] * new / scale + found.x[1:], axis=1)


@dataclass(frozen=True, kw_only=True)
class Codelength:
    """Online description length of the labels in bits, mean over random orders of the groups (Voita & Titov 2020).

    `uniform` is n log2 K; `compression` uniform over bits; `orders` the bits of each order; `control` those of
    exchanged labels, which must not be fewer than uniform by more than luck.
    """

    bits: float
    uniform: float
    compression: float
    orders: tuple[float, ...]
    control: float
    control_orders: tuple[float, ...]


def codelength(x: np.ndarray, plan: Plan, *, seed: int = 0, orders: int = ORDERS) -> Codelength:
    """The online code of a plan's classes from features x [n, d].

    The first sixteenth of the groups is coded uniformly; each further block (up to an eighth, a quarter, half, all) by
    the nested logistic probe trained on all before it, calibrated, or by their shares where a class has too few groups.

    Raises:
        ProbeError: a plan of a number.
    """
    if plan.classes is None:
        raise ProbeError("a code is of classes, and the target is a number")
    rng = np.random.default_rng([seed, plan.seed, 84])
    order = [rng.permutation(plan.n_groups) for _ in range(orders)]
    bits = [_online(x, plan.y, plan, one, rng) for one in order]
    control = [_online(x, labels, plan, one, rng) for one, labels in zip(order, plan.draws(orders, 84), strict=True)]
    uniform = len(plan.y) * float(np.log2(len(plan.classes)))
    mean = float(np.mean(bits))
    return Codelength(
        bits=mean, uniform=uniform, compression=uniform / mean if mean > 0 else np.inf, orders=tuple(bits),
        control=float(np.mean(control)), control_orders=tuple(control),
    )  # fmt: skip


def _online(x: np.ndarray, y: np.ndarray, plan: Plan, order: np.ndarray, rng: np.random.Generator) -> float:
    k = len(plan.classes or ())
    place = np.empty(plan.n_groups, np.int64)
    place[order] = np.arange(plan.n_groups)
    rank = place[plan.groups]
    edges = [max(1, round(e * plan.n_groups)) for e in EDGES]
    total = float((rank < edges[0]).sum() * np.log2(k))
    for a, b in pairwise(edges):
        seen, new = rank < a, (rank >= a) & (rank < b)
        if new.any():
            p = _coder(x, y, plan.groups, seen, k, rng)
            total -= float(np.log2(np.maximum(p[new, y[new]], SMALLEST)).sum())
    return total


def _coder(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, seen: np.ndarray, k: int, rng: np.random.Generator
) -> np.ndarray:
    """Probabilities [n, K] of the calibrated nested probe trained on the rows `seen`, else class shares."""
    shares = np.broadcast_to((np.bincount(y[seen], minlength=k) + 1) / (seen.sum() + k), (len(y), k))
    held = [len(np.unique(groups[seen & (y == c)])) for c in range(k)]
    count = min(INNER, *held) if k > 1 else 0
    if count < 2 or len(np.unique(groups[seen])) < count:
        return shares
    inner = np.full((1, len(y)), -1)
    inner[0, seen] = inner_folds(y[seen], groups[seen], rng, count)
    for c in range(k):
        if len(np.unique(inner[0, seen & (y == c)])) < 2:
            return shares
    fits = fit_nested(x, y, seen[None], inner, C_GRID)
    return calibrated(fits.logits, fits.prior, fits.temperature)[0].T


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlap:
    """Share of each item's k nearest neighbours that are the same at two stages, with interval by group.

    each [n]; `chance` is what neighbours drawn at random share; `projected` what a random projection of the stage
    before to the width of the stage behind keeps, mean over draws: a connector that changes neighbours no more than
    that has lost nothing that a map without any purpose would not lose.
    """

    value: float
    low: float | None
    high: float | None
    chance: float
    projected: float
    k: int
    each: np.ndarray


def overlap(
    before: np.ndarray,
    after: np.ndarray,
    k: int,
    groups: np.ndarray,
    *,
    apart: bool = True,
    draws: int = 3,
    seed: int = 0,
) -> Overlap:
    """Neighbour overlap of features before [n, d] and behind [n, e]; the item itself is left out by its place.

    With `apart` no item of the same group is a neighbour, so that copies of one image do not pass for what is kept.

    Raises:
        ProbeError: there are fewer than k others.
    """
    from scipy.special import stdtrit

    from probes.embedding.neighbours import neighbours

    group = np.unique(groups, return_inverse=True)[1].ravel()
    keep = group if apart else None
    first = neighbours(before, k, apart=keep)[0]
    each = _shared(first, neighbours(after, k, apart=keep)[0])
    rng = np.random.default_rng([seed, 85])
    wide = np.asarray(before, np.float64)
    maps = [
        rng.standard_normal((wide.shape[1], np.shape(after)[1])) / np.sqrt(np.shape(after)[1]) for _ in range(draws)
    ]
    projected = [float(_shared(first, neighbours(wide @ m, k, apart=keep)[0]).mean()) for m in maps]
    others = len(group) - (np.bincount(group)[group] if apart else 1)
    mean, count = float(each.mean()), int(group.max()) + 1
    low = high = None
    if count >= FEW:
        half = float(stdtrit(count - 1, 0.975) * clustered_error((each - mean)[None] / len(each), group)[0])
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Overlap(
        value=mean, low=low, high=high, chance=float(np.mean(k / others)), projected=float(np.mean(projected)), k=k,
        each=each,
    )  # fmt: skip


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, :, None] == b[:, None, :]).any(axis=2).mean(axis=1)


class Streamed:
    """Sums of X'X, X'Y and of both over images, fold by fold in float64: tokens are seen once and never held.

    Images are put into folds by group, in the order of their first appearance.
    """

    def __init__(self, folds: int = 5) -> None:
        self.folds = folds
        self._place: dict[object, int] = {}
        self._parts: dict[int, list[np.ndarray]] = {}
        self._position: dict[int, list[np.ndarray]] = {}

    def fold(self, group: object) -> int:
        """The fold of a group."""
        return self._place.setdefault(group, len(self._place)) % self.folds

    def add(self, x: np.ndarray, y: np.ndarray, group: object = None) -> None:
        """Add one image: tokens x [t, e] behind and y [t, d] before (patches that are merged side by side, [t, m d]).

        Without a group it is one of its own.

        Raises:
            ProbeError: other shapes than before, or values that are not finite.
        """
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if len(x) != len(y) or not np.isfinite(x).all() or not np.isfinite(y).all():
            raise ProbeError(f"tokens of shapes {list(x.shape)} and {list(y.shape)} are not finite or do not fit")
        group = ("image", self.images) if group is None else group
        terms = [np.array(float(len(x))), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y]
        _accumulate(self._parts, self.fold(group), terms)
        _accumulate(self._position, self.fold(group), [np.array(1.0), x.copy(), y.copy()])

    def without(self, fold: int) -> list[np.ndarray]:
        """Count, sums of x and of y, X'X and X'Y over the images of all other folds."""
        return _total(self._parts, fold)

    def position_means(self, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """Means of x [t, e] and of y [t, d] at each position over the images of all other folds."""
        count, x, y = _total(self._position, fold)
        return x / count, y / count

    @property
    def used(self) -> list[int]:
        """The folds that hold an image."""
        return sorted(self._parts)

    @property
    def images(self) -> int:
        """Groups seen."""
        return len(self._place)


def _accumulate(held: dict[int, list[np.ndarray]], fold: int, terms: list[np.ndarray]) -> None:
    if fold not in held:
        held[fold] = terms
        return
    for a, b in zip(held[fold], terms, strict=True):
        if a.shape != b.shape:
            raise ProbeError(f"an image has tokens of another shape: {list(b.shape)} where {list(a.shape)} were seen")
        a += b


def _total(held: dict[int, list[np.ndarray]], fold: int) -> list[np.ndarray]:
    others = [terms for one, terms in held.items() if one != fold]
    if not others:
        raise ProbeError("all images lie in one fold: at least two groups are needed to hold any out")
    return [np.asarray(np.sum(terms, axis=0)) for terms in zip(*others, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """How well patches before the connector are got back from behind it, by a straight line, held out by group.

    What all images have at a place (its position's embedding) is known anyway: both sides are taken about their
    position's mean, and one line for all places tells the rest.

    `error` is the squared error over the variance of the same patches about their position's mean over other images
    (1: nothing is got back), per_patch [t] the same by position, each [images] by image. `map` [h, w] where a grid is
    known; `penalty` is the median of those that folds chose.
    """

    error: float
    per_patch: np.ndarray
    each: np.ndarray
    groups: tuple[object, ...]
    penalty: float

    def map(self, grid: tuple[int, int]) -> np.ndarray:
        """The error by place, [h, w], tokens in raster order."""
        if grid[0] * grid[1] != len(self.per_patch):
            raise ProbeError(f"a grid of {grid[0]} x {grid[1]} does not hold {len(self.per_patch)} patches")
        return self.per_patch.reshape(grid)


def reconstruction(
    images: Callable[[], Iterable[tuple[np.ndarray, np.ndarray, object]]],
    *,
    folds: int = 5,
    penalty: float | tuple[float, ...] = PENALTIES,
) -> Reconstruction:
    """Regress patches before the connector on those behind it, in two passes over `images()`.

    Each pass yields for every image tokens behind [t, e], tokens before [t, d] and the group (None: one of its own).
    The first pass sums, the second measures each image with the fit of the other folds. A `penalty` is relative to the
    mean variance behind; of several each fold takes that with which the images of the other folds are got back best.

    Raises:
        ProbeError: no images, or tokens that do not fit.
    """
    import scipy.linalg

    def named() -> Iterator[tuple[np.ndarray, np.ndarray, object]]:
        for i, (x, y, group) in enumerate(images()):
            yield x, y, ("image", i) if group is None else group

    penalties = penalty if isinstance(penalty, tuple) else (penalty,)
    sums = Streamed(folds)
    for x, y, group in named():
        sums.add(x, y, group)
    if not sums.images:
        raise ProbeError("no images were given")
    tiny = np.finfo(float).tiny
    fits = {}
    for fold in sums.used:
        count, _, _, xx, xy = sums.without(fold)
        mx, my = sums.position_means(fold)
        s, c = xx / count - mx.T @ mx / len(mx), xy / count - mx.T @ my / len(mx)
        size = max(float(np.trace(s)) / len(s), tiny)
        fits[fold] = mx, my, [scipy.linalg.solve(s + one * size * np.eye(len(s)), c, assume_a="pos")
                              for one in penalties]  # fmt: skip
    wrong, spread, groups = [], [], []
    for x, y, group in named():
        mx, my, weights = fits[sums.fold(group)]
        x, y = np.asarray(x, np.float64) - mx, np.asarray(y, np.float64) - my
        wrong.append([np.square(y - x @ w).sum(axis=1) for w in weights])
        spread.append(np.square(y).sum(axis=1))
        groups.append(group)
    errors, total = np.array(wrong), np.array(spread)  # [images, penalties, t], [images, t]
    fold_of = np.array([sums.fold(group) for group in groups])
    best = {fold: int(errors[fold_of != fold].sum(axis=(0, 2)).argmin()) for fold in sums.used}
    error = errors[np.arange(len(errors)), [best[int(fold)] for fold in fold_of]]
    return Reconstruction(
        error=float(error.sum() / max(total.sum(), tiny)),
        per_patch=error.sum(axis=0) / np.maximum(total.sum(axis=0), tiny),
        each=error.sum(axis=1) / np.maximum(total.sum(axis=1), tiny),
        groups=tuple(groups),
        penalty=float(np.median([penalties[one] for one in best.values()])),
    )
