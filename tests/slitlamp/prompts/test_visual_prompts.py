"""Marks found and recoloured, and audits that tell a responder that looks from one that knows a colour."""

import csv
import io
import json
import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders import View
from experiments.visual_prompts import main
from probes import ProbeError
from probes.prompts import audit as prompts
from probes.prompts import bias, controls, readout
from probes.prompts.audit import Presentations
from slitlamp.prompts.answers import of_turns
from slitlamp.prompts.controls import _phase as _prompts_phase
from slitlamp.prompts.controls import move_marks
from tasks import DataError, Mark
from tasks.marks import detect, draw
from tasks.phantoms.lumen import light as lumen_light
from tasks.phantoms.lumen import view
from tasks.phantoms.ultrasound import scan
from tests.paths import ROOT, SHARED

PURE = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
KINDS = ("lumen", "ultrasound", "endoscopy")


# marks in images


def bare(kind: str, i: int = 0) -> np.ndarray:
    """An RGB image without marks: two phantoms, and reddish endoscopy where it is at hand."""
    if kind == "lumen":
        return lumen_light.render(view.scene(0, i)[0], np.random.default_rng([0, i]), 224)
    if kind == "ultrasound":
        return np.repeat(scan.view(0, i)[:, :, None], 3, axis=2)
    files = sorted((SHARED / "endo_depth" / "images").glob("*.jpg"))
    if not files:
        pytest.skip("the shared endoscopy images are not on this machine (SLITLAMP_SHARED)")
    return np.array(Image.open(files[7 * i]).convert("RGB"))[::2, ::2]


def dotted(image: np.ndarray, marks: list[Mark], radius: float, ring: float, colours: dict) -> np.ndarray:
    """Antialiased discs at places between pixels, with a white ring or without."""
    out = image.astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    for mark in marks:
        far = np.hypot(x - mark.x, y - mark.y)
        for reach, colour in ((radius + ring, (255, 255, 255)), (radius, colours[mark.name])):
            cover = np.clip(reach + 0.5 - far, 0, 1)[..., None]
            out = out * (1 - cover) + cover * np.array(colour)
    return np.rint(out).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int = 75) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def three(shape: tuple[int, ...], rng: np.random.Generator, apart: float) -> list[Mark]:
    h, w = shape[:2]
    while True:
        at = rng.uniform(0.25, 0.75, (3, 2)) * (w, h)
        if min(np.hypot(*(at[a] - at[b])) for a, b in ((0, 1), (0, 2), (1, 2))) > apart:
            return [Mark(name=name, x=float(x), y=float(y)) for name, (x, y) in zip(PURE, at, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.036, 0.08])
def test_marks_are_found_to_a_fraction_of_a_pixel(kind: str, share: float) -> None:
    image = bare(kind)
    radius = share * min(image.shape[:2])
    for number, (ring, colours) in enumerate(((0, PURE), (2, PURE), (0, dict(draw.COLOURS)), (3, dict(draw.COLOURS)))):
        marks = three(image.shape, np.random.default_rng([int(1000 * share), number]), 2 * radius + 12)
        drawn = dotted(image, marks, radius, ring, colours)
        for shown, slack in ((drawn, 0.5), (jpeg(drawn), 0.8)):
            found = detect.find(shown)
            off = [np.hypot(f.x - m.x, f.y - m.y) for f, m in zip(found, marks, strict=True)]
            assert [f.name for f in found] == list(PURE)
            assert max(off) < (slack if ring else 1.0), (ring, off)
            assert max(abs(f.radius - radius) for f in found) < (0.7 if ring else 1.2)


@pytest.mark.parametrize("kind", KINDS)
def test_no_mark_is_found_where_none_is(kind: str) -> None:
    for i in range(2):
        image = bare(kind, i)
        assert detect.every(image) == ()
        assert detect.every(jpeg(image)) == ()
        with pytest.raises(DataError, match=r"no red mark found.*expected one of each of red, green, blue"):
            detect.find(image)


def test_what_is_no_clear_set_of_marks_is_said_in_one_line() -> None:
    image = bare("ultrasound")
    marks = [
        Mark(name="red", x=70.0, y=100.0),
        Mark(name="green", x=150.0, y=100.0),
        Mark(name="blue", x=110.0, y=150.0),
    ]
    drawn = draw.draw(image, marks)
    with pytest.raises(DataError, match="a grey image holds no coloured marks; looked for red, green, blue"):
        detect.find(drawn[:, :, 0])
    twice = draw.draw(drawn, [Mark(name="red", x=110.0, y=60.0)])
    with pytest.raises(DataError, match=r"2 red marks, at \(\d+, \d+\) and \(\d+, \d+\); expected one"):
        detect.find(twice)
    with pytest.raises(DataError, match="no blue mark found; expected"):
        detect.find(draw.draw(image, marks[:2]))
    big = draw.draw(image, marks[1:])
    big[20:90, 20:90] = PURE["red"]
    with pytest.raises(DataError, match=r"no red mark found: red around \(54, 54\), 70 x 70 pixels, is too big"):
        detect.find(big)
    assert [m.name for m in detect.find(drawn, ("blue", "red"))] == ["blue", "red"]


@pytest.mark.parametrize("make", [view.source, scan.source])
def test_exchanged_colours_are_those_that_would_have_been_drawn(make: object) -> None:
    change = {"red": "green", "green": "blue", "blue": "red"}
    for row in make(3, 0).rows:  # pyright: ignore[reportCallIssue]
        image = row.picture.read()
        moved = [Mark(name=change[m.name], x=m.x, y=m.y) for m in row.marks]
        again = detect.recoloured(image, row.marks, change)
        assert (again == draw.draw(image, moved)).all()
        back = {new: old for old, new in change.items()}
        assert (detect.recoloured(again, moved, back) == image).all()


def test_a_compressed_image_is_recoloured_and_nothing_far_from_a_mark_changes() -> None:
    image = bare("lumen")
    marks = three(image.shape, np.random.default_rng(3), 40)
    drawn = jpeg(dotted(image, marks, 7.0, 2, PURE), 90)
    found = detect.find(drawn)
    again = detect.recoloured(drawn, found, {"red": "blue", "blue": "red", "green": "green"})
    names = {m.name: (m.x, m.y) for m in detect.find(again)}
    assert names["red"] == pytest.approx((marks[2].x, marks[2].y), abs=0.5)
    assert names["blue"] == pytest.approx((marks[0].x, marks[0].y), abs=0.5)
    y, x = np.mgrid[:224, :224]
    far = np.min([np.hypot(x - m.x, y - m.y) for m in marks], axis=0) > 10
    assert (again == drawn)[far].all()


