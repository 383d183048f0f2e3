"""Scores of answers to pairs: two images, one question, different answers (MediConfusion, arXiv 2409.15477).

An answer is a letter, or `INVALID` where none could be read. An invalid answer is wrong and stays in the
denominators of set and individual accuracy; a pair with one leaves the denominator of confusion. All figures
here are shares of 1, except those of `consistent`, which reads published percentages.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from probes._base import ProbeError

INVALID = "-"
Two = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """Counts over pairs, and the shares that follow from them.

    `pairs` and `slots` are what set and individual accuracy are divided by: the pairs and their images; within
    a category, for both, the images that carry its label. `valids` are pairs with two readable answers,
    `valid_pairs` those of them whose two answers differ, `confused` those whose two answers are the same.
    """

    pairs: int
    slots: int
    set_score: int = 0
    individual_score: int = 0
    confused: int = 0
    invalid: int = 0
    valids: int = 0
    valid_pairs: int = 0

    @property
    def set_accuracy(self) -> float:
        """Share of pairs with both answers right; 1/4 by chance among two options."""
        return _share(self.set_score, self.pairs)

    @property
    def individual_accuracy(self) -> float:
        """Share of images answered rightly."""
        return _share(self.individual_score, self.slots)

    @property
    def confusion(self) -> float:
        """Share of the readable pairs with the same answer twice; 0 where no pair is readable."""
        return _share(self.confused, self.valids)

    @property
    def invalid_rate(self) -> float:
        """Share of images whose answer could not be read."""
        return _share(self.invalid, self.slots)

    @property
    def precision(self) -> float:
        """Share of pairs with two different readable answers that have both right."""
        return _share(self.set_score, self.valid_pairs)

    @property
    def swapped(self) -> int:
        """Pairs with two different readable answers, both wrong."""
        return self.valid_pairs - self.set_score


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def pair_scores(choices: Sequence[Two], keys: Sequence[Two]) -> PairScores:
    """Scores over all pairs; ProbeError where the lengths differ or a pair's two keys are equal."""
    _check(choices, keys)
    counts: Counter[str] = Counter()
    for predicted, right in zip(choices, keys, strict=True):
        for name, (first, second) in _marks(predicted, right).items():
            counts[name] += (first + second) if name in PER_SLOT else first
    return PairScores(pairs=len(keys), slots=2 * len(keys), **counts)


def category_scores(
    choices: Sequence[Two],
    keys: Sequence[Two],
    categories: Sequence[tuple[Sequence[str], Sequence[str]]],
    totals: Mapping[str, int] | None = None,
) -> dict[str, PairScores]:
    """Scores per label: a pair counts once for every image of it that carries the label.

    `categories` holds the labels of both images of each pair. `totals` are the images per label that scores are
    divided by, by default those of `categories`: a subset of a benchmark may be held against the whole.
    """
    _check(choices, keys)
    if len(categories) != len(keys):
        raise ProbeError(f"{len(categories)} pairs of categories for {len(keys)} pairs")
    counts: dict[str, Counter[str]] = {}
    slots = Counter(label for both in categories for labels in both for label in labels)
    for predicted, right, both in zip(choices, keys, categories, strict=True):
        marks = _marks(predicted, right)
        for side, labels in enumerate(both):
            for label in labels:
                tally = counts.setdefault(label, Counter())
                for name, values in marks.items():
                    tally[name] += values[side]
    whole = totals or slots
    bare = sorted(set(counts) - set(whole))
    if bare:
        raise ProbeError(f"no total is given for the category {bare[0]!r}; there are {', '.join(sorted(whole))}")
    return {c: PairScores(pairs=n, slots=n, **counts.get(c, {})) for c, n in whole.items()}


PER_SLOT = ("individual_score", "invalid")


def _marks(predicted: Two, right: Two) -> dict[str, tuple[int, int]]:
    """What one pair adds for its first and its second image; marks of the pair are the same for both."""
    hit = [int(s == r) for s, r in zip(predicted, right, strict=True)]
    dumb = [int(s == INVALID) for s in predicted]
    valid, same = int(not any(dumb)), int(predicted[0] == predicted[1])
    pair = {
        "set_score": int(all(hit)),
        "confused": valid * same,
        "valids": valid,
        "valid_pairs": valid * (1 - same),
    }
    return {
        "individual_score": (hit[0], hit[1]),
        "invalid": (dumb[0], dumb[1]),
        **{name: (value, value) for name, value in pair.items()},
    }


def _check(choices: Sequence[Two], keys: Sequence[Two]) -> None:
    if len(choices) != len(keys) or not keys:
        raise ProbeError(f"{len(choices)} pairs of answers for {len(keys)} pairs of keys")
    for i, right in enumerate(keys):
        if right[0] == right[1] or INVALID in right:
            raise ProbeError(f"pair {i} has the keys {right[0]!r} and {right[1]!r}: a pair has two different ones")


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Whether published figures can be of one set of answers; `valids` lists the numbers of readable pairs that fit."""

    possible: bool
    valids: tuple[int, ...]
    reason: str


def consistent(
    *, set_accuracy: float, individual_accuracy: float, confusion: float, pairs: int, all_valid: bool, decimals: int = 2
) -> Consistency:
    """Whether set accuracy, individual accuracy and confusion (percentages as printed) can hold together.

    Of V readable pairs S are right twice, K have the same answer twice, and then exactly one of their answers
    is right: with I right answers in all, S + K <= V and 2 S + K <= I <= 2 S + K + (pairs - V). `all_valid`
    says that the way of answering cannot give an unreadable answer, so V is `pairs`.
    """

    def whole(percent: float, of: int) -> list[int]:
        near = round(percent * of / 100)
        slack = 0.5 * 10**-decimals + 1e-9
        return [k for k in (near - 1, near, near + 1) if 0 <= k <= of and abs(100 * k / of - percent) <= slack]

    both, right = whole(set_accuracy, pairs), whole(individual_accuracy, 2 * pairs)
    if not both or not right:
        which = f"set accuracy {set_accuracy}" if not both else f"individual accuracy {individual_accuracy}"
        return Consistency(possible=False, valids=(), reason=f"{which} % is no whole number out of {pairs} pairs")
    fits, crowded = [], True
    for v in range(pairs, pairs - 1 if all_valid else -1, -1):
        same = whole(confusion, v) if v else [0] * (confusion == 0)
        for s, i, k in product(both, right, same):
            crowded &= s + k > v
            if s + k <= v and 0 <= i - 2 * s - k <= pairs - v:
                fits.append(v)
    if fits:
        return Consistency(possible=True, valids=tuple(sorted(set(fits))), reason="")
    if crowded:
        why = f"{set_accuracy} % of the pairs right twice and {confusion} % answered alike are more than all of them"
    else:
        why = (
            f"{right[0]} right answers do not follow from {both[0]} pairs right twice and {confusion} % answered alike"
        )
        why += ", if every answer is readable" if all_valid else ", however many answers are unreadable"
    return Consistency(possible=False, valids=(), reason=why)
