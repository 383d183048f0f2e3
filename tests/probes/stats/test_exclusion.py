"""What silence excludes: exact algebra, honest strengths, and a self-check that catches what it must."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import probes
from probes import ProbeError
from probes.rbf import kernels, spanned
from probes.solvers.codes import coded_vectors
from probes.solvers.ridge import Ridge
from probes.stats import exclusion as module
from probes.stats.effect_size import accuracy, separation
from probes.stats.exclusion import (
    SELF_CHECK,
    Exclusion,
    exclusion,
    groups_needed,
    in_units,
    kernel_p,
    mixed,
    mixtures,
    strength_to_exclude,
    strengths,
    unlabelled,
)
from probes.stats.permutation import permutation_test
from probes.stats.plan import GRID, Plan
from probes.stats.planting import Planting, planted_code
from probes.stats.scores import association, score_margin


def plan_of(n: int, classes: int | None, rng: np.random.Generator, *, pairs: bool = False) -> Plan:
    y = rng.standard_normal(n) if classes is None else np.arange(n) % classes
    groups = np.arange(n) // (classes or 1) if pairs else np.arange(n)
    return probes.plan(y, groups, classes=None if classes is None else tuple("abcd"[:classes]), permutations=199)


def excluded(x: np.ndarray, plan: Plan, **how: Any) -> Exclusion:
    return exclusion(x, plan, permutation_test(Ridge.of(x), plan).statistic, **how)


def refitted(x: np.ndarray, folds: np.ndarray, labels: np.ndarray, classes: int | None, rho: float) -> np.ndarray:
    """Held-out margins [K, n] of one label vector by fitting every fold anew."""
    codes = coded_vectors(labels[None], classes)[0]
    codes = codes[:, None] if codes.ndim == 1 else codes
    out = np.empty_like(codes)
    for part in np.unique(folds):
        train, held = folds != part, folds == part
        mean = x[train].mean(axis=0)
        gram = (x[train] - mean) @ (x[train] - mean).T + rho * np.eye(train.sum())
        weights = np.linalg.solve(gram, (x[train] - mean) @ (x[held] - mean).T)
        out[held] = weights.T @ (codes[train] - codes[train].mean(axis=0))
    return out.T


@pytest.mark.parametrize(("n", "d", "classes", "pairs"), [(60, 90, 2, True), (90, 30, 3, False), (80, 50, None, False)])
def test_planting_by_low_rank_terms_equals_planting_and_refitting(
    n: int, d: int, classes: int | None, pairs: bool
) -> None:
    rng = np.random.default_rng(1)
    x, plan = rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.3, plan_of(n, classes, rng, pairs=pairs)
    x = x - x.mean(axis=0)
    labels, folds = plan.draws(3, 1), plan.folds[0]
    shift = planted_code(labels, classes)
    ways = rng.standard_normal((3, d, shift.shape[2]))
    columns = np.concatenate([x @ ways, shift], axis=2)
    ridge = Ridge.of(x, standardise=False)
    planting = Planting.of(ridge, folds, labels, classes, columns, np.swapaxes(ways, 1, 2) @ ways, dtype=np.float64)
    for before in planting.unplanted:
        for s in (0.0, 0.7, 4.0):
            ours = np.empty((3, *planting.target.shape[1:]))
            ours[..., planting.order] = planting.margin(before, s)
            assert np.array_equal(planting.margin(before, s, 2), planting.margin(before, s)[:2])
            for draw in range(3):
                real = refitted(x + s * shift[draw] @ ways[draw].T, folds, labels[draw], classes, before.rho)
                assert np.abs(ours[draw] - real).max() < 1e-9


@pytest.mark.parametrize("classes", [2, 3, None])
@pytest.mark.parametrize("chosen", [False, True])
def test_plantings_are_scored_and_tested_as_labels_are(classes: int | None, chosen: bool) -> None:
    """One penalty of the plan or that of least error on the other folds; the statistic is the largest of three."""
    rng = np.random.default_rng(13)
    x, plan = rng.standard_normal((90, 50)) * np.arange(1, 51) ** -0.5, plan_of(90, classes, rng)
    planting = Planting.in_population(Ridge.of(x), plan, 50, draws=6, chosen=chosen)
    fold, back = plan.folds[0][planting.order], np.argsort(planting.order)
    margins = np.stack([planting.margin(before, 2.0) for before in planting.unplanted])
    assert len(margins) == (3 if chosen else 1)
    error = np.square(planting.target - margins).sum(axis=2)
    picked = np.empty_like(margins[0])
    for part in range(plan.n_folds):
        held = fold == part
        best = error[..., ~held].sum(axis=2).argmin(axis=0)
        picked[..., held] = margins[best, np.arange(6)][..., held]
    own = np.moveaxis(picked, 1, 2)[:, back]
    labels = planting.labels[:, back]
    got = score_margin(own[..., 0] if classes in (2, None) else own, labels, classes, plan.groups, plan.folds[0])
    mean, phi = planting.scores(2.0, 6, plan)
    assert mean == pytest.approx(got.mean)
    assert phi == pytest.approx(got.score.std(ddof=1) / got.error(plan.groups).mean())
    base = planting.means[:, 0] if classes is None else np.zeros((1, 1))
    flat = [m[:, 0] if classes in (2, None) else np.moveaxis(m, 1, 2) for m in margins]
    statistics = [association(m, planting.labels, base, classes) for m in flat]
    assert planting.statistic(2.0) == pytest.approx(np.max(statistics, axis=0))


@pytest.mark.parametrize(("score", "goal"), [(0.5, None), (0.7, 0.7), (0.99, 0.95)])
def test_the_spread_of_a_score_is_that_of_plantings_that_read_as_well(
    score: float, goal: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from probes.stats import planting as module

    rng, asked = np.random.default_rng(14), []

    def watched(_scores: Any, at: float, draws: int) -> float:
        asked.append(at)
        return 1.0 + draws

    monkeypatch.setattr(module, "inflation_at", watched)
    ridge, plan = Ridge.of(rng.standard_normal((60, 20))), plan_of(60, 2, rng)
    found = module.signal_inflation(ridge, plan, 20, score, chosen=False, draws=9)
    assert (asked, found) == (([], 1.0) if goal is None else ([goal], 10.0))


def test_plantings_of_the_population_follow_its_shrunk_covariance() -> None:
    from sklearn.covariance import ledoit_wolf_shrinkage

    from probes.stats.planting import _shrinkage

    rng = np.random.default_rng(15)
    for width, power in ((30, 0.0), (30, 1.0), (150, 0.5)):
        x = rng.standard_normal((80, width)) * np.arange(1, width + 1) ** -power
        level, share = _shrinkage(Ridge.of(x, standardise=False), 80, width)
        assert share == pytest.approx(ledoit_wolf_shrinkage(x), abs=0.01)
        assert level == pytest.approx(x.var(axis=0).mean())


@pytest.mark.parametrize("m", [1, 3])
def test_a_mixture_is_a_direction_of_unit_length_whatever_the_covariance(m: int) -> None:
    """Of Mahalanobis length 1, and orthogonal: a shift by s along it is the strength that s stands for."""
    rng = np.random.default_rng(2)
    sd, turn = np.arange(1, 61) ** -1.0, np.linalg.qr(rng.standard_normal((60, 60)))[0]
    ways = mixed(rng.standard_normal((30, 60)) * sd @ turn, 60, m, rng)
    white = np.einsum("adm,de->aem", ways, turn.T / sd)
    assert np.allclose((np.swapaxes(white, 1, 2) @ white).mean(axis=0), np.eye(m), atol=0.1)
    with pytest.raises(ProbeError, match="2 images hold no 3 directions for 4 classes"):
        mixed(rng.standard_normal((2, 9)), 5, 3, rng)


@pytest.mark.parametrize("pooled", [False, True])
def test_the_images_that_are_mixed_are_not_those_planted_in(pooled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Along a mixture that holds an item itself, this item would lie apart from all others."""
    rng = np.random.default_rng(3)
    x, plan = rng.standard_normal((100, 30)), plan_of(100, 2, rng)
    pool = 7 + 2 * rng.standard_normal((20, 30)) if pooled else None
    real, given = module._planted, []

    def watched(source: np.ndarray, items: np.ndarray, *rest: Any) -> Planting:
        given.append((source, items, rest[0]))
        return real(source, items, *rest)

    monkeypatch.setattr(module, "_planted", watched)
    plantings = mixtures(x, plan, 43, pool=pool)
    assert sum(len(p.labels) for p in plantings) == 43
    for part, (source, items, folds) in enumerate(given):
        stay = slice(None) if pooled else plan.folds[0] != part
        kept = set(zip(folds.tolist(), plan.folds[0][stay].tolist(), strict=True))
        assert sorted(fold for fold, _ in kept) == list(range(10 if pooled else 9))  # the plan's folds, none split
        far = np.square(source[:, None] - items[None]).sum(axis=2)
        assert far.min() > 1
        assert np.abs(items.mean(axis=0)).max() < 1e-9
        own, length = (np.square(a).sum(axis=1).mean() for a in (items, source))
        assert length == pytest.approx(own, rel=0.35)  # a pool that lies aside and differs more as well
        assert not pooled or (length <= own * 1.0001 and np.abs(source.mean(axis=0)).max() < 1e-9)
        assert (len(source), len(items)) == ((20, 100) if pooled else (10, 90))


