"""Numbers as answers: ranks carry the score, values far out are named, and what is no error is not."""

import numpy as np
import pytest

import probes
from probes import FeatureSet, ProbeError
from probes.stats.measurement import Measurement
from probes.stats.numbers import cautions, far_values, normal_scores


def measured(x: np.ndarray, y: np.ndarray, probe: str = "ridge") -> Measurement:
    plan = probes.plan(y, np.arange(len(y)), permutations=99)
    given = FeatureSet(x=x, y=y, groups=np.arange(len(y)), ids=[str(i) for i in range(len(y))], classes=None)
    return probes.measure(given, plan, probe=probe, detect=False)


def planted(seed: int, n: int = 100) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 31])
    x = rng.standard_normal((n, 20))
    return x, 50 + 10 * (x[:, 0] + 0.7 * rng.standard_normal(n))


def test_normal_scores_are_those_of_mean_ranks() -> None:
    from scipy.stats import norm, rankdata

    values = np.random.default_rng(0).integers(0, 30, 80).astype(float)
    assert normal_scores(values) == pytest.approx(norm.ppf((rankdata(values) - 0.5) / 80))


def test_a_monotone_change_of_the_number_changes_nothing_but_its_own_r2() -> None:
    x, y = planted(1)
    one, two = measured(x, y), measured(x, np.exp(y / 10))
    assert one.estimate.metric == "concordance"
    assert one.estimate.chance == 0.5
    assert (one.estimate.score, one.estimate.low, one.estimate.high, one.estimate.p) == (
        two.estimate.score, two.estimate.low, two.estimate.high, two.estimate.p,
    )  # fmt: skip
    assert one.companions["R2 of normal scores"] == two.companions["R2 of normal scores"] > 0.5
    assert one.companions["R2 of the number"] > two.companions["R2 of the number"] + 0.1
    assert [*measured(x, y, "knn").companions] == ["R2 of normal scores"]


def test_typing_errors_move_the_score_by_hundredths_and_r2_of_the_number_by_far_more() -> None:
    for seed in range(3):
        x, y = planted(seed)
        typed = y.copy()
        typed[:3] = 414
        clean, wrong = measured(x, y), measured(x, typed)
        assert abs(clean.estimate.score - wrong.estimate.score) < 0.08
        assert clean.state == wrong.state == "present"
        assert clean.companions["R2 of the number"] - wrong.companions["R2 of the number"] > 0.4
        assert "3 of 100 values look like typing errors" in wrong.estimate.warnings[0]
        assert wrong.estimate.warnings[0].count("414, ") == 3
        assert clean.estimate.warnings == ()


def test_features_that_say_nothing_explain_nothing_of_a_number() -> None:
    """R2 is against the mean of the training part: of all items it would be below 0."""
    m = measured(np.zeros((100, 3)), planted(2)[1])
    assert m.companions == pytest.approx({"R2 of normal scores": 0, "R2 of the number": 0}, abs=1e-9)
    assert m.estimate.score == 0.5


def test_probes_are_trained_on_normal_scores_and_the_given_numbers_stay_at_hand() -> None:
    x, y = planted(4)
    m = measured(x, y)
    assert m.plan.y == pytest.approx(normal_scores(y))
    assert np.array_equal(m.predictions.label, m.plan.y)
    assert m.predictions.number is not None
    assert np.array_equal(m.predictions.number, y)
    with pytest.raises(ProbeError, match="labels of the features are not those of the plan"):
        probes.measure(
            FeatureSet(x=x, y=m.plan.y, groups=np.arange(100), ids=[str(i) for i in range(100)], classes=None), m.plan
        )


@pytest.mark.parametrize("marks", [(9999,), (-999,), (9999, -999), (9999,) * 60, (700,), (414, 414, 414)])
def test_values_far_out_are_named_with_what_the_others_are(marks: tuple[float, ...]) -> None:
    ages = np.random.default_rng(0).integers(20, 86, 200).astype(float)
    ages[7 : 7 + len(marks)] = marks
    said = cautions(ages, [f"row {k}" for k in range(1, 201)])[0]
    look = "looks like a typing error" if len(marks) == 1 else "look like typing errors"
    assert said.startswith(f"{len(marks)} of 200 values {look} or marks of missing values ({max(marks, key=abs)} in")
    assert said.count(" in row ") == min(5, len(marks))
    assert ("and 55 more" in said) == (len(marks) == 60)
    assert f"the others lie in {np.delete(ages, slice(7, 7 + len(marks))).min():g} to 85" in said


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(0, 1, n),
        lambda rng, n: rng.lognormal(3, 1, n),
        lambda rng, n: rng.exponential(1, n),
        lambda rng, n: rng.poisson(6, n).astype(float),
        lambda rng, n: rng.integers(-1, 99, n).astype(float),
        lambda rng, n: np.where(rng.random(n) < 0.6, 0, np.round(rng.lognormal(4, 0.5, n))),  # deviation 0 of most
        lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(0, 1, n), rng.normal(100, 1, n)),
        lambda rng, n: np.maximum(rng.normal(10, 5, n), 5),
        lambda rng, n: np.where(rng.random(n) < 0.9, 0, rng.integers(1, 5, n)).astype(float),
    ],
)  # fmt: skip
def test_numbers_of_one_distribution_are_not_suspected(draw) -> None:  # noqa: ANN001
    rng = np.random.default_rng(1)
    assert not any(far_values(draw(rng, n)).any() for n in (60, 200, 1000) for _ in range(20))


