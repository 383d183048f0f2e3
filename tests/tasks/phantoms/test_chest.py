"""Chest films: as they were when the shipped encoder was trained; children by proportion alone; marks in quarters."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from encoders.lowlevel import describe
from tasks.marks.draw import COLOURS
from tasks.phantoms.blur import smooth
from tasks.phantoms.chest import child as child_film
from tasks.phantoms.chest import film, marked
from tests.tasks.phantoms.helpers import STATED, farthest, held_out, interval

# what every 28th pixel of films and lumens was when phantom-clip was trained
CHEST = (
    "074b6b7a87680806527e288c9c2a734c5d352847a82f4856543d42714d6f4853493854c5b853431f654253ceba9e521a"
    "72acb2ceb7b3942b92b2bed5c0b89e3c1031968fa2942d108aa05bb6c05fad888a624fc14e53967f91639ea9b2a96881"
    "6e8ba5d1a0a159424c7c57ded57574476eb4d6cdb7cbbc6b85c5d9dad6d6c897085489a0a08e3d0879b42db4bb329a84"
    "86672f7dbb3f6a788174614ba386737f486b5ad8d7995853598cafded4da654676becdd7cd91b76a90c5d8d7d5d4c486"
)


def test_films_that_the_shipped_encoder_was_trained_on_are_what_they_were_and_others_are_not() -> None:
    assert farthest([film.film(11, i) for i in range(3)], CHEST) <= 3
    assert farthest([film.film(12, i) for i in range(3)], CHEST) > 3


def test_lead_letters_enter_the_identity_and_are_off_by_default() -> None:
    plain, lettered = film.source(1, 0).rows[0].picture, film.source(1, 0, letter=True).rows[0].picture
    assert plain.identity != lettered.identity
    differ = plain.read() != lettered.read()
    assert differ.any()
    assert not differ[60:].any()


@pytest.mark.slow
def test_a_heart_lies_to_the_patients_left_in_most_films_but_brightness_as_a_whole_does_not_say_so() -> None:
    films = np.array([film.film(3, i) for i in range(150)], dtype=float)
    heart = films - films[:, :, ::-1]
    share = (heart[:, 112:160, 125:165].mean((1, 2)) > 0).mean()
    assert 0.75 < share < 0.99
    assert np.array_equal(describe(films[0].astype(np.uint8)), describe(films[0, :, ::-1].astype(np.uint8)))


# --- children and adults


def test_a_child_differs_from_the_same_patient_grown_up_in_three_proportions_only() -> None:
    for i in range(20):
        child, adult = (vars(child_film.patient(3, i, c)) for c in (True, False))
        assert {k for k in child if child[k] != adult[k]} == {"heart", "round", "rib_drop"}
        assert child["heart"] > adult["heart"]
        assert child["round"] > adult["round"]
        assert child["rib_drop"] < adult["rib_drop"]


def walls(step: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """How far the lungs' outer edges lie from the picture's middle, by the steepest rise outwards."""
    line = step[low:high].mean(0)
    return 112 - int(np.argmin(line[8:90]) + 8), int(np.argmax(line[134:216]) + 134) - 112


def run(film: np.ndarray) -> float:
    """How much better the ribs beside the walls of the chest line up along a steep shear than along a level one."""
    grey = smooth(film.astype(np.float32), 2.0)
    across, down = np.gradient(smooth(grey, 2.0), axis=1), np.gradient(grey, axis=0)
    left, right = np.median([walls(across, row, row + 8) for row in range(84, 124, 8)], 0)
    middle, wide = 112 + (right - left) / 2, (left + right) / 2
    lung = slice(int(middle - 0.62 * wide), int(middle - 0.42 * wide))
    dome = int(np.argmax(down[110:205, lung].mean(1)) + 110)
    fine = smooth(film.astype(np.float32), 0.8)
    fine = fine - smooth(fine, 5.0)
    fine = np.tanh(fine / (1.5 * np.median(np.abs(fine)) + 1e-3))
    slopes, score = np.linspace(-0.6, 1.2, 19), np.zeros(19)
    rows = np.arange(int(dome - 1.15 * wide), int(dome - 0.2 * wide))
    for side in (-1, 1):
        columns = np.rint(middle + side * wide * np.arange(0.75, 0.95, 1 / wide)).astype(int)
        shift = np.rint(slopes[:, None] * np.abs(columns - columns[0])).astype(int)
        score += fine[np.clip(rows[:, None] + shift[:, None], 0, 223), columns].mean(2).var(1)
    return float(np.log(score[slopes > 0.25].max() / score[np.abs(slopes) <= 0.2].max()))


def test_who_sees_how_the_ribs_run_tells_a_child() -> None:
    rows = child_film.source(80, 2).rows
    assert np.mean([(run(row.picture.read()) < 0) == (row.columns["age"] == "child") for row in rows]) >= 0.9


@pytest.mark.slow
def test_low_level_statistics_do_not_tell_a_child() -> None:
    rows = child_film.source(400, 3).rows
    seen = np.array([describe(row.picture.read()) for row in rows])
    low, high = interval(held_out(seen, np.array([row.columns["age"] == "child" for row in rows])))
    assert low < 0.5 < high


def shift(draw: Callable[[int, bool], np.ndarray], n: int) -> float:
    """How far age moves the low-level statistic that it moves most, on average, in deviations over patients."""
    seen = np.array([[describe(draw(i, child)) for child in (False, True)] for i in range(n)])
    spread = seen.reshape(-1, seen.shape[-1]).std(0)
    return float(np.abs((seen[:, 1] - seen[:, 0]).mean(0)[spread > 1e-9] / spread[spread > 1e-9]).max())


def test_age_moves_no_low_level_statistic_unless_greys_are_left_alone() -> None:
    def untouched(i: int, child: bool) -> np.ndarray:
        return film.render(child_film.patient(7, i, child), np.random.default_rng([7, i]))

    assert shift(lambda i, child: child_film.film(7, i, child), 60) < 0.15
    assert shift(untouched, 20) > 0.4


# --- a mark in each quarter


def red(image: np.ndarray) -> tuple[float, float]:
    """Row and column of the middle of all pixels in the red mark's colour."""
    return tuple(np.argwhere((image == COLOURS["red"]).all(-1)).mean(0))


