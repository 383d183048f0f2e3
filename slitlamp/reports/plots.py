"""Figures, each a pure function of records as results.json holds them."""

import io
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache import write_atomically
from encoders.extraction.readouts import READOUTS, VECTOR
from probes.stats.credit import CONTROLS, LOWLEVEL, PIXELS, UNTRAINED
from slitlamp.errors import UsageError
from slitlamp.log import say
from slitlamp.records import Record
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
CREDITED = {one.credit: one.name for one in CONTROLS}  # the control that decides a credit
LOOKS: dict[str, dict[str, Any]] = {  # controls of images alone: one line each
    LOWLEVEL: {"color": "#882255", "ls": (0, (5, 2)), "marker": "x"},
    PIXELS: {"color": "0.3", "ls": "-.", "marker": "+"},
}
CALLED = {LOWLEVEL: "image statistics without layout", PIXELS: "1024 pixels"}
DEEPEST = 1.5  # how far below chance the axis reaches


def layer_curve(records: Sequence[Record], width: float | None = None) -> Any:
    """Scores along the sites with their intervals: a matplotlib Figure.

    One row for each task (and encoder, where there are more than TOGETHER), one panel for each readout. Blocks and
    stages lie at their relative depth in the encoder, the other sites behind them in their order. Filled: the
    encoder. Open: untrained draws of the same network, the hardest to beat with its interval. Lines across: controls
    of the image alone, with their intervals at the right; that which decides the credit of the best point is a band.
    Grey: the range of scores under permuted labels. Dotted: chance.

    `width` is in mm, 85 or 175 where it is not given, whichever the panels need.

    Raises:
        UsageError: no encoder was measured.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    own = [r for r in records if r.role == "encoder"]
    if not own:
        raise UsageError("no encoder was measured: there is nothing to draw")
    axes = {name: _axis([r for r in own if r.readout == name]) for name in READOUTS if name in {r.readout for r in own}}
    needed = sum(axis.width + GAP for axis in axes.values()) + MARGIN
    width = width or (WIDTHS[0] if needed <= WIDTHS[0] else WIDTHS[1])
    lines = _lines(axes, width - MARGIN)
    names = list(dict.fromkeys(r.encoder for r in own))
    called = dict(zip(names, shown_names(names, 30), strict=True))
    tasks = list(dict.fromkeys(r.task for r in own))
    rows = [(task, some) for task in tasks for some in (([n] for n in names) if len(names) > TOGETHER else [names])]
    with mpl.rc_context(STYLE):
        height = 27 if len(rows) > 3 else 34
        figure = Figure(figsize=(width * MM, (16 + len(rows) * len(lines) * height) * MM), layout="constrained")
        grid = figure.add_gridspec(len(rows) * len(lines), 1)
        handles: dict[str, Any] = {}
        for number, (task, some) in enumerate(rows):
            mine = [r for r in records if r.task == task]
            low, high = _limits(mine)
            for place, line in enumerate(lines):
                ratios = [axes[name].width for name in line]
                spare = width - MARGIN - sum(ratios) - GAP * len(line)
                if len(lines) > 1 and spare > 10:
                    ratios.append(spare)
                scale = max(1.0, (width - MARGIN - GAP * len(ratios)) / sum(ratios))
                cells = grid[number * len(lines) + place].subgridspec(1, len(ratios), width_ratios=ratios)
                for k, name in enumerate(line):
                    panel = figure.add_subplot(cells[k])
                    _panel(panel, mine, name, axes[name], some, called, handles)
                    panel.set_ylim(low, high)
                    panel.tick_params(labelleft=k == 0)
                    ticks = axes[name].ticks(scale)
                    panel.set_xticks([x for x, _ in ticks], [label for _, label in ticks], rotation=90)
                    if number == 0 or len(lines) > 1:
                        panel.set_title(READOUTS[name].title)
                    if axes[name].relative and number * len(lines) + place >= (len(rows) - 1) * len(lines):
                        panel.set_xlabel("relative depth", fontsize=6, loc="left")
                    if k == 0:
                        panel.set_ylabel(_row_label(mine, called[some[0]] if len(names) > TOGETHER else ""))
        longest = max(len(label) for label in handles)
        columns = max(1, min(4, int(width / (1.15 * longest + 9))))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)
        _footnote(figure, own, width)
    return figure


MARGIN, GAP = 17, 3  # mm: the axis labels at the left, and between panels
STEP, EDGE, ASIDE = 3.4, 2.2, 4.5  # mm: from one named site to the next, at both ends, and for the controls


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Where sites lie on the x axis of a readout, in mm before the panel is stretched: blocks first, then the others."""

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
        return min(2.8 * self.most, max(40.0, 1.0 * self.most))

    @property
    def width(self) -> float:
        return max(2 * EDGE + self.inner + STEP * len(self.named) + ASIDE, 18.0)

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
    return _Axis(depths=depths, blocks=names, named=tuple(named), most=min(most, 64))


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
    called: Mapping[str, str], handles: dict[str, Any],
) -> None:  # fmt: skip
    """One task's scores at one readout; every series has a place of its own beside a site."""
    from matplotlib.lines import Line2D

    deciding = {decides(records, encoder) for encoder in encoders}
    _behind(panel, records, readout, encoders, axis, deciding, handles)
    series = [(e, None) for e in encoders]
    here = [r for r in records if r.readout == readout]
    for encoder in encoders:
        series += [(encoder, d) for d in dict.fromkeys(r.encoder for r in here if drawn(r.encoder, encoder))]
    series.sort(key=lambda one: (encoders.index(one[0]), one[1] is not None))
    apart = min(0.75 * axis.step, 0.75 * STEP, 0.9 * len(series)) / max(len(series) - 1, 1)
    most = max((sum(r == name for name, _ in series) - 1 for r in encoders), default=0)
    for k, (encoder, draw) in enumerate(series):
        look = {"color": COLOURS[list(called).index(encoder) % len(COLOURS)],
                "marker": MARKERS[list(called).index(encoder) % len(MARKERS)]}  # fmt: skip
        shift = (k - (len(series) - 1) / 2) * apart
        mine = [r for r in here if r.encoder == (draw or encoder)]
        if draw is None:
            _points(panel, mine, axis, encoder, shift, zorder=4, ms=2.8, lw=0.8, **look)
            blocks = [r for r in mine if (encoder, r.site) in axis.depths]
            panel.plot([axis.at(encoder, r.site) + shift for r in blocks], [r.score for r in blocks], lw=0.8,
                       color=look["color"], zorder=3)  # fmt: skip
            handles.setdefault(called[encoder], Line2D([], [], ls="-", lw=0.8, ms=2.8, **look))
            continue
        trained = {r.site: r.control_random for r in here if r.encoder == encoder}
        hardest = [r for r in mine if r.score == trained.get(r.site)]
        strong = UNTRAINED in deciding
        _points(panel, [r for r in mine if r not in hardest], axis, encoder, shift, bars=False, ms=1.8, mfc="white",
                mew=0.4, zorder=2.5, **look)  # fmt: skip
        _points(panel, hardest, axis, encoder, shift, ms=2.4, mfc="white", mew=0.9 if strong else 0.5,
                lw=0.8 if strong else 0.4, zorder=2.7, **look)  # fmt: skip
        many = f" ({most} draws)" if most > 1 else ""
        label = f"open: untrained{many}" + ", decides the credit" * strong
        if strong:
            handles.pop(f"open: untrained{many}", None)
        if f"open: untrained{many}, decides the credit" not in handles:
            handles.setdefault(label, Line2D([], [], ls="none", marker="o", ms=2.6, mfc="white", mew=0.7, color="0.3"))


