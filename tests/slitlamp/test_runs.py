"""Runs read back: the same numbers, and one line for a folder that holds none."""

import json
from pathlib import Path

import numpy as np
import pytest

import probes
import slitlamp
from slitlamp.errors import UsageError
from slitlamp.runs import open_runs, read_document
from tasks import DataError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[slitlamp.Result, Path]:
    out = tmp_path_factory.mktemp("run") / "mirror"
    made = slitlamp.probe("pixels", "mirror", items=60, permutations=99, out=str(out))
    return made, out


def test_a_run_is_read_back_as_it_was_made(run: tuple[slitlamp.Result, Path]) -> None:
    made, out = run
    again = slitlamp.load(out)
    assert again.to_json() == made.to_json()
    assert again.command == made.command
    assert set(again.predictions) == set(made.predictions)
    for name, one in made.predictions.items():
        np.testing.assert_array_equal(again.predictions[name].predicted, one.predicted)


def test_a_paired_difference_needs_no_image(run: tuple[slitlamp.Result, Path]) -> None:
    stored = open_runs([run[1]])[0]
    a, b = (next(r for r in stored.records if r.encoder == name and not r.screened) for name in ("pixels", "lowlevel"))
    difference = probes.compare(stored.measurement(a), stored.measurement(b), stored.plan(a))
    assert difference.score == pytest.approx(a.score - b.score)
    assert a.plan_key == b.plan_key


def test_groups_of_a_draw_are_among_those_of_more(tmp_path: Path) -> None:
    taken = {}
    for count in (22, 26):
        slitlamp.probe("pixels", "mirror", items=60, permutations=19, take_groups=count, out=str(tmp_path / str(count)))
        stored = open_runs([tmp_path / str(count)])[0]
        taken[count] = set(stored.material(stored.records[0].plan_key)["groups"])
        assert len(taken[count]) == count
        assert stored.questions["mirror"]["left_out"] == {"not drawn": 2 * (30 - count)}
    assert taken[22] < taken[26]


def test_more_groups_than_there_are_is_refused() -> None:
    with pytest.raises(DataError, match="--take-groups 61: there are 30 groups"):
        slitlamp.probe("pixels", "mirror", items=60, take_groups=61)


def test_what_is_no_run_is_one_line(tmp_path: Path, run: tuple[slitlamp.Result, Path]) -> None:
    with pytest.raises(UsageError, match=r"mirro does not exist; did you mean 'mirror'\?"):
        read_document(run[1].parent / "mirro")
    with pytest.raises(UsageError, match=r"holds no finished run .* it holds the runs mirror: name them"):
        read_document(run[1].parent)
    (tmp_path / "results.json").write_text('{"schema": 3, "experi')
    with pytest.raises(UsageError, match="no whole JSON document"):
        read_document(tmp_path)
    (tmp_path / "results.json").write_text('["a list"]')
    with pytest.raises(UsageError, match="not a document of this program"):
        read_document(tmp_path)
    old = json.loads((run[1] / "results.json").read_text()) | {"schema": 2}
    (tmp_path / "results.json").write_text(json.dumps(old))
    with pytest.raises(UsageError, match=r"is of version 2, and this program reads 3; .*linear_probe .* --replace"):
        read_document(tmp_path)


def test_a_lost_or_damaged_cell_is_named(run: tuple[slitlamp.Result, Path], tmp_path: Path) -> None:
    import shutil

    home = tmp_path / "copy"
    shutil.copytree(run[1], home)
    stored = open_runs([home])[0]
    cell = home / "cells" / f"{stored.records[0].cell}.npz"
    cell.write_bytes(cell.read_bytes()[:-1])
    with pytest.raises(UsageError, match=r"missing or damaged; make it again: python -m experiments.linear_probe"):
        stored.measurement(stored.records[0])
    (home / "cells" / f"plan-{stored.records[0].plan_key}.json").unlink()
    with pytest.raises(UsageError, match="missing or damaged"):
        open_runs([home])[0].measurement(stored.records[1])


def test_a_damaged_plan_is_written_again_by_the_line_that_is_named(tmp_path: Path) -> None:
    from slitlamp.probing.cells import cells_in

    cells, path = cells_in(tmp_path), tmp_path / "cells" / "plan-k.json"
    cells.save_plan("k", {"ids": ["a"]})
    whole = path.read_bytes()
    path.write_bytes(whole[:4])
    cells.save_plan("k", {"ids": ["a"]})
    assert path.read_bytes() == whole
