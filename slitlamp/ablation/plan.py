"""The plan of a grid: what there is to do, how long it takes from what was measured here, and what is missing."""

from collections.abc import Sequence
from typing import Any

from cache.errors import size
from hub.errors import HubError
from slitlamp.ablation.check import Checked, Unit
from slitlamp.ablation.grid import Grid
from slitlamp.ablation.result import AblationResult
from slitlamp.errors import without_folders
from slitlamp.probing.workers import workers

UNKNOWN = "not measured here yet"
NOT_HERE = " and the run is offline"  # of weights that are not on this machine: see `hub.snapshots.require_online`


def planned(grid: Grid, checked: Checked, line: str, out: str | None, jobs: int | None) -> AblationResult:
    """The plan of a grid as a table of its units, with totals in which nothing counts twice."""
    offline = any(run.settings.encoder.offline for run in grid.runs)
    failed, notes = [], [*grid.notes, *checked.notes]
    reached = None
    for text in dict.fromkeys(unit.problem for unit in checked.units if unit.problem):
        units = [unit for unit in checked.units if unit.problem == text]
        named = [unit.who if unit.missing else unit.question or unit.task for unit in units]
        names = ", ".join(dict.fromkeys(named)) + _where(grid, units)
        if NOT_HERE in text and not offline:
            reached = _reached() if reached is None else reached
            plain = text.replace(NOT_HERE, "")
            if reached:
                notes.append(f"{names}: a run fetches what is missing first: {plain}")
                continue
            text = plain + " (no hub can be reached from here)"
        failed.append(without_folders(text if text.startswith(names) else f"{names}: {text}"))
    todo = [unit for unit in checked.units if not unit.finished and not unit.problem]
    seconds = expected(todo, jobs)
    totals = _totals(grid, checked.units, todo, seconds)
    about = [
        {"name": r.name, "folder": r.folder, "settings": dict(r.axes), "status": "pending", "error": None}
        for r in grid.runs
    ]
    return AblationResult(
        command=line,
        axes=grid.axes,
        tables={"plan": [_row(unit, jobs) for unit in checked.units], "totals": [totals]},
        about=about,
        failed=failed,
        sentences=_sentences(grid, checked.units, totals, out),
        notes=list(dict.fromkeys(notes)),
        summary=f"{totals['units_to_do']} of {totals['units']} units to do",
    )


def _where(grid: Grid, units: Sequence[Unit]) -> str:
    """The runs of units, where they are not those of all."""
    runs = list(dict.fromkeys(unit.run.name for unit in units))
    if len(runs) == len(grid.runs):
        return ""
    return f" ({'; '.join(runs[:3])}{f' and {len(runs) - 3} more runs' if len(runs) > 3 else ''})"


def _reached() -> bool:
    """Whether a hub answers, so that a run would fetch weights."""
    from hub.repository import Repository
    from hub.snapshots import require_online

    try:
        require_online(Repository(repo="", revision=None), offline=False)
    except HubError:
        return False
    return True


def _row(unit: Unit, jobs: int | None) -> dict[str, Any]:
    state = "finished" if unit.finished else "cannot be answered" if unit.problem else "to do"
    return {
        "run": unit.run.name,
        "task": unit.question or unit.task,
        "encoder": unit.who,
        "items": unit.items,
        "groups": unit.groups,
        "points": None if unit.problem else unit.points,
        "cells": None if unit.problem else len(unit.cells),
        "known": None if unit.problem else len(unit.known),
        "images": None if unit.problem else len(unit.images),
        "bytes": None if unit.problem else bytes_to_store([unit]),
        "seconds": 0.0 if unit.finished else None if unit.problem else expected([unit], jobs),
        "state": state,
    }


def _totals(grid: Grid, units: Sequence[Unit], todo: Sequence[Unit], seconds: float | None) -> dict[str, Any]:
    """Sums over units; cells, images and bytes that units share count once."""
    return {
        "runs": len(grid.runs),
        "grid_cells": grid.cells,
        "excluded": grid.excluded,
        "units": len(units),
        "units_to_do": len(todo),
        "points": sum(unit.points for unit in units),
        "cells": len({key for unit in units for key in unit.cells}),
        "known": len({key for unit in units for key in unit.known}),
        "images_to_encode": len({image for unit in todo for image in unit.images}),
        "bytes_to_store": bytes_to_store(todo),
        "untrained_at_most": sum(unit.untrained for unit in todo),
        "seconds": seconds,
    }


