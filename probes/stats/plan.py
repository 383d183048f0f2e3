"""The plan of a question, made before any feature is seen: folds, permuted labels, headline probe and margins.

One plan serves every site, readout, encoder and control of a question, so that all of them are compared on
identical folds and identical permuted labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from probes._base import ProbeError
from probes.stats.block_permutation import BlockPermutation, Design, block_permutation, class_counts, design_of
from probes.stats.numbers import cautions, normal_scores

GRID = (0.03, 0.3, 3.0)  # relative ridge penalties of the permutation statistic
ALPHA = 0.05  # of every test
FEW = 20  # groups below which no interval is printed
RARE = 30  # groups of the smallest class below which the spread of its items says too little of its share
NESTED_FROM = 200  # groups from which choosing a penalty gains more than it costs
MOST = 500_000  # items times classes: a measurement keeps 200 numbers for each, and works on about 1,200 at a time
MANY = 20_000  # items from which one repeat of the folds and 499 permutations do: a repeat's luck is .3 of the error
SPREAD = 10  # groups of a class that surely lie in several inner folds of every training part


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Folds, permuted labels and rules for one question; nothing in it depends on features.

    y [n] class indices, or the normal scores of numbers, on which all probes are trained; `raw` [n] the numbers
    themselves; groups [n] numbered from 0; folds [R, n]; permuted [B, n] labels of the permutation test, drawn by
    `permutation` as `design` says within folds[0]; `rare` the groups of the smallest class, or those that do
    not hold the number that most hold. `warnings` are of
    the design, `cautions` of the numbers given.
    """

    y: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...] | None
    folds: np.ndarray
    permuted: np.ndarray
    permutation: BlockPermutation
    design: Design
    n_groups: int
    rare: int
    headline: str
    penalty: float
    margin: float
    chance: float
    seed: int
    raw: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def number(self) -> bool:
        """Whether the target is a number rather than a class."""
        return self.classes is None

    @property
    def repeats(self) -> int:
        """How many times the folds were redrawn."""
        return len(self.folds)

    @property
    def n_folds(self) -> int:
        """Folds in each repeat."""
        return int(self.folds.max()) + 1

    def draws(self, count: int, purpose: int) -> np.ndarray:
        """Further permuted labels [count, n], independent of those of the permutation test."""
        return self.permutation.draw(np.random.default_rng([self.seed, 73, purpose]), count)


def plan(
    y: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    folds: int | None = None,
    repeats: int | None = None,
    permutations: int | None = None,
    copies: Sequence[str] | np.ndarray | None = None,
    where: np.ndarray | None = None,
    design: Design | None = None,
) -> Plan:
    """Fix folds, permuted labels and rules from labels y [n] and groups [n] alone.

    `where` are folds [R, n] of another plan of the same groups, which are kept to; `folds` and `repeats` are then not
    asked for. `design` is what is exchangeable, where the labels alone do not tell (what a model says of copies).

    `copies` names the source image of each item where one group holds several images, each in all answers
    (a patient with three films, each upright and turned).

    Raises:
        ProbeError: the data cannot be split: too few groups, one class only, or a class in a single group; or numbers
            are all equal, or not finite; or folds are given that split a group, or none of whose training parts holds
            some class.

    >>> p = plan(np.arange(40) % 2, np.arange(40) // 2, classes=("upright", "turned"))
    >>> p.design, p.folds.shape, p.headline
    ('within groups', (5, 40), 'ridge')
    """
    group = _numbered(groups)
    n_groups = int(group.max()) + 1 if len(group) else 0
    raw = np.asarray(y, dtype=np.float64) if classes is None else None
    if raw is not None and not np.isfinite(raw).all():
        raise ProbeError(f"{(~np.isfinite(raw)).sum()} of {len(raw)} numbers are not finite: leave these items out")
    answer = np.asarray(y, dtype=np.int64) if raw is None else normal_scores(raw)
    k = (10 if n_groups >= 100 else 5) if folds is None else folds
    if k < 2:
        raise ProbeError(f"{k} fold given: at least 2 are needed to hold anything out")
    if n_groups < k:
        raise ProbeError(f"{n_groups} groups cannot fill {k} folds: bring at least {k} independent groups")
    rare = n_groups if raw is None else _check_numbers(raw, group)
    if classes is not None:
        rare = check_classes(answer, group, classes)
    # repeats fall as items grow: measured, the spread between repeats shrinks faster than the error
    few_repeats = 1 if len(answer) >= MANY else 5 if len(answer) < 1000 else 3 if len(answer) < 1500 else 2
    rng = np.random.default_rng([seed, 71])
    r = few_repeats if repeats is None else repeats
    if where is None:
        where = np.stack([_split(answer, group, k, rng, number=classes is None) for _ in range(r)])
    else:
        _check_folds(where, answer, group, number=classes is None)
    design = design_of(answer, group, number=classes is None) if design is None else design
    permutation = block_permutation(
        answer if raw is not None else answer.astype(np.min_scalar_type(-len(classes or ()) - 1)),
        group,
        None if classes is None else where[0],
        design,
        None if copies is None else _numbered(copies),
    )
    count = permutations if permutations is not None else 1999 if len(answer) < MANY else 499
    nested = classes is not None and n_groups >= NESTED_FROM and rare >= SPREAD
    return Plan(
        y=answer,
        groups=group,
        classes=None if classes is None else tuple(classes),
        folds=where,
        permuted=permutation.draw(np.random.default_rng([seed, 72]), count),
        permutation=permutation,
        design=design,
        n_groups=n_groups,
        rare=rare,
        headline="linear" if nested else "ridge",
        penalty=1.0 if classes is None else 0.3,
        margin=0.06 if classes is None else 0.10,
        chance=0.5 if classes is None else 1 / len(classes),
        seed=seed,
        raw=raw,
        warnings=_warnings(permutation, n_groups, rare, count, number=classes is None),
        cautions=() if raw is None else cautions(raw),
    )


