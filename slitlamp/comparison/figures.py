"""Figures of comparisons, each a pure function of rows as results.json holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slitlamp.comparison.words import OPEN
from slitlamp.errors import UsageError
from slitlamp.reports.plots import COLOURS, MARKERS, MM, STYLE, WIDTHS, shown_names

Rows = Sequence[Mapping[str, Any]]
LETTER = 1.16  # mm, a letter of 6 points on average
WIDE = 1.32  # the same of names that have wide letters
ROW, HEAD, FOOT, GAP = 3.3, 4.2, 8.0, 2.5  # mm: an arm or pair, the line above a family, its axis, between families
MOST = 45  # pairs of a family that are drawn; of more, those with the arm of the highest score
ROOM = 215.0  # mm of a page that families may take
PANELS = 6  # encoders that share a panel of a curve; more have one each
FEW_PANELS = 12  # of more, each is smaller
TALL = 34.0  # mm, a panel of a curve
SURE, UNSURE = "#0072B2", "0.45"


def differences(rows: Rows, width: float | None = None) -> Any:
    """Paired differences a - b: a matplotlib Figure.

    Thick: the interval of each by itself; thin: that which holds for all comparisons at once. Filled and blue: told
    apart; open and grey: not, with a square where it is equal within the margin, which is the band about 0. Of more
    than MOST pairs of a family those with the arm of the highest score are drawn. `width` in mm is 85 or 175; where it
    is not given, as the names need.

    Raises:
        UsageError: there is no comparison.
    """
    kinds = _families(rows)
    if not kinds:
        raise UsageError("there is no comparison to draw")
    kinds = {key: _drawn(mine) for key, mine in kinds.items()}
    kinds, rest = _fitting(kinds)
    whole = {key: len(mine) for key, mine in _families(rows).items()}
    shown = [
        (key, mine, f"{len(mine)} of {whole[key]} pairs" * (len(mine) < whole[key])) for key, mine in kinds.items()
    ]
    if any(said for _, _, said in shown):
        rest = "; ".join(filter(None, (rest, "of many pairs those with the highest score")))
    names = [name for _, mine, _ in shown for row in mine for name in (row["a"], row["b"])]
    width = width or (WIDTHS[0] if max(map(len, names)) <= 12 else WIDTHS[1])
    handles = _handles_of_pairs([row for _, mine, _ in shown for row in mine])
    sheet = _Sheet.of(
        width, [len(mine) for _, mine, _ in shown], labels=0.4, numbers=25, entries=len(handles), said=rest
    )
    ends = [
        abs(v)
        for _, mine, _ in shown
        for row in mine
        for v in (row["difference"], row["simultaneous_low"], row["simultaneous_high"])
        if v is not None
    ]
    reach = min(1.05, max(*ends, 1.2 * rows[0]["margin"]) * 1.06)
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure = sheet.figure()
        for k, (key, mine, said) in enumerate(shown):
            panel = sheet.panel(figure, k, _title(key, said, width, kinds))
            panel.axvspan(-mine[0]["margin"], mine[0]["margin"], color="0.92", lw=0, zorder=0)
            panel.axvline(0, color="black", lw=0.6, zorder=1)
            called = _short([name for row in mine for name in (row["a"], row["b"])], (sheet.left - 6) / 2 / WIDE)
            for y, row in enumerate(mine):
                _pair(panel, y, row)
                label = f"{called[row['a']]} − {called[row['b']]}"
                sheet.beside(panel, y, label, _ends(row["difference"], row["low"], row["high"], sign=True))
            panel.set_xlim(-reach, reach)
            panel.set_ylim(len(mine) - 0.5, -0.5)
            if k == len(shown) - 1:
                panel.set_xlabel("difference of scores, a − b", labelpad=1)
        _legend(figure, sheet, handles)
    return figure


def ranking(rows: Rows, width: float | None = None) -> Any:
    """Scores of arms in their order with their intervals, letters and the probability of each to be the best.

    Arms that share a letter are not told apart. Dotted: chance. `width` as in `differences`.

    Raises:
        UsageError: there is no arm.
    """
    kinds = _families(rows)
    if not kinds:
        raise UsageError("there is no arm to draw")
    kinds, rest = _fitting(kinds)
    width = width or (WIDTHS[0] if max(len(row["name"]) for row in rows) <= 24 else WIDTHS[1])
    letters = max(len(row["group"] or "") for row in rows)
    sheet = _Sheet.of(width, [len(mine) for mine in kinds.values()], labels=0.36,
                      numbers=min(max(10.0, LETTER * letters + 3) + 9, width * 0.35), entries=3, said=rest)  # fmt: skip
    values = [v for row in rows for v in (row["score"], row["low"], row["high"], row["chance"]) if v is not None]
    low, high = max(0.0, min(values) - 0.03), min(1.02, max(values) + 0.03)
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure = sheet.figure()
        for k, (key, mine) in enumerate(kinds.items()):
            panel = sheet.panel(figure, k, _title(key, "", width, kinds))
            panel.axvline(mine[0]["chance"], ls=":", lw=0.8, color="black", zorder=1)
            called = _short([row["name"] for row in mine], (sheet.left - 3) / WIDE)
            for y, row in enumerate(mine):
                first = "a" in (row["group"] or "")
                colour = SURE if first else UNSURE
                if row["low"] is not None:
                    panel.hlines(y, row["low"], row["high"], color=colour, lw=1.0, zorder=2)
                panel.plot(row["score"], y, ls="none", marker="o", ms=3, color=colour, zorder=3,
                           mfc=colour if first else "white", mew=0.8)  # fmt: skip
                p = "" if row["p_best"] is None else _share(row["p_best"])
                sheet.beside(panel, y, called[row["name"]], p, row["group"] or "")
            panel.set_xlim(low, high)
            panel.set_ylim(len(mine) - 0.5, -0.5)
            if mine[0]["p_best"] is not None:
                sheet.above(panel, "P best", "letters")
            if k == len(kinds) - 1:
                panel.set_xlabel(" / ".join(dict.fromkeys(row["metric"] for row in rows)), labelpad=1)
        from matplotlib.lines import Line2D

        _legend(figure, sheet, [
            Line2D([], [], color=SURE, marker="o", ms=3, lw=1, label="not told apart from the best (letter a)"),
            Line2D([], [], color=UNSURE, marker="o", ms=3, lw=1, mfc="white", mew=0.8, label="the others; bars: 95 % "
                   "intervals"),
            Line2D([], [], color="black", ls=":", lw=0.8, label="chance"),
        ])  # fmt: skip
    return figure


def curve(rows: Rows, points: Sequence[Any] = (), width: float | None = None) -> Any:
    """Scores over the number of groups: means over draws with their bands, single draws as dots.

    Dashed: the smallest score that would be found at least 8 times in 10. Dotted: chance. A tip above a point says that
    it still rises. `points` are ((task, encoder, at), [(groups, score)]) of single draws. `width` as above.

    Raises:
        UsageError: there is no point.
    """
    if not rows:
        raise UsageError("there is no learning curve to draw")
    lines: dict[tuple[str, str], dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows:
        lines.setdefault((row["task"], row["at"]), {}).setdefault(row["encoder"], []).append(row)
    panels: list[tuple[tuple[str, str], dict[str, list[Mapping[str, Any]]]]] = []
    for key, many in lines.items():
        panels += [(key, many)] if len(many) <= PANELS else [(key, {name: one}) for name, one in many.items()]
    width = width or (WIDTHS[0] if len(panels) == 1 else WIDTHS[1])
    small = len(panels) > FEW_PANELS
    across = 1 + small if width < 120 else min(5 if small else 3, len(panels))
    down, high, between = -(-len(panels) // across), TALL / 2 if small else TALL, 8 if small else 14
    every = list(dict.fromkeys(row["encoder"] for row in rows))
    called = _short(every, 34)
    single = {tuple(key): found for key, found in points}
    limits = _limits(rows)
    legend = 3.4 * -(-(min(len(every), PANELS) + 3) // (1 if width < 120 else 3)) + 1
    tall = down * (high + between) + legend + 6 * small
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * MM, tall * MM))
        entries: dict[str, Any] = {}
        wide = width / across
        for k, (key, many) in enumerate(panels):
            left, top = (k % across) * wide + 11, (k // across) * (high + between) + 5
            panel = figure.add_axes((left / width, 1 - (top + high) / tall, (wide - 12.5) / width, high / tall))
            for name, mine in many.items():
                number = 0 if len(many) == 1 and len(panels) > 1 else every.index(name)
                look: dict[str, Any] = {
                    "color": COLOURS[number % len(COLOURS)],
                    "marker": MARKERS[number % len(MARKERS)],
                }
                _learn(panel, mine, single.get((key[0], name, key[1]), ()), look)
                if len(many) > 1 or len(panels) == 1:
                    entries[name] = Line2D([], [], lw=1, ms=3, label=called[name], **look)
            panel.axhline(next(iter(many.values()))[0]["chance"], ls=":", lw=0.8, color="black", zorder=1)
            sizes = sorted({row["groups"] for mine in many.values() for row in mine})
            panel.set_xscale("log")
            panel.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
            ticks = _spaced(sizes, 2.1 if small else 1.25)
            panel.set_xticks(ticks, [str(size) for size in ticks])
            panel.minorticks_off()
            single_task = len({task for (task, _), _ in panels}) == 1 and small
            title = (key[0],) if len(many) > 1 or len(panels) == 1 else (key[0], next(iter(many)))[single_task:]
            at = () if key[1] == "best point" else (key[1],)
            words = _cut(" · ".join((*title, *at)), int((wide - 4) / (1.08 * WIDE)))
            figure.text((left - (3 if small else 9)) / width, 1 - (top - 1.2) / tall, words, fontsize=6.5, va="bottom")
            if not small or k + across >= len(panels):
                panel.set_xlabel("groups", labelpad=1)
            panel.set_ylim(*limits[key[0]])
            if k % across == 0 and not small:
                panel.set_ylabel(next(iter(many.values()))[0]["metric"], labelpad=2)
        if small:
            figure.text(1.2 / width, 0.5, rows[0]["metric"], rotation=90, fontsize=7, ha="left", va="center")
        entries["draws"] = Line2D([], [], ls="none", marker=".", ms=2.5, color="0.4", label="single draws")
        if any(row["mde"] is not None for row in rows):
            entries["mde"] = Line2D([], [], ls="--", lw=0.7, color="0.4", label="found at least 8 times in 10 (mde)")
        entries["chance"] = Line2D([], [], ls=":", lw=0.8, color="black", label="chance")
        if any(row["rising"] for row in rows):
            entries["rising"] = Line2D([], [], ls="none", marker=6, ms=3.5, color="black", label="still rising")
        figure.legend(handles=list(entries.values()), loc="lower center", bbox_to_anchor=(0.5, 0), frameon=False,
                      ncols=1 if width < 120 else 3, handlelength=2, labelspacing=0.3, columnspacing=1.2)  # fmt: skip
    return figure


def _limits(rows: Rows) -> dict[str, tuple[float, float]]:
    """The axis of each question's scores, which its panels share."""
    found = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        names = ("score", "low", "high", "mde", "chance", "draws_low", "draws_high")
        values = [row[n] for row in rows if row["task"] == task for n in names if row.get(n) is not None]
        found[task] = max(0.0, min(values) - 0.03), min(1.02, max(values) + 0.03)
    return found


