"""Kill whole commands at random moments, on demand: nothing finished is lost, nothing is left behind, one line each.

$ python -m tests.kills --sigkill 500 --sighup 50 --workers 50
$ python -m tests.kills --command diagnose --sigkill 20 --sighup 5 --workers 0

A command is begun again on the folder and the store that the last one left, until one comes to its end: then its files
are held byte for byte against those of a run that was left alone, and all begins anew. Moments are drawn over the whole
span, in seconds of the processor, so that they mean the same on a loaded machine. The commands are forked from a
process that has imported what they import (`--fresh` starts an interpreter for each).
"""

import argparse
import atexit
import contextlib
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ASKED = {
    "linear_probe": ["--encoder", "pixels", "--task", "mirror", "--items", "24", "--folds", "3",
                     "--repeats", "1", "--permutations", "19"],
    "diagnose": ["--model", "phantom-llava", "--items", "12", "--folds", "3", "--repeats", "1", "--permutations", "19",
                 "--twins", "0"],
}  # fmt: skip
UNEQUAL = ("timing.json", ".lock")  # what a run took, and what it holds while it lives
PATIENCE = 60.0  # seconds after which what should have ended counts as left behind
TICK = os.sysconf("SC_CLK_TCK")


def _facts(entry: Path) -> list[str]:
    """What the system says of a process behind its name: state, parent, group, session and so on."""
    return (entry / "stat").read_text().rsplit(")", 1)[1].split()


def processes(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            facts = _facts(entry)
            if int(facts[3]) == session and facts[0] not in "ZX":
                found.append(int(entry.name))
    return found


def runs(pid: int) -> bool:
    """Whether a command has not ended yet; one that has is still to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def seconds(pid: int) -> float:
    """What a process has used of the processor, with its children that have ended."""
    with contextlib.suppress(OSError):
        return sum(map(int, _facts(Path(f"/proc/{pid}"))[11:15])) / TICK
    return float("inf")


def digests(folder: Path) -> dict[str, str]:
    """The files of a folder with the sha256 of each."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNEQUAL
    }


def finished(home: Path) -> dict[str, str]:
    """What is never to be lost nor changed: cells and closed shards."""
    return {
        name: digest
        for name, digest in digests(home).items()
        if name.endswith((".npz", ".h5")) and not Path(name).name.startswith(".")
    }


def left_over(home: Path) -> list[str]:
    """Files that only a writer has while it lives."""
    return [p.relative_to(home).as_posix() for p in home.rglob("*") if p.name.endswith((".tmp", "-journal", ".part"))]


