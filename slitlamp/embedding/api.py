"""The function about maps that a notebook calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slitlamp.embedding.settings import COMMAND
from slitlamp.reports.result import CommandResult


def embed(
    encoder: str | Path | Sequence[str] = "phantom-clip", task: str | Sequence[str] = (), **flags: Any
) -> CommandResult:
    """Maps of the features of images, coloured by answer, group and nuisances, each with what may be believed of it.

    Keyword arguments are the flags of `python -m experiments.embedding_plot` with underscores. With `out` figures, page
    and coordinates are written there. `plot("maps")` draws, `table("colours")` has the numbers, and `arrays` holds the
    coordinates float64 [n, 2] by the name of the map.

    Raises:
        UsageError: arguments that do not fit. tasks.DataError, encoders.EncoderError, probes.ProbeError: as the command
        says in one line.
    """
    return COMMAND.call({"encoder": encoder, "task": task} | flags)
