"""Runs compared: what differs, by how much, how sure that is, and what cannot be compared."""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from plugins import hint
from slitlamp.comparison import figures, words
from slitlamp.comparison.arms import (
    ENCODER,
    OF_PLAN,
    Arm,
    Asked,
    Family,
    check_names,
    families,
    points_of,
    source_of,
    varied,
)
from slitlamp.comparison.curve import curve_rows, drawn_again, series, variation_rows
from slitlamp.comparison.differs import why_apart
from slitlamp.comparison.independent import adjusted, independent_rows
from slitlamp.errors import UsageError
from slitlamp.records import rounded
from slitlamp.reports.result import CommandResult
from slitlamp.runs import StoredRun, distinct_names
from slitlamp.settings import line_of
from tasks import DataError

MANY = 12  # arms, encoders apart, above which each is compared with one reference and not with every other
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """One family measured: its pairs as they are shown, and those that its ranking rests on."""

    family: Family
    arms: Sequence[Arm]  # of the family, and the reference behind them where it is none of them
    shown: Sequence[Any]  # probes.stats.paired.Pair, by the numbers of arms
    every: Sequence[Any]
    told: Sequence[Any]  # the pairs whose intervals letters and ranks rest on
    margin: float


def find(
    runs: Sequence[StoredRun],
    *,
    over: Sequence[str] = (),
    unpaired: bool = False,
    refuse: bool = True,
    site: Sequence[str] = (),
    readout: Sequence[str] = (),
    task: Sequence[str] = (),
    reference: str | None = None,
    command: str = "",
) -> CommandResult:
    """Differences between what runs read, paired item by item on identical folds, with all comparisons paid for.

    `over` names what is compared: encoder (each at the best of its points, chosen inside the training folds), site,
    readout, or a flag in which the runs differ (probe, window, dtype …); where it is empty encoders, and the axes of a
    grid. With `unpaired` runs of other items and other groups are compared. Tables: `comparisons`, `ranking`, `curve`,
    `variation`.

    Raises:
        UsageError: nothing is there to compare, a name that no run has, or a measurement that is missing or damaged.
        tasks.DataError: runs that cannot be compared, with the difference named. With refuse=False these are left out
        and named in `notes`.
    """
    asked = Asked(site=tuple(site), readout=tuple(readout), task=tuple(task), reference=reference)
    plans: dict[str, Any] = {}
    runs = [replace(run, name=name, _plans=plans) for run, name in zip(runs, distinct_names(runs), strict=True)]
    if not runs:
        raise UsageError("no run is given; name the folders of runs, as --out named them or as they lie under runs/")
    check_names(runs, asked)
    again = command or line_of(["python", "-m", "experiments.compare", *(str(run.folder) for run in runs)])
    notes: list[str] = []
    if unpaired:
        rows, lines = independent_rows(runs, over, asked, notes, refuse=refuse)
        return _result({"comparisons": rows}, lines, notes, again, {})
    runs = _whole(runs, asked, notes, refuse=refuse)
    once = drawn_again(runs, asked)
    found = [f for name in _axes(runs, over, asked) for f in families(runs, name, once)]
    found = [f for f in (_readable(f, notes, refuse=refuse) for f in found) if len(f.arms) > 1]
    found = _named_apart(found, runs, asked)
    curve, points = curve_rows(runs, asked)
    curve, variation = rounded(curve), rounded(variation_rows(runs, asked))  # sentences say what tables hold
    _unjoined(runs, found, over, asked, notes, refuse=refuse)
    if not (found or curve or variation):
        if refuse:
            raise UsageError(_nothing(runs, over, asked))
        notes.append(_nothing(runs, over, asked))
    if once.left:
        again_drawn = {name for name, _, _ in once.left}
        notes.append(words.drawn_again([run.name for run in runs if run.name in again_drawn]))
    compared = _measured(found, reference, notes)
    comparisons = rounded(adjusted([row for one in compared for row in _pair_rows(one)]))
    ranking = rounded([row for one in compared for row in _ranked(one)])
    notes += words.notes_of(runs, [one.family for one in compared], comparisons)
    tables = {"comparisons": comparisons, "ranking": ranking, "curve": curve, "variation": variation}
    said = [line for one in compared for line in words.family(one.family.key, comparisons, ranking)]
    return _result(tables, [*said, *words.curves(curve), *words.variations(variation)], notes, again, points)


