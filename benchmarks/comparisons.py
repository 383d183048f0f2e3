"""Comparisons on planted truth: power, false differences, coverage, calibration of P(best), size of `rising`.

$ python benchmarks/comparisons.py [differences equal best rising speed] [--runs 200] [--items 300] [--seed 0]

differences  two encoders that read .05 apart: coverage of the paired interval, how often they are told apart, and the
             power that is nominal for the standard error as it is stated, and for the spread of the measured
             differences, which is less where phi of permuted labels is more than what is read needs
equal        encoders that read equally well: how often any two are told apart; two, and several
best         among statements that an arm is the best with a probability of about p, the share of arms that are, for
             spread, equal and mixed truths; and how often rank intervals and letters all hold
rising       learning curves that have come to rest, and some that have not: how often they are called rising
speed        seconds for all pairs of 40 encoders

Features are Gaussian and pass through `probes.measure`, so that folds, training and phi are the real ones; encoders
share a part of their features, as real ones do. What an encoder truly reads with so many items is the mean of its score
over all data sets. `best` plants estimates (a multivariate normal of known truth and covariance, with an estimated
scale), as several thousand statements are needed for each row.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import itertools  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from scipy.special import ndtr, stdtrit  # noqa: E402
from scipy.stats import nct  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

import probes  # noqa: E402
from probes.stats import curve, ranking  # noqa: E402
from probes.stats.paired import pairs_of  # noqa: E402

WIDTH = 24  # features of an encoder
SHARED = 12  # of them in common


def encoders(rng: np.random.Generator, n: int, strengths: Sequence[float]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Classes [n] and features of encoders [n, WIDTH] that hold the class with a strength each, and noise in common."""
    y = rng.permutation(np.arange(n) % 2)
    common = rng.standard_normal((n, SHARED))
    found = []
    for strength in strengths:
        x = np.concatenate([common, rng.standard_normal((n, WIDTH - SHARED))], axis=1)
        x[:, :4] += strength / 2 * (2 * y[:, None] - 1)  # in what they share, so that they err alike
        found.append(x)
    return y, found


def measured(y: np.ndarray, features: Sequence[np.ndarray], seed: int) -> tuple[Any, list[Any]]:
    """A plan, and the measurement of each encoder under it."""
    groups = np.arange(len(y))
    plan = probes.plan(y, groups, classes=("no", "yes"), seed=seed, permutations=99, repeats=2)
    ids = [str(i) for i in groups]
    given = [probes.FeatureSet(x=x, y=y, groups=groups, ids=ids, classes=("no", "yes")) for x in features]
    return plan, [probes.measure(one, plan, probe="ridge", level="screen", detect=False) for one in given]


def differences(runs: int, items: int, seed: int) -> None:
    """Two encoders about .05 apart."""
    rows = []
    for k in range(runs):
        y, features = encoders(np.random.default_rng([seed, 1, k]), items, (0.63, 0.5))
        plan, ms = measured(y, features, k)
        pair = pairs_of(ms, [(0, 1)], plan)[0]
        rows.append((pair.difference.score, pair.error, pair.low, pair.high))
    score, error, low, high = np.array(rows, dtype=float).T
    truth, spread, df = score.mean(), score.std(ddof=1), items - 1
    t = stdtrit(df, 0.975)
    stated, possible = (1 - nct.cdf(t, df, truth / e) + nct.cdf(-t, df, truth / e) for e in (error.mean(), spread))
    told = (low > 0) | (high < 0)
    off = np.sqrt(told.mean() * (1 - told.mean()) / runs)
    print(
        f"differences: n={items}, {runs} runs, truth {truth:+.3f}; sd of the difference {spread:.4f}, mean error "
        f"{error.mean():.4f}; covered {np.mean((low <= truth) & (truth <= high)):.3f}; told apart {told.mean():.3f} "
        f"(se {off:.3f}), nominal power of the error {stated:.3f}, of the sd {possible:.3f}; in the wrong direction "
        f"{np.mean(high < 0):.3f}"
    )


def equal(runs: int, items: int, seed: int) -> None:
    """Encoders that read equally well."""
    for count in (2, 5):
        false, covered = 0, 0
        for k in range(runs):
            y, features = encoders(np.random.default_rng([seed, 2, count, k]), items, (0.5,) * count)
            plan, ms = measured(y, features, k)
            found = pairs_of(ms, list(itertools.combinations(range(count), 2)), plan)
            apart = [one for one in found if one.low > 0 or one.high < 0]  # type: ignore[operator]
            false += bool(apart)
            covered += np.mean([one.difference.low <= 0 <= one.difference.high for one in found])  # type: ignore[operator]
        print(
            f"equal: {count} encoders, n={items}, {runs} runs: any two told apart {false / runs:.3f}; covered by the "
            f"pointwise interval {covered / runs:.3f}"
        )


