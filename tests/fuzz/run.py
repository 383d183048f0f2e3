"""Fuzz every reader: `python -m tests.fuzz.run --count 100000 --seed 7`, in a process that is watched.

An input is decided by the seed and its number alone, so that a run that was stopped goes on with `--start`, and a
failure is repeated with `--start N --count 1`. Inputs are read in a process of their own, which ends at the first one
that takes more than SECONDS of its CPU time or MEMORY beyond what it held; the next process goes on behind it.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slitlamp.log import printable
from tests.fuzz.mutate import mutated
from tests.fuzz.readers import KINDS, PLANTED, Kind

SECONDS = 5.0  # of CPU time that one input may take, by the timer of the system, which stops C code too
STUCK = 300.0  # seconds in which nothing comes back: it waits for something
MEMORY = 2**30  # bytes that one input may take
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Found:
    """What a run found: how many inputs of each kind were read, and the failures as (number, kind, words)."""

    done: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str, str]] = field(default_factory=list)


def made(number: int, seed: int, seeds: dict[str, list[Path]], kinds: dict[str, Kind]) -> tuple[str, str, bytes]:
    """The kind, the file name and the bytes of an input."""
    rng = np.random.default_rng([seed, number])
    shares = np.array([kind.share or 1 for kind in kinds.values()], float)
    kind = list(kinds)[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    start = seeds[kind][int(rng.integers(len(seeds[kind])))]
    end = next((e for e in ("nii.gz", "deflated.dcm", "apng.png") if start.name.endswith(e)), start.suffix[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind, start.name, mutated(start.read_bytes(), end, rng)


def _held(name: str) -> int:
    with Path("/proc/self/status").open() as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(name)), 0)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _peak() -> int:
    """Bytes held now, from which on the peak is counted."""
    with contextlib.suppress(OSError):  # a system that does not let it start anew: the peak is that of all inputs
        Path("/proc/self/clear_refs").write_text("5")
        return _held("VmRSS")
    return _held("VmHWM")


def child(numbers: Sequence[int], seed: int, out: Path, *, memory: int, seconds: float, kinds: dict[str, Kind]) -> None:
    """Read inputs one after another; a line of JSON before and after each."""
    warnings.simplefilter("ignore")
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    seeds = {}
    for name, kind in kinds.items():
        (home / name).mkdir()
        seeds[name] = kind.make(home / name)
    for name, kind in kinds.items():  # libraries are loaded, and good files are good
        for path in seeds[name]:
            kind.read(_placed(home, name, path.name, path.read_bytes()))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, whatever library it is in
    faulthandler.disable()
    for number in numbers:
        name, file, data = made(number, seed, seeds, kinds)
        path = _placed(home, name, file, data)
        _say(json.dumps({"number": number, "kind": name, "path": str(path)}))
        before = _peak()
        signal.setitimer(signal.ITIMER_PROF, seconds)
        words = ""
        try:
            kinds[name].read(path)
        except BaseException as error:
            words = f"{type(error).__name__}: {' '.join(str(error).split())[:200]} ({_place(error)})"
        signal.setitimer(signal.ITIMER_PROF, 0)
        taken = _held("VmHWM") - before
        if not words and taken > memory:
            words = f"{taken / 2**20:.0f} MiB of memory"
        if words:
            _save(path, out, seed, number)
        _say(json.dumps({"done": number, "words": words}))
    shutil.rmtree(home)


def _place(error: BaseException) -> str:
    """The last line of the project's own that the error came through."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(ROOT) and "site-packages" not in file.parts:
            place = f"{file.relative_to(ROOT)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _placed(home: Path, kind: str, name: str, data: bytes) -> Path:
    """The file in a folder where what it needs lies beside it."""
    folder = home / f"{kind}-input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if kind == "tables":
        for path in (home / kind).glob("*.png"):
            shutil.copy(path, folder)
    (folder / name).write_bytes(data)
    return folder / name


def fuzz(
    count: int, seed: int, start: int, out: Path, *, memory: int = MEMORY, seconds: float = SECONDS, kinds: str = ""
) -> Found:
    """Read so many inputs; those that fail are saved under `out`."""
    found = Found()
    at, end = start, start + count
    while at < end:
        command = [sys.executable, "-m", "tests.fuzz.run", "--child", "--start", str(at), "--count", str(end - at),
                   "--seed", str(seed), "--memory", str(memory), "--seconds", str(seconds), "--kinds", kinds,
                   "--out", str(out)]  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": home}
            silent = subprocess.DEVNULL
            with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=silent) as run:
                reading = _watched(run, found, seed)
            if reading is not None:
                killed = {-signal.SIGPROF: f"more than {seconds:g} s", -signal.SIGKILL: f"nothing for {STUCK:g} s"}
                _save(Path(reading["path"]), out, seed, reading["number"])
                _count(found, seed, reading, killed.get(run.returncode, f"the process ended with {run.returncode}"))
                at = reading["number"] + 1
            elif run.returncode:
                raise SystemExit(f"the fuzzer itself ended with {run.returncode}; run it with --child to see why")
            else:
                at = end
    return found


def _watched(run: subprocess.Popen[bytes], found: Found, seed: int) -> dict | None:
    """Follow a child's lines; the input that it was reading when it ended, None where it ended well."""
    assert run.stdout is not None
    reading: dict | None = None
    buffer = b""
    while True:
        ready, _, _ = select.select([run.stdout], [], [], STUCK)
        if not ready:
            run.kill()
            return reading
        part = os.read(run.stdout.fileno(), 2**16)
        if not part:
            return reading
        *lines, buffer = (buffer + part).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "done" not in said:
                reading = said
                continue
            assert reading is not None
            if said["words"]:
                _count(found, seed, reading, said["words"])
            found.done[reading["kind"]] += 1
            reading = None


def _save(path: Path, out: Path, seed: int, number: int) -> None:
    if path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, out / f"{seed}-{number}-{path.name}")


def _count(found: Found, seed: int, reading: dict, words: str) -> None:
    found.failures.append((reading["number"], reading["kind"], words))
    name = Path(reading["path"]).name
    _say(f"seed {seed} input {reading['number']} ({reading['kind']}, {name}): {printable(words)}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="inputs to read")
    parser.add_argument("--seed", type=int, default=0, help="the seed of all inputs")
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="where inputs that fail are saved")
    parser.add_argument("--memory", type=int, default=MEMORY, help="bytes that one input may take")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of CPU time that one input may take")
    parser.add_argument("--kinds", default="", help="some of: " + ", ".join(KINDS) + " (all but the last)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.child:
        wanted = asked.kinds.split(",") if asked.kinds else [name for name in KINDS if name != PLANTED]
        kinds = {name: kind for name, kind in KINDS.items() if name in wanted}
        numbers = range(asked.start, asked.start + asked.count)
        child(numbers, asked.seed, asked.out, memory=asked.memory, seconds=asked.seconds, kinds=kinds)
        return 0
    began = time.monotonic()
    found = fuzz(
        asked.count, asked.seed, asked.start, asked.out, memory=asked.memory, seconds=asked.seconds, kinds=asked.kinds
    )
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(found.done.items()))
    _say(f"seed {asked.seed}, inputs {asked.start} to {asked.start + asked.count - 1}: {counts}; "
          f"{len(found.failures)} failures; {time.monotonic() - began:.0f} s")  # fmt: skip
    return bool(found.failures)


if __name__ == "__main__":
    sys.exit(main())
