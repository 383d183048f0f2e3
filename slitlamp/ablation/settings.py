"""What the command about grids is asked for, beside the settings that its file names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slitlamp.commands import Command
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag, check_bounds

FLAGS_OF_RUN = ("offline", "jobs", "out", "replace", "json", "debug")
FINISHES = ("most", "shard", "fail_fast", "dry_run", "offline")  # what changes no number, and not which grid it is


@dataclass(frozen=True, kw_only=True)
class AblationSettings:
    """Which grid is answered, and how much of it now."""

    config: str = _flag(
        "",
        "the grid: a TOML file with [fixed] flags, [grid] axes, [[zip]] axes that go together, and [[exclude]]; its "
        "relative paths are relative to the working directory, as those of flags are",
        metavar="GRID.toml",
    )
    most: int = _flag(2000, "largest number of cells (one value for every axis) that is accepted", metavar="N")
    shard: str = _flag(
        "",
        "measure every N-th unit from the I-th on (1/8 … 8/8), on a store that all shards share, and leave the "
        "judgement to a call without --shard",
        metavar="I/N",
    )
    fail_fast: bool = _flag(False, "stop at the first unit that fails (omitted: the others go on, and it is retried)")
    dry_run: bool = _flag(False, "print what there is to do, how long it takes and what is missing, and stop")


def shard_of(text: str) -> tuple[int, int] | None:
    """The shard of a flag as (which, of how many), the first being 1; None where none is named.

    Raises:
        UsageError: it is none.

    >>> shard_of("2/8")
    (2, 8)
    """
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--shard {text}: give which of how many, from 1/8 to 8/8")
    return int(found[1]), int(found[2])


def check(settings: Settings, own: AblationSettings) -> None:
    """Raises UsageError where no grid is named, or flags do not fit together."""
    check_bounds(settings)
    if not own.config:
        raise UsageError("--config GRID.toml is missing: it names the file of the grid; docs/ablation.md has examples")
    if own.most < 1:
        raise UsageError(f"--most {own.most}: must be at least 1")
    if shard_of(own.shard) and own.dry_run:
        raise UsageError(f"--shard {own.shard} has nothing to act on in --dry-run, which shows the whole grid")


def writes_nothing(own: AblationSettings) -> bool:
    """Whether a call leaves its folder alone: a plan, or a shard that leaves what it measures in the store."""
    return own.dry_run or bool(own.shard)


COMMAND = Command(
    name="ablation",
    about="a grid of questions, every one a run of linear_probe",
    own=AblationSettings,
    flags=FLAGS_OF_RUN,
    default=Settings.of(out=""),
    check=check,
    home="slitlamp.ablation.run.ablate",
    words=lambda own: (Path(own.config).stem,),
    unsaid=FINISHES,
    unwritten=writes_nothing,
)


def _plain(value: Any) -> Any:
    """A mapping with numbers and lists of Python in place of numpy's, and of ranges."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value  # an array, or a scalar of numpy


def grid_file(document: Mapping[str, Any], most: int) -> str:
    """The TOML file of a grid that was given as a mapping, kept in the store so that a line can repeat it.

    Raises:
        UsageError: it is no grid; see `grid.grid_of`.
    """
    import cache
    from slitlamp.ablation.grid import as_toml, grid_of
    from slitlamp.keys import digest

    document = _plain(document)
    grid_of(document, "the grid", most)
    text = as_toml(document)
    path = cache.default_root() / "grids" / f"grid-{digest(text)[:8]}.toml"
    if not path.is_file():
        cache.write_atomically(path, text.encode())
    return str(path)
