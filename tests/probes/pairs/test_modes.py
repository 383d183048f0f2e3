"""Modes of the difference of two kernels: a planted cluster is found, and two views of one encoder have none."""

import numpy as np
import pytest

from probes import ProbeError
from probes.pairs.modes import modes


def views(seed: int, cluster: float = 0.0, d: int = 64, e: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two encoders that see the same ten facts with noise of their own; the first sees a cluster besides."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(150, 10))
    a, b = (z @ rng.normal(size=(10, k)) / 3 + rng.normal(size=(150, k)) for k in (d, e))
    members = np.arange(150) < 25
    return a + cluster * members[:, None] * rng.normal(size=d) / 3, b, members


def test_the_eigenvectors_are_those_of_the_difference_of_the_kernels() -> None:
    a, b, _ = views(0, 3.0)
    found = modes(a, b, permutations=0)
    grams = []
    for x in (a, b):
        x = x - x.mean(axis=0)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        x -= x.mean(axis=0)
        grams.append(x @ x.T * 150 / (x**2).sum())
    value, vector = np.linalg.eigh(grams[0] - grams[1])
    assert found.value == pytest.approx(value[::-1][:5], abs=1e-6)
    assert abs(found.vector[:, 0] @ vector[:, -1]) == pytest.approx(1, abs=1e-6)
    own = [float(vector[:, -1] @ k @ vector[:, -1]) for k in grams]
    assert found.kept[0] == pytest.approx(own[1] / own[0], abs=1e-6)


def test_a_planted_cluster_is_the_first_mode_with_its_members_in_front() -> None:
    a, b, members = views(1, 5.0)
    found = modes(a, b, permutations=49)
    assert found.p[0] == 0.02
    assert found.kept[0] < 0.2
    assert members[np.argsort(-found.vector[:, 0])[:25]].mean() > 0.9


@pytest.mark.parametrize("e", [64, 150])
def test_two_views_of_one_encoder_have_no_mode(e: int) -> None:
    rejected = [
        modes(*views(seed, 0.0, e=e)[:2], count=1, permutations=19, seed=seed).p[0] <= 0.05 for seed in range(40)
    ]
    assert np.mean(rejected) <= 0.1


def test_what_has_no_modes_is_refused() -> None:
    a, b, _ = views(0)
    for given, words in (((a, b[:-1]), "150 and of 149"), ((a[:9], b[:9]), "at least 10"), ((a * 0, b), "the same")):
        with pytest.raises(ProbeError, match=words):
            modes(*given)
