"""Measurements on worker processes (joblib): one thread each, so that a number does not depend on the cores."""

import contextlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from slitlamp.errors import WorkerKilledError
from slitlamp.log import progress

MOST = 16  # workers that are started unasked
# The processes that clear up behind killed workers say so after the last line of this one; that one was killed is said.
_QUIET = "ignore:resource_tracker:UserWarning"
STUCK = 5.0  # seconds after which a dead worker that joblib has not noticed will never be
Results = Generator[tuple[str, Any, float], None, None]  # key, measurement, seconds


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs for one cell: arrays and settings, no handles."""

    key: str
    features: Any
    plan: Any
    probe: str | None
    level: Literal["full", "screen"]
    seed: int
    pool: np.ndarray | None
    detect: bool
    nested: bool
    device: str = "cpu"  # of the linear algebra
    optional: bool = False  # what keeps it from being measured is an answer, and ends nothing


def measure(job: Job) -> tuple[str, Any, float]:
    """Run one job on one thread, so that sums are ordered the same way on any number of cores.

    Where it is optional, a ProbeError is returned in place of the measurement.
    """
    from threadpoolctl import threadpool_limits

    import probes

    start = time.perf_counter()
    try:
        with threadpool_limits(1):
            measurement = probes.measure(
                job.features,
                job.plan,
                probe=job.probe,
                pool=job.pool,
                seed=job.seed,
                level=job.level,
                detect=job.detect,
                nested=job.nested,
                device=job.device,
            )
    except probes.ProbeError as error:
        if not job.optional:
            raise
        measurement = error
    return job.key, measurement, time.perf_counter() - start


def spare_threads() -> Any:
    """Keep NumPy's matrix products in this process to one thread from here on, or until the end of a `with` block.

    Drawing and hashing images multiplies small matrices: with a thread for each core they gain nothing, and on a
    machine that others use the threads wait for one another. torch keeps its threads.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def run_jobs(jobs: Iterator[Job], total: int, count: int | None, what: str) -> Results:
    """Key, measurement and seconds of each job, as they finish; two jobs per worker are held in memory at a time.

    None stands for a worker per core. The workers wait for the next call; they end with this process, however it
    ends. Whoever leaves early closes the iterator, which ends them. Raises WorkerKilledError where one was killed.
    """
    count = (count or workers()) if total >= 4 else 1
    with progress(total, what) as bar:
        if count == 1:
            for job in jobs:
                yield measure(job)
                bar.update()
            return
        from joblib import Parallel, delayed, parallel_config

        _let_workers_be_killed()
        with parallel_config(backend="loky", inner_max_num_threads=1), _workers_ignore_ctrl_c():
            results = Parallel(
                count, return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1, max_nbytes=None,
                # another folder, other workers: the path of a probe file may be relative to it
                initializer=_follow_parent, initargs=(os.getpid(), str(Path.cwd())),
            )(delayed(measure)(job) for job in jobs)  # fmt: skip
        with _watched() as give_up:
            try:
                for result in results:
                    yield result
                    bar.update()
            except BrokenProcessPool:
                give_up()
                why = "a worker was killed (out of memory?); --jobs 1 needs the least memory"
                raise WorkerKilledError(why) from None
            finally:
                with warnings.catch_warnings(action="ignore"):  # that what was not finished is dropped is meant
                    results.close()


@contextlib.contextmanager
def _watched() -> Iterator[Callable[[], None]]:
    """Notice a worker that was killed while it took a job or handed over a result, until the end of the block.

    joblib (to 1.6) waits for the rest of what such a worker began to write, without end. What is yielded ends the
    other workers and closes this process's ends of their pipes, so that no thread waits for what nobody sends or takes.
    """
    import threading
    from multiprocessing.connection import wait

    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    done = threading.Event()

    def give_up() -> None:
        for process in list((executor._processes or {}).values()):
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
        for end in ends:
            with contextlib.suppress(OSError):
                end.close()

    def watch() -> None:
        dead, since = set[int](), 0.0
        while not done.wait(1.0):
            processes = dict(executor._processes or {})
            with contextlib.suppress(OSError, ValueError):  # one that was ended in this moment
                ended = {pid for pid, p in processes.items() if wait([p.sentinel], 0)}
                since = time.monotonic() if not ended & dead else since
                dead = ended
                if ended and time.monotonic() - since > STUCK:  # joblib takes note of it at once, or never
                    give_up()
                    return

    if executor is None or os.name != "posix":
        yield lambda: None
        return
    ends = (executor._call_queue._reader, executor._result_queue._writer)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield give_up
    finally:
        done.set()


@contextlib.contextmanager
def _workers_ignore_ctrl_c() -> Iterator[None]:
    """Start processes and threads that never receive Ctrl-C; this process receives it at the end of the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as lokys

    sys.warnoptions.append(_QUIET)
    try:
        resource_tracker.ensure_running()  # when these two start they unblock the signal, so they start first
        lokys.ensure_running()
    finally:
        sys.warnoptions.remove(_QUIET)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _let_workers_be_killed() -> None:
    """Give joblib (to 1.6) what it lacks to end a worker where neither psutil nor pgrep is installed: it would hang."""
    if os.name != "posix":
        return
    from joblib.externals.loky.backend.popen_loky_posix import Popen

    warnings.filterwarnings("ignore", "Failed to kill subprocesses")
    if not hasattr(Popen, "kill"):
        Popen.kill = lambda popen: os.kill(popen.pid, signal.SIGKILL)


def _follow_parent(parent: int, folder: str) -> None:
    """Make a worker end when its parent is gone, also while it measures: a killed parent tells nobody."""
    import threading

    os.chdir(folder)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def workers() -> int:
    """One worker per core that this process may use."""
    from joblib import cpu_count

    return min(MOST, cpu_count())
