"""Films of children and adults, of pelves, with marks, and lumens lit evenly: exact, balanced, for sight alone."""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tasks
from encoders import pixels
from encoders.lowlevel import NAMES, describe
from experiments import phantoms
from tasks import DataError, Picture, Row, Source
from tasks.marks.draw import COLOURS, radius
from tasks.phantoms.blur import smooth
from tasks.phantoms.chest import child as chest_child
from tasks.phantoms.chest import film as chest
from tasks.phantoms.chest import marked
from tasks.phantoms.lumen import matched as lumen_matched
from tasks.phantoms.lumen import tube, view
from tasks.phantoms.pelvis import film as pelvis
from tests.paths import ROOT

MAKERS = {
    "age": chest_child.source,
    "pelvis": pelvis.source,
    "chest-marks": marked.source,
    "lumen-matched": lumen_matched.source,
}
# what every 28th pixel of films and lumens was when phantom-clip was trained
CHEST = (
    "074b6b7a87680806527e288c9c2a734c5d352847a82f4856543d42714d6f4853493854c5b853431f654253ceba9e521a"
    "72acb2ceb7b3942b92b2bed5c0b89e3c1031968fa2942d108aa05bb6c05fad888a624fc14e53967f91639ea9b2a96881"
    "6e8ba5d1a0a159424c7c57ded57574476eb4d6cdb7cbbc6b85c5d9dad6d6c897085489a0a08e3d0879b42db4bb329a84"
    "86672f7dbb3f6a788174614ba386737f486b5ad8d7995853598cafded4da654676becdd7cd91b76a90c5d8d7d5d4c486"
)
LUMEN = (
    "00004c42433d0000004a40403f313c007a49521b17242a395146ff130a103b3b524249221719373c57ff4a624848383d"
    "00584f4b4944410000005956524f000000214f5250ff0f0025554c5aff5e4c04645ba238394c5fbc624cff2d18c827ff"
    "5f4d571f46292b6d63564a4b524fffb00a5b4b41836850000001554c4f3a0000000035393e3e0000002fff2c181c9900"
    "4c3dff1a0f21206e5242821f09ff1e4f5b4c472e201a23af5d584a49ff4e473c005d55494948410000004f52504c0000"
)
STATED = [i for i, name in enumerate(NAMES) if name != "blockiness"]


def farthest(images: list[np.ndarray], pinned: str) -> int:
    """The greatest difference from pinned grey values; processors round apart by one or two."""
    seen = np.stack([image[14::28, 14::28] for image in images]).astype(int).ravel()
    return int(np.abs(seen - np.frombuffer(bytes.fromhex(pinned), np.uint8)).max())


def interval(right: np.ndarray) -> tuple[float, float]:
    """A 95 % Wilson interval of a share."""
    n, share = len(right), right.mean()
    centre = (share + 1.9208 / n) / (1 + 3.8416 / n)
    half = 1.96 * np.sqrt(share * (1 - share) / n + 0.9604 / n**2) / (1 + 3.8416 / n)
    return centre - half, centre + half