def bytes_to_store(units: Sequence[Unit]) -> int:
    """Bytes to store, of an image that several units read at one point once."""
    sets: dict[str, dict[int, frozenset[str]]] = {}
    width: dict[str, int] = {}
    for unit in units:
        for name, (each, images) in unit.stored.items():
            sets.setdefault(name, {})[id(images)] = images
            width[name] = each
    count: dict[tuple[int, ...], int] = {}  # points of one encoder mostly lack the same images
    for many in sets.values():
        if tuple(many) not in count:
            count[tuple(many)] = len(frozenset().union(*many.values()))
    return sum(width[name] * count[tuple(many)] for name, many in sets.items())


def expected(units: Sequence[Unit], jobs: int | None) -> float | None:
    """Seconds that units take, their images and cells once each; None where nothing like one of them was timed here.

    Untrained draws are not in it, as they are asked only where they can matter.
    """
    images: dict[str, float | None] = {}
    cells: dict[str, float | None] = {}
    for unit in units:
        images |= unit.images
        cells |= {key: seconds for key, seconds in unit.cells.items() if key not in unit.known}
    every = [*images.values(), *cells.values()]
    if any(one is None for one in every):
        return None
    parallel = min(jobs or workers(), max(1, len(cells)))
    return sum(one for one in images.values() if one) + sum(one for one in cells.values() if one) / parallel


def left(rest: Sequence[float | None], spent: Sequence[tuple[float | None, float]]) -> str:
    """How long units still take, in words; nothing where that is unknown.

    `rest` are the seconds expected of each, `spent` those expected and taken of each unit before them, by which what
    is expected is corrected.

    >>> left([50.0, 70.0], []), left([50.0, 70.0], [(10.0, 30.0)]), left([None, 70.0], [(10.0, 150.0)])
    ('; about 2 min left', '; about 6 min left', '; about 5 min left')
    """
    took = sum(seconds for _, seconds in spent)
    known = [seconds for seconds in rest if seconds is not None]
    before = [seconds for seconds, _ in spent if seconds is not None]
    if len(known) == len(rest) and len(before) == len(spent) and (sum(before) > 0 or not spent):
        return f"; {in_words(sum(known) * (took / sum(before) if spent else 1))} left"
    return f"; {in_words(took / len(spent) * len(rest))} left" if spent else ""


def in_words(seconds: float) -> str:
    """A time to be expected, in the unit that a person would use.

    >>> in_words(40), in_words(400), in_words(9000)
    ('less than a minute', 'about 7 min', 'about 2.5 h')
    """
    if seconds < 60:
        return "less than a minute"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def time_of(seconds: float, what: str) -> str:
    """A time to be expected as a sentence, with what it rests on."""
    return f"Time: {in_words(seconds)}, by what such {what} took on this machine."


def _sentences(grid: Grid, units: Sequence[Unit], totals: dict[str, Any], out: str | None) -> list[str]:
    excluded = f", {grid.excluded} excluded" if grid.excluded else ""
    runs = f"{len(grid.runs)} run{'s' * (len(grid.runs) != 1)}"
    found = [
        f"{grid.cells} cells of the grid{excluded}, put together into {runs} of linear_probe with {totals['units']} "
        f"units (a task put to an encoder), of which {totals['units_to_do']} are to do.",
        f"{totals['points']} points, with controls {totals['cells']} measurements, {totals['known']} of them known; "
        f"{totals['images_to_encode']} images to encode, {size(totals['bytes_to_store'])} to store.",
    ]
    if totals["untrained_at_most"]:
        found.append(
            f"Where an encoder surpasses the controls of the image, its untrained draws are asked too: at most "
            f"{totals['untrained_at_most']} measurements more, in no other number here."
        )
    if totals["units_to_do"]:
        lacking = [unit for unit in units if not unit.problem and not unit.finished and expected([unit], None) is None]
        if totals["seconds"] is not None:
            found.append(time_of(totals["seconds"], "images and cells"))
        else:
            of = f"{len(lacking)} of {totals['units_to_do']} units"
            found.append(f"Time: {UNKNOWN} ({of} have parts that were never timed).")
    if out is not None:
        found.append(f"It would be written to {out}.")
    return found
