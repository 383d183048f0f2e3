"""Images per second of CPU time that each phantom gives, on one thread, building the rows included and apart.

    python benchmarks/phantoms.py [--rounds 3] [--n 48] [--kind chest lumen …]

Every phantom is a task's `phantoms`; the rounds go over all of them in turn, so that a busy machine slows
them alike, and the best round counts.
"""

# ruff: noqa: E402  threads are fixed before NumPy is imported
import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import tasks
from tasks import Source


def makers() -> dict[str, Callable[[int, int], Source]]:
    """One maker per phantom, by the name of its source: tasks that share a phantom count once."""
    found: dict[str, Callable[[int, int], Source]] = {}
    for name in tasks.names():
        make = tasks.load(name).phantoms
        if make is not None:
            found.setdefault(make(1, 0).name.removeprefix("phantom:"), make)
    return found


def once(make: Callable[[int, int], Source], n: int, seed: int) -> tuple[float, float]:
    """CPU seconds of building n rows, and of reading their images."""
    start = time.process_time()
    rows = make(n, seed).rows
    built = time.process_time()
    for row in rows:
        row.picture.read()
    return built - start, time.process_time() - built


def main() -> None:
    """Print one line per phantom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n", type=int, default=48)
    parser.add_argument("--kind", nargs="+", default=None)
    given = parser.parse_args()
    found = {k: m for k, m in makers().items() if given.kind is None or k in given.kind}
    if not found:
        parser.error(f"no such phantom; there are {', '.join(makers())}")
    best = {kind: (float("inf"), float("inf")) for kind in found}
    for seed in range(given.rounds):
        for kind, make in found.items():
            best[kind] = min(best[kind], once(make, given.n, seed), key=sum)
    print(f"{'phantom':12} {'rows/s':>9} {'images/s':>9} {'both/s':>9}")
    for kind, (build, read) in best.items():
        print(f"{kind:12} {given.n / build:9.0f} {given.n / read:9.0f} {given.n / (build + read):9.0f}")


if __name__ == "__main__":
    main()
