"""Whether features drift along a list: the place is asked within each answer, where the answer leaves some of it."""

import numpy as np
import pytest

from probes.stats.order import carried_order, order_features, scaled
from probes.stats.plan import Plan, plan

N = 80
GROUPS = np.arange(N)
RNG = np.random.default_rng(4)
NOISE = RNG.standard_normal((N, 5))


def classes(y: np.ndarray) -> Plan:
    return plan(y, GROUPS, seed=0, repeats=1, permutations=99, classes=("a", "b"))


def numbers(y: np.ndarray) -> Plan:
    return plan(y.astype(float), GROUPS, seed=0, repeats=1, permutations=99)


def test_the_place_is_ranked_within_each_answer() -> None:
    y = np.arange(N) % 2
    mixed = np.arange(N, dtype=float)
    apart = np.where(y == 0, np.where(mixed < N / 4, mixed, mixed + 1000), mixed + 500)  # the same order in each class
    drift = NOISE + np.outer(mixed / N, np.eye(1, 5))
    p = [carried_order(drift, place, classes(y)) for place in (mixed, apart)]
    assert p[0] == p[1]
    assert 0.01 < (p[0] or 0) < 0.5, "a p at its floor would be equal anyway"


@pytest.mark.parametrize("drifts", [True, False])
def test_what_drifts_along_a_list_is_found_and_what_does_not_is_not(drifts: bool) -> None:
    place = RNG.permutation(N).astype(float)
    features = NOISE + drifts * 4 * np.outer(place / N, np.eye(1, 5))
    for asked in (classes(np.arange(N) % 2), numbers(RNG.standard_normal(N))):
        p = carried_order(features, place, asked)
        assert p is not None
        assert (p <= 0.05) == drifts


def test_a_list_that_is_all_but_sorted_by_a_number_leaves_nothing_to_ask() -> None:
    y = np.arange(N, dtype=float)
    nearly = y.copy()
    nearly[[10, 11, 50, 51]] = nearly[[11, 10, 51, 50]]
    assert carried_order(NOISE, y, numbers(y)) is None
    assert carried_order(NOISE, nearly, numbers(y)) is None
    assert carried_order(NOISE, RNG.permutation(N).astype(float), numbers(y)) is not None


def test_places_are_ranks_from_minus_one_to_one_and_their_polynomials() -> None:
    assert scaled(np.array([30.0, 10.0, 10.0, 20.0])).tolist() == [1, -1, -1, 0]
    assert scaled(np.zeros(3)).tolist() == [-1, -1, -1]
    two = order_features([np.arange(5), np.arange(5)[::-1]])
    assert two.shape == (5, 24)
    np.testing.assert_allclose(two[:, 0], np.linspace(-1, 1, 5))
    np.testing.assert_allclose(two[:, 12], np.linspace(1, -1, 5))
