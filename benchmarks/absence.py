"""Absence against planted truth: how often it is said where nothing is to be read, and where something is.

$ python -m benchmarks.absence --runs 4 --items 100 200 400
nothing     how often `absent` is said, with the L it prints
signals     of accuracy .70 to .95, along leading, any, middle or tail directions: how often those of .90 or more are
            called absent all the same, and how often an L that is printed lies below the truth
leaks       how often the leak alarm rings on null maps of eight points, and on near copies that were not declared
kernel      exclusive or, and nulls: how often a kernel forbids `absent`
decide      the items said to decide, brought: how often A* is excluded then (nine in ten is meant)
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np

import probes
from probes import FeatureSet
from probes.solvers.ridge import Ridge
from probes.stats.effect_size import separation
from probes.stats.exclusion import EXCHANGED, Exclusion, exclusion, in_units, kernel_p, strength_to_exclude, strengths
from probes.stats.measurement import Measurement
from probes.stats.multiplicity import low_over_map
from probes.stats.permutation import permutation_test
from probes.stats.verdict import rings

PLACES = {"leading": (0.0, 0.02), "anywhere": (0.0, 1.0), "middle": (0.1, 0.4), "tail": (0.5, 1.0)}  # of the spectrum
FALLS = (0.25, 0.5, 0.75)  # the sd along the k-th principal direction is k to the minus this
PERMUTATIONS = 999


def spread(width: int, run: int) -> np.ndarray:
    """The sd along each principal direction [width]; runs take turns."""
    return np.arange(1, width + 1) ** -FALLS[run % len(FALLS)]


def images(rng: np.random.Generator, n: int, sd: np.ndarray) -> np.ndarray:
    """Independent images, in coordinates along the principal directions."""
    return rng.standard_normal((n, len(sd))) * sd


def planted(
    rng: np.random.Generator, n: int, sd: np.ndarray, strength: float, place: tuple[float, float], classes: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, width] in rotated axes and answers [n] that unlimited data would read with this strength."""
    x, width = images(rng, n, sd), len(sd)
    first, last = (round(share * width) for share in place)
    ways = np.zeros((width, classes or 1))
    ways[first:last] = np.linalg.qr(rng.standard_normal((last - first, classes or 1)))[0]
    ways *= sd[:, None]
    if classes is None:
        y = rng.standard_normal(n)
        x += separation(strength, None) * y[:, None] * ways[:, 0]
    else:
        y = rng.permutation(np.arange(n) % classes)
        x += separation(strength, classes) * ways.T[y]
    return x @ np.linalg.qr(rng.standard_normal((width, width)))[0], y


def measured(
    x: np.ndarray, y: np.ndarray, seed: int, *, classes: int | None = 2, groups: np.ndarray | None = None
) -> Measurement:
    """One cell as a run measures it."""
    names = None if classes is None else tuple("abcdefgh"[:classes])
    groups = np.arange(len(y)) if groups is None else groups
    plan = probes.plan(y, groups, classes=names, seed=seed, permutations=PERMUTATIONS, repeats=2)
    given = FeatureSet(x=x, y=y, groups=groups, ids=[str(i) for i in range(len(y))], classes=names)
    return probes.measure(given, plan, probe="ridge", nested=False)


def nothing(items: Sequence[int], width: int, runs: int, classes: int | None = 2) -> None:
    """How often absence is said where it is true."""
    for n in items:
        said, limits, spent = 0, [], 0.0
        for run in range(runs):
            rng = np.random.default_rng([1, n, run])
            x = images(rng, n, spread(width, run))
            y = rng.standard_normal(n) if classes is None else rng.permutation(np.arange(n) % classes)
            start = time.perf_counter()
            m = measured(x, y, run, classes=classes)
            spent += time.perf_counter() - start
            if m.state == "absent" and m.limit is not None:
                said += 1
                limits.append(m.limit.limit)
        kind = "a number" if classes is None else f"{classes} classes"
        middle = f", L {np.median(limits):.2f}" if limits else ""
        print(f"nothing, {kind}, n = {n}: absent {said} of {runs}{middle}; {spent / runs:.1f} s a cell")


def signals(items: Sequence[int], width: int, runs: int, classes: int | None = 2) -> None:
    """How often absence is said of a signal that it should exclude, and how often L lies below the truth."""
    asked = strength_to_exclude(classes)
    grid = (*strengths(classes)[4::2], strengths(classes)[-1])
    for place, where in PLACES.items():
        said = strong = below = cells = 0
        for n in items:
            for strength in grid:
                for run in range(runs):
                    rng = np.random.default_rng([2, n, run, round(100 * strength), len(place)])
                    x, y = planted(rng, n, spread(width, run), strength, where, classes)
                    m = measured(x, y, run, classes=classes)
                    cells += 1
                    strong += strength >= asked
                    if m.state == "absent" and m.limit is not None and m.limit.limit is not None:
                        said += strength >= asked
                        below += m.limit.limit <= in_units(strength, classes)
        print(f"signal {place}: A* or more called absent {said} of {strong}; L at most the truth {below} of {cells}")


