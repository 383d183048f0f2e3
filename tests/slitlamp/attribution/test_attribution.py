"""The command about attribution on planted images: a letter that betrays is found, one that says nothing is not."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

import slitlamp
from encoders import EncoderError
from experiments.attribution import main
from slitlamp import UsageError
from slitlamp.attribution.target import chosen_items, text_target
from tasks import DataError
from tests.paths import SHARED

N, SIDE = 60, 32
ENCODER = """
import torch

import encoders

CARD = encoders.Card(name="tiny", licence="Apache-2.0", sites={})


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one = torch.nn.Conv2d(3, 12, 4, stride=4)
        self.two = torch.nn.Conv2d(12, 12, 3, padding=1)

    def forward(self, x):
        return self.two(torch.nn.functional.gelu(self.one(x)))


def load(device):
    torch.manual_seed(SEED)
    spec = encoders.Input(size=(32, 32), resize="squash", crop=None, mean=(0.5,) * 3, std=(0.25,) * 3,
                          interpolation="bilinear", backend="own")
    return encoders.from_module(CARD, Net(), spec, {"stage.1": "one", "stage.2": "two"}, device=device)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with a bright square in the upper right or lower left corner; `side` is where, `coin` is independent."""
    place = tmp_path_factory.mktemp("letters")
    rng = np.random.default_rng(0)
    with (place / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "patient", "side", "coin", "letter", "grey", "<b>hostile</b>"])
        for k in range(N):
            image = rng.integers(60, 140, (SIDE, SIDE))
            image = image + rng.integers(-20, 20)
            x, y = (22, 2) if k % 2 else (2, 22)
            image[y : y + 8, x : x + 8] += 90
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(place / f"{k:02}.png")
            coin = "heads" if rng.random() < 0.5 else "tails"
            rows.writerow([f"{k:02}.png", f"p{k}", "right" if k % 2 else "left", coin, f"{x} {y} {x + 8} {y + 8}",
                           f"{image.mean():.3f}", "<i>a</i>" if k % 2 else "<script>b"])  # fmt: skip
    for seed in (0, 1):
        (place / f"tiny{seed}.py").write_text(ENCODER.replace("SEED", str(seed)).replace('"tiny"', f'"tiny{seed}"'))
    own = ENCODER.replace("SEED", "0").replace('"tiny"', '"odd"')
    (place / "cut.py").write_text(own.replace("self.one(x)", "self.one(x).detach()"))
    (place / "flat.py").write_text(own.replace("self.one(x)", "self.one(0 * x)"))
    return place


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(folder / "store"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("probes.attribution.occlusion.CHUNK", 64)  # of 32 x 32 pixels in a network of two layers


def ask(folder: Path, **flags: Any) -> slitlamp.CommandResult:
    given: dict[str, Any] = {
        "encoder": str(folder / "tiny0.py"),
        "data": str(folder / "manifest.csv"),
        "group": "patient",
    }
    given |= {"permutations": 199} | flags
    return slitlamp.attribute(**given)


def test_a_letter_that_betrays_the_answer_is_found(folder: Path, tmp_path: Path) -> None:
    methods = ("gradient-input", "integrated-gradients", "occlusion")
    found = ask(folder, label="side", evidence="letter", method=methods, out=str(tmp_path / "out"))
    verdicts = {row["method"]: row for row in found.table("verdicts")}
    assert {row["verdict"] for row in verdicts.values()} == {"explains this probe"}
    lying = {row["method"]: row for row in found.table("evidence")}
    for name in methods:
        assert lying[name]["rests"], name
        assert lying[name]["share"] > lying[name]["control_share"] + 0.15
    assert any("the answer rests on letter" in line for line in found.sentences)
    assert any("--thumbnails shows them" in note for note in found.notes)
    assert verdicts["integrated-gradients"]["completeness"] < 0.02
    page = (tmp_path / "out" / "attribution.html").read_text()
    assert "explains this probe" in page
    assert "default-src 'none'" in page
    with np.load(tmp_path / "out" / "maps.npz") as arrays:
        assert arrays["label side/tiny0/occlusion/probe"].shape == (12, SIDE, SIDE)
        assert "label side/tiny0/image" not in arrays  # the user's own are shown only when asked
        assert len(arrays["label side/ids"]) == 12
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(document["files"]) == {path.name for path in (tmp_path / "out").iterdir()} - {"results.json", ".lock"}
    assert document["questions"][0]["classes"] == {"left": 30, "right": 30}
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    again = ask(folder, label="side", evidence="letter", method=methods, out=str(tmp_path / "out"))
    assert "0 methods computed now" in again.summary
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_letter_that_says_nothing_is_not_found(folder: Path) -> None:
    found = ask(folder, label="grey", evidence="letter", method=("gradient-input", "occlusion"), site="stage.2")
    assert found.table("explained")[0]["metric"] == "concordance"
    assert not any(row["rests"] for row in found.table("evidence"))


def test_where_the_probe_reads_nothing_there_is_nothing_to_explain(folder: Path) -> None:
    found = ask(folder, label="coin", method="gradient-input", site="stage.2", readout="mean")
    assert [row["verdict"] for row in found.table("verdicts")] == ["nothing to explain"]
    assert "the probe does not read the answer here" in found.sentences[1]


def test_an_answer_rests_on_nothing_by_a_map_that_does_not_explain_it() -> None:
    from probes.trials.verdict import EXPLAINS, NOTHING, Lying
    from slitlamp.attribution.run import _lying_row

    row = Lying(region="letter", images=12, share=0.4, control_share=0.0, area=0.2, own=None, hits=12, control_hits=1,
                p_hits=0.001, rank=0.5, rests=True)  # fmt: skip
    said = {state: _lying_row(row, SimpleNamespace(state=state))["rests"] for state in (EXPLAINS, NOTHING)}  # type: ignore[arg-type]
    assert said == {EXPLAINS: True, NOTHING: False}


def test_the_similarity_of_a_pair_is_the_number_that_is_explained() -> None:
    import torch

    from slitlamp.attribution.target import pair_target

    x = np.random.default_rng(0).normal(3, 1, (9, 5)).astype(np.float32)
    places = [0, 4, 2, 7]
    target = pair_target(SimpleNamespace(label="e"), x, places, [1, 1, 3, 3], ("final", "mean", 1))  # type: ignore[arg-type]
    away = x - x.mean(axis=0)
    unit = away / np.linalg.norm(away, axis=1, keepdims=True)
    got = [head.of(torch.as_tensor(x[places]), torch.arange(4)).numpy() for head in (target.head, target.control)]
    assert np.allclose(got[0], np.repeat([unit[0] @ unit[4], unit[2] @ unit[7]], 2), atol=1e-6)
    assert np.allclose(got[0], target.scores, atol=1e-6)
    assert np.allclose(got[1], [unit[0] @ unit[1], unit[4] @ unit[1], unit[2] @ unit[3], unit[7] @ unit[3]], atol=1e-6)


def test_maps_are_found_again_only_where_all_they_rest_on_is_the_same() -> None:
    from slitlamp.attribution.explained import _key
    from slitlamp.attribution.target import Head

    def key(**other: Any) -> str:
        given: dict[str, Any] = {"fingerprint": "f", "device": "cpu", "site": "s", "readout": "mean", "weights": 1.0,
                                 "control": 2.0, "content": "c", "share": 0.5, "seed": 0} | other  # fmt: skip
        head, control = (Head(weights=np.full((1, 2), given[k]), intercept=np.zeros(1)) for k in ("weights", "control"))
        encoder = SimpleNamespace(fingerprint=given["fingerprint"], device=given["device"])
        target = SimpleNamespace(
            encoder=encoder, site=given["site"], readout=given["readout"], head=head, control=control
        )
        pictures = SimpleNamespace(contents=[given["content"]])
        job = SimpleNamespace(target=target, pictures=pictures, places=[0], seed=given["seed"])
        return _key(job, (7, 7), {"r": np.full((1, 7, 7), given["share"])})  # type: ignore[arg-type]

    changed = {"fingerprint": "g", "device": "cuda", "site": "t", "readout": "cls", "weights": 3.0, "control": 3.0,
               "content": "d", "share": 0.1, "seed": 1}  # fmt: skip
    keys = [key(), *(key(**{name: value}) for name, value in changed.items())]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


def test_names_of_questions_make_names_of_files_that_stay_in_the_folder() -> None:
    from slitlamp.disk import stems

    assert stems(["label ../../x", "label a/b", "label a b", "label A.b", "..", "é" * 99]) == [
        "label-x", "label-a-b", "label-a-b-2", "label-A-b-3", "question", "é" * 50,
    ]  # fmt: skip


def test_features_that_are_all_equal_leave_nothing_to_explain(folder: Path) -> None:
    found = ask(folder, encoder=str(folder / "flat.py"), label="side", method="gradient-input", items=("00.png",))
    assert found.table("verdicts")[0]["verdict"] == "nothing to explain"
    assert not found.arrays["label side/odd/gradient-input"].any()


@pytest.mark.usefixtures("undrawn")
def test_encoders_stand_side_by_side_and_names_are_text(folder: Path, tmp_path: Path) -> None:
    both = [str(folder / "tiny0.py"), str(folder / "tiny1.py")]
    found = ask(
        folder, encoder=both, label="<b>hostile</b>", method="gradient-input", thumbnails=True, out=str(tmp_path / "o"),
        site="stage.2", count=6,
    )  # fmt: skip
    assert [row["encoder"] for row in found.table("verdicts")] == ["tiny0", "tiny1"]
    assert not any(path.is_dir() for path in (tmp_path / "o").iterdir())  # the label's name has a slash
    assert (tmp_path / "o" / "gradient-input-label-b-hostile-b.pdf").exists()
    page = (tmp_path / "o" / "attribution.html").read_text()
    assert "<script>" not in page
    assert "<i>a</i>" not in page
    assert "<b>hostile" not in page


def test_a_pair_is_explained_against_a_stranger(folder: Path) -> None:
    found = ask(folder, pair=("00.png", "02.png"), method="occlusion", permutations=None)
    assert found.table("explained")[0]["metric"] == "centred cosine"
    assert found.table("verdicts")[0]["verdict"] == "explains this similarity"
    assert found.arrays["pair/tiny0/occlusion"].shape == (20, SIDE, SIDE)
    assert any("9 more pairs of other groups" in note for note in found.notes)
    few = found.table("images")
    assert few[0]["score"] == few[1]["score"]


@pytest.mark.parametrize(
    ("flags", "error", "said"),
    [
        ({"method": "occlusionn"}, Exception, "did you mean 'occlusion'"),
        ({"method": "rollout"}, EncoderError, "rollout does not apply.*it has .*occlusion"),
        ({"items": ("nobody",)}, UsageError, "no item 'nobody'.*by its file"),
        ({"label": "sidee"}, DataError, "did you mean 'side'"),
        ({"site": "stage.9"}, UsageError, "no site 'stage.9'"),
        ({"site": ("stage.1", "stage.2")}, UsageError, "one at a time"),
        ({"encoder": "pixels"}, EncoderError, "computes without torch"),
        ({"probe": "knn"}, UsageError, "a hyperplane is explained"),
        ({"count": 0}, UsageError, "at least 1"),
        ({"pair": ("00.png",)}, UsageError, "takes two images, not 1"),
        ({"pair": ("00.png", "00.png"), "permutations": None}, UsageError, "names '.*' twice"),
        ({"pair": ("00.png", "01.png")}, UsageError, "--permutations has nothing to act on"),
        ({"text": ("a film",), "permutations": None}, UsageError, "no joint space"),
        ({"text": ("a", "b", "c")}, UsageError, "not 3"),
        ({"text": ("a film", "a film"), "permutations": None}, UsageError, "'a film' twice"),
        ({"text": (" ",), "permutations": None}, UsageError, "empty text"),
        ({"encoder": "cut.py"}, EncoderError, "gives no gradient at stage.2"),
        ({"evidence": "lettr"}, DataError, "lettr"),
    ],
)
def test_bad_input_is_one_line(folder: Path, flags: dict[str, Any], error: type[Exception], said: str) -> None:
    if flags.get("encoder", "").endswith(".py"):
        flags = flags | {"encoder": str(folder / flags["encoder"])}
    with pytest.raises(error, match=said) as caught:
        ask(folder, **({"label": "side"} if "pair" not in flags else {}) | flags)
    assert "\n" not in str(caught.value)


def test_the_command_prints_what_the_function_finds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--encoder", str(folder / "tiny0.py"), "--data", str(folder / "manifest.csv"), "--group", "patient"]
    asked += ["--label", "side", "--method", "gradient-input", "--permutations", "199"]
    assert main([*asked, "--site", "stage.2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tables"]["verdicts"][0]["verdict"] == "explains this probe"
    assert document["command"].startswith("python -m experiments.attribution --encoder")
    assert (
        main([asked[0], "pixels", *asked[1:], "--out", "both"]) == 5
    )  # the one that fails is named, the other goes on
    assert "error: pixels computes without torch" in capsys.readouterr().err
    assert main([*asked, "--items", "nobody"]) == 2
    assert "no item 'nobody'" in capsys.readouterr().err
    found = ask(folder, encoder=[str(folder / "tiny0.py"), "pixels"], label="side", method="gradient-input")
    assert [row["encoder"] for row in found.table("verdicts")] == ["tiny0"]  # one that cannot costs the others nothing
    assert [line.split()[0] for line in found.failed] == ["pixels"]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "rests"), [("tests/letter_betrays.py", True), ("tests/letter_independent.py", False)])
def test_the_letter_of_films_is_found_only_where_it_betrays(
    task: str, rests: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.paths import ROOT

    del folder
    monkeypatch.chdir(ROOT)
    found = slitlamp.attribute("phantom-clip", task, method="gradient-input", limit=120, permutations=199)
    letter = next(row for row in found.table("evidence") if row["region"] == "lead letter")
    assert letter["rests"] == rests
    assert (letter["share"] > letter["control_share"] + 0.1) == rests


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "histo_dsb").exists(), reason="needs the shared images (SLITLAMP_SHARED)")
def test_masks_of_a_manifest_are_laid_on_the_maps_of_real_images(folder: Path) -> None:
    data = str(SHARED / "histo_dsb" / "manifest.csv")
    found = slitlamp.attribute(
        str(folder / "tiny0.py"), data=data, group="group", label="stain", evidence="mask", method="gradient-input",
        permutations=199,
    )  # fmt: skip
    assert found.table("evidence")[0]["images"] == 12
    assert 0 < found.table("evidence")[0]["area"] < 1


class _Reader:
    """An encoder whose texts are known vectors."""

    label = "reader"

    def load(self) -> Any:
        return self

    def text(self, sentences: Any) -> np.ndarray:
        known = {"east": [3.0, 0, 0], "north": [0, 2.0, 0]}
        return np.array([known.get(one, [0.1, 0.1, 1.0]) for one in sentences])


def test_the_similarity_to_a_text_is_the_number_that_is_explained() -> None:
    import torch

    x = np.array([[4.0, 0, 3.0], [0, 5.0, 0]], np.float32)
    both = text_target(cast(Any, _Reader()), x, [0, 1], ("east", "north"))
    assert both.scores == pytest.approx([0.8, -1.0])  # cosine to the first less that to the second
    assert both.head.of(torch.as_tensor(x), torch.arange(2)).numpy() == pytest.approx(both.scores, abs=1e-6)
    one = text_target(cast(Any, _Reader()), x, [1, 0], ("east",))
    assert one.scores == pytest.approx([0.0, 0.8])
    assert "less that to" in both.words
    assert "less that to" not in one.words


def test_images_are_drawn_from_every_answer_and_from_different_groups_first() -> None:
    given = {
        "ids": tuple(f"i{k}" for k in range(40)), "groups": np.arange(40) // 4, "name": "q",
        "y": np.arange(40) % 2, "classes": ("a", "b"),
    }  # fmt: skip
    question = cast(Any, SimpleNamespace(**given))
    for seed in range(5):
        items = chosen_items(question, (), 10, seed)
        assert len({int(given["groups"][k]) for k in items}) == 10
        assert sum(int(given["y"][k]) for k in items) == 5
    assert sorted(chosen_items(question, (), 99, 0)) == list(range(40))
