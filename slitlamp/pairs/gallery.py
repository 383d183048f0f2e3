"""A gallery of pairs: both images, both similarities, captions and labels, as one offline page and as a PNG sheet."""

import base64
import html
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slitlamp.reports.pages import framed
from slitlamp.reports.plots import STYLE

SIDE = 224  # pixels of a thumbnail
HEAD = 2  # lines over a pair on a sheet


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A pair of a gallery: its ids, its images (None where they are not shown), and lines about pair and images."""

    ids: tuple[str, str]
    images: tuple[np.ndarray | None, np.ndarray | None]
    lines: Sequence[str]
    captions: tuple[str, str] = ("", "")


def page(title: str, words: Sequence[str], sections: Sequence[tuple[str, Sequence[Shown]]]) -> str:
    """The gallery as one HTML file that needs nothing else and lets nothing in."""
    parts = [f"<p>{html.escape(line)}</p>" for line in words]
    for heading, pairs in sections:
        parts.append(f"<h2>{html.escape(heading)}</h2><div class='pairs'>{''.join(map(_figure, pairs))}</div>")
    return framed(title, parts)


def _figure(pair: Shown) -> str:
    images = "".join(_image(image, name) for image, name in zip(pair.images, pair.ids, strict=True))
    lines = "<br>".join(html.escape(line) for line in pair.lines)
    said = [f"{k}: {html.escape(text)}" for k, text in zip(("left", "right"), pair.captions, strict=True) if text]
    names = f"<span class='n'>{html.escape(' · '.join(pair.ids))}</span>"
    return (
        f"<figure><div class='two'>{images}</div><figcaption>{'<br>'.join([lines, *said, names])}</figcaption></figure>"
    )


def _image(image: np.ndarray | None, name: str) -> str:
    if image is None:
        return "<div class='none'>not shown</div>"
    data = base64.b64encode(png(thumbnail(image))).decode()
    return f"<img alt='{html.escape(name, quote=True)}' src='data:image/png;base64,{data}'>"


def thumbnail(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """An image uint8 [h, w], [h, w, 3] or a volume's middle slice, no side longer than `side`."""
    from PIL import Image

    from tasks.duplicates.find import drawn

    found = Image.fromarray(drawn(image))
    found.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(found)


def png(image: np.ndarray) -> bytes:
    """An image as PNG bytes, the same at every run."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def sheet(pairs: Sequence[Shown], columns: int = 3) -> Any:
    """The pairs whose images may be shown, as one figure for print; None where there are none."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    seen = [pair for pair in pairs if pair.images[0] is not None and pair.images[1] is not None]
    if not seen:
        return None
    columns = min(columns, len(seen))
    rows = -(-len(seen) // columns)
    height = 1.02 + 0.11 * HEAD
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.3 * columns, height * rows))
        axes = figure.subplots(
            rows, 3 * columns, squeeze=False,
            gridspec_kw={
                "left": 0.005, "right": 1.0, "top": 1 - (0.04 + 0.11 * HEAD) / (height * rows), "bottom": 0.005,
                "wspace": 0.04, "hspace": (0.05 + 0.11 * HEAD) / 1.02,
                "width_ratios": [1, 1, 0.12] * columns,
            },
        )  # fmt: skip
        for axis in axes.flat:
            axis.set_axis_off()
        for k, pair in enumerate(seen):
            row, column = divmod(k, columns)
            for side, image in enumerate(pair.images):
                axis = axes[row, 3 * column + side]
                assert image is not None
                axis.imshow(thumbnail(image), cmap="gray", vmin=0, vmax=255)
            said = [" · ".join(pair.lines[:2]), *pair.lines[2:]]  # of both images, so it stands over both
            axes[row, 3 * column].set_title(
                "\n".join(textwrap.shorten(line, 52, placeholder=" …") for line in said[:HEAD]),
                fontsize=5.5, pad=2, loc="left",
            )  # fmt: skip
    return figure
