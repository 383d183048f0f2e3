"""The layer figure: where sites lie, that nothing lies on another, what decides the credit, and odd names."""

import dataclasses
import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slitlamp.records import Record
from slitlamp.reports import plots

BLANK: dict[str, Any] = {
    "experiment": "linear_probe", "weights": "none", "source": "made", "probe": "ridge 0.03", "screened": False,
    "n_items": 40, "n_groups": 20, "n_classes": 2, "metric": "balanced accuracy", "confidence": 0.95, "chance": 0.5,
    "p_value": 0.01, "p_from": "permutation", "p_adjusted": None, "mde": None, "limit": None, "simultaneous_low": None,
    "simultaneous_high": None, "margin": 0.1, "size_open": False, "loss": None, "loss_low": None, "loss_high": None,
    "loss_state": None, "reference": None, "control_shuffled_low": 0.4, "control_shuffled_high": 0.6,
    "control_order": None,
    "verdict": "present", "credit": None, "reason": "", "nested": None, "nested_low": None, "nested_high": None,
    "control_shuffled": 0.5, "control_pixels": None, "control_lowlevel": None, "control_random": None, "seed": 0,
    "folds": 5, "repeats": 1, "permutations": 19, "device": "cpu", "dtype": "float32", "seconds": None,
    "features_key": "", "data_key": "", "cell": "", "plan_key": "", "code_version": "0", "command": "",
    "limited": False, "task": "mirror",
    "depth": None, "low": None, "high": None,
}  # fmt: skip
Towers = Mapping[str, tuple[int, Sequence[str]]]  # blocks, and the sites behind them


def records(
    towers: Towers, *, credit: str | None = "pixels", score: float = 0.75, grids: Sequence[str] = ("mean",), **more: Any
) -> list[Record]:
    """A run of encoders whose points all score the same, so that what is not set apart lies on another."""

    def one(role: str, encoder: str, site: str, readout: str, score: float, **own: Any) -> Record:
        span: dict[str, Any] = {"low": score - 0.1, "high": score + 0.1}
        given: dict[str, Any] = {"role": role, "encoder": encoder, "site": site, "readout": readout, "score": score}
        return Record(**(BLANK | span | given | own | more))

    found = [one("control", name, "pooled", "vector", score - 0.1) for name in ("lowlevel", "pixels")]
    for encoder, (blocks, named) in towers.items():
        sites = [(f"block.{i}", (i + 1) / blocks, grid) for grid in grids for i in range(blocks)]
        sites += [(name, None, r) for name in named for r in (grids if name == "final" else ["vector"])]
        for site, depth, readout in sites:
            at = {"site": site, "readout": readout, "depth": depth}
            found.append(one("encoder", encoder, score=score, credit=credit, control_random=score, **at))
            found += [one("control", f"random:{encoder}{d}", score=score, **at) for d in ("", "#1")]
    return found


def places(axis: Any) -> list[tuple[float, float]]:
    """Where the markers of a panel lie."""
    marked = [line for line in axis.lines if line.get_marker() not in ("None", None, "") and line.get_ls() == "None"]
    marked = [line for line in marked if line.get_markerfacecolor() != "none"]  # a ring is round a point
    return [(round(float(x), 6), round(float(y), 6)) for line in marked for x, y in zip(*line.get_data(), strict=True)]


def drawn(given: Sequence[Record], width: float | None = None) -> Any:
    """The figure, every warning an error, also of writing it."""
    with warnings.catch_warnings(action="error"):
        figure = plots.layer_curve(given, width)
        figure.canvas.draw()
    return figure


TOWERS: Towers = {"deep": (12, ("final", "pooled", "joint")), "flat": (3, ("final", "pooled", "connector"))}


def test_encoders_of_unequal_depth_share_an_axis_from_0_to_1_and_their_own_order_behind_it() -> None:
    mean, vector = drawn(records(TOWERS)).axes
    labels = [label.get_text() for label in mean.get_xticklabels()]
    assert labels[-1] == "final"
    assert labels[:-1] == ["0.25", "0.5", "0.75", "1"]
    assert [t.get_text() for t in mean.texts] == ["relative depth"]
    assert [label.get_text() for label in vector.get_xticklabels()] == ["pooled", "joint", "connector"]
    axis = plots._axis([r for r in records(TOWERS) if r.role == "encoder" and r.readout == "mean"])
    assert axis.at("deep", "block.11") == axis.at("flat", "block.2")
    assert axis.at("deep", "block.5") < axis.at("flat", "block.1") < axis.at("deep", "block.8")
    assert axis.at("deep", "final") > axis.at("deep", "block.11")


