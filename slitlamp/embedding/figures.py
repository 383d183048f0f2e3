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
from slitlamp.reports.text import cut

GREY, LINE = "#BBBBBB", 2.7  # of points without a colour; mm of a line of 6 pt
LETTER = 1.13  # mm of a letter of 6 pt, on average
EDGE, GAP, HEAD, AXIS = 4.5, 3.5, 4.5, 4.0  # mm: left, between panels, title, label of an axis
COLUMNS = {85: 2, 175: 4}  # panels of a row
CHUNKS = 8  # in which points are drawn, so that no class lies on top of the others
PANELS = {85: 6, 175: 12}  # colourings of a figure: those that the map shows most; all are in results.json
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
    across = held_out_axis(answer.classes)
    found.append(
        Panel(xy=one.view, colouring=answer, title="view of the probe", lines=lines, legend=False,
              labels=(across, "first component beside it"))
    )  # fmt: skip
    return found


def held_out_axis(classes: Sequence[str] | None) -> str:
    """What the first axis of the view of a probe is called."""
    if classes is None:
        return "prediction, held out"
    return "decision value, held out" if len(classes) == 2 else "scores, main direction, held out"


def colours(one: Looked, name: str, seen: Sequence[Seen], width: int = 175) -> Any:
    """One map coloured by the answer, the group and the nuisances, side by side, with what each colouring is worth."""
    panels = []
    for s in seen[: PANELS[width]]:
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Paper:
    """A figure whose parts are placed in mm from its upper left corner."""

    figure: Any
    width: float
    tall: float

    def text(self, left: float, top: float, words: str, **look: Any) -> None:
        self.figure.text(left / self.width, 1 - top / self.tall, words, va="top", **{"fontsize": 6} | look)

    def mark(self, left: float, top: float, colour: str, marker: str) -> None:
        from matplotlib.lines import Line2D

        at = [left / self.width], [1 - top / self.tall]
        self.figure.add_artist(Line2D(*at, marker=marker, ms=2.8, mew=0, ls="none", color=colour))

    def axes(self, left: float, top: float, wide: float, high: float) -> Any:
        return self.figure.add_axes(
            (left / self.width, 1 - (top + high) / self.tall, wide / self.width, high / self.tall)
        )


