"""The solvers against brute force: scikit-learn for logistic regression, plain refits for ridge."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from probes import FeatureSet, linear
from probes.solvers import newton
from probes.solvers.auc import auc
from probes.solvers.calibration import above_prior
from probes.solvers.inner_folds import inner_folds
from probes.solvers.logistic import C_GRID, fit_nested, objective
from probes.solvers.newton import minimise
from probes.solvers.path import leading
from probes.solvers.problem import Batch, Point, Shared, logits, objectives
from probes.solvers.ridge import Ridge
from probes.solvers.scale import inverse_scale, standardised

PROBLEMS = [
    (60, 200, 2), (90, 400, 2), (120, 150, 2), (150, 40, 2), (240, 30, 2),
    (80, 200, 5), (100, 300, 5), (125, 130, 5), (150, 30, 5), (240, 20, 5),
]  # fmt: skip


def problem(n: int, d: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unequal classes, columns of scales from 1e-3 to 1e3, a spectrum that falls, one constant column."""
    rng = np.random.default_rng([seed, n, d])
    y = rng.choice(classes, size=n, p=np.linspace(1, 2, classes) / np.linspace(1, 2, classes).sum())
    y[: 8 * classes] = np.arange(8 * classes) % classes
    x = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5 + 0.3 * rng.normal(size=(classes, d))[y] / d**0.5
    x = (x @ np.linalg.qr(rng.normal(size=(d, d)))[0]) * 10.0 ** rng.uniform(-3, 3, size=d)
    x[:, d // 2] = 7.3
    return x.astype(np.float32), y


def given_of(x: np.ndarray, y: np.ndarray) -> FeatureSet:
    return FeatureSet(
        x=x,
        y=y,
        groups=np.arange(len(y)),
        ids=[str(i) for i in range(len(y))],
        classes=tuple("abcdefgh"[: int(y.max()) + 1]),
    )


def scikit_learn(z: np.ndarray, y: np.ndarray, c: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights, intercepts and objective of scikit-learn at tol 1e-10 on standardised rows z."""
    from sklearn.linear_model import LogisticRegression  # pyright: ignore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "lbfgs failed to converge" at a tolerance below its own rounding
        model = LogisticRegression(C=c / np.square(z).sum(axis=1).mean(), tol=1e-10, max_iter=20_000).fit(z, y)
    return model.coef_, model.intercept_, objective(z, y, model.coef_, model.intercept_, c)


def standardised_by(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """All rows, centred and scaled by the rows that train; what does not vary there is dropped."""
    train = x[rows].astype(np.float64)
    sd = train.std(axis=0)
    keep = sd > 1e-6 * np.median(sd)
    return (x[:, keep] - train.mean(axis=0)[keep]) / sd[keep]


def outer_and_inner(y: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    fold = inner_folds(y, np.arange(len(y)), rng, k)
    outer = fold != np.arange(k)[:, None]
    inner = np.full(outer.shape, -1)
    for row, train in zip(inner, outer, strict=True):
        row[train] = inner_folds(y[train], np.flatnonzero(train), rng)
    return fold, outer, inner


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d", "classes"), PROBLEMS)
def test_nested_probe_has_scikit_learns_optimum_and_held_out_labels(n: int, d: int, classes: int) -> None:
    x, y = problem(n, d, classes, seed=0)
    _, outer, inner = outer_and_inner(y)
    fits = fit_nested(x, y, outer, inner)
    for m, rows in enumerate(outer):
        z = standardised_by(x, rows)
        weights, intercept, least = scikit_learn(z[rows], y[rows], fits.c[m])
        theirs = (z @ weights.T + intercept - intercept.mean() * (classes > 2)).T[None]
        keep = np.ptp(x, axis=0) > 0
        raw = (x[:, keep] @ fits.weights[m][:, keep].T + fits.intercept[m]).T
        np.testing.assert_allclose(raw, fits.logits[m], atol=1e-5)
        sd = x[rows].astype(np.float64).std(axis=0)[keep]
        centre = x[rows].mean(axis=0, dtype=np.float64)
        ours = fits.weights[m][:, keep] * sd
        shifted = fits.intercept[m] + fits.weights[m] @ centre
        assert objective(z[rows], y[rows], ours, shifted, fits.c[m]) <= least * (1 + 1e-5)
        held = above_prior(theirs, fits.prior[m : m + 1]).argmax(axis=1)[0][~rows]
        assert (above_prior(fits.logits[m : m + 1], fits.prior[m : m + 1]).argmax(axis=1)[0][~rows] == held).all()
        np.testing.assert_allclose(theirs[0], fits.logits[m], atol=2e-3 * np.abs(theirs).max())


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d", "classes"), [(60, 200, 2), (150, 40, 2), (80, 60, 5)])
def test_nested_probe_chooses_the_strength_that_scikit_learn_chooses(n: int, d: int, classes: int) -> None:
    x, y = problem(n, d, classes, seed=1)
    _, outer, inner = outer_and_inner(y)
    fits = fit_nested(x, y, outer[:1], inner[:1])
    nats = [np.mean(list(inner_nats(x, y, outer[0], inner[0], c))) for c in C_GRID]
    assert fits.c[0] == C_GRID[int(np.argmin(nats))]
    near = fits.inner_loss[0] < 1.04 * fits.inner_loss[0].min()
    np.testing.assert_allclose(fits.inner_loss[0][near], np.asarray(nats)[near], rtol=2e-4)
    np.testing.assert_allclose(fits.inner_loss[0], nats, rtol=0.03)


def inner_nats(x: np.ndarray, y: np.ndarray, outer: np.ndarray, inner: np.ndarray, c: float) -> Iterator[float]:
    """Log-loss of every inner held-out item, refitted by scikit-learn."""
    for k in range(5):
        rows, test = outer & (inner != k), outer & (inner == k)
        z = standardised_by(x, rows)
        weights, intercept, _ = scikit_learn(z[rows], y[rows], c)
        scores = z[test] @ weights.T + intercept
        full = np.concatenate([np.zeros_like(scores), scores], axis=1) if scores.shape[1] == 1 else scores
        yield from (
            np.log(np.exp(full - full.max(1, keepdims=True)).sum(1)) + full.max(1) - full[np.arange(len(full)), y[test]]
        )


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e4])
def test_newton_reaches_the_minimum_at_both_ends_of_the_path(c: float, classes: int) -> None:
    x, y = problem(80, 120, classes, seed=2)
    z = standardised(x)
    v, s, tail = leading(z.astype(np.float32))
    onehot = (y == np.arange(1, 2)[:, None]) if classes == 2 else (y == np.arange(classes)[:, None])
    wide = Shared(x=z, onehot=onehot.astype(float), v=v.astype(float), s=s.astype(float), tail=tail)
    m2 = float(np.square(z).sum(axis=1).mean())
    least = scikit_learn(z, y, c)[2]
    for shared, dtype, tolerance, slack in (
        (wide, np.float64, 1e-13, 1e-9),
        (wide.astype(np.float32), np.float32, 1e-7, 1e-6),
    ):
        batch = Batch(rows=np.ones((1, 80), dtype), scale=np.ones((1, 120), dtype), strength=np.array([m2 / c], dtype))
        zero = np.zeros((1, len(onehot), 120), dtype), np.zeros((1, len(onehot)), dtype)
        end = minimise(shared, batch, Point(u=zero[0], b=zero[1], z=logits(shared, batch, *zero)), tolerance)
        exact = Batch(rows=np.ones((1, 80)), scale=np.ones((1, 120)), strength=np.array([m2 / c]))
        u, b = end.u.astype(float), end.b.astype(float)
        reached = objectives(wide, exact, Point(u=u, b=b, z=logits(wide, exact, u, b)))[0]
        assert reached <= least * (1 + slack)


def test_a_fit_that_is_not_finite_is_an_error_and_the_flag_of_the_processor_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = problem(80, 120, 2, seed=2)
    z = standardised(x).astype(np.float64)
    v, s, tail = leading(z.astype(np.float32))
    shared = Shared(x=z, onehot=(y == 1)[None].astype(float), v=v.astype(float), s=s.astype(float), tail=tail)
    zero = Point(u=np.zeros((1, 1, 120)), b=np.zeros((1, 1)), z=np.zeros((1, 1, 80)))
    batch = Batch(rows=np.ones((1, 80)), scale=np.ones((1, 120)), strength=np.ones(1))
    plain = minimise(shared, batch, zero, 1e-9)

    def flagged(*given: Any) -> np.ndarray:
        np.subtract(np.inf, np.inf)  # as an idle lane does: what is handed back is finite
        return logits(*given)

    monkeypatch.setattr(newton, "logits", flagged)
    assert np.array_equal(minimise(shared, batch, zero, 1e-9).u, plain.u)
    with pytest.raises(FloatingPointError, match="not finite"):
        minimise(shared, dataclasses.replace(batch, strength=np.full(1, np.nan)), zero, 1e-9)


def test_a_held_out_label_does_not_move_its_own_prediction() -> None:
    x, y = problem(120, 60, 2, seed=3)
    fold = inner_folds(y, np.arange(120), np.random.default_rng(0), 5)[None]
    before = linear.probe(given_of(x, y), fold, np.random.default_rng(1))
    turned = y.copy()
    turned[fold[0] == 2] = 1 - turned[fold[0] == 2]
    after = linear.probe(given_of(x, turned), fold, np.random.default_rng(1))
    mine = fold[0] == 2
    assert before.probability is not None
    assert after.probability is not None
    np.testing.assert_allclose(after.score[0][mine], before.score[0][mine], atol=1e-5)
    np.testing.assert_allclose(after.probability[0][mine], before.probability[0][mine], atol=1e-4)
    assert not np.allclose(after.score[0][~mine], before.score[0][~mine], atol=1e-3)


def test_columns_of_rounding_noise_are_dropped_and_sparse_ones_are_kept() -> None:
    rng = np.random.default_rng(0)
    sd = np.concatenate([np.ones(10), [1e-7, 0.0, 1e-3]])
    scale = inverse_scale(sd)
    assert scale[10] == scale[11] == 0
    assert scale[12] == pytest.approx(1e3)
    mostly_dead = np.concatenate([np.zeros(30), np.ones(5)])
    assert (inverse_scale(mostly_dead) > 0).sum() == 5
    constant = np.full((50, 3), 1234.567, dtype=np.float32)
    constant[:, 0] = rng.normal(size=50)
    assert np.abs(standardised(constant)[:, 1:]).max() == 0


@pytest.mark.parametrize(("n", "d"), [(60, 200), (150, 30)])
def test_ridge_held_out_predictions_equal_brute_force_refits(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    x, fold = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, size=d), rng.integers(5, size=n)
    y = rng.normal(size=(3, n))
    solver, z = Ridge.of(x), standardised(x)
    for penalty, fitted in zip(
        [1e-3, 0.03, 10.0], solver.held_out(y, fold, [1e-3, 0.03, 10.0], dtype=np.float64), strict=True
    ):
        np.testing.assert_allclose(fitted, refitted(z, y, fold, penalty * solver.unit), atol=1e-9)


def refitted(z: np.ndarray, y: np.ndarray, fold: np.ndarray, strength: float) -> np.ndarray:
    """Ridge with an unpenalised intercept, fitted anew without every fold."""
    out = np.empty_like(y)
    for part in np.unique(fold):
        rows = fold != part
        centre, mean = z[rows].mean(axis=0), y[:, rows].mean(axis=1, keepdims=True)
        inside = z[rows] - centre
        weights = np.linalg.solve(inside.T @ inside + strength * np.eye(z.shape[1]), inside.T @ (y[:, rows] - mean).T)
        out[:, ~rows] = ((z[~rows] - centre) @ weights).T + mean
    return out


@pytest.mark.parametrize(("width", "whole"), [(12, 4000), (40, 4000), (120, 4000), (120, 10)])
def test_inner_errors_leave_the_outer_fold_out_of_everything(
    width: int, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.solvers.ridge._WHOLE", whole)
    rng = np.random.default_rng(4)
    x, fold, y = rng.normal(size=(80, width)), np.arange(80) % 4, rng.normal(size=(2, 80))
    inner = np.where(fold != 1, rng.integers(3, size=80), -1)
    solver, z = Ridge.of(x), standardised(x)
    inside = fold != 1
    fitted = refitted(z[inside], y[:, inside], inner[inside], 0.1 * solver.unit)
    expected = np.square(fitted - y[:, inside]).sum(axis=1)
    np.testing.assert_allclose(solver.inner_errors(y, inside[None], inner[None], [0.1])[0, 0], expected, rtol=1e-9)
    moved = np.where(inside, y, y + 100.0)
    np.testing.assert_allclose(solver.inner_errors(moved, inside[None], inner[None], [0.1])[0, 0], expected, rtol=1e-7)


def test_float32_products_stay_close_to_float64() -> None:
    rng = np.random.default_rng(6)
    x, fold, y = rng.normal(size=(200, 768)), np.arange(200) % 10, rng.integers(2, size=(20, 200))
    solver = Ridge.of(x)
    wide = solver.held_out(y, fold, [0.03, 3.0], dtype=np.float64)
    np.testing.assert_allclose(solver.held_out(y, fold, [0.03, 3.0]), wide, atol=1e-3)


def test_leaving_two_folds_out_is_leaving_an_inner_and_the_outer_one_out() -> None:
    rng = np.random.default_rng(5)
    y, fold = rng.normal(size=(2, 90)), np.arange(90) % 5
    solver, outer = Ridge.of(rng.normal(size=(90, 6))), fold != np.arange(5)[:, None]
    pairs = solver.pair_errors(y, fold, [0.1, 3.0])
    one_by_one = solver.inner_errors(y, outer, np.where(outer, fold, -1), [0.1, 3.0])
    np.testing.assert_allclose(pairs, one_by_one, rtol=1e-9)
    coded = np.moveaxis(y, 0, 1)[None]  # [1, n, 2]: the errors of both codes add up
    np.testing.assert_allclose(solver.pair_errors(coded, fold, [0.1])[..., 0], pairs[:1].sum(axis=2), rtol=1e-9)


@pytest.mark.parametrize("way", [lambda rows, *_: rows < 25, lambda *_: False, lambda *_: True])
def test_folds_may_be_left_out_by_their_rows_or_their_directions_each(
    way: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.solvers.ridge._cheaper_whole", way)
    rng = np.random.default_rng(7)
    x, y, fold = rng.normal(size=(120, 15)), rng.normal(size=(3, 120)), np.repeat(np.arange(4), [20, 40, 22, 38])
    solver = Ridge.of(x)
    found = solver.held_out(y, fold, [0.3], dtype=np.float64)[0]
    np.testing.assert_allclose(found, refitted(standardised(x), y, fold, 0.3 * solver.unit), atol=1e-9)


def test_largest_auc_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score  # pyright: ignore

    x, y = problem(90, 200, 2, seed=7)
    fold, solver = np.arange(90) % 10, Ridge.of(x)
    labels = np.stack([np.random.default_rng(b).permutation(y) for b in range(600)])
    found = solver.largest_auc(labels, fold, [0.03, 3.0])
    scores = solver.held_out(labels, fold, [0.03, 3.0], dtype=np.float64)
    for b in (0, 17, 599):
        assert found[b] == pytest.approx(max(roc_auc_score(labels[b], s[b]) for s in scores), abs=1e-3)


def test_auc_counts_ties_half() -> None:
    from sklearn.metrics import roc_auc_score  # pyright: ignore

    rng = np.random.default_rng(8)
    scores, y = np.round(rng.normal(size=(30, 60)), 1), rng.integers(2, size=(30, 60))
    np.testing.assert_allclose(
        auc(scores, y), [roc_auc_score(a, b) for a, b in zip(y, scores, strict=True)], atol=1e-12
    )
    assert auc(np.zeros((1, 60)), y[:1])[0] == 0.5
    assert np.isnan(auc(scores[:1], np.ones(60, dtype=int)))[0]


def test_kernel_ridge_of_a_linear_kernel_is_ridge() -> None:
    rng = np.random.default_rng(9)
    x, fold, y = rng.normal(size=(50, 8)), np.arange(50) % 5, rng.normal(size=(1, 50))
    z = standardised(x)
    kernel = Ridge.of_kernel(z @ z.T).held_out(y, fold, [0.1], dtype=np.float64)
    np.testing.assert_allclose(kernel, Ridge.of(x).held_out(y, fold, [0.1], dtype=np.float64), atol=1e-9)


def test_the_penalty_of_least_inner_loss_is_chosen_also_where_several_are_nearly_as_good() -> None:
    from probes.solvers.logistic import C_GRID, fit_nested

    rng = np.random.default_rng(11)
    x, y = rng.standard_normal((60, 8)), np.arange(60) % 2
    x[:, 0] += y
    outer = np.arange(60)[None] % 5 != np.arange(5)[:, None]
    inner = np.where(outer, np.arange(60)[None] // 2 % 4, -1)
    found = fit_nested(x, y, outer, inner)
    near = found.inner_loss <= 1.05 * found.inner_loss.min(axis=1, keepdims=True)
    assert near.sum(axis=1).min() > 2
    assert found.c.tolist() == [C_GRID[k] for k in found.inner_loss.argmin(axis=1)]


def test_one_temperature_makes_overconfident_logits_calibrated_and_useless_ones_the_prior() -> None:
    from probes.solvers.calibration import calibrated, temperature

    rng = np.random.default_rng(12)
    z = rng.standard_normal((2, 1, 4000))
    y = rng.random(4000) < 1 / (1 + np.exp(-z[0, 0]))
    z[0] *= 5  # five times as sure as it should be; the second row knows nothing
    onehot, prior = y[None].astype(float), np.full((2, 2), 0.5)
    found = temperature(z, onehot, prior, np.ones((2, 4000)))
    assert found[0] == pytest.approx(0.2, abs=0.02)
    assert found[1] == pytest.approx(0, abs=0.05)
    sure = calibrated(z, prior, found)[0, 1]
    assert sure[sure > 0.8].mean() == pytest.approx(y[sure > 0.8].mean(), abs=0.03)


def test_folds_of_far_more_rows_than_directions_are_left_out_exactly_without_a_matrix_of_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from probes.solvers import ridge as solver

    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 12))
    y = np.stack([rng.permutation(np.arange(900) % 2) for _ in range(3)]).astype(float)
    folds = rng.integers(0, 3, 900)
    made = solver.Ridge.of(x)
    assert solver.FoldInverse.of(made.u[:300], made.shrink(0.3), 900).whole is None
    short = made.held_out(y, folds, [0.01, 3.0], dtype=np.float64)
    monkeypatch.setattr(solver, "_cheaper_whole", lambda *_: True)
    assert solver.FoldInverse.of(made.u[:300], made.shrink(0.3), 900).whole is not None
    np.testing.assert_allclose(short, made.held_out(y, folds, [0.01, 3.0], dtype=np.float64), rtol=0, atol=1e-12)
