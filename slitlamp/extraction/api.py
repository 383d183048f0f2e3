"""The function that fills the store, as a notebook calls it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slitlamp.extraction.settings import COMMAND
from slitlamp.reports.result import CommandResult


def extract(
    encoder: str | Path | Sequence[str] = "phantom-clip", task: str | Sequence[str] = (), **flags: Any
) -> CommandResult:
    """Encode images into the feature store, under the keys by which `probe` and every other function find them again.

    Keyword arguments are the flags of `python -m experiments.extract` with underscores. Without a task every image of
    `data` is encoded once, as it is; with tasks the images that they ask about (turned copies, say). `table("encoded")`
    counts what was encoded now, known before and unreadable, `table("time")` says where the time went.

    Raises:
        UsageError: arguments that do not fit. tasks.DataError, encoders.EncoderError: as the command says in one line.
    """
    return COMMAND.call({"encoder": encoder, "task": task} | flags)
