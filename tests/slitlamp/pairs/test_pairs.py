"""The commands about pairs on planted images: what is planted is found, what is not is not, and bad input is said.

An image is two halves of noise. One encoder sees the left half, the other the right; images whose left halves are alike
are confused by the first and told apart by the second.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import slitlamp
from experiments.pairs import main
from slitlamp import UsageError
from tasks import DataError
from tests.paths import SHARED

HALF = """
import numpy as np
import encoders

CARD = encoders.Card(name={name!r}, licence="Apache-2.0", sites={{"pooled": encoders.Site(width=64)}})
FILES = ()


def features(images):
    grey = np.stack([i.astype(np.float64) if i.ndim == 2 else i.mean(axis=2) for i in images])
    half = grey[:, :, {columns}]
    return {{"pooled": half.reshape(len(half), 8, 2, 8, -1).mean(axis=(2, 4)).reshape(len(half), 64)}}


def load(device):
    return encoders.from_function(CARD, features)
"""
N, PLANTED = 80, 6
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 images of 16 x 32, of which the first six pairs have the same left half up to noise; labels and patients."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    images = np.kron(rng.integers(40, 216, (N, 8, 16)), np.ones((2, 2)))
    for k in range(PLANTED):
        images[2 * k + 1, :, :16] = images[2 * k, :, :16] + rng.integers(-2, 3, (16, 16))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "patient", "view", "caption", "pair", "near"])
        for k, image in enumerate(images):
            bright = 0 if k % 2 else 40  # the view is a shade of the right half
            image[:, 16:] = np.clip(image[:, 16:] + bright, 0, 255)
            Image.fromarray(image.astype(np.uint8)).save(folder / f"{k:03}.png")
            text = "x" * (5 if k == 79 else 30)
            writer.writerow([f"{k:03}.png", f"p{k:03}", "AP" if k % 2 else "PA", text, f"{k // 2}", f"{0.9:.2f}"])
    for name, columns in (("left", "slice(0, 16)"), ("right", "slice(16, 32)")):
        (folder / f"{name}.py").write_text(HALF.format(name=name, columns=columns))
    return folder


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Path) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(planted / "store"))  # one store: what is encoded once is there
    monkeypatch.chdir(tmp_path)


def ask(planted: Path, name: str, **flags: Any) -> slitlamp.PairResult:
    place = {"data": str(planted / "manifest.csv"), "group": "patient"} | flags
    return getattr(slitlamp, name)(str(planted / "left.py"), **place)


def names(planted: Path) -> dict[str, int]:
    """The number of each image by its id."""
    from tasks import open_source

    source = open_source(str(planted / "manifest.csv"))
    return {row.id: k for k, row in enumerate(source.rows)}


def test_the_planted_pairs_are_mined_and_no_other(planted: Path, tmp_path: Path) -> None:
    known = names(planted)
    for number, (flags, wanted) in enumerate(
        (
            ({"at_least": 0.9982}, {(2 * k, 2 * k + 1) for k in range(PLANTED)}),
            ({"at_least": 0.9982, "differ": "view"}, {(2 * k, 2 * k + 1) for k in range(PLANTED)}),
            ({"at_least": 0.9982, "differ": "caption", "caption": "caption"}, set()),
        )
    ):
        found = ask(
            planted, "mine", reference=str(planted / "right.py"), remeasure=0, out=tmp_path / f"{number}", **flags
        )
        held = pq.read_table(tmp_path / f"{number}" / "pairs-right.parquet").to_pylist()
        pairs = {tuple(sorted((known[row["id_1"]], known[row["id_2"]]))) for row in held}
        assert pairs == {p for p in wanted if p in pairs} | (pairs & wanted)
        assert pairs <= wanted
        assert len(pairs) >= len(wanted) / 2  # half of them are apart in the other half by chance
        assert found.table()[0]["found"] == len(pairs)
        assert found.table()[0]["pairs"] == N * (N - 1) // 2
    whole = ask(planted, "mine", reference=str(planted / "right.py"), at_least=0.9982, at_most=0.99, remeasure=0,
                out=tmp_path / "whole")  # fmt: skip
    assert whole.table()[0]["found"] == PLANTED


def test_mining_says_who_selected_and_measures_again(planted: Path, tmp_path: Path) -> None:
    found = ask(planted, "mine", reference=str(planted / "right.py"), at_most=0.9, remeasure=20, out=tmp_path / "out")
    text = str(found)
    assert "selected these pairs" in text
    assert "taken again" in text
    row = found.table("measured again")[0]
    assert row["mined"] > row["again"]
    files = {path.name for path in found.files}
    assert {"pairs-right.parquet", "reverse-right.parquet", "plane.png", "yield.pdf", "gallery.html"} <= files
    assert "sheet.png" not in files  # the user's own images, unless asked for
    page = (tmp_path / "out" / "gallery.html").read_text()
    assert "not shown" in page
    assert "data:image" not in page
    shown = ask(planted, "mine", reference=str(planted / "right.py"), at_most=0.9, remeasure=0, thumbnails=True,
                out=tmp_path / "shown")  # fmt: skip
    assert "data:image" in (tmp_path / "shown" / "gallery.html").read_text()
    assert {path.name for path in shown.files} >= {"sheet.png"}
    again = json.loads((tmp_path / "out" / "results.json").read_text())
    assert again["experiment"] == "pairs mine"
    assert "NaN" not in (tmp_path / "out" / "results.json").read_text()


def test_a_file_of_pairs_says_what_is_wrong_with_it(planted: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "own.csv"
    for text, said in (
        ("000.png,001.png\n002.png,003.png\n004.png,005.png\n", "line 1 holds two images"),  # else lost as a header
        ("a,b\n000.png,001.png\n002.png,nought.png\n", "pair 2: no image 'nought.png'"),
    ):
        pairs.write_text(text)
        with pytest.raises(DataError, match=said):
            slitlamp.score(str(planted / "left.py"), pairs, data=str(planted / "manifest.csv"))


def test_counts_are_never_hidden(planted: Path) -> None:
    found = ask(planted, "mine", reference=str(planted / "right.py"), at_least=0.9999, at_most=0.0, remeasure=0,
                limit=40, out=None)  # fmt: skip
    assert found.table()[0]["found"] == 0
    assert "  found  " in str(found)
    assert "selected these pairs" not in str(found)  # there are none
    assert "LIMITED to 40 images" in str(found)
    assert "random draw" not in str(found)  # every pair was counted, so none was drawn
    for flags in ({"site": ("pooled", "final")}, {"readout": ("vector", "mean")}):
        with pytest.raises(UsageError, match="one at a time"):
            ask(planted, "mine", reference="pixels", **flags)


def test_the_page_shows_two_groups_once(planted: Path, tmp_path: Path) -> None:
    ask(planted, "mine", reference=str(planted / "right.py"), at_least=0.99, at_most=0.95, remeasure=0, group="view",
        thumbnails=True, out=tmp_path / "out")  # fmt: skip
    assert pq.read_table(tmp_path / "out" / "pairs-right.parquet").num_rows > 1
    assert (tmp_path / "out" / "gallery.html").read_text().count("<figure>") == 1


def test_figures_have_plain_numbers_on_logarithmic_axes(planted: Path) -> None:
    found = ask(planted, "mine", reference=str(planted / "right.py"), remeasure=0, out=None)
    for name in ("plane", "yield"):
        figure = found.plot(name)
        figure.canvas.draw()
        ticks = [t.get_text() for axis in figure.axes for t in (*axis.get_xticklabels(), *axis.get_yticklabels())]
        assert "0.1" in ticks
        assert not any("math" in text or "$" in text for text in ticks)


def test_a_gallery_shows_hostile_text_as_text() -> None:
    from slitlamp.pairs.gallery import Shown, page

    words = "<script>alert(1)</script>"
    html = page(words, [words], [(words, [Shown(ids=(words, "b"), images=(None, None), lines=[words])])])
    assert "<script>" not in html
    assert "default-src 'none'" in html


def test_scores_tell_apart_what_one_encoder_lost_and_the_other_kept(planted: Path, tmp_path: Path) -> None:
    ask(planted, "mine", reference=str(planted / "right.py"), at_least=0.99, at_most=0.95, differ="view", cap=1,
        remeasure=0, out=tmp_path / "mined")  # fmt: skip
    found = slitlamp.score(
        [str(planted / "left.py"), str(planted / "right.py")], tmp_path / "mined" / "pairs-right.parquet",
        data=str(planted / "manifest.csv"), group="patient", label="view", permutations=99, out=tmp_path / "score",
    )  # fmt: skip
    left, right = found.table("encoders")
    assert "selected the pairs" in left["encoder"]
    assert left["similar_but_separable"] == 0
    assert left["apart"] < left["pairs"]
    assert right["probe"] == "present"
    assert not found.tables.get("differences")  # both selected: neither is ranked
    with (tmp_path / "score" / "pairs.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 2 * left["pairs"]
    scores = {(row["encoder"], row["score"]): row for row in found.table("scores")}
    told = scores[right["encoder"], "2afc"]
    assert told["value"] > 0.8
    assert told["low"] <= told["value"] <= told["high"]


def test_encoders_that_did_not_select_are_compared_with_an_adjusted_p(planted: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "own.csv"
    pairs.write_text("a,b\n" + "".join(f"{2 * k:03}.png,{2 * k + 1:03}.png\n" for k in range(30)))
    by_file = slitlamp.score(str(planted / "left.py"), pairs, data=str(planted / "manifest.csv"))
    ids = {k: name for name, k in names(planted).items()}
    pairs.write_text(pairs.read_text().replace("000.png", ids[0]))  # an id serves as well as a file name
    found = slitlamp.score(
        [str(planted / "left.py"), str(planted / "right.py")], pairs, data=str(planted / "manifest.csv"),
        group="patient", label="view", permutations=99,
    )  # fmt: skip
    assert by_file.table()[0]["median_quantile"] == found.table()[0]["median_quantile"]  # files name the same images
    assert "not on record" in str(found)  # a file of one's own does not say who selected
    (row,) = found.table("differences")
    assert row["difference"] < -0.2
    assert row["p_adjusted"] < 0.05
    assert row["low"] < row["difference"] < row["high"]


def test_kinds_of_confused_images_come_with_their_shares(planted: Path) -> None:
    found = ask(planted, "modes", reference=str(planted / "right.py"), at_most=0.9, label="view", permutations=19)
    assert len(found.table("modes")) == 4
    assert all(0 < row["p"] <= 1 for row in found.table("modes"))
    assert "%" in found.table("components")[0]["view"]


def test_regions_left_out_find_the_half_that_the_encoder_sees(planted: Path) -> None:
    ids = {k: name for name, k in names(planted).items()}
    found = slitlamp.explain(ids[0], ids[1], str(planted / "left.py"), data=str(planted / "manifest.csv"), grid=4)
    seen = [row for row in found.table() if row["column"] <= 2]
    unseen = [row for row in found.table() if row["column"] > 2]
    assert max(abs(row["drop"]) for row in unseen) < 1e-6
    assert max(row["drop"] for row in seen) > 0.01


def test_a_recipe_is_found_and_another_encoder_is_not(planted: Path) -> None:
    """The published numbers are those of the right half: written beside, in a manifest of their own."""
    from probes.pairs.mining import cosine_space

    x = slitlamp.features(str(planted / "right.py"), str(planted / "manifest.csv"), site="pooled", readout="vector")
    cosine = cosine_space(x, "right").similarities(np.arange(0, N, 2), np.arange(1, N, 2))
    with (planted / "manifest.csv").open() as file:
        rows = [*csv.DictReader(file)]
    with (planted / "published.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(row | {"near": f"{cosine[k // 2]:.4f}"} for k, row in enumerate(rows))
    found = slitlamp.recipe(
        [str(planted / "left.py"), str(planted / "right.py")], planted / "published.csv", published="near"
    )
    best = found.table()[0]
    assert best["recipe"].startswith("right")
    assert best["features"] == "as they are"
    assert best["largest_difference"] < 1e-4
    assert "none of these recipes" not in str(found)
    assert "by luck" not in str(found)
    with (planted / "few.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(row | {"near": f"{cosine[k // 2]:.4f}" if k < 6 else ""} for k, row in enumerate(rows))
    assert "by luck" in str(slitlamp.recipe(str(planted / "right.py"), planted / "few.csv", published="near"))
    wrong = slitlamp.recipe(str(planted / "left.py"), planted / "published.csv", published="near")
    assert "none of these recipes" in " ".join(str(wrong).split())


def test_similarity_is_one_for_an_encoder_and_itself_and_chance_for_unrelated_ones(planted: Path) -> None:
    same = slitlamp.similarity(
        str(planted / "left.py"), data=str(planted / "manifest.csv"), permutations=39, index=["cka", "knn"]
    )
    assert same.table("cka")[0]["score"] == pytest.approx(1.0)
    assert same.table("knn")[0]["score"] == 1.0
    other = slitlamp.similarity(
        [str(planted / "left.py"), str(planted / "right.py")], data=str(planted / "manifest.csv"), permutations=39
    )
    assert abs(other.table("cka")[0]["score"]) < 0.1
    assert other.table("cka")[0]["p"] > 0.05


def test_a_perturbation_that_an_encoder_cannot_see_does_not_move_it(planted: Path) -> None:
    found = ask(planted, "perturb", perturbation=["flip", "contrast"])
    assert not any("Synthetic" in note for note in found.notes)
    rows = {row["change"]: row for row in found.table("changes")}
    assert rows["flip"]["movement"] > 0.5
    assert rows["contrast"]["beside"] >= 0.5


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["mine", "--at-least", "1.5"], 2, "a quantile from 0 to 1"),
        (["mine", "--rule", "mmvp", "--at-least", "-2"], 2, "a cosine from -1 to 1"),
        (["mine", "--at-least", "0.4", "--at-most", "0.5"], 2, "cross"),
        (["mine", "--rule", "mmvp", "--space", "csls"], 2, "goes with --rule quantile"),
        (["mine", "--differ", "vew"], 3, "did you mean 'view'"),
        (["mine", "--cap", "0"], 2, "at least 1"),
        (["mine", "--caption-length", "50", "--caption", "caption"], 3, "0 of 80 images"),
        (["mine", "--reference", "LEFT"], 2, "the encoder itself"),
        (["score", "--pairs", "none.csv"], 3, "no file"),
        (["score", "--pairs", "EQUAL", "--label", "caption"], 3, "equal answers"),
        (["score", "--pairs", "SELF"], 3, "a pair is two images"),
        (["score", "--pairs", "TWICE"], 3, "pair 2 is pair 1 again"),
        (["score", "--pairs", "EQUAL", "--text", "caption"], 2, "no text beside it"),
        (["score", "--pairs", "ONE"], 3, "holds 1 pair"),
        (["explain", "a"], 2, "takes two images"),
        (["explain", "a", "b"], 3, "no image 'a'"),
        (["perturb", "--perturbation", "blurr"], 2, "did you mean 'blur'"),
        (["similarity", "--index", "ckaa"], 2, "cka"),
        (["recipe"], 2, "no published similarities"),
        (["mines"], 2, "mine"),
        ([], 2, "name a command"),
    ],
)
def test_bad_input_is_one_line(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    ids = {k: name for name, k in names(planted).items()}
    files = {
        "EQUAL": [(0, 1), (2, 3)], "SELF": [(0, 0), (2, 3)], "TWICE": [(0, 1), (1, 0)], "ONE": [(0, 1)],
    }  # fmt: skip
    for name, pairs in files.items():
        (tmp_path / f"{name}.csv").write_text("id_1,id_2\n" + "".join(f"{ids[a]},{ids[b]}\n" for a, b in pairs))
    made = [f"{w}.csv" if w in files else str(planted / "left.py") if w == "LEFT" else w for w in words]
    place = [
        "--encoder",
        str(planted / "left.py"),
        "--data",
        str(planted / "manifest.csv"),
        "--out",
        str(tmp_path / "out"),
    ]
    more = place if words and words[0] != "mines" else []
    assert main([*made, *more]) == code
    err = capsys.readouterr().err
    assert said in err
    assert len([line for line in err.splitlines() if not line.startswith("loading ")]) == 1
    assert "Traceback" not in err


def test_arguments_of_the_functions_are_checked() -> None:
    with pytest.raises(UsageError, match="did you mean 'differ'"):
        slitlamp.mine(diffr="view")
    with pytest.raises(UsageError, match="is none of quantile"):
        slitlamp.mine(rule="best")


def test_texts_are_scored_by_an_encoder_that_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """phantom-clip has a text tower: a caption for each of some phantoms, and pairs of unlike ones."""
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    found = slitlamp.mine(
        "pixels", "lowlevel", items=24, at_least=0.5, at_most=0.4, differ="contrast", cap=1, remeasure=0
    )
    assert any(note.startswith("Synthetic: images are made") for note in found.notes)
    (path,) = [p for p in (tmp_path / "store" / "pairs").glob("*.parquet") if pq.read_metadata(p).num_rows][:1]
    told = slitlamp.score(
        "phantom-clip", path, items=24, text="contrast", template="an abdominal slice, {} contrast", permutations=19
    )
    assert any("images and the weights of phantom-clip are made" in note for note in told.notes)
    rows = {row["score"]: row for row in told.table("scores")}
    assert {"text: text", "text: image", "text: group", "text: match"} <= set(rows)
    assert rows["text: group"]["chance"] == pytest.approx(1 / 6)
    assert rows["text: group"]["value"] <= min(rows["text: text"]["value"], rows["text: image"]["value"])
    assert found.table()[0]["pairs"] == 24 * 23 // 2


def test_colours_of_marks_are_exchanged_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    found = slitlamp.perturb("lowlevel", task="depth", items=12, perturbation="marker-recolour")
    (row,) = found.table("changes")
    assert row["movement"] < 0.05  # the same discs in another order: no statistic without layout can know
    with pytest.raises(DataError, match="not every image has them"):
        slitlamp.perturb("lowlevel", items=6, perturbation="marker-recolour")


def test_a_disk_that_fills_is_one_line_and_the_strips_stay(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from slitlamp.pairs import strips

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "00000.part")

    monkeypatch.setattr(strips, "_mine_strip", full)
    words = [
        "mine",
        "--encoder",
        str(planted / "left.py"),
        "--reference",
        str(planted / "right.py"),
        "--at-most",
        "0.123",
    ]
    assert main([*words, "--data", str(planted / "manifest.csv"), "--out", str(tmp_path / "full")]) == 5
    err = capsys.readouterr().err
    assert "No space left" in err
    assert "Traceback" not in err


def test_the_published_table_s_impossible_rows_are_named() -> None:
    from slitlamp.pairs.score import published_rows

    rows = {row["model"]: row for row in published_rows()}
    assert not rows["Med-Flamingo"]["possible"]
    assert not rows["LLaVA"]["possible"]
    assert rows["Gemini 1.5 Pro"]["readable_pairs"] == 135
    assert rows["Claude 3 Opus"]["possible"]
    assert rows["Claude 3 Opus"]["readable_pairs"] == 132


@pytest.mark.skipif(not (SHARED / "mediconfusion").exists(), reason="needs the shared images (SLITLAMP_SHARED)")
def test_mediconfusion_s_pairs_at_hand_are_scored() -> None:
    found = slitlamp.score(["pixels", "lowlevel"], data=str(SHARED / "mediconfusion" / "manifest.csv"))
    assert found.table("encoders")[0]["pairs"] == 10
    assert any("Med-Flamingo is impossible" in line for line in found.sentences)
    with pytest.raises(UsageError, match="no published similarities"):
        slitlamp.recipe("pixels", str(SHARED / "mediconfusion" / "manifest.csv"))


def test_a_figure_that_fails_costs_a_line_and_other_numbers_are_kept_aside(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slitlamp.pairs import figures, perturb

    def broken(*_: Any) -> None:
        raise ValueError("no font")

    monkeypatch.setattr(perturb, "dose_figure", broken)
    found = ask(planted, "perturb", perturbation="flip", out=tmp_path / "out")
    assert found.files == []
    held = json.loads((tmp_path / "out" / "results.json").read_text())
    assert held["tables"] == found.document["tables"]
    monkeypatch.setattr(perturb, "dose_figure", figures.dose_figure)
    (tmp_path / "out" / "results.json").write_text(json.dumps(held | {"tables": {}}))
    again = ask(planted, "perturb", perturbation="flip", out=tmp_path / "out")
    assert {path.suffix for path in again.files} == {".pdf", ".svg", ".png"}
    (aside,) = (tmp_path / "out").glob("earlier-*")
    assert json.loads((aside / "results.json").read_text())["tables"] == {}


def test_a_similar_pair_is_called_lost_only_where_silence_means_something() -> None:
    """Four pairs: far apart, near and right, near and exchanged, near and right in one repeat of two."""
    from types import SimpleNamespace

    from slitlamp.pairs.score import LOST, OPEN, SEPARABLE, Pairs, verdicts_of

    many = 12  # pairs like the second, so that the probe as a whole tells pairs apart
    quantile = np.array([0.5, *[0.9995] * (many + 2)])
    right = np.array([1.0, *[1.0] * many, 0.0, 0.5])
    wrong = np.array([0.0, *[0.0] * many, 1.0, 0.5])
    places = np.arange(len(right))
    pairs = Pairs(first=places, second=places + 100, component=places, category=[""] * len(right), selected_by=[])

    def verdicts(state: str, **change: Any) -> list[str]:
        found = {"quantile": quantile, "right": right, "wrong": wrong, "measurement": SimpleNamespace(state=state)}
        return verdicts_of(found | change, 0.999, pairs, 0)

    assert verdicts("present") == ["apart", *[SEPARABLE] * many, OPEN, OPEN]
    assert verdicts("absent") == ["apart", *[SEPARABLE] * many, LOST, LOST]
    # a probe that exchanges as many as it answers rightly separates nothing, whatever single pairs look like
    half = (np.arange(len(right)) % 2).astype(float)
    assert set(verdicts("inconclusive", right=half, wrong=1 - half)[1:]) == {OPEN}
    assert set(verdicts("absent", right=half, wrong=1 - half)[1:]) == {LOST}


def test_copies_articles_and_groups_are_left_out_and_counted(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted pairs are near-copies, of one article, or of one patient: each filter takes its own and counts."""
    from types import SimpleNamespace

    from slitlamp.duplicates.guard import Copies

    known = names(planted)

    def clusters(_self: Any, rows: Any) -> Any:
        places = {known[row.id]: at for at, row in enumerate(rows)}
        return SimpleNamespace(clusters=[SimpleNamespace(members=(places[0], places[1]))])

    monkeypatch.setattr(Copies, "groups", clusters)
    flags = {"reference": str(planted / "right.py"), "at_least": 0.9982, "at_most": 0.99, "remeasure": 0}
    plain = ask(planted, "mine", copies_too=True, **flags).table()[0]
    assert (plain["found"], plain["left_out_of_one_group"]) == (PLANTED, 0)
    assert "left_out_copies" not in plain
    copies = ask(planted, "mine", **flags).table()[0]
    assert (copies["found"], copies["left_out_copies"]) == (PLANTED - 1, 1)
    article = ask(planted, "mine", copies_too=True, article="pair", **flags).table()[0]
    assert (article["found"], article["left_out_of_one_article"]) == (0, PLANTED)
    group = ask(planted, "mine", **flags | {"copies_too": True, "group": "pair"}).table()[0]
    assert (group["found"], group["left_out_of_one_group"]) == (0, PLANTED)


