"""Regions of phantoms lie where the picture changes when what they name is taken away, and nowhere else."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import tasks
from tasks import Row
from tasks.marks import draw as drawing
from tasks.phantoms import radiograph
from tasks.phantoms.abdomen import axial
from tasks.phantoms.abdomen import patient as abdomen
from tasks.phantoms.chest import body, child, film
from tasks.phantoms.panorama import film as panorama
from tasks.phantoms.pelvis import body as pelvis_body
from tasks.phantoms.pelvis import soft_tissue
from tasks.phantoms.tissue import section, stain
from tasks.phantoms.ultrasound import scan
from tests.paths import ROOT
from tests.tasks.phantoms.test_source import MAKERS

REACH = 4  # pixels: blur, the coarser grids that organs are drawn on, and an edge filter


def nothing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same drawing, of nothing: zeros in the same place."""

    def drawn(*given: Any) -> Any:
        found = function(*given)
        return (found[0], 0 * found[1]) if isinstance(found, tuple) else 0 * found

    return drawn


def only(keep: Callable[[Any], Any]) -> Any:
    """Marks drawn as ever, but only those that are kept."""
    draw = drawing.draw
    return lambda image, marks: draw(image, keep(marks))


def fewer(kept: np.ndarray) -> Any:
    """Of the 32 teeth only those that are kept."""
    shadows = panorama.shadows
    return lambda p, teeth, there, size: shadows(p, teeth, there & kept, size)


TISSUES = {
    "vessels": (abdomen.AORTA, abdomen.CAVA, abdomen.PORTAL, abdomen.TWIG),
    "kidneys": (abdomen.KIDNEY, abdomen.PYRAMID),
    "liver": (abdomen.LIVER,),
    "spleen": (abdomen.SPLEEN,),
    "doubles": range(abdomen.DOUBLE, 2 * abdomen.DOUBLE),
}


def without_tissue(name: str) -> Any:
    hounsfield = axial.hounsfield

    def changed(p: abdomen.Abdomen) -> np.ndarray:
        out = hounsfield(p)
        out[:, list(TISSUES[name])] = -102
        return out

    return changed


def bare(layer: int | None) -> Any:
    """Fields whose section has no vessels, and without one layer."""
    field = section.field

    def changed(*given: Any) -> Any:
        p, plan = field(*given)
        labels = plan.labels if layer is None else np.where(plan.labels == layer, np.uint8(4), plan.labels)
        return replace(p, vessels=0), replace(plan, labels=labels)

    return changed


CHEST: dict[str, Any] = {
    "heart": (body, "_heart", nothing(body._heart)),
    "aortic arch": (body, "_arch", nothing(body._arch)),
    "gastric bubble": (body, "_bubble", nothing(body._bubble)),
    "lungs": (body, "_lungs", nothing(body._lungs)),
    "ribs": (body, "ribs", nothing(body.ribs)),
    "frame border": (radiograph, "rim", lambda size, border: np.ones(size, np.float32)),  # noqa: ARG005
}
DOTS: dict[str, Any] = {
    "marks": (drawing, "draw", only(lambda marks: marks[:0])),
    "nearest mark": (drawing, "draw", only(lambda marks: marks[1:])),
}
TAKEN: dict[str, dict[str, Any]] = {
    "chest": CHEST,
    "age": CHEST | {"frame border": (child, "rim", CHEST["frame border"][2])},
    "chest-marks": CHEST
    | {
        "red mark": (drawing, "draw", only(lambda marks: [m for m in marks if m.name != "red"])),
        "blue marks": (drawing, "draw", only(lambda marks: [m for m in marks if m.name != "blue"])),
    },
    "pelvis": {
        "iliac wings": (pelvis_body, "_wing", nothing(pelvis_body._wing)),
        "pubis and ischium": (pelvis_body, "_ring", nothing(pelvis_body._ring)),
        "femora": (pelvis_body, "_femur", nothing(pelvis_body._femur)),
        "sacrum": (pelvis_body, "_sacrum", nothing(pelvis_body._sacrum)),
        "lumbar spine": (pelvis_body, "_lumbar", nothing(pelvis_body._lumbar)),
        "bladder": (soft_tissue, "bladder", nothing(soft_tissue.bladder)),
        "frame border": CHEST["frame border"],
    },
    "abdomen": {name: (axial, "hounsfield", without_tissue(name)) for name in TISSUES},
    "lumen": DOTS,
    "lumen-matched": DOTS,
    "ultrasound": {
        **DOTS,
        "skin": (scan, "draw", lambda rng, draw=scan.draw: replace(draw(rng), skin=-0.1)),
    },
    "tissue": {
        "mark": (drawing, "draw", only(lambda marks: marks[:0])),
        "nuclei": (stain, "nuclei", nothing(stain.nuclei)),
    },
    "panorama": {
        "teeth": (panorama, "shadows", fewer(np.zeros(32, bool))),
        "third molars": (panorama, "shadows", fewer(np.arange(32) % 8 != 7)),
        "frame border": CHEST["frame border"],
    },
}
CASES = [(kind, region) for kind, regions in TAKEN.items() for region in regions]
ABSENT = {  # what a patient may lack, and how the row tells
    ("chest", "gastric bubble"): lambda row: float(row.columns["bubble"]) == 0,
    ("chest", "frame border"): lambda row: float(row.columns["border"]) == 0,
    ("age", "gastric bubble"): lambda row: float(row.columns["bubble"]) == 0,
    ("pelvis", "bladder"): lambda row: float(row.columns["bladder"]) == 0,
    ("panorama", "third molars"): lambda row: row.columns["count"] == "0",
}


