"""The rule that decides where a fact is lost: every branch by a table, each with its twin."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import probes
from probes.stages import planted as truths
from probes.stages import planted_texts
from probes.stages.contrast import Contrast, contrast, frozen, repeats, scored_margin
from probes.stages.failure import (
    Answer,
    Causal,
    External,
    Failure,
    Foretold,
    Knowledge,
    Stage,
    Text,
    decide,
    decompose,
    stage_of,
)  # fmt: skip
from probes.stats.measurement import Difference


def c(loss: float, half: float = 0.04, p: float = 0.001, margin: float = 0.1) -> Contrast:
    return contrast(Difference(score=loss, low=loss - half, high=loss + half, p=p), margin)


MATERIAL, SOME, NONE, OPEN = c(0.3), c(0.09), c(0.0, p=0.9), c(0.08, half=0.12, p=0.2)


def stage(name: str, score: float, state: Any = "present", **more: Any) -> Stage:
    return Stage(name=name, score=score, low=score - 0.05, high=score + 0.05, p=0.001, state=state, **more)


def silent(name: str, excluded: float | None) -> Stage:
    return stage(name, 0.5, "absent" if excluded is not None and excluded <= 0.9 else "inconclusive", excluded=excluded)


ANSWER = Answer(score=0.95, low=0.9, high=0.99, p=0.001, raw=0.9, bias=NONE)
GOOD = {
    "encoder": stage("tower", 0.9),
    "reference": stage("thumbnail", 0.88),
    "against_reference": c(-0.02),
    "connector": stage("connector", 0.88),
    "to_connector": NONE,
    "accessible": NONE,
    "image": stage("lm at the image", 0.87),
    "last": stage("last token", 0.85),
    "to_language_model": NONE,
    "answer": ANSWER,
    "unsaid": NONE,
}
UNSAID = {"answer": replace(ANSWER, score=0.5), "unsaid": c(0.4)}
NO_ROUTE = {"last": silent("last token", None)}
UNUSED = Causal(erasure=NONE, swap=NONE, control=MATERIAL)
TEXT = Text(direction=NONE, threshold=NONE, zero_shot=0.9, text_1d=0.9, probe=0.9)
CONTRASTIVE = {"image": None, "last": None, "to_language_model": None, "answer": None, "unsaid": None, "text": TEXT}

CASES: list[tuple[str, dict, str, str, str]] = [
    ("all good", {}, "none", "NO_LOSS", "strong"),
    ("a leak at a stage", {"image": replace(GOOD["image"], leak=True)}, "inconclusive", "LEAK", "exploratory"),
    ("a leak elsewhere", {"leak": True}, "inconclusive", "LEAK", "exploratory"),
    ("encoder absent", {"encoder": silent("tower", 0.8), "against_reference": SOME}, "encoder", "ENCODER_LOST",
     "strong"),
    ("encoder absent at .90", {"encoder": silent("tower", 0.9), "against_reference": MATERIAL}, "encoder",
     "ENCODER_LOST", "strong"),
    ("encoder absent, nothing to compare", {"encoder": silent("tower", 0.8), "against_reference": None}, "encoder",
     "ENCODER_LOST", "strong"),
    ("encoder absent, but no less than its reference", {"encoder": silent("tower", 0.8)}, "inconclusive",
     "NOT_TESTABLE(power)", "exploratory"),
    ("encoder absent, less than its reference or not", {"encoder": silent("tower", 0.8), "against_reference": OPEN},
     "inconclusive", "NOT_TESTABLE(power)", "exploratory"),
    ("absent above .90 is not absent", {"encoder": stage("tower", 0.5, "absent", excluded=0.95),
     "against_reference": SOME}, "inconclusive", "NOT_TESTABLE(power)", "exploratory"),
    ("encoder silent", {"encoder": silent("tower", None)}, "inconclusive", "NOT_TESTABLE(power)", "exploratory"),
    ("silent, but less than its reference", {"encoder": silent("tower", None), "against_reference": MATERIAL},
     "encoder", "ENCODER_LOST", "strong"),
    ("present, but less than its reference", {"against_reference": MATERIAL}, "encoder", "ENCODER_LOST", "strong"),
    ("present, less by not so much", {"against_reference": SOME}, "none", "NO_LOSS", "strong"),
    ("less than a reference that reads nothing",
     {"reference": silent("thumbnail", None), "against_reference": MATERIAL}, "none", "NO_LOSS", "strong"),
    ("less than its reference, and a larger loss behind", {"against_reference": c(0.2), **UNSAID}, "language_model",
     "LM_NOT_USED:READOUT", "moderate"),
    ("less than its reference, and a smaller loss behind", {"against_reference": c(0.45), **UNSAID}, "encoder",
     "ENCODER_LOST", "strong"),
    ("nobody reads it", {"encoder": silent("tower", 0.8), "reference": silent("thumbnail", 0.8)}, "inconclusive",
     "NOT_TESTABLE(ref)", "exploratory"),
    ("no reference", {"encoder": silent("tower", 0.8), "reference": None, "against_reference": None}, "inconclusive",
     "NOT_TESTABLE(ref)", "exploratory"),
    ("no reference, but present", {"reference": None, "against_reference": None}, "none", "NO_LOSS", "strong"),
    ("connector lost it", {"to_connector": MATERIAL}, "connector", "PROJECTOR_LOST", "strong"),
    ("some lost and silence behind", {"to_connector": SOME, "connector": silent("connector", 0.8)}, "connector",
     "PROJECTOR_LOST", "strong"),
    ("some lost, but read behind", {"to_connector": SOME}, "inconclusive", "NOT_TESTABLE(E-P)", "exploratory"),
    ("some lost, silence that excludes nothing", {"to_connector": SOME, "connector": silent("connector", None)},
     "inconclusive", "NOT_TESTABLE(E-P)", "exploratory"),
    ("connector open", {"to_connector": OPEN}, "inconclusive", "NOT_TESTABLE(E-P)", "exploratory"),
    ("connector not measured", {"to_connector": None}, "inconclusive", "NOT_TESTABLE(E-P)", "exploratory"),
    ("less accessible is no loss", {"accessible": MATERIAL}, "none", "NO_LOSS", "strong"),
    ("the layers discard it", {"to_language_model": MATERIAL}, "language_model", "LM_DISCARDS", "moderate"),
    ("some lost and silent layers", {"to_language_model": SOME, "image": silent("image", 0.8),
     "last": silent("last", 0.8)}, "language_model", "LM_DISCARDS", "moderate"),
    ("some lost, layers silent at the image only", {"to_language_model": SOME, "image": silent("image", 0.8)},
     "none", "NO_LOSS", "strong"),
    ("carried, not said", UNSAID, "language_model", "LM_NOT_USED:READOUT", "moderate"),
    ("not routed", {**UNSAID, **NO_ROUTE}, "language_model", "LM_NOT_USED:ROUTING", "moderate"),
    ("layers cannot be read", {**UNSAID, "image": None, "last": None, "to_language_model": None}, "language_model",
     "LM_NOT_USED:READOUT", "moderate"),
    ("not routed, but answers follow a swap", {**UNSAID, **NO_ROUTE, "causal": Causal(erasure=NONE, swap=MATERIAL)},
     "language_model", "LM_NOT_USED:READOUT", "strong"),
    ("neither erasure nor swap", {**UNSAID, **NO_ROUTE, "causal": UNUSED}, "language_model", "LM_NOT_USED:ROUTING",
     "strong"),
    ("answers that go against a swap are no disuse", {**UNSAID, "causal": replace(UNUSED, swap=c(-0.4))},
     "language_model", "LM_NOT_USED:READOUT", "moderate"),
    ("an erasure that helps is no disuse", {**UNSAID, "causal": replace(UNUSED, erasure=c(-0.3))}, "language_model",
     "LM_NOT_USED:READOUT", "moderate"),
    ("neither, and no fact that is answered was erased", {**UNSAID, "causal": replace(UNUSED, control=None)},
     "language_model", "LM_NOT_USED:READOUT", "moderate"),
    ("an erasure alone", {**UNSAID, "causal": Causal(erasure=NONE)}, "language_model", "LM_NOT_USED:READOUT",
     "moderate"),
    ("an erasure that shows nothing anywhere", {**UNSAID, "causal": replace(UNUSED, control=NONE)}, "language_model",
     "LM_NOT_USED:READOUT", "moderate"),
    ("a swap that is open", {**UNSAID, "causal": Causal(erasure=NONE, swap=OPEN)}, "language_model",
     "LM_NOT_USED:READOUT", "moderate"),
    ("the last token alone", {**UNSAID, "causal": Causal(last_token=NONE)}, "language_model", "LM_NOT_USED:READOUT",
     "moderate"),
    ("an erasure that changes the answers", {**UNSAID, "causal": Causal(erasure=MATERIAL, swap=NONE)},
     "language_model", "LM_NOT_USED:READOUT", "exploratory"),
    ("a step moves the answers", {**UNSAID, "causal": replace(UNUSED, steering=MATERIAL)}, "inconclusive",
     "NOT_TESTABLE(P-ANS)", "exploratory"),
    ("a step moves the answers backwards", {**UNSAID, "causal": replace(UNUSED, steering=c(-0.3))}, "inconclusive",
     "NOT_TESTABLE(P-ANS)", "exploratory"),
    ("an erasure that changes less than the margin", {**UNSAID, "causal": replace(UNUSED, erasure=c(0.03, half=0.02))},
     "language_model", "LM_NOT_USED:READOUT", "strong"),
    ("a step moves the answers by less than the margin",
     {**UNSAID, "causal": replace(UNUSED, steering=c(0.05, half=0.03))}, "language_model",
     "LM_NOT_USED:READOUT", "strong"),
    ("and backwards", {**UNSAID, "causal": replace(UNUSED, steering=c(-0.05, half=0.03))}, "language_model",
     "LM_NOT_USED:READOUT", "strong"),
    ("a step may move the answers by the margin", {**UNSAID, "causal": replace(UNUSED, steering=c(0.08, half=0.05))},
     "language_model", "LM_NOT_USED:READOUT", "moderate"),
    ("and by as much backwards", {**UNSAID, "causal": replace(UNUSED, steering=c(-0.08, half=0.05))},
     "language_model", "LM_NOT_USED:READOUT", "moderate"),
    ("a step that moves nothing", {**UNSAID, "causal": replace(UNUSED, steering=NONE)}, "language_model",
     "LM_NOT_USED:READOUT", "strong"),
    ("the question is not understood", {**UNSAID, "knowledge": Knowledge(score=0.6)}, "language_model",
     "TASK_NOT_UNDERSTOOD", "moderate"),
    ("the question is understood", {**UNSAID, "knowledge": Knowledge(score=0.95)}, "language_model",
     "LM_NOT_USED:READOUT", "moderate"),
    ("not understood, for the image is not looked at", {**UNSAID, "knowledge": Knowledge(score=0.6), "causal": UNUSED},
     "language_model", "LM_NOT_USED:READOUT", "strong"),
    ("not understood, but answered", {"knowledge": Knowledge(score=0.6)}, "none", "NO_LOSS", "strong"),
    ("one option preferred", {"answer": replace(ANSWER, raw=0.5, bias=MATERIAL)}, "language_model", "RESPONSE_BIAS",
     "strong"),
    ("whether one is preferred is open", {"answer": replace(ANSWER, bias=OPEN)}, "inconclusive",
     "NOT_TESTABLE(P-ANS)", "exploratory"),
    ("unsaid is open", {"unsaid": OPEN}, "inconclusive", "NOT_TESTABLE(P-ANS)", "exploratory"),
    ("some unsaid", {"unsaid": SOME}, "inconclusive", "NOT_TESTABLE(P-ANS)", "exploratory"),
    ("no answers", {"answer": None, "unsaid": None}, "inconclusive", "NOT_TESTABLE(P-ANS)", "exploratory"),
    ("texts good", CONTRASTIVE, "none", "NO_LOSS", "strong"),
    ("text direction", {**CONTRASTIVE, "text": replace(TEXT, direction=MATERIAL)}, "alignment", "TEXT_DIRECTION",
     "strong"),
    ("text threshold", {**CONTRASTIVE, "text": replace(TEXT, threshold=MATERIAL)}, "alignment", "TEXT_THRESHOLD",
     "strong"),
    ("both", {**CONTRASTIVE, "text": replace(TEXT, direction=MATERIAL, threshold=MATERIAL)}, "alignment",
     "TEXT_DIRECTION+TEXT_THRESHOLD", "strong"),
    ("texts open", {**CONTRASTIVE, "text": replace(TEXT, direction=OPEN)}, "inconclusive", "NOT_TESTABLE(P-ANS)",
     "exploratory"),
    ("head to the joint space", {**CONTRASTIVE, "to_connector": MATERIAL}, "connector", "PROJECTOR_LOST", "strong"),
    ("no stage between tower and texts", {**CONTRASTIVE, "connector": None, "to_connector": None}, "none", "NO_LOSS",
     "strong"),
    ("a weaker p", {"to_connector": c(0.3, p=0.03)}, "connector", "PROJECTOR_LOST", "moderate"),
    ("a p that does not hold", {"to_connector": c(0.3, p=0.07)}, "connector", "PROJECTOR_LOST", "exploratory"),
    ("the largest p counts", {"encoder": replace(GOOD["encoder"], p=0.04), "to_connector": MATERIAL}, "connector",
     "PROJECTOR_LOST", "moderate"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "failure", "code", "confidence"), [pytest.param(*r[1:], id=r[0]) for r in CASES])
def test_every_branch(given: dict, failure: str, code: str, confidence: str) -> None:
    found = decide(**{**GOOD, **given})
    assert (found.failure, found.code, found.confidence) == (failure, code, confidence), found.reason
    assert found.reason.endswith(".")
    assert any(ch.isdigit() for ch in found.reason) or code == "LEAK"
    assert ("the bias-free answer, AUC " in found.reason) == ("the bias-free answer" in found.reason)
    assert ("unsaid " in found.reason) == ("of AUC" in found.reason)
    assert all(not isinstance(v, (Stage, Contrast, Answer, Causal)) for v in found.inputs.values())


def test_all_codes_of_the_method_are_reached() -> None:
    wanted = {
        "ENCODER_LOST", "PROJECTOR_LOST", "LM_DISCARDS", "LM_NOT_USED:ROUTING", "LM_NOT_USED:READOUT", "NO_LOSS",
        "RESPONSE_BIAS", "TEXT_DIRECTION", "TEXT_THRESHOLD", "TASK_NOT_UNDERSTOOD", "LEAK", "NOT_TESTABLE(ref)",
        "NOT_TESTABLE(power)", "NOT_TESTABLE(E-P)", "NOT_TESTABLE(P-ANS)",
    }  # fmt: skip
    assert wanted <= {row[3] for row in CASES}


def notes(**given: Any) -> str:
    return "; ".join(decide(**{**GOOD, **given}).notes)


def test_notes_and_inputs() -> None:
    assert notes() == ""
    assert "less accessible after the connector" in notes(accessible=SOME)
    assert "more accessible after the connector: a probe trained anew gains +0.20 [+0.16, +0.24]" in notes(
        accessible=c(-0.2)
    )
    assert "accessible" not in notes(accessible=c(-0.02))
    assert "ERROR: information rises" in notes(rise=MATERIAL)
    assert "ERROR" not in notes(rise=NONE)
    assert "less than thumbnail" in notes(against_reference=SOME)
    assert "not decided by" in notes(causal=Causal(last_token=MATERIAL))
    found = decide(**GOOD)
    assert found.inputs["to_connector_loss"] == 0.0
    assert found.inputs["answer_bias_state"] == "none"
    assert found.inputs["knowledge"] is None
    assert found.p == 0.001
    assert isinstance(found, Failure)


def test_the_parts_of_the_gap_sum_to_it_and_hold_together() -> None:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(80) % 2)
    plan = probes.plan(y, np.arange(80), classes=("a", "b"), permutations=99, repeats=2)

    def read(strength: float) -> tuple:
        m = rng.standard_normal((2, 80, 1)) + strength * (y[None, :, None] - 0.5)
        null = rng.standard_normal((99, 80, 1))
        return repeats(m, plan), scored_margin(null, plan.permuted[:99], plan)

    answer = frozen(rng.standard_normal((80, 1)), plan)
    stages = [("tower", *read(3.0)), ("connector", *read(3.0)), ("answer", *answer)]
    steps, whole = decompose(stages, plan, 0.1)
    assert [(s.source, s.target) for s in steps] == [("tower", "connector"), ("connector", "answer")]
    assert sum(s.contrast.loss for s in steps) == pytest.approx(whole.contrast.loss)
    assert steps[1].contrast.material
    assert not steps[0].contrast.some
    alone, _ = decompose(stages[1:], plan, 0.1)
    assert steps[1].contrast.high > alone[0].contrast.high  # type: ignore[operator]
    assert steps[1].contrast.p == pytest.approx(2 * alone[0].contrast.p)  # type: ignore[operator]


def test_a_stage_of_a_measurement() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(90) % 2
    given = probes.feature_set(rng.standard_normal((90, 3)) + 2.0 * y[:, None], y)
    plan = probes.plan(given.y, given.groups, classes=given.classes, permutations=99, repeats=1)
    m = probes.measure(given, plan, probe="ridge", level="screen", detect=False)
    one = stage_of("tower", m, adjusted=0.04)
    assert one.present
    assert one.p == 0.04
    assert one.asked == 0.9
    assert not stage_of("tower", replace(m, leak=True)).present


@pytest.mark.parametrize("truth", truths.TRUTHS)
def test_planted_truths_are_judged_rightly(truth: str) -> None:
    given = truths.planted(truth, 100, 100, 16, np.random.default_rng([3, len(truth)]))
    found = truths.judge(given, permutations=99, repeats=1)
    outcome = truths.outcome(truth, found)
    assert outcome == "right" or (truth == "weak signal" and outcome == "open"), found.reason
    if truth == "language model ignores it":
        assert found.code == "LM_NOT_USED:ROUTING"


def test_planted_groups_hold_both_classes_and_share_what_is_no_fact() -> None:
    given = truths.planted("all good", 200, 50, 8, np.random.default_rng(0), pool=5)
    assert [len(one) for one in (given.tower, given.pool_tower, given.pool_connector)] == [200, 5, 5]
    for g in range(50):
        assert set(given.y[given.groups == g]) == {0, 1}
    rest = given.tower - np.stack([given.tower[given.y == c].mean(axis=0) for c in (0, 1)])[given.y]
    same = np.mean([np.corrcoef(rest[given.groups == g][0], rest[given.groups == g][1])[0, 1] for g in range(50)])
    assert same > 0.2


def test_planted_truths_that_do_not_exist() -> None:
    with pytest.raises(probes.ProbeError, match="no planted truth"):
        truths.planted("nonsense", 20, 20, 4, np.random.default_rng(0))
    with pytest.raises(probes.ProbeError, match="groups given"):
        truths.planted("all good", 20, 40, 4, np.random.default_rng(0))


def elsewhere(reads: bool = True, own: bool = True, unsaid: Contrast | None = MATERIAL) -> External:
    return External(
        source="other films",
        stage=stage("connector, trained elsewhere", 0.86) if reads else stage("connector", 0.5, "inconclusive"),
        own=stage("its own data", 0.9) if own else stage("its own data", 0.5, "inconclusive"),
        unsaid=unsaid,
    )


@pytest.mark.parametrize(
    ("external", "confidence", "said"),
    [
        (elsewhere(), "strong", "A probe that saw none of these items, trained on other films"),
        (elsewhere(unsaid=NONE), "moderate", "is not shown to read more than is said"),
        (elsewhere(reads=False, unsaid=NONE), "moderate", "Only the probe trained on these items reads it"),
    ],
)
def test_disuse_says_whether_a_probe_without_these_items_reads_it_too(
    external: External, confidence: str, said: str
) -> None:
    given: dict[str, Any] = GOOD | UNSAID | {"causal": UNUSED}
    assert decide(**given).confidence == "strong"
    found = decide(**given, external=external)
    assert (found.failure, found.confidence) == ("language_model", confidence)
    assert said in found.reason
    assert found.inputs["external_source"] == "other films"


def test_answers_that_go_against_an_exchanged_image_are_told_so() -> None:
    given: dict[str, Any] = GOOD | UNSAID
    against = decide(**given, causal=replace(UNUSED, swap=c(-0.4)))
    assert "answers go against an image put in its place" in against.reason
    assert "answers go against" not in decide(**given, causal=UNUSED).reason


def test_a_probe_that_does_not_read_its_own_data_tells_nothing() -> None:
    given: dict[str, Any] = GOOD | UNSAID | {"causal": UNUSED}
    found = decide(**given, external=elsewhere(reads=False, own=False, unsaid=NONE))
    assert (found.confidence, found.reason) == ("strong", decide(**given).reason)
    assert "tells nothing" in " ".join(found.notes)


FORETOLD = Foretold(
    name="connector", score=0.9, low=0.84, high=0.96, p=0.01, chance=0.5, right=0.55, right_low=0.45, right_high=0.65,
    wrong=50, wrong_foretold=44,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({}, "heuristic", "a systematic heuristic, not noise"),
        ({"right": 0.88, "right_high": 0.94}, "foretold", "answers are foretold"),
        ({"wrong_foretold": 10}, "foretold", "of 50 wrong ones 10 are foretold"),
        ({"p": 0.2}, "not foretold", "not shown to follow"),
        ({"low": 0.45}, "not foretold", "not shown to follow"),
    ],
)
def test_wrong_answers_that_are_foretold_are_a_heuristic(changes: dict[str, Any], state: str, said: str) -> None:
    one = replace(FORETOLD, **changes)
    assert one.state == state
    found = decide(**GOOD, foretold=one)
    assert said in " ".join(found.notes)
    assert found.code == "NO_LOSS"  # a remark, and no verdict


@pytest.mark.parametrize("truth", [planted_texts.PROJECTION, planted_texts.DIRECTION, planted_texts.OFFSET])
def test_planted_contrastive_faults_are_found_where_they_lie(truth: str) -> None:
    given = planted_texts.planted_texts(truth, 120, 120, 24, np.random.default_rng(5))
    found = planted_texts.judge_texts(given, permutations=99, repeats=1)
    assert truths.outcome(truth, found) == "right", found.code


def test_no_text_truth_is_planted_that_has_no_right_verdict() -> None:
    assert set(planted_texts.TEXT_TRUTHS) | set(truths.TRUTHS) == set(truths.RIGHT)
    with pytest.raises(probes.ProbeError, match="is no planted truth of texts"):
        planted_texts.planted_texts("nothing", 40, 40, 16, np.random.default_rng(0))


def test_folds_of_another_plan_are_kept_and_those_that_do_not_fit_are_refused() -> None:
    y, groups = np.arange(40) % 2, np.arange(40) // 2
    base = probes.plan(y, groups, classes=("a", "b"), permutations=19)
    other = probes.plan(1 - y, groups, classes=("a", "b"), permutations=19, where=base.folds, design="within groups")
    assert np.array_equal(base.folds, other.folds)
    assert (other.permuted.reshape(19, 20, 2).sum(axis=2) == 1).all()  # each group keeps one of both
    for where, words in ((base.folds[:, :9], "for 40 items"), (np.arange(40)[None] % 5, "split a group")):
        with pytest.raises(probes.ProbeError, match=words):
            probes.plan(y, groups, classes=("a", "b"), where=where)
    with pytest.raises(probes.ProbeError, match="could learn some class"):
        probes.plan((groups < 4).astype(int), groups, classes=("a", "b"), where=(groups < 4)[None].astype(int))
