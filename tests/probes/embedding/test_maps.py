"""Projections do not change with threads, order or sign, and trust in them is what others compute."""

from typing import Any

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from probes import ProbeError
from probes.embedding.neighbours import neighbours, prepared
from probes.embedding.project import beside, principal, umap
from probes.embedding.trust import movement, trust


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return prepared(rng.normal(size=(200, 40)) * np.arange(1, 41) ** -1.0)


def test_principal_components_have_one_sign_and_one_size_however_they_are_computed(x: np.ndarray) -> None:
    found, share = principal(x)
    wide = principal(np.concatenate([x, np.zeros((200, 300))], axis=1))  # through the items instead
    np.testing.assert_allclose(wide[0], found, atol=1e-12)
    np.testing.assert_allclose(found.var(axis=0) / x.var(axis=0).sum(), share)
    assert share[0] > share[1] > 0
    loading = x.T @ found
    assert (loading[np.abs(loading).argmax(axis=0), [0, 1]] > 0).all()
    one, alone = principal(x[:, :1] - x[:, :1].mean())
    assert alone[1] == 0
    assert (one[:, 1] == 0).all()
    line = principal(prepared(np.outer(x[:, 0], np.arange(1, 8))))[0]
    assert (line[:, 1] == 0).all()  # and not rounding, stretched over an axis


@pytest.mark.parametrize("k", [5, 15, 150])
def test_trust_is_that_of_scikit_learn_and_continuity_its_mirror_image(x: np.ndarray, k: int) -> None:
    shown = principal(x)[0]
    found = trust(x, neighbours(x, k)[0], shown)
    if 2 * k < len(x):
        assert found.trustworthiness == pytest.approx(trustworthiness(x, shown, n_neighbors=k))
        assert found.continuity == pytest.approx(trustworthiness(shown, x, n_neighbors=k))
    assert 0 <= found.trustworthiness <= 1
    assert found.chance == k / 199


def test_a_true_map_keeps_all_neighbours_and_a_random_one_as_many_as_chance(x: np.ndarray) -> None:
    flat = x[:, :2]
    same = trust(flat, neighbours(flat, 15)[0], 3 * flat)
    assert (same.trustworthiness, same.continuity, same.preserved) == (1, 1, 1)
    random = trust(x, neighbours(x, 15)[0], np.random.default_rng(1).normal(size=(200, 2)))
    assert random.preserved == pytest.approx(random.chance, abs=0.02)
    assert random.trustworthiness == pytest.approx(0.5, abs=0.05)


def test_of_many_items_the_ranks_of_some_are_looked_at(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    near, shown = neighbours(x, 10)[0], principal(x)[0]
    whole = trust(x, near, shown)
    monkeypatch.setattr("probes.embedding.trust.MOST", 60)
    some = trust(x, near, shown)
    assert (whole.items, some.items) == (200, 60)
    assert some.trustworthiness == pytest.approx(whole.trustworthiness, abs=0.05)
    assert some.preserved == whole.preserved


def test_a_umap_is_the_same_at_every_run_with_any_number_of_threads_and_twins(x: np.ndarray) -> None:
    import numba

    twins = np.concatenate([x, x[:40]])
    lists = neighbours(twins, 15)
    said: list[int] = []
    first = umap(twins, *lists, epochs=50, first=lambda: said.append(1))
    assert len(said) <= 1
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        np.testing.assert_array_equal(umap(twins, *lists, epochs=50, first=lambda: said.append(1)), first)
    finally:
        numba.set_num_threads(before)
    assert len(said) <= 1  # it is compiled by now
    assert trust(twins, lists[0], first).trustworthiness > 0.8
    other = umap(twins, *lists, epochs=50, seed=1)
    assert np.abs(other - first).max() > 0.1


def test_umap_is_given_all_neighbours_and_the_item_itself(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Library:
        def UMAP(self, **given: Any) -> "Library":  # noqa: N802 - the name there
            asked.update(given)
            return self

        def fit_transform(self, x: np.ndarray) -> np.ndarray:
            return x[:, :2]

    monkeypatch.setattr("probes.embedding.project._library", Library)
    umap(x, *neighbours(x, 7), seed=3, min_dist=0.4)
    places, distances, _ = asked["precomputed_knn"]
    assert asked["n_neighbors"] == places.shape[1] == distances.shape[1] == 8
    assert (places[:, 0] == np.arange(200)).all()
    assert (asked["random_state"], asked["min_dist"], asked["n_jobs"]) == (3, 0.4, 1)


@pytest.mark.parametrize("n", [5, 9, 10, 11, 12])
def test_few_items_have_a_umap(n: int) -> None:
    small = prepared(np.random.default_rng(n).normal(size=(n, 6)))
    assert umap(small, *neighbours(small, 3), epochs=20).shape == (n, 2)


def test_fewer_than_five_items_have_none() -> None:
    small = prepared(np.random.default_rng(0).normal(size=(4, 6)))
    with pytest.raises(ProbeError, match="4 items; a UMAP needs at least 5"):
        umap(small, *neighbours(small, 2))


def test_the_axes_of_the_view_of_a_probe_are_uncorrelated(x: np.ndarray) -> None:
    value = x[:, 0] + 0.1 * x[:, 5]  # along the first component
    view = beside(value, x)
    assert np.corrcoef(view.T)[0, 1] == pytest.approx(0, abs=1e-9)
    assert abs(np.corrcoef(view[:, 1], x[:, 1])[0, 1]) > 0.9  # what is largest beside it
    np.testing.assert_array_equal(view[:, 0], value)
    assert np.isfinite(beside(np.zeros(200), x)).all()


def test_movement_is_nought_for_one_space_half_for_two_strangers_and_finds_who_went(x: np.ndarray) -> None:
    near = neighbours(x, 10)[0]
    shared, far = movement((x, x), (near, near))
    assert (shared == 1).all()
    assert far == pytest.approx(np.full(200, 5.5 / 199))
    rng = np.random.default_rng(3)
    strange = rng.normal(size=(200, 40))
    shared, far = movement((x, strange), (near, neighbours(strange, 10)[0]))
    assert shared.mean() == pytest.approx(10 / 199, abs=0.02)
    assert far.mean() == pytest.approx(0.5, abs=0.03)
    moved = x.copy()
    moved[[7, 90]] = x[[90, 7]] + 4.0  # two items go far away
    shared, far = movement((x, moved), (near, neighbours(moved, 10)[0]))
    assert set(np.argsort(-far)[:2]) == {7, 90}
