"""Can the model's own answer be foretold from what its stages hold? A heuristic is told from noise by that.

A probe learns what the model *says* (the class of its greatest mean log-odds), not what is right, in the folds of the
question. Answers that it foretells although they are wrong follow something in the image: a systematic heuristic.
Answers that are wrong and cannot be foretold are noise to it (METHOD 4.6 v).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import probes
from probes import FeatureSet
from probes.stages.failure import Foretold
from probes.stats.fixed import measure_fixed
from probes.stats.plan import FEW
from slitlamp.answers.answered import AnsweredQuestion
from slitlamp.diagnosis.answered import main_way, majority, mean_of
from slitlamp.diagnosis.chain import ReadStage
from slitlamp.diagnosis.transport import features
from slitlamp.probing.state import Run
from slitlamp.questions import Question

LEAST = 10  # groups in which an answer must be given, so that every training part holds it
PERMUTATIONS = 499


@dataclass(frozen=True, kw_only=True)
class AnswersForetold:
    """The best foretelling for the rule that decides (None: nothing to predict), a row for each stage, and notes."""

    best: Foretold | None
    rows: Sequence[dict[str, Any]]
    notes: Sequence[str] = ()


def foretell(run: Run, question: Question, found: AnsweredQuestion, stages: Sequence[ReadStage]) -> AnswersForetold:
    """Predict what the model says from the features of each stage, at the point where the stage reads best.

    Items without one answer (a tie) are left out, and answers that are given in fewer than 10 groups. One answer to
    everything is nothing to predict, and no accuracy of 1.
    """
    letter, k = main_way(found), len(question.classes or ())
    said = majority(letter, k)
    names, groups = question.classes or (), np.asarray(question.groups)
    often = [c for c in range(k) if len(np.unique(groups[said == c])) >= LEAST]
    keep = np.isin(said, often)
    shares = ", ".join(f"{name} {int((said == c).sum())}" for c, name in enumerate(names))
    if len(often) < 2 or len(np.unique(groups[keep])) < FEW:
        why = f"the model's own answers are nothing to predict: of {len(said)} items it says {shares}"
        row = _row(question, shares, int(keep.sum())) | {"state": "nothing to predict"}
        return AnswersForetold(best=None, rows=[row], notes=[why])
    base = run.plan(question)
    answer = np.searchsorted(often, said[keep])
    within = base.design == "within groups"  # copies of an image: labels of the answer are permuted as the fact's are
    plan = probes.plan(
        answer, groups[keep], classes=[names[c] for c in often], seed=base.seed, where=base.folds[:, keep],
        permutations=min(PERMUTATIONS, len(base.permuted)), design=base.design if within else None,
        copies=None if question.copies is None else np.asarray(question.copies)[keep],
    )  # fmt: skip
    score = mean_of(letter, k)
    right = measure_fixed(score, question.features(score), base, "said").estimate
    wrong = said[keep] != question.y[keep]
    ids = [name for name, held in zip(question.ids, keep, strict=True) if held]
    rows, each = [], []
    for stage in stages:
        assert stage.cell is not None
        x = features(run, question, stage.cell).x[keep]
        given = FeatureSet(x=x, y=answer, groups=groups[keep], ids=ids, classes=plan.classes)
        m = probes.measure(given, plan, probe="ridge", level="screen", detect=False, nested=False)
        hits = (m.predictions.predicted == answer).mean(axis=0)
        e = m.estimate
        one = Foretold(
            name=f"{stage.name} at {stage.place}", score=e.score, low=e.low, high=e.high, chance=e.chance,
            p=None if e.p is None else min(1.0, e.p * len(stages)), right=right.score, right_low=right.low,
            right_high=right.high, wrong=int(wrong.sum()), wrong_foretold=int((hits[wrong] > 0.5).sum()),
        )  # fmt: skip
        each.append(one)
        rows.append(
            _row(question, shares, int(keep.sum()))
            | {
                "name": stage.name, "at": stage.place, "score": e.score, "low": e.low, "high": e.high,
                "chance": e.chance, "p": one.p, "control_shuffled": None if m.permuted is None else m.permuted.mean,
                "right": right.score, "right_low": right.low, "right_high": right.high, "wrong": one.wrong,
                "wrong_foretold": one.wrong_foretold, "state": one.state,
            }
        )  # fmt: skip
    if not each:
        return AnswersForetold(best=None, rows=[])
    return AnswersForetold(best=max(each, key=lambda one: one.score), rows=rows)


def _row(question: Question, shares: str, items: int) -> dict[str, Any]:
    """A row of the table, with all of its columns."""
    empty = dict.fromkeys(
        ("name", "at", "score", "low", "high", "chance", "p", "control_shuffled", "right", "right_low", "right_high",
         "wrong", "wrong_foretold", "state")
    )  # fmt: skip
    return {"task": question.name, **empty, "said": shares, "n_items": items}
