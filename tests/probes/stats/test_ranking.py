"""Rankings, differences that hold at once and learning curves, on planted truth."""

import itertools

import numpy as np
import pytest
from scipy.special import ndtr, stdtr, stdtrit
from scipy.stats import chi2, norm

import probes
from probes.stats import curve, ranking
from probes.stats.best import simultaneous
from probes.stats.measurement import Measurement
from probes.stats.paired import half_widths, pairs_of, unpaired, unseen, variances
from probes.stats.plan import Plan


def measured(n: int, strengths: tuple[float, ...], seed: int = 0) -> tuple[Plan, list[Measurement]]:
    """Encoders that hold a class with a strength each, in features of which half are common."""
    rng = np.random.default_rng(seed)
    y, common = np.arange(n) % 2, rng.standard_normal((n, 4))
    plan = probes.plan(y, np.arange(n), classes=("no", "yes"), permutations=99, repeats=2)
    ms = []
    for strength in strengths:
        x = np.concatenate([common, rng.standard_normal((n, 4))], axis=1) + strength * (2 * y[:, None] - 1)
        given = probes.FeatureSet(x=x, y=y, groups=np.arange(n), ids=[str(i) for i in range(n)], classes=plan.classes)
        ms.append(probes.measure(given, plan, probe="ridge", level="screen", detect=False))
    return plan, ms


def test_of_two_arms_the_probability_is_that_of_their_difference_drawn_to_0() -> None:
    p = ranking.probability_best(np.array([0.8, 0.75]), np.array([[0, 0.03**2], [0.03**2, 0]]), 60.0)
    flat = float(stdtr(60, 0.05 / 0.03))  # with any spread of true scores as likely
    assert 0.8 < p[0] < flat
    assert p.sum() == pytest.approx(1)


@pytest.mark.parametrize(("apart", "error", "df"), [(0.1, 0.03, 4.0), (0.05, 0.03, 60.0), (0.2, 0.1, 19.0)])
def test_of_two_arms_the_probability_is_the_integral_over_spreads_and_errors(
    apart: float, error: float, df: float
) -> None:
    spread = np.geomspace(1e-4, 1, 2000)[:, None]  # standard deviation of the true scores, its prior half-Cauchy
    noise = error**2 / 2 * df / chi2.ppf((np.arange(200) + 0.5) / 200, df)
    seen = apart / np.sqrt(2)
    weight = norm.pdf(seen, 0, np.sqrt(noise + spread**2))
    weight *= np.gradient(spread[:, 0])[:, None] / (1 + (spread / 0.05) ** 2)
    by_hand = (weight * ndtr(seen * spread / np.sqrt(noise * (noise + spread**2)))).sum() / weight.sum()
    variance = error**2 * (1 - np.eye(2))
    p = ranking.probability_best(np.array([0.8, 0.8 - apart]), variance, df)
    assert p[0] == pytest.approx(by_hand, abs=0.01)


def test_what_arms_have_in_common_says_nothing_of_the_best() -> None:
    score, own = np.array([0.8, 0.75, 0.7]), np.array([2e-4, 5e-4, 9e-4])
    variance = (own[:, None] + own) * (1 - np.eye(3))
    once = ranking.probability_best(score, variance, 60.0)
    np.testing.assert_allclose(ranking.probability_best(score - 0.3, variance, 60.0), once)
    order = [2, 0, 1]
    turned = ranking.probability_best(score[order], variance[np.ix_(order, order)], 60.0)
    np.testing.assert_allclose(turned, once[order], atol=0.02)


def test_arms_that_are_one_share_their_probability() -> None:
    variance = np.full((3, 3), 0.02**2) * (1 - np.eye(3))
    variance[0, 1] = variance[1, 0] = 0
    p = ranking.probability_best(np.array([0.8, 0.8, 0.7]), variance, 60.0)
    assert p[0] == p[1] == pytest.approx(0.5, abs=0.01)
    assert ranking.probability_best(np.array([0.5]), np.zeros((1, 1)), 60.0).tolist() == [1]
    assert ranking.probability_best(np.array([0.8, 0.7]), np.zeros((2, 2)), 60.0).tolist() == [1, 0]  # not one


