"""Ultrasound, histology and panoramic phantoms: exact answers, balanced labels, nothing but sight tells them.

Oracles read the pixels by classical means: the sides of an ultrasound field meet at the centre of the probe's
curve; stains are unmixed around the mark; brightness is compared with its surroundings where a third molar lies.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial

import numpy as np
import pytest

from encoders.lowlevel import NAMES, describe
from tasks import DataError, Picture, Row, Source, histology, teeth, wave_depth
from tasks.marks import draw as drawing
from tasks.phantoms.panorama import film
from tasks.phantoms.panorama import patient as panorama_patient
from tasks.phantoms.tissue import patient as tissue_patient
from tasks.phantoms.tissue import section
from tasks.phantoms.ultrasound import echo, scan
from tasks.phantoms.ultrasound import patient as ultrasound_patient

MAKERS = {"ultrasound": scan.source, "tissue": section.source, "panorama": film.source}
TASKS = {"nearest": wave_depth.TASK, "tissue": histology.TASK, "count": teeth.TASK}
STATED = [i for i, name in enumerate(NAMES) if name != "blockiness"]


def interval(right: np.ndarray) -> tuple[float, float]:
    """A 95 % Wilson interval of a share."""
    n, share = len(right), right.mean()
    centre = (share + 1.9208 / n) / (1 + 3.8416 / n)
    half = 1.96 * np.sqrt(share * (1 - share) / n + 0.9604 / n**2) / (1 + 3.8416 / n)
    return centre - half, centre + half


def held_out(x: np.ndarray, y: np.ndarray, trees: bool) -> np.ndarray:
    """Whether each item is answered rightly while held out, by ridge or by a forest; a patient is an item."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = (
        ExtraTreesClassifier(120, min_samples_leaf=2, random_state=0)
        if trees
        else make_pipeline(StandardScaler(), RidgeClassifier(10.0))
    )
    return cross_val_predict(model, x, y, cv=KFold(6, shuffle=True, random_state=0)) == y


