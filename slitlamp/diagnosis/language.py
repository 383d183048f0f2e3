"""A whole model behind its connector: the layers of its language model as cells of the run, on the same pixels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import encoders
from encoders import EncoderError
from encoders.answering.prompts import FORMATS
from probes.stats.best import simultaneous, widened
from slitlamp.answers.inquiry import of_question
from slitlamp.answers.settings import AskSettings
from slitlamp.answers.stored import StoredModel
from slitlamp.diagnosis.chain import ReadStage, at_map, read_stage
from slitlamp.encoding.encoder import StoredEncoder, weights_of
from slitlamp.probing.points import cells_of
from slitlamp.probing.run import encode_all, maps_of, measure_all
from slitlamp.probing.state import Cell, Role, Run
from slitlamp.questions import Question
from slitlamp.records import Record

LANGUAGE, CONNECTOR, LAST = "lm.", "connector", "last"
BEHIND = ".lm"  # behind the model's name in a run: it as a reader of images beside a prompt
APART = 0.02  # share of a feature's size by which the same pixels may differ where they are kept as 16 bit


def can_be_whole(name: str) -> bool:
    """Whether a model of that name can be built with its language model."""
    return name in encoders.whole_names()


def model_of(run: Run, name: str) -> StoredModel:
    """The whole model behind an encoder of the run; nothing is loaded yet."""
    label, settings = f"{name}{BEHIND}", run.settings.encoder
    path = weights_of(settings).get(name)
    own = replace(
        settings, encoder=(f"{label}={name}",), weights=() if path is None else (f"{label}={path}",),
        site=(f"{LANGUAGE}*", CONNECTOR), readout=(),
    )  # fmt: skip
    return StoredModel(spec=label, settings=own, store=run.store, device=run.encoders.asked[0].device, dtype=own.dtype)


def prompt_of(question: Question, asking: AskSettings) -> str:
    """What stands beside every image: the question in its first words, with its options in the order of the classes.

    Raises:
        UsageError: the question cannot be put as options.
    """
    inquiry = of_question(question, asking)
    return FORMATS[asking.format].text(inquiry.prompts[0][0], inquiry.options[0][0])


def language_cells(run: Run, question: Question, model: StoredModel, asking: AskSettings) -> list[Cell]:
    """The layers of the language model, encoded beside the question and measured.

    Raises:
        EncoderError: the model cannot be built or asked here, or saw other pixels than its tower did.
    """
    reader = model.reader(prompt_of(question, asking))
    if not encode_all(run, question, [reader]):
        raise EncoderError(f"{model.source} has no site of a language model")
    _check_pixels(run, question, reader, model.source)
    cells = [c for c in cells_of(run, question, reader, Role.ENCODER) if c.site.startswith(LANGUAGE)]
    if not cells:
        raise EncoderError(f"{model.source} has no site of a language model")
    measure_all(run, [*cells, *maps_of(run, question, cells)], f"probing the language model, {question.name}")
    return cells


def _check_pixels(run: Run, question: Question, reader: StoredEncoder, name: str) -> None:
    """Refuse a tower that saw other pixels than those with which the model answers."""
    alone, asked = run.filled[question.name, name], run.filled[question.name, reader.spec]
    here, there = (
        {f"{site}/{readout}" for site, readout, _ in one.points() if site == CONNECTOR}
        for one in (reader, next(e for e in run.encoders.asked if e.spec == name))
    )
    for point in sorted(here & there):
        a, b = alone.read(point), asked.read(point)
        size = float(np.abs(a).mean()) or 1.0
        apart = float(np.abs(a - b).mean()) / size if a.shape == b.shape else 1.0
        if apart > APART:
            raise EncoderError(
                f"{name}: what its connector hands on differs by {apart:.0%} between the image alone and the image "
                "beside the question: tower and language model do not see the same pixels, and nothing is compared"
            )


def image_and_last(
    run: Run, cells: Sequence[Cell], records: dict[tuple[str, str], Record]
) -> tuple[ReadStage | None, ReadStage | None]:
    """The best layer at the image's positions, and at the last token of the prompt, chosen inside the folds."""
    at_image = [c for c in cells if c.readout != LAST]
    at_last = [c for c in cells if c.readout == LAST]
    return (
        read_stage(run, at_image, records, "language_model", "language model, image"),
        read_stage(run, at_last, records, "language_model", "language model, last token"),
    )


def profile(
    run: Run, question: Question, cells: Sequence[Cell], records: dict[tuple[str, str], Record]
) -> list[dict[str, object]]:
    """A row for each layer and readout, with the band that holds for all of them at once."""
    plan = run.plan(question)
    measured = [run.measurement(at_map(run, cell)) for cell in cells]
    wider = simultaneous([m.scored.part.mean(axis=0) for m in measured], plan) if measured else 1.0
    layers = list(dict.fromkeys(cell.site for cell in cells))
    rows: list[dict[str, object]] = []
    for cell, m in zip(cells, measured, strict=True):
        low, high = widened(m.estimate, wider)
        rows.append(
            {
                "task": question.name, "layer": layers.index(cell.site), "site": cell.site, "readout": cell.readout,
                "score": m.estimate.score, "low": m.estimate.low, "high": m.estimate.high, "band_low": low,
                "band_high": high, "chance": plan.chance,
                "verdict": records[cell.encoder.label, cell.name].verdict, "p": m.estimate.p,
            }
        )  # fmt: skip
    return rows
