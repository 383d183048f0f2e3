"""What the documents say is so: their commands run, their examples stand, their names exist."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import encoders
import probes
import tasks
from tests.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))
# these need a hub, files of the user's own, or minutes (visual prompts) to a quarter of an hour (training)
ELSEWHERE = (
    "biomedclip", "path/to", "timm:", "films/", "points.csv", "visual_prompts", "train_phantom", "experiments.answers",
    "experiments.diagnose`", "experiments.linear_probe`", "grid.toml", "RUNS", "report runs", "experiments.fetch",
)  # fmt: skip


# fewer of everything: what is shown is that a line can be given as it stands in the page, at any size
FEWER = {
    "linear_probe": "--items 60 --permutations 99 --twins 0", "pairs": "--items 60",
    "embedding_plot": "--items 60 --permutations 99 --map pca", "calibrate": "--runs 2 --width 32",
    "attribution": "--task orientation --limit 40 --permutations 99 --site final --method gradient-input",
    "ablation": "--dry-run",
    "diagnose": "--items 30 --permutations 49 --repeats 1 --twins 0 --paraphrases 1 --causal off",
}  # fmt: skip


def readme_commands() -> list[str]:
    found = re.findall(r"python -m experiments\.[^`\n]*`?", README)
    kept = [c.rstrip("`").strip() for c in found if not any(word in c for word in ELSEWHERE)]
    return list(dict.fromkeys(kept))


def test_the_readme_holds_the_two_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert [b.strip().split()[:3] for b in blocks] == [["./uv", "run", "python"], ["./uv", "run", "pytest"]]
    assert any("linear_probe" in command for command in readme_commands())


FIRST = re.findall(r"```sh\n\./uv run (.*?)\n```", README)[0]


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_first_command_gives_the_three_answers_that_the_readme_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of half as many items, at two readouts: read from pixels, learnt, and lost on the way."""
    fewer = "--items 100 --permutations 99 --repeats 1 --twins 3 --readout grid3 vector"
    words = [*shlex.split(FIRST)[3:], *fewer.split(), "--json", "--out", str(tmp_path)]
    assert importlib.import_module("experiments.linear_probe").main(words) == 0
    found = json.loads(capsys.readouterr().out)
    said = {one["task"]: (one["verdict"], one["credit"]) for one in found["verdicts"]}
    assert said["orientation"] == ("present", "pixels")
    assert said["contrast-turned"] == ("present", "learned")
    age = {f"{r['site']}/{r['readout']}": r for r in found["records"] if r["task"] == "age" and r["role"] == "encoder"}
    assert age["block.1/grid3"]["verdict"] == "present"
    last = age["pooled/vector"]
    assert (last["verdict"], last["loss_state"]) == ("inconclusive", "material")
    assert last["reference"].startswith("a thumbnail")
    assert "the credit is `pixels`" in README
    assert "untrained network: `learned`" in README
    assert "stands in the thumbnail all the while: lost on the way" in README


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("command", [command for command in readme_commands() if command != FIRST])
def test_every_readme_command_that_needs_no_hub_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, whose libraries are loaded; that each command starts as a program is seen in `test_tree.py`."""
    start, module, *words = shlex.split(command)[1:]
    assert start == "-m"
    monkeypatch.chdir(ROOT)
    if any(name in command for name in ("linear_probe", "phantoms", "diagnose")):
        words += ["--out", str(tmp_path / "out")]
    words += next((few.split() for name, few in FEWER.items() if f"experiments.{name}" in command), [])
    code = importlib.import_module(module).main(words)
    said = capsys.readouterr()
    assert code == 0, said.err[-2000:]
    assert said.out.strip()


@pytest.mark.slow
def test_the_page_on_python_runs_as_it_stands(tmp_path: Path) -> None:
    """One script of all its blocks, without a main guard, in an empty folder and with an empty store."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    place = os.environ | {"SLITLAMP_CACHE": str(tmp_path / "store"), "PYTHONPATH": str(ROOT)}
    place["LOKY_MAX_CPU_COUNT"] = "2"  # with workers, which a main guard is known to be for
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "did you mean 'biomedclip'" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "home", "tests"),
    [
        ("encoder", "encoders/tiles.py", ("tests/encoders/test_encoders.py", "tests/encoders/test_full_size.py")),
        ("task", "tasks/negative.py", ("tests/tasks/test_contract.py",)),
        ("probe", "probes/nearest_mean.py", ("tests/probes/test_probes.py",)),
    ],
)
def test_an_example_put_into_the_tree_passes_the_contract_tests_there(
    name: str, home: str, tests: tuple[str, ...], tmp_path: Path
) -> None:
    """What CONTRIBUTING says is enough is enough: the file, and the lines in the documents that it asks for."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", ".uv", "runs", "site", "__pycache__"))
    (tree / home).write_bytes((ROOT / "docs" / "examples" / f"{name}.py").read_bytes())
    stem = Path(home).stem.replace("_", "-" if name == "task" else "_")
    page = tree / "docs" / {"encoder": "encoders.md", "task": "gallery.md", "probe": "probes.md"}[name]
    page.write_text(page.read_text(encoding="utf-8") + f"\n`{stem}`\n", encoding="utf-8")
    if name == "encoder":
        words = [sys.executable, "-m", "experiments.list", "encoders", "--markdown", "docs/encoders.md"]
        subprocess.run(words, cwd=tree, check=True)
    several = [*tests, "tests/test_tree.py", "tests/test_docs.py::test_every_name_is_in_the_documents",
               "tests/experiments/test_list.py"]  # fmt: skip
    asked = f"{stem} or keeps_the_rule or not ["  # of the tests about one name each, those about the new one
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu and not weights",
         "-k", asked, *several],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert (
        stem
        in subprocess.run(
            [sys.executable, "-m", "experiments.list", f"{name}s"], cwd=tree, capture_output=True, text=True, check=True
        ).stdout
    )


@pytest.mark.parametrize("name", ["encoder", "task", "probe"])
def test_contributing_shows_the_example_whole(name: str) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    body = (ROOT / "docs" / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert f"```python\n# docs/examples/{name}.py\n{body}```" in text


def test_the_documents_show_the_smallest_family_whole() -> None:
    text = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    body = (ROOT / "encoders" / "gigapath.py").read_text(encoding="utf-8")
    assert f"```python\n# encoders/gigapath.py\n{body}```" in text


def test_every_name_is_in_the_documents() -> None:
    text = README + "".join(p.read_text(encoding="utf-8") for p in PAGES)
    for name in (*encoders.names(), *tasks.names(), *probes.names()):
        assert f"`{name}`" in text, f"{name} is in no document"


def test_nothing_is_compiled_on_the_way_to_the_first_command() -> None:
    """Bytecode of every library took half of the first command; Python compiles what it imports."""
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    assert not settings.get("compile-bytecode")
    assert "--compile" not in "".join(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL))


def test_links_to_files_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_document_or_source_names_a_machine() -> None:
    """Paths of one machine and hosts of registries do not belong in the project."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js", "deb.deb" + "ian.org"]
    for name in listed:
        path = ROOT / name
        if path.suffix in (".png", ".safetensors", ".pdf") or not path.exists():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not any(host in text for host in hosts), name
        assert not re.search(r"(?<![\w.])/(?:work|root|farm)/", text), name
    assert not any(name.endswith("uv.lock") for name in listed)
