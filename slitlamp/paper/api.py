"""The function about reports that a notebook calls; keyword arguments are the flags of the command."""

from pathlib import Path
from typing import Any

from slitlamp.paper.settings import COMMAND
from slitlamp.reports.result import CommandResult


def report(*runs: str | Path, **flags: Any) -> CommandResult:
    """The pages that go into a paper, of the folders of runs: page, figures, tables, methods and a probe card.

    With `out` all of it is written there; without, the answers come back as sentences and tables, and `plot` draws the
    figures. `title` is that of the page, `track` names trackers to log to. `report(diff=(a, b))` says instead which
    numbers differ between two runs or grids, and what else does.

    Raises:
        UsageError: no run, one that is not whole, of another version or named twice; or arguments that do not fit.
    """
    return COMMAND.call({"runs": runs} | flags)
