"""What a file's tags say of a person or a place stands in no output, and what was shortened is said."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from experiments._exit import guard
from slitlamp.reports import plots
from slitlamp.settings import Settings, command_line
from tests.tasks.images.helpers import dicom

NAME = "Zebedee"  # of a person, a study, a hospital
WRITTEN = (NAME.encode(), NAME.upper().encode(), NAME.encode("utf-16-le"))
NOTE = "note: of whole paths tables and files hold the last part alone"
SMALL = ("--permutations", "19", "--folds", "3", "--repeats", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Twenty-four films of as many patients, each tag of which that is free text holds the name."""
    home = tmp_path_factory.mktemp("tags")
    (home / "films").mkdir()
    rng = np.random.default_rng(0)
    for k in range(24):
        pixels = rng.integers(0, 90, (40, 40), dtype=np.uint8)
        pixels[:20] += np.uint8(60)
        dicom(
            home / "films" / f"{k}.dcm", pixels, PatientID=f"{NAME}-{k}", PatientName=f"{NAME}^{k}",
            StudyDescription=f"Thorax, {NAME}", InstitutionName=f"{NAME} Hospital", SeriesDescription=NAME,
            ReferringPhysicianName=f"{NAME}^A", OperatorsName=f"{NAME}^B", AccessionNumber=f"{NAME}{k}",
            StationName=NAME, StudyID=NAME, ImageComments=NAME, InstitutionAddress=f"1 {NAME} Road",
        )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "SUFFIXES", {"svg": plots.SUFFIXES["svg"]})  # three formats take thrice as long
        patch.setenv("SLITLAMP_CACHE", str(home / "store"))
        yield home


def _asked(command: str, *words: str) -> None:
    assert import_module(f"experiments.{command}").main(list(words)) == 0


def test_no_name_in_a_files_tags_reaches_an_output(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, out = str(home / "films"), home / "out"
    assert NAME.encode() in (home / "films" / "0.dcm").read_bytes()
    given = ("--encoder", "lowlevel", "--data", films, "--task", "mirror", *SMALL, "--out", str(out / "probe"))
    _asked("linear_probe", *given)
    _asked("pairs", "mine", "--encoder", "lowlevel", "--reference", "pixels", "--data", films, "--rule", "quantile",
           "--at-least", "0.5", "--at-most", "0.4", "--thumbnails", "--out", str(out / "mined"))  # fmt: skip
    _asked("report", str(out / "probe"), str(out / "mined"), "--out", str(out / "report"))
    told = capsys.readouterr()
    assert told.err.count(NOTE) == 2 + 1  # of the films, and of the folders of runs
    assert NAME.lower() not in (told.out + told.err).lower()
    files = [path for part in ("out", "store") for path in (home / part).rglob("*") if path.is_file()]
    assert {"results.json", "table.csv", "index.html"} <= {path.name for path in files}
    assert [path.name for path in files if any(word in path.read_bytes() for word in WRITTEN)] == []
    assert [path for path in files if NAME.lower() in str(path.relative_to(home)).lower()] == []


@pytest.mark.parametrize(("films", "times"), [("{home}/films", 1), ("films", 0)])
def test_that_a_whole_path_was_shortened_is_said_and_nothing_of_one_typed_relative(
    films: str, times: int, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    asked = Settings().but(data=films.format(home=home))
    lines = []
    assert guard(lambda _: lines.append(command_line(asked, "linear_probe")) or 0, [], "linear_probe") == 0
    assert lines[0].endswith(" --data films")
    assert capsys.readouterr().err.count(NOTE) == times
    assert guard(lambda _: 0, [], "linear_probe") == 0
    assert NOTE not in capsys.readouterr().err
