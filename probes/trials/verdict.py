"""What a trial allows one to say of a map: it explains this probe, shows salience alone, nothing, or cannot be told.

A map that points at the evidence proves nothing by itself: a probe trained on exchanged labels points there as often,
because the encoder is salient there (METHOD 6.2). So a map is asked for what it knows of the score beyond chance,
beyond the edges of the image, and beyond the control's map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes.pairs.inference import mean_difference, sign_flip
from probes.stats.multiplicity import holm
from probes.trials.trial import CONTROL, EDGES, PROBE, RANDOM, UNTRAINED, Evidence, Trial

EXPLAINS, SALIENT, NOTHING, OPEN = (
    "explains this probe", "shows only where the encoder is salient", "explains nothing", "too few images to say",
)  # fmt: skip
ALPHA = 0.05
LIKE_UNTRAINED, LIKE_CONTROL = (
    0.3,
    0.5,
)  # Spearman from which a map is that of a network, or a probe, that knows nothing
COMPLETE = 0.02
HALF = 0.5  # of the best map known: what may still be as good as that is not yet called nothing
ARTEFACT = 0.5  # share of mass
RIVALS = (RANDOM, EDGES, CONTROL, UNTRAINED)
GROUPS = 6  # below, not even a map that always wins reaches .05 by signs after two comparisons


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A mean paired difference of margins with its 95 % interval by group and its p of one side, Holm over methods."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is said of a method's maps, why, and what must be added.

    `over` are the gains of the probe's map over chance, edges, and the maps of the control and the untrained network;
    `untrained` says what the untrained network's map is worth, empty where there is none.
    """

    method: str
    state: str
    reason: str
    cautions: Sequence[str]
    over: Mapping[str, Gain]
    untrained: str
    like_untrained: float | None
    like_control: float | None
    border: float
    tokens: float | None
    completeness: float | None


def judge(trials: Sequence[Trial], groups: np.ndarray) -> list[Verdict]:
    """The verdict on each method tried on the same images; groups int [n], what is not independent."""
    count = len(np.unique(groups))
    gains = [_gains(trial, groups) for trial in trials] if count >= 2 else [{} for _ in trials]
    for name in RIVALS:
        having = [one for one in gains if name in one]
        for one, p in zip(having, holm([one[name].p for one in having]) if having else (), strict=True):
            one[name] = Gain(value=one[name].value, low=one[name].low, high=one[name].high, p=float(p))
    best = max(1.0, *(float(trial.margin[PROBE].mean()) for trial in trials)) if trials else 1.0
    return [
        _verdict(trial, over, count, best, _worth(trial, groups) if count >= 2 else "")
        for trial, over in zip(trials, gains, strict=True)
    ]


def _worth(trial: Trial, groups: np.ndarray) -> str:
    """What the untrained network's map is worth: whether it knows the score better than chance."""
    if UNTRAINED not in trial.margin:
        return ""
    found = gain(trial.margin[UNTRAINED] - trial.margin[RANDOM], groups)
    return f"{'better than chance' if _above(found) else 'worthless'} ({_said(found)} over chance)"


def _gains(trial: Trial, groups: np.ndarray) -> dict[str, Gain]:
    """The margin of the probe's map less that of each map it must beat."""
    return {name: gain(trial.margin[PROBE] - trial.margin[name], groups) for name in RIVALS if name in trial.margin}


def gain(difference: np.ndarray, groups: np.ndarray) -> Gain:
    """A paired difference [n] by group: mean, interval, and the p that it is above 0."""
    component = _numbered(groups)
    mean = mean_difference(difference, component)
    return Gain(value=mean.value, low=mean.low, high=mean.high, p=sign_flip(difference, component, greater=True))


def _numbered(groups: np.ndarray) -> np.ndarray:
    return np.unique(groups, return_inverse=True)[1].astype(np.int64).ravel()


def _verdict(trial: Trial, over: Mapping[str, Gain], count: int, best: float, worth: str) -> Verdict:
    likeness = {name: float(np.mean(values)) for name, values in trial.likeness.items()}
    whole = None if trial.completeness is None else float(np.max(trial.completeness))
    state, reason = _state(trial, over, likeness, count, best)
    return Verdict(
        method=trial.method, state=state, reason=reason, over=over, untrained=worth,
        like_untrained=likeness.get(UNTRAINED), like_control=likeness.get(CONTROL), border=float(trial.border.mean()),
        tokens=None if trial.tokens is None else float(trial.tokens.mean()), completeness=whole,
        cautions=_cautions(trial, state, likeness),
    )  # fmt: skip


