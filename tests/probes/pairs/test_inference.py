"""Intervals by component cover, tests are exact, and every chance level equals enumeration."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from probes import ProbeError
from probes.pairs.inference import coin_p, components, discrimination, mean_difference, share, sign_flip
from probes.pairs.matching import CHANCE, matching, two_afc

MEDICONFUSION = np.repeat(np.arange(60), [25, 20, 18, 8, *[3] * 20, *[4] * 3, *[1] * 33])


def test_components_are_those_of_the_graph() -> None:
    first, second = np.array(["a", "b", "d", "f", "e"]), np.array(["b", "c", "e", "g", "d"])
    assert components(first, second).tolist() == [0, 0, 1, 2, 1]


@pytest.mark.parametrize(("rate", "correlation"), [(0.1, 0.3), (0.25, 0.1), (0.25, 0.6), (0.5, 0.3)])
def test_intervals_by_component_cover_and_those_of_pairs_do_not(rate: float, correlation: float) -> None:
    rng = np.random.default_rng(int(100 * rate + 10 * correlation))
    a = rate * (1 - correlation) / correlation
    b = (1 - rate) * (1 - correlation) / correlation
    inside = alone = 0
    draws = 600
    for _ in range(draws):
        values = (rng.random(len(MEDICONFUSION)) < rng.beta(a, b, 60)[MEDICONFUSION]).astype(float)
        found, pairs = share(values, MEDICONFUSION), share(values, np.arange(len(values)))
        inside += found.low <= rate <= found.high
        alone += pairs.low <= rate <= pairs.high
    assert 0.925 <= inside / draws <= 0.985
    if correlation > 0.2:
        assert alone / draws < 0.85


def test_independent_pairs_have_wilsons_interval() -> None:
    from scipy.stats import binomtest

    values = np.repeat([1.0, 0.0], [30, 70])
    found, ends = share(values, np.arange(100)), binomtest(30, 100).proportion_ci(0.95, "wilson")
    assert found.design_effect == pytest.approx(1.0, abs=0.03)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=0.004)
    every = share(np.ones(176), MEDICONFUSION)
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low < share(np.ones(176), np.arange(176)).low


def test_a_mean_difference_covers() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        values = 0.3 + rng.normal(size=60)[MEDICONFUSION] + rng.normal(size=176)
        found = mean_difference(values, MEDICONFUSION)
        inside += found.low <= 0.3 <= found.high
    assert 0.92 <= inside / 400 <= 0.99


def test_the_sign_flip_p_equals_enumeration_and_is_uniform_under_the_null() -> None:
    values, component = np.array([1.0, 1, -1, 1, 0.5]), np.array([0, 0, 1, 2, 3])
    totals = np.array([2.0, -1, 1, 0.5])
    every = [abs(sum(s * t for s, t in zip(signs, totals, strict=True))) for signs in product((1, -1), repeat=4)]
    assert sign_flip(values, component) == np.mean([one >= 2.5 for one in every])
    rng = np.random.default_rng(0)
    rejected = [sign_flip(rng.normal(size=60)[MEDICONFUSION], MEDICONFUSION) <= 0.05 for _ in range(150)]
    assert 0.01 <= np.mean(rejected) <= 0.1
    assert sign_flip(np.zeros(5), component) == 1.0


def test_discrimination_gives_the_published_table_again() -> None:
    """METHOD 5.1: GPT-4o on MediConfusion, 33 right twice and 11 exchanged of 176."""
    right, wrong = np.arange(176) < 33, (np.arange(176) >= 33) & (np.arange(176) < 44)
    found = discrimination(right, wrong, np.arange(176))
    assert found.share == pytest.approx(0.75)
    assert (found.low, found.high) == pytest.approx((0.60, 0.87), abs=0.006)
    assert found.p == pytest.approx(0.0013, abs=0.0001)
    together = np.concatenate([np.zeros(33, int), np.arange(1, 144)])
    assert discrimination(right, wrong, together).p_component > 0.05
    assert discrimination(right & False, wrong & False, np.arange(176)).share is None


def test_every_chance_level_equals_enumeration() -> None:
    orders = np.array([*permutations((1, 2, 4, 8))], float).reshape(-1, 2, 2)
    for name, found in matching(orders).items():
        assert found.mean() == pytest.approx(CHANCE[name]), name
    assert two_afc(orders[:, 0, 0], orders[:, 0, 1]).mean() == CHANCE["2afc"]
    assert not any(found.any() for found in matching(np.ones((1, 2, 2))).values())
    assert two_afc(np.ones(2), np.ones(2)).tolist() == [0.5, 0.5]


def test_an_offset_hides_information_from_the_image_score_and_not_from_the_matching() -> None:
    rng = np.random.default_rng(0)
    s = 0.1 * rng.normal(size=(2000, 2, 2)) + 0.3 * np.eye(2)
    s[:, 0] += 2.0  # the first image is nearer to everything
    found = matching(s)
    assert found["match"].mean() > 0.95
    assert found["image"].mean() < 0.05


@pytest.mark.parametrize(
    ("values", "component", "words"),
    [
        (np.ones(3), np.zeros(3, int), "one component"),
        (np.ones(3), np.arange(4), "3 values for 4 pairs"),
        (np.array([1.0, np.nan]), np.arange(2), "NaN"),
        (np.array([1.0, 2.0]), np.arange(2), "from 0 to 1"),
    ],
)
def test_what_is_no_set_of_pairs_is_refused(values: np.ndarray, component: np.ndarray, words: str) -> None:
    with pytest.raises(ProbeError, match=words):
        share(values, component)


def test_the_jackknife_variance_and_the_least_p_are_those_of_the_formulas() -> None:
    from probes.pairs.inference import DRAWS, mean_difference

    values, component = np.array([1.0, 2.0, 4.0, 0.0, 3.0, 5.0]), np.array([0, 0, 0, 1, 2, 2])
    size, mean, m = np.bincount(component), values.mean(), len(values)
    left = [values[component != c].mean() for c in range(3)]  # CR3 is the jackknife that leaves components out
    found = mean_difference(values, component)
    residual = np.bincount(component, values) - mean * size
    error = np.sqrt(((residual / (1 - size / m)) ** 2).sum()) / m
    assert np.allclose([mean - one for one in left], residual / (m - size))
    assert (found.high - found.low) / 2 > error, "at least the standard error itself"
    more, much = np.ones(40), np.arange(40)
    assert sign_flip(more, much) >= 1 / (1 + DRAWS) > 0
    wide = mean_difference(np.r_[values, values], np.r_[component, component + 3])
    spread = (wide.high - wide.low) / 2
    twice = np.r_[size, size]
    residual = np.r_[residual, residual]
    due = np.sqrt(((residual / (1 - twice / 12)) ** 2).sum()) / 12
    df = max(1.0, twice.sum() ** 2 / (twice**2).sum() - 1)
    from scipy.stats import t

    assert spread == pytest.approx(float(t.ppf(0.975, df)) * due)


def test_a_fair_coin_is_tested_as_scipy_does() -> None:
    for throws in (1, 2, 7, 8, 300):
        for heads in range(throws + 1):
            assert coin_p(heads, throws) == pytest.approx(stats.binomtest(heads, throws).pvalue, rel=1e-9)
