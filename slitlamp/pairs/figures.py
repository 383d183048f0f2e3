"""Figures of pairs, each a pure function of what was counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slitlamp.reports.plots import COLOURS, STYLE

if TYPE_CHECKING:
    from probes.pairs.perturbation import Moved
    from probes.pairs.similarity import Compared
    from probes.pairs.yields import Plane

COLUMN, PAGE = 3.35, 6.9  # inches: 85 and 175 mm


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """A panel of the plane: encoder and reference, the pairs over both similarities, and how many were mined."""

    encoder: str
    reference: str
    plane: "Plane"
    mined: int


def plane_figure(panels: Sequence[Panel]) -> Any:
    """Where all pairs lie, a panel per reference, with the box that is mined.

    With shares as coordinates the colour is the number of pairs over the number that two unrelated encoders would put
    there: white is chance, grey are cells without a pair.
    """
    from matplotlib.colors import LogNorm, TwoSlopeNorm
    from matplotlib.patches import Rectangle

    most = max(10.0, *(float(p.plane.counts.max()) * p.plane.pairs / p.plane.looked_at for p in panels))

    def draw(axis: Any, panel: Panel) -> Any:
        plane = panel.plane
        counts = plane.counts.T * (plane.pairs / plane.looked_at)
        if plane.shares:
            expected = np.outer(np.diff(plane.b), np.diff(plane.a)) * plane.pairs
            values = np.log2(np.where(counts > 0, counts, np.nan) / expected)
            norm: Any = TwoSlopeNorm(0, -3, 3)
        else:
            values, norm = np.where(counts > 0, counts, np.nan), LogNorm(1, most)
        axis.set_facecolor("0.8" if plane.shares else "white")
        shown = axis.pcolormesh(
            _edges(plane), plane.b, values, norm=norm, cmap="PuOr_r" if plane.shares else "Greys", rasterized=True
        )
        _axes(axis, panel, "pairs at least as near in", "pairs at most as near in", "similarity in")
        x, y = plane.corner
        left, right = axis.get_xlim()
        width = right - x if not plane.shares else left - x
        bottom = axis.get_ylim()[0]
        axis.add_patch(
            Rectangle((x, bottom), width if not plane.shares else _edges(plane)[0] - x, y - bottom, fill=False,
                      ec="black", lw=1.1, zorder=4, clip_on=False)
        )  # fmt: skip
        axis.set_title(f"{panel.mined:,} pair{'s' * (panel.mined != 1)} mined in the box", loc="left")
        return shown

    label = "pairs over chance (log2; grey: no pair)" if panels[0].plane.shares else "pairs"
    return _figure(panels, draw, label)


def yield_figure(panels: Sequence[Panel]) -> Any:
    """How many pairs any two thresholds would yield, a panel per reference, and the two that were used."""
    from matplotlib.colors import LogNorm

    top = max(10.0, *(float(panel.plane.yields.max()) for panel in panels))  # one colour bar serves all panels

    def draw(axis: Any, panel: Panel) -> Any:
        plane = panel.plane
        found = plane.yields.T
        x, y = plane.corners
        shown = axis.pcolormesh(
            x, y, np.where(found > 0, found, np.nan), norm=LogNorm(1, top), cmap="viridis", shading="nearest",
            rasterized=True,
        )  # fmt: skip
        levels = [10.0**k for k in range(int(np.log10(top)) + 1) if found.min() < 10.0**k < found.max()]
        if levels:
            lines = axis.contour(x, y, found, levels=levels, colors="white", linewidths=0.5)
            axis.clabel(lines, fmt=lambda v: f"{v:,.0f}", fontsize=6)
        axis.plot(
            *plane.corner, marker="+", ms=9, mew=1.6, ls="none", color=COLOURS[1], label="as mined", clip_on=False
        )
        _axes(axis, panel, "at least as near as this share in", "at most as near as this share in", "threshold in")
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False, borderpad=0)
        return shown

    return _figure(panels, draw, "pairs, before any is left out")


def _edges(plane: "Plane") -> np.ndarray:
    """The edges along the first similarity; on a logarithmic scale the cell of the very nearest has a width too."""
    if not plane.shares:
        return plane.a
    return np.concatenate([[plane.a[1] ** 2 / plane.a[2]], plane.a[1:]])


def _axes(axis: Any, panel: Panel, near: str, apart: str, plain: str) -> None:
    plane = panel.plane
    if plane.shares:
        axis.set_xscale("log")
        _plain_log(axis.xaxis)
        axis.set_xlim(1, _edges(plane)[0])  # the nearest on the right, as for similarities
        axis.set_ylim(0, 1)
        axis.set_xlabel(f"{near}\n{panel.encoder}")
        axis.set_ylabel(f"{apart}\n{panel.reference}")
        return
    x, y = plane.corner
    right, low = max(plane.a[-1], x), min(plane.b[0], y)
    axis.set_xlim(plane.a[0], right + 0.02 * (right - plane.a[0]))
    axis.set_ylim(low - 0.02 * (plane.b[-1] - low), plane.b[-1])
    axis.set_xlabel(f"{plain}\n{panel.encoder}")
    axis.set_ylabel(f"{plain}\n{panel.reference}")


def _figure(panels: Sequence[Panel], draw: Any, label: str) -> Any:
    import matplotlib as mpl
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    with mpl.rc_context(STYLE):
        many = len(panels)
        columns = min(many, 2)
        rows = -(-many // columns)
        figure = Figure(figsize=(COLUMN if many == 1 else PAGE, 2.8 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        shown = [draw(axis, panel) for axis, panel in zip(axes, panels, strict=False)]
        for axis in list(axes)[many:]:
            axis.set_axis_off()
        counted = isinstance(shown[0].norm, LogNorm)
        bar = figure.colorbar(
            shown[0], ax=figure.axes, pad=0.01, aspect=30, extend="neither" if counted else "both",
            format=FuncFormatter(lambda v, _: f"{v:,.0f}") if counted else None,
        )  # fmt: skip
        bar.set_label(label)
    return figure


def _plain_log(axis: Any) -> None:
    """Ticks of a logarithmic axis in plain numbers: powers of ten, and 2 and 5 where it spans few of them."""
    from matplotlib.ticker import FuncFormatter

    def between(value: float, _: int) -> str:
        low, high = np.sort(axis.get_view_interval())
        digit = f"{value:e}"[0]
        return f"{value:g}" if high / low < 30 and digit in "25" else ""

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(between))


def map_figure(
    found: "Compared", labels: tuple[str, str], names: tuple[Sequence[str], Sequence[str]], title: str
) -> Any:
    """The heat map of an index over all pairs of sites: calibrated in colour, raw in numbers."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    score, calibrated = found.score, found.calibrated
    rows, columns = score.shape
    with mpl.rc_context(STYLE):
        width = min(PAGE, max(COLUMN, 1.2 + 0.36 * columns))
        figure = Figure(figsize=(width, 0.9 + 0.22 * rows + 0.5), layout="constrained")
        axis = figure.subplots()
        shown = axis.imshow(calibrated, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        axis.set_yticks(range(rows), [_short(n) for n in names[0]])
        axis.set_xticks(range(columns), [_short(n) for n in names[1]], rotation=60, ha="right", rotation_mode="anchor")
        axis.set_ylabel(labels[0])
        axis.set_xlabel(labels[1])
        if columns <= 16:
            for i in range(rows):
                for j in range(columns):
                    colour = "black" if calibrated[i, j] > 0.6 else "white"
                    axis.text(j, i, f"{score[i, j]:.2f}", ha="center", va="center", fontsize=5.5, color=colour)
        figure.colorbar(shown, ax=axis, pad=0.01, aspect=25).set_label("above chance, of what is possible")
        axis.set_title(f"{title}; best pair of sites p {found.best_p:.3g}", loc="left")
    return figure


def _short(site: str) -> str:
    return site.replace("block.", "b").replace("stage.", "s").removesuffix("/vector")


def dose_figure(curves: "Mapping[str, Mapping[str, Sequence[Moved]]]", units: Mapping[str, str]) -> Any:
    """A panel per change: against its strength, in the unit given, how far features move and how well it is told."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = list(next(iter(curves.values())))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE if columns > 2 else COLUMN, 0.5 + 1.5 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axis, name in zip(axes.flat, names, strict=False):
            for k, (encoder, mine) in enumerate(curves.items()):
                _dose(axis, mine[name], COLOURS[k % len(COLOURS)], encoder if len(curves) > 1 else "")
            axis.set_title(name)
            axis.set_xlabel(units[name].replace("standard deviation", "sd"), fontsize=6)
            axis.set_ylim(-0.05, 1.08)
        _finish(figure, axes, len(names), "share, or ratio")
    return figure


def _finish(figure: Any, axes: Any, used: int, label: str) -> None:
    """Small multiples: panels that are not used are hidden, the first of each row is labelled, one legend below."""
    for axis in list(axes.flat)[used:]:
        axis.set_axis_off()
    for row in axes:
        row[0].set_ylabel(label)
    handles = {handle.get_label(): handle for handle in axes.flat[0].get_legend_handles_labels()[0]}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)


def _dose(axis: Any, curve: "Sequence[Moved]", colour: str, encoder: str) -> None:
    x = np.arange(len(curve))
    end = f", {encoder}" if encoder else ""
    afc = [one.afc for one in curve]
    shift = 0.06
    axis.errorbar(
        x - shift, [a.value for a in afc], yerr=_arms([(a.value, a.low, a.high) for a in afc]), fmt="o-", ms=2.6,
        color=colour, elinewidth=0.7, label=f"told beside the original{end}",
    )  # fmt: skip
    axis.errorbar(
        x + shift, [one.absolute for one in curve],
        yerr=_arms([(one.absolute, one.absolute_low, one.absolute_high) for one in curve]), fmt="s--", ms=2.4,
        mfc="white", color=colour, elinewidth=0.7, label=f"told alone{end}",
    )  # fmt: skip
    axis.plot(
        x, [one.rank1.value for one in curve], "^:", ms=2.4, color=colour, alpha=0.7, label=f"own image nearest{end}"
    )
    axis.plot(
        x,
        [min(one.movement, 1.05) for one in curve],
        "_-",
        ms=7,
        mew=2.2,
        lw=2.2,
        color=colour,
        alpha=0.25,
        label=f"movement (cut at 1.05){end}",
    )
    axis.axhline(0.5, ls=":", lw=0.6, color="black")
    axis.set_xticks(x, [f"{one.strength:g}" for one in curve])
    axis.set_xlim(-0.3, max(len(curve) - 0.7, 0.3))


def _arms(values: "Sequence[tuple[float, float, float]]") -> np.ndarray:
    """The two arms of error bars from (value, low, high), none where an end is not known."""
    found = [(v - low, high - v) if low == low and high == high else (0.0, 0.0) for v, low, high in values]
    return np.maximum(np.array(found).T, 0)


def strip_figure(strips: "Sequence[tuple[str, Sequence[np.ndarray]]]") -> Any:
    """A row of small images for each kind, under its title."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from slitlamp.pairs.gallery import thumbnail

    strips = [(title, images) for title, images in strips if len(images)]
    columns = max((len(images) for _, images in strips), default=1)
    rows = max(1, len(strips))
    with mpl.rc_context(STYLE):
        side = PAGE / columns
        height = rows * (side + 0.22)
        figure = Figure(figsize=(PAGE, height))
        for r, (title, images) in enumerate(strips):
            top = 1 - r * (side + 0.22) / height
            figure.text(0.004, top - 0.14 / height, title, fontsize=7)
            for c, image in enumerate(images):
                place = (c / columns + 0.002, top - (side + 0.2) / height, 1 / columns - 0.004, (side - 0.02) / height)
                axis = figure.add_axes(place)
                axis.imshow(thumbnail(image), cmap="gray", vmin=0, vmax=255)
                axis.set_axis_off()
    return figure


def verdict_figure(scored: "Sequence[tuple[str, np.ndarray, np.ndarray | None, Sequence[str]]]") -> Any:
    """A panel per encoder: how similar each pair is, against how far a probe sets its images apart.

    Entries are (encoder, quantile similarity, directional separability or None, verdicts).
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    looks = {
        "apart": ("o", COLOURS[2]), "similar but separable": ("s", COLOURS[0]), "not told apart": ("X", COLOURS[1]),
        "open": ("o", "0.6"),
    }  # fmt: skip
    columns = min(3, len(scored))
    rows = -(-len(scored) // columns)
    with mpl.rc_context(STYLE):
        size = (COLUMN if columns == 1 else PAGE, 0.45 + 2.0 * rows)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
        least = min(float(np.maximum(1 - q, 1e-7).min()) for _, q, _, _ in scored)
        for axis, (name, quantile, directional, verdicts) in zip(axes.flat, scored, strict=False):
            x = np.maximum(1 - quantile, 1e-7)
            y = np.zeros(len(x)) if directional is None else directional
            for verdict, (marker, colour) in looks.items():
                here = np.array([v == verdict for v in verdicts])
                axis.plot(x[here], y[here], marker, ms=3, mew=0, alpha=0.75, color=colour, label=verdict)
            axis.set_xscale("log")
            _plain_log(axis.xaxis)
            axis.set_xlim(1.5, 10 ** (np.floor(np.log10(least)) - 0.1))  # the nearest on the right
            axis.set_xlabel("share of all pairs that are nearer")
            axis.set_title(name.replace(" (selected", "\n(selected"), loc="left")
        _finish(figure, axes, len(scored), "apart along the probe (sd)")
    return figure


def regions_figure(
    images: "Sequence[np.ndarray | None]", maps: Sequence[np.ndarray], names: Sequence[str], whole: float, encoder: str
) -> Any:
    """Both images with what each region carries of their similarity: red falls without it, blue rises."""
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

    top = max(1e-6, *(float(np.abs(m).max()) for m in maps))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE * 0.75, 2.75), layout="constrained")
        axes = figure.subplots(1, 2)
        norm = TwoSlopeNorm(0, -top, top)
        for axis, image, drop, name in zip(axes, images, maps, names, strict=True):
            h, w = image.shape[:2] if image is not None else (drop.shape[0], drop.shape[1])
            if image is not None:
                axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, w, h, 0))
            alpha = 0.7 * np.abs(drop) / top if image is not None else None  # a region that carries nothing stays clear
            axis.imshow(drop, cmap="RdBu_r", norm=norm, alpha=alpha, extent=(0, w, h, 0), interpolation="nearest")
            axis.set_axis_off()
            axis.set_title(name)
        bar = figure.colorbar(ScalarMappable(norm=norm, cmap="RdBu_r"), ax=axes, pad=0.01, aspect=25)
        bar.set_label("similarity lost without the region")
        figure.suptitle(f"{encoder}: similarity {whole:.3f}", fontsize=7)
    return figure
