"""The limit of detection: exact algebra, honest directions, and a self-check that catches what it must."""

import dataclasses

import numpy as np
import pytest

import probes
from probes import ProbeError
from probes.solvers.codes import coded_vectors
from probes.stats.detection import SELF_CHECK, limit, strengths
from probes.stats.effect_size import accuracy, separation
from probes.stats.plan import Plan
from probes.stats.planting import Planting, planted_code, planted_directions
from probes.stats.subspace import Subspace, subspace


def everything(sd: np.ndarray) -> Subspace:
    """All directions, with variances that are known rather than estimated."""
    d = len(sd)
    return Subspace(scale=np.ones(d), directions=np.eye(d), variance=sd**2, held=1.0)


def plan_of(n: int, classes: int | None, rng: np.random.Generator, *, pairs: bool = False) -> Plan:
    y = rng.standard_normal(n) if classes is None else np.arange(n) % classes
    groups = np.arange(n) // (classes or 1) if pairs else np.arange(n)
    return probes.plan(y, groups, classes=None if classes is None else tuple("abcd"[:classes]), permutations=99)


def refitted(
    planting: Planting, plan: Plan, space: Subspace, x: np.ndarray, draw: int, s: float, rho: float
) -> np.ndarray:
    """Held-out margins by planting the signal for real and fitting every fold anew, items sorted by fold."""
    classes = None if plan.classes is None else len(plan.classes)
    code = planted_code(planting.labels[: planting.draws], classes)[draw]
    ways = planted_directions(space, plan.seed, planting.draws, code.shape[1])[draw]
    planted = (x * space.scale)[planting.order] + s * code @ (space.directions @ ways).T
    folds = plan.folds[0][planting.order]
    labels = planting.labels[np.r_[draw, planting.draws : len(planting.labels)]]
    codes = coded_vectors(labels, classes)
    codes = codes[..., None] if codes.ndim == 2 else codes
    out = np.empty_like(codes)
    for part in np.unique(folds):
        train, held = folds != part, folds == part
        mean = planted[train].mean(axis=0)
        gram = (planted[train] - mean) @ (planted[train] - mean).T + rho * np.eye(train.sum())
        weights = np.linalg.solve(gram, (planted[train] - mean) @ (planted[held] - mean).T)
        centred = codes[:, train] - codes[:, train].mean(axis=1, keepdims=True)
        out[:, held] = np.einsum("bnk,nh->bhk", centred, weights)
    return np.moveaxis(out, 2, 1)


@pytest.mark.parametrize(("n", "d", "classes", "pairs"), [(60, 90, 2, True), (90, 30, 3, False), (80, 50, None, False)])
def test_planting_by_low_rank_terms_equals_planting_and_refitting(
    n: int, d: int, classes: int | None, pairs: bool
) -> None:
    rng = np.random.default_rng(1)
    x, plan = rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.3, plan_of(n, classes, rng, pairs=pairs)
    space = subspace(x, plan.groups)
    planting = Planting.prepare(x, plan, space, draws=3, permutations=9, dtype=np.float64)
    for before in planting.unplanted:
        for s in (0.0, 0.7, 4.0):
            ours = planting.margin(before, 2, s)
            assert np.abs(ours - refitted(planting, plan, space, x, 2, s, before.rho)).max() < 1e-9


def test_planted_strength_is_the_accuracy_that_unlimited_data_would_read() -> None:
    rng = np.random.default_rng(2)
    for classes, strength in ((2, 0.8), (4, 0.7)):
        s = separation(strength, classes)
        y = rng.integers(0, classes, 200_000)
        seen = s * np.eye(classes)[y] + rng.standard_normal((len(y), classes))
        assert (seen.argmax(axis=1) == y).mean() == pytest.approx(strength, abs=0.004)
        assert accuracy(s, classes) == pytest.approx(strength)
    z = rng.standard_normal(200_000)
    seen = separation(0.6, None) * z + rng.standard_normal(len(z))
    assert np.corrcoef(z, seen)[0, 1] ** 2 == pytest.approx(0.6, abs=0.01)


def test_the_corners_of_planted_classes_lie_equally_far_apart() -> None:
    code = planted_code(np.arange(12)[None] % 4, 4)[0][:4]
    distance = np.linalg.norm(code[:, None] - code[None], axis=2)[~np.eye(4, dtype=bool)]
    assert np.allclose(distance, 2**0.5)
    assert strengths(4)[0] == 0.25


