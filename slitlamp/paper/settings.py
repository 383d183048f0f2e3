"""What the command about reports is asked for."""

from dataclasses import dataclass
from pathlib import Path

from slitlamp.commands import Command
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag

LONGEST = 300  # letters of a title


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Which runs are reported, under which title, and where the numbers are logged as well."""

    runs: tuple[str, ...] = _flag(
        (), "folders of runs, of any command; a grid's folder stands for its runs", metavar="RUN"
    )
    title: str = _flag("", "title of the page (omitted: the questions that were asked)", metavar="TEXT")
    track: tuple[str, ...] = _flag(
        (), "log the numbers to wandb, mlflow, tensorboard or trackio as well, each an extra of its own", metavar="NAME"
    )
    diff: tuple[str, ...] = _flag(
        (), "instead of a page: which numbers differ between two runs or grids, and what else does", metavar="RUN"
    )


def check(settings: Settings, own: ReportSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    if own.diff and len(own.diff) != 2:
        raise UsageError(f"--diff takes two folders, the earlier one first, not {len(own.diff)}")
    if own.diff and own.runs:
        raise UsageError(f"{own.runs[0]} has nothing to act on: --diff names the two runs that are compared")
    if own.diff and (own.track or own.title):
        raise UsageError(f"--{'track' if own.track else 'title'} has nothing to act on: --diff makes no page")
    if not own.diff and not own.runs:
        raise UsageError("no run is named; give the folders of runs, as --out named them or as they lie under runs/")
    if len(own.title) > LONGEST:
        raise UsageError(f"--title has {len(own.title)} letters; at most {LONGEST} fit a page")
    out = settings.output.out
    if out and Path(out).resolve() in {Path(one).resolve() for one in (*own.runs, *own.diff)}:
        raise UsageError(f"--out {out} is the folder of a run that is reported; give another")


def _words(own: ReportSettings) -> tuple[str, ...]:
    return tuple(Path(one).resolve().name for one in (*own.runs, *own.diff))


COMMAND = Command(
    name="report",
    about="the pages that go into a paper: one offline page, figures, tables, methods and a probe card",
    own=ReportSettings,
    flags=("out", "replace", "json", "debug"),
    default=Settings.of(out=""),
    check=check,
    home="slitlamp.paper.run.report",
    positional="runs",
    words=_words,
)
