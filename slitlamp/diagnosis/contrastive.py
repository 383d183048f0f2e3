"""A contrastive model's last link: what the similarity of images to texts of the classes reads, and what it misses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import probes
from encoders import EncoderError
from probes.stages.failure import Text
from probes.stats.fixed import measure_fixed
from slitlamp.diagnosis.chain import ReadStage, at_map, loss, untrained_stage
from slitlamp.diagnosis.prompts import Style
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.keys import digest
from slitlamp.probing.state import Cell, Run
from slitlamp.questions import Question

JOINT = "joint"


@dataclass(frozen=True, kw_only=True, eq=False)
class TextRead:
    """What texts read of a question: by the model itself, and with threshold and sign learnt in the training folds.

    `zero_shot` and `threshold` are the two stages; `text` holds the two terms of their distance from the probe; `rows`
    the same for each style of texts alone; `scores` [n, K] are the similarities to the classes' mean texts.
    """

    zero_shot: ReadStage
    threshold: ReadStage
    text: Text
    rows: Sequence[Mapping[str, Any]]
    scores: np.ndarray
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


def similarities(image: np.ndarray, texts: Sequence[np.ndarray]) -> np.ndarray:
    """Similarity [n, K] of images [n, d] to the mean unit vector of each class's texts [k][m, d], of length 1."""
    unit = image / np.linalg.norm(image, axis=1, keepdims=True)
    centres = []
    for some in texts:
        mean = (some / np.linalg.norm(some, axis=1, keepdims=True)).mean(axis=0)
        centres.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
    return unit @ np.stack(centres, axis=1)


def read_texts(run: Run, question: Question, joint: ReadStage, styles: Sequence[Style]) -> TextRead:
    """Zero-shot answers, the same with a threshold learnt inside the folds, and the two terms of the gap."""
    assert joint.cell is not None
    encoder, plan = joint.cell.encoder, run.plan(question)
    image = run.filled[question.name, encoder.spec].read(joint.cell.name).astype(np.float64)
    vectors = {style.name: [text_vectors(encoder, texts) for texts in style.texts] for style in styles}
    classes = range(len(question.classes or ()))
    every = [np.concatenate([vectors[style.name][k] for style in styles]) for k in classes]
    scores = similarities(image, every)
    zero_shot, threshold = _stages(run, question, joint.cell, scores)
    direction, thresholds = loss(joint, threshold, plan), loss(threshold, zero_shot, plan)
    rows = [_row(run, question, joint, style, similarities(image, vectors[style.name])) for style in styles]
    text = Text(
        direction=direction, threshold=thresholds, zero_shot=zero_shot.score, text_1d=threshold.score,
        probe=joint.score,
    )  # fmt: skip
    return TextRead(
        zero_shot=zero_shot, threshold=threshold, text=text, rows=rows, scores=scores,
        facts={"texts": sum(len(style.texts[0]) for style in styles), "styles": [style.name for style in styles]},
    )  # fmt: skip


def _stages(run: Run, question: Question, cell: Cell, scores: np.ndarray) -> tuple[ReadStage, ReadStage]:
    plan, given = run.plan(question), _given(question, scores)
    zero_shot = untrained_stage(measure_fixed(scores, given, plan, "zero-shot"), "zero-shot")
    away = scores - scores.mean(axis=1, keepdims=True)
    wide = _given(question, away[:, 1:] if scores.shape[1] == 2 else away)
    level = at_map(run, cell).level
    found = probes.measure(wide, plan, probe="ridge", level=level, seed=plan.seed, detect=False, nested=False)
    return zero_shot, replace(untrained_stage(found, "texts, threshold learnt"), trained=True)


def _given(question: Question, x: np.ndarray) -> probes.FeatureSet:
    return probes.FeatureSet(
        x=x.astype(np.float64), y=question.y, groups=question.groups, ids=question.ids, classes=question.classes
    )


def _row(run: Run, question: Question, joint: ReadStage, style: Style, scores: np.ndarray) -> dict[str, Any]:
    """What one style of texts reads by itself."""
    assert joint.cell is not None
    zero_shot, threshold = _stages(run, question, joint.cell, scores)
    e, own = zero_shot.measurement.estimate, threshold.measurement.estimate
    return {
        "task": question.name, "texts": style.name, "of_a_class": len(style.texts[0]),
        "zero_shot": e.score, "zero_shot_low": e.low, "zero_shot_high": e.high, "p": e.p,
        "auc": float(zero_shot.measurement.null.statistic[0]), "own_threshold": own.score,
        "own_threshold_low": own.low, "own_threshold_high": own.high, "example": " | ".join(t[0] for t in style.texts),
    }  # fmt: skip
