"""The sheet of a diagnosis' figure: a panel for each task, so many side by side, and one legend below them all."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slitlamp.errors import UsageError
from slitlamp.reports.plots import MM, WIDTHS, shown_names

Rows = Sequence[Mapping[str, Any]]
COLUMNS = 4  # panels side by side
TALL, TITLE, LEFT, GAP, LEGEND = 30.0, 8.5, 11.0, 3.0, 3.4  # mm


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Where the panels of `tasks` lie on a sheet `width` wide; all in mm.

    `across` panels lie side by side, the first `left` from the edge, each `wide` by `high` below its title.
    """

    tasks: tuple[str, ...]
    width: float
    across: int
    left: float
    wide: float
    high: float = TALL

    @property
    def down(self) -> int:
        """Rows of panels."""
        return -(-len(self.tasks) // self.across)

    def blank(self) -> tuple[Any, list[Any]]:
        """A figure, and the axes of every task, which `arrange` puts in their places."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self.width * MM, 1))
        return figure, [figure.add_axes((0, 0, 0.1, 0.1)) for _ in self.tasks]

    def arrange(
        self, figure: Any, panels: Sequence[Any], below: float, handles: Sequence[Any] = (), each: float = 1.0
    ) -> float:
        """Put the panels in their places, with so much room below each, and the legend; returns how tall the sheet is.

        An entry of the legend takes `each` mm.
        """
        per_line = max(1, int((self.width - 4) / each))
        one = TITLE + self.high + below
        tall = one * self.down + (LEGEND * -(-len(handles) // per_line) + 1.5 if handles else 0)
        figure.set_size_inches(self.width * MM, tall * MM)
        for k, panel in enumerate(panels):
            row, column = divmod(k, self.across)
            panel.set_position((
                (self.left + column * (self.wide + GAP)) / self.width, 1 - (row * one + TITLE + self.high) / tall,
                self.wide / self.width, self.high / tall,
            ))  # fmt: skip
        if handles:
            figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0), ncols=per_line, frameon=False,
                          handlelength=1.8, handletextpad=0.5, columnspacing=1.0, labelspacing=0.3)  # fmt: skip
        return tall


def sheet_of(rows: Rows, width: float | None, nothing: str) -> Sheet:
    """The sheet of the tasks of these rows, 85 or 175 mm wide, as the panels need where `width` is not given.

    Raises:
        UsageError: `nothing`, where there is no row.
    """
    tasks = tuple(dict.fromkeys(row["task"] for row in rows))
    if not tasks:
        raise UsageError(nothing)
    width = width or WIDTHS[len(tasks) > 1]
    across = min(len(tasks), COLUMNS if width > WIDTHS[0] else 1)
    return Sheet(
        tasks=tasks, width=width, across=across, left=LEFT, wide=(width - LEFT - 2 - GAP * (across - 1)) / across
    )


def title_lines(task: str, wide: float, most: int = 2) -> list[str]:
    """The name of a task above a panel of so many mm, in `most` lines (1 or 2); what is left out is an ellipsis.

    It is left out of the middle, since columns of one manifest often begin alike.
    """
    room = letters(wide)
    found = [] if most == 1 else textwrap.wrap(task, room)[:1]
    rest = task[len("".join(found)) :].strip()
    return shown_names(filter(None, (*found, rest)), room)


def letters(wide: float) -> int:
    """How many letters of a title fit above a panel of so many mm."""
    return max(12, int(wide / 1.35))
