"""The command end to end, on an encoder of NumPy alone: what it prints, keeps, resumes and refuses."""

import importlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tasks
from cache import Store
from experiments._exit import PARTIAL
from experiments.linear_probe import main
from slitlamp.questions import Opened, ask
from slitlamp.settings import SourceSettings
from tests.paths import ROOT, SHARED

ENCODER = str(ROOT / "tests" / "numpy_encoder.py")
RESULTS = ("results.json", "table.csv", "layers.pdf", "layers.svg", "layers.png")


DRAWN = ("test_a_run_prints", "test_the_same_seed", "test_a_second_run")  # the others save the time


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if not request.node.name.startswith(DRAWN):
        monkeypatch.setattr("slitlamp.reports.plots.layer_curve", lambda records: records)
        request.getfixturevalue("undrawn")
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    monkeypatch.chdir(ROOT)


def probe(out: Path, *more: str, items: int = 40, encoder: str = ENCODER) -> int:
    words = [
        "--encoder",
        encoder,
        "--items",
        str(items),
        "--permutations",
        "99",
        "--jobs",
        "1",
        "--out",
        str(out),
        *more,
    ]
    return main(words if "--data" not in more else [w for w in words if w not in ("--items", str(items))])


def images(folder: Path, count: int, *, size: int = 48, seed: int = 0, bright: int = 0) -> list[Path]:
    """Smooth random images with a brighter upper left corner, so that a turn shows."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    ramp = np.linspace(60, 0, size)[:, None] + np.linspace(40, 0, size)[None]
    paths = []
    for i in range(count):
        coarse = rng.normal(100 + bright, 12, (6, 6))
        picture = np.kron(coarse, np.ones((size // 6, size // 6))) + ramp + rng.normal(0, 3, (size, size))
        paths.append(folder / f"film{seed}_{i:03d}.png")
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def document(out: Path) -> dict:
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_a_run_prints_a_table_with_its_controls_and_a_verdict_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe(tmp_path / "out", "--task", "orientation", "--table", "full") == 0
    out, _ = capsys.readouterr()
    for word in (
        "lowlevel",
        "blind by construction",
        "pixels",
        "stage.1",
        "halves",
        "grid3",
        "95 % interval",
        "shuffled",
        "PRESENT, credit: pixels",
    ):
        assert word in out, word
    assert "untrained networks: none beside these" in out
    assert "architecture" not in out
    assert "To repeat: python -m experiments.linear_probe --encoder" in out
    assert "Synthetic: images are made by this project" in " ".join(out.split())
    found = document(tmp_path / "out")
    assert found["schema"] == 3
    assert set(found["files"]) == set(RESULTS)
    roles = {(r["encoder"], r["role"]) for r in found["records"]}
    assert {
        ("lowlevel", "control"),
        ("pixels", "control"),
        ("blocks", "encoder"),
    } == roles
    best = next(r for r in found["records"] if (r["role"], r["site"]) == ("encoder", "pooled"))
    assert best["verdict"] == "present"
    assert best["credit"] == "pixels"
    assert best["control_pixels"] > 0.9
    assert best["control_random"] is None, "a missing value is null, never invented"
    assert best["limited"] is False


def test_a_control_is_read_where_it_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(tmp_path / "out", "--task", "mirror", "--readout", "grid3", "--table", "full", encoder="pixels") == 0
    assert "final    grid3" in capsys.readouterr().out
    points = {(r["site"], r["readout"], r["role"]) for r in document(tmp_path / "out")["records"]}
    assert points >= {("final", "grid3", "encoder"), ("pooled", "vector", "control")}


def test_one_network_under_two_labels_has_a_row_each_and_untrained_draws_under_its_label(tmp_path: Path) -> None:
    shipped = ROOT / "encoders" / "weights" / "phantom-clip"
    more = ("--encoder", "theirs=phantom-clip", "--weights", f"mine={shipped}", "--twins", "1", "--site", "pooled")
    assert probe(tmp_path / "out", *more, "--task", "mirror", "--repeats", "1", encoder="mine=phantom-clip") == 0
    told = {r["encoder"]: r for r in document(tmp_path / "out")["records"]}
    assert set(told) >= {"mine", "theirs", "random:mine", "random:theirs", "lowlevel", "pixels"}
    assert "phantom-clip, fingerprint " in told["mine"]["weights"]
    assert told["random:mine"]["weights"] == "untrained"


def test_a_picture_that_fails_costs_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ill(_records: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr("slitlamp.reports.plots.layer_curve", ill)
    more = ("--site", "pooled", "--repeats", "1", "--table", "full")
    assert probe(tmp_path / "out", "--task", "mirror", *more) == 0
    out, err = capsys.readouterr()
    assert "pooled   vector" in out
    assert "layers.pdf could not be drawn (ValueError: no font)" in err
    assert document(tmp_path / "out")["files"] == ["results.json", "table.csv"]
    assert (tmp_path / "out" / "table.csv").exists()


def test_an_encoder_blind_to_turns_is_never_present_and_a_mean_loses_what_halves_keep(tmp_path: Path) -> None:
    assert probe(tmp_path / "out", "--task", "orientation", "--items", "80") == 0
    by_point = {(r["site"], r["readout"]): r for r in document(tmp_path / "out")["records"] if r["role"] == "encoder"}
    blind, mean, halves = by_point["blind", "vector"], by_point["stage.1", "mean"], by_point["stage.1", "halves"]
    assert blind["score"] == 0.5
    assert blind["verdict"] != "present"
    assert mean["verdict"] == "inconclusive"
    assert "what fails here is this readout, not the tokens" in mean["reason"]
    assert halves["verdict"] == "present"
    text = " ".join(document(tmp_path / "out")["verdicts"][0]["sentences"])
    assert "there it is the averaging that reads less, not the tokens" in text


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        points = ["--site", "pooled", "stage.1", "--readout", "vector", "mean", "halves"]
        assert probe(tmp_path / name, "--task", "mirror", "--seed", seed, *points) == 0
    for name in RESULTS:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    cells = sorted(p.name for p in (tmp_path / "a" / "cells").iterdir())
    assert cells == sorted(p.name for p in (tmp_path / "b" / "cells").iterdir())
    assert document(tmp_path / "a")["records"] != document(tmp_path / "c")["records"]


def test_a_second_run_encodes_nothing_and_computes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe(tmp_path / "out", "--task", "orientation") == 0
    first = {name: (tmp_path / "out" / name).read_bytes() for name in RESULTS}

    def never(*_args: object, **_more: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr("slitlamp.encoding.fill._encode", never)
    monkeypatch.setattr("slitlamp.probing.workers.measure", never)
    assert probe(tmp_path / "out", "--task", "orientation") == 0
    assert first == {name: (tmp_path / "out" / name).read_bytes() for name in RESULTS}


def test_another_seed_or_permutation_count_is_another_cell(tmp_path: Path) -> None:
    counts = []
    for more in ([], ["--seed", "1"], ["--permutations", "49"], ["--repeats", "2"], ["--folds", "4"]):
        assert probe(tmp_path / "out", "--task", "orientation", "--site", "pooled", "--replace", *more) == 0
        counts.append(len(list((tmp_path / "out" / "cells").glob("*.npz"))))
    assert counts == sorted(set(counts)), "each setting has cells of its own"


def test_dry_run_prints_a_plan_and_encodes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(tmp_path / "out", "--task", "orientation", "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    name = Path(ENCODER).name
    twins = {f"random:{name}{draw}" for draw in ("", "#1", "#2", "#3", "#4")}
    assert {row["encoder"] for row in plan["plan"]} == {name, "lowlevel", "pixels"} | twins
    assert probe(tmp_path / "out", "--task", "orientation", "--dry-run", "--json", "--twins", "0") == 0
    plan = json.loads(capsys.readouterr().out)
    assert {row["encoder"] for row in plan["plan"]} == {name, "lowlevel", "pixels"}
    assert not (tmp_path / "out").exists()


def test_dry_run_asks_the_source_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(12):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / f"{k}.png")
    asked, real = [], tasks.open_source
    monkeypatch.setattr(tasks, "open_source", lambda spec, **choices: asked.append(spec) or real(spec, **choices))
    words = ("--encoder", "pixels", "--data", str(tmp_path), "--dry-run", "--json", "--out", str(tmp_path / "out"))
    assert main([*words, "--task", "mirror", "orientation", "--limit", "12"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {row["task"] for row in plan["plan"]} == {"mirror", "orientation"}
    assert len(asked) == 1
    opened: Opened = {}
    for limit in (11, 12):  # another source is another one
        settings = SourceSettings(data=str(tmp_path), task=("mirror",), limit=limit)
        assert ask(settings, Store(tmp_path / "store"), opened)[0].facts["images"] == limit


def test_dry_run_says_who_cannot_be_asked_as_the_run_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan of one encoder of two is no plan of both; and none of the folder in which a file lies gets into it."""
    (tmp_path / "north clinic").mkdir()
    broken = tmp_path / "north clinic" / "broken.py"
    broken.write_text("1 / 0")
    words = ("--task", "mirror", "--encoder", "lowlevel", str(broken), "--items", "20", "--twins", "0", "--dry-run")
    for more in ((), ("--json",)):
        assert main([*words, *more]) == PARTIAL
        out, err = capsys.readouterr()
        assert "error: broken.py, line 1: ZeroDivisionError" in err
        assert "north clinic" not in out
        assert json.loads(out)["failed"] if more else "lowlevel" in out