def _numbered(names: Sequence[str] | np.ndarray) -> np.ndarray:
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64).ravel()


def check_classes(y: np.ndarray, groups: Sequence[str] | np.ndarray, classes: Sequence[str]) -> int:
    """Groups of the smallest class, of class indices y [n] and groups [n].

    Raises:
        ProbeError: one class only, a class that could be held out entirely, or more classes than can be measured.
    """
    groups = _numbered(groups)
    if len(y) and (y.min() < 0 or y.max() >= len(classes)):
        raise ProbeError(f"labels run from {y.min()} to {y.max()}, but {len(classes)} classes are named")
    holders = (class_counts(y, groups) > 0).sum(axis=0)
    holders = np.concatenate([holders, np.zeros(len(classes) - len(holders), dtype=holders.dtype)])
    if (holders > 0).sum() < 2:
        raise ProbeError(f"only one class in the data ({classes[int(holders.argmax())]}): a probe needs at least two")
    low = int(holders.argmin())
    if holders[low] < 2:
        raise ProbeError(
            f"class {classes[low]} is found in {holders[low]} group: held out, no probe could have learnt it; "
            "bring at least 2 groups of each class or leave the class out"
        )
    if len(classes) > 2 and len(y) * len(classes) > MOST:
        raise ProbeError(
            f"{len(classes)} classes of {len(y)} items are more than can be measured: of this many items at most "
            f"{max(2, MOST // len(y))} classes; unite classes in a coarser column, or ask fewer in a smaller table"
        )
    return int(holders[low])


def _check_folds(where: np.ndarray, y: np.ndarray, groups: np.ndarray, *, number: bool) -> None:
    """ProbeError where given folds [R, n] do not fit the items, split a group, or train without some class."""
    if where.ndim != 2 or where.shape[1] != len(groups):
        raise ProbeError(f"folds {list(where.shape)} are given for {len(groups)} items: [repeats, items] is wanted")
    for folds in where:
        if len(np.unique(np.stack([groups, folds]), axis=1).T) > len(np.unique(groups)):
            raise ProbeError("the folds that are given split a group")
        for part in np.unique(folds):
            if not number and len(np.unique(y[folds != part])) < len(np.unique(y)):
                raise ProbeError("without one of the folds that are given no probe could learn some class")


def _check_numbers(raw: np.ndarray, groups: np.ndarray) -> int:
    """Groups of the numbers; where more than half of them hold one number, those that hold another."""
    values, many = np.unique(raw, return_counts=True)
    other = len(np.unique(groups[raw != values[many.argmax()]]))
    if other < 2:
        raise ProbeError(
            f"all numbers are {values[many.argmax()]:g}" + f", but for those of {other} group" * other + ": there is "
            "nothing that a probe could learn"
        )
    whole = int(groups.max()) + 1
    return other if 2 * other < whole else whole


def _split(y: np.ndarray, groups: np.ndarray, k: int, rng: np.random.Generator, *, number: bool) -> np.ndarray:
    """Fold of each item: whole groups, dealt so that every fold has its share of each class.

    Groups are dealt in random order, the largest first, each to the fold that holds least of what it brings;
    the rule treats groups alike, so permuting labels within a fold cannot have changed the folds.
    """
    counts = class_counts(np.zeros(len(y)) if number else y, groups).astype(np.float64)
    size = counts.sum(axis=1)
    share = counts / np.maximum(counts.sum(axis=0), 1)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-size[order], kind="stable")]
    held, total = np.zeros((k, counts.shape[1])), np.zeros(k)
    fold = np.empty(len(counts), dtype=np.int64)
    chance = rng.random((len(counts), k))
    for place, g in enumerate(order):
        cost = held @ share[g] + 1e-6 * total / len(y) + 1e-12 * chance[place]
        fold[g] = int(cost.argmin())
        held[fold[g]] += share[g]
        total[fold[g]] += size[g]
    return fold[groups]


def _warnings(permutation: BlockPermutation, n_groups: int, rare: int, count: int, *, number: bool) -> tuple[str, ...]:
    found = []
    ways = permutation.log_count()
    if ways < np.log(20 * count):
        found.append(
            f"the labels can be permuted in only about {exp(ways):.3g} different ways, so no p-value "
            f"below {1 / max(1.0, exp(ways)):.2g} can be trusted"
        )
    if permutation.movable() < 0.8:
        found.append(
            f"only {permutation.movable():.0%} of the items can change their label in the permutation test "
            "(groups of unequal size or make-up): its p-value is larger than it need be"
        )
    if n_groups < FEW:
        found.append(f"{n_groups} groups: too few for an interval, and for any verdict (20 are needed)")
    elif not number and rare < RARE:
        found.append(f"the smallest class has {rare} groups, so few that its share is known only roughly")
    return tuple(found)
