"""What a diagnosis says in sentences: the verdict, the stages it rests on, the power, and what it does not show."""

import math
from collections.abc import Sequence

from probes.stages.alignment import Alignment
from probes.stages.contrast import Contrast
from probes.stages.failure import UNTRAINED
from slitlamp.diagnosis.chain import ReadStage
from slitlamp.diagnosis.found import Diagnosed
from slitlamp.diagnosis.tables import tests_of

CALLED = {
    "none": "nothing is lost", "encoder": "the encoder loses it", "connector": "the connector loses it",
    "alignment": "the alignment with text loses it", "language_model": "the language model does not say it",
    "inconclusive": "cannot say",
}  # fmt: skip
CALLED_BY_CODE = {  # "does not use it" would need that no answer follows an exchanged image
    "LM_DISCARDS": "the language model loses it", "TASK_NOT_UNDERSTOOD": "the question may not be understood",
    "RESPONSE_BIAS": "the language model prefers one option",
}  # fmt: skip
NOTHING = "Nothing is shown to be read at the {}, so that no loss behind it can be told."
CHANGES = {"material": "material", "some": "some", "none": "none that matters", "unknown": "open"}


def sentences_of(one: Diagnosed) -> list[str]:
    """The most important first: verdict, stages, losses, items, power, and the warning about probes and answers."""
    failure = one.failure
    p = "" if failure.p is None else f", largest p of what it needs {failure.p:.2g}"
    said = [
        f"{one.name}: {called(one).upper()} ({failure.code}, {failure.confidence}{p}). {failure.reason}",
        f"{one.name}: read, in balanced accuracy (chance {one.plan.chance:.2f}): "
        + ", ".join(_stage(stage) for stage in one.got.chain) + ".",
    ]  # fmt: skip
    said += [f"{one.name}, {line}" for line in _carried(one)]
    said += [f"{one.name}: {line}" for line in (*_text(one), *tests_of(one), *_notes(one), *one.got.notes)]
    said.append(f"{one.name}: {_power(one)}")
    untrained = [stage for stage in one.got.chain if not stage.trained]
    if untrained and UNTRAINED not in " ".join((failure.reason, *failure.notes)):
        said.append(f"{one.name}: {UNTRAINED}")
    return list(dict.fromkeys(said))


def _carried(one: Diagnosed) -> Sequence[str]:
    """What the transported probes say, with the stages between which they were carried; nothing is lost of nothing."""
    got = one.got
    pairs = ((got.encoder, got.connector, got.to_connector), (got.connector, got.image, got.to_language_model))
    return [
        f"{a.name} to {b.name}: {found.reason if a.state == 'present' else NOTHING.format(a.name)}"
        for a, b, found in pairs
        if a is not None and b is not None and found is not None
    ]


def _notes(one: Diagnosed) -> Sequence[str]:
    """Remarks of the rule; a contrastive model's joint space is no connector."""
    return [
        note.replace("after the connector", "in the joint space") if one.got.text is not None else note
        for note in one.failure.notes
    ]


def called(one: Diagnosed) -> str:
    """The failure in words."""
    if one.got.text is not None and one.failure.failure == "connector":
        return "the way into the joint space loses it"
    return CALLED_BY_CODE.get(one.failure.code.partition(":")[0], CALLED[one.failure.failure])


def _stage(stage: ReadStage) -> str:
    ends = "" if stage.ends is None else f" [{stage.ends[0]:.2f}, {stage.ends[1]:.2f}]"
    where = f" at {stage.place}" if stage.place else ""
    limit = "" if stage.excluded is None else f" ≥{math.ceil(100 * stage.excluded - 1e-9) / 100:.2f}"  # never less
    return f"{stage.name} {stage.score:.2f}{ends}{where} ({stage.said}{limit})"


def loss_words(loss: Contrast) -> str:
    """A loss with its interval and what it amounts to."""
    ends = "" if loss.low is None else f" [{loss.low:+.2f}, {loss.high:+.2f}]"
    return f"{loss.loss:+.2f}{ends} ({CHANGES[loss.state]})"


def _text(one: Diagnosed) -> Sequence[str]:
    """How the gap between probe and zero-shot splits, and what is known of the texts."""
    read = one.got.text
    if read is None:
        return []
    text = read.text
    return [
        f"zero-shot {text.zero_shot:.2f}, with threshold and sign learnt inside the folds {text.text_1d:.2f}, a probe "
        f"in the same space {text.probe:.2f}: the texts' direction costs {loss_words(text.direction)}, their threshold "
        f"{loss_words(text.threshold)}; {read.facts['texts']} texts of each class",
        _aligned(read.alignment),
    ]


def _aligned(found: Alignment) -> str:
    """How texts and images lie to each other: the scores' correlation decides, the cosine stands beside it."""
    r, centred = found.correlation, found.zero_shot_centred
    ends = "" if r.low is None or r.high is None else f" [{r.low:.2f}, {r.high:.2f}]"
    return (
        f"scores of probe and texts correlate by {r.value:.2f}{ends} over the images (1: one direction); the cosine of "
        f"their directions is {found.cosine:.2f}, and 95 % of random ones lie within {found.cosine_bound:.2f}; AUC of "
        f"the texts {found.auc.value:.2f}; modality gap {found.gap_norm:.2f}, with both means taken off zero-shot is "
        f"{centred.value:.2f}"
    )


def _power(one: Diagnosed) -> str:
    """What so many items can show."""
    found = [s.measurement.estimate.mde for s in one.got.chain if s.measurement.estimate.mde is not None]
    size = f"{len(one.question.ids)} items in {one.plan.n_groups} groups"
    if not found:
        return f"with {size} no smallest score that would be found is known: 20 groups are needed"
    margin = one.parts[0].contrast.margin if one.parts else one.plan.margin
    widths = [p.contrast.high - p.contrast.loss for p in one.parts if p.contrast.high is not None]
    shown = f"; losses are known to ±{max(widths):.2f} or better" if widths else ""
    return (
        f"with {size} a stage that reads {max(found):.2f} is found at least 8 times in 10{shown}; a loss counts above "
        f"{margin:.2g}"
    )
