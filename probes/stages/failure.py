"""Where along a model a fact is lost: the decision rule over stages, contrasts, answers and causal checks.

METHOD 4.8 as amended. A verdict needs several conditions at once (an intersection-union test), so its p is the largest
of theirs; a claim of loss rests on a reader that is shown to read, a claim of absence on what its silence excludes.
Probes are trained on the task and answers are not: every verdict on the language model says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from probes._base import State, Verdict
from probes.stages.contrast import Contrast, contrast, paired
from probes.stats.exclusion import strength_to_exclude
from probes.stats.measurement import Difference, Measurement
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


def stage_of(name: str, found: Measurement, *, adjusted: float | None = None, verdict: Verdict | None = None) -> Stage:
    """A stage of what was measured there; `verdict` and `adjusted` p after the multiplicity rule, if there was one."""
    e, limit = found.estimate, found.limit
    return Stage(
        name=name, score=e.score, low=e.low, high=e.high, chance=e.chance, p=e.p if adjusted is None else adjusted,
        state=found.state if verdict is None else verdict.state,
        excluded=None if limit is None or not limit.valid else limit.limit,
        asked=strength_to_exclude(None if found.plan.classes is None else len(found.plan.classes))
        if limit is None else limit.asked,
        leak=found.leak if verdict is None else verdict.leak,
    )  # fmt: skip


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


def _reversed(c: Contrast) -> bool:
    """Whether a change is shown to be one in the other direction, and may be as large as the margin."""
    return c.low is not None and c.high is not None and c.high < 0 and c.low < -c.margin


@dataclass(frozen=True, kw_only=True)
class Causal:
    """What happens to the answers when the connector's output is changed at all image positions, in prefill.

    `erasure`: loss of the bias-free score where the probed direction is erased. `swap`: how much more often answers
    follow an item of the other class than another of the same class put in its place. `steering`: area under the curve,
    above .5, that a push from class to class along the probed direction alone gives the answers, over that of random
    pushes of equal Mahalanobis norm. `control`: loss where a fact that the model does report is erased (None: not
    tried); an erasure that changes nothing shows nothing where that changes nothing either. `last_token` is reported
    and never decides.
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
        """Whether neither an erasure nor a swap changes the answers by the margin, to either side."""
        return (
            self.erasure is not None and self.erasure.none and not _reversed(self.erasure)
            and self.swap is not None and self.swap.none and not self.swap.some and not _reversed(self.swap)
            and (self.control is None or self.control.some)
        )  # fmt: skip

    @property
    def steered(self) -> bool:
        """Whether a push along the probed direction moves the answers by more than the margin, to either side.

        METHOD 4.7 asks for a slope that is not 0. No trained network's is, and with enough items that shows: so a push
        is held to the margin, as what an erasure changes is.
        """
        one = self.steering
        return one is not None and (one.material or (one.high is not None and one.high < -one.margin))

    @property
    def pushable(self) -> bool:
        """Whether a push may move the answers by the margin: these items do not exclude it."""
        one = self.steering
        return one is not None and not (one.none and one.low is not None and one.low > -one.margin)


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
class Foretold:
    """How well a probe foretells what the model says, right or wrong, from the features of one stage (METHOD 4.6 v).

    `score` is balanced accuracy on the model's own answers, `right` that of these answers; `wrong` counts answers that
    are wrong, `wrong_foretold` those of them that the probe foretells.
    """

    name: str
    score: float
    low: float | None
    high: float | None
    p: float | None
    chance: float
    right: float
    right_low: float | None
    right_high: float | None
    wrong: int
    wrong_foretold: int

    @property
    def follows(self) -> bool:
        """Whether the answers are shown to follow what is read there."""
        return self.p is not None and self.p <= ALPHA and self.low is not None and self.low > self.chance

    @property
    def state(self) -> str:
        """heuristic: foretold better than they are right, the wrong ones too; as right; or not foretold."""
        if not self.follows:
            return "not foretold"
        assert self.low is not None
        apart = self.right_high is not None and self.low > self.right_high
        return "heuristic" if apart and 2 * self.wrong_foretold > self.wrong else "foretold"


