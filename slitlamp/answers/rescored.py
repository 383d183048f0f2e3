"""Replies beside their items: what we read of each, what the file's own tool read, and which option is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from probes import ProbeError
from probes.pairs.inference import share
from slitlamp.answers.formats import Record
from slitlamp.answers.reply import Parsed
from slitlamp.answers.truth import Known

OURS, THEIRS = "ours", "theirs"
UNKNOWN, NONE = -2, -1  # instead of an option: the file does not say; none was read


def shown_reader(reader: str) -> str:
    """What tables call a reader: us, the file's own tool, or a published rule.

    >>> shown_reader("ours"), shown_reader("blink")
    ('ours', 'rule of blink')
    """
    return reader if reader in (OURS, THEIRS) else f"rule of {reader}"


def ends(values: np.ndarray, groups: np.ndarray) -> tuple[float | None, float | None]:
    """The ends of the 95 % interval of a share [n] by group, int [n]; None where there is one group alone, or none."""
    try:
        found = share(values, np.unique(groups, return_inverse=True)[1])
    except ProbeError:
        return None, None
    return found.low, found.high


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """One reply beside its item: what we read, what the file's tool read, and which option is right.

    `ours`, `theirs` and the values of `rules` are options by their place, NONE, or UNKNOWN; `right` is what the file
    itself counts, None where it does not say.
    """

    record: Record
    known: Known
    parsed: Parsed
    ours: int
    theirs: int
    right: float | None
    rules: Mapping[str, int]

    def hit(self, reader: str) -> float:
        """1 where that reader's answer is right, 0 where not, NaN where it is not known."""
        if reader == THEIRS:
            if self.right is not None:
                return self.right
            if self.theirs == UNKNOWN or self.known.answer is None:
                return float("nan")
            return float(self.theirs == self.known.answer)
        if self.known.answer is None:
            return float("nan")
        return float((self.ours if reader == OURS else self.rules[reader]) == self.known.answer)

    def chosen(self, reader: str) -> int:
        """That reader's option."""
        return self.ours if reader == OURS else self.theirs if reader == THEIRS else self.rules[reader]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """The replies of one model to the items of one task, and the items that it has no reply to."""

    model: str
    task: str
    read: Sequence[Read]
    missing: Sequence[Known]

    def values(self, reader: str) -> tuple[np.ndarray, np.ndarray]:
        """Right (1) or not (0) of every reply that can be scored, and its group; an item without a reply is wrong.

        Replies and items whose right answer is not known are left out.
        """
        hits = [(one.hit(reader), one.known.group) for one in self.read]
        hits = [(value, group) for value, group in hits if value == value]
        hits += [(0.0, one.group) for one in self.missing if one.answer is not None]
        groups = {name: k for k, name in enumerate(dict.fromkeys(group for _, group in hits))}
        return np.array([value for value, _ in hits]), np.array([groups[group] for _, group in hits], np.int64)

    def readable(self, reader: str) -> int:
        """How many replies name an option, to that reader."""
        return sum(one.chosen(reader) >= 0 for one in self.read)

    @cached_property
    def options(self) -> tuple[str, ...] | None:
        """The options, where all items share theirs."""
        every = {one.known.options for one in self.read}
        return next(iter(every)) if len(every) == 1 else None
