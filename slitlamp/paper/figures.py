"""The figures of a report, at the widths of journals, each a pure function of the runs.

`layers-TASK` are layer curves, `map` encoders by tasks with numbers in the cells, `calibration-TASK` what the
probabilities of the best points are worth and `confusion-TASK` what they take for what; `differences`, `ranking` and
`curve` come from the comparison.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slitlamp.disk import stems
from slitlamp.paper.gathered import Claim, Gathered
from slitlamp.paper.numbers import key
from slitlamp.paper.tables import run_names
from slitlamp.records import Record
from slitlamp.reports import plots
from slitlamp.reports.plots import MM, STYLE, WIDTHS, shown_names
from slitlamp.reports.table import BLIND

PANELS = 6  # encoders of one figure of layer curves, which has a row for each of more than three
MOST = 12  # classes of a confusion matrix whose numbers are written
BINS, HELD = 10, 20  # bins of a reliability diagram at most, and predictions of each at least
TALLEST = 225  # mm of a printed page


@dataclass(frozen=True, kw_only=True)
class PaperFigure:
    """A figure of the report: its file name, its title, caption and alternative text, and how it is drawn.

    `draw` takes the width in mm and gives a matplotlib Figure; `widths` are those at which it is written.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[int], Any]
    widths: tuple[int, ...] = WIDTHS


def figures(gathered: Gathered) -> dict[str, PaperFigure]:
    """Every figure that these runs feed, by its name; nothing is drawn yet."""
    found: list[PaperFigure] = []
    if gathered.claims:
        found += [_map(gathered), *_layers(_without_draws(gathered))]
    if gathered.compared is not None:
        found += [_compared(name, draw) for name, draw in gathered.compared.figures.items()]
    found += [figure for make in (_calibrations, _confusions) for figure in make(_without_draws(gathered))]
    return {figure.name: figure for figure in found}


def _without_draws(gathered: Gathered) -> Gathered:
    """The claims but for the draws of a learning curve, which has a figure of its own.

    Of these the first of the most groups stays, where nothing else asks the question.
    """
    if gathered.compared is None or "curve" not in gathered.compared.figures:
        return gathered
    best: dict[tuple[str, str, str], tuple[bool, int, int]] = {}
    ranks = []
    for c in gathered.claims:
        key = (c.question["source"], c.task, c.encoder)
        drawn = "take_groups" in c.flags
        rank = (not drawn, c.best.n_groups * drawn, -int(c.flags.get("draw", ("0",))[0]) * drawn)
        best[key] = max(best.get(key, rank), rank)
        ranks.append((key, rank))
    kept = [c for c, (key, rank) in zip(gathered.claims, ranks, strict=True) if rank == best[key]]
    return replace(gathered, claims=kept)


def write(found: Mapping[str, PaperFigure], out: Path) -> list[str]:
    """Write each figure as `figures/NAME-85mm.pdf`, .svg and .png, and at 175 mm; their names, relative to `out`.

    A figure that cannot be drawn costs a line and nothing else.
    """
    (out / "figures").mkdir(parents=True, exist_ok=True)
    names = []
    for figure in found.values():
        for width in figure.widths:
            drawn = plots.written(lambda f=figure, w=width: f.draw(w), out / "figures" / f"{figure.name}-{width}mm")
            names += [f"figures/{name}" for name in drawn]
    return names


def _stems(tasks: Iterable[str]) -> dict[str, str]:
    """What each task gives to the names of its files: plain letters, so that LaTeX finds them too."""
    each = list(dict.fromkeys(tasks))
    return dict(zip(each, stems([key(task) for task in each]), strict=True))


def _compared(name: str, draw: Callable[..., Any]) -> PaperFigure:
    words = {
        "differences": ("Paired differences", "Differences on the same items and folds, with their intervals."),
        "ranking": ("Ranking", "The order by score with intervals; encoders that share a letter are not told apart."),
        "curve": (
            "Learning curve",
            "Scores by the number of groups; shaded: 95 % intervals over groups; small dots: "
            "single draws; dashed: the score that so many groups find at least 8 times in 10.",
        ),
    }
    title, caption = words.get(name, (name.capitalize(), f"The comparison's figure of {name}."))
    sized = bool(inspect.signature(draw).parameters)
    return PaperFigure(
        name=name, title=title, caption=caption,
        alt=f"{title}; its numbers are in tables/{TABLES.get(name, name)}.csv.",
        draw=(lambda width: draw(width)) if sized else (lambda width: _wide(draw(), width)),
    )  # fmt: skip


