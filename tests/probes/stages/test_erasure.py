"""Erasure: LEACE by its definition, what it leaves and what it must not touch, steps of equal length."""

import numpy as np
import pytest

import probes
from probes.stages.contrast import scored_margin
from probes.stages.erasure import (
    Edit,
    Leace,
    Moments,
    leace,
    mean_projection,
    oas,
    random_erasure,
    random_step,
    slope,
    steering,
)  # fmt: skip


def planted(n: int, d: int, k: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % k)
    x = rng.standard_normal((n, d)) @ (rng.standard_normal((d, d)) / np.sqrt(d) + np.eye(d))
    x[:, :k] += 2.0 * np.eye(k)[y]
    return x, y


def cross(x: np.ndarray, y: np.ndarray) -> float:
    z = np.eye(int(y.max()) + 1)[y]
    return float(np.abs((x - x.mean(axis=0)).T @ (z - z.mean(axis=0))).max() / len(x))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("shrinkage", [0.0, "oas"])
def test_no_covariance_is_left_and_the_change_is_the_least(k: int, shrinkage: float) -> None:
    x, y = planted(300, 10, k)
    edit = Leace.fit(x, y, shrinkage=shrinkage)
    assert edit.rank == k - 1
    assert cross(x, y) > 0.1
    assert cross(edit.apply(x), y) < 1e-12
    assert np.allclose(edit.apply(x).mean(axis=0), x.mean(axis=0))
    if shrinkage:
        assert 0 < edit.shrinkage < 1
        return
    w = np.linalg.inv(np.cov(x.T, bias=True))
    z = np.eye(k)[y]
    c = (x - x.mean(axis=0)).T @ (z - z.mean(axis=0)) / len(x)
    kept = x - (x - x.mean(axis=0)) @ w @ c @ np.linalg.pinv(c.T @ w @ c) @ c.T  # the oblique projection, written out
    assert np.allclose(edit.apply(x), kept)
    moved = np.square(x - edit.apply(x)).sum()
    basis, rng = np.linalg.svd(c, full_matrices=False)[0][:, : k - 1], np.random.default_rng(1)
    for _ in range(20):  # any other map along the same span that leaves no covariance changes more
        off = edit.right + 0.1 * rng.standard_normal(edit.right.shape)
        right = off @ np.linalg.inv(basis.T @ off)
        mapped = x - (x - x.mean(axis=0)) @ right @ basis.T
        assert cross(mapped, y) < 1e-12
        assert np.square(x - mapped).sum() > moved
    orthogonal = mean_projection(Moments.of(x, y))
    assert cross(orthogonal.apply(x), y) < 1e-12
    assert np.square(x - orthogonal.apply(x)).sum() > moved


def read(x: np.ndarray, y: np.ndarray, fold: np.ndarray, edit: Edit | None = None, inside: bool = False) -> float:
    """Ridge of held-out folds, on rows erased by `edit`, or by what the training folds say."""
    plan = probes.plan(y, np.arange(len(y)), classes=("a", "b"), permutations=9, repeats=1)
    found = np.zeros((1, len(y), 1))
    for part in range(10):
        held = fold == part
        z = Leace.fit(x[~held], y[~held]).apply(x) if inside else x if edit is None else edit.apply(x)
        a = z[~held] - z[~held].mean(axis=0)
        s = a.T @ a + 0.3 * np.square(a).sum() / a.shape[1] * np.eye(a.shape[1])
        codes = 2.0 * y[~held] - 1
        found[0, held, 0] = (z[held] - z[~held].mean(axis=0)) @ np.linalg.solve(s, a.T @ (codes - codes.mean()))
    return scored_margin(found, y, plan).mean


def test_erased_in_the_training_folds_it_reads_chance_and_on_the_very_rows_far_below() -> None:
    rng = np.random.default_rng(2)
    for n, d, at_most in ((1000, 64, 0.30), (200, 256, 0.06)):
        y = rng.permutation(np.arange(n) % 2)
        x = rng.standard_normal((n, d))
        x[:, 0] += 2.0 * y
        fold = rng.permutation(n) % 10
        assert read(x, y, fold) > 0.7
        assert read(x, y, fold, Leace.fit(x, y)) < at_most
        assert read(x, y, fold, inside=True) == pytest.approx(0.5, abs=0.02)


