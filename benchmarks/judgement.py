"""What is said of many points, encoders and controls, against planted truth.

$ python -m benchmarks.judgement --runs 40
search    null commands of 5 encoders x 4 sites: how often anything is called present, paid per encoder and per task
best      equal sites: by how much the highest and the nested score miss the truth, how often their intervals hold it
untrained a network that never learnt, against others that did not either: how often it surpasses one, three, five
credit    a learnt signal with controls at chance: what it is credited to, by this rule and by the first
loss      a point that reads less than a reference before it, and one that reads as much
order     sorted lists with and without drift, and mixed ones: how often the images are found to carry the order
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr
from scipy.stats import binomtest

import probes
from probes import FeatureSet, Measurement, Plan
from probes.solvers.ridge import Ridge
from probes.stats.best import Candidates, nested_best, simultaneous, widened
from probes.stats.credit import LOWLEVEL, PIXELS, UNTRAINED, credit_of, hardest, over_population, surpassed
from probes.stats.effect_size import separation
from probes.stats.loss import Reference, losses
from probes.stats.multiplicity import over_layers
from probes.stats.order import carried_order
from probes.stats.permutation import permutation_test
from slitlamp.log import say

TWO = ("no", "yes")


def question(n: int, seed: int, permutations: int = 199, repeats: int | None = None) -> Plan:
    """A balanced question of n independent items."""
    return probes.plan(
        np.arange(n) % 2, np.arange(n), classes=TWO, seed=seed, permutations=permutations, repeats=repeats
    )


def direction(rng: np.random.Generator, strength: float, width: int = 24) -> np.ndarray:
    """The difference between the classes' means [width] that unlimited data would read with this accuracy."""
    way = rng.standard_normal(width)
    return separation(strength, 2) * np.sqrt(2) * way / np.linalg.norm(way)


def site(rng: np.random.Generator, plan: Plan, strength: float) -> np.ndarray:
    """Features [n, 24] that unlimited data would read with this accuracy, along a random direction."""
    return along(rng, plan, direction(rng, strength))


def along(rng: np.random.Generator, plan: Plan, way: np.ndarray) -> np.ndarray:
    """Features [n, d] of unit covariance whose classes differ by this."""
    return rng.standard_normal((len(plan.y), len(way))) + np.outer(plan.y - 0.5, way)


def reads_fresh(x: np.ndarray, way: np.ndarray, plan: Plan) -> np.ndarray:
    """What ridge, fitted to each training part, reads of fresh items [R, folds]: Phi of half the distance it sees."""
    found = np.empty((plan.repeats, plan.n_folds))
    for r, fold in enumerate(plan.folds):
        for k in range(plan.n_folds):
            train, y = x[fold != k] - x[fold != k].mean(axis=0), plan.y[fold != k] - 0.5
            gram = train.T @ train
            w = np.linalg.solve(gram + plan.penalty * np.trace(gram) / len(y) * np.eye(len(way)), train.T @ y)
            found[r, k] = ndtr(w @ way / np.linalg.norm(w) / 2)
    return found


def measured(x: np.ndarray, plan: Plan) -> Measurement:
    """Features under a plan, by closed-form ridge."""
    given = FeatureSet(x=x, y=plan.y, groups=plan.groups, ids=[str(i) for i in range(len(x))], classes=plan.classes)
    return probes.measure(given, plan, level="screen")


def search(runs: int, n: int = 60, encoders: int = 5, sites: int = 4, permutations: int = 199) -> tuple[int, int]:
    """In how many null commands anything is present: each encoder's map paid for by itself, and all of them at once."""
    alone = together = 0
    for run in range(runs):
        rng, plan = np.random.default_rng([run, 1]), question(n, run, permutations, repeats=1)
        maps = [
            [permutation_test(Ridge.of(site(rng, plan, 0.5)), plan).statistic for _ in range(sites)]
            for _ in range(encoders)
        ]
        alone += any(over_layers(one).min() <= 0.05 for one in maps)
        together += over_layers([s for one in maps for s in one]).min() <= 0.05
    return alone, together


def best(
    runs: int, strength: float, sites: int, n: int = 100, permutations: int = 99
) -> tuple[dict[str, float], dict[str, int]]:
    """By how much the highest and the nested score of equal sites miss what they read of fresh items; how often held.

    The nested score chooses among training parts, and so among better and worse fits: fresh items are read by those
    that it chose.
    """
    missed: list[tuple[float, float]] = []
    held = {"highest": 0, "nested": 0}
    for run in range(runs):
        rng, plan = np.random.default_rng([run, 2]), question(n, run, permutations, repeats=2)
        ways = [direction(rng, strength) for _ in range(sites)]
        made = [along(rng, plan, way) for way in ways]
        ms = [measured(x, plan) for x in made]
        fresh = np.stack([reads_fresh(x, way, plan) for x, way in zip(made, ways, strict=True)])
        top, nested = int(np.argmax([m.estimate.score for m in ms])), nested_best(ms, plan)
        wide = widened(ms[top].estimate, simultaneous([m.scored.part.mean(axis=0) for m in ms], plan))
        assert nested is not None
        picked = Candidates.among(ms, plan).choices(range(sites))
        truth = {
            "highest": float(fresh[top].mean()),
            "nested": float(np.take_along_axis(fresh, picked[None], axis=0).mean()),
        }
        missed.append((ms[top].estimate.score - truth["highest"], nested.estimate.score - truth["nested"]))
        ends = {"highest": wide, "nested": (nested.estimate.low, nested.estimate.high)}
        for one, (low, high) in ends.items():
            held[one] += (low or 0) <= truth[one] <= (high or 0)
    highest, inside = np.mean(missed, axis=0)
    return {"highest": float(highest), "nested": float(inside)}, held


