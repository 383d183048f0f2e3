"""Stained sections: the mark covers one of four layers, and nothing but its surroundings tells which.

The oracle: stains are unmixed around the mark.
"""

import numpy as np
import pytest

import tasks
from encoders.lowlevel import describe
from tasks import DataError
from tasks.marks import draw
from tasks.phantoms.tissue import patient as tissue_patient
from tasks.phantoms.tissue import section
from tests.tasks.phantoms.helpers import at, held_out, interval, learnt

UNMIX = np.linalg.pinv(np.array([(0.65, 0.70, 0.29), (0.09, 0.95, 0.28)]))


def stains(image: np.ndarray, colour: str) -> list[float]:
    """Haematoxylin, eosin, clear share and direction of texture in a ring around the mark."""
    row, column = (round(k) for k in at(image, colour))
    some = -np.log((image[::4, ::4].astype(float) + 1) / 256) @ UNMIX
    top, left = (min(max(k - 20, 0), len(image) - 41) for k in (row, column))
    density = -np.log((image[top : top + 41, left : left + 41].astype(float) + 1) / 256)
    far = np.hypot((np.arange(41) + top - row)[:, None], np.arange(41) + left - column)
    ring = (far > 9.5) & (far < 17)
    blue, pink = np.moveaxis(density @ UNMIX, -1, 0)
    total = density.sum(2)
    down, right = (g[ring] for g in np.gradient(total))
    even, odd = (right**2).mean() - (down**2).mean(), 2 * (right * down).mean()
    directed = np.hypot(even, odd) / ((right**2).mean() + (down**2).mean())
    whole = blue[ring].mean() - some[..., 0].mean(), pink[ring].mean() - some[..., 1].mean()
    return [blue[ring].mean(), blue[ring].std(), (total[ring] < 0.35).mean(), pink[ring].std(), directed, *whole]


def ringed(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows = section.source(n, seed).rows
    x = [stains(row.picture.read(), row.marks[0].name) for row in rows]
    return np.array(x), np.array([row.columns["tissue"] for row in rows])


def test_who_unmixes_the_stains_around_the_mark_tells_the_tissue() -> None:
    (x, y), (x2, y2) = ringed(60, 1), ringed(44, 2)
    assert (learnt(x, y, x2) == y2).mean() >= 0.95


def test_nothing_that_was_drawn_for_a_patient_goes_with_the_label() -> None:
    n = 1200
    label = section.balanced(n, 4, 5, section.CODE)
    rows = [tissue_patient.draw(np.random.default_rng([5, i, section.CODE, 4, 0])) for i in range(n)]
    drawn = np.array([[float(v) for v in vars(row).values()] for row in rows])
    assert max(abs(np.corrcoef(column, label)[0, 1]) for column in drawn.T) < 4 / np.sqrt(n)


def test_the_mark_lies_well_inside_the_layer_that_is_told() -> None:
    for i in range(12):
        _, _, given, marks = section.scene(6, i)
        for layer, mark in enumerate(marks):
            row, column = round(mark.y), round(mark.x)
            assert (given.labels[row - 8 : row + 9, column - 8 : column + 9] == layer).all()
            assert (given.labels != layer).any()


def test_all_four_tissues_are_marked_equally_far_from_the_middle() -> None:
    far = []
    for i in range(40):
        _, _, _, marks = section.scene(6, i)
        far.append([np.hypot(m.x - 111.5, m.y - 111.5) / 112 for m in marks])
    spread = np.array(far)
    assert np.ptp(spread, axis=1).max() < 0.051
    assert spread[:, 0].std() > 0.05


def test_layers_without_a_mark_are_drawn_alike_whatever_is_marked() -> None:
    attempt, _, _, marks = section.scene(6, 0)
    bare = section.view(6, 0, attempt=attempt)
    for k in range(4):
        differ = (section.view(6, 0, attempt=attempt, marks=marks[k : k + 1]) != bare).any(2)
        rows, columns = np.nonzero(differ)
        assert max(np.ptp(rows), np.ptp(columns)) <= 2 * draw.radius(224)


def test_an_image_too_small_for_a_mark_in_each_layer_is_refused() -> None:
    with pytest.raises(DataError, match="24 pixels are too few for a mark in each layer"):
        section.source(1, 0, size=24)


@pytest.mark.slow
def test_low_level_statistics_do_not_tell_the_answer() -> None:
    task = tasks.load("histology")
    assert task.phantoms is not None
    assert task.classes is not None
    rows = task.phantoms(400, 31).rows
    x = np.array([describe(row.picture.read()) for row in rows])
    y = np.array([row.columns["tissue"] for row in rows])
    for model in ("ridge", "forest"):
        assert interval(held_out(x, y, model, folds=6))[0] < 1 / len(task.classes)
