"""One task along the stages of a model: tower, joint space and texts, or connector, language model and answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import encoders
from encoders import EncoderError
from plugins import UserFileError
from probes import ProbeError
from slitlamp.answers.answered import GREY, NO_IMAGE, AnsweredQuestion
from slitlamp.answers.ask import Asking, asked, presentations
from slitlamp.answers.inquiry import of_question
from slitlamp.answers.settings import LETTER, PREFIX, AskSettings
from slitlamp.answers.shown import grey
from slitlamp.answers.stored import StoredModel
from slitlamp.diagnosis import answered
from slitlamp.diagnosis.answer_probe import foretell
from slitlamp.diagnosis.answers_file import answers_from
from slitlamp.diagnosis.causal import causal_check
from slitlamp.diagnosis.chain import controls_of, read_stage, reference_of
from slitlamp.diagnosis.contrastive import JOINT, read_texts
from slitlamp.diagnosis.external import read_elsewhere
from slitlamp.diagnosis.information import read_information
from slitlamp.diagnosis.language import (
    CONNECTOR,
    LANGUAGE,
    LAST,
    can_be_whole,
    image_and_last,
    language_cells,
    model_of,
    profile,
)
from slitlamp.diagnosis.prompts import styles_of
from slitlamp.diagnosis.settings import DiagnoseSettings
from slitlamp.diagnosis.stages import Stages
from slitlamp.diagnosis.transport import carried
from slitlamp.encoding.fill import NotFiniteError
from slitlamp.errors import UsageError, one_line
from slitlamp.log import say
from slitlamp.probing.points import INNER
from slitlamp.probing.run import probe_question
from slitlamp.probing.state import Cell, QuestionCells, Run
from slitlamp.questions import Question
from slitlamp.records import Record
from slitlamp.settings import Settings, portable
from tasks import DataError

PASSING = (EncoderError, UserFileError, NotFiniteError, ProbeError, DataError)  # after which what was computed is kept


@dataclass(frozen=True, kw_only=True)
class Route:
    """How far a model can be followed here: by texts, or behind its connector with `model`, or not that far.

    `short` says why it is not followed further.
    """

    texts: bool
    model: StoredModel | None = None
    short: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """The cells of one question: those of tower, connector and controls, and the language model's `layers` among them.

    `external` is other images of the same classes, on which probes are trained too, where --external names some.
    `failed` are lines of what could not be computed.
    """

    question: Question
    cells: QuestionCells
    layers: Sequence[Cell] = ()
    external: Question | None = None
    failed: list[str] = field(default_factory=list)

    @property
    def without_layers(self) -> QuestionCells:
        """The cells that need no language model."""
        return replace(self.cells, encoder=[c for c in self.cells.encoder if c not in self.layers])


def check_options(question: Question, own: DiagnoseSettings, settings: Settings) -> None:
    """Raises UsageError for a task that no model can be asked with options, DataError for answers to other items.

    Both before anything is encoded.
    """
    if question.classes is None:
        raise UsageError(
            f"--task {question.name}: its answers are numbers, and a model is asked with options; `linear_probe` tells "
            "what can be read, or --classes makes classes of the values"
        )
    if own.prompt:
        styles_of(question, own.prompt)
    if own.answers is not None:
        answers_from(own.answers, question, settings)


def route_of(run: Run, own: DiagnoseSettings) -> Route:
    """How far the model of the command can be followed.

    Raises:
        UsageError: an encoder of images alone, or texts for a model that compares none.
    """
    registered = own.model in encoders.names()  # whose card is known before anything is loaded or fetched
    card = encoders.card(own.model) if registered else next(e for e in run.encoders.asked if e.spec == own.model).card
    texts = card.text and JOINT in card.sites
    if own.prompt and not texts:
        raise UsageError(f"--prompt has nothing to act on: {portable(own.model)} does not compare images with texts")
    if own.answers is not None or own.model in ("pixels", "lowlevel"):
        return Route(texts=False)
    if texts:
        return Route(texts=True)
    if can_be_whole(own.model):
        return Route(texts=False, model=model_of(run, own.model))
    if CONNECTOR not in card.sites:
        raise UsageError(
            f"--model {portable(own.model)} reads images alone: it has no connector, no language model and no joint "
            "space with texts that could lose anything; linear_probe tells what it reads, --answers FILE what a model "
            "around it answered"
        )
    return Route(
        texts=False,
        short=f"{portable(own.model)} cannot be built with its language model here: tower and connector are followed; "
        "--answers FILE gives what it answered elsewhere",
    )


def check_asking(question: Question, route: Route, own: DiagnoseSettings) -> None:
    """Refuse words in which a model that answers here cannot be asked, before anything is encoded.

    Raises:
        UsageError: a column without a question in words, another number of options than of classes, or flags about
            asking where nothing is asked. DataError: options that cannot be told apart.
    """
    if route.model is not None:
        of_question(question, asking_of(own))
        return
    who = f"the answers of {portable(str(own.answers))}" if own.answers is not None else portable(own.model)
    if own.causal == "on":
        raise UsageError(
            f"--causal on has nothing to act on: {who} cannot be asked again with what a connector hands on changed"
        )
    plain = DiagnoseSettings()
    for flag in ("question", "options", "format", "paraphrases", "wordings"):
        if getattr(own, flag) != getattr(plain, flag):
            more = "; --prompt CLASS=TEXT words its texts" * route.texts
            raise UsageError(f"--{flag} has nothing to act on: {who} cannot be asked here{more}")


def asking_of(own: DiagnoseSettings) -> AskSettings:
    """How the model is asked."""
    return AskSettings(
        model=(own.model,), ways=(LETTER,), question=own.question, options=own.options, format=own.format,
        paraphrases=own.paraphrases, wordings=own.wordings, no_blind=True,
    )  # fmt: skip


def asked_blind(run: Run, question: Question, model: StoredModel, own: DiagnoseSettings) -> AnsweredQuestion:
    """What the model answers, and what it answers in the first words without any image and beside a grey one."""
    asking, seed = asking_of(own), run.settings.probe.seed
    found = asked(model, question, asking, seed=seed)
    inquiry = of_question(question, replace(asking, paraphrases=1))
    blind = Asking(model=model, inquiry=inquiry, settings=asking, notes=[])
    every = presentations(inquiry, LETTER)
    shown = {NO_IMAGE: lambda _: None, GREY: lambda i: grey(question.pictures, i)}
    return replace(found, blind={name: blind.answers(LETTER, every, show, name) for name, show in shown.items()})


def gather(run: Run, question: Question, route: Route, own: DiagnoseSettings) -> Gathered | None:
    """Encode and measure one question at every site; what fails behind the connector is named, the rest kept."""
    cells = probe_question(run, question)
    if cells is None or all(c.encoder.spec != own.model for c in cells.encoder):
        return None
    layers, failed = [], []
    if route.model is not None:
        try:
            layers = language_cells(run, question, route.model, asking_of(own))
        except PASSING as error:
            failed.append(told(own, question, error))
    return Gathered(
        question=question, cells=replace(cells, encoder=[*cells.encoder, *layers]), layers=layers, failed=failed
    )


def told(own: DiagnoseSettings, question: Question, error: Exception) -> str:
    """Say, and give back, the line of what could not be computed for a question."""
    line = f"{portable(own.model)}, {question.name}: {one_line(error)}"
    say(f"error: {line}")
    return line


def follow(
    run: Run, got: Gathered, records: Sequence[Record], route: Route, own: DiagnoseSettings, others: Sequence[Question]
) -> Stages:  # fmt: skip
    """The stages of one task; `others` are all questions of the command, for the unrelated one of the causal check."""
    mine = [cell for cell in got.cells.encoder if cell.encoder.spec == own.model]
    stages = _tower(run, got.without_layers, mine, records, own)
    if own.reference_accuracy is not None:
        stages.notes.append(f"held against an accuracy of {own.reference_accuracy:g} that others reach on these items")
    stages.failed += got.failed
    if route.short:
        stages.notes.append(route.short)
    try:
        if route.texts:
            _texts(run, got.question, mine, records, stages, own)
        else:
            _behind(run, got, mine, records, route, stages, own, others)
    except PASSING as error:
        stages.failed.append(told(own, got.question, error))
    if got.external is not None:
        _elsewhere(run, got, got.external, mine, stages, own)
    if own.information:
        _kept(run, got.question, mine, stages, own)
    return stages


def _elsewhere(
    run: Run, got: Gathered, external: Question, mine: Sequence[Cell], stages: Stages, own: DiagnoseSettings
) -> None:
    """What probes trained on external images read of the items, at every stage of the chain that has probes."""
    behind = [cell for cell in mine if cell.site in (JOINT, CONNECTOR)]
    layers = [[c for c in got.layers if (c.readout == LAST) is last] for last in (False, True)]
    chain = zip(
        (stages.encoder, stages.connector, stages.image, stages.last), (tail(mine), behind, *layers), strict=True
    )
    there = [(stage, cells) for stage, cells in chain if stage is not None]
    try:
        found = read_elsewhere(run, got.question, external, there, stages.answer)
    except PASSING as error:
        stages.failed.append(told(own, got.question, error))
        return
    stages.external, stages.untold = found.external, [*stages.untold, *found.stages]
    stages.elsewhere = found.losses
    stages.notes += external.warnings


def _kept(run: Run, question: Question, mine: Sequence[Cell], stages: Stages, own: DiagnoseSettings) -> None:
    """What the stages keep besides accuracy."""
    try:
        kept = read_information(
            run, question, stages, [cell for cell in mine if is_of_tower(cell)],
            [cell for cell in mine if cell.site in (JOINT, CONNECTOR)],
        )  # fmt: skip
    except PASSING as error:
        stages.failed.append(told(own, question, error))
        return
    stages.rise = kept.rise
    stages.tables |= {name: rows for name, rows in kept.rows.items() if rows}
    stages.notes += kept.lines


def _tower(
    run: Run, cells: QuestionCells, mine: Sequence[Cell], records: Sequence[Record], own: DiagnoseSettings
) -> Stages:
    """Where the tower ends, and the best reader of the same items before."""
    by, ends = by_point(records), tail(mine)
    earlier = [c for c in mine if is_of_tower(c) and c not in ends]
    encoder = read_stage(run, ends, by, "encoder", "tower")
    assert encoder is not None
    reference = reference_of(run, cells, earlier, own.reference)
    return Stages(encoder=encoder, reference=reference, untold=controls_of(run, cells))


def by_point(records: Sequence[Record]) -> dict[tuple[str, str], Record]:
    """Records by encoder and point."""
    return {(r.encoder, f"{r.site}/{r.readout}"): r for r in records}


def is_of_tower(cell: Cell) -> bool:
    """Whether a cell is of the tower itself, and not of what stands behind it."""
    return cell.site not in (JOINT, CONNECTOR) and not cell.site.startswith(LANGUAGE)


def tail(cells: Sequence[Cell]) -> list[Cell]:
    """The points at which a tower ends: its last two blocks or stages, and what stands behind them."""
    tower = [cell for cell in cells if is_of_tower(cell)]
    inner = list(dict.fromkeys(c.site for c in tower if c.site.startswith(INNER)))
    return [c for c in tower if c.site not in inner[:-2]]


def _texts(
    run: Run, question: Question, mine: Sequence[Cell], records: Sequence[Record], stages: Stages, own: DiagnoseSettings
) -> None:  # fmt: skip
    """Joint space and texts of a contrastive model."""
    joint = [cell for cell in mine if cell.site == JOINT]
    stages.connector = read_stage(run, joint, by_point(records), "connector", "joint space")
    assert stages.connector is not None
    stages.to_connector = carried(run, question, stages.encoder, joint)
    stages.text = read_texts(run, question, stages.connector, styles_of(question, own.prompt))
    stages.tables["texts"] = [dict(row) for row in stages.text.rows]


def _behind(
    run: Run, got: Gathered, mine: Sequence[Cell], records: Sequence[Record], route: Route, stages: Stages,
    own: DiagnoseSettings, others: Sequence[Question],
) -> None:  # fmt: skip
    """Connector, layers of the language model, answers and the causal check, as far as they can be had."""
    by, question = by_point(records), got.question
    connector = [cell for cell in mine if cell.site == CONNECTOR]
    if connector:
        stages.connector = read_stage(run, connector, by, "connector", "connector")
        stages.to_connector = carried(run, question, stages.encoder, connector)
    else:
        stages.notes.append(f"{portable(own.model)} has no connector that can be read: the tower alone is followed")
    if got.layers:
        stages.image, stages.last = image_and_last(run, got.layers, by)
        stages.tables["layers"] = profile(run, question, got.layers, by)
        if stages.connector is not None and stages.image is not None and stages.image.cell is not None:
            site = stages.image.cell.site
            stages.to_language_model = carried(
                run, question, stages.connector, [c for c in got.layers if c.site == site and c.readout != LAST]
            )
    found = _answers(run, question, route, stages, own, failed=bool(got.failed))
    if found is None:
        return
    stages.told, bias, stages.answer = answered.told_of(question, run.plan(question), found)
    stages.untold += answered.blind_stages(question, run.plan(question), found)
    stages.knowledge = answered.knowledge_of(found)
    stages.columns |= answered.item_columns(found, len(question.classes or ()))
    stages.tables["answers"] = answered.answer_rows(question, found, bias)
    stages.notes += found.notes
    layers = [one for one in (stages.image, stages.last) if one is not None]
    best = max(layers, key=lambda one: one.score, default=None)
    read = [stages.connector or stages.encoder, *([] if best is None else [best])]
    foretold = foretell(run, question, found, read)
    stages.foretold, stages.tables["answer_probe"] = foretold.best, [dict(row) for row in foretold.rows]
    stages.notes += foretold.notes
    if not answered.is_scored(found):
        stages.notes.append("of the answers nothing but the option is known: a preferred option cannot be taken off")
    if route.model is not None and own.causal != "off" and LETTER not in found.ways:
        stages.notes.append("no causal check: it asks by the letter")
    elif route.model is not None and own.causal != "off" and answered.is_scored(found):
        checked = causal_check(run, question, route.model, asking_of(own), others)
        stages.causal, stages.tables["causal"] = checked.causal, [dict(row) for row in checked.rows]
        stages.notes += checked.notes


def _answers(
    run: Run, question: Question, route: Route, stages: Stages, own: DiagnoseSettings, *, failed: bool
) -> AnsweredQuestion | None:
    """What the model answers: read from --answers, or asked; None where neither can be."""
    if own.answers is not None:
        return answers_from(own.answers, question, run.settings)
    if route.model is None or failed:
        return None
    asking = asking_of(own)
    try:
        return asked_blind(run, question, route.model, own)
    except EncoderError as error:
        stages.notes.append(f"not asked by the letter, but by the options' texts: {error}")
        return asked(route.model, question, replace(asking, ways=(PREFIX,)), seed=run.settings.probe.seed)