@dataclass(frozen=True, kw_only=True)
class External:
    """A probe trained on an external data set, which saw none of these items, at the stage that reads most (4.6 iv).

    `source` is what it was trained on, `stage` what it reads of these items; `own` says whether it reads its own data,
    held out, so that it can be judged at all; `unsaid` is what it reads above the bias-free answer, on the AUC scale.
    """

    source: str
    stage: Stage
    own: Stage
    unsaid: Contrast | None = None


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
    external: External | None = None,
    foretold: Foretold | None = None,
    leak: bool = False,
    margin: float = 0.10,
) -> Failure:
    """Where along a model a fact is lost, or that these items cannot tell.

    `encoder` is the tower's best readout that keeps the layout of the tokens, chosen inside the folds; `reference` the
    best reader of the same items beside it, and `against_reference` how much less the encoder reads than that.
    `to_connector` and `to_language_model` are transported (label-free) losses, `accessible` the loss of the probe
    trained anew behind the connector. `image` and `last` are the best layer of the language model at the image's
    positions and at the last token of the prompt. `unsaid` is what the best of connector and language model reads above
    the bias-free answer, both on the AUC scale. `rise` is V-information of a stage less that of a non-linear probe of
    the stage before: where it is `some`, information came from nowhere. `external` is a probe that saw none of the
    items: where only the one trained on them reads the fact, a verdict of disuse says so and is at most moderate.
    `foretold` is a remark. `text` takes the place of the answer in a
    contrastive model, whose `connector` is the joint space. `leak` rings where any site of the items did.

    An absence counts as a loss only where the encoder surely reads less than the reference: a fact that is weak in the
    images themselves is read by neither, and silence that excludes strong differences says nothing of it. Where the
    encoder reads the fact, but materially less than its reference, and a later link loses it too, the larger
    of the two losses is the failure and the other a note.
    """
    given = _Given(
        encoder=encoder, reference=reference, against_reference=against_reference, connector=connector,
        to_connector=to_connector, accessible=accessible, image=image, last=last, to_language_model=to_language_model,
        answer=answer, unsaid=unsaid, text=text, knowledge=knowledge, causal=causal, rise=rise,
        external=external, foretold=foretold, leak=leak, margin=margin,
    )  # fmt: skip
    leaking = _leak(given)
    found = _Found(*leaking) if leaking is not None else _walk(given)
    return Failure(
        failure=found.failure,
        code=found.code,
        reason=found.reason[:1].upper() + found.reason[1:],
        confidence=_confidence(found, given),
        p=found.p,
        notes=_notes(given),
        inputs=_flat(given),
    )


@dataclass(frozen=True, kw_only=True)
class _Given:
    encoder: Stage
    reference: Stage | None
    against_reference: Contrast | None
    connector: Stage | None
    to_connector: Contrast | None
    accessible: Contrast | None
    image: Stage | None
    last: Stage | None
    to_language_model: Contrast | None
    answer: Answer | None
    unsaid: Contrast | None
    text: Text | None
    knowledge: Knowledge | None
    causal: Causal | None
    rise: Contrast | None
    external: External | None
    foretold: Foretold | None
    leak: bool
    margin: float


@dataclass(frozen=True)
class _Found:
    failure: FailureName
    code: str
    reason: str
    p: float | None = None
    loss: float = 0.0


def _leak(given: _Given) -> tuple[FailureName, str, str] | None:
    stages = (given.reference, given.encoder, given.connector, given.image, given.last)
    leaking = [one.name for one in stages if one is not None and one.leak]
    if not leaking and not given.leak:
        return None
    where = f" ({', '.join(leaking)})" if leaking else ""
    return (
        "inconclusive",
        "LEAK",
        f"Some stage reads below chance by more than exchanged labels ever give{where}: copies of one image probably "
        "lie in different folds; check the groups, nothing is concluded.",
    )


