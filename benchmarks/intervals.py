"""Intervals and power of numbers and of rare classes: the rules in use beside those they replaced, on planted truth.

$ python benchmarks/intervals.py [numbers rare differences found] [--runs 40] [--items 100] [--seed 0]

Every data set is measured by both rules. `covered` counts intervals that hold the mean score of all data sets of a row,
which is what this many items give on average; `present` counts data sets that the rule of its time calls so: now p at
most .05 and a score above chance, before also an interval above it.

numbers      concordance of normal scores; before, R2 of the raw number, widened by 1.35 below 100 groups
rare         one class of few groups: joined Wilson intervals; before, Student's t of the spread, widened by 1.35
differences  the same of the paired difference to features that read the few less well
found        how often a score as large as the printed smallest detectable one (`mde`) is called present
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: BLAS reads them once

import argparse  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from scipy.special import stdtrit  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

import probes  # noqa: E402
from probes.solvers.codes import fold_means  # noqa: E402
from probes.solvers.ridge import Ridge  # noqa: E402
from probes.stats.measurement import Measurement  # noqa: E402
from probes.stats.plan import Plan  # noqa: E402
from probes.stats.scores import Scored, association, clustered_error  # noqa: E402

WIDTH = 64
SPREAD = np.arange(1, WIDTH + 1) ** -0.5
WIDER = 1.35  # the factor of the rule that was replaced
RARE = ((3, 60), (5, 60), (10, 60), (10, 100), (15, 150), (20, 200), (29, 300))
TARGETS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "Gaussian": lambda _, z: z,
    "exponential": lambda _, z: np.exp(z / 1.3),
    "lognormal 1.2": lambda _, z: np.exp(1.2 * z),
    "t2 noise": lambda rng, z: z + rng.standard_t(2, len(z)),
    "2 % outliers of 10 sd": lambda rng, z: z + 10 * rng.standard_normal(len(z)) * (rng.random(len(z)) < 0.02),
    "two typing errors": lambda rng, z: np.where(np.isin(np.arange(len(z)), rng.permutation(len(z))[:2]), 40.0, z),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one rule made of one data set."""

    score: float
    low: float
    high: float
    present: bool


def measured(x: np.ndarray, y: np.ndarray, plan: Plan, level: str = "full") -> Measurement:
    """Measured as a headline is, without a search for absence."""
    given = probes.FeatureSet(x=x, y=y, groups=plan.groups, ids=[str(i) for i in range(len(y))], classes=plan.classes)
    return probes.measure(given, plan, probe="ridge", detect=False, nested=False, level=level)  # type: ignore[arg-type]


def now(m: Measurement) -> Row:
    """The rule in use."""
    e = m.estimate
    assert e.low is not None
    assert e.high is not None
    assert e.p is not None
    return Row(score=e.score, low=e.low, high=e.high, present=e.p <= 0.05 and e.score > e.chance)


def before_numbers(x: np.ndarray, y: np.ndarray, plan: Plan) -> Row:
    """R2 of ridge on the raw number, its linearised error, phi of exchanged numbers, and 1.35 below 100 groups."""
    ridge = Ridge.of(x)
    raw = np.sort(y)[np.searchsorted(np.sort(plan.y), np.concatenate([plan.y[None], plan.permuted]))]
    best = np.full(len(raw), -np.inf)
    means = fold_means(raw, plan.folds[0])
    for penalty in (0.03, 0.3, 3.0):
        margin = next(iter(ridge.each(raw, plan.folds[0], [penalty]))) - means
        best = np.maximum(best, association(margin, raw, means, None))
    scored = [_r2(ridge, raw[:1], fold) for fold in plan.folds]
    null = _r2(ridge, raw[1:100], plan.folds[0])
    score = float(np.mean([s.score for s in scored]))
    error = float(np.mean([clustered_error(s.part, plan.groups)[0] for s in scored]))
    phi = max(1.0, float(null.score.std(ddof=1)) / float(clustered_error(null.part, plan.groups).mean()))
    half = float(stdtrit(plan.n_groups - 1, 0.975)) * error * phi * (WIDER if plan.n_groups < 100 else 1.0)
    p = (1 + (best[1:] >= best[0]).sum()) / len(best)
    return Row(score=score, low=score - half, high=min(1.0, score + half), present=p <= 0.05 and score > half)