@pytest.mark.parametrize("classes", [2, 4, None])
def test_planted_strength_is_what_unlimited_data_would_read(classes: int | None) -> None:
    rng = np.random.default_rng(2)
    strength = strength_to_exclude(classes)
    if classes is None:
        z = rng.standard_normal(200_000)
        seen = separation(strength, None) * z + rng.standard_normal(len(z))
        a, b = rng.integers(0, len(z), (2, 400_000))
        assert np.corrcoef(z, seen)[0, 1] ** 2 == pytest.approx(strength, abs=0.01)
        right = ((z[a] - z[b]) * (seen[a] - seen[b]) > 0).mean()
        assert right == pytest.approx(in_units(strength, None), abs=0.003)
        assert right == pytest.approx(0.788, abs=0.003)
        for values in (np.arange(len(z)) % 2, (np.arange(len(z)) % 10 == 0) * 2.0 + (np.arange(len(z)) % 2)):
            code = (values - values.mean()) / values.std()  # numbers that take few values
            seen = separation(strength, None) * code + rng.standard_normal(len(z))
            other = code[a] != code[b]
            right = ((code[a] - code[b]) * (seen[a] - seen[b]) > 0)[other].mean()
            assert right == pytest.approx(in_units(strength, None, code[:2000]), abs=0.01)
            assert right > 0.85
        assert in_units(strength, None, z[:2000]) == in_units(strength, None)
        return
    s = separation(strength, classes)
    y = rng.integers(0, classes, 200_000)
    seen = s * np.eye(classes)[y] + rng.standard_normal((len(y), classes))
    assert (seen.argmax(axis=1) == y).mean() == pytest.approx(strength, abs=0.004)
    assert accuracy(s, classes) == pytest.approx(strength)
    assert in_units(strength, classes) == strength == pytest.approx({2: 0.9, 4: 0.85}[classes])


