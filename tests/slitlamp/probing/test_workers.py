"""Worker processes: as many as asked for, started from anywhere, and gone with whoever started them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import probes
from slitlamp.errors import WorkerKilledError
from slitlamp.probing import workers
from slitlamp.probing.workers import Job, run_jobs
from tests.paths import ROOT

# a script as a user writes it: no `if __name__ == "__main__"`, a class of its own, and a probe file by path
SCRIPT = """
import os, sys
from pathlib import Path
import numpy as np
import probes
from slitlamp.probing.workers import Job, run_jobs
print("started", flush=True)
rng = np.random.default_rng(0)
y, groups = np.arange(40) % 2, np.arange(40)
plan = probes.plan(y, groups, classes=("a", "b"), seed=0, folds=4, repeats=1, permutations=19)
def job(i):
    x = rng.standard_normal((40, 8)).astype(np.float32) + y[:, None]
    given = probes.FeatureSet(x=x, y=y, groups=groups, ids=tuple(map(str, range(40))), classes=("a", "b"))
    return Job(key=str(i), features=given, plan=plan, probe=PROBE, level="full", seed=0, pool=None,
               detect=False, nested=False)
found = {key: m for key, m, _ in run_jobs((job(i) for i in range(TOTAL)), TOTAL, 2, "probing")}
print(*(f"{found[key].estimate.score:.17g}" for key in sorted(found, key=int)))
"""

PROBE = '''
import os, sys, time
from pathlib import Path
import numpy as np
from beside_the_script import PAUSE
from probes import FeatureSet, Predictions, load


def probe(given: FeatureSet, folds: np.ndarray, rng: np.random.Generator) -> Predictions:
    """The ridge probe; its process leaves its number and takes its time."""
    (Path("PIDS") / str(os.getpid())).touch()
    time.sleep(PAUSE)
    return load("ridge")(given, folds, rng)
'''


def _default_signals() -> None:
    """Whoever started the tests may have these ignored (nohup, a job in the background), and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Script:
    """The script in a folder of its own, with a probe file that says which processes ran it."""

    def __init__(self, folder: Path, *, total: int, pause: float) -> None:
        self.folder, self.pids = folder, folder / "pids"
        self.pids.mkdir()
        (folder / "beside_the_script.py").write_text(f"PAUSE = {pause}\n")
        (folder / "mine.py").write_text(PROBE.replace("PIDS", str(self.pids)))
        self.text = SCRIPT.replace("PROBE", "'mine.py'").replace("TOTAL", str(total))
        (folder / "script.py").write_text(self.text)

    def start(self, *, stdin: bool = False) -> "subprocess.Popen[str]":
        given = self.text if stdin else ""
        process = subprocess.Popen(
            [sys.executable, "-" if stdin else "script.py"],
            cwd=self.folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            preexec_fn=_default_signals,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        process.stdin = None
        return process

    def workers(self, count: int) -> list[int]:
        """The processes that measure, once there are so many."""
        end = time.monotonic() + 60
        while len(found := [int(p.name) for p in self.pids.iterdir()]) < count:
            assert time.monotonic() < end, "no worker began"
            time.sleep(0.02)
        return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def assert_gone(pids: list[int], within: float) -> None:
    end = time.monotonic() + within
    while any(map(alive, pids)):
        assert time.monotonic() < end, "a worker outlives its parent"
        time.sleep(0.02)


def scores(total: int) -> list[str]:
    """What one process computes, in the order of the jobs."""
    inline = SCRIPT.replace("PROBE", "'ridge'").replace("TOTAL", str(total)).replace(", 2, ", ", 1, ")
    done = subprocess.run([sys.executable, "-c", inline], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[1].split()


@pytest.mark.parametrize("stdin", [False, True], ids=["script", "stdin"])
def test_a_script_without_a_guard_is_run_once_and_gets_the_numbers_of_one_process(tmp_path: Path, stdin: bool) -> None:
    script = Script(tmp_path, total=6, pause=0.05)
    process = script.start(stdin=stdin)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err == ""
    started, found = out.splitlines()
    assert started == "started"
    assert found.split() == scores(6)
    assert process.pid not in script.workers(1)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    script = Script(tmp_path, total=8, pause=30)
    process = script.start()
    pids = script.workers(2)
    process.send_signal(how)
    process.wait(10)
    assert_gone(pids, 5)
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("when", [0.3, 0.6, 0.9, 1.2, None])
def test_ctrl_c_ends_at_once_and_only_the_parent_speaks(tmp_path: Path, when: float | None) -> None:
    """At moments of the start and in the middle; a terminal sends it to all of them."""
    script = Script(tmp_path, total=8, pause=30)
    process = script.start()
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    pids = [] if when is not None else script.workers(2)
    time.sleep(when or 0)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode != 0
    # a semaphore that was being made may be gone before joblib's own tracker looks for it, which it says
    err = re.sub(r"[^\n]*resource_tracker: /loky[^\n]*\n[^\n]*warnings\.warn[^\n]*\n?", "", err)
    assert err.count("Traceback") == 1, err
    assert err.rstrip().endswith("KeyboardInterrupt"), err
    assert "orker" not in err.replace("_workers_ignore_ctrl_c", "").replace("workers.py", ""), err
    assert_gone(pids or [int(p.name) for p in script.pids.iterdir()], 1)


def job(i: int, probe: str | None, width: int = 8) -> Job:
    y, rng = np.arange(40) % 2, np.random.default_rng(i)
    given = probes.FeatureSet(
        x=rng.standard_normal((40, width)).astype(np.float32), y=y, groups=np.arange(40),
        ids=tuple(map(str, range(40))), classes=("a", "b"),
    )  # fmt: skip
    plan = probes.plan(y, given.groups, classes=("a", "b"), seed=0, folds=4, repeats=1, permutations=19)
    return Job(
        key=str(i), features=given, plan=plan, probe=probe, level="full", seed=0, pool=None,
        detect=False, nested=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_worker_is_one_line_and_what_was_finished_is_had(tmp_path: Path) -> None:
    (tmp_path / "kills.py").write_text(
        "import os, signal\nfrom probes import load\n"
        "def probe(given, folds, rng):\n"
        f"    if os.path.exists({str(tmp_path / 'now')!r}):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return load('ridge')(given, folds, rng)\n"
    )
    results = run_jobs((job(i, str(tmp_path / "kills.py")) for i in range(40)), 40, 2, "probing")
    assert next(results)[0] in map(str, range(40))
    (tmp_path / "now").touch()
    with pytest.raises(WorkerKilledError, match=r"^a worker was killed \(out of memory\?\)"):
        list(results)
    again = [key for key, _, _ in run_jobs((job(i, None) for i in range(6)), 6, 2, "probing")]
    assert sorted(again) == list("012345"), "new workers take the place of the dead"


HALF = """
import os, signal, sys
from probes import load

def probe(given, folds, rng):
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        frame = frame.f_back
    pipe = frame.f_locals["result_queue"]._writer.fileno()
    os.write(pipe, (20_000).to_bytes(4, "big") + b"the beginning of a result")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_hands_over_a_result_is_noticed_and_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs are larger than a pipe holds, so that the next is on its way to a worker that will not take it."""
    from joblib.externals.loky import reusable_executor

    monkeypatch.setattr(workers, "STUCK", 1.0)
    (tmp_path / "half.py").write_text(HALF)
    began = time.monotonic()
    with pytest.raises(WorkerKilledError, match=r"^a worker was killed \(out of memory\?\)"):
        list(run_jobs((job(i, str(tmp_path / "half.py"), width=2000) for i in range(12)), 12, 2, "probing"))
    assert time.monotonic() - began < 60
    manager = reusable_executor._executor._executor_manager_thread
    if manager is not None:
        manager.join(20)
        assert not manager.is_alive(), "the end of this process would wait for it"


LEAKED = """
from multiprocessing import resource_tracker
from joblib.externals.loky.backend import resource_tracker as lokys
from slitlamp.probing import workers
with workers._workers_ignore_ctrl_c():
    pass
resource_tracker.register("/nothing-there", "semaphore")
lokys.register("/nothing-there", "file")
"""


def test_what_a_killed_worker_left_is_cleared_up_without_a_word_behind_the_last_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAKED], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    code = LEAKED.replace("with workers", "workers._QUIET = 'default'\nwith workers")  # the twin: such a line exists
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert "leaked semaphore" in done.stderr


@pytest.mark.slow
def test_jobs_are_made_when_there_is_a_worker_for_them() -> None:
    made, taken = [], 0

    def jobs() -> Iterator[Job]:
        for i in range(30):
            made.append(i)
            yield job(i, None)

    for _ in run_jobs(jobs(), 30, 2, "probing"):
        taken += 1
        if taken == 1:
            assert len(made) < 12
            time.sleep(0.5)
    assert (taken, len(made)) == (30, 30)


@pytest.mark.slow
def test_what_goes_wrong_while_a_job_is_made_reaches_the_caller() -> None:
    def jobs() -> Iterator[Job]:
        for i in range(30):
            if i == 9:
                raise OSError(5, "the disk fails")
            yield job(i, None)

    with pytest.raises(OSError, match="the disk fails"):
        list(run_jobs(jobs(), 30, 2, "probing"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # loky's manager, while it is ended
def test_leaving_early_ends_the_workers_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no `pgrep` is installed, which joblib asks for the children of a worker."""
    script = Script(tmp_path, total=8, pause=0.1)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bin").mkdir()
    results = run_jobs((job(i, str(tmp_path / "mine.py")) for i in range(40)), 40, 2, "probing")
    next(results)
    pids = script.workers(2)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert shutil.which("pgrep") is None
    results.close()
    assert_gone(pids, 1)
    assert capfd.readouterr().err == ""
