"""What answers amount to, against plain loops and planted answers; and that nothing is found where nothing is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache import Store
from slitlamp.answers import measured
from slitlamp.answers.answered import INVALID, NO_IMAGE, TIE, AnsweredQuestion, Answers, Presentation
from slitlamp.answers.ask import ask
from slitlamp.answers.figures import UNBIASED, without_looking
from slitlamp.answers.settings import CHOICE, LETTER, AskSettings
from slitlamp.answers.table import long_rows, tables
from slitlamp.answers.words import sentences
from tests.letter_model import LetterModel
from tests.slitlamp.answers.asking import MEANS, inquiry, sees, stored


def planted(
    gap: np.ndarray, y: np.ndarray, groups: np.ndarray, *, prior: float = 0.0, prompts: int = 5, noise: float = 0.0
) -> AnsweredQuestion:
    """Two classes; log-odds gap [n] for class 1, and more for the letter that stands first."""
    every = tuple(Presentation(prompt=p, shift=s) for p in range(prompts) for s in range(2))
    rng = np.random.default_rng(0)
    odds = gap[:, None] + noise * rng.normal(size=(len(y), len(every)))
    odds = odds + prior * np.array([1.0 if one.shift else -1.0 for one in every])  # shift 1: class 1 has the letter A
    logodds = np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], axis=2)
    answers = Answers(
        way=LETTER, format="plain", presentations=every, chosen=(odds > 0).astype(np.int64), logodds=logodds
    )
    n = len(y)
    return AnsweredQuestion(
        model="planted", fingerprint="", name="t", ids=tuple(map(str, range(n))), groups=groups, y=y,
        options=[("no", "yes")] * n, classes=("no", "yes"), ways={LETTER: answers}, prompts=[("?",)] * n,
        copies=tuple(map(str, groups)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray]:
    """60 images with a copy of the other answer each."""
    return np.tile([0, 1], 60), np.repeat(np.arange(60), 2)


def test_a_letter_s_prior_hides_what_the_log_odds_tell(truth: tuple[np.ndarray, np.ndarray]) -> None:
    y, groups = truth
    answered = planted(np.where(y == 1, 2.0, -2.0), y, groups, prior=9.0)
    found = measured.bias_free(answered, answered.letter)
    assert found.auc is not None
    assert found.forced is not None
    assert (found.auc.value, found.forced.value, found.decided.value) == (1, 1, 1)
    assert found.auc.low < 0.99  # 60 groups exclude no error at all
    assert found.bias.value == pytest.approx(-0.5)
    assert found.bias.high < -0.4
    assert found.prior[0] > 0.98
    lines = sentences(answered)
    assert any("response bias hides" in line for line in lines)
    assert any("it answers by position" in line for line in lines)


def test_nothing_is_told_where_there_is_nothing(truth: tuple[np.ndarray, np.ndarray]) -> None:
    y, groups = truth
    rng = np.random.default_rng(3)
    within, covered = 0, 0
    for _ in range(200):
        answered = planted(rng.normal(size=120), y, groups, prior=9.0)
        found = measured.bias_free(answered, answered.letter)
        assert found.auc is not None
        within += found.auc.low <= 0.5 <= found.auc.high
        covered += found.bias.low <= 0 <= found.bias.high
    assert within >= 182
    assert covered >= 182
    null = planted(rng.normal(size=120), y, groups, prior=9.0)
    assert not any("response bias hides" in line for line in sentences(null))


def test_an_unbiased_answerer_is_not_called_biased_though_its_accuracy_lies_below_its_auc() -> None:
    rng = np.random.default_rng(5)
    y, groups = np.tile([0, 1], 400), np.repeat(np.arange(400), 2)
    answered = planted(rng.normal(size=800) + np.where(y == 1, 0.8, -0.8), y, groups)
    found = measured.bias_free(answered, answered.letter)
    assert found.bias.high < 0  # as METHOD 4.6 defines it
    assert found.auc is not None
    first = measured.accuracy(answered, answered.letter).first
    assert first.low < measured.unbiased(found.auc.value) < first.high
    assert not any("response bias hides" in line for line in sentences(answered))


@pytest.mark.parametrize(("prior", "bias"), [(0.0, 0.0), (9.0, -2 / 3)])
def test_of_three_classes_bias_is_against_the_accuracy_of_the_mean_log_odds(prior: float, bias: float) -> None:
    y, every = np.tile([0, 1, 2], 20), tuple(Presentation(shift=s) for s in range(3))
    odds = np.where(np.arange(3) == y[:, None], 2.0, 0.0)[:, None, :].repeat(3, axis=1)  # [n, orders, classes]
    for s in range(3):
        odds[:, s, s] += prior  # the letter A
    logodds = odds - np.logaddexp.reduce(odds, axis=2, keepdims=True)
    answers = Answers(way=LETTER, format="plain", presentations=every, chosen=odds.argmax(axis=2), logodds=logodds)
    answered = AnsweredQuestion(
        model="planted", fingerprint="", name="t", ids=tuple(map(str, range(60))), groups=np.arange(60), y=y,
        options=[("a", "b", "c")] * 60, classes=("a", "b", "c"), ways={LETTER: answers}, prompts=[("?",)] * 60,
    )  # fmt: skip
    found = measured.bias_free(answered, answers)
    assert found.bias.value == pytest.approx(bias)
    levels = {label: without_looking(answered, label) for label in (LETTER, UNBIASED)}
    assert levels == {LETTER: pytest.approx(1 / 3), UNBIASED: 0.5}
    blind = replace(answers, chosen=0 * answers.chosen, logodds=np.full((60, 3, 3), -np.log(3)))
    level = measured.bias_free(replace(answered, ways={LETTER: blind}, y=0 * y), blind)
    assert level.decided.value == pytest.approx(1 / 3)  # three share the highest mean: none is chosen for its place


def test_auc_is_the_share_of_pairs_of_other_groups() -> None:
    rng = np.random.default_rng(1)
    y, groups = rng.integers(0, 2, 40), np.repeat(np.arange(20), 2)
    answered = planted(rng.normal(size=40) + 0.7 * y, y, groups, prompts=1)
    mean = answered.letter.mean
    gap = mean[:, 1] - mean[:, 0]
    pairs = [
        (gap[i] > gap[j]) + 0.5 * (gap[i] == gap[j])
        for i in range(40) for j in range(40) if y[i] == 1 and y[j] == 0 and groups[i] != groups[j]
    ]  # fmt: skip
    found = measured.bias_free(answered, answered.letter).auc
    assert found is not None
    assert found.value == pytest.approx(np.mean(pairs))


def test_invalid_answers_and_ties_stay_in_the_denominator_and_leave_the_other(
    truth: tuple[np.ndarray, np.ndarray],
) -> None:
    y, groups = truth
    answered = planted(np.where(y == 1, 2.0, -2.0), y, groups)
    answered.letter.chosen[:30, 0] = INVALID
    answered.letter.chosen[30:40, 0] = TIE
    found = measured.accuracy(answered, answered.letter)
    assert (found.invalid, found.ties, found.first.value) == (30, 10, 80 / 120)
    assert found.answered is not None
    assert (found.answered.value, found.answered.items) == (1, 80)
    line = next(line for line in sentences(answered) if "of 120 items" in line)
    assert "30 invalid and 10 tied answers count as wrong; of the 80 valid ones 1.00" in line


def test_the_order_of_options_is_told_by_option_and_by_letter(truth: tuple[np.ndarray, np.ndarray]) -> None:
    y, groups = truth
    for prior, option, letter in ((0.0, 1.0, 0.0), (9.0, 0.0, 1.0)):
        answered = planted(np.where(y == 1, 2.0, -2.0), y, groups, prior=prior)
        found = measured.swap(answered, answered.letter)
        assert found is not None
        assert found.option is not None
        assert found.letter is not None
        assert (found.option.value, found.letter.value, found.cells) == (option, letter, 600)
    answered.letter.chosen[0, 0] = INVALID
    found = measured.swap(answered, answered.letter)
    assert found is not None
    assert (found.cells, found.invalid) == (599, 1)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> AnsweredQuestion:
    home: Path = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        model: Any = LetterModel(sees, MEANS, skill=2.0)
        question = inquiry(Store(home), n=40, k=2, unclear=10)
        return ask(stored(model, home, patch), question, AskSettings(ways=(LETTER, CHOICE)))


def test_the_quadrant_is_counted_item_by_item(asked: AnsweredQuestion) -> None:
    found = measured.quadrant(asked, NO_IMAGE)
    own, without = asked.letter, asked.blind[NO_IMAGE]
    counts = dict.fromkeys(measured.QUADRANTS, 0)
    for i in range(len(asked.ids)):
        told = {p: c for p, c in zip(own.presentations, own.chosen[i], strict=True) if p.wording == 0}
        stable = len({c for p, c in told.items() if p.shift == 0}) == 1
        changed = any(told[p] != c for p, c in zip(without.presentations, without.chosen[i], strict=True))
        name = ("ideal" if changed else "dangerous") if stable else ("fragile" if changed else "worst")
        counts[name] += 1
        assert found.kind[i] == name
    assert found.counts == counts
    assert sum(counts.values()) == 40
    assert counts["ideal"] > 0
    assert min(counts["dangerous"] + counts["worst"], counts["fragile"] + counts["worst"]) > 0


def test_every_answer_has_its_row(asked: AnsweredQuestion) -> None:
    rows = list(long_rows(asked))
    assert len(rows) == 40 * (12 + 6) + 40 * 6 * len(asked.blind)
    first = rows[1]
    assert (first["order"], first["prompt"], first["wording"], first["image"]) == ("2 1", 1, 1, "own")
    option = asked.options[0][int(asked.letter.chosen[0, 1])]
    assert (first["answer"], first["letter"]) == (option, "B" if option == asked.options[0][0] else "A")
    assert np.exp(first["log_p_1"]) + np.exp(first["log_p_2"]) == pytest.approx(1, abs=1e-5)
    shown = next(row for row in rows if row["image"] == "other class")
    assert shown["image_of"] in asked.ids


def test_pairs_have_mediconfusion_s_scores(asked: AnsweredQuestion) -> None:
    row = tables(asked)["pairs"][0]
    said, y = asked.letter.chosen[:, 0].reshape(20, 2), asked.y.reshape(20, 2)
    assert row["pairs"] == 20
    assert row["set"] == pytest.approx((said == y).all(axis=1).mean())
    assert row["individual"] == pytest.approx((said == y).mean())
    assert row["confusion"] == pytest.approx((said[:, 0] == said[:, 1]).mean())
