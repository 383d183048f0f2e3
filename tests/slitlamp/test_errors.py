"""Errors as lines: in one line, the name of whom they concern once, and no folder of this machine in what is kept."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from plugins import UserFileError
from slitlamp.ablation.check import Unit
from slitlamp.embedding.run import _tried
from slitlamp.errors import none_of, one_line, said_of, without_folders
from slitlamp.settings import Settings


def test_a_line_that_is_kept_names_the_file_and_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "north clinic"
    folder.mkdir()
    for file in (folder / "film.png", folder / "gone film.png", folder):  # there, not there, and a folder itself
        short = without_folders(f"clip: --weights x={file} cannot be read (in {file}); see https://hub.org/a, or 1/2")
        assert short == f"clip: --weights x={file.name} cannot be read (in {file.name}); see https://hub.org/a, or 1/2"
    error = OSError(2, "No such file or directory", str(folder / "gone.png"))
    assert one_line(error) == "gone.png: No such file or directory"
    assert one_line(error, whole=True).startswith(str(folder))
    relative = "films/north clinic/a.png: no such file, and /no/such/folder/b.png neither"
    assert without_folders(relative) == relative, "what was typed relative stays whole, and what is no folder here"


def test_a_name_stands_once_and_of_many_errors_the_first_is_told() -> None:
    assert said_of("clip", ValueError("clip: too small")) == said_of("clip", ValueError("too small"))
    assert none_of(["a: x", "a: x"]) == "a: x"
    assert none_of(["a: x", "b: y", "c: z"]) == "a: x (and 2 more)"


def test_who_was_left_out_of_a_map_or_a_grid_is_kept_without_the_folder_it_lies_in(tmp_path: Path) -> None:
    broken = tmp_path / "north clinic" / "broken.py"
    broken.parent.mkdir()
    broken.write_text("")

    def fails() -> None:
        raise UserFileError(f"{broken}, line 1: no features")

    failed: list[str] = []
    assert _tried(SimpleNamespace(spec=str(broken)), False, failed, fails) is None  # pyright: ignore[reportArgumentType]
    assert failed == ["broken.py, line 1: no features"]
    run: Any = SimpleNamespace(name="run")
    unit = Unit(run=run, task="mirror", encoder=str(broken), label=f"random:{broken}#1", settings=Settings())
    assert unit.name == "mirror, random:broken.py#1"
