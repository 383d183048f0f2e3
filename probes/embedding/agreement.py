"""Whether neighbours agree: what an answer's nearest neighbours say of it, held out by group, against chance.

The lists of neighbours do not depend on the answers, so that permuted answers cost a vote and no search.
"""

from dataclasses import dataclass, replace

import numpy as np

from probes._base import ProbeError
from probes.stats.intervals import interval_of
from probes.stats.permutation import REFITS
from probes.stats.plan import FEW, Plan
from probes.stats.scores import TIE, Scored, association, balanced, clustered_error, concordance

AT_ONCE = 1 << 22  # votes of permuted answers that are held at once


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well neighbours tell an answer, with its interval over groups, the level of chance, and a permutation p.

    `metric` is "balanced accuracy" (of the vote of the neighbours over the share of each class), "concordance" (of
    their mean), "own group" (the share whose nearest neighbour is of their own group) or "silhouette".
    """

    metric: str
    score: float
    low: float | None
    high: float | None
    chance: float
    p: float | None
    items: int
    groups: int

    @property
    def strength(self) -> float:
        """How far beyond chance, from 0 to 1, as a correlation: of a share what is left above chance.

        Of two equal classes (2 x balanced accuracy - 1) is the correlation of answer and vote; of two normal numbers it
        is sin(pi (C - .5)) of their concordance C (Kruskal 1958).
        """
        if self.metric == "concordance":
            return max(0.0, float(np.sin(np.pi * (self.score - 0.5))))
        return max(0.0, (self.score - self.chance) / (1 - self.chance))


def held_out(places: np.ndarray, plan: Plan) -> Agreement:
    """What neighbours of other groups, `places` [n, k], tell of the plan's answers; p from the plan's permutations.

    The interval is that of a held-out score: the cluster-robust error over groups, wider where scores of permuted
    answers spread more (perm-SE); None below 20 groups.

    Raises:
        ProbeError: some neighbour is of the item's own group.
    """
    if (plan.groups[places] == plan.groups[:, None]).any():
        raise ProbeError("some neighbours are of the item's own group: nothing would be held out")
    told, exchanged = _told(places, plan.y[None], plan), _told(places, plan.permuted, plan)
    ends = interval_of(told[0], exchanged[0], plan)
    found = _agreement(told, exchanged, plan)
    return found if ends is None else replace(found, low=ends[0], high=ends[1])


def seen(places: np.ndarray, plan: Plan, *, seed: int = 0, permutations: int = 999) -> Agreement:
    """What the eye sees in a map: how well the neighbours there, of whatever group, tell the plan's answers.

    The permutation p lets every item change its answer, so that patients who lie together count as seen; it has no
    interval, and says nothing of other images.
    """
    rng = np.random.default_rng([seed, len(plan.y), 67])
    shuffled = rng.permuted(np.tile(plan.y, (permutations, 1)), axis=1)
    return _agreement(_told(places, plan.y[None], plan), _told(places, shuffled, plan), plan)


def _agreement(told: tuple[Scored, np.ndarray], exchanged: tuple[Scored, np.ndarray], plan: Plan) -> Agreement:
    (observed, statistic), (_, null) = told, exchanged
    return Agreement(
        metric="concordance" if plan.number else "balanced accuracy", score=observed.mean, low=None, high=None,
        chance=plan.chance, p=float((1 + (null >= statistic[0] - 1e-12).sum()) / (1 + len(null))),
        items=len(plan.y), groups=plan.n_groups,
    )  # fmt: skip


def _told(places: np.ndarray, labels: np.ndarray, plan: Plan) -> tuple[Scored, np.ndarray]:
    """Scores of the neighbours' vote for label vectors [B, n], and the statistic of each, [B].

    The statistic is the score; of a number it is the correlation, and only the first REFITS vectors are scored: pairs
    of items take longer to count than thousands of permutations may.
    """
    from scipy.sparse import csr_array

    n, k = places.shape
    links = csr_array((np.full(n * k, 1 / k), places.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    step = max(1, AT_ONCE // (n * (len(plan.classes or ()) or 1)))
    parts = [labels[start : start + step] for start in range(0, len(labels), step)]
    if plan.number:
        found = [_mean(links, part, plan) for part in parts]
        margin = np.concatenate([above for above, _ in found])
        others = np.concatenate([base for _, base in found])
        scored = concordance(margin[:REFITS], labels[:REFITS], plan.groups, plan.folds[0])
        return scored, association(margin, labels, others, None)
    votes = [_vote(links, part, plan) for part in parts]
    scored = Scored(
        score=np.concatenate([v.score for v in votes]),
        part=np.concatenate([v.part for v in votes]),
        share=np.concatenate([v.share for v in votes if v.share is not None]),
    )
    return scored, scored.score


def _mean(links: "object", labels: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the neighbours' numbers less that of all other groups, and the latter, both [B, n]."""
    values = labels.T.astype(np.float64)
    counts = np.bincount(plan.groups)
    sums = np.zeros((plan.n_groups, values.shape[1]))
    np.add.at(sums, plan.groups, values)
    others = (values.sum(axis=0) - sums[plan.groups]) / (len(values) - counts[plan.groups])[:, None]
    return (links @ values - others).T, others.T  # type: ignore[operator]


