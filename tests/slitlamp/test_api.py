"""The Python door: what a notebook calls gives what the command prints, prints nothing, and refuses in one line."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import probes
import slitlamp
from cache import Store
from experiments.linear_probe import main
from plugins import UnknownName
from probes.stats.multiplicity import holm
from slitlamp.questions import Question, ask
from slitlamp.reports.text import question_line
from tests.paths import ROOT

ENCODER = str(ROOT / "tests" / "numpy_encoder.py")
QUICK = {"items": 40, "permutations": 99, "jobs": 1}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_the_function_finds_what_the_command_prints_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = slitlamp.probe(ENCODER, "mirror", **QUICK)
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "runs").exists()
    words = ["--encoder", ENCODER, "--task", "mirror", "--items", "40", "--permutations", "99", "--jobs", "1"]
    assert main([*words, "--out", str(tmp_path / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"] == result.document["records"]
    assert told["verdicts"] == result.document["verdicts"]
    assert str(result) in str(slitlamp.probe(ENCODER, "mirror", **QUICK))


def test_a_result_has_a_verdict_a_table_a_figure_and_predictions(tmp_path: Path) -> None:
    result = slitlamp.probe(Path(ENCODER), "mirror", out=tmp_path / "run", **QUICK)
    assert result.verdict.verdict in ("present", "absent", "inconclusive")
    assert str(result.verdict).startswith(result.verdict.verdict)
    text = str(result.table())
    for record in result.records:
        if record.role == "encoder":
            assert record.site in text
    assert result.table()._repr_html_().count("<tr>") > 3
    assert result.verdict.sentences[0].split(":")[0] in result._repr_html_()
    assert len(result.plot().axes) >= 1
    assert {path.name for path in result.files} >= {"results.json", "table.csv", "layers.png"}
    assert all(path.exists() for path in result.files)
    name = next(iter(result.predictions))
    assert name.startswith("mirror/")
    assert len(result.predictions[name].label) == 40


def test_a_frame_needs_pandas_and_says_so() -> None:
    result = slitlamp.probe(ENCODER, "mirror", site="pooled", **QUICK)
    try:
        import pandas  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(slitlamp.UsageError, match="needs pandas"):
            result.table().to_frame()
    else:
        assert len(result.table().to_frame()) == len(result.records)


def test_several_verdicts_have_to_be_named() -> None:
    result = slitlamp.probe(ENCODER, ["mirror", "orientation"], site="pooled", **QUICK)
    assert [one.task for one in result.verdicts] == ["mirror", "orientation"]
    own = [r for r in result.records if r.role == "encoder"]
    assert [r.p_adjusted for r in own] == pytest.approx(holm([r.p_value or 0 for r in own]).tolist()), (
        "both are paid for"
    )
    with pytest.raises(slitlamp.UsageError, match="2 verdicts"):
        _ = result.verdict


@pytest.mark.parametrize(
    ("given", "error", "line"),
    [
        ({"grop": "patient"}, slitlamp.UsageError, "no argument 'grop'; did you mean 'group'"),
        ({"items": "40"}, slitlamp.UsageError, "items='40' is of type str; it must be int"),
        ({"site": 3}, slitlamp.UsageError, "site=3 is of type int; it must be a name or a list of names"),
        ({"dtype": "float64"}, slitlamp.UsageError, "none of float32, bfloat16, float16"),
        ({"items": 1}, slitlamp.UsageError, "items 1: must be at least 2"),
        ({"json": True}, slitlamp.UsageError, "no argument 'json'"),
        ({"task": "miror"}, UnknownName, "did you mean"),
        ({"encoder": "phantom-clop"}, UnknownName, "did you mean 'phantom-clip'"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(given: dict, error: type[Exception], line: str) -> None:
    with pytest.raises(error, match=line):
        slitlamp.probe(**({"encoder": ENCODER, "task": "mirror"} | given))


def test_help_shows_the_flags() -> None:
    names = inspect.signature(slitlamp.probe).parameters
    assert {"encoder", "task", "data", "group", "site", "out"} <= set(names)
    assert names["out"].default is None
    assert "config" not in names


def test_features_are_those_of_the_encoder_for_arrays_files_and_folders(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 50), dtype=np.uint8) for _ in range(5)]
    (tmp_path / "films").mkdir()
    files = [tmp_path / "films" / f"{i}.png" for i in range(5)]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file)
    first = slitlamp.features(ENCODER, images, site="pooled")
    assert first.dtype == np.float32
    assert len(first) == 5
    np.testing.assert_array_equal(first, slitlamp.features(ENCODER, files, site="pooled"))
    np.testing.assert_array_equal(first, slitlamp.features(ENCODER, tmp_path / "films", site="pooled"))
    np.testing.assert_array_equal(first[:1], slitlamp.features(ENCODER, np.stack(images[:1]), site="pooled"))


@pytest.mark.parametrize(
    ("images", "site", "line"),
    [
        ([np.zeros((8, 8))], "pooled", r"image 0 is float64 \[8, 8\]; an image is uint8"),
        ([np.zeros((8, 8, 4), np.uint8)], "pooled", r"uint8 \[8, 8, 4\]"),
        ([], "pooled", "a list of files and of uint8 arrays .* given is an empty list"),
        (7, "pooled", "given is int"),
        ([np.zeros((8, 8), np.uint8)], "poled", "no site 'poled'; did you mean 'pooled'"),
        ([np.zeros((8, 8), np.uint8)], None, "several points fit"),
    ],
)
def test_images_and_points_that_do_not_fit_are_one_line(images: object, site: str | None, line: str) -> None:
    with pytest.raises(slitlamp.UsageError, match=line):
        slitlamp.features(ENCODER, images, site=site)  # type: ignore[arg-type]


def test_plain_arrays_lists_and_texts_are_measured() -> None:
    rng = np.random.default_rng(1)
    y = ["left", "right"] * 60
    x = rng.standard_normal((120, 4)) + np.array([[v == "left"] for v in y]) * 3.0
    given = slitlamp.measure(x.tolist(), y, groups=[f"p{i // 2}" for i in range(120)], permutations=99)
    assert given.state == "present"
    assert given.estimate.score > 0.85
    nothing = np.random.default_rng(3).standard_normal((120, 4))
    assert slitlamp.measure(nothing, y, permutations=99).state != "present"
    assert slitlamp.measure(x, x[:, 0] + 0.1, permutations=99).estimate.metric == "concordance"


@pytest.mark.parametrize(
    ("x", "y", "line"),
    [
        ([[1, 2], [3]], ["a", "b"], "cannot be read as numbers"),
        ([["x", "y"]] * 2, ["a", "b"], "cannot be read as numbers"),
        ([1.0, 2.0], ["a", "b"], r"must be \[items, width\]"),
        ([[1.0], [2.0]], ["a"], "one per item"),
        ([[1.0], [2.0]], [None, "a"], "answers are missing"),
        ([[1.0], [2.0]], [float("nan"), 1.0], "NaN or infinite"),
        ([[1.0], [2.0]], [["a"], ["b"]], "one per item"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(x: object, y: object, line: str) -> None:
    with pytest.raises(probes.ProbeError, match=line) as caught:
        slitlamp.measure(x, y)
    assert "\n" not in str(caught.value)


def test_dir_shows_what_there_is() -> None:
    assert dir(slitlamp) == sorted(slitlamp.__all__)
    assert {"features", "measure", "mine", "probe"} <= set(dir(slitlamp))
    assert all(getattr(slitlamp, name) is not None for name in dir(slitlamp))
    assert {"measure", "plan", "compare", "verdict", "feature_set", "names", "load"} <= set(dir(probes))
    with pytest.raises(AttributeError, match="there are"):
        _ = slitlamp.prob


SCRIPT = f"""
import slitlamp
from cache import Store
result = slitlamp.probe({ENCODER!r}, "mirror", items=40, permutations=99, jobs=2)
print(result.verdict.verdict, len(result.records))
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_script_without_a_main_guard_runs_with_workers(way: str, tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    words, given = ([str(file)], None) if way == "file" else (["-"], SCRIPT)
    done = subprocess.run(
        [sys.executable, *words], input=given, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.strip().splitlines()) == 1, done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"limit": 3}, "limit has nothing to act on in features; it takes image_column, window"),
        ({"out": "runs"}, "out has nothing to act on"),
        ({"encoder": [ENCODER]}, "features are those of one encoder"),
        ({"site": ["pooled"]}, "it must be one name"),
        ({"batch_size": 0}, "batch-size 0: must be at least 1"),
    ],
)
def test_features_take_what_acts_on_them_and_refuse_the_rest(given: dict, line: str) -> None:
    images = [np.zeros((8, 8), np.uint8)]
    with pytest.raises(slitlamp.UsageError, match=line):
        slitlamp.features(**({"encoder": ENCODER, "images": images, "site": "pooled"} | given))


