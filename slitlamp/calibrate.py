"""Calibrate the instrument against planted truth: false verdicts, power, coverage and size for data of one kind."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from slitlamp.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

SPECTRA = ("power", "flat")
TARGETS = ("classes", "gaussian", "skewed", "heavy")
STRENGTHS = (0.0, 0.4, 0.6, 0.8)  # of what is planted, as the share of the way from chance to certainty


RUNS_OF = len(STRENGTHS) + 1  # data sets of a run: one for each strength, and one whose credit and loss are judged


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The data a user means to bring: `runs` data sets per strength.

    `groups` hold as many items each as they can alike; twice as many items as groups are images and their copies, which
    differ in the answer. `rare` is the number of groups of the smallest class, None for equal classes. `target` is
    `classes`, or the distribution of a number: gaussian, skewed (log-normal) or heavy (Student's t, 2 degrees).
    """

    items: int = 120
    groups: int
    width: int = 192
    spectrum: str = "power"
    target: str = "classes"
    classes: int = 2
    rare: int | None = None
    runs: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse, as a UsageError, what cannot be judged."""
        if self.groups < 20:
            raise UsageError(f"--groups {self.groups}: below 20 groups the instrument says nothing; give 20 or more")
        if self.groups > self.items:
            raise UsageError(f"--groups {self.groups} is more than --items {self.items}: every group holds an item")
        if self.runs < 1 or self.width < 2 or self.classes < 2:
            raise UsageError("--runs needs 1 or more, --width and --classes 2 or more")
        if self.target != "classes" and (self.classes != 2 or self.rare is not None):
            raise UsageError(f"--target {self.target} is a number: it has no --classes and no --rare")
        if self.rare is not None and self.copies:
            raise UsageError("--rare: an image and its copy hold both answers; give other than two items per group")
        if self.rare is not None and not 2 <= self.rare <= self.groups // self.classes:
            raise UsageError(
                f"--rare {self.rare}: the smallest of {self.classes} classes has 2 to {self.groups // self.classes} of "
                f"{self.groups} groups"
            )

    @property
    def copies(self) -> bool:
        """Whether every group is an image and its copy with the other answer."""
        return self.target == "classes" and self.classes == 2 and self.groups * 2 == self.items

    @property
    def number(self) -> bool:
        """Whether the answer is a number."""
        return self.target != "classes"

    def truth(self, strength: float) -> float:
        """The score of a probe with unlimited data: balanced accuracy, or concordance of a number.

        A number moves the features as far as two classes of that strength lie from their middle.
        """
        from scipy.special import ndtri

        if not self.number:
            return 1 / self.classes + strength * (1 - 1 / self.classes)
        d = float(ndtri(0.5 + strength / 2))
        return 0.5 + math.asin(d / math.sqrt(1 + d * d)) / math.pi

    def line(self) -> str:
        """What is planted, in words."""
        what = f"{self.classes} classes" if not self.number else f"a number, {self.target}"
        few = f", {self.rare} groups in the smallest" if self.rare else ""
        kind = "images and their copies" if self.copies else f"{self.groups} groups"
        return f"{what}{few}; {self.items} items in {kind}, {self.width} features, {self.spectrum} spectrum"


STANDARD = (
    Setting(items=60, groups=60, width=768),
    Setting(items=200, groups=200, width=768),
    Setting(items=160, groups=80, width=768),
    Setting(items=240, groups=40, width=768),
    Setting(items=200, groups=200, width=768, rare=12),
    Setting(items=200, groups=200, width=768, classes=5),
    Setting(items=150, groups=150, width=768, target="skewed"),
    Setting(items=150, groups=150, width=768, target="heavy"),
)


def asked(flags: Mapping[str, Any], *, standard: bool) -> list[Setting]:
    """The setting that the flags of the command describe, or all standard ones with its runs and seed.

    Raises:
        UsageError: a setting that cannot be judged, or one beside --standard.
    """
    if not standard:
        return [Setting(**{**flags, "groups": flags["items"] if flags["groups"] is None else flags["groups"]})]
    usual = {f.name: f.default for f in fields(Setting)} | {"groups": None}
    idle = [name for name, value in flags.items() if name not in ("runs", "seed") and value != usual[name]]
    if idle:
        raise UsageError(f"--{idle[0]} {flags[idle[0]]} has nothing to act on: --standard has its own settings")
    return [replace(one, runs=flags["runs"], seed=flags["seed"]) for one in STANDARD]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often something happened in runs whose `truth` is known, with its exact 95 % interval.

    `strength` is what was planted, as the share of the way from chance to certainty, `truth` the score that unlimited
    data would give.
    """

    name: str
    strength: float
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
        head = f"planted: {s.line()}; {s.runs} data sets per strength, seed {s.seed}"
        lines = [head, "", f"{'what':28} {'truth':>5} {'rate':>5}  {'95 %':12} should be"]
        lines += [
            f"{r.name:28} {r.truth:5.2f} {r.rate:5.2f}  [{r.low:.2f}, {r.high:.2f}] {r.should}" for r in self.rates
        ]
        lines += ["", f"{'interval of the score':28} {'truth':>5} {'held':>5}  {'95 %':12} mean score, width"]
        lines += [
            f"{'':28} {c['truth']:5.2f} {c['coverage']:5.2f}  [{c['low']:.2f}, {c['high']:.2f}] "
            f"{c['score']:.3f}, {c['width']:.3f}"
            for c in self.scores
        ]
        return "\n".join(lines)


