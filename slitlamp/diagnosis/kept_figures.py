"""Figures of what is kept along the stages, each a pure function of rows as results.json holds them."""

from collections.abc import Mapping, Sequence
from typing import Any

from slitlamp.diagnosis.figures import COLUMNS, GAP, LEFT, LEGEND, TALL, TITLE, below, label_of, title_lines
from slitlamp.errors import UsageError
from slitlamp.reports.plots import COLOURS, MM, STYLE, WIDTHS

Rows = Sequence[Mapping[str, Any]]
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
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    if not tasks:
        raise UsageError("no information was measured: there is nothing to draw (--information)")
    width = width or WIDTHS[len(tasks) > 1]
    across = min(len(tasks), COLUMNS if width > WIDTHS[0] else 1)
    down = -(-len(tasks) // across)
    wide = (width - LEFT - 2 - GAP * (across - 1)) / across
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
        figure = Figure(figsize=(width * MM, 1))
        room = LEGEND * (-(-(len(looks) + 1) // max(1, int((width - 4) / 52)))) + 1.5
        one = TITLE + TALL + below(rows, wide)
        tall = one * down + room
        figure.set_size_inches(width * MM, tall * MM)
        for k, task in enumerate(tasks):
            row, column = divmod(k, across)
            panel = figure.add_axes((
                (LEFT + column * (wide + GAP)) / width, 1 - (row * one + TITLE + TALL) / tall, wide / width, TALL / tall
            ))  # fmt: skip
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
                [label_of(s["name"], wide / len(mine)) for s in mine],
                rotation=45,
                ha="right",
                rotation_mode="anchor",
            )
            panel.set_xlim(-0.5, len(mine) - 0.5)
            panel.set_ylim(min(-0.05, min(seen) - 0.05), max(seen) + 0.08)
            panel.tick_params(labelleft=column == 0)
            panel.set_title("\n".join(title_lines(task, wide)), loc="left", pad=3)
            if column == 0:
                panel.set_ylabel("bits per item", labelpad=2)
        handles = [Line2D([], [], ls="none", ms=3.6, mew=0.8, label=name, **look) for name, look in looks.items()]
        handles.append(Line2D([], [], color="black", lw=0.8, ls=":", label="nothing"))
        figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0), frameon=False, handlelength=1.8,
                      ncols=max(1, int((width - 4) / 52)), handletextpad=0.5, columnspacing=1.0,
                      labelspacing=0.3)  # fmt: skip
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
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    if not tasks:
        raise UsageError("no patches were got back: there is nothing to draw")
    width = width or WIDTHS[len(tasks) > 1]
    across = min(len(tasks), COLUMNS if width > WIDTHS[0] else 1)
    down = -(-len(tasks) // across)
    wide = min(MAP, (width - BAR - GAP * (across + 1)) / across)
    left = (width - BAR - across * wide - (across - 1) * GAP) / 2
    maps = []
    for task in tasks:
        mine = [row for row in rows if row["task"] == task]
        grid = np.full((max(r["row"] for r in mine) + 1, max(r["column"] for r in mine) + 1), np.nan)
        for row in mine:
            grid[row["row"], row["column"]] = row["error"]
        maps.append((grid, mine[0]["site"]))
    norm = Normalize(0, max(1e-6, *(float(np.nanmax(grid)) for grid, _ in maps)))
    with mpl.rc_context(STYLE):
        one = TITLE + wide + GAP
        tall = one * down
        figure = Figure(figsize=(width * MM, tall * MM))
        for k, (task, (grid, site)) in enumerate(zip(tasks, maps, strict=True)):
            row, column = divmod(k, across)
            panel = figure.add_axes((
                (left + column * (wide + GAP)) / width, 1 - (row * one + TITLE + wide) / tall, wide / width, wide / tall
            ))  # fmt: skip
            panel.imshow(grid, norm=norm, cmap="magma", interpolation="nearest")
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_title("\n".join([*title_lines(task, wide - 5)[:1], site]), loc="left", pad=3)
        bar = figure.add_axes((
            (left + across * wide + (across - 1) * GAP + 2) / width, 1 - (TITLE + wide) / tall, 2 / width, wide / tall
        ))  # fmt: skip
        scale = figure.colorbar(ScalarMappable(norm=norm, cmap="magma"), cax=bar)
        scale.set_label("error, share of variance")
    return figure
