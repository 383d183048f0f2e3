"""Users' own encoders, tasks and probes in a run: one shape of error, one exit code, and never a stale score."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import encoders
import probes
import tasks
from experiments.linear_probe import main
from plugins import UserFileError
from tests.paths import ROOT

ENCODER = """
import numpy as np
import encoders
CARD = encoders.Card(name="mine", sites={"pooled": encoders.Site(width=4)})
def features(images):
    return {"pooled": np.stack([[image[:20].mean(), image[-20:].mean(), image[:, :20].mean(), image[:, -20:].mean()]
                                for image in images])}
def load(device):
    return encoders.from_function(CARD, features)
"""
TASK = """
import tasks
def items(source, rng, column):
    for k, row in enumerate(source.rows):
        yield tasks.Item(id=row.id, group=row.group, label=("odd", "even")[k % 2], picture=row.picture)
TASK = tasks.Task(name="mine", question="Odd?", classes=("odd", "even"), version=1, items=items,
                  phantoms=tasks.load("orientation").phantoms)
"""
PROBE = (ROOT / "docs" / "examples" / "probe.py").read_text(encoding="utf-8")
TEXTS = {"encoder": ENCODER, "task": TASK, "probe": PROBE}
PLACES = {"encoder": "def load(device):", "task": "def items(source, rng, column):", "probe": "    del rng"}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slitlamp.reports.files._figure", lambda *_: [])
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))


def words(tmp_path: Path, *more: str, **files: Path) -> list[str]:
    named = {"encoder": "pixels", "task": "orientation"} | {kind: str(path) for kind, path in files.items()}
    flags = [word for kind, value in named.items() for word in (f"--{kind}", value)]
    quick = ("--items", "24", "--permutations", "19", "--repeats", "1", "--folds", "3", "--jobs", "1", "--twins", "0")
    return [*flags, *quick, "--out", str(tmp_path / "out"), *more]


def score(tmp_path: Path) -> float:
    records = json.loads((tmp_path / "out" / "results.json").read_text())["records"]
    return next(r["score"] for r in records if r["role"] == "encoder")


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("kind", TEXTS)
def test_a_healthy_file_with_a_helper_that_is_imported_late_runs(kind: str, tmp_path: Path) -> None:
    place = PLACES[kind]
    late = f"{place}\n    import helper; assert helper.VALUE" if "def" in place else f"    import helper\n{place}"
    path = write(tmp_path / "user", TEXTS[kind].replace(place, late))
    write(tmp_path / "user", "VALUE = 1\n", "helper.py")
    assert main(words(tmp_path, **{kind: path})) == 0
    assert not (tmp_path / "user" / "__pycache__").exists()


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("when", ["at import", "when called", "nothing defined", "not there"])
def test_a_faulty_file_of_any_kind_ends_in_one_line_of_one_shape_and_with_one_exit_code(
    kind: str, when: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = PLACES[kind]
    called = f"{place}\n    1/0" if "def" in place else f"    1/0\n{place}"
    text = {"at import": "\n1/0\n", "when called": TEXTS[kind].replace(place, called), "nothing defined": "x = 1\n"}
    path = tmp_path / "user" / "mine.py"
    line = 2
    if when != "not there":
        write(tmp_path / "user", text[when])
    if when == "when called":
        line = path.read_text().splitlines().index("    1/0") + 1
    assert main(words(tmp_path, **{kind: path})) == 2
    err = capsys.readouterr().err.strip().splitlines()
    defines = {"encoder": "CARD", "task": "TASK", "probe": "probe"}[kind]
    expected = {
        "not there": f"error: no {kind} file '{path}': give the path of a Python file that defines {defines}",
        "nothing defined": f"error: {path} does not define {defines} (",
    }.get(when, f"error: {path}, line {line}: ZeroDivisionError: division by zero")
    assert err[-1].startswith(expected)
    assert not any("Traceback" in other for other in err)


def test_a_probe_that_fails_in_a_worker_process_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "user", PROBE.replace("    del rng", "    import helper; helper.fail()\n    del rng"))
    write(tmp_path / "user", "def fail():\n    raise ValueError('my own')\n", "helper.py")
    assert main(words(tmp_path, "--jobs", "2", probe=path)) == 2
    assert f"error: {path.parent}/helper.py, line 2: ValueError: my own" in capsys.readouterr().err


def test_a_picture_of_a_users_task_is_blamed_by_its_line(tmp_path: Path) -> None:
    made = "tasks.Picture(read=lambda: 1 / 0)"
    path = write(tmp_path, TASK.replace("picture=row.picture", f"picture={made}"))
    task = tasks.load(str(path))
    assert task.phantoms is not None
    (item, *_) = task.items(task.phantoms(4, 0), np.random.default_rng(0), None)
    with pytest.raises(UserFileError, match=r"mine\.py, line 5: ZeroDivisionError"):
        item.picture.read()
    write(tmp_path, TASK.replace("yield tasks.Item(", "yield dict("))
    task = tasks.load(str(path))
    row = tasks.Row(id="a", group="a", picture=item.picture)
    with pytest.raises(UserFileError, match=r"mine\.py: items yields a dict; it must yield tasks\.Item"):
        list(task.items(tasks.Source(name="x", rows=(row,)), np.random.default_rng(0), None))


def test_a_probe_and_the_items_of_a_task_can_be_handed_to_another_process(tmp_path: Path) -> None:
    mine = write(tmp_path, "def probe(given, folds, rng):\n    return 'mine'\n")
    assert pickle.loads(pickle.dumps(probes.load(str(mine))))(0, 0, 0) == "mine"
    task = tasks.load(str(write(tmp_path, TASK)))
    assert task.phantoms is not None
    again = pickle.loads(pickle.dumps(task.items))
    assert [i.id for i in again(task.phantoms(4, 0), np.random.default_rng(0), None)]
    encoder = encoders.load(str(write(tmp_path, ENCODER)))
    with pytest.raises(TypeError, match=r"a function of .*mine\.py cannot be handed to another process"):
        pickle.dumps(encoder.forward)


# never a stale score

HIDDEN = """
import encoders, helper, numpy as np, torch
CARD = encoders.Card(name="mine")
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        weight = torch.from_numpy(np.load(helper.FILE).astype(np.float32))
        HOLD
        self.out = torch.nn.Identity()
    def forward(self, x):
        return self.out(USE)
