"""A grid is spelled out as its file says, and what is no grid is one line."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slitlamp.ablation.grid import Grid, as_toml, grid_of, narrowed, read_grid, units_of
from slitlamp.ablation.settings import grid_file
from slitlamp.errors import UsageError
from slitlamp.settings import FLAGS
from tests.paths import ROOT

GRIDS = sorted((ROOT / "docs/examples/grids").glob("*.toml"))


def grid(text: str, most: int = 2000) -> Grid:
    return grid_of(tomllib.loads(text), "g.toml", most)


def asked(found: Grid) -> list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], int]]:
    return [
        (r.settings.encoder.encoder, r.settings.source.task, r.settings.encoder.readout, r.settings.probe.seed)
        for r in found.runs
    ]


def test_a_product_is_put_together_into_runs_of_all_encoders_and_tasks() -> None:
    found = grid('[grid]\nencoder = ["pixels", "lowlevel"]\ntask = ["depth", "mirror"]\nseed = [1, 0]\n')
    assert found.cells == 8
    assert asked(found) == [
        (("pixels", "lowlevel"), ("depth", "mirror"), (), 1),
        (("pixels", "lowlevel"), ("depth", "mirror"), (), 0),
    ]
    assert [run.name for run in found.runs] == ["seed=1", "seed=0"]
    assert found.axes == {"encoder": ["pixels", "lowlevel"], "task": ["depth", "mirror"], "seed": [1, 0]}
    assert [(task, encoder) for run, task, encoder in units_of(found) if run is found.runs[1]] == [
        ("depth", "pixels"), ("depth", "lowlevel"), ("mirror", "pixels"), ("mirror", "lowlevel")
    ]  # fmt: skip


def test_fixed_flags_stand_in_every_run_and_hyphens_are_underscores() -> None:
    found = grid('[fixed]\ntake-groups = 12\nencoder = ["pixels", "lowlevel"]\n[grid]\ndraw = [0, 1]\n')
    assert [r.settings.source.take_groups for r in found.runs] == [12, 12]
    assert found.runs[0].settings.encoder.encoder == ("pixels", "lowlevel")
    assert [r.settings.source.draw for r in found.runs] == [0, 1]


def test_zip_takes_values_together() -> None:
    found = grid('[grid]\nencoder = ["pixels"]\n[[zip]]\ntake_groups = [12, 24]\ndraw = [3, 4]\n')
    assert [(r.settings.source.take_groups, r.settings.source.draw) for r in found.runs] == [(12, 3), (24, 4)]
    assert [r.name for r in found.runs] == ["take_groups=12,draw=3", "take_groups=24,draw=4"]


def test_names_in_inner_brackets_stay_a_run_of_their_own() -> None:
    loose = grid('[grid]\nreadout = ["mean", "max"]\n')
    assert asked(loose) == [(("phantom-clip",), (), ("mean", "max"), 0)]
    own = grid('[grid]\nreadout = [["mean", "max"], ["std"], "cls"]\n')
    assert [readout for _, _, readout, _ in asked(own)] == [("mean", "max"), ("std",), ("cls",)]
    assert own.runs[0].axes == {"readout": ["mean", "max"]}


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ('task = "mirror"', [(("a.py", "pixels"), ("depth",))]),
        ('encoder = "pix*"\ntask = "mirror"', [(("a.py",), ("depth", "mirror")), (("pixels",), ("depth",))]),
        ('encoder = ["pixels", "a.py"]\ntask = "mirror"', [(("a.py", "pixels"), ("depth",))]),
    ],
)
def test_what_is_excluded_leaves_whole_runs(exclude: str, left: list[Any]) -> None:
    text = f'[grid]\nencoder = ["a.py", "pixels"]\ntask = ["depth", "mirror"]\n[[exclude]]\n{exclude}\n'
    found = grid(text)
    assert [(encoders, tasks) for encoders, tasks, _, _ in asked(found)] == left
    assert found.cells == 4 - found.excluded == sum(len(encoders) * len(tasks) for encoders, tasks in left)
    assert bool(found.notes) == (len(left) > 1)
    assert all("pays for the search over its own encoders" in note for note in found.notes)


def test_runs_that_an_exclude_divides_are_as_few_as_can_be() -> None:
    text = '[grid]\nencoder = ["a.py", "b.py", "pixels"]\nsite = ["block.*", "pooled"]\ntask = ["depth", "mirror"]\n'
    found = grid(text + '[[exclude]]\nencoder = "pixels"\nsite = "block.*"\n')
    assert [(r.settings.encoder.encoder, r.settings.encoder.site) for r in found.runs] == [
        (("a.py", "b.py"), ("block.*", "pooled")), (("pixels",), ("pooled",))
    ]  # fmt: skip
    fewest = grid(
        '[grid]\ntask = ["depth", "mirror", "contrast"]\nencoder = ["a.py", "b.py", "c.py"]\n'
        '[[exclude]]\nencoder = ["a.py", "b.py"]\ntask = "contrast"\n[[exclude]]\nencoder = "c.py"\ntask = "mirror"\n'
    )
    assert [(e, t) for e, t, _, _ in asked(fewest)] == [
        (("a.py", "b.py"), ("depth", "mirror")), (("c.py",), ("depth", "contrast"))
    ]  # fmt: skip
    diagonal = grid(
        '[grid]\nencoder = ["a.py", "b.py"]\ntask = ["depth", "mirror"]\n'
        '[[exclude]]\nencoder = "a.py"\ntask = "mirror"\n[[exclude]]\nencoder = "b.py"\ntask = "depth"\n'
    )
    assert [(e, t) for e, t, _, _ in asked(diagonal)] == [(("a.py",), ("depth",)), (("b.py",), ("mirror",))]


def test_a_longer_axis_keeps_the_folder_of_a_run_and_another_setting_does_not() -> None:
    one = grid('[fixed]\nitems = 60\n[grid]\nencoder = ["pixels"]\nseed = [0]\n').runs[0].folder
    more = grid('[fixed]\nitems = 60\n[grid]\nencoder = ["pixels", "lowlevel"]\nseed = [0]\n').runs[0].folder
    other = grid('[fixed]\nitems = 61\n[grid]\nencoder = ["pixels"]\nseed = [0]\n').runs[0].folder
    assert one == more != other
    batch = grid('[fixed]\nitems = 60\nbatch_size = 7\n[grid]\nencoder = ["pixels"]\nseed = [0]\n').runs[0].folder
    assert one == batch  # which changes no number


def test_a_column_goes_with_the_tasks_that_read_it() -> None:
    text = "task = ['mirror', 'label']\nlabel = ['sex', 'age']\n[[zip]]\nseed = [0, 0]\nfolds = [5, 6]\n"
    found = grid(f"[fixed]\ndata = 'd'\nclasses = true\n[grid]\n{text}")
    assert [r.settings.source.label for r in found.runs] == ["sex", "sex", "age", "age"]
    settings = found.runs[0].settings
    assert settings.source.task == ("mirror", "label")
    alone = narrowed(settings, ("phantom-clip",), ("mirror",)).source
    assert (alone.label, alone.classes) == (None, False)
    alone = narrowed(settings, ("phantom-clip",), ("label",)).source
    assert (alone.label, alone.classes) == ("sex", True)


def test_weights_go_with_their_encoder() -> None:
    found = grid(
        '[fixed]\nweights = ["a=x.pth", "b=y.pth"]\n[grid]\n'
        'encoder = ["a=timm:m", "b=timm:m"]\ntask = ["depth", "mirror"]\n'
        '[[exclude]]\nencoder = "a=*"\ntask = "depth"\n'
    )
    assert sorted(r.settings.encoder.weights for r in found.runs) == [("a=x.pth",), ("b=y.pth",)]
    whole = grid('[fixed]\nweights = ["a=x.pth", "b=y.pth"]\n[grid]\nencoder = ["a=timm:m", "b=timm:m"]\n').runs[0]
    assert narrowed(whole.settings, ("b=timm:m",), ("depth",)).encoder.weights == ("b=y.pth",)


HOSTILE = (
    "../../x",
    "a b;rm -rf $HOME",
    "<script>",
    "=cmd()",
    "é\u202eltr",
    "x" * 10_000,
    "con.",
    "-v",
    "\U0001f600",
    "\x1b[0m",
)


def test_names_of_runs_are_safe_and_different_whatever_a_value_holds() -> None:
    found = grid_of({"grid": {"label": [*HOSTILE], "group": ["p" * 300, "p" * 301]}, "fixed": {"data": "d"}}, "g", 99)
    names = [run.folder.removeprefix("runs/") for run in found.runs]
    assert len({name.casefold() for name in names}) == len(names) == 2 * len(HOSTILE)
    assert len({run.name for run in found.runs}) == len(names)
    for name in names:
        assert name.isascii()
        assert len(name) < 110
        assert not set(name) & set("/\\:*?\"<>|; '$()")
        assert name[0].isalnum()


BAD = {
    "unknown key": ('[grid]\nencodr = ["pixels"]\n', r"\[grid\] unknown key 'encodr'; did you mean 'encoder'\?"),
    "unknown fixed key": ("[fixed]\nitem = 3\n[grid]\nseed = [1]\n",
        r"\[fixed\] unknown key 'item'; did you mean 'items'"),
    "unknown section": ("[gird]\nseed = [1]\n", r"unknown section 'gird'; did you mean 'grid'\?"),
    "a flag at the top": ("seed = 1\n", r"unknown section 'seed'; a flag stands under \[fixed\]"),
    "empty axis": ("[grid]\nseed = []\n", r"\[grid\] seed is empty"),
    "no list": ("[grid]\nseed = 3\n",
        r"seed = 3: an axis is a list, as in \[3\]; a single value stands under \[fixed\]"),
    "wrong type": ('[grid]\nseed = [1, "a"]\n', r"\[grid\] seed='a' is of type str; it must be int"),
    "a truth is no number": ("[grid]\nseed = [true]\n", r"seed=True is of type bool; it must be int"),
    "none of the choices": ('[grid]\ndtype = ["float64"]\n', r"dtype = 'float64' is none of float32, bfloat16"),
    "no name": ('[grid]\nencoder = ["pixels", ""]\n', r"encoder = '' names nothing"),
    "no names": ("[grid]\nreadout = [[]]\n", r"readout = \[\] names nothing"),
    "no number": ("[grid]\nintercept = [nan]\n", r"intercept = nan: must be a finite number"),
    "two places": ("[fixed]\nseed = 1\n[grid]\nseed = [1, 2]\n", r"seed stands in \[fixed\] and in \[grid\]"),
    "two spellings": ("[grid]\ntake_groups = [9]\n[[zip]]\ntake-groups = [8]\n",
        r"take-groups stands in \[grid\] and in \[\[zip\]\]"),
    "unequal": ("[[zip]]\nseed = [1, 2]\ndraw = [1]\n", r"they differ: seed has 2, draw has 1"),
    "zip in one bracket": ("[grid]\nseed=[1]\n[zip]\ndraw = [1]\n", r"write \[\[zip\]\], in two brackets"),
    "grid in two": ("[[grid]]\nseed = [1]\n", r"write \[grid\] and the flags below it"),
    "excludes nothing": ('[grid]\ntask = ["depth", "mirror"]\n[[exclude]]\ntask = "mirr"\n',
                         r"excludes nothing: task has depth, mirror; did you mean 'mirror'\?"),
    "excludes no cell": ('[grid]\ntask = ["depth", "mirror"]\nseed=[1,2]\n[[exclude]]\ntask="depth"\nseed=1\n'
                         '[[exclude]]\ntask="depth"\nseed=1\n', r"excludes nothing that others do not"),
    "excludes a truth": ("[grid]\nseed = [1, 2]\n[[exclude]]\nseed = true\n", r"excludes nothing: seed has 1, 2"),
    "excludes all": ('[grid]\ntask = ["depth", "mirror"]\n[[exclude]]\ntask = "*"\n', r"leaves none of 2 cells"),
    "excludes by no axis": ('[grid]\ntask = ["depth"]\n[[exclude]]\ntaks = "depth"\n',
        r"'taks' is no axis; did you mean 'task'"),
    "excludes by nothing": ("[grid]\nseed = [1]\n[[exclude]]\n", r"\[\[exclude\]\] names no axis"),
    "alike": ("[grid]\nseed = [0, 1, 0]\n", r"\[grid\] seed names 0 twice: two cells would be alike"),
    "alike in other words": ('[fixed]\ndata="d"\n[grid]\nwindow = ["40/400", "40.0/400"]\n',
                             r"window names '40/400' and '40.0/400', which are the same"),
    "alike paths": ('[grid]\ndata = ["films", "films/"]\n', r"data names 'films' and 'films/', which are the same"),
    "alike tasks": ('[grid]\ntask = ["relative-position", "relative_position"]\n', r"which are the same"),
    "alike lists": ('[grid]\nsite = [["a", "b"], ["b", "a"]]\n', r"which are the same"),
    "alike rows": ("[[zip]]\nseed = [0, 1, 0]\ndraw = [1, 1, 1]\n", r"takes seed = 0, draw = 1 together twice"),
    "too many": ("[grid]\nseed = [1, 2, 3]\ndraw = [1, 2, 3]\n",
        r"spells out to 9 cells \(3 x 3\), more than --most 8"),
    "no axis": ("[fixed]\nseed = 1\n", r"has no axis: give some under \[grid\]"),
    "nothing": ("", r"has no axis"),
    "of the command": ('[fixed]\nout = "x"\n[grid]\nseed = [1]\n',
        r"out says nothing about a question; it is a flag of the command"),
    "jobs": ("[grid]\njobs = [1, 2]\n", r"jobs says nothing about a question; it is a flag of the command, --jobs"),
    "config": ('[grid]\nconfig = ["a"]\n', r"config means nothing in a grid"),
    "of maps": ('[grid]\nevidence = ["a"]\n', r"evidence has nothing to act on"),
    "does not fit": ("[grid]\ndraw = [1, 2]\n", r"--draw 1 has nothing to act on.* \(where draw = 1\)"),
    "too small": ("[grid]\nfolds = [1, 5]\n", r"--folds 1: must be at least 2 \(where folds = 1\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_grid_is_one_line(what: str) -> None:
    text, said = BAD[what]
    with pytest.raises(UsageError, match=said) as error:
        grid(text, most=8)
    assert str(error.value).startswith("g.toml")
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("[grid\n")
    (tmp_path / "latin.toml").write_bytes(b"[grid]\nlabel = ['\xe9']\n")
    for name, said in {
        "grid.tml": r"cannot be read: No such file or directory; did you mean 'grid.toml'\?",
        "grid.toml": r"is not TOML: .*line 1",
        "latin.toml": r"is not TOML",
        "": r"cannot be read: a folder, pipe, socket or device",
    }.items():
        with pytest.raises(UsageError, match=said):
            read_grid(str(tmp_path / name), 9)


def test_a_large_product_is_counted_and_not_spelled_out() -> None:
    axes = {name: list(range(1, 2000)) for name in ("seed", "items", "limit", "batch_size", "repeats")}
    with pytest.raises(UsageError, match=r"spells out to 31,9"):
        grid_of({"grid": axes}, "g.toml", 2000)


EXAMPLES = {
    "encoders": (16, 1),
    "readouts": (8, 1),
    "learning_curve": (16, 16),
    "windows": (8, 4),
    "resolutions": (6, 3),
}


@pytest.mark.parametrize("path", GRIDS, ids=lambda p: p.stem)
def test_the_documented_grids_are_grids_and_the_page_shows_them_whole(path: Path) -> None:
    assert f"```toml\n{path.read_text()}```" in (ROOT / "docs/ablation.md").read_text(encoding="utf-8")
    if path.stem == "resolutions" and "image_size" not in FLAGS:
        pytest.skip("no flag of this version tells the size of images")
    found = read_grid(str(path), 2000)
    assert (found.cells, len(found.runs)) == EXAMPLES[path.stem]
    assert grid_of(tomllib.loads(as_toml(found.document)), found.source, 2000) == found


def test_there_are_five_documented_grids() -> None:
    assert {path.stem for path in GRIDS} == set(EXAMPLES)


@pytest.mark.parametrize(
    "document",
    [
        {
            "grid": {"label": ['a"b\\c\x7f', "\u2028\U0001f600é", "tab\there"], "intercept": [0.5, 1e300]},
            "fixed": {"data": "d"},
        },
        {
            "grid": {"seed": [0], "site": [["a"], "b"]},
            "zip": [{"draw": [1], "take_groups": [3]}],
            "fixed": {"number": True},
        },
    ],
)
def test_a_grid_is_written_as_it_is_read(document: Mapping[str, Any]) -> None:
    assert tomllib.loads(as_toml(document)) == document


def test_a_mapping_may_hold_numbers_of_numpy_tuples_ranges_and_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path))
    fixed = {"take_groups": np.int64(19), "unreadable": np.float64(0.2), "number": np.bool_(True), "label": "size"}
    axes = {"encoder": np.array(["pixels"]), "seed": [np.int64(3), 4], "draw": range(2), "data": (Path("a.csv"),)}
    file = grid_file({"fixed": fixed, "grid": axes, "exclude": [{"seed": np.int64(3), "draw": 1}]}, 9)
    held = tomllib.loads(Path(file).read_text())
    assert held["fixed"] == {"take_groups": 19, "unreadable": 0.2, "number": True, "label": "size"}
    assert held["grid"] == {"encoder": ["pixels"], "seed": [3, 4], "draw": [0, 1], "data": ["a.csv"]}
    assert held["exclude"] == [{"seed": 3, "draw": 1}]