def test_controls_leave_the_label_and_another_fact_stays() -> None:
    rng = np.random.default_rng(3)
    y, other = rng.permutation(np.arange(4000) % 2), rng.integers(0, 2, 4000)
    x = rng.standard_normal((4000, 12))
    x[:, 0] += 2 * y
    x[:, 1] += 2 * other
    moments = Moments.of(x, y)
    real = leace(moments)

    def apart(z: np.ndarray, label: np.ndarray) -> float:
        m = z[label == 1].mean(axis=0) - z[label == 0].mean(axis=0)
        return float(m @ np.linalg.pinv(np.cov(z.T)) @ m) ** 0.5

    assert apart(real.apply(x), y) < 1e-6
    assert apart(real.apply(x), other) > 1.35
    assert apart(Leace.fit(x, rng.permutation(y)).apply(x), y) > 1.1
    drawn = [random_erasure(moments, real, np.random.default_rng(i)) for i in range(20)]
    assert np.mean([apart(one.apply(x), y) for one in drawn]) > 1.2
    whiten = np.linalg.inv(np.cov(x.T, bias=True))
    for one in [real, *drawn[:3]]:
        taken = x - one.apply(x)
        assert np.einsum("nd,de,ne->n", taken, whiten, taken).mean() == pytest.approx(1.0)  # of equal length
    tokens = x.reshape(400, 10, 12)
    assert np.allclose(real.apply(tokens).reshape(-1, 12), real.apply(x))


def test_sums_over_parts_are_the_whole_and_the_shrinkage_is_the_published_one() -> None:
    x, y = planted(90, 5, 3)
    parts = Moments.of(x[:40] + 1e6, y[:40], classes=3).plus(x[40:] + 1e6, y[40:])
    whole = Moments.of(x, y)
    assert np.allclose(parts.covariance, whole.covariance, atol=1e-6)
    assert np.allclose(parts.cross_covariance, whole.cross_covariance, atol=1e-6)
    s = whole.covariance
    p, trace, square = 5, np.trace(s), np.trace(s @ s)
    want = ((1 - 2 / p) * square + trace**2) / ((90 + 1 - 2 / p) * (square - trace**2 / p))
    assert oas(s, 90) == pytest.approx(want)
    assert oas(np.eye(5), 90) == 1
    for call in (lambda: Moments.of(x, y[:5]), lambda: Moments.of(x * np.nan, y), lambda: leace(whole, shrinkage=2.0)):
        with pytest.raises(probes.ProbeError):
            call()
    with pytest.raises(probes.ProbeError, match="do not vary"):
        Leace.fit(np.ones((20, 3)), np.arange(20) % 2)
    with pytest.raises(probes.ProbeError, match="nothing to erase"):
        mean_projection(Moments.of(np.tile(np.eye(3), (2, 1)), np.arange(6) // 3))


def test_a_step_moves_the_score_by_its_sd_and_all_steps_are_of_one_length() -> None:
    x, y = planted(500, 8)
    moments, w = Moments.of(x, y), np.random.default_rng(4).standard_normal(8)
    step = steering(moments, w)
    assert (step.apply(x, 2.0) - x) @ w == pytest.approx(np.full(500, 2 * (x @ w).std()))
    whiten = np.linalg.inv(moments.covariance)
    for one in (step, random_step(moments, np.random.default_rng(5))):
        assert one.step @ whiten @ one.step == pytest.approx(1.0)
    assert slope([-2, -1, 0, 1, 2], np.outer([-2, -1, 0, 1, 2], [3.0, -1.0]) + 7) == pytest.approx([3.0, -1.0])
    with pytest.raises(probes.ProbeError, match="does not vary"):
        steering(moments, np.zeros(8))
