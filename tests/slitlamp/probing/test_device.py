"""Where the probe computes: chosen by the size of the features, recorded, and never another than was asked for."""

from pathlib import Path
from typing import Any

import pytest

import slitlamp
from experiments.linear_probe import main
from slitlamp.errors import UsageError
from slitlamp.probing import device
from slitlamp.probing.device import WORTH, begin_on_device, probe_device, said_of_probe_device

SMALL: dict[str, Any] = {"items": 40, "permutations": 19, "repeats": 1, "jobs": 1, "site": "pooled"}


@pytest.mark.parametrize("found", ["cuda", "mps", "cpu"])
def test_auto_takes_a_cuda_device_for_large_features_alone(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "resolve_device", lambda _: found)
    large = WORTH // 1000
    assert probe_device("auto", large, 1000) == ("cuda" if found == "cuda" else "cpu")
    assert probe_device("auto", large, 999) == "cpu"
    assert bool(said_of_probe_device("auto")) == (found == "cuda")
    for asked in ("cpu", "torch-cpu", "cuda:1"):
        assert probe_device(asked, 10, 10) == probe_device(asked, large, 1000) == asked


def test_what_is_asked_for_and_absent_ends_before_anything_is_computed() -> None:
    with pytest.raises(UsageError, match=r"^--probe-device cuda:77 is not there: .*auto"):
        begin_on_device("cuda:77")
    begin_on_device("cpu")
    assert said_of_probe_device("cpu") == ""
    assert "torch-cpu" in said_of_probe_device("torch-cpu")


def test_the_record_says_where_a_cell_was_computed(tmp_path: Path) -> None:
    found = slitlamp.probe("pixels", "orientation", out=tmp_path, probe_device="torch-cpu", **SMALL)
    assert {record.probe_device for record in found.records} == {"torch-cpu"}


def test_without_memory_on_the_device_what_was_finished_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import probes

    whole, done = probes.measure, []

    def measure(*given: Any, **asked: Any) -> Any:
        assert asked["device"] == "torch-cpu"
        if done:
            raise probes.DeviceError("torch-cpu has too little memory for a product of 3 x 4; --probe-device cpu")
        done.append(1)
        return whole(*given, **asked)

    monkeypatch.setattr(probes, "measure", measure)
    line = (
        f"--encoder pixels --items 40 --permutations 19 --repeats 1 --jobs 1 --probe-device torch-cpu --out {tmp_path}"
    )
    assert main(line.split()) == 5
    said = capsys.readouterr().err
    assert (
        "error: torch-cpu has too little memory for a product of 3 x 4; --probe-device cpu; what was finished" in said
    )
    assert "Traceback" not in said
    assert len([*(tmp_path / "cells").glob("*.npz")]) == 1
