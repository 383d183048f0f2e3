"""What was measured of one task, and what follows from it: losses, items, the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probes.stages.answers import ItemTable, columns_of, item_table
from probes.stages.contrast import Contrast, contrast, margins_of
from probes.stages.failure import Answer, Causal, External, Failure, Foretold, Knowledge, Stage, decide
from probes.stages.transport import Transport
from probes.stats.exclusion import strength_to_exclude
from probes.stats.loss import margin_of
from probes.stats.measurement import Difference
from probes.stats.multiplicity import low_over_map
from probes.stats.verdict import rings
from slitlamp.diagnosis.chain import ReadStage, as_stage, decomposed, loss, order_loss
from slitlamp.diagnosis.contrastive import TextRead
from slitlamp.diagnosis.found import Diagnosed
from slitlamp.diagnosis.settings import DiagnoseSettings
from slitlamp.probing.state import QuestionCells, Run
from slitlamp.questions import Question
from slitlamp.records import Record
from slitlamp.settings import portable

PUBLISHED = "accuracy of others"


@dataclass(kw_only=True)
class Stages:
    """What was measured of one task, in the order of the model; None where a stage could not be reached.

    `image` and `last` are the language model's best layer at the image's positions and at the last token of the prompt.
    `answer` is the bias-free answer as a stage, `told` what the rule needs of it; `untold` are stages beside the chain.
    `external` is what a probe trained on other images reads of these, `elsewhere` its losses by name, `foretold` how
    well the model's own answers can be foretold. `rise` is what a stage tells in bits above a non-linear probe of the
    stage before, where it was asked for.
    """

    encoder: ReadStage
    reference: ReadStage | None = None
    connector: ReadStage | None = None
    to_connector: Transport | None = None
    image: ReadStage | None = None
    last: ReadStage | None = None
    to_language_model: Transport | None = None
    text: TextRead | None = None
    answer: ReadStage | None = None
    told: Answer | None = None
    knowledge: Knowledge | None = None
    causal: Causal | None = None
    rise: Contrast | None = None
    external: External | None = None
    foretold: Foretold | None = None
    elsewhere: dict[str, Contrast] = field(default_factory=dict)
    untold: list[ReadStage] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def chain(self) -> list[ReadStage]:
        """The stages of the decomposition, in their order."""
        text = () if self.text is None else (self.text.threshold, self.text.zero_shot)
        every = (self.reference, self.encoder, self.connector, self.image, self.last, *text, self.answer)
        return [one for one in every if one is not None]

    @property
    def best(self) -> ReadStage | None:
        """The stage behind the connector that reads most, with which an answer is compared."""
        some = [one for one in (self.connector, self.image, self.last) if one is not None]
        return max(some, key=lambda one: one.score, default=None)


def conclude(
    run: Run, question: Question, cells: QuestionCells, records: Sequence[Record], got: Stages, own: DiagnoseSettings
) -> Diagnosed:
    """The losses between the stages, the item table and the verdict of one task."""
    plan = run.plan(question)
    parts, gap = decomposed(got.chain, plan)
    contrasts, failure = _judged(run, cells, got, own, plan)
    table = item_rows(question, got, plan)
    return Diagnosed(
        question=question, model=portable(own.model), plan=plan, got=got, parts=parts, gap=gap, failure=failure,
        contrasts=contrasts, items=table[0], counts=table[1], points=records,
    )  # fmt: skip


def _judged(
    run: Run, cells: QuestionCells, got: Stages, own: DiagnoseSettings, plan: Any
) -> tuple[dict[str, Contrast], Failure]:
    asked = strength_to_exclude(len(plan.classes))
    reference, against = _reference(got, own, asked, plan)
    contrasts: dict[str, Contrast] = {} if against is None else {"reference to tower": against}
    accessible = None
    if got.connector is not None:
        accessible = loss(got.encoder, got.connector, plan)
        contrasts["tower to connector, trained anew"] = accessible
    if got.to_connector is not None:
        contrasts["tower to connector, transported"] = got.to_connector.loss
    if got.to_language_model is not None:
        contrasts["connector to language model, transported"] = got.to_language_model.loss
    unsaid = None
    if got.answer is not None and got.best is not None:
        unsaid = order_loss(got.best, got.answer, plan)
        contrasts["best stage to answer, AUC"] = unsaid
    contrasts |= got.elsewhere
    statistics = [run.measurement(cell) for cell in cells.encoder]
    low = low_over_map([m.null.statistic for m in statistics])
    failure = decide(
        encoder=as_stage(got.encoder, asked),
        reference=reference,
        against_reference=against,
        connector=None if got.connector is None else as_stage(got.connector, asked),
        to_connector=None if got.to_connector is None else got.to_connector.loss,
        accessible=accessible,
        image=None if got.image is None else as_stage(got.image, asked),
        last=None if got.last is None else as_stage(got.last, asked),
        to_language_model=None if got.to_language_model is None else got.to_language_model.loss,
        answer=got.told,
        unsaid=unsaid,
        text=None if got.text is None else got.text.text,
        knowledge=got.knowledge,
        causal=got.causal,
        rise=got.rise,
        external=got.external,
        foretold=got.foretold,
        leak=any(rings(low, m.estimate) for m in statistics),
        margin=margin_of(plan),
    )
    return contrasts, failure


def _reference(
    got: Stages, own: DiagnoseSettings, asked: float, plan: Any
) -> tuple[Stage | None, Contrast | None]:  # fmt: skip
    """What shows that the answer can be read at all: an accuracy that others reach, or the best reader before."""
    share = own.reference_accuracy
    if share is not None:
        e = got.encoder.measurement.estimate
        low, high = (None, None) if e.low is None else (share - e.high, share - e.low)
        found = contrast(Difference(score=share - e.score, low=low, high=high, p=None), margin_of(plan))
        return Stage(name=PUBLISHED, score=share, chance=e.chance, state="present", asked=asked), found
    if got.reference is None:
        return None, None
    return as_stage(got.reference, asked), loss(got.reference, got.encoder, plan)


NAMES = ("encoded", "passed on", "carried", "answered")


def item_rows(question: Question, got: Stages, plan: Any) -> tuple[list[dict[str, Any]], ItemTable | None]:
    """A row for every item: read at each stage or not, by the majority of the repeats; and the counts of the patterns.

    Only stages that were measured have a column.
    """
    text = None if got.text is None else got.text.zero_shot
    stages = zip(NAMES, (got.encoder, got.connector, got.last or got.image, got.answer or text), strict=True)
    held = [(name, margins_of(one.measurement)) for name, one in stages if one is not None]
    if len(held) < 2:
        return [], None
    columns = columns_of(held, plan)
    rows = []
    for k, item in enumerate(question.ids):
        row: dict[str, Any] = {
            "item": item, "group": str(question.groups[k]), "answer": (question.classes or ())[int(question.y[k])]
        }  # fmt: skip
        row |= {name.replace(" ", "_"): int(values[k]) for name, values in columns.items()}
        row |= {name: _plain(values[k]) for name, values in got.columns.items()}
        rows.append(row)
    return rows, item_table(columns, plan.groups)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
