"""Maps for print: points as pixels, text as text, and under each map what it is worth."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slitlamp.embedding.colours import Colouring
from slitlamp.embedding.looked import TITLES, Looked, Seen
from slitlamp.embedding.moved import Moved, answer_of
from slitlamp.embedding.words import number, plain, score
from slitlamp.questions import Question
from slitlamp.reports.plots import COLOURS, MARKERS, MM, STYLE

GREY, LINE = "#BBBBBB", 2.7  # of points without a colour; mm of a line of 6 pt
LETTER = 1.13  # mm of a letter of 6 pt, on average
EDGE, GAP, HEAD, AXIS, BAR = 4.5, 3.5, 4.5, 4.0, 6.0  # mm: left, between panels, title, label of an axis, colour bar
COLUMNS = {85: 2, 175: 4}  # panels of a row
CHUNKS = 8  # in which points are drawn, so that no class lies on top of the others
PANELS = 12  # colourings of a figure: those that the map shows most; all are in results.json
SHOWN = 6  # images of the sheet of those that moved
NEAR = 3  # neighbours beside each


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One map: points [n, 2], what they are coloured by, a title, axis labels, and lines below it."""

    xy: np.ndarray
    colouring: Colouring
    title: str
    lines: Sequence[str]
    labels: tuple[str, str] = ("", "")
    legend: bool = True


def maps(looked: Sequence[Looked], question: Question, width: int = 175) -> Any:
    """Every map of every point, coloured by the answer: a row for each point, and the view of the probe last."""
    answer = Colouring(name="answer", kind="answer", values=question.y, classes=question.classes, origin="task")
    rows = [(one.name, _panels(one, answer)) for one in looked]
    return _sheet(rows, width, min(COLUMNS[width], max(len(panels) for _, panels in rows)), answer)


def _panels(one: Looked, answer: Colouring) -> list[Panel]:
    found = []
    told = next((s for s in one.seen if s.colouring.kind == "answer"), None)
    for name, xy in one.maps.items():
        t = one.trusts[name]
        lines = [
            f"trustworthiness {number(t.trustworthiness)}, continuity {number(t.continuity)}",
            f"neighbours kept {number(t.preserved)} (chance {number(t.chance)})",
        ]
        if told is not None and told.original is not None:
            lines.append(f"answer: in the map {score(told.maps[name], chance=False)}, features {score(told.original)}")
        labels = tuple(f"component {k} ({100 * share:.0f} %)" for k, share in enumerate(one.shares, 1))
        found.append(
            Panel(xy=xy, colouring=answer, title=TITLES[name], lines=lines, legend=False,
                  labels=labels if name == "pca" else ("", ""))  # type: ignore[arg-type]
        )  # fmt: skip
    e = one.measurement.estimate
    ends = "" if e.low is None else f" [{number(e.low)}, {number(e.high)}]"
    lines = [f"{one.measurement.probe}: {e.metric} {number(e.score)}{ends}, chance {number(e.chance)}"]
    number_of = {None: "prediction, held out", 2: "decision value, held out"}
    count = None if question_free(answer) else len(answer.classes or ())
    found.append(
        Panel(xy=one.view, colouring=answer, title="view of the probe", lines=lines, legend=False,
              labels=(number_of.get(count, "main direction of scores, held out"), "first component beside it"))
    )  # fmt: skip
    return found


def question_free(answer: Colouring) -> bool:
    """Whether the answer is a number."""
    return answer.classes is None


def colours(one: Looked, name: str, seen: Sequence[Seen], width: int = 175) -> Any:
    """One map coloured by the answer, the group and the nuisances, side by side, with what each colouring is worth."""
    panels = []
    for s in seen[:PANELS]:
        assert s.original is not None
        held = "own group" if s.colouring.kind == "group" else "held out"
        lines = [
            f"in this map {score(s.maps[name], chance=False)}",
            f"features, {held}: {score(s.original)}",
            s.reading(name),
        ]
        panels.append(Panel(xy=one.maps[name], colouring=s.colouring, title=s.colouring.name, lines=lines))
    t = one.trusts[name]
    title = (
        f"{TITLES[name]} of {one.name}: trustworthiness {number(t.trustworthiness)}, neighbours kept "
        f"{number(t.preserved)} (chance {number(t.chance)})"
    )
    return _sheet([(title, panels)], width, COLUMNS[width], None)