@lru_cache
def rows(kind: str) -> tuple[Row, ...]:
    return MAKERS[kind](12, 3).rows


def share(change: np.ndarray, mask: np.ndarray) -> float:
    """How much of a change lies in a mask or near it."""
    return float(change[ndimage.binary_dilation(mask, iterations=REACH)].sum() / change.sum())


def change(row: Row, kind: str, region: str, patch: pytest.MonkeyPatch) -> np.ndarray:
    """By how many greys every pixel differs when what a region names is taken away."""
    if kind == "age":  # whose greys follow ranks, so that a missing heart would change them everywhere
        patch.setattr(child, "ranked", lambda values, shown, tones: values * shown * (0.55 if len(tones) == 11 else 1))
    before = row.picture.read().astype(float)
    patch.setattr(*TAKEN[kind][region])
    apart = np.abs(row.picture.read() - before)
    return apart.max(-1) if apart.ndim == 3 else apart


@pytest.mark.parametrize(("kind", "region"), CASES)
def test_a_picture_changes_where_the_mask_says_when_what_it_names_is_taken_away(
    kind: str, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in rows(kind) if region in row.regions)
    mask = row.regions[region]()
    assert (mask.dtype, mask.shape) == (bool, row.picture.read().shape[:2])
    apart = change(row, kind, region, monkeypatch)
    assert share(apart, mask) > 0.98
    assert (apart[mask] > 2).mean() > 0.5
    assert share(apart, np.roll(mask, (30, 30), (0, 1))) < 0.9  # the same mask in another place is seen


@pytest.mark.parametrize(("kind", "region"), ABSENT)
def test_a_region_that_is_not_drawn_is_absent(kind: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = [ABSENT[kind, region](row) for row in rows(kind)]
    assert [region not in row.regions for row in rows(kind)] == lacking
    assert set(lacking) == {True, False}
    row = rows(kind)[lacking.index(True)]
    assert change(row, kind, region, monkeypatch).max() == 0


def test_every_region_of_every_phantom_is_tried_and_described() -> None:
    elsewhere = {"around the marks", "tissue under the mark", "lead letter"}
    for kind in MAKERS:
        known = {region for row in rows(kind) for region in row.regions}
        assert known - elsewhere == set(TAKEN[kind])
    tried = {region for regions in TAKEN.values() for region in regions}
    assert tried | elsewhere == set(tasks.REGIONS)
    page = (ROOT / "docs" / "phantoms.md").read_text(encoding="utf-8")
    lines = [line.split("|")[2:4] for line in page[page.index("## Regions") :].splitlines() if line.startswith("| `")]
    for number, shortcut in enumerate((False, True)):
        named = {name for line in lines for name in re.findall(r"`([a-z ]+)`", line[number])}
        assert named == {name for name, region in tasks.REGIONS.items() if region.shortcut == shortcut}


def test_lead_letters_are_their_own_pixels_and_only_where_they_are_drawn() -> None:
    plain, lettered = film.source(1, 0).rows[0], film.source(1, 0, letter=True).rows[0]
    letters = lettered.regions["lead letter"]()
    assert "lead letter" not in plain.regions
    assert np.array_equal(plain.picture.read()[~letters], lettered.picture.read()[~letters])
    assert set(lettered.picture.read()[letters]) == {247}


@pytest.mark.parametrize("kind", ["lumen", "ultrasound"])
def test_what_is_around_marks_is_near_them_and_under_none(kind: str) -> None:
    row = rows(kind)[0]
    under, around = row.regions["marks"](), row.regions["around the marks"]()
    far = ndimage.distance_transform_edt(~under)
    assert not (under & around).any()
    assert 0 < far[around].min() <= far[around].max() <= drawing.radius(224) + 1
    assert (far[~under & ~around] > drawing.radius(224) - 1).all()
    names = [mark.name for mark in row.marks]
    assert names[0] == row.columns["nearest"]
    colour = row.picture.read()[row.regions["nearest mark"]()]
    assert (colour == np.array(drawing.COLOURS[names[0]], np.uint8)).all(-1).mean() > 0.3


def test_the_tissue_under_the_mark_is_the_layer_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stain, "nuclei", nothing(stain.nuclei))
    for row in rows("tissue")[:4]:
        layer = section.CLASSES.index(row.columns["tissue"])
        mask = row.regions["tissue under the mark"]()
        seen = []
        for taken in (None, layer):
            with monkeypatch.context() as patch:
                patch.setattr(section, "field", bare(taken))
                seen.append(row.picture.read().astype(float))
        assert share(np.abs(seen[1] - seen[0]).max(-1), mask) > 0.98
        assert ndimage.binary_dilation(mask, iterations=2)[row.regions["mark"]()].any()


def test_organs_of_the_abdomen_are_always_there() -> None:
    for i in range(25):
        k, _ = axial.paint(axial.patient(1, i), np.random.default_rng([1, i, axial.CODE, 1]), 224)
        assert all(np.isin(k.tissue, tissues).any() for tissues in axial.TISSUES.values()), i


def test_organs_of_a_film_with_marks_are_shown_as_the_film_is() -> None:
    """A heart lies to the patient's left: where the picture shows that side."""
    for row in rows("chest-marks"):
        middle = np.argwhere(row.regions["heart"]()).mean(0)
        left = row.columns["shown"] in ("as taken", "turned and mirrored")
        assert (middle[1] > 111.5 + 112 * float(row.columns["dx"]) * (1 if left else -1)) == left, row.id
