"""Figures, each a pure function of records as results.json holds them."""

import io
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache import write_atomically
from encoders.extraction.readouts import READOUTS, VECTOR
from probes.stats.credit import CONTROLS, LOWLEVEL, ORDER, PIXELS, UNTRAINED
from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.records import Record, best_of
from slitlamp.reports.table import drawn

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {
    "font.size": 7, "axes.titlesize": 7, "axes.labelsize": 7, "xtick.labelsize": 6, "ytick.labelsize": 6,
    "legend.fontsize": 6, "axes.linewidth": 0.5, "xtick.major.width": 0.5, "ytick.major.width": 0.5,
    "lines.linewidth": 1.0, "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "slitlamp", "font.family": "DejaVu Sans",
}  # fmt: skip
MM = 1 / 25.4  # inches
WIDTHS = (85, 175)  # mm: one and two columns of a journal
TOGETHER = 3  # encoders that share a panel; more of them have a row each
CREDITED = {one.credit: one.name for one in reversed(CONTROLS)}  # the control that decides a credit
LOOKS: dict[str, dict[str, Any]] = {  # controls of images alone: one line each
    LOWLEVEL: {"color": "#80791E", "ls": (0, (5, 2)), "marker": "x"},
    PIXELS: {"color": "#882255", "ls": "-.", "marker": "+"},
    ORDER: {"color": "#332288", "ls": (0, (1, 1)), "marker": "1"},
}
CALLED = {LOWLEVEL: "control lowlevel", PIXELS: "control pixels", ORDER: "control order of the list"}
DEEPEST = 1.5  # how far below chance the axis reaches


