"""Folds, permuted labels, permutation test, interval: each holds at its nominal rate, and fails without its guard."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

import probes
from probes import FeatureSet, ProbeError
from probes.solvers.codes import coded_vectors, fold_means
from probes.solvers.ridge import Ridge
from probes.stats import measure as measure_module
from probes.stats import scores
from probes.stats.block_permutation import permute_within
from probes.stats.difference import discordant
from probes.stats.intervals import (
    corrected_resampling,
    detectable,
    error_of,
    floored_error,
    inflation,
    interval,
    interval_of,
)
from probes.stats.measure import _t_test
from probes.stats.multiplicity import holm, over_layers
from probes.stats.permutation import CHOICE_GRID, margin_with_chosen_penalty, permutation_test, settled
from probes.stats.plan import GRID, Plan
from probes.stats.planting import _through
from probes.stats.scores import (
    Scored,
    association,
    balanced,
    clustered_error,
    concordance,
    score_margin,
    scored,
)

TWO = ("no", "yes")


def given(x: np.ndarray, y: np.ndarray, groups: np.ndarray, classes: tuple[str, ...] | None = TWO) -> FeatureSet:
    return FeatureSet(x=x, y=y, groups=groups, ids=[str(i) for i in range(len(x))], classes=classes)


def spectrum(d: int) -> np.ndarray:
    return np.arange(1, d + 1) ** -0.5


def upper_rate(nominal: float, runs: int) -> float:
    """A rate that a true `nominal` exceeds once in a thousand."""
    return nominal + 3.1 * (nominal * (1 - nominal) / runs) ** 0.5


@pytest.mark.parametrize(
    ("y", "groups", "design"),
    [
        (np.arange(120) % 2, np.arange(120), "items in folds"),
        (np.arange(120) % 2, np.arange(120) // 2, "within groups"),
        (np.arange(120) % 2, np.arange(120) // 2 * (np.arange(120) > 19), "within groups"),
        (np.arange(120) // 4 % 2, np.arange(120) // 4, "whole groups"),
        ((np.arange(120) % 3 > 0).astype(int), np.arange(120) // 2, "group label vectors"),
    ],
)
def test_what_is_exchangeable_is_read_from_labels_and_groups(y: np.ndarray, groups: np.ndarray, design: str) -> None:
    assert probes.plan(y, groups, classes=TWO, permutations=9).design == design


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_never_split_and_every_fold_has_its_share_of_each_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 70, 300)
    y = (rng.random(300) < 0.3).astype(int)
    plan = probes.plan(y, groups, classes=TWO, seed=seed, permutations=9)
    for fold in plan.folds:
        assert all(len(set(fold[groups == g])) == 1 for g in np.unique(groups))
        held = np.array([[((fold == f) & (y == c)).sum() for c in (0, 1)] for f in range(plan.n_folds)])
        assert np.ptp(held, axis=0).max() <= 8
        assert held.min() >= 10


def test_permuted_labels_keep_what_the_design_fixed() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 5, 60)
    groups = np.repeat(np.arange(60), sizes)
    y = (rng.random(len(groups)) < 0.5).astype(int)
    plan = probes.plan(y, groups, classes=TWO, permutations=40)
    assert plan.design == "group label vectors"
    for row in plan.permuted:
        vectors = [tuple(row[groups == g]) for g in range(60)]
        for f in range(plan.n_folds):
            inside = [g for g in range(60) if plan.folds[0][groups == g][0] == f]
            assert sorted(tuple(y[groups == g]) for g in inside) == sorted(vectors[g] for g in inside)


def test_labels_are_permuted_among_the_copies_of_one_image_when_a_patient_has_several() -> None:
    y, copies, patients = np.arange(120) % 2, np.arange(120) // 2, np.arange(120) // 6
    plan = probes.plan(y, patients, classes=TWO, copies=copies, permutations=30)
    assert all(row[copies == c].sum() == 1 for row in plan.permuted for c in range(60))
    free = probes.plan(y, patients, classes=TWO, permutations=30)
    assert any(row[copies == c].sum() != 1 for row in free.permuted for c in range(60))


@pytest.mark.parametrize("per", [1, 2])
def test_the_same_seed_gives_the_same_plan_and_another_seed_another(per: int) -> None:
    y, groups = np.arange(80) % 2, np.arange(80) // per
    one, two, other = (probes.plan(y, groups, classes=TWO, seed=s, permutations=9) for s in (3, 3, 4))
    for what in ("folds", "permuted"):
        assert np.array_equal(getattr(one, what), getattr(two, what)), what
        assert not np.array_equal(getattr(one, what), getattr(other, what)), what
    assert np.array_equal(one.draws(9, 1), two.draws(9, 1))
    for drawn in (one.permuted, one.draws(9, 2), other.draws(9, 1)):
        assert not np.array_equal(one.draws(9, 1), drawn), "plantings have labels of their own"


@pytest.mark.parametrize(
    ("k", "n", "per", "rules"),
    [
        (2, 60, 1, ("ridge", 0.3, 0.1, 1 / 2, 5, 5, 30)),
        (3, 120, 1, ("ridge", 0.3, 0.1, 1 / 3, 10, 5, 40)),
        (2, 240, 2, ("ridge", 0.3, 0.1, 1 / 2, 10, 5, 120)),
        (2, 240, 1, ("linear", 0.3, 0.1, 1 / 2, 10, 5, 120)),
        (4, 99, 1, ("ridge", 0.3, 0.1, 1 / 4, 5, 5, 24)),
        (2, 1000, 1, ("linear", 0.3, 0.1, 1 / 2, 10, 3, 500)),
        (None, 240, 1, ("ridge", 1.0, 0.06, 1 / 2, 10, 5, 240)),
    ],
)
def test_the_rules_of_a_plan_follow_from_its_classes_and_groups(k: int | None, n: int, per: int, rules: tuple) -> None:
    y = np.random.default_rng(0).standard_normal(n) if k is None else np.arange(n) % k
    classes = None if k is None else tuple("abcd"[:k])
    p = probes.plan(y, np.arange(n) // per, classes=classes, permutations=9)
    assert (p.headline, p.penalty, p.margin, p.chance, p.n_folds, p.repeats, p.rare) == rules


def test_of_many_items_fewer_repeats_and_permutations_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from probes.stats import measure, plan

    rng = np.random.default_rng(0)
    y, groups = np.arange(240) % 2, np.arange(240)
    few = probes.plan(y, groups, classes=TWO)
    assert (few.repeats, len(few.permuted), few.permuted.dtype) == (5, 1999, np.int8)
    monkeypatch.setattr(plan, "MANY", 240)
    many = probes.plan(y, groups, classes=TWO)
    assert (many.repeats, len(many.permuted)) == (1, 499)
    asked = probes.plan(y, groups, classes=TWO, repeats=2, permutations=99)
    assert (asked.repeats, len(asked.permuted)) == (2, 99)
    found = given(rng.standard_normal((240, 6)) + y[:, None], y, groups)
    apart = probes.measure(found, asked, level="screen").inner
    monkeypatch.setattr(measure, "MANY", 240)
    shared = probes.measure(found, asked, level="screen").inner  # inner folds are the other folds: nearly the same
    assert apart is not None
    assert shared is not None
    assert shared == pytest.approx(apart, rel=0.05)
    assert not np.array_equal(shared, apart)


def test_few_arrangements_are_announced() -> None:
    y, groups = np.repeat([0, 1], 12)[:, None].repeat(3, 1).ravel(), np.arange(72) // 3
    warned = " ".join(probes.plan(y, groups, classes=TWO).warnings)
    assert "smallest class has 12 groups" in warned
    small = probes.plan(np.arange(12) % 2, np.arange(12) // 2, classes=TWO, folds=3)
    assert "only about 64 different ways" in " ".join(small.warnings)
    assert "too few for an interval" in " ".join(small.warnings)
    assert "19 groups: too few" in " ".join(probes.plan(np.arange(76) % 2, np.arange(76) // 4, classes=TWO).warnings)


@pytest.mark.parametrize(
    ("y", "groups", "classes", "says"),
    [
        (np.arange(8) % 2, np.arange(8) // 2, TWO, "4 groups cannot fill 5 folds"),
        (np.zeros(40, dtype=int), np.arange(40), TWO, r"only one class in the data \(no\)"),
        ((np.arange(40) < 1).astype(int), np.arange(40), TWO, "class yes is found in 1 group"),
        (np.arange(5000) % 1000, np.arange(5000), tuple(map(str, range(1000))), "items at most 100 classes; unite"),
        (np.arange(40) % 3, np.arange(40), TWO, "labels run from 0 to 2, but 2 classes are named"),
    ],
)
def test_data_that_cannot_be_split_is_refused(
    y: np.ndarray, groups: np.ndarray, classes: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ProbeError, match=says):
        probes.plan(y, groups, classes=classes)


def test_one_product_is_that_with_each_matrix() -> None:
    rng = np.random.default_rng(5)
    a, each = rng.standard_normal((7, 5)), rng.standard_normal((4, 5, 3))
    np.testing.assert_allclose(_through(a, each), a @ each, rtol=1e-13, atol=1e-13)


def test_statistics_near_the_observed_one_are_made_anew_and_no_others() -> None:
    plan = probes.plan(np.arange(40) % 2, np.arange(40), classes=TWO, permutations=19, repeats=1)
    pair = 2 / 400  # of so many pairs of one item of each class, as an AUC
    best = np.array([0.7, 0.7 + 5e-5, 0.7 - pair, 0.7 + pair + 3e-4, 0.5])
    asked: list[np.ndarray] = []

    def exact(which: np.ndarray) -> np.ndarray:
        asked.append(which)
        return np.array([0.7, 0.7 - 1e-9, 0.7 - pair])

    found = settled(best.copy(), plan, exact)
    assert [one.tolist() for one in asked] == [[0, 1, 2]]
    assert found.tolist() == [0.7, 0.7 - 1e-9, 0.7 - pair, best[3], best[4]]
    alone = np.array([0.7, 0.5, 0.9])
    assert settled(alone.copy(), plan, exact).tolist() == alone.tolist()
    assert len(asked) == 1, "none is near"


def test_refits_to_permuted_labels_are_those_of_float64() -> None:
    rng = np.random.default_rng(4)
    y = np.arange(60) % 2
    plan = probes.plan(y, np.arange(60), classes=TWO, permutations=150, repeats=1)
    ridge, fold = Ridge.of(rng.standard_normal((60, 90))), plan.folds[0]
    null = permutation_test(ridge, plan, choose=True)
    codes = coded_vectors(plan.permuted[:99], 2)
    means = np.stack([codes[:, fold != part].mean(axis=1) for part in range(plan.n_folds)], axis=1)[:, fold]
    due = (ridge.held_out(codes, fold, [plan.penalty], dtype=np.float64)[0] - means).astype(np.float32)
    assert (null.fixed_margin == due).mean() > 0.999  # of float32 products every second differs


def test_label_vectors_in_spans_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    from probes.stats import permutation

    rng = np.random.default_rng(3)
    for classes in (TWO, ("a", "b", "c"), None):
        y = np.arange(60) % len(classes) if classes else rng.standard_normal(60)
        plan = probes.plan(y, np.arange(60), classes=classes, permutations=150, repeats=1)
        ridge = Ridge.of(rng.standard_normal((60, 8)))
        whole = permutation_test(ridge, plan, choose=True)
        monkeypatch.setattr(permutation, "HELD", 60 * 37 * 3)
        monkeypatch.setattr(permutation, "CACHED", 60 * 10 * 3)
        parts = permutation_test(ridge, plan, choose=True)
        monkeypatch.undo()
        assert whole.chosen_margin is not None
        assert parts.chosen_margin is not None
        assert parts.fixed_margin.shape == whole.fixed_margin.shape
        np.testing.assert_allclose(parts.statistic, whole.statistic, atol=2e-3)
        np.testing.assert_allclose(parts.fixed_margin, whole.fixed_margin, atol=1e-5)
        np.testing.assert_allclose(parts.chosen_margin, whole.chosen_margin, atol=1e-5)


@pytest.mark.parametrize("rare", [2, 5])
def test_linearised_contributions_give_the_textbook_error_of_a_mean(rare: int) -> None:
    rng = np.random.default_rng(0)
    ok, y = (rng.random((1, 400)) < 0.7).astype(float), (np.arange(400) % rare == 0).astype(int)
    got = balanced(ok, y, 2)
    assert np.allclose(got.part.sum(axis=1), 0)
    by_hand = np.sqrt(sum(ok[0, y == c].var() / (y == c).sum() for c in (0, 1)) / 4 * 400 / 399)
    assert np.isclose(clustered_error(got.part, np.arange(400))[0], by_hand)
    doubled = balanced(np.repeat(ok, 2, axis=1), np.repeat(y, 2), 2)
    assert clustered_error(doubled.part, np.repeat(np.arange(400), 2))[0] == pytest.approx(by_hand)
    assert clustered_error(doubled.part, np.arange(800))[0] < 0.75 * by_hand  # copies taken for news


def by_brute_force(d: np.ndarray, y: np.ndarray, groups: np.ndarray, part: np.ndarray) -> tuple[float, np.ndarray]:
    """Concordance and contributions, pair by pair."""
    right, pairs = np.zeros((2, len(d)))
    for i in range(len(d)):
        for j in range(len(d)):
            if groups[i] != groups[j] and part[i] == part[j] and y[i] != y[j]:
                pairs[i] += 1
                right[i] += 0.5 if d[i] == d[j] else float((d[i] > d[j]) == (y[i] > y[j]))
    score = right.sum() / pairs.sum()
    return float(score), (right - score * pairs) / (pairs.sum() / 2)


@pytest.mark.parametrize("seed", range(8))
def test_concordance_is_that_of_all_pairs_of_different_groups_and_different_numbers(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    y, d = rng.integers(0, 12, (2, 40)).astype(float)  # ties in both
    d = d if seed % 2 else rng.standard_normal(40)
    groups = np.unique(rng.integers(0, 25, 40), return_inverse=True)[1]
    folds = groups % 3
    got = concordance(d[None], y, groups, folds)
    score, part = by_brute_force(d, y, groups, np.zeros(40))
    assert got.score[0] == pytest.approx(score)
    assert got.part[0] == pytest.approx(part)
    monkeypatch.setattr(scores, "ALL_PAIRS", 39)  # of more items pairs lie inside a fold
    inside = concordance(d[None], y, groups, folds)
    assert inside.score[0] == pytest.approx(by_brute_force(d, y, groups, folds)[0])
    assert inside.score[0] != got.score[0]


def test_concordance_of_single_items_is_somers_d() -> None:
    from scipy.stats import somersd

    rng = np.random.default_rng(5)
    y, d = rng.integers(0, 30, (2, 300)).astype(float)
    got = concordance(d[None], y, np.arange(300), np.arange(300) % 5)
    assert got.score[0] == pytest.approx(0.5 + somersd(y, d).statistic / 2)


def test_linearised_concordance_matches_leaving_groups_out() -> None:
    rng = np.random.default_rng(1)
    y = rng.standard_normal(300)
    d, groups, folds = (y + rng.standard_normal(300))[None], np.arange(300) // 2, np.arange(300) // 2 % 5

    def without(g: int) -> float:
        rest = np.flatnonzero(groups != g)
        codes = np.unique(groups[rest], return_inverse=True)[1]
        return float(concordance(d[:, rest], y[rest], codes, folds[rest]).score[0])

    left = [without(g) for g in range(150)]
    jackknife = np.sqrt(149 / 150 * np.var(left) * 150)
    assert clustered_error(concordance(d, y, groups, folds).part, groups)[0] == pytest.approx(jackknife, rel=0.02)


def test_ties_of_refits_share_one_right_answer() -> None:
    two = np.array([[0.0, 1e-6, 1.0, -1.0]], dtype=np.float32)
    assert score_margin(two, np.array([[1, 0, 1, 0]]), 2).score == pytest.approx(0.75)
    assert score_margin(two, np.array([[1, 0, 0, 1]]), 2).score == pytest.approx(0.25)
    three = np.array([[[1.0, 1, 1], [1, 1, 0], [0, 0, 1]]], dtype=np.float32)
    assert score_margin(three, np.array([[0, 1, 2]]), 3).score == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)


def test_the_statistic_is_the_largest_of_three_penalties_of_auc_or_correlation() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(12)
    for classes in (TWO, ("a", "b", "c"), None):
        k = len(classes or ())
        y = np.arange(72) % k if classes else rng.standard_normal(72)
        plan = probes.plan(y, np.arange(72), classes=classes, permutations=6, repeats=1)
        x = rng.standard_normal((72, 90)) * spectrum(90)
        null = permutation_test(Ridge.of(x), plan)
        labels, fold = np.concatenate([plan.y[None], plan.permuted]), plan.folds[0]
        codes = coded_vectors(labels, k or None)
        means = np.stack([codes[:, fold != part].mean(axis=1) for part in range(plan.n_folds)], axis=1)[:, fold]
        by_hand = []
        for p in GRID:
            margin = Ridge.of(x).held_out(codes, fold, [p], dtype=np.float64)[0] - means
            if classes is None:
                by_hand.append([np.corrcoef(m, t)[0, 1] for m, t in zip(margin, labels - means, strict=True)])
            elif k == 2:
                by_hand.append([roc_auc_score(t, m) for m, t in zip(margin, labels, strict=True)])
            else:
                each = [[roc_auc_score(t == c, m[:, c]) for c in range(k)] for m, t in zip(margin, labels, strict=True)]
                by_hand.append([np.mean(one) for one in each])
            if p == plan.penalty:
                assert null.fixed_margin == pytest.approx(margin[1:], abs=1e-5), "refits are to permuted labels alone"
        assert null.statistic == pytest.approx(np.max(by_hand, axis=0), abs=1e-5)
        assert len({int(i) for i in np.argmax(by_hand, axis=0)}) > 1, "no one penalty does for all"


def test_the_refitted_ridge_scores_what_the_ridge_probe_scores() -> None:
    rng = np.random.default_rng(2)
    for k in (2, 3):
        y = rng.permutation(np.arange(90) % k)
        x = rng.standard_normal((90, 40)) + y[:, None] * (np.arange(40) < 5)
        plan = probes.plan(y, np.arange(90), classes=("a", "b", "c")[:k], permutations=9)
        codes, fold = coded_vectors(y[None], k), plan.folds[:1]
        margin = Ridge.of(x).held_out(codes, fold[0], [plan.penalty], dtype=np.float64)[0] - fold_means(codes, fold[0])
        ours = score_margin(margin, y[None], k)
        probed = probes.load("ridge")(given(x, y, np.arange(90), plan.classes), fold, rng)
        assert ours.score[0] == pytest.approx(scored(probed, k).score[0])


def test_items_with_equal_features_score_half_each() -> None:
    rng = np.random.default_rng(3)
    x, y, groups = np.repeat(rng.standard_normal((60, 30)), 2, axis=0), np.arange(120) % 2, np.arange(120) // 2
    plan = probes.plan(y, groups, classes=TWO, permutations=99)
    for name in ("ridge", "linear"):
        m = probes.measure(given(x, y, groups), plan, probe=name, detect=False, nested=False)
        assert m.estimate.score == 0.5
        assert m.state != "present"
        assert not m.leak


def size(runs: int, design: str, folds: int) -> float:
    """Share of data sets without signal that the permutation test rejects at .05."""
    hits = 0
    for run in range(runs):
        rng = np.random.default_rng([11, run])
        y, groups, x = _null(rng, design)
        plan = probes.plan(y, groups, classes=TWO, seed=run, permutations=99, repeats=1, folds=folds)
        hits += permutation_test(Ridge.of(x), plan).p <= 0.05
    return hits / runs


def textbook_size(runs: int, *, protected: bool) -> float:
    """The same of the test as it is usually done: pooled scores, and labels shuffled freely or inside folds."""
    hits = 0
    for run in range(runs):
        rng = np.random.default_rng([11, run])
        y, groups, x = _null(rng, "items")
        plan = probes.plan(y, groups, classes=TWO, seed=run, permutations=99, repeats=1, folds=20)
        shuffled = plan.permuted if protected else y[permute_within(np.zeros(len(y), dtype=int), rng, 99)]
        best = Ridge.of(x).largest_auc(np.concatenate([y[None], shuffled]), plan.folds[0], GRID)
        hits += 1 + (best[1:] >= best[0]).sum() <= 5
    return hits / runs


def _null(rng: np.random.Generator, design: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if design == "items":
        return rng.permutation(np.arange(40) % 2), np.arange(40), rng.standard_normal((40, 60))
    if design == "pairs":
        groups = np.arange(80) // 2
        return np.arange(80) % 2, groups, rng.standard_normal((80, 60)) + rng.standard_normal((40, 60))[groups]
    patients = np.arange(200) // 4
    who = rng.standard_normal((50, 60))[patients]
    x = who + 0.3 * rng.standard_normal((200, 60))
    return rng.permutation(np.arange(50) % 2)[patients], patients, x


@pytest.mark.slow
@pytest.mark.parametrize(("design", "folds"), [("items", 5), ("items", 20), ("pairs", 5), ("patients", 5)])
def test_the_permutation_test_keeps_its_size(design: str, folds: int) -> None:
    runs = 200
    assert 0.01 <= size(runs, design, folds) <= upper_rate(0.05, runs)


def test_free_permutation_of_pooled_scores_under_stratified_folds_does_not() -> None:
    assert textbook_size(200, protected=True) <= upper_rate(0.05, 200)
    assert textbook_size(200, protected=False) > upper_rate(0.05, 200)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
def test_the_size_holds_for_several_classes_and_for_numbers(classes: int) -> None:
    hits, runs = np.zeros(2), 150
    for run in range(runs):
        rng = np.random.default_rng([12, classes, run])
        n = 15 * classes
        x, y = rng.standard_normal((n, 50)), np.arange(n) % classes
        plan = probes.plan(
            y, np.arange(n) // classes, classes=tuple("abcd"[:classes]), seed=run, permutations=99, repeats=1
        )
        number = probes.plan(rng.standard_normal(n), np.arange(n), seed=run, permutations=99, repeats=1)
        hits += [permutation_test(Ridge.of(x), p).p <= 0.05 for p in (plan, number)]
    assert (hits / runs <= upper_rate(0.05, runs)).all()
    assert (hits / runs >= 0.005).all()


def coverage(
    n: int, design: str, runs: int, *, shift: float, level: Literal["full", "screen"] = "full", k: int = 2
) -> tuple[float, float, float]:
    """Coverage of the interval, of the one with phi = 1, and the share of leak alarms."""
    rows = []
    for run in range(runs):
        rng = np.random.default_rng([13, n, run])
        groups = np.arange(n) // (k if design == "pairs" else 4 if design == "patients" else 1)
        y = np.arange(n) % k if design == "pairs" else rng.permutation(np.arange(groups.max() + 1) % k)[groups]
        z = rng.standard_normal((n, 200)) + rng.standard_normal((groups.max() + 1, 200))[groups]
        x = z / 2**0.5 * spectrum(200)
        x[:, :k] += shift * spectrum(200)[:k] * np.eye(k)[y]
        plan = probes.plan(y, groups, classes=tuple("abcd"[:k]), seed=run, permutations=99, repeats=2)
        cell = given(x, y, groups, plan.classes)
        m = probes.measure(cell, plan, probe="ridge", detect=False, nested=False, level=level)
        assert m.estimate.low is not None
        assert m.estimate.high is not None
        half = (m.estimate.high - m.estimate.low) / 2
        bare = half * float(m.scored.error(plan.groups).mean()) / m.error
        rows.append((m.estimate.score, half, bare, m.leak))
    score, half, bare, leak = np.array(rows, dtype=float).T
    away = np.abs(score - score.mean())
    return float((away <= half).mean()), float((away <= bare).mean()), float(leak.mean())


@pytest.mark.slow
@pytest.mark.parametrize(("n", "design", "shift"), [(134, "items", 2.0), (240, "patients", 0.0), (200, "pairs", 1.0)])
def test_the_interval_covers_and_without_permuted_labels_it_covers_less(n: int, design: str, shift: float) -> None:
    """200 features: the first and last have about as many training items, where luck counts most."""
    with_phi, without, leak = coverage(n, design, 100, shift=shift)
    assert with_phi >= 0.92  # nominal .95, less what 100 runs may show
    assert without <= with_phi - 0.03
    assert leak <= upper_rate(0.025, 100)


@pytest.mark.slow
def test_small_null_data_raise_no_more_leak_alarms_than_nominal() -> None:
    for n in (24, 40):
        _, _, leak = coverage(n, "items", 150, shift=0.0, level="screen")
        assert leak <= upper_rate(0.01, 150)


@pytest.mark.parametrize(("luck", "phi"), [(0.1, 2.0), (0.05, 1.0), (0.01, 1.0)])
def test_the_error_grows_by_as_much_as_permuted_scores_spread_beyond_their_own_errors(luck: float, phi: float) -> None:
    """Each of 100 items shows an error of .05; scores that share the luck of a training set spread by more."""
    plan = probes.plan(np.arange(100) % 2, np.arange(100), classes=TWO, permutations=99)
    part = np.tile(0.005 * (99 / 100) ** 0.5 * np.array([1.0, -1.0]), 50)
    spread_out = 0.5 + luck * np.linspace(-1, 1, 99) / np.linspace(-1, 1, 99).std(ddof=1)
    permuted = Scored(score=spread_out, part=np.tile(part, (99, 1)))
    observed = Scored(score=np.array([0.7]), part=part[None])
    assert inflation(permuted, plan) == pytest.approx(phi)
    assert error_of(observed, permuted, plan) == pytest.approx(0.05 * phi)
    assert error_of(observed, permuted, plan, signal=3.0) == pytest.approx(0.15), "the larger of the two counts"


def test_probes_that_are_not_refitted_have_the_error_of_nadeau_and_bengio() -> None:
    rng = np.random.default_rng(13)
    plan = probes.plan(np.arange(103) % 2, np.arange(103), classes=TWO, permutations=9, repeats=3, folds=4)
    ok = rng.random((3, 103))
    got = Scored(score=ok.mean(axis=1), part=(ok - ok.mean(axis=1, keepdims=True)) / 103)
    folds = [row[fold == k].mean() for row, fold in zip(ok, plan.folds, strict=True) for k in range(4)]
    due = np.std(folds, ddof=1) * np.sqrt(1 / 12 + 1 / 3)
    assert corrected_resampling(got, plan) == pytest.approx(due)
    assert error_of(got, None, plan) == pytest.approx(due)
    one, other = (measured_like(plan, part) for part in (got, Scored(score=0 * got.score, part=0 * got.part)))
    found = probes.compare(one, other, plan)
    assert found.high is not None
    assert found.high - found.score == pytest.approx(1.98350 * due, rel=1e-4)


def measured_like(plan: Plan, got: Scored) -> probes.Measurement:
    """A measurement of a probe that is not refitted, with these scores."""
    m = probes.measure(given(np.eye(len(plan.y), 3), plan.y, plan.groups), plan, level="screen")
    return replace(m, scored=got, permuted=None)


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_a_rare_class_is_no_surer_where_the_probe_is_not_refitted(spread: float) -> None:
    """The larger of the floored error and that of the folds."""
    plan, got, _ = rare_case(5, 2, 1.0)
    rows = np.linspace(-spread, spread, 2)
    got = replace(got, score=got.score.mean() + rows, part=got.part * (spread > 0))
    floored_one = float(floored_error(got, plan.y, plan).mean())
    folds = corrected_resampling(got, plan)
    assert (folds > floored_one) == (spread > 0)
    assert error_of(got, None, plan) == max(folds, floored_one)


def test_what_lies_at_an_edge() -> None:
    for groups in (19, 20):
        plan = probes.plan(np.arange(40) % 2, np.arange(40) % groups, classes=TWO, permutations=9)
        assert (interval(0.7, 0.01, plan) is None) == (groups < 20), "20 groups have an interval"
    none = concordance(np.arange(6.0)[None], np.ones(6), np.arange(6), np.arange(6) % 2)
    assert (none.score[0], np.abs(none.part).max()) == (0.5, 0), "no pair is no news"
    rng = np.random.default_rng(3)
    m, y = rng.standard_normal((2, 30))
    assert association(m[None] + 2, y[None] + 5, np.zeros((1, 1)), None)[0] == pytest.approx(np.corrcoef(m, y)[0, 1])


@pytest.mark.parametrize("per", [1, 3])
def test_intervals_and_differences_have_the_freedom_of_groups(per: int) -> None:
    """Of 30 groups t is that of 29, however many items they hold: an error of .01 is 2.045 of it each way."""
    from scipy.stats import t as student

    y = np.repeat(np.arange(60) % 2, per)
    plan = probes.plan(y, np.arange(60 * per) // per // 2, classes=TWO, permutations=99, repeats=2)
    ends = interval(0.7, 0.01, plan)
    assert ends == pytest.approx((0.7 - 0.0204523, 0.7 + 0.0204523))
    assert detectable(0.01, plan) == pytest.approx(0.5 + 0.01 * (student.ppf(0.95, 29) + student.ppf(0.8, 29)))
    rng = np.random.default_rng(per)
    x = rng.standard_normal((len(y), 30)) + 1.2 * y[:, None] * (np.arange(30) < 2)
    a, b = (probes.measure(given(x[:, c:], y, plan.groups), plan, level="screen") for c in (0, 1))
    assert a.permuted is not None
    assert b.permuted is not None
    apart = a.permuted.minus(b.permuted)
    phi = max(1.0, apart.score.std(ddof=1) / apart.error(plan.groups).mean())
    assert phi > 1.05, "differences spread by more than their items show"
    error = a.scored.minus(b.scored).error(plan.groups).mean() * phi
    found = probes.compare(a, b, plan)
    assert (found.low, found.high) == pytest.approx((found.score - 2.04523 * error, found.score + 2.04523 * error))
    assert found.p == pytest.approx(2 * student.sf(abs(found.score) / error, 29))


def test_p_and_interval_are_those_of_the_probe_that_is_named() -> None:
    """Ridge and nested logistic regression are refitted to permuted labels; another probe has its folds alone."""
    from scipy.stats import t as student

    rng = np.random.default_rng(14)
    y, groups = np.arange(90) % 2, np.arange(90)
    x = rng.standard_normal((90, 40)) + 1.2 * y[:, None] * (np.arange(40) < 2)
    plan = probes.plan(y, groups, classes=TWO, permutations=99, repeats=2)
    ridge, nested, other = (
        probes.measure(given(x, y, groups), plan, probe=name, detect=False) for name in ("ridge", "linear", "knn")
    )
    assert ridge.null.chosen is not None
    assert np.array_equal(ridge.permuted.score, ridge.null.fixed.score)  # type: ignore[union-attr]
    assert nested.null.chosen is not None
    assert nested.permuted is nested.null.chosen
    assert nested.permuted is not None
    assert not np.array_equal(nested.permuted.score, nested.null.fixed.score)
    assert other.permuted is None
    assert ridge.estimate.p == nested.estimate.p == ridge.null.p
    e = other.estimate
    assert e.p == pytest.approx(student.sf((e.score - 0.5) / other.error, 89))
    assert _t_test(0.3, 0.05, plan) > 0.99, "below chance nothing is found"
    assert ridge.nested is not None
    assert ridge.nested.score == nested.estimate.score
    assert (ridge.nested.low, ridge.nested.high) == pytest.approx((nested.estimate.low, nested.estimate.high))
    for m in (ridge, nested, other):
        ends = interval_of(m.scored, m.permuted, plan, m.error / float(m.scored.error(groups).mean()))
        assert (m.estimate.low, m.estimate.high) == pytest.approx(ends)
    null = max(ridge.permuted.error(groups).mean(), ridge.permuted.score.std(ddof=1))  # type: ignore[union-attr]
    assert ridge.null_error == pytest.approx(null)


def test_the_seed_of_a_measurement_reaches_its_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(15)
    y, plan = np.arange(60) % 2, probes.plan(np.arange(60) % 2, np.arange(60), classes=TWO, permutations=9)
    drawn = []

    def watched(_name: str) -> Any:
        def probe(cell: FeatureSet, folds: np.ndarray, own: np.random.Generator) -> probes.Predictions:
            drawn.append(own.random())
            return ridge_probe(cell, folds, own)

        return probe

    ridge_probe = probes.load("ridge")
    monkeypatch.setattr(measure_module, "load", watched)
    for seed in (0, 0, 1):
        probes.measure(given(rng.standard_normal((60, 3)), y, np.arange(60)), plan, probe="knn", seed=seed)
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_printed_error_is_wider_than_the_items_show() -> None:
    rng = np.random.default_rng(9)
    y, groups = np.arange(134) % 2, np.arange(134)
    plan = probes.plan(y, groups, classes=TWO, permutations=99, repeats=2)
    cell = given(rng.standard_normal((134, 110)), y, groups)
    m = probes.measure(cell, plan, detect=False, nested=False)
    assert m.error > 1.1 * float(m.scored.error(plan.groups).mean())


def test_the_chosen_penalty_of_permuted_labels_spreads_as_a_choice_in_inner_folds() -> None:
    from probes.solvers.inner_folds import inner_folds

    rng = np.random.default_rng(5)
    y, groups, x = np.arange(120) % 2, np.arange(120), rng.standard_normal((120, 150)) * spectrum(150)
    plan = probes.plan(y, groups, classes=TWO, permutations=99)
    ridge, fold = Ridge.of(x), plan.folds[0]
    codes = coded_vectors(plan.permuted, 2)
    means = fold_means(codes, fold)
    margin = margin_with_chosen_penalty(ridge, fold, codes, means)
    ours = score_margin(margin, plan.permuted, 2)
    margins = ridge.held_out(codes, fold, CHOICE_GRID) - means
    outer = fold[None] != np.arange(plan.n_folds)[:, None]
    inner = np.repeat(inner_folds(np.zeros(120), groups, rng)[None], plan.n_folds, axis=0)
    best = np.argmin(ridge.inner_errors(codes, outer, inner, CHOICE_GRID), axis=0)
    exact = np.empty_like(margins[0])
    for part, row in enumerate(best):
        exact[:, fold == part] = margins[row, np.arange(99)][:, fold == part]
    label = score_margin(exact, plan.permuted, 2)
    error = np.square(margins - (codes - means))
    for part in range(plan.n_folds):  # the fold itself has no say
        held = fold == part
        row = error[:, :, ~held].sum(axis=2).argmin(axis=0)
        assert margin[:, held] == pytest.approx(margins[row, np.arange(99)][:, held], abs=1e-4)
    assert inflation(ours, plan) == pytest.approx(inflation(label, plan), rel=0.08)
    shifted = margin_with_chosen_penalty(ridge, fold, codes, means + 0.5)
    again = ridge.held_out(codes, fold, CHOICE_GRID) - means - 0.5
    assert any(np.allclose(shifted[0, fold == 0], one[0, fold == 0], atol=1e-4) for one in again), "less the means"


def test_the_statistic_finds_what_is_planted_for_classes_and_numbers() -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((90, 20))
    for y, classes in ((np.arange(90) % 3, tuple("abc")), (x[:, 0] * 2.0 + rng.standard_normal(90), None)):
        wide = x + (2 * (y[:, None] == np.arange(20)) if classes else 0)
        plan = probes.plan(y, np.arange(90), classes=classes, permutations=199)
        assert permutation_test(Ridge.of(wide), plan).p == 1 / 200
        assert permutation_test(Ridge.of(rng.standard_normal((90, 20))), plan).p > 0.05


def test_the_association_of_a_constant_prediction_is_chance() -> None:
    y = (np.arange(20) % 2)[None]
    assert association(np.full((1, 20), 1e-7, dtype=np.float32), y, np.zeros((1, 1)), 2)[0] == 0.5


def test_a_search_over_layers_is_paid_for() -> None:
    rng = np.random.default_rng(7)
    nulls = rng.random((12, 400))
    single = (1 + (nulls[:, 1:] >= nulls[:, :1]).sum(axis=1)) / 400
    assert (over_layers(list(nulls)) >= single).all()
    assert over_layers([nulls[0]]) == pytest.approx(single[:1])


def test_holm_is_never_below_the_raw_p_and_keeps_their_order() -> None:
    raw = np.random.default_rng(8).random(30)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    adjusted = holm(raw.tolist())
    assert (adjusted >= raw).all()
    assert (np.diff(adjusted[np.argsort(raw)]) >= 0).all()


def test_paired_differences_of_one_probe_with_itself_are_nothing_and_of_two_are_symmetric() -> None:
    rng = np.random.default_rng(9)
    y, groups = np.arange(160) % 2, np.arange(160) // 2
    plan = probes.plan(y, groups, classes=TWO, permutations=99)
    weak, strong = (rng.standard_normal((160, 50)) + s * y[:, None] * (np.arange(50) < 4) for s in (0.0, 2.0))
    a, b = (probes.measure(given(x, y, groups), plan, detect=False, nested=False) for x in (weak, strong))
    none = probes.compare(a, a, plan)
    assert (none.score, none.low, none.high, none.p) == (0, 0, 0, 1)
    up, down = probes.compare(b, a, plan), probes.compare(a, b, plan)
    assert up.low is not None
    assert down.high is not None
    assert up.low > 0
    assert up.low == pytest.approx(-down.high)


@pytest.mark.slow
def test_a_paired_difference_of_equally_good_features_is_called_at_the_nominal_rate() -> None:
    calls, runs = 0, 100
    for run in range(runs):
        rng = np.random.default_rng([15, run])
        y, groups = rng.permutation(np.arange(120) % 2), np.arange(120)
        plan = probes.plan(y, groups, classes=TWO, seed=run, permutations=99, repeats=2)
        pair = [rng.standard_normal((120, 80)) + 1.5 * y[:, None] * (np.arange(80) < 2) for _ in range(2)]
        a, b = (probes.measure(given(x, y, groups), plan, level="screen") for x in pair)
        found = probes.compare(a, b, plan)
        assert found.p is not None
        calls += found.p <= 0.05
    assert calls / runs <= upper_rate(0.05, runs)


def test_features_of_another_plan_are_refused() -> None:
    rng = np.random.default_rng(10)
    plan = probes.plan(np.arange(40) % 2, np.arange(40), classes=TWO, permutations=9)
    with pytest.raises(ProbeError, match="30 feature rows for a plan of 40 items"):
        probes.measure(given(rng.standard_normal((30, 3)), np.arange(30) % 2, np.arange(30)), plan)
    with pytest.raises(ProbeError, match="labels of the features are not those of the plan"):
        probes.measure(given(rng.standard_normal((40, 3)), np.arange(40) // 20, np.arange(40)), plan)


def rare_case(few: int, k: int, ok_few: float, *, n: int = 60, per: int = 1) -> tuple[Plan, Scored, Scored]:
    """A plan with one class of few groups, a score of which `ok_few` of that class is right, and exchanged scores."""
    rng = np.random.default_rng([few, k])
    cls = np.concatenate([np.zeros(few, int), 1 + np.arange(n - few) % (k - 1)])
    groups = np.repeat(np.arange(n), 1 + np.arange(n) % per * 2)
    y = cls[groups]
    plan = probes.plan(y, groups, classes=tuple("abcdef"[:k]), permutations=99, repeats=2)
    ok = (rng.random((2, len(y))) < 0.8).astype(float)
    ok[:, y == 0] = np.arange((y == 0).sum()) < round(ok_few * (y == 0).sum())
    return plan, balanced(ok, y, k), balanced((rng.random((99, len(y))) < 1 / k).astype(float), plan.permuted, k)


def pieces(got: Scored, row: int, y: np.ndarray, groups: np.ndarray, c: int) -> tuple[float, int, float]:
    """Share, groups and variance of one class, item by item."""
    assert got.share is not None
    k, mine = got.share.shape[1], y == c
    held = np.unique(groups[mine])
    sums = [sum(got.part[row, i] for i in np.flatnonzero(mine & (groups == g))) for g in held]
    return float(got.share[row, c]), len(held), float(np.square(sums).sum()) * (k > 0)


def floored(got: Scored, row: int, y: np.ndarray, groups: np.ndarray) -> float:
    """The standard error in which no class contributes less than its Agresti share would."""
    assert got.share is not None
    k = got.share.shape[1]
    total = float(got.error(groups)[row]) ** 2
    for c in range(k):
        p, m, v = pieces(got, row, y, groups, c)
        pt = (m * p + 2) / (m + 4)
        total += max(0.0, pt * (1 - pt) / (k**2 * m) - v)
    return total**0.5


@pytest.mark.parametrize(
    ("few", "k", "ok_few", "per"), [(5, 2, 1.0, 1), (5, 2, 0.0, 1), (12, 3, 0.75, 1), (8, 2, 0.5, 3)]
)
def test_with_a_rare_class_the_interval_joins_wilson_intervals_of_each_share(
    few: int, k: int, ok_few: float, per: int
) -> None:
    from scipy.optimize import brentq
    from scipy.stats import t as student

    plan, got, null = rare_case(few, k, ok_few, per=per)
    y, groups = plan.y, plan.groups
    expected = np.mean([floored(null, b, plan.permuted[b], groups) for b in range(99)])
    phi = max(1.0, float(null.score.std(ddof=1)) / float(expected))
    assert inflation(null, plan) == pytest.approx(phi)
    mine = [[pieces(got, r, y, groups, c) for c in range(k)] for r in range(2)]
    kappa = np.mean([got.error(groups)[r] ** 2 / sum(v for _, _, v in mine[r]) for r in range(2)])
    below = above = 0.0
    for c in range(k):
        p, m, v = (float(np.mean([mine[r][c][i] for r in range(2)])) for i in range(3))
        design = max(1.0, v * k**2 * m / (p * (1 - p))) if p * (1 - p) > 0.01 else 1.0
        size, t = m / design / phi**2 / float(kappa), float(student.ppf(0.975, m - 1))

        def away(x: float, p: float = p, size: float = size, t: float = t) -> float:
            return (p - x) ** 2 * size - t**2 * x * (1 - x)

        low = 0.0 if p == 0 else brentq(away, 1e-12, p - 1e-9)
        high = 1.0 if p == 1 else brentq(away, p + 1e-9, 1 - 1e-12)
        below, above = below + ((p - low) / k) ** 2, above + ((high - p) / k) ** 2
    ends = interval_of(got, null, plan) or (0.0, 0.0)
    assert ends == pytest.approx((got.mean - below**0.5, got.mean + above**0.5), abs=1e-6)
    bare = interval(got.mean, float(got.error(groups).mean()), plan)
    assert bare is not None
    if ok_few in (0, 1):
        assert ends[1] - ends[0] > 1.2 * (bare[1] - bare[0]), "a class all right or all wrong shows no spread"


def test_the_interval_of_several_classes_with_a_rare_one_is_of_the_floored_error() -> None:
    from scipy.stats import t as student

    plan, got, null = rare_case(4, 4, 1.0)
    error = np.mean([floored(got, r, plan.y, plan.groups) for r in range(2)]) * inflation(null, plan)
    half = float(student.ppf(0.975, 59) * error)
    assert error_of(got, null, plan) == pytest.approx(error)
    assert interval_of(got, null, plan) == pytest.approx((got.mean - half, got.mean + half))


def test_a_difference_with_a_rare_class_is_as_unsure_as_with_a_discordant_group_each_way() -> None:
    plan, one, _ = rare_case(5, 2, 1.0)
    _, other, _ = rare_case(5, 2, 1.0)
    rng = np.random.default_rng(7)
    ok = (rng.random((2, 60)) < 0.8).astype(float)
    ok[:, plan.y == 0] = 1
    d = balanced(ok, plan.y, 2).minus(other)
    assert d.share is not None
    assert d.share[:, 0] == pytest.approx(0)
    for row in range(2):
        total = float(d.error(plan.groups)[row]) ** 2
        for c, m in ((0, 5), (1, 55)):
            each = ok[row, plan.y == c] - (one.part[row] * 2 * m + one.share[row, c])[plan.y == c]  # type: ignore[index]
            _, _, v = pieces(d, row, plan.y, plan.groups, c)
            f = (np.square(each).sum() + 2 - each.sum() ** 2 / (m + 2)) / (m + 2) / (4 * m)
            total += max(0.0, f - v)
        assert floored_error(d, plan.y, plan, discordant)[row] == pytest.approx(total**0.5)
    assert floored_error(d, plan.y, plan, discordant)[0] > 1.3 * d.error(plan.groups)[0]
    x = rng.standard_normal((60, 4)) + 2.0 * plan.y[:, None]
    a, b = (probes.measure(given(x[:, :c], plan.y, plan.groups), plan, level="screen", detect=False) for c in (4, 2))
    found = probes.compare(a, b, plan)
    assert a.permuted is not None
    assert b.permuted is not None
    error = floored_error(a.scored.minus(b.scored), plan.y, plan, discordant).mean()
    error *= inflation(a.permuted.minus(b.permuted), plan, discordant)
    assert found.high is not None
    assert found.high - found.score == pytest.approx(2.0010 * error, rel=1e-4)


def test_scores_all_right_or_all_wrong_keep_an_interval() -> None:
    plan = probes.plan(np.arange(80) % 2, np.arange(80), classes=TWO, permutations=9)
    wide = (1 - 0.025 ** (1 / 40)) / 2
    assert interval(1.0, 0.0, plan) == pytest.approx((1 - wide, 1))
    assert interval(0.0, 0.0, plan) == pytest.approx((0, wide))
    low, high = interval(0.98, 0.02, plan) or (0, 0)
    assert interval(0.02, 0.02, plan) == pytest.approx((1 - high, 1 - low))
    number = probes.plan(np.random.default_rng(0).standard_normal(60), np.arange(60), permutations=9)
    assert interval(1.0, 0.0, number) == pytest.approx((0.025 ** (1 / 60), 1))
    assert interval(0.99, 0.1, number) == pytest.approx((0.99 - 0.1 * 2.0010, 1), abs=1e-4)


@pytest.mark.parametrize(("few", "number"), [(20, False), (6, False), (0, True)])
def test_the_smallest_detectable_score_rests_on_exchanged_labels_alone(few: int, number: bool) -> None:
    from scipy.stats import t as student

    rng = np.random.default_rng(8)
    y = rng.standard_normal(60) if number else (np.arange(60) < few).astype(int)
    plan = probes.plan(y, np.arange(60), classes=None if number else TWO, permutations=99, repeats=2)
    m = probes.measure(given(rng.standard_normal((60, 20)), y, np.arange(60), plan.classes), plan, level="screen")
    assert m.permuted is not None
    error = max(m.permuted.error(plan.groups).mean(), m.permuted.score.std(ddof=1))
    due = 0.5 + (student.ppf(0.95, 59) + student.ppf(0.8, 59)) * error
    assert m.estimate.mde == pytest.approx(min(1.0, due))


def test_p_low_is_p_from_the_other_side() -> None:
    rng = np.random.default_rng(4)
    plan = probes.plan(np.arange(60) % 2, np.arange(60), classes=TWO, permutations=99)
    null = permutation_test(Ridge.of(rng.standard_normal((60, 5))), plan)
    tied = replace(null, statistic=np.array([0.5, 0.5, 0.4, 0.6, 0.7]))
    assert (tied.p, tied.p_low) == (4 / 5, 3 / 5)
    assert null.p + null.p_low == pytest.approx(1.01)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize(("few", "per"), [(2, 1), (2, 3), (3, 2)])
def test_a_class_in_two_or_three_groups_ends_no_measurement(few: int, per: int, k: int) -> None:
    rng = np.random.default_rng([few, k, per])
    groups = np.repeat(np.arange(60), rng.integers(1, per + 1, 60))
    y = rng.permutation(np.concatenate([np.zeros(few, int), 1 + np.arange(60 - few) % (k - 1)]))[groups]
    plan = probes.plan(y, groups, classes=tuple("abcde"[:k]), permutations=99, repeats=2, folds=10)
    cell = given(rng.standard_normal((len(y), 8)), y, groups, plan.classes)
    m = probes.measure(cell, plan, detect=False)
    e = m.estimate
    assert np.isfinite([e.score, e.low, e.high, e.p, e.mde, m.error, m.null.p_low]).all()  # type: ignore[arg-type]
    assert np.isfinite(m.null.fixed.part).all()
    assert np.isfinite(m.null.fixed.share).all()  # type: ignore[call-overload,arg-type]
    if few == 2:
        assert m.nested is None
        assert "no nested probe stands beside ridge" in m.warnings[-1]


def test_a_class_in_few_groups_is_read_by_ridge_however_many_there_are() -> None:
    def headline(few: int) -> str:
        return probes.plan(
            (np.arange(240) < few).astype(int), np.arange(240), classes=TWO, permutations=9, repeats=1
        ).headline

    assert [headline(few) for few in (3, 9, 10)] == ["ridge", "ridge", "linear"]


def test_a_perfect_score_keeps_a_lower_end_below_one() -> None:
    y, groups = np.arange(80) % 2, np.arange(80)
    plan = probes.plan(y, groups, classes=TWO, permutations=199)
    m = probes.measure(given(y[:, None] * 10.0 + np.zeros((80, 3)), y, groups), plan, nested=False)
    assert m.estimate.score == 1
    assert m.estimate.low == pytest.approx(1 - (1 - 0.025 ** (1 / 40)) / 2)
    assert m.state == "present"


def test_a_single_copy_changes_places_within_its_fold_and_never_with_those_of_an_image() -> None:
    from probes.stats.block_permutation import block_permutation

    y, home = np.r_[np.arange(20) % 2, np.arange(12) % 2], np.r_[np.arange(20) // 2, 100 + np.arange(12)]
    fold = np.r_[np.zeros(20, int), np.arange(12) // 6]
    groups = np.unique(home, return_inverse=True)[1]
    drawn = block_permutation(y, groups, fold, "within groups", groups).draw(np.random.default_rng(0), 40)
    alone = drawn[:, 20:]
    assert len(np.unique(alone[:, 0])) == 2
    assert (alone[:, :6].sum(axis=1) == 3).all()
    assert (alone[:, 6:].sum(axis=1) == 3).all()
    assert all(row[:20].reshape(10, 2).sum(axis=1).tolist() == [1] * 10 for row in drawn)
