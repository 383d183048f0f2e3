"""Figures of a diagnosis, each a pure function of rows as results.json holds them."""

import textwrap
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from slitlamp.diagnosis.external import ELSEWHERE
from slitlamp.diagnosis.sheet import Rows, letters, sheet_of, title_lines
from slitlamp.reports.plots import COLOURS, MARKERS, STYLE

LETTER, ROW = 0.85, 2.2  # mm that a letter of a slanted label reaches down, and a further line of it
SLANTED = 3.0  # mm that a line of a slanted label needs
APART = 1.0  # mm between the lines of one label and those of the next
BRIEF = {
    "language model, image": "LM, image", "language model, last token": "LM, last token",
    "texts, threshold learnt": "texts, own threshold",
}  # fmt: skip
PROBE, ANSWER, REFERENCE = COLOURS[0], COLOURS[1], "0.35"
CONTROLS = {"thumbnail": "#882255", "untrained networks": "#009E73", "image statistics": "#80791E"}
BLIND, EXTERNAL = "#CC79A7", "#332288"
BESIDE = ("control", "external")  # stages without a place of their own along the axis
SHORT = {
    "encoder": "encoder", "connector": "connector", "alignment": "alignment", "language_model": "language model",
    "none": "no loss", "inconclusive": "cannot say",
}  # fmt: skip


def chain(stages: Rows, verdicts: Rows, width: float | None = None) -> Any:
    """Scores along the stages with their intervals: a matplotlib Figure, a panel for each task.

    Filled circles: probes of stages that are present; open: not shown to be read. Diamonds: answers, which nobody
    trained on these items. Triangles: probes trained on other images. Squares: the best reader before. Lines
    across: controls of the image alone and untrained networks. Crosses: answers without the image. Dotted: chance. A
    thick link is a material loss.

    `width` in mm is 85 or 175; where it is not given, as the panels need.

    Raises:
        UsageError: there is no stage.
    """
    import matplotlib as mpl

    sheet = sheet_of(stages, width, "no stage was measured: there is nothing to draw")
    entries: dict[str, Any] = {}
    with mpl.rc_context(STYLE):
        figure, panels = sheet.blank()
        limits = _limits(stages)
        for k, (task, panel) in enumerate(zip(sheet.tasks, panels, strict=True)):
            mine = [row for row in stages if row["task"] == task]
            _panel(panel, mine, entries, sheet.wide)
            panel.set_ylim(*limits)
            panel.tick_params(labelleft=k % sheet.across == 0)
            verdict = next((row for row in verdicts if row["task"] == task), None)
            panel.set_title(_title(task, verdict, sheet.wide, mine), loc="left", pad=3)
            if k % sheet.across == 0:
                panel.set_ylabel(mine[0]["metric"], labelpad=2)
        handles = [entries[name] for name in ORDER if name in entries]
        sheet.arrange(figure, panels, below(stages, sheet.wide), handles, 38)
    return figure


ORDER = ("probe", "unread", "reference", "external", "answer", "blind", *CONTROLS, "material", "chance")


def _title(task: str, verdict: Mapping[str, Any] | None, wide: float, stages: Rows) -> str:
    lines = title_lines(task, wide, 1)
    if verdict is not None:
        behind = next((row["name"] for row in stages if row["stage"] == "connector"), SHORT["connector"])
        said = behind if verdict["failure"] == "connector" else SHORT[verdict["failure"]]
        sure = "" if verdict["failure"] == "inconclusive" else f" ({verdict['confidence']})"
        lines += textwrap.wrap(f"{said}{sure}", letters(wide))[:1]
    return "\n".join(lines)


def label_of(name: str, room: float) -> str:
    """The name of a stage below an axis, in one line where marks stand closer than its lines need (`room` in mm)."""
    lines = textwrap.wrap(name, 15)
    return "\n".join(lines) if len(lines) * SLANTED + APART <= room else BRIEF.get(name, name)