def held_out(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether ridge answers each item rightly while it is held out."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeClassifier(10.0))
    return cross_val_predict(model, x, y, cv=KFold(10, shuffle=True, random_state=0)) == y


def test_films_and_lumens_that_the_shipped_encoder_was_trained_on_are_what_they_were_and_others_are_not() -> None:
    assert farthest([chest.film(11, i) for i in range(3)], CHEST) <= 3
    assert farthest([view.view(11, i)[..., 1] for i in range(3)], LUMEN) <= 3
    assert farthest([chest.film(12, i) for i in range(3)], CHEST) > 3


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_gives_the_same_bytes_in_any_order_of_reading(name: str) -> None:
    first, second = MAKERS[name](2, 7, size=96), MAKERS[name](3, 7, size=96)
    told = [[(r.picture.identity, dict(r.columns), r.marks) for r in given.rows[:2]] for given in (first, second)]
    assert told[0] == told[1]
    backwards = [row.picture.read() for row in reversed(second.rows[:2])][::-1]
    for row, b in zip(first.rows, backwards, strict=True):
        a = row.picture.read()
        assert a.dtype == np.uint8
        assert a.flags.c_contiguous
        assert a.shape[:2] == (96, 96)
        assert np.array_equal(a, b)
    other = MAKERS[name](2, 8, size=96)
    assert not np.array_equal(first.rows[0].picture.read(), other.rows[0].picture.read())
    assert len({row.picture.identity for row in (*first.rows, *other.rows)}) == 4
    with pytest.raises(DataError, match="0 phantoms asked for"):
        MAKERS[name](0, 1)


@pytest.mark.parametrize("name", ["age", "relative-position"])
def test_labels_are_balanced_by_construction_and_in_no_fixed_order(name: str) -> None:
    task = tasks.load(name)
    assert task.phantoms is not None
    assert task.classes is not None
    orders = []
    for seed in (0, 1):
        found = list(task.items(task.phantoms(48, seed), np.random.default_rng(0), None))
        orders.append([item.label for item in found])
        assert Counter(orders[-1]) == dict.fromkeys(task.classes, 48 // len(task.classes))
        assert len({item.group for item in found}) == 48
    assert orders[0] != orders[1]


def test_pelvic_films_are_asked_once_upright_and_once_upside_down() -> None:
    task = tasks.load("orientation-pelvis")
    assert task.phantoms is not None
    found = list(task.items(task.phantoms(6, 0), np.random.default_rng(0), None))
    assert [i.label for i in found] == ["upright", "upside down"] * 3
    assert len({i.group for i in found}) == 3
    up, down = (i.picture.read() for i in found[:2])
    assert np.array_equal(up, down[::-1, ::-1])


def test_the_legs_say_which_way_up_a_pelvis_is() -> None:
    """The oracle: between the thighs it is darker than between the iliac wings, where the spine lies."""
    films = np.array([pelvis.film(4, i) for i in range(24)], float)
    middle = films[:, :, 100:124]
    assert np.mean(middle[:, 20:60].mean((1, 2)) > middle[:, 164:204].mean((1, 2))) >= 0.95


# --- age


def test_a_child_differs_from_the_same_patient_grown_up_in_three_proportions_only() -> None:
    for i in range(20):
        child, adult = (vars(chest_child.patient(3, i, c)) for c in (True, False))
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
    rows = chest_child.source(80, 2).rows
    assert np.mean([(run(row.picture.read()) < 0) == (row.columns["age"] == "child") for row in rows]) >= 0.9


@pytest.mark.slow
def test_low_level_statistics_do_not_tell_a_child() -> None:
    rows = chest_child.source(400, 3).rows
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
        return chest.render(chest_child.patient(7, i, child), np.random.default_rng([7, i]))

    assert shift(lambda i, child: chest_child.film(7, i, child), 60) < 0.15
    assert shift(untouched, 20) > 0.4


# --- relative position


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


# --- depth, matched


def band(image: np.ndarray, x: float, y: float) -> float:
    """Mean brightness of a band four pixels wide around a mark's ring."""
    reach, grey = radius(len(image)), image @ np.array([0.299, 0.587, 0.114])
    rows, columns = np.ogrid[: len(image), : len(image)]
    far = np.hypot(rows - y, columns - x)
    return float(grey[(far > reach + 0.8) & (far <= reach + 4)].mean())


def broad(images: list[np.ndarray], rows: list[Row]) -> np.ndarray:
    """What the control `pixels` reads at the three marks of each row: grey over about an eighth of the picture."""
    grey = pixels.features(images)["final"].reshape(-1, pixels.MAP, pixels.MAP)
    at = np.array([[(m.y, m.x) for m in row.marks] for row in rows]) * (pixels.MAP / 224) - 0.5
    at = np.clip(at, 0, pixels.MAP - 1.001)
    (y, x), share, item = np.moveaxis(at.astype(int), -1, 0), at % 1, np.arange(len(rows))[:, None]
    (down, right), last = np.moveaxis(share, -1, 0), pixels.MAP - 1
    assert max(y.max(), x.max()) < last
    top = (1 - right) * grey[item, y, x] + right * grey[item, y, x + 1]
    return (1 - down) * top + down * ((1 - right) * grey[item, y + 1, x] + right * grey[item, y + 1, x + 1])


@cache
def nearest(matched: bool, n: int) -> dict[str, np.ndarray]:
    """Whether the brightest mark (narrowly, broadly), the farthest out, and the nearest by a depth map is the one."""
    rows = list((lumen_matched if matched else view).source(n, 3).rows)
    images = [row.picture.read() for row in rows]
    found = {"broad": broad(images, rows), "band": [], "out": [], "map": []}
    for row, image in zip(rows, images, strict=True):
        p = tube.Lumen(**{k: float(row.columns[k]) for k in tube.Lumen.__dataclass_fields__})
        x, y = (np.array([getattr(m, a) for m in row.marks]) for a in "xy")
        u, v = (2 * x + 1) / 224 - 1, (2 * y + 1) / 224 - 1
        found["band"].append([band(image, m.x, m.y) for m in row.marks])
        found["out"].append(np.hypot(u, v))
        far = tube.depth(p)[y.astype(int), x.astype(int)] * np.sqrt(1 + (u * u + v * v) / p.focal**2)
        found["map"].append(-far)
    assert all(row.marks[0].name == row.columns["nearest"] for row in rows)
    return {name: np.argmax(values, axis=1) == 0 for name, values in found.items()}


@pytest.mark.parametrize("by", ["band", "broad", "out"])
def test_brightness_around_a_mark_and_its_place_tell_depth_but_not_where_marks_are_matched(by: str) -> None:
    assert interval(nearest(False, 24)[by])[0] > 1 / 3
    low, high = interval(nearest(True, 36)[by])
    assert low < 1 / 3 < high < 0.53


def test_the_depth_map_tells_the_nearest_mark_in_both() -> None:
    assert nearest(False, 24)["map"].mean() >= 0.95
    assert nearest(True, 36)["map"].mean() >= 0.95


def test_exchanging_the_colours_of_matched_marks_changes_no_low_level_statistic() -> None:
    attempt, marks, _, _ = lumen_matched.scene(3, 0)
    seen = []
    for order in view.ORDERS:
        named = tuple(type(m)(name=view.COLOURS[c], x=m.x, y=m.y) for c, m in zip(order, marks, strict=True))
        seen.append(describe(lumen_matched.view(3, 0, 224, attempt, named))[STATED])
    assert np.array_equal(seen, np.broadcast_to(seen[0], (6, len(STATED))))


# --- the user's own images


def made(column: str, *values: str) -> Source:
    picture = Picture(read=lambda: np.zeros((8, 8), np.uint8))
    rows = (Row(id=f"r{i}", group=f"g{i}", picture=picture, columns={column: v}) for i, v in enumerate(values))
    return Source(name="mine.csv", rows=tuple(rows))


def test_age_and_position_read_the_usual_words_of_a_manifest_and_name_what_they_do_not_know() -> None:
    rng = np.random.default_rng(0)
    said = [i.label for i in tasks.load("age").items(made("age", "Child", "paediatric", "adult"), rng, None)]
    assert said == ["child", "child", "adult"]
    said = [i.label for i in tasks.load("relative-position").items(made("quarter", "upper-left"), rng, None)]
    assert said == ["upper left"]
    with pytest.raises(DataError, match=r"mine.csv: item r0 has age = '7'; known values are child"):
        list(tasks.load("age").items(made("age", "7"), rng, None))
    with pytest.raises(DataError, match="needs a column 'quarter'"):
        list(tasks.load("relative-position").items(made("side", "left"), rng, None))


# --- the gallery


def test_the_gallery_shows_every_task_that_has_phantoms_and_no_other() -> None:
    docs = ROOT / "docs"
    page = (docs / "gallery.md").read_text(encoding="utf-8")
    have = [name for name in tasks.names() if tasks.load(name).phantoms is not None]
    assert sorted(re.findall(r"^## `(.+)`$", page, flags=re.MULTILINE)) == have
    for name in have:
        figure = docs / "figures" / f"gallery_{name}.jpg"
        assert f"(figures/{figure.name})" in page
        assert figure.stat().st_size < 150_000
        assert all(str(answer) in page for answer in tasks.load(name).classes or ())


def test_a_sheet_is_drawn_for_a_task_and_refused_for_one_without_phantoms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--task", "orientation-pelvis", "--n", "2", "--side", "64", "--out", str(tmp_path)]
    assert phantoms.main(asked) == 0
    with Image.open(tmp_path / "gallery_orientation-pelvis.jpg") as sheet:
        assert sheet.size == (2 * 68 - 4, 64 + 18)
    assert phantoms.main(["--task", "label"]) == 2
    assert "task label has no phantoms; those that have: age" in capsys.readouterr().err