def test_features_are_decoded_as_asked(tmp_path: Path) -> None:
    """A CT's features at the window that a probe would use: the window acts, and another gives others."""
    from PIL import Image

    ramp = np.linspace(0, 3000, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "ct.png")
    soft, bone = (
        slitlamp.features(ENCODER, [tmp_path / "ct.png"], site="pooled", window=window, intercept=-1024)
        for window in ("40/400", "500/2000")
    )
    assert not np.array_equal(soft, bone)


@pytest.mark.parametrize(
    ("given", "error", "line"),
    [
        ({"permutation": 99}, slitlamp.UsageError, "no argument 'permutation'; did you mean 'permutations'"),
        ({"permutations": 0}, slitlamp.UsageError, "permutations 0: must be at least 19"),
        ({"seed": "a"}, slitlamp.UsageError, "seed='a' is of type str"),
        ({"groups": "patient"}, probes.ProbeError, "groups must be one per item"),
        ({"groups": [None] * 60}, probes.ProbeError, "some groups are missing"),
        ({"y": np.ones(60)}, probes.ProbeError, "all answers are 1"),
        ({"x": np.full((60, 2), 1j)}, probes.ProbeError, "of type complex128"),
        ({"x": None}, probes.ProbeError, r"features must be \[items, width\]"),
    ],
)
def test_what_cannot_be_measured_is_one_line(given: dict, error: type[Exception], line: str) -> None:
    plain = {"x": np.random.default_rng(0).standard_normal((60, 3)), "y": ["a", "b"] * 30}
    with pytest.raises(error, match=line):
        slitlamp.measure(**(plain | given))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("given.y[:] = 0; return right", "label holds other answers than those that were given"),
        ("return 3", "returned a int; it must return probes.Predictions"),
        ("return replace(right, predicted=right.predicted[:, :3])", r"predicted has shape \[\d, 3\]"),
        ("return replace(right, score=right.score * np.nan)", "score holds values that are no finite numbers"),
        ("return replace(right, predicted=right.predicted + 7)", "no class; classes are 0 to 1"),
    ],
)
def test_what_a_users_probe_returns_is_held_against_the_contract(body: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(
        "from dataclasses import replace\nimport numpy as np\nimport probes\n"
        "def probe(given, folds, rng):\n    right = probes.load('ridge')(given, folds, rng)\n"
        f"    {body}\n"
    )
    x = np.random.default_rng(0).standard_normal((60, 3))
    with pytest.raises(probes.ProbeError, match=line):
        slitlamp.measure(x, ["a", "b"] * 30, probe=file)


def test_a_call_leaves_the_callers_logging_and_random_state_alone() -> None:
    import logging

    import torch

    before, state = list(logging.getLogger().handlers), torch.get_rng_state()
    slitlamp.features("phantom-clip", [np.zeros((64, 64), np.uint8)], site="pooled")
    assert logging.getLogger().handlers == before
    assert torch.equal(torch.get_rng_state(), state)


def films(folder: Path, answers: list[str], head: str = "file,dx", patients: int = 0) -> str:
    from PIL import Image

    lines = [head]
    for k, answer in enumerate(answers):
        grey = np.random.default_rng(k).integers(0, 200, (16, 16)) + 50 * (answer == "ill")
        Image.fromarray(grey.astype(np.uint8)).save(folder / f"{k}.png")
        lines.append(f"{k}.png,{answer}" + (f",P{k % patients}" if patients else ""))
    (folder / "films.csv").write_text("\n".join(lines) + "\n")
    return str(folder / "films.csv")


QUESTION = {"task": "label", "label": "dx", "site": "pooled", "permutations": 19, "repeats": 1, "jobs": 1}


@pytest.mark.usefixtures("undrawn")
def test_a_run_says_and_records_who_is_asked_with_which_answers_and_what_is_left_out(tmp_path: Path) -> None:
    data = films(tmp_path, ["ill", "well", "ill", "well", "None"] * 8, "file,dx,patient", patients=20)
    (tmp_path / "7.png").write_bytes(b"")
    result = slitlamp.probe(ENCODER, data=data, group="patient", out=tmp_path / "run", **QUESTION)
    (facts,) = result.questions
    assert facts == {
        "task": "label dx", "source": "films.csv", "items": 31, "images": 31, "groups": 16,
        "classes": {"ill": 15, "well": 16}, "range": None, "left_out": {"without dx": 8, "unreadable": 1},
        "limited": False, "notes": facts["notes"], "decode": facts["decode"],
    }  # fmt: skip
    assert facts["decode"]["exif"] == "apply"
    assert facts["notes"][0].startswith("8 of 39 rows have no dx (None) and are left out")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["questions"] == [facts]
    line = "label dx: 2 classes: ill 15, well 16; 31 items in 16 groups; left out: 8 without dx, 1 unreadable"
    for text in (str(result), result._repr_html_()):
        assert text.count(line) == 1
        assert "8 of 39 rows have no dx (None)" in " ".join(text.split())


def put(folder: Path, labels: list[str], **flags: Any) -> Question:
    """The question that the label `dx` of a folder of 12 films puts; each patient has two films."""
    from PIL import Image

    from slitlamp.settings import SourceSettings

    folder.mkdir(exist_ok=True)
    first = int(flags.pop("first", 0))
    patients = flags.pop("patients", [f"p{k // 2}" for k in range(12)])
    for k in range(12):
        image = np.full((8, 8), 20 * k, np.uint8)
        image[0, 0] = first
        Image.fromarray(image).save(folder / f"{k}.png")
    rows = [f"{k}.png,{labels[k]},{patients[k]}" for k in range(12)]
    (folder / "films.csv").write_text("\n".join(["file,dx,patient", *rows]) + "\n")
    given = {"data": str(folder / "films.csv"), "task": ("label",), "label": "dx", "group": "patient"}
    return ask(SourceSettings(**(given | flags)), Store(folder / "store"))[0]


def test_a_question_s_key_rests_on_pictures_answers_and_groups(tmp_path: Path) -> None:
    labels = ["ill", "well"] * 6
    one = put(tmp_path / "a", labels)
    assert put(tmp_path / "a", labels).data_key == one.data_key
    changed = [
        put(tmp_path / "a", ["well", "ill", *labels[2:]]),
        put(tmp_path / "a", labels, patients=[f"p{k // 3}" for k in range(12)]),
        put(tmp_path / "a", labels, first=9),
    ]
    assert len({one.data_key, *(other.data_key for other in changed)}) == 4
    assert [one.groups.tolist().index(g) for g in one.groups] == [k // 2 * 2 for k in range(12)]
    assert (one.classes, one.y.tolist(), one.limited, one.copies) == (("ill", "well"), [0, 1] * 6, False, None)
    assert put(tmp_path / "a", labels, limit=8).limited
    assert put(tmp_path / "a", labels, limit=8).facts["limited"]


def test_a_number_is_asked_as_one_and_copies_are_known_by_their_image(tmp_path: Path) -> None:
    asked = put(tmp_path / "a", [f"{2.5**k:.4f}" for k in range(12)])
    assert asked.classes is None
    assert asked.y == pytest.approx([2.5**k for k in range(12)], abs=1e-3)
    assert asked.facts["range"] == pytest.approx([1, (2.5**5 + 2.5**6) / 2, 2.5**11], abs=1e-3)
    turned = put(tmp_path / "a", ["x"] * 12, task=("mirror",), label=None)
    assert turned.copies is not None
    assert [turned.copies.count(one) for one in dict.fromkeys(turned.copies)] == [2] * 12


def test_the_line_on_a_question_names_numbers_rare_classes_and_copies() -> None:
    facts = {"task": "label dx", "items": 80, "images": 40, "groups": 40, "range": None, "left_out": {},
             "limited": True}  # fmt: skip
    of = "80 items of 40 images in 40 groups; LIMITED"
    assert question_line(facts | {"classes": None, "range": [18.0, 52.5, 90.0]}) == (
        f"label dx: a number from 18 to 90, median 52.5 (--classes: classes); {of}"
    )
    few = facts | {"classes": {"1": 2, "2": 3, "3": 75}}
    assert question_line(few) == f"label dx: 3 classes (--number: a number): 1 2, 2 3, 3 75; {of}"
    assert "(--number" not in question_line(facts | {"classes": {"0": 40, "1": 40}})
    many = facts | {"classes": {f"c{k}": 20 - k for k in range(15)} | {"\x1b[2J": 1}}
    assert question_line(many) == (
        f"label dx: 16 classes of 1 to 20 items: \\x1b[2J 1, c14 6, c13 7, … and 13 more; {of}"
    )


def test_a_sentinel_among_numbers_is_cautioned_in_text_notes_and_record(tmp_path: Path) -> None:
    values = [f"{v:.1f}" for v in np.random.default_rng(0).normal(50, 10, 40)]
    values[7] = "9999"
    result = slitlamp.probe(ENCODER, data=films(tmp_path, values), **QUESTION)
    said = [note for note in result.notes if "1 of 40 values looks like a typing error" in note]
    assert len(said) == 1
    assert said[0] in result.questions[0]["notes"]
    assert "(9999 in row 8, 995 interquartile ranges above; the others lie in " in " ".join(str(result).split())
    clean = slitlamp.probe(ENCODER, data=films(tmp_path, [v.replace("9999", "51.0") for v in values]), **QUESTION)
    assert not [note for note in clean.notes if "typing error" in note]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"classes": True, "number": True}, "--classes and --number: the values of --label are either"),
        ({"task": "mirror", "label": None, "classes": True}, "--classes has nothing to act on: mirror knows its own"),
        ({"task": "mirror", "label": None, "not_missing": "none"}, "--not-missing has nothing to act on"),
        ({"spelling": "maybe"}, "spelling='maybe' is none of refuse, unite, keep"),
    ],
)
def test_flags_about_answers_that_do_not_fit_are_refused(tmp_path: Path, flags: dict, message: str) -> None:
    with pytest.raises(slitlamp.UsageError, match=message):
        slitlamp.probe(ENCODER, data=films(tmp_path, ["ill", "well"] * 10), **QUESTION | flags)


