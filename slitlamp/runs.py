"""Runs read back: the records of a folder, and the measurements and folds behind each of them.

`results.json` holds what a run says, `cells/<cell>.npz` the measurement of a record, and `cells/plan-<plan_key>.json`
what its folds and permuted labels are made of, so that any statistic, and any paired difference between runs, can be
computed again without an image.
"""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from plugins import hint
from probes.stats.plan import Plan
from slitlamp.errors import UsageError
from slitlamp.probing.cells import cells_in, plan_material
from slitlamp.records import SCHEMA, Record

DOCUMENT = "results.json"
DOCUMENTS = {DOCUMENT: SCHEMA, "audit.json": 2}  # what a run leaves, with the version of each; the second of prompts
GRID = "ablation"  # the experiment whose folder holds the runs of a grid under `runs/`


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredRun:
    """A run of `linear_probe` on disk, with its measurements read when they are asked for.

    `name` is what tables call it where several are shown: the folder's name, or what a grid set in it. `settings` are
    the axes of the grid that the run belongs to, with their values.
    """

    folder: Path
    name: str
    document: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    _plans: dict[str, Plan] = field(default_factory=dict)
    _measured: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Every published number of the run."""
        return tuple(Record(**one) for one in self.document["records"])

    @property
    def verdicts(self) -> Sequence[Mapping[str, Any]]:
        """One for each question and encoder, as `results.json` holds them."""
        return self.document["verdicts"]

    @property
    def questions(self) -> Mapping[str, Mapping[str, Any]]:
        """Who was asked, by task: see `slitlamp.questions.facts_of`."""
        return {one["task"]: one for one in self.document["questions"]}

    @property
    def command(self) -> str:
        """The line that repeats the run."""
        return self.records[0].command if self.records else ""

    @cached_property
    def flags(self) -> Mapping[str, tuple[str, ...]]:
        """The flags of its command, each with its values: see `flags_of`."""
        return flags_of(self.command)

    def material(self, key: str) -> dict[str, Any]:
        """What a plan is made of: see `slitlamp.probing.cells.plan_material`.

        Raises:
            UsageError: it is not there, or no plan.
        """
        path = self.folder / "cells" / f"plan-{key}.json"
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            raise UsageError(self._lacking(path)) from None

    def plan(self, record: Record) -> Plan:
        """The folds and permuted labels of a record, made again.

        Raises:
            UsageError: what they are made of is not there, or gives other folds under this version.
        """
        import probes

        key = record.plan_key
        if key not in self._plans:
            made = self.material(key)
            number = made["classes"] is None
            import numpy as np

            plan = probes.plan(
                np.asarray(made["answers"], dtype=np.float64 if number else np.int64),
                np.asarray(made["groups"]),
                classes=None if number else made["classes"],
                copies=made["copies"],
                **made["asked"],
            )
            if plan_material(plan, made["ids"], made["groups"], made["copies"], made["asked"]) != made:
                raise UsageError(
                    f"{self.folder} was measured on other folds than this version makes ({record.code_version}); "
                    f"measure it again: {self.command}"
                )
            self._plans[key] = plan
        return self._plans[key]

    def measurement(self, record: Record) -> Any:
        """The measurement behind a record, a `probes.Measurement`.

        Raises:
            UsageError: its cell is not there, or damaged.
        """
        if record.cell not in self._measured:
            found = cells_in(self.folder).named(record.cell, plan=self.plan(record))
            if found is None:
                raise UsageError(self._lacking(self.folder / "cells" / f"{record.cell}.npz"))
            self._measured[record.cell] = found
        return self._measured[record.cell]

    def _lacking(self, path: Path) -> str:
        return f"{path} is missing or damaged; make it again: {self.command} --out {self.folder}"


def words_of(command: str) -> list[str]:
    """The words of a command line; of one that a shell could not read, what stands between its spaces."""
    try:
        return shlex.split(command)
    except ValueError:  # no command of this program
        return command.split()


def flags_of(command: str) -> dict[str, tuple[str, ...]]:
    """The flags of a command line, each with its values: the inverse of `settings.command_line`.

    >>> flags_of("python -m experiments.linear_probe --encoder a b --take-groups 40 --offline")
    {'encoder': ('a', 'b'), 'take_groups': ('40',), 'offline': ()}
    """
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for word in words_of(command):
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            found[name] = ()
        elif name:
            found[name] = (*found[name], word)
    return found


class HeldOut(Mapping[str, Any]):
    """Held-out predictions by `task/encoder/site/readout`, each read from its cell when it is asked for."""

    def __init__(self, run: StoredRun) -> None:
        self._run = run
        own = [r for r in run.records if r.role == "encoder"]
        self._records = {f"{r.task}/{r.encoder}/{r.site}/{r.readout}": r for r in own}

    def __getitem__(self, name: str) -> Any:
        return self._run.measurement(self._records[name]).predictions

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def read_document(folder: Path) -> dict[str, Any]:
    """The document of a run's folder, of whatever command.

    Raises:
        UsageError: there is none, it is cut short, of another version, or of another program.
    """
    path = document_in(folder) if folder.is_dir() else folder
    version = DOCUMENTS.get(path.name, SCHEMA)
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(_nothing(folder)) from None
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or "it is no whole JSON document"
        raise UsageError(f"{path} cannot be read ({why}); repeat the command that wrote it") from None
    if not isinstance(found, dict) or not isinstance(found.get("experiment"), str):
        raise UsageError(f"{path} is not a document of this program")
    if found.get("schema") != version:
        records = found.get("records")
        told = [found, *(records if isinstance(records, list) else ())]
        lines = (one.get("command") for one in told if isinstance(one, dict))
        line = next((one for one in lines if one and isinstance(one, str)), "")
        again = f"; measured cells are found again by: {line} --out {folder} --replace" if line else ""
        raise UsageError(f"{path} is of version {found.get('schema')}, and this program reads {version}{again}")
    return found


def document_in(folder: Path) -> Path:
    """Where the document of a run lies in its folder, or would lie."""
    return next((folder / name for name in DOCUMENTS if (folder / name).is_file()), folder / DOCUMENT)


def _nothing(folder: Path) -> str:
    if not folder.exists():
        beside = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        return f"{folder} does not exist; {hint(folder.name, beside)}give the folder of a run"
    inside = sorted({path.parent.name for name in DOCUMENTS for path in folder.glob(f"*/{name}")})
    said = f"; it holds the runs {', '.join(inside[:3])}{' …' * (len(inside) > 3)}: name them" if inside else ""
    return f"{folder} holds no finished run ({DOCUMENT} is not there){said}"


def open_runs(folders: Sequence[str | Path]) -> list[StoredRun]:
    """The probing runs of several folders, those of a grid one by one, each under a name of its own.

    Raises:
        UsageError: a folder that holds no run, or one of another command.
    """
    found: list[StoredRun] = []
    for one in folders:
        folder = Path(one)
        document = read_document(folder)
        if document["experiment"] == GRID:
            found += [
                StoredRun(folder=folder / run["folder"], name=run["name"], settings=run["settings"],
                          document=read_document(folder / run["folder"]))
                for run in document["runs"] if run["status"] == "done"
            ]  # fmt: skip
        elif document["experiment"] == "linear_probe":
            found.append(StoredRun(folder=folder, name=folder.resolve().name, document=document))
        else:
            raise UsageError(f"{folder} is a run of {document['experiment']}, and not of linear_probe or {GRID}")
    return found


def load(folder: str | Path) -> Any:
    """A run read back from its folder, as the function that made it gave it.

    A Result of a probe, an AblationResult of a grid with that of each of its runs, and else a CommandResult.

    Held-out predictions are read from their cells when they are asked for. Figures of other commands than
    `linear_probe` lie among the `files`.

    Raises:
        UsageError: the folder holds no whole run of this version.
    """
    from slitlamp.reports.result import CommandResult
    from slitlamp.result import Conclusion, Result

    home = Path(folder)
    document = read_document(home)
    files = tuple(home / name for name in document.get("files", ()))
    if document["experiment"] == "linear_probe":
        run = StoredRun(folder=home, name=home.name, document=document)
        return Result(
            records=run.records,
            verdicts=tuple(Conclusion(**one) for one in run.verdicts),
            comparisons=tuple(document.get("comparisons", ())),
            predictions=HeldOut(run),
            files=files,
            notes=tuple(note for one in document["questions"] for note in one["notes"]),
            questions=tuple(document["questions"]),
            command=run.command,
            home=home,
        )
    if document["experiment"] == GRID:
        from slitlamp.ablation.result import AblationResult

        done = [one for one in document["runs"] if one["status"] == "done"]
        return AblationResult(
            command=document["command"],
            axes=document["axes"],
            tables=document["tables"],
            about=document["runs"],
            runs={one["name"]: load(home / one["folder"]) for one in done},
            failed=document["failed"],
            sentences=document["sentences"],
            notes=document["notes"],
            files=files,
        )
    return CommandResult(
        experiment=document["experiment"],
        tables=document.get("tables", {}),
        sentences=tuple(document.get("sentences", ())),
        notes=tuple(document.get("notes", ())),
        questions=tuple(document.get("questions", ())),
        files=files,
        command=document.get("command", ""),
        home=home,
    )


def folder_of(run: Any) -> str:
    """The folder of a run that is named by its path, or by a result that was written there.

    Raises:
        UsageError: it is neither, or a result that was written nowhere.
    """
    if isinstance(run, str | Path):
        return str(run)
    kind = type(run).__name__
    if not hasattr(run, "experiment"):
        raise UsageError(f"a {kind} is no run; give results, or folders of runs")
    homes = [getattr(run, "home", None), *(path.parent for path in run.files)]
    for home in homes:
        if home is not None and document_in(home).is_file():
            return str(home)
    raise UsageError(f'this {kind} was written nowhere; ask for it with out="runs/NAME", or name its folder')


def distinct_names(runs: Sequence[StoredRun]) -> list[str]:
    """A name for each run that no other has: that of its folder, behind those it lies in where several are alike.

    Of a run of a grid these are the grid's folder and what that lies in.
    """
    homes = [run.folder.resolve() for run in runs]
    paths = [(*home.parent.parent.parts, run.name) if run.settings else (*home.parent.parts, run.name)
             for home, run in zip(homes, runs, strict=True)]  # fmt: skip
    names = [run.name for run in runs]
    for deep in range(2, max(map(len, paths), default=0) + 1):
        twice = {name for name in names if names.count(name) > 1}
        names = ["/".join(path[-deep:]) if name in twice else name for path, name in zip(paths, names, strict=True)]
    return [one if names.count(one) == 1 else f"{one} #{names[: i + 1].count(one)}" for i, one in enumerate(names)]
