"""The function about answers that a notebook calls; keyword arguments are the flags of the command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slitlamp.answers.commands import command
from slitlamp.reports.result import CommandResult


def answer(
    model: str | Path | Sequence[str] = "phantom-llava", task: str | Sequence[str] | None = None, **flags: Any
) -> CommandResult:
    """What a model itself answers, in four ways, without its bias, and without the image.

    `arrays` of the result hold an `AnsweredQuestion` for each model and task: every answer of every item.

    Raises:
        UsageError: arguments that do not fit. tasks.DataError, encoders.EncoderError: as the command says in one line.
    """
    return command("ask").call({"model": model} | ({} if task is None else {"task": task}) | flags)