def _named_apart(found: Sequence[Family], runs: Sequence[StoredRun], asked: Asked) -> list[Family]:
    """The families with names of their own: a question put to several sources is several, and so is what else differs.

    A name is that of the rows of its tables, so that two of one name would be read as one set of arms.
    """
    sources: dict[str, set[str]] = {}
    for run in runs:
        for r in points_of(run, asked):
            sources.setdefault(r.task, set()).add(r.source)
    named = [
        replace(one, at=f"{one.at} · {one.arms[0].points[0][1].source}") if len(sources[one.task]) > 1 else one
        for one in found
    ]
    keys = [one.key for one in named]
    told = [
        replace(one, at=f"{one.at} · {', '.join(run.name for run in one.runs)}") if keys.count(one.key) > 1 else one
        for one in named
    ]
    keys = [one.key for one in told]
    return [
        replace(one, at=f"{one.at} ({keys[: k + 1].count(one.key)})") if keys.count(one.key) > 1 else one
        for k, one in enumerate(told)
    ]


def _result(
    tables: dict[str, Any], sentences: Sequence[str], notes: Sequence[str], command: str, points: dict[Any, Any]
) -> CommandResult:
    whole = {name: rounded(tables.get(name, [])) for name in ("comparisons", "ranking", "curve", "variation")}
    drawn = {
        "differences": partial(figures.differences, whole["comparisons"]),
        "ranking": partial(figures.ranking, whole["ranking"]),
        "curve": partial(figures.curve, whole["curve"], rounded(list(points.items()))),
    }
    need = {"differences": "comparisons", "ranking": "ranking", "curve": "curve"}
    count = len(whole["comparisons"])
    return CommandResult(
        experiment="compare",
        tables=whole,
        sentences=list(sentences),
        notes=list(dict.fromkeys(notes)),
        figures={name: draw for name, draw in drawn.items() if whole[need[name]]},
        command=command,
        summary=f"{count} comparison{'s' * (count != 1)}",
    )


def _axes(runs: Sequence[StoredRun], over: Sequence[str], asked: Asked) -> list[str]:
    """What is compared: what was named, else encoders and the axes of a grid."""
    possible = varied(runs, asked)
    if over:
        for name in over:
            if name not in possible:
                have = ", ".join(possible) or "nothing"
                no = "runs that differ in it are never paired" if name in OF_PLAN else "the runs do not differ in it"
                raise UsageError(f"--over {name}: {no}; {hint(name, possible)}they differ in {have}")
        return list(over)
    axes = dict.fromkeys(name.replace("-", "_") for run in runs for name in run.settings)
    return list(dict.fromkeys([ENCODER, *(name for name in axes if name in possible)]))


def _whole(runs: Sequence[StoredRun], asked: Asked, notes: list[str], *, refuse: bool) -> list[StoredRun]:
    """The runs whose folds can be made again, with at least one point that is asked for."""
    found = []
    for run in runs:
        records = points_of(run, asked)
        try:
            for key in dict.fromkeys(r.plan_key for r in records):
                run.plan(next(r for r in records if r.plan_key == key))
        except UsageError as error:
            if refuse:
                raise
            notes.append(f"left out: {error}")
            continue
        if records:
            found.append(run)
        else:
            notes.append(f"{run.name} has none of the points that are asked for")
    return found


def _readable(family: Family, notes: list[str], *, refuse: bool) -> Family:
    """The family without arms whose measurements are missing."""
    arms = []
    for arm in family.arms:
        try:
            _ = arm.measurement
        except UsageError as error:
            if refuse:
                raise
            notes.append(f"left out: {error}")
            continue
        arms.append(arm)
    return replace(family, arms=tuple(arms))


