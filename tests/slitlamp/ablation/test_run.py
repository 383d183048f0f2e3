"""A grid gives what linear_probe gives, measures nothing twice, and goes on past what fails."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import slitlamp
from cache import StoreError
from encoders import EncoderError
from experiments.ablation import main
from slitlamp.ablation import run
from slitlamp.ablation.result import AblationResult
from slitlamp.errors import UsageError
from slitlamp.runs import open_runs, read_document
from tasks import DataError
from tests.paths import ROOT
from tests.undrawn import no_figures

FIXED = {"items": 40, "permutations": 19, "batch_size": 64}
GRID = {"encoder": ["pixels", "lowlevel", "random:phantom-clip"], "task": ["orientation", "mirror"], "site": ["pooled"]}
SMALL = {"encoder": ["pixels", "lowlevel"], "task": ["mirror"], "site": ["pooled"]}


def ablate(grid: Any, **flags: Any) -> AblationResult:
    return slitlamp.ablate(grid, **{"jobs": 1} | flags)


FAILING = """
from pathlib import Path
import numpy as np
import encoders
CARD = encoders.Card(name="{name}", licence="MIT", parameters=0, sites={{"pooled": encoders.Site(width=2)}})
FILES = ()
COUNT = Path(__file__).with_suffix(".count")
def features(images):
    if len(images) > 4:  # no trial of the loader
        tried = int(COUNT.read_text()) if COUNT.exists() else 0
        COUNT.write_text(str(tried + 1))
        if {when}:
            raise RuntimeError("out of luck")
    return {{"pooled": np.array([[image.mean(), image.std()] for image in images], dtype=np.float32)}}
def load(device):
    return encoders.from_function(CARD, features)
