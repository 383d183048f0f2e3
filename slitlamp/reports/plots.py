"""Figures, each a pure function of records."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cache import write_atomically
from encoders.extraction.readouts import READOUTS, VECTOR
from slitlamp.records import Record
from slitlamp.reports.table import drawn

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {
    "font.size": 7, "axes.titlesize": 7, "axes.labelsize": 7, "xtick.labelsize": 6, "ytick.labelsize": 6,
    "legend.fontsize": 6, "axes.linewidth": 0.5, "xtick.major.width": 0.5, "ytick.major.width": 0.5,
    "lines.linewidth": 1.0, "axes.spines.top": False, "axes.spines.right": False,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "slitlamp", "font.family": "DejaVu Sans",
}  # fmt: skip


def layer_curve(records: Sequence[Record]) -> Any:
    """One row per task, one column per readout: score along the sites with its interval.

    Solid with band: the encoder. Dashed: the same architecture untrained. Dash-dot: the control of 1024 pixels.
    Dotted: chance. The last column holds the sites that are one vector (pooled, joint).
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(r.task for r in records))
    readouts = [o for o in READOUTS if any(r.readout == o and r.role != "control" for r in records)]
    widths = [max(2, len(_sites(records, o))) for o in readouts]
    with mpl.rc_context(STYLE):
        width = 6.75 if len(readouts) > 1 else 3.25
        figure = Figure(figsize=(width, 0.55 + 1.5 * len(tasks)), layout="constrained")
        axes = figure.subplots(len(tasks), len(readouts), squeeze=False, sharey="row", width_ratios=widths)
        for number, (row, task) in enumerate(zip(axes, tasks, strict=True)):
            mine = [r for r in records if r.task == task]
            for axis, readout in zip(row, readouts, strict=True):
                _panel(axis, mine, readout)
                axis.set_title(READOUTS[readout].title if number == 0 else "")
            row[0].set_ylabel(f"{task}\n{_metric(mine)}")
        handles: dict[str, Any] = {}
        for axis in axes.flat:
            for handle in axis.get_legend_handles_labels()[0]:
                handles.setdefault(handle.get_label(), handle)
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
        _footnote(figure, records)
    return figure


def _metric(records: Sequence[Record]) -> str:
    return "R²" if records[0].metric.lower() == "r2" else records[0].metric


def _sites(records: Sequence[Record], readout: str) -> list[str]:
    return list(dict.fromkeys(r.site for r in records if r.readout == readout and r.role != "control"))


def _panel(axis: Any, records: Sequence[Record], readout: str) -> None:
    sites = _sites(records, readout)
    at = {site: i for i, site in enumerate(sites)}
    encoders = list(dict.fromkeys(r.encoder for r in records if r.role == "encoder"))
    for number, encoder in enumerate(encoders):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        own = [r for r in records if r.encoder == encoder and r.readout == readout and r.site in at]
        x = [at[r.site] for r in own]
        joined = "-" if readout != VECTOR.name else "none"
        axis.plot(x, [r.score for r in own], ls=joined, marker=marker, ms=2.6, color=colour, label=encoder, zorder=3)
        known = [r for r in own if r.low is not None and r.high is not None]
        if readout != VECTOR.name:
            axis.fill_between([at[r.site] for r in known], [r.low for r in known], [r.high for r in known],
                              color=colour, alpha=0.18, lw=0, label=f"{encoder}, 95 % interval")  # fmt: skip
        else:
            axis.vlines([at[r.site] for r in known], [r.low for r in known], [r.high for r in known],
                        color=colour, lw=0.9)  # fmt: skip
        untrained = [r for r in records if drawn(r.encoder, encoder) and r.readout == readout and r.site in at]
        dashes = "--" if readout != VECTOR.name else "none"
        draws = list(dict.fromkeys(r.encoder for r in untrained))
        many = f" ({len(draws)} draws)" if len(draws) > 1 else ""
        for draw in draws:
            one = [r for r in untrained if r.encoder == draw]
            axis.plot([at[r.site] for r in one], [r.score for r in one], ls=dashes, marker=marker, ms=2.2,
                      mfc="white", mew=0.6, color=colour, alpha=0.8 if draw == draws[0] else 0.45, lw=0.8,
                      label=f"{encoder}, untrained{many}")  # fmt: skip
    pixels = [r for r in records if r.encoder == "pixels" and r.readout in (readout, VECTOR.name)]
    if pixels:  # under marks, the brightness there
        nearest = max(pixels, key=lambda r: r.readout == readout)
        axis.axhline(nearest.score, ls="-.", lw=0.7, color="0.35", label="1024 pixels")
    axis.axhline(records[0].chance, ls=":", lw=0.8, color="black", label="chance")
    axis.set_xlim(-0.5, len(sites) - 0.5)
    axis.set_xticks(range(len(sites)), [_short(s) for s in sites], rotation=60, ha="right", rotation_mode="anchor")
    shown = [r for r in records if not r.encoder.startswith("shuffled:")]
    lowest = min([records[0].chance, *(r.score if r.low is None else r.low for r in shown)])
    axis.set_ylim(lowest - 0.03, max(1.02, 0))


def _short(site: str) -> str:
    return site.replace("block.", "b").replace("stage.", "s")


def _footnote(figure: Any, records: Sequence[Record]) -> None:
    first = records[0]
    words = f"{first.n_items} items in {first.n_groups} groups, {first.source}"
    if first.limited:
        words += ", LIMITED RUN"
    figure.suptitle(words, fontsize=6, color="0.3" if not first.limited else "red", x=0.995, ha="right")


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
        with mpl.rc_context(STYLE):
            figure.savefig(buffer, format=suffix, metadata=extra, dpi=300)
        path = stem.with_suffix(f".{suffix}")
        write_atomically(path, buffer.getvalue())
        names.append(path.name)
    return names