def _unjoined(
    runs: Sequence[StoredRun], found: Sequence[Family], over: Sequence[str], asked: Asked, notes: list[str], *,
    refuse: bool,
) -> None:  # fmt: skip
    """Refuse, or note, folders that nothing joins with the others, and name the difference.

    First the folders as wholes, then those that hold a question in common, question by question.
    """
    sets = [(family.task, family.runs) for family in found]
    sets += [(many[0].task, [r.run for r in many]) for many in series(runs, asked)]
    each = {run.name for _, many in sets for run in many} if over else set()  # such as the sites of two encoders
    apart = _apart(runs, [many for _, many in sets])
    tasks = list(dict.fromkeys(r.task for run in runs for r in points_of(run, asked)))
    for task in tasks if len(apart) < 2 and len(tasks) > 1 else ():
        holding = [run for run in runs if any(r.task == task for r in points_of(run, asked))]
        parts = _apart(holding, [many for which, many in sets if which == task])
        _refuse(parts, over, replace(asked, task=(task,)), notes, each, refuse=refuse)
    _refuse(apart, over, asked, notes, each, refuse=refuse)


def _apart(runs: Sequence[StoredRun], sets: Sequence[Sequence[StoredRun]]) -> list[list[StoredRun]]:
    """The runs by parts that nothing joins: the runs of a folder are one, and so are those of each set."""
    home = {run.name: source_of(run) for run in runs}
    joined = {one: one for one in home.values()}

    def root(one: str) -> str:
        while joined[one] != one:
            one = joined[one]
        return one

    for many in sets:
        for run in many[1:]:
            joined[root(home[run.name])] = root(home[many[0].name])
    parts: dict[str, list[StoredRun]] = {}
    for run in runs:
        parts.setdefault(root(home[run.name]), []).append(run)
    return list(parts.values())


def _refuse(
    parts: Sequence[Sequence[StoredRun]], over: Sequence[str], asked: Asked, notes: list[str], each: Collection[str],
    *, refuse: bool,
) -> None:  # fmt: skip
    """Refuse, or note, what is not joined with the first part.

    Not where nothing speaks against it, and both parts hold comparisons of their own (`each`, by names of runs).
    """
    for other in parts[1:]:
        pairs = [(a, b) for a in parts[0] for b in other]
        named = ((a, b, why) for a, b in pairs if (why := why_apart(a, b, asked)))
        nothing = f"nothing differs in {over[0]} alone" if over else "they hold no two encoders that differ"
        a, b, why = next(named, (*pairs[0], nothing))
        if why == nothing and all(any(run.name in each for run in part) for part in (parts[0], other)):
            continue
        which = f" in {asked.task[0]}" if len(asked.task) == 1 else ""
        line = f"{a.name} and {b.name} cannot be compared{which}: {why}"
        if refuse:
            raise DataError(line)
        notes.append(line)


def _nothing(runs: Sequence[StoredRun], over: Sequence[str], asked: Asked) -> str:
    """What to do where nothing is there to compare."""
    encoders = list(dict.fromkeys(r.encoder for run in runs for r in points_of(run, asked)))
    other = [name for name in varied(runs, asked) if name not in over]
    more = f", or say --over {' or '.join(other)}" if other else ""
    names = ", ".join(run.name for run in runs)
    what = f"one encoder, {encoders[0]}" if len(encoders) == 1 else "no two measurements that differ in it alone"
    return f"nothing to compare: {names} has {what}; give another run{more}"


def _measured(found: Sequence[Family], reference: str | None, notes: list[str]) -> list[Compared]:
    """Every family with its pairs; those of one plan hold at once, and with those of the other plans."""
    if reference is not None and not any(arm.name == reference for family in found for arm in family.arms):
        known = list(dict.fromkeys(arm.name for family in found for arm in family.arms))
        raise UsageError(f"--reference {reference}: {hint(reference, known)}there are {', '.join(known)}")
    by_plan: dict[str, list[Family]] = {}
    for family in found:
        by_plan.setdefault(family.arms[0].points[0][1].plan_key, []).append(family)
    from probes.stats.loss import margin_of
    from probes.stats.paired import pairs_of

    made = []
    for many in by_plan.values():
        plan = many[0].plan
        arms: list[Arm] = []
        wanted: list[tuple[Family, list[Arm], list[tuple[int, int]]]] = []
        for family in many:
            mine, pairs = _pairs(family, reference, notes)
            wanted.append((family, mine, [(a + len(arms), b + len(arms)) for a, b in pairs]))
            arms += mine
        measurements = [arm.measurement for arm in arms]
        every = [pair for _, _, pairs in wanted for pair in pairs]
        held = iter(pairs_of(measurements, every, plan, LEVEL ** (1 / len(by_plan))))
        start = 0
        for family, mine, pairs in wanted:
            shown = [replace(one, a=one.a - start, b=one.b - start) for one in itertools.islice(held, len(pairs))]
            whole = list(itertools.combinations(range(len(family.arms)), 2))
            ranked = shown
            told = shown
            if [(one.a, one.b) for one in shown] != whole:
                ranked = pairs_of([arm.measurement for arm in family.arms], whole, plan, LEVEL ** (1 / len(by_plan)))
                told = shown if len(mine) == len(family.arms) else ranked  # with a reference what is said of it
            margin = margin_of(plan)
            made.append(Compared(family=family, arms=mine, shown=shown, every=ranked, told=told, margin=margin))
            start += len(mine)
    order = {id(family): k for k, family in enumerate(found)}
    return sorted(made, key=lambda one: order[id(one.family)])