def test_erased_marks_leave_no_mark_and_nothing_far_changes() -> None:
    row = scan.source(1, 0).rows[0]
    image = row.picture.read()
    clean = detect.erased(image, row.marks)
    assert detect.every(clean) == ()
    small = draw.draw(clean, row.marks, reach=6)
    assert [m.name for m in detect.find(small)] == list(PURE)
    with pytest.raises(DataError, match="no coloured disc lies at mark"):
        detect.recoloured(clean, row.marks, {n: n for n in PURE})
    with pytest.raises(DataError, match=r"must be a permutation of .*; given is red to blue"):
        detect.recoloured(image, row.marks, {"red": "blue"})


def test_marks_are_drawn_in_other_sizes_colours_and_without_outline() -> None:
    image = np.full((100, 120, 3), 90, np.uint8)
    mark = Mark(name="pink", x=60.0, y=50.0)
    drawn = draw.draw(image, [mark], reach=4, colours={"pink": (255, 100, 200)}, outline=None)
    assert {tuple(v) for v in drawn.reshape(-1, 3)} == {(90, 90, 90), (255, 100, 200)}
    assert np.ptp(np.nonzero((drawn != image).any(axis=2))[0]) == 8
    ringed = draw.draw(image, [mark], reach=4, colours={"pink": (255, 100, 200)}, outline=(0, 0, 0))
    assert tuple(ringed[50, 60]) == (255, 100, 200)
    assert tuple(ringed[50, 64]) == (0, 0, 0)


def test_marks_that_cover_leave_or_miss_the_image_are_refused() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    at = {"x": 50.0, "y": 50.0}
    with pytest.raises(DataError, match=r"blue at \(51, 50\) covers mark red, 1 pixels away; keep 15"):
        draw.draw(image, [Mark(name="red", **at), Mark(name="blue", x=51.0, y=50.0)])
    with pytest.raises(DataError, match=r"red at \(130, 50\) lies outside the image of 100 x 100; x is 0 … 99"):
        draw.draw(image, [Mark(name="red", x=130.0, y=50.0)])
    with pytest.raises(DataError, match="radius 1 show no colour; give 2 pixels or more"):
        draw.draw(image, [Mark(name="red", **at)], reach=1)


# what answers follow

PERMUTED = np.array(list(permutations(range(3))))


def responder(seed: int, n: int, *, place: float = 0.0, colour: float = 0.0, left: float = 0.0) -> Presentations:
    """Answers by the correct place with one probability, the red mark or the leftmost with another, else a guess."""
    rng = np.random.default_rng(seed)
    shown = np.tile(PERMUTED, (n, 1))
    where = np.repeat(np.sort(rng.uniform(-1, 1, (n, 3, 2)), axis=1), 6, axis=0)
    correct = np.repeat(rng.integers(0, 3, n), 6)
    u, predicted = rng.uniform(size=6 * n), rng.integers(0, 3, 6 * n)
    predicted = np.where(u < place, correct, predicted)
    predicted = np.where((u >= place) & (u < place + colour), (shown == 0).argmax(axis=1), predicted)
    predicted = np.where((u >= place + colour) & (u < place + colour + left), 0, predicted)
    return Presentations(
        item=np.repeat(np.arange(n), 6), colour=shown, place=where, correct=correct, predicted=predicted
    )