def _state(
    trial: Trial, over: Mapping[str, Gain], likeness: Mapping[str, float], count: int, best: float
) -> tuple[str, str]:
    if count < GROUPS:
        return OPEN, f"{count} independent images cannot decide; at least {GROUPS} are needed"
    if trial.completeness is not None and float(np.median(trial.completeness)) >= COMPLETE:
        return NOTHING, (
            f"it does not add up to the score (median error {np.median(trial.completeness):.2g} of it, "
            f"{COMPLETE:g} allowed)"
        )
    alike = likeness.get(UNTRAINED)
    if alike is not None and alike >= LIKE_UNTRAINED and not _above(over[UNTRAINED]):
        return NOTHING, (
            f"the same network untrained gives much the same map (Spearman {alike:.2f}, below {LIKE_UNTRAINED:g} is "
            f"wanted), which knows the score as well ({_said(over[UNTRAINED])}): it shows image and architecture"
        )
    for name, what in ((RANDOM, "a random order of cells"), (EDGES, "the edges of the image")):
        one = over[name]
        if not _above(one):
            if one.high < HALF * best:
                return NOTHING, f"it knows the score no better than {what} ({_said(one)})"
            return OPEN, f"whether it knows the score better than {what} is open ({_said(one)})"
    own, chance = over[CONTROL], over[RANDOM]
    if _above(own):
        return EXPLAINS, (
            f"it knows the score better than chance ({_said(chance)}), edges ({_said(over[EDGES])}) and the control's "
            f"map ({_said(own)})"
        )
    if own.high < HALF * chance.value:
        return SALIENT, (
            f"it knows the score better than chance ({_said(chance)}), but no better than the control's map "
            f"({_said(own)})"
        )
    return OPEN, f"it beats chance ({_said(chance)}); whether also the control's map is open ({_said(own)})"


def _above(one: Gain) -> bool:
    return one.p <= ALPHA and one.value > 0


def _said(one: Gain) -> str:
    return f"{one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]"


def _cautions(trial: Trial, state: str, likeness: Mapping[str, float]) -> list[str]:
    found = []
    border, area = float(trial.border.mean()), trial.border_area
    if border > ARTEFACT and border > 1.5 * area:
        found.append(f"artefact: {border:.0%} of its mass lies on border patches, which are {area:.0%} of the image")
    if trial.tokens is not None and float(trial.tokens.mean()) > ARTEFACT:
        found.append(f"artefact: {trial.tokens.mean():.0%} of its mass lies on the few tokens of largest norm")
    alike = likeness.get(CONTROL)
    bare = likeness.get(UNTRAINED)
    if state == EXPLAINS and bare is not None and bare >= LIKE_UNTRAINED:
        found.append(
            f"where it is large, the untrained network's map is too (Spearman {bare:.2f}): no sign of what was learnt"
        )
    if state == EXPLAINS and alike is not None and alike >= LIKE_CONTROL:
        found.append(
            f"only its signs tell it from the control's map, which is large at the same places (Spearman {alike:.2f})"
        )
    if trial.completeness is not None and float(np.max(trial.completeness)) >= COMPLETE:
        many = int(np.sum(trial.completeness >= COMPLETE))
        found.append(f"{many} of {len(trial.completeness)} maps add up to the score with an error above {COMPLETE:g}")
    return found


@dataclass(frozen=True, kw_only=True)
class Lying:
    """Whether the evidence for the probe lies in a region, against the control's map: Holm over regions.

    `share` and `control_share` are mean masses, `area` what an even map has; `own` is the paired difference of what
    lies there beyond the area's part of the whole (so that a region as large as the image is none). `hits` of
    `images` greatest cells lie there, `control_hits` of the control's; `p_hits` is the exact binomial p of so many hits
    by chance, the area; `rank` the mean rank accuracy. `rests` says that more of the map lies there than of the
    control's, and than in as much of the image elsewhere.
    """

    region: str
    images: int
    share: float
    control_share: float
    area: float
    own: Gain | None
    hits: int
    control_hits: int
    p_hits: float
    rank: float
    rests: bool


def lying(found: Mapping[str, Evidence], groups: np.ndarray) -> list[Lying]:
    """Where the map lies, region by region; images without a region are left out of it."""
    from scipy.stats import binomtest

    rows = []
    for name, one in found.items():
        known = np.isfinite(one.mass)
        if not known.any():
            continue
        n = int(known.sum())
        independent = len(np.unique(groups[known]))
        own = gain(one.excess[known] - one.control_excess[known], groups[known]) if independent >= 2 else None
        hits, area = int(one.hit[known].sum()), float(one.area[known].mean())
        rows.append((name, one, known, n, independent, own, hits, area))
    adjusted = iter(holm([row[5].p for row in rows if row[5] is not None]))
    result = []
    for name, one, known, n, independent, own, hits, area in rows:
        if own is not None:
            own = Gain(value=own.value, low=own.low, high=own.high, p=float(next(adjusted)))
        here = float(one.excess[known].mean()) > 0  # less against it than the control's map is not for it
        rests = own is not None and independent >= GROUPS and _above(own) and here
        test = binomtest(hits, n, min(max(area, 1e-9), 1.0), alternative="greater")
        result.append(
            Lying(
                region=name, images=n, share=float(one.mass[known].mean()),
                control_share=float(one.control[known].mean()), area=area, own=own, hits=hits,
                control_hits=int(one.control_hit[known].sum()), p_hits=float(test.pvalue),
                rank=float(one.rank[known].mean()), rests=rests,
            )
        )  # fmt: skip
    return result
