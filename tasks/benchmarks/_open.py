"""`NAME`, `NAME:PATH`, `NAME+OPTION` and `NAME+OPTION:PATH`: the published benchmarks as sources."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from hub.errors import HubError
from hub.repository import Repository
from hub.snapshots import data_snapshot
from plugins import nearest, of_folder
from tasks._base import DataError, Source
from tasks.benchmarks._rows import OpenSettings
from tasks.sources.groups import column_groups, group_id
from tasks.sources.table import no_column

NAMES = tuple(name.replace("_", "-") for name in of_folder(Path(__file__).parent))
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A data set repository at a commit, and the files of it that are needed (patterns)."""

    name: str
    repo: str
    revision: str
    patterns: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """The commands that obtain it by hand."""
        return (
            f"run `hf download --repo-type dataset {self.repo} --revision {self.revision} --local-dir PATH` "
            f"where the hub can be reached, then say --data {self.name}:PATH"
        )


def folder_of(pinned: Pinned, path: str | None, *, offline: bool = False) -> Path:
    """The folder that holds the benchmark: the user's copy at `path`, else the hub's at the pinned commit.

    Raises DataError in one line where there is none, or where a copy is known to be of another commit.
    """
    if path is None:
        repository = Repository(
            repo=pinned.repo, revision=pinned.revision, kind="dataset", patterns=pinned.patterns, remedy=pinned.remedy
        )
        try:
            return data_snapshot(repository, offline=offline)
        except HubError as error:
            beside = f"; the folder ./{pinned.name} here is asked as {pinned.name}:{pinned.name}"
            hint = beside if Path(pinned.name).is_dir() else ""
            raise DataError(f"{pinned.name}: {error}{hint}") from error
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {path!r} for --data {pinned.name}:PATH; {pinned.remedy}")
    found = commits_of(folder) - {pinned.revision}
    if found:
        raise DataError(
            f"{path} is {pinned.repo} at commit {sorted(found)[0]}; {pinned.name} is read at {pinned.revision}: "
            f"{pinned.remedy}"
        )
    return folder


def commits_of(folder: Path) -> set[str]:
    """The commits that the hub's client noted beside the files it brought, or in the name of a snapshot."""
    notes = (folder / ".cache" / "huggingface").rglob("*.metadata")
    noted = {(note.read_text(encoding="utf-8").split() or [""])[0] for note in notes}
    noted.add(folder.resolve().name if folder.resolve().parent.name == "snapshots" else "")
    return {commit for commit in noted if COMMIT.fullmatch(commit)}


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
    return nearest(head, NAMES, 0.8) or ""


def open_benchmark(
    spec: Spec,
    settings: OpenSettings,
    *,
    group: str | None = None,
    needed: Sequence[str] = (),
    spelling: str = "refuse",
) -> Source:
    """The benchmark's rows; `group` is a column that replaces its own groups, `spelling` as for any source.

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
    return source if group is None else _grouped(source, group, spelling)


def _grouped(source: Source, column: str, spelling: str) -> Source:
    values, notes = column_groups(
        [row.columns.get(column, "") for row in source.rows], column, source.name, spelling, [r.id for r in source.rows]
    )
    rows = tuple(replace(r, group=group_id(value)) for r, value in zip(source.rows, values, strict=True))
    return replace(source, rows=rows, warnings=(*source.warnings, *notes))
