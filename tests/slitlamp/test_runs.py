"""Runs read back: the same numbers, and one line for a folder that holds none."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import probes
import slitlamp
from slitlamp.errors import UsageError
from slitlamp.probing.cells import cells_in, plan_key, plan_material
from slitlamp.questions import drawn
from slitlamp.runs import StoredRun, open_runs, read_document
from slitlamp.settings import Settings
from tasks import DataError
from tests.undrawn import no_figures


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[slitlamp.Result, Path]:
    out = tmp_path_factory.mktemp("run") / "mirror"
    with pytest.MonkeyPatch.context() as patch:
        no_figures(patch)
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


@pytest.mark.usefixtures("undrawn")
def test_groups_of_a_draw_are_among_those_of_more(tmp_path: Path) -> None:
    taken = {}
    for count in (22, 26):
        slitlamp.probe("pixels", "mirror", items=60, permutations=19, take_groups=count, out=str(tmp_path / str(count)))
        stored = open_runs([tmp_path / str(count)])[0]
        taken[count] = set(stored.material(stored.records[0].plan_key)["groups"])
        assert len(taken[count]) == count
        assert stored.questions["mirror"]["left_out"] == {"not drawn": 2 * (30 - count)}
    assert taken[22] < taken[26]


def test_draws_and_seeds_draw_other_groups_and_all_of_them_may_be_drawn() -> None:
    items: Any = [SimpleNamespace(group=f"g{k // 2}") for k in range(60)]

    def taken(**flags: int) -> set[str]:
        return {item.group for item in drawn(items, Settings.of(**flags).source)}

    sets = [taken(take_groups=10, draw=draw, seed=seed) for draw, seed in ((0, 0), (1, 0), (0, 1))]
    assert [len(one) for one in sets] == [10] * 3
    assert not any(a == b for a, b in itertools.combinations(sets, 2))
    assert drawn(items, Settings.of(take_groups=30).source) == items == drawn(items, Settings().source)
    with pytest.raises(DataError, match="--take-groups 31: there are 30 groups"):
        taken(take_groups=31)


@pytest.mark.parametrize("what", ["numbers", "copies"])
def test_a_plan_is_made_again_of_numbers_and_of_copies_or_refused(what: str, tmp_path: Path) -> None:
    rows = np.arange(48)
    y, groups, classes = rows % 2, rows // 6, ("no", "yes")
    asked: dict[str, Any] = {"seed": 3, "folds": 4, "repeats": 2, "permutations": 19}
    if what == "numbers":
        plan, copies = probes.plan(np.sin(rows) / 3, groups, **asked), None
    else:
        copies = [str(k // 2) for k in rows]
        plan = probes.plan(y, groups, classes=classes, copies=copies, **asked)
    ids, names = [str(k) for k in rows], [str(k) for k in groups]
    given = plan_material(plan, ids, names, copies, asked)
    cells_in(tmp_path).save_plan("k", given)
    record: Any = SimpleNamespace(plan_key="k", code_version="0.1", command="python")
    document = {"records": [vars(record)]}
    again = StoredRun(folder=tmp_path, name="run", document=document).plan(record)
    for name in ("folds", "permuted", "y"):
        np.testing.assert_array_equal(getattr(again, name), getattr(plan, name))
    one = plan_key(given)
    for other in (replace(plan, permuted=plan.permuted[::-1]), replace(plan, folds=plan.folds[::-1])):
        assert plan_key(plan_material(other, ids, names, copies, asked)) != one
    for k in (0, 1):
        other = given | {"folds": [*given["folds"][:k], "0" * 16, *given["folds"][k + 1 :]]}
        assert plan_key(other) != one
        cells_in(tmp_path).save_plan("k", other)
        stale = StoredRun(folder=tmp_path, name="run", document=document)
        stale.__dict__["records"] = (record,)
        with pytest.raises(UsageError, match=r"was measured on other folds than this version makes \(0\.1\)"):
            stale.plan(record)


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


def test_of_a_grid_the_runs_that_are_done_are_opened_under_their_names(
    run: tuple[slitlamp.Result, Path], tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(run[1], tmp_path / "runs" / "one-abc")
    runs = [
        {"name": name, "folder": f"runs/{name}-abc", "settings": {"seed": seed}, "status": status}
        for seed, (name, status) in enumerate((("one", "done"), ("two", "failed"), ("three", "pending")))
    ]
    (tmp_path / "results.json").write_text(json.dumps({"schema": 3, "experiment": "ablation", "runs": runs}))
    (found,) = open_runs([tmp_path])
    assert (found.name, found.settings) == ("one", {"seed": 0})


@pytest.mark.parametrize("records", [7.5, ["x", None], [{"command": 3}], {"command": "x"}, None])
def test_records_of_another_shape_in_another_version_are_one_line(tmp_path: Path, records: Any) -> None:
    document = {"experiment": "linear_probe", "schema": 1, "command": 5, "records": records}
    (tmp_path / "results.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"is of version 1, and this program reads 3$"):
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


def test_what_one_run_measured_is_found_by_another_that_shares_its_cells_and_by_no_other(
    run: tuple[slitlamp.Result, Path], tmp_path: Path
) -> None:
    (stored,) = open_runs([run[1]])
    record, key = stored.records[0], "0" * 64
    made, left = stored.measurement(record), {"plan": stored.plan(record)}
    one, two = (cells_in(tmp_path / name, shared=tmp_path / "shared") for name in ("one", "two"))
    assert not two.holds(key)
    assert two.load(key, **left) is None
    one.save(key, made, classes=left["plan"].classes)
    names = {f"{key[:32]}.npz", f"{key[:32]}.parquet"}
    assert {path.name for path in (tmp_path / "shared").iterdir()} == names
    assert two.holds(key)
    own = two.folder / f"{key[:32]}.npz"
    for _ in range(2):
        assert two.load(key, **left).estimate == made.estimate
        assert {path.name for path in two.folder.iterdir()} == names
        own.unlink()
        own.write_bytes(b"damaged")
    assert not cells_in(tmp_path / "alone").holds(key)
    assert cells_in(tmp_path / "two").load(key, **left) is None


def test_a_damaged_plan_is_written_again_by_the_line_that_is_named(tmp_path: Path) -> None:
    from slitlamp.probing.cells import cells_in

    cells, path = cells_in(tmp_path), tmp_path / "cells" / "plan-k.json"
    cells.save_plan("k", {"ids": ["a"]})
    whole = path.read_bytes()
    path.write_bytes(whole[:4])
    cells.save_plan("k", {"ids": ["a"]})
    assert path.read_bytes() == whole


def test_cells_kept_for_a_next_run_alone_may_be_lost_which_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slitlamp.probing.cells._SAID", set())
    (tmp_path / "cells").write_text("a file where the folder would lie")
    for key in ("one", "two"):
        cells_in(tmp_path, spare=True).save_plan(key, {"ids": []})
    assert caplog.text.count("cells are not kept in the store") == 1
    with pytest.raises(OSError, match="cells"):
        cells_in(tmp_path).save_plan("three", {"ids": []})