def test_dry_run_is_priced_by_what_was_measured_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown before anything was timed; then the cells and images that are left, and what they take."""
    words = ("--task", "mirror", "--repeats", "1")
    assert probe(tmp_path / "out", *words, "--dry-run") == 0
    assert "Time: not known" in capsys.readouterr().out
    assert probe(tmp_path / "out", *words, "--dry-run", "--json") == 0
    before = json.loads(capsys.readouterr().out)["totals"]
    assert before["seconds"] is None
    assert before["cells_known"] == 0
    assert probe(tmp_path / "out", *words) == 0
    capsys.readouterr()
    assert before["cells"] == len(list((tmp_path / "out" / "cells").glob("*.npz"))), "the cells that a run measures"
    shards = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*.h5"))
    assert 0 < before["bytes_to_store"] <= shards
    assert probe(tmp_path / "out", *words, "--dry-run", "--json") == 0
    done = json.loads(capsys.readouterr().out)["totals"]
    assert (done["images_to_encode"], done["cells_known"], done["seconds"]) == (0, before["cells"], 0)
    assert probe(tmp_path / "other", *words, "--dry-run", "--json", items=60) == 0
    more = json.loads(capsys.readouterr().out)["totals"]
    assert more["seconds"] > 0
    assert more["images_to_encode"] > 0
    assert probe(tmp_path / "other", *words, "--dry-run", items=60) == 0
    out, err = capsys.readouterr()
    assert "by what such images and cells took on this machine" in " ".join(out.split())
    assert err.count("device:") == 1


@pytest.mark.parametrize(
    "words", [("diagnose", "--model"), ("embedding_plot", "--encoder"), ("attribution", "--encoder"),
              ("pairs", "similarity", "--encoder"), ("visual_prompts", "--encoder")], ids=lambda words: words[0],
)  # fmt: skip
def test_every_command_that_encodes_says_its_price_and_writes_nothing(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = words
    which = importlib.import_module(f"experiments.{command}").main
    task = {"pairs": [], "visual_prompts": ["--task", "depth"]}.get(command, ["--task", "mirror"])
    size = ["--limit", "20"] if command == "attribution" else ["--items", "20"]
    assert which([*rest, ENCODER, *task, *size, "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "images to encode" in out
    assert "Time: not known" in out
    assert "Not in these numbers" in out
    assert "nothing was encoded" in err
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "store").rglob("*.h5"))


def test_json_is_one_document_and_equals_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(tmp_path / "out", "--task", "orientation", "--json", "--site", "pooled") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == document(tmp_path / "out")
    assert {r["site"] for r in printed["records"] if r["role"] == "encoder"} == {"pooled"}


def test_a_folder_of_images_runs_and_an_unreadable_one_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path / "films", 30)
    (tmp_path / "films" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot an image")
    assert probe(tmp_path / "out", "--task", "orientation", "--data", str(tmp_path / "films")) == 0
    out, err = capsys.readouterr()
    assert "unreadable, left out: " in err
    assert "broken.png" in err
    assert "60 items of 30 images in 30 groups" in out
    assert (
        str(tmp_path)
        not in (tmp_path / "out" / "table.csv")
        .read_text()
        .replace(str(tmp_path / "films"), "", 0)
        .split("python -m")[0]
    ), "no absolute path before the command itself"


def test_a_number_is_probed_as_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pyarrow import parquet

    rows = ["file,age,who"]
    for k in range(60):
        (path,) = images(tmp_path / "films", 1, seed=k, bright=k)
        rows.append(f"films/{path.name},{20 + k + 0.5},p{k}")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    more = ("--data", str(tmp_path / "m.csv"), "--label", "age", "--group", "who")
    assert probe(tmp_path / "out", *more, "--table", "full") == 0
    assert "concordance, chance 0.500" in capsys.readouterr().out
    pooled = next(r for r in document(tmp_path / "out")["records"] if (r["role"], r["site"]) == ("encoder", "pooled"))
    assert pooled["n_classes"] is None
    assert pooled["score"] > 0.5
    tables = [parquet.read_table(path) for path in (tmp_path / "out" / "cells").glob("*.parquet")]
    assert {20.5 + k for k in range(60)} in [set(table["number"].to_pylist()) for table in tables]
    assert all(abs(sum(table["label"].to_pylist())) < 1e-6 for table in tables), "the label is their normal score"
    assert pooled["credit"] == "nuisance", "brightness tells it"


def faulty(tmp_path: Path, body: str) -> str:
    path = tmp_path / "faulty.py"
    path.write_text(
        "import numpy as np\nimport encoders\n"
        "CARD = encoders.Card(name='faulty', sites={'pooled': encoders.Site(width=4)})\n"
        f"def features(images):\n    {body}\n"
        "def load(device):\n    return encoders.from_function(CARD, features)\n"
    )
    return str(path)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("return {'pooled': np.zeros((len(images), 3))}", 4, r"pooled"),
        ("return {'other': np.zeros((len(images), 4))}", 4, r"declares site 'pooled'"),
        ("raise ValueError('my own fault')", 2, r"faulty.py.*my own fault"),
        (
            "return {'pooled': np.full((len(images), 4), np.nan)}",
            3,
            r"NaN or infinite features at pooled/vector for item",
        ),
    ],
)
def test_a_users_encoder_that_misbehaves_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, code: int, message: str
) -> None:
    import re

    assert probe(tmp_path / "out", "--task", "orientation", encoder=faulty(tmp_path, body)) == code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(message, last), last


@pytest.mark.parametrize(
    ("body", "code", "fault"),
    [
        ("raise ValueError('my own fault')", 5, "faulty.py, line 5: ValueError: my own fault"),
        ("return {'pooled': np.full((len(images), 4), np.nan)}", 5, "faulty gives NaN or infinite features at pooled"),
        ("return blocks(images)", 0, None),
    ],
)
def test_one_encoder_of_two_that_fails_is_named_and_the_other_finishes_with_exit_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, code: int, fault: str | None
) -> None:
    second = faulty(tmp_path, body)
    healthy = (
        "def blocks(images):\n    return {'pooled': np.stack([i[:2, :2].reshape(-1)[:4] / 1.0 for i in images])}\n"
    )
    Path(second).write_text(Path(second).read_text() + healthy)
    more = ("--task", "mirror", "--site", "pooled", "--repeats", "1", "--encoder", ENCODER, second)
    assert probe(tmp_path / "out", *more) == code
    out, err = capsys.readouterr()
    named = [line for line in err.splitlines() if line.startswith("error: ")]
    found = document(tmp_path / "out")
    told = {v["encoder"] for v in found["verdicts"]}
    assert told == {r["encoder"] for r in found["records"] if r["role"] == "encoder"}
    if fault is None:
        assert (named, told) == ([], {"blocks", "faulty"})
        return
    assert len(named) == 1
    assert fault in named[0]
    assert told == {"blocks"}
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--encoder", "biomedclp"], 2, "biomedclip"),
        (["--encoder", "pixels", "--task", "orientatoin"], 2, "did you mean orientation?"),
        (["--encoder", "pixels", "--task", "label"], 2, "has no phantoms: say --data SOURCE"),
        (["--encoder", "pixels", "--probe", "liner"], 2, "linear"),
        (
            ["--encoder", "pixels", "--site", "polled"],
            2,
            "pixels has no site 'polled'; did you mean pooled? it has thumbnail.8-16, pooled",
        ),
        (["--encoder", "pixels", "--reference", "poled/vector"], 2, "did you mean 'pooled/vector'? it may be pixels"),
        (["--encoder", "pixels", "--data", "EMPTY"], 3, "no image"),
        (["--encoder", "pixels", "--data", "nowhere"], 3, "nowhere"),
        (["--encoder", "pixels", "--data", "M.csv", "--label", "agee"], 3, "age"),
        (["--encoder", "pixels", "--data", "M.csv", "--label", "same"], 3, "same"),
        (["--encoder", "pixels", "--data", "M.csv", "--label", "sex", "--group", "site"], 3, "one group"),
        (["--encoder", "pixels", "--items", "8", "--folds", "9"], 3, "4 groups cannot fill 9 folds"),
        (["--encoder", "pixels", "--device", "cuda:7"], 4, "cuda"),
        (["--encoder", "orientation"], 2, "orientation is a task: say --task orientation"),
        (["--encoder", "pixels", "--probe", "mirror"], 2, "mirror is a task: say --task mirror"),
        (["--encoder", "timm:resnet18.nosuch"], 2, "timm's resnet18 has no weights 'nosuch'; it has"),
        (
            ["--encoder", "pixels", "--data", "M.csv", "--task", "mirror", "--limit", "3"],
            3,
            "--limit 3 leaves too little for mirror, 6 items in 3 groups",
        ),
        (["--encoder", "pixels", "--data", "M.csv", "--label", "sex", "--limit", "1"], 3, "(with --limit 1)"),
        (["--encoder", "pixels", "--items", "4"], 3, "--items 4 leaves too little for orientation"),
    ],
)
def test_each_mistake_is_one_line_with_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, message: str
) -> None:
    (tmp_path / "EMPTY").mkdir()
    paths = images(tmp_path / "films", 12)
    rows = [f"films/{p.name},{30 + i},{'FM'[i % 2]},{'AB'[i % 2]},x" for i, p in enumerate(paths)]
    (tmp_path / "M.csv").write_text("\n".join(["file,age,sex,site,same", *rows]) + "\n")
    words = [str(tmp_path / w) if w in ("EMPTY", "M.csv") else w for w in argv]
    assert main([*words, "--out", str(tmp_path / "out")]) == code
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert out == ""
    assert last.startswith("error: "), err
    assert message in last, last
    assert "Traceback" not in err


def test_a_disk_that_fills_up_loses_nothing_that_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from slitlamp.probing.cells import Cells

    save, calls = Cells.save, []

    def full(self: Cells, *given: object) -> None:
        calls.append(given)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        save(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Cells, "save", full)
    assert probe(tmp_path / "out", "--task", "orientation") == 5
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert len(list((tmp_path / "out" / "cells").glob("*.npz"))) == 3
    monkeypatch.setattr(Cells, "save", save)
    assert probe(tmp_path / "out", "--task", "orientation") == 0
    timing = json.loads((tmp_path / "out" / "timing.json").read_text())
    assert timing["images_encoded"] == 0, "features were closed before the disk was full"


def started(out: Path, store: Path, *more: str) -> "subprocess.Popen[str]":
    words = ["--encoder", ENCODER, "--task", "orientation", "mirror", "--items", "40", "--permutations", "99", *more]
    # a job in the background of a shell is born deaf to Ctrl-C, and so are its children
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.linear_probe", *words, "--out", str(out)],
            cwd=ROOT, env=os.environ | {"SLITLAMP_CACHE": str(store)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_killed_at_six_moments_the_same_command_ends_with_the_same_result(tmp_path: Path) -> None:
    """Moments are those when a run has written a share of what a whole one writes, of shards, cells and results."""

    def files(name: str) -> int:
        return sum(path.is_file() for place in (name, f"store-{name}") for path in (tmp_path / place).rglob("*"))

    def run(name: str, stop: float) -> int:
        process = started(tmp_path / name, tmp_path / f"store-{name}", "--jobs", "1")
        while process.poll() is None and files(name) < stop:
            time.sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return process.returncode

    assert run("whole", math.inf) == 0
    total = files("whole")
    assert total > 30
    stops = [share * total for share in (0.02, 0.2, 0.4, 0.6, 0.8, 0.95)]
    assert [run("cut", stop) for stop in stops] == [-signal.SIGKILL] * len(stops)
    assert files("cut") > 0.9 * total, "it was killed before much of it was written"
    assert run("cut", math.inf) == 0
    for name in RESULTS:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.slow
def test_ctrl_c_ends_with_the_line_that_resumes(tmp_path: Path) -> None:
    process = started(tmp_path / "out", tmp_path / "store", "--jobs", "2", "--permutations", "1999", "--repeats", "20")
    while process.poll() is None and not [*(tmp_path / "out").rglob("*.npz")]:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "Traceback" not in said, said
    assert "To resume: python -m experiments.linear_probe --encoder" in said


def test_a_flipped_byte_in_a_shard_is_never_used(tmp_path: Path) -> None:
    assert probe(tmp_path / "a", "--task", "orientation", "--site", "pooled") == 0
    shards = sorted((tmp_path / "store").rglob("*.h5"))
    assert shards
    for shard in shards:
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 4
        shard.chmod(0o644)
        shard.write_bytes(data)
    from experiments.features import main as features

    assert features(["verify"]) == 3
    assert probe(tmp_path / "b", "--task", "orientation", "--site", "pooled") == 0
    assert (tmp_path / "a" / "results.json").read_bytes() == (tmp_path / "b" / "results.json").read_bytes()


def shared(name: str) -> str:
    folder = SHARED / name / "manifest.csv"
    if not folder.exists():
        pytest.skip("the shared images are not on this machine (SLITLAMP_SHARED)")
    return str(folder)


def test_on_real_films_upright_is_read_from_pixels_too_and_the_words_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", shared("cxr_nih"), "--group", "group", "--limit", "60")
    assert probe(tmp_path / "out", "--task", "orientation", "--site", "pooled", *data) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "LIMITED RUN" in text
    assert re.search(r"a thumbnail of (\d+) × \1 pixels reads it too", text)
    records = document(tmp_path / "out")["records"]
    assert next(r for r in records if r["encoder"] == "pixels")["score"] > 0.9
    assert next(r for r in records if r["encoder"] == "lowlevel")["score"] == 0.5
    assert all(r["limited"] for r in records)


def test_on_real_ct_the_table_warns_where_scanner_or_window_betrays_contrast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", shared("ct_contrast"), "--image-column", "hu16", "--window", "40/400", "--intercept", "-1024")
    more = ("--task", "contrast", "--label", "contrast", "--group", "group", "--permutations", "499")
    assert probe(tmp_path / "out", *data, *more) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "61 items in 36 groups" in text
    assert "WARNING: image statistics without layout" in text
    assert not [r for r in document(tmp_path / "out")["records"] if r["verdict"] == "absent"], "36 patients show little"


OWN_TWIN = """
import encoders, numpy as np, torch
CARD = encoders.Card(name="own")
def made(device):
    return encoders.from_module(CARD, torch.nn.Sequential(torch.nn.AvgPool2d(6), torch.nn.Conv2d(1, 4, 1)),
                                lambda image: np.float32(image[None, :48, :48]), {"final": "1"}, device=device)
