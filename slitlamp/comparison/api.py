"""The function about comparisons that a notebook calls; keyword arguments are the flags of the command."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slitlamp.ablation.result import AblationResult
from slitlamp.comparison.settings import COMMAND, RESULTS
from slitlamp.errors import UsageError
from slitlamp.reports.result import CommandResult
from slitlamp.result import Result
from slitlamp.runs import folder_of

Run = str | Path | Result | AblationResult


def compare(*runs: Run | Sequence[Run], **flags: Any) -> CommandResult:
    """What runs read, compared: paired differences on identical folds, a ranking, learning curves, spread over seeds.

    `runs` are results of `slitlamp.probe`, `slitlamp.ablate` or `slitlamp.load`, or folders. `flags` are those of
    `python -m experiments.compare`: `over`, `site`, `readout`, `task`, `reference`, `unpaired`, `out`.

    Raises:
        UsageError: arguments that do not fit, or nothing to compare. tasks.DataError: runs that cannot be compared,
        with the difference named.

    >>> compare("runs/a", over="sites")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    slitlamp.errors.UsageError: runs/a does not exist; ...
    """
    given = [one for many in runs for one in (many if isinstance(many, list | tuple) else [many])]
    held: dict[str, Result] = {}
    names = [_name(one, held) for one in given]
    token = RESULTS.set(held)
    try:
        found = COMMAND.call({"runs": tuple(names), **flags})
        return found if not held or found.home is not None else replace(found, command="")  # no line repeats a notebook
    finally:
        RESULTS.reset(token)


def _name(run: Any, held: dict[str, Result]) -> str:
    """The folder of a run, or what a result is called that lies in no folder of its own."""
    if isinstance(run, str | Path):
        return str(run)
    if not isinstance(run, Result):
        return folder_of(run)
    if run.home is None:
        raise UsageError("this result has lost its measurements (home is None); give the folder of its run")
    if (run.home / "results.json").is_file():
        return str(run.home)
    name = f"result {sum(one is not run for one in held.values()) + 1}"
    held[name] = run
    return name