def test_the_corners_of_planted_classes_lie_equally_far_apart() -> None:
    code = planted_code(np.arange(12)[None] % 4, 4)[0][:4]
    distance = np.linalg.norm(code[:, None] - code[None], axis=2)[~np.eye(4, dtype=bool)]
    assert np.allclose(distance, 2**0.5)
    assert strengths(4)[0] == 0.25


@pytest.mark.parametrize("classes", [2, 3, None])
def test_a_silent_cell_excludes_strong_signals_and_never_chance(classes: int | None) -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((150, 40))
    plan = plan_of(150, classes, rng)
    found = excluded(x, plan)
    assert found.valid
    assert found.self_check <= SELF_CHECK
    assert found.enough
    assert found.groups is None
    assert found.limit is not None
    chance = 0.5 if classes is None else strengths(classes)[0]
    assert chance + 0.05 < found.limit < found.asked
    tried = list(found.rates)
    assert tried == sorted(tried)
    assert found.rates[chance] > 0.5
    assert found.rates[found.limit] <= 0.05
    assert found.rates[tried[tried.index(found.limit) - 1]] > 0.05  # the next weaker one that was tried is not excluded


def test_what_was_read_counts_against_the_exchanged_labels() -> None:
    """The better the cell reads, the less it excludes; less than chance excludes no more than chance itself."""
    rng = np.random.default_rng(5)
    x, plan = rng.standard_normal((120, 40)), plan_of(120, 2, rng)
    null = permutation_test(Ridge.of(x), plan).statistic
    at = {
        share: exclusion(x, plan, np.concatenate([[np.quantile(null[1:], share)], null[1:]])).limit
        for share in (0.02, 0.5, 0.9, 1.0)
    }
    assert at[0.02] == at[0.5]
    limits = [one for one in at.values() if one is not None]
    assert limits == sorted(limits)
    assert limits[-1] > limits[0] + 0.02
    reads = np.concatenate([[1.0], null[1:]])
    assert exclusion(x, plan, reads).limit is None
    told = excluded(x + 4 * np.outer(plan.y, np.eye(1, 40)), plan)  # what is planted are exchanged labels
    assert told.self_check <= SELF_CHECK