TRUTHS = {
    "spread": lambda rng, s: rng.normal(0, 0.05, s),
    "far": lambda rng, s: rng.normal(0, 0.12, s),
    "equal": lambda _, s: np.zeros(s),
    "mixed": lambda rng, s: np.where(np.arange(s) < (s + 1) // 2, 0, -0.05 - 0.1 * rng.random(s)),
    "one high": lambda _, s: np.where(np.arange(s) == 0, 0.05, 0.0),
}
BINS = (0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.001)


def best(runs: int, items: int, seed: int) -> None:
    """Calibration of the probability of being best, and of ranks and letters."""
    del items
    ranking.DRAWS, df = 2000, 99.0
    print("best: mean p said / share that are the best (statements); of arms that tie each is taken for a share")
    for name, truth_of in TRUTHS.items():
        said, true, sure, held, whole = [], [], 0, 0, 0
        for count, error in itertools.product((3, 6, 12), (0.02, 0.05)):
            for k in range(runs):
                rng = np.random.default_rng([seed, 3, count, int(1000 * error), k])
                truth = truth_of(rng, count)
                mix = rng.standard_normal((count, 2 * count)) / np.sqrt(2 * count)
                cov = error**2 * (0.5 + 0.5 * mix @ mix.T)
                score = rng.multivariate_normal(truth, cov)
                var = np.diag(cov)[:, None] + np.diag(cov) - 2 * cov
                seen = var * rng.chisquare(df) / df
                p = ranking.probability_best(score, seen, df, k)
                top = np.isclose(truth, truth.max())
                said.append(p)
                true.append(top / top.sum())
                sure += bool((p[~top] >= 0.95).any())
                half = _tukey(cov, var, rng, df) * np.sqrt(seen)
                above = ranking.told_above(score, half)
                low, high = ranking.rank_intervals(above)
                better = (truth[None] > truth[:, None] + 1e-9).sum(axis=1)
                worse = (truth[None] >= truth[:, None] - 1e-9).sum(axis=1)
                held += bool((low <= 1 + better).all() and (high >= worse).all())
                whole += 1
        p, t = np.concatenate(said), np.concatenate(true)
        cells = [
            f"{p[m].mean():.2f}/{t[m].mean():.2f} ({m.sum()})"
            for lo, hi in itertools.pairwise(BINS)
            if (m := (p >= lo) & (p < hi)).any()
        ]
        print(f"  {name:8}", *cells, f"| wrong at .95: {sure / whole:.3f} | all ranks hold {held / whole:.3f}")


def _tukey(cov: np.ndarray, var: np.ndarray, rng: np.random.Generator, df: float) -> float:
    """The largest absolute t of all differences where all arms are equal, its 95th percentile."""
    drawn = rng.multivariate_normal(np.zeros(len(cov)), cov, 1000)
    upper = np.triu_indices(len(cov), 1)
    scaled = np.abs(drawn[:, upper[0]] - drawn[:, upper[1]]) / np.sqrt(var[upper])
    return float(stdtrit(df, ndtr(np.quantile(scaled.max(axis=1), 0.95))))


def rising(runs: int, items: int, seed: int) -> None:
    """Curves at rest and on the rise: the classes lie in one feature, or in all of many."""
    for name, width, strength in (("nothing to read", 64, 0.0), ("at rest", 2, 1.4), ("rising", 200, 0.12)):
        for draws in (1, 4):
            called, gains, errors, covered = 0, [], [], []
            means: list[float] = []
            ends: list[float] = []
            for k in range(runs):
                rng = np.random.default_rng([seed, 4, width, draws, k])
                y = rng.permutation(np.arange(2 * items) % 2)
                x = rng.standard_normal((len(y), width)) + strength * (2 * y[:, None] - 1)
                less, more = [], []
                for draw in range(draws):
                    order = np.random.default_rng([k, draw]).permutation(len(y))
                    for taken, many in ((items // 2, less), (items, more)):
                        rows = np.sort(order[:taken])
                        _, ms = measured(y[rows], [x[rows]], k)
                        many.append(curve.Draw(measurement=ms[0], groups=[str(i) for i in rows]))
                gain, error = curve.rise(less, more)
                called += bool(curve.rises(gain, error, items // 2))
                gains.append(gain)
                errors.append(error)
                means.append(float(np.mean([d.score for d in more])))
                ends.append(float(curve.mean_error(more) or 0) * float(stdtrit(items - 1, 0.975)))
            truth = float(np.mean(means))
            covered = [abs(m - truth) <= e for m, e in zip(means, ends, strict=True)]
            t = np.mean(gains) / (np.std(gains, ddof=1) / np.sqrt(runs))
            print(
                f"rising: {name}, {items // 2} to {items} groups of {2 * items}, {draws} draws, {runs} runs: gain "
                f"{np.mean(gains):+.3f} (t {t:.1f}); called {called / runs:.3f}; sd of the gain "
                f"{np.std(gains, ddof=1):.4f}, mean error {np.mean(errors):.4f}; mean score covered "
                f"{np.mean(covered):.3f}"
            )


def speed(runs: int, items: int, seed: int) -> None:
    """All pairs of 40 encoders."""
    del runs
    y, features = encoders(np.random.default_rng([seed, 5]), items, np.linspace(0.3, 0.8, 40).tolist())
    plan, ms = measured(y, features, 0)
    began = time.perf_counter()
    found = pairs_of(ms, list(itertools.combinations(range(40), 2)), plan)
    print(f"speed: {len(found)} pairs of n={items}: {time.perf_counter() - began:.1f} s")


PARTS = {"differences": differences, "equal": equal, "best": best, "rising": rising, "speed": speed}


def main(argv: Sequence[str] | None = None) -> None:
    """Print what was found for each part that is named, all of them without any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    for name in given.parts or PARTS:
        PARTS[name](given.runs, given.items, given.seed)


if __name__ == "__main__":
    main()