def kind_of(setting: Setting) -> str:
    """What kind of data is planted, as far as that decides how long it takes."""
    return f"calibrate:{setting.target}:{setting.classes}"


def calibrate(setting: Setting, tick: Callable[[], Any] = lambda: None) -> Calibration:
    """Plant, measure and count; `tick` is called RUNS_OF times for each run."""
    from slitlamp.probing.pace import remember

    began = time.perf_counter()
    found = {s: [_measured(setting, s, i, tick) for i in range(setting.runs)] for s in STRENGTHS}
    nothing = found[0.0]

    def rate(name: str, hits: Sequence[bool], should: str, strength: float = 0.0) -> Rate:
        low, high = exact(sum(hits), len(hits))
        return Rate(name=name, strength=strength, truth=setting.truth(strength), count=sum(hits), runs=len(hits),
                    rate=sum(hits) / len(hits), low=low, high=high, should=should)  # fmt: skip

    rates = [
        rate("permutation p at most .05", [m["p"] <= 0.05 for m in nothing], "about .05"),
        rate("false present", [m["state"] == "present" for m in nothing], "at most .05"),
        rate("false leak alarm", [m["leak"] for m in nothing], "at most .01"),
        rate("absent", [m["state"] == "absent" for m in nothing], "the power to say so"),
    ]
    for strength in STRENGTHS[1:]:
        truth, mine = setting.truth(strength), found[strength]
        rates.append(rate("present", [m["state"] == "present" for m in mine], "the power to find it", strength))
        wrong = [m["state"] == "absent" and m["excluded"] <= truth for m in mine]
        rates.append(rate("absent with a limit below", wrong, "at most .05", strength))
    top = STRENGTHS[-1]
    judged = [_judged(setting, top, i, tick) for i in range(setting.runs)]
    for name, should in JUDGED.items():
        rates.append(rate(name, [one[name] for one in judged], should, top))
    remember(kind_of(setting), setting.items, setting.width, (time.perf_counter() - began) / setting.runs)
    return Calibration(setting=setting, rates=rates, scores=[_coverage(setting.truth(s), found[s]) for s in STRENGTHS])


def table(found: Sequence[Calibration]) -> str:
    """A column for each calibration, as Markdown: how often, of how many runs, with the exact 95 % interval."""
    rows: dict[str, list[str]] = {"planted": [], "---": ["---"] * len(found)}
    for one in found:
        rows["planted"].append(one.setting.line())
        for r in one.rates:
            name = r.name + f", {r.strength:.0%} of the way to certainty" * (r.strength > 0)
            rows.setdefault(name, []).append(f"{r.count}/{r.runs} [{r.low:.2f}, {r.high:.2f}]")
        for c, strength in zip(one.scores, STRENGTHS, strict=True):
            name = f"interval holds the mean score, {strength:.0%}"
            rows.setdefault(name, []).append(f"{c['coverage']:.2f} [{c['low']:.2f}, {c['high']:.2f}]")
    return "\n".join("| " + " | ".join((name, *cells)) + " |" for name, cells in rows.items())


