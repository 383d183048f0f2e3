"""Trackers log numbers and a table, on this machine, and never cost a report."""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from slitlamp.errors import UsageError
from slitlamp.paper import trackers
from tests.slitlamp.paper import probed


class Log(ModuleType):
    """A stand-in for a tracker's package: whatever is called is kept."""

    def __init__(self, name: str, **known: Any) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.mode = ""
        for key, value in known.items():
            setattr(self, key, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def called(*given: Any, **named: Any) -> Any:
            self.mode = os.environ.get("WANDB_MODE", "")
            print("a tracker chats")  # noqa: T201
            self.calls.append((name, given, named))
            return self

        return called

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def given(self, name: str) -> tuple[Any, ...]:
        return next(given for called, given, _ in self.calls if called == name)


def packages(name: str) -> Log:
    if name == "wandb":
        log = Log(name)
        kept = SimpleNamespace(update=lambda numbers: log.calls.append(("summary", (numbers,), {})))
        log.__dict__["summary"] = kept
        return log
    return Log(name, get_experiment_by_name=lambda _: None)


@pytest.mark.parametrize("name", [*trackers.TRACKERS])
def test_numbers_and_a_table_are_logged_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = packages(name)
    monkeypatch.setitem(sys.modules, trackers.TRACKERS[name][0], log)
    before = dict(os.environ)
    gathered = probed.gathered()
    line = trackers.export(name, gathered, tmp_path)
    assert line.startswith(f"{name}: logged")
    assert log.mode == "offline"
    assert dict(os.environ) == before
    assert capsys.readouterr().out == ""
    said = repr(log.calls)
    score = gathered.claims[0].verdict["score"]
    assert "orientation/pixels/score" in said
    assert repr(float(score)) in said
    assert not any(called.startswith(("log_image", "add_image", "log_artifact")) for called, _, _ in log.calls)
    material = gathered.runs[0].material(gathered.claims[0].best.plan_key)
    assert not any(one in said for one in material["ids"] if len(one) > 6)


def test_mlflow_lies_in_a_database_inside_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = packages("mlflow")
    monkeypatch.setitem(sys.modules, "mlflow", log)
    trackers.export("mlflow", probed.gathered(), tmp_path)
    assert log.given("set_tracking_uri") == (f"sqlite:///{tmp_path.resolve() / 'mlflow' / 'mlflow.db'}",)


def test_an_absent_package_says_which_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="uv sync --extra wandb"):
        trackers.export("wandb", probed.gathered(), tmp_path)


def test_another_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'mlflow'"):
        trackers.export("mlflows", probed.gathered(), tmp_path)


def test_a_tracker_that_fails_costs_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setitem(sys.modules, "trackio", Log("trackio", init=broken))
    assert "nothing was logged (OSError: disk full)" in trackers.export("trackio", probed.gathered(), tmp_path)
    assert "the report is kept" in caplog.text


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    assert not {"wandb", "mlflow", "trackio", "torch.utils.tensorboard"} & set(sys.modules)
