"""What a grid says of its runs: verdicts as they were judged, every failure, and nothing of an earlier call."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub.errors import HubError
from slitlamp.ablation import run
from slitlamp.ablation.check import Unit, _cannot_load
from slitlamp.ablation.grid import GridRun, grid_of
from slitlamp.settings import Settings

RUNS: Any = grid_of({"grid": {"encoder": ["pixels", "lowlevel"], "seed": [0, 1]}}, "g", 9).runs


def units(of: GridRun) -> list[Unit]:
    return [
        Unit(run=of, task="mirror", encoder=name, settings=of.settings, question="mirror", label=name)
        for name in ("pixels", "lowlevel")
    ]


def judged(of: GridRun, work: run._Work, results: dict[str, Any]) -> dict[str, Any]:
    return run._judged(of, units(of), work, None, results, run._about(of, done=True))


def test_verdicts_are_counted_by_what_they_are_and_credit_is_that_of_what_is_present() -> None:
    many = [("present", "the network"), ("present", "training"), ("present", "training"), ("absent", "training"),
            ("inconclusive", None)]  # fmt: skip
    results: Any = {"a": SimpleNamespace(verdicts=[SimpleNamespace(verdict=v, credit=c) for v, c in many])}
    first, *_ = run._sentences(results, None)
    assert first == (
        "Of 5 verdicts: 3 present, 1 absent, 1 inconclusive (1 credited to the network, 2 credited to training)."
    )
    assert run._sentences({}, None) == []


def test_a_run_of_which_all_failed_keeps_nothing_of_an_earlier_call() -> None:
    work, results = run._Work(), {RUNS[0].name: "of an earlier call", RUNS[1].name: "kept"}
    work.failed |= {(RUNS[0].name, "mirror", name): f"{name} is lost" for name in ("pixels", "lowlevel")}
    about = judged(RUNS[0], work, results)
    assert (about["status"], about["error"]) == ("failed", "pixels is lost")
    assert results == {RUNS[1].name: "kept"}
    assert run._failures([*units(RUNS[0]), *units(RUNS[1])], work) == [
        f"mirror, {name} ({RUNS[0].name}): {name} is lost" for name in ("pixels", "lowlevel")
    ]


def test_a_run_that_cannot_be_judged_is_named_among_the_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(run, "run_probe", fails)
    work, results = run._Work(), {RUNS[0].name: "of an earlier call"}
    about = judged(RUNS[0], work, results)
    assert (about["status"], about["error"], results) == ("failed", "RuntimeError: no such luck", {})
    assert run._failures(units(RUNS[0]), work) == [f"{RUNS[0].name}: RuntimeError: no such luck"]


def test_a_run_is_judged_without_what_failed_in_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []
    monkeypatch.setattr(run, "run_probe", lambda s, **_: asked.append(s) or SimpleNamespace(encoded=1, measured=2))
    (of,) = grid_of({"grid": {"encoder": ["pixels", "lowlevel"], "task": ["mirror", "depth"]}}, "g", 9).runs
    every = [
        Unit(run=of, task=task, encoder=name, settings=of.settings) for task in ("mirror", "depth")
        for name in ("pixels", "lowlevel")
    ]  # fmt: skip
    work = run._Work(failed={(of.name, "depth", name): "lost" for name in ("pixels", "lowlevel")})
    about = run._judged(of, every, work, None, {}, {})
    assert asked[0].source.task == ("mirror",)
    assert asked[0].encoder.encoder == ("pixels", "lowlevel")
    assert about["command"].endswith("--task mirror")
    assert (work.encoded, work.measured) == (1, 2)


def test_a_run_of_another_command_is_not_taken_for_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slitlamp.result import Result

    grid = grid_of({"grid": {"encoder": ["pixels"], "seed": [0, 1]}}, "g", 9)
    lines = {of.folder: run._about(of, done=True)["command"] for of in grid.runs}
    stale = grid.runs[1]
    lines[stale.folder] += " --items 60"
    for folder in lines:
        (tmp_path / folder).mkdir(parents=True)

    def load(home: Path) -> Result:
        line = lines[str(home.relative_to(tmp_path))]
        return Result(records=(), verdicts=(), predictions={}, files=(), notes=(), command=line)

    monkeypatch.setattr(run, "load", load)
    assert [*run._judged_before(grid, tmp_path)] == [grid.runs[0].name]


def test_an_encoder_that_is_refused_is_refused_with_its_own_weights_alone() -> None:
    class Lost:
        spec, loaded, settings = "a", {}, RUNS[0].settings.encoder

        @property
        def card(self) -> Any:
            raise HubError("no weights")

    found: Any = SimpleNamespace(
        spec="a", loaded={}, card=None, settings=replace(Lost.settings, weights=("a=there.pth",))
    )
    refused: dict[str, str] = {}
    for again in (True, False):
        assert _cannot_load(Lost(), refused, again=again) == "no weights"  # type: ignore[arg-type]
    assert _cannot_load(found, refused, again=True) == ""
