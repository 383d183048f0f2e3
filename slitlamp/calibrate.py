"""Calibrate the instrument against planted truth: false verdicts, power, coverage and size for data of one kind."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slitlamp.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

SPECTRA = ("power", "flat")
STRENGTHS = (0.5, 0.7, 0.8, 0.9)  # Bayes accuracy of what is planted; .5 is nothing


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The data a user means to bring: two classes, `pool` unlabelled images or 0, `runs` data sets per strength."""

    items: int = 120
    groups: int
    width: int = 192
    spectrum: str = "power"
    runs: int = 25
    seed: int = 0
    pool: int = 0

    def __post_init__(self) -> None:
        """Refuse, as a UsageError, what cannot be judged."""
        if self.groups < 20:
            raise UsageError(f"--groups {self.groups}: below 20 groups the instrument says nothing; give 20 or more")
        if self.groups > self.items:
            raise UsageError(f"--groups {self.groups} is more than --items {self.items}: every group holds an item")
        if self.runs < 1 or self.width < 2 or 0 < self.pool < 20:
            raise UsageError("--runs needs 1 or more, --width 2 or more, --pool 0 or 20 or more")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often something happened in runs whose Bayes accuracy `truth` is known, with its exact 95 % interval."""

    name: str
    truth: float
    count: int
    runs: int
    rate: float
    low: float
    high: float
    should: str


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Rates of verdicts, and for each strength the mean score with how often the interval held it."""

    setting: Setting
    rates: list[Rate]
    scores: list[dict[str, float]]

    def text(self) -> str:
        """Both tables, as plain text."""
        s = self.setting
        head = (
            f"planted: {s.items} items in {s.groups} groups, {s.width} features, {s.spectrum} "
            f"spectrum, {s.pool} unlabelled, {s.runs} data sets per strength, seed {s.seed}"
        )
        lines = [head, "", f"{'what':28} {'Bayes':>5} {'rate':>5}  {'95 %':12} should be"]
        lines += [
            f"{r.name:28} {r.truth:5.2f} {r.rate:5.2f}  [{r.low:.2f}, {r.high:.2f}] {r.should}" for r in self.rates
        ]
        lines += ["", f"{'interval of the score':28} {'Bayes':>5} {'held':>5}  {'95 %':12} mean score, width"]
        lines += [
            f"{'':28} {c['bayes']:5.2f} {c['coverage']:5.2f}  [{c['low']:.2f}, {c['high']:.2f}] "
            f"{c['score']:.3f}, {c['width']:.3f}"
            for c in self.scores
        ]
        return "\n".join(lines)


def calibrate(setting: Setting, tick: Callable[[], Any] = lambda: None) -> Calibration:
    """Plant, measure and count; `tick` is called after each of len(STRENGTHS) * runs data sets."""
    from probes.stats.exclusion import strength_to_exclude

    found = {s: [_measured(setting, s, i, tick) for i in range(setting.runs)] for s in STRENGTHS}
    nothing = found[0.5]
    rates = [
        _rate("permutation p at most .05", 0.5, [m["p"] <= 0.05 for m in nothing], "about .05"),
        _rate("false present", 0.5, [m["state"] == "present" for m in nothing], "at most .05"),
        _rate("false leak alarm", 0.5, [m["leak"] for m in nothing], "at most .01"),
        _rate("absent", 0.5, [m["state"] == "absent" for m in nothing], "the power to say so"),
    ]
    for strength in STRENGTHS[1:]:
        states = [m["state"] for m in found[strength]]
        rates.append(_rate("present", strength, [s == "present" for s in states], "the power to find it"))
        should = "at most .05" if strength >= strength_to_exclude(2) else "below the claim's strength"
        rates.append(_rate("called absent", strength, [s == "absent" for s in states], should))
    return Calibration(setting=setting, rates=rates, scores=[_coverage(s, found[s]) for s in STRENGTHS])


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


def _measured(setting: Setting, strength: float, run: int, tick: Callable[[], Any]) -> dict[str, Any]:
    """One planted data set, measured as a headline is."""
    import probes

    x, y, groups, pool = planted(setting, strength, run)
    classes = ("no", "yes")
    plan = probes.plan(y, groups, classes=classes, seed=setting.seed + run, permutations=199)
    given = probes.FeatureSet(x=x, y=y, groups=groups, ids=[str(i) for i in range(len(y))], classes=classes)
    m = probes.measure(given, plan, pool=pool if len(pool) else None, nested=False, seed=setting.seed)
    tick()
    e = m.estimate
    return {"p": e.p, "state": m.state, "leak": m.leak, "score": e.score, "low": e.low, "high": e.high}


def _rate(name: str, truth: float, hits: Sequence[bool], should: str) -> Rate:
    low, high = _exact(sum(hits), len(hits))
    return Rate(name=name, truth=truth, count=sum(hits), runs=len(hits), rate=sum(hits) / len(hits),
                low=low, high=high, should=should)  # fmt: skip


def _exact(count: int, runs: int) -> tuple[float, float]:
    """The exact 95 % interval of a rate (Clopper & Pearson 1934)."""
    from scipy.stats import binomtest

    found = binomtest(int(count), runs).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def _coverage(strength: float, found: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How often the interval held the expected score of this many items, which is the mean score of all runs."""
    mean = sum(m["score"] for m in found) / len(found)
    held = sum(m["low"] <= mean <= m["high"] for m in found)
    low, high = _exact(held, len(found))
    width = sum(m["high"] - m["low"] for m in found) / len(found)
    return {"bayes": strength, "score": mean, "width": width, "coverage": held / len(found), "low": low, "high": high}
