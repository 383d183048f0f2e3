"""The verdict on a measurement: present, absent or inconclusive, why, and how many groups would decide.

To what a `present` is credited is `probes.stats.credit`.
"""

from collections.abc import Mapping, Sequence
from math import ceil

from probes._base import Estimate, State, Verdict
from probes.stats.credit import credit_of
from probes.stats.exclusion import SELF_CHECK
from probes.stats.measurement import Difference, Measurement
from probes.stats.plan import ALPHA, FEW, Plan

LEAK = 0.01  # of exchanged labels may read as far below chance as a leak does
LEAKING = (
    "But elsewhere these items are read below chance by more than exchanged labels ever give (LEAK): what copies in "
    "different folds push below chance cannot be told from nothing.",
    None,
)
MATERIAL = 0.05  # above chance, with the whole interval: a `learned` score that is worth something


def verdict(
    m: Measurement,
    *,
    controls: Mapping[str, tuple[Measurement, Difference]] | None = None,
    layout: Sequence[Measurement] = (),
    adjusted: float | None = None,
    leak: float | None = None,
    alarm: bool = False,
    called: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict on one cell: its state, what a `present` may be credited to, and the sentence that says so.

    `controls` maps lowlevel, pixels, random to their measurement on the same folds and the paired difference
    to them; `layout` are the measurements of readouts that keep the layout of the same tokens; `adjusted` is the
    p-value after the multiplicity rule, where there was one, and `leak` that of the map's lowest statistic
    (`low_over_map`; None: this cell is all there is); `alarm` says that a leak rings at some point of the same items,
    so that none of them is absent; `called` names a control otherwise than usual.
    """
    plan = m.plan
    state, reason, groups = decide_state(m, layout=layout, adjusted=adjusted, leak=leak, alarm=alarm)
    credit, credit_words = (None, "") if state != "present" else credit_of(controls or {}, called or {})
    low = m.estimate.low
    clear = state == "present" and low is not None and low > plan.chance + MATERIAL
    return Verdict(
        state=state,
        margin=plan.margin,
        reason=f"{reason} {credit_words}".strip(),
        credit=credit,
        leak=_leaks(m, leak),
        material=clear and credit == "learned",
        size_open=state == "present" and _size_open(m.estimate),
        excluded=m.limit.limit if state == "absent" and m.limit is not None else None,
        groups_needed=groups,
    )


def decide_state(
    m: Measurement,
    *,
    layout: Sequence[Measurement] = (),
    adjusted: float | None = None,
    leak: float | None = None,
    alarm: bool = False,
) -> tuple[State, str, int | None]:
    """State, reason, and the number of groups that would decide where nothing is decided."""
    e, plan = m.estimate, m.plan
    p = e.p if adjusted is None else adjusted
    if plan.n_groups < FEW:
        return "inconclusive", f"{plan.n_groups} independent groups: too few to say anything; bring {FEW}.", FEW
    if m.blind:
        reason = (
            "Blind to this question by construction: its features are equal for items of every answer, as for all "
            "copies of an image, so that there is nothing in them to read, with however many items."
        )
        heard = _heard_elsewhere(m, layout)
        return "inconclusive", reason if heard is None else f"{reason} {heard[0]}", None
    if _leaks(m, leak):
        reason = (
            f"LEAK: {_score(m)}: below chance by more than exchanged labels ever give. Copies or relatives of one "
            "image probably lie in different folds: check the groups; nothing is concluded."
        )
        return "inconclusive", reason, None
    if p is not None and p <= ALPHA and e.score > e.chance:
        return "present", _readable(m, p), None
    missing = _missing(m, p, layout, alarm=alarm or any(_leaks(one, leak) for one in layout))
    return ("absent", _absent(m), None) if missing is None else ("inconclusive", *missing)


def rings(p_low: float, e: Estimate) -> bool:
    """Whether a score is below chance by more than luck: the leak alarm. None rings without an interval."""
    return e.high is not None and e.high < e.chance and p_low <= LEAK


def _leaks(m: Measurement, over_map: float | None) -> bool:
    return m.leak if over_map is None else rings(over_map, m.estimate)


def _size_open(e: Estimate) -> bool:
    return e.low is None or e.low <= e.chance


def _score(m: Measurement) -> str:
    e = m.estimate
    ends = "" if e.low is None or e.high is None else f" [{e.low:.2f}, {e.high:.2f}]"
    return f"{e.metric} {e.score:.2f}{ends}, chance {e.chance:.2f}"


def p_words(p: float) -> str:
    """A p as a sentence has it."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _readable(m: Measurement, p: float) -> str:
    if not _size_open(m.estimate):
        return f"Readable: {_score(m)}, {p_words(p)}."
    how = "ordered" if m.plan.number else "told apart"
    return (
        f"Readable, how well is open: held-out items are {how} better than under exchanged labels ({p_words(p)}), but "
        f"with {len(m.plan.y)} items the size is uncertain: {_score(m)}."
    )


def _missing(
    m: Measurement, p: float | None, layout: Sequence[Measurement], *, alarm: bool
) -> tuple[str, int | None] | None:
    """Why nothing is decided, and the number of groups that would; None where nothing is missing for an absence."""
    own = m.estimate.p
    if own is None or own <= ALPHA:
        return _undecided(m, p), None
    missing = _heard_elsewhere(m, layout) or (LEAKING if alarm else None) or _not_asked(m) or _not_excluded(m)
    if missing is None:
        return None
    return f"Nothing found: {_score(m)}. {missing[0]}", missing[1]


def _undecided(m: Measurement, p: float | None) -> str:
    own = m.estimate.p
    if own is None or p is None:
        why = "no p-value could be computed"
    elif p > ALPHA:
        why = f"{p_words(own)} here, but {p_words(p)} once the search over all points is paid for"
    else:
        why = f"the permutation test sees something ({p_words(own)}), but the score is not above chance"
    return f"Undecided: {_score(m)}; {why}."


def _heard_elsewhere(m: Measurement, layout: Sequence[Measurement]) -> tuple[str, int | None] | None:
    """Another probe or readout that reads what this one does not, where one does."""
    for other in sorted(layout, key=lambda one: -one.estimate.score):
        e = other.estimate
        if e.p is not None and other.reads:
            return (
                f"But a readout that keeps the layout of these tokens reads it ({_score(other)}, {p_words(e.p)}): what "
                "fails here is this readout, not the tokens."
            ), None
    if m.kernel_p is not None and m.kernel_p <= ALPHA:
        return f"But a kernel reads it, which no straight line does ({p_words(m.kernel_p)}).", None
    return None


def _not_asked(m: Measurement) -> tuple[str, int | None] | None:
    """Why it was not asked what this silence excludes, where it was not."""
    plan = m.plan
    if plan.rare < FEW:
        who = "Another number than the commonest" if plan.number else "The smallest class"
        return f"{who} has {plan.rare} groups; absence needs {FEW}.", ceil(FEW / plan.rare * plan.n_groups)
    if m.screened:
        return "But it was screened only, so silence is no evidence of absence.", None
    if m.limit is None or m.kernel_p is None:
        return "But no differences were planted for this probe, so silence is no evidence of absence.", None
    return None


def _not_excluded(m: Measurement) -> tuple[str, int | None] | None:
    """What the plantings do not exclude, and with how many groups they probably would; None where they do."""
    found = m.limit
    assert found is not None
    if not found.valid:
        return (
            f"But planted labels without any signal were called readable in {found.self_check:.0%} of trials "
            f"(at most {SELF_CHECK:.0%} may be), so what silence excludes cannot be told here."
        ), None
    if found.enough:
        return None
    what = f"{'relations' if m.plan.number else 'differences'} of {_unit(m.plan)}"
    asked = f"{found.asked:.2f}"
    but = (
        f"But not even {what} {max(found.rates):.2f} are excluded here ({asked} is asked)."
        if found.limit is None
        else f"But only {what} {found.limit:.2f} or more are excluded here ({asked} is asked)."
    )
    if found.groups is None:
        return but, None
    units = "items" if m.plan.n_groups == len(m.plan.y) else "groups"
    then = f"With about {found.groups} {units} {asked} would probably be excluded, if there is nothing to read."
    return f"{but} {then}", found.groups


def _absent(m: Measurement) -> str:
    found, number = m.limit, m.plan.number
    assert found is not None
    assert found.limit is not None
    if number:
        if_there = "If the number moved the features, along the ways in which these images differ from one another,"
    else:
        if_there = "If the classes differed, along the ways in which these images differ from one another,"
    return (
        f"Not readable: {_score(m)}. {if_there} so much that unlimited images would give {_unit(m.plan)} "
        f"{found.limit:.2f}, a score this low would be seen less than once in 20 times. Not excluded: a "
        f"{'relation' if number else 'difference'} along directions in which such images hardly vary, and one that no "
        "straight line reads."
    )


def _unit(plan: Plan) -> str:
    return "concordance" if plan.number else "accuracy"
