"""Calibration counts verdicts on planted truth, and refuses data that it cannot judge."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.calibrate import main
from slitlamp.calibrate import STANDARD, Setting, exact, planted


@pytest.mark.parametrize("more", [(), ("--rare", "6"), ("--classes", "3"), ("--target", "heavy")])
def test_calibrate_counts_verdicts_on_planted_truth(more: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--items", "40", "--width", "6", "--runs", "2", "--json", *more]) == 0
    (found,) = json.loads(capsys.readouterr().out)["settings"]
    names = {r["name"] for r in found["rates"]}
    assert names >= {"false present", "absent", "present", "absent with a limit below", "learned, of a trained one"}
    truths = [s["truth"] for s in found["scores"]]
    assert truths[0] == pytest.approx(1 / 3 if "--classes" in more else 0.5)
    assert truths == sorted(truths)
    assert all(
        r["count"] == round(r["rate"] * r["runs"]) and r["low"] <= r["rate"] <= r["high"] for r in found["rates"]
    )


def test_rates_haveexact_intervals() -> None:
    assert exact(0, 10) == (0.0, pytest.approx(0.3085, abs=1e-3))
    assert exact(10, 10) == (pytest.approx(0.6915, abs=1e-3), 1.0)


@pytest.mark.parametrize("setting", STANDARD, ids=Setting.line)
def test_what_is_planted_reads_as_it_says(setting: Setting) -> None:
    """The truth of a strength is the score along the very direction that was planted, of many items."""
    from dataclasses import replace

    from scipy.stats import kendalltau

    many = replace(setting, items=setting.items * 50, groups=setting.groups * 50, width=8,
                   rare=None if setting.rare is None else setting.rare * 50)  # fmt: skip
    x, y, _ = planted(many, 0.6, 0)
    seen = x - x.mean(axis=0)
    if many.number:
        way = np.linalg.lstsq(seen, np.argsort(np.argsort(y)) / len(y), rcond=None)[0]
        score = 0.5 + float(kendalltau(seen @ way, y).statistic) / 2
    else:
        means = np.stack([seen[y == c].mean(axis=0) for c in range(many.classes)])
        within = np.cov((seen - means[y]).T)
        ways = np.linalg.solve(within, means.T)
        told = (seen @ ways - np.einsum("cd,dc->c", means, ways) / 2).argmax(axis=1)
        score = float(np.mean([(told[y == c] == c).mean() for c in range(many.classes)]))
    assert score == pytest.approx(many.truth(0.6), abs=0.02)


@pytest.mark.parametrize("more", [(), ("--target", "heavy")])
def test_a_calibration_is_priced_once_such_data_were_timed(
    more: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path))
    words = ["--items", "40", "--width", "6", *more]
    assert main([*words, "--runs", "3", "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        f"{3 * 5} data sets to plant and to measure.\n"
        "Time: not known: such data sets were never timed here; --runs 1 times them.\n"
    )
    assert main([*words, "--runs", "1"]) == 0
    capsys.readouterr()
    for runs in (1, 1000):
        assert main([*words, "--runs", str(runs), "--dry-run", "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)["plan"]
        assert plan["data_sets"] == runs * 5
        each = plan["seconds"] / runs
        assert 0 < each < 60
    assert main(["--items", "40", "--width", "600", "--dry-run"]) == 0
    assert "not known" in capsys.readouterr().out


def test_calibrate_refuses_what_it_cannot_judge(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (
            ("--items", "40", "--groups", "10"),
            "--groups 10: below 20 groups the instrument says nothing; give 20 or more",
        ),
        (("--rare", "70"), "--rare 70: the smallest of 2 classes has 2 to 60 of 120 groups"),
        (("--target", "skewed", "--classes", "3"), "--target skewed is a number: it has no --classes and no --rare"),
        (("--standard", "--items", "60"), "--items 60 has nothing to act on: --standard has its own settings"),
    ):
        assert main(list(words)) == 2
        assert said in capsys.readouterr().err
