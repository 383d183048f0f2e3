"""UMAP: exact neighbours handed over, beside umap-learn's own seeded fit, in this process, turn about.

$ python benchmarks/umap.py [--sizes 2000 10000] [--repeats 3]

Synthetic features n x 768 with a power-law spectrum; a seed for each repeat. Numba compiles on a small fit that both
pay. umap-learn is first at each size; its first fit at 10,000 also compiles its search for neighbours.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

sys.path[0] = str(Path(__file__).parents[1])  # not benchmarks/, where this file would stand for umap-learn

from probes.embedding.neighbours import neighbours, prepared  # noqa: E402
from probes.embedding.project import _library, umap  # noqa: E402
from probes.embedding.trust import Trust, trust  # noqa: E402

K = 15


def features(n: int, d: int = 768, power: float = 0.7) -> np.ndarray:
    """Features [n, d] whose standard deviations fall by a power, as those of encoders do."""
    rng = np.random.default_rng(n)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return prepared(((rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -power) @ turn).astype(np.float32))


def ours(x: np.ndarray, seed: int) -> np.ndarray:
    """Exact neighbours, search included, and the map."""
    return umap(x, *neighbours(x, K), seed=seed)


def theirs(x: np.ndarray, seed: int) -> np.ndarray:
    """umap-learn by itself: seeded, the same number of neighbours (it counts the item itself)."""
    fitted = _library().UMAP(n_neighbors=K + 1, min_dist=0.1, random_state=seed, n_jobs=1)
    return fitted.fit_transform(x.astype(np.float32))


def timed(fit: Callable[[np.ndarray, int], np.ndarray], x: np.ndarray, seed: int) -> tuple[float, float, np.ndarray]:
    """Seconds of the processor and of the clock, and the map."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = fit(x, seed)
    return time.process_time() - cpu, time.perf_counter() - wall, found


def measured(n: int, repeats: int) -> None:
    """Print both for one size, with the ratio of each repeat."""
    x = features(n)
    lists = neighbours(x, K)[0]
    maps: dict[str, list[np.ndarray]] = {"umap-learn": [], "ours": []}
    for number in range(repeats):
        seconds = {}
        for name, fit in (("umap-learn", theirs), ("ours", ours)):
            cpu, wall, found = timed(fit, x, number)
            maps[name].append(found)
            seconds[name] = (cpu, wall)
        a, b = seconds["umap-learn"], seconds["ours"]
        print(f"n={n:,} fit {number + 1}: umap-learn {a[0]:.2f} CPU s ({a[1]:.2f} wall), ours {b[0]:.2f} ({b[1]:.2f}): "
              f"{a[0] / b[0]:.2f}x CPU, {a[1] / b[1]:.2f}x wall")  # fmt: skip
    kept: dict[str, list[Trust]] = {name: [trust(x, lists, one) for one in found] for name, found in maps.items()}
    for name, each in kept.items():
        print(f"n={n:,} {name}: preserved {np.mean([t.preserved for t in each]):.4f} (chance {each[0].chance:.4f}), "
              f"trustworthiness {np.mean([t.trustworthiness for t in each]):.4f}, mean of {repeats} seeds")  # fmt: skip
    difference = np.array([a.preserved - b.preserved for a, b in zip(kept["ours"], kept["umap-learn"], strict=True)])
    spread = f", standard error {difference.std(ddof=1) / repeats**0.5:.4f}" if repeats > 1 else ""
    print(f"n={n:,} preserved, ours less theirs: {difference.mean():+.4f}{spread}")


def main() -> None:
    """Compile on a small fit, then measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 10000])
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    small = features(300)
    cpu, wall, _ = timed(ours, small, 0)
    print(f"import and compiling, 300 items: {cpu:.1f} CPU s ({wall:.1f} wall)")
    theirs(small, 0)
    for n in asked.sizes:
        measured(n, asked.repeats)


if __name__ == "__main__":
    main()
