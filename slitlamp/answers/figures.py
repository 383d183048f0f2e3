"""The figure of answers: accuracy by way, what is left of it without the image, and the bias-free score."""

from collections.abc import Sequence
from typing import Any

from slitlamp.answers import measured
from slitlamp.answers.answered import GREY, NO_IMAGE, OTHER, SAME, AnsweredQuestion
from slitlamp.answers.measured import Share
from slitlamp.answers.settings import LETTER
from slitlamp.reports.plots import COLOURS, MM, STYLE, WIDTHS, shown_names

ROW, HEAD, FOOT, LEFT, RIGHT = 3.6, 5.0, 16.0, 29.0, 2.5  # mm
BLIND = {
    NO_IMAGE: "no image", GREY: "grey image", OTHER: "image, other answer", SAME: "image, same answer"
}  # fmt: skip
UNBIASED = "bias-free"
FREE_OF_BIAS, RAW, WITHOUT = COLOURS[0], "black", COLOURS[1]


def accuracies(questions: Sequence[AnsweredQuestion], width: float = WIDTHS[0]) -> Any:
    """One panel for each model and question: a matplotlib Figure.

    Filled: accuracy at the first prompt, invalid answers wrong, with its interval; the grey line is the range over all
    ways of putting the question. Blue diamond: the share of pairs told apart by the mean log-odds. Open: the letter's
    accuracy under image controls. Dotted: what each row would be without looking.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = [_rows(one) for one in questions]
    tall = sum(HEAD + ROW * len(some) for some in rows) + FOOT
    names = shown_names([f"{one.model}, {one.name}, {len(one.ids)} items" for one in questions], 60)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * MM, tall * MM))
        down, panel = 0.0, None
        for question, some, name in zip(questions, rows, names, strict=True):
            down += HEAD
            high = ROW * len(some)
            panel = figure.add_axes(
                (LEFT / width, 1 - (down + high) / tall, 1 - (LEFT + RIGHT) / width, high / tall)
            )  # fmt: skip
            down += high
            panel.set_title(name, loc="left", x=-LEFT / (width - LEFT - RIGHT) + 0.02, pad=2)
            for y, (label, share, spread, look) in enumerate(some):
                level = without_looking(question, label)
                panel.plot((level, level), (y - 0.5, y + 0.5), color="black", lw=0.7, ls=":", zorder=0)
                if spread is not None:
                    panel.plot(spread, (y, y), color="0.75", lw=3, solid_capstyle="butt", zorder=1)
                panel.plot((share.low, share.high), (y, y), color=look["color"], lw=1, zorder=2)
                panel.plot(share.value, y, ls="none", ms=4, zorder=3, **look)
            panel.set_yticks(range(len(some)), [label for label, *_ in some])
            panel.tick_params(axis="y", length=0)
            panel.set_ylim(len(some) - 0.5, -0.5)
            panel.set_xlim(-0.02, 1.02)
            panel.tick_params(labelbottom=question is questions[-1])
        if panel is not None:
            panel.set_xlabel("share right", labelpad=1)
        handles = [
            Line2D([], [], ls="none", ms=4, label="first prompt", **_look(RAW)),
            Line2D([], [], color="0.75", lw=3, label="all prompts"),
            Line2D([], [], ls="none", ms=4, label="pairs told apart, bias-free", **_look(FREE_OF_BIAS, "D")),
            Line2D([], [], ls="none", ms=4, label="image taken away or exchanged", **_look(WITHOUT, "o", filled=False)),
        ]
        figure.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False, handlelength=1.5,
            handletextpad=0.6, columnspacing=1.2, labelspacing=0.3,
        )  # fmt: skip
    return figure


def _look(colour: str, marker: str = "o", *, filled: bool = True) -> dict[str, Any]:
    return {
        "color": colour, "marker": marker, "markerfacecolor": colour if filled else "white", "markeredgewidth": 0.8
    }  # fmt: skip


def without_looking(question: AnsweredQuestion, label: str) -> float:
    """What a row's share is without looking: half of the pairs, where the row is of pairs, else the accuracy."""
    pairs = label == UNBIASED and measured.bias_free(question, question.letter).auc is not None
    return 0.5 if pairs else measured.chance(question)


def _rows(answered: AnsweredQuestion) -> list[tuple[str, Share, tuple[float, float] | None, dict[str, Any]]]:
    found = []
    for way, answers in answered.ways.items():
        one = measured.accuracy(answered, answers)
        spread = (one.worst, one.best) if one.presentations > 1 else None
        found.append((way, one.first, spread, _look(RAW)))
    if LETTER in answered.ways:
        told = measured.bias_free(answered, answered.letter)
        found.append((UNBIASED, told.auc or told.decided, None, _look(FREE_OF_BIAS, "D")))
    for name in answered.blind:
        found.append((BLIND[name], measured.blind(answered, name).first, None, _look(WITHOUT, "o", filled=False)))
    return found
