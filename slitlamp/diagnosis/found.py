"""What was found of one task: the stages, the losses between them, the items, the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from probes.stages.answers import ItemTable
from probes.stages.contrast import Contrast
from probes.stages.failure import Failure, Step
from slitlamp.questions import Question
from slitlamp.records import Record


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnosed:
    """One task followed through one model.

    `got` are the measured stages (`stages.Stages`), `parts` the losses between neighbours and `gap` that over all of
    them, `contrasts` the losses that the verdict rests on, by name. `items` is a row for each item and `counts` its
    patterns, `points` the record of every cell.
    """

    question: Question
    model: str
    plan: Any
    got: Any
    parts: Sequence[Step]
    gap: Step | None
    failure: Failure
    contrasts: Mapping[str, Contrast] = field(default_factory=dict)
    items: Sequence[Mapping[str, Any]] = ()
    counts: ItemTable | None = None
    points: Sequence[Record] = ()

    @property
    def name(self) -> str:
        """The task's name."""
        return self.question.name
