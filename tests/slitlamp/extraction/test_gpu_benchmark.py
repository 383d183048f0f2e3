"""The benchmark of a GPU runs small on the processor, and claims nothing about a GPU there."""

import json

import pytest

from benchmarks import gpu


def test_on_the_processor_it_runs_and_claims_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    small = "--images 6 --encoder phantom-clip --site pooled --dtype float32 --device cpu --batch-size 4"
    gpu.main([*small.split(), *["--probe-items", "60", "--probe-width", "8", "--permutations", "19"]])
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["device"] == "cpu"
    assert found["extraction"]["images"] == 6
    assert found["extraction"]["share of the bare forward"] > 0
    assert found["probe"]["largest difference"] <= gpu.SAME
    assert "nothing is claimed about a GPU" in err
    assert "goal" not in err


def test_of_a_gpu_it_says_whether_the_goal_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    found = {"share of the bare forward": 0.89, "waited for decoding": 0.1, "wrote": 0.01}
    assert "0.89 of the bare forward (goal 0.9: not reached); waited 10.0%" in gpu.claims("cuda", found)[0]
    assert ": reached" in gpu.claims("cuda", found | {"share of the bare forward": 0.93})[0]
