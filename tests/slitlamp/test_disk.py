"""Output folders: one run each, another is refused before it begins, and what differs is kept."""

import json
from pathlib import Path

import pytest

from slitlamp.disk import files_listed, keep_earlier, output_folder, require_new
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, with_folder


def results(folder: Path, command: str, score: float = 0.5, version: str = "1") -> dict:
    record = {"command": command, "score": score, "code_version": version}
    found = {"records": [record], "tables": {"stages": [record]}, "files": ["results.json", "table.csv"]}
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(found))
    (folder / "table.csv").write_text("table")
    return found


def test_the_folder_of_another_run_is_refused_and_of_the_same_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with output_folder(out, "results.json", "a"):
        results(out, "a")
    with output_folder(out, "results.json", "a"):
        pass
    with (
        pytest.raises(UsageError, match=r"holds the results of another run \(a\); give another --out, or --replace"),
        output_folder(out, "results.json", "b"),
    ):
        raise AssertionError("it began")
    with output_folder(out, "results.json", "b", replace=True):
        pass
    (out / "results.json").write_text("{}")
    with pytest.raises(UsageError, match="names no command"), output_folder(out, "results.json", "a"):
        raise AssertionError("it began")


def test_two_runs_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        output_folder(tmp_path / "out", "results.json", "a"),
        pytest.raises(UsageError, match="another run is writing there at this moment"),
        output_folder(tmp_path / "out", "results.json", "a"),
    ):
        raise AssertionError("both began")


def test_a_folder_in_which_nothing_came_about_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"), output_folder(tmp_path / "out", "results.json", "a"):
        raise ValueError("refused")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("score", "version", "kept"), [(0.5, "1", False), (0.5, "2", False), (0.6, "1", True)])
def test_other_numbers_of_the_same_command_are_kept_and_equal_ones_written_over(
    tmp_path: Path, score: float, version: str, kept: bool
) -> None:
    results(tmp_path, "a")
    record = {"command": "a", "score": score, "code_version": version}
    now = {"records": [record], "tables": {"stages": [record]}, "files": []}
    keep_earlier(tmp_path, "results.json", now)
    aside = list(tmp_path.glob("earlier-*/*"))
    assert sorted(path.name for path in aside) == (["results.json", "table.csv"] if kept else [])


def test_a_run_that_names_no_folder_has_one_of_its_own_by_its_question() -> None:
    def folder(**flags: object) -> str:
        return str(with_folder(Settings.of(**flags), "linear_probe").output.out)

    first = folder(encoder=("clip-b16",), task=("mirror",))
    assert first.startswith("runs/linear_probe/clip-b16-mirror-")
    assert first == folder(encoder=("clip-b16",), task=("mirror",), jobs=2, json=True)
    others = {folder(encoder=("clip-b16",), task=("mirror",), seed=1), folder(encoder=("clip-b16",), task=("depth",))}
    assert len({first, *others}) == 3
    odd = folder(encoder=("hf:a/b@c", "../x y.py"), task=("label",), label="ä/ö")
    assert odd.count("/") == 2
    assert folder(out="here") == "here"


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    require_new(tmp_path / "a.csv", "--write")
    (tmp_path / "a.csv").touch()
    with pytest.raises(UsageError, match=r"--write .*a.csv exists; give another name, or --replace"):
        require_new(tmp_path / "a.csv", "--write")
    require_new(tmp_path / "a.csv", "--write", replace=True)


def test_of_what_a_document_lists_nothing_outside_of_its_folder_is_a_file_of_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    listed = ["a.png", "maps/b.png", "../c.png", str(tmp_path / "d.png"), "results.json"]
    (folder / "results.json").write_text(json.dumps({"experiment": "x", "files": listed}))
    assert files_listed(folder, "results.json", "x") == {"a.png", "maps/b.png"}
    assert files_listed(folder, "results.json", "y") == set()
