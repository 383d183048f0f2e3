"""What stands beside a verdict: patches got back at their places, and the controls of an erasure."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import encoders
import probes
from probes import ProbeError
from probes.stages.contrast import Contrast
from probes.stages.failure import Answer, Causal
from slitlamp.diagnosis import causal, figures
from slitlamp.diagnosis.controls import share_controls
from slitlamp.diagnosis.sheet import letters, title_lines
from slitlamp.diagnosis.tokens import places_of, tokens_of


def test_merged_patches_stand_side_by_side_at_the_place_of_their_token() -> None:
    before, behind = encoders.Site(width=1, grid=(2, 4), prefix=1, cls=True), encoders.Site(width=1, grid=(1, 2))
    card = encoders.Card(name="merging", sites={"block.0": before, "connector": behind})
    tokens = {"block.0": np.arange(-1.0, 8)[None, :, None], "connector": np.zeros((1, 2, 1))}
    network: Any = SimpleNamespace(
        card=card, layout=None, module=None, preprocess=lambda image: image, forward=lambda *_: tokens
    )
    patches, handed_on, grid = tokens_of(network, np.zeros((4, 4), np.uint8), "block.0", "connector")
    assert grid == (1, 2)
    assert patches.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert handed_on.shape == (2, 1)
    for odd in (encoders.Site(width=1, grid=(1, 3)), encoders.Site(width=1, queries=4), encoders.Site(width=1)):
        with pytest.raises(ProbeError, match=r"divide|flat grid"):
            places_of(before, odd, "these")
    with pytest.raises(ProbeError, match="too wide"):
        places_of(before, encoders.Site(width=9000, grid=(2, 4)), "these")


@pytest.mark.parametrize(("tasks", "wide"), [(1, 72.0), (8, 38.0), (8, 60.0)])
def test_labels_of_stages_do_not_lie_over_one_another(tasks: int, wide: float) -> None:
    names = ["reference", "tower", "connector", "language model, image", "language model, last token", "answer",
             "texts, threshold learnt", "grey image"]  # fmt: skip
    rows = [{"task": f"t{k}", "stage": "encoder", "name": name} for k in range(tasks) for name in names]
    room = figures.room_of(rows, "t0", wide)
    lines = max(figures.label_of(name, room).count("\n") + 1 for name in names)
    assert lines * 2.1 * 2**0.5 <= room  # a line of 6 points, slanted by 45 degrees
    assert figures.below(rows, wide) < 25


def test_long_names_that_begin_alike_are_told_apart_above_a_panel() -> None:
    names = [f"label what_the_radiologist_said_about_the_lung_at_the_first_visit_{side}" for side in ("left", "right")]
    for most in (1, 2):
        left, right = (title_lines(name, 38.0, most) for name in names)
        assert left != right
        assert len(left) == most
        assert "…" in left[-1]
        assert max(map(len, left)) <= letters(38.0)
    assert title_lines("contrast", 38.0) == title_lines("contrast", 38.0, 1) == ["contrast"]
    assert title_lines("label a\x1b[31m", 38.0) == ["label a\N{REPLACEMENT CHARACTER}[31m"]


def lost(by: float) -> Contrast:
    return Contrast(loss=by, low=by - 0.05, high=by + 0.05, p=0.001, margin=0.1, state="material")


def stages(score: float, p: float, erased: float) -> Any:
    answer = Answer(score=score, low=score - 0.05, high=1.0, p=p)
    return SimpleNamespace(told=answer, causal=Causal(erasure=lost(erased)), notes=[], tables={"causal": []})


def test_an_erasure_is_held_against_that_of_the_fact_that_is_answered_best() -> None:
    found = {"a": stages(0.95, 0.001, 0.4), "b": stages(0.9, 0.001, 0.5), "c": stages(0.5, 0.4, 0.01)}
    share_controls(found)
    assert [one.causal.control.loss for one in found.values()] == [0.5, 0.4, 0.4]  # not the one that was lost most
    assert "a, which is answered" in found["c"].tables["causal"][0]["edit"]
    alone = {"a": stages(0.95, 0.001, 0.4), "c": stages(0.5, 0.4, 0.01)}
    share_controls(alone)
    assert alone["a"].causal.control is None  # what is not answered shows nothing
    assert "no other fact that the model is shown to report" in alone["a"].notes[0]


@pytest.mark.parametrize(("shared", "harmed"), [(60, False), (60, True), (10, False)])
def test_the_unrelated_question_is_asked_of_the_same_images(
    monkeypatch: pytest.MonkeyPatch, *, shared: int, harmed: bool
) -> None:
    n = 60
    contents = [f"image {k}" for k in range(n)]
    groups = np.arange(n)
    question: Any = SimpleNamespace(
        name="one", pictures=SimpleNamespace(contents=contents), groups=groups, ids=contents
    )
    other: Any = SimpleNamespace(
        name="other", pictures=SimpleNamespace(contents=contents[:shared]), y=np.arange(shared) // 2 % 2,
        classes=("p", "q"),
    )  # fmt: skip
    plan = probes.plan(np.arange(n) % 2, groups, classes=("a", "b"), permutations=99, repeats=1)

    def asked(trial: causal.Trial, name: str, *_: Any) -> np.ndarray:
        said = trial.inquiry.y if name == causal.NONE or not harmed else np.zeros(n)
        return np.log(np.where(said[:, None] == np.arange(2), 0.9, 0.1))[None]

    inquiry = causal.Inquiry(
        name="one", ids=tuple(contents), groups=groups, y=plan.y, prompts=[("?",)] * n, options=[(("a", "b"),)] * n,
        pictures=question.pictures, policy={},
    )  # fmt: skip
    words = SimpleNamespace(prompts=[("which?",)], options=[(("p", "q"),)])
    monkeypatch.setattr(causal, "of_question", lambda *_: words)
    monkeypatch.setattr(causal.Trial, "log_p", asked)
    nobody: Any = None  # `asked` answers in its place
    trial = causal.Trial(
        model=nobody, inquiry=inquiry, asking=causal.AskSettings(model=("m",)), plan=plan, tokens=[], made={}
    )
    rows, why = causal.unrelated(trial, question, [question, other])
    if shared < 20:
        assert not rows
        assert "no unrelated question" in why
        return
    assert rows[0]["edit"] == "erased, and other is asked"
    assert rows[0]["state"] == ("material" if harmed else "none")
