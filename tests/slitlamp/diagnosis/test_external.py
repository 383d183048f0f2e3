"""Probes trained elsewhere and the model's own answers foretold: what transfers and what does not, each with a twin."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import encoders
import slitlamp
from slitlamp import UsageError
from tasks import DataError
from tests.slitlamp.diagnosis import organism
from tests.slitlamp.diagnosis.test_diagnose import LITTLE, answers_file


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of the organism, and external ones beside them."""
    place = tmp_path_factory.mktemp("external")
    organism.files(place)
    squares(place / "same", 11, "side")
    squares(place / "other", 12, "height")
    return place


def squares(folder: Path, seed: int, fact: str, count: int = 60, classes: tuple[str, str] = ("left", "right")) -> Path:
    """Other images of a bright square with a manifest whose column `side` says the fact, or the toss of a coin."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "patient", "side"])
        for k in range(count):
            image = rng.integers(60, 140, (24, 24)) + rng.integers(-15, 15)
            side, height, coin = k % 2, k // 2 % 2, int(rng.integers(2))
            y = 12 * height + int(rng.integers(0, 5))
            image[y : y + 8, 16 * side : 16 * side + 8] += 60
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{k:02}.png")
            told = {"side": side, "height": height, "coin": coin}[fact]
            rows.writerow([f"{k:02}.png", f"q{seed}-{k}", classes[told]])
    return folder


def followed(home: Path, monkeypatch: pytest.MonkeyPatch, **flags: Any) -> slitlamp.CommandResult:
    """The diagnosis of the organism's tower and connector."""
    monkeypatch.setenv("SLITLAMP_CACHE", str(home / "store"))
    monkeypatch.chdir(home)
    monkeypatch.setattr(encoders, "whole_names", lambda: ())
    given: dict[str, Any] = {"data": "manifest.csv", "label": "side", "group": "patient", **LITTLE}
    return slitlamp.diagnose(organism.NAME, **given | flags)


def right(home: Path, wrong: bool = False) -> dict[str, str]:
    """The letters of right answers to the organism's items; or by its brightness, another fact."""
    light = [float(np.asarray(Image.open(home / f"{k:02}.png"), float).mean()) for k in range(organism.N)]
    bright = np.array(light) > np.median(light)
    return {f"square{k}": "AB"[int(bright[k]) if wrong else k % 2] for k in range(organism.N)}


def test_a_probe_trained_elsewhere_reads_the_items_or_that_only_theirs_does_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = answers_file(tmp_path / "bright.csv", right(home, wrong=True))
    found = followed(home, monkeypatch, answers=told, external="same/manifest.csv")
    rows = {row["name"]: row for row in found.table("stages")}
    assert rows["connector, trained elsewhere"]["verdict"] == "present"
    assert rows["connector, trained elsewhere"]["score"] > 0.85
    verdict = found.table("verdicts")[0]
    assert verdict["failure"] == "language_model"
    assert "A probe that saw none of these items" in verdict["reason"]
    assert any("reads it too" in line for line in found.sentences)
    assert "connector, trained elsewhere to answer, AUC" in {row["between"] for row in found.table("losses")}

    found = followed(home, monkeypatch, answers=told, external="other/manifest.csv")
    verdict = found.table("verdicts")[0]
    assert "Only the probe trained on these items reads it" in verdict["reason"]
    assert verdict["confidence"] != "strong"
    assert {r["verdict"] for r in found.table("stages") if r["stage"] == "external"} == {"inconclusive"}


def test_what_is_no_external_set_of_the_same_classes_is_refused_in_a_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squares(home / "up", 14, "side", classes=("up", "down"))
    squares(home / "few", 15, "side", count=12)
    squares(home / "copies", 16, "side")
    Image.open(home / "03.png").save(home / "copies" / "05.png")
    for entry, kind, words in (
        ("up/manifest.csv", UsageError, "its answers are down, up, and those of label side left, right"),
        ("few/manifest.csv", DataError, "has 12 groups: 20 are needed"),
        ("copies/manifest.csv", DataError, "holds 1 images that are asked themselves, or copies of them"),
        ("manifest.csv", DataError, "holds 48 images that are asked themselves"),
        ("nowhere.csv", UsageError, "no such file or folder, and no task with phantoms"),
        ("orientaton", UsageError, "did you mean 'orientation'"),
        ("orientation", UsageError, "its answers are upright, upside down, and those of"),
        ("mirror=same", UsageError, "mirror is no task of this command"),
    ):
        with pytest.raises(kind, match=words) as told:
            followed(home, monkeypatch, external=entry)
        assert "\n" not in str(told.value)


def test_answers_that_follow_another_fact_are_a_heuristic_and_a_coins_are_not(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def probed(letters: dict[str, str]) -> tuple[dict[str, Any], str]:
        told = answers_file(tmp_path / "answers.csv", letters)
        found = followed(home, monkeypatch, answers=told)
        (row,) = found.table("answer_probe")
        return row, " ".join(found.sentences)

    row, said = probed(right(home, wrong=True))
    assert row["state"] == "heuristic"
    assert row["score"] > 0.8 > row["right_high"]
    assert row["wrong_foretold"] > 0.7 * row["wrong"] > 0
    assert "a systematic heuristic, not noise" in said

    rng = np.random.default_rng(3)
    row, said = probed({name: "AB"[int(rng.integers(2))] for name in right(home)})
    assert row["state"] == "not foretold"
    assert "not shown to follow what is read" in said

    row, said = probed(right(home))
    assert row["state"] == "foretold"  # it is right, and what foretells it is the fact itself
    assert "heuristic" not in said

    row, said = probed(dict.fromkeys(right(home), "A"))
    assert (row["state"], row["score"]) == ("nothing to predict", None)  # and no accuracy of 1
    assert "of 48 items it says left 48, right 0" in said