def test_what_a_run_says_of_marks_pools_and_strange_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from PIL import Image

    from slitlamp import log
    from slitlamp.probing.run import _outside
    from slitlamp.settings import SourceSettings
    from slitlamp.sources import list_source

    rng, dots = np.random.default_rng(0), "red_x,red_y,green_x,green_y,blue_x,blue_y"
    for folder in ("mine", "pool"):
        (tmp_path / folder).mkdir()
        for k in range(12):
            Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(tmp_path / folder / f"{k}.png")
        for name, last in {"manifest.csv": 30, "m.CSV": 1, "far.csv": 41}.items():
            lines = [f"{k}.png,p{k // 2},{'ab'[k % 2]},.1,.2,.5,.5,.9,{last if k else 1}" for k in range(12)]
            (tmp_path / folder / name).write_text("\n".join([f"file,who,dx,{dots}", *lines]) + "\n")

    def question(name: str) -> Question:
        given = SourceSettings(data=f"mine/{name}", label="dx", group="who")
        return ask(given, Store(tmp_path / "store"))[0]

    assert any("all 36 marks lie within 1 pixel of the upper left corner" in w for w in question("m.CSV").warnings)
    assert not question("manifest.csv").warnings
    assert not _outside(question("manifest.csv"))
    assert _outside(question("far.csv")) == " (the first mark outside is of row 2)"
    asked = SourceSettings(data="mine/manifest.csv", pool="pool", group="who")
    for pool in ("pool", "pool/m.CSV"):  # a folder is read through its manifest
        assert len({row.group for row in list_source(asked, pool).rows}) == 6
    log.LOGGER.addHandler(caplog.handler)
    try:
        log.say("warning: bad\n\x1b[31mred.png · é")
    finally:
        log.LOGGER.removeHandler(caplog.handler)
    assert caplog.messages == [r"warning: bad\n\x1b[31mred.png · é"]