def planted(setting: Setting, strength: float, run: int) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Features, labels and groups; a probe with unlimited data reads `setting.truth(strength)`.

    The signal moves the features along random directions of the whitened space, so that it sits anywhere in the
    spectrum; axes are rotated, so that no column is special. Groups share half of their variance.
    """
    import numpy as np

    rng = np.random.default_rng([setting.seed, run, round(strength * 1000)])
    groups = np.arange(setting.items) * setting.groups // setting.items
    y, shift = _answers(setting, strength, groups, rng)
    white = rng.standard_normal((setting.items, setting.width))
    if setting.groups < setting.items:
        white = (white + rng.standard_normal((setting.groups, setting.width))[groups]) / math.sqrt(2)
    ways = np.linalg.qr(rng.standard_normal((setting.width, shift.shape[1])))[0]
    sd = np.arange(1, setting.width + 1) ** -0.5 if setting.spectrum == "power" else np.ones(setting.width)
    turn = np.linalg.qr(rng.standard_normal((setting.width, setting.width)))[0]
    return ((white + shift @ ways.T) * sd) @ turn, y, groups


JUDGED = {  # what is judged of several feature sets of the same items, and how often it should be so
    "learned, of a trained one": "the power to credit it",
    "learned, of an untrained one": "at most .05",
    "reads less, an eighth of it": "the power to see it",
    "reads less, the other half": "at most .05",
}
NETWORKS = 6  # untrained networks, one of which is called the encoder


def _judged(setting: Setting, strength: float, run: int, tick: Callable[[], Any]) -> dict[str, bool]:
    """Credit and loss on one data set. Plain controls read nothing; untrained networks are random layers over it.

    A half of the rotated features reads as well as the other half.
    """
    import numpy as np

    import probes
    from probes.stats.credit import LOWLEVEL, PIXELS, UNTRAINED, credit_of, over_population
    from probes.stats.loss import Reference, losses

    x, y, groups = planted(setting, strength, run)
    plan, measured = _measuring(setting, y, groups, run)
    rng = np.random.default_rng([setting.seed, run, 86])
    plain = {name: measured(rng.standard_normal((len(y), wide))) for name, wide in ((LOWLEVEL, 40), (PIXELS, 256))}

    def learned(encoder: Any, draws: Sequence[Any]) -> bool:
        pairs = {name: (other, probes.compare(encoder, other, plan)) for name, other in plain.items()}
        return credit_of(pairs | {UNTRAINED: over_population(encoder, draws, plan)}, {})[0] == "learned"

    def less(point: Any, reference: Any) -> bool:
        (found,) = losses([point], [[Reference(name="reference", kind="other", measurement=reference)]], plan)
        return found is not None and found.state in ("reads less", "material")

    whole, one, other = (measured(part) for part in (x, *np.array_split(x, 2, axis=1)))
    blind = [measured(rng.standard_normal(x.shape)) for _ in range(NETWORKS - 1)]
    layers = rng.standard_normal((NETWORKS, setting.width, setting.width)) / math.sqrt(setting.width)
    first, *rest = (measured(np.maximum(x @ layer, 0)) for layer in layers)
    eighth = measured(x[:, : max(1, setting.width // 8)])
    found = (learned(whole, blind), learned(first, rest), less(eighth, whole), less(one, other))
    tick()
    return dict(zip(JUDGED, found, strict=True))


def _measuring(setting: Setting, y: "np.ndarray", groups: "np.ndarray", run: int) -> tuple[Any, Callable[..., Any]]:
    """The plan of a data set, and how features of it are measured as a map's point is."""
    import probes

    classes = None if setting.number else tuple(f"class {i}" for i in range(setting.classes))
    plan = probes.plan(y, groups, classes=classes, seed=setting.seed + run, permutations=199)
    ids = [str(i) for i in range(len(y))]

    def measured(x: "np.ndarray", level: str = "screen") -> Any:
        given = probes.FeatureSet(x=x, y=y, groups=groups, ids=ids, classes=classes)
        return probes.measure(given, plan, nested=False, seed=setting.seed, level=level)  # type: ignore[arg-type]

    return plan, measured


def _answers(
    setting: Setting, strength: float, groups: "np.ndarray", rng: "np.random.Generator"
) -> "tuple[np.ndarray, np.ndarray]":
    """Answers [n], and by how much each moves the whitened features along each of m directions [n, m]."""
    import numpy as np
    from scipy.special import ndtri
    from scipy.stats import norm, t

    from probes.stats.effect_size import separation

    if setting.number:
        z = rng.standard_normal(setting.groups)[groups]
        shaped = {"gaussian": lambda: z, "skewed": lambda: np.exp(z), "heavy": lambda: t.ppf(norm.cdf(z), 2)}
        return shaped[setting.target](), float(ndtri(0.5 + strength / 2)) * z[:, None]
    k = setting.classes
    rare = setting.groups // k if setting.rare is None else setting.rare
    of_group = np.concatenate([np.zeros(rare, int), 1 + np.arange(setting.groups - rare) % (k - 1)])
    y = np.arange(setting.items) % 2 if setting.copies else rng.permutation(of_group)[groups]
    corners = np.linalg.qr(np.eye(k) - 1 / k)[0][:, : k - 1]  # sqrt(2) apart
    return y, separation(setting.truth(strength), k) * corners[y]


def _measured(setting: Setting, strength: float, run: int, tick: Callable[[], Any]) -> dict[str, Any]:
    """One planted data set, measured as a headline is."""
    x, y, groups = planted(setting, strength, run)
    _, measured = _measuring(setting, y, groups, run)
    m = measured(x, "full")
    tick()
    e = m.estimate
    excluded = None if m.limit is None else m.limit.limit
    return {"p": e.p, "state": m.state, "leak": m.leak, "score": e.score, "low": e.low, "high": e.high,
            "excluded": excluded}  # fmt: skip


def exact(count: int, runs: int) -> tuple[float, float]:
    """The exact 95 % interval of a rate (Clopper & Pearson 1934)."""
    from scipy.stats import binomtest

    found = binomtest(int(count), runs).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def _coverage(truth: float, found: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How often the interval held the expected score of this many items, which is the mean score of all runs."""
    mean = sum(m["score"] for m in found) / len(found)
    held = sum(m["low"] <= mean <= m["high"] for m in found)
    low, high = exact(held, len(found))
    width = sum(m["high"] - m["low"] for m in found) / len(found)
    return {"truth": truth, "score": mean, "width": width, "coverage": held / len(found), "low": low, "high": high}