def untrained(runs: int, n: int = 100, between: float = 0.05, first: int = 0) -> Counter[str]:
    """How often one untrained network surpasses others: one draw, the hardest of three, five as a population.

    Networks differ in what they read: their strengths have a standard deviation of `between`.
    """
    found: Counter[str] = Counter()
    for run in range(first, first + runs):
        rng, plan = np.random.default_rng([run, 3]), question(n, run, 99, repeats=2)
        strengths = np.clip(0.72 + between * rng.standard_normal(6), 0.5, 0.95)
        one, *draws = [measured(site(rng, plan, float(s)), plan) for s in strengths]
        pairs = [(draw, probes.compare(one, draw, plan)) for draw in draws]
        found["one draw"] += surpassed(pairs[0][1])
        found["hardest of 3"] += surpassed(hardest(pairs[:3])[1])
        found["population of 5"] += surpassed(over_population(one, draws, plan)[1])
    return found


def credit(runs: int, strength: float = 0.9, n: int = 60, first: int = 0) -> tuple[Counter[str], Counter[str]]:
    """What a learnt signal is credited to where all controls are at chance: by this rule, and by the first one."""
    now: Counter[str] = Counter()
    then: Counter[str] = Counter()
    for run in range(first, first + runs):
        rng, plan = np.random.default_rng([run, 4]), question(n, run, 199, repeats=2)
        m = measured(site(rng, plan, strength), plan)
        if m.estimate.p is None or m.estimate.p > 0.05:
            continue
        blind = [measured(site(rng, plan, 0.5), plan) for _ in range(9)]
        pairs = [(other, probes.compare(m, other, plan)) for other in blind]
        controls = {LOWLEVEL: pairs[0], PIXELS: hardest(pairs[1:4]), UNTRAINED: over_population(m, blind[4:], plan)}
        now[str(credit_of(controls, {})[0])] += 1
        three = {"nuisance": pairs[0], "pixels": pairs[1], "architecture": hardest(pairs[4:7])}
        then[next((name for name, (_, d) in three.items() if not surpassed(d)), "learned")] += 1
    return now, then


def loss(runs: int, before: float, after: float, n: int = 200, first: int = 0) -> Counter[str]:
    """The states of a last point of one strength behind three earlier ones of another, in a map of four."""
    found: Counter[str] = Counter()
    for run in range(first, first + runs):
        rng, plan = np.random.default_rng([run, 5]), question(n, run, 99, repeats=2)
        ms = [measured(site(rng, plan, s), plan) for s in (before, before, before, after)]
        named = [Reference(name=str(k), kind="earlier", measurement=m) for k, m in enumerate(ms)]
        last = losses(ms, [named[:k] for k in range(4)], plan)[-1]
        assert last is not None
        found[last.state] += 1
    return found


def order(runs: int, drift: float, *, mixed: bool = False, n: int = 100, first: int = 0) -> int:
    """In how many lists the images are found to carry their order: two features of 24 drift by so many sd."""
    found = 0
    for run in range(first, first + runs):
        rng, y = np.random.default_rng([run, 6]), np.repeat([0, 1], n // 2)
        place = rng.permutation(n) if mixed else np.arange(n)
        plan = probes.plan(y, np.arange(n), classes=TWO, seed=run, permutations=19, repeats=1)
        x = rng.standard_normal((n, 24))
        x[:, :2] += drift * place[:, None] / n
        x[:, 5] += 2 * y
        p = carried_order(x, place.astype(float), plan, permutations=199)
        found += p is not None and p <= 0.05
    return found


def share(count: int, runs: int) -> str:
    """A count as a share with its exact 95 % interval."""
    ends = binomtest(count, runs).proportion_ci()
    return f"{count}/{runs} = {count / runs:.2f} [{ends.low:.2f}, {ends.high:.2f}]"


def main(argv: Sequence[str] | None = None) -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--only", nargs="*", default=["search", "best", "untrained", "credit", "loss", "order"])
    asked = parser.parse_args(argv)
    began, runs = time.perf_counter(), asked.runs
    if "search" in asked.only:
        alone, together = search(runs)
        print(f"search: any present of 20 null points, paid per encoder {share(alone, runs)}, at once "
              f"{share(together, runs)}")  # fmt: skip
    if "best" in asked.only:
        for strength, sites in ((0.8, 12), (0.5, 12), (0.5, 50)):
            miss, held = best(runs, strength, sites)
            print(
                f"best of {sites} equal sites, Bayes {strength}: highest {miss['highest']:+.3f}, nested "
                f"{miss['nested']:+.3f}; held by the nested interval {share(held['nested'], runs)}, by that of the "
                f"highest {share(held['highest'], runs)}"
            )
    if "untrained" in asked.only:
        for between in (0.0, 0.05, 0.1):
            got = untrained(runs, between=between)
            print(f"untrained, sd {between}: " + "; ".join(f"{k} {share(got[k], runs)}" for k in sorted(got)))
    if "credit" in asked.only:
        for strength, n in ((0.9, 60), (0.8, 120)):
            now, then = credit(runs, strength, n)
            print(f"credit, Bayes {strength}, {n} items: now {dict(now)}, first rule {dict(then)}")
    if "loss" in asked.only:
        for before, after in ((0.9, 0.65), (0.8, 0.8), (0.5, 0.5), (0.65, 0.9)):
            print(f"loss, {before} then {after}, 200 items: {dict(loss(runs, before, after))}")
    if "order" in asked.only:
        for drift in (0.0, 1.5, 3.0, 6.0):
            print(f"order, drift {drift} sd over a sorted list: carried in {share(order(runs, drift), runs)}")
    say(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