PLANTED = {  # share of answers by place, by colour; consistency of location and of colour; verdict at 400 images
    "spatial .6": (0.4, 0.0, 0.44, 0.31, "SPATIAL"),
    "spatial .9": (0.85, 0.0, 0.81, 0.24, "SPATIAL"),
    "guessing": (0.0, 0.0, 0.33, 0.33, "NOT_TESTABLE"),
    "one colour": (0.0, 0.8, 0.25, 0.76, "COLOUR_HEURISTIC"),
    "mixed": (0.35, 0.4, 0.40, 0.42, "MIXED"),
    "never wrong": (1.0, 0.0, 1.0, 0.2, "SPATIAL"),
    "only one colour": (0.0, 1.0, 0.2, 1.0, "COLOUR_HEURISTIC"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_responders_are_told_apart(name: str) -> None:
    place, colour, same_place, same_colour, verdict = PLANTED[name]
    found = [prompts.audit(responder(seed, 400, place=place, colour=colour)) for seed in range(8)]
    same = np.array([[a.consistency.location, a.consistency.colour] for a in found], dtype=float)
    assert same.mean(axis=0) == pytest.approx([same_place, same_colour], abs=0.02)
    assert sum(a.verdict == verdict for a in found) >= 6
    assert all(a.spatial[1] > 0 for a in found) == (place > 0)
    assert all(a.p_values["colour"] < 0.05 for a in found) == (colour > 0)


def test_tests_of_colour_and_place_hold_their_size_on_guesses() -> None:
    found = [prompts.audit(responder(seed, 60)) for seed in range(120)]
    for rate in (
        np.mean([a.p_values["colour"] < 0.05 for a in found]),
        np.mean([a.p_values["position"] < 0.05 for a in found]),
        np.mean([a.spatial[1] > 0 or a.spatial[2] < 0 for a in found]),
    ):
        assert rate <= 0.12


def test_the_quoted_spread_calls_a_colour_user_spatial_and_the_audit_does_not() -> None:
    shown = responder(0, 400, colour=0.8)
    told = bias.spread(shown, np.random.default_rng(0), draws=200)
    assert told.reading == "spatial"
    assert told.by_mark[0] < 0.1 < 0.3 < told.by_colour[0]
    assert told.by_mark[1] <= told.by_mark[2]


def test_the_leftmost_mark_is_a_position_bias_and_no_colour() -> None:
    found = [prompts.audit(responder(seed, 200, left=0.5)) for seed in range(6)]
    assert max(a.adjusted["position"] for a in found) < 0.001
    assert sum(a.p_values["colour"] < 0.05 for a in found) <= 1
    assert max(a.odds["x"][2] for a in found) < 1
    assert np.mean([a.effects["correct"] for a in found]) == pytest.approx(0.0, abs=0.05)


def test_a_liking_for_large_marks_is_a_bias_of_size() -> None:
    rng = np.random.default_rng(4)
    even = responder(4, 150, place=0.4)
    size = rng.choice([4.0, 8.0, 16.0], even.colour.shape)
    fields = {f: getattr(even, f) for f in ("item", "colour", "place", "correct", "predicted")}
    free = prompts.audit(Presentations(**fields, size=size))
    assert free.adjusted["size"] > 0.05
    liked = np.where(rng.uniform(size=900) < 0.5, size.argmax(axis=1), even.predicted)
    found = prompts.audit(Presentations(**{**fields, "predicted": liked}, size=size))
    assert found.adjusted["size"] < 0.001
    assert found.odds["size"][1] > 1.25
    assert (found.verdict, "size" in found.reason) == ("MIXED", True)


def test_the_model_of_choice_agrees_with_an_independent_optimiser() -> None:
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    shown = responder(5, 134, place=0.35, colour=0.3)
    x, names = prompts.design(shown)
    fit = prompts.choice(x, shown.predicted, shown.item, names, prior=0.0)

    def loss(b: np.ndarray) -> float:
        u = x @ b
        return float((logsumexp(u, axis=1) - u[np.arange(len(u)), shown.predicted]).sum())

    best = minimize(loss, np.zeros(x.shape[2]), method="BFGS", options={"gtol": 1e-6})
    assert names == ("correct", "green", "blue", "x", "y")
    assert fit.b == pytest.approx(best.x, abs=1e-4)
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-6)
    step = 1e-3 * np.eye(5)
    hessian = [
        [loss(best.x + p + q) - loss(best.x + p - q) - loss(best.x - p + q) + loss(best.x - p - q) for q in step]
        for p in step
    ]
    assert fit.information == pytest.approx(np.array(hessian) / 4e-6, rel=1e-3, abs=0.05)
    weak = prompts.choice(x, shown.predicted, shown.item, names)
    assert weak.b == pytest.approx(fit.b, abs=1e-3)
    effect = prompts.marginal(x, fit, ["correct"])["correct"]
    assert effect == pytest.approx(0.567 - 1 / 3, abs=0.04)


def test_copies_of_presentations_narrow_no_interval() -> None:
    once = responder(2, 60, place=0.4)
    twice = Presentations(
        **{f: np.concatenate([getattr(once, f)] * 2) for f in ("item", "colour", "place", "correct", "predicted")}
    )
    a, b = (prompts.audit(s).spatial for s in (once, twice))
    assert b == pytest.approx(a, abs=1e-3)


def test_presentations_that_disagree_are_refused() -> None:
    with pytest.raises(ProbeError, match="nothing can be audited"):
        responder(0, 0)
    good = responder(0, 4)
    fields = {f: getattr(good, f) for f in ("item", "colour", "place", "correct", "predicted")}
    with pytest.raises(ProbeError, match=r"predicted has shape \(23,\); 24 presentations need \(24,\)"):
        Presentations(**{**fields, "predicted": good.predicted[1:]})
    with pytest.raises(ProbeError, match="each of three colours once"):
        Presentations(**{**fields, "colour": np.zeros((24, 3), int)})


# biases


def test_upright_bias_has_the_worked_figures() -> None:
    rng = np.random.default_rng(0)
    hundred = np.arange(100)
    biased = bias.upright_bias(hundred < 95, hundred < 85, rng)
    assert (biased.accuracy, biased.unbiased) == pytest.approx((0.55, 0.614), abs=5e-4)
    assert (biased.d[0], biased.criterion[0]) == pytest.approx((0.58, -1.31), abs=5e-3)
    assert biased.d[1] < 0.58 < biased.d[2]
    assert biased.errors == "upright"
    assert biased.p < 1e-10
    fair = bias.upright_bias(hundred < 60, hundred >= 60, rng)
    assert (fair.accuracy, fair.d[0], fair.criterion[0]) == pytest.approx((0.6, 0.50, 0.0), abs=2e-3)
    assert fair.errors == "neither"
    assert fair.p == 1.0
    perfect = bias.upright_bias(hundred >= 0, hundred < 0, rng)
    assert perfect.errors == "neither"
    assert bias.upright_bias(hundred < 15, hundred < 5, rng).errors == "turned"


def test_a_constant_answer_is_flagged_and_a_common_one_is_not() -> None:
    label = ["red", "green", "blue", "red"] * 25
    assert bias.histogram(["red"] * 96 + ["green"] * 4, label).constant == "red"
    common = bias.histogram(["red"] * 60 + ["green"] * 39 + [""], label)
    assert common.constant is None
    assert (common.unread, common.predicted["blue"], common.label["blue"]) == (1, 0, 25)
    assert bias.histogram(label, label).divergence < 1e-3 < common.divergence


def test_accuracy_that_grows_with_size_is_found_and_flat_accuracy_is_not() -> None:
    rng = np.random.default_rng(0)
    item, sizes = np.repeat(np.arange(100), 6), (0.01, 0.02, 0.04)
    grown = [rng.uniform(size=600) < p for p in (0.34, 0.6, 0.9)]
    dose = bias.dose(sizes, grown, [item] * 3, 1 / 3)
    assert dose.slope is not None
    assert dose.slope[0] == pytest.approx(0.28, abs=0.04)
    assert dose.smallest == 0.02
    flat = bias.dose(sizes, [rng.uniform(size=600) < 1 / 3 for _ in sizes], [item] * 3, 1 / 3)
    assert flat.smallest is None
    assert flat.p is not None
    assert flat.p > 0.05


def test_a_blind_corner_is_found_and_an_even_field_is_not() -> None:
    shown = responder(3, 300, place=0.7)
    here = shown.place[np.arange(1800), shown.correct]
    corner = (here < -1 / 3).all(axis=1)
    blind = np.where(corner, (shown.correct + 1) % 3, shown.predicted)
    seen = Presentations(
        item=shown.item, colour=shown.colour, place=shown.place, correct=shown.correct, predicted=blind
    )
    first, *others = sorted(bias.by_cell(seen), key=lambda cell: cell.p)
    assert (first.name, first.share) == ("top left", 0.0)
    assert first.p < 1e-6 < min(cell.share for cell in others)
    assert min(cell.p for cell in bias.by_cell(shown)) > 0.01


# readouts


def planted(seed: int, n: int, *, bound: bool) -> tuple[np.ndarray, ...]:
    """Features of 6 n presentations that hold the colour at the correct place, or only place and colours apart."""
    rng = np.random.default_rng(seed)
    colour, correct = np.tile(PERMUTED, (n, 1)), np.repeat(rng.integers(0, 3, n), 6)
    answer = colour[np.arange(6 * n), correct]
    what = np.eye(3)[answer] if bound else np.concatenate([np.eye(3)[correct], np.eye(3)[colour[:, 0]]], axis=1)
    x = np.concatenate([2 * what, np.zeros((6 * n, 12 - what.shape[1]))], axis=1) + rng.normal(size=(6 * n, 12)) * 0.5
    return x, answer, np.repeat(np.arange(n) % 5, 6), np.tile(np.arange(6), n)


def any_of() -> np.random.Generator:
    """What draws from equal scores."""
    return np.random.default_rng(3)


def test_a_bound_colour_is_read_under_assignments_never_seen_and_an_unbound_one_is_not() -> None:
    x, answer, fold, kind = planted(0, 60, bound=True)
    assert (readout.answers(x, answer, fold, kind, any_of(), marks=False).unseen == answer).mean() > 0.9
    x, answer, fold, kind = planted(0, 60, bound=False)
    assert (readout.answers(x, answer, fold, kind, any_of(), marks=False).unseen == answer).mean() < 0.4


def test_a_readout_of_all_assignments_is_at_chance_and_not_below_where_colours_are_not_bound() -> None:
    right = []
    for seed in range(8):
        x, answer, fold, _ = planted(seed, 60, bound=False)
        right.append((readout.asked(x, answer, fold, x, fold, any_of(), marks=False) == answer).mean())
    assert abs(np.mean(right) - 1 / 3) < 0.03
    x, answer, fold, _ = planted(0, 60, bound=True)
    assert (readout.asked(x, answer, fold, x, fold, any_of(), marks=False) == answer).mean() > 0.9


@pytest.mark.parametrize("marks", [False, True])
def test_a_readout_of_features_that_no_colour_moves_guesses_and_likes_neither_a_colour_nor_a_place(marks: bool) -> None:
    rng, n = np.random.default_rng(5), 60
    scene = rng.normal(size=(n, 1, 4)) * np.ones((1, 3 if marks else 1, 1))
    x, fold = np.repeat(scene.reshape(n, -1), 6, axis=0), np.repeat(np.arange(n) % 5, 6)
    colour, correct = np.tile(PERMUTED, (n, 1)), np.repeat(rng.integers(0, 3, n), 6)
    target = correct if marks else colour[np.arange(6 * n), correct]
    predicted = readout.asked(x, target, fold, x, fold, any_of(), marks=marks)
    assert all(90 < count < 150 for count in np.bincount(predicted, minlength=3))
    mark = predicted if marks else (colour == predicted[:, None]).argmax(axis=1)
    places = np.repeat(np.sort(rng.uniform(-1, 1, (n, 3, 2)), axis=1), 6, axis=0)
    item = np.repeat(np.arange(n), 6)
    found = prompts.audit(Presentations(item=item, colour=colour, place=places, correct=correct, predicted=mark))
    assert (found.verdict, min(found.adjusted.values()) > 0.05) == ("NOT_TESTABLE", True)


def test_a_readout_blind_to_turns_favours_neither_and_one_that_sees_them_is_right() -> None:
    rng = np.random.default_rng(6)
    scene, upright = np.repeat(rng.normal(size=(200, 3)), 2, axis=0), np.tile([1, 0], 200)
    fold = np.repeat(np.arange(200) % 5, 2)
    predicted = readout.two_sided(scene, upright, fold, any_of())
    assert 160 < predicted.sum() < 240
    assert (readout.two_sided(scene + 3 * upright[:, None], upright, fold, any_of()) == upright).mean() > 0.8


def test_a_readout_of_all_assignments_never_learns_from_the_image_that_it_is_asked_about() -> None:
    _, answer, fold, _ = planted(0, 60, bound=True)
    noise = np.random.default_rng(3).normal(size=(360, 500))  # learnt by heart where its own image trained it
    assert (readout.asked(noise, answer, fold, noise, fold, any_of(), marks=False) == answer).mean() < 0.45


def test_a_readout_says_what_a_refit_by_hand_says() -> None:
    x, answer, fold, kind = planted(1, 30, bound=True)
    predicted = readout.answers(x, answer, fold, kind, any_of(), marks=False)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for own, left_out in ((predicted.unseen, (4, 0)), (predicted.seen, (0, 3))):  # 0, 3 and 4 are of one parity
        train = (fold != 2) & ~np.isin(kind, left_out)
        mean = z[train].mean(axis=0)
        a, codes = z[train] - mean, np.eye(3)[answer[train]]
        ridge = a.T @ a + 0.03 * (a**2).sum() / len(a) * np.eye(12)
        weight = np.linalg.solve(ridge, a.T @ (codes - codes.mean(axis=0)))
        test = (fold == 2) & (kind == 4)
        assert (own[test] == ((z[test] - mean) @ weight + codes.mean(axis=0)).argmax(axis=1)).all()
    wide = np.concatenate([x, np.random.default_rng(0).normal(size=(180, 300))], axis=1)  # more columns than rows
    assert (readout.answers(wide, answer, fold, kind, any_of(), marks=False).unseen == answer).mean() > 0.6


# where a right answer may come from, and what is read of the marks


def test_a_readout_that_rests_on_its_assignments_does_not_transfer_and_one_that_does_not_transfers() -> None:
    for bound, reading in ((True, "alike"), (False, "differs")):
        x, answer, fold, kind = planted(2, 60, bound=bound)
        predicted = readout.answers(x, answer, fold, kind, any_of(), marks=False)
        found = controls.paired_change(
            predicted.seen == answer, predicted.unseen == answer, np.repeat(np.arange(60), 6)
        )
        assert found.reading == reading
        assert (found.value[0] > 0.2) == (not bound)


def test_a_responder_that_errs_at_borders_between_tokens_is_found_and_an_even_one_is_alike() -> None:
    even = responder(5, 300, place=0.8)
    phase = np.repeat(np.random.default_rng(6).uniform(0, 0.5, (300, 3)), 6, axis=0)
    fields = {f: getattr(even, f) for f in ("item", "colour", "place", "correct")}
    found = controls.by_phase(Presentations(**fields, predicted=even.predicted, phase=phase))
    assert found is not None
    assert found.reading == "alike"
    assert prompts.audit(Presentations(**fields, predicted=even.predicted, phase=phase)).adjusted["phase"] > 0.05
    here = phase[np.arange(1800), even.correct] < 0.15
    blind = np.where(here & (np.arange(1800) % 2 == 0), phase.argmax(axis=1), even.predicted)
    seen = Presentations(**fields, predicted=blind, phase=phase)
    found = controls.by_phase(seen)
    assert found is not None
    assert (found.reading, found.value[0] < -0.2) == ("differs", True)
    audit = prompts.audit(seen)
    assert audit.adjusted["phase"] < 0.001
    assert "borders of tokens" in audit.reason
    assert controls.by_phase(even) is None


def test_how_far_a_mark_lies_from_a_border_is_told_by_the_finest_view_that_sees_it() -> None:
    whole = View(grid=(4, 4))
    assert _prompts_phase([whole], 0.375, 0.125) == pytest.approx(0.5)  # the middle of a token
    assert _prompts_phase([whole], 0.25, 0.125) == 0  # on a border
    assert _prompts_phase([whole], 0.3, 0.125) == pytest.approx(0.2)
    tile = View(grid=(4, 4), box=(0.0, 0.0, 0.5, 0.5))
    assert _prompts_phase([whole, tile], 0.3, 0.0625) == pytest.approx(0.4)
    assert _prompts_phase([whole, tile], 0.8, 0.125) == pytest.approx(0.2)  # the tile does not see it
    cropped = View(grid=(4, 4), box=(0.0, 0.25, 1.0, 0.75))
    assert _prompts_phase([cropped], 0.25 + 0.125 / 2, 0.125) == pytest.approx(0.5)


def test_marks_are_moved_where_no_mark_was_or_not_at_all() -> None:
    marks = [Mark(name=name, x=60.0 + 50 * k, y=112.0) for k, name in enumerate(PURE)]
    for seed in range(20):
        moved = move_marks(marks, (224, 224), 8, np.random.default_rng(seed))
        assert moved is not None
        assert [m.name for m in moved] == list(PURE)
        every = [*marks, *moved]
        apart = [np.hypot(a.x - b.x, a.y - b.y) for i, a in enumerate(every) for b in every[:i]]
        assert min(apart) > 19
        draw.check(moved, 8, 224, 224)
    assert move_marks(marks, (224, 224), 60, np.random.default_rng(0)) is None


def test_answers_without_marks_are_found_where_images_betray_them_and_not_where_they_do_not() -> None:
    rng = np.random.default_rng(8)
    label, groups = rng.integers(0, 3, 150), np.arange(150) // 2
    fold = readout.folds(groups, rng)
    blank = rng.normal(size=(150, 30))
    betraying = np.concatenate([blank, 2 * np.eye(3)[label]], axis=1)
    for x, reading in ((blank, ("chance", "open")), (betraying, ("above",))):
        found = controls.without_marks("without marks", x, label, fold, groups, np.random.default_rng(0))
        assert found is not None
        assert controls.read([found])[0].reading in reading
    lone = controls.without_marks("without marks", blank[:8], label[:8], fold[:8], np.arange(8), rng)
    assert lone is None


def test_answers_that_outlive_their_marks_are_found_and_a_liking_for_red_is_no_such_answer() -> None:
    rng = np.random.default_rng(9)
    label = rng.choice(3, 200, p=[0.6, 0.2, 0.2])
    red = controls.marker_control("marks elsewhere", np.zeros(200, int), label, np.arange(200))
    knows = np.where(rng.uniform(size=200) < 0.6, label, rng.integers(0, 3, 200))
    told = controls.marker_control("marks elsewhere", knows, label, np.arange(200))
    assert red is not None
    assert told is not None
    assert [c.reading for c in controls.read([red, told])] == ["chance", "above"]
    assert controls.marker_control("none", np.full(200, -1), label, np.arange(200)) is None


@pytest.mark.parametrize("held", ["mark and colour", "mark", "nothing"])
def test_tokens_that_hold_a_mark_and_its_colour_are_told_from_those_that_do_not(held: str) -> None:
    rng = np.random.default_rng(10)
    n, fold = 60, np.arange(60) % 5
    colour = rng.permuted(np.tile(np.arange(3), (n, 2, 1)), axis=2)
    place = rng.normal(size=(n, 6, 8))  # what lies there, with a mark or without
    own, moved = place + 0.3 * rng.normal(size=place.shape), place + 0.3 * rng.normal(size=place.shape)
    if held != "nothing":
        own[:, :3, 0] += 4
        moved[:, 3:, 0] += 4
    if held == "mark and colour":
        own[:, :3, 1:4] += 4 * np.eye(3)[colour[:, 0]]
        moved[:, 3:, 1:4] += 4 * np.eye(3)[colour[:, 1]]
    found = controls.tokens_at_marks(
        own.reshape(n, -1), moved.reshape(n, -1), colour, fold, np.arange(n), np.random.default_rng(0)
    )
    mark, hue = (c.reading == "above" for c in controls.read(found))
    assert (mark, hue) == (held != "nothing", held == "mark and colour")


def test_a_vector_that_binds_colours_to_places_is_told_from_one_that_knows_the_places_alone() -> None:
    shown, fold = responder(11, 60), np.repeat(np.arange(60) % 5, 6)
    by_colour = np.argsort(shown.colour, axis=1)
    places = np.take_along_axis(shown.place, by_colour[..., None], axis=1).reshape(360, 6)
    noise = np.random.default_rng(11).normal(size=(360, 6))
    unbound = np.concatenate([shown.place.reshape(360, 6), noise], axis=1)  # where marks lie, and not which is which
    for x, reading in ((places + 0.1 * noise, "above"), (unbound, "chance")):
        found = controls.read(controls.binding(x, shown, fold))
        assert [c.reading for c in found] == [reading] * 2


def test_marks_that_share_a_group_count_once() -> None:
    even = responder(3, 80, place=0.4)
    fields = {f: getattr(even, f) for f in ("item", "colour", "place", "correct", "predicted")}
    alone, paired = (prompts.audit(Presentations(**fields, group=even.item // k)) for k in (1, 20))
    assert alone.spatial == prompts.audit(even).spatial
    assert paired.spatial[0] == alone.spatial[0]
    assert paired.spatial[1:] != alone.spatial[1:]
    with pytest.raises(ProbeError, match=r"phase has shape \(480, 2\); 480 presentations need \(480, 3\)"):
        Presentations(**fields, phase=np.zeros((480, 2)))


# the command

EYE = '''
import numpy as np
from scipy.ndimage import uniform_filter
import encoders
CARD = encoders.Card(name="eye", licence="none", sites={"stage.1": encoders.Site(width=4, grid=(24, 24))},
    input=encoders.Input(size=(96, 96), resize="squash", crop=None, mean=(0.0,) * 3, std=(1.0,) * 3,
                         interpolation="bilinear", backend="pillow"))

def features(images):
    """Redness, greenness, blueness and wide brightness of 24 x 24 blocks."""
    out = []
    for image in images:
        h, w = image.shape[0] // 24, image.shape[1] // 24
        block = image[: 24 * h, : 24 * w].astype(float).reshape(24, h, 24, w, 3).mean((1, 3))
        wide = uniform_filter(block.mean(2), 9)
        out.append(np.concatenate([block - block.mean(2, keepdims=True), wide[..., None]], axis=2).reshape(576, 4))
    return {"stage.1": np.stack(out)}

def load(device):
    return encoders.from_function(CARD, features)
'''


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "encoder" not in request.node.name:  # two commands draw their figure, the others save the time
        monkeypatch.setattr("slitlamp.prompts.plot.figure", lambda found: found)
        monkeypatch.setattr("slitlamp.reports.plots.save", lambda *_: [])
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.chdir(ROOT)


def ran(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert main(list(words)) == code
    told = capsys.readouterr()
    return told.out, told.err


def scenes(folder: Path, n: int, *, told: bool = False) -> list[tuple[str, str, list[str]]]:
    """A manifest of images with three marks, the nearest on the brightest patch; id, nearest, colours from left.

    `told` says where the marks lie, which spares looking for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = "".join(f",{name}_{axis}" for name in PURE for axis in "xy") if told else ""
    rng, out, lines = np.random.default_rng(0), [], ["id,file,group,nearest" + columns]
    y, x = np.mgrid[:96, :96]
    for i in range(n):
        places, names = rng.permutation(9)[:3], [str(v) for v in rng.permutation(list(PURE))]
        at = [(float(18 + 30 * (k % 3) + rng.integers(-2, 3)), float(18 + 30 * (k // 3))) for k in places]
        grey = rng.normal(80, 6, (96, 96))
        for (column, row), light in zip(at, (110, 55, 0), strict=True):
            grey += light * np.exp(-(np.hypot(x - column, y - row) ** 2) / 250)
        marks = [Mark(name=name, x=a, y=b) for name, (a, b) in zip(names, at, strict=True)]
        image = np.repeat(grey.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
        Image.fromarray(draw.draw(image, marks)).save(folder / f"s{i:03d}.png")
        by_name = {m.name: m for m in marks}
        where = "".join(f",{by_name[name].x:g},{by_name[name].y:g}" for name in PURE) if told else ""
        lines.append(f"s{i:03d},s{i:03d}.png,p{i},{names[0]}{where}")
        out.append((f"s{i:03d}", names[0], [m.name for m in sorted(marks, key=lambda m: (m.x, m.y))]))
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return out


def test_an_encoder_is_audited_end_to_end_at_marks_that_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eye.py").write_text(EYE)
    scenes(tmp_path / "in", 20)
    words = ["--encoder", str(tmp_path / "eye.py"), "--data", str(tmp_path / "in" / "manifest.csv"), "--sizes", "0.04"]
    words += ["--readout", "mean", "at-mark", "--out", str(tmp_path / "run"), "--json"]
    before = json.loads(ran(capsys, *words, "--dry-run")[0])["tables"]["plan"][0]
    out, _ = ran(capsys, *words)
    after = json.loads(ran(capsys, *words, "--dry-run")[0])["tables"]["plan"][0]
    assert (before["images_to_encode"], before["seconds"]) == (2 * 6 * 20 + 3 * 20, None), "two sizes, three controls"
    assert (after["images_to_encode"], after["bytes_to_store"]) == (0, 0)
    told = json.loads(out)
    mean, at = told["responders"]
    assert [mean["responder"], at["responder"]] == ["eye stage.1/mean", "eye stage.1/at-mark"]
    assert mean["audit"]["presentations"] == 120
    assert mean["audit"]["accuracy"] < 0.5 < 0.9 < at["audit"]["accuracy"]
    assert at["audit"]["spatial"][1] > 0
    assert [s["name"] for s in at["dose"]["shares"]] == ["0.04", "0.064"]
    assert [c["name"] for c in mean["controls"]] == ["without marks", "marks elsewhere"]
    # three colours that cancel: no direction of this eye's tokens says that there is a mark, of whatever colour
    assert [c["reading"] for c in at["encoded"]] == ["open", "above", "above"]
    assert [at["audit"]["adjusted"].keys(), at["transfer"]["reading"]] == [mean["audit"]["adjusted"].keys(), "alike"]
    assert "phase" in at["audit"]["adjusted"]
    assert not any(c["reading"] == "above" for c in (*mean["controls"], *at["controls"]))
    whole = (tmp_path / "run" / "details.txt").read_text()
    assert "a mark under the token" in whole
    assert "borders of tokens" in whole
    document = json.loads((tmp_path / "run" / "audit.json").read_bytes())
    assert [row["answers of"] for row in document["tables"]["responders"]] == [
        "eye stage.1/mean",
        "eye stage.1/at-mark",
    ]
    assert [line.split(":")[0] for line in document["sentences"]] == ["eye stage.1/mean", "eye stage.1/at-mark"]
    for name in ("audit.json", "answers.csv", "audit.pdf", "audit.png"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    with (tmp_path / "run" / "answers.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 * 2 * 120
    assert {r["assignment"] for r in rows} == {"rgb", "rbg", "grb", "gbr", "brg", "bgr"}


def test_marks_told_where_another_colour_lies_are_refused_and_true_ones_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, lines = tmp_path / "in", ["item,assignment,answer"]
    lines += [f"{name},{code},r" for name, _, _ in scenes(folder, 10) for code in ("rgb", "gbr")]
    (tmp_path / "said.csv").write_text("\n".join(lines))
    with (folder / "manifest.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        for mark in detect.find(np.asarray(Image.open(folder / row["file"]))):
            row |= {f"{mark.name}_x": f"{mark.x:.0f}", f"{mark.name}_y": f"{mark.y:.0f}"}
    words = ["--data", str(folder / "manifest.csv"), "--answers", str(tmp_path / "said.csv"), "--out", str(tmp_path)]
    for wrong, code in ((False, 0), (True, 3)):
        if wrong:
            rows[4] |= {"red_x": rows[4]["blue_x"], "red_y": rows[4]["blue_y"], "blue_x": "", "blue_y": ""}
            rows[4] |= {"blue_x": rows[4]["green_x"], "blue_y": rows[4]["green_y"]}
            rows[4] |= {"green_x": str(int(rows[4]["green_x"]) + 1)}
        with (folder / "manifest.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        err = ran(capsys, *words, code=code)[1]
    assert "the mark told to be red, at (" in err
    assert ", is blue in the image" in err


def test_phantoms_tell_their_marks_and_are_written_for_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--encoder", "pixels", "--task", "wave-depth", "--items", "10", "--seed", "1", "--sizes", "0.08"]
    out, err = ran(capsys, *words, "--images", "--out", str(tmp_path / "run"))
    assert "pixels" in out
    assert "It misleads" in (tmp_path / "run" / "details.txt").read_text()
    assert "80 pictures in" in err
    assert re.search(r"\d of 10 images left out at size 0.08; the first: item ultrasound-\d+: mark", err)
    assert re.search(r"note: size 0.08 fits into \d of 10 images", out)
    image = np.array(Image.open(tmp_path / "run" / "images" / "00003_gbr.png"))
    found = sorted(detect.find(image), key=lambda m: m.x)
    assert [m.name for m in found] == ["green", "blue", "red"]
    listed = (tmp_path / "run" / "images" / "presentations.csv").read_text()
    assert "ultrasound-000003,gbr,00003_gbr.png" in listed
    assert "ultrasound-000003,none,00003_none.png" in listed
    folder = tmp_path / "run" / "images"
    assert detect.every(np.array(Image.open(folder / "00003_none.png"))) == ()
    moved = detect.find(np.array(Image.open(folder / "00003_moved.png")))
    away = [np.hypot(a.x - b.x, a.y - b.y) for a in moved for b in found]
    assert min(away) > 2 * found[0].radius


def test_answers_of_a_model_that_looks_and_of_one_that_says_red(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, rng = scenes(tmp_path / "in", 40, told=True), np.random.default_rng(0)
    for kind in ("looks", "red"):
        lines = ["item,assignment,answer"]
        for name, nearest, colours in known:
            for order in permutations(PURE):
                predicted = "red" if kind == "red" else order[colours.index(nearest)]
                predicted = predicted if rng.uniform() < 0.92 else list(PURE)[rng.integers(3)]
                lines.append(f"{name},{''.join(c[0] for c in order)},{predicted}")
        (tmp_path / f"{kind}.csv").write_text("\n".join(lines) + "\n")
    words = ["--data", str(tmp_path / "in" / "manifest.csv"), "--out", str(tmp_path / "run"), "--replace", "--answers"]
    out, _ = ran(capsys, *words, str(tmp_path / "looks.csv"))
    assert "looks.csv: SPATIAL" in out
    out, _ = ran(capsys, *words, str(tmp_path / "red.csv"))
    assert "red.csv: COLOUR_HEURISTIC" in out
    assert "would be read as" in out
    assert "without marks" not in out
    own = {name: "".join(c[0] for c in colours) for name, _, colours in known}
    memory = {name: nearest for name, nearest, _ in known}
    lines = (tmp_path / "looks.csv").read_text().splitlines()[1:]
    lines = [
        f"{n},{a},{memory[n] if a == own[n] else predicted}" for n, a, predicted in (line.split(",") for line in lines)
    ]
    lines += [f"{name},{kind},{memory[name]}" for name in memory for kind in ("none", "moved")]
    (tmp_path / "knows.csv").write_text("item,assignment,answer\n" + "\n".join(lines))
    out, _ = ran(capsys, *words, str(tmp_path / "knows.csv"))
    assert re.search(r"without marks +1.000 .*answers come from elsewhere than the marks", out)
    assert re.search(r"marks elsewhere +1.000 .*answers come from elsewhere than the marks", out)
    assert re.search(r"colours as they came 1.000 against 0.9", out)
    lines = (tmp_path / "red.csv").read_text().splitlines()
    (tmp_path / "red.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert "note: 39 of 40 images have an answer under all six" in ran(capsys, *words, str(tmp_path / "red.csv"))[0]


RAW = {
    "red": "It is the **red** one.", "green": "The answer is green.", "blue": "blue. The red dot is farther away.",
    "": "I cannot answer that.", "-": "Either red or blue.",
}  # fmt: skip


def test_raw_replies_are_read_like_bare_words_and_what_names_none_is_unread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, rng, lines = scenes(tmp_path / "in", 10, told=True), np.random.default_rng(0), []
    for name, _, _ in known:
        for order in permutations(PURE):
            lines.append((name, "".join(c[0] for c in order), [*RAW][rng.integers(5)]))
    words = ["--data", str(tmp_path / "in" / "manifest.csv"), "--details", "--answers"]
    said = []
    for kind in ("bare", "raw"):
        told = [f"{n},{a},{word if kind == 'bare' else RAW[word]}" for n, a, word in lines]
        (tmp_path / f"{kind}.csv").write_text("\n".join(["item,assignment,answer", *told]) + "\n")
        said.append(ran(capsys, *words, str(tmp_path / f"{kind}.csv"), "--out", str(tmp_path / kind))[0])
    rows = [(tmp_path / kind / "answers.csv").read_text().replace(kind, "") for kind in ("bare", "raw")]
    assert rows[0] == rows[1]
    unread = sum(word in ("", "-") for *_, word in lines)
    assert 10 < unread < 40
    assert all(f"unread {unread}" in out for out in said)
    refused = sum(word == "" for *_, word in lines)
    whole = " ".join(said[1].split())
    counts = sorted([(refused, "refusal"), (unread - refused, "two options")], key=lambda p: (-p[0], p[1]))
    told = ", ".join(f"{n} {why}" for n, why in counts)
    assert f"{unread} of 60 replies name no option and count as unread ({told})" in whole
    assert "count as unread" not in said[0]


def test_raw_replies_about_turns_are_read_and_the_unread_have_no_partner(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [
        ("a", "0", "The film is upright."), ("a", "180", "It is not upright; it is flipped."),
        ("b", "0", "not rotated"), ("b", "180", "This image is upside-down."), ("c", "0", "upright"),
        ("c", "180", "I am unable to say."),
    ]  # fmt: skip
    path.write_text("item,turned,answer\n" + "\n".join(",".join(line) for line in lines))
    upright, turned, names, alone, notes = of_turns(str(path))
    assert upright.tolist() == [True, True]
    assert turned.tolist() == [False, False]
    assert names == ["a", "b"]
    assert alone == 2
    assert len(notes) == 1
    assert "1 of 6 replies name no option and count as unread (1 refusal); the first: a.csv line 7" in notes[0]
    path.write_text("item,turned,answer\na,0,uprite\n")
    with pytest.raises(DataError, match=r"line 2: answer is 'uprite'; did you mean 'upright'\?"):
        of_turns(str(path))


def test_bad_answers_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes(tmp_path / "in", 3)
    data = str(tmp_path / "in" / "manifest.csv")
    words = ["--data", data, "--out", str(tmp_path / "run"), "--answers", str(tmp_path / "a.csv")]

    def predicted(text: str, code: int = 3) -> str:
        (tmp_path / "a.csv").write_text(text)
        err = ran(capsys, *words, code=code)[1]
        lines = [line for line in err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1
        return lines[0]

    head = "item,assignment,answer\n"
    assert "a.csv has no column 'assignment' (nearest: 'asignment')" in predicted("item,asignment,answer\nx,rgb,red\n")
    assert "a.csv holds no answer" in predicted(head)
    assert "line 2: manifest.csv has no item 's0001'; did you mean 's00" in predicted(head + "s0001,rgb,red\n")
    assert "assignment is 'rgg'" in predicted(head + "s001,rgg,red\n")
    assert "answer is 'rd'; did you mean 'red'?" in predicted(head + "s001,rgb,rd\n")
    assert "a.csv answers no image in any assignment of colours, only none and moved" in predicted(
        head + "s001,none,red\n"
    )
    assert "answered before under rgb" in predicted(head + "s001,rgb,red\ns001,rgb,red\n")
    assert "answers to two images or more" in predicted(head + "s001,rgb,red\n")
    assert "answers to two images or more" in predicted((head + "s001,rgb,red\n").replace(",", ";"))
    assert "a.csv line 2 has 4 values for 3 columns" in predicted(head + "s001,rgb,red, or blue\n")
    (tmp_path / "a.csv").unlink()
    assert "a.csv cannot be read: no such file" in ran(capsys, *words, code=2)[1]


def test_upright_bias_of_a_model_and_its_lone_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["item,turned,answer"]
    for i in range(100):
        lines += [f"f{i},0,{'upright' if i < 95 else 'flipped'}", f"f{i},180,{'upright' if i < 85 else 'upside down'}"]
    path = tmp_path / "films.csv"
    path.write_text("\n".join([*lines, "alone,0,upright"]) + "\n")
    out, _ = ran(capsys, "--task", "orientation", "--answers", str(path), "--out", str(tmp_path / "run"))
    assert "films.csv: upright is favoured" in out
    assert "accuracy             0.550; without bias 0.614" in out
    assert "criterion, c         -1.31" in out
    assert "1 answers without a readable partner" in out
    path.write_text("item,turned,answer\na,0,upright\n")
    err = ran(capsys, "--task", "orientation", "--answers", str(path), "--out", str(tmp_path / "run"), code=3)[1]
    assert "no item has an answer both as it is and turned" in err


def test_answers_about_turns_are_to_images_of_the_source_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes(tmp_path / "in", 3)
    path = tmp_path / "said.csv"
    words = ["--task", "orientation", "--answers", str(path), "--out", str(tmp_path / "run"), "--replace"]
    data = ["--data", str(tmp_path / "in" / "manifest.csv")]
    lines = [f"s00{i},{turn},{'upright' if turn == '0' else 'flipped'}" for i in (0, 1) for turn in ("0", "180")]
    path.write_text("\n".join(["item,turned,answer", *lines]) + "\n")
    assert "2 images in 2 groups" in ran(capsys, *words, *data)[0]
    path.write_text("\n".join(["item,turned,answer", *lines, "s0001,0,upright"]) + "\n")
    err = ran(capsys, *words, *data, code=3)[1]
    assert "said.csv line 6: manifest.csv has no item 's0001'; did you mean 's00" in err
    assert "2 images in 2 groups" in ran(capsys, *words)[0]  # no source is named: the file names its own


def test_answers_about_turns_name_files_of_a_folder_as_answers_import_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/one.png", "a/two.png", "b/two.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), len(name) + ord(name[0]), np.uint8)).save(tmp_path / "in" / name)
    path = tmp_path / "said.csv"
    words = ["--task", "orientation", "--answers", str(path), "--out", str(tmp_path / "run"), "--replace", "--data"]
    lines = [f"{name},{turn},upright" for name in ("one", "b/two.png") for turn in ("0", "180")]
    path.write_text("\n".join(["item,turned,answer", *lines]) + "\n")
    assert "2 images in 2 groups" in ran(capsys, *words, str(tmp_path / "in"))[0]
    path.write_text("item,turned,answer\ntwo,0,upright\n")
    assert "said.csv line 2: in has no item 'two'" in ran(capsys, *words, str(tmp_path / "in"), code=3)[1]


def test_a_readout_of_an_encoder_is_asked_for_upright_bias(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--task", "orientation", "--encoder", str(ROOT / "tests" / "numpy_encoder.py"), "--site", "pooled",
             "blind", "--items", "40", "--out", str(tmp_path / "run"))  # fmt: skip
    assert "40 images to encode" in ran(capsys, *words, "--dry-run")[0]
    out, _ = ran(capsys, *words)
    assert "0 images to encode" in ran(capsys, *words, "--dry-run")[0].replace("40 images", "")
    assert "blocks pooled/vector: neither is favoured" in out
    assert "told apart, d'" in out


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_encoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--data", "nowhere", "--out", str(tmp_path / "file" / "x")]) == 2
    assert "cannot be written (Not a directory): name a folder of your own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--task", "contrast", "--items", "10"], 2, "task contrast is not answered by the colour of a mark"),
        (["--task", "depht"], 2, "did you mean"),
        (["--sizes", "3"], 2, "--sizes 3: a radius is a share of the shorter side from 0.004 to 0.1"),
        (["--items", "4"], 2, "--items 4: must be at least 10"),
        (["--sizes", "0.03", "0.03"], 2, "--sizes 0.03 0.03: one of them is given twice"),
        (["--data", "x", "--unreadable", "2"], 2, "--unreadable 2.0: must be a share from 0 to 1"),
        (["--answers", "a.csv", "--encoder", "pixels"], 2, "give one of the two"),
        (["--answers", "a.csv", "--site", "final"], 2, "--site asks an encoder: give one of the two"),
        (["--task", "orientation", "--label", "sex"], 2, "--label sex has nothing to act on: orientation makes"),
        (["--data", "x", "--items", "40"], 2, "--items 40 makes phantoms"),
        (["--answers", "nowhere.csv", "--items", "10"], 2, "nowhere.csv cannot be read: no such file"),
        (["--permutations", "9"], 2, "unrecognised argument --permutations"),
        (["--task", "label"], 2, "task label has no phantoms: say --data SOURCE"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_line(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    err = ran(capsys, *words, "--out", str(tmp_path / "run"), code=code)[1]
    assert message in err
    assert sum(line.startswith("error:") for line in err.splitlines()) == 1