def layer_curve(records: Sequence[Record], width: float | None = None) -> Any:
    """Scores along the sites with their intervals: a matplotlib Figure.

    One row for each task (and encoder, where there are more than TOGETHER), one panel for each readout. Blocks and
    stages lie at their relative depth where encoders differ in them, the other sites behind them in their order.
    Filled: the encoder, with bars or, where sites lie close, a band; ringed: its best point, of all that were asked.
    Open: untrained draws of the same network, a line from the least to the greatest; where sites lie close a band of
    their range with their mean dashed. Lines across: controls of the image alone, with their intervals at the right (of
    thumbnails the hardest to surpass at the best point, the order of the list where it tells the answer); that which
    decides the credit of the best point is a band. Grey: the range of scores under permuted labels. Dotted: chance.

    `width` is in mm; where it is not given it is one column (85) or two (175), as the panels need.

    Raises:
        UsageError: no encoder was measured.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    own = [r for r in records if r.role == "encoder"]
    if not own:
        raise UsageError("no encoder was measured: there is nothing to draw")
    axes = {name: _axis([r for r in own if r.readout == name]) for name in READOUTS if name in {r.readout for r in own}}
    needed = LEFT + sum(axis.width + GAP for axis in axes.values())
    width = width or (WIDTHS[0] if needed <= WIDTHS[0] else WIDTHS[1])
    lines = _lines(axes, width - LEFT)
    scale = min(3.0, *((width - LEFT - GAP * len(line)) / sum(axes[n].width for n in line) for line in lines))
    names = list(dict.fromkeys(r.encoder for r in own))
    called = dict(zip(names, shown_names(names, 30), strict=True))
    tasks = list(dict.fromkeys(r.task for r in own))
    rows = [(task, some) for task in tasks for some in (([n] for n in names) if len(names) > TOGETHER else [names])]
    below = {k: TICK + 1.25 * max(len(label) for n in line for _, label in axes[n].ticks(scale)) for k, line in
             enumerate(lines)}  # fmt: skip
    deep = XLABEL * any(axis.relative for axis in axes.values())
    labelled = [len(lines) > 1 or number == len(rows) - 1 for number in range(len(rows))]  # rows share their axes
    titled = [len(lines) > 1 or number == 0 for number in range(len(rows))]
    entries: dict[str, Any] = {}
    with mpl.rc_context(STYLE):
        drawn_rows: list[tuple[float, Any]] = []
        down = HEAD
        figure = Figure(figsize=(width * MM, 1))
        for number, (task, some) in enumerate(rows):
            mine = [r for r in records if r.task == task]
            low, high = _limits(mine)
            words = _row_label(mine, called[some[0]] if len(names) > TOGETHER else "", int((width - 4) / 1.25))
            drawn_rows.append((down, figure.text(0, 0, words, fontsize=6.5, va="top", ha="left")))
            down += LABEL
            for k, line in enumerate(lines):
                titles = {name: _title(READOUTS[name].title, axes[name].width * scale) for name in line}
                down += TITLE * max(title.count("\n") + 1 for title in titles.values()) * titled[number]
                down += APART * (k > 0)
                left = LEFT
                for name in line:
                    panel = figure.add_axes((0, 0, 0.1, 0.1))
                    drawn_rows.append((down, (panel, left, axes[name].width * scale)))
                    _panel(panel, mine, name, axes[name], some, called, entries, dense=axes[name].step * scale < CLOSE)
                    panel.set_ylim(low, high)
                    panel.tick_params(labelleft=name == line[0])
                    ticks = axes[name].ticks(scale)
                    shown = [label if labelled[number] else "" for _, label in ticks]
                    panel.set_xticks([x for x, _ in ticks], shown, rotation=90)
                    if titled[number]:
                        panel.set_title(titles[name], pad=2)
                    if axes[name].relative and labelled[number]:
                        panel.text(0, -(below[k] + 0.3) / TALL, "relative depth", transform=panel.transAxes, fontsize=6,
                                   va="top")  # fmt: skip
                    if name == line[0]:
                        panel.set_ylabel(_metric(mine), labelpad=2)
                    left += axes[name].width * scale + GAP
                down += TALL + (below[k] + deep if labelled[number] else 1.5)
            down += 1.5
        handles = [entries[key] for key in sorted(entries, key=lambda key: key[0])]
        columns = max(1, min(5, int(width / (1.12 * max(len(h.get_label()) for h in handles) + 7))))
        tall = down + LEGEND * -(-len(handles) // columns) + 2
        figure.set_size_inches(width * MM, tall * MM)
        for top, what in drawn_rows:
            if not isinstance(what, tuple):
                what.set_position((1.5 / width, 1 - top / tall))
                continue
            panel, left, wide = what
            panel.set_position((left / width, 1 - (top + TALL) / tall, wide / width, TALL / tall))
        figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0), ncols=columns, frameon=False,
                      handlelength=2, handletextpad=0.6, columnspacing=1.2, labelspacing=0.35)  # fmt: skip
        words, colour = _footnote(own, int(width / 1.15))
        figure.text(1 - 1.5 / width, 1 - 1.0 / tall, words, fontsize=6, color=colour, va="top", ha="right")
    return figure


LEFT, HEAD, LABEL, TITLE, TALL, TICK, XLABEL, LEGEND = 12.0, 4.5, 3.6, 3.4, 23.0, 2.2, 3.0, 3.3  # mm
GAP, STEP, EDGE, ASIDE = 2.0, 3.4, 1.5, 3.8  # mm: between panels, named sites, at both ends, for the controls
APART = 1.2  # mm more between the labels below a line of panels and the titles of the next
LETTER = 1.45  # mm of a title, the widest of them in the mean
CLOSE = 2.0  # mm from block to block, below which intervals are bands


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Where sites lie on the x axis of a readout, in mm before the panel is stretched: blocks, then the others."""

    depths: Mapping[tuple[str, str], float]  # of blocks and stages, by encoder and site: place among them, from 0 to 1
    blocks: Sequence[str]  # their names, where all encoders have the same; else ()
    named: Sequence[str]
    most: int  # blocks of the deepest encoder

    @property
    def relative(self) -> bool:
        return bool(self.depths) and not self.blocks

    @property
    def inner(self) -> float:
        """Width of the part that holds blocks and stages."""
        return min(2.8 * self.most, max(20.0, 0.6 * self.most))

    @property
    def width(self) -> float:
        return max(2 * EDGE + self.inner + STEP * len(self.named) + ASIDE, 14.0)

    @property
    def aside(self) -> float:
        """Where the intervals of the controls are drawn."""
        return self.inner + STEP * len(self.named) + 0.5

    @property
    def step(self) -> float:
        """From one block to the next, and from one named site to the next where there are no blocks."""
        return self.inner / self.most if self.most else STEP

    def at(self, encoder: str, site: str) -> float:
        if (encoder, site) in self.depths:
            return self.depths[encoder, site] * self.inner - self.step / 2
        return self.inner + STEP * (self.named.index(site) + 0.5)

    def ticks(self, scale: float) -> list[tuple[float, str]]:
        """Places and labels, as many as there is room for."""
        named = [(self.inner + STEP * (i + 0.5), _plain(site, 14)) for i, site in enumerate(self.named)]
        if not self.depths:
            return named
        if self.relative:
            parts = (0.25, 0.5, 0.75, 1) if self.inner * scale > 12 else (0.5, 1)
            return [(part * self.inner - self.step / 2, f"{part:g}") for part in parts] + named
        each = -(-2.5 // (self.step * scale))
        blocks = [((i + 0.5) * self.step, _short(name)) for i, name in enumerate(self.blocks)]
        return [tick for i, tick in enumerate(blocks) if i % each == 0] + named


def _axis(records: Sequence[Record]) -> _Axis:
    """The axis of one readout: relative depth where encoders differ in their blocks, else the blocks one by one."""
    inner: dict[str, dict[str, float]] = {}
    named: list[str] = []
    for encoder in dict.fromkeys(r.encoder for r in records):
        mine = {r.site: r.depth for r in records if r.encoder == encoder}
        blocks = {site: depth for site, depth in mine.items() if depth is not None}
        if blocks:
            inner[encoder] = blocks
        others = [site for site in mine if site not in blocks]
        for k, site in enumerate(others):
            if site not in named:  # before the next site that stands there already, so that each order is kept
                after = [named.index(other) for other in others[k + 1 :] if other in named]
                named.insert(min(after, default=len(named)), site)
    most = max((len(blocks) for blocks in inner.values()), default=0)
    same = len({tuple(blocks) for blocks in inner.values()}) == 1
    names = tuple(next(iter(inner.values()))) if same else ()
    depths = {
        (encoder, site): (names.index(site) + 1) / most if same else depth
        for encoder, blocks in inner.items()
        for site, depth in blocks.items()
    }
    if not same:
        most = max([most, *(round(1 / min(blocks.values())) for blocks in inner.values() if min(blocks.values()) > 0)])
    return _Axis(depths=depths, blocks=names, named=tuple(named), most=most)


def _lines(axes: Mapping[str, _Axis], room: float) -> list[list[str]]:
    """The readouts in lines of panels that fit side by side."""
    lines: list[list[str]] = [[]]
    for name, axis in axes.items():
        held = sum(axes[other].width + GAP for other in lines[-1])
        if lines[-1] and held + axis.width > room:
            lines.append([])
        lines[-1].append(name)
    return lines


def _panel(
    panel: Any, records: Sequence[Record], readout: str, axis: _Axis, encoders: Sequence[str],
    called: Mapping[str, str], entries: dict[Any, Any], *, dense: bool,
) -> None:  # fmt: skip
    """One task's scores at one readout; every series has a place of its own beside a site."""
    from matplotlib.lines import Line2D

    deciding = {decides(records, encoder) for encoder in encoders}
    _behind(panel, records, readout, encoders, axis, deciding, entries)
    here = [r for r in records if r.readout == readout]
    draws = {e: list(dict.fromkeys(r.encoder for r in here if drawn(r.encoder, e))) for e in encoders}
    series = [(encoder, untrained) for encoder in encoders for untrained in (False, True)[: 1 + bool(draws[encoder])]]
    apart = min(0.65 * axis.step, 0.65 * STEP, 0.8 * len(series)) / max(len(series) - 1, 1)
    taken: list[tuple[float, float]] = []
    for k, (encoder, untrained) in enumerate(series):
        number = list(called).index(encoder)
        look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        shift = (k - (len(series) - 1) / 2) * apart
        mine = [r for r in here if r.encoder == encoder and r.role == "encoder"]
        where = _beside(mine, axis, encoder, shift, taken)
        if untrained:
            some = [r for r in here if r.encoder in draws[encoder]]
            strong = decides(records, encoder) == UNTRAINED
            _population(panel, some, mine, axis, encoder, where, look, dense=dense, strong=strong)
            entries[1, 0] = _entry("untrained" + f", {len(draws[encoder])} draws" * (len(draws[encoder]) > 1),
                                   entries.get((1, 0)), strong, ls="--" if dense else "none", marker="o", ms=2.6,
                                   mfc="white", mew=0.7, lw=0.7, color="0.3")  # fmt: skip
            continue
        entries[0, number] = Line2D([], [], ls="-", lw=0.8, ms=2.8, label=called[encoder], **look)
        _points(panel, mine, axis, encoder, where, band=dense, zorder=4, ms=1.8 if dense else 2.8, lw=0.8, **look)
        own = [r for r in records if r.role == "encoder" and r.encoder == encoder]
        best = best_of(own)
        if best in mine and len(own) > 1:
            panel.plot(where[best.site], max(best.score, best.chance - DEEPEST), ls="none", marker="o", ms=5.5,
                       mfc="none", mec="black", mew=0.6, zorder=4.5)  # fmt: skip
            entries[0, len(called)] = Line2D([], [], ls="none", marker="o", ms=5, mfc="none", mec="black", mew=0.6,
                                             label="best point, chosen on these data")  # fmt: skip


def _beside(
    records: Sequence[Record], axis: _Axis, encoder: str, shift: float, taken: list[tuple[float, float]]
) -> dict[str, float]:
    """Where each site of a series is drawn: in its place beside the others, and a little further from what is there."""
    where = {}
    for r in records:
        x = axis.at(encoder, r.site) + shift
        for _ in range(8):
            if not any(abs(x - a) < NEAR and abs(r.score - b) < 0.02 for a, b in taken):
                break
            x += NEAR
        where[r.site] = x
        taken.append((x, r.score))
    return where


NEAR = 0.5  # mm, within which markers of one score would hide one another


def _population(
    panel: Any,
    draws: Sequence[Record],
    trained: Sequence[Record],
    axis: _Axis,
    encoder: str,
    where: Mapping[str, float],
    look: Mapping[str, Any],
    *,
    dense: bool,
    strong: bool,
) -> None:
    """Untrained draws: open markers on a line from least to greatest; where sites lie close a band and their mean."""
    scores = {site: sorted({r.score for r in draws if r.site == site}) for site in where}
    scores = {site: some for site, some in scores.items() if some}
    blocks = [site for site in scores if dense and (encoder, site) in axis.depths]
    x = [where[site] for site in blocks]
    mean = {r.site: r.control_random for r in trained}
    panel.plot(x, [mean[site] for site in blocks], ls="--", lw=1.0 if strong else 0.6, color=look["color"], zorder=2.6)
    panel.fill_between(x, [min(scores[site]) for site in blocks], [max(scores[site]) for site in blocks],
                       color=look["color"], alpha=0.14 if strong else 0.06, lw=0, zorder=0.6)  # fmt: skip
    for site in scores:
        if site in blocks:
            continue
        at = where[site]
        panel.plot([at] * len(scores[site]), scores[site], ls="none", ms=1.8, mfc="white", mew=0.8 if strong else 0.4,
                   zorder=2.7, **look)  # fmt: skip
        panel.vlines(at, min(scores[site]), max(scores[site]), color=look["color"], lw=0.8 if strong else 0.4,
                     zorder=2.5)  # fmt: skip


def _entry(label: str, before: Any, strong: bool, **look: Any) -> Any:
    """A line of the legend, with what decides the credit, in this panel or in one before."""
    from matplotlib.lines import Line2D

    strong = strong or (before is not None and before.get_label().endswith(DECIDES))
    return Line2D([], [], label=label + DECIDES * strong, **look)


DECIDES = " (decides credit)"


def _points(
    panel: Any, records: Sequence[Record], axis: _Axis, encoder: str, where: Mapping[str, float], *, bars: bool = True,
    band: bool = False, lw: float = 0.6, **look: Any,
) -> None:  # fmt: skip
    """Markers beside their sites, and the interval of each; below the axis a triangle at its edge.

    With `band` the intervals of blocks are one band; blocks of the encoder itself are joined by a line.
    """
    floor = records[0].chance - DEEPEST if records else 0.0
    blocks = [r for r in records if (encoder, r.site) in axis.depths]
    known = [r for r in records if bars and r.low is not None and r.high is not None]
    if "mfc" not in look:
        panel.plot([where[r.site] for r in blocks], [max(r.score, floor) for r in blocks], lw=0.8,
                   color=look["color"], zorder=3)  # fmt: skip
    if band:
        x = [where[r.site] for r in known if r in blocks]
        spans = [(max(r.low or 0, floor), max(r.high or 0, floor)) for r in known if r in blocks]
        panel.fill_between(x, [a for a, _ in spans], [b for _, b in spans], color=look["color"], alpha=0.2, lw=0)
    for r in records:
        x = where[r.site]
        panel.plot(x, max(r.score, floor), ls="none", **look | ({"marker": 7} if r.score < floor else {}))
        if r in known and not (band and r in blocks):
            panel.vlines(x, max(r.low or 0, floor), max(r.high or 0, floor), color=look["color"], lw=lw,
                         zorder=look.get("zorder", 2) - 0.1)  # fmt: skip


def _behind(
    panel: Any, records: Sequence[Record], readout: str, encoders: Sequence[str], axis: _Axis,
    deciding: set[str | None], entries: dict[Any, Any],
) -> None:  # fmt: skip
    """Chance, the range under permuted labels, and the controls of the image alone, which are the same everywhere."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    panel.set_xlim(-EDGE, axis.width - EDGE)
    mine = [r for r in records if r.role == "encoder" and r.encoder in encoders]
    spans = [(r.control_shuffled_low, r.control_shuffled_high) for r in mine if r.readout == readout]
    ends = [end for span in spans for end in span if end is not None]
    if ends:
        panel.axhspan(min(ends), max(ends), color="0.9", lw=0, zorder=0)
        entries[3, 0] = Patch(color="0.9", lw=0, label="permuted labels, range")
    panel.axhline(records[0].chance, ls=":", lw=0.8, color="black", zorder=1.6)
    entries[4, 0] = Line2D([], [], ls=":", lw=0.8, color="black", label="chance")
    for k, (name, look) in enumerate(LOOKS.items()):
        found = [
            r for r in records if r.role == "control" and r.encoder == name and r.readout in (readout, VECTOR.name)
        ]
        if not found or (name == ORDER and found[0].verdict != "present"):
            continue
        shown = best_of(mine).control_pixels if name == PIXELS else None  # the thumbnail hardest to surpass
        one = max(found, key=lambda r: (r.readout == readout != VECTOR.name, r.score == shown))
        band = name in deciding
        panel.axhline(one.score, lw=1.1 if band else 0.7, color=look["color"], ls=look["ls"], zorder=1.5)
        x = axis.aside + 0.6 + 1.5 * k
        panel.plot(x, one.score, ms=3, mew=0.8, color=look["color"], marker=look["marker"], ls="none", zorder=2)
        if one.low is not None and one.high is not None:
            panel.vlines(x, one.low, one.high, color=look["color"], lw=0.8, zorder=2)
            if band:
                panel.axhspan(one.low, one.high, color=look["color"], alpha=0.13, lw=0, zorder=0.5)
        entries[2, k] = _entry(CALLED[name], entries.get((2, k)), band, lw=1.1 if band else 0.7, ms=3, mew=0.8, **look)


def decides(records: Sequence[Record], encoder: str) -> str | None:
    """The control that decides what an encoder's best point is credited to; None where it is learnt, or not present."""
    own = [r for r in records if r.role == "encoder" and r.encoder == encoder]
    best = best_of(own)
    if best.verdict != "present" or best.credit not in CREDITED:
        return None
    listed = next(one for one in CONTROLS if one.name == ORDER)
    return ORDER if best.credit == listed.credit and listed.words in best.reason else CREDITED[best.credit]


def _limits(records: Sequence[Record]) -> tuple[float, float]:
    """The y axis of a task: everything that is drawn, and 1 where scores come near it."""
    chance = records[0].chance
    shown = [r for r in records if r.encoder != ORDER]
    values = [v for r in shown for v in (r.score, r.low, r.high) if v is not None]
    own = [r for r in shown if r.role == "encoder"]
    values += [v for r in own for v in (r.control_shuffled_low, r.control_shuffled_high) if v is not None]
    low = max(min([chance, *values]), chance - DEEPEST)
    high = max([chance, *values])
    return low - 0.04, 1.03 if high > 0.6 else high + 0.08


def _metric(records: Sequence[Record]) -> str:
    return records[0].metric


def _row_label(records: Sequence[Record], encoder: str, most: int) -> str:
    first = records[0]
    data = f", {first.n_items} items in {first.n_groups} groups, {_plain(first.source, 30)}"
    title = " · ".join(filter(None, (first.task, encoder)))
    return _plain(title, most - len(data)) + data


def _title(text: str, wide: float) -> str:
    """The title of a panel that is so many mm wide, broken into lines where it would reach that of its neighbour."""
    return textwrap.fill(text, max(1, int(wide / LETTER)), break_long_words=False, break_on_hyphens=False)


def _short(site: str) -> str:
    return _plain(site.replace("block.", "b").replace("stage.", "s"), 14)


def _plain(text: str, most: int) -> str:
    """A name as it can be drawn: no control characters or lone bytes, and its middle left out where it is long."""
    whole = "".join(c if c.isprintable() else "�" for c in text.encode("utf-8", "replace").decode())
    return whole if len(whole) <= most else f"{whole[: most - most // 3 - 1]}…{whole[-(most // 3) :]}"


def shown_names(names: Iterable[str], most: int) -> list[str]:
    """Names shortened for a figure; those that would look alike are numbered."""
    short = [_plain(name, most) for name in names]
    return [f"{one} ({short[: i + 1].count(one)})" if short.count(one) > 1 else one for i, one in enumerate(short)]


def _footnote(records: Sequence[Record], most: int) -> tuple[str, str]:
    """What the bars are, and its colour; a limited run is said in red."""
    limited = any(r.limited for r in records)
    words = f"bars and bands: {100 * records[0].confidence:g} % intervals" + ", LIMITED RUN" * limited
    return _plain(words, most), "red" if limited else "0.3"


SUFFIXES: dict[str, dict[str, Any]] = {  # with no date inside
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {"Software": None},
}


def written(draw: Callable[[], Any], stem: Path) -> list[str]:
    """Draw a figure and write it as `save` does, in place of one that is there; the names of the files.

    What cannot be drawn costs a line and nothing else.
    """
    for suffix in SUFFIXES:
        stem.with_suffix(f".{suffix}").unlink(missing_ok=True)
    try:
        return save(draw(), stem)
    except Exception as error:  # a picture costs no result, whatever a library raises over it
        _undrawn(stem.with_suffix(".pdf"), error)
        return []


def _undrawn(path: Path, error: Exception) -> None:
    text = " ".join(str(error).split())[:200]
    say(f"warning: the figure {path} could not be drawn ({type(error).__name__}: {text}); the results are kept")


def save(figure: Any, stem: Path) -> list[str]:
    """Write PDF, SVG and PNG so that equal records give equal bytes; the names of those that could be written."""
    import matplotlib as mpl

    names = []
    for suffix, extra in SUFFIXES.items():
        path, buffer = stem.with_suffix(f".{suffix}"), io.BytesIO()
        try:
            with mpl.rc_context(STYLE), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks is a box
                figure.savefig(buffer, format=suffix, metadata=extra, dpi=300)
            write_atomically(path, buffer.getvalue())
        except Exception as error:
            _undrawn(path, error)
            continue
        names.append(path.name)
    return names