def test_encoders_of_equal_depth_have_their_blocks_one_by_one() -> None:
    towers: Towers = {"a": (4, ("final",)), "b": (4, ("final",))}
    (mean,) = drawn(records(towers)).axes
    assert [label.get_text() for label in mean.get_xticklabels()] == ["b0", "b1", "b2", "b3", "final"]


@pytest.mark.parametrize("towers", [TOWERS, {"one": (0, ("pooled",))}, {"a": (40, ("final",)), "b": (40, ("final",))}])
@pytest.mark.parametrize("width", [None, 85])
def test_no_point_lies_on_another_and_each_has_its_interval(towers: Towers, width: float | None) -> None:
    figure = drawn(records(towers), width)
    for panel in figure.axes:
        found = places(panel)
        assert len(found) == len(set(found))
        apart = [abs(a[0] - b[0]) for i, a in enumerate(found) for b in found[:i] if a[1] == b[1]]
        assert min(apart, default=1) > 0.02
        spans = [c for c in panel.collections if c.get_paths()]
        assert spans
        held = sum(len(c.get_paths()) for c in spans)
        assert held >= len({x for x, _ in found if x < 0}) + 1


def test_a_panel_of_one_site_has_an_interval() -> None:
    (panel,) = drawn(records({"one": (0, ("pooled",))}, credit=None)).axes
    ends = [path.vertices[:, 1] for c in panel.collections for path in c.get_paths()]
    assert any(np.allclose(sorted({*map(float, end)}), [0.65, 0.85]) for end in ends)


def spans(panel: Any, colour: str) -> set[tuple[float, float]]:
    """From where to where bars and bands of a colour reach."""
    from matplotlib.colors import to_rgb

    found = [c for c in panel.collections if len(c.get_facecolor()) + len(c.get_edgecolor())]
    mine = [
        c for c in found if to_rgb([*c.get_facecolor(), *c.get_edgecolor()][0][:3]) == pytest.approx(to_rgb(colour))
    ]
    ends = [path.vertices[:, 1] for c in mine for path in c.get_paths()]
    return {(round(float(y.min()), 6), round(float(y.max()), 6)) for y in ends}


def across(panel: Any, colour: str) -> list[float]:
    """Where lines of a colour cross the panel."""
    lines = [line for line in panel.lines if line.get_color() == colour and [*line.get_xdata()] == [0, 1]]
    return [float(line.get_ydata()[0]) for line in lines]


@pytest.mark.parametrize("blocks", [3, 40])
def test_every_bar_band_and_line_is_at_what_its_record_holds(blocks: int) -> None:
    given = records({"a": (blocks, ())}, chance=0.25, low=0.61, high=0.93, credit=None)
    given = [
        dataclasses.replace(r, control_random=0.5) if r.role == "encoder"
        else dataclasses.replace(r, score={"random:a": 0.4, "random:a#1": 0.7}.get(r.encoder, r.score), low=0.51,
                                 high=0.82)
        for r in given
    ]  # fmt: skip
    given[0] = dataclasses.replace(given[0], score=0.55)
    figure = drawn(given)
    (panel,) = figure.axes
    trained = {(0.61, 0.93)} | ({(0.4, 0.7)})  # the encoder's own, and the range of its draws
    assert spans(panel, plots.COLOURS[0]) == trained
    assert across(panel, "black") == [0.25]
    handles = {h.get_label(): h for h in figure.legends[0].legend_handles}
    for name, score in (("lowlevel", 0.55), ("pixels", 0.65)):
        colour = plots.LOOKS[name]["color"]
        assert handles[f"control {name}"].get_color() == colour
        assert across(panel, colour) == [score]
        assert spans(panel, colour) == {(0.51, 0.82)}
    if blocks == 40:
        dashed = [line for line in panel.lines if line.get_ls() == "--" and line.get_color() == plots.COLOURS[0]]
        assert {*np.ravel([line.get_ydata() for line in dashed])} == {0.5}
    else:
        assert {y for _, y in places(panel)} >= {0.4, 0.7, 0.75}


