"""What the command that reads answers made elsewhere is asked for."""

from dataclasses import dataclass
from pathlib import Path

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, _flag, check_bounds, unused_flags

FLAGS_OF_IMPORT = (
    "task", "data", "label", "group", "image_column", "window", "intercept", "exif", "unreadable", "items", "limit",
    "seed", "offline", "out", "replace", "json", "debug",
)  # fmt: skip
KINDS = ("lmms-eval", "vlmevalkit", "inspect", "mediconfusion", "blink", "plain")


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Which files of answers are read, and how."""

    files: tuple[str, ...] = _flag(
        (),
        "files of answers: lmms-eval samples, VLMEvalKit tables, inspect logs, MediConfusion's and BLINK's result "
        "files, or a CSV, JSONL or XLSX with the columns item and answer",
        metavar="FILE",
    )
    format: str | None = _flag(None, "format of the files (omitted: known by their content)", choices=KINDS)
    rescore: bool = _flag(
        False, "show every reply that is read otherwise, and what the published rules of MediConfusion and BLINK read"
    )
    last: bool = _flag(
        False, "of two answers to one item that contradict each other, take the last (refused otherwise)"
    )
    claimed: tuple[str, ...] = _flag(
        (),
        "three published percentages to hold against what answers to pairs can give: set accuracy, individual "
        "accuracy, confusion",
        metavar="PERCENT",
    )


def words(own: ImportSettings) -> tuple[str, ...]:
    """What the folder is named by: the files."""
    return tuple(Path(one).stem for one in own.files[:3])


def check(settings: Settings, own: ImportSettings) -> None:
    """Raises UsageError where flags do not fit together."""
    check_bounds(settings)
    source = settings.source
    if not own.files:
        raise UsageError("no file is named: python -m experiments.answers import FILE …")
    if source.data is not None or source.task:
        unused_flags(settings)
    elif source.label is not None or source.group is not None:
        name = "label" if source.label is not None else "group"
        raise UsageError(f"--{name} has nothing to act on: it is a column of --data SOURCE")
    if len(source.task) > 1:
        raise UsageError(f"--task {' '.join(source.task)}: the answers of one question at a time")
    if own.format is not None and own.format not in KINDS:
        raise UsageError(f"--format {own.format}: {hint(own.format, KINDS)}there are {', '.join(KINDS)}")
    if own.claimed and len(own.claimed) != 3:
        raise UsageError(f"--claimed takes three percentages (set, individual, confusion), not {len(own.claimed)}")
    for text in own.claimed:
        try:
            inside = 0 <= float(text) <= 100
        except ValueError:
            inside = False
        if not inside:
            raise UsageError(f"--claimed {text}: must be a percentage from 0 to 100")
