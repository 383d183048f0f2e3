"""The function about answers that a notebook calls; keyword arguments are the flags of the command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slitlamp.answers.commands import COMMANDS
from slitlamp.reports.result import CommandResult


def answer(
    model: str | Path | Sequence[str] = "phantom-llava", task: str | Sequence[str] | None = None, **flags: Any
) -> CommandResult:
    """What a model itself answers, in four ways, without its bias, and without the image.

    `arrays` of the result hold an `AnsweredQuestion` for each model and task: every answer of every item.

    Raises:
        UsageError: arguments that do not fit. tasks.DataError, encoders.EncoderError: as the command says in one line.
    """
    return COMMANDS["ask"].call({"model": model} | ({} if task is None else {"task": task}) | flags)


def import_answers(*files: str | Path, **flags: Any) -> CommandResult:
    """What answers made elsewhere really say, and what that does to their score.

    `files` are lmms-eval samples, VLMEvalKit tables, inspect logs, MediConfusion's and BLINK's result files, or tables
    with the columns item and answer. Every reply is read again from its raw text (`slitlamp.answers.reply`); `data` and
    `task` name the benchmark or the question that knows what is right and which items belong together.

    Raises:
        UsageError: no such file or format, or arguments that do not fit.
        tasks.DataError: a file of no known format, of another benchmark or version, or with answers that contradict.
    """
    return COMMANDS["import"].call({"files": tuple(str(one) for one in files), **flags})
