"""The command about a model's failures on models of known faults: each is found, and none that is not there."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import encoders
import slitlamp
from encoders import EncoderError
from experiments.diagnose import main
from probes.stages.information import codelength
from slitlamp import UsageError
from slitlamp.diagnosis import information
from slitlamp.records import code_version
from tasks import DataError
from tests.slitlamp.diagnosis import organism

ASK = ("Where is the square?", "On which side is it?")
LITTLE: dict[str, Any] = {"permutations": 99, "repeats": 1, "folds": 5, "twins": 0, "jobs": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the images lie, and the store that all models share."""
    return tmp_path_factory.mktemp("models")


def planted(
    home: Path, monkeypatch: pytest.MonkeyPatch, tower: str, connector: str, says: str,
    *, remembered: bool = False, **flags: Any,
) -> slitlamp.CommandResult:  # fmt: skip
    """The diagnosis of a model with these faults."""
    folder(home, monkeypatch, tower, connector, remembered=remembered)
    monkeypatch.setattr(encoders, "load_whole", organism.whole(says))
    monkeypatch.setattr(information, "codelength", partial(codelength, orders=1))  # five cost seconds
    monkeypatch.setattr(encoders, "whole_names", lambda: (organism.NAME,))
    given: dict[str, Any] = {
        "data": "manifest.csv", "label": "side", "group": "patient", "question": ASK, **LITTLE, **flags,
    }  # fmt: skip
    return slitlamp.diagnose(organism.NAME, **given)


def folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, tower: str, connector: str, *, remembered: bool = False
) -> None:
    """Go where the images and a tower with these faults lie, with a store of its own where it is remembered."""
    place = home / f"{tower}-{connector}{'-remembered' * remembered}"
    if not place.exists():
        place.mkdir()
        organism.files(place, tower, connector, remembered=remembered)
    monkeypatch.setenv("SLITLAMP_CACHE", str(place if remembered else home / "store"))
    monkeypatch.chdir(place)


def scores(found: slitlamp.CommandResult) -> dict[str, Any]:
    return {row["name"]: row for row in found.table("stages")}


