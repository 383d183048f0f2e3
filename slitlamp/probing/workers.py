"""Measurements on worker processes: one thread each, so that a number does not depend on the cores."""

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from slitlamp.log import progress


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
    pool_groups: np.ndarray | None
    detect: bool
    nested: bool


def measure(job: Job) -> tuple[str, Any, float]:
    """Run one job on one thread, so that sums are ordered the same way on any number of cores."""
    from threadpoolctl import threadpool_limits

    import probes

    start = time.perf_counter()
    with threadpool_limits(1):
        measurement = probes.measure(
            job.features,
            job.plan,
            probe=job.probe,
            pool=job.pool,
            pool_groups=job.pool_groups,
            seed=job.seed,
            level=job.level,
            detect=job.detect,
            nested=job.nested,
        )
    return job.key, measurement, time.perf_counter() - start


def spare_threads() -> None:
    """Keep NumPy's matrix products in this process to one thread from here on.

    Drawing and hashing images multiplies small matrices: with a thread for each core they gain nothing, and on a
    machine that others use the threads wait for one another. torch keeps its threads.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")


def run_jobs(jobs: Iterator[Job], total: int, workers: int, what: str) -> Iterator[tuple[str, Any, float]]:
    """Results as they finish; two at a time in flight per worker, so that memory stays flat."""
    with progress(total, what) as bar:
        if workers == 1 or total < 4:
            for job in jobs:
                yield measure(job)
                bar.update()
            return
        from multiprocessing import get_context

        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet)
        try:
            waiting = iter(jobs)
            with _deaf():
                running: set[Future] = {pool.submit(measure, job) for job in islice(waiting, 2 * workers)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    following = next(waiting, None)
                    if following is not None:
                        running.add(pool.submit(measure, following))
                    yield future.result()
                    bar.update()
        finally:
            manager = getattr(pool, "_executor_manager_thread", None)
            processes = list((getattr(pool, "_processes", None) or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            if manager is not None:
                manager.join(5)  # else the interpreter's end may write to a pipe that this thread is closing


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Processes started here ignore Ctrl-C from their first instruction on, before `_quiet` can run."""
    import signal

    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread: the caller owns the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _quiet() -> None:
    """A worker leaves Ctrl-C to the parent, which keeps what is finished."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def workers() -> int:
    """One worker per core that this process may use."""
    return max(1, min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
