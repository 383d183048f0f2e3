"""Figures of pairs, each a pure function of what was counted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slitlamp.reports.plots import COLOURS, STYLE

if TYPE_CHECKING:
    from probes.pairs.mining import Box
    from probes.pairs.yields import Plane

COLUMN, PAGE = 3.35, 6.9  # inches: 85 and 175 mm


def plane_figure(planes: Sequence[tuple[str, str, "Plane", "Box", np.ndarray]]) -> Any:
    """A panel per reference: how many pairs lie where, the box that is mined, and the pairs in it.

    Each entry is (encoder, reference, plane, box, hits [m, 2] of both similarities).
    """
    import matplotlib as mpl
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    with mpl.rc_context(STYLE):
        many = len(planes)
        figure = Figure(figsize=(COLUMN if many == 1 else PAGE, 2.9), layout="constrained")
        for axis, (encoder, reference, plane, box, hits) in zip(
            figure.subplots(1, many, squeeze=False)[0], planes, strict=True
        ):
            counts = plane.counts.T * (plane.pairs / plane.looked_at)
            shown = axis.pcolormesh(
                plane.a, plane.b, np.where(counts > 0, counts, np.nan), norm=LogNorm(1, max(10, counts.max())),
                cmap="Greys", rasterized=True,
            )  # fmt: skip
            right, top = max(plane.a[-1], box.at_least), plane.b[-1]
            low = min(plane.b[0], box.at_most)
            corner = Rectangle(
                (box.at_least, low), right - box.at_least, box.at_most - low, fill=False, ec=COLOURS[1], lw=1.0, zorder=4,
                clip_on=False,
            )  # fmt: skip
            axis.add_patch(corner)
            if len(hits):
                axis.plot(
                    hits[:, 0], hits[:, 1], "o", ms=1.6, mew=0, alpha=0.6, color=COLOURS[1], rasterized=True, zorder=3,
                    label=f"{plane.inside if plane.exact else len(hits):,} mined pairs",
                )  # fmt: skip
                axis.legend(loc="upper left", frameon=False, handletextpad=0.2)
            axis.set_xlim(plane.a[0], right + 0.02 * (right - plane.a[0]))
            axis.set_ylim(low - 0.02 * (top - low), top)
            axis.set_xlabel(f"similarity in {encoder}")
            axis.set_ylabel(f"similarity in {reference}")
        bar = figure.colorbar(shown, ax=figure.axes, pad=0.01, aspect=30)
        bar.set_label("pairs")
    return figure


def yield_figure(planes: Sequence[tuple[str, str, "Plane", "Box", np.ndarray]]) -> Any:
    """A panel per reference: how many pairs any two thresholds would yield, and the two that were used."""
    import matplotlib as mpl
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        many = len(planes)
        figure = Figure(figsize=(COLUMN if many == 1 else PAGE, 2.9), layout="constrained")
        for axis, (encoder, reference, plane, box, _) in zip(
            figure.subplots(1, many, squeeze=False)[0], planes, strict=True
        ):
            found = plane.yields.T
            top = max(10.0, float(found.max()))
            shown = axis.pcolormesh(
                plane.a[:-1], plane.b[1:], np.where(found > 0, found, np.nan), norm=LogNorm(1, top), cmap="viridis",
                shading="nearest", rasterized=True,
            )  # fmt: skip
            levels = [10.0**k for k in range(int(np.log10(top)) + 1) if found.min() < 10.0**k < found.max()]
            if levels:
                lines = axis.contour(plane.a[:-1], plane.b[1:], found, levels=levels, colors="white", linewidths=0.5)
                axis.clabel(lines, fmt=lambda v: f"{v:,.0f}", fontsize=5)
            axis.plot([box.at_least], [box.at_most], marker="+", ms=9, mew=1.4, color=COLOURS[1], label="as mined")
            axis.legend(loc="lower right", frameon=False, labelcolor="white")
            axis.set_xlabel(f"at least, in {encoder}")
            axis.set_ylabel(f"at most, in {reference}")
        figure.colorbar(shown, ax=figure.axes, pad=0.01, aspect=30).set_label("pairs found")
    return figure