def test_the_probability_of_being_best_is_calibrated_and_no_arm_is_sure_among_equals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking, "DRAWS", 1000)
    said, true, sure = [], [], 0
    for k in range(150):
        rng = np.random.default_rng([1, k])
        noise = 0.04 * rng.standard_normal(5)
        variance = 2 * 0.04**2 * (1 - np.eye(5))
        truth = rng.normal(0, 0.06, 5)
        said.append(ranking.probability_best(truth + noise, variance, 80.0, k))
        true.append(truth == truth.max())
        sure += bool(ranking.probability_best(noise, variance, 80.0, k).max() > 0.95)
    p, t = np.concatenate(said), np.concatenate(true)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        here = (p >= low) & (p < high)
        off = 3 * np.sqrt(p[here].mean() * (1 - p[here].mean()) / here.sum())
        assert abs(p[here].mean() - t[here].mean()) < off
    assert sure <= 3


def test_arms_share_a_letter_where_they_are_not_told_apart_and_only_there() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 9):
        for share in (0, 0.3, 0.7, 1):
            apart = np.triu(rng.random((count, count)) < share, 1)
            apart = apart | apart.T
            found = ranking.letters(apart)
            for i, j in itertools.combinations(range(count), 2):
                assert bool(set(found[i]) & set(found[j])) is not bool(apart[i, j])
    assert ranking.letters(np.zeros((3, 3), dtype=bool)) == ["a", "a", "a"]
    assert len(set(ranking.letters(~np.eye(30, dtype=bool)))) == 30


def test_ranks_count_those_told_above_and_below() -> None:
    half = np.full((3, 3), 0.1)
    above = ranking.told_above([0.9, 0.85, 0.7], half)
    low, high = ranking.rank_intervals(above)
    assert (low.tolist(), high.tolist()) == ([1, 1, 3], [2, 2, 3])


def test_pairs_are_those_of_compare_and_wider_where_several_hold_at_once() -> None:
    plan, ms = measured(120, (0.4, 0.3, 0.1))
    alone, many = pairs_of(ms, [(0, 1)], plan)[0], pairs_of(ms, [(0, 1), (0, 2), (1, 2)], plan)
    d = probes.compare(ms[0], ms[1], plan)
    assert alone.difference == d == many[0].difference
    assert (alone.low, alone.high) == pytest.approx((d.low, d.high))
    assert many[0].low < alone.low - 0.1 * alone.error  # type: ignore[operator]
    assert pairs_of(ms, [(0, 1), (0, 2), (1, 2)], plan, 0.99)[0].low < many[0].low  # type: ignore[operator]
    assert alone.detectable == pytest.approx((1.98 + 0.845) * alone.error, rel=0.06)  # type: ignore[operator]
    assert variances(many, 3)[2, 0] == many[1].error ** 2  # type: ignore[operator]
    assert half_widths(many[1:], 3)[0, 1] == np.inf  # what was not compared is not told apart
    assert half_widths(many, 3)[0, 1] == pytest.approx((many[0].high - many[0].low) / 2)  # type: ignore[operator]


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_intervals_of_pairs_hold_at_once_as_their_differences_spread_together(confidence: float) -> None:
    plan, ms = measured(120, (0.4, 0.3, 0.1))
    pairs = [(0, 1), (0, 2), (1, 2)]
    parts = [m.scored.part.mean(axis=0) for m in ms]
    t = stdtrit(119, 0.975)
    wider = simultaneous([parts[a] - parts[b] for a, b in pairs], plan, confidence)
    assert wider > simultaneous([parts[0] - parts[1]], plan, confidence) + 0.05
    for pair in pairs_of(ms, pairs, plan, confidence):
        assert pair.high == pytest.approx(pair.difference.score + wider * t * pair.error)  # type: ignore[operator]
    (alone,) = pairs_of(ms, pairs[:1], plan, confidence)
    half = stdtrit(119, (1 + confidence) / 2) * alone.error
    assert alone.high == pytest.approx(alone.difference.score + half)


