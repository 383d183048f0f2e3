"""The wheel alone, without the development group, runs the first command and the doctor in an empty environment."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.paths import ROOT

UV = str(ROOT / "uv")


def run(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}
    return subprocess.run(words, cwd=cwd, env=kept | more, capture_output=True, text=True, check=False)


OPTIONAL = {"aiohttp", "pandas"}  # asked for in one place each, which says so where it is not installed


def imported(package: Path) -> dict[str, str]:
    """The first names of what the files of a package import, each with a file that does."""
    found: dict[str, str] = {}
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0]: path.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.partition(".")[0]] = path.name
    return found


def test_every_library_that_the_code_imports_is_declared() -> None:
    """As where the development group is not installed: what it brings is there in this environment and not in that."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ours = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    declared = {re.split(r"[\[><=;~! ]", line)[0].lower() for line in project["project"]["dependencies"]}
    homes = packages_distributions()
    for package in ours:
        for name, file in imported(ROOT / package).items():
            if name in (*ours, *sys.stdlib_module_names, *OPTIONAL):
                continue
            theirs = {home.lower().replace("_", "-") for home in homes.get(name, [])}
            assert theirs & declared, f"{package}/…/{file} imports {name}, which no dependency brings"


@pytest.mark.slow
def test_the_wheel_runs_the_first_command_and_the_doctor_without_the_dev_group(tmp_path: Path) -> None:
    built = run(UV, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), cwd=ROOT)
    assert built.returncode == 0, built.stderr
    wheel = next((tmp_path / "dist").glob("*.whl"))
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["constraint-dependencies"]
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    bare = tmp_path / "bare"
    assert run(UV, "venv", "--quiet", "--python", sys.executable, str(bare), cwd=tmp_path).returncode == 0
    python = str(bare / "bin" / "python")
    installed = run(
        UV, "pip", "install", "--quiet", "--python", python, "--constraint", str(tmp_path / "pins.txt"), str(wheel),
        cwd=tmp_path,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    away = tmp_path / "away"
    away.mkdir()
    place = {"SLITLAMP_CACHE": str(tmp_path / "store")}
    words = (
        "-m experiments.linear_probe --encoder phantom-clip --task mirror --items 30 --permutations 19 --twins 0 "
        "--site pooled"
    )
    first = run(python, *words.split(), cwd=away, **place)
    assert first.returncode == 0, first.stderr
    assert "mirror · phantom-clip" in first.stdout
    assert len(list((away / "runs" / "linear_probe").glob("phantom-clip-mirror-*/layers.pdf"))) == 1
    home = str(next((away / "runs" / "linear_probe").glob("phantom-clip-mirror-*")))
    report = run(python, "-m", "experiments.report", home, "--out", "report", cwd=away, **place)
    assert report.returncode == 0, report.stderr
    assert "</html>" in (away / "report" / "index.html").read_text(encoding="utf-8")
    doctor = run(python, "-m", "experiments.doctor", cwd=away, **place)
    assert doctor.returncode == 0, doctor.stdout
    assert "FAILED" not in doctor.stdout
    listed = run(python, "-m", "experiments.list", "encoders", "--json", cwd=away, **place)
    assert listed.returncode == 0, listed.stderr