def _walk(given: _Given) -> _Found:
    """Stage by stage; where the encoder reads less than its reference, that against what fails behind it."""
    first = _encoder(given)
    if first is not None and not given.encoder.present:
        return first
    behind = _behind(given)
    if first is None:
        return behind
    if behind.failure in ("none", "inconclusive") or first.loss >= behind.loss:
        return first
    return behind


def _encoder(given: _Given) -> _Found | None:
    e, ref, against = given.encoder, given.reference, given.against_reference
    less = ref is not None and ref.present and against is not None and against.material
    if less:
        assert ref is not None
        assert against is not None
        silent = f", where differences of {e.excluded:.2f} or more are excluded" if e.absent else ""
        return _Found(
            "encoder", "ENCODER_LOST",
            f"The encoder reads less than its images hold: {_stage(e)}{silent}, against {_stage(ref)}; loss "
            f"{_loss(against)}.", _max(ref.p, against.p), against.loss,
        )  # fmt: skip
    if e.present:
        return None
    if ref is None or not ref.present:
        who = "no reference was given" if ref is None else f"the reference does not read it either: {_stage(ref)}"
        return _Found(
            "inconclusive", "NOT_TESTABLE(ref)",
            f"The encoder is not shown to read it ({_stage(e)}), and {who}; labels, task or number of items may be at "
            "fault.",
        )  # fmt: skip
    if e.absent and (against is None or against.some):
        return _Found(
            "encoder", "ENCODER_LOST",
            f"Not readable from the encoder: {_stage(e)}, where differences of {e.excluded:.2f} or more are excluded; "
            f"{_stage(ref)} reads it.", ref.p, ref.score - e.score,
        )  # fmt: skip
    if e.absent:
        assert against is not None
        return _Found(
            "inconclusive", "NOT_TESTABLE(power)",
            f"The encoder is silent ({_stage(e)}), but is not shown to read less than {_stage(ref)}: difference "
            f"{_loss(against)}; what the images hold may be too weak for this number of items.",
        )  # fmt: skip
    open_ = "it is not excluded either" if e.excluded is None else f"only {e.excluded:.2f} or more is excluded"
    return _Found(
        "inconclusive", "NOT_TESTABLE(power)",
        f"The encoder is not shown to read it ({_stage(e)}), but {open_} ({e.asked:.2f} is asked): too few items to "
        "tell.",
    )  # fmt: skip


def _behind(given: _Given) -> _Found:
    e, p, loss = given.encoder, given.connector, given.to_connector
    behind = "joint space" if given.text is not None else "connector"
    if p is not None or loss is not None:
        gone = p is not None and p.absent
        if loss is not None and (loss.material or (loss.some and gone)):
            beside = f" and {_stage(p)} behind it is silent" if gone and not loss.material and p is not None else ""
            return _Found(
                "connector", "PROJECTOR_LOST",
                f"Lost at the {behind}: what the encoder reads ({_stage(e)}) does not arrive, transported loss "
                f"{_loss(loss)}{beside}.", _max(e.p, loss.p), loss.loss,
            )  # fmt: skip
        if loss is None or not loss.none:
            what = "was not measured" if loss is None else f"is {_loss(loss)}"
            return _Found(
                "inconclusive", "NOT_TESTABLE(E-P)",
                f"The encoder reads it ({_stage(e)}); whether the {behind} passes it on cannot be told: the "
                f"transported loss {what}, margin {given.margin:.2f}.",
            )  # fmt: skip
    return _text(given, given.text) if given.text is not None else _language_model(given)