def test_the_thumbnail_that_is_drawn_is_the_one_that_the_best_point_is_held_against() -> None:
    given = records({"a": (3, ())}, control_pixels=0.7, credit=None)
    small = dataclasses.replace(given[1], site="thumbnail.8", score=0.7)
    panel = drawn([*given, small]).axes[0]
    assert across(panel, plots.LOOKS["pixels"]["color"]) == [0.7]


def test_the_words_around_the_figure_are_those_of_the_records() -> None:
    plain, part = (drawn(records({"a": (3, ())}, limited=limited)) for limited in (False, True))
    for figure, ends in ((plain, "95 % intervals"), (part, "95 % intervals, LIMITED RUN")):
        words = [text.get_text() for text in figure.texts]
        assert words[-1] == f"bars and bands: {ends}"
        assert words[0] == "mirror, 40 items in 20 groups, made"


@pytest.mark.parametrize(
    ("credit", "name"),
    [
        ("nuisance", "control lowlevel"),
        ("pixels", "control pixels"),
        ("architecture", "untrained, 2 draws"),
        ("learned", None),
    ],
)
def test_the_control_that_decides_the_credit_is_named_and_no_other(credit: str, name: str | None) -> None:
    figure = drawn(records(TOWERS, credit=credit))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label for label in labels if "decides" in label] == ([f"{name} (decides credit)"] if name else [])
    silent = drawn(records(TOWERS, credit=credit, verdict="inconclusive"))
    assert not any("decides" in text.get_text() for text in silent.legends[0].get_texts()), "nothing is present"
    assert {"control lowlevel", "control pixels"} <= {label.removesuffix(" (decides credit)") for label in labels}


def test_the_row_that_the_table_marks_is_ringed_once_and_the_order_is_drawn_only_where_it_tells() -> None:
    given = records({"a": (3, ("final", "pooled"))})
    best = next(r for r in given if r.role == "encoder" and r.site == "block.1")
    given[given.index(best)] = dataclasses.replace(best, score=0.9)
    higher = next(r for r in given if r.role == "encoder" and r.site == "block.2")  # but not shown to be readable
    given[given.index(higher)] = dataclasses.replace(higher, score=0.95, verdict="inconclusive")
    lists = dataclasses.replace(given[0], encoder="order", score=0.7, low=0.6, high=0.8)
    figure = drawn([*given, lists])
    rings = [
        (line.get_data()[1][0], line.get_data()[0][0])
        for panel in figure.axes
        for line in panel.lines
        if line.get_markerfacecolor() == "none" and line.get_markersize() == 5.5
    ]
    assert [score for score, _ in rings] == [0.9]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "best point, chosen on these data" in labels
    assert "control order of the list" in labels
    silent = drawn([*given, dataclasses.replace(lists, verdict="inconclusive")])
    assert "control order of the list" not in [text.get_text() for text in silent.legends[0].get_texts()]


def test_the_grey_band_is_the_range_of_the_refits_that_the_records_hold() -> None:
    wide = records({"a": (0, ("pooled",))}, control_shuffled_low=0.31, control_shuffled_high=0.66)
    (panel,) = drawn(wide).axes
    grey = [patch for patch in panel.patches if patch.get_facecolor()[:3] == pytest.approx((0.9, 0.9, 0.9))]
    assert len(grey) == 1
    assert grey[0].get_extents().transformed(panel.transData.inverted()).y0 == pytest.approx(0.31)
    assert grey[0].get_extents().transformed(panel.transData.inverted()).y1 == pytest.approx(0.66)
    assert panel.get_ylim()[0] < 0.31


