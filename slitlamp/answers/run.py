"""The command that asks models: every model and question, tables, sentences, a figure, and every answer as CSV."""

import cache
from cache import write_atomically
from encoders import EncoderError
from slitlamp.answers.answered import UNASKED, AnsweredQuestion
from slitlamp.answers.ask import ask
from slitlamp.answers.figures import accuracies
from slitlamp.answers.inquiry import Inquiry, check_words, of_question, of_rows
from slitlamp.answers.judge import Judging
from slitlamp.answers.settings import AskSettings
from slitlamp.answers.stored import StoredModel, stored_models
from slitlamp.answers.table import long_rows, tables
from slitlamp.answers.words import sentences
from slitlamp.errors import none_of, one_line
from slitlamp.log import say
from slitlamp.probing.words import synthetic
from slitlamp.questions import ask as put
from slitlamp.reports.result import CommandResult
from slitlamp.reports.spreadsheet import as_csv
from slitlamp.reports.text import question_line
from slitlamp.settings import Settings


def answer(settings: Settings, own: AskSettings, command: str) -> CommandResult:
    """Ask what was asked; see `slitlamp.answer`."""
    store = cache.Store(cache.default_root())
    settings = settings.but(encoder=own.model)
    models = stored_models(settings.encoder, store)
    Judging.of(own, store)  # a judge that cannot be loaded is told before anything is read
    inquiries = _inquiries(settings, own, store)
    for inquiry in inquiries:
        say(question_line(inquiry.record))
    found: list[AnsweredQuestion] = []
    failed: list[str] = []
    for model in models:
        for inquiry in inquiries:
            try:
                found.append(ask(model, inquiry, own, seed=settings.source.seed))
            except EncoderError as error:
                line = one_line(error)
                failed.append(line if line.startswith(model.label) else f"{model.label}, {inquiry.name}: {line}")
    if not found:
        raise EncoderError(none_of(failed))
    for line in dict.fromkeys(failed):
        say(f"error: {line}")
    failed += [line for one in found for line in one.failed]  # said as they came
    rows: dict[str, list] = {}
    for one in found:
        for name, some in tables(one).items():
            rows.setdefault(name, []).extend(some)
    put_now = sum(one.asked for one in found)
    every = sum(
        int((answers.chosen != UNASKED).sum()) for one in found for answers in (*one.ways.values(), *one.blind.values())
    )
    return CommandResult(
        experiment="answers ask", tables=rows, sentences=[line for one in found for line in sentences(one)],
        notes=_notes(models, inquiries, found), questions=[dict(one.record) for one in inquiries],
        figures={"answers": lambda: accuracies(found)},
        data={"answers.csv": lambda path: write_atomically(path, as_csv(r for one in found for r in long_rows(one)))},
        arrays={f"{one.model}/{one.name}": one for one in found}, command=command, failed=list(dict.fromkeys(failed)),
        summary=f"{every} answers, {put_now} prompts put now",
    )  # fmt: skip


def _inquiries(settings: Settings, own: AskSettings, store: cache.Store) -> list[Inquiry]:
    """What is asked: the tasks that are named, or what a benchmark asks of its own rows."""
    source = settings.source
    if source.data is not None and not source.task and source.label is None:
        return [of_rows(source, own, store)]
    questions = put(source, store)
    check_words(questions, own)
    return [of_question(question, own) for question in questions]


def _notes(models: list[StoredModel], inquiries: list[Inquiry], found: list[AnsweredQuestion]) -> list[str]:
    images = "images" * any(one.synthetic for one in inquiries)
    trained = [model.label for model in models if model.card.synthetic]
    notes = [note for one in inquiries for note in one.warnings]
    notes += synthetic(images, f"the weights of {', '.join(trained)}" if trained else "")
    notes += [f"{model.label}: chat template from {model.identity.template}" for model in models]
    notes += [note for one in found for note in one.notes]
    return list(dict.fromkeys(notes))