def _text(given: _Given, text: Text) -> _Found:
    numbers = (
        f"probe {text.probe:.2f}, text direction {text.text_1d:.2f}, zero-shot {text.zero_shot:.2f}; direction term "
        f"{_loss(text.direction)}, threshold term {_loss(text.threshold)}"
    )
    codes = [code for code, one in (("TEXT_DIRECTION", text.direction), ("TEXT_THRESHOLD", text.threshold))
             if one.material]  # fmt: skip
    if codes:
        worst = max((one for one in (text.direction, text.threshold) if one.material), key=lambda one: one.loss)
        what = "the texts point along another direction, and their threshold is off"
        if len(codes) == 1:
            what = (
                "the texts point along another direction than the fact"
                if text.direction.material
                else "the threshold of the texts, which order the images rightly, is off"
            )
        return _Found(
            "alignment", "+".join(codes), f"The images hold it, but {what}: {numbers}.",
            _max(given.encoder.p, worst.p), text.direction.loss + text.threshold.loss,
        )  # fmt: skip
    if text.direction.none and text.threshold.none:
        return _Found("none", "NO_LOSS", f"Nothing material is lost between images and texts: {numbers}.",
                      given.encoder.p)  # fmt: skip
    return _Found(
        "inconclusive", "NOT_TESTABLE(P-ANS)", f"Whether the texts lose it cannot be told with these items: {numbers}."
    )


def _language_model(given: _Given) -> _Found:
    loss, image, last = given.to_language_model, given.image, given.last
    inside = [one for one in (image, last) if one is not None]
    gone = bool(inside) and all(one.absent for one in inside)
    if loss is not None and (loss.material or (loss.some and gone)):
        return _Found(
            "language_model", "LM_DISCARDS",
            f"It arrives at the language model, whose layers do not carry it: transported loss {_loss(loss)}"
            + (f"; {_stage(image)}" if image is not None else "") + f". {UNTRAINED}",
            _max(given.encoder.p, loss.p), loss.loss,
        )  # fmt: skip
    answer, c = given.answer, given.unsaid
    if answer is None or c is None:
        return _Found(
            "inconclusive", "NOT_TESTABLE(P-ANS)",
            f"{_carrier(given)} reads it; what the model answers was not given, so the language model is not judged.",
        )  # fmt: skip
    said = f"the bias-free answer, AUC {_numbers(answer.score, answer.low, answer.high)}"
    if c.material:
        return _unused(given, c, said)
    if c.none:
        bias = answer.bias
        if bias is None or bias.none:
            return _Found(
                "none", "NO_LOSS",
                f"Nothing material is lost: {_carrier(given)} reads it and so does {said}, unsaid {_loss(c)} of AUC. "
                f"{UNTRAINED}",
                given.encoder.p,
            )  # fmt: skip
        if bias.material or bias.some:
            raw = "" if answer.raw is None else f"raw accuracy is {answer.raw:.2f}, "
            return _Found(
                "language_model", "RESPONSE_BIAS",
                f"The answers tell it apart ({said}), but one option is preferred: {raw}lost by bias {_loss(bias)}.",
                _max(given.encoder.p, bias.p), bias.loss,
            )  # fmt: skip
        return _Found(
            "inconclusive", "NOT_TESTABLE(P-ANS)",
            f"The answers tell it apart ({said}); whether a preferred option costs raw accuracy cannot be told: "
            f"{_loss(bias)}.",
        )  # fmt: skip
    return _Found(
        "inconclusive", "NOT_TESTABLE(P-ANS)",
        f"{_carrier(given)} reads it; whether the answers say it cannot be told with these items: {said}, unsaid "
        f"{_loss(c)} of AUC.",
    )  # fmt: skip