def below(stages: Rows, wide: float) -> float:
    """How far the slanted labels reach below axes of so many mm, in mm."""
    shown = [row for row in stages if row.get("stage") not in BESIDE]
    labels = [label_of(row["name"], room_of(shown, row["task"], wide)).split("\n") for row in shown]
    return 3.5 + max(LETTER * max(map(len, lines)) + ROW * (len(lines) - 1) for lines in labels)


def room_of(stages: Rows, task: str, wide: float) -> float:
    """The room in mm between the marks of one task on an axis of so many mm."""
    return wide / max(1, sum(row["task"] == task for row in stages))


def _limits(stages: Rows) -> tuple[float, float]:
    values = [v for row in stages for v in (row["score"], row["low"], row["high"], row["chance"]) if v is not None]
    return max(-0.04, min(values) - 0.04), min(1.03, max(values) + 0.04)


def _panel(panel: Any, rows: Rows, entries: dict[str, Any], wide: float) -> None:
    from matplotlib.lines import Line2D

    along = [row for row in rows if row["stage"] not in BESIDE]
    controls = [row for row in rows if row["stage"] == "control"]
    for row in controls:
        colour = CONTROLS.get(row["name"])
        if colour is None:
            continue
        panel.axhline(row["score"], color=colour, lw=0.8, ls=(0, (4, 2)), zorder=1)
        entries[row["name"]] = Line2D([], [], color=colour, lw=0.8, ls=(0, (4, 2)), label=row["name"])
    panel.axhline(rows[0]["chance"], color="black", lw=0.8, ls=":", zorder=1)
    entries["chance"] = Line2D([], [], color="black", lw=0.8, ls=":", label="chance")
    chained = [row for row in along if row["stage"] != "blind"]
    for x, (a, b) in enumerate(pairwise(chained)):
        thick = a["loss_state"] == "material"
        panel.plot((x, x + 1), (a["score"], b["score"]), color="0.15" if thick else "0.7", lw=2.2 if thick else 0.8,
                   zorder=2, solid_capstyle="butt")  # fmt: skip
        if thick:
            entries["material"] = Line2D([], [], color="0.15", lw=2.2, label="material loss")
    for x, row in enumerate(along):
        _mark(panel, x, row, entries)
    places = {row["name"]: x for x, row in enumerate(along)}
    for row in rows:
        if row["stage"] == "external" and (name := row["name"].removesuffix(ELSEWHERE)) in places:
            _mark(panel, places[name] + 0.25, row, entries)
    panel.set_xticks(
        range(len(along)),
        [label_of(row["name"], wide / len(along)) for row in along],
        rotation=45,
        ha="right",
        rotation_mode="anchor",
    )
    panel.set_xlim(-0.5, len(along) - 0.5)