TABLES = {"differences": "comparisons"}


def _wide(figure: Any, width: int) -> Any:
    """A figure that knows no width, laid out again at one."""
    tall = figure.get_size_inches()[1]
    figure.set_size_inches(width * MM, tall)
    return figure


def _layers(gathered: Gathered) -> list[PaperFigure]:
    """Layer curves: a figure for each task and set of folds, with as many encoders as a page has room for."""
    groups: dict[tuple[str, str], list[list[Claim]]] = {}
    for claim in gathered.claims:
        sets = groups.setdefault((claim.task, claim.best.plan_key), [[]])
        fits = len(sets[-1]) < PANELS and claim.encoder not in {c.encoder for c in sets[-1]}
        sets[-1 if fits else len(sets) :] = [[*sets[-1], claim]] if fits else [[claim]]
    tasks = _stems([task for task, _ in groups])
    count: dict[str, int] = {}
    found = []
    for (task, _), sets in groups.items():
        for claims in filter(None, sets):
            count[task] = count.get(task, 0) + 1
            names = ", ".join(c.encoder for c in claims)
            found.append(
                PaperFigure(
                    name=f"layers-{tasks[task]}" + f"-{count[task]}" * (count[task] > 1),
                    title=f"{task} along the layers",
                    caption=(
                        f"What a probe reads of {task} at each site and readout of {names}, with the controls of the "
                        "same items."
                    ),
                    alt=f"Layer curves of {names} on {task}; the numbers are in tables/points.csv.",
                    draw=lambda width, claims=claims: plots.layer_curve(_of(claims), width),
                )
            )
    return found


def _of(claims: Sequence[Claim]) -> list[Record]:
    """The records of several claims and their controls, each once."""
    found: dict[tuple[str, ...], Record] = {}
    asked = {(c.task, c.encoder) for c in claims}
    for claim in claims:
        for r in claim.run.records:
            mine = (r.task, r.encoder) == (claim.task, claim.encoder) if r.role == "encoder" else r.task == claim.task
            if mine and (r.role == "control" or (r.task, r.encoder) in asked):
                found.setdefault((r.role, r.encoder, r.site, r.readout, r.probe), r)
    return list(found.values())


MARKS = {"present": "●", "absent": "○", "inconclusive": "?", BLIND: "∅"}


def _map(gathered: Gathered) -> PaperFigure:
    names = run_names(gathered)
    several = {
        (id(c.run), c.task, c.encoder): f"{c.encoder} · {names[id(c.run), c.task, c.encoder]}"
        if (id(c.run), c.task, c.encoder) in names else c.encoder
        for c in gathered.claims
    }  # fmt: skip
    cells = {(several[id(c.run), c.task, c.encoder], c.task): c for c in gathered.claims}
    rows, columns = (list(dict.fromkeys(pair[k] for pair in cells)) for k in (0, 1))
    return PaperFigure(
        name="map",
        title="Encoders by tasks",
        caption=(
            "Score of each encoder on each task, the point chosen inside the training folds where that could be done, "
            "with its interval. Colour: the way from chance (0) to a perfect score (1). ● present, ○ absent, "
            f"? inconclusive{f', {MARKS[BLIND]} {BLIND}' * any(c.blind for c in gathered.claims)}; hatched: not "
            "measured."
        ),
        alt=f"A map of {len(rows)} encoders by {len(columns)} tasks; the numbers are in tables/claims.csv.",
        draw=lambda width: map_figure(rows, columns, cells, width),
    )


