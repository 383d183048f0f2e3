"""The function about a model's failures that a notebook calls; keyword arguments are the flags of the command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slitlamp.diagnosis.settings import COMMAND
from slitlamp.reports.result import CommandResult


def diagnose(
    model: str | Path = "phantom-clip", task: str | Sequence[str] | None = None, **flags: Any
) -> CommandResult:
    """Where along a model the answer to a task is lost: tower, connector or joint space, language model, answer.

    The first table holds a verdict for each task, the next its stages.

    Raises:
        UsageError: arguments that do not fit. tasks.DataError, encoders.EncoderError, probes.ProbeError: as the command
        says in one line.
    """
    return COMMAND.call({"model": str(model)} | ({} if task is None else {"task": task}) | flags)