load = made
def untrained(device):
    BODY
"""


@pytest.mark.parametrize(
    ("body", "said", "drawn"),
    [
        (
            "torch.manual_seed(3); return made(device)",
            r"warning: random:.*own.py#1 is the draw that random:.*own.py is",
            1,
        ),
        ("e = made(device); e.module[1].weight *= np.nan; return e", r"no untrained draw beside .*NaN or infinity", 0),
        ("return made(device)", None, 2),
    ],
)
def test_draws_of_a_users_own_that_are_none_or_one_are_told_and_the_others_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, said: str | None, drawn: int
) -> None:
    import re

    (tmp_path / "own.py").write_text(OWN_TWIN.replace("BODY", body))
    more = (
        "--data",
        str(images(tmp_path / "films", 20)[0].parent),
        "--task",
        "mirror",
        "--readout",
        "mean",
        "--table",
        "full",
    )
    assert probe(tmp_path / "out", *more, "--repeats", "1", "--twins", "2", encoder=str(tmp_path / "own.py")) == 0
    out, err = capsys.readouterr()
    warnings = [w for w in err.splitlines() if w.startswith("warning") and re.search(said or "draw|twin", w)]
    assert len(warnings) == (said is not None), err
    named = {r["encoder"] for r in document(tmp_path / "out")["records"]} - {
        "own",
        "lowlevel",
        "pixels",
    }
    assert named == set(("random:own", "random:own#1")[:drawn])
    assert ("mean of 2 draws" in out) == (drawn == 2)


def test_local_weights_are_the_encoder_s_and_no_control_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = ROOT / "encoders" / "weights" / "phantom-clip"
    weights = ["--weights", str(shipped), "--task", "orientation", "--site", "pooled", "--json", "--twins", "3"]
    assert probe(tmp_path / "out", *weights, encoder="phantom-clip") == 0
    told = {r["encoder"]: r["weights"] for r in json.loads(capsys.readouterr().out)["records"]}
    assert "fingerprint" in told["phantom-clip"]
    assert told["lowlevel"] == told["pixels"] == "none"
    assert [told[f"random:phantom-clip{draw}"] for draw in ("", "#1", "#2")] == ["untrained"] * 3
    assert probe(tmp_path / "two", *weights, "--encoder", "clip-b16", encoder="phantom-clip") == 2
    assert "can stand for one encoder, not for phantom-clip and clip-b16" in capsys.readouterr().err


GRID = """
import encoders
from tests.numpy_encoder import features

