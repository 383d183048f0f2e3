"""Figures of attribution, each a pure function of what was found; no map is drawn without its verdict."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as once
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from probes import attribution
from probes.trials.cells import cell_sums
from probes.trials.trial import CONTROL, EDGES, PROBE, RANDOM, UNTRAINED
from probes.trials.verdict import EXPLAINS, NOTHING, OPEN, SALIENT
from slitlamp.reports.plots import COLOURS, MARKERS, MM, STYLE, WIDTHS, shown_names

if TYPE_CHECKING:
    from slitlamp.attribution.judged import Judged, Sheet

ROWS = 6  # images on a sheet
COLOURS_OF_MAPS = "PuOr_r"  # orange speaks for the number, purple against it: both are told apart by all
SHORT = {
    EXPLAINS: "explains it", SALIENT: "shows salience only", NOTHING: "explains nothing", OPEN: "too few images",
}  # fmt: skip
UNITS = ("mass; 1 = evenly spread", "for the answer (+), against it (−); 1 = evenly spread")
WHOSE = {PROBE: "probe", CONTROL: "control", UNTRAINED: "untrained"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A figure by the name of its files, drawn once for whoever asks, and what it shows in words."""

    name: str
    draw: Callable[[], Any]
    words: str


def pictures(sheet: "Sheet", stem: str) -> list[Picture]:
    """Every figure of a sheet; `stem` stands for its name in the names of files."""
    name = sheet.name
    found = [
        (f"methods-{stem}", partial(overview, sheet), f"All methods on the same images for {name}"),
        (f"trials-{stem}", partial(margin_figure, sheet), f"What every map knows of the score, {name}"),
    ]
    if sheet.tokens:
        words = "The strongest pairs of places of the two images, each under one number and colour"
        found.append(("tokens", partial(token_figure, sheet), words))
    for method in dict.fromkeys(tried.method for one in sheet.judged for tried in one.explained.tried):
        found.append((f"{method}-{stem}", partial(method_sheet, sheet, method), alt(sheet, method)))
    return [Picture(name=file, draw=once(draw), words=words) for file, draw, words in found]


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
    parts = [(one, tried) for one in sheet.judged for tried in one.explained.tried if tried.method == method]
    columns = [(one, tried, whose) for one, tried in parts for whose in WHOSE if whose in tried.maps]
    count = min(ROWS, len(sheet.ids))
    pictures = [drawn(tried.maps[whose][:count], one.explained.grid) for one, tried, whose in columns]
    signed, top = parts[0][1].trial.signed, _top(pictures)
    wide = len(parts) > 1
    names = shown_names([one.label for one, _ in parts], 20)
    head = [f"{attribution.load(method).title}, {sheet.name}"]
    for (one, _), name in zip(parts, names, strict=True):
        head += textwrap.wrap(f"{name}: {_verdict(sheet, one, method)}", 125 if wide else 62)[:3]
    page = _Page(WIDTHS[wide], count, 1 + len(columns), head, 2 if wide else 1)
    page.title(0, ["image"])
    for at, (one, _tried, whose) in enumerate(columns, start=1):
        name = names[[part[0] for part in parts].index(one)]
        page.title(at, [name, WHOSE[whose]] if wide else [WHOSE[whose]])
    for k in range(count):
        page.image(k, 0, _image(sheet, parts[0][0], k))
        page.beside(k, sheet.answers[k])
        for at, (one, _tried, _whose) in enumerate(columns, start=1):
            page.image(k, at, _overlay(sheet, one, k, pictures[at - 1][k], top))
    page.bar(top, signed=signed)
    return page.figure


