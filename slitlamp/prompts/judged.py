"""What an audit of visual prompts says of one responder: a readout of an encoder, or a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probes.prompts import audit as prompts
from probes.prompts import bias as prompts_bias
from probes.prompts import controls as prompts_controls
from probes.prompts.audit import COLOURS, Audit
from probes.prompts.bias import Dose, Histogram, Share, Spread, UprightBias
from probes.prompts.controls import Change, Control
from slitlamp.prompts.presentations import CODES, Prompted, presentations


@dataclass(kw_only=True)
class Judged:
    """One responder: a readout at a site, or a model.

    transfer: accuracy under assignments that trained the readout and under others. phase: accuracy where the correct
    mark lies near a border between tokens and elsewhere. published: accuracy in the colours that an image has and in
    others. controls: answers where no mark holds the evidence; encoded: what is read of the marks themselves.
    """

    responder: str
    histogram: Histogram
    answers: list[dict[str, Any]]
    audit: Audit | None = None
    spread: Spread | None = None
    cells: list[Share] = field(default_factory=list)
    transfer: Change | None = None
    phase: Change | None = None
    published: Change | None = None
    controls: list[Control] = field(default_factory=list)
    encoded: list[Control] = field(default_factory=list)
    dose: Dose | None = None
    bias: UprightBias | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """A whole run."""

    task: str
    source: str
    images: int
    groups: int
    limited: bool
    judged: list[Judged]
    notes: list[str]
    question: Mapping[str, Any] | None = None  # see `slitlamp.questions.facts_of`; None of answers about turns


def judge(
    responder: str,
    given: Prompted,
    image: np.ndarray,
    assignment: np.ndarray,
    predicted: np.ndarray,
    seed: int,
    phase: np.ndarray | None = None,
) -> Judged:
    """The audit of the answers to one set of presentations; `said` is the mark [n] from left to right, -1 unread.

    `phase` is how far the marks [images, 3] lie from a border between tokens, where that is known.
    """
    shown = presentations(given, image, assignment, predicted, phase)
    label = [COLOURS[c] for c in shown.colour[np.arange(len(predicted)), shown.correct]]
    named = [COLOURS[shown.colour[i, s]] if s >= 0 else "" for i, s in enumerate(predicted)]
    rows = [
        {"responder": responder, "item": given.items[i].id, "assignment": CODES[k], "correct": right, "answer": answer}
        for i, k, right, answer in zip(image, assignment, label, named, strict=True)
    ]
    return Judged(
        responder=responder, histogram=prompts_bias.histogram(named, label), answers=rows, audit=prompts.audit(shown),
        spread=prompts_bias.spread(shown, np.random.default_rng([seed, 7])), cells=prompts_bias.by_cell(shown),
        phase=prompts_controls.by_phase(shown),
    )  # fmt: skip