def test_widths_are_one_or_two_columns_and_nothing_leaves_the_sheet() -> None:
    many: Towers = dict.fromkeys(map("encoder-{}".format, range(8)), (24, ("final", "pooled")))
    narrow = drawn(records({"a": (3, ("final",))}))
    wide = drawn(records(many, grids=("cls", "mean", "halves", "grid3")))
    for figure, width in ((narrow, 85), (wide, 175)):
        assert figure.get_size_inches()[0] * 25.4 == pytest.approx(width)
        sheet = figure.bbox
        boxes = [axis.get_tightbbox() for axis in figure.axes] + [figure.legends[0].get_window_extent()]
        boxes += [text.get_window_extent() for text in figure.texts]
        for box in boxes:
            assert box.x0 >= sheet.x0 - 1
            assert box.x1 <= sheet.x1 + 1
            assert box.y0 >= sheet.y0 - 1
            assert box.y1 <= sheet.y1 + 1
        assert not any(a.overlaps(figure.legends[0].get_window_extent()) for a in boxes[: len(figure.axes)])


@pytest.mark.parametrize("blocks", [0, 3, 24])
def test_titles_of_neighbouring_panels_stay_apart(blocks: int) -> None:
    grids = ("cls", "mean", "at-mark", "halves", "grid3")
    for width in plots.WIDTHS:
        figure = drawn(records({"a": (blocks, ("final",))}, grids=grids), width)
        mm = 25.4 / figure.dpi
        boxes = [panel.title.get_window_extent() for panel in figure.axes]
        assert {panel.get_title().replace("\n", " ") for panel in figure.axes} >= {"CLS token", "mean of patches"}
        lines = [(a, b) for a, b in itertools.pairwise(boxes) if b.x0 > a.x0]
        assert lines
        assert min(b.x0 - a.x1 for a, b in lines) * mm > 1.5
        above = [text.get_window_extent() for text in figure.texts]
        assert not any(box.overlaps(other) for box in boxes for other in above)
        ticks = [label.get_window_extent() for panel in figure.axes for label in panel.get_xticklabels()]
        beside = [
            (box, tick) for box in boxes for tick in ticks if tick.y0 > box.y0 and tick.x1 > box.x0 and tick.x0 < box.x1
        ]
        assert all(tick.y0 - box.y1 > 1 / mm for box, tick in beside)
        assert beside or width == plots.WIDTHS[1]


@pytest.mark.parametrize("name", ["a$b$c_{x}", r"a$\frac$", "$x_$", "nul\x00\x1b[31m", "lone\udcff", "中文", "x" * 200])
def test_names_of_any_letters_are_drawn(name: str, tmp_path: Path) -> None:
    given = records({name: (2, ("final",)), name + "2": (2, ("final",))}, task=f"label {name}", source=name)
    with warnings.catch_warnings(action="error"):
        assert plots.written(lambda: plots.layer_curve(given), tmp_path / "layers") == [
            "layers.pdf", "layers.svg", "layers.png",
        ]  # fmt: skip


def test_names_that_are_shortened_to_the_same_are_told_apart() -> None:
    assert plots.shown_names(["a" * 50, "a" * 60, "b"], 10) == ["aaaaaa…aaa (1)", "aaaaaa…aaa (2)", "b"]


def test_scores_far_below_chance_are_marked_at_the_edge_and_a_missing_interval_is_none() -> None:
    given = records({"a": (2, ("final",))}, score=-9.0, metric="concordance", credit=None)
    (panel,) = drawn(given).axes
    assert panel.get_ylim()[0] > -2
    assert {line.get_marker() for line in panel.lines} & {7}
    assert panel.get_ylabel() == "concordance"
    drawn(records({"a": (2, ("final",))}, low=None, high=None))


def test_the_figure_is_a_function_of_what_results_json_holds(tmp_path: Path) -> None:
    from slitlamp.records import document

    given = records(TOWERS, score=0.123456789012345)
    read = [Record(**r) for r in json.loads(json.dumps(document("linear_probe", given, [], [])))["records"]]
    for name, some in (("a", read), ("b", [Record(**vars(r)) for r in read])):
        plots.save(plots.layer_curve(some), tmp_path / name)
    for suffix in ("pdf", "svg", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_without_an_encoder_there_is_nothing_to_draw_and_that_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from slitlamp.log import shown_on_stderr

    (tmp_path / "layers.pdf").write_text("of an earlier run")
    with shown_on_stderr():
        controls = [r for r in records(TOWERS) if r.role == "control"]
        assert plots.written(lambda: plots.layer_curve(controls), tmp_path / "layers") == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: the figure {tmp_path}/layers.pdf could not be drawn (UsageError: no encoder")
    assert not (tmp_path / "layers.pdf").exists()