def _r2(ridge: Ridge, raw: np.ndarray, fold: np.ndarray) -> Scored:
    fitted, means = ridge.held_out(raw, fold, [1.0], dtype=np.float64)[0], fold_means(raw, fold)
    error, base = np.square(raw - fitted), np.square(raw - means)
    whole = base.sum(axis=1, keepdims=True)
    r2 = 1 - error.sum(axis=1, keepdims=True) / whole
    return Scored(score=r2[:, 0], part=-(error - (1 - r2) * base) / whole)


def before_rare(m: Measurement) -> Row:
    """Student's t of the spread of items times phi, widened by 1.35, on the logit scale above .95."""
    assert m.permuted is not None
    assert m.estimate.p is not None
    plan, score = m.plan, m.estimate.score
    error = float(clustered_error(m.scored.part, plan.groups).mean())
    spread = float(clustered_error(m.permuted.part, plan.groups).mean())
    phi = max(1.0, float(m.permuted.score.std(ddof=1)) / spread) if spread > 0 else 1.0
    bare = float(stdtrit(plan.n_groups - 1, 0.975)) * error * phi
    half = WIDER * bare
    low, high = score - half, min(1.0, score + half)
    if score >= 1:
        low, high = 1 - (1 - 0.025 ** (1 / plan.rare)) * plan.chance, 1.0
    elif score > 0.95:
        logit, step = np.log(score / (1 - score)), half / (score * (1 - score))
        low, high = 1 / (1 + np.exp(step - logit)), 1 / (1 + np.exp(-step - logit))
    return Row(score=score, low=float(low), high=float(high), present=m.estimate.p <= 0.05 and score - bare > 0.5)


def number_data(rng: np.random.Generator, target: str, n: int, r2: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, WIDTH] of a power-law spectrum, and a number of which unlimited data would explain `r2`."""
    white = rng.standard_normal((n, WIDTH))
    way = rng.standard_normal(WIDTH) * SPREAD**2
    latent = white @ (way / np.linalg.norm(way)) * np.sqrt(r2) + np.sqrt(1 - r2) * rng.standard_normal(n)
    return white * SPREAD, TARGETS[target](rng, latent)


def class_data(rng: np.random.Generator, few: int, n: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, WIDTH], and classes of which the first has `few` items and lies `shift` sd away."""
    y = rng.permutation((np.arange(n) >= few).astype(int))
    white = rng.standard_normal((n, WIDTH))
    white[:, :3] += shift / np.sqrt(3) * (y == 0)[:, None]
    return white * SPREAD, y


def report(name: str, old: list[Row], new: list[Row]) -> None:
    """One row: of each rule the share covered, the mean width, and the share called present."""
    print(f"{name:28}", end="")
    for rows in (old, new):
        mean = float(np.mean([r.score for r in rows]))
        covered = float(np.mean([r.low <= mean <= r.high for r in rows]))
        width = float(np.mean([r.high - r.low for r in rows]))
        print(f"  {mean:6.3f} {covered:8.3f} {width:6.3f} {np.mean([r.present for r in rows]):8.2f}", end="")
    print(flush=True)


def heading(title: str, runs: int) -> None:
    """What the columns of `report` are."""
    print(f"\n{title}, {runs} data sets a row")
    print(f"{'':28}  {'before: covered, width, present':>31}  {'now: covered, width, present':>31}")


def numbers(runs: int, n: int, seed: int) -> None:
    """Coverage and power of numbers of several distributions."""
    heading(f"numbers, n = {n}", runs)
    for target in TARGETS:
        old, new = [], []
        for run in range(runs):
            x, y = number_data(np.random.default_rng([seed, 1, n, run]), target, n)
            plan = probes.plan(y, np.arange(n), seed=run, permutations=199)
            old.append(before_numbers(x, y, plan))
            new.append(now(measured(x, y, plan)))
        report(target, old, new)


def rare(runs: int, n: int, seed: int) -> None:
    """Coverage of balanced accuracy where one of two classes has few groups."""
    del n
    for shift, title in ((0.0, "nothing to read"), (2.0, "two sd apart"), (4.0, "four sd apart")):
        heading(f"rare class, {title}", runs)
        for few, items in RARE:
            old, new = [], []
            for run in range(runs):
                x, y = class_data(np.random.default_rng([seed, 2, few, items, run]), few, items, shift)
                m = measured(
                    x, y, probes.plan(y, np.arange(items), classes=("few", "many"), seed=run, permutations=199)
                )
                old.append(before_rare(m))
                new.append(now(m))
            report(f"{few} of {items}", old, new)