def test_what_answers_alike_is_equal_only_as_far_as_so_many_groups_show_it() -> None:
    plan, ms = measured(60, (3.0, 2.9))
    assert ms[0].scored.mean == ms[1].scored.mean == 1
    pair, same = pairs_of(ms, [(0, 1), (0, 0)], plan)
    assert pair.high == pytest.approx(unseen(plan)) == pytest.approx((1 - 0.025 ** (1 / 30)) / 2)
    assert pair.difference.p == 1
    assert (same.low, same.high, same.difference.p) == (0, 0, 1)


def test_below_20_groups_nothing_is_told() -> None:
    plan, ms = measured(18, (3.0, 0.0))
    pair = pairs_of(ms, [(0, 1)], plan)[0]
    assert (pair.low, pair.high, pair.error, pair.difference.p) == (None, None, None, None)
    assert unpaired(*ms)[1] is None
    (_, (many,)) = measured(90, (0.3,))
    for a, b in ((many, ms[0]), (ms[0], many)):
        d, error, _ = unpaired(a, b)
        assert (d.low, d.high, d.p, error) == (None, None, None, None)


def test_independent_sets_add_their_variances() -> None:
    (_, (a, *_)), (_, (b, *_)) = measured(120, (0.4,)), measured(90, (0.1,), seed=1)
    d, error, df = unpaired(a, b)
    assert error == pytest.approx(np.hypot(a.error, b.error))
    assert 89 < df < 208
    assert d.score == pytest.approx(a.estimate.score - b.estimate.score)
    assert d.p is not None
    assert d.low is not None
    assert (d.p < 0.05) == (d.low > 0)


def test_independent_sets_that_are_all_right_are_not_known_exactly() -> None:
    (plan, (a,)), (_, (b,)) = measured(60, (9.0,)), measured(90, (9.0,), seed=1)
    assert a.error == b.error == 0
    d, error, _ = unpaired(a, b)
    assert error is not None
    assert d.low is not None
    assert d.high == -d.low > unseen(plan)
    assert d.p == 1


def test_a_curve_counts_each_group_once() -> None:
    _, (m,) = measured(100, (0.4,))
    names = [f"p{i}" for i in range(100)]
    one, again = curve.Draw(measurement=m, groups=names), curve.Draw(measurement=m, groups=names)
    other = curve.Draw(measurement=m, groups=[f"q{i}" for i in range(100)])
    assert curve.mean_error([one]) == pytest.approx(m.error)
    assert curve.mean_error([one, again]) == pytest.approx(m.error)
    assert curve.mean_error([one, other]) == pytest.approx(m.error / np.sqrt(2))
    assert curve.rise([one], [again]) == (0, 0)
    assert curve.rises(0.0, None, 30) is None
    _, (few,) = measured(18, (0.4,))
    less = curve.Draw(measurement=few, groups=names[:18])
    assert curve.mean_error([less]) is curve.mean_error([one, less]) is None
    assert curve.rise([less], [one]) == (one.score - less.score, None)


@pytest.mark.parametrize(("strength", "width", "found"), [(0.13, 240, True), (1.5, 2, False), (0.0, 60, False)])
def test_a_curve_rises_where_more_groups_teach_more(strength: float, width: int, found: bool) -> None:
    rng = np.random.default_rng(3)
    y = np.arange(480) % 2
    x = rng.standard_normal((480, width)) + strength * (2 * y[:, None] - 1)
    less, more = [], []
    for draw in range(4):
        order = np.random.default_rng(draw).permutation(480)
        for taken, many in ((60, less), (240, more)):
            rows = np.sort(order[:taken])
            plan = probes.plan(y[rows], rows, classes=("no", "yes"), permutations=99, repeats=2)
            given = probes.FeatureSet(
                x=x[rows], y=y[rows], groups=rows, ids=[str(i) for i in rows], classes=plan.classes
            )
            m = probes.measure(given, plan, probe="ridge", level="screen", detect=False)
            many.append(curve.Draw(measurement=m, groups=given.ids))
    gain, error = curve.rise(less, more)
    assert curve.rises(gain, error, 60) is found
