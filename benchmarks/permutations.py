"""Permutation test of the largest AUC over ridge penalties: ours beside scikit-learn's permutation_test_score.

$ python benchmarks/permutations.py [--full]

One site: 15 penalties, 10 folds, the observed labels and 1,999 permuted ones. Both run in this process on one
thread, turn about; the peer does a few label vectors of one penalty and is scaled to all of them. The run fails
unless the held-out predictions equal refits to 1e-9 in float64 and the statistics agree.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

from probes.solvers.auc import auc  # noqa: E402
from probes.solvers.ridge import Ridge  # noqa: E402
from probes.solvers.scale import standardised  # noqa: E402

PENALTIES = tuple(float(p) for p in 10.0 ** np.linspace(-3, 3, 15))
LABELS, FOLDS = 2000, 10


def site(n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features float32 [n, d] with a power-law spectrum, labels [2000, n] (observed first), folds [n]."""
    rng = np.random.default_rng([n, d])
    y, fold = np.arange(n) % 2, (np.arange(n) // 2) % FOLDS
    x = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5
    x[:, 3:20] += 0.1 * y[:, None]
    labels = np.stack([y, *(within(y, fold, rng) for _ in range(LABELS - 1))])
    return x.astype(np.float32), labels, fold


def within(y: np.ndarray, fold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels permuted inside folds: with stratified folds a free permutation rejects too often."""
    out = np.empty_like(y)
    out[np.argsort(fold, kind="stable")] = y[np.lexsort((rng.random(len(y)), fold))]
    return out


def ours(x: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The statistic of every label vector [2000], decomposition included."""
    return Ridge.of(x).largest_auc(labels, fold, PENALTIES)


def peer(x: np.ndarray, y: np.ndarray, fold: np.ndarray, permutations: int) -> float:
    """permutation_test_score of one penalty: 1 + `permutations` cross-validated fits."""
    from sklearn.linear_model import RidgeClassifier  # pyright: ignore
    from sklearn.model_selection import PredefinedSplit, permutation_test_score  # pyright: ignore
    from sklearn.pipeline import make_pipeline  # pyright: ignore
    from sklearn.preprocessing import StandardScaler  # pyright: ignore

    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=0.1 * x.shape[1]))
    found = permutation_test_score(
        model, x, y, cv=PredefinedSplit(fold), n_permutations=permutations, scoring="roc_auc"
    )
    return found[0]


def same_result(x: np.ndarray, labels: np.ndarray, fold: np.ndarray, statistic: np.ndarray) -> None:
    """Refit three label vectors at three penalties without each fold, and compare."""
    solver, z = Ridge.of(x), standardised(x)
    few, some = np.array([0, 1, LABELS - 1]), (PENALTIES[3], PENALTIES[7], PENALTIES[11])
    exact = solver.held_out(labels[few], fold, some, dtype=np.float64)
    for penalty, found in zip(some, exact, strict=True):
        worst = np.abs(found - refitted(z, labels[few].astype(float), fold, penalty * solver.unit)).max()
        assert worst < 1e-9, f"closed form and refit differ by {worst:.1e}"
    wide = np.stack([auc(s, labels[few]) for s in solver.held_out(labels[few], fold, PENALTIES, dtype=np.float64)])
    gap = np.abs(wide.max(axis=0) - statistic[few]).max()
    assert gap < 1e-3, f"the statistic differs from float64 by {gap:.1e}"
    print(f"  refits equal to 1e-9; statistic within {gap:.0e} of float64")


def refitted(z: np.ndarray, y: np.ndarray, fold: np.ndarray, strength: float) -> np.ndarray:
    """Ridge with an unpenalised intercept, solved anew without every fold."""
    out = np.empty(y.shape)
    for part in range(FOLDS):
        rows = fold != part
        centre, mean = z[rows].mean(axis=0), y[:, rows].mean(axis=1, keepdims=True)
        inside = z[rows] - centre
        if rows.sum() < z.shape[1]:  # the same solution through the smaller of the two systems
            dual = np.linalg.solve(inside @ inside.T + strength * np.eye(rows.sum()), (y[:, rows] - mean).T)
            weights = inside.T @ dual
        else:
            gram = inside.T @ inside + strength * np.eye(z.shape[1])
            weights = np.linalg.solve(gram, inside.T @ (y[:, rows] - mean).T)
        out[:, ~rows] = ((z[~rows] - centre) @ weights).T + mean
    return out


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and the value."""
    start = time.process_time()
    value = call()
    return time.process_time() - start, value


def limit(n: int, d: int) -> float:
    """CPU seconds of the float32 products alone: one into the basis and one back for every penalty."""
    rank = min(n, d)
    rows, basis = np.ones((500, n), np.float32), np.ones((n, rank), np.float32)
    spent, _ = seconds(lambda: [np.matmul(np.matmul(rows, basis), basis.T) for _ in range(2)])
    return spent / 4 * (LABELS / 500) * (1 + len(PENALTIES))


def measure(n: int, d: int, rounds: int, permutations: int) -> float:
    """Print one line per round and the median ratio."""
    x, labels, fold = site(n, d)
    ours(x, labels[:50], fold)
    peer(x, labels[0], fold, 1)
    ratios, statistic = [], np.empty(0)
    for turn in range(rounds):
        mine, statistic = seconds(lambda: ours(x, labels, fold))
        theirs, _ = seconds(lambda: peer(x, labels[0], fold, permutations))
        scaled = theirs / (permutations + 1) * LABELS * len(PENALTIES)
        ratios.append(scaled / mine)
        p = float((statistic >= statistic[0]).mean())
        print(
            f"  round {turn}: ours {mine:.3f} s, scikit-learn {scaled:.0f} s (scaled from {permutations + 1} of "
            f"{LABELS * len(PENALTIES)} label vectors x penalties), ratio {ratios[-1]:.0f}; p = {p:.4f}"
        )
    same_result(x, labels, fold, statistic)
    print(f"n={n} d={d}: ratio {np.median(ratios):.0f}x (median of {rounds})")
    print(f"  limit: the float32 products alone take {limit(n, d):.3f} s")
    return float(np.median(ratios))


def main() -> None:
    """Both sizes; `--full` runs more rounds and more of the peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more rounds and more of the peer's permutations")
    full = parser.parse_args().full
    print("ridge permutations, one site, one thread, CPU seconds")
    small = measure(200, 768, rounds=7 if full else 5, permutations=20 if full else 5)
    large = measure(1400, 768, rounds=5 if full else 3, permutations=10 if full else 3)
    print(f"goals: 10,000x at n=200 ({'reached' if small >= 10_000 else 'missed'}), "
          f"4,000x at n=1400 ({'reached' if large >= 4_000 else 'missed'})")  # fmt: skip


if __name__ == "__main__":
    main()