def _mark(panel: Any, x: float, row: Mapping[str, Any], entries: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D

    kind, marker, colour, label = "probe", "o", PROBE, "probe (95 % interval)"
    if row["stage"] == "reference":
        kind, marker, colour, label = "reference", "s", REFERENCE, "best reader before"
    elif row["stage"] == "external":
        kind, marker, colour, label = "external", "^", EXTERNAL, "probe trained elsewhere"
    elif row["stage"] == "blind":
        kind, marker, colour, label = "blind", "X", BLIND, "answer without the image"
    elif row["stage"] == "answer" and not row["trained"]:
        kind, marker, colour, label = "answer", "D", ANSWER, "answer, untrained"
    read = row["verdict"] == "present" or kind == "blind"
    if row["low"] is not None:
        panel.vlines(x, row["low"], row["high"], color=colour, lw=1.1, zorder=3)
    style: Any = {
        "marker": marker,
        "ms": 4.2,
        "mfc": colour if read else "white",
        "mec": colour,
        "mew": 0.9,
        "ls": "none",
    }
    panel.plot([x], [row["score"]], zorder=4, **style)
    entries[kind] = Line2D([], [], **(style | {"mfc": colour}), label=label)
    if not read:
        entries["unread"] = Line2D([], [], **(style | {"marker": "o", "mec": "0.3", "mfc": "white"}), label="open: not "
                                   "shown to be read")  # fmt: skip


KINDS = {"last": "last token of the prompt", "mean": "mean over the image's tokens", "halves": "halves of the image",
         "grid3": "3 × 3 regions of the image", "queries": "queries", "at-mark": "at the marks"}  # fmt: skip


def layers(rows: Rows, stages: Rows, width: float | None = None) -> Any:
    """Scores along the layers of the language model, a panel for each task and a line for each readout.

    Bars hold for all layers and readouts of a panel at once. Dashed: what the connector reads; dash-dotted: the
    bias-free answer; dotted: chance. `width` as in `chain`.

    Raises:
        UsageError: there is no layer.
    """
    import matplotlib as mpl
    from matplotlib.lines import Line2D

    sheet = sheet_of(rows, width, "no layer of a language model was measured: there is nothing to draw")
    readouts = list(dict.fromkeys(row["readout"] for row in rows))
    looks = dict(zip(readouts, zip(COLOURS, MARKERS, strict=False), strict=False))
    lines = {"connector": ("connector", "--"), "answer": ("answer", "-.")}
    entries: dict[str, Any] = {}
    with mpl.rc_context(STYLE):
        figure, panels = sheet.blank()
        values = [v for row in rows for v in (row["band_low"], row["band_high"], row["score"]) if v is not None]
        values += [row["chance"] for row in rows]
        for k, (task, panel) in enumerate(zip(sheet.tasks, panels, strict=True)):
            mine = [row for row in rows if row["task"] == task]
            for readout in readouts:
                some = [row for row in mine if row["readout"] == readout]
                if not some:
                    continue
                x, (colour, marker) = [row["layer"] for row in some], looks[readout]
                panel.plot(x, [row["score"] for row in some], color=colour, marker=marker, ms=2.5, lw=0.9, zorder=3)
                aside = (readouts.index(readout) - (len(readouts) - 1) / 2) * 0.06
                for at, row in zip(x, some, strict=True):
                    if row["band_low"] is not None:
                        panel.vlines(at + aside, row["band_low"], row["band_high"], color=colour, lw=0.6, zorder=1)
                entries[readout] = Line2D([], [], color=colour, marker=marker, ms=2.5, lw=0.9,
                                          label=KINDS.get(readout, readout))  # fmt: skip
            for stage, (label, style) in lines.items():
                found = next((row for row in stages if (row["task"], row["stage"]) == (task, stage)), None)
                if found is not None:
                    panel.axhline(found["score"], color="0.3", lw=0.8, ls=style, zorder=2)
                    values.append(found["score"])
                    entries[stage] = Line2D([], [], color="0.3", lw=0.8, ls=style, label=label)
            panel.axhline(mine[0]["chance"], color="black", lw=0.8, ls=":", zorder=2)
            entries["chance"] = Line2D([], [], color="black", lw=0.8, ls=":", label="chance")
            names = list(dict.fromkeys(row["site"] for row in mine))
            step = max(1, -(-len(names) // max(2, int(sheet.wide / 7))))
            shown = range(0, len(names), step)
            panel.set_xticks(list(shown), [names[i].removeprefix("lm.") for i in shown])
            panel.set_title("\n".join(title_lines(task, sheet.wide)), loc="left", pad=3)
            panel.tick_params(labelleft=k % sheet.across == 0)
            panel.set_xlabel("layer", labelpad=1)
            if k % sheet.across == 0:
                panel.set_ylabel("balanced accuracy", labelpad=2)
        for panel in panels:
            panel.set_ylim(max(0.0, min(values) - 0.04), min(1.03, max(values) + 0.04))
        sheet.arrange(figure, panels, 8.0, list(entries.values()), 39)
    return figure
