"""A measured point with its verdict, the best of several, and what the order of a list tells."""

import dataclasses
from typing import Any

from probes.stats.loss import Loss
from probes.stats.plan import ALPHA
from slitlamp.probing.state import Cell
from slitlamp.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """One cell with its verdict and the paired differences it rests on."""

    cell: Cell
    measurement: Any
    verdict: Any
    p: float | None
    controls: dict[str, tuple[Any, Any]]
    loss: Loss | None
    credit_words: str
    record: Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best:
    """The row that is marked as the best of so many, and what the best reads when it is chosen inside the folds.

    `nested` is None where no point could be chosen inside the folds.
    """

    row: Judged
    of: int
    nested: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListTold:
    """A list whose order tells the answer: the control, and the p that images of one answer tell their place in it.

    p is None where the answer and the place cannot be told apart.
    """

    measurement: Any
    p: float | None

    @property
    def carried(self) -> bool:
        """Whether the images may carry the order, so that it takes the credit."""
        return self.p is None or self.p <= ALPHA