def test_a_model_that_works_has_lost_nothing_and_a_rerun_asks_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    found = planted(home, monkeypatch, "sees", "keeps", "works", remembered=True, out=out, information=True)
    verdict = found.table("verdicts")[0]
    assert (verdict["failure"], verdict["code"]) == ("none", "NO_LOSS")
    assert not found.failed
    at = scores(found)
    assert [row["stage"] for row in found.table("stages")][:6] == [
        "reference", "encoder", "connector", "language_model", "language_model", "answer",
    ]  # fmt: skip
    assert at["answer"]["score"] > 0.9
    assert abs(at["no image"]["score"] - 0.5) < 0.05  # the question alone gives nothing away
    causal = {row["edit"]: row for row in found.table("causal")}
    assert causal["answers that follow the exchange"]["state"] == "material"
    assert {row["measure"] for row in causal.values()} == {
        "AUC lost", "share that follows, beyond the same class", "AUC area given",
    }, "an effect is named by what it is, and only what is lost is called a loss"  # fmt: skip
    assert at["no image"]["verdict"] == "blind by construction"
    assert at["no image"]["low"] is None, "an interval around what cannot vary says nothing"
    assert at["answer"]["verdict"] == "present"
    assert causal["erased"]["effect"] > 0.25 > abs(causal["random direction erased"]["effect"])
    parts = [row for row in found.table("losses") if row["of"] == "decomposition"]
    assert sum(row["loss"] for row in parts[:-1]) == pytest.approx(parts[-1]["loss"])
    assert "no other fact" in " ".join(found.sentences)
    bits = {row["name"]: row for row in found.table("information")}
    assert bits["answer"]["bits"] > 0.1
    assert bits["tower"]["to"] == "connector"
    assert bits["tower"]["code"] < bits["tower"]["code_uniform"] == organism.N
    assert not any("ERROR" in line for line in found.sentences)
    first, second = found.table("kept")
    assert first["neighbours_kept"] > 0.6 > 0.3 > first["chance"]
    assert first["patch_error"] < 0.35  # five of six numbers of a patch are handed on
    assert second["patch_error"] is None
    assert [(row["row"], row["column"]) for row in found.table("patches")] == [(k // 3, k % 3) for k in range(9)]
    counts = found.table("items")
    assert sum(row["items"] for row in counts) == organism.N
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    with (tmp_path / "out" / "items.csv").open(newline="") as file:
        items = list(csv.DictReader(file))
    assert {row["quadrant"] for row in items} <= {"ideal", "fragile", "dangerous", "worst"}
    assert [row["answered"] for row in items].count("1") == sum(r["items"] for r in counts if r["answered"] == "yes")
    for what in ("load_whole", "load"):
        monkeypatch.setattr(encoders, what, _never)
    monkeypatch.setattr("slitlamp.diagnosis.transport.transported", _never)
    monkeypatch.setattr("slitlamp.reports.plots.written", _never)
    again = planted_again(home, monkeypatch, tmp_path)
    assert "0 images encoded, 0 cells measured" in again.summary
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()} == before
    document = json.loads(before["results.json"])
    assert {"model", "task", "failure", "code", "confidence", "reason"} <= set(document["tables"]["verdicts"][0])
    assert document["verdicts"] == document["tables"]["verdicts"]
    records = document["records"]
    assert {row["stage"] for row in records} >= {"encoder", "connector", "language_model", "answer"}
    every = """experiment encoder weights task source site readout probe n_items n_groups n_classes metric score low
        high confidence chance p_value mde limit margin verdict credit loss reference reason control_shuffled
        control_pixels control_lowlevel control_random seed folds repeats device dtype seconds features_key data_key
        code_version command limited"""  # what a record has, by DESIGN 6
    assert set(every.split()) <= set(records[0])
    assert records[0]["code_version"] == code_version()
    with (tmp_path / "out" / "points.csv").open(newline="") as file:
        keys = {(row["encoder"], row["site"], row["readout"]): row["features_key"] for row in csv.DictReader(file)}
    read = [row for row in records if row["site"] is not None]
    assert len(read) > 4
    assert all(row["features_key"] == keys[row["encoder"], row["site"], row["readout"]] for row in read)
    assert "code_version" not in (tmp_path / "out" / "stages.csv").read_text()
    assert records[0]["control_pixels"] == at["thumbnail"]["score"]
    assert {
        "information.png",
        "patches.png",
        "stages.png",
        "layers.png",
        "stages.csv",
        "points.csv",
        "items.parquet",
    } <= set(document["files"])


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("a finished run needs neither a model nor its transports and figures again")


def planted_again(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> slitlamp.CommandResult:
    monkeypatch.chdir(home / "sees-keeps-remembered")
    given: dict[str, Any] = {"data": "manifest.csv", "label": "side", "group": "patient", "question": ASK, **LITTLE}
    return slitlamp.diagnose(organism.NAME, out=str(tmp_path / "out"), information=True, **given)


@pytest.mark.parametrize(
    ("connector", "answers", "failure"), [("keeps", "constant", "language_model"), ("nulls", "works", "connector")]
)
def test_a_planted_fault_is_found_where_it_lies(
    home: Path, monkeypatch: pytest.MonkeyPatch, connector: str, answers: str, failure: str
) -> None:
    more: dict[str, Any] = {"causal": "auto"} if answers == "constant" else {"causal": "off", "information": True}
    found = planted(home, monkeypatch, "sees", connector, answers, **more)
    verdict = found.table("verdicts")[0]
    assert verdict["failure"] == failure
    if connector == "nulls":
        kept = found.table("kept")[0]
        assert kept["patch_error"] > 0.8  # one mean for nine patches
        assert kept["neighbours_kept"] < 0.7
        assert {row["name"]: row["bits"] for row in found.table("information")}["connector"] < 0.2
    if answers == "constant":
        assert verdict["code"].startswith("LM_NOT_USED")
        assert "A trained probe and an untrained answer are compared." in " ".join(found.sentences)


def test_what_was_computed_is_kept_where_the_language_model_cannot_be_had(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def too_little(*_: Any, **__: Any) -> Any:
        raise EncoderError("tiny.py needs 14.1 GB of memory, and 3.2 GB are free")

    folder(home, monkeypatch, "blind", "keeps")
    monkeypatch.setattr("slitlamp.reports.plots.written", lambda *_: [])
    monkeypatch.setattr(encoders, "load_whole", too_little)
    monkeypatch.setattr(encoders, "whole_names", lambda: (organism.NAME,))
    code = main(
        ["--model", organism.NAME, "--data", "manifest.csv", "--label", "side", "--group", "patient", "--question",
         *ASK, *(word for k, v in LITTLE.items() for word in (f"--{k}", str(v))), "--out", str(tmp_path / "out")]
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 5
    assert "needs 14.1 GB" in said.err
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["stage"] for row in document["tables"]["stages"]][:3] == ["reference", "encoder", "connector"]
    assert document["tables"]["verdicts"][0]["code"] == "ENCODER_LOST"


def test_a_model_that_cannot_be_built_whole_is_followed_to_its_connector(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(home, monkeypatch, "sees", "keeps")
    monkeypatch.setattr(encoders, "whole_names", lambda: ())
    given: dict[str, Any] = {"data": "manifest.csv", "label": "side", "group": "patient", **LITTLE}
    found = slitlamp.diagnose(organism.NAME, reference="pixels", **given)
    assert found.table("verdicts")[0]["code"] == "NOT_TESTABLE(P-ANS)"
    assert any("cannot be built with its language model here" in line for line in found.sentences)
    rows = found.table("stages")
    assert [row["stage"] for row in rows][:3] == ["reference", "encoder", "connector"]
    assert rows[0]["encoder"] == "pixels"  # what was named, be it the best or not
    published = slitlamp.diagnose(organism.NAME, reference_accuracy=1.0, **given)
    assert any("an accuracy of 1 that others reach" in line for line in published.sentences)


def answers_file(path: Path, letters: dict[str, str]) -> str:
    path.write_text("item,answer\n" + "".join(f"{item},{letter}\n" for item, letter in letters.items()))
    return str(path)


def test_answers_made_elsewhere_take_the_place_of_the_model(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right = {f"square{k}": "B" if k % 2 else "A" for k in range(organism.N)}
    told = answers_file(tmp_path / "right.csv", right)
    found = planted(home, monkeypatch, "sees", "keeps", "works", answers=told, question=())
    assert found.table("verdicts")[0]["failure"] == "none"
    some = answers_file(tmp_path / "some.csv", dict(list(right.items())[:38]))
    found = planted(home, monkeypatch, "sees", "keeps", "works", answers=some, question=())
    assert any("10 of 48 answers name no option, or are missing" in line for line in found.sentences)
    strange = answers_file(tmp_path / "strange.csv", {f"other{k}": "A" for k in range(9)})
    with pytest.raises(DataError, match="none of its 9 items is in"):
        planted(home, monkeypatch, "sees", "keeps", "works", answers=strange, question=())
    twice = tmp_path / "twice.csv"
    twice.write_text("item,answer\nsquare0,A\nsquare0,B\n")
    with pytest.raises(DataError, match="answered twice"):
        planted(home, monkeypatch, "sees", "keeps", "works", answers=str(twice), question=())


@pytest.mark.parametrize(
    ("flags", "error", "words"),
    [
        ({"model": "phantom-clipp"}, Exception, "did you mean 'phantom-clip'"),
        ({"model": "dinov2-b14"}, UsageError, "reads images alone"),
        ({"model": ""}, UsageError, "--model NAME is needed"),
        ({"reference_accuracy": 96.0}, UsageError, "must be a share"),
        ({"reference": "phantom-clip"}, UsageError, "is the model itself"),
        ({"causal": "perhaps"}, UsageError, "is none of auto, on, off"),
        ({"task": "contrast", "causal": "on"}, UsageError, "--causal on has nothing to act on: phantom-clip cannot"),
        ({"task": "contrast", "options": ("a", "b")}, UsageError, "--options has nothing to act on: .* --prompt CLASS"),
        ({"task": "contrast", "paraphrases": 2}, UsageError, "--paraphrases has nothing to act on"),
        (
            {"task": ("contrast", "orientation"), "question": ("Which?",)},
            UsageError,
            "for contrast and for orientation",
        ),
        ({"task": "contrast", "prompt": ("plan=a scan",)}, UsageError, "did you mean 'plain'"),
        ({"task": "contrast", "prompt": ("plain=a scan",)}, UsageError, "no text for 'enhanced'"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], error: type, words: str
) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path))
    with pytest.raises(error, match=words) as told:
        slitlamp.diagnose(**{"model": "phantom-clip", "items": 40, "offline": True} | flags)
    assert "\n" not in str(told.value)
