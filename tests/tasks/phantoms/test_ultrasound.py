"""Ultrasound fields: exact depths, which brightness does not tell.

The oracle: the sides of a field meet at the centre of the probe's curve.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest

import tasks
from encoders.lowlevel import describe
from tasks.phantoms.ultrasound import echo, scan
from tasks.phantoms.ultrasound import patient as ultrasound_patient
from tests.tasks.phantoms.helpers import STATED, at, held_out, interval


def side(lit: np.ndarray) -> tuple[float, float]:
    """Slope and start of the left side of a field: the line on which most first lit pixels lie (RANSAC)."""
    rows = np.flatnonzero(lit.sum(1) > 6)
    column = lit.argmax(1)[rows].astype(float)
    rows, column = rows[column > 1], column[column > 1]
    i, j = np.random.default_rng(0).integers(len(rows), size=(2, 400))
    i, j = i[np.abs(i - j) > 8], j[np.abs(i - j) > 8]
    slope = (column[i] - column[j]) / (rows[i] - rows[j])
    on = np.abs(column - slope[:, None] * (rows - rows[i][:, None]) - column[i][:, None]) < 1
    best = on[on.sum(1).argmax()]
    found = np.polyfit(rows[best], column[best], 1)
    return float(found[0]), float(found[1])


def nearest(image: np.ndarray) -> str:
    """The mark nearest to where the sides of the field meet; the uppermost one where they run side by side."""
    places = {colour: at(image, colour) for colour in scan.COLOURS}
    lit = image.min(2) > 6
    (left, start), (right, end) = side(lit), side(lit[:, ::-1])
    if abs(left + right) < 0.12:
        return min(places, key=lambda c: places[c][0])
    row = (image.shape[1] - 1 - end - start) / (left + right)
    return min(places, key=lambda c: np.hypot(*(places[c] - (row, start + left * row))))


def test_who_finds_where_the_sides_of_the_field_meet_tells_the_nearest_mark() -> None:
    rows = scan.source(72, 1).rows
    said = np.array([nearest(row.picture.read()) == row.columns["nearest"] for row in rows])
    assert said.mean() >= 0.95
    crossed = np.array([row.columns["nearest"] != row.columns["uppermost"] for row in rows])
    assert 0.03 < crossed.mean() < 0.4  # height alone is not the answer
    assert said[crossed].mean() > 0.8


def test_nothing_that_was_drawn_for_a_patient_goes_with_the_label() -> None:
    n = 1200
    label = scan.balanced(n, 6, 5, scan.CODE) // 2
    rows = [ultrasound_patient.draw(np.random.default_rng([5, i, scan.CODE])) for i in range(n)]
    drawn = np.array([[float(v) for v in vars(row).values()] for row in rows])
    assert max(abs(np.corrcoef(column, label)[0, 1]) for column in drawn.T) < 4 / np.sqrt(n)


def test_depths_are_exact_and_well_apart() -> None:
    steps = []
    for row in scan.source(60, 4).rows:
        told = {f.name: float(row.columns[f.name]) for f in fields(ultrasound_patient.Scan)}
        scale, span = told["millimetres"], told["span"]
        depths = {}
        for mark in row.marks:
            x, y = (2 * mark.x + 1) / 224 - 1 - told["dx"], (2 * mark.y + 1) / 224 - 1 - told["top"]
            depths[mark.name] = (np.hypot(x, y + told["bow"]) - told["bow"] if told["bow"] else y) * scale
            assert depths[mark.name] == pytest.approx(float(row.columns[f"depth_{mark.name}"]), abs=0.02)
        assert min(depths, key=lambda c: depths[c]) == row.columns["nearest"]
        steps.append(np.diff(sorted(depths.values())).min() / scale / span)
    assert np.mean(np.array(steps) >= scan.GAP - 1e-3) > 0.9
    assert min(steps) > 0.05


def test_places_equally_deep_stay_as_they_were_drawn_whatever_a_processor_sorts_fastest() -> None:
    flat = next(p for p in (ultrasound_patient.draw(np.random.default_rng(i)) for i in range(20)) if not p.bow)
    pixel, _, _ = scan._candidates(flat, np.random.default_rng(3), 224)
    rng = np.random.default_rng(3)
    down, across = flat.span * rng.uniform(0.03, 0.97, 160), 0.97 * np.sin(1.571 * rng.uniform(-1, 1, 160))
    drawn = np.rint((np.stack(ultrasound_patient.place(flat, down, across), 1) + 1) * 112 - 0.5).tolist()
    kept = set(map(tuple, pixel.tolist()))
    by_depth = sorted((place for place in drawn if tuple(place) in kept), key=lambda place: place[1])
    assert len({row for _, row in kept}) < len(kept) - 20
    assert pixel.tolist() == by_depth


def test_beam_coordinates_are_the_inverse_of_places() -> None:
    for i in range(12):
        p = ultrasound_patient.draw(np.random.default_rng(i))
        depth, across = np.array([0.1, 0.4, 0.8]), np.array([-0.7, 0.1, 0.9])
        back = ultrasound_patient.beam(p, *ultrasound_patient.place(p, depth, across))
        np.testing.assert_allclose(back, (depth, across), atol=1e-6)


def test_exchanging_the_colours_of_marks_changes_no_low_level_statistic() -> None:
    for i in range(4):
        seen = []
        for order in scan._ORDERS.tolist():
            _, marks, _ = scan.scene(3, i, order=tuple(order))
            seen.append(describe(scan.marked(3, i, 224, marks))[STATED])
        assert np.array_equal(np.array(seen), np.broadcast_to(seen[0], (6, len(STATED))))


def brightness(image: np.ndarray, row: int, column: int) -> float:
    """Mean grey value around a mark."""
    line = np.arange(image.shape[0])
    far = np.hypot((line - row)[:, None], line - column)
    return float(image[(far > 9) & (far < 17)].mean())


def brightest(n: int, draw: Callable[[int], np.ndarray], matched: bool) -> np.ndarray:
    """Whether the mark with the brightest surroundings is the nearest one, in n images."""
    out = []
    for i in range(n):
        _, marks, _ = scan.scene(8, i, matched=matched)
        image = draw(i)
        out.append(np.argmax([brightness(image, round(m.y), round(m.x)) for m in marks]) == 0)
    return np.array(out)


@pytest.mark.slow
def test_brightness_around_a_mark_does_not_tell_its_depth() -> None:
    low, high = interval(brightest(200, partial(scan.view, 8), matched=True))
    assert low < 1 / 3 < high


def test_brightness_tells_depth_where_no_time_gain_makes_up_for_attenuation() -> None:
    def fading(i: int) -> np.ndarray:
        p = ultrasound_patient.draw(np.random.default_rng([8, i, scan.CODE]))
        p, rng = replace(p, compensated=0.2), np.random.default_rng([8, i, scan.CODE, 1])
        return echo.heard(p, rng, echo.expected(p, rng, 224), 224)

    assert interval(brightest(40, fading, matched=False))[0] > 0.5


def test_speckle_has_the_statistics_of_rayleigh() -> None:
    p = ultrasound_patient.draw(np.random.default_rng(0))
    share = np.linspace(0, 1, 200, dtype=np.float32)[:, None]
    real, imaginary = echo._speckle(p, share, (200, 120), np.random.default_rng(1))
    envelope = np.hypot(real, imaginary)
    assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.06)
    assert (envelope**2).mean() == pytest.approx(2, abs=0.15)


@pytest.mark.slow
def test_low_level_statistics_do_not_tell_the_answer() -> None:
    task = tasks.load("wave-depth")
    assert task.phantoms is not None
    assert task.classes is not None
    rows = task.phantoms(400, 31).rows
    x = np.array([describe(row.picture.read()) for row in rows])
    y = np.array([row.columns["nearest"] for row in rows])
    for model in ("ridge", "forest"):
        assert interval(held_out(x, y, model, folds=6))[0] < 1 / len(task.classes)
