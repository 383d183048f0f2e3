"""Phantoms are what their seed says, their labels are balanced, and nothing but sight gives the answer."""

from collections import Counter
from functools import cache, partial

import numpy as np
import pytest

from encoders.lowlevel import NAMES, describe
from tasks import DataError, Mark, Picture, Row, Source, contrast, depth
from tasks.marks import draw
from tasks.phantoms.abdomen import axial, patient
from tasks.phantoms.chest import film
from tasks.phantoms.lumen import light, tube, view

MAKERS = {"chest": film.source, "abdomen": axial.source, "lumen": view.source}
ANSWER = {"abdomen": "contrast", "lumen": "nearest"}
STATED = [i for i, name in enumerate(NAMES) if name != "blockiness"]


def interval(right: np.ndarray) -> tuple[float, float]:
    """A 95 % Wilson interval of a share."""
    n, share = len(right), right.mean()
    centre = (share + 1.9208 / n) / (1 + 3.8416 / n)
    half = 1.96 * np.sqrt(share * (1 - share) / n + 0.9604 / n**2) / (1 + 3.8416 / n)
    return centre - half, centre + half


def held_out(x: np.ndarray, y: np.ndarray, kind: str) -> np.ndarray:
    """Whether each item is answered rightly while held out, by ridge or by boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = (
        make_pipeline(StandardScaler(), RidgeClassifier(10.0))
        if kind == "ridge"
        else HistGradientBoostingClassifier(max_iter=40, learning_rate=0.1, early_stopping=False)
    )
    return cross_val_predict(model, x, y, cv=KFold(10, shuffle=True, random_state=0)) == y


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


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_gives_the_same_bytes_in_any_order_of_reading(name: str) -> None:
    first, second = MAKERS[name](4, 7), MAKERS[name](6, 7)
    forwards = [row.picture.read() for row in first.rows]
    backwards = [row.picture.read() for row in reversed(second.rows[:4])][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert a.dtype == np.uint8
        assert a.flags.c_contiguous
        assert a.shape[:2] == (224, 224)
        assert np.array_equal(a, b)
    assert [r.picture.identity for r in first.rows] == [r.picture.identity for r in second.rows[:4]]
    assert [dict(r.columns) for r in first.rows] == [dict(r.columns) for r in second.rows[:4]]


@pytest.mark.parametrize("name", MAKERS)
def test_another_seed_or_row_or_size_gives_other_images_and_other_identities(name: str) -> None:
    base, other = MAKERS[name](2, 7), MAKERS[name](2, 8)
    large = MAKERS[name](2, 7, size=96)
    assert not np.array_equal(base.rows[0].picture.read(), base.rows[1].picture.read())
    assert not np.array_equal(base.rows[0].picture.read(), other.rows[0].picture.read())
    identities = [row.picture.identity for given in (base, other, large) for row in given.rows]
    assert len(set(identities)) == 6
    assert large.rows[0].picture.read().shape[:2] == (96, 96)


def test_lead_letters_and_matching_enter_the_identity_and_letters_are_off_by_default() -> None:
    plain, lettered = film.source(1, 0).rows[0].picture, film.source(1, 0, letter=True).rows[0].picture
    assert plain.identity != lettered.identity
    differ = plain.read() != lettered.read()
    assert differ.any()
    assert not differ[60:].any()
    assert axial.source(1, 0).rows[0].picture.identity != axial.source(1, 0, matched=False).rows[0].picture.identity


@pytest.mark.parametrize("name", MAKERS)
def test_every_row_is_one_synthetic_patient_with_its_true_parameters(name: str) -> None:
    given = MAKERS[name](5, 1)
    assert given.synthetic
    assert given.name == f"phantom:{name}"
    assert [row.id for row in given.rows] == [f"{name}-{i:06d}" for i in range(5)]
    assert len({row.group for row in given.rows}) == 5
    assert all(isinstance(value, str) for row in given.rows for value in row.columns.values())
    with pytest.raises(DataError, match="0 phantoms asked for; ask for at least 1"):
        MAKERS[name](0, 1)


@pytest.mark.parametrize(("task", "n"), [(contrast.TASK, 40), (depth.TASK, 60)], ids=["contrast", "depth"])
def test_labels_are_balanced_by_construction_and_in_no_fixed_order(task, n) -> None:  # noqa: ANN001
    assert task.phantoms is not None
    assert task.classes is not None
    for seed in (0, 1):
        found = list(task.items(task.phantoms(n, seed), np.random.default_rng(0), None))
        assert Counter(item.label for item in found) == dict.fromkeys(task.classes, n // len(task.classes))
    one, two = ([r.columns[ANSWER[s.name[8:]]] for r in s.rows] for s in (task.phantoms(n, 0), task.phantoms(n, 1)))
    assert one != two
    assert len({item.group for item in found}) == len(found)


@pytest.mark.parametrize("name", ANSWER)
def test_nothing_that_was_drawn_for_a_patient_goes_with_the_label(name: str) -> None:
    if name == "abdomen":
        rows = [{**vars(axial.patient(5, i))} for i in range(1200)]
        label = axial.balanced(1200, 2, 5, axial.CODE).astype(float)
    else:
        rows = [vars(tube.draw(np.random.default_rng([5, i, view.CODE]))) for i in range(1200)]
        label = (view.balanced(1200, 6, 5, view.CODE) // 2).astype(float)
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


def test_exchanging_the_colours_of_marks_changes_no_low_level_statistic() -> None:
    for i in range(6):
        seen = np.array([describe(view.view(3, i, order=tuple(order)))[STATED] for order in view.ORDERS.tolist()])
        assert np.array_equal(seen, np.broadcast_to(seen[0], seen.shape))


def test_low_level_statistics_see_marks_that_leave_their_colour_around_them() -> None:
    """The twin: a mark that tints what it covers, instead of replacing it, betrays where each colour lies."""
    p, marks, _ = view.scene(3, 0)
    image = light.render(p, np.random.default_rng(0))
    seen = []
    for order in ((0, 1, 2), (2, 1, 0)):
        tinted = image.copy()
        for colour, mark in zip(order, marks, strict=True):
            tinted[round(mark.y) - 8 : round(mark.y) + 9, round(mark.x) - 8 : round(mark.x) + 9, colour] //= 2
        seen.append(describe(tinted)[STATED])
    assert not np.array_equal(*seen)


def test_the_depth_map_knows_which_mark_is_nearest() -> None:
    right, off = [], []
    for row in view.source(60, 4).rows:
        p = tube.Lumen(**{name: float(row.columns[name]) for name in tube.Lumen.__dataclass_fields__})
        z = tube.depth(p)
        far = {}
        for mark in row.marks:
            u, v = (2 * mark.x + 1) / 224 - 1, (2 * mark.y + 1) / 224 - 1
            far[mark.name] = z[round(mark.y), round(mark.x)] * np.sqrt(1 + (u * u + v * v) / p.focal**2)
            off.append(abs(far[mark.name] / float(row.columns[f"depth_{mark.name}"]) - 1))
        right.append(min(far, key=lambda name: far[name]) == row.columns["nearest"])
    assert np.mean(right) >= 0.95
    assert np.median(off) < 0.01


def test_marks_lie_well_apart_in_depth_and_no_colour_prefers_a_depth() -> None:
    rows = view.source(240, 2).rows
    depths = np.array([[float(row.columns[f"depth_{c}"]) for c in view.COLOURS] for row in rows])
    ordered = np.sort(depths, axis=1)
    assert np.mean(np.min(ordered[:, 1:] / ordered[:, :-1], axis=1) >= view.RATIO - 1e-3) > 0.97
    rank = np.argsort(np.argsort(depths, axis=1), axis=1)
    assert np.array_equal(rank.mean(0), [1, 1, 1])


def test_a_ray_down_a_straight_smooth_tube_meets_the_wall_where_geometry_says() -> None:
    straight = dict.fromkeys(tube.Lumen.__dataclass_fields__, 0.0) | {"focal": 0.7, "spacing": 1.0}
    u = np.array([0.2, 0.5, 0.9])
    z = tube.march(tube.Lumen(**straight), u, np.zeros(3))
    assert z == pytest.approx(0.7 / u, rel=2e-3)


def test_the_depth_map_is_what_rays_find_and_not_what_they_find_in_another_lumen() -> None:
    line = (2 * np.arange(64) + 1) / 64 - 1
    off = []
    for i in (0, 1):
        p = tube.draw(np.random.default_rng([i, 7]))
        rays = tube.march(p, *np.meshgrid(line, line))
        for other in (p, tube.draw(np.random.default_rng([i, 8]))):
            off.append(np.abs(np.log(tube.depth(other, 64) / rays)))
    for own, another in (off[:2], off[2:]):
        assert np.median(own) < 1e-3
        assert (own > 0.1).mean() < 0.04  # pixels that a fold's edge runs through
        assert np.median(another) > 0.05


@pytest.mark.slow
def test_a_heart_lies_to_the_patients_left_in_most_films_but_brightness_as_a_whole_does_not_say_so() -> None:
    films = np.array([film.film(3, i) for i in range(150)], dtype=float)
    heart = films - films[:, :, ::-1]
    share = (heart[:, 112:160, 125:165].mean((1, 2)) > 0).mean()
    assert 0.75 < share < 0.99
    assert np.array_equal(describe(films[0].astype(np.uint8)), describe(films[0, :, ::-1].astype(np.uint8)))


def made(column: str, *values: str) -> Source:
    picture = Picture(read=partial(np.zeros, (8, 8), np.uint8))
    rows = (Row(id=f"r{i}", group=f"g{i}", picture=picture, columns={column: v}) for i, v in enumerate(values))
    return Source(name="mine.csv", rows=tuple(rows))


def test_contrast_reads_the_usual_words_of_a_manifest() -> None:
    given = made("contrast", "0", "1", "No", " yes", "FALSE", "true", "pre", "post", "plain", "Enhanced")
    said = [item.label for item in contrast.TASK.items(given, np.random.default_rng(0), None)]
    assert said == ["plain", "enhanced"] * 5
    given = made("phase", "pre")
    assert [i.label for i in contrast.TASK.items(given, np.random.default_rng(0), "phase")] == ["plain"]


def test_an_unknown_word_and_a_missing_column_are_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"mine.csv: item r1 has contrast = 'arterial'; known values are plain, 0"):
        list(contrast.TASK.items(made("contrast", "0", "arterial"), rng, None))
    with pytest.raises(DataError, match=r"needs a column 'contrast' .*\(nearest: 'contrasted'\).*--label COLUMN"):
        list(contrast.TASK.items(made("contrasted", "0"), rng, None))
    with pytest.raises(DataError, match=r"task depth needs a column 'nearest' with one of red, green, blue"):
        list(depth.TASK.items(made("age", "7"), rng, None))


def test_depth_reads_a_manifest_whose_marks_are_already_drawn() -> None:
    given = made("nearest", "red", "Green", "b")
    assert [i.label for i in depth.TASK.items(given, np.random.default_rng(0), None)] == ["red", "green", "blue"]


def test_marks_that_cannot_be_drawn_are_refused() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(DataError, match="need an RGB image; this one is grey"):
        draw.draw(image[:, :, 0], [Mark(name="red", x=50.0, y=50.0)])
    with pytest.raises(DataError, match="'pink' is no known colour; known are red, green, blue"):
        draw.draw(image, [Mark(name="pink", x=50.0, y=50.0)])
    with pytest.raises(DataError, match=r"red at \(2, 50\) leaves the image of 100 x 100; keep 6 pixels"):
        draw.draw(image, [Mark(name="red", x=2.0, y=50.0)])
    with pytest.raises(DataError, match="red and blue lie 5 pixels apart and would touch; keep 15"):
        draw.draw(image, [Mark(name="red", x=50.0, y=50.0), Mark(name="blue", x=55.0, y=50.0)])
    drawn = draw.draw(image, [Mark(name="red", x=50.0, y=50.0)])
    assert tuple(drawn[50, 50]) == draw.COLOURS["red"]
    assert not image.any()
