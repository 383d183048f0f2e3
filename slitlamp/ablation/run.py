"""A grid answered: what is missing is measured unit by unit, then every run is judged as `linear_probe` judges it."""

import contextlib
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cache
from cache import StoreError
from cache.errors import is_full
from encoders import EncoderError
from hub.errors import HubError
from plugins import UserFileError
from probes import DeviceError, ProbeError
from slitlamp.ablation.check import DONE, Checked, Unit, check
from slitlamp.ablation.grid import Grid, GridRun, as_toml, narrowed, read_grid, tasks_of
from slitlamp.ablation.plan import expected, left, planned
from slitlamp.ablation.result import EXPERIMENT, GRID_FILE, AblationResult
from slitlamp.ablation.settings import AblationSettings, shard_of, writes_nothing
from slitlamp.api import NAME, run_probe
from slitlamp.errors import UsageError, WorkerKilledError, one_line, without_folders
from slitlamp.log import each_line_once, say
from slitlamp.probing.run import run as measure
from slitlamp.records import best_of
from slitlamp.result import Result
from slitlamp.runs import load, read_document
from slitlamp.settings import Settings, command_line, portable
from tasks import DataError


@dataclass(kw_only=True)
class _Work:
    """What one call does: lines that were shown, units that failed, and what was encoded and measured."""

    began: float = field(default_factory=time.perf_counter)
    shown: set[str] = field(default_factory=set)
    failed: dict[tuple[str, str, str], str] = field(default_factory=dict)  # by run, task and encoder
    encoded: int = 0
    measured: int = 0


def ablate(settings: Settings, own: AblationSettings, line: str) -> AblationResult:
    """Answer the grid that `own` names, or a shard of it; with dry_run only what there is to do.

    Raises:
        UsageError, UnknownName: no grid, or a name in it that is none. DataError, EncoderError: nothing of it can be
        answered, or with fail_fast the first that could not.
    """
    grid = _on_this_machine(read_grid(own.config, own.most), settings)
    work = _Work()
    with each_line_once(work.shown):
        checked = check(grid, fetch=not own.dry_run)
    for unit in checked.units:
        if unit.problem:
            work.failed[_name(unit)] = without_folders(unit.problem)
    if own.dry_run:
        return planned(grid, checked, line, settings.output.out, settings.probe.jobs)
    _require_some(checked.units, fail_fast=own.fail_fast)
    mine = [*checked.units]
    shard = shard_of(own.shard)
    if shard is not None:
        mine = mine[shard[0] - 1 :: shard[1]]
    todo = [unit for unit in mine if not unit.problem and not unit.finished]
    say(f"{_counted(grid, checked)}; {len(mine) - len(todo)} of {len(mine)} units are known already")
    out = None if settings.output.out is None or writes_nothing(own) else Path(settings.output.out)
    results = {} if out is None else _judged_before(grid, out)
    about = [_about(run, done=run.name in results) for run in grid.runs]
    notes = [*grid.notes, *checked.notes, *_left_alone(grid, out)]
    files = [] if out is None else [out / GRID_FILE]
    if out is not None:
        cache.write_atomically(out / GRID_FILE, as_toml(grid.document, shown=True).encode())

    def found() -> AblationResult:
        return AblationResult(
            command=line,
            axes=grid.axes,
            tables={
                "runs": [row for run in grid.runs if run.name in results for row in _rows(grid, run, results[run.name])]
            },
            about=about,
            runs=dict(results),
            failed=_failures(checked.units, work),
            sentences=_sentences(results, out),
            notes=list(dict.fromkeys(notes)),
            files=files,
            encoded=work.encoded,
            measured=work.measured,
            summary=f"{work.encoded} images encoded, {work.measured} cells measured, "
            f"{time.perf_counter() - work.began:.0f} s",
        )

    if out is not None:
        found().written(out)  # so that a grid that is under way can be read
    _measure(todo, work, checked.units, fail_fast=own.fail_fast)
    if shard is not None:
        made = found()
        judge = shlex.join(
            ["python", "-m", f"experiments.{EXPERIMENT}", "--config", own.config, "--out", str(settings.output.out)]
        )
        ended = f"shard {own.shard} has measured its {len(mine)} of {len(checked.units)} units; once all have: {judge}"
        return replace(made, sentences=[ended], about=(), summary=made.summary)
    for k, run in enumerate(grid.runs):
        if len(grid.runs) > 1:
            say(f"judging run {k + 1} of {len(grid.runs)}: {run.name}")
        about[k] = _judged(run, checked.units, work, out, results, about[k])
        if out is not None:
            found().written(out)
    made = found()
    return made if out is None else replace(made, summary=f"{made.summary}; files in {out}")


def _on_this_machine(grid: Grid, settings: Settings) -> Grid:
    """The grid with what the command line says of this machine."""
    more: dict[str, Any] = {"jobs": settings.probe.jobs} | ({"offline": True} if settings.encoder.offline else {})
    return replace(grid, runs=[replace(run, settings=run.settings.but(**more)) for run in grid.runs])


