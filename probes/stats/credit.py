"""The credit rule: to what a `present` may be credited, the weakest explanation that its controls do not exclude."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from probes._base import Credit
from probes.stats.difference import compare
from probes.stats.measurement import Difference, Measurement
from probes.stats.plan import Plan
from probes.stats.scores import Scored


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control that an encoder must surpass, what is credited where it does not, and how the control is called.

    `needed` says that nothing is credited to learning where the control was not measured.
    """

    name: str
    credit: Credit
    words: str
    verb: str = "reads"
    needed: bool = True


ROUNDING = 1e-9  # a mean of equal scores may differ from them by less
DRAWS = 3  # untrained networks from which they bound others that were not drawn
LOWLEVEL, ORDER, PIXELS, UNTRAINED = "lowlevel", "order", "pixels", "random"
CONTROLS = (  # from the weakest explanation on; a control more is an entry more
    Control(
        name=LOWLEVEL,
        credit="nuisance",
        words="plain image statistics (size, brightness, histogram; no layout)",
        verb="read",
    ),
    Control(name=ORDER, credit="nuisance", words="the order of the list", needed=False),
    Control(name=PIXELS, credit="pixels", words="a thumbnail"),
    Control(name=UNTRAINED, credit="architecture", words="untrained networks", verb="read"),
)


def credit_of(
    controls: Mapping[str, tuple[Measurement, Difference]], called: Mapping[str, str]
) -> tuple[Credit | None, str]:
    """The credit, and the sentence that says it; no credit where no control was measured.

    `controls` maps names of CONTROLS to their measurement on the same folds and the paired difference to them. A
    control is surpassed where that difference lies above 0 with its whole interval, and reads the answer where its own
    permutation p is at most .05. The credit is that of the first control that is not surpassed and reads; "open"
    where none that is not surpassed reads, or a control that learning needs was not measured; else "learned".
    `called` names a control otherwise than usual.
    """
    if not controls:
        return None, ""
    words = {one.name: called.get(one.name, one.words) for one in CONTROLS}
    left = [one for one in CONTROLS if one.name in controls and not surpassed(controls[one.name][1])]
    reader = next((one for one in left if controls[one.name][0].reads), None)
    if reader is not None:
        control, difference = controls[reader.name]
        who = f"{words[reader.name]} {reader.verb} it"
        if difference.high is not None and difference.high < 0:
            return reader.credit, f"But {who} better ({control.estimate.score:.2f}): no credit to the encoder."
        return reader.credit, (
            f"But {who} too ({control.estimate.score:.2f}) and {_are(reader)} not shown to read less at this number of "
            "items."
        )
    if left:
        shown = [f"{words[one.name]} ({controls[one.name][0].estimate.score:.2f})" for one in left]
        who = "none of which is" if len(left) > 1 else f"which {_are(left[0])} not"
        return "open", (
            f"To what it is to be credited is open: at this number of items it is not told apart from "
            f"{_listed(shown, 'or')}, {who} shown to read it."
        )
    beaten = _listed([words[one.name] for one in CONTROLS if one.name in controls], "and")
    missing = [words[one.name] for one in CONTROLS if one.needed and one.name not in controls]
    if missing:
        return "open", (
            f"More than {beaten} read. No comparison with {_listed(missing, 'or')} was made, so no more than that is "
            "credited."
        )
    return "learned", f"More than {beaten} read: credited to what was learnt."


def _are(one: Control) -> str:
    return "are" if one.verb == "read" else "is"


def _listed(names: Sequence[str], last: str) -> str:
    """Names as a sentence lists them: a, b or c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def surpassed(difference: Difference) -> bool:
    """Whether a paired difference to a control lies above 0 with its whole interval."""
    return difference.low is not None and difference.low > ROUNDING


def hardest(controls: Sequence[tuple[Measurement, Difference]]) -> tuple[Measurement, Difference]:
    """Of several controls of one kind with their paired differences, the one that is surpassed least surely.

    What surpasses this one surpasses each: every one is tested at the full level, and no more needs to be paid
    (an intersection-union test; Berger 1982, Technometrics 24, 295-300).
    """
    return min(controls, key=lambda one: one[1].score if one[1].low is None else one[1].low)


def over_population(m: Measurement, draws: Sequence[Measurement], plan: Plan) -> tuple[Measurement, Difference]:
    """Untrained networks as one control, and the difference to one that was not drawn, with its prediction interval.

    The control is the mean of k draws; its p is that of their mean statistic under the same permuted labels. With
    d = score - mean of the draws', s2 the variance of their scores, noise half the mean squared standard error of the
    difference of two of them and B = max(0, s2 - noise) (1 + 1/k), the interval is d -/+ t(nu) sqrt(se(d)^2 + B),
    nu by Satterthwaite 1946 (Biometrics Bulletin 2, 110-114) from k - 1 and the groups less 1. None below 3 draws,
    which bound no other network, and below 20 groups.
    """
    from scipy.special import stdtrit

    k = len(draws)
    scores = [one.estimate.score for one in draws]
    count = min(len(one.null.statistic) for one in draws)
    null = replace(draws[0].null, statistic=np.mean([one.null.statistic[:count] for one in draws], axis=0))
    permuted = [one.permuted for one in draws if one.permuted is not None]
    mean = replace(
        draws[0],
        scored=_mean([one.scored for one in draws]),
        permuted=_mean(permuted) if len(permuted) == k else None,
        null=null,
        estimate=replace(draws[0].estimate, score=float(np.mean(scores)), low=None, high=None, p=null.p),
    )
    found = compare(m, mean, plan)
    if k < DRAWS or found.low is None or found.high is None:
        return mean, Difference(score=found.score, low=None, high=None, p=None)
    df = plan.n_groups - 1
    error = _error(found, df)
    noise = np.mean([_error(compare(a, b, plan), df) ** 2 for a, b in combinations(draws, 2)]) / 2
    between = max(0.0, float(np.var(scores, ddof=1) - noise)) * (1 + 1 / k)
    whole = error**2 + between
    nu = whole**2 / (between**2 / (k - 1) + error**4 / df) if whole > 0 else df
    half = float(stdtrit(nu, 0.975) * np.sqrt(whole))
    return mean, Difference(score=found.score, low=found.score - half, high=found.score + half, p=None)


def _error(difference: Difference, df: int) -> float:
    """The standard error that a difference's interval was made of."""
    from scipy.special import stdtrit

    assert difference.low is not None
    return (difference.score - difference.low) / float(stdtrit(df, 0.975))


def _mean(scored: Sequence[Scored]) -> Scored:
    shares = [one.share for one in scored if one.share is not None]
    return Scored(
        score=np.mean([one.score for one in scored], axis=0),
        part=np.mean([one.part for one in scored], axis=0),
        share=np.mean(shares, axis=0) if len(shares) == len(scored) else None,
    )