def _with_views(planted: Path, tmp_path: Path, change: dict[int, str]) -> Path:
    """The planted manifest with other views for some images."""
    with (planted / "manifest.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    for k, row in enumerate(rows[1:]):
        row[2] = change.get(k, row[2])
    path = planted / f"{tmp_path.name}-{len(change)}.csv"  # beside the images, whose ids are their names
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def _pairs(planted: Path, tmp_path: Path) -> str:
    ids = list(names(planted))
    path = tmp_path / "ids.csv"
    path.write_text("image,other\n" + "".join(f"{ids[2 * k]},{ids[2 * k + 1]}\n" for k in range(2, 40)))
    return str(path)


def test_columns_of_pairs_are_read_as_answers_are(planted: Path, tmp_path: Path) -> None:
    missing = str(_with_views(planted, tmp_path, {0: "N/A", 1: "?"}))
    mined = ask(planted, "mine", data=missing, reference=str(planted / "right.py"), differ=("view",), remeasure=0)
    assert "2 of 80 rows have no view (N/A 1, ? 1) and are left out" in mined.notes, mined.notes
    whole = ask(planted, "mine", reference=str(planted / "right.py"), differ=("view",), remeasure=0)
    assert not any("no answer" in note or "left out" in note for note in whole.notes), whole.notes
    pairs = _pairs(planted, tmp_path)
    with pytest.raises(DataError, match="1 of 39 pairs hold an image without view"):
        ask(planted, "score", data=missing, label="view", pairs=str(_first(pairs, planted, tmp_path)))
    spelt = str(_with_views(planted, tmp_path, {10: "pa", 12: "pa"}))
    with pytest.raises(DataError, match=r"differ only in|spelling"):
        ask(planted, "score", data=spelt, label="view", pairs=pairs)
    with pytest.raises(DataError, match=r"differ only in|spelling"):
        ask(planted, "mine", data=spelt, reference=str(planted / "right.py"), differ=("view",), remeasure=0)


def _first(pairs: str, planted: Path, tmp_path: Path) -> Path:
    """The pairs with that of the first two images before them."""
    ids = list(names(planted))
    path = tmp_path / "first.csv"
    head, *rest = Path(pairs).read_text().splitlines()
    path.write_text("\n".join([head, f"{ids[0]},{ids[1]}", *rest]) + "\n")
    return path


def test_a_number_is_no_class_of_a_pair_and_what_was_asked_is_recorded(planted: Path, tmp_path: Path) -> None:
    pairs = _pairs(planted, tmp_path)
    path = _with_views(planted, tmp_path, {k: f"{20 + 0.37 * k:.2f}" for k in range(N)})
    path.write_text(path.read_text().replace("view", "caption_age", 1))
    with pytest.raises(DataError, match=r"caption_age is a number.*--classes"):
        ask(planted, "score", data=str(path), label="caption_age", pairs=pairs)
    scored = ask(planted, "score", label="view", pairs=pairs)
    document = json.loads(scored.to_json())
    assert document["questions"][0]["classes"] == {"AP": 40, "PA": 40}
    assert any("AP" in note and "40" in note for note in scored.notes)
    with pytest.raises(UsageError, match="--classes has nothing to act on"):
        ask(planted, "score", classes=True, pairs=pairs)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("words", "left_out", "other"),
    [
        (["perturb"], "the changed images, which are encoded too", "exhaustively"),
        (["mine", "--reference", "lowlevel"], "pairs are found exhaustively", "changed"),
    ],
)
def test_a_price_says_what_is_not_in_it_and_whom_it_counts(
    words: list[str], left_out: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    out = tmp_path / "out"
    assert main([*words, "--encoder", "pixels", "--items", "8", "--dry-run", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    said = " ".join(found["sentences"])
    assert left_out in said
    assert other not in said
    rows = {row["encoder"]: row["images_to_encode"] for row in found["tables"]["plan"]}
    assert rows == dict.fromkeys(["pixels", *words[2:]], 8), "each image once, at one point, and no control of a probe"
    assert not out.exists()
    if words[0] == "mine":
        assert main([*words, "--encoder", "pixels", "--items", "8", "--out", str(out)]) == 0
        assert f"{sum(rows.values())} images encoded" in capsys.readouterr().err
        assert main([*words, "--encoder", "pixels", "--items", "8", "--dry-run", "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)["tables"]["plan"]
        assert [row["images_to_encode"] for row in plan] == [0, 0]
