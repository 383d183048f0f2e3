"""The function about reports that a notebook calls; keyword arguments are the flags of the command."""

from typing import Any

from slitlamp.paper.settings import COMMAND
from slitlamp.reports.result import CommandResult
from slitlamp.runs import folder_of


def report(*runs: Any, **flags: Any) -> CommandResult:
    """The pages that go into a paper: page, figures, tables, methods and a probe card.

    `runs` are folders of runs, or results that lie in one (of `probe`, `ablate`, `compare` … with `out`, or of `load`).
    With `out` all of it is written there; without, the answers come back as sentences and tables, and `plot` draws the
    figures. `title` is that of the page, `track` names trackers to log to. `report(diff=(a, b))` says instead which
    numbers differ between two runs or grids, and what else does.

    Raises:
        UsageError: no run, one that is not whole, of another version or named twice; or arguments that do not fit.
    """
    given = [one for many in runs for one in (many if isinstance(many, list | tuple) else [many])]
    if isinstance(flags.get("diff"), list | tuple):
        flags["diff"] = tuple(folder_of(one) for one in flags["diff"])
    return COMMAND.call({"runs": tuple(folder_of(one) for one in given)} | flags)