def test_scaling_again_after_planting_is_caught_by_the_self_check() -> None:
    """Columns constant in the sample turn a shift too small to see into the label itself."""
    rng = np.random.default_rng(5)
    n, d = 120, 60
    sparse = rng.standard_normal((n, d)) * (np.arange(d) < 30) + 1e-9 * rng.standard_normal((n, d)) * (
        np.arange(d) >= 30
    )
    plan = plan_of(n, 2, rng)

    def rate(restandardise: bool) -> float:
        hits = 0
        for draw, y in enumerate(plan.draws(30, 1)):
            shifted = sparse + 1e-4 * np.outer(y - 0.5, rng.standard_normal(d))
            if restandardise:
                shifted = (shifted - shifted.mean(0)) / shifted.std(0)
            only = dataclasses.replace(plan, y=y, seed=draw)
            hits += permutation_test(Ridge.of(shifted, standardise=False), only).p <= 0.05
        return hits / 30

    assert rate(restandardise=False) <= SELF_CHECK + 0.1
    assert rate(restandardise=True) > 0.9


def test_columns_that_hardly_vary_are_never_planted_in() -> None:
    rng = np.random.default_rng(6)
    x, plan = rng.standard_normal((150, 20)), plan_of(150, 2, rng)
    dead = x.copy()
    dead[:, 10:] *= 1e-5
    for full, half in zip(mixtures(x[:, :10], plan, 40), mixtures(dead, plan, 40), strict=True):
        assert np.allclose(full.size, half.size)
    spike = x.copy()
    spike[:, 0] = 0
    spike[3, 0] = 1.0  # varies in the fold of item 3 alone: planted elsewhere it would be the label itself
    away = plan.folds[0][3]
    planting = mixtures(spike, plan, 40)[away]
    assert planting.size.max() < 2
    still = excluded(np.ones((150, 3)), plan)  # nothing varies: nothing is excluded
    assert (still.limit, still.groups) == (None, None)