def test_the_place_in_the_list_is_a_control_of_what_is_asked_about_files(tmp_path: Path) -> None:
    found = slitlamp.probe(ENCODER, data=films(tmp_path, ["ill"] * 20 + ["well"] * 20), **QUESTION)
    (order,) = [record for record in found.records if record.encoder == "order"]
    assert (order.role, order.site, order.verdict) == ("control", "pooled", "present")
    (asked,) = {record.control_order for record in found.records if record.role == "encoder"}
    assert asked == order.score >= 0.85


def test_a_pool_is_left_without_what_is_asked_itself(tmp_path: Path) -> None:
    from PIL import Image

    from slitlamp.settings import SourceSettings

    pool = tmp_path / "pool"
    pool.mkdir()
    data = films(tmp_path, ["ill", "well"] * 10)
    for k in range(24):
        grey = np.random.default_rng([k, 1]).integers(0, 200, (16, 16), dtype=np.uint8)
        Image.fromarray(grey).save(pool / f"other{k}.png")
    (pool / "again.png").write_bytes((tmp_path / "3.png").read_bytes())
    asked = SourceSettings(data=data, label="dx", pool=str(pool))
    (question,) = ask(asked, Store(tmp_path / "store"))
    assert question.pool is not None
    assert len(question.pool.pictures.names) == 24
    assert any("1 of 25 images of the pool are left out" in line for line in question.warnings)