def _learn(panel: Any, mine: Sequence[Mapping[str, Any]], draws: Sequence[Any], look: Mapping[str, Any]) -> None:
    """One learning curve with its band, its draws, its detection limit and its last word."""
    x, y = [row["groups"] for row in mine], [row["score"] for row in mine]
    colour = look["color"]
    panel.plot(x, y, lw=1, ms=3, zorder=4, **look)
    known = [row for row in mine if row["low"] is not None]
    panel.fill_between([r["groups"] for r in known], [r["low"] for r in known], [r["high"] for r in known],
                       color=colour, alpha=0.15, lw=0, zorder=2)  # fmt: skip
    if len(known) == 1:
        panel.vlines(known[0]["groups"], known[0]["low"], known[0]["high"], color=colour, lw=0.8, zorder=3)
    found = [row for row in mine if row["mde"] is not None]
    panel.plot([r["groups"] for r in found], [r["mde"] for r in found], ls="--", lw=0.7, color=colour, zorder=1.5)
    panel.plot([g for g, _ in draws], [s for _, s in draws], ls="none", marker=".", ms=2.5, color=colour, alpha=0.6,
               zorder=3)  # fmt: skip
    from matplotlib.transforms import offset_copy

    above = offset_copy(panel.transData, panel.figure, y=3, units="points")
    rising = [row for row in mine if row["rising"]]
    panel.plot([r["groups"] for r in rising], [r["score"] for r in rising], ls="none", marker=6, ms=3.5, color="black",
               transform=above, zorder=5)  # fmt: skip


