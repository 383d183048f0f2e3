"""Panoramic films: third molars that only a look behind the second ones counts.

The oracle: brightness is compared with its surroundings where a third molar lies.
"""

from functools import cache

import numpy as np
import pytest

import tasks
from encoders.lowlevel import describe
from tasks.phantoms.panorama import film
from tasks.phantoms.panorama import patient as panorama_patient
from tests.tasks.phantoms.helpers import held_out, interval, learnt


@cache
def places(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is seen at the four places of each film [4 n, 5], whether a tooth is there, and the counts [n]."""
    seen, there, count = [], [], []
    line = np.arange(224)
    for row in film.source(n, seed).rows:
        image = row.picture.read().astype(float)
        density = np.log((image + 2) / (257 - image))  # undoes the film's curve
        steep = np.hypot(*np.gradient(density))
        for place in panorama_patient.PLACES:
            r, c = (float(row.columns[f"third_{place}_{axis}"]) for axis in ("row", "column"))
            far = np.hypot((line - r)[:, None], line - c)
            around = density[(far > 10) & (far < 15)]
            core = density[far < 4]
            seen.append([core.mean() - np.median(around), core.max() - np.median(around), density[far < 9].std(),
                         steep[far < 9].mean(), core.mean() - np.percentile(around, 80)])  # fmt: skip
            there.append(row.columns[f"third_{place}"] == "yes")
        count.append(int(row.columns["count"]))
    return np.array(seen), np.array(there), np.array(count)


def test_who_looks_behind_the_second_molars_counts_third_molars() -> None:
    (x, y, _), (x2, y2, count) = places(60, 1), places(50, 2)
    said = learnt(x, y, x2)
    assert (said == y2).mean() >= 0.98
    assert (said.reshape(-1, 4).sum(1) == count).mean() >= 0.95
    assert np.array_equal(y2.reshape(-1, 4).sum(1), count)


def test_nothing_that_was_drawn_for_a_patient_goes_with_the_label() -> None:
    n = 1200
    label = film.balanced(n, 5, 5, film.CODE)
    rows = [panorama_patient.draw(np.random.default_rng([5, i, film.CODE])) for i in range(n)]
    drawn = np.array([[float(v) for v in vars(row).values()] for row in rows])
    assert max(abs(np.corrcoef(column, label)[0, 1]) for column in drawn.T) < 4 / np.sqrt(n)


def areas(n: int, matched: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count of third molars, area of all teeth over the patient's full set, and missing others, of n patients."""
    out = []
    for i in range(n):
        _, t, there = film.patient(2, i, i % 5, matched)
        area = t.width * t.length * (t.crown + (1 - t.crown) * 0.75 * t.roots)
        out.append((i % 5, area[there].sum() / area[np.arange(32) % 8 < 7].sum(), 28 + i % 5 - there.sum()))
    count, area, missing = np.array(out).T
    return count, area, missing


def test_the_area_of_all_teeth_does_not_go_with_the_count_unless_nothing_is_matched() -> None:
    count, area, missing = areas(600, True)
    assert abs(np.corrcoef(count, area)[0, 1]) < 4 / np.sqrt(600)
    assert np.corrcoef(count, missing)[0, 1] > 0.3  # the price: gaps elsewhere
    count, area, missing = areas(600, False)
    assert np.corrcoef(count, area)[0, 1] > 0.3
    assert abs(np.corrcoef(count, missing)[0, 1]) < 4 / np.sqrt(600)


def test_a_film_differs_from_that_of_another_count_by_teeth_alone() -> None:
    differ = film.film(5, 0, 0).astype(int) - film.film(5, 0, 4)
    assert (np.abs(differ) > 8).mean() > 0.01
    assert not differ[:30].any()
    assert not differ[-12:].any()


@pytest.mark.slow
def test_low_level_statistics_do_not_tell_the_answer() -> None:
    task = tasks.load("teeth")
    assert task.phantoms is not None
    assert task.classes is not None
    rows = task.phantoms(400, 31).rows
    x = np.array([describe(row.picture.read()) for row in rows])
    y = np.array([row.columns["count"] for row in rows])
    for model in ("ridge", "forest"):
        assert interval(held_out(x, y, model, folds=6))[0] < 1 / len(task.classes)


def test_low_level_statistics_tell_a_count_that_is_written_into_the_brightness() -> None:
    """The counterpart: the same probes see an answer that does change the image as a whole."""
    rows = film.source(60, 3).rows
    x = np.array([describe(np.minimum(row.picture.read(), 150) + 20 * int(row.columns["count"])) for row in rows])
    y = np.array([row.columns["count"] for row in rows])
    assert interval(held_out(x, y, folds=6))[0] > 0.5
