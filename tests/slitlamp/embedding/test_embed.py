"""Maps of planted images: what is planted is found and called what it is, what is not is not, and bad input is said.

An image is a grid of 8 x 8 blocks whose grey values are its features. Patients lie together. `side` is planted in the
largest direction; `empty` is one answer per patient, of which the features know nothing; `faint` lies in a direction
that is too small for any map.
"""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import probes
import slitlamp
from experiments._exit import ENCODER as ENCODER_ERROR
from experiments._exit import PARTIAL
from experiments.embedding_plot import main
from probes import ProbeError
from probes.embedding.agreement import Agreement
from probes.embedding.neighbours import prepared
from probes.embedding.project import principal
from slitlamp import UsageError
from slitlamp.embedding.colours import Colouring, Kind, _values
from slitlamp.embedding.looked import Looked, Seen, _seen, adjusted, permutations_of
from slitlamp.embedding.settings import MapSettings
from tasks import DataError
from tests.paths import ROOT

PATIENTS, EACH = 60, 3
N = PATIENTS * EACH
ENCODER = str(ROOT / "tests/numpy_encoder.py")
SECOND = """
import numpy as np
import encoders

CARD = encoders.Card(name="turned", licence="Apache-2.0", sites={"pooled": encoders.Site(width=64)})
FILES = ()


def features(images):
    grey = [i.astype(np.float64) if i.ndim == 2 else i.mean(axis=2) for i in images]
    x = np.stack([g.reshape(8, g.shape[0] // 8, 8, g.shape[1] // 8).mean(axis=(1, 3)).ravel() for g in grey])
    BODY
    return {"pooled": x}


def load(device):
    return encoders.from_function(CARD, features)
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(PATIENTS), EACH)
    faint = rng.integers(0, 2, N)
    side, empty = rng.integers(0, 2, (2, PATIENTS))[:, patient]
    x = rng.normal(size=(PATIENTS, 64))[patient] * 14 + rng.normal(size=(N, 64)) * 2
    x[:, :9] = 22.0 * (2 * side - 1)[:, None] + rng.normal(size=(N, 9))
    x[:, 63] = 4.0 * (2 * faint - 1) + rng.normal(size=N)
    x[[5, 100], 20] = 100  # two images with a bright block, which the second encoder sends away
    words = {"side": ("left", "right"), "faint": ("yes", "no"), "empty": ("case", "control")}
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "patient", "side", "faint", "empty", "same", "code", "twin", "one"])
        for k in range(N):
            grey = np.clip(np.round(128 + x[k]), 0, 255).astype(np.uint8).reshape(8, 8)
            Image.fromarray(np.kron(grey, np.ones((4, 4), np.uint8))).save(folder / f"{k:03}.png")
            row = [words[name][value[k]] for name, value in (("side", side), ("faint", faint), ("empty", empty))]
            writer.writerow([f"{k:03}.png", f"p{patient[k]:03}", *row, "all", f"c{k}", row[0].upper(), int(k == 0)])
    bodies = {
        "turned": "x[x[:, 20] > 225] += 150.0 * np.sign(np.arange(64) % 3 - 0.5)",
        "constant": "x[:] = 1.0",
        "mirrored": "x *= -1.0",
        "broken": "x[x[:, 20] > 225] = np.nan",
    }
    for name, body in bodies.items():
        (folder / f"{name}.py").write_text(SECOND.replace('"turned"', f'"{name}"').replace("BODY", body))
    return folder


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Path) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(planted / "store"))
    monkeypatch.chdir(tmp_path)


def ask(planted: Path, encoder: Any = ENCODER, **flags: Any) -> slitlamp.CommandResult:
    place = {"data": str(planted / "manifest.csv"), "group": "patient", "label": "side", "map": "pca", "site": "pooled",
             "copies": "warn", "permutations": 199, "neighbours": 8}  # fmt: skip
    return slitlamp.embed(encoder, **place | flags)


def row_of(found: slitlamp.CommandResult, colour: str) -> dict[str, Any]:
    return next(row for row in found.table("colours") if row["colour"] == colour)


def test_what_is_planted_is_shown_and_borne_out(planted: Path) -> None:
    found = ask(planted)
    answer = row_of(found, "answer")
    assert answer["reading"] == "shown, borne out"
    assert answer["low"] > 0.8
    assert answer["in_pca"] > 0.9
    assert "the PCA shows the answer, and the features bear it out" in str(found)
    assert "shows more of" not in str(found)  # brightness goes with the answer, and less far
    assert found.table("probe")[0]["p_adjusted"] <= 0.05
    left = next(note for note in found.notes if note.startswith("not coloured by"))
    for words in ("twin (the same as answer)", "code (a value for almost every image)", "same (one value)",
                  "one (fewer than 10 groups in a class)"):  # fmt: skip
        assert words in left


def test_clusters_of_patients_are_a_pretty_cluster_without_substance(planted: Path) -> None:
    found = ask(planted, label="empty", neighbours=4, map="umap")
    answer = row_of(found, "answer")
    assert answer["reading"] == "a pretty cluster without substance"
    assert answer["in_umap"] > 0.65
    assert answer["p"] > 0.05
    text = str(found)
    assert "the UMAP shows the answer as a pretty cluster without substance" in text
    assert "the probe does not read it" in text
    assert "clusters are groups first" in text
    assert "the UMAP shows more of side" in text  # the nuisance that the map shows instead of the answer


def test_a_readable_direction_that_no_map_shows_is_named(planted: Path) -> None:
    found = ask(planted, label="faint")
    assert row_of(found, "answer")["in_pca"] < 0.65
    assert "the answer is readable by the probe" in str(found)
    assert "though no map shows it" in str(found)
    view = found.arrays["blocks pooled/vector probe"]
    assert np.corrcoef(view.T)[0, 1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("in_map", "luck", "features", "p", "elsewhere", "reading"),
    [
        (0.70, 0.01, (0.75, 0.60), 0.01, 0.01, "shown, borne out"),
        (0.64, 0.01, (0.75, 0.60), 0.01, 0.01, "near in the features, not in the map"),  # too little for the eye
        (0.70, 0.06, (0.75, 0.60), 0.01, 0.01, "near in the features, not in the map"),  # seen by luck
        (0.70, 0.01, (0.60, 0.49), 0.01, 0.30, "shown, left open by the features"),
        (0.70, 0.01, (0.60, 0.49), 0.30, 0.01, "shown, left open by the features"),  # by other groups in the map
        (0.70, 0.01, (0.60, 0.49), 0.30, 0.30, "a pretty cluster without substance"),
        (0.95, 0.01, (0.94, 0.49), 0.07, 0.30, "shown, left open by the features"),  # too few images for a small p
        (0.60, 0.01, (0.60, 0.49), 0.01, 0.01, "not seen"),
    ],
)
def test_readings(
    in_map: float, luck: float, features: tuple[float, float], p: float, elsewhere: float, reading: str
) -> None:
    colour = Colouring(name="c", kind="nuisance", values=np.arange(4) % 2, classes=("a", "b"), origin="manifest")
    shown = Agreement(
        metric="balanced accuracy", score=in_map, low=None, high=None, chance=0.5, p=luck, items=9, groups=9
    )
    found = Seen(
        colouring=colour, original=replace(shown, score=features[0], low=features[1], high=0.9), maps={"pca": shown},
        adjusted=p, visible={"pca": luck}, across={"pca": replace(shown, score=0.55)}, apart={"pca": elsewhere},
    )  # fmt: skip
    assert found.reading() == found.reading("pca") == reading


def test_every_file_is_the_same_at_every_run(planted: Path, tmp_path: Path) -> None:
    both = [
        ask(planted, map=("pca", "umap"), colour=("answer", "group", "empty"), out=tmp_path / name) for name in "ab"
    ]
    names = {path.name for path in both[0].files}
    assert {"coordinates.parquet", "map.html", "maps.pdf", "maps.svg", "maps.png", "colours-umap.png"} <= names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    rows = pq.read_table(tmp_path / "a/coordinates.parquet").to_pylist()
    assert len(rows) == 3 * N
    assert {row["map"] for row in rows} == {"pca", "umap", "probe"}
    probe = [row for row in rows if row["map"] == "probe"]
    sides = {side: np.mean([r["x"] for r in probe if r["answer"] == side]) for side in ("left", "right")}
    assert sides["right"] > 0 > sides["left"]  # the second class has the larger decision values
    first = [row for row in rows if row["map"] == "umap"]
    np.testing.assert_array_equal([[r["x"], r["y"]] for r in first], both[0].arrays["blocks pooled/vector umap"])
    document = json.loads((tmp_path / "a/results.json").read_text())
    assert document["experiment"] == "embedding_plot"
    assert [row["map"] for row in document["tables"]["maps"]] == ["pca", "umap"]
    svg = (tmp_path / "a/maps.svg").read_text()
    assert ">trustworthiness" in svg  # text stays text
    assert svg.count("<image") == 3  # points are pixels


def test_figures_have_the_width_of_a_column(planted: Path) -> None:
    for width in ("85", "175"):
        found = ask(planted, width=width, colour=("answer", "group", "brightness", "side", "empty"))
        for name in ("maps", "colours-pca"):
            assert found.plot(name).get_figwidth() == pytest.approx(int(width) / 25.4)


def test_who_moved_between_two_encoders_is_counted_in_the_features(planted: Path, tmp_path: Path) -> None:
    both = [ENCODER, str(planted / "turned.py")]
    found = ask(planted, both, colour="answer", moved=5)
    for name in ("coordinates.parquet", "map.html"):
        found.data[name](tmp_path / name)
    source = [row["id"] for row in pq.read_table(tmp_path / "coordinates.parquet").to_pylist()][:N]
    assert {row["id"] for row in found.table("moved")[:2]} == {source[5], source[100]}
    assert "moved" not in found.figures  # the user's own images, unless asked for
    page = (tmp_path / "map.html").read_text()
    assert "data:image/webp" not in page.split("<script>")[0]
    assert "Your own images are not shown" in page
    shown = ask(planted, both, colour="answer", moved=5, thumbnails=True)
    shown.data["map.html"](tmp_path / "map.html")
    assert "moved" in shown.figures
    assert "data:image/webp" in (tmp_path / "map.html").read_text().split("<script>")[0]


@pytest.mark.parametrize(
    ("flags", "kind", "said"),
    [
        ({"neighbours": 179}, DataError, "180 items are too few for --neighbours 179, which needs 181"),
        ({"neighbours": 178}, ProbeError, "178 neighbours are asked for, and some items have 177 other items outside"),
        ({"neighbours": 1}, UsageError, "--neighbours 1: must be at least 2"),
        ({"label": "same"}, DataError, "have the same same"),
        ({"colour": "sidde"}, UsageError, "--colour sidde: did you mean 'side'"),
        ({"colour": "code"}, DataError, "--colour code: a value for almost every image"),
        ({"colour": "one"}, DataError, "--colour one: fewer than 10 groups in a class"),
        ({"colour": "group", "group": None}, DataError, "--colour group: every image is alone in its group"),
        ({"colour": "aspect"}, DataError, "--colour aspect: it is the same for all images"),
        ({"map": "tsne"}, UsageError, "--map tsne: there are pca, umap"),
        ({"map": "umpa"}, UsageError, "did you mean 'umap'"),
        ({"task": ("label", "mirror")}, UsageError, "answer of one question"),
        ({"site": "poled"}, UsageError, "has no site 'poled'; did you mean"),
        ({"min_dist": 2.0}, UsageError, "--min-dist 2: must be from 0 to 1"),
        ({"encoder": "constant.py"}, ProbeError, "constant pooled/vector: all 180 items have the same features"),
        ({"encoder": "broken.py"}, DataError, "NaN or infinite features"),
        ({"nieghbours": 3}, UsageError, "no argument 'nieghbours'; did you mean 'neighbours'"),
    ],
)
def test_bad_input_is_one_line(planted: Path, flags: dict[str, Any], kind: type[Exception], said: str) -> None:
    flags = {"colour": "answer"} | flags
    encoder = str(planted / flags.pop("encoder")) if "encoder" in flags else ENCODER
    with pytest.raises(kind, match=said) as raised:
        ask(planted, encoder, **flags)
    assert "\n" not in str(raised.value)


def test_where_no_neighbour_changed_nobody_is_said_to_have_moved(planted: Path) -> None:
    both = [ENCODER, str(planted / "mirrored.py")]  # the same distances
    found = ask(planted, both, colour="answer", thumbnails=True)
    assert "share 100% of the 8 nearest neighbours" in str(found)
    assert "moved" not in found.tables
    assert "moved" not in found.figures


@pytest.mark.usefixtures("undrawn")
def test_the_command_prints_what_python_returns(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(planted / "manifest.csv"), "--group", "patient", "--label", "side", "--encoder", ENCODER,
             "--site", "pooled", "--map", "pca", "--colour", "answer", "--permutations", "199", "--neighbours", "8",
             "--copies", "warn", "--out", "out"]  # fmt: skip
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    again = json.loads(ask(planted, colour="answer", out=None).to_json())
    assert printed["tables"]["colours"] == again["tables"]["colours"]
    assert printed["questions"][0]["items"] == N
    assert main([*words, "--min-dist", "0.2"]) == 2  # another question into the same folder
    assert "holds the results of another run" in capsys.readouterr().err
    assert main([*words, "--min-dist", "0.2", "--replace"]) == 0


@pytest.mark.usefixtures("undrawn")
def test_an_encoder_that_fails_costs_no_map_of_the_others(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One cannot be loaded, one gives NaN, one gives the same for all images; with none left there is an error."""
    (tmp_path / "missing.py").write_text("import no_such_module_anywhere\n")
    bad = [str(tmp_path / "missing.py"), str(planted / "broken.py"), str(planted / "constant.py")]
    words = ["--data", str(planted / "manifest.csv"), "--group", "patient", "--label", "side", "--map", "pca"]
    words += ["--site", "pooled", "--colour", "answer", "--neighbours", "8", "--copies", "warn", "--encoder"]
    assert main([*words, *bad, ENCODER, "--json", "--out", "out"]) == PARTIAL
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert [row["encoder"] for row in document["tables"]["maps"]] == ["blocks"]
    left = [note for note in document["notes"] if note.startswith("left out: ")]
    assert ["no_such_module" in left[0], "NaN" in left[1], "the same features" in left[2], len(left)] == [1, 1, 1, 3]
    assert printed.err.count("error: ") == 3
    assert {"maps.png", "map.html"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert main([*words, *bad[1:], "--out", "none"]) == ENCODER_ERROR
    assert not (tmp_path / "none/results.json").exists()


def test_one_planted_column_among_many_is_paid_for_and_still_found() -> None:
    """The least p of 60 tests can come below .05, and the answer does not pay for columns."""
    assert permutations_of(60) + 1 >= 60 / 0.05
    assert permutations_of(3) == 999
    answer = Colouring(name="answer", kind="answer", values=np.arange(4) % 2, classes=("a", "b"), origin="task")
    good = Agreement(metric="balanced accuracy", score=0.9, low=0.8, high=1.0, chance=0.5, p=0.001, items=9, groups=9)
    seen = [Seen(colouring=answer, original=good, maps={"umap": good}, across={"umap": good})]
    poor = replace(good, p=0.5)
    for k in range(60):
        column = replace(answer, name=f"c{k}", kind="nuisance")
        seen.append(Seen(colouring=column, original=poor, maps={"umap": poor}, across={"umap": poor}))
    measurement: Any = SimpleNamespace(estimate=good)
    x = np.zeros((4, 2))
    one = Looked(encoder=None, site="s", readout="r", x=x, places=x, maps={"umap": x}, trusts={}, shares=x[0],
                 measurement=measurement, seen=seen)  # fmt: skip
    (found,) = adjusted([one])
    assert found.seen[0].reading() == "shown, borne out"
    assert {s.reading() for s in found.seen[1:]} == {"not seen"}


def test_answer_and_probe_pay_for_every_point_and_columns_for_all_of_them() -> None:
    kinds: tuple[Kind, Kind] = ("answer", "nuisance")

    def looked(p: float) -> Looked:
        weak = Agreement(metric="balanced accuracy", score=0.9, low=0.8, high=1.0, chance=0.5, p=p, items=9, groups=9)
        seen = [
            Seen(original=weak, maps={"pca": weak}, across={"pca": weak}, colouring=Colouring(
                name=kind, kind=kind, values=np.arange(4) % 2, classes=("a", "b"), origin="manifest"))
            for kind in kinds
        ]  # fmt: skip
        measurement: Any = SimpleNamespace(estimate=weak)
        x = np.zeros((4, 2))
        return Looked(encoder=None, site="s", readout="r", x=x, places=x, maps={"pca": x}, trusts={}, shares=x[0],
                      measurement=measurement, seen=seen)  # fmt: skip

    found = adjusted([looked(0.02), looked(0.03), looked(0.9)])
    assert [one.readable for one in found] == pytest.approx([0.06, 0.06, 0.9])  # Holm: 3 x .02, then 2 x .03
    assert [one.seen[0].adjusted for one in found] == pytest.approx([0.06, 0.06, 0.9])
    for k in (0, 1):  # false discovery: 3 x .03 / 2
        shares = [(one.seen[k].visible["pca"], one.seen[k].apart["pca"]) for one in found]
        np.testing.assert_allclose(shares, [[0.045] * 2, [0.045] * 2, [0.9] * 2])
    assert [one.seen[1].adjusted for one in found] == pytest.approx([0.045, 0.045, 0.9])
    assert not found[0].read_by_probe


def test_an_answer_that_the_features_do_not_know_is_not_borne_out_and_a_planted_one_is() -> None:
    """Of 30 seeds in which patients lie together; the answer is one per patient, so that the map shows it."""
    group, count = np.repeat(np.arange(40), EACH), {0.0: 0, 9.0: 0}
    for number in range(30):
        rng = np.random.default_rng([17, number])
        y = rng.permutation(np.arange(40) % 2)[group]
        colour = Colouring(name="answer", kind="answer", values=y, classes=("a", "b"), origin="task")
        plan = probes.plan(y, group, classes=("a", "b"), permutations=99, repeats=1)
        for size in count:
            x = rng.normal(size=(40, 6))[group] + 0.1 * rng.normal(size=(len(y), 6))
            x[:, 0] += size * y
            x = prepared(x)
            xy = principal(x)[0]
            seen = _seen(colour, x, {"pca": xy}, plan, MapSettings(neighbours=2), 0, [], 99)
            assert seen is not None
            measurement: Any = SimpleNamespace(estimate=seen.original)
            one = Looked(encoder=None, site="s", readout="r", x=x, places=x, maps={"pca": xy}, trusts={}, shares=x[0],
                         measurement=measurement, seen=[seen])  # fmt: skip
            (found,) = adjusted([one])
            assert found.seen[0].shown("pca")
            count[size] += found.seen[0].reading() == "shown, borne out"
    assert count[0.0] <= 4  # 1.5 expected where the interval alone decides
    assert count[9.0] == 30


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 2.0] * 20 + [None] * 41, "unknown of most images"),
        ([1.0, 2.0] * 20 + [None] * 40, None),
        (["a"] * 9 + ["b"] * 31, "fewer than 10 groups in a class"),
        (["a"] * 10 + ["b"] * 30, None),
        ([f"c{k}" for k in range(40)], "a value for almost every image"),
        ([3.0] * 40, "one value"),
    ],
)
def test_what_may_be_a_colour(values: list[Any], said: str | None) -> None:
    found = _values("c", "nuisance", values, np.arange(len(values)), "manifest")
    assert found == said if said is not None else isinstance(found, Colouring)


def test_phantoms_are_said_to_be_synthetic_and_shown(tmp_path: Path) -> None:
    found = slitlamp.embed("pixels", "mirror", items=60, map="pca", neighbours=5, colour=("answer", "brightness"),
                           permutations=99)  # fmt: skip
    found.data["map.html"](tmp_path / "map.html")
    assert any(note.startswith("Synthetic: images") for note in found.notes)
    items = (tmp_path / "map.html").read_text().partition("id='items'>")[2].partition("</script>")[0]
    assert all(json.loads(items)["images"])
    with pytest.raises(UsageError, match="--thumbnails has nothing to act on"):
        slitlamp.embed("pixels", thumbnails=True)
