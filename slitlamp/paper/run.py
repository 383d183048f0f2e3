"""The command about reports: what was gathered becomes a page, figures, tables, methods and a card in one folder."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cache import write_atomically
from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.paper import checklist as reviewer
from slitlamp.paper.answers import answers, who_reads_most
from slitlamp.paper.card import card
from slitlamp.paper.changes import compare_reports
from slitlamp.paper.gathered import NOT_YET, Gathered, gather
from slitlamp.paper.methods import as_latex, as_markdown, bibliography
from slitlamp.paper.page import page
from slitlamp.paper.settings import ReportSettings
from slitlamp.records import rounded
from slitlamp.reports.result import CommandResult
from slitlamp.runs import StoredRun
from slitlamp.settings import Settings

PAGE = "index.html"


def report(settings: Settings, own: ReportSettings, command: str) -> CommandResult:
    """Report runs, or say what changed between two; see `slitlamp.report`."""
    if own.diff:
        return compare_reports(*own.diff, command=command)
    from slitlamp.paper import figures

    gathered = gather(own.runs)
    found, not_compared = compared(gathered.runs)
    gathered = replace(gathered, compared=found)
    items = reviewer.checklist(gathered)
    drawn = figures.figures(gathered)
    if settings.output.out is not None:
        say(f"{len(drawn)} figures are drawn, each in two widths")
    out = settings.output.out
    for name in own.track:
        from slitlamp.paper import trackers

        say(trackers.export(name, gathered, Path(out) if out else Path()))
    data: Mapping[str, Callable[[Path], None]] = {}
    if out is not None:
        data = _files(gathered, items, drawn, Path(out), own, command, not_compared)
    count = len(gathered.runs) + len(gathered.others)
    many = f"{len(gathered.claims)} claim{'s' * (len(gathered.claims) != 1)}"
    return CommandResult(
        experiment="report",
        tables=rounded({"claims": _claims(gathered), "checklist": _items(items)}),
        sentences=[*who_reads_most(gathered), *answers(gathered), *_of_others(gathered)],
        notes=[
            *(f"{'MISSING' if line.endswith(NOT_YET) else 'FAILED'}: {line}" for line in gathered.failed),
            f"The reviewer's checklist: {reviewer.counted(items)}",
            *not_compared,
            *(() if found is None else found.notes),
        ],
        figures={} if out is not None else {name: partial(one.draw, one.widths[-1]) for name, one in drawn.items()},
        data=data,
        command=command,
        summary=f"{many} of {count} run{'s' * (count != 1)}",
    )


def compared(runs: Sequence[StoredRun]) -> tuple[CommandResult | None, list[str]]:
    """The comparison of runs that have several encoders or are several, and a line on what could not be compared."""
    several = len(runs) > 1 or any(len({v["encoder"] for v in run.verdicts}) > 1 for run in runs)
    if not several:
        return None, []
    from slitlamp.comparison.found import find

    try:
        return find(runs, refuse=False), []
    except UsageError as error:
        return None, [f"Nothing is compared: {error}"]


def _files(
    gathered: Gathered, items: Sequence[reviewer.Item], drawn: Mapping[str, Any], out: Path, own: ReportSettings,
    command: str, not_compared: Sequence[str],
) -> dict[str, Callable[[Path], None]]:  # fmt: skip
    """Every file of the report by its name below the folder, ready to be written.

    All are made before the first is written, so that an error leaves an earlier report as it was.
    """
    from slitlamp.paper import figures, tables

    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        pictures = figures.write(drawn, made)
        names = [*tables.write(gathered, made), *pictures]
        found = {name: (made / name).read_bytes() for name in names}
    written = {
        PAGE: page(gathered, items, drawn, found, out, own.title, command, not_compared),
        "methods.md": as_markdown(gathered),
        "methods.tex": as_latex(gathered),
        "references.bib": bibliography(gathered),
        "probe_card.md": card(gathered, command, own.title),
        "checklist.md": reviewer.markdown(items),
    }
    found = {name: text.encode("utf-8", "replace") for name, text in written.items()} | found
    return {name: partial(_write, content) for name, content in found.items()}


def _write(content: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


def _claims(gathered: Gathered) -> list[dict[str, Any]]:
    several = len(gathered.runs) > 1
    return [
        {
            "task": c.task,
            "encoder": c.encoder,
            "run": c.run.name if several else None,
            "items": c.best.n_items,
            "groups": c.best.n_groups,
            "score": c.score,
            "low": None if c.ends is None else c.ends[0],
            "high": None if c.ends is None else c.ends[1],
            "chance": c.best.chance,
            "p": c.p,
            "verdict": c.said,
            "credit": c.best.credit,
            "point": f"{c.best.site}/{c.best.readout}",
        }
        for c in gathered.claims
    ]


def _items(items: Sequence[reviewer.Item]) -> list[dict[str, Any]]:
    return [
        {
            "item": one.number,
            "status": one.status,
            "missing": sum(entry.status == reviewer.MISSING for entry in one.entries) or None,
            "about": one.title,
        }
        for one in items
    ]


def _of_others(gathered: Gathered) -> list[str]:
    return [f"{one.experiment}, {one.folder.name}: {line}" for one in gathered.others
            for line in one.document.get("sentences", ())[:3]]  # fmt: skip
