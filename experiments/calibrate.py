"""The instrument against planted truth: false verdicts, power, coverage and size, for your own number of items.

$ python -m experiments.calibrate --items 200 --groups 100 --width 768
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from experiments._exit import DONE, guard
from slitlamp.errors import UsageError
from slitlamp.log import progress

if TYPE_CHECKING:
    import numpy as np

SPECTRA = ("power", "flat")
STRENGTHS = (0.5, 0.7, 0.8, 0.9)  # Bayes accuracy of what is planted; .5 is nothing


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often something happened in runs whose truth is known, with its exact 95 % interval."""

    name: str
    truth: float
    count: int
    runs: int
    rate: float
    low: float
    high: float
    should: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The data a user means to bring."""

    items: int
    groups: int
    width: int
    spectrum: str
    runs: int
    seed: int
    pool: int


def main(argv: Sequence[str] | None = None) -> int:
    """Plant, measure, count, print; 0 when done."""
    return guard(_main, argv, "experiments.calibrate")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.calibrate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--items", type=int, default=120, help="items, two classes (default: 120)")
    parser.add_argument("--groups", type=int, help="independent groups (default: one per item)")
    parser.add_argument("--width", type=int, default=192, help="features of the encoder (default: 192)")
    parser.add_argument(
        "--spectrum", choices=SPECTRA, default="power", help="how their variance falls (default: power)"
    )
    parser.add_argument("--pool", type=int, default=2000, help="unlabelled images (default: 2000)")
    parser.add_argument("--runs", type=int, default=25, help="data sets per strength (default: 25)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    return parser


def _main(argv: Sequence[str]) -> int:
    given = _parser().parse_args(argv)
    setting = _checked(given)
    with progress(len(STRENGTHS) * setting.runs, "calibrate") as bar:
        rates, coverage = run(setting, bar.update)
    if given.json:
        document = {"schema": 1, "experiment": "calibrate", "setting": asdict(setting)}
        print(json.dumps({**document, "rates": [asdict(r) for r in rates], "scores": coverage}, indent=1))
    else:
        print(_table(setting, rates, coverage))
    return DONE


def _checked(given: argparse.Namespace) -> Setting:
    groups = given.items if given.groups is None else given.groups
    if groups < 20:
        raise UsageError(f"--groups {groups}: below 20 groups the instrument says nothing; give 20 or more")
    if groups > given.items:
        raise UsageError(f"--groups {groups} is more than --items {given.items}: every group holds an item")
    if given.runs < 1 or given.width < 2 or given.pool < 20:
        raise UsageError("--runs needs 1 or more, --width 2 or more, --pool 20 or more")
    return Setting(
        items=given.items, groups=groups, width=given.width, spectrum=given.spectrum,
        runs=given.runs, seed=given.seed, pool=given.pool,
    )  # fmt: skip


def planted(setting: Setting, strength: float, run: int) -> "tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]":
    """Features, labels, groups and an unlabelled pool; the Bayes accuracy of a single item is `strength`.

    The signal is a mean shift along a random direction of the whitened space, so that it sits anywhere in the
    spectrum; axes are rotated, so that no column is special. Groups share half of their variance.
    """
    import numpy as np
    from scipy.special import ndtri

    rng = np.random.default_rng([setting.seed, run, round(strength * 1000)])
    sd = np.arange(1, setting.width + 1) ** -0.5 if setting.spectrum == "power" else np.ones(setting.width)
    turn = np.linalg.qr(rng.standard_normal((setting.width, setting.width)))[0]
    groups = np.arange(setting.items) * setting.groups // setting.items
    paired = setting.groups * 2 == setting.items
    y = np.arange(setting.items) % 2 if paired else rng.permutation(np.arange(setting.groups) % 2)[groups]
    white = rng.standard_normal((setting.items, setting.width))
    if setting.groups < setting.items:
        white = (white + rng.standard_normal((setting.groups, setting.width))[groups]) / math.sqrt(2)
    way = rng.standard_normal(setting.width)
    white = white + (y[:, None] - 0.5) * 2 * ndtri(strength) * way / np.linalg.norm(way)
    pool = rng.standard_normal((setting.pool, setting.width))
    return (white * sd) @ turn, y, groups, (pool * sd) @ turn


def run(setting: Setting, tick: Callable[[], Any]) -> tuple[list[Rate], list[dict[str, float]]]:
    """All rates, and for each strength the mean score with how often the interval held it."""
    found = {s: [_one(setting, s, i, tick) for i in range(setting.runs)] for s in STRENGTHS}
    nothing = found[0.5]
    rates = [
        _rate("permutation p at most .05", 0.5, [m["p"] <= 0.05 for m in nothing], "about .05"),
        _rate("false present", 0.5, [m["state"] == "present" for m in nothing], "at most .05"),
        _rate("false leak alarm", 0.5, [m["leak"] for m in nothing], "at most .025"),
        _rate("absent", 0.5, [m["state"] == "absent" for m in nothing], "the power to say so"),
    ]
    for strength in STRENGTHS[1:]:
        states = [m["state"] for m in found[strength]]
        rates.append(_rate("present", strength, [s == "present" for s in states], "the power to find it"))
        should = "at most .05" if strength >= nothing[0]["a_star"] else "below the claim's strength"
        rates.append(_rate("called absent", strength, [s == "absent" for s in states], should))
    return rates, [_coverage(s, found[s]) for s in STRENGTHS]


def _one(setting: Setting, strength: float, index: int, tick: Callable[[], Any]) -> dict[str, Any]:
    import probes

    x, y, groups, pool = planted(setting, strength, index)
    classes = ("no", "yes")
    plan = probes.plan(y, groups, classes=classes, seed=setting.seed + index, permutations=199)
    given = probes.FeatureSet(x=x, y=y, groups=groups, ids=[str(i) for i in range(len(y))], classes=classes)
    m = probes.measure(given, plan, pool=pool, nested=False, seed=setting.seed)
    tick()
    e = m.estimate
    return {"p": e.p, "state": m.state, "leak": m.leak, "score": e.score, "low": e.low, "high": e.high,
            "lod": m.lod, "a_star": plan.strength_to_exclude}  # fmt: skip


def _rate(name: str, truth: float, hits: Sequence[bool], should: str) -> Rate:
    low, high = binomial(sum(hits), len(hits))
    return Rate(name=name, truth=truth, count=sum(hits), runs=len(hits), rate=sum(hits) / len(hits),
                low=low, high=high, should=should)  # fmt: skip


def binomial(count: int, runs: int) -> tuple[float, float]:
    """The exact 95 % interval of a rate (Clopper & Pearson 1934)."""
    from scipy.special import betaincinv

    low = 0.0 if count == 0 else float(betaincinv(count, runs - count + 1, 0.025))
    return low, 1.0 if count == runs else float(betaincinv(count + 1, runs - count, 0.975))


def _coverage(strength: float, found: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean score is the truth that the interval is for: the expected score of this many items."""
    mean = sum(m["score"] for m in found) / len(found)
    held = sum(m["low"] <= mean <= m["high"] for m in found)
    low, high = binomial(held, len(found))
    width = sum(m["high"] - m["low"] for m in found) / len(found)
    return {"bayes": strength, "score": mean, "width": width, "coverage": held / len(found), "low": low, "high": high}


def _table(setting: Setting, rates: Sequence[Rate], coverage: Sequence[dict[str, float]]) -> str:
    head = (
        f"planted: {setting.items} items in {setting.groups} groups, {setting.width} features, {setting.spectrum} "
        f"spectrum, {setting.pool} unlabelled, {setting.runs} data sets per strength, seed {setting.seed}"
    )
    lines = [head, "", f"{'what':28} {'Bayes':>5} {'rate':>5}  {'95 %':12} should be"]
    lines += [f"{r.name:28} {r.truth:5.2f} {r.rate:5.2f}  [{r.low:.2f}, {r.high:.2f}] {r.should}" for r in rates]
    lines += ["", f"{'interval of the score':28} {'Bayes':>5} {'held':>5}  {'95 %':12} mean score, width"]
    lines += [
        f"{'':28} {c['bayes']:5.2f} {c['coverage']:5.2f}  [{c['low']:.2f}, {c['high']:.2f}] "
        f"{c['score']:.3f}, {c['width']:.3f}"
        for c in coverage
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