def test_the_same_film_has_the_same_marks_whatever_the_answer() -> None:
    seen = np.array([describe(marked.film(3, 0, q, v)) for q in range(4) for v in range(4)])
    assert np.array_equal(seen[:, STATED], np.broadcast_to(seen[0, STATED], seen[:, STATED].shape))


def test_a_marks_place_in_the_picture_goes_with_no_answer() -> None:
    rows = marked.source(160, 1).rows
    table = Counter((r.columns["quarter"], r.marks[0].x > 112, r.marks[0].y > 112) for r in rows)
    assert set(table.values()) == {10}
    assert len(table) == 16


def test_a_mark_lies_where_the_row_says() -> None:
    for row in marked.source(16, 2).rows:
        y, x = red(row.picture.read())
        assert (x, y) == pytest.approx((row.marks[0].x, row.marks[0].y))
    upright = marked.place(0, 0, 0, 0, 224)  # the patient's upper left is the picture's upper right
    assert upright.x > 112 > upright.y


def apex(grey: np.ndarray, known: np.ndarray) -> float:
    """How much brighter an upright film is at the right of its axis of symmetry: heart and aortic arch; sign tells."""
    grey = np.where(known, grey, np.nan)
    halves = {a: (grey[:, a - 85 : a][:, ::-1], grey[:, a : a + 85]) for a in range(94, 131)}
    left, right = min(halves.values(), key=lambda h: np.nanmean(np.abs(h[1] - h[0])[20:110, :80]))
    dome = 110 + int(np.nanargmax(np.gradient(np.nanmean((left + right)[110:205, 20:75], axis=1))))
    more = right - left
    return float(np.nanmean(more[dome - 45 : dome - 8, 18:60]) + np.nanmean(more[dome - 95 : dome - 60, 8:28]))


def test_who_finds_belly_heart_and_arch_tells_the_quarter() -> None:
    """The oracle: the belly is brighter than the neck; heart and aortic arch make the patient's left brighter."""
    right = []
    for row in marked.source(80, 5).rows:
        image = row.picture.read()
        y, x = red(image)
        grey, known = image[:, :, 0].astype(float), smooth((np.ptp(image, axis=2) > 0).astype(np.float32), 1.5) < 0.02
        if np.median(grey[16:60, 60:164]) > np.median(grey[-60:-16, 60:164]):
            grey, known, y = grey[::-1], known[::-1], 223 - y
        left = (x > 112) == (apex(grey, known) > 0)
        right.append(f"{'lower' if y > 112 else 'upper'} {'left' if left else 'right'}" == row.columns["quarter"])
    assert np.mean(right) >= 0.93