def _counted(grid: Grid, checked: Checked) -> str:
    runs = f"{len(grid.runs)} run{'s' * (len(grid.runs) != 1)}"
    return f"{grid.cells} cells of the grid in {runs} of linear_probe, {len(checked.units)} units"


def _name(unit: Unit) -> tuple[str, str, str]:
    return unit.run.name, unit.task, unit.encoder


def _require_some(units: Sequence[Unit], *, fail_fast: bool) -> None:
    """Raises where no unit can be answered, or with `fail_fast` where one cannot."""
    bad = [unit for unit in units if unit.problem]
    if bad and (fail_fast or len(bad) == len(units)):
        kind = EncoderError if bad[0].missing else DataError
        lines = dict.fromkeys(f"{unit.name}: {unit.problem}" for unit in bad)
        rest = f" (and {len(lines) - 1} more of this grid)" if len(lines) > 1 else ""
        raise kind(f"{next(iter(lines))}{rest}")
    if not units:
        raise DataError("nothing of this grid can be asked: no encoder has a site or readout that it names")


# units


def _measure(todo: Sequence[Unit], work: _Work, every: Sequence[Unit], *, fail_fast: bool) -> None:
    """Measure units one after the other; those that fail are tried once more after the others."""
    kept: dict[Any, Any] = {}
    several = len({unit.run.name for unit in every}) > 1
    expect = {_name(unit): expected([unit], unit.settings.probe.jobs) for unit in todo}
    for attempt in (1, 2):
        again: list[Unit] = []
        spent: list[tuple[float | None, float]] = []
        for k, unit in enumerate(todo):
            where = f" ({unit.run.name})" if several else ""
            which = f"unit {k + 1} of {len(todo)}" if attempt == 1 else f"second try, {k + 1} of {len(todo)}"
            say(f"{which}: {unit.name}{where}{left([expect[_name(one)] for one in todo[k:]], spent)}")
            began = time.perf_counter()
            try:
                with each_line_once(work.shown):
                    found = measure(unit.settings, NAME, share=True, kept=kept)
            except StoreError:
                raise  # no room, or a store that cannot be written: none of the others could go on
            except Exception as error:  # whatever a library or a user's own file raises costs this unit alone
                if fail_fast:
                    raise
                _require_room(error, cache.default_root())
                work.failed[_name(unit)] = _said(error)
                then = "it is tried once more after the others" if attempt == 1 else "it has failed twice"
                say(f"error: {unit.name}{where}: {work.failed[_name(unit)]}; {then}")
                again.append(unit)
                kept.clear()
                continue
            work.failed.pop(_name(unit), None)
            work.encoded += found.encoded
            work.measured += len(found.cell_seconds)
            spent.append((expect[_name(unit)], time.perf_counter() - began))
            if unit.key is not None:
                cache.Store(cache.default_root()).memo(DONE).put_many({unit.key: True})
        todo = again


def _require_room(error: Exception, where: Path) -> None:
    """Raises StoreError where the disk is full: whatever came next would be computed for nothing."""
    if isinstance(error, OSError | RuntimeError) and is_full(error):
        raise StoreError(
            f"the disk of {where} is full; make room there and give the same line again: what was finished is kept"
        ) from error


def _said(error: Exception) -> str:
    """An error in one line, with its type where it is none of ours."""
    ours = (HubError, UserFileError, DataError, ProbeError, UsageError, WorkerKilledError, DeviceError)
    return one_line(error) if isinstance(error, ours) else f"{type(error).__name__}: {one_line(error)}"


# runs


def _judged(
    run: GridRun,
    units: Sequence[Unit],
    work: _Work,
    out: Path | None,
    results: dict[str, Result],
    about: dict[str, Any],
) -> dict[str, Any]:
    """Judge a run without what failed in all of it, and say how it stands."""
    mine = [unit for unit in units if unit.run.name == run.name]
    bad = {(unit.task, unit.encoder): work.failed[_name(unit)] for unit in mine if _name(unit) in work.failed}
    good = [unit for unit in mine if (unit.task, unit.encoder) not in bad]
    if not good:
        results.pop(run.name, None)
        why = next(iter(bad.values()), "no encoder has a site or readout that is asked for")
        return about | {"status": "failed", "error": why, "command": command_line(run.settings, NAME)}
    gone = {unit.encoder for unit in mine} - {unit.encoder for unit in good}
    lost = {unit.task for unit in mine} - {unit.task for unit in good}
    settings = run.settings
    if gone or lost:
        settings = narrowed(
            run.settings,
            tuple(entry for entry in run.settings.encoder.encoder if entry not in gone),
            tuple(task for task in tasks_of(run.settings) if task not in lost),
        )
    skip = {
        (unit.question, unit.label): bad[unit.task, unit.encoder]
        for unit in mine
        if (unit.task, unit.encoder) in bad and unit.encoder not in gone and unit.task not in lost
    }
    home = None if out is None else out / run.folder
    about = about | {"command": command_line(settings, NAME)}
    before = None if home is None else _command_in(home)
    if before not in (None, about["command"]):
        kept = "it is written over, and its cells stay in the store"
        say(f"warning: {home} held what another command found ({before}); {kept}")
    try:
        with each_line_once(work.shown):
            result = run_probe(
                settings.but(out=None if home is None else str(home), replace=True), share=True, skip=skip
            )
    except StoreError:
        raise
    except Exception as error:  # as above
        _require_room(error, cache.default_root() if home is None else home)
        line = _said(error)
        results.pop(run.name, None)
        work.failed[run.name, "", ""] = line
        say(f"error: {run.name}: {line}")
        return about | {"status": "failed", "error": line}
    work.encoded += result.encoded
    work.measured += result.measured
    results[run.name] = result
    return about | {"status": "done", "error": None}