def differences(runs: int, n: int, seed: int) -> None:
    """How often the interval of a paired difference holds the mean one; the second set reads the few less well."""
    del n
    print(f"\npaired differences with a rare class, {runs} data sets a row")
    print(f"{'':28}  {'mean':>6}  before: covered, width  now: covered, width")
    for few, items in RARE:
        score, half, ends = [], [], []
        for run in range(runs):
            x, y = class_data(np.random.default_rng([seed, 3, few, items, run]), few, items, 4.0)
            worse = x.copy()
            worse[:, :3] -= 1.5 / np.sqrt(3) * SPREAD[:3] * (y == 0)[:, None]
            plan = probes.plan(y, np.arange(items), classes=("few", "many"), seed=run, permutations=199)
            a, b = (measured(one, y, plan, "screen") for one in (x, worse))
            assert a.permuted is not None
            assert b.permuted is not None
            d, null = probes.compare(a, b, plan), a.permuted.minus(b.permuted)
            spread = float(clustered_error(null.part, plan.groups).mean())
            phi = max(1.0, float(null.score.std(ddof=1)) / spread) if spread > 0 else 1.0
            error = float(clustered_error(a.scored.minus(b.scored).part, plan.groups).mean())
            score.append(d.score)
            half.append(WIDER * phi * error * float(stdtrit(plan.n_groups - 1, 0.975)))
            ends.append((d.low, d.high))
        mean, (low, high) = float(np.mean(score)), np.array(ends, dtype=float).T
        before = float(np.mean(np.abs(np.array(score) - mean) <= half))
        after = float(np.mean((low <= mean) & (mean <= high)))
        print(
            f"{f'{few} of {items}':28}  {mean:6.3f}  {before:15.3f} {2 * np.mean(half):6.3f}  {after:12.3f} "
            f"{np.mean(high - low):6.3f}",
            flush=True,
        )


def found(runs: int, n: int, seed: int) -> None:
    """The share called present where the mean score is the smallest detectable one that is printed."""
    print(f"\nscores as large as the printed mde, {runs} data sets for each of 6 strengths")
    print(f"{'':28}  {'mean mde':>8}  {'found':>6}  should be at least .8")
    kinds = {f"two classes, {n}": (None, n), "6 of 60": (6, 60), "15 of 150": (15, 150), f"a number, {n}": (-1, n)}
    for name, (few, items) in kinds.items():
        score, power, mde = [], [], []
        for strength in np.linspace(0, 1, 6):
            rows = []
            for run in range(runs):
                rng = np.random.default_rng([seed, 4, items, run])
                if few == -1:
                    x, y = number_data(rng, "Gaussian", items, 0.5 * strength)
                    plan = probes.plan(y, np.arange(items), seed=run, permutations=199)
                else:
                    x, y = class_data(rng, few or items // 2, items, (3.0 if few is None else 10.0) * strength)
                    plan = probes.plan(y, np.arange(items), classes=("few", "many"), seed=run, permutations=199)
                m = measured(x, y, plan, "screen")
                rows.append((m.estimate.score, now(m).present, m.estimate.mde))
            for into, values in zip((score, power, mde), zip(*rows, strict=True), strict=True):
                into.append(float(np.mean(np.asarray(values, dtype=float))))
        at = float(np.mean(mde))
        order = np.argsort(score)
        share = float(np.interp(at, np.asarray(score)[order], np.asarray(power)[order]))
        print(f"{name:28}  {at:8.3f}  {share:6.2f}" + "  (no strength reads so well)" * (at > max(score)), flush=True)


def main() -> None:
    """Print the tables asked for, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    tables = {"numbers": numbers, "rare": rare, "differences": differences, "found": found}
    parser.add_argument("table", nargs="*", help=", ".join(tables))
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in asked.table or tables:
        if name not in tables:
            parser.error(f"no table {name}; there are {', '.join(tables)}")
        tables[name](asked.runs, asked.items, asked.seed)


if __name__ == "__main__":
    main()