def map_figure(rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], Claim], width: int) -> Any:
    """Encoders (rows) by tasks (columns): a matplotlib Figure `width` mm wide.

    Numbers are left out where a cell has no room for them: first the interval, then the score.
    """
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    called, tasks = shown_names(rows, 30), shown_names(columns, 24)
    left = min(2 + 1.2 * max(map(len, called)), 0.42 * width)
    called = shown_names(rows, max(int((left - 2) / 1.2), 8))
    wide = min((width - left - 13) / len(columns), 30)
    start = (width - left - 13 - wide * len(columns)) / 2 + left  # in the middle, where there is room to spare
    tall = min(6.4, (TALLEST - 45) / len(rows))
    turned = any(1.25 * len(task) > wide for task in tasks)
    head = 2 + (1.15 * max(map(len, tasks)) if turned else 3.5)
    high = head + tall * len(rows) + 9
    colours = mpl.colormaps["cividis"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * MM, high * MM))
        panel = figure.add_axes(
            (start / width, 9 / high, wide * len(columns) / width, tall * len(rows) / high), xlim=(0, len(columns)),
            ylim=(len(rows), 0),
        )  # fmt: skip
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                claim = cells.get((row, column))
                if claim is None:
                    panel.add_patch(Rectangle((j, i), 1, 1, fc="white", ec="0.6", hatch="////", lw=0))
                    continue
                score, low, high_ = _score(claim)
                shade = colours(min(max((score - claim.best.chance) / (1 - claim.best.chance), 0), 1))
                panel.add_patch(Rectangle((j, i), 1, 1, fc=shade, ec="white", lw=0.6))
                ink = "black" if 0.2126 * shade[0] + 0.7152 * shade[1] + 0.0722 * shade[2] > 0.45 else "white"
                _write(panel, j, i, wide, tall, score, low, high_, MARKS[claim.said], ink)
        panel.set_xticks(np.arange(len(columns)) + 0.5, tasks, rotation=90 if turned else 0)
        panel.set_yticks(np.arange(len(rows)) + 0.5, called, fontsize=6 if tall > 3 else 4.5)
        panel.tick_params(length=0, pad=2, labeltop=True, labelbottom=False)
        for spine in panel.spines.values():
            spine.set_visible(False)
        bar = figure.add_axes(((start + wide * len(columns) + 2) / width, 9 / high, 2 / width,
                               min(tall * len(rows), 25) / high))  # fmt: skip
        figure.colorbar(ScalarMappable(cmap=colours), cax=bar, ticks=[0, 0.5, 1])
        bar.set_yticklabels(["chance", "", "1"], fontsize=5.5)
        bar.tick_params(length=1.5, width=0.4, pad=1)
        blind = f"  {MARKS[BLIND]} blind" * any(c.blind for c in cells.values())
        unmeasured = "  ╱ not measured" * (len(cells) < len(rows) * len(columns))
        words = f"● present  ○ absent  ? inconclusive{blind}{unmeasured}"
        figure.text(1.5 / width, 5.5 / high, words, fontsize=6, va="bottom")
        said = _limited(c.best for c in cells.values())[0].partition(", ")
        told = "".join(said) if _two_lines(wide, tall) else said[2]
        figure.text(1.5 / width, 2 / high, told, fontsize=6, va="bottom")
    return figure


def _limited(records: Iterable[Record]) -> tuple[str]:
    held = list(records)
    return (f"{100 * held[0].confidence:g} % intervals" + ", LIMITED RUN" * any(r.limited for r in held),)


def _score(claim: Claim) -> tuple[float, float | None, float | None]:
    """What the map and the tables call the score of a claim: nested where it could be, else the highest, paid for."""
    low, high = claim.ends or (None, None)
    return claim.score, low, high


def _two_lines(wide: float, tall: float) -> bool:
    """Whether a cell of the map has room for an interval below its score."""
    return wide >= 10.5 and tall >= 4.2


def _write(
    panel: Any, j: int, i: int, wide: float, tall: float, score: float, low: float | None, high: float | None,
    mark: str, ink: str,
) -> None:  # fmt: skip
    """The text of a cell, as much as there is room for."""
    size = min(6.5, tall * 1.1)
    if wide < 5.5 or tall < 2.2:
        if min(wide, tall) >= 2:
            panel.text(j + 0.5, i + 0.5, mark, ha="center", va="center", color=ink, fontsize=min(5, tall * 1.4))
        return
    two = _two_lines(wide, tall) and low is not None and high is not None
    text = f"{score:.2f} {mark}" if wide >= 8 else f"{score:.2f}{mark}"
    size = size if wide >= 8 else min(size, 0.85 * wide)
    panel.text(j + 0.5, i + (0.36 if two else 0.5), text, ha="center", va="center", color=ink, fontsize=size)
    if two and low is not None and high is not None:
        panel.text(
            j + 0.5, i + 0.74, f"[{low:.2f}, {high:.2f}]", ha="center", va="center", color=ink, fontsize=min(4.5, tall)
        )


def _held_out(claim: Claim) -> Any:
    """The predictions of the best point, None of a number or where its cell is not there."""
    from slitlamp.errors import UsageError

    if claim.best.n_classes is None:
        return None
    try:
        return claim.run.measurement(claim.best).predictions
    except UsageError:
        return None


