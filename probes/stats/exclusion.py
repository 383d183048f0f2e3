"""What a cell that reads nothing excludes: differences planted in these images that would almost never read as little.

A difference between the classes is planted along random mixtures of these very images, and the permutation test's
statistic of many such plantings is compared with what was observed. A strength is excluded where fewer than 1 in 20
plantings reads as little, counted against how often exchanged labels do (the CLs construction: A. L. Read 2002,
J. Phys. G 28, 2693). A kernel regression asks what no hyperplane reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, ceil, pi, sqrt

import numpy as np

from probes._base import ProbeError
from probes.rbf import kernels, spanned
from probes.solvers.ridge import Ridge
from probes.solvers.scale import inverse_scale, spread
from probes.stats.effect_size import separation
from probes.stats.permutation import each_penalty, permutation_p
from probes.stats.plan import Plan
from probes.stats.planting import Planting, planted_code

DRAWS = 199  # plantings of each strength
SELDOM = 0.05  # of plantings, against exchanged labels, that may read as little as was read
SELF_CHECK = 0.12  # share of plantings of no strength that the permutation test may call significant
SURE = 0.9  # of the outcomes where nothing is to be read, in how many a strength must be excluded to say "would"
POOL = 20  # unlabelled images of other groups from which directions may be mixed
EXCHANGED = 199  # permuted label vectors of the kernel's test
LANDMARKS = 1000  # items that span the kernel where there are more: its decomposition costs their third power
PAIRED = 500  # numbers, evenly spaced in their order, of which the concordance of a strength is taken
_DEAD = 1e-3  # of the median sd: such columns would turn an invisible shift into the label itself
_STEPS = 4  # halvings between two strengths of the grid


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """What the silence of one cell excludes. Strengths are accuracies of unlimited data, concordances for a number.

    `limit` is the weakest strength excluded, None where not even the strongest of the grid is; `asked` the strength
    that a claim of absence must exclude. `rates` maps each strength that was tried to the share of plantings that
    read as little as was read, over the same share of exchanged labels: excluded where at most .05. `self_check` is
    the share of plantings of no strength with p at most .05. `groups` is with about how many groups `asked` would
    be excluded nine times in ten if there is nothing to read; None where it is excluded or no number would do.
    """

    limit: float | None
    asked: float
    rates: dict[float, float]
    self_check: float
    groups: int | None

    @property
    def valid(self) -> bool:
        """Whether plantings of no strength pass for nothing, as they must."""
        return self.self_check <= SELF_CHECK

    @property
    def enough(self) -> bool:
        """Whether what a claim of absence must exclude is excluded."""
        return self.valid and self.limit is not None and self.limit <= self.asked


def strengths(classes: int | None) -> tuple[float, ...]:
    """The grid of planted strengths, none first: accuracy .5 to .95 for two classes, alike for K; R2 0 to .9."""
    if classes is None:
        return tuple(round(0.1 * i, 2) for i in range(10))
    return tuple(round(1 / classes + 0.1 * i * (1 - 1 / classes), 4) for i in range(10))


def strength_to_exclude(classes: int | None) -> float:
    """A*, what a claim of absence must exclude: accuracy .90, the same share of the way to 1 for K classes, R2 .62."""
    return 0.62 if classes is None else round(1 / classes + 0.8 * (1 - 1 / classes), 4)


def in_units(strength: float, classes: int | None, numbers: np.ndarray | None = None) -> float:
    """A strength in the unit of the score: the concordance of a bivariate normal pair for R2 (Kruskal 1958).

    Of normal scores [n] with equal ones it is the concordance that a relation of this strength has among the pairs
    that differ: R2 .29 is .68 of normal numbers, .82 of two values.
    """
    if classes is not None:
        return strength
    if numbers is None or len(np.unique(numbers)) == len(numbers):
        return 0.5 + asin(sqrt(strength)) / pi
    from scipy.special import ndtr

    ordered = np.sort(numbers)[np.linspace(0, len(numbers) - 1, min(len(numbers), PAIRED)).round().astype(int)]
    apart = np.abs(ordered[:, None] - ordered[None]) / ordered.std()
    return float(ndtr(separation(strength, None) * apart[apart > 0] / sqrt(2)).mean())


def exclusion(
    x: np.ndarray,
    plan: Plan,
    statistic: np.ndarray,
    *,
    pool: np.ndarray | None = None,
    draws: int = DRAWS,
) -> Exclusion:
    """What features x [n, d] under a plan exclude, where `statistic` [1 + B] is that of the permutation test.

    Less than chance counts as chance: the observed statistic is never taken below the median of the exchanged.

    Raises:
        ProbeError: too few images to mix directions of, for so many classes.
    """
    classes = None if plan.classes is None else len(plan.classes)
    exchanged = statistic[1:]
    seen = max(statistic[0], np.median(exchanged))
    by_chance = (1 + (exchanged <= seen).sum()) / (1 + len(exchanged))  # at least one half
    plantings = mixtures(x, plan, draws, pool=pool)
    found: dict[float, np.ndarray] = {}
    rates: dict[float, float] = {}

    def rate(strength: float) -> float:
        if strength not in rates:
            s = separation(strength, classes)
            found[strength] = np.concatenate([planting.statistic(s) for planting in plantings])
            rates[strength] = float((1 + (found[strength] <= seen).sum()) / (1 + draws) / by_chance)
        return rates[strength]

    grid, asked = strengths(classes), strength_to_exclude(classes)
    rate(grid[0])
    reached = (exchanged[None] >= found[grid[0]][:, None]).sum(axis=1)
    limit = None
    if rate(grid[-1]) <= SELDOM:
        low, limit = grid[0], grid[-1]
        inside = list(grid[1:-1])
        while inside:
            at = len(inside) // 2
            if rate(inside[at]) <= SELDOM:
                limit, inside = inside[at], inside[:at]
            else:
                low, inside = inside[at], inside[at + 1 :]
        for _ in range(_STEPS):
            middle = (low + limit) / 2
            low, limit = (low, middle) if rate(middle) <= SELDOM else (middle, limit)
    numbers = plan.y if plan.number else None
    groups = None
    if limit is None or limit > asked:
        rate(asked)
        groups = groups_needed(found[asked], exchanged, asked, plan)
    return Exclusion(
        limit=None if limit is None else in_units(limit, classes, numbers),
        asked=in_units(asked, classes, numbers),
        rates={in_units(a, classes, numbers): rates[a] for a in sorted(rates)},
        self_check=float(((1 + reached) / (1 + len(exchanged)) <= 0.05).mean()),
        groups=groups,
    )


def mixtures(
    x: np.ndarray, plan: Plan, draws: int, *, pool: np.ndarray | None = None, dtype: type = np.float32
) -> list[Planting]:
    """Plantings along random mixtures of the images of one fold, in the images of the other folds.

    A fresh image lies at squared Mahalanobis distance = width from the mean, whatever the covariance. So a mixture of
    fresh images with weights of unit length, divided by the root of the width, is a direction along which the classes
    differ by exactly the strength asked for, with no covariance inverted or shrunk. `pool` [N, d] are further images
    of other groups: then the mixtures are theirs, planted in all items. K classes take K - 1 orthonormal mixtures.
    """
    classes = None if plan.classes is None else len(plan.classes)
    labels, fold = plan.draws(draws, 1), plan.folds[0]
    rng = np.random.default_rng([plan.seed, 84])
    wide = np.array(x, dtype=np.float64)  # a copy, worked on in place: there may be room for few of them
    # scaled by all images at hand: a column that is rarely other than 0 would make those that did not scale it too long
    every = wide if pool is None else np.concatenate([wide, np.asarray(pool, dtype=np.float64)])
    scale = inverse_scale(spread(every), np.maximum(every.max(axis=0), -every.min(axis=0)), dead=_DEAD)
    if pool is None:
        del every
    wide *= scale
    wide = wide if (scale > 0).all() else wide[:, scale > 0]
    if pool is not None:
        other = (np.asarray(pool, dtype=np.float64) * scale)[:, scale > 0]
        items = wide - wide.mean(axis=0)
        # less their own mean, and no longer than the items: a pool that lies aside, or differs more, says nothing of
        # how these images differ from one another
        other = (other - other.mean(axis=0)) * sqrt(len(other) / (len(other) - 1))
        length, own = np.square(other).sum(axis=1).mean(), np.square(items).sum(axis=1).mean()
        other *= min(1.0, sqrt(own / length)) if length > 0 else 1.0
        return [_planted(other, items, fold, labels, classes, rng, dtype)]
    found = []
    for part, mine in enumerate(np.array_split(np.arange(draws), plan.n_folds)):
        away = fold == part
        if not len(mine):
            continue
        items = wide[~away]
        mean = items.mean(axis=0)
        live = spread(items) > _DEAD
        items -= mean
        items = items if live.all() else items[:, live]
        rest = np.where(fold[~away] > part, fold[~away] - 1, fold[~away])
        source = (wide[away] - mean)[:, live]
        found.append(_planted(source, items, rest, labels[mine][:, ~away], classes, rng, dtype))
    return found


def _planted(
    source: np.ndarray,
    items: np.ndarray,
    folds: np.ndarray,
    labels: np.ndarray,
    classes: int | None,
    rng: np.random.Generator,
    dtype: type,
) -> Planting:
    """Plantings along mixtures of the `source` images, both centred, one for each label vector.

    The items are overwritten.
    """
    if not source.shape[1]:  # nothing varies between the images
        source, items = np.zeros((len(source), 1)), np.zeros((len(items), 1))
    shift = planted_code(labels, classes)
    ways = mixed(source, len(labels), shift.shape[2], rng)
    columns = np.concatenate([np.swapaxes(np.tensordot(items, ways, (1, 1)), 0, 1), shift], axis=2)
    size = np.swapaxes(ways, 1, 2) @ ways
    return Planting.of(Ridge.of(items, standardise=False, own=True), folds, labels, classes, columns, size, dtype=dtype)


def mixed(source: np.ndarray, draws: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """Directions [draws, d, m]: orthonormal random mixtures of images [N, d], over the root of the width."""
    if len(source) < m:
        raise ProbeError(f"{len(source)} images hold no {m} directions for {m + 1} classes: bring more items")
    weights = np.linalg.qr(rng.standard_normal((draws, len(source), m)))[0]
    return np.einsum("id,aim->adm", source, weights, optimize=True) / np.sqrt(source.shape[1])


def groups_needed(planted: np.ndarray, exchanged: np.ndarray, strength: float, plan: Plan) -> int | None:
    """With about how many groups a strength would be excluded nine times in ten, if there is nothing to read.

    `planted` and `exchanged` are statistics of plantings of that strength and of exchanged labels. A probe that
    learns its direction from n items reads a distance D with an area of Phi(D^2 / sqrt(2 (D^2 + 4 e / n))); the
    effective dimension e is read off the plantings, and both spreads shrink with the items.
    """
    from scipy.special import ndtr, ndtri

    classes = None if plan.classes is None else len(plan.classes)
    chance, sigma, tau = float(exchanged.mean()), float(exchanged.std(ddof=1)), float(planted.std(ddof=1))
    gain = float(planted.mean()) - chance
    if gain <= 0:
        return None
    s = separation(strength, classes)
    d = s / sqrt(1 - 1 / (classes or 2))  # between a class and the mean of the others; for two classes 2 Phi^-1(A*)
    if classes is None:  # a correlation: s^2 / sqrt(s^4 + s^2 + e / n)
        lost = max(0.0, (s * s / min(gain, 0.999)) ** 2 - s**4 - s**2)
    else:
        lost = max(0.0, (d * d / float(ndtri(min(0.5 + gain, 0.999)))) ** 2 / 2 - d * d) / 4

    def excluded(more: float) -> bool:
        """Whether `more` times the items would do, at the nine-in-ten outcome of exchanged labels."""
        if classes is None:
            mean = s * s / sqrt(s**4 + s**2 + lost / more)
        else:
            mean = float(ndtr(d * d / sqrt(2 * (d * d + 4 * lost / more)))) - 0.5
        null = sigma / sqrt(more)
        spread = sqrt(max(0.0, tau**2 - sigma**2) + sigma**2 / more)
        return bool(ndtr((float(ndtri(SURE)) * null - mean) / spread) <= SELDOM * SURE)

    more = 1.1  # as many as there are do not exclude it
    while not excluded(more):
        more *= 1.02
        if more > 1000:
            return None
    return rounded(more * plan.n_groups)


def rounded(count: float) -> int:
    """Two significant digits, upwards: no more is known."""
    step = 10 ** max(0, len(str(int(count))) - 2)
    return ceil(count / step) * step


def kernel_p(x: np.ndarray, plan: Plan, *, permutations: int = EXCHANGED, landmarks: int = LANDMARKS) -> float:
    """Permutation p of Gaussian kernel ridge on features x [n, d]: what no hyperplane reads.

    Of more items than `landmarks` the kernel is spanned by so many of them, drawn without a look at labels.

    The statistic is the largest over the kernel's widths and the penalties of GRID, for observed and exchanged labels
    alike, so that choosing among them costs nothing.
    """
    permuted = plan.permuted[:permutations]
    labels = np.concatenate([plan.y[None].astype(permuted.dtype), permuted])
    best = np.full(len(labels), -np.inf)
    if len(x) <= landmarks:
        solvers = (Ridge.of_kernel(kernel) for kernel in kernels(x))
    else:
        spanning = np.random.default_rng([plan.seed, 85]).choice(len(x), landmarks, replace=False)
        solvers = (Ridge.of(features, standardise=False, own=True) for features in spanned(x, spanning))
    for solver in solvers:
        for _, start, stop, _, found in each_penalty(solver, labels, plan):
            np.maximum(best[start:stop], found, out=best[start:stop])
    return permutation_p(best)


def unlabelled(
    pool: np.ndarray, groups: Sequence[str] | np.ndarray | None, asked: np.ndarray, width: int
) -> np.ndarray:
    """The images of a pool [N, d] that belong to none of the groups that are asked.

    Raises:
        ProbeError: the pool is of another width, or fewer than 20 such images are in it.
    """
    if pool.shape[1:] != (width,):
        raise ProbeError(f"the pool's features are {pool.shape[1]} wide, the items' {width}: same site?")
    own = pool if groups is None else pool[~np.isin(np.asarray(groups).astype(str), np.asarray(asked).astype(str))]
    if len(own) < POOL:
        raise ProbeError(f"{len(own)} images of the pool belong to other groups than the items; {POOL} are needed")
    return own