def _vote(links: "object", labels: np.ndarray, plan: Plan) -> Scored:
    assert plan.classes is not None
    k = len(plan.classes)
    votes = np.stack([(links @ (c == labels.T).astype(np.float64)).T for c in range(k)], axis=2)  # type: ignore[operator]
    share = np.stack([(labels == c).mean(axis=1) for c in range(k)], axis=1)
    lift = votes / np.maximum(share, 1e-300)[:, None]
    tied = lift >= lift.max(axis=2, keepdims=True) - TIE
    mine = np.take_along_axis(tied, labels[..., None], axis=2)[..., 0]
    return balanced(mine / tied.sum(axis=2), labels, k)


def own_group(places: np.ndarray, groups: np.ndarray, *, seed: int = 0, permutations: int = 999) -> Agreement | None:
    """The share of items whose nearest neighbour is of their own group, of those that are not alone in it.

    places [n, k], nearest first; groups [n]. None where every item is alone in its group. The interval is over groups.
    """
    code = np.unique(groups, return_inverse=True)[1].ravel()
    size = np.bincount(code)[code]
    some = np.flatnonzero(size > 1)
    if not len(some):
        return None
    first, n = places[some, 0], len(code)
    hit = (code[first] == code[some]).astype(np.float64)
    count = len(np.unique(code[some]))
    low = high = None
    if count >= FEW:
        low, high = _interval(hit, code[some])
    rng = np.random.default_rng([seed, n, 71])
    null = [(moved[first] == moved[some]).mean() for moved in (rng.permutation(code) for _ in range(permutations))]
    return Agreement(
        metric="own group", score=float(hit.mean()), low=low, high=high,
        chance=float((size[some] - 1).mean() / (n - 1)),
        p=float((1 + (np.array(null) >= hit.mean()).sum()) / (1 + permutations)), items=len(some), groups=count,
    )  # fmt: skip


def silhouette(x: np.ndarray, plan: Plan, *, seed: int = 0, most: int = 5000) -> Agreement | None:
    """The mean silhouette width of the plan's classes in x [n, d] with its interval over groups; None for numbers.

    Rousseeuw 1987. Nothing is held out, so that it says how compact classes are and not what other images would do. Of
    more than `most` items it is that of some, drawn by the seed.
    """
    from sklearn.metrics import silhouette_samples

    n = len(plan.y)
    rows = np.arange(n) if n <= most else np.sort(np.random.default_rng([seed, n, 73]).permutation(n)[:most])
    label, group = plan.y[rows], plan.groups[rows]
    if plan.number or not 2 <= len(np.unique(label)) < len(rows):
        return None
    width = silhouette_samples(x[rows], label)
    low, high = _interval(width, group) if len(np.unique(group)) >= FEW else (None, None)
    return Agreement(
        metric="silhouette", score=float(width.mean()), low=low, high=high, chance=0.0, p=None, items=len(rows),
        groups=len(np.unique(group)),
    )  # fmt: skip


def _interval(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean over groups, by Student's t."""
    from scipy.special import stdtrit

    code = np.unique(groups, return_inverse=True)[1].ravel()
    error = float(clustered_error(((values - values.mean()) / len(values))[None], code)[0])
    half = float(stdtrit(int(code.max()), 0.975)) * error
    return float(values.mean()) - half, float(values.mean()) + half