def test_where_most_are_equal_a_value_far_from_the_others_is_named_alone() -> None:
    rng = np.random.default_rng(5)
    values = np.where(rng.random(300) < 0.6, 0, rng.normal(0, 1, 300))
    assert not far_values(values).any()
    values[7] = 999
    assert np.flatnonzero(far_values(values)).tolist() == [7]


def test_a_mark_of_missing_values_among_few_numbers_is_named_with_its_distance() -> None:
    grades = np.random.default_rng(0).integers(0, 6, 200).astype(float)
    assert cautions(grades) == ()
    grades[:3] = 99.99
    low, high = np.quantile(grades, (0.25, 0.75))
    (said,) = cautions(grades)
    away = f"99.99 3 times, {(99.99 - high) / (high - low):.0f} interquartile ranges above"
    share = 3 * (99.99 - grades.mean()) ** 2 / np.square(grades - grades.mean()).sum()
    assert said.startswith(
        f"few values lie far out ({away}) and make up {share:.0%} of what varies between the numbers"
    )
    assert "interquartile ranges below" in cautions(-grades)[0]


def test_a_long_tail_is_cautioned_and_a_normal_or_even_one_is_not() -> None:
    rng = np.random.default_rng(3)
    assert "few values lie far out" in cautions(rng.lognormal(3, 1.2, 300))[0]
    assert cautions(rng.normal(0, 1, 300)) == cautions(rng.uniform(0, 1, 300)) == ()


@pytest.mark.slow
def test_the_interval_of_a_number_with_typing_errors_covers() -> None:
    """R2 of the raw number covered .90 of these, and was present in none."""
    rows = []
    for seed in range(60):
        x, y = planted(seed + 100)
        y[np.random.default_rng(seed).permutation(100)[:2]] = 900
        e = measured(x, y).estimate
        rows.append((e.score, e.low, e.high, e.p))
    score, low, high, p = np.array(rows, dtype=float).T
    assert ((low <= score.mean()) & (score.mean() <= high)).mean() >= 0.9
    assert (p <= 0.05).mean() >= 0.95


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.full(40, 5.0), "all numbers are 5: there is nothing that a probe could learn"),
        (np.r_[np.full(39, 5.0), 6], "all numbers are 5, but for those of 1 group: there is nothing"),
        (np.r_[np.arange(38.0), np.nan, np.inf], "2 of 40 numbers are not finite"),
    ],
)
def test_numbers_of_which_nothing_can_be_learnt_are_refused(y: np.ndarray, match: str) -> None:
    with pytest.raises(ProbeError, match=match):
        probes.plan(y, np.arange(40))


@pytest.mark.filterwarnings("error")
def test_a_number_too_large_to_be_squared_is_named_and_breaks_nothing() -> None:
    x, y = planted(2)
    y[7] = 1e300
    m = measured(x, y)
    assert "1e+300" in m.estimate.warnings[0]
    assert all(np.isfinite([*m.companions.values(), m.estimate.score]))


@pytest.mark.parametrize(("others", "asked"), [(5, False), (45, True)])
def test_few_numbers_that_differ_are_no_ground_for_absence(others: int, asked: bool) -> None:
    rng = np.random.default_rng(3)
    y = rng.permutation(np.r_[np.zeros(100 - others), 1 + rng.random(others)])
    plan = probes.plan(y, np.arange(100), permutations=199)
    assert plan.rare == others
    given = FeatureSet(
        x=rng.standard_normal((100, 8)), y=y, groups=np.arange(100), ids=[str(i) for i in range(100)], classes=None
    )
    m = probes.measure(given, plan)
    assert (m.limit is not None) is asked
    assert ("Another number than the commonest has 5 groups; absence needs 20" in m.reason) is not asked
    assert probes.measure(given, plan, detect="always").limit is not None
