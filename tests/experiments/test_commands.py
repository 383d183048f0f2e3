"""The command line: flags, files, one line for every mistake, and cells that survive."""

import argparse
import dataclasses
import importlib
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from cache import StoreError
from encoders import EncoderError
from experiments._cli import parse
from experiments._exit import DATA, DONE, ENCODER, INTERRUPTED, PARTIAL, USAGE, guard
from hub.errors import HubError
from plugins import UserFileError
from probes import ProbeError
from slitlamp.errors import UsageError
from slitlamp.probing.cells import Cells, pack, unpack
from slitlamp.settings import Settings, SourceSettings, command_line
from slitlamp.sources import unused_label
from tasks import DataError
from tests.paths import ROOT


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('seed = 3\nitems = 50\ntask = ["mirror", "depth"]\nbatch-size = 4\n')
    settings = parse(["--config", str(file), "--seed", "9"], "linear_probe", "")
    assert (settings.probe.seed, settings.source.seed, settings.source.items) == (9, 9, 50)
    assert (settings.source.task, settings.encoder.batch_size) == (("mirror", "depth"), 4)
    assert settings.encoder.device == Settings().encoder.device


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede = 3", r"unknown key 'sede'; did you mean 'seed'\?"),
        ("seed = 'x'", r"seed = 'x' is not of type int"),
        ("seed = true", r"seed = True is not of type int"),
        ("task = 3", r"task = 3 is not of type tuple"),
        ("seed =", r"is not TOML"),
        ("copies = 'wran'", r"copies = 'wran' is none of refuse, unite, warn"),
        ("exif = 'no'", r"exif = 'no' is none of apply, ignore"),
    ],
)
def test_a_bad_configuration_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        parse(["--config", str(file)], "linear_probe", "")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--encodr", "x"], r"unrecognised argument --encodr; did you mean --encoder\?"),
        (["stray"], r"unrecognised argument stray; a value stands behind its flag"),
        (["orientation"], r"unrecognised argument orientation; orientation is a task: say --task orientation"),
        (["patient"], r"unrecognised argument patient; a value stands"),
        (["--zzz"], r"unrecognised argument --zzz; --help lists the flags"),
        (["--seed", "x"], r"--seed: invalid int value: 'x'"),
        (["--items", "1"], r"--items 1: must be at least 2"),
        (["--folds", "1"], r"--folds 1: must be at least 2"),
        (["--unreadable", "2"], r"--unreadable 2.0: must be a share from 0 to 1"),
        (["--config", "missing.toml"], r"--config missing.toml cannot be read: No such file"),
        (["--dtype", "half"], r"invalid choice: 'half'"),
        (["--group", "patient"], r"--group patient has nothing to act on: the built-in phantoms are no files"),
        (["--window", "bone"], r"--window bone has nothing to act on"),
        (["--copies", "unite"], r"--copies unite has nothing to act on: the built-in phantoms are no files"),
        (["--data", "films", "--items", "40"], r"--items 40 makes phantoms, and --data has its own images; --limit N"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_clear_sentence(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(argv, "linear_probe", "")


@pytest.mark.parametrize(
    ("argv", "flag", "value"),
    [
        (["--encoder", "a", "--encoder", "b", "c"], "encoder", ("a", "b", "c")),
        (["--task", "mirror", "--task", "mirror", "depth"], "task", ("mirror", "depth")),
        (["--site", "final", "--site", "pooled"], "site", ("final", "pooled")),
        (["--readout", "mean", "--readout", "cls"], "readout", ("mean", "cls")),
        (["--weights", "a=x", "--weights", "b=y"], "weights", ("a=x", "b=y")),
    ],
)
def test_lists_add_up_over_repeated_flags_and_hold_each_name_once(argv: list[str], flag: str, value: tuple) -> None:
    assert parse(argv, "linear_probe", "").flag(flag) == value


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--seed", "1", "--seed", "2"], "warning: --seed takes one value: 2 holds, and not 1"),
        (["--task", "mirror", "mirror"], "--task mirror is given more than once; it is taken once"),
        (["--seed", "1", "--seed", "1"], None),
        (["--task", "mirror", "depth"], None),
    ],
)
def test_what_is_given_twice_is_said(argv: list[str], said: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    from slitlamp.log import shown_on_stderr

    with shown_on_stderr():
        parse(argv, "linear_probe", "")
    assert capsys.readouterr().err.splitlines() == ([said] if said else [])


def test_a_label_that_no_task_would_read_is_refused_and_one_that_a_task_reads_is_not() -> None:
    def asked(*names: str) -> None:
        unused_label(SourceSettings(task=names, label="sex"), [tasks.load(name) for name in names])

    with pytest.raises(UsageError, match="--label sex has nothing to act on: mirror makes the answers by turning"):
        asked("mirror")
    with pytest.raises(UsageError, match="orientation and rotation make the answers by turning images; leave it out"):
        asked("orientation", "rotation")
    asked("label", "mirror")
    asked("depth")


def test_the_doctor_tries_what_a_run_needs_and_says_it_in_the_words_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    from experiments.doctor import main as doctor
    from experiments.linear_probe import main as run

    for name in ("_smoke", "_probe", "_imports"):  # what takes seconds
        monkeypatch.setattr(f"slitlamp.doctor.{name}", lambda: "well")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "store"))
    assert doctor(["--json"]) == DONE
    well = json.loads(capsys.readouterr().out)
    assert well["store"].startswith(str(tmp_path / "store"))
    assert well["results"].startswith(str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
    assert well["pictures"] == "pdf, svg, png, DejaVu Sans"
    (tmp_path / "file").touch()
    monkeypatch.setenv("SLITLAMP_CACHE", str(tmp_path / "file"))
    assert doctor([]) == ENCODER
    out, err = capsys.readouterr()
    assert "FAILED" in out
    (line,) = err.splitlines()
    assert str(tmp_path / "file") in line
    assert run(["--encoder", "pixels", "--items", "40"]) == PARTIAL
    words = re.compile(r"the feature store at \S+ cannot be written (.+)")  # each names the file that it came to first
    told, said = words.search(line), words.search(capsys.readouterr().err.splitlines()[-1])
    assert told is not None
    assert said is not None
    assert told[1] == said[1]


@pytest.mark.parametrize("command", ["list", "doctor"])
def test_an_error_shows_where_it_comes_from_when_asked(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"experiments.{command}")

    def ill(*_: object) -> None:
        raise RuntimeError("ill")

    monkeypatch.setattr("slitlamp.reports.listing.rows_of", ill)
    monkeypatch.setattr("slitlamp.doctor._smoke", ill)
    monkeypatch.setattr("slitlamp.doctor._device", lambda: "cpu")
    words = ["probes"] if command == "list" else []
    assert module.main(words) in (1, ENCODER)
    with pytest.raises(RuntimeError, match="ill"):
        module.main([*words, "--debug"])


def test_the_printed_line_repeats_the_run() -> None:
    argv = [
        "--encoder",
        "a b.py",
        "pixels",
        "--task",
        "mirror",
        "--data",
        "films",
        "--intercept",
        "-1024",
        "--offline",
        "--out",
        "elsewhere",
    ]
    settings = parse(argv, "linear_probe", "")
    line = command_line(settings, "linear_probe")
    import shlex

    again = parse(shlex.split(line)[3:], "linear_probe", "")
    assert again == settings.but(out=Settings().output.out)


class StrangeError(Exception):
    pass


class NamesakeError(Exception):
    """Called like one of ours, and none."""


NamesakeError.__name__ = "StoreError"


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (UsageError("a\nb"), USAGE, "error: a b"),
        (DataError("no images"), DATA, "error: no images"),
        (OSError(28, "No space left on device"), PARTIAL, "No space left on device"),
        (KeyboardInterrupt(), INTERRUPTED, "To resume: python -m experiments.thing --x 'y z'"),
        (
            StrangeError("boo"),
            1,
            "error: internal error (StrangeError): boo; please report it with --debug's output and",
        ),
        (UserFileError("mine.py, line 3: KeyError: 'a'"), USAGE, "error: mine.py, line 3: KeyError: 'a'"),
        (ProbeError("one class"), DATA, "error: one class"),
        (EncoderError("no weights"), ENCODER, "error: no weights"),
        (HubError("no index"), ENCODER, "error: no index"),
        (StoreError("full"), PARTIAL, "error: full"),
        (NamesakeError("full"), 1, "internal error (StoreError): full"),
    ],
)
def test_every_error_ends_in_one_line_and_its_code(
    raised: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(_argv: object) -> int:
        raise raised

    assert guard(body, ["--x", "y z"], "thing") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert line in err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_of_few_letters_shows_signs_in_its_own_and_json_stays_exact(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "a · b … 0.1–0.2 ≥.67 × 3 ← é 中 \U0001f600 \udcff"

    def shown(*flags: str) -> str:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", stream)
        said = json.dumps(words, ensure_ascii=False) if flags else words
        assert guard(lambda _: DONE * stream.write(said), flags, "x") == DONE
        stream.flush()
        return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]

    assert json.loads(shown("--json")) == words
    if encoding == "ascii":
        assert shown() == "a - b ... 0.1-0.2 >=.67 x 3 <- \\u00e9 \\u4e2d \\ud83d\\ude00 \\udcff"
    if encoding == "cp1252":
        assert shown().startswith("a · b … 0.1–0.2 >=.67 × 3 <- é")


def test_a_run_without_error_keeps_its_own_code() -> None:
    assert guard(lambda _: DONE, [], "thing") == DONE
    assert ENCODER not in (DONE, USAGE, DATA, PARTIAL)


@pytest.mark.parametrize("command", sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py")))
def test_an_interrupted_command_says_how_it_is_resumed(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_argv: object) -> int:
        raise KeyboardInterrupt

    module = importlib.import_module(f"experiments.{command}")
    monkeypatch.setattr(module, "_body", interrupted)
    assert module.main(["--x"]) == INTERRUPTED
    assert capsys.readouterr().err.rstrip().endswith(f"To resume: python -m experiments.{command} --x")


def test_debug_shows_where_an_error_came_from() -> None:
    def body(_argv: object) -> int:
        raise StrangeError

    with pytest.raises(StrangeError):
        guard(body, ["--debug"], "thing")


@dataclasses.dataclass(frozen=True)
class Inner:
    values: np.ndarray
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    score: float | None
    table: dict


def test_what_goes_into_a_cell_comes_out_again() -> None:
    arrays: dict[str, np.ndarray] = {}
    value = Outer(Inner(np.arange(6.0).reshape(2, 3), ("a", "b")), None, {"k": [1, np.float64(2.5)]})
    back = unpack(pack(value, arrays), arrays, {"Inner": Inner, "Outer": Outer})
    assert (back.inner.values == value.inner.values).all()
    assert back.inner.names == ("a", "b")
    assert back.score is None
    assert back.table == {"k": [1, 2.5]}


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(TypeError, match="a set cannot be kept in a cell"):
        pack({"k": {1}}, {})


def test_a_damaged_or_foreign_cell_is_never_used(tmp_path: Path) -> None:
    from probes import Predictions

    predictions = Predictions(
        label=np.array([0, 1]), predicted=np.array([[0, 1]]), score=np.zeros((1, 2, 2)), fold=np.array([[0, 1]]),
        groups=np.array(["a", "b"]), ids=("i", "j"),
    )  # fmt: skip

    @dataclasses.dataclass(frozen=True)
    class Measured:
        predictions: Predictions

    cells = Cells(folder=tmp_path, types={"Measured": Measured, "Predictions": Predictions})
    key = "ab" * 32
    assert cells.load(key) is None
    cells.save(key, Measured(predictions), ("no", "yes"))
    assert (cells.load(key).predictions.predicted == [[0, 1]]).all()
    assert cells.load("ab" * 16 + "cd" * 16) is None, "another key with the same file name"
    path = tmp_path / f"{key[:32]}.npz"
    data = bytearray(path.read_bytes())
    for place in (0, len(data) // 2, len(data) - 1):
        broken = bytearray(data)
        broken[place] ^= 1
        path.write_bytes(broken)
        assert cells.load(key) is None, place
    path.write_bytes(data[:100])
    assert cells.load(key) is None


def test_a_folder_that_cannot_be_written_is_told_without_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    def body(_: object) -> int:
        (tmp_path / "file" / "run").mkdir(parents=True)
        return DONE

    assert guard(body, [], "thing") == PARTIAL
    assert capsys.readouterr().err == f"error: {tmp_path / 'file' / 'run'}: Not a directory\n"


@pytest.mark.parametrize(
    ("command", "words", "line"),
    [
        ("list", ["tsks"], "argument kind: invalid choice: 'tsks'"),
        ("list", [], "the following arguments are required: kind"),
        ("doctor", ["--jsn"], "unrecognised argument --jsn; did you mean --json?"),
        ("phantoms", ["--tsk", "depth"], "unrecognised argument --tsk; did you mean --task?"),
        ("duplicates", ["--data", "x", "--debgu"], "unrecognised argument --debgu; did you mean --debug?"),
        ("calibrate", ["--itms", "3"], "unrecognised argument --itms; did you mean --items?"),
        ("phantoms", ["--seed", "-1"], "--seed -1: must be at least 0"),
    ],
)
def test_every_small_command_refuses_a_wrong_flag_in_one_line(
    command: str, words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert importlib.import_module(f"experiments.{command}").main(words) == USAGE
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {line}")


class _ParsedError(BaseException):
    """Raised once a command line was read, so that nothing runs."""


SMALL = ("doctor", "list", "train_phantom_clip", "train_phantom_llava")  # a flag or two, and no choice of data
UNDER = {
    "answers": ("ask", "import"),
    "pairs": ("mine", "modes", "explain", "recipe", "score", "perturb", "similarity"),
}
HELPS = [
    (name, *sub)
    for name in (p.stem for p in sorted((ROOT / "experiments").glob("[!_]*.py")))
    if name not in SMALL
    for sub in ([(one,) for one in UNDER[name]] if name in UNDER else [()])
]


@pytest.mark.parametrize("names", HELPS, ids=" ".join)
def test_help_stands_in_groups_with_three_examples_that_can_be_typed(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every example is read by the command's own parser; what is shown fits 80 columns but for the examples."""
    from experiments import _cli

    monkeypatch.setenv("COLUMNS", "80")
    main = importlib.import_module(f"experiments.{names[0]}").main
    with pytest.raises(SystemExit):
        main([*names[1:], "--help"])
    text = capsys.readouterr().out
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("$")), text
    examples = re.findall(r"^\$ python -m experiments\.(.+)$", text, re.MULTILINE)
    assert len(examples) >= 3
    whole = argparse.ArgumentParser.parse_known_args

    def read(parser: argparse.ArgumentParser, *args: Any, **more: Any) -> Any:
        _, rest = whole(parser, *args, **more)
        assert not rest
        raise _ParsedError

    monkeypatch.setattr(_cli._Parser, "parse_known_args", read)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", read)
    for example in examples:
        command, *words = shlex.split(example)
        with pytest.raises(_ParsedError):
            importlib.import_module(f"experiments.{command}").main(words)
        capsys.readouterr()


def test_every_flag_stands_in_one_group_of_the_help() -> None:
    from experiments._cli import GROUPS
    from slitlamp.settings import FLAGS

    assert sorted(name for many in GROUPS.values() for name in many) == sorted(FLAGS)
