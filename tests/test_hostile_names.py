"""Hostile names through every output of every command: nothing of them runs, moves, or breaks a table or a page."""

import csv
import importlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import encoders
from slitlamp.paper import figures, tables
from slitlamp.paper.gathered import gather
from slitlamp.reports import plots
from tests.browser import Browser, chromium
from tests.hostile import IN_FILES, SHORT
from tests.paths import ROOT
from tests.slitlamp.attribution.test_attribution import ENCODER as SOURCE
from tests.slitlamp.diagnosis import organism
from tests.slitlamp.reports.test_latex import compiled, overfull

COLUMN = "<img src=x onerror=\"document.title='taken'\"> =1+1 _%&#"
CLASSES = (
    "</script><script>document.title='taken'</script>", "=cmd|' /C calc'!A0 {{7*7}} \u202eback",
    "<img src=x onerror=\"document.title='taken'\"> \u2028 % _ & # \\input{/etc/passwd}",
)  # fmt: skip
ENCODER = "<img src=x onerror=\"document.title='taken'\"> {{7*7}} \x1b[31m \u202e % _.py"  # a file
TOWER = f"tower {ENCODER}"  # one that can be differentiated
WHOLE = f"whole {ENCODER}"  # one with a language model
TOLD = "told {{7*7}} <b> %.jsonl"  # answers made elsewhere
SMALL = ("--permutations", "19", "--folds", "3", "--repeats", "1")
RUN = "-run <b>&_%# {{7*7}} 'x'"  # a folder


@dataclass(frozen=True)
class Hostile:
    """What commands are given: a folder of images with hostile names, and tables of them."""

    home: Path

    @property
    def manifest(self) -> str:
        return str(self.home / "manifest.parquet")

    @property
    def asked(self) -> tuple[str, ...]:
        return ("--data", self.manifest, "--label", COLUMN, "--group", "who", "--spelling", "keep", "--copies", "warn")

    def out(self, command: str) -> Path:
        return self.home / RUN / command


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """Thirty-six images: three classes, a group for each two, and every name that a disk and a table allow."""
    home = tmp_path_factory.mktemp("hostile")
    shutil.copy(ROOT / "tests/numpy_encoder.py", home / ENCODER)
    (home / TOWER).write_text(SOURCE.replace("SEED", "0"), encoding="utf-8")
    rng, rows = np.random.default_rng(0), []
    for k in range(36):
        pixels = rng.integers(0, 90, (48, 48), dtype=np.uint8)
        pixels[16 * (k % 3) : 16 * (k % 3) + 16] += 120
        name = f"{IN_FILES[k % len(IN_FILES)]}{k}.png"
        Image.fromarray(pixels).save(home / name)
        rows.append({"file": name, COLUMN: CLASSES[k % 3], "who": f"{SHORT[(k // 2) % len(SHORT)]}{k // 2}"
                     .encode("utf-8", "replace").decode()})  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), home / "manifest.parquet")
    (home / WHOLE).write_text(organism.TOWER, encoding="utf-8")
    told = [{"item": row["file"], "answer": f"{CLASSES[k % 2]} {SHORT[k % len(SHORT)]}"} for k, row in enumerate(rows)]
    _jsonl(home / TOLD, told)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "load_whole", organism.whole("works"))
        patch.setattr(encoders, "whole_names", lambda: (str(home / WHOLE),))
        patch.setenv("SLITLAMP_CACHE", str(home / "store"))
        # one format of figures, the one whose text is read here: three take thrice as long
        patch.setattr(plots, "SUFFIXES", {"svg": plots.SUFFIXES["svg"]})
        yield Hostile(home=home)


def _jsonl(path: Path, rows: list[dict[str, str]]) -> None:
    lines = [json.dumps(row | {name: text.encode("utf-8", "replace").decode() for name, text in row.items()})
             for row in rows]  # fmt: skip
    path.write_text("\n".join(lines), encoding="utf-8")