def overview(sheet: "Sheet") -> Any:
    """All methods of every encoder on the same few images, each with its verdict over it."""
    count = min(3, len(sheet.ids))
    methods = list(dict.fromkeys(tried.method for one in sheet.judged for tried in one.explained.tried))
    pictures = {
        (id(one), tried.method): drawn(tried.maps[PROBE][:count], one.explained.grid)
        for one in sheet.judged for tried in one.explained.tried
    }  # fmt: skip
    top = _top(list(pictures.values()))
    wide = len(methods) > 3
    page = _Page(
        WIDTHS[wide], count * len(sheet.judged), 1 + len(methods), [f"{sheet.name}: all methods"], 4, bands=count
    )
    for block, one in enumerate(sheet.judged):
        page.title(0, textwrap.wrap(shown_names([one.label], 24)[0], 12)[:4], row=block * count)
        for at, method in enumerate(methods, start=1):
            tried = next((tried for tried in one.explained.tried if tried.method == method), None)
            if tried is None:
                continue
            state = _state(one, method)
            title = [*attribution.load(method).title.split(" ", 1), *textwrap.wrap(SHORT.get(state, state), 14)]
            page.title(at, title[:4], row=block * count)
            for k in range(count):
                values = pictures[id(one), method][k]
                page.image(block * count + k, at, _overlay(sheet, one, k, values, top))
        for k in range(count):
            page.image(block * count + k, 0, _image(sheet, one, k))
            page.beside(block * count + k, sheet.answers[k])
    page.bar(top, signed=True)
    return page.figure


def token_figure(sheet: "Sheet") -> Any:
    """Two images, a row for each encoder: the strongest pairs of places bear the same number and colour in both."""
    from matplotlib.patches import Rectangle

    page = _Page(WIDTHS[0], len(sheet.tokens), 2, ["pairs of places that carry most of the similarity"], 1)
    page.title(0, [shown_names([sheet.ids[0]], 30)[0]])
    page.title(1, [shown_names([sheet.ids[1]], 30)[0]])
    for row, pairs in enumerate(sheet.tokens):
        one = next(one for one in sheet.judged if one.explained.target.encoder is pairs.encoder)
        page.beside(row, pairs.encoder.label)
        h, w = pairs.found.grid
        for side in (0, 1):
            page.image(row, side, _image(sheet, one, side))
        for k, (*places, _value) in enumerate(pairs.strongest(), start=1):
            colour = COLOURS[(k - 1) % len(COLOURS)]
            for side, (y, x) in enumerate(places):
                left, top = page.corner(row, side)
                tall, wide = page.side / h, page.side / w
                page.axis.add_patch(
                    Rectangle((left + x * wide, top + y * tall), wide, tall, fill=False, ec=colour, lw=1.0)
                )
                page.text(left + (x + 0.5) * wide, top + (y + 0.5) * tall, str(k), size=6, color=colour, ha="center",
                          va="center", weight="bold")  # fmt: skip
    return page.figure