def _spaced(sizes: Sequence[int], apart: float) -> list[int]:
    """Numbers of groups that leave room for their labels on a logarithmic axis."""
    found = [sizes[-1]]
    for size in reversed(sizes[:-1]):
        if size * apart < found[0]:
            found.insert(0, size)
    return found


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """Where families lie on a figure, in mm: names at the left, values in the middle, numbers at the right."""

    width: float
    counts: tuple[int, ...]
    left: float
    right: float
    legend: float
    said: str  # a line above all

    @classmethod
    def of(
        cls, width: float, counts: Sequence[int], labels: float, numbers: float, entries: int, said: str
    ) -> "_Sheet":
        legend = 3.4 * -(-entries // _columns(width, entries)) + 1
        left, right = width * labels, numbers + 1
        return cls(width=width, counts=tuple(counts), left=left, right=right, legend=legend, said=said)

    @property
    def tall(self) -> float:
        return self.top(len(self.counts)) + FOOT - GAP - 3 + self.legend

    def top(self, k: int) -> float:
        """Where a family begins."""
        return sum(HEAD + ROW * count + GAP + 3 for count in self.counts[:k]) + 1 + 2.6 * bool(self.said)

    def figure(self) -> Any:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self.width * MM, self.tall * MM))
        figure.text(
            1 - 1.5 / self.width, 1 - 0.8 / self.tall, self.said, fontsize=5.5, color="0.3", ha="right", va="top"
        )
        return figure

    def panel(self, figure: Any, k: int, title: str) -> Any:
        """The axes of a family under its title."""
        top, high = self.top(k) + HEAD, ROW * self.counts[k]
        wide = self.width - self.left - self.right
        panel = figure.add_axes((self.left / self.width, 1 - (top + high) / self.tall, wide / self.width,
                                 high / self.tall))  # fmt: skip
        figure.text(1.5 / self.width, 1 - (top - 1.2) / self.tall, title, fontsize=6.5, va="bottom")
        panel.set_yticks([])
        panel.spines["left"].set_visible(False)
        panel.tick_params(pad=1.5, length=2)
        return panel

    def beside(self, panel: Any, y: float, left: str, right: str, further: str = "") -> None:
        """A name at the left of a row, numbers at its right."""
        from matplotlib.transforms import blended_transform_factory

        where = blended_transform_factory(panel.transAxes, panel.transData)
        wide = self.width - self.left - self.right
        panel.text(-1.5 / wide, y, left, transform=where, fontsize=6, ha="right", va="center")
        panel.text(1 + 1.5 / wide, y, right, transform=where, fontsize=6, ha="left", va="center")
        if further:
            panel.text(1 + 9.5 / wide, y, further, transform=where, fontsize=6, ha="left", va="center")

    def above(self, panel: Any, right: str, further: str) -> None:
        """What the numbers at the right are."""
        wide = self.width - self.left - self.right
        for at, word in ((1.5, right), (9.5, further)):
            panel.text(1 + at / wide, 1, word, transform=panel.transAxes, fontsize=5.5, color="0.3", ha="left",
                       va="bottom")  # fmt: skip


