"""Answers of a model to a question: per item and presentation the option that was chosen, and how sure it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from encoders.answering import ways
from slitlamp.answers.settings import LETTER

INVALID, TIE = -1, ways.TIE  # instead of an option: none could be read; two or more score the same
ENOUGH = 10  # trials from which a share of .90 is not luck: of 10 it is seen by guessing among two once in 90
UNASKED = -3  # this item has no such presentation

NO_IMAGE, GREY, OTHER, SAME = "no image", "grey image", "other class", "same class"
BLIND = (NO_IMAGE, GREY, OTHER, SAME)


@dataclass(frozen=True, kw_only=True, order=True)
class Presentation:
    """One manner of putting a question: which paraphrase, which wording of the options, in which order.

    `prompt` 0 is the question itself, others are its paraphrases; `wording` 0 are the classes' names. `shift` is how
    many options stand first in another place: option c stands at position (c - shift) mod k, so that 0 is the order of
    the classes and a question with k options has k cyclic orders.
    """

    prompt: int = 0
    wording: int = 0
    shift: int = 0

    def order(self, k: int) -> tuple[int, ...]:
        """The option at each of the k positions.

        >>> Presentation(shift=1).order(3)
        (1, 2, 0)
        """
        return tuple((place + self.shift) % k for place in range(k))


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a model answered in one way to n items under m presentations.

    `chosen` int64 [n, m] is the number of the option (the class, where the items share theirs), INVALID, TIE,
    or UNASKED where this item has no such presentation.
    `logodds` float64 [n, m, k] is the log-probability of each option among the options of that presentation (their
    exponentials add up to 1), NaN beyond the options of an item with fewer and where unasked; None for a way that only
    writes.
    `replies` [n][m] is the raw text, "" for a way that only scores; `why` [n][m] says why an answer is invalid.
    """

    way: str
    format: str
    presentations: tuple[Presentation, ...]
    chosen: np.ndarray
    logodds: np.ndarray | None = None
    replies: Sequence[Sequence[str]] = ()
    why: Sequence[Sequence[str]] = ()

    def under(self, prompt: int | None = None, wording: int | None = None, shift: int | None = None) -> np.ndarray:
        """The numbers of the presentations with this paraphrase, wording and order; any where None."""
        asked = (("prompt", prompt), ("wording", wording), ("shift", shift))
        kept = [all(value is None or getattr(p, name) == value for name, value in asked) for p in self.presentations]
        return np.flatnonzero(kept)

    @property
    def mean(self) -> np.ndarray:
        """Bias-free log-probabilities [n, k]: the mean over all presentations, so over all orders.

        Raises:
            ValueError: a way without scores.
        """
        if self.logodds is None:
            raise ValueError(f"the way {self.way} gives no scores")
        return averaged(self.logodds)


def averaged(logodds: np.ndarray) -> np.ndarray:
    """The mean of log-probabilities [n, m, k] over the presentations that an item has: [n, k], NaN without any."""
    there = ~np.isnan(logodds)
    count = there.sum(axis=1)
    return np.where(count > 0, np.where(there, logodds, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, kw_only=True, eq=False)
class Knowledge:
    """Whether the question is understood where its answer cannot be missed (METHOD 4.6 iii).

    By how the fact was given (`stated` in the prompt without any image, `stamped` into the image): `asked` and `right`
    count presentations and those whose letter is right; `pairs` and `pairs_right` pairs of different facts under one
    presentation, and those in which each fact gives more to its own option than the other does, which no preference for
    a letter or an option can hide.
    """

    asked: Mapping[str, int]
    right: Mapping[str, int]
    pairs: Mapping[str, int]
    pairs_right: Mapping[str, int]
    least: float = 0.9

    def knows(self, name: str) -> bool:
        """Whether the letters, or the pairs, are right often enough where the fact was given so."""
        return self.share.get(name, 0.0) >= self.least

    @property
    def share(self) -> Mapping[str, float]:
        """The larger of both shares, by how the fact was given; of fewer than ENOUGH trials a share tells nothing."""
        both = ((self.right, self.asked), (self.pairs_right, self.pairs))
        found = {name: [ok[name] / n[name] for ok, n in both if n[name] >= ENOUGH] for name in self.asked}
        return {name: max(shares) for name, shares in found.items() if shares}

    @property
    def understood(self) -> bool | None:
        """Whether it is answered rightly often enough in one of the ways; None where too little was asked."""
        return any(self.knows(name) for name in self.asked) if self.share else None


@dataclass(frozen=True, kw_only=True, eq=False)
class AnsweredQuestion:
    """A question as one model answered it, item by item.

    `y` int64 [n] is the number of the right option; `classes` are the options where all items share theirs, else None,
    and `options` [n] holds each item's (wording 0). `copies` [n] names the image that an item is a copy of, None where
    there are none. `ways` are the answers by way; `blind` those of the letter under the paraphrases and orders of
    wording 0, with the image taken away or exchanged: `no image`, `grey image`, and another item's image of `other
    class` and of `same class`, from another group. `shown` int64 [n] says for the last two whose image it was, -1
    where there is none (then `chosen` is UNASKED). `fingerprint` is the model's, `asked` how many prompts were put now,
    `failed` a line for each way that could not be asked and for a judge that failed.
    """

    model: str
    fingerprint: str
    name: str
    ids: tuple[str, ...]
    groups: np.ndarray
    y: np.ndarray
    options: Sequence[tuple[str, ...]]
    classes: tuple[str, ...] | None
    ways: Mapping[str, Answers]
    prompts: Sequence[Sequence[str]] = ()
    blind: Mapping[str, Answers] = field(default_factory=dict)
    shown: Mapping[str, np.ndarray] = field(default_factory=dict)
    copies: tuple[str, ...] | None = None
    knowledge: Knowledge | None = None
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    asked: int = 0

    @property
    def letter(self) -> Answers:
        """The letter's answers, of which the bias-free log-odds are."""
        return self.ways[LETTER]
