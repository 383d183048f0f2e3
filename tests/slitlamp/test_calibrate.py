"""Calibration counts verdicts on planted truth, and refuses data that it cannot judge."""

import json

import pytest

from experiments.calibrate import main
from slitlamp.calibrate import _exact


def test_calibrate_counts_verdicts_on_planted_truth(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--items", "40", "--width", "6", "--pool", "60", "--runs", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {r["name"] for r in document["rates"]} >= {"false present", "absent", "present", "called absent"}
    assert [s["bayes"] for s in document["scores"]] == [0.5, 0.7, 0.8, 0.9]
    assert _exact(0, 10) == (0.0, pytest.approx(0.3085, abs=1e-3))
    assert _exact(10, 10) == (pytest.approx(0.6915, abs=1e-3), 1.0)


def test_calibrate_refuses_what_it_cannot_judge(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--items", "40", "--groups", "10"]) == 2
    assert "--groups 10: below 20 groups the instrument says nothing; give 20 or more" in capsys.readouterr().err
