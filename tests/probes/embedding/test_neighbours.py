"""Neighbours are those of brute force in float64, also where rows are copies of one another."""

import numpy as np
import pytest

from probes import ProbeError
from probes.embedding.neighbours import neighbours, prepared, ranks, top_k, with_itself


def brute(x: np.ndarray, k: int, apart: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    places, distances = [], []
    for i in range(len(x)):
        squared = np.einsum("nd,nd->n", x - x[i], x - x[i])
        squared[(np.arange(len(x)) == i) if apart is None else apart == apart[i]] = np.inf
        order = np.argsort(squared, kind="stable")[:k]
        places.append(order)
        distances.append(np.sqrt(squared[order]))
    return np.array(places), np.array(distances)


@pytest.mark.parametrize(("n", "d"), [(300, 1), (60, 3), (400, 64), (300, 768)])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e30])
@pytest.mark.parametrize("grouped", [False, True])
def test_neighbours_are_those_of_brute_force_with_twins_among_them(
    n: int, d: int, offset: float, grouped: bool
) -> None:
    rng = np.random.default_rng([n, d])
    x = rng.normal(size=(n, d)).astype(np.float32).astype(np.float64) * (1 if offset < 1e20 else 1e30) + offset
    x[n // 2 : n // 2 + n // 8] = x[: n // 8]  # twins
    x[-20:] = x[0]  # more of one than neighbours are asked for
    few = n // 8
    x[n // 3 : n // 3 + few] = x[1] + 1e-6 * rng.normal(size=(few, d))  # almost twins, where a product cancels
    apart = rng.integers(0, n // 4, n) if grouped else None
    wanted, found = brute(x, 15, apart), neighbours(x, 15, apart=apart)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


def test_no_row_of_a_large_group_is_its_own_neighbour_where_others_have_many_candidates() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 3))
    x[:45] = x[0]  # twins, so that rows of other groups have 45 candidates
    apart = np.concatenate([np.zeros(40, int), np.arange(1, 21)])  # 20 others for a group of 40
    wanted, found = brute(x, 15, apart), neighbours(x, 15, apart=apart)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


def test_the_item_itself_is_first_by_its_place() -> None:
    x = np.repeat(np.random.default_rng(0).normal(size=(10, 4)), 8, axis=0)  # eight copies of each
    places, distances = with_itself(*neighbours(x, 7))
    assert (places[:, 0] == np.arange(80)).all()
    assert (distances == 0).all()
    assert (places // 8 == np.arange(80)[:, None] // 8).all()


def test_the_largest_come_first_and_equal_ones_by_place() -> None:
    near = np.random.default_rng(1).integers(0, 5, (40, 60)).astype(float)
    for k in (1, 7, 60, 90):
        np.testing.assert_array_equal(top_k(near, k), np.argsort(-near, axis=1, kind="stable")[:, :k])


def test_ranks_count_those_that_are_nearer() -> None:
    x = np.random.default_rng(2).normal(size=(70, 5))
    every = neighbours(x, 69)[0]
    assert (ranks(x, every) == np.arange(1, 70)).all()
    assert (ranks(x, every[3:5], np.array([3, 4])) == np.arange(1, 70)).all()


@pytest.mark.parametrize(
    ("x", "metric", "said"),
    [
        (np.array([[0.0, np.nan], [1, 2]]), "euclidean", "1 of 2 items have features that are NaN or infinite"),
        (np.ones((5, 3)), "euclidean", "all 5 items have the same features"),
        (np.outer(np.arange(1, 6), np.ones(3)), "cosine", "all 5 items have the same features"),
        (np.eye(3) * [[1], [1], [0]], "cosine", "1 of 3 items have features that are all 0"),
    ],
)
def test_features_that_have_no_neighbours_are_said(x: np.ndarray, metric: str, said: str) -> None:
    with pytest.raises(ProbeError, match=said):
        prepared(x, metric)


def test_too_few_others_are_said() -> None:
    x = np.random.default_rng(3).normal(size=(6, 2))
    with pytest.raises(ProbeError, match="6 neighbours are asked for, and some items have 5 other items"):
        neighbours(x, 6)
    with pytest.raises(ProbeError, match="some items have 2 other items outside their own group"):
        neighbours(x, 3, apart=np.array([0, 0, 0, 0, 1, 2]))
