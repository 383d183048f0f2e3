"""Where along a model a fact is lost: the decision rule over stages, contrasts, answers and causal checks.

METHOD 4.8 as amended. A verdict needs several conditions at once (an intersection-union test), so its p is the largest
of theirs; a claim of loss rests on a reader that is shown to read, a claim of absence on what its silence excludes.
Probes are trained on the task and answers are not: every verdict on the language model says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from probes._base import State
from probes.stages.contrast import Contrast, contrast, paired
from probes.stats.measurement import Difference
from probes.stats.multiplicity import holm
from probes.stats.plan import ALPHA, Plan
from probes.stats.scores import Scored

FailureName = Literal["none", "encoder", "connector", "alignment", "language_model", "inconclusive"]
Confidence = Literal["strong", "moderate", "exploratory"]
STRONGEST = 0.90  # L, the strength that a claim of absence must exclude, of two classes
STRONG = 0.01  # p of a strong verdict
KNOWN = 0.90  # share of easy renderings that a model must answer to be said to understand the question
UNTRAINED = "A trained probe and an untrained answer are compared."


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is read at one stage: name as a sentence has it, score, interval, chance, adjusted p, state.

    `excluded` is L of an absence, the weakest strength that its silence excludes (unit of the score); `asked` what a
    claim of absence must exclude.
    """

    name: str
    score: float
    low: float | None = None
    high: float | None = None
    chance: float = 0.5
    p: float | None = None
    state: State = "inconclusive"
    excluded: float | None = None
    asked: float = STRONGEST
    leak: bool = False

    @property
    def present(self) -> bool:
        """Whether it is read here, and no leak rings."""
        return self.state == "present" and not self.leak

    @property
    def absent(self) -> bool:
        """Whether nothing is read, and differences as weak as is asked are excluded."""
        return self.state == "absent" and not self.leak and self.excluded is not None and self.excluded <= self.asked


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model answers: bias-free score (AUC or 2AFC) with interval and p, raw accuracy, response bias.

    `bias` is the bias-free accuracy less the raw one, as a contrast: what a threshold of the model's own costs.
    """

    score: float
    low: float | None
    high: float | None
    p: float | None
    raw: float | None = None
    bias: Contrast | None = None


@dataclass(frozen=True, kw_only=True)
class Text:
    """The two terms of a contrastive model's gap between probe and zero-shot (METHOD 4.5), p adjusted by Holm."""

    direction: Contrast
    threshold: Contrast
    zero_shot: float
    text_1d: float
    probe: float
    correlation: float | None = None