def _unused(given: _Given, c: Contrast, said: str) -> _Found:
    """The model carries more than it says: it does not understand, does not route, or does not read out."""
    causal, known = given.causal, given.knowledge
    p = _max(given.encoder.p, c.p)
    if causal is not None and causal.steered:
        return _Found(
            "inconclusive", "NOT_TESTABLE(P-ANS)",
            f"More is carried than said (unsaid {_loss(c)} of AUC), but a push along the probed direction moves the "
            f"answers (AUC {_loss(causal.steering)}): it is used, and why the answers are "
            "poor cannot be told.",
        )  # fmt: skip
    if known is not None and not known.understood and not (causal is not None and causal.unused):
        return _Found(
            "language_model", "TASK_NOT_UNDERSTOOD",
            f"{_carrier(given)} reads it and {said}, does not (unsaid {_loss(c)} of AUC), but easy renderings are "
            f"answered at {known.score:.2f} only ({KNOWN:.2f} is asked): the question itself may not be understood. "
            f"{UNTRAINED}", p, c.loss,
        )  # fmt: skip
    follows = causal is not None and causal.follows
    routed = given.image is not None and given.last is not None and given.image.present and not given.last.present
    code = "LM_NOT_USED:ROUTING" if routed and not follows else "LM_NOT_USED:READOUT"
    if causal is not None and causal.unused:
        checked = "; erasing it costs the answers nothing material, and they do not follow an image put in its place"
    elif causal is not None and causal.swap is not None and _reversed(causal.swap):
        checked = "; but answers go against an image put in its place, so that the image is used"
    elif follows:
        checked = "; but answers follow an image put in its place, so that the image is used"
    else:
        checked = ""
    return _Found(
        "language_model", code,
        f"The language model carries it and does not say it: {_carrier(given)}, {said}, unsaid {_loss(c)} of AUC"
        f"{checked}. {UNTRAINED}{_matched(given.external)}", p, c.loss,
    )  # fmt: skip


def _matched(external: External | None) -> str:
    """What a verdict of disuse says of the supervision that probe and answer had (METHOD 4.6 iv)."""
    if external is None or not external.own.present:
        return ""
    numbers = f"{external.source}, {_stage(external.stage)}"
    if not external.stage.present:
        return f" Only the probe trained on these items reads it; one trained on {numbers}, does not."
    if external.unsaid is not None and external.unsaid.some:
        return f" A probe that saw none of these items, trained on {numbers}, reads more than is said too."
    return f" A probe that saw none of these items, trained on {numbers}, is not shown to read more than is said."


def _confidence(found: _Found, given: _Given) -> Confidence:
    """Strong at p <= .01, moderate at p <= .05, else exploratory.

    A strong verdict of disuse needs the causal check too, and in it the erasure of a fact that the model does report.
    """
    if found.failure == "inconclusive" or found.p is None or found.p > ALPHA:
        return "exploratory"
    causal = given.causal
    if found.code.startswith("LM_NOT_USED"):
        # METHOD 4.7: a positive control beside what erasure, exchange and push do not change
        shown = causal is not None and causal.unused and not causal.pushable and causal.control is not None
        external = given.external
        if external is not None and external.own.present and not (external.unsaid is not None and external.unsaid.some):
            return "moderate"  # what is compared with the answer may be the training on these very items
        agrees = shown or (causal is not None and causal.follows and found.code.endswith("READOUT"))
        erased = None if causal is None else causal.erasure
        if causal is not None and erased is not None and erased.some and not erased.none and not causal.follows:
            return "exploratory"  # an erasure changes the answers by what may be the margin: it is used
        return "strong" if agrees and found.p <= STRONG else "moderate"
    if found.code in ("TASK_NOT_UNDERSTOOD", "LM_DISCARDS"):
        return "moderate"
    return "strong" if found.p <= STRONG else "moderate"


