"""Plant each fault of `mutants.toml` in a copy of the tree, and run the tests that should see it.

$ make mutants                             # all of them
$ python -m tests.mutants probes/stats     # those of files that begin so
$ python -m tests.mutants --names          # list them
"""

import argparse
import compileall
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from tests.paths import ROOT

LIST = ROOT / "tests/mutants.toml"
FAST = "not slow and not gpu and not weights"
PASSED, FAILED = 0, 1  # exit codes of pytest; every other says that no test ran as meant


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A fault of one line: `old` becomes `new` in `file`; `reader` is what a reader would then be told wrongly."""

    file: str
    old: str
    new: str
    reader: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.file}: {self.reader}"


def mutants() -> list[Mutant]:
    """The list, in its order."""
    table = tomllib.loads(LIST.read_text(encoding="utf-8"))
    return [Mutant(**one | {"tests": tuple(one["tests"])}) for one in table["mutant"]]


def copy_of_tree(folder: Path) -> Path:
    """Every file that git knows or would take, in a folder of its own."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    compileall.compile_dir(folder, quiet=2)  # a planted file is younger than its bytecode, the others need no compiling
    return folder


def tested(folder: Path, tests: Sequence[str], jobs: int) -> tuple[int, str]:
    """Exit code of pytest on the fast ones of these tests, and the line that says why."""
    command = ["-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "--doctest-modules"]
    # without the hook that checks every type, which takes seconds to start
    command += ["-o", "addopts=--import-mode=importlib", "-n", str(jobs), "-m", FAST]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "SLITLAMP_CACHE": str(folder / ".store")}
    done = subprocess.run(
        [sys.executable, *command, *tests],
        cwd=folder, env=env, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    lines = (done.stdout.strip() or done.stderr.strip()).split("\n")
    return done.returncode, next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1])


def judged(folder: Path, mutant: Mutant) -> str:
    """`killed`, or what else became of a mutant."""
    path = folder / mutant.file
    sound, when = path.read_text(encoding="utf-8"), path.stat()
    if sound.count(mutant.old) != 1:
        return f"NOT PLANTED: {mutant.old!r} stands {sound.count(mutant.old)} times in {mutant.file}"
    path.write_text(sound.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        code, line = tested(folder, mutant.tests, 0)
    finally:
        path.write_text(sound, encoding="utf-8")
        os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    return "killed" if code == FAILED else "SURVIVED" if code == PASSED else f"NO TEST RAN: {line}"


def results(chosen: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, str, float]]:
    """Each mutant with what became of it and the seconds it took, as they end."""
    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(jobs) as threads:
        free: Queue[Path] = Queue()
        for number in range(jobs):
            free.put(copy_of_tree(Path(home) / str(number)))
        first = free.get()
        code, line = tested(first, sorted({test for one in chosen for test in one.tests}), jobs)
        free.put(first)
        if code != PASSED:
            raise SystemExit(f"the tests do not pass on the sound tree: {line}")

        def run(mutant: Mutant) -> tuple[Mutant, str, float]:
            folder, began = free.get(), time.perf_counter()
            try:
                return mutant, judged(folder, mutant), time.perf_counter() - began
            finally:
                free.put(folder)

        yield from threads.map(run, chosen)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("begins", nargs="*", help="only mutants of files that begin so")
    parser.add_argument("--names", action="store_true", help="list them and stop")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args(argv)
    chosen = [one for one in mutants() if not given.begins or one.file.startswith(tuple(given.begins))]
    if given.names:
        print("\n".join(one.name for one in chosen))
        return 0
    began, lost = time.perf_counter(), 0
    for mutant, found, seconds in results(chosen, given.jobs):
        lost += found != "killed"
        print(f"{found:10} {seconds:5.1f} s  {mutant.name}", flush=True)
    print(f"{len(chosen) - lost} of {len(chosen)} killed in {time.perf_counter() - began:.0f} s")
    return min(lost, 1)


if __name__ == "__main__":
    raise SystemExit(main())