def leaks(runs: int) -> None:
    """How often the leak alarm rings on maps of nothing, judged once per map, and on undeclared near copies."""
    for what in ("3 rare items of 60", "30 of 60", "60 numbers", "30 images and near copies"):
        rang = 0
        for run in range(runs):
            rng = np.random.default_rng([3, run])
            pairs = "copies" in what
            y = rng.standard_normal(60) if "numbers" in what else (np.arange(60) < (3 if "rare" in what else 30)) * 1
            y = np.arange(60) % 2 if pairs else rng.permutation(y)
            classes = None if "numbers" in what else ("a", "b")
            plan = probes.plan(y, np.arange(60), classes=classes, seed=run, permutations=199, repeats=2)
            base = rng.standard_normal((60, 40))
            base = np.repeat(base[:30], 2, axis=0) if pairs else base
            points = []
            for _ in range(8):
                x = base + (0.1 if pairs else 1) * rng.standard_normal((60, 40))
                given = FeatureSet(x=x, y=y, groups=plan.groups, ids=[str(i) for i in range(60)], classes=classes)
                points.append(probes.measure(given, plan, probe="ridge", nested=False, detect=False, level="screen"))
            low = low_over_map([m.null.statistic for m in points])
            rang += any(rings(low, m.estimate) for m in points)
        print(f"leak alarms on maps of 8 points, {what}: {rang} of {runs}")


def kernel(runs: int) -> None:
    """How often a kernel stops an exclusive or, and a null."""
    stopped = blocked = 0
    for run in range(runs):
        rng = np.random.default_rng([4, run])
        a, b = rng.integers(0, 2, (2, 240))
        x = rng.standard_normal((240, 6))
        x[:, 0] += 5 * a
        x[:, 1] += 5 * b
        for y, bent in ((a ^ b, True), (rng.permutation(np.arange(240) % 2), False)):
            plan = probes.plan(y, np.arange(240), classes=("a", "b"), seed=run, permutations=EXCHANGED)
            hit = kernel_p(x, plan) <= 0.05
            stopped, blocked = stopped + (hit and bent), blocked + (hit and not bent)
    print(f"kernel: exclusive or stopped {stopped} of {runs}, nulls blocked {blocked} of {runs}")


def decide(items: Sequence[int], width: int, runs: int) -> None:
    """Whether the items that are said to decide do."""

    def silent(n: int, seed: Sequence[int]) -> Exclusion:
        rng = np.random.default_rng(seed)
        y = rng.permutation(np.arange(n) % 2)
        x = images(rng, n, spread(width, seed[-1]))
        plan = probes.plan(y, np.arange(n), classes=("a", "b"), seed=seed[-1], permutations=PERMUTATIONS)
        return exclusion(x, plan, permutation_test(Ridge.of(x), plan).statistic)

    for n in items:
        held = cells = 0
        said: list[int] = []
        for run in range(runs):
            found = silent(n, [5, n, run])
            if found.groups is None or found.groups > 4 * n:
                continue
            said.append(found.groups)
            then = silent(found.groups, [6, n, run])
            cells += 1
            held += then.enough
        said_of = f" (median {np.median(said):.0f})" if said else ""
        print(f"decide, n = {n}: A* excluded with the items said{said_of}: {held} of {cells}")


def own(file: str, counts: Sequence[int], runs: int) -> None:
    """How often absence is said of a random label of that many groups, in features of one's own (x, groups)."""
    with np.load(file) as found:
        x, groups = found["x"], np.unique(found["groups"], return_inverse=True)[1].ravel()
    for n in counts:
        said, needed = 0, []
        for run in range(runs):
            rng = np.random.default_rng([7, n, run])
            keep = np.isin(groups, rng.permutation(groups.max() + 1)[:n])
            who = np.unique(groups[keep], return_inverse=True)[1].ravel()
            y = (rng.permutation(n) % 2)[who]
            m = measured(x[keep], y, run, groups=who)
            said += m.state == "absent"
            needed += [] if m.groups_needed is None else [m.groups_needed]
        more = f"; said to decide: {min(needed)} to {max(needed)}" if needed else ""
        print(f"{file}, a random label of {n} groups: absent {said} of {runs}{more}")


def main(argv: Sequence[str] | None = None) -> None:
    """Print each table with its counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--classes", type=int, default=2, help="0: a number")
    parser.add_argument("--only", nargs="+", default=["nothing", "signals", "leaks", "kernel", "decide"])
    parser.add_argument("--features", metavar="FILE.npz", help="x [n, d] and groups [n] of your own: a random label")
    given = parser.parse_args(argv)
    classes = given.classes or None
    parts = {
        "nothing": lambda: nothing(given.items, given.width, given.runs, classes),
        "signals": lambda: signals(given.items, given.width, given.runs, classes),
        "leaks": lambda: leaks(given.runs),
        "kernel": lambda: kernel(given.runs),
        "decide": lambda: decide(given.items, given.width, given.runs),
        "own": lambda: own(given.features, given.items, given.runs),
    }
    for name in ["own"] if given.features else given.only:
        parts[name]()


if __name__ == "__main__":
    main()