def _fitting(kinds: dict[Any, list[Any]]) -> tuple[dict[Any, list[Any]], str]:
    """The first families that a figure has room for, and what is said of the others."""
    kept: dict[Any, list[Any]] = {}
    for key, mine in kinds.items():
        if kept and sum(HEAD + GAP + 3 + ROW * len(one) for one in [*kept.values(), mine]) > ROOM:
            return kept, f"the first {len(kept)} of {len(kinds)} sets; all are in results.json"
        kept[key] = mine
    return kept, ""


def _families(rows: Rows) -> dict[tuple[str, str, str], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["task"], row["over"], row["at"]), []).append(row)
    return found


def _drawn(mine: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The pairs of a family that are drawn: of many those with the arm of the highest score."""
    if len(mine) <= MOST:
        return mine
    scores = {row[side]: row[f"score_{side}"] for row in mine for side in ("a", "b")}
    best = max(scores, key=lambda name: scores[name])
    return [row for row in mine if best in (row["a"], row["b"])]


def _title(key: tuple[str, str, str], said: str, width: float, kinds: Mapping[Any, Any]) -> str:
    """The line above a family: its question, what is compared where that is not the same everywhere, and where."""
    overs = {over for _, over, _ in kinds}
    parts = [key[0], f"{key[1]}s" if len(overs) > 1 or key[1] != "encoder" else "", key[2], said]
    return _cut(" · ".join(filter(None, parts)), int((width - 22) / (1.08 * LETTER)))


def _cut(text: str, most: int) -> str:
    return shown_names([text], most)[0]


def _short(names: Sequence[str], most: float) -> dict[str, str]:
    """Each name as there is room for it; what would look alike is numbered."""
    unique = list(dict.fromkeys(names))
    return dict(zip(unique, shown_names(unique, max(6, int(most))), strict=True))


def _pair(panel: Any, y: float, row: Mapping[str, Any]) -> None:
    told = row["says"] in ("a reads more", "b reads more")
    colour = SURE if told else UNSURE
    if row["simultaneous_low"] is not None:
        panel.hlines(y, row["simultaneous_low"], row["simultaneous_high"], color=colour, lw=0.6, zorder=2)
    if row["low"] is not None:
        panel.hlines(y, row["low"], row["high"], color=colour, lw=1.6, zorder=2.5)
    marker = "o" if told or row["says"] == OPEN else "s"
    panel.plot(row["difference"], y, ls="none", marker=marker, ms=3.2, color=colour, mfc=colour if told else "white",
               mew=0.8, zorder=3)  # fmt: skip


def _handles_of_pairs(rows: Rows) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    said = {row["says"] for row in rows}
    margins = sorted({row["margin"] for row in rows})
    found = []
    if said & {"a reads more", "b reads more"}:
        found.append(Line2D([], [], color=SURE, marker="o", ms=3.2, lw=1.6, label="told apart"))
    if OPEN in said:
        found.append(Line2D([], [], color=UNSURE, marker="o", mfc="white", ms=3.2, mew=0.8, lw=1.6, label=OPEN))
    if any(one.startswith("equal") for one in said):
        found.append(Line2D([], [], color=UNSURE, marker="s", mfc="white", ms=3.2, mew=0.8, lw=1.6,
                            label="equal within the margin"))  # fmt: skip
    found.append(Patch(color="0.92", lw=0, label=f"margin, {' or '.join(f'{m:g}' for m in margins)}"))
    if any(row["low"] is not None for row in rows):
        found.append(Line2D([], [], color="0.3", lw=1.6, label="95 % interval"))
        found.append(Line2D([], [], color="0.3", lw=0.6, label="the same, for all comparisons at once"))
    return found


def _columns(width: float, entries: int) -> int:
    """Columns of a legend."""
    if width > 120:
        return 3
    return 2 if entries > 3 else 1


def _legend(figure: Any, sheet: _Sheet, handles: Sequence[Any]) -> None:
    columns = _columns(sheet.width, len(handles))
    figure.legend(handles=list(handles), loc="lower center", bbox_to_anchor=(0.5, 0), ncols=columns, frameon=False,
                  handlelength=1.8, handletextpad=0.5, columnspacing=1.0, labelspacing=0.3)  # fmt: skip


def _ends(value: float, low: float | None, high: float | None, *, sign: bool) -> str:
    def text(number: float) -> str:
        number = round(number, 2) + 0.0  # of -0.0 as of 0.0
        word = f"{number:+.2f}" if sign else f"{number:.2f}"
        return word.replace("-", "−")

    return text(value) if low is None or high is None else f"{text(value)} [{text(low)}, {text(high)}]"


def _share(p: float) -> str:
    return "> 0.99" if p >= 0.995 else "< 0.01" if p < 0.005 else f"{p:.2f}"
