"""Indices of similarity equal independent implementations, and are 0 or chance where nothing is shared."""

from itertools import pairwise

import numpy as np
import pytest

from probes import ProbeError
from probes.pairs.similarity import (
    Index,
    KnnRows,
    MatrixRows,
    biased_cka,
    compare,
    debiased_cka,
    mutual_knn,
    nearest,
    rsa,
    unbiased_hsic,
)


def shared(n: int = 60, d: int = 12, e: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) + 3
    return x, x[:, :4] @ rng.normal(size=(4, e)) + rng.normal(size=(n, e))


def hsic_by_sums(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 4, with matrices."""
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    n, one = len(x), np.ones(len(x))
    outer = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + outer - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))


def test_cka_and_hsic_equal_the_matrix_form() -> None:
    for n, d in [(60, 12), (20, 50), (4, 3)]:
        x, y = shared(n, max(d, 4), d)
        assert unbiased_hsic(x, y) == pytest.approx(hsic_by_sums(x, y), rel=1e-9, abs=1e-9)
        wanted = hsic_by_sums(x, y) / np.sqrt(hsic_by_sums(x, x) * hsic_by_sums(y, y))
        if np.isfinite(wanted):
            assert debiased_cka(x, y) == pytest.approx(wanted, abs=1e-9)
        h = np.eye(n) - 1 / n
        k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
        assert biased_cka(x, y) == pytest.approx((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m), abs=1e-9)


@pytest.mark.parametrize("n", [32, 64, 128, 256])
def test_debiased_cka_of_independent_features_is_zero_on_average_and_the_biased_one_is_not(n: int) -> None:
    rng = np.random.default_rng(n)
    draws = {32: 240, 64: 120, 128: 60, 256: 30}[n]
    both = [(rng.normal(size=(n, 768)), rng.normal(size=(n, 768))) for _ in range(draws)]
    assert abs(np.mean([debiased_cka(x, y) for x, y in both])) < 0.005
    assert biased_cka(*both[0]) > 0.7


def test_rsa_equals_scipy() -> None:
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr

    x, y = shared()
    wanted = float(spearmanr(pdist(x, "correlation"), pdist(y, "correlation"))[0])
    assert rsa(x, y) == pytest.approx(wanted, abs=1e-9)


def test_neighbours_leave_the_item_out_by_its_place_and_keep_its_twin() -> None:
    x, y = shared(50)
    twins_x, twins_y = np.concatenate([x, x]), np.concatenate([y, y])
    assert (nearest(twins_x, 1)[:, 0] == (np.arange(100) + 50) % 100).all()
    unit = x - x.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    wanted = [[j for j in np.argsort(row, kind="stable") if j != i][:5] for i, row in enumerate(distance)]
    assert nearest(x, 5).tolist() == wanted
    # with every item twice, half of the neighbours are the same by brute force too
    found = [set(a) & set(b) for a, b in zip(nearest(twins_x, 4), nearest(twins_y, 4), strict=True)]
    assert mutual_knn(twins_x, twins_y, 4) == pytest.approx(np.mean([len(f) / 4 for f in found]), abs=1e-12)
    with pytest.raises(ProbeError, match="there can be 1 to 49"):
        nearest(x, 50)


def test_independent_features_share_neighbours_at_chance() -> None:
    rng = np.random.default_rng(1)
    found = [mutual_knn(rng.normal(size=(200, 30)), rng.normal(size=(200, 30))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(10 / 199, abs=0.004)


@pytest.mark.parametrize("index", ["cka", "rsa", "knn"])
def test_all_sites_at_once_equal_one_by_one_permuted_and_in_part(index: Index) -> None:
    one = {"cka": debiased_cka, "rsa": rsa, "knn": mutual_knn}[index]
    (x, y), (z, w) = shared(60, seed=0), shared(60, seed=1)
    rows = KnnRows([x, z], [y, w], 10) if index == "knn" else MatrixRows([x, z], [y, w], index)
    assert rows.score() == pytest.approx(np.array([[one(a, b) for b in (y, w)] for a in (x, z)]), abs=1e-9)
    order = np.random.default_rng(0).permutation(60)
    assert rows.permuted(order) == pytest.approx(
        np.array([[one(a, b[order]) for b in (y, w)] for a in (x, z)]), abs=1e-9
    )
    members = np.sort(order[:45])
    if index == "cka":
        assert rows.part(members)[0, 1] == pytest.approx(debiased_cka(x[members], w[members]), abs=1e-9)
    if index == "rsa":
        assert rows.part(members)[0, 1] == pytest.approx(rsa(x[members], w[members]), abs=0.02)


def test_the_p_equals_the_public_package_with_the_same_permutations() -> None:
    torch = pytest.importorskip("torch")
    calibration = pytest.importorskip("calibrated_similarity")
    x, y = shared(40)
    z = np.random.default_rng(5).normal(size=(40, 7))
    found = compare([x, z], [y, z + 0.0], np.arange(40), index="cka", permutations=60, seed=3)
    from probes.stats.block_permutation import block_permutation

    rng = np.random.default_rng([3, 40, 17])
    moved = block_permutation(np.arange(40), np.arange(40), None, "group label vectors").draw(rng, 60)
    drawn = iter(torch.from_numpy(moved))
    layers = [[torch.from_numpy(a) for a in sites] for sites in ([x, z], [y, z])]
    score, p, _tau = calibration.calibrate_layers(
        *layers, lambda a, b: debiased_cka(a.numpy(), b.numpy()), K=60, perm_fn=lambda *_: next(drawn)
    )
    assert found.best_p == pytest.approx(float(p), abs=1e-6)
    drawn = iter(torch.from_numpy(moved))
    score, p, tau = calibration.calibrate(
        torch.from_numpy(x), torch.from_numpy(y), lambda a, b: debiased_cka(a.numpy(), b.numpy()), K=60,
        perm_fn=lambda *_: next(drawn),
    )  # fmt: skip
    assert found.p[0, 0] == pytest.approx(float(p), abs=1e-6)
    assert found.threshold[0, 0] == pytest.approx(float(tau), abs=1e-6)
    assert found.calibrated[0, 0] == pytest.approx(float(score), abs=1e-5)


def test_whole_groups_are_exchanged_and_the_best_cell_pays_for_all() -> None:
    """Two encoders that see nothing but the group: with free permutations every item would testify."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 10)
    x = rng.normal(size=(8, 5))[groups] + 0.01 * rng.normal(size=(80, 5))
    y = rng.normal(size=(8, 5))[groups] + 0.01 * rng.normal(size=(80, 5))
    found = compare([x], [y], groups, index="knn", permutations=99)
    assert found.p[0, 0] > 0.05
    assert compare([x], [y], np.arange(80), index="knn", permutations=99).p[0, 0] == 0.01
    many = [rng.normal(size=(40, 4)) for _ in range(6)]
    best = compare(many, [rng.normal(size=(40, 4)) for _ in range(6)], np.arange(40), permutations=199)
    assert best.p.min() < 0.1 < best.best_p
    assert all(a >= b for a, b in pairwise(sorted((best.best_p, float(best.p.min())), reverse=True)))


def test_the_interval_covers_the_value_of_many_items() -> None:
    def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 6))
        return x, x[:, :3] @ np.random.default_rng(9).normal(size=(3, 6)) + rng.normal(size=(n, 6))

    truth = debiased_cka(*draw(20_000, 1))
    inside = 0
    for seed in range(60):
        x, y = draw(80, seed + 10)
        found = compare([x], [y], np.arange(80), permutations=0, seed=seed)
        inside += int(found.low[0, 0] <= truth <= found.high[0, 0])
    assert 52 <= inside <= 60


def test_what_cannot_be_compared_is_refused() -> None:
    x, y = shared(30)
    with pytest.raises(ProbeError, match="features of"):
        compare([x], [y[:29]], np.arange(30))
    with pytest.raises(ProbeError, match="4 groups; a comparison needs at least 5"):
        compare([x], [y], np.arange(30) % 4)
    with pytest.raises(ProbeError, match="the same features"):
        compare([np.ones((30, 4))], [y], np.arange(30))
