"""The tree keeps its promises: a star of packages, light start-up, names that can be found."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("cache", "encoders", "experiments", "hub", "plugins", "probes", "slitlamp", "tasks")
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "open_clip",
    "transformers",
    "matplotlib",
    "scipy",
    "sklearn",
    "h5py",
)


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports anywhere, also inside its functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", [p for p in PACKAGES if p != "experiments"])
def test_packages_import_no_sibling(package: str) -> None:
    siblings = set(PACKAGES) - {package}
    for path in files(package):
        assert not imported(path) & siblings, f"{path.relative_to(ROOT)} imports a sibling package"


def test_the_star_test_sees_an_upward_import(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from probes import linear\n")
    assert imported(bad) & set(PACKAGES) == {"probes"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_the_tests_or_benchmarks(package: str) -> None:
    for path in files(package):
        assert not imported(path) & {"tests", "benchmarks"}


def commands() -> list[str]:
    return sorted(p.stem for p in (ROOT / "experiments").glob("*.py") if not p.stem.startswith("_"))


@pytest.mark.parametrize("command", commands())
def test_help_needs_no_torch_and_half_a_second(command: str) -> None:
    """CPU time of the child, not wall time: other processes may run beside the test."""
    program = (
        "import resource, sys, runpy\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('experiments.{command}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "use = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('HEAVY', heavy, 'CPU', use.ru_utime + use.ru_stime, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert "HEAVY []" in last, last
    assert float(last.split()[-1]) < 0.5, last


def test_importing_the_packages_loads_nothing_heavy() -> None:
    program = (
        "import sys, cache, encoders, probes, tasks, experiments\n"
        "encoders.names(), probes.names(), tasks.names()\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_source_of_the_cache_package_is_not_ignored_by_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    paths = [str(p.relative_to(ROOT)) for package in PACKAGES for p in files(package)]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""
