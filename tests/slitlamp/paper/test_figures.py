"""The figures of a report: at journal widths, the same bytes again; one point, forty encoders and missing cells."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slitlamp.paper import figures
from slitlamp.paper.figures import PaperFigure, reliability
from slitlamp.paper.gathered import Gathered
from tests.hostile import NAMES
from tests.slitlamp.paper import probed


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("figures")
    found = figures.figures(probed.gathered())
    assert {one.widths for one in found.values()} == {(85, 175)}
    found["layers-orientation"] = dataclasses.replace(found["layers-orientation"], widths=(85,))  # slow to draw
    return out, figures.write(found, out)


def test_each_figure_is_written_at_both_widths(written: tuple[Path, list[str]]) -> None:
    out, names = written
    drawn = [f"{n}-{w}mm" for n in ("map", "confusion-orientation") for w in (85, 175)] + ["layers-orientation-85mm"]
    assert {f"figures/{name}.{suffix}" for name in drawn for suffix in ("pdf", "svg", "png")} == set(names)
    for name in names:
        if name.endswith(".png"):
            with Image.open(out / name) as image:
                wide = image.width / 300 * 25.4
            assert wide == pytest.approx(85 if "-85mm" in name else 175, abs=0.2)


def test_a_second_drawing_is_the_same_bytes(written: tuple[Path, list[str]], tmp_path: Path) -> None:
    out, _ = written
    found = figures.figures(probed.gathered())
    for name in figures.write({"map": dataclasses.replace(found["map"], widths=(85,))}, tmp_path):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_all_fonts_are_embedded(written: tuple[Path, list[str]]) -> None:
    if shutil.which("pdffonts") is None:
        pytest.skip("pdffonts is not installed")
    out, names = written
    for name in names:
        if name.endswith(".pdf"):
            said = subprocess.run(["pdffonts", name], cwd=out, capture_output=True, text=True, check=True).stdout
            fonts = said.splitlines()[2:]
            assert fonts
            assert all(line.split()[-5] == "yes" for line in fonts), said


def _map(gathered: Gathered, width: int = 85) -> list[str]:
    drawn = figures.figures(gathered)["map"].draw(width)
    return [text.get_text() for axis in drawn.axes for text in axis.texts]


def test_the_map_holds_number_interval_and_mark_and_hatches_what_is_missing() -> None:
    claims = [
        probed.claim("x", "s"),
        probed.claim("y", "s", 0.6, "inconclusive"),
        probed.claim("y", "t", 0.5, "absent"),
    ]
    assert _map(probed.of(claims)) == ["0.80 ●", "[0.70, 0.90]", "0.60 ?", "[0.50, 0.70]", "0.50 ○", "[0.40, 0.60]"]
    drawn = figures.figures(probed.of(claims))["map"].draw(85)
    assert sum(bool(patch.get_hatch()) for patch in drawn.axes[0].patches) == 1
    assert (
        sum(bool(patch.get_hatch()) for patch in figures.figures(probed.of(claims[1:]))["map"].draw(85).axes[0].patches)
        == 0
    )


def test_a_score_that_could_not_be_nested_is_the_highest_with_its_search_paid_for() -> None:
    one = probed.claim("x", "s", score=None)
    assert _map(probed.of([one]))[0] == f"{one.best.score:.2f} ●"


def test_forty_encoders_and_one_point_fit_a_page() -> None:
    many = [
        probed.claim(f"an-encoder-with-a-name-of-forty-letters-{k}", f"task {t}") for k in range(40) for t in (0, 1)
    ]
    for width in (85, 175):
        drawn = figures.figures(probed.of(many))["map"].draw(width)
        wide, tall = drawn.get_size_inches() * 25.4
        assert wide == pytest.approx(width)
        assert tall <= 240
        drawn.canvas.draw()
        left = min(label.get_window_extent().x0 for label in drawn.axes[0].get_yticklabels())
        assert left >= -1
    assert len(figures.figures(probed.of(many[:1]))) == 3


def test_layer_curves_of_many_encoders_are_several_figures() -> None:
    many = [probed.claim(f"e{k}", "t") for k in range(14)]
    names = [name for name in figures.figures(probed.of(many)) if name.startswith("layers")]
    assert names == ["layers-t", "layers-t-2", "layers-t-3"]


def test_two_runs_of_one_encoder_do_not_share_a_curve() -> None:
    twice = [probed.claim("e", "t", run=probed.other("e", "t", name=name)) for name in ("one", "two")]
    assert [n for n in figures.figures(probed.of(twice)) if n.startswith("layers")] == ["layers-t", "layers-t-2"]


def test_hostile_names_are_drawn_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    claims = [probed.claim(name, "t") for name in NAMES] + [probed.claim("x", NAMES[0]), probed.claim("x", NAMES[19])]
    found = figures.figures(probed.of(claims))
    kept = {n: dataclasses.replace(f, widths=(85,)) for n, f in found.items() if n == "map" or "taken" in n}
    names = figures.write(kept, tmp_path)
    assert "could not be drawn" not in caplog.text
    assert len(names) == 3 * len(kept) >= 9
    assert {path.parent for path in tmp_path.rglob("*.pdf")} == {tmp_path / "figures"}


def test_a_figure_that_cannot_be_drawn_costs_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: int) -> None:
        raise RuntimeError("no ink")

    bad = PaperFigure(name="bad", title="", caption="", alt="", draw=broken, widths=(85,))
    good = dataclasses.replace(figures.figures(probed.gathered())["map"], widths=(85,))
    names = figures.write({"bad": bad, "map": good}, tmp_path)
    assert names == [f"figures/map-85mm.{suffix}" for suffix in ("pdf", "svg", "png")]
    assert "no ink" in caplog.text


def test_honest_probabilities_lie_on_the_line_and_too_sure_ones_below() -> None:
    honest = [reliability(probed.predictions(3, 2000, honest=True, seed=seed)) for seed in range(1, 9)]
    assert all(len(one.count) == 10 for one in honest)
    assert all(one.count.max() - one.count.min() <= 1 for one in honest)
    inside = [(one.low <= one.sure) & (one.sure <= one.high) for one in honest]
    assert 0.9 <= np.mean(inside) < 1  # of 80 intervals of 95 %
    assert max(one.gap for one in honest) < 0.05
    sure = reliability(probed.predictions(3, 2000, honest=False))
    assert sure.gap > 0.1
    assert np.mean(sure.high < sure.sure) > 0.5


def test_intervals_of_a_bin_count_groups_and_not_repeats() -> None:
    held = probed.predictions(2, 400, honest=True)
    once = reliability(dataclasses.replace(_as(held), predicted=held.predicted[:1], probability=held.probability[:1]))
    five = reliability(held)
    assert np.mean(five.high - five.low) == pytest.approx(np.mean(once.high - once.low), rel=0.15)


@dataclasses.dataclass(frozen=True)
class _as:  # noqa: N801
    held: object
    predicted: np.ndarray | None = None
    probability: np.ndarray | None = None

    @property
    def label(self) -> np.ndarray:
        return self.held.label  # type: ignore[attr-defined]

    @property
    def groups(self) -> np.ndarray:
        return self.held.groups  # type: ignore[attr-defined]


def test_confusion_is_the_share_of_each_true_class() -> None:
    held = probed.predictions(3, 300, honest=True)
    found = figures.confusion(held, 4)
    np.testing.assert_allclose(found[:3].sum(axis=1), 1)
    assert np.isnan(found[3]).all()
    first = held.label == 0
    assert found[0, 0] == pytest.approx((held.predicted[:, first] == 0).mean())


@pytest.mark.parametrize("classes", [2, 9, 30])
def test_calibration_and_confusion_are_drawn(classes: int) -> None:
    held = probed.predictions(classes, 120, honest=True)
    names = [f"class {k} {name[:30]}" for k, name in zip(range(classes), NAMES * 2, strict=False)]
    for width in (85, 175):
        figures.calibration_figure([(NAMES[0], held), ("b", held)], width).canvas.draw()
        figures.confusion_figure([(NAMES[0], held, names), ("b", held, names)], width).canvas.draw()


def test_a_narrow_cell_of_the_map_keeps_its_verdict() -> None:
    claims = [probed.claim("x", f"task {k}", verdict=("present", "absent")[k % 2]) for k in range(8)]
    drawn = figures._map(probed.of(claims)).draw(85)
    texts = [text.get_text() for axis in drawn.axes for text in axis.texts]
    assert sum(text.endswith("●") for text in texts) == sum(text.endswith("○") for text in texts) == 4
    assert not [text for text in (one.get_text() for one in drawn.texts) if "interval" in text]
