"""The probe at size: CPU seconds and memory of one cell against items, features and permutations, and their fit.

$ python benchmarks/probe_size.py [--items 5000 10000 20000 50000] [--width 768] [--level screen] [--separation 1]

Planted features (two classes in groups of three, a power-law spectrum) are measured as `linear_probe` measures a site:
"screen" is the closed-form map, "full" a headline site with its nested logistic regression. A separation of 0 leaves
nothing to read, and a full cell then also asks what its silence excludes. One thread; the peak is that of anonymous
memory, features included. The last line fits seconds = a + b * items.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

import probes  # noqa: E402


def site(n: int, d: int, separation: float, seed: int = 0) -> Any:
    """Features float32 [n, d] of two classes `separation` apart along a random direction, groups of three items."""
    rng = np.random.default_rng([seed, n, d])
    groups = np.arange(n) // 3
    y = rng.permutation(np.arange(groups.max() + 1) % 2)[groups]
    x = rng.standard_normal((n, d), dtype=np.float32)
    way = rng.standard_normal(d).astype(np.float32)
    x += np.float32(separation) * (y[:, None] - np.float32(0.5)).astype(np.float32) * (way / np.linalg.norm(way))
    x *= (np.arange(1, d + 1) ** -0.5).astype(np.float32)
    return probes.feature_set(x, y, groups=groups)


def anonymous() -> float:
    """MB of anonymous memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / 1e3


class Peak:
    """CPU seconds and the largest anonymous memory, in MB, of what runs inside."""

    def __enter__(self) -> "Peak":
        self.mb, self._done = anonymous(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._start = time.process_time()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.mb = max(self.mb, anonymous())

    def __exit__(self, *_: object) -> None:
        self.seconds = time.process_time() - self._start
        self._done.set()
        self._thread.join()


def main() -> None:
    """A line for each number of items, and the fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[5_000, 10_000, 20_000, 50_000])
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--permutations", type=int, help="omitted: the default for so many items")
    parser.add_argument("--level", choices=["screen", "full"], default="screen")
    parser.add_argument("--separation", type=float, default=1.0)
    asked = parser.parse_args()
    seconds = []
    for n in asked.items:
        given = site(n, asked.width, asked.separation)
        plan = probes.plan(given.y, given.groups, classes=given.classes, permutations=asked.permutations)
        with Peak() as peak:
            found = probes.measure(given, plan, level=asked.level)
        seconds.append(peak.seconds)
        print(
            f"{n} x {asked.width}, {asked.level}, {len(plan.permuted)} permutations, {plan.repeats} repeats: "
            f"{peak.seconds:.1f} s of CPU, {peak.mb:.0f} MB; {found.estimate.score:.3f}, {found.state}",
            flush=True,
        )
    if len(seconds) > 1:
        slope, start = np.polyfit(asked.items, seconds, 1)
        print(f"seconds = {start:.1f} + {1e4 * slope:.2f} for each 10,000 items")


if __name__ == "__main__":
    main()