def _notes(given: _Given) -> tuple[str, ...]:
    notes = []
    a, against, rise, known = given.accessible, given.against_reference, given.rise, given.knowledge
    if a is not None and a.some:
        notes.append(f"less accessible after the connector: a probe trained anew loses {_loss(a)}")
    elif a is not None and a.high is not None and a.high < 0:
        notes.append(f"more accessible after the connector: a probe trained anew gains {_loss(_negative(a))}")
    if against is not None and against.some:
        name = "its reference" if given.reference is None else given.reference.name
        notes.append(f"the encoder reads less than {name}: {_loss(against)}")
    if rise is not None and rise.some:
        notes.append(
            f"ERROR: information rises along the chain above what a non-linear probe reads before ({_loss(rise)} bit): "
            "a leak, another preprocessing, or the answer in the prompt"
        )
    if given.causal is not None and given.causal.last_token is not None:
        notes.append(f"an erasure at the last token alone changes {_loss(given.causal.last_token)}: not decided by")
    notes += [] if given.external is None else [_trained_elsewhere(given.external)]
    notes += [] if given.foretold is None else [_foretold(given.foretold)]
    if known is not None and not known.understood:
        notes.append(f"easy renderings are answered at {known.score:.2f}")
    return tuple(notes)


def _trained_elsewhere(one: External) -> str:
    """What a probe trained on other data reads of these items, or why that tells nothing."""
    if not one.own.present:
        return (
            f"a probe trained on {one.source} is not shown to read its own data ({_stage(one.own)}): that it "
            "reads of these items, or does not, tells nothing"
        )
    if not one.stage.present:
        where = _stage(one.stage)
        return f"only the probe trained on these items reads it: one trained on {one.source} does not ({where})"
    more = "" if one.unsaid is None else f"; above the bias-free answer {_loss(one.unsaid)}"
    return f"a probe trained on {one.source}, which saw none of these items, reads it too ({_stage(one.stage)}){more}"


def _foretold(one: Foretold) -> str:
    """How far the model's own answers can be foretold, and what that says of the wrong ones."""
    what = f"{_numbers(one.score, one.low, one.high)} from {one.name}"
    right = f"they are right at {_numbers(one.right, one.right_low, one.right_high)}"
    wrong = f"of {one.wrong} wrong ones {one.wrong_foretold} are foretold"
    if one.state == "heuristic":
        return f"the answers follow a systematic heuristic, not noise: foretold at {what}, {right}, {wrong}"
    if one.state == "foretold":
        return f"the model's own answers are foretold at {what}; {right}, {wrong}"
    return f"the model's own answers are not shown to follow what is read: {what}; {right}"


def _negative(c: Contrast) -> Contrast:
    low, high = (None if end is None else -end for end in (c.high, c.low))
    return Contrast(loss=-c.loss, low=low, high=high, p=c.p, margin=c.margin, state="unknown")


def _carrier(given: _Given) -> str:
    stages = [one for one in (given.connector, given.image, given.last) if one is not None] or [given.encoder]
    return _stage(max(stages, key=lambda one: one.score))


def _stage(one: Stage) -> str:
    return f"{one.name} {_numbers(one.score, one.low, one.high)}"


def _numbers(score: float, low: float | None, high: float | None) -> str:
    return f"{score:.2f}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")


def _loss(c: Contrast | None) -> str:
    assert c is not None
    return f"{c.loss:+.2f}" + ("" if c.low is None or c.high is None else f" [{c.low:+.2f}, {c.high:+.2f}]")


def _max(*p: float | None) -> float | None:
    return None if any(one is None for one in p) else max(one for one in p if one is not None)


def _flat(given: _Given) -> dict[str, Any]:
    """All inputs by name: stages, contrasts and answers with their fields, nested ones joined by underscores."""
    found: dict[str, Any] = {}

    def put(name: str, value: Any) -> None:
        if is_dataclass(value):
            for one in fields(value):
                put(f"{name}_{one.name}" if name else one.name, getattr(value, one.name))
        else:
            found[name] = value

    put("", given)
    return found


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
    for (one, a, pa), (other, b, pb) in pairwise(stages):
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
