"""Untrained networks as a population: a bound for those that were not drawn, and what few draws do not bound."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import t

import probes
from benchmarks.judgement import credit, measured, question, site, untrained
from probes.stats.credit import hardest, over_population
from probes.stats.measurement import Difference

PLAN = question(60, 0, 99, repeats=2)
MADE = [measured(site(np.random.default_rng([k, 9]), PLAN, s), PLAN) for k, s in enumerate((0.9, 0.5, 0.7, 0.6, 0.65))]


def test_the_bound_is_that_of_the_formula() -> None:
    m, *draws = MADE
    k, df = len(draws), PLAN.n_groups - 1
    control, found = over_population(m, draws, PLAN)
    scores = np.array([one.estimate.score for one in draws])
    assert control.estimate.score == pytest.approx(scores.mean())
    assert found.score == pytest.approx(m.estimate.score - scores.mean())
    mean = dataclasses.replace(control, estimate=m.estimate)
    error = _error(probes.compare(m, mean, PLAN), df)
    pairs = [_error(probes.compare(a, b, PLAN), df) ** 2 / 2 for i, a in enumerate(draws) for b in draws[i + 1 :]]
    between = max(0, scores.var(ddof=1) - np.mean(pairs)) * (1 + 1 / k)
    whole = error**2 + between
    nu = whole**2 / (between**2 / (k - 1) + error**4 / df)
    assert found.low == pytest.approx(found.score - t.ppf(0.975, nu) * np.sqrt(whole))
    statistic = np.mean([one.null.statistic for one in draws], axis=0)
    assert control.estimate.p == pytest.approx((1 + (statistic[1:] >= statistic[0]).sum()) / len(statistic))


def _error(difference: Difference, df: int) -> float:
    assert difference.low is not None
    return (difference.score - difference.low) / float(t.ppf(0.975, df))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_three_draws_bound_no_network_that_was_not_drawn(count: int) -> None:
    _, found = over_population(MADE[0], MADE[1 : 1 + count], PLAN)
    assert (found.low is None) == (count < 3)


def test_networks_that_differ_widen_the_bound_and_equal_ones_do_not() -> None:
    m, one, *_ = MADE
    _, equal = over_population(m, [one] * 5, PLAN)
    _, single = over_population(m, [one] * 3, PLAN)
    plain = probes.compare(m, one, PLAN)
    assert equal.low == pytest.approx(plain.low)
    assert single.low == pytest.approx(plain.low)
    _, apart = over_population(m, MADE[1:], PLAN)
    assert apart.low is not None
    assert apart.low - apart.score < equal.low - equal.score  # type: ignore[operator]


def test_the_hardest_control_is_the_one_surpassed_least_surely_and_not_the_one_that_scores_most() -> None:
    def pair(score: float, low: float | None) -> tuple[probes.Measurement, Difference]:
        return MADE[0], Difference(score=score, low=low, high=None, p=None)

    near, unsure = pair(0.05, 0.02), pair(0.08, -0.01)
    assert hardest([near, unsure]) is unsure
    assert hardest([pair(0.2, None), few := pair(0.1, None)]) is few, "below 20 groups there is no interval"


def test_an_untrained_network_seldom_surpasses_a_population_where_it_often_surpasses_one_draw() -> None:
    found = untrained(24, between=0.15)
    assert found["one draw"] >= 3
    assert found["population of 5"] <= 1


def test_a_learnt_signal_is_not_credited_to_controls_that_read_nothing() -> None:
    now, then = credit(12)
    assert set(now) <= {"learned", "open"}
    assert now["learned"] + now["open"] >= 8
    assert set(then) - {"learned"}, "the first rule named what reads nothing"
