"""What neighbours tell is held out by group: a planted truth is found, and a cluster of patients is none."""

from dataclasses import replace

import numpy as np
import pytest

import probes
from probes import ProbeError
from probes.embedding.agreement import held_out, own_group, seen, silhouette
from probes.embedding.neighbours import neighbours, prepared
from probes.stats.scores import concordance

PATIENTS = np.repeat(np.arange(60), 3)


def space(rng: np.random.Generator, signal: np.ndarray | float = 0.0) -> np.ndarray:
    """180 images of 60 patients who lie together, and something planted."""
    x = rng.normal(size=(60, 8))[PATIENTS] + 0.3 * rng.normal(size=(180, 8))
    x[:, 0] += signal
    return prepared(x)


def test_a_cluster_of_patients_is_seen_and_not_held_out() -> None:
    covered, found, visible = 0, 0, 0
    for number in range(40):
        rng = np.random.default_rng([5, number])
        y = rng.integers(0, 2, 60)[PATIENTS]  # one answer per patient, of which the features know nothing
        x = space(rng)
        plan = probes.plan(y, PATIENTS, classes=("a", "b"), permutations=99, repeats=1)
        told = held_out(neighbours(x, 10, apart=PATIENTS)[0], plan)
        assert told.low is not None
        assert told.high is not None
        covered += told.low <= 0.5 <= told.high
        found += told.p is not None and told.p <= 0.05
        shown = seen(neighbours(x, 2)[0], plan, permutations=99)
        visible += shown.score > 0.8 and shown.p == 0.01
    assert visible == 40
    assert found <= 6  # 2 expected
    assert covered >= 36


@pytest.mark.parametrize("number", [False, True])
def test_what_is_planted_is_found(number: bool) -> None:
    rng = np.random.default_rng(7)
    y = rng.normal(size=180) if number else rng.integers(0, 3, 180)
    x = space(rng, 6.0 * y)
    plan = probes.plan(y, PATIENTS, classes=None if number else ("a", "b", "c"), permutations=99, repeats=1)
    told = held_out(neighbours(x, 10, apart=PATIENTS)[0], plan)
    assert told.score > 0.8
    assert told.low is not None
    assert told.low > plan.chance + 0.3
    assert told.p == 0.01
    width = silhouette(x, plan)
    assert (width is None) == number
    assert width is None or width.score > 0.2


def test_the_mean_of_all_other_groups_explains_nothing_of_a_number() -> None:
    y = np.random.default_rng(11).normal(size=180) + PATIENTS  # a mean that holds the own group would be nearer
    plan = probes.plan(y, PATIENTS, permutations=19, repeats=1)
    places = np.array([np.flatnonzero(g != PATIENTS) for g in PATIENTS])
    assert held_out(places, plan).score == 0.5


def test_rare_classes_are_not_drowned_and_none_is_invented() -> None:
    rng = np.random.default_rng(8)
    y = (np.arange(400) < 60).astype(int)
    groups = np.arange(400)
    plan = probes.plan(y, groups, classes=("rare", "usual"), permutations=99, repeats=1)
    strange = held_out(neighbours(prepared(rng.normal(size=(400, 10))), 10, apart=groups)[0], plan)
    assert strange.score == pytest.approx(0.5, abs=0.08)
    planted = prepared(rng.normal(size=(400, 10)) + 3.0 * y[:, None])
    assert held_out(neighbours(planted, 10, apart=groups)[0], plan).score > 0.9


def test_neighbours_of_the_own_group_are_refused() -> None:
    plan = probes.plan(np.arange(180) % 2, PATIENTS, classes=("a", "b"), permutations=19, repeats=1)
    with pytest.raises(ProbeError, match="nothing would be held out"):
        held_out(neighbours(space(np.random.default_rng(0)), 10)[0], plan)


def test_patients_are_found_by_their_own_images_alone() -> None:
    rng = np.random.default_rng(9)
    near = own_group(neighbours(space(rng), 5)[0], PATIENTS)
    assert near is not None
    assert near.score > 0.9
    assert near.chance == pytest.approx(2 / 179)
    strange = own_group(neighbours(prepared(rng.normal(size=(180, 8))), 5)[0], PATIENTS)
    assert strange is not None
    assert strange.low is not None
    assert strange.low < strange.chance
    assert own_group(neighbours(space(rng), 5)[0], np.arange(180)) is None


def test_strengths_compare_numbers_with_classes() -> None:
    rng = np.random.default_rng(10)
    y = rng.integers(0, 2, 180)
    plan = probes.plan(y, np.arange(180), classes=("a", "b"), permutations=19, repeats=1)
    told = seen(neighbours(prepared(np.column_stack([9.0 * y + rng.normal(size=180)])), 5)[0], plan, permutations=19)
    assert told.strength == pytest.approx(2 * told.score - 1)
    pair = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 3000)
    concordant = concordance(pair[:, :1].T, pair[:, 1], np.arange(3000), np.arange(3000) % 5).score[0]
    assert replace(told, metric="concordance", score=float(concordant)).strength == pytest.approx(0.6, abs=0.04)
