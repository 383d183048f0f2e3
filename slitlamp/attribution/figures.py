"""Figures of attribution, each a pure function of what was found; no map is drawn without its verdict."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from probes import attribution
from probes.trials.cells import cell_sums
from probes.trials.trial import CONTROL, EDGES, PROBE, RANDOM, UNTRAINED
from probes.trials.verdict import EXPLAINS, NOTHING, OPEN, SALIENT
from slitlamp.reports.plots import COLOURS, MARKERS, MM, STYLE, WIDTHS, shown_names

if TYPE_CHECKING:
    from slitlamp.attribution.run import Judged, Sheet

ROWS = 6  # images on a sheet
SIGNED, PLAIN = "PuOr", "cividis"  # orange speaks for the number, purple against it: both are told apart by all
SHORT = {
    EXPLAINS: "explains the probe", SALIENT: "shows salience only", NOTHING: "explains nothing", OPEN: "too few images",
}  # fmt: skip
UNITS = ("mass; 1 = evenly spread", "for the answer (+), against it (−); 1 = evenly spread")
WHOSE = {PROBE: "probe", CONTROL: "control", UNTRAINED: "untrained"}


def drawn(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Maps [n, h, w] as they are drawn: half a cell fine, as density over that of an even map with the same mass."""
    fine = (2 * grid[0], 2 * grid[1])
    found = cell_sums(values, fine)
    mean = np.abs(found).mean(axis=(1, 2), keepdims=True)
    return np.divide(found, mean, out=np.zeros_like(found), where=mean > 0)


def method_sheet(sheet: "Sheet", method: str) -> Any:
    """One method: images down, and for each encoder the probe's map, the control's and the untrained network's.

    Every map has one scale, in multiples of an evenly spread map, so that encoders can be compared.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    parts = [(one, _tried(one, method)) for one in sheet.judged]
    parts = [(one, tried) for one, tried in parts if tried is not None]
    columns = [(one, tried, whose) for one, tried in parts for whose in WHOSE if whose in tried.maps]
    count = min(ROWS, len(sheet.ids))
    pictures = {(id(one), whose): drawn(tried.maps[whose][:count], one.explained.grid) for one, tried, whose in columns}
    signed = parts[0][1].trial.signed
    top = _top(pictures.values())
    wide = len(columns) > 3 or len(parts) > 1
    width = WIDTHS[wide] * MM
    side = (width - 0.42) / (1 + len(columns))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, count * side + 0.62 + 0.12 * len(parts)), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)  # type: ignore[union-attr]
        axes = figure.subplots(count, 1 + len(columns), squeeze=False)
        shown = None
        for k in range(count):
            _image(axes[k, 0], sheet, parts[0][0], k)
            for at, (one, _tried_map, whose) in enumerate(columns, start=1):
                shown = _map(axes[k, at], sheet, one, pictures[id(one), whose][k], k, top, signed=signed)
        axes[0, 0].set_title("image", fontsize=6)
        names = shown_names([one.label for one, _ in parts], 18)
        for at, (one, _tried_map, whose) in enumerate(columns, start=1):
            name = names[[p[0] for p in parts].index(one)]
            axes[0, at].set_title(f"{name}\n{WHOSE[whose]}" if len(parts) > 1 else WHOSE[whose], fontsize=6)
        bar = figure.colorbar(shown, ax=axes, location="bottom", fraction=0.035, pad=0.01, aspect=40)
        bar.set_label(
            "for the answer (+), against it (−); 1 = evenly spread" if signed else "mass; 1 = evenly spread", fontsize=6
        )
        lines = [f"{name}: {_verdict(one, method)}" for (one, _), name in zip(parts, names, strict=True)]
        figure.suptitle(
            "\n".join([f"{attribution.load(method).title}, {sheet.name}", *lines]), fontsize=6.5, x=0.01, ha="left"
        )
    return figure


def overview(sheet: "Sheet") -> Any:
    """All methods of every encoder on the same few images, each with its verdict over it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    count = min(3, len(sheet.ids))
    rows = [(one, k) for one in sheet.judged for k in range(count)]
    methods = list(dict.fromkeys(tried.method for one in sheet.judged for tried in one.explained.tried))
    pictures = {
        (id(one), tried.method): drawn(tried.maps[PROBE][:count], one.explained.grid)
        for one in sheet.judged for tried in one.explained.tried
    }  # fmt: skip
    top = _top(pictures.values())
    width = WIDTHS[len(methods) > 3] * MM
    side = width / (1 + len(methods))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, len(rows) * side + 0.62 * len(sheet.judged) + 0.3), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)  # type: ignore[union-attr]
        axes = figure.subplots(len(rows), 1 + len(methods), squeeze=False)
        shown = None
        for row, (one, k) in enumerate(rows):
            _image(axes[row, 0], sheet, one, k)
            if k == 0:
                axes[row, 0].set_title(shown_names([one.label], 16)[0], fontsize=6)
            for at, method in enumerate(methods, start=1):
                axis, tried = axes[row, at], _tried(one, method)
                if tried is None:
                    axis.set_axis_off()
                    continue
                found = _map(axis, sheet, one, pictures[id(one), method][k], k, top, signed=tried.trial.signed)
                shown = found if tried.trial.signed else shown
                if k == 0:
                    title = attribution.load(method).title.replace(" ", "\n", 1)
                    axis.set_title(f"{title}\n{SHORT.get(_state(one, method), _state(one, method))}", fontsize=5)
        if shown is not None:
            bar = figure.colorbar(shown, ax=axes, location="bottom", fraction=0.03, pad=0.01, aspect=50)
            bar.set_label(UNITS[True], fontsize=6)
    return figure


