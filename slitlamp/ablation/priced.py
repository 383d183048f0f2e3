"""What one command would take, before it starts: cells, images to encode, bytes, time, and what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cache.errors import size
from encoders import EncoderError
from slitlamp.ablation.check import Unit, check
from slitlamp.ablation.grid import Grid, GridRun
from slitlamp.ablation.plan import bytes_to_store, expected, time_of
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.encoding.fill import pace_key, space_of
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import none_of, without_folders
from slitlamp.log import say
from slitlamp.probing.cells import cells_in
from slitlamp.questions import Opened
from slitlamp.reports.result import CommandResult
from slitlamp.settings import Settings
from tasks import DataError

Points = Sequence[tuple[str, str, int]]  # site, readout, width
AS_A_PROBE = (
    "Counted as a probe of every point would need it, with the images that its controls lowlevel and pixels encode: a "
    "command that reads fewer points, or no control, encodes less of these."
)


def units_of(settings: Settings, opened: Opened | None = None) -> Sequence[Unit]:
    """What is asked, a unit for each question and encoder; no hub is asked and nothing is encoded.

    `opened` takes the source, for who asks for it again.

    Raises:
        EncoderError, DataError: nothing of it can be answered, as a run would say.
    """
    run = GridRun(name="", folder="", settings=settings.but(dry_run=False), axes={})
    grid = Grid(source="", axes={}, runs=[run], cells=1, excluded=0, notes=(), document={})
    units = [_measured_in(unit, settings.output.out) for unit in check(grid, fetch=False, opened=opened).units]
    wrong = [unit for unit in units if unit.problem]
    if wrong and len(wrong) == len(units):
        said = none_of([unit.problem for unit in wrong])
        raise EncoderError(said) if wrong[0].missing else DataError(said)
    return units


def _measured_in(unit: Unit, out: str | None) -> Unit:
    """The unit, of whose cells those are known that lie in the run's own folder."""
    if out is None:
        return unit
    cells = cells_in(Path(out))
    return replace(unit, known=frozenset(key for key in unit.cells if cells.holds(key)))


def totals_of(units: Sequence[Unit], jobs: int | None, *, cells: bool = True) -> dict[str, Any]:
    """Sums over units, what they have in common once; `seconds` are None where nothing like it was timed here.

    Without `cells` no probe is counted: images, bytes and the time of encoding alone.
    """
    ready = [unit if cells else replace(unit, cells={}) for unit in units if not unit.problem]
    images = {image for unit in ready for image in unit.images}
    found: dict[str, Any] = {"images_to_encode": len(images), "bytes_to_store": bytes_to_store(ready)}
    if cells:
        known = {key for unit in ready for key in unit.known}
        found |= {
            "cells": len({key for unit in ready for key in unit.cells}),
            "cells_known": len(known),
            "untrained_cells_at_most": sum(unit.untrained for unit in ready),
        }
    return found | {"seconds": expected(ready, jobs)}


def words_of(totals: dict[str, Any], unpriced: str = "") -> list[str]:
    """The totals in sentences; `unpriced` is what they leave out."""
    cells = f"{totals['cells']} cells, {totals['cells_known']} of them known; " if "cells" in totals else ""
    found = [
        f"{cells}{totals['images_to_encode']} images to encode (one for each encoder that has not seen it), at most "
        f"{size(totals['bytes_to_store'])} to store."
    ]
    if totals.get("untrained_cells_at_most"):
        found.append(
            "Where an encoder surpasses the controls of the image, its untrained draws are asked too: at most "
            f"{totals['untrained_cells_at_most']} cells more, in no other number here."
        )
    what = "images and cells" if "cells" in totals else "images"
    if totals["seconds"] is None:
        found.append(f"Time: not known: such {what} were never timed here; a run with --limit 40 times them.")
    else:
        found.append(time_of(totals["seconds"], what))
    return [*found, *([f"Not in these numbers: {unpriced}."] if unpriced else [])]


def priced(
    settings: Settings,
    command: str,
    experiment: str,
    unpriced: str = "",
    *,
    cells: bool = False,
    opened: Opened | None = None,
) -> CommandResult:
    """The plan of a command that encodes images: a row for each question and encoder, and the totals in words.

    With `cells` those of a probe are counted and timed too. `opened` takes the source, for who asks for it again.
    What cannot be answered is said, as a run would.
    """
    units = units_of(settings, opened)
    rows = [
        {
            "task": unit.question or unit.task, "encoder": unit.who, "items": unit.items,
            "groups": unit.groups, **totals_of([unit], settings.probe.jobs, cells=cells),
        }
        for unit in units if not unit.problem
    ]  # fmt: skip
    wrong = [(unit.who if unit.missing else unit.question or unit.task, unit.problem) for unit in units if unit.problem]
    failed = list(
        dict.fromkeys(without_folders(text if text.startswith(who) else f"{who}: {text}") for who, text in wrong)
    )
    for line in failed:
        say(f"error: {line}")
    totals = totals_of(units, settings.probe.jobs, cells=cells)
    return CommandResult(
        experiment=experiment,
        tables={"plan": rows, "totals": [totals]},
        sentences=[*words_of(totals, unpriced), *([] if cells else [AS_A_PROBE])],
        command=command,
        summary="nothing was encoded",
        failed=failed,
    )


def price_of(
    encoder: StoredEncoder, shown: Sequence[tuple[str, ImageSet, Points]], policy: Mapping[str, Any]
) -> dict[str, Any]:
    """The pictures that an encoder has not seen, with bytes and seconds; those never hashed are told by their make.

    `shown` are sets of pictures, each with its name and the points (site, readout, width) at which they are read.
    """
    space, images, size = space_of(encoder, policy), set(), 0
    for _, pictures, points in shown:
        names, contents = [f"{site}/{readout}" for site, readout, _ in points], pictures.known()
        if contents is None:
            todo = {p.identity or name for p, name in zip(pictures.pictures, pictures.names, strict=True)}
        else:
            todo = {contents[i] for i in space.missing(contents, names, verify=False)}
        images |= todo
        size += 2 * sum(width for _, _, width in points) * len(todo)
    pace = encoder.store.memo("pace").get_many([key := pace_key(encoder)]).get(key)
    seconds = len(images) * pace["seconds"] / pace["images"] if pace else None if images else 0.0
    return {"images_to_encode": len(images), "bytes_to_store": size, "seconds": seconds}


def plan_result(
    experiment: str, command: str, rows: Sequence[dict[str, Any]], failed: Sequence[str], unpriced: str
) -> CommandResult:
    """A plan of such rows, with the totals in words; those that cannot be asked are said.

    Raises:
        EncoderError: nobody can.
    """
    if not rows:
        raise EncoderError(none_of(failed))
    for line in failed:
        say(f"error: {line}")
    seconds = [row["seconds"] for row in rows]
    totals: dict[str, Any] = {name: sum(row[name] for row in rows) for name in ("images_to_encode", "bytes_to_store")}
    totals["seconds"] = None if None in seconds else sum(seconds)
    return CommandResult(
        experiment=experiment, tables={"plan": rows}, sentences=words_of(totals, unpriced), command=command,
        summary="nothing was encoded", failed=failed,
    )  # fmt: skip