@dataclass
class Killer:
    """One command that is killed again and again, and what was seen."""

    command: str
    work: Path
    fresh: bool
    rng: random.Random
    seen: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    whole: dict[str, str] = field(default_factory=dict)
    span: float = 0.0

    @property
    def home(self) -> Path:
        """The folder of results and store that is used until a run comes to its end."""
        return self.work / "home"

    def start(self, jobs: int, dump: Path | None = None) -> int:
        """Begin the command in a session of its own; its process."""
        self.home.mkdir(exist_ok=True)
        words = [*ASKED[self.command], "--out", str(self.home / "out"), "--jobs", str(jobs)]
        variables = os.environ | {"SLITLAMP_CACHE": str(self.home / "store")}
        if self.fresh:
            with (self.work / "said").open("wb") as said:
                return subprocess.Popen(
                    [sys.executable, "-m", f"experiments.{self.command}", *words],
                    env=variables, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
                ).pid  # fmt: skip
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(self.work / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.environ |= variables
            code = importlib.import_module(f"experiments.{self.command}").main(words)
            if dump is not None:
                dump.write_text(json.dumps([*sys.modules]))
            threading._shutdown()  # type: ignore[attr-defined]  as an interpreter does at its end, which os._exit skips
            atexit._run_exitfuncs()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def end(self, pid: int) -> int:
        """Wait for the command and for all that it started; its exit code, below 0 for a signal."""
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        until = time.monotonic() + PATIENCE
        while (left := processes(pid)) and time.monotonic() < until:
            time.sleep(0.05)
        if left:
            self.faults.append(f"{len(left)} processes outlive their parent")
            for one in left:
                with contextlib.suppress(OSError):
                    os.kill(one, signal.SIGKILL)
        return code

    def reference(self, jobs: int) -> None:
        """Run once without a kill: what it leaves, and how long it takes; take over what it imported."""
        dump = self.work / "modules.json"
        pid = self.start(jobs, dump)
        self.span = 0.0
        while runs(pid):
            self.span = max(self.span, seconds(pid))
            time.sleep(0.01)
        assert self.end(pid) == 0, (self.work / "said").read_text()
        self.whole = digests(self.home / "out")
        shutil.rmtree(self.home)
        for name in json.loads(dump.read_text()) if dump.exists() else []:
            with contextlib.suppress(Exception):  # some import only from within others
                importlib.import_module(name)

    def lines(self) -> list[str]:
        """What the command said, without bars."""
        text = (self.work / "said").read_text(errors="replace").replace("\r", "\n")
        return [line for line in text.splitlines() if line.strip() and "it/s]" not in line and "%|" not in line]

    def round(self, kind: str, act: Callable[[int], bool], jobs: int) -> None:
        """Begin the command, let `act` do what it does to it, and hold what is left against what must be."""
        before = finished(self.home) if self.home.exists() else {}
        pid = self.start(jobs)
        struck = act(pid)
        code = self.end(pid)
        said = self.lines()
        whole = "\n".join(said)
        after = finished(self.home)
        lost = [name for name, digest in before.items() if after.get(name) != digest]
        if lost:
            self.faults.append(f"{kind}: {len(lost)} finished files lost or changed: {lost[:2]}")
        if "Traceback" in whole or "internal error" in whole:
            self.faults.append(f"{kind}: {whole[-600:]}")
        last = said[-1] if said else ""
        if code == 0:
            self.seen[f"{kind}: came to its end"] += 1
            self.compare(kind)
        elif kind == "SIGKILL" and code == -signal.SIGKILL:
            self.seen["SIGKILL: killed"] += 1
        elif kind == "SIGHUP" and code == 130 and "interrupted; what was finished is kept. To resume: python" in last:
            self.seen["SIGHUP: one line, 130"] += 1
        elif kind == "SIGHUP" and code == -signal.SIGHUP and not said:
            self.seen["SIGHUP: before the command began"] += 1
        elif kind == "worker" and code == 5 and "error: a worker was killed" in last and "To resume: python" in last:
            self.seen["worker: one line, 5"] += 1
        else:
            self.faults.append(f"{kind}: exit {code}, struck {struck}, said {last[-300:]!r}")

    def compare(self, kind: str) -> None:
        """Hold what a run left that came to its end against the reference, and begin anew."""
        now = digests(self.home / "out")
        odd = sorted(name for name in now.keys() | self.whole.keys() if now.get(name) != self.whole.get(name))
        if odd:
            self.faults.append(f"{kind}: not the files of the run that was left alone: {odd[:4]}")
        left = left_over(self.home)
        if left:
            self.faults.append(f"{kind}: left behind: {left[:4]}")
        shutil.rmtree(self.home)

    def at(self, number: signal.Signals) -> Callable[[int], bool]:
        """Send a signal to the command at a random moment of its span."""

        def act(pid: int) -> bool:
            moment = self.rng.uniform(0, self.span)
            while runs(pid):
                if seconds(pid) >= moment:
                    os.kill(pid, number)
                    return True
                time.sleep(0.002)
            return False

        return act

    def worker(self, pid: int) -> bool:
        """Kill one of the command's workers a random while after it has begun."""
        pause = self.rng.uniform(0, 0.9)  # of the about one that a worker needs
        while runs(pid):
            mine = [one for one in processes(pid) if one != pid and b"popen_loky" in _line(one)]
            if mine:
                end = time.monotonic() + 60
                victim = self.rng.choice(mine)
                while time.monotonic() < end and seconds(victim) < pause:
                    time.sleep(0.002)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    return True
            time.sleep(0.01)
        return False


def _line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _rounds(killer: Killer, asked: argparse.Namespace) -> Iterator[tuple[str, Callable[[int], bool], int, str, int]]:
    yield "SIGKILL", killer.at(signal.SIGKILL), 1, "SIGKILL: killed", asked.sigkill
    yield "SIGHUP", killer.at(signal.SIGHUP), 1, "SIGHUP: one line, 130", asked.sighup
    yield "worker", killer.worker, 2, "worker: one line, 5", asked.workers


def main() -> int:
    """Kill as often as is asked; 1 where something was lost, left behind or said otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", choices=ASKED, default="linear_probe")
    for name, count in (("sigkill", 500), ("sighup", 50), ("workers", 50)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--debug", action="store_true", help="print every round")
    parser.add_argument("--fresh", action="store_true", help="an interpreter for each run")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp()  # no TemporaryDirectory, which a forked command would remove at its end
    try:
        killer = Killer(asked.command, Path(folder), asked.fresh, random.Random(asked.seed))
        killer.reference(1)
        killer.reference(1)  # the imports of the first are paid for by now
        began = time.monotonic()
        print(f"{asked.command}: {len(killer.whole)} files, {killer.span:.2f} s of the processor", flush=True)
        for kind, act, jobs, counted, many in _rounds(killer, asked):
            for turn in range(1, 4 * many + 1):
                if killer.seen[counted] >= many:
                    break
                known = len(killer.faults)
                killer.round(kind, act, jobs)
                for fault in killer.faults[known:]:
                    print(f"fault: {fault}", flush=True)
                if asked.debug or turn % 10 == 0:
                    shown = {name: n for name, n in killer.seen.items() if name.startswith(kind)}
                    print(f"{time.monotonic() - began:.0f} s", shown, f"{len(killer.faults)} faults", flush=True)
            if many and killer.seen[counted] < many:
                killer.faults.append(f"{kind}: {killer.seen[counted]} of {many} in {4 * many} runs")
            if many:
                killer.round(kind, lambda _pid: False, 1)  # to its end, whatever was left
                shown = {name: n for name, n in killer.seen.items() if name.startswith(kind)}
                print(f"{kind}: {shown}, {time.monotonic() - began:.0f} s", flush=True)
        for fault in killer.faults:
            print(fault)
        print(f"{sum(killer.seen.values())} runs, {len(killer.faults)} faults")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if killer.faults else 0


if __name__ == "__main__":
    sys.exit(main())