@dataclass(frozen=True, kw_only=True)
class Causal:
    """What happens to the answers when the connector's output is changed at all image positions, in prefill.

    `erasure`: loss of the bias-free score where the probed direction is erased. `swap`: how much more often answers
    follow an item of the other class than another of the same class put in its place. `steering`: slope of the
    log-odds along the probed direction over that of random ones of equal norm. `control`: loss where a fact that the
    model does report is erased (None: not tried); an erasure that changes nothing shows nothing where that changes
    nothing either. `last_token` is reported and never decides.
    """

    erasure: Contrast | None = None
    swap: Contrast | None = None
    steering: Contrast | None = None
    control: Contrast | None = None
    last_token: Contrast | None = None

    @property
    def follows(self) -> bool:
        """Whether answers follow the image that is put in place."""
        return self.swap is not None and self.swap.some

    @property
    def unused(self) -> bool:
        """Whether neither an erasure nor a swap changes the answers by the margin."""
        return (
            self.erasure is not None and self.erasure.none and self.swap is not None
            and self.swap.none and not self.swap.some
            and (self.control is None or self.control.some)
        )  # fmt: skip

    @property
    def steered(self) -> bool:
        """Whether a step along the probed direction moves the answers."""
        return self.steering is not None and self.steering.some


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Share of easy, unmistakable renderings that the model answers right, with its interval; .90 is asked."""

    score: float
    low: float | None = None
    high: float | None = None

    @property
    def understood(self) -> bool:
        """Whether the model answers the easy renderings."""
        return self.score >= KNOWN


@dataclass(frozen=True, kw_only=True)
class Step:
    """One part of the whole gap: from one stage to the next, simultaneous interval and Holm's p."""

    source: str
    target: str
    contrast: Contrast


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Where the fact is lost: failure, the finer code, one sentence, confidence, and all that it rests on.

    `p` is the largest p of what the verdict needs (None where it rests on no test). `notes` are remarks for the table.
    `inputs` is flat: what was given to the rule, by name.
    """

    failure: FailureName
    code: str
    reason: str
    confidence: Confidence
    p: float | None = None
    notes: tuple[str, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)


def decide(
    *,
    encoder: Stage,
    reference: Stage | None = None,
    against_reference: Contrast | None = None,
    connector: Stage | None = None,
    to_connector: Contrast | None = None,
    accessible: Contrast | None = None,
    image: Stage | None = None,
    last: Stage | None = None,
    to_language_model: Contrast | None = None,
    answer: Answer | None = None,
    unsaid: Contrast | None = None,
    text: Text | None = None,
    knowledge: Knowledge | None = None,
    causal: Causal | None = None,
    rise: Contrast | None = None,
    leak: bool = False,
    margin: float = 0.10,
) -> Failure:
    """Where along a model a fact is lost, or that these items cannot tell.

    `encoder` is the tower's best readout that keeps the layout of the tokens, chosen inside the folds; `reference` the
    best reader of the same items that is not what stands trial, and `against_reference` how much less the encoder
    reads. `to_connector` and `to_language_model` are transported (label-free) losses, `accessible` the loss of the probe
    trained anew behind the connector. `image` and `last` are the best layer of the language model at the image's
    positions and at the last token of the prompt. `unsaid` is what the best of these stages reads above the bias-free
    answer, both on the AUC scale. `rise` is V-information of a stage less that of a non-linear probe of the stage before
    (a contrast of which `some` means: information came from nowhere). `text` takes the place of connector and answer in a
    contrastive model, where `to_connector` leads to the joint space. `leak` rings where any site of the items did.
    """
    raise NotImplementedError


def decompose(
    stages: Sequence[tuple[str, Scored, Scored | None]], plan: Plan, margin: float
) -> tuple[list[Step], Step]:
    """The parts of the whole gap between neighbouring stages, and the whole gap: parts sum to it.

    Each stage is its name, its score of every repeat ([R] rows; a frozen answer said R times, `contrast.whole`) and its
    refits to permuted labels (None: frozen). Intervals hold together (Bonferroni, as Holm's own bounds need the order
    of the p), p are Holm's (1979) over the parts.
    """
    from scipy.special import stdtrit

    found: list[tuple[str, str, Difference]] = []
    for (one, a, pa), (other, b, pb) in zip(stages, stages[1:], strict=False):
        found.append((one, other, paired(a, b, plan, None if pa is None or pb is None else (pa, pb))))
    adjusted = holm([1.0 if d.p is None else d.p for _, _, d in found])
    df = plan.n_groups - 1
    wider = float(stdtrit(df, 1 - ALPHA / 2 / len(found)) / stdtrit(df, 1 - ALPHA / 2)) if df > 0 else np.nan
    steps = []
    for (one, other, d), p in zip(found, adjusted, strict=True):
        half = None if d.high is None else wider * (d.high - d.score)
        wide = Difference(
            score=d.score,
            low=None if half is None else d.score - half,
            high=None if half is None else d.score + half,
            p=None if d.p is None else float(p),
        )
        steps.append(Step(source=one, target=other, contrast=contrast(wide, margin)))
    (first, a, pa), (final, b, pb) = stages[0], stages[-1]
    gap = paired(a, b, plan, None if pa is None or pb is None else (pa, pb))
    return steps, Step(source=first, target=final, contrast=contrast(gap, margin))