CARD = encoders.Card(
    name="grid", licence="Apache-2.0", sites={{"stage.1": encoders.Site(width=1, grid=(8, 8))}},
    input=encoders.Input(size=(64, 64), resize="shortest", crop={crop}, mean=(0.0,), std=(1.0,),
                         interpolation="area", backend="numpy", edge={edge}),
)


def load(device):
    return encoders.from_function(CARD, lambda images: {{"stage.1": features(images)["stage.1"]}})
"""


def test_under_the_marks_brightness_is_the_control(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grid.py").write_text(GRID.format(crop=None, edge=None))
    own_file = str(tmp_path / "grid.py")
    words = ["--task", "depth", "--probe", "marks", "--json"]
    assert probe(tmp_path / "out", *words, items=120, encoder=own_file) == 0
    told = json.loads(capsys.readouterr().out)
    own = [r for r in told["records"] if r["role"] == "encoder"]
    assert {r["readout"] for r in own} == {"at-mark"}
    place = next(r for r in told["records"] if r["encoder"] == "pixels" and r["readout"] == "at-mark")
    assert place["score"] > 0.7  # near walls are bright
    assert own[0]["control_pixels"] == place["score"]
    assert own[0]["credit"] == "pixels"
    assert "the brightness around the marks" in own[0]["reason"]
    assert probe(tmp_path / "all", "--task", "depth", "--json", items=120, encoder=own_file) == 0
    mean = next(r for r in json.loads(capsys.readouterr().out)["records"] if r["role"] == "encoder")
    assert mean["readout"] == "mean"
    assert mean["verdict"] == "inconclusive"  # the tokens hold what their mean has lost
    assert "what fails here is this readout, not the tokens" in mean["reason"]
    assert probe(tmp_path / "none", "--task", "orientation", "--probe", "marks", encoder=own_file) == 2
    assert "chooses between the marks of an image" in capsys.readouterr().err
    assert probe(tmp_path / "blind", "--task", "depth", "--probe", "marks") == 2
    assert "has no grid of tokens whose place in the image is known" in capsys.readouterr().err


def test_where_a_crop_leaves_a_mark_out_everything_else_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grid.py").write_text(GRID.format(crop='"center"', edge=128))
    assert probe(tmp_path / "out", "--task", "depth", "--json", encoder=str(tmp_path / "grid.py")) == 0
    out, err = capsys.readouterr()
    own = {r["readout"] for r in json.loads(out)["records"] if r["role"] == "encoder"}
    assert own == {"mean", "halves", "grid3"}
    assert "grid.py is not read under the marks: a mark at" in err


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_encoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert probe(tmp_path / "file" / "out") == 2
    err = capsys.readouterr().err
    assert "cannot be written (Not a directory): name a folder of your own" in err
    assert "loading" not in err