def learnt(x: np.ndarray, y: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """What a linear discriminant learnt on x, y says of x2."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis().fit(x, y).predict(x2)


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_gives_the_same_bytes_in_any_order_of_reading(name: str) -> None:
    first, second = MAKERS[name](4, 7), MAKERS[name](6, 7)
    backwards = [row.picture.read() for row in reversed(second.rows[:4])][::-1]
    for row, other in zip(first.rows, backwards, strict=True):
        image = row.picture.read()
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert image.shape[:2] == (224, 224)
        assert np.array_equal(image, other)
    assert [r.picture.identity for r in first.rows] == [r.picture.identity for r in second.rows[:4]]
    assert [(dict(r.columns), r.marks) for r in first.rows] == [(dict(r.columns), r.marks) for r in second.rows[:4]]


@pytest.mark.parametrize("name", MAKERS)
def test_another_seed_row_or_size_gives_other_images_and_other_identities(name: str) -> None:
    base, other, large = MAKERS[name](2, 7), MAKERS[name](2, 8), MAKERS[name](2, 7, size=129)
    images = [row.picture.read() for given in (base, other) for row in given.rows]
    assert not any(np.array_equal(a, b) for i, a in enumerate(images) for b in images[:i])
    assert len({row.picture.identity for given in (base, other, large) for row in given.rows}) == 6
    assert large.rows[0].picture.read().shape[:2] == (129, 129)


@pytest.mark.parametrize("name", ["ultrasound", "panorama"])
def test_what_is_not_matched_has_an_identity_of_its_own(name: str) -> None:
    rows = [MAKERS[name](1, 3, matched=matched).rows[0] for matched in (True, False)]
    assert rows[0].picture.identity != rows[1].picture.identity


@pytest.mark.parametrize("name", MAKERS)
def test_every_row_is_one_synthetic_patient(name: str) -> None:
    given = MAKERS[name](5, 1)
    assert given.synthetic
    assert [row.id for row in given.rows] == [f"{name}-{i:06d}" for i in range(5)]
    assert len({row.group for row in given.rows}) == 5
    assert all(isinstance(value, str) for row in given.rows for value in row.columns.values())
    with pytest.raises(DataError, match="0 phantoms asked for; ask for at least 1"):
        MAKERS[name](0, 1)


@pytest.mark.parametrize("column", TASKS)
def test_labels_are_balanced_by_construction_and_in_no_fixed_order(column: str) -> None:
    task = TASKS[column]
    assert task.phantoms is not None
    assert task.classes is not None
    n, said = 6 * len(task.classes), []
    for seed in (0, 1):
        found = list(task.items(task.phantoms(n, seed), np.random.default_rng(0), None))
        assert Counter(item.label for item in found) == dict.fromkeys(task.classes, n // len(task.classes))
        said.append([item.label for item in found])
    assert said[0] != said[1]


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_that_was_drawn_for_a_patient_goes_with_the_label(name: str) -> None:
    n = 1200
    label, rows = {
        "ultrasound": (
            scan.balanced(n, 6, 5, scan.CODE) // 2,
            [ultrasound_patient.draw(np.random.default_rng([5, i, scan.CODE])) for i in range(n)],
        ),
        "tissue": (
            section.balanced(n, 4, 5, section.CODE),
            [tissue_patient.draw(np.random.default_rng([5, i, section.CODE, 4, 0])) for i in range(n)],
        ),
        "panorama": (
            film.balanced(n, 5, 5, film.CODE),
            [panorama_patient.draw(np.random.default_rng([5, i, film.CODE])) for i in range(n)],
        ),
    }[name]
    drawn = np.array([[float(v) for v in vars(row).values()] for row in rows])
    assert max(abs(np.corrcoef(column, label)[0, 1]) for column in drawn.T) < 4 / np.sqrt(n)


# ultrasound ---------------------------------------------------------------------------------------------


def at(image: np.ndarray, colour: str) -> np.ndarray:
    """Row and column of the middle of a disc, found by its colour."""
    return np.argwhere((image == np.array(drawing.COLOURS[colour], np.uint8)).all(2)).mean(0)


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


# histology ----------------------------------------------------------------------------------------------

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
        assert max(np.ptp(rows), np.ptp(columns)) <= 2 * drawing.radius(224)


def test_an_image_too_small_for_a_mark_in_each_layer_is_refused() -> None:
    with pytest.raises(DataError, match="24 pixels are too few for a mark in each layer"):
        section.source(1, 0, size=24)


# teeth --------------------------------------------------------------------------------------------------


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


# all ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("column", TASKS)
def test_low_level_statistics_do_not_tell_the_answer(column: str) -> None:
    task = TASKS[column]
    assert task.phantoms is not None
    assert task.classes is not None
    rows = task.phantoms(400, 31).rows
    x = np.array([describe(row.picture.read()) for row in rows])
    y = np.array([row.columns[column] for row in rows])
    for trees in (False, True):
        assert interval(held_out(x, y, trees))[0] < 1 / len(task.classes)


def test_low_level_statistics_tell_a_count_that_is_written_into_the_brightness() -> None:
    """The twin: the same probes see an answer that does change the image as a whole."""
    rows = film.source(60, 3).rows
    x = np.array([describe(np.minimum(row.picture.read(), 150) + 20 * int(row.columns["count"])) for row in rows])
    y = np.array([row.columns["count"] for row in rows])
    assert interval(held_out(x, y, trees=False))[0] > 0.5


def made(column: str, *values: str, benchmark: str = "") -> Source:
    picture = Picture(read=partial(np.zeros, (8, 8), np.uint8))
    rows = (Row(id=f"r{i}", group=f"g{i}", picture=picture, columns={column: v}) for i, v in enumerate(values))
    return Source(name="mine.csv", rows=tuple(rows), benchmark=benchmark)


def said(column: str, given: Source) -> list[str | float]:
    return [item.label for item in TASKS[column].items(given, np.random.default_rng(0), None)]


def test_labelled_sources_are_read_from_their_column() -> None:
    assert said("nearest", made("nearest", "Red", "g", "blue")) == ["red", "green", "blue"]
    given = made("tissue", "Lamina propria", "adipose tissue", "muscularis", "epithelial")
    assert said("tissue", given) == ["stroma", "fat", "muscle", "epithelium"]
    assert said("count", made("count", "4", "none", " two ")) == ["4", "0", "2"]
    other = [i.label for i in teeth.TASK.items(made("wisdom", "3"), np.random.default_rng(0), "wisdom")]
    assert other == ["3"]


def test_a_missing_column_and_an_unknown_word_are_named() -> None:
    with pytest.raises(DataError, match=r"task wave-depth needs a column 'nearest' .*\(nearest: 'nearer'\)"):
        said("nearest", made("nearer", "red"))
    with pytest.raises(DataError, match=r"item r0 has tissue = 'bone'; known values are epithelium"):
        said("tissue", made("tissue", "bone"))
    with pytest.raises(DataError, match=r"task teeth: mine.csv: item r1 has count = '5'; known values are 0, zero"):
        said("count", made("count", "4", "5"))


def medblink(*rows: tuple[str, str]) -> Source:
    picture = Picture(read=partial(np.zeros, (8, 8, 3), np.uint8))
    made_ = (
        Row(id=f"q{i}", group=f"q{i}", picture=picture, columns={"task": t, "answer": a, "question": "Which?"})
        for i, (t, a) in enumerate(rows)
    )
    return Source(name="medblink", rows=tuple(made_), benchmark="medblink")


def test_rows_of_the_benchmark_are_those_of_the_task() -> None:
    given = medblink(
        ("histology_structure", "stroma"),
        ("morphology_quantification", "3"),
        ("ultrasound_depth", "the red dot"),
        ("histology_structure", "muscle"),
    )
    assert said("tissue", given) == ["stroma", "muscle"]
    assert said("count", given) == ["3"]
    assert said("nearest", given) == ["red"]


def test_the_task_of_ultrasound_must_be_the_only_one_of_that_name() -> None:
    with pytest.raises(DataError, match=r"'wave' or 'ultrasound'; none does; its tasks are relative_position"):
        said("nearest", medblink(("relative_position", "left")))
    with pytest.raises(DataError, match="ultrasound_a and wave_b do; its tasks are ultrasound_a, wave_b"):
        said("nearest", medblink(("ultrasound_a", "red"), ("wave_b", "red")))
