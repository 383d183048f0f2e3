"""Answers without their bias: by hand, on answers that are good, biased, constant or blind."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

import probes
from probes.stages.answers import bias_free, centred, columns_of, item_table, log_odds, mcnemar, right, unsaid
from probes.stages.contrast import frozen, margins_of, repeats

N = 80


def plan_of(y: np.ndarray, groups: np.ndarray | None = None, k: int = 2) -> probes.Plan:
    groups = np.arange(len(y)) if groups is None else groups
    return probes.plan(y, groups, classes=tuple("abcd"[:k]), permutations=199, repeats=2)


def asked(odds: np.ndarray) -> np.ndarray:
    """Log-probabilities [A, n, 2] of log-odds [A, n]."""
    return np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], axis=-1)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, probes.Plan]:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(N) % 2)
    return y, 2.0 * (2 * y - 1) + rng.standard_normal((4, N)), plan_of(y)


def test_good_answers_by_hand(data: tuple) -> None:
    y, odds, plan = data
    got = bias_free(asked(odds), plan, first=np.zeros((4, N), int))
    mean = odds.mean(axis=0)
    assert np.allclose(got.margin[:, 0], mean)
    assert got.auc.value == pytest.approx((mean[y == 1][:, None] > mean[y == 0]).mean(), abs=1e-6)
    assert got.auc.p == pytest.approx(1 / 200)
    told = (odds > 0).astype(int)
    raw = np.mean([np.mean((told == y).mean(axis=0)[y == c]) for c in (0, 1)])
    assert got.raw.value == pytest.approx(raw)
    assert got.favours == pytest.approx(((told == 0).mean(), (told == 1).mean()))
    assert got.position == pytest.approx((told == 0).mean())
    assert got.bias.none
    assert got.invalid == 0
    assert got.two_afc is None


def test_a_preferred_option_costs_raw_accuracy_and_nothing_else(data: tuple) -> None:
    _, odds, plan = data
    good, biased = bias_free(asked(odds), plan), bias_free(asked(odds + 20), plan)
    assert biased.auc == good.auc
    assert biased.accuracy.value == pytest.approx(good.accuracy.value)
    assert biased.raw.value == 0.5
    assert biased.favours == (0.0, 1.0)
    assert biased.bias.material
    assert biased.bias.loss == pytest.approx(biased.accuracy.value - 0.5)


def test_constant_and_blind_answers_tell_nothing(data: tuple) -> None:
    _, _, plan = data
    constant = bias_free(asked(np.full((2, N), 3.0)), plan)
    assert (constant.auc.value, constant.auc.p) == (0.5, 1.0)
    assert constant.accuracy.value == 0.5
    blind = bias_free(asked(np.random.default_rng(5).standard_normal((4, N))), plan)
    assert blind.auc.low is not None
    assert blind.auc.high is not None
    assert blind.auc.low < 0.5 < blind.auc.high
    assert blind.auc.p is not None
    assert blind.auc.p > 0.01


def test_swapped_orders_take_a_position_bias_out(data: tuple) -> None:
    _, odds, plan = data
    pushed = odds.copy()
    pushed[::2] += 6  # the option that comes first is preferred: now of one class, now of the other
    pushed[1::2] -= 6
    first = np.where(np.arange(4)[:, None] % 2 == 0, 1, 0) * np.ones((4, N), int)
    got = bias_free(asked(pushed), plan, first=first)
    assert got.auc.value == pytest.approx(bias_free(asked(odds), plan).auc.value)
    assert got.position == pytest.approx(1.0, abs=0.02)
    assert got.bias.material


def test_an_invalid_reply_is_wrong_and_counted(data: tuple) -> None:
    y, odds, plan = data
    chosen = (odds > 0).astype(int)
    chosen[:, :20] = -1
    got = bias_free(asked(odds), plan, chosen=chosen)
    assert got.invalid == 0.25
    ok = (chosen == y).mean(axis=0)
    assert got.raw.value == pytest.approx(np.mean([ok[y == c].mean() for c in (0, 1)]))
    tie = bias_free(asked(np.zeros((1, N))), plan)
    assert tie.raw.value == 0.5  # a tie of log-probabilities is right as often as a coin


def test_the_threshold_is_of_the_other_folds(data: tuple) -> None:
    y, odds, plan = data
    m = odds.mean(axis=0)[:, None]
    want = np.empty(N)
    for part in range(plan.n_folds):
        held = plan.folds[0] == part
        want[held] = m[held, 0] - np.quantile(m[~held, 0], (y[~held] == 0).mean())
    assert np.allclose(centred(m, plan)[:, 0], want)


def test_forced_choice_in_pairs_of_one_group() -> None:
    rng = np.random.default_rng(2)
    groups, y = np.arange(60) // 2, np.arange(60) % 2
    level = rng.standard_normal(30)[groups] * 5  # of the image, no fact
    odds = level + np.where(groups < 24, 1.0, -1.0) * (y - 0.5)
    got = bias_free(asked(odds[None]), plan_of(y, groups))
    assert got.two_afc is not None
    assert got.two_afc.value == pytest.approx(24 / 30)
    assert got.two_afc.p is not None
    assert got.two_afc.p < 0.01
    assert got.two_afc.low is not None
    assert 0.5 < got.two_afc.low < got.two_afc.value
    assert got.auc.value < 0.65  # over groups the level drowns it
    flat = bias_free(asked((level + rng.standard_normal(60))[None]), plan_of(y, groups)).two_afc
    assert flat is not None
    assert flat.low is not None
    assert flat.low < 0.5


def test_only_pairs_of_different_classes_are_a_choice() -> None:
    groups, y = np.arange(60) // 3, np.tile([0, 1, 1], 20)
    odds = np.tile([0.0, 1.0, -1.0], 20)  # one of the two pairs of each group is in order; the third is no pair
    odds[::3] = np.where(np.arange(20) < 5, -2.0, 0.0)  # in five groups both
    got = bias_free(asked(odds[None]), plan_of(y, groups)).two_afc
    assert got is not None
    assert got.value == pytest.approx((5 * 1 + 15 * 0.5) / 20)


def test_three_classes() -> None:
    y = np.arange(90) % 3
    logits = 2.0 * np.eye(3)[y] + np.random.default_rng(3).standard_normal((2, 90, 3))
    log_p = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    odds = log_odds(log_p)
    p = np.exp(log_p)
    assert np.allclose(odds, np.log(p / (1 - p)).mean(axis=0))
    got = bias_free(log_p, plan_of(y, k=3))
    each = [(odds[y == c, c][:, None] > odds[y != c, c]).mean() for c in range(3)]
    assert got.auc.value == pytest.approx(np.mean(each), abs=1e-3)
    biased = bias_free(log_p - np.array([9.0, 0, 0]), plan_of(y, k=3))
    assert biased.bias.material
    assert biased.raw.value < 0.6 < biased.accuracy.value


def test_what_a_stage_reads_above_the_answers(data: tuple) -> None:
    y, odds, plan = data
    rng = np.random.default_rng(4)
    x = rng.standard_normal((N, 5)) + 3.0 * (y[:, None] - 0.5) * np.eye(5)[0]
    given = probes.FeatureSet(x=x, y=y, groups=np.arange(N), ids=[str(i) for i in range(N)], classes=("a", "b"))
    m = probes.measure(given, plan, probe="ridge", level="screen", detect=False)
    blind = bias_free(asked(rng.standard_normal((2, N))), plan)
    lost = unsaid(margins_of(m), blind.margin, plan, m.null.fixed_margin)
    stage = repeats(margins_of(m), plan, order=True).mean
    assert lost.score == pytest.approx(stage - blind.auc.value)
    assert lost.low is not None
    assert lost.low > 0.1
    good = unsaid(margins_of(m), bias_free(asked(odds), plan).margin, plan, m.null.fixed_margin)
    assert good.high is not None
    assert good.high < 0.1
    plain = unsaid(margins_of(m), blind.margin, plan)
    assert plain.high is not None
    assert lost.high is not None
    assert lost.high >= plain.high
    scores, permuted = frozen(blind.margin, plan, order=True)
    assert np.allclose(scores.score, blind.auc.value)
    assert len(permuted.score) == 99


def test_the_item_table_and_mcnemar(data: tuple) -> None:
    columns = {"encoded": np.array([1, 1, 1, 1, 0, 1]), "passed on": np.array([1, 1, 1, 0, 0, 1]),
               "answered": np.array([0, 0, 1, 0, 1, 0])}  # fmt: skip
    table = item_table(columns, np.array([0, 0, 1, 2, 3, 4]))
    assert table.counts == {(1, 1, 0): 3, (1, 1, 1): 1, (1, 0, 0): 1, (0, 0, 1): 1}
    assert next(iter(table.counts)) == (1, 1, 0)
    assert table.lost == (1, 3)
    assert table.totals == pytest.approx((5 / 6, 4 / 6, 2 / 6))
    test = table.tests[1]
    assert (test.only_first, test.only_second) == (3, 1)
    assert test.p == pytest.approx(binomtest(3, 4).pvalue)
    totals = np.array([2, 1, -1])  # of the groups that hold a difference: 0 has two, 4 one, 3 one the other way
    flips = [abs(np.dot(s, totals)) >= 2 for s in product((1, -1), repeat=3)]
    assert test.p_group == pytest.approx(np.mean(flips))
    same = mcnemar(columns["encoded"], columns["encoded"], np.arange(6))
    assert (same.p, same.p_group) == (1.0, 1.0)
    y, odds, plan = data
    wins = right(np.stack([odds[0], odds[1]])[..., None], plan)
    assert np.array_equal(wins, ((odds[:2] > 0) == y).mean(axis=0) > 0.5)
    assert list(columns_of([("encoded", odds[:2, :, None])], plan)) == ["encoded"]


def test_what_does_not_fit_is_said(data: tuple) -> None:
    _, odds, plan = data
    log_p = asked(odds)
    bad = log_p.copy()
    bad[0, 0, 0] = -np.inf
    number = probes.plan(odds[0], np.arange(N), permutations=9, repeats=1)
    for call, words in (
        (lambda: bias_free(log_p[..., :1], plan), "must be"),
        (lambda: bias_free(bad, plan), "NaN or infinite"),
        (lambda: bias_free(log_p, plan, chosen=np.zeros((3, N), int)), "answers must be"),
        (lambda: bias_free(log_p, number), "target is a number"),
    ):
        with pytest.raises(probes.ProbeError, match=words):
            call()