def _encoders(hostile: Hostile) -> tuple[str, ...]:
    return ("--encoder", str(hostile.home / ENCODER), "pixels")


def _grid(hostile: Hostile) -> tuple[str, ...]:
    """A grid of two runs, whose file holds every hostile name that its flags take."""
    flags = {"encoder": _encoders(hostile)[1:], "data": hostile.manifest, "label": COLUMN, "group": "who", "folds": 3,
             "spelling": "keep", "copies": "warn", "permutations": 19, "repeats": 1, "site": ["pooled"]}  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in flags.items()]
    file = hostile.home / "grid {{7*7}} <b> %.toml"
    file.write_text("\n".join(["[fixed]", *lines, "[grid]", "seed = [0, 1]"]), encoding="utf-8")
    return ("--config", str(file))


# A command with what it is asked; each writes into a hostile folder. Add a command here, and all tests below ask it.
# Those in RESTS_ON name the folders of others, which are asked before them.
RESTS_ON = {"compare": ("linear_probe",), "report": ("linear_probe", "attribution", "pairs mine", "embedding_plot",
                                                     "visual_prompts", "compare", "ablation")}  # fmt: skip
COMMANDS = {
    "linear_probe": lambda h: (*_encoders(h), *h.asked, *SMALL, "--site", "pooled"),
    "embedding_plot": lambda h: (*_encoders(h)[:2], *h.asked, "--site", "pooled",
                                 "--map", "pca", "--thumbnails", "--permutations", "19"),
    "attribution": lambda h: ("--encoder", str(h.home / TOWER), *h.asked, *SMALL, "--site", "stage.2", "--readout",
                              "mean", "--count", "2", "--method", "gradient-input", "--thumbnails"),
    "pairs mine": lambda h: (*_encoders(h)[:2], "--reference", "pixels", "--data", h.manifest, "--copies-too",
                             "--at-least", "0.5", "--at-most", "0.4", "--rule", "quantile", "--thumbnails"),
    "visual_prompts": lambda h: (*_encoders(h), "--task", "orientation", "--data", h.manifest,
                                 "--group", "who", "--copies", "warn"),
    "diagnose": lambda h: ("--model", str(h.home / WHOLE), *h.asked, *SMALL, "--twins", "0",
                           "--answers", str(h.home / TOLD)),
    "answers ask": lambda h: (
        "--model", str(h.home / WHOLE), *h.asked, "--question", COLUMN, "--ways", "letter", "--no-blind",
        "--options", *(f"option {k}" for k in range(len(CLASSES))), "--knowledge", "none",
    ),
    "answers import": lambda h: (str(h.home / TOLD), "--data", h.manifest, "--label", COLUMN, "--rescore"),
    "compare": lambda h: (str(h.out("linear_probe")),),
    "ablation": _grid,
    "report": lambda h: (*(str(h.out(one)) for one in RESTS_ON["report"]), "--title", CLASSES[2]),
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code, both streams and its files."""

    code: int
    out: str
    err: str
    files: list[Path]


@pytest.fixture(scope="module")
def said() -> dict[str, Said]:
    """What each command left, once `left` has asked it."""
    return {}


def left(command: str, hostile: Hostile, said: dict[str, Said], capsys: pytest.CaptureFixture[str]) -> Said:
    for before in RESTS_ON.get(command, ()) if command not in said else ():
        left(before, hostile, said, capsys)
    if command not in said:
        name, *sub = command.split()
        out = hostile.out(command)
        capsys.readouterr()
        code = importlib.import_module(f"experiments.{name}").main(
            [*sub, *COMMANDS[command](hostile), "--out", str(out)]
        )
        spoken = capsys.readouterr()
        files = sorted(path for path in out.rglob("*") if path.is_file())
        said[command] = Said(code=code, out=spoken.out, err=spoken.err, files=files)
    return said[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_is_told_names_and_no_orders(
    command: str, hostile: Hostile, said: dict[str, Said], capsys: pytest.CaptureFixture[str]
) -> None:
    found = left(command, hostile, said, capsys)
    assert found.code == 0, found.err
    for stream in (found.out, found.err):
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\u2028\u2029]", stream)


@pytest.mark.parametrize("command", COMMANDS)
def test_files_are_where_they_belong_and_can_be_read(
    command: str, hostile: Hostile, said: dict[str, Said], capsys: pytest.CaptureFixture[str]
) -> None:
    found = left(command, hostile, said, capsys)
    out = hostile.out(command)
    assert {path.name for path in hostile.home.parent.iterdir()} >= {hostile.home.name}
    assert not list(hostile.home.rglob("taken"))
    assert not (ROOT / "taken").exists()
    for path in found.files:
        assert re.fullmatch(r"[\w .+#=-]+", path.relative_to(out).as_posix().replace("/", "")), path.name
        text = path.read_bytes()
        if path.suffix == ".json":
            json.loads(text)
        elif path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".csv":
            rows = list(csv.reader(io.StringIO(text.decode("utf-8"), newline="")))
            assert len({len(row) for row in rows}) == 1
            cells = [cell for row in rows for cell in row]
            assert not [cell for cell in cells if cell[:1] in "=+@\t\r" and cell and not _number(cell)]
        elif path.suffix == ".svg":
            assert b"<script" not in text
            assert b"<img" not in text


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("command", COMMANDS)
def test_no_file_says_where_on_this_machine_the_data_lay(
    command: str, hostile: Hostile, said: dict[str, Said], capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder may be called like a hospital, and its parents like a person: every output goes without them."""
    folders = [part.encode() for part in (str(hostile.home), hostile.home.name, hostile.home.parent.name)]
    leaks = []
    for path in left(command, hostile, said, capsys).files:
        data = path.read_bytes()
        at = [data.index(part) for part in folders if part in data]
        leaks += [(path.name, data[max(at[0] - 60, 0) : at[0] + 60])] if at else []
    assert leaks == []


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_shows_names_and_runs_none(
    command: str, hostile: Hostile, said: dict[str, Said], browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    for page in left(command, hostile, said, capsys).files:
        if page.suffix != ".html":
            continue
        maps = command == "embedding_plot"
        seen = browser.open(page, drawn="document.body.dataset.drawn === 'yes'" if maps else "true", hover=3 * maps)
        assert seen.errors == []
        assert seen.requests == []
        assert seen.title != "taken"
        assert (len(seen.tips), bool(seen.menus)) == ((3, True) if maps else (0, seen.menus > 0))
        assert not maps or seen.true_size


def test_tables_and_figures_of_such_a_run_compile(
    hostile: Hostile, said: dict[str, Said], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    left("linear_probe", hostile, said, capsys)
    monkeypatch.setattr(plots, "SUFFIXES", {"pdf": {"CreationDate": None}})
    gathered = gather([hostile.out("linear_probe")])
    names = tables.write(gathered, tmp_path)
    drawn = {name: one for name, one in figures.figures(gathered).items() if not name.startswith("layers")}
    drawings = [name for name in figures.write(drawn, tmp_path) if name.endswith("-85mm.pdf")]
    assert len(drawings) == 2
    body = [rf"\input{{{name}}}" for name in names if name.startswith("tables/") and name.endswith(".tex")]
    body += [rf"\noindent\includegraphics[width=\columnwidth]{{{name}}}" for name in drawings]
    assert overfull(compiled(tmp_path, "\n\n".join(body), r"\input{numbers}")) == []


def test_the_browser_sees_what_runs(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(f"<title>a</title>{COLUMN}<script>console.error(1)</script><img src='http://a.example/x.png'>")
    seen = browser.open(page)
    assert seen.title == "taken"
    assert any("http://a.example/x.png" in one for one in seen.requests)
    assert len(seen.errors) >= 2