def _by_task(gathered: Gathered, *, sure: bool = False) -> dict[str, list[tuple[str, Claim, Any]]]:
    """Claims of classes with their predictions, by task, each with its name; `sure` are those with probabilities."""
    names = run_names(gathered)
    found: dict[str, list[tuple[str, Claim, Any]]] = {}
    for claim in gathered.claims:
        held = _held_out(claim)
        if held is not None and not (sure and held.probability is None):
            run = names.get((id(claim.run), claim.task, claim.encoder))
            found.setdefault(claim.task, []).append((claim.encoder + f" · {run}" * bool(run), claim, held))
    return found


def _calibrations(gathered: Gathered) -> list[PaperFigure]:
    found = _by_task(gathered, sure=True)
    named = _stems(found)
    return [
        PaperFigure(
            name=f"calibration-{named[task]}" + f"-{k // PANELS + 1}" * (k >= PANELS),
            title=f"{task}: are the probabilities right?",
            caption=(
                f"Reliability of the held-out probabilities at the best point of each encoder on {task}. Bins hold "
                "equally many predictions (they adapt to the data); bars: intervals by group; the line of dashes: "
                "as right as it is sure."
            ),
            alt=f"Reliability diagrams of {len(some)} encoders on {task}.",
            draw=lambda width, some=some: calibration_figure([(name, held) for name, _, held in some], width),
        )
        for task, claims in found.items()
        for k in range(0, len(claims), PANELS)
        for some in [claims[k : k + PANELS]]
    ]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How often predictions are right by how sure they are: arrays [bins], intervals by group; `gap` is their mean gap.

    `sure` is the mean probability of the class that was predicted, `right` the share that was right, `count` how many
    predictions (item and repeat) lie in the bin.
    """

    sure: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray

    @property
    def gap(self) -> float:
        """The expected calibration error of these bins."""
        return float(np.average(np.abs(self.sure - self.right), weights=self.count))


def reliability(held: Any) -> Reliability:
    """Reliability of held-out predictions, in bins of equal counts.

    The interval of a bin is Wilson's at the number of independent predictions that would spread as its groups do
    (the design effect; Korn and Graubard 1998), never more than it has items.
    """
    chosen = held.predicted.astype(int)  # [R, n]
    sure = np.take_along_axis(held.probability, chosen[..., None], axis=2)[..., 0].ravel()
    right = (chosen == held.label[None]).ravel()
    repeats, n = chosen.shape
    _, groups = np.unique(np.asarray(held.groups).astype(str), return_inverse=True)
    groups, items = np.tile(groups, repeats), np.tile(np.arange(n), repeats)
    order = np.argsort(sure, kind="stable")
    bins = np.array_split(order, max(1, min(BINS, n // HELD)))
    rows = []
    for rows_in in bins:
        share = float(right[rows_in].mean())
        low, high = _wilson(share, _independent(right[rows_in], groups[rows_in], items[rows_in], share))
        rows.append((float(sure[rows_in].mean()), share, low, high, len(rows_in)))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Reliability(sure=columns[0], right=columns[1], low=columns[2], high=columns[3], count=columns[4])


def _independent(right: np.ndarray, groups: np.ndarray, items: np.ndarray, share: float) -> float:
    """How many independent predictions these are worth, by the spread between their groups."""
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, weights=right - share)
    most, count = len(np.unique(items)), len(sums)
    if count < 2 or not 0 < share < 1:
        return float(count)
    variance = count / (count - 1) * float((sums**2).sum()) / len(right) ** 2
    return float(most) if variance <= 0 else min(share * (1 - share) / variance, float(most))


def _wilson(share: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _grid(count: int, width: int, least: float) -> tuple[int, int]:
    columns = max(1, min(count, int((width - 4) // least)))
    return -(-count // columns), columns


def calibration_figure(claims: Sequence[tuple[str, Any]], width: int) -> Any:
    """A reliability diagram for each encoder, side by side: a matplotlib Figure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows, columns = _grid(len(claims), width, 38)
    side = (width - 12) / columns
    tall = min(side, 50)
    names = shown_names([name for name, _ in claims], int(side / 1.5))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * MM, (tall * rows + 5) * MM), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for panel in panels.flat[len(claims) :]:
            panel.set_visible(False)
        bins = [reliability(held) for _, held in claims]
        for k, (panel, name, found) in enumerate(zip(panels.flat, names, bins, strict=False)):
            least = 1 / claims[k][1].probability.shape[2]
            panel.plot([0, 1], [0, 1], ls="--", color="0.5", lw=0.7)
            ends = np.maximum([found.right - found.low, found.high - found.right], 0)
            panel.errorbar(found.sure, found.right, yerr=ends, color=plots.COLOURS[0], marker="o", ms=2.5, lw=0.8,
                           elinewidth=0.6, ls="-")  # fmt: skip
            panel.set(xlim=(max(0, least - 0.08), 1.02), ylim=(-0.03, 1.03))
            panel.set_title(f"{name}\nmean gap {found.gap:.2f}", pad=2)
            panel.set_box_aspect(1)
            if k % columns == 0:
                panel.set_ylabel("share right")
        figure.supxlabel(f"mean probability of the answer, bins of about {int(bins[0].count.mean())} predictions",
                         fontsize=6.5)  # fmt: skip
    return figure