def test_the_groups_that_would_decide_are_those_at_which_the_rule_holds() -> None:
    """Statistics drawn from the formula's own model are excluded nine times in ten with that many groups."""
    rng = np.random.default_rng(7)
    from scipy.special import ndtr

    plan, d, e = plan_of(60, 2, rng), separation(0.9, 2) * 2**0.5, 240.0

    def drawn(n: float, count: int) -> tuple[np.ndarray, np.ndarray]:
        sigma = 0.15 * (60 / n) ** 0.5
        mean = ndtr(d * d / np.sqrt(2 * (d * d + 4 * e / n)))
        return mean + sigma * rng.standard_normal(count), 0.5 + sigma * rng.standard_normal(count)

    planted, exchanged = drawn(60, 4000)
    needed = groups_needed(planted, exchanged, 0.9, plan)
    assert needed is not None
    assert needed > 66, needed
    shares = []
    for n in (needed, needed / 2):
        planted, exchanged = drawn(n, 4000)
        held = [(planted <= t).mean() <= 0.05 * (exchanged <= t).mean() for t in np.maximum(exchanged[:2000], 0.5)]
        shares.append(np.mean(held))
    assert shares[0] == pytest.approx(0.9, abs=0.04)
    assert shares[1] < 0.5
    assert groups_needed(exchanged - 0.2, exchanged, 0.9, plan) is None


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3, None])
def test_with_the_groups_it_names_the_strength_is_excluded(classes: int | None) -> None:
    held = []
    for run in range(8):
        rng = np.random.default_rng([8, run])
        n = 50
        found = excluded(rng.standard_normal((n, 2000)), plan_of(n, classes, rng))
        if found.groups is not None:
            more = found.groups
            held.append(excluded(rng.standard_normal((more, 2000)), plan_of(more, classes, rng)).enough)
    assert len(held) >= 5
    assert np.mean(held) >= 0.6


def test_a_pool_gives_back_the_items_and_must_be_of_other_groups() -> None:
    rng = np.random.default_rng(9)
    x, plan = rng.standard_normal((100, 50)), plan_of(100, 2, rng)
    pool = rng.standard_normal((40, 50))
    assert [p.labels.shape[1] for p in mixtures(x, plan, 30, pool=pool)] == [100]
    asked, who = np.array(["p1", "p2"]), np.array(["p1"] * 15 + ["p9"] * 25)
    assert len(unlabelled(pool, who, asked, 50)) == 25
    assert len(unlabelled(pool, None, asked, 50)) == 40
    with pytest.raises(ProbeError, match="10 images of the pool belong to other groups than the items; 20 are needed"):
        unlabelled(pool[:25], who[:25], asked, 50)
    with pytest.raises(ProbeError, match="the pool's features are 50 wide, the items' 60"):
        unlabelled(pool, who, asked, 60)


