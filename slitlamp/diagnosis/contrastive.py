"""A contrastive model's last link: what the similarity of images to texts of the classes reads, and what it misses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import probes
from encoders import EncoderError
from probes.stages.alignment import Alignment, alignments, similarity
from probes.stages.failure import Text
from probes.stats.fixed import measure_fixed
from slitlamp.diagnosis.chain import ReadStage, at_map, untrained_stage
from slitlamp.diagnosis.prompts import Style
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.keys import digest
from slitlamp.probing.state import Cell, Run
from slitlamp.questions import Question

JOINT = "joint"
TOGETHER = "all"  # texts of all styles


@dataclass(frozen=True, kw_only=True, eq=False)
class TextRead:
    """What texts read of a question: by the model itself, and with threshold and sign learnt in the training folds.

    `zero_shot` and `threshold` are the two stages; `text` holds the two terms of their distance from the probe,
    `alignment` all that is known of the texts and the images, `rows` the same for all texts and for each style alone.
    """

    zero_shot: ReadStage
    threshold: ReadStage
    text: Text
    alignment: Alignment
    rows: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any]


def text_vectors(encoder: StoredEncoder, texts: Sequence[str]) -> np.ndarray:
    """Vectors [n, d] of texts in the joint space, remembered by what the encoder is: a rerun loads nothing.

    Raises:
        EncoderError: an encoder without a text tower, or a text whose vector is not finite or 0.
    """
    memo = encoder.store.memo("texts")
    keys = {text: digest([encoder.fingerprint, encoder.device.split(":")[0], encoder.dtype, text]) for text in texts}
    known = memo.get_many([*keys.values()])
    missing = [text for text in keys if keys[text] not in known]
    if missing:
        network = encoder.load()
        if network.text is None:
            raise EncoderError(f"{encoder.label} has no text tower: no text can be compared with its images")
        made = np.asarray(network.text(missing), dtype=np.float64)
        if not np.isfinite(made).all() or not (np.linalg.norm(made, axis=1) > 0).all():
            bad = np.flatnonzero(~np.isfinite(made).all(axis=1) | (np.linalg.norm(made, axis=1) == 0))[0]
            raise EncoderError(f"{encoder.label} gives no direction for the text {missing[int(bad)]!r}")
        fresh = {keys[text]: [float(v) for v in row] for text, row in zip(missing, made, strict=True)}
        memo.put_many(fresh)
        known |= fresh
    return np.array([known[keys[text]] for text in texts], dtype=np.float64)


def read_texts(run: Run, question: Question, joint: ReadStage, styles: Sequence[Style]) -> TextRead:
    """Zero-shot answers, the same with a threshold learnt inside the folds, and the two terms of the gap."""
    assert joint.cell is not None
    encoder, plan = joint.cell.encoder, run.plan(question)
    image = run.filled[question.name, encoder.spec].read(joint.cell.name).astype(np.float64)
    vectors = {style.name: [text_vectors(encoder, texts) for texts in style.texts] for style in styles}
    classes = range(len(question.classes or ()))
    every = [np.concatenate([vectors[style.name][k] for style in styles]) for k in classes]
    zero_shot, threshold = _stages(run, question, joint.cell, similarity(image, every))
    sets, shown = [vectors[style.name] for style in styles], [*styles]
    if len(styles) > 1:
        together = tuple(sum((style.texts[k] for style in styles), ()) for k in classes)
        sets, shown = [every, *sets], [Style(name=TOGETHER, texts=together), *styles]
    each = alignments(image, sets, plan)
    rows, found = [_row(question, style, one) for style, one in zip(shown, each, strict=True)], each[0]
    text = Text(
        direction=found.direction, threshold=found.threshold, zero_shot=found.zero_shot.value,
        text_1d=found.text_1d.value, probe=found.probe.value, correlation=found.correlation.value,
    )  # fmt: skip
    return TextRead(
        zero_shot=zero_shot, threshold=threshold, text=text, alignment=found, rows=rows,
        facts={"texts": sum(len(style.texts[0]) for style in styles), "styles": [style.name for style in styles]},
    )  # fmt: skip


def _stages(run: Run, question: Question, cell: Cell, scores: np.ndarray) -> tuple[ReadStage, ReadStage]:
    plan = run.plan(question)
    zero_shot = untrained_stage(measure_fixed(scores, question.features(scores), plan, "zero-shot"), "zero-shot")
    wide = question.features(scores[:, 1:] - scores[:, :1] if scores.shape[1] == 2 else scores)
    level = at_map(run, cell).level
    found = probes.measure(wide, plan, probe="ridge", level=level, seed=plan.seed, detect=False, nested=False)
    return zero_shot, replace(untrained_stage(found, "texts, threshold learnt"), trained=True)


def _row(question: Question, style: Style, found: Alignment) -> dict[str, Any]:
    """What texts of one kind read by themselves, and how they lie to the images (METHOD 4.5)."""
    zero, own, r, each = found.zero_shot, found.text_1d, found.correlation, [one.value for one in found.per_template]
    cross = found.cross_modal
    return {
        "task": question.name, "texts": style.name, "of_a_class": len(style.texts[0]), "zero_shot": zero.value,
        "zero_shot_low": zero.low, "zero_shot_high": zero.high, "p": zero.p, "worst_text": min(each, default=None),
        "best_text": max(each, default=None), "auc": found.auc.value, "auc_low": found.auc.low,
        "auc_high": found.auc.high, "own_threshold": own.value, "own_threshold_low": own.low,
        "own_threshold_high": own.high, "means_removed": found.zero_shot_centred.value,
        "means_removed_low": found.zero_shot_centred.low, "means_removed_high": found.zero_shot_centred.high,
        "probe": found.probe.value, "probe_low": found.probe.low, "probe_high": found.probe.high,
        "direction": found.direction.loss, "direction_low": found.direction.low, "direction_high": found.direction.high,
        "direction_p": found.direction.p, "direction_state": found.direction.state, "threshold": found.threshold.loss,
        "threshold_low": found.threshold.low, "threshold_high": found.threshold.high, "threshold_p": found.threshold.p,
        "threshold_state": found.threshold.state, "correlation": r.value, "correlation_low": r.low,
        "correlation_high": r.high, "cosine": found.cosine, "cosine_bound": found.cosine_bound,
        "modality_gap": found.gap_norm, "captions_to_images_auc": None if cross is None else cross.value,
        "example": " | ".join(t[0] for t in style.texts),
    }  # fmt: skip
