"""What answers amount to: accuracies with both denominators, bias-free scores, order, blind controls and the quadrant.

Intervals are 95 %, with groups as what is independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.prompts.bias import clustered
from probes.stats.intervals import wilson
from probes.stats.scores import Scored, concordance, of_mean
from slitlamp.answers.answered import INVALID, TIE, UNASKED, AnsweredQuestion, Answers


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of items with its 95 % interval; `items` are those that it is of."""

    value: float
    low: float
    high: float
    items: int


def share(values: np.ndarray, groups: np.ndarray) -> Share | None:
    """The mean of values in [0, 1] [n] and its clustered interval; items with NaN are left out, None where all are."""
    kept = ~np.isnan(values)
    if not kept.any():
        return None
    mean, low, high, _ = clustered(values[kept].astype(np.float64), groups[kept], 0.5)
    return Share(value=mean, low=low, high=high, items=int(kept.sum()))


def chance(answered: AnsweredQuestion) -> float:
    """Accuracy without looking: the larger of guessing, and of always giving the commonest answer."""
    guess = float(np.mean([1 / len(options) for options in answered.options]))
    if answered.classes is None:
        return guess
    return max(guess, float(np.bincount(answered.y).max() / len(answered.y)))


def right(answers: Answers, y: np.ndarray) -> np.ndarray:
    """1 for a right answer, 0 for a wrong or an invalid one or a tie, NaN where unasked: float64 [n, m]."""
    return np.where(answers.chosen == UNASKED, np.nan, answers.chosen == y[:, None])