def _judged_before(grid: Grid, out: Path) -> dict[str, Result]:
    """The runs of the grid that lie in its folder whole, from an earlier call."""
    found = {}
    for run in grid.runs:
        home = out / run.folder
        if home.is_dir():
            with contextlib.suppress(UsageError):  # half-written, or of another version: judged again
                before = load(home)
                if isinstance(before, Result) and before.command == command_line(run.settings, NAME):
                    found[run.name] = before
    return found


def _command_in(home: Path) -> str | None:
    """The command whose results lie in a run's folder; None where there are none that can be read."""
    with contextlib.suppress(UsageError, IndexError, KeyError):
        return str(read_document(home)["records"][0]["command"])
    return None


def _about(run: GridRun, *, done: bool) -> dict[str, Any]:
    """How a run stands before it is judged."""
    return {
        "name": run.name,
        "folder": run.folder,
        "settings": dict(run.axes),
        "command": command_line(run.settings, NAME),
        "status": "done" if done else "pending",
        "error": None,
    }


def _left_alone(grid: Grid, out: Path | None) -> list[str]:
    """A line about runs in the folder that the grid does not hold any longer."""
    if out is None or not (out / "runs").is_dir():
        return []
    own = {Path(run.folder).name for run in grid.runs}
    others = sorted(path.name for path in (out / "runs").iterdir() if path.is_dir() and path.name not in own)
    if not others:
        return []
    shown = ", ".join(others[:4]) + " …" * (len(others) > 4)
    return [f"{out / 'runs'} holds runs that this grid does not ask for, left as they are: {shown}"]


def _failures(units: Sequence[Unit], work: _Work) -> list[str]:
    """One line for each unit that could not be answered, and for each run that could not be judged."""
    several = len({unit.run.name for unit in units}) > 1
    found = [
        f"{unit.name}{f' ({unit.run.name})' if several else ''}: {work.failed[_name(unit)]}"
        for unit in units
        if _name(unit) in work.failed
    ]
    return [*found, *(f"{name}: {why}" for (name, task, _), why in work.failed.items() if not task)]


def _rows(grid: Grid, run: GridRun, result: Result) -> list[dict[str, Any]]:
    """A row for each verdict of a run, with the values of the axes that tell it from other runs."""
    axes = [name for name in grid.axes if name not in ("encoder", "task")]
    varied = [name for name in axes if len({repr(one.axes[name]) for one in grid.runs}) > 1]
    rows = []
    for verdict in result.verdicts:
        mine = [r for r in result.records if (r.role, r.task, r.encoder) == ("encoder", verdict.task, verdict.encoder)]
        best = best_of(mine)
        rows.append(
            {"run": run.name}
            | {name: run.axes[name] for name in varied}
            | {
                "task": verdict.task,
                "encoder": verdict.encoder,
                "items": best.n_items,
                "groups": best.n_groups,
                "points": len(mine),
                "best": verdict.best,
                "score": verdict.score,
                "low": verdict.low,
                "high": verdict.high,
                "chance": best.chance,
                "metric": best.metric,
                "verdict": verdict.said,
                "credit": verdict.credit,
            }
        )
    return rows


def _sentences(results: Mapping[str, Result], out: Path | None) -> list[str]:
    """What the verdicts come to, and what the reader must know of them."""
    verdicts = [one for result in results.values() for one in result.verdicts]
    if not verdicts:
        return []
    states = {state: sum(one.verdict == state for one in verdicts) for state in ("present", "absent", "inconclusive")}
    given = [one.credit for one in verdicts if one.verdict == "present"]
    credited = ", ".join(f"{given.count(name)} credited to {name}" for name in dict.fromkeys(given) if name)
    counted = ", ".join(f"{n} {state}" for state, n in states.items() if n)
    found = [f"Of {len(verdicts)} verdicts: {counted}" + (f" ({credited})." if credited else ".")]
    found.append("Each score is that of the best point, chosen inside the training folds.")
    if len(results) > 1:
        found.append(
            f"Each of the {len(results)} runs pays for the search over its own encoders, tasks and points, and none "
            "pays for that over the runs."
        )
    if out is not None:
        found.append(f"To compare them: python -m experiments.compare {shlex.quote(portable(str(out)))}")
    return found