def _points(
    panel: Any, records: Sequence[Record], axis: _Axis, encoder: str, shift: float, *, bars: bool = True,
    lw: float = 0.6, **look: Any,
) -> None:  # fmt: skip
    """Markers beside their sites, and the interval of each; below the axis a triangle at its edge."""
    floor = records[0].chance - DEEPEST if records else 0.0
    for r in records:
        x = axis.at(encoder, r.site) + shift
        panel.plot(x, max(r.score, floor), ls="none", **look | ({"marker": 7} if r.score < floor else {}))
        if bars and r.low is not None and r.high is not None:
            panel.vlines(x, max(r.low, floor), max(r.high, floor), color=look["color"], lw=lw,
                         zorder=look.get("zorder", 2) - 0.1)  # fmt: skip


def _behind(
    panel: Any, records: Sequence[Record], readout: str, encoders: Sequence[str], axis: _Axis,
    deciding: set[str | None], handles: dict[str, Any],
) -> None:  # fmt: skip
    """Chance, the range under permuted labels, and the controls of the image alone, which are the same everywhere."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    left, right = -EDGE, axis.aside + ASIDE - 0.5
    panel.set_xlim(left, max(right, left + 18.0))
    names = {f"shuffled:{encoder}" for encoder in encoders}
    shuffled = [r.score for r in records if r.encoder in names and r.readout == readout]
    if shuffled:
        panel.axhspan(min(shuffled), max(shuffled), color="0.9", lw=0, zorder=0)
        handles.setdefault("permuted labels, range", Patch(color="0.9", lw=0))
    panel.axhline(records[0].chance, ls=":", lw=0.8, color="black", zorder=1)
    handles.setdefault("chance", Line2D([], [], ls=":", lw=0.8, color="black"))
    for k, (name, look) in enumerate(LOOKS.items()):
        found = [r for r in records if r.role == "control" and r.encoder == name and r.readout in (readout, VECTOR.name)]
        if not found:
            continue
        one = max(found, key=lambda r: r.readout == readout)  # under marks, the brightness there
        band = name in deciding
        panel.axhline(one.score, lw=1.1 if band else 0.7, color=look["color"], ls=look["ls"], zorder=1.5)
        x = axis.aside + 1.0 + 1.6 * k
        panel.plot(x, one.score, ms=3, mew=0.8, color=look["color"], marker=look["marker"], ls="none", zorder=2)
        if one.low is not None and one.high is not None:
            panel.vlines(x, one.low, one.high, color=look["color"], lw=0.8, zorder=2)
            if band:
                panel.axhspan(one.low, one.high, color=look["color"], alpha=0.13, lw=0, zorder=0.5)
        label = CALLED[name] + ", decides the credit" * band
        if band:
            handles.pop(CALLED[name], None)
        if f"{CALLED[name]}, decides the credit" not in handles:
            handles.setdefault(label, Line2D([], [], lw=1.1 if band else 0.7, ms=3, mew=0.8, **look))


def decides(records: Sequence[Record], encoder: str) -> str | None:
    """The control that decides what an encoder's best point is credited to; None where it is learnt, or not present."""
    own = [r for r in records if r.role == "encoder" and r.encoder == encoder]
    present = [r for r in own if r.verdict == "present"]
    best = max(present, key=lambda r: r.score, default=None)
    return None if best is None else CREDITED.get(best.credit or "")


