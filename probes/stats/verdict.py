"""The verdict on a measurement: present, absent or inconclusive, why, and how many items would decide.

To what a `present` is credited is `probes.stats.credit`.
"""

from collections.abc import Mapping, Sequence
from math import ceil, sqrt

from probes._base import State, Verdict
from probes.stats.credit import credit_of
from probes.stats.detection import SELF_CHECK
from probes.stats.effect_size import accuracy, separation
from probes.stats.measurement import Difference, Measurement
from probes.stats.plan import FEW, RARE, Plan
from probes.stats.subspace import HELD

ALPHA = 0.05
MATERIAL = 0.05  # above chance, with the whole interval: a `learned` score that is worth something


def verdict(
    m: Measurement,
    *,
    controls: Mapping[str, tuple[Measurement, Difference]] | None = None,
    layout: Sequence[Measurement] = (),
    adjusted: float | None = None,
    leak: float | None = None,  # noqa: ARG001
    called: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict on one cell: its state, what a `present` may be credited to, and the sentence that says so.

    `controls` maps lowlevel, pixels, random to their measurement on the same folds and the paired difference
    to them; `layout` are the measurements of halves and grid3 at the same site; `adjusted` is the p-value
    after the multiplicity rule, where there was one; `called` names a control otherwise than usual.
    """
    plan = m.plan
    state, reason, items = decide_state(m, layout=layout, adjusted=adjusted)
    credit, credit_words = (None, "") if state != "present" else credit_of(controls or {}, called or {})
    low = m.estimate.low
    clear = state == "present" and low is not None and low > plan.chance + MATERIAL
    return Verdict(
        state=state,
        margin=plan.margin,
        reason=f"{reason} {credit_words}".strip(),
        credit=credit,
        leak=m.leak,
        material=clear and credit == "learned",
        items_needed=items,
    )


def decide_state(
    m: Measurement, *, layout: Sequence[Measurement] = (), adjusted: float | None = None
) -> tuple[State, str, int | None]:
    """State, reason, and the number of items that would decide where nothing is decided."""
    e, plan = m.estimate, m.plan
    p = e.p if adjusted is None else adjusted
    if plan.n_groups < FEW:
        return "inconclusive", f"{plan.n_groups} independent groups: too few to say anything; bring {FEW}.", FEW
    if m.leak:
        reason = (
            f"LEAK: {_score(m)}, which is below chance by more than luck explains: copies or relatives of one "
            "image probably lie in different folds. Check the groups; nothing is concluded."
        )
        return "inconclusive", reason, None
    if p is not None and p <= ALPHA and _above(m, plan):
        rare = "" if plan.number or plan.rare >= RARE else (
            f" The smallest class has {plan.rare} groups: this rests on the permutation test more than on the interval."
        )  # fmt: skip
        return "present", f"Readable: {_score(m)}, {_p(p)}.{rare}", None
    if m.upper >= plan.chance + plan.margin:
        return "inconclusive", *_undecided(m, plan, p)
    missing = _missing(m, plan, layout)
    if missing:
        return "inconclusive", f"Nothing found: {_score(m)}. {missing[0]}", missing[1]
    return "absent", _absent(m, plan, layout), None


def _above(m: Measurement, plan: Plan) -> bool:
    return m.estimate.score > plan.chance


def _score(m: Measurement) -> str:
    e = m.estimate
    ends = "" if e.low is None or e.high is None else f" [{e.low:.2f}, {e.high:.2f}]"
    return f"{e.metric} {e.score:.2f}{ends}, chance {e.chance:.2f}"


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _undecided(m: Measurement, plan: Plan, p: float | None) -> tuple[str, int | None]:
    e = m.estimate
    n = len(plan.y)
    above = e.score - plan.chance
    absent = n * ((1.645 + 0.842) * m.null_error / plan.margin) ** 2
    present = n * ((1.96 + 0.842) * m.error / above) ** 2 if above > 0 else float("inf")
    seems = above >= plan.margin / 2
    items = _round(max(present if seems else absent, 1.1 * n))
    tests = ""
    if p is not None and e.low is not None:
        if p <= ALPHA:
            tests = f" The permutation test sees something ({_p(p)}), the interval does not exclude chance."
        elif e.low > plan.chance:
            tests = f" The interval lies above chance, but the permutation test does not confirm it ({_p(p)})."
    then = "if the score stayed as it is" if seems else "if there is nothing to read"
    return (
        f"Undecided: {_score(m)}; neither above chance nor surely within {plan.margin:g} of it.{tests} "
        f"About {items} items would decide, {then}."
    ), items


def _missing(m: Measurement, plan: Plan, layout: Sequence[Measurement]) -> tuple[str, int | None] | None:
    """What an absence still lacks, as a sentence and a number of items; None where it lacks nothing."""
    for other in sorted(layout, key=lambda one: -one.estimate.score):
        if other.leak:
            return "A readout with layout scores below chance: see its leak alarm.", None
        if other.upper >= plan.chance + plan.margin:
            return (
                f"But a readout that keeps the layout reads or may read it ({_score(other)}), "
                "so what fails here is the averaging, not the tokens."
            ), None
    if not plan.number and plan.rare < RARE:
        return f"The smallest class has {plan.rare} groups; absence needs {RARE}.", _round(
            RARE / plan.rare * len(plan.y)
        )
    if m.limit is None:
        why = "was screened only" if m.screened else "no limit of detection was computed"
        return f"But {why}, so silence is no evidence of absence.", None
    if m.nonlinear_upper is None or m.nonlinear_upper >= plan.chance + plan.margin:
        return "But a probe that is not linear reads or may read it.", None
    return _limited(m, plan)


def _limited(m: Measurement, plan: Plan) -> tuple[str, int | None] | None:
    found = m.limit
    assert found is not None
    what = "R2" if plan.number else "accuracy"
    if not found.valid:
        return (
            f"But planted labels without any signal were called readable in {found.self_check:.0%} of trials "
            f"(at most {SELF_CHECK:.0%} may be), so the limit of detection cannot be trusted here."
        ), None
    if found.held < HELD:
        pool = f"; about {found.images} unlabelled images (--pool) would reach {HELD:.0%}" if found.images else ""
        lod = "" if found.lod is None else (
            f" in them, no linear signal that reads with {what} {found.lod:.2f} or more given unlimited data;"
        )  # fmt: skip
        return (
            f"But only {found.directions} directions could be searched, which hold {found.held:.0%} of what varies "
            f"between such images:{lod} in the rest, unknown{pool}."
        ), None
    if not found.sure:
        items = _items_for(plan, found.lod)
        more = f" About {items} items would." if items else ""
        return (
            f"But so few items would not surely show a signal that a probe with unlimited data reads with {what} "
            f"{plan.strength_to_exclude:.2f} (found in "
            f"{found.rates[plan.strength_to_exclude]:.0%} of trials).{more}"
        ), items
    return None


def _absent(m: Measurement, plan: Plan, layout: Sequence[Measurement]) -> str:
    neither = "Neither a readout with layout nor" if layout else "Nor does"
    reads = "reads it" if layout else "read it"
    found = m.limit
    assert found is not None
    lod = found.lod if found.lod is not None else plan.strength_to_exclude
    what = "R2" if plan.number else "accuracy"
    return (
        f"Not readable: {_score(m)}. A linear signal that a probe with unlimited data reads with {what} "
        f"{lod:.2f} or more would have been found here 95 times in 100 (searched: {found.held:.0%} of what "
        f"varies between such images). {neither} a non-linear probe {reads}. This says that these probes do not "
        "read it, not that the features lack it."
    )


def _items_for(plan: Plan, lod: float | None) -> int | None:
    """Items at which a signal of strength A* would be found 95 times in 100, from where that is so now.

    A probe that learns a direction from n items reads a separation D with accuracy
    Phi(D^2 / (2 sqrt(D^2 + 4 e / n))); e, the effective dimension, is read off the limit found here.
    """
    if lod is None or plan.number:
        return None
    k = len(plan.classes or ())
    n = float(len(plan.y))

    def reads(strength: float, effective: float, items: float) -> float:
        d = separation(strength, k) * sqrt(2)
        return accuracy(d * d / sqrt(d * d + 4 * effective / items) / sqrt(2), k) - plan.chance

    needed = 3.3 * sqrt(plan.chance * (1 - plan.chance) / n)
    effective = 1e-3
    while reads(lod, effective, n) > needed and effective < 1e9:
        effective *= 1.1
    items = n
    while reads(plan.strength_to_exclude, effective, items) < needed * sqrt(n / items) and items < 1000 * n:
        items *= 1.05
    return _round(items)


def _round(items: float) -> int:
    """Two significant digits: no more is known."""
    if items < 100:
        return ceil(items)
    step = 10 ** (len(str(int(items))) - 2)
    return ceil(items / step) * step
