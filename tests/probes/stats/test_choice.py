"""The choice between marks is refitted to permuted labels: its test keeps its size, its interval covers."""

from functools import cache

import numpy as np
import pytest

import probes
from probes import FeatureSet
from probes.solvers.choice import PENALTY, decompose_tokens, score_marks
from probes.stats.choice import choice_inflation, permutation_test_of_choice
from probes.stats.intervals import inflation, interval
from probes.stats.scores import scored

COLOURS = ("red", "green", "blue")


def marked(
    rng: np.random.Generator, n: int, films: int, *, count: int = 3, d: int = 16, signal: float = 0.0
) -> tuple[FeatureSet, np.ndarray]:
    """Items with `count` marks, `films` per patient with one answer, and the plan's groups: the patients.

    Films of a patient have much the same tokens; an image has a part common to its marks; marks in the middle
    have longer tokens; the answers are unequally frequent.
    """
    patient = np.arange(n) // films
    y = rng.choice(count, n // films, p=[0.5, 0.3, 0.2] if count == 3 else [0.6, 0.4])[patient]
    own = rng.normal(size=(n // films, count, d))[patient] if films > 1 else 0.0
    tokens = (0.7 * rng.normal(size=(n, count, d)) + own) * (1 + rng.random((n, count, 1)))
    tokens += 3 * rng.normal(size=(n, 1, d))
    tokens[np.arange(n), y, 0] += signal
    given = FeatureSet(
        x=tokens.reshape(n, -1).astype(np.float32), y=y, groups=patient, ids=[str(i) for i in range(n)],
        classes=COLOURS[:count],
    )  # fmt: skip
    return given, patient


@cache
def trials(signal: float, *, grouped: bool, n: int = 120, films: int = 3, runs: int = 60) -> np.ndarray:
    """Score, p and interval ends of `runs` data sets, [runs, 4], where the plan knows the patients or not."""
    found = []
    for seed in range(runs):
        given, patient = marked(np.random.default_rng([seed, 5]), n, films, signal=signal)
        groups = patient if grouped else np.arange(n)
        plan = probes.plan(given.y, groups, classes=given.classes or (), seed=seed, repeats=2, permutations=99)
        given = FeatureSet(x=given.x, y=given.y, groups=groups, ids=given.ids, classes=given.classes)
        e = probes.measure(given, plan, probe="marks").estimate
        assert e.low is not None
        assert e.high is not None
        assert e.p is not None
        found.append((e.score, e.p, e.low, e.high))
    return np.array(found)


def covered(signal: float, *, grouped: bool) -> float:
    """Share of intervals that hold the score these probes have on average."""
    found = trials(signal, grouped=grouped)
    mean = trials(signal, grouped=True)[:, 0].mean()
    return float(((found[:, 2] <= mean) & (found[:, 3] >= mean)).mean())


def test_the_test_of_a_choice_keeps_its_size_with_films_of_one_patient() -> None:
    rate = (trials(0.0, grouped=True)[:, 1] <= 0.05).mean()
    assert rate <= 0.05 + 3.1 * (0.05 * 0.95 / 60) ** 0.5


def test_with_films_taken_for_independent_it_does_not() -> None:
    assert (trials(0.0, grouped=False)[:, 1] <= 0.05).mean() > 0.25


@pytest.mark.parametrize("signal", [0.0, 2.0])
def test_the_interval_of_a_choice_covers(signal: float) -> None:
    assert covered(signal, grouped=True) >= 0.95 - 3.1 * (0.05 * 0.95 / 60) ** 0.5


def test_with_films_taken_for_independent_it_covers_less() -> None:
    assert covered(0.0, grouped=False) < 0.85


def test_a_signal_in_the_tokens_is_found() -> None:
    found = trials(2.0, grouped=True)
    assert found[:, 0].mean() > 0.5
    assert (found[:, 1] <= 0.05).mean() > 0.9


@pytest.mark.parametrize("count", [2, 3])
def test_the_permutation_test_refits_the_probe_to_every_permuted_label_vector(count: int) -> None:
    given, patient = marked(np.random.default_rng(1), 90, 2, count=count, signal=1.0)
    plan = probes.plan(given.y, patient, classes=given.classes or (), permutations=99)
    null = permutation_test_of_choice(decompose_tokens(given), plan)
    for row in range(1, 5):  # in row 0 two scores are one in float32, a tie
        y = plan.permuted[row]
        again = FeatureSet(x=given.x, y=y, groups=patient, ids=given.ids, classes=given.classes)
        found = probes.load("marks")(again, plan.folds[:1], np.random.default_rng(0))
        assert scored(found, count).score[0] == pytest.approx(null.fixed.score[row], abs=1e-6)
        (fast,) = score_marks(decompose_tokens(given), y[None], plan.folds[0], count, [PENALTY])
        assert np.abs(fast[0] - found.score[0]).max() < 1e-4


def test_a_measured_choice_has_a_permutation_p_and_borrows_no_limit_of_detection() -> None:
    given, patient = marked(np.random.default_rng(2), 360, 2, signal=3.0)
    plan = probes.plan(given.y, patient, classes=given.classes or (), permutations=199)
    found = probes.measure(given, plan, probe="marks", detect="always")
    assert found.estimate.p == found.null.p == 1 / 200
    assert found.state == "present"
    assert not [w for w in found.warnings if "not refitted" in w]
    assert found.limit is None
    ends = interval(found.estimate.score, found.error, plan)
    assert ends == (found.estimate.low, found.estimate.high)


def test_near_as_many_marks_as_features_a_signal_spreads_scores_more_than_permuted_labels_show() -> None:
    grown = []
    for seed in range(6):
        rng = np.random.default_rng([seed, 9])
        y = rng.integers(0, 3, 150)
        tokens = rng.normal(size=(150, 3, 256))
        tokens[np.arange(150), y] += 3.5 / 16
        given = FeatureSet(
            x=tokens.reshape(150, -1), y=y, groups=np.arange(150), ids=[str(i) for i in range(150)], classes=COLOURS
        )
        plan = probes.plan(y, np.arange(150), classes=COLOURS, seed=seed, repeats=2, permutations=99)
        ridge = decompose_tokens(given)
        signal = choice_inflation(ridge, plan, 256, 0.8)
        grown.append(signal / inflation(permutation_test_of_choice(ridge, plan).fixed, plan))
        assert choice_inflation(ridge, plan, 256, 0.3) == 1, "below chance nothing is planted"
    assert np.mean(grown) > 1.05