def _pairs(family: Family, reference: str | None, notes: list[str]) -> tuple[list[Arm], list[tuple[int, int]]]:
    """The arms of a family and their pairs: all, or each with one reference where there are many."""
    arms = list(family.arms)
    named = next((k for k, arm in enumerate(arms) if arm.name == reference), None)
    if named is not None:
        return arms, [(k, named) for k in range(len(arms)) if k != named]
    if family.over == ENCODER or len(arms) <= MANY:
        return arms, list(itertools.combinations(range(len(arms)), 2))
    best = Arm(name=f"best {family.over}", points=tuple(point for arm in arms for point in arm.points))
    notes.append(
        f"{family.task}, {family.at}: each of {len(arms)} {family.over}s is compared with the best, which inner folds "
        "of every training part choose, and not with every other; --reference NAME takes another"
    )
    return [*arms, best], [(k, len(arms)) for k in range(len(arms))]


def _pair_rows(one: Compared) -> list[dict[str, Any]]:
    plan = one.family.plan
    rows = []
    for pair in one.shown:
        a, b, d = one.arms[pair.a], one.arms[pair.b], pair.difference
        rows.append({
            "task": one.family.task, "over": one.family.over, "at": one.family.at, "a": a.name, "b": b.name,
            "score_a": a.measurement.estimate.score, "score_b": b.measurement.estimate.score,
            "difference": d.score, "low": d.low, "high": d.high, "simultaneous_low": pair.low,
            "simultaneous_high": pair.high, "p": d.p, "p_holm": None, "q_bh": None, "paired": True,
            "n_items": len(plan.y), "n_groups": plan.n_groups, "says": words.says(pair.low, pair.high, one.margin),
            "detectable": pair.detectable, "margin": one.margin,
        })  # fmt: skip
    return rows


def _ranked(one: Compared) -> list[dict[str, Any]]:
    """The arms in the order of their scores, with what that order is worth."""
    from probes.stats.paired import half_widths, variances
    from probes.stats.ranking import letters, probability_best, rank_intervals, told_above

    arms, plan = one.family.arms, one.family.plan
    score = np.array([arm.measurement.estimate.score for arm in arms])
    order = np.argsort(-score, kind="stable")
    known = all(pair.error is not None for pair in one.every)
    best, low, high, group = None, None, None, None
    if known:
        best = probability_best(score, variances(one.every, len(arms)), plan.n_groups - 1.0, plan.seed)
        above = told_above(score, half_widths(one.told, len(arms)))
        low, high = rank_intervals(above)
        group = dict(zip(order.tolist(), letters((above | above.T)[np.ix_(order, order)]), strict=True))
    rows = []
    for k in order:
        e = arms[k].measurement.estimate
        rows.append({
            "task": one.family.task, "over": one.family.over, "at": one.family.at, "name": arms[k].name,
            "score": e.score, "low": e.low, "high": e.high, "p_best": None if best is None else float(best[k]),
            "rank_low": None if low is None else int(low[k]), "rank_high": None if high is None else int(high[k]),
            "group": None if group is None else group[int(k)], "chance": e.chance, "metric": e.metric, "p": e.p,
        })  # fmt: skip
    return rows
