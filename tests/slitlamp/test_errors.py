"""Errors as lines: in one line, the name of whom they concern once, and no folder of this machine in what is kept."""

from pathlib import Path

import pytest

from slitlamp.errors import none_of, one_line, said_of, without_folders


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


@pytest.mark.usefixtures("undrawn")
def test_what_a_run_left_out_is_kept_without_the_folder_it_lies_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from experiments.embedding_plot import main

    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    (tmp_path / "north clinic").mkdir()
    broken = tmp_path / "north clinic" / "broken.py"
    broken.write_text("raise ValueError(__file__)")
    words = ["--encoder", "pixels", str(broken), "--task", "mirror", "--items", "24", "--map", "pca"]
    assert main([*words, "--permutations", "19", "--out", str(tmp_path / "out")]) == 5
    out, err = capsys.readouterr()
    assert "error: broken.py, line 1: ValueError: broken.py" in err
    kept = [path for path in (tmp_path / "out").iterdir() if b"north clinic" in path.read_bytes()]
    assert (kept, "north clinic" in out) == ([], False)
    assert "broken.py" in (tmp_path / "out" / "results.json").read_text()