@pytest.mark.slow
def test_the_limit_of_isotropic_features_is_the_known_one() -> None:
    rng = np.random.default_rng(3)
    at = []
    for _ in range(2):
        x = rng.standard_normal((200, 768))
        plan = plan_of(200, 2, rng)
        planting = Planting.prepare(x, plan, everything(np.ones(768)))
        rates = {a: np.mean([planting.detected(i, separation(a, 2)) for i in range(60)]) for a in (0.75, 0.8, 0.85)}
        at.append(np.interp(0.95, list(rates.values()), list(rates)))
    assert np.mean(at) == pytest.approx(0.814, abs=0.03)


def test_no_planting_is_detected_no_more_often_than_the_test_allows_and_strong_ones_always() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((150, 40))
    found = limit(x, plan_of(150, 2, rng), everything(np.ones(40)))
    assert found.valid
    assert found.self_check <= SELF_CHECK
    assert found.rates[0.9] >= 0.95
    assert found.lod is not None
    assert 0.6 < found.lod < 0.85


def test_scaling_again_after_planting_is_caught_by_the_self_check() -> None:
    """Columns constant in the sample turn a shift too small to see into the label itself."""
    rng = np.random.default_rng(5)
    n, d = 120, 60
    sparse = rng.standard_normal((n, d)) * (np.arange(d) < 30) + 1e-9 * rng.standard_normal((n, d)) * (
        np.arange(d) >= 30
    )
    plan, space = plan_of(n, 2, rng), everything(np.ones(d))

    def rate(restandardise: bool) -> float:
        hits = 0
        for draw, y in enumerate(plan.draws(30, 1)):
            way = rng.standard_normal(d)
            shifted = sparse + 1e-4 * np.outer(y - 0.5, way)
            if restandardise:
                shifted = (shifted - shifted.mean(0)) / shifted.std(0)
            only = dataclasses.replace(plan, y=y, seed=draw)
            from probes.solvers.ridge import Ridge
            from probes.stats.permutation import permutation_test

            hits += permutation_test(Ridge.of(shifted, standardise=False), only).p <= 0.05
        return hits / 30

    assert rate(restandardise=False) <= SELF_CHECK + 0.1
    assert rate(restandardise=True) > 0.9
    assert space.held == 1


def test_columns_that_hardly_vary_are_never_planted_in() -> None:
    rng = np.random.default_rng(6)
    pool = rng.standard_normal((300, 20))
    pool[:, 15:] *= 1e-5
    space = subspace(pool)
    assert (space.scale[15:] == 0).all()
    assert np.abs(space.directions[15:]).max() == 0
    assert np.allclose(space.directions.T @ space.directions, np.eye(15), atol=1e-9)


def test_copies_in_the_pool_do_not_count_as_images() -> None:
    rng = np.random.default_rng(7)
    images = rng.standard_normal((150, 60)) * np.arange(1, 61) ** -0.5
    copies, who = np.repeat(images, 2, axis=0), np.repeat(np.arange(150), 2)
    alone, grouped, ungrouped = subspace(images), subspace(copies, who), subspace(copies)
    assert grouped.directions.shape[1] == alone.directions.shape[1] == 30
    assert ungrouped.directions.shape[1] > 50
    assert grouped.held < 0.9


def test_the_share_of_variance_held_is_that_of_images_not_seen() -> None:
    rng = np.random.default_rng(8)
    pool = rng.standard_normal((200, 768))
    space = subspace(pool)
    assert space.held == pytest.approx(40 / 768, abs=0.03)  # in the pool itself the 40 hold a quarter
    assert space.variance.mean() == pytest.approx(1, abs=0.3)
    small = subspace(rng.standard_normal((600, 20)))
    assert small.held == pytest.approx(1)
    assert small.images is None


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_the_images_needed_are_told_from_the_spectrum(power: float) -> None:
    rng = np.random.default_rng(9)
    d = 400
    sd = np.arange(1, d + 1) ** -power
    mixed = rng.standard_normal((300, d)) * sd @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    space = dataclasses.replace(subspace(mixed / mixed.std(axis=0)))
    if space.held >= 0.9:
        return
    assert space.images is not None
    more = (rng.standard_normal((space.images * 2, d)) * sd) @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    assert subspace(more).held >= 0.85


def test_too_few_directions_for_the_classes_are_refused() -> None:
    rng = np.random.default_rng(10)
    plan = plan_of(80, 4, rng)
    with pytest.raises(ProbeError, match="1 directions cannot hold a signal for 4 classes"):
        limit(rng.standard_normal((80, 1)), plan, everything(np.ones(1)))