def _sheet(rows: Sequence[tuple[str, Sequence[Panel]]], width: int, columns: int, legend: Colouring | None) -> Any:
    """Rows of square panels at fixed places, in mm, each row below its name."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    side = (width - EDGE - 1.0 - GAP * (columns - 1)) / columns
    letters = int(side / LETTER)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * MM, 1))
        placed: list[tuple[Any, float, float]] = []
        texts: list[tuple[Any, float, float]] = []
        down = 2.0
        for name, panels in rows:
            for line in textwrap.wrap(name, int(width / (LETTER * 1.12))) or [""]:
                texts.append((figure.text(0, 0, line, fontsize=7, va="top", fontweight="bold"), 1.5, down))
                down += 3.2
            for start in range(0, len(panels), columns):
                line_of = panels[start : start + columns]
                written = [[w for text in p.lines for w in _wrapped(text, letters)] for p in line_of]
                below = 0.0
                for k, (panel, lines) in enumerate(zip(line_of, written, strict=True)):
                    left = EDGE + k * (side + GAP)
                    axis = figure.add_axes((0, 0, 0.1, 0.1))
                    placed.append((axis, left, down + HEAD))
                    title = textwrap.shorten(panel.title, int(side / (LETTER * 1.15)), placeholder=" …")
                    texts.append((figure.text(0, 0, title, fontsize=7, va="top"), left, down + 1.0))
                    under = down + HEAD + side + (AXIS if panel.labels[0] else 1.0)
                    under += _draw(axis, panel, side)
                    for word in lines:
                        texts.append((figure.text(0, 0, word, fontsize=6, va="top"), left, under))
                        under += LINE
                    below = max(below, under)
                down = below + 2.0
        if legend is not None:
            down += _common_legend(figure, legend, width, placed, texts, down)
        tall = down + 0.5
        figure.set_size_inches(width * MM, tall * MM)
        for axis, left, top in placed:
            wide, high = (side, side) if axis.get_label() != "bar" else (axis.width_mm, 1.6)
            axis.set_position((left / width, 1 - (top + high) / tall, wide / width, high / tall))
            for bar, depth in getattr(axis, "bars", ()):
                bar.set_position((left / width, 1 - (top + side + depth) / tall, side / width, 1.4 / tall))
        for text, left, top in texts:
            text.set_position((left / width, 1 - top / tall))
        for axis, _, _ in placed:
            for text, depth in getattr(axis, "notes", ()):
                text.set_position((0.0, -depth / side))
    return figure


def _wrapped(text: str, letters: int) -> list[str]:
    """Lines of at most so many letters, an interval or a level of chance never torn."""
    whole = re.sub(r"(?<=chance) |(?<=R2) |(?<=,) (?=-?[.\d]+\])", "\u00a0", text)
    return [line.replace("\u00a0", " ") for line in textwrap.wrap(whole, letters)]


def _draw(axis: Any, panel: Panel, side: float) -> float:
    """The points of a panel and what explains their colours below it; how many mm that takes."""
    colouring, xy = panel.colouring, panel.xy
    axis.set_xticks([])
    axis.set_yticks([])
    for name in ("top", "right", "left", "bottom"):
        axis.spines[name].set_visible(True)
        axis.spines[name].set_color("0.6")
    axis.set_xlabel(panel.labels[0], labelpad=2, fontsize=6)
    axis.set_ylabel(panel.labels[1], labelpad=2, fontsize=6)
    size = float(np.clip(2400 / max(len(xy), 1), 1.2, 9.0)) * (side / 40) ** 2
    for low, high, set_limits in ((*_ends(xy[:, 0]), axis.set_xlim), (*_ends(xy[:, 1]), axis.set_ylim)):
        set_limits(low, high)
    depth = AXIS if panel.labels[0] else 1.0
    if colouring.classes is None:
        shown = _numbers(axis, xy, colouring, size)
        return _bar(axis, shown, depth) if panel.legend else 0.0
    if colouring.kind == "group":
        return _groups(axis, xy, colouring, size, depth, side)
    looks = looks_of(colouring)
    rest = np.flatnonzero(~np.isin(colouring.values, [*looks]))
    axis.scatter(*xy[rest].T, s=size, c=GREY, marker=".", linewidths=0, rasterized=True)
    order = np.random.default_rng([len(xy), 5]).permutation(np.flatnonzero(np.isin(colouring.values, [*looks])))
    for chunk in np.array_split(order, CHUNKS):
        for code, (colour, marker, _) in looks.items():
            mine = chunk[colouring.values[chunk] == code]
            axis.scatter(*xy[mine].T, s=size, c=colour, marker=marker, linewidths=0, alpha=0.85, rasterized=True)
    if not panel.legend:
        return 0.0
    return _legend(axis, colouring, depth, side)


def looks_of(colouring: Colouring) -> dict[int, tuple[str, str, str]]:
    """Colour, marker and name of each class that has them: all, or the most frequent; the others are grey."""
    classes = colouring.classes or ()
    counts = np.bincount(colouring.values[colouring.known], minlength=len(classes))
    kept = sorted(np.argsort(-counts, kind="stable")[: len(COLOURS)].tolist())
    return {code: (COLOURS[k], MARKERS[k], classes[code]) for k, code in enumerate(kept) if counts[code]}


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _numbers(axis: Any, xy: np.ndarray, colouring: Colouring, size: float) -> Any:
    values = colouring.values
    unknown = ~colouring.known
    axis.scatter(*xy[unknown].T, s=size, c=GREY, marker=".", linewidths=0, rasterized=True)
    low, high = np.percentile(values[~unknown], [2, 98])
    if low == high:
        low, high = float(values[~unknown].min()), float(values[~unknown].max())
    order = np.random.default_rng([len(xy), 5]).permutation(np.flatnonzero(~unknown))
    return axis.scatter(*xy[order].T, s=size, c=values[order], cmap="viridis", vmin=low, vmax=high, linewidths=0,
                        rasterized=True)  # fmt: skip


def _bar(axis: Any, shown: Any, depth: float) -> float:
    """A colour bar below the panel."""
    bar = axis.figure.add_axes((0, 0, 0.1, 0.01))
    axis.figure.colorbar(shown, cax=bar, orientation="horizontal").outline.set_visible(False)
    low, high = shown.get_clim()
    bar.set_xticks([low, high], [plain(float(low)), plain(float(high))], fontsize=6)
    bar.tick_params(length=0, pad=1)
    for label, side in zip(bar.get_xticklabels(), ("left", "right"), strict=True):
        label.set_ha(side)
    axis.bars = [(bar, depth + 1.4)]
    return BAR - 1.0


def _groups(axis: Any, xy: np.ndarray, colouring: Colouring, size: float, depth: float, side: float) -> float:
    """Every group's items joined to their middle; the largest groups have a colour."""
    from matplotlib.collections import LineCollection

    code = colouring.values
    count = np.bincount(code)
    middle = np.stack([np.bincount(code, weights=xy[:, a]) for a in (0, 1)], axis=1) / np.maximum(count, 1)[:, None]
    joined = np.flatnonzero(count[code] > 1)
    lines = LineCollection(np.stack([xy[joined], middle[code[joined]]], axis=1).tolist(), colors="0.55",
                           linewidths=0.35, rasterized=True)  # fmt: skip
    axis.add_collection(lines, autolim=False)
    axis.scatter(*xy.T, s=size * 0.7, c=GREY, marker="o", linewidths=0, rasterized=True, zorder=2)
    largest = [g for g in np.argsort(-count, kind="stable")[: len(COLOURS)].tolist() if count[g] > 1]
    for g, colour, marker in zip(largest, COLOURS, MARKERS, strict=False):
        axis.scatter(*xy[code == g].T, s=size * 1.5, c=colour, marker=marker, linewidths=0, rasterized=True, zorder=3)
    note = f"{len(count)} groups, lines join each; {len(largest)} in colour"
    return _note(axis, textwrap.wrap(note, int(side / LETTER)), depth)