class _Page:
    """A page of square panels, laid out in mm by hand: a layout engine takes seconds over so many axes."""

    LEFT, GAP, LINE, FOOT = 4.0, 0.7, 2.6, 9.0

    def __init__(
        self, width: float, rows: int, columns: int, head: Sequence[str], titles: int, bands: int | None = None
    ) -> None:
        import matplotlib as mpl
        from matplotlib.figure import Figure

        self.side = (width - self.LEFT - columns * self.GAP) / columns
        self.titles, self.bands = titles, bands or rows
        self.top = 1.5 + self.LINE * len(head)
        blocks = -(-rows // self.bands)
        self.height = self.top + blocks * self.LINE * titles + rows * (self.side + self.GAP) + self.FOOT
        self.width = width
        with mpl.rc_context(STYLE):
            self.figure = Figure(figsize=(width * MM, self.height * MM))
            self.axis = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set_axis_off()
        self.axis.set_autoscale_on(False)
        self.axis.set_xlim(0, width)
        self.axis.set_ylim(self.height, 0)
        for k, line in enumerate(head):
            self.text(0.5, 1.0 + self.LINE * k, line, size=6.5 if k == 0 else 6, va="top")

    def text(self, x: float, y: float, text: str, size: float, **look: Any) -> None:
        """A word at a place in mm."""
        self.axis.text(x, y, text, fontsize=size, parse_math=False, **look)

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """The upper left corner of a panel, in mm."""
        block = row // self.bands + 1
        x = self.LEFT + column * (self.side + self.GAP)
        return x, self.top + block * self.LINE * self.titles + row * (self.side + self.GAP)

    def title(self, column: int, lines: Sequence[str], row: int = 0) -> None:
        """Lines over a column of a block of rows."""
        x, y = self.corner(row, column)
        for k, line in enumerate(reversed(lines)):
            self.text(x + self.side / 2, y - 0.6 - self.LINE * k, line, size=5.5, ha="center", va="bottom")

    def beside(self, row: int, text: str) -> None:
        """A word at the left of a row."""
        x, y = self.corner(row, 0)
        self.text(
            x - 1.0, y + self.side / 2, shown_names([text], 18)[0], size=5.5, rotation=90, ha="right", va="center"
        )

    def image(self, row: int, column: int, pixels: np.ndarray) -> None:
        """A picture [h, w, 3] of a panel."""
        x, y = self.corner(row, column)
        h, w = pixels.shape[:2]
        tall, wide = self.side * min(1.0, h / w), self.side * min(1.0, w / h)
        x, y = x + (self.side - wide) / 2, y + (self.side - tall) / 2
        self.axis.imshow(pixels, extent=(x, x + wide, y + tall, y), aspect="auto", interpolation="nearest")

    def bar(self, top: float, *, signed: bool) -> None:
        """The one scale of all maps."""
        y, wide = self.height - self.FOOT + 1.0, 0.6 * self.width
        x = (self.width - wide) / 2
        values = np.linspace(-top if signed else 0, top, 256)
        self.axis.imshow(_coloured(values[None], top), extent=(x, x + wide, y + 2, y), aspect="auto")
        for share in (0, 0.25, 0.5, 0.75, 1):
            value = values[0] + share * (values[-1] - values[0])
            said = "0" if abs(value) < 1e-9 else f"{value:+.1f}" if signed else f"{value:.1f}"
            self.text(x + share * wide, y + 2.4, said, size=5.5, ha="center", va="top")
        self.text(self.width / 2, y + 5.0, UNITS[signed], size=5.5, ha="center", va="top")


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


def _state(one: "Judged", method: str) -> str:
    return next(verdict.state for verdict in one.verdicts if verdict.method == method)


def _verdict(sheet: "Sheet", one: "Judged", method: str) -> str:
    verdict = next(verdict for verdict in one.verdicts if verdict.method == method)
    return textwrap.shorten("; ".join([sheet.stated(verdict.state), *verdict.cautions]), 180, placeholder=" …")


def _top(pictures: Sequence[np.ndarray]) -> float:
    """The end of the common scale: the value that one cell in a hundred exceeds."""
    every = np.concatenate([np.abs(one).ravel() for one in pictures])
    return max(1.0, float(np.quantile(every, 0.99)))


PIXELS = 224  # along a panel


def _image(sheet: "Sheet", one: "Judged", k: int) -> np.ndarray:
    """An image as the network sees it, uint8 [h, w, 3]; a grey panel where it may not be shown."""
    image = one.explained.shown[k]
    if not sheet.visible:
        return np.full((*image.shape[:2], 3), 225, np.uint8)
    grey = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    return np.rint(grey * 255).astype(np.uint8)


def _coloured(values: np.ndarray, top: float) -> np.ndarray:
    """Values [h, w] in colour, float [h, w, 3]."""
    import matplotlib as mpl

    scaled = (values / top + 1) / 2
    return mpl.colormaps[COLOURS_OF_MAPS](scaled.clip(0, 1))[..., :3]


def _overlay(sheet: "Sheet", one: "Judged", k: int, values: np.ndarray, top: float) -> np.ndarray:
    """A map over its image in grey, float [h, w, 3]; a cell without mass leaves the image clear."""
    image = one.explained.shown[k]
    scale = max(1, -(-PIXELS // max(image.shape[:2])))
    h, w = image.shape[0] * scale, image.shape[1] * scale
    rows, columns = np.arange(h) * values.shape[0] // h, np.arange(w) * values.shape[1] // w
    colour = _coloured(values[rows][:, columns], top)
    if not sheet.visible:
        return colour
    grey = (image if image.ndim == 2 else image.mean(axis=2)).repeat(scale, axis=0).repeat(scale, axis=1)
    alpha = np.clip(np.abs(values[rows][:, columns]) / top, 0, 1)[..., None] ** 0.5 * 0.85
    return (1 - alpha) * (0.15 + 0.7 * grey[..., None]) + alpha * colour


def alt(sheet: "Sheet", method: str) -> str:
    """What a sheet shows, for those who cannot see it."""
    having = [one for one in sheet.judged if method in [tried.method for tried in one.explained.tried]]
    said = "; ".join(f"{one.label}: {_verdict(sheet, one, method)}" for one in having)
    title, count = attribution.load(method).title, min(ROWS, len(sheet.ids))
    return f"{title} of {count} images for {sheet.name}, beside control and untrained network. {said}"
