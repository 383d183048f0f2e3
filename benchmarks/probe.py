"""Nested cross-validated logistic regression: ours beside a scikit-learn loop of the same optimum.

$ python benchmarks/probe.py [--full]

One site: 10 outer folds x 5 repeats, 5 inner folds, 15 strengths, features standardised on every training part.
Both run in this process on one thread, turn about; scikit-learn on sampled outer folds, scaled to all fifty.
The run fails unless objective, chosen strength and held-out answers agree.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

from probes.solvers.calibration import above_prior  # noqa: E402
from probes.solvers.inner_folds import inner_folds  # noqa: E402
from probes.solvers.logistic import C_GRID, Fits, fit_nested, objective  # noqa: E402

TOLERANCE = 1e-8  # of the peer; its default stops up to several per cent above the optimum
REPEATS, OUTER, INNER = 5, 10, 5


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What scikit-learn found for one outer fold."""

    c: float
    objective: float
    predicted: np.ndarray


def site(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussian classes under a power-law spectrum, turned at random: float32 [n, d], int [n]."""
    rng = np.random.default_rng([seed, n, d])
    y = np.arange(n) % 2
    shift = np.zeros(d)
    shift[:48] = rng.normal(size=48)
    x = rng.normal(size=(n, d)) + 2.0 / np.linalg.norm(shift) * shift * (y[:, None] - 0.5)
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return ((x * np.arange(1, d + 1) ** -0.5) @ turn).astype(np.float32), y


def plan(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training parts [50, n] and their inner folds [50, n]."""
    rng, groups = np.random.default_rng(1), np.arange(len(y))
    folds = [inner_folds(y, groups, rng, OUTER) for _ in range(REPEATS)]
    outer = np.stack([fold != k for fold in folds for k in range(OUTER)])
    inner = np.full(outer.shape, -1)
    for row, train in zip(inner, outer, strict=True):
        row[train] = inner_folds(y[train], groups[train], rng)
    return outer, inner


def scikit_learn(x: np.ndarray, y: np.ndarray, rows: np.ndarray, inner: np.ndarray) -> Peer:
    """The plain loop: StandardScaler and LogisticRegression for every inner fold and strength."""
    nats = np.zeros(len(C_GRID))
    for k in range(INNER):
        train, test = rows & (inner != k), rows & (inner == k)
        z = standardised(x, train)
        for i, c in enumerate(C_GRID):
            model = fitted(z[train], y[train], c)
            score = model.decision_function(z[test])
            nats[i] += np.logaddexp(0, np.where(y[test] == 1, -score, score)).sum()
    c = C_GRID[int(nats.argmin())]
    z = standardised(x, rows)
    model = fitted(z[rows], y[rows], c)
    prior = y[rows].mean()
    predicted = model.decision_function(z[~rows]) > np.log(prior / (1 - prior))
    return Peer(c=c, objective=objective(z[rows], y[rows], model.coef_, model.intercept_, c), predicted=predicted)


def standardised(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """All rows in float64, by the mean and sd of those that train."""
    from sklearn.preprocessing import StandardScaler  # pyright: ignore

    return StandardScaler().fit(x[rows].astype(np.float64)).transform(x.astype(np.float64))


def fitted(z: np.ndarray, y: np.ndarray, c: float) -> Any:
    """The peer's model on standardised training rows."""
    from sklearn.linear_model import LogisticRegression  # pyright: ignore

    strength = c / np.square(z).sum(axis=1).mean()
    return LogisticRegression(C=strength, tol=TOLERANCE, max_iter=10_000).fit(z, y)


def agree(x: np.ndarray, y: np.ndarray, rows: np.ndarray, fits: Fits, m: int, peer: Peer) -> float:
    """Relative excess of our objective over the peer's; fails unless strength and answers are the same."""
    train = x[rows].astype(np.float64)
    z = (train - train.mean(axis=0)) / train.std(axis=0)
    weights = fits.weights[m] * train.std(axis=0)
    ours = objective(z, y[rows], weights, fits.intercept[m] + fits.weights[m] @ train.mean(axis=0), fits.c[m])
    predicted = above_prior(fits.logits[m : m + 1], fits.prior[m : m + 1]).argmax(axis=1)[0][~rows]
    assert fits.c[m] == peer.c, f"another strength was chosen: {fits.c[m]:g} and {peer.c:g}"
    assert (predicted == peer.predicted).all(), (
        f"{(predicted != peer.predicted).sum()} of {len(predicted)} held-out answers differ"
    )
    excess = ours / peer.objective - 1
    assert excess < 1e-6, f"our objective is {excess:.1e} above the peer's"
    return excess


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and the value."""
    start = time.process_time()
    value = call()
    return time.process_time() - start, value


def limit(n: int, d: int) -> float:
    """GFLOP/s of the float32 product that the solver is made of, at its shape."""
    a, b = np.ones((OUTER * INNER, d), np.float32), np.ones((n, d), np.float32)
    np.matmul(a, b.T)
    spent, _ = seconds(lambda: [a @ b.T for _ in range(50)])
    return 50 * 2 * a.shape[0] * n * d / spent / 1e9


def measure(n: int, d: int, rounds: int, sampled: int) -> float:
    """Print one line per round and the median ratio."""
    x, y = site(n, d)
    outer, inner = plan(y)
    fit_nested(x, y, outer[:OUTER], inner[:OUTER])
    fitted(standardised(x, outer[0]), y, 1e-3)  # both warm: imports, page faults
    ratios, ours = [], []
    for turn in range(rounds):
        mine, fits = seconds(lambda: fit_nested(x, y, outer, inner))
        picked = [(7 * turn + 3 * i) % len(outer) for i in range(sampled)]
        theirs, peers = seconds(lambda picked=picked: [scikit_learn(x, y, outer[m], inner[m]) for m in picked])
        worst = max(agree(x, y, outer[m], fits, m, p) for m, p in zip(picked, peers, strict=True))
        scaled = theirs * len(outer) / sampled
        ratios.append(scaled / mine)
        ours.append(mine)
        print(
            f"  round {turn}: ours {mine:.2f} s, scikit-learn {scaled:.1f} s (scaled from {sampled} of {len(outer)} "
            f"outer folds), ratio {ratios[-1]:.1f}; objective {worst:+.1e}, same c, same answers"
        )
    print(f"n={n} d={d}: ratio {np.median(ratios):.1f}x (median of {rounds}), ours {np.median(ours):.2f} s CPU")
    print(f"  limit: float32 product {limit(n, d):.0f} GFLOP/s on one thread")
    return float(np.median(ratios))


def main() -> None:
    """Both sizes; `--full` samples more of the peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more rounds and more sampled folds")
    full = parser.parse_args().full
    print("nested logistic regression, one site, one thread, CPU seconds")
    small = measure(200, 768, rounds=5 if full else 3, sampled=4 if full else 2)
    large = measure(1400, 768, rounds=3, sampled=2 if full else 1)
    print(f"goals: 30x at n=200 ({'reached' if small >= 30 else 'missed'}), "
          f"20x at n=1400 ({'reached' if large >= 20 else 'missed'})")  # fmt: skip


if __name__ == "__main__":
    main()