@pytest.mark.parametrize("given_as", ["set", "array", "none"])
def test_a_measurement_mixes_the_pool_s_images_of_other_groups(given_as: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from probes.stats import measure as measuring

    rng, mixed_from = np.random.default_rng(10), []
    plan, pool = plan_of(60, 2, rng), rng.standard_normal((50, 4))
    who = np.array([str(k % 60) for k in range(20)] + ["another"] * 30)

    def watched(_x: np.ndarray, _plan: Plan, statistic: np.ndarray, *, pool: np.ndarray | None = None) -> Exclusion:
        mixed_from.append((pool, len(statistic)))
        return Exclusion(limit=0.8, asked=0.9, rates={}, self_check=0.0, groups=None)

    monkeypatch.setattr(measuring, "exclusion", watched)
    asked = probes.FeatureSet(
        x=rng.standard_normal((60, 4)), y=plan.y, groups=plan.groups, ids=list(map(str, range(60))), classes=("a", "b")
    )
    own = probes.FeatureSet(x=pool, y=np.arange(50) % 2, groups=who, ids=list(map(str, range(50))), classes=("a", "b"))
    how: dict[str, Any] = {"set": {"pool": own}, "array": {"pool": pool, "pool_groups": who}, "none": {}}[given_as]
    probes.measure(asked, plan, detect="always", **how)
    ((got, count),) = mixed_from
    assert count == 200
    assert got is None if given_as == "none" else np.array_equal(got, pool[20:])


@pytest.mark.parametrize(("p", "rare", "leak", "asked"), [
    (0.06, 20, False, True), (0.05, 20, False, False), (0.06, 19, False, False), (0.06, 20, True, False),
])  # fmt: skip
def test_what_silence_excludes_is_asked_where_absence_could_be_claimed(
    p: float, rare: int, leak: bool, asked: bool
) -> None:
    from probes.stats.measure import _in_question

    rng = np.random.default_rng(0)
    plan = dataclasses.replace(plan_of(60, 2, rng), rare=rare)
    own = probes.FeatureSet(
        x=rng.standard_normal((60, 2)), y=plan.y, groups=plan.groups, ids=list(map(str, range(60))), classes=("a", "b")
    )
    found = probes.measure(own, plan, level="screen")
    reached = np.arange(100) < round(100 * p)
    found = dataclasses.replace(
        found, null=dataclasses.replace(found.null, statistic=np.where(reached, 1.0, 0.5)), leak=leak
    )
    assert found.null.p == p
    assert _in_question(found, plan, detect=True) is asked
    assert not _in_question(found, plan, detect=False)
    assert _in_question(found, plan, detect="always")


def test_the_kernel_is_asked_at_its_best_width_and_penalty_under_exchanged_labels_too() -> None:
    rng = np.random.default_rng(12)
    x, plan = rng.standard_normal((60, 5)) * [1, 10, 100, 1, 1], plan_of(60, 2, rng)
    statistics = []
    for kernel in kernels(x):
        ridge = Ridge.of_kernel(kernel)
        for p in GRID:
            found = [ridge.largest_auc(np.stack([plan.y, *plan.permuted[:99]]), plan.folds[0], [p])]
            statistics.append(found[0])
    best = np.max(statistics, axis=0)
    assert kernel_p(x, plan, permutations=99) == pytest.approx((1 + (best[1:] >= best[0]).sum()) / 100)
    assert len(set(np.argmax(statistics, axis=0))) > 2, "no one width does for all"


def test_a_kernel_reads_what_no_hyperplane_does_and_not_what_is_not_there() -> None:
    hits = {"xor": 0, "nothing": 0}
    for run in range(20):
        rng = np.random.default_rng([11, run])
        a, b = rng.integers(0, 2, (2, 120))
        x = rng.standard_normal((120, 6))
        x[:, 0] += 5 * a
        x[:, 1] += 5 * b
        for name, y in (("xor", a ^ b), ("nothing", rng.permutation(a ^ b))):
            plan = probes.plan(y, np.arange(120), classes=("a", "b"), seed=run, permutations=199, repeats=1)
            hits[name] += kernel_p(x, plan) <= 0.05
    assert hits["xor"] == 20
    assert hits["nothing"] <= 4
    assert len(GRID) == 3


def test_a_kernel_that_few_items_span_reads_what_the_whole_one_does_and_nothing_of_nothing() -> None:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((240, 4))
    for y, reads in (((x[:, 0] * x[:, 1] > 0).astype(int), True), (rng.permutation(240) % 2, False)):
        plan = probes.plan(y, np.arange(240), classes=("a", "b"), permutations=99)
        assert (kernel_p(x, plan, landmarks=80) <= 0.05) == (kernel_p(x, plan) <= 0.05) == reads
    every = next(spanned(x, rng.permutation(240)))
    assert np.allclose(every @ every.T, kernels(x)[0], atol=1e-4)
