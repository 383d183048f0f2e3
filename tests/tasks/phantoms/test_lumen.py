"""Endoscopic lumens: exact depth maps, marks of which colours tell nothing, and places matched for brightness."""

from functools import cache

import numpy as np
import pytest

from encoders import pixels
from encoders.lowlevel import describe
from tasks import Row
from tasks.marks.draw import radius
from tasks.phantoms.lumen import light, tube, view
from tasks.phantoms.lumen import matched as lumen_matched
from tests.tasks.phantoms.helpers import STATED, farthest, interval

LUMEN = (
    "00004c42433d0000004a40403f313c007a49521b17242a395146ff130a103b3b524249221719373c57ff4a624848383d"
    "00584f4b4944410000005956524f000000214f5250ff0f0025554c5aff5e4c04645ba238394c5fbc624cff2d18c827ff"
    "5f4d571f46292b6d63564a4b524fffb00a5b4b41836850000001554c4f3a0000000035393e3e0000002fff2c181c9900"
    "4c3dff1a0f21206e5242821f09ff1e4f5b4c472e201a23af5d584a49ff4e473c005d55494948410000004f52504c0000"
)


def test_lumens_that_the_shipped_encoder_was_trained_on_are_what_they_were() -> None:
    assert farthest([view.view(11, i)[..., 1] for i in range(3)], LUMEN) <= 3


def test_nothing_that_was_drawn_for_a_patient_goes_with_the_label() -> None:
    rows = [vars(tube.draw(np.random.default_rng([5, i, view.CODE]))) for i in range(1200)]
    label = (view.balanced(1200, 6, 5, view.CODE) // 2).astype(float)
    drawn = np.array([[float(v) for v in row.values()] for row in rows])
    correlation = [abs(np.corrcoef(column, label)[0, 1]) for column in drawn.T]
    assert max(correlation) < 4 / np.sqrt(1200)  # a Bonferroni bound for thirty parameters at p = 0.002


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


# --- matched marks


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
