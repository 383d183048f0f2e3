"""What the command about comparisons is asked for."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from slitlamp.commands import Command
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag

RESULTS: ContextVar[Mapping[str, Any]] = ContextVar("RESULTS", default=MappingProxyType({}))
"""Results that a notebook holds, by how they are called."""


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Which runs are compared, and in what."""

    runs: tuple[str, ...] = _flag((), "folders of runs, or of a grid, as --out named them or as they lie under runs/",
                                  metavar="RUN")  # fmt: skip
    over: tuple[str, ...] = _flag(
        (),
        "what is compared: encoder (at its best point), site, readout, or a flag in which the runs differ, such as "
        "probe, window or dtype (omitted: encoder, and the axes of a grid)",
        metavar="NAME",
    )
    reference: str | None = _flag(
        None,
        "compare each with this one alone (omitted: each with every other; of more than 12 sites each with the best)",
        metavar="NAME",
    )
    unpaired: bool = _flag(False, "compare sets of other items and other groups, such as two hospitals")


def check(settings: Settings, own: CompareSettings) -> None:
    """Raises UsageError where no run is named, or one twice."""
    del settings
    if not own.runs:
        raise UsageError("no run is named; give the folders of runs, as --out named them or as they lie under runs/")
    homes = [Path(one).resolve() if one not in RESULTS.get() else one for one in own.runs]
    twice = [given for k, given in enumerate(own.runs) if homes[k] in homes[:k]]
    if twice:
        raise UsageError(f"{twice[0]} is named twice")
    if own.unpaired and own.reference is not None:
        raise UsageError("--reference has nothing to act on beside --unpaired")


COMMAND = Command(
    name="compare",
    about="differences between runs, with all comparisons paid for",
    own=CompareSettings,
    flags=("task", "site", "readout", "out", "replace", "json", "debug"),
    default=Settings.of(out=""),
    check=check,
    home="slitlamp.comparison.run.compare_runs",
    positional="runs",
    words=lambda own: tuple(Path(one).resolve().name for one in own.runs),
)