def margin_figure(sheet: "Sheet") -> Any:
    """What every map knows of the score: insertion less deletion, with 95 % intervals by group, a row per method."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = [(one, tried) for one in sheet.judged for tried in one.explained.tried]
    marks = {
        PROBE: (COLOURS[0], MARKERS[0], "probe"), CONTROL: (COLOURS[1], MARKERS[1], "control"),
        UNTRAINED: (COLOURS[2], MARKERS[2], "untrained network"), EDGES: (COLOURS[4], MARKERS[3], "edges of the image"),
        RANDOM: ("0.4", MARKERS[4], "random"),
    }  # fmt: skip
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTHS[1] * MM, 0.75 + 0.3 * len(rows)), layout="constrained")
        axis = figure.subplots()
        axis.axvline(0, color="0.7", lw=0.6, zorder=0)
        labels = []
        for k, (one, tried) in enumerate(rows):
            for shift, (name, (colour, mark, words)) in zip((-0.26, -0.13, 0, 0.13, 0.26), marks.items(), strict=True):
                if name not in tried.trial.margin:
                    continue
                mean, half = _interval(tried.trial.margin[name], sheet.groups)
                axis.errorbar(mean, k + shift, xerr=half, fmt=mark, ms=3, color=colour, lw=0.8,
                              label=words if k == 0 else None)  # fmt: skip
            name = shown_names([one.label], 18)[0]
            labels.append(f"{attribution.load(tried.method).title}" + (f"\n{name}" if len(sheet.judged) > 1 else ""))
            axis.text(1.01, k, SHORT.get(_state(one, tried.method), _state(one, tried.method)),
                      transform=axis.get_yaxis_transform(), va="center", fontsize=6)  # fmt: skip
        axis.set_yticks(range(len(rows)), labels)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlabel("insertion less deletion, in shares of the score's fall from image to blurred image")
        axis.text(1.01, 1.0, "the map …", transform=axis.transAxes, va="bottom", fontsize=6, color="0.3")
        axis.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False, borderaxespad=0.1, handletextpad=0.2
        )
    return figure


def _interval(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The mean over groups and half its 95 % t interval; no bar for fewer than two groups."""
    from scipy.stats import t

    names, place = np.unique(groups, return_inverse=True)
    means = np.bincount(place.ravel(), values) / np.bincount(place.ravel())
    if len(names) < 2:
        return float(values.mean()), 0.0
    return float(values.mean()), float(t.ppf(0.975, len(names) - 1) * means.std(ddof=1) / np.sqrt(len(names)))


def _tried(one: "Judged", method: str) -> Any:
    return next((tried for tried in one.explained.tried if tried.method == method), None)


def _state(one: "Judged", method: str) -> str:
    return next(verdict.state for verdict in one.verdicts if verdict.method == method)


def _verdict(one: "Judged", method: str) -> str:
    import textwrap

    verdict = next(verdict for verdict in one.verdicts if verdict.method == method)
    return textwrap.shorten("; ".join([verdict.state, *verdict.cautions]), 110, placeholder=" …")


def _top(pictures: Iterable[np.ndarray]) -> float:
    """The end of the common scale: the value that one cell in a hundred exceeds."""
    every = np.concatenate([np.abs(one).ravel() for one in pictures])
    return max(1.0, float(np.quantile(every, 0.99)))


def _image(axis: Any, sheet: "Sheet", one: "Judged", k: int) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    if sheet.visible:
        axis.imshow(one.explained.shown[k], cmap="gray", vmin=0, vmax=1)
    else:
        axis.imshow(np.full((1, 1), 0.9), cmap="gray", vmin=0, vmax=1)
        axis.text(0, 0, "not shown", ha="center", va="center", fontsize=5, color="0.4")
    if sheet.answers[k]:
        axis.set_ylabel(shown_names([sheet.answers[k]], 16)[0], fontsize=5.5)


def _map(axis: Any, sheet: "Sheet", one: "Judged", values: np.ndarray, k: int, top: float, *, signed: bool) -> Any:
    """A map over its image in grey; a cell without mass leaves the image clear."""
    axis.set_axis_off()
    h, w = one.explained.shown.shape[1:3]
    extent = (0, w, h, 0)
    look: dict[str, Any] = (
        {"cmap": f"{SIGNED}_r", "vmin": -top, "vmax": top} if signed else {"cmap": PLAIN, "vmin": 0, "vmax": top}
    )
    if not sheet.visible:
        return axis.imshow(values, extent=extent, interpolation="nearest", **look)
    grey = one.explained.shown[k]
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    axis.imshow(grey, cmap="gray", vmin=-0.25, vmax=1.25, extent=extent)
    alpha = np.clip(np.abs(values) / top, 0, 1) ** 0.5 * 0.85
    axis.imshow(values, extent=extent, interpolation="nearest", alpha=alpha, **look)
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(norm=Normalize(look["vmin"], look["vmax"]), cmap=look["cmap"])


def alt(sheet: "Sheet", method: str) -> str:
    """What a sheet shows, for those who cannot see it."""
    said = "; ".join(f"{one.label}: {_verdict(one, method)}" for one in sheet.judged if _tried(one, method) is not None)
    title, count = attribution.load(method).title, min(ROWS, len(sheet.ids))
    return f"{title} of {count} images for {sheet.name}, beside control and untrained network. {said}"
