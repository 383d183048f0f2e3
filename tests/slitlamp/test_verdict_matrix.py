"""The verdict matrix: planted truths are judged, counted by truth and verdict, and written as table and figure."""

import json
from pathlib import Path

import pytest

from experiments._exit import USAGE
from experiments.calibrate import main
from probes.stages import planted, planted_texts
from slitlamp import verdict_matrix
from slitlamp.verdict_matrix import Matrix, MatrixSetting, Row


def row(truth: str, *, right: int = 0, wrong: int = 0, still_open: int = 0, connector: int = 0) -> Row:
    said = dict.fromkeys(verdict_matrix.SAID, 0) | {"connector": connector}
    return Row(truth=truth, said=said, codes={}, right=right, wrong=wrong, open=still_open, covered=3, steps=4)


def test_sentences_count_wrong_verdicts_among_definite_ones_and_blamed_connectors_among_sound_ones() -> None:
    rows = [
        row("connector lost it", right=9, wrong=1, connector=9),
        row("all good", right=7, still_open=3, connector=2),
    ]
    found = Matrix(setting=MatrixSetting(runs=10), rows=rows)
    assert found.wrong == (1, 17)
    wrong, blamed, held = found.sentences
    assert wrong.startswith("Of 17 definite verdicts 1 are wrong [0.00, 0.29]; of 20 data sets 3 are left open.")
    assert "in 2 of 10 [0.03, 0.56]" in blamed
    assert "in 6 of 8" in held


def test_a_matrix_of_planted_models_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    truths = ("tower lost it", "badly conditioned connector")
    monkeypatch.setattr(planted, "TRUTHS", truths)
    monkeypatch.setattr(planted_texts, "TEXT_TRUTHS", ())
    asked = ["--verdicts", "--items", "60", "--width", "16", "--runs", "1", "--jobs", "1"]
    assert main([*asked, "--out", str(tmp_path / "one")]) == 0
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "one" / "verdicts.json").read_text())
    assert [one["truth"] for one in document["rows"]] == list(truths)
    assert all(one["right"] + one["wrong"] + one["open"] == 1 == sum(one["said"].values()) for one in document["rows"])
    by_truth = {one["truth"]: one for one in document["rows"]}
    assert by_truth["badly conditioned connector"]["said"]["connector"] == 0
    assert all(truth in printed for truth in truths)
    assert all(f"| {truth} |" in (tmp_path / "one" / "verdicts.md").read_text() for truth in truths)
    for name in ("verdicts.md", "verdicts.pdf", "verdicts.svg", "verdicts.png"):
        assert (tmp_path / "one" / name).stat().st_size > 0
    assert main([*asked, "--seed", "1", "--out", str(tmp_path / "one")]) == USAGE
    assert "holds the results of another run" in capsys.readouterr().err
    assert json.loads((tmp_path / "one" / "verdicts.json").read_text()) == document


def test_two_matrices_never_share_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import filelock

    monkeypatch.setattr(planted, "TRUTHS", ("all good",))
    monkeypatch.setattr(planted_texts, "TEXT_TRUTHS", ())
    asked = ["--verdicts", "--items", "40", "--width", "8", "--runs", "1", "--jobs", "1", "--out", str(tmp_path)]
    with filelock.FileLock(tmp_path / ".lock"):
        assert main(asked) == 2
        assert "another run is writing there at this moment" in capsys.readouterr().err
        assert not (tmp_path / "verdicts.json").exists()
    assert main(asked) == 0
    first = (tmp_path / "verdicts.json").read_bytes()
    line = json.loads(first)["command"]
    assert line == "python -m experiments.calibrate --verdicts --items 40 --groups 40 --width 8 --runs 1 --seed 0"
    capsys.readouterr()
    assert main([*asked, "--seed", "1"]) == 2
    assert f"holds the results of another run ({line}); give another --out, or --replace" in capsys.readouterr().err
    assert (tmp_path / "verdicts.json").read_bytes() == first
    assert main(asked) == 0  # the same question may be put again
    assert (tmp_path / "verdicts.json").read_bytes() == first
    assert main([*asked, "--seed", "1", "--replace"]) == 0
    assert json.loads((tmp_path / "verdicts.json").read_text())["setting"]["seed"] == 1


def test_what_cannot_be_planted_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, said in (
        (["--verdicts", "--rare", "5"], "--rare has nothing to act on: --verdicts plants two classes"),
        (["--verdicts", "--standard"], "--standard has nothing to act on"),
        (["--verdicts", "--items", "10"], "below 20 groups"),
        (["--verdicts", "--items", "30", "--groups", "40"], "--groups 40 is more than --items 30"),
        (["--out", "somewhere"], "--out has nothing to act on without --verdicts"),
    ):
        assert main(flags) == 2
        assert said in capsys.readouterr().err


def test_a_matrix_is_priced_by_what_such_data_sets_took_and_by_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from slitlamp.probing.pace import remember

    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path))
    remember(verdict_matrix.KIND, 40, 16, 3.0)
    words = ["--verdicts", "--items", "40", "--width", "16", "--runs", "2", "--dry-run", "--json"]
    for jobs in (1, 3):
        assert main([*words, "--jobs", str(jobs)]) == 0
        plan = json.loads(capsys.readouterr().out)["plan"]
        assert plan["seconds"] == 3.0 * plan["data_sets"] / jobs
