"""The function about attribution that a notebook calls; keyword arguments are the flags of the command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slitlamp.attribution.settings import COMMAND
from slitlamp.reports.result import CommandResult


def attribute(
    encoder: str | Path | Sequence[str] = "phantom-clip", task: str | Sequence[str] | None = None, **flags: Any
) -> CommandResult:
    """Which pixels the answer of a probe, the similarity of a pair or that to a text rests on, each map with its trial.

    `arrays` of the result hold the maps, by task, encoder and method.

    Raises:
        UsageError: arguments that do not fit. tasks.DataError, encoders.EncoderError, probes.ProbeError: as the command
        says in one line.
    """
    return COMMAND.call({"encoder": encoder} | ({} if task is None else {"task": task}) | flags)