def prepare(image):
    grey = np.float32(image if image.ndim == 2 else image.mean(2))
    return np.float32([grey[:20].mean(), grey[-20:].mean(), grey[:, :20].mean(), grey[:, -20:].mean()]) / 255
def load(device):
    return encoders.from_module(CARD, Net(), prepare, {"pooled": "out"}, device=device)
"""
HOLDS = {
    "a plain tensor": ("self.weight = weight", "x @ self.weight"),
    "a list of layers": (
        "self.layers = [torch.nn.Linear(4, 4, bias=False)]; self.layers[0].weight.data = weight.T.contiguous()",
        "self.layers[0](x)",
    ),
    "a closure": ("self.use = lambda x: x @ weight", "self.use(x)"),
}


@pytest.fixture(params=HOLDS)
def hidden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A module whose weights are no parameters, from a file that a helper names and nobody declares."""
    hold, use = HOLDS[request.param]
    path = write(tmp_path / "user", HIDDEN.replace("HOLD", hold).replace("USE", use))
    write(tmp_path / "user", "from pathlib import Path\nFILE = Path(__file__).parent / 'w.npy'\n", "helper.py")
    np.save(tmp_path / "user" / "w.npy", np.eye(4))
    return path


def test_weights_that_are_no_parameters_change_the_fingerprint(hidden: Path) -> None:
    before = encoders.load(str(hidden))
    assert not list(before.module.parameters())
    assert encoders.load(str(hidden)).fingerprint == before.fingerprint
    np.save(hidden.parent / "w.npy", np.eye(4) * 1.001)
    assert encoders.load(str(hidden)).fingerprint != before.fingerprint
    np.save(hidden.parent / "w.npy", np.eye(4))
    assert encoders.load(str(hidden)).fingerprint == before.fingerprint


def test_a_rerun_after_they_changed_gives_the_new_score_and_without_a_change_encodes_nothing(
    hidden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(words(tmp_path, encoder=hidden)) == 0
    before = score(tmp_path)
    np.save(hidden.parent / "w.npy", np.zeros((4, 4)))
    assert main(words(tmp_path, encoder=hidden)) == 0
    assert score(tmp_path) == 0.5 != before
    monkeypatch.setattr("slitlamp.encoding.fill._encode", lambda *_: pytest.fail("encoded again"))
    assert main(words(tmp_path, encoder=hidden)) == 0
    assert score(tmp_path) == 0.5


def test_a_file_that_declares_what_it_reads_is_neither_executed_nor_torch_imported_by_a_rerun(tmp_path: Path) -> None:
    hold, use = HOLDS["a plain tensor"]
    text = HIDDEN.replace("HOLD", hold).replace("USE", use).replace("CARD =", "FILES = 'w.npy',\nCARD =", 1)
    marked = text.replace("import encoders,", "print('executed')\nimport encoders,", 1)
    path = write(tmp_path / "user", marked)
    write(tmp_path / "user", "from pathlib import Path\nFILE = Path(__file__).parent / 'w.npy'\n", "helper.py")
    np.save(tmp_path / "user" / "w.npy", np.eye(4))
    program = (
        "import sys\nfrom experiments.linear_probe import main\n"
        f"code = main({[*words(tmp_path, encoder=path), '--json']!r})\n"
        "print('TORCH', 'torch' in sys.modules, code, file=sys.stderr)\n"
    )

    def ran() -> tuple[bool, str]:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ)
        )
        return done.stdout.startswith("executed"), done.stderr.strip().splitlines()[-1]

    assert ran() == (True, "TORCH True 0")
    assert ran() == (False, "TORCH False 0")
    np.save(tmp_path / "user" / "w.npy", np.zeros((4, 4)))
    assert ran() == (True, "TORCH True 0")
    assert score(tmp_path) == 0.5


def test_measurements_by_a_users_probe_rest_on_its_helpers_and_files(tmp_path: Path) -> None:
    path = write(
        tmp_path / "user", "FILES = ('t.txt',)\n" + PROBE.replace("    del rng", "    import helper\n    del rng")
    )
    write(tmp_path / "user", "A = 1\n", "helper.py")
    write(tmp_path / "user", "1", "t.txt")

    def cells() -> int:
        assert main(words(tmp_path, probe=path)) == 0
        return len(list((tmp_path / "out" / "cells").glob("*.npz")))

    first = cells()
    assert cells() == first
    write(tmp_path / "user", "A = 2\n", "helper.py")
    second = cells()
    assert second > first
    write(tmp_path / "user", "2", "t.txt")
    assert cells() > second