"""


def encoder_that_fails(folder: Path, name: str, when: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(FAILING.format(name=name, when=when))
    return path


def tries(path: Path) -> int:
    return int(path.with_suffix(".count").read_text())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLITLAMP_CACHE", str(home))
        no_figures(patch)
        yield home


@pytest.fixture(scope="module")
def answered(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AblationResult, Path]:
    del store
    out = tmp_path_factory.mktemp("grid") / "out"
    return ablate({"fixed": FIXED, "grid": GRID}, out=str(out)), out


def test_a_run_of_a_grid_is_that_of_linear_probe(answered: tuple[AblationResult, Path], tmp_path: Path) -> None:
    found, out = answered
    made = slitlamp.probe(GRID["encoder"], GRID["task"], site="pooled", out=str(tmp_path / "alone"), jobs=1, **FIXED)
    (about,) = found.about
    assert about["status"] == "done"
    assert about["command"] == made.command
    home = out / about["folder"]
    for name in ("results.json", "table.csv"):
        assert (home / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    cells = {path.name for path in (tmp_path / "alone" / "cells").iterdir()}
    assert {path.name for path in (home / "cells").iterdir()} == cells
    rows = found.table("runs")
    for row, verdict in zip(rows, made.verdicts, strict=True):
        for name in ("task", "encoder", "score", "low", "high", "credit", "best"):
            assert row[name] == getattr(verdict, name)
        assert row["verdict"] == verdict.said
        (best,) = [r for r in made.records if (r.role, r.task, r.encoder) == ("encoder", row["task"], row["encoder"])]
        assert (row["items"], row["groups"], row["chance"], row["points"]) == (
            best.n_items, best.n_groups, best.chance, 1
        )  # fmt: skip
    assert any(row["items"] > row["groups"] for row in rows)


def test_a_grid_is_read_back(answered: tuple[AblationResult, Path]) -> None:
    found, out = answered
    again = slitlamp.load(out)
    assert again.to_json() == found.to_json() == (out / "results.json").read_text()
    assert again.document.keys() >= {"schema", "axes", "runs", "failed", "sentences", "notes", "questions", "tables"}
    assert {name: one.to_json() for name, one in again.runs.items()} == {
        name: one.to_json() for name, one in found.runs.items()
    }
    (stored,) = open_runs([out])
    assert stored.settings == {**GRID}
    assert stored.measurement(stored.records[0]).estimate.score == pytest.approx(stored.records[0].score)
    assert str(again) == str(found)


def test_what_is_known_is_not_measured_again_and_what_is_new_is(
    answered: tuple[AblationResult, Path], tmp_path: Path
) -> None:
    _, out = answered
    before = {name: (out / name).read_bytes() for name in ("results.json", "grid.toml")}
    same = ablate({"fixed": FIXED, "grid": GRID}, out=str(out))
    assert (same.encoded, same.measured) == (0, 0)
    assert {name: (out / name).read_bytes() for name in before} == before
    fewer = ablate({"fixed": FIXED, "grid": GRID | {"encoder": ["pixels"]}}, out=str(tmp_path / "fewer"))
    assert (fewer.encoded, fewer.measured) == (0, 0)
    more = ablate({"fixed": FIXED, "grid": SMALL | {"probe": ["ridge", "knn"]}}, out=str(tmp_path / "more"))
    again = ablate({"fixed": FIXED, "grid": SMALL | {"probe": ["ridge", "knn"]}})
    assert more.encoded == 0 < more.measured
    assert (again.measured, again.table("runs")) == (0, more.table("runs"))


def test_a_plan_counts_what_is_known_and_writes_nothing(
    answered: tuple[AblationResult, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del answered
    monkeypatch.chdir(tmp_path)
    known = ablate({"fixed": FIXED, "grid": GRID}, dry_run=True, out=str(tmp_path / "out"))
    (totals,) = known.table("totals")
    assert totals["known"] == totals["cells"] > 0
    assert (totals["units"], totals["units_to_do"], totals["images_to_encode"], totals["seconds"]) == (6, 0, 0, 0.0)
    grid = {"fixed": FIXED | {"items": 44}, "grid": GRID | {"task": ["orientation"]}}
    new = ablate(grid, dry_run=True)
    (totals,) = new.table("totals")
    assert totals["known"] == 0 < totals["cells"] < sum(row["cells"] for row in new.table("plan"))  # controls once
    assert totals["images_to_encode"] == 3 * 44
    assert 0 < totals["bytes_to_store"] < sum(row["bytes"] for row in new.table("plan"))  # and so are their images
    assert totals["seconds"] > 0  # of as large a question some was measured
    grid["fixed"] = FIXED | {"items": 200}
    (totals,) = ablate(grid, dry_run=True).table("totals")
    assert totals["seconds"] is None  # of so large a one none was
    assert "not measured here yet" in str(ablate(grid, dry_run=True))
    assert not [*tmp_path.iterdir()]


def test_a_unit_is_finished_where_all_its_cells_lie_in_the_store_and_its_draws_were_asked(store: Path) -> None:
    grid = {"fixed": FIXED | {"items": 22}, "grid": SMALL | {"encoder": ["lowlevel"]}}
    before = {path.name for path in (store / "cells").glob("*.npz")}

    def to_do(**fixed: Any) -> tuple[int, int]:
        (totals,) = ablate(grid | {"fixed": grid["fixed"] | fixed}, dry_run=True).table("totals")
        return totals["units_to_do"], totals["cells"] - totals["known"]

    ablate(grid)
    assert to_do() == to_do(batch_size=9) == (0, 0)
    assert to_do(twins=1) == (1, 0)  # draws are asked where the judge needs them
    lost = next(path for path in (store / "cells").glob("*.npz") if path.name not in before)
    lost.unlink()
    assert to_do() == (1, 1)
    assert ablate(grid).measured == 1
    assert to_do() == (0, 0)


def test_an_encoder_without_the_points_that_are_asked_for_is_said_not_to_be_asked(store: Path) -> None:
    del store
    axes = {"encoder": ["pixels", "lowlevel"], "task": ["mirror"], "site": ["thumbnail.8"]}
    plan = ablate({"fixed": FIXED, "grid": axes}, dry_run=True)
    assert [row["encoder"] for row in plan.table()] == ["pixels"]
    assert any(note.startswith("lowlevel is not asked mirror: it has none of the sites") for note in plan.notes)


def test_a_plan_counts_the_images_of_controls_and_the_cells_of_every_precision(store: Path) -> None:
    del store
    axes = {"encoder": ["random:phantom-clip"], "dtype": ["float32", "bfloat16"]}
    fixed = FIXED | {"items": 28, "seed": 5, "task": ["mirror"], "site": ["pooled"]}
    (totals,) = ablate({"fixed": fixed, "grid": axes}, dry_run=True).table("totals")
    assert (totals["images_to_encode"], totals["cells"]) == (2 * 28 + 2 * 28, 2 + 4)  # as the run then does


def test_runs_that_are_asked_no_longer_are_named_and_left(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    del store
    ablate({"fixed": FIXED, "grid": SMALL | {"encoder": ["lowlevel"], "seed": [0, 1]}}, out=str(tmp_path))
    (tmp_path / "grid.toml").rename(tmp_path / "mine.toml")
    text = (tmp_path / "mine.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("[0, 1]", "[0]"))
    with pytest.raises(UsageError, match="holds the results of another run"):
        ablate(tmp_path / "mine.toml", out=str(tmp_path))
    found = ablate(tmp_path / "mine.toml", out=str(tmp_path), replace=True)
    (line,) = [note for note in found.notes if "left as they are" in note]
    assert "seed=1-" in line
    assert "seed=0-" not in line
    assert len([*(tmp_path / "runs").iterdir()]) == 2
    assert [run["name"] for run in read_document(tmp_path)["runs"]] == ["seed=0"]
    (tmp_path / "mine.toml").write_text(text.replace("[0, 1]", "[0]").replace("lowlevel", "pixels"))
    caplog.clear()
    ablate(tmp_path / "mine.toml", out=str(tmp_path))
    assert len([*(tmp_path / "runs").iterdir()]) == 2
    assert "held what another command found" in caplog.text


def test_what_fails_is_tried_twice_and_costs_nothing_else(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del store
    bad = encoder_that_fails(tmp_path, "bad", "True")
    once = encoder_that_fails(tmp_path, "once", "tried == 0")
    text = "[fixed]\nitems = 40\npermutations = 19\nbatch_size = 64\n[grid]\ntask = ['mirror']\n"
    (tmp_path / "g.toml").write_text(text + f"encoder = ['pixels', '{bad}', '{once}']\n")
    argv = ["--config", str(tmp_path / "g.toml"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert main(argv) == 5
    assert (tries(bad), tries(once)) == (2, 2)
    document = read_document(tmp_path / "out")
    assert [row["encoder"] for row in document["tables"]["runs"]] == ["pixels", "once"]
    assert len(document["failed"]) == 1
    assert "out of luck" in document["failed"][0]
    (stored,) = open_runs([tmp_path / "out"])
    assert str(bad) not in stored.command  # the line repeats what was judged
    said = capsys.readouterr()
    assert "tried once more after the others" in said.err
    assert "has failed twice" in said.err
    assert "failed: mirror" in said.out
    assert main([*argv, "--fail-fast"]) == 2
    assert tries(bad) == 3
    assert main([*argv, "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["failed"]


@pytest.mark.parametrize("what", ["measure", "run_probe"])
def test_a_full_disk_ends_the_grid_at_once(what: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del store
    asked = []

    def full(*given: Any, **more: Any) -> Any:
        asked.append((given, more))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "measure", full if what == "measure" else lambda *_, **__: SimpleNamespace(
        encoded=0, cell_seconds={}))  # fmt: skip
    monkeypatch.setattr(run, "run_probe", full)
    grid = {"fixed": FIXED | {"items": 24, "task": ["mirror"]}, "grid": {"encoder": ["pixels"], "seed": [31, 32]}}
    with pytest.raises(StoreError, match="is full; make room there and give the same line again"):
        ablate(grid)
    assert len(asked) == 1


def test_an_encoder_is_loaded_twice_before_it_is_given_up(store: Path, tmp_path: Path) -> None:
    del store
    path = encoder_that_fails(tmp_path, "late", "False")
    text = path.read_text().replace("def load(device):\n", "def load(device):\n    features([None] * 5)\n")
    path.write_text(
        text.replace("if False:", "if tried < 1:").replace("np.array([[", "np.array([[0, 0] if image is None else [")
    )
    found = ablate({"fixed": FIXED, "grid": {"encoder": ["lowlevel", str(path)], "task": ["mirror"]}}, dry_run=True)
    assert [row["state"] for row in found.table()][1] == "cannot be answered"
    path.with_suffix(".count").unlink()
    found = ablate({"fixed": FIXED, "grid": {"encoder": ["lowlevel", str(path)], "task": ["mirror"]}})
    assert (len(found.table()), found.failed) == (2, [])


def test_an_encoder_may_fail_one_question_alone(store: Path, tmp_path: Path) -> None:
    del store
    bad = encoder_that_fails(tmp_path, "bad", "images[0].ndim == 3")  # the films of `mirror` are grey
    found = ablate({"fixed": FIXED, "grid": {"encoder": [str(bad), "lowlevel"], "task": ["mirror", "depth"]}})
    assert [(row["task"], row["encoder"]) for row in found.table()] == [
        ("mirror", "bad"), ("mirror", "lowlevel"), ("depth", "lowlevel")
    ]  # fmt: skip
    (line,) = found.failed
    assert line.startswith("depth, bad.py: ")
    assert tries(bad) == 3  # once for `mirror`, twice for `depth`
    assert found.about[0]["status"] == "done"
    assert "--encoder bad.py lowlevel" in found.about[0]["command"]  # of a whole path its last part
    assert found.runs["all"].failed == (line.removeprefix("depth, bad.py: "),)


def test_what_cannot_be_answered_is_found_before_anything_is_measured(store: Path, tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
    same = [str(encoder_that_fails(tmp_path / folder, "same", "True")) for folder in "ab"]
    with pytest.raises(UsageError, match="two encoders are called same"):
        ablate({"fixed": FIXED, "grid": SMALL | {"encoder": same}})
    lost = {"encoder": ["pixels", "biomedclip"], "task": ["mirror"]}
    before = sorted((store / "cells").glob("*"))
    with pytest.raises(UsageError, match=r"no encoder of this run has a site 'blok\.\*'; did you mean"):
        ablate({"fixed": FIXED, "grid": SMALL | {"encoder": ["phantom-clip", "pixels"], "site": ["blok.*"]}})
    with pytest.raises(ValueError, match=r"no encoder 'pixel'; did you mean 'pixels'\?"):
        ablate({"fixed": FIXED, "grid": SMALL | {"encoder": ["pixel", "lowlevel"]}})
    with pytest.raises(DataError, match=r"--take-groups 99: there are 20 groups \(and 1 more of this grid\)"):
        ablate({"fixed": FIXED, "grid": {"take_groups": [99], "task": ["mirror", "orientation"]}})
    with pytest.raises(DataError, match=r"--take-groups 99"):
        ablate({"fixed": FIXED, "grid": {"take_groups": [18, 99], "task": ["mirror"]}}, fail_fast=True)
    with pytest.raises(EncoderError, match=r"biomedclip.*is not on this machine and the run is offline"):
        ablate({"fixed": FIXED, "grid": lost}, offline=True, fail_fast=True)
    assert sorted((store / "cells").glob("*")) == before
    plan = ablate({"fixed": FIXED, "grid": lost}, offline=True, dry_run=True)
    assert len(plan.failed) == 1
    assert "biomedclip: " in plan.failed[0]
    assert "hf download microsoft/BiomedCLIP" in plan.failed[0]
    assert [row["state"] == "cannot be answered" for row in plan.table()] == [False, True]
    some = ablate({"fixed": FIXED, "grid": SMALL | {"take_groups": [18, 99]}}, out=str(tmp_path / "some"))
    assert [one["status"] for one in some.about] == ["done", "failed"]
    assert "--take-groups 99: there are 20 groups" in some.about[1]["error"]
    assert len(some.failed) == 2


def test_a_probe_of_classes_is_refused_a_number_before_anything_is_measured(store: Path, tmp_path: Path) -> None:
    del store
    import numpy as np

    import probes
    from tests.slitlamp.test_api import films

    films(tmp_path, [f"{3.1 * (k % 7) + k / 100:.2f}" for k in range(24)])
    fixed = {"data": str(tmp_path / "films.csv"), "encoder": ["lowlevel"], "label": "dx", "permutations": 19}
    plan = ablate({"fixed": fixed, "grid": {"probe": ["linear", "ridge"]}}, dry_run=True)
    why = "--probe linear reads classes, and the target is a number: --probe ridge reads numbers"
    assert plan.failed == [f"label (probe=linear): {why}"]
    y, x = np.arange(40.0), np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(probes.ProbeError, match="reads classes"):
        slitlamp.measure(x, y, probe="linear")


@pytest.mark.usefixtures("undrawn")
def test_shards_measure_everything_and_judging_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    grid = {"fixed": FIXED, "grid": SMALL | {"task": ["mirror", "orientation"]}}
    out = tmp_path / "out"
    shards = [ablate(grid, out=str(out), shard=f"{k}/2") for k in (1, 2)]
    assert all(shard.measured > 0 and not shard.runs for shard in shards)
    assert not out.exists()
    assert f"--out {out}" in shards[0].sentences[0]
    judged = ablate(grid, out=str(out))
    assert (judged.measured, judged.encoded, len(judged.table())) == (0, 0, 4)
    argv = ["--config", str(out / "grid.toml")]
    assert main([*argv, "--shard", "3/2"]) == 2
    assert "--shard 3/2: give which of how many, from 1/8 to 8/8" in capsys.readouterr().err
    assert main([*argv, "--shard", "1/2", "--dry-run"]) == 2
    assert main([]) == 2
    assert "--config GRID.toml is missing" in capsys.readouterr().err


def test_a_changed_default_of_a_probe_spoils_its_cells_alone(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store
    example = (ROOT / "docs/examples/probe.py").read_text()
    for name in ("mine", "other"):
        (tmp_path / f"{name}.py").write_text(f"{example}\nNAMED = {name!r}\n")
    monkeypatch.chdir(tmp_path)
    grid = {"fixed": FIXED, "grid": {"encoder": ["lowlevel"], "task": ["mirror"], "probe": ["mine.py", "other.py"]}}
    first = ablate(grid)
    assert ablate(grid).measured == 0
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "\nDEFAULT = 2\n")
    assert 0 < ablate(grid).measured == first.measured / 2


def test_the_order_of_axes_and_flags_of_this_machine_leave_the_line(answered: tuple[AblationResult, Path]) -> None:
    found, out = answered
    again = ablate({"fixed": FIXED, "grid": GRID}, out=str(out), jobs=1, most=50, fail_fast=True)
    assert again.command == found.command


@pytest.mark.slow
def test_a_grid_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(
        "[fixed]\nitems = 60\npermutations = 99\n"
        "[grid]\nencoder = ['pixels', 'lowlevel']\ntask = ['mirror', 'orientation']\n"
    )
    line = [sys.executable, "-m", "experiments.ablation", "--config", "g.toml", "--out", "out"]
    env: Mapping[str, str] = os.environ | {"SLITLAMP_CACHE": str(tmp_path / "store"), "PYTHONPATH": str(ROOT)}

    def finished() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store/cells").glob("*.npz")}

    for kills_left in (2, 1, 0):
        before = finished()
        run = subprocess.Popen(line, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while run.poll() is None and (kills_left == 0 or len(finished()) < len(before) + 2):
            time.sleep(0.02)
        assert (run.poll() is None) == (kills_left > 0)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        after = finished()
        assert {name: after[name] for name in before} == before  # none was written again
    assert run.returncode == 0
    assert len(read_document(tmp_path / "out")["tables"]["runs"]) == 4
    assert dataclasses.is_dataclass(slitlamp.load(tmp_path / "out"))
