"""Changes of features: what is planted is found, and what is not there is not."""

import numpy as np
import pytest

from probes.pairs.perturbation import common_share, moved, threshold

GROUPS = np.arange(80) // 2


def planted(kind: str, size: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Features of 80 images, and of the same images changed in a known way."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(80, 20))
    if kind == "nothing":
        return z, z.copy()
    if kind == "one way":
        return z, z + size * np.eye(20)[3]
    if kind == "each its own way":
        return z, z + size * rng.normal(size=(80, 20))
    return z, rng.normal(size=(80, 20))  # a hash: every change is another image


def test_a_common_shift_is_read_and_a_hash_is_not() -> None:
    """METHOD 2.4: an encoder may move as far as to another image and still tell nothing of the change."""
    shift = moved(*planted("one way", 2.5), GROUPS, 1.0)
    assert shift.common > 0.95
    assert shift.p < 0.01
    assert shift.absolute > 0.8
    assert shift.absolute_p < 0.05
    assert shift.afc.value > 0.95
    hashed = moved(*planted("hash"), GROUPS, 1.0)
    assert hashed.movement == pytest.approx(1.0, abs=0.1)
    assert abs(hashed.common) < 0.03
    assert hashed.p > 0.05
    assert hashed.absolute_p > 0.05
    assert hashed.rank1.value < 0.1
    still = moved(*planted("nothing"), GROUPS, 1.0)
    assert (still.movement, still.absolute, still.afc.value, still.p) == (0.0, 0.5, 0.5, 1.0)
    assert still.rank1.value == 1.0


def test_a_weak_shift_is_told_beside_the_original_and_hardly_alone() -> None:
    found = moved(*planted("one way", 0.7), GROUPS, 1.0)
    assert found.afc.value > found.absolute + 0.1


def test_the_sign_flip_keeps_its_level_with_dependent_groups() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 6)
    rejected = [
        common_share(rng.normal(size=(12, 8))[groups] + 0.1 * rng.normal(size=(72, 8)), groups, k)[1] <= 0.05
        for k in range(200)
    ]
    assert 0.01 <= np.mean(rejected) <= 0.1


def test_the_threshold_is_where_the_curve_crosses_three_quarters() -> None:
    rng = np.random.default_rng(2)
    strengths = np.array([1.0, 2.0, 4.0, 8.0])
    rates = np.array([0.5, 0.6, 0.9, 0.98])
    told = (rng.random((4, 400)) < rates[:, None]).astype(float)
    found = threshold(strengths, told, np.arange(400))
    assert found.strength == pytest.approx(3.0, abs=0.35)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 3.0 < found.high
    never = threshold(strengths, np.full((4, 50), 0.5), np.arange(50))
    assert (never.strength, never.low, never.high, never.below) == (None, None, None, False)
    always = threshold(strengths, np.ones((4, 50)), np.arange(50))
    assert (always.strength, always.below) == (1.0, True)
    falling = threshold(np.array([0.9, 0.5]), np.array([[0.6] * 50, [0.9] * 50]), np.arange(50))
    assert falling.strength == pytest.approx(0.7)
    # a curve that falls again is made monotone before it is read: its early peak is no threshold
    bumpy = threshold(np.array([1.0, 2.0, 3.0]), np.array([[0.9] * 50, [0.4] * 50, [0.95] * 50]), np.arange(50))
    assert bumpy.strength == pytest.approx(2 + (0.75 - 0.65) / (0.95 - 0.65))
    assert not bumpy.below


def test_equally_near_originals_share_the_point() -> None:
    """With every image twice, the own original is one of two that are equally near: chance between them."""
    z = planted("nothing")[0]
    twice = np.concatenate([z[:40], z[:40]])
    found = moved(twice, twice + 1e-3 * np.eye(20)[3], np.arange(80) % 40, 1.0)
    assert found.rank1.value == pytest.approx(0.5)