def _sheet(rows: Sequence[tuple[str, Sequence[Panel]]], width: int, columns: int, legend: Colouring | None) -> Any:
    """Rows of square panels, each row below its name, with one legend for all below them where there is one."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    side = (width - EDGE - 1.0 - GAP * (columns - 1)) / columns
    heads = [textwrap.wrap(name, int(width / (1.4 * LETTER))) for name, _ in rows]
    lines = [[panels[k : k + columns] for k in range(0, len(panels), columns)] for _, panels in rows]
    below = [[max(_below(panel, side) for panel in line) for line in each] for each in lines]
    tall = 2.0 + sum(3.2 * len(head) for head in heads) + sum(HEAD + side + b + 2.0 for each in below for b in each)
    tall += 0.0 if legend is None else _key_height(legend, width - EDGE) + 1.0
    with mpl.rc_context(STYLE):
        paper = _Paper(figure=Figure(figsize=(width * MM, tall * MM)), width=width, tall=tall)
        down = 2.0
        for head, each, depths in zip(heads, lines, below, strict=True):
            for words in head:
                paper.text(1.5, down, words, fontsize=7, fontweight="bold")
                down += 3.2
            for line, depth in zip(each, depths, strict=True):
                for k, panel in enumerate(line):
                    _draw(paper, panel, EDGE + k * (side + GAP), down, side)
                down += HEAD + side + depth + 2.0
        if legend is not None:
            _key(paper, legend, EDGE, down, width - EDGE, None)
    return paper.figure


def _below(panel: Panel, side: float) -> float:
    """How many mm a panel takes below its axes."""
    key = _key_height(panel.colouring, side) if panel.legend else 0.0
    return (AXIS if panel.labels[0] else 1.0) + key + LINE * len(_words(panel, side))


def _words(panel: Panel, side: float) -> list[str]:
    """The lines below a panel; an interval or a level of chance is never torn."""
    found = []
    for text in panel.lines:
        whole = re.sub(r"(?<=chance) |(?<=continuity) |(?<=concordance) |(?<=,) (?=-?[.\d]+\])", "\u00a0", text)
        found += [line.replace("\u00a0", " ") for line in textwrap.wrap(whole, int(side / LETTER))]
    return found


def _draw(paper: _Paper, panel: Panel, left: float, top: float, side: float) -> None:
    """A panel: its title, its points, what explains their colours, and what is said of it."""
    colouring, xy = panel.colouring, panel.xy
    title = textwrap.shorten(printable(panel.title), int(side / (LETTER * 1.15)), placeholder=" …")
    paper.text(left, top + 1.0, title, fontsize=7)
    axis = paper.axes(left, top + HEAD, side, side)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color("0.6")
    axis.set_xlabel(panel.labels[0], labelpad=2, fontsize=6)
    axis.set_ylabel(panel.labels[1], labelpad=2, fontsize=6)
    axis.set_xlim(_ends(xy[:, 0]))
    axis.set_ylim(_ends(xy[:, 1]))
    size = float(np.clip(2400 / max(len(xy), 1), 1.2, 9.0)) * (side / 40) ** 2
    shown = None
    if colouring.classes is None:
        shown = _numbers(axis, xy, colouring, size)
    elif colouring.kind == "group":
        _groups(axis, xy, colouring, size)
    else:
        _classes(axis, xy, colouring, size)
    down = top + HEAD + side + (AXIS if panel.labels[0] else 1.0)
    if panel.legend:
        _key(paper, colouring, left, down, side, shown)
        down += _key_height(colouring, side)
    for words in _words(panel, side):
        paper.text(left, down, words)
        down += LINE


def looks_of(colouring: Colouring) -> dict[int, tuple[str, str, str]]:
    """Colour, marker and name of each class that has them: all, or the most frequent; the others are grey."""
    classes = colouring.classes or ()
    counts = np.bincount(colouring.values[colouring.known], minlength=len(classes))
    kept = sorted(int(code) for code in np.argsort(-counts, kind="stable")[: len(COLOURS)])
    return {code: (COLOURS[k], MARKERS[k], str(classes[code])) for k, code in enumerate(kept) if counts[code]}


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _classes(axis: Any, xy: np.ndarray, colouring: Colouring, size: float) -> None:
    """Points by class, in some order, so that no class lies on top of the others."""
    looks = looks_of(colouring)
    has = np.isin(colouring.values, [*looks])
    _grey(axis, xy[~has], size)
    order = np.random.default_rng([len(xy), 5]).permutation(np.flatnonzero(has))
    for chunk in np.array_split(order, CHUNKS):
        for code, (colour, marker, _) in looks.items():
            mine = chunk[colouring.values[chunk] == code]
            axis.scatter(*xy[mine].T, s=size, c=colour, marker=marker, linewidths=0, alpha=0.85, rasterized=True)


def _grey(axis: Any, xy: np.ndarray, size: float) -> None:
    axis.scatter(*xy.T, s=0.7 * size, c=GREY, marker="o", linewidths=0, rasterized=True)


def _range(colouring: Colouring) -> tuple[float, float]:
    """The ends of the colours of a number: all but the outer 2 % on either side."""
    values = colouring.values[colouring.known]
    low, high = np.percentile(values, [2, 98])
    return (float(low), float(high)) if low < high else (float(values.min()), float(values.max()))


def _numbers(axis: Any, xy: np.ndarray, colouring: Colouring, size: float) -> Any:
    _grey(axis, xy[~colouring.known], size)
    low, high = _range(colouring)
    order = np.random.default_rng([len(xy), 5]).permutation(np.flatnonzero(colouring.known))
    return axis.scatter(*xy[order].T, s=size, c=colouring.values[order], cmap="viridis", vmin=low, vmax=high,
                        linewidths=0, rasterized=True)  # fmt: skip


def _groups(axis: Any, xy: np.ndarray, colouring: Colouring, size: float) -> None:
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
    for g, colour, marker in zip(_largest(colouring), COLOURS, MARKERS, strict=False):
        axis.scatter(*xy[code == g].T, s=size * 1.5, c=colour, marker=marker, linewidths=0, rasterized=True, zorder=3)


def _largest(colouring: Colouring) -> list[int]:
    count = np.bincount(colouring.values)
    return [int(g) for g in np.argsort(-count, kind="stable")[: len(COLOURS)] if count[g] > 1]


def _key_height(colouring: Colouring, wide: float) -> float:
    """How many mm the explanation of the colours takes."""
    if colouring.classes is None:
        return 5.2
    if colouring.kind == "group":
        return LINE * len(_group_words(colouring, wide)) + 0.5
    entries = _entries(colouring)
    return LINE * -(-len(entries) // _columns(entries, wide)) + 0.7


def _key(paper: _Paper, colouring: Colouring, left: float, top: float, wide: float, shown: Any) -> None:
    """What explains the colours: a bar, markers with their names, or a line about groups."""
    if colouring.classes is None:
        _bar(paper, colouring, left, top, wide, shown)
        return
    if colouring.kind == "group":
        for k, words in enumerate(_group_words(colouring, wide)):
            paper.text(left, top + LINE * k, words, color="0.3")
        return
    entries = _entries(colouring)
    columns = _columns(entries, wide)
    step = min(wide / columns, LETTER * max(len(name) for _, _, name in entries) + 5.5)
    for k, (colour, marker, name) in enumerate(entries):
        x, y = left + (k % columns) * step, top + LINE * (k // columns)
        paper.mark(x + 1.2, y + LINE / 2 - 0.2, colour, marker)
        paper.text(x + 3.0, y, cut(name, max(4, int((step - 4.0) / LETTER))))


def _columns(entries: Sequence[tuple[str, str, str]], wide: float) -> int:
    longest = max(len(name) for _, _, name in entries)
    return max(1, min(len(entries), int(wide / (LETTER * longest + 5.5))))


def _bar(paper: _Paper, colouring: Colouring, left: float, top: float, wide: float, shown: Any) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    low, high = _range(colouring)
    if shown is None:  # one bar for all panels, with its name
        shown, wide, left = ScalarMappable(Normalize(low, high), "viridis"), 30.0, left + 10.0
        paper.text(left - 10.0, top - 0.4, colouring.name)
    bar = paper.axes(left, top, wide, 1.4)
    paper.figure.colorbar(shown, cax=bar, orientation="horizontal").outline.set_visible(False)
    bar.set_xticks([low, high], [plain(low), plain(high)], fontsize=6)
    bar.tick_params(length=0, pad=1)
    for label, side in zip(bar.get_xticklabels(), ("left", "right"), strict=True):
        label.set_ha(side)


def _group_words(colouring: Colouring, wide: float) -> list[str]:
    count = len(colouring.classes or ())
    return textwrap.wrap(f"{count} groups, lines join each; {len(_largest(colouring))} in colour", int(wide / LETTER))


def _entries(colouring: Colouring) -> list[tuple[str, str, str]]:
    looks = looks_of(colouring)
    entries = [(colour, marker, printable(name)) for colour, marker, name in looks.values()]
    rest = sum(int(v) not in looks for v in colouring.values)
    return [*entries, (GREY, "o", f"{rest} others")] if rest else entries


def printable(text: str, most: int = 60) -> str:
    """A label on one line, what does not print written out, and cut where it is long."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: 4 * most])
    return cut(text, most)


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
                said = cut(printable(answer_of(question, int(item))), int(side / 1.0))
                figure.text(left / width, 1 - (down + side + 0.3) / tall, said, fontsize=5.5, va="top")
    return figure