def _limits(records: Sequence[Record]) -> tuple[float, float]:
    """The y axis of a task: everything that is drawn, and 1 where scores come near it."""
    chance = records[0].chance
    values = [v for r in records for v in (r.score, r.low, r.high) if v is not None]
    low = max(min([chance, *values]), chance - DEEPEST)
    high = max([chance, *values])
    return low - 0.04, 1.03 if high > 0.6 else high + 0.08


def _row_label(records: Sequence[Record], encoder: str) -> str:
    first = records[0]
    metric = "R²" if first.metric.lower() == "r2" else first.metric
    counts = f"{first.n_items} items, {first.n_groups} groups"
    return "\n".join(filter(None, (encoder, _plain(first.task, 26), f"{metric}", counts)))


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


def _footnote(figure: Any, records: Sequence[Record], width: float) -> None:
    """The sources and what the bars are; a limited run in red."""
    sources = ", ".join(dict.fromkeys(_plain(r.source, 40) for r in records))
    limited = any(r.limited for r in records)
    words = f"{_plain(sources, int(width / 1.9))}; bars: {100 * records[0].confidence:g} % intervals"
    words += ", LIMITED RUN" * limited
    figure.suptitle(words, fontsize=6, color="red" if limited else "0.3", x=0.995, ha="right")


def written(draw: Callable[[], Any], stem: Path) -> list[str]:
    """Draw a figure and write it as `save` does; the names of the files, () and a line where it cannot be drawn."""
    try:
        return save(draw(), stem)
    except Exception as error:  # a picture costs no result, whatever a library raises over it
        text = " ".join(str(error).split())[:200]
        say(f"warning: the figure {stem}.pdf could not be drawn ({type(error).__name__}: {text}); the results are kept")
        return []


def save(figure: Any, stem: Path) -> list[str]:
    """Write PDF, SVG and PNG with no date inside, so that equal records give equal bytes."""
    import matplotlib as mpl

    names = []
    for suffix, extra in {
        "pdf": {"CreationDate": None},
        "svg": {"Date": None},
        "png": {"Software": None},
    }.items():
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks is a box
            figure.savefig(buffer, format=suffix, metadata=extra, dpi=300)
        path = stem.with_suffix(f".{suffix}")
        write_atomically(path, buffer.getvalue())
        names.append(path.name)
    return names
