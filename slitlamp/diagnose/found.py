"""What was found of one task: the chain of stages, the losses between them, the verdict and its sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from probes.stages.contrast import Contrast
from probes.stages.failure import Failure, Step
from slitlamp.diagnose.chain import ReadStage
from slitlamp.questions import Question
from slitlamp.records import Record


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnosed:
    """One task followed through one model.

    `chain` are the stages of the decomposition in their order, `parts` the losses between neighbours and `gap` that
    over all of it; `beside` are stages that stand in the table and not in the chain (thumbnails, blind answers).
    `contrasts` are further losses by name, `points` the record of every cell, `profile` rows of the language model's
    layers. `notes` are what the reader must know.
    """

    question: Question
    model: str
    plan: Any
    chain: Sequence[ReadStage]
    parts: Sequence[Step]
    gap: Step | None
    failure: Failure
    sentences: Sequence[str]
    beside: Sequence[ReadStage] = ()
    contrasts: Mapping[str, Contrast] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    items: Sequence[Mapping[str, Any]] = ()
    points: Sequence[Record] = ()
    notes: Sequence[str] = ()
    failed: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The task's name."""
        return self.question.name