def _note(axis: Any, lines: Sequence[str], depth: float) -> float:
    held = []
    for k, line in enumerate(lines):
        text = axis.text(0, 0, line, fontsize=6, va="top", transform=axis.transAxes, color="0.3")
        held.append((text, depth + LINE * k))
    axis.notes = held
    return LINE * len(lines) + 0.5


def _legend(axis: Any, colouring: Colouring, depth: float, side: float) -> float:
    """Markers and names below the panel, in as many columns as fit; how many mm that takes."""
    entries = _entries(colouring)
    longest = max(len(name) for _, _, name in entries)
    columns = max(1, min(len(entries), int(side / (LETTER * longest + 4.5))))
    wide = side / columns
    room = max(4, int((wide - 4.0) / LETTER))
    for k, (colour, marker, name) in enumerate(entries):
        x, y = (k % columns) * wide, depth + LINE * (k // columns)
        axis.plot([(x + 1.2) / side], [-(y + LINE / 2 - 0.2) / side], marker=marker, ms=2.6, mew=0, ls="none",
                  color=colour, transform=axis.transAxes, clip_on=False)  # fmt: skip
        axis.text((x + 3.0) / side, -y / side, _cut(name, room), fontsize=6, va="top", transform=axis.transAxes)
    return LINE * -(-len(entries) // columns) + 0.7


def _entries(colouring: Colouring) -> list[tuple[str, str, str]]:
    looks = looks_of(colouring)
    entries = [(colour, marker, printable(name)) for colour, marker, name in looks.values()]
    others = len({int(v) for v in colouring.values[colouring.known]} - set(looks))
    unknown = int((~colouring.known).sum())
    if others or unknown:
        words = [f"{others} other classes"] * bool(others) + [f"{unknown} others"] * bool(unknown)
        entries.append((GREY, "o", ", ".join(words)))
    return entries


def _common_legend(
    figure: Any, colouring: Colouring, width: int, placed: list[Any], texts: list[Any], down: float
) -> float:
    """One legend of the answer for all panels; how many mm it takes."""
    from matplotlib.lines import Line2D

    if colouring.classes is None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        low, high = np.percentile(colouring.values[colouring.known], [2, 98])
        bar = figure.add_axes((0, 0, 0.1, 0.01), label="bar")
        bar.width_mm = 30.0
        shown = ScalarMappable(Normalize(low, high), "viridis")
        figure.colorbar(shown, cax=bar, orientation="horizontal").outline.set_visible(False)
        bar.set_xticks([low, high], [plain(float(low)), plain(float(high))], fontsize=6)
        bar.tick_params(length=0, pad=1)
        texts.append((figure.text(0, 0, "answer", fontsize=6, va="top"), EDGE, down - 0.4))
        placed.append((bar, EDGE + 10.0, down))
        return 5.0
    entries = _entries(colouring)
    longest = max(len(name) for _, _, name in entries)
    columns = max(1, min(len(entries), int((width - EDGE) / (LETTER * min(longest, 40) + 6))))
    for k, (colour, marker, name) in enumerate(entries):
        x, y = EDGE + (k % columns) * (LETTER * min(longest, 40) + 6), down + LINE * (k // columns)
        line = Line2D([], [], marker=marker, ms=3, mew=0, ls="none", color=colour)
        figure.add_artist(line)
        texts.append((_At(line), x + 1.2, y + LINE / 2 - 0.2))
        texts.append((figure.text(0, 0, _cut(name, 40), fontsize=6, va="top"), x + 3.0, y))
    return LINE * -(-len(entries) // columns)


class _At:
    """A marker of a legend that is placed as a text is."""

    def __init__(self, line: Any) -> None:
        self.line = line

    def set_position(self, at: tuple[float, float]) -> None:
        """Move it to a place in shares of the figure."""
        self.line.set_data([at[0]], [at[1]])


def printable(text: str, most: int = 60) -> str:
    """A label on one line, what does not print written out, and cut where it is long."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: 4 * most])
    return _cut(text, most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def moved(pair: Moved, question: Question, count: int, width: int = 175) -> Any:
    """The images whose neighbours changed most, with their nearest neighbours at the one point and at the other."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from slitlamp.pairs.gallery import thumbnail

    rows = pair.order[:count].tolist()
    columns = 1 + 2 * NEAR
    gap, split, top, below = 1.0, 4.0, 7.0, 3.0
    side = (width - 2 * split - gap * (columns - 3) - 2) / columns
    tall = top + len(rows) * (side + below + gap)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * MM, tall * MM))
        lefts = [1.0]
        for k in range(1, columns):
            lefts.append(lefts[-1] + side + (split if k in (1, 1 + NEAR) else gap))
        heads = ["image", f"nearest in {pair.first.name}", f"nearest in {pair.second.name}"]
        for text, at, room in zip(heads, (0, 1, 1 + NEAR), (side, NEAR * side, NEAR * side), strict=True):
            words = textwrap.wrap(text, int(room / LETTER))[:2]
            figure.text(lefts[at] / width, 1 - 0.8 / tall, "\n".join(words), fontsize=6, va="top")
        for r, k in enumerate(rows):
            near = [k, *pair.first.places[k, :NEAR], *pair.second.places[k, :NEAR]]
            down = top + r * (side + below + gap)
            for left, item in zip(lefts, near, strict=True):
                axis = figure.add_axes((left / width, 1 - (down + side) / tall, side / width, side / tall))
                axis.imshow(thumbnail(question.pictures.read(int(item)), 128), cmap="gray", vmin=0, vmax=255)
                axis.set_axis_off()
                said = _cut(printable(answer_of(question, int(item))), int(side / 1.0))
                figure.text(left / width, 1 - (down + side + 0.3) / tall, said, fontsize=5.5, va="top")
    return figure
