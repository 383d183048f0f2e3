"""Mining of confusing pairs: ours beside FAISS range_search and beside a loop of float32 tiles.

$ uv run --with faiss-cpu python benchmarks/pairs.py [--full] [--threads N] [--power P]

Synthetic embeddings n x (512, 768) with a power-law spectrum and a common offset; pairs at least .90 near in the first
and at most .75 near in the second (.93 with --full: 80,000 instead of 20,000). The truth is the float64 product of the
stored float32 rows. All run in this process, turn about. The run fails unless ours is exactly that set.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

from probes.pairs.mining import Box, Miner, Space, Tally, cosine_space  # noqa: E402

TILE = 2048


def bank(n: int, d: int, seed: int, power: float) -> np.ndarray:
    """Embeddings float32 [n, d]: mean cosine .63, standard deviations that fall by a power.

    With .55 the first 32, 64 and 128 directions hold 67, 76 and 85 % of the energy, with .7 86, 91 and 95 %.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -power
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    mean = rng.normal(size=d)
    return (x + 1.3 * mean / np.linalg.norm(mean)).astype(np.float32)


def ours(first: Space, second: Space, box: Box, threads: int) -> tuple[np.ndarray, Tally]:
    """Codes i * n + j of the mined pairs, preparation included."""
    miner = Miner(first=first, second=second, box=box)
    miner.screen  # noqa: B018 - once, before the threads need it
    n = len(first)

    def strip(ends: tuple[int, int]) -> tuple[list[np.ndarray], Tally]:
        tally = Tally()
        return [h.first.astype(np.int64) * n + h.second for h in miner.strip(*ends, tally)], tally

    total, found = Tally(), []
    with ThreadPoolExecutor(threads) as pool:
        for codes, tally in pool.map(strip, miner.strips):
            found += codes
            total.add(tally)
    return np.concatenate(found), total


def faiss_range(first: Space, second: Space, box: Box, _threads: int) -> tuple[np.ndarray, None]:
    """Every pair that FAISS finds in the first space, filtered by the second."""
    import faiss  # pyright: ignore

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(first.unit.shape[1])
    index.add(first.unit)
    n, found = len(first), []
    for start in range(0, n, 512):
        limits, _, neighbours = index.range_search(first.unit[start : start + 512], box.at_least)
        rows = np.repeat(np.arange(start, start + len(limits) - 1), np.diff(limits.astype(np.int64)))
        upper = rows < neighbours
        i, j = rows[upper], neighbours[upper]
        near = np.einsum("nd,nd->n", second.unit[i], second.unit[j])
        found.append((i * n + j)[near <= box.at_most])
    return np.concatenate(found), None


def tiles(first: Space, second: Space, box: Box, _threads: int) -> tuple[np.ndarray, None]:
    """A loop over the upper triangle: both products in float32, and a comparison."""
    n, found = len(first), []
    for i in range(0, n, TILE):
        for j in range(i, n, TILE):
            hit = first.unit[i : i + TILE] @ first.unit[j : j + TILE].T >= box.at_least
            hit &= second.unit[i : i + TILE] @ second.unit[j : j + TILE].T <= box.at_most
            a, b = np.nonzero(np.triu(hit, 1) if i == j else hit)
            found.append((a + i) * n + b + j)
    return np.concatenate(found), None


def exact(first: Space, second: Space, box: Box, near: np.ndarray) -> np.ndarray:
    """The float64 set: every pair by one float64 product up to 20,000 items, above all that float32 brings near."""
    n = len(first)
    if n > 20_000:
        i, j = np.divmod(near, n)
        a, b = first.similarities(i, j), second.similarities(i, j)
        return near[(a >= box.at_least) & (b <= box.at_most)]
    found = []
    for i in range(0, n, 512):
        a = first.unit[i : i + 512].astype(np.float64) @ first.unit[i:].T.astype(np.float64)
        rows, columns = np.nonzero(np.triu(a >= box.at_least, 1))
        b = np.einsum("nd,nd->n", second.unit[rows + i].astype(np.float64), second.unit[columns + i].astype(np.float64))
        keep = b <= box.at_most
        found.append((rows[keep] + i) * n + columns[keep] + i)
    return np.concatenate(found)


def timed(function: Callable[..., Any], *given: Any) -> tuple[Any, float, float]:
    """What a function returns, its CPU seconds and its wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = function(*given)
    return found, time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Time all of them on one bank, and compare the sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="80,000 embeddings instead of 20,000")
    parser.add_argument("--threads", type=int, default=1, help="threads of ours (the others have one)")
    parser.add_argument("--power", type=float, default=0.55, help="of the spectrum: a larger one gives more pairs")
    asked = parser.parse_args()
    n, low = (80_000, 0.93) if asked.full else (20_000, 0.9)
    import torch

    torch.set_num_threads(1)
    box = Box(at_least=low, at_most=0.75)
    first, second = (
        cosine_space(bank(n, 512, 1, asked.power), "first"),
        cosine_space(bank(n, 768, 2, asked.power), "second"),
    )
    small = cosine_space(bank(64, 512, 1, asked.power), "small"), cosine_space(bank(64, 768, 2, asked.power), "small")
    ours(*small, Box(at_least=-1.0, at_most=1.0), 1)  # compiles the loops
    peers = {"float32 tiles": tiles} | ({} if asked.full else {"FAISS range_search and filter": faiss_range})
    (codes, tally), cpu, wall = timed(ours, first, second, box, asked.threads)
    print(f"{n} x (512, 768), >= {low}, <= {box.at_most}: {len(codes):,} pairs of {tally.pairs:,}; "
          f"{tally.candidates:,} checked exactly")  # fmt: skip
    print(f"{'ours':30} {cpu:8.2f} CPU s {wall:8.2f} s  {tally.pairs / cpu / 1e6:.0f} M pairs per CPU second")
    slack = Box(at_least=low - first.slack, at_most=box.at_most + second.slack)
    near, seconds = {}, {}
    for name, peer in peers.items():
        (found, _), seconds[name], passed = timed(peer, first, second, box, 1)
        near[name] = found
        print(f"{name:30} {seconds[name]:8.2f} CPU s {passed:8.2f} s  x{seconds[name] / cpu:.1f}")
    truth = exact(first, second, box, tiles(first, second, slack, 1)[0] if asked.full else codes)
    for name, found in {"ours": codes, **near}.items():
        missing, extra = len(np.setdiff1d(truth, found)), len(np.setdiff1d(found, truth))
        print(f"{name:30} {missing} missing, {extra} extra")
        assert name != "ours" or missing == extra == 0
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