def right_answered(answers: Answers, y: np.ndarray) -> np.ndarray:
    """As `right`, of the valid answers alone: NaN for an invalid one too."""
    return np.where(answers.chosen < 0, np.nan, answers.chosen == y[:, None])


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How often a way is right: `first` at the first presentation, of all items and of those `answered`.

    `every` is the mean over all presentations, between the `worst` and the `best` of them; `invalid` and `ties` count
    answers of the first presentation.
    """

    first: Share
    answered: Share | None
    invalid: int
    ties: int
    every: Share
    worst: float
    best: float
    presentations: int


def accuracy(answered: AnsweredQuestion, answers: Answers) -> Accuracy:
    """The accuracies of one way."""
    ok, y, groups = right(answers, answered.y), answered.y, answered.groups
    each = [float(np.nanmean(column)) for column in ok.T]
    first, every = share(ok[:, 0], groups), share(_row_mean(ok), groups)
    assert first is not None
    assert every is not None
    return Accuracy(
        first=first, answered=share(right_answered(answers, y)[:, 0], groups), every=every, worst=min(each),
        best=max(each), presentations=len(each), invalid=int((answers.chosen[:, 0] == INVALID).sum()),
        ties=int((answers.chosen[:, 0] == TIE).sum()),
    )  # fmt: skip


def _row_mean(values: np.ndarray) -> np.ndarray:
    """Mean of each row without its NaN, NaN where a row has nothing else."""
    count = (~np.isnan(values)).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, kw_only=True)
class BiasFree:
    """What the mean log-odds over all presentations tell, and what the raw answer loses against it (METHOD 4.6).

    `decided` is the accuracy of the option with the highest mean, of several that share it a part; `auc` the share of
    pairs of items of different groups and answers that it puts in order, for more than two classes the mean over one
    against the rest, None where items do not share their options; `forced` the same of an image and its copies or
    partner with the other answer (two alternatives, forced choice). `bias` is the raw accuracy less `auc` of two
    classes, paired; less `decided` where there are more, whose accuracy has another chance level than an AUC, or where
    items do not share their options.
    `prior` is, by letter (or option), its mean probability over all items and presentations.
    """

    decided: Share
    auc: Share | None
    forced: Share | None
    bias: Share
    prior: tuple[float, ...]
    presentations: int


def bias_free(answered: AnsweredQuestion, answers: Answers) -> BiasFree:
    """Bias-free scores of a way that gives log-odds."""
    mean, y, groups = answers.mean, answered.y, answered.groups
    ok = _likeliest(mean, y)
    decided = share(ok, groups)
    assert decided is not None
    number = np.unique(groups, return_inverse=True)[1].ravel()
    raw = right(answers, y)[:, 0]
    order = _order(answered, mean, number)
    two = order is not None and mean.shape[1] == 2
    reference = order if two and order is not None else of_mean(ok)
    gap = of_mean(raw).minus(reference)
    return BiasFree(
        decided=decided, auc=None if order is None else _interval(order, number, 0.0),
        bias=_interval(gap, number, -1.0),
        forced=_forced(answered, mean), prior=_prior(answered, answers), presentations=len(answers.presentations),
    )  # fmt: skip


def unbiased(auc: float) -> float:
    """The accuracy of an observer of that AUC who has no bias, of equal variances: Phi(d' / 2), d' = sqrt(2) Phi^-1.

    An accuracy below its AUC is therefore no sign of bias by itself (Green and Swets 1966).

    >>> round(unbiased(0.76), 2), unbiased(0.5)
    (0.69, 0.5)
    """
    from scipy.special import ndtr, ndtri

    return float(ndtr(ndtri(auc) / np.sqrt(2)))


def _likeliest(mean: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where the right option has the highest mean, 1 / m where m options share it, else 0: float64 [n]."""
    filled = np.nan_to_num(mean, nan=-np.inf)
    top = filled >= filled.max(axis=1, keepdims=True) - 1e-9
    return top[np.arange(len(y)), y] / top.sum(axis=1)


def _order(answered: AnsweredQuestion, mean: np.ndarray, number: np.ndarray) -> Scored | None:
    if answered.classes is None or len(np.unique(answered.y)) < 2:
        return None
    nowhere = np.zeros(len(answered.y), np.int64)
    there = [c for c in range(mean.shape[1]) if 0 < (answered.y == c).sum() < len(answered.y)]
    values = [mean[:, 1] - mean[:, 0]] if mean.shape[1] == 2 else [mean[:, c] for c in there]
    truths = [answered.y == 1] if mean.shape[1] == 2 else [answered.y == c for c in there]
    each = [
        concordance(value[None], truth.astype(np.float64), number, nowhere)
        for value, truth in zip(values, truths, strict=True)
    ]
    return Scored(score=np.mean([e.score for e in each], axis=0), part=np.mean([e.part for e in each], axis=0))


def _interval(scored: Scored, number: np.ndarray, least: float) -> Share:
    """The interval of a score between `least` and 1 by Student's t on groups.

    Where no group differs from another, what may have escaped so many groups is half wrong (`probes.stats.intervals`).
    Of a share above .95 or below .05 it is Wilson's.
    """
    from scipy.special import stdtrit

    count, value = int(number.max()) + 1, scored.mean
    if count < 2:
        return Share(value=value, low=least, high=1.0, items=len(number))
    t, error = float(stdtrit(count - 1, 0.975)), float(scored.error(number)[0])
    half = t * error if error > 1e-12 else (1 - 0.025 ** (1 / count)) / 2
    low, high = value - half, value + half
    if least == 0 and error > 1e-12 and 0 < value < 1 and not 0.05 <= value <= 0.95:
        ends = wilson(np.array([value]), np.array([value * (1 - value) / error**2]), np.array([t]))
        low, high = (float(end[0]) for end in ends)
    return Share(value=value, low=max(least, low), high=min(1.0, high), items=len(number))


def counterfactual_pairs(answered: AnsweredQuestion) -> list[tuple[int, int]]:
    """Items of one image, or of one question of two images, that differ in their right answer."""
    if answered.copies is not None:
        keys: Sequence[object] = answered.copies
    elif answered.classes is None:
        keys = [
            (str(group), texts, prompts)
            for group, texts, prompts in zip(answered.groups, answered.options, answered.prompts, strict=True)
        ]
    else:
        return []
    members: dict[object, list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    return [
        (i, j)
        for some in members.values()
        for place, i in enumerate(some)
        for j in some[place + 1 :]
        if answered.y[i] != answered.y[j]
    ]


def _forced(answered: AnsweredQuestion, mean: np.ndarray) -> Share | None:
    """Of pairs with different answers, the share in which each image has more of its own answer than the other has."""
    pairs = counterfactual_pairs(answered)
    if not pairs:
        return None
    i, j = np.array(pairs).T
    y = answered.y
    gap = mean[i, y[i]] - mean[i, y[j]] + mean[j, y[j]] - mean[j, y[i]]
    return share(np.where(np.abs(gap) < 1e-9, 0.5, gap > 0), answered.groups[i])


def _prior(answered: AnsweredQuestion, answers: Answers) -> tuple[float, ...]:
    """Mean probability at each position over items and presentations: of the letters A, B, … where there are any."""
    assert answers.logodds is not None
    k = answers.logodds.shape[2]
    sums, counts = np.zeros(k), np.zeros(k)
    for j, one in enumerate(answers.presentations):
        for count in {len(options) for options in answered.options}:
            mine = np.array([len(options) == count for options in answered.options])
            if one.shift >= count:
                continue
            p = np.exp(answers.logodds[mine, j][:, list(one.order(count))])
            sums[:count] += np.nansum(p, axis=0)
            counts[:count] += (~np.isnan(p)).sum(axis=0)
    return tuple((sums / np.maximum(counts, 1)).tolist())


@dataclass(frozen=True, kw_only=True)
class Swap:
    """What the order of the options does: how often the same option is chosen in all orders, and the same letter.

    Of the paraphrases and wordings of each item in which every order has a valid answer; `cells` counts these,
    `invalid` the others.
    """

    option: Share | None
    letter: Share | None
    cells: int
    invalid: int


def swap(answered: AnsweredQuestion, answers: Answers) -> Swap | None:
    """Consistency under every order of the options; None for a way without orders."""
    kinds = sorted({(one.prompt, one.wording) for one in answers.presentations})
    orders = max(one.shift for one in answers.presentations) + 1
    if orders < 2:
        return None
    n = len(answered.y)
    same, letter = np.full((n, len(kinds)), np.nan), np.full((n, len(kinds)), np.nan)
    invalid = 0
    counts = np.array([len(options) for options in answered.options])
    for c, (prompt, wording) in enumerate(kinds):
        places = answers.under(prompt, wording)
        shifts = np.array([answers.presentations[p].shift for p in places])
        said = answers.chosen[:, places]
        asked = said != UNASKED
        valid = ((said >= 0) | ~asked).all(axis=1) & (asked.sum(axis=1) > 1)
        invalid += int((~valid & asked.any(axis=1)).sum())
        first = said[:, :1]
        same[valid, c] = (((said == first) | ~asked).all(axis=1))[valid]
        letters = (said - shifts) % counts[:, None]
        letter[valid, c] = (((letters == letters[:, :1]) | ~asked).all(axis=1))[valid]
    return Swap(
        option=share(_row_mean(same), answered.groups), letter=share(_row_mean(letter), answered.groups),
        cells=int((~np.isnan(same)).sum()), invalid=invalid,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Blind:
    """Answers under one image control: `first` is the accuracy of the first presentation against the item's own answer.

    `auc` is that of the mean log-odds; `follows` how often the answer is that of the image which was shown, None where
    it was no item's. `changed` is how often an answer differs from that to the item's own image; see `changed`.
    """

    first: Share
    auc: Share | None
    follows: Share | None
    changed: Share


def blind(answered: AnsweredQuestion, name: str) -> Blind:
    """One image control of `answered.blind`."""
    answers, y, groups = answered.blind[name], answered.y, answered.groups
    first = share(right(answers, y)[:, 0], groups)
    assert first is not None
    number = np.unique(groups, return_inverse=True)[1].ravel()
    order = None
    if answers.logodds is not None and not (answers.chosen == UNASKED).any():
        order = _order(answered, answers.mean, number)
    follows = None
    if name in answered.shown:
        whose = answered.shown[name]
        shown = np.where(whose >= 0, y[np.maximum(whose, 0)], UNASKED)
        said = answers.chosen[:, 0]
        follows = share(np.where((whose < 0) | (said == UNASKED), np.nan, said == shown), groups)
    moved = share(changed(answered, name), groups)
    assert moved is not None
    return Blind(
        first=first, auc=None if order is None else _interval(order, number, 0.0), follows=follows, changed=moved
    )


def changed(answered: AnsweredQuestion, name: str) -> np.ndarray:
    """1 where the answer with this image differs from that with the item's own, in any paraphrase or order.

    float64 [n], NaN where unasked. An item whose answer happens to be the guess that is made without an image does not
    change.
    """
    other = answered.blind[name]
    own = answered.ways[other.way]
    here = [own.presentations.index(one) for one in other.presentations]
    a, b = own.chosen[:, here], other.chosen
    return np.where((b == UNASKED).all(axis=1), np.nan, ((a != b) & (b != UNASKED)).any(axis=1))


def stable(answered: AnsweredQuestion, way: str) -> np.ndarray:
    """Whether every paraphrase of the question is given the same option: bool [n]; an invalid answer is no option."""
    answers = answered.ways[way]
    said = answers.chosen[:, answers.under(wording=0, shift=0)]
    asked = said != UNASKED
    return ((said == said[:, :1]) | ~asked).all(axis=1) & (said[:, 0] >= 0)


QUADRANTS = ("ideal", "fragile", "dangerous", "worst")  # arXiv 2603.20985


@dataclass(frozen=True, kw_only=True, eq=False)
class Quadrant:
    """Per item: is the answer stable under paraphrase, and does it change when the image is removed.

    `control` names the image control. `counts` and `right` count by kind: "ideal" (stable, changed), "fragile" (not
    stable, changed), "dangerous" (stable, unchanged), "worst". `kind` [n] is the kind of each item, "" where unasked.
    """

    control: str
    counts: dict[str, int]
    right: dict[str, int]
    kind: tuple[str, ...]


def quadrant(answered: AnsweredQuestion, control: str) -> Quadrant:
    """The quadrant of each item under an image control."""
    way = answered.blind[control].way
    firm, moved = stable(answered, way), changed(answered, control)
    kinds = np.array(QUADRANTS)[2 * (moved == 0) + ~firm]
    kinds[np.isnan(moved)] = ""
    ok = answered.ways[way].chosen[:, 0] == answered.y
    return Quadrant(
        control=control, kind=tuple(kinds.tolist()),
        counts={name: int((kinds == name).sum()) for name in QUADRANTS},
        right={name: int(((kinds == name) & ok).sum()) for name in QUADRANTS},
    )  # fmt: skip
