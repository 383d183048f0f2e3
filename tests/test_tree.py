"""The tree keeps its promises: floors, registry folders, no circle of imports, light start-up."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.paths import ROOT

FLOORS = (("hub", "plugins"), ("cache", "encoders", "probes", "tasks"), ("slitlamp",), ("experiments",))
PACKAGES = tuple(sorted(name for floor in FLOORS for name in floor))
REGISTRIES = ("encoders", "tasks", "tasks/benchmarks", "probes", "probes/attribution", "experiments")
DEEP = ("tasks/phantoms", "encoders/libraries")  # where a third level of folders may lie
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
    "altair",
    "captum",
    "jinja2",
    "numba",
    "umap",
    "vl_convert",
)


def files(root: Path, package: str = "") -> list[Path]:
    """The Python files of a package, or of all packages, relative to `root`."""
    names = (package,) if package else PACKAGES
    return sorted(path.relative_to(root) for name in names for path in (root / name).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(root: Path) -> dict[str, set[str]]:
    """Every module of ours with the modules of ours that it imports anywhere, also inside its functions."""
    known = {module_of(path): path for path in files(root)}
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        found[name] = set()
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names if alias.name in known}
            elif isinstance(node, ast.ImportFrom) and node.module in known and not node.level:
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                found[name] |= {part if part in known else str(node.module) for part in full}
    return found


def upward(root: Path) -> list[str]:
    """Imports that do not point to a lower floor."""
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    found = []
    for name, others in imports(root).items():
        home = name.split(".")[0]
        for other in sorted(others):
            there = other.split(".")[0]
            if there != home and floor[there] >= floor[home]:
                found.append(f"{name} imports {other}")
    return found


def borrowed(root: Path) -> list[str]:
    """Imports of a module with an underscore from another package."""
    return [
        f"{name} imports {other}"
        for name, others in imports(root).items()
        for other in sorted(others)
        if other.split(".")[0] != name.split(".")[0] and any(part.startswith("_") for part in other.split("."))
    ]


def circles(root: Path) -> list[list[str]]:
    """Groups of modules that import one another (Tarjan's strongly connected components)."""
    graph, index, low = imports(root), {}, {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1 or name in graph[name]:
                found.append(stack[at:])
            del stack[at:]

    for name in graph:
        if name not in index:
            visit(name)
    return found


def misplaced(root: Path) -> list[str]:
    """Files with an underscore where none belongs, and registry folders that hold too many."""
    found = []
    hidden = [path for path in files(root) if path.stem.startswith("_") and path.stem != "__init__"]
    for path in hidden:
        if path.parent.as_posix() not in REGISTRIES:
            found.append(f"{path}: only a registry folder has files with an underscore")
    for folder, count in Counter(path.parent.as_posix() for path in hidden).items():
        if count > 5:
            found.append(f"{folder}: {count} files with an underscore; five may be")
    return found


def families(root: Path) -> list[str]:
    """Underscored files that share a first word are a folder; and folders that lie too deep."""
    found = []
    for folder in {path.parent for path in files(root)}:
        stems = [path.stem for path in (root / folder).glob("_*.py") if path.stem != "__init__"]
        for first, count in Counter(stem.split("_")[1] for stem in stems).items():
            if count > 1:
                found.append(f"{folder}: {count} files begin with _{first}: make them a folder")
        depth, deep = len(folder.parts), any(folder.as_posix().startswith(name) for name in DEEP)
        if depth > (3 if deep else 2):
            found.append(f"{folder}: lies {depth} levels deep")
    return found


def thick(root: Path) -> list[str]:
    """Commands that do more than parse, call, print and end."""
    counts = {path: len((root / path).read_text(encoding="utf-8").splitlines()) for path in files(root, "experiments")}
    return [
        f"{path}: {n} lines; its work belongs in slitlamp"
        for path, n in counts.items()
        if path.stem[0] != "_" and n >= 60
    ]


RULES = {
    "thick": thick,
    "upward": upward,
    "borrowed": borrowed,
    "circles": circles,
    "misplaced": misplaced,
    "families": families,
}


@pytest.mark.parametrize("rule", RULES)
def test_the_tree_keeps_the_rule(rule: str) -> None:
    assert RULES[rule](ROOT) == []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        ("upward", "hub/bad.py", "def f():\n    import cache.good\n"),
        ("upward", "encoders/bad.py", "from probes import good\n"),
        ("upward", "slitlamp/bad.py", "from experiments import good\n"),
        ("borrowed", "slitlamp/bad.py", "from tasks import _base\n"),
        ("circles", "probes/stats/bad.py", "def f():\n    from probes.stats import bad2\n"),
        ("misplaced", "tasks/images/_bad.py", ""),
        ("misplaced", "encoders/_f.py", ""),
        ("thick", "experiments/bad.py", "\n" * 60),
        ("families", "encoders/_a_y.py", ""),
        ("families", "slitlamp/a/b/bad.py", ""),
    ],
)
def test_a_tree_that_breaks_the_rule_is_seen(rule: str, path: str, text: str, tmp_path: Path) -> None:
    kept = [f"{name}/{file}.py" for name in PACKAGES for file in ("__init__", "good")] + [
        "tasks/_base.py", "probes/stats/__init__.py", "tasks/images/__init__.py",
        *(f"encoders/_{letter}.py" for letter in "abcde"),
    ]  # fmt: skip
    for name in kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "encoders/_a.py").rename(tmp_path / "encoders/_a_x.py")
    (tmp_path / "probes/stats/bad2.py").write_text("from probes.stats import bad\n" if rule == "circles" else "")
    assert RULES[rule](tmp_path) == []
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    assert RULES[rule](tmp_path)


def test_no_package_imports_the_tests_or_benchmarks() -> None:
    for path in files(ROOT):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"tests", "benchmarks"}, path


def commands() -> list[str]:
    return sorted(p.stem for p in (ROOT / "experiments").glob("[!_]*.py"))


@pytest.mark.parametrize("command", commands())
def test_help_needs_no_torch_and_a_third_of_a_second(command: str) -> None:
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
    assert float(last.split()[-1]) < 1 / 3, last


def test_importing_the_packages_loads_nothing_heavy() -> None:
    program = (
        "import sys, cache, encoders, hub, plugins, probes, slitlamp, tasks, experiments\n"
        "encoders.names(), probes.names(), tasks.names(), dir(probes), dir(slitlamp)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_source_is_ignored_by_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    paths = [str(path) for path in files(ROOT)]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""
