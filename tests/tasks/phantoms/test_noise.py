"""Noise taken from banks is what noise drawn anew would be, the same for the same numbers, at any size."""

import numpy as np
import pytest

from tasks.phantoms.blur import soft
from tasks.phantoms.noise import periodic, piece, white


def test_a_bank_has_mean_0_deviation_1_and_no_seams() -> None:
    field = periodic(128, (12, 24))
    assert field.mean() == pytest.approx(0, abs=0.01)
    assert field.std() == pytest.approx(1, abs=0.01)
    steps = np.abs(np.diff(field, axis=0)).mean()
    assert np.abs(field[0] - field[-1]).mean() == pytest.approx(steps, rel=0.3)
    assert np.abs(field[0] - field[-6]).mean() > 2 * steps  # a seam would be seen


def test_a_piece_is_the_same_field_at_another_size_and_another_one_for_other_numbers() -> None:
    large, small, other = (
        piece(np.random.default_rng(seed), size, (5, 10)) for seed, size in ((3, 96), (3, 48), (4, 48))
    )
    assert np.corrcoef(large[::2, ::2].ravel(), small.ravel())[0, 1] > 0.98
    assert abs(np.corrcoef(other.ravel(), small.ravel())[0, 1]) < 0.6


def test_white_noise_is_white_and_comes_from_a_place_of_its_own() -> None:
    one, again, other = (white(np.random.default_rng(seed), 64, 64) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert one.std() == pytest.approx(1, abs=0.05)
    for a, b in ((one, other), (one[1:], one[:-1]), (one[:, 1:], one[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / 64


def test_a_bank_cannot_be_written_by_who_takes_a_piece() -> None:
    for view in (piece(np.random.default_rng(0), 32, (4,)), white(np.random.default_rng(0), 8, 8)):
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1


def test_a_blur_keeps_what_is_even_and_spreads_a_point_as_far_as_it_says() -> None:
    even = np.full((9, 11), 0.5, np.float32)
    soft(even, 0.6)
    np.testing.assert_allclose(even, 0.5, rtol=1e-6)
    point = np.zeros((9, 11), np.float32)
    point[4, 5] = 1
    soft(point, 0.6)
    line = np.arange(11) - 5
    assert point.sum() == pytest.approx(1)
    assert (point.sum(0) * line**2).sum() == pytest.approx(0.36, rel=1e-5)
    assert not point[:, [0, -1]].any()
    side = np.zeros((9, 11), np.float32)
    side[:, 0] = 1
    soft(side, 0.6)
    assert not side[:, 2:].any()  # what lies on one side does not come in on the other
