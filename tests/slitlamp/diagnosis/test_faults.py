"""What is kept where one of several tasks fails, what is refused early, and what is not said of nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import encoders
import slitlamp
from benchmarks import verdicts
from encoders import EncoderError
from probes import ProbeError
from slitlamp import UsageError
from slitlamp.diagnosis import chain, run, words
from tasks import DataError
from tests.slitlamp.diagnosis import organism
from tests.slitlamp.diagnosis.test_diagnose import LITTLE, folder


def test_a_task_that_fails_costs_a_line_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(_: Any, question: Any, *__: Any) -> str:
        if question.name != "good":
            raise ProbeError("4 groups cannot fill 5 inner folds")
        return "cells"

    monkeypatch.setattr(run, "gather", gather)
    state: Any = SimpleNamespace(failed=[])
    own: Any = SimpleNamespace(model="tiny")
    good, bad = (SimpleNamespace(name=name) for name in ("good", "bad"))
    some: Any = [bad, good]
    assert run._gathered(state, some, own, own) == ["cells"]
    assert state.failed == ["tiny, bad: 4 groups cannot fill 5 inner folds"]
    with pytest.raises(ProbeError):  # alone it is the command's own error, with its exit code
        run._gathered(state, some[:1], own, own)
    with pytest.raises(EncoderError):
        run._gathered(state, [], own, own)


@pytest.mark.parametrize(
    ("flags", "words"),
    [({}, "has no question in words"), ({"question": ("Where?",), "options": ("a", "a")}, "cannot be told apart")],
)
def test_words_that_do_not_fit_are_refused_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], words: str
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("encoded first")

    folder(tmp_path, monkeypatch, "sees", "keeps")
    monkeypatch.setattr(encoders, "whole_names", lambda: (organism.NAME,))
    monkeypatch.setattr(run, "choose_points", never)
    with pytest.raises((UsageError, DataError), match=words):
        slitlamp.diagnose(organism.NAME, data="manifest.csv", label="side", group="patient", **LITTLE, **flags)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("LM_NOT_USED:READOUT", "does not say it"), ("LM_DISCARDS", "loses it"),
        ("RESPONSE_BIAS", "prefers one option"), ("TASK_NOT_UNDERSTOOD", "the question may not be understood"),
    ],
)  # fmt: skip
def test_a_heading_says_no_more_than_its_code(code: str, said: str) -> None:
    failure = SimpleNamespace(failure="language_model", code=code)
    one: Any = SimpleNamespace(failure=failure, got=SimpleNamespace(text=None))
    assert said in words.called(one)
    assert "use" not in words.called(one)


def test_no_loss_is_told_of_a_stage_that_is_not_shown_to_read() -> None:
    def stage(name: str, state: str) -> Any:
        return SimpleNamespace(name=name, state=state)

    carried = SimpleNamespace(reason="Nothing material is lost")
    got = SimpleNamespace(
        encoder=stage("tower", "present"), connector=stage("connector", "inconclusive"), image=stage("image", "absent"),
        to_connector=carried, to_language_model=carried,
    )  # fmt: skip
    one: Any = SimpleNamespace(got=got)
    first, second = words._carried(one)
    assert first == "tower to connector: Nothing material is lost"
    assert "Nothing is shown to be read at the connector" in second


@pytest.mark.parametrize(("groups", "state"), [(19, "inconclusive"), (20, "present")])
def test_below_twenty_groups_a_reference_and_an_answer_have_no_state(groups: int, state: str) -> None:
    estimate = SimpleNamespace(score=1.0, chance=0.5, p=0.005)
    found: Any = SimpleNamespace(estimate=estimate, plan=SimpleNamespace(n_groups=groups))
    assert chain.untrained_stage(found, "answer").state == state


def test_every_planted_model_has_a_row_and_a_verdict_is_judged_by_failure_or_code() -> None:
    assert set(verdicts.PLANTED) == {name for name in encoders.names() if name.startswith("phantom-llava")}
    bias = {"failure": "language_model", "code": "RESPONSE_BIAS"}
    unused = {"failure": "language_model", "code": "LM_NOT_USED:READOUT"}
    assert verdicts.judged(bias, ("RESPONSE_BIAS",)) == verdicts.judged(unused, ("language_model",)) == "right"
    assert verdicts.judged(unused, (verdicts.UNUSED,)) == "right"
    assert verdicts.judged(bias, (verdicts.UNUSED,)) == "wrong"
    assert verdicts.judged(unused, ("RESPONSE_BIAS",)) == verdicts.judged(bias, ("none",)) == "wrong"
    assert verdicts.judged({"failure": "inconclusive", "code": "LEAK"}, ("none",)) == "open"


def test_the_verdicts_of_all_tasks_are_said_before_what_they_rest_on() -> None:
    assert run._verdicts_first([["a", "a1", "a2"], ["b", "b1"]]) == ["a", "b", "a1", "a2", "b1"]
