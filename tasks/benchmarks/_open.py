"""`NAME`, `NAME:PATH`, `NAME+OPTION` and `NAME+OPTION:PATH`: the published benchmarks as sources."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import plugins
from tasks._base import DataError, Source
from tasks.benchmarks._rows import OpenSettings
from tasks.images.decode import digest
from tasks.sources.table import no_column

NAMES = tuple(name.replace("_", "-") for name in plugins.of_folder(Path(__file__).parent))


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A benchmark as it was asked for: its name, the options behind `+`, and the local copy's path."""

    name: str
    options: tuple[str, ...]
    path: str | None


def parse(spec: str) -> Spec | None:
    """The benchmark that a text names; None where it is a path.

    >>> parse("medblink+age_estimation:copies/medblink").options
    ('age_estimation',)
    >>> parse("./medblink") is None
    True
    """
    head, colon, path = spec.partition(":")
    name, *options = head.split("+")
    name = name.replace("_", "-")
    return Spec(name=name, options=tuple(options), path=path if colon else None) if name in NAMES else None


def near(spec: str) -> str:
    """The benchmark whose name is nearest to a text that is no path; empty where none is near."""
    head = spec.partition(":")[0].split("+")[0]
    return plugins.nearest(head, NAMES, 0.8) or ""


def open_benchmark(
    spec: Spec, settings: OpenSettings, *, group: str | None = None, needed: Sequence[str] = ()
) -> Source:
    """The benchmark's rows; `group` is a column that replaces its own groups.

    Raises DataError: where the name is also a folder here, an empty path, a column that is not there, and what
    the benchmark's own reader refuses.
    """
    if spec.path is None and Path(spec.name).is_dir():
        raise DataError(
            f"{spec.name} is a benchmark and also a folder here: say {spec.name}:{spec.name} for the benchmark in it, "
            f"./{spec.name} for its images alone"
        )
    if spec.path is not None and not spec.path.strip():
        raise DataError(f"--data {spec.name}: has an empty path; say {spec.name} (the hub) or {spec.name}:PATH")
    home = import_module(f"tasks.benchmarks.{spec.name.replace('-', '_')}")
    source = home.source(spec.path, spec.options, settings)
    present = list(dict.fromkeys(column for row in source.rows for column in row.columns))
    for column in [*needed, *([group] if group else [])]:
        if column not in present:
            raise no_column(column, present, source.name)
    return source if group is None else _grouped(source, group)


def _grouped(source: Source, column: str) -> Source:
    bare = sum(not row.columns.get(column) for row in source.rows)
    if bare:
        raise DataError(
            f"{bare} of {len(source.rows)} rows of {source.name} have no value in the group column {column!r}"
        )
    rows = tuple(replace(row, group="g" + digest("group", row.columns[column])[:12]) for row in source.rows)
    return replace(source, rows=rows)
