"""The figure of an audit, a function of what was found."""

from typing import Any

import numpy as np

from slitlamp.prompts.judged import Found, Judged
from slitlamp.reports.plots import COLOURS, MARKERS, MM, STYLE, WIDTHS, shown_names


def figure(found: Found) -> Any:
    """Odds of every property, consistency of place and colour, and accuracy by size; or the two kinds of error."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        if found.judged[0].bias is not None:
            fig = Figure(figsize=(WIDTHS[0] * MM, 2.8 + 0.12 * len(found.judged)), layout="constrained")
            axes = [fig.subplots()]
            _turns(axes[0], found.judged)
        else:
            sized = any(j.dose is not None and len(j.dose.shares) > 1 for j in found.judged)
            fig = Figure(figsize=(WIDTHS[1] * MM, 2.5 + 0.12 * len(found.judged)), layout="constrained")
            axes = fig.subplots(1, 3 if sized else 2, width_ratios=[1.25, 1, 1][: 3 if sized else 2])
            _odds(axes[0], found.judged)
            _consistency(axes[1], found.judged)
            if sized:
                _sizes(axes[2], found.judged)
        handles, labels = axes[0].get_legend_handles_labels()
        labels = shown_names(labels, 44)
        columns = 1 if found.judged[0].bias is not None else max(1, min(3, 150 // (max(map(len, labels)) + 6)))
        fig.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        (source,) = shown_names([found.source], 40)
        words = f"{found.task}, {source}, {found.images} images" + (", LIMITED RUN" if found.limited else "")
        fig.suptitle(words, fontsize=6, color="red" if found.limited else "0.3", x=0.995, ha="right")
    return fig


def _look(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "ms": 3.2}


def _odds(axis: Any, judged: list[Judged]) -> None:
    rows = ["correct", *dict.fromkeys(name for j in judged for name in (j.audit.odds if j.audit else {}))]
    at = {name: len(rows) - i for i, name in enumerate(rows)}
    axis.axvspan(1 / 1.25, 1.25, color="0.92", lw=0)
    axis.axvline(1, color="black", lw=0.5)
    for number, j in enumerate(judged):
        assert j.audit is not None
        spans = {"correct": tuple(float(np.exp(v)) for v in j.audit.spatial), **j.audit.odds}
        shift = 0.22 * ((len(judged) - 1) / 2 - number)
        y = [at[name] + shift for name in spans]
        axis.hlines(
            y, [s[1] for s in spans.values()], [s[2] for s in spans.values()], color=_look(number)["color"], lw=0.8
        )
        axis.plot([s[0] for s in spans.values()], y, ls="none", label=j.responder, **_look(number))
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, 1e-2), min(max(high, 2), 1e3))
    low, high = axis.get_xlim()
    ticks = [t for t in (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 100, 1000) if low <= t <= high]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    words = {"correct": "correct mark", "x": "further right (1 sd)", "y": "lower (1 sd)", "size": "larger (1 sd)"}
    words["phase"] = "off tokens' borders (1 sd)"
    axis.set_yticks([at[r] for r in rows], [words.get(r, r.replace("/", " against ")) for r in rows])
    axis.set_xlabel("odds of being chosen (grey: up to 1.25)")


def _consistency(axis: Any, judged: list[Judged]) -> None:
    for name, point in {"place alone": (1.0, 0.2), "colour alone": (0.2, 1.0), "chance": (1 / 3, 1 / 3)}.items():
        axis.plot(*point, marker="x", color="0.4", ms=4, mew=0.8, ls="none")
        right = point[0] < 0.9
        axis.annotate(name, point, xytext=(5 if right else 0, 0 if right else 6), textcoords="offset points",
                      fontsize=6, color="0.4", va="center", ha="left" if right else "right")  # fmt: skip
    for number, j in enumerate(judged):
        same = j.audit.consistency if j.audit else None
        if same is not None and same.location is not None and same.colour is not None:
            nudge = 0.006 * (number - (len(judged) - 1) / 2)  # none lies exactly on another
            axis.plot(same.location + nudge, same.colour - nudge, ls="none", **_look(number))
    axis.set(xlim=(0.1, 1.06), ylim=(0.1, 1.06), xlabel="same place in two assignments", ylabel="same colour")
    axis.set_aspect("equal")


def _sizes(axis: Any, judged: list[Judged]) -> None:
    axis.axhline(1 / 3, ls=":", lw=0.8, color="black")
    ticks: list[float] = []
    for number, j in enumerate(judged):
        if j.dose is None:
            continue
        x = [float(s.name) for s in j.dose.shares]
        ticks = sorted({*ticks, *x})
        nudge = 1.03 ** (number - (len(judged) - 1) / 2)
        shifted = [v * nudge for v in x]
        axis.vlines(
            shifted,
            [s.low for s in j.dose.shares],
            [s.high for s in j.dose.shares],
            color=_look(number)["color"],
            lw=0.8,
        )
        axis.plot(shifted, [s.share for s in j.dose.shares], ls="-", **_look(number))
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [f"{100 * t:.1f} %" for t in ticks])
    axis.minorticks_off()
    axis.set(xlabel="radius, share of the shorter side", ylabel="accuracy; dotted: chance")


def _turns(axis: Any, judged: list[Judged]) -> None:
    """Hits against false alarms; dashed: nothing is told apart; right of the dotted line upright is favoured."""
    axis.plot([0, 1], [0, 1], ls="--", lw=0.7, color="0.4")
    axis.plot([0, 1], [1, 0], ls=":", lw=0.7, color="0.4")
    for number, j in enumerate(judged):
        assert j.bias is not None
        nudge = 0.006 * (number - (len(judged) - 1) / 2)  # none lies exactly on another
        x, y = j.bias.false_alarms + nudge, j.bias.hits - nudge
        axis.plot(x, y, ls="none", label=j.responder, clip_on=False, zorder=3, **_look(number))
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="turned images called upright", ylabel="upright images called upright")
    axis.set_aspect("equal")
    axis.text(0.97, 0.5, "upright\nfavoured", fontsize=6, color="0.4", ha="right", va="center")
    axis.text(0.03, 0.5, "upside down\nfavoured", fontsize=6, color="0.4", ha="left", va="center")
