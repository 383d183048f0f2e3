"""Slices of the abdomen: enhancement that no statistic tells, and the aorta does."""

from functools import cache

import numpy as np
import pytest

from encoders.lowlevel import describe
from tasks.phantoms.abdomen import axial, patient
from tests.tasks.phantoms.helpers import held_out, interval


@cache
def slices(matched: bool, seeds: tuple[int, ...], n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Low-level features, answers, and the aorta's HU over the back muscle's, in grey values."""
    x, y, over = [], [], []
    for seed in seeds:
        for row in axial.source(n, seed, matched=matched).rows:
            image, at = (
                row.picture.read(),
                {k: float(v) for k, v in row.columns.items() if "_" in k and k != "contrast"},
            )
            x.append(describe(image))
            y.append(row.columns["contrast"] == "enhanced")
            spots = [(round(at[f"{s}_row"]), round(at[f"{s}_column"])) for s in ("aorta", "muscle")]
            aorta, muscle = (np.median(image[r - 2 : r + 3, c - 2 : c + 3]) for r, c in spots)
            over.append(aorta - muscle)
    return np.array(x), np.array(y), np.array(over)


def test_nothing_that_was_drawn_for_a_patient_goes_with_the_label() -> None:
    rows = [{**vars(axial.patient(5, i))} for i in range(1200)]
    label = axial.balanced(1200, 2, 5, axial.CODE).astype(float)
    drawn = np.array([[float(v) for v in row.values()] for row in rows])
    correlation = [abs(np.corrcoef(column, label)[0, 1]) for column in drawn.T]
    assert max(correlation) < 4 / np.sqrt(1200)  # a Bonferroni bound for thirty parameters at p = 0.002


def test_every_enhancing_structure_has_a_double_of_the_same_pixels() -> None:
    for i in range(40):
        canvas, _ = axial.paint(axial.patient(9, i), np.random.default_rng([9, i, axial.CODE, 1]), 224)
        count = np.bincount(canvas.tissue.ravel(), minlength=2 * patient.DOUBLE)
        for tissue in patient.ENHANCING:
            assert count[tissue] == count[tissue + patient.DOUBLE]
        assert min(count[[patient.AORTA, patient.CAVA, patient.KIDNEY]]) > 20


def test_before_noise_both_answers_of_one_patient_have_the_same_histogram() -> None:
    canvas, _ = axial.paint(axial.patient(0, 3), np.random.default_rng(0), 224)
    plain, full = (table[canvas.tissue] for table in patient.hounsfield(axial.patient(0, 3)))
    assert (plain != full).mean() > 0.02
    assert np.array_equal(np.sort(plain, axis=None), np.sort(full, axis=None))


def shift(matched: bool, n: int) -> np.ndarray:
    """How far the answer moves each low-level statistic of one patient, on average, in deviations over patients."""
    seen = np.array([[describe(axial.scan(55, i, e, matched=matched)) for e in (False, True)] for i in range(n)])
    spread = seen.reshape(-1, seen.shape[-1]).std(0)
    return np.abs((seen[:, 1] - seen[:, 0]).mean(0)[spread > 1e-9] / spread[spread > 1e-9])


@pytest.mark.slow
def test_the_answer_moves_no_low_level_statistic_of_a_patient_unless_nothing_is_matched() -> None:
    assert shift(True, 100).max() < 0.15
    assert shift(False, 25).max() > 1


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["ridge", "trees"])
def test_low_level_statistics_do_not_tell_contrast(probe: str) -> None:
    x, y, _ = slices(True, (11, 12, 13, 14), 250)
    low, high = interval(held_out(x, y, probe))
    assert low < 0.5 < high


@pytest.mark.parametrize("probe", ["ridge", "trees"])
def test_low_level_statistics_tell_contrast_where_nothing_is_matched(probe: str) -> None:
    x, y, _ = slices(False, (21,), 120)
    assert interval(held_out(x, y, probe))[0] > 0.85


@pytest.mark.slow
def test_who_looks_at_the_aorta_tells_contrast() -> None:
    _, y, over = slices(True, (11, 12, 13, 14), 250)
    assert ((over > 25) == y).mean() >= 0.95
