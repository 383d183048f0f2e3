"""Figures of what is kept along the stages, each a pure function of rows as results.json holds them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slitlamp.diagnosis.figures import below, label_of
from slitlamp.diagnosis.sheet import GAP, TITLE, Rows, sheet_of, title_lines
from slitlamp.reports.plots import COLOURS, STYLE

MAP = 40.0  # mm at most that the map of one task is wide
BAR = 14.0  # mm beside a map, for the scale of its colours


def information(rows: Rows, width: float | None = None) -> Any:
    """Usable bits per item along the stages: a matplotlib Figure, a panel for each task.

    Filled circles: the probes of the verdict (of an answer: what it says), with intervals; open squares: a non-linear
    probe at the same point. Triangles: what the description length of the answers falls below that of a uniform code,
    in bits per item. Dotted: nothing. `width` in mm is 85 or 175; where it is not given, as the panels need.

    Raises:
        UsageError: there is no stage.
    """
    import matplotlib as mpl
    from matplotlib.lines import Line2D

    sheet = sheet_of(rows, width, "no information was measured: there is nothing to draw (--information)")
    looks: dict[str, dict[str, Any]] = {
        "held-out probe or answer (95 % interval)": {"marker": "o", "color": COLOURS[0], "mfc": COLOURS[0]},
        "non-linear probe": {"marker": "s", "color": COLOURS[1], "mfc": "white"},
        "saved description length": {"marker": "^", "color": COLOURS[2], "mfc": COLOURS[2]},
    }
    series = (
        ("bits", "low", "high"), ("nonlinear_bits", "nonlinear_bits_low", "nonlinear_bits_high"), ("saved", "", ""),
    )  # fmt: skip
    made: list[dict[str, Any]] = [dict(row) | {"saved": _saved(row)} for row in rows]
    seen = [value for row in made for names in series for n in names if (value := row.get(n)) is not None]
    with mpl.rc_context(STYLE):
        figure, panels = sheet.blank()
        for k, (task, panel) in enumerate(zip(sheet.tasks, panels, strict=True)):
            mine = [one for one in made if one["task"] == task]
            for place, (look, (value, low, high)) in enumerate(zip(looks.values(), series, strict=True)):
                for x, stage in enumerate(mine):
                    if stage[value] is None:
                        continue
                    at = x + (place - 1) * 0.16
                    if stage.get(low) is not None:
                        panel.vlines(at, stage[low], stage[high], color=look["color"], lw=1.0, zorder=2)
                    panel.plot([at], [stage[value]], ls="none", ms=3.6, mew=0.8, zorder=3, **look)
            panel.axhline(0, color="black", lw=0.8, ls=":", zorder=1)
            panel.set_xticks(
                range(len(mine)),
                [label_of(s["name"], sheet.wide / len(mine)) for s in mine],
                rotation=45,
                ha="right",
                rotation_mode="anchor",
            )
            panel.set_xlim(-0.5, len(mine) - 0.5)
            panel.set_ylim(min(-0.05, min(seen) - 0.05), max(seen) + 0.08)
            panel.tick_params(labelleft=k % sheet.across == 0)
            panel.set_title("\n".join(title_lines(task, sheet.wide)), loc="left", pad=3)
            if k % sheet.across == 0:
                panel.set_ylabel("bits per item", labelpad=2)
        handles = [Line2D([], [], ls="none", ms=3.6, mew=0.8, label=name, **look) for name, look in looks.items()]
        handles.append(Line2D([], [], color="black", lw=0.8, ls=":", label="nothing"))
        sheet.arrange(figure, panels, below(rows, sheet.wide), handles, 52)
    return figure


def _saved(row: Mapping[str, Any]) -> float | None:
    """Bits per item that the code saves; the uniform code is items times log2 of the classes."""
    if row["code"] is None or not row["n_items"]:
        return None
    return (row["code_uniform"] - row["code"]) / row["n_items"]


def patches(rows: Rows, width: float | None = None) -> Any:
    """The error with which patches are got back from behind the connector, by place: a matplotlib Figure, a map a task.

    0: all of a patch's variance about its place's mean is got back; 1: nothing. Raises UsageError without any map.
    """
    import matplotlib as mpl
    import numpy as np
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    sheet = sheet_of(rows, width, "no patches were got back: there is nothing to draw")
    width, across = sheet.width, sheet.across
    wide = min(MAP, (width - BAR - GAP * (across + 1)) / across)
    left = (width - BAR - across * wide - (across - 1) * GAP) / 2
    sheet = replace(sheet, left=left, wide=wide, high=wide)
    maps = []
    for task in sheet.tasks:
        mine = [row for row in rows if row["task"] == task]
        grid = np.full((max(r["row"] for r in mine) + 1, max(r["column"] for r in mine) + 1), np.nan)
        for row in mine:
            grid[row["row"], row["column"]] = row["error"]
        maps.append((grid, mine[0]["site"]))
    norm = Normalize(0, max(1e-6, *(float(np.nanmax(grid)) for grid, _ in maps)))
    with mpl.rc_context(STYLE):
        figure, panels = sheet.blank()
        for task, panel, (grid, site) in zip(sheet.tasks, panels, maps, strict=True):
            panel.imshow(grid, norm=norm, cmap="magma", interpolation="nearest")
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_title("\n".join([*title_lines(task, wide - 5, 1), site]), loc="left", pad=3)
        tall = sheet.arrange(figure, panels, GAP)
        bar = figure.add_axes((
            (left + across * wide + (across - 1) * GAP + 2) / width, 1 - (TITLE + wide) / tall, 2 / width, wide / tall
        ))  # fmt: skip
        scale = figure.colorbar(ScalarMappable(norm=norm, cmap="magma"), cax=bar)
        scale.set_label("error, share of variance")
    return figure