def _confusions(gathered: Gathered) -> list[PaperFigure]:
    found = _by_task(gathered)
    named = _stems(found)
    return [
        PaperFigure(
            name=f"confusion-{named[task]}" + f"-{k // each + 1}" * (k >= each),
            title=f"{task}: what is taken for what",
            caption=(
                f"Confusion at the best point of each encoder on {task}: shares of each true class (rows) that are "
                "predicted as each class (columns), means over the repeats of held-out predictions."
            ),
            alt=f"Confusion matrices of {len(some)} encoders on {task}.",
            draw=lambda width, some=some: confusion_figure(
                [(name, held, [*claim.question["classes"]]) for name, claim, held in some], width
            ),
        )
        for task, claims in found.items()
        for each in [PANELS if len(claims[0][1].question["classes"]) <= 4 else 2]
        for k in range(0, len(claims), each)
        for some in [claims[k : k + each]]
    ]


def confusion(held: Any, classes: int) -> np.ndarray:
    """Shares of each true class that are predicted as each class, [true, predicted]; nan of a class without items."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (np.broadcast_to(held.label, held.predicted.shape).astype(int), held.predicted.astype(int)), 1)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)


def confusion_figure(claims: Sequence[tuple[str, Any, Sequence[str]]], width: int) -> Any:
    """A confusion matrix for each encoder, side by side: a matplotlib Figure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    classes = claims[0][2]
    least = 12 + 6.5 * len(classes) if len(classes) <= MOST else 40
    rows, columns = _grid(len(claims), width, min(max(30, least), width - 6))
    side = (width - 4) / columns
    called = shown_names(classes, 14 if len(classes) <= MOST else 8)
    label = 1.15 * max(map(len, called))
    cell = min(max((side - label - 8) / len(classes), 1.2), 13)
    tall = cell * len(classes) + label + 12
    names = shown_names([name for name, *_ in claims], int(side / 1.4))
    colours = mpl.colormaps["cividis"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * MM, tall * rows * MM))
        for k, (name, (_, held, _)) in enumerate(zip(names, claims, strict=True)):
            shares = confusion(held, len(classes))
            spare = max(side - label - 8 - cell * len(classes), 0)
            left, top = (k % columns) * side + spare / 2 + label + 6, (k // columns) * tall + 6
            panel = figure.add_axes(
                (left / width, 1 - (top + cell * len(classes)) / (tall * rows), cell * len(classes) / width,
                 cell * len(classes) / (tall * rows))
            )  # fmt: skip
            panel.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="auto")
            if len(classes) <= MOST and cell >= 4:
                for i, j in np.ndindex(shares.shape):
                    shade = colours(np.nan_to_num(shares[i, j]))
                    ink = "black" if 0.2126 * shade[0] + 0.7152 * shade[1] + 0.0722 * shade[2] > 0.45 else "white"
                    panel.text(j, i, f"{shares[i, j]:.2f}", ha="center", va="center", color=ink, fontsize=5)
            step = max(1, -(-2.4 // cell).__int__())
            ticks = np.arange(0, len(classes), step)
            panel.set_xticks(ticks, [called[t] for t in ticks], rotation=90, fontsize=5.5)
            panel.set_yticks(ticks, [called[t] for t in ticks], fontsize=5.5)
            panel.tick_params(length=1.5, pad=1)
            middle, over = (k % columns + 0.5) * side + 2, 1 - (top - 1.2) / (tall * rows)
            figure.text(middle / width, over, name, ha="center", va="bottom", fontsize=6.5)
            panel.set_ylabel("true", labelpad=1)
            panel.set_xlabel("predicted", labelpad=1)
            for spine in panel.spines.values():
                spine.set_visible(False)
    return figure
