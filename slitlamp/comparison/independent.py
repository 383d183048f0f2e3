"""Independent sets compared: other items and other groups, as of two hospitals."""

import itertools
from collections.abc import Sequence
from typing import Any

from slitlamp.comparison import words
from slitlamp.comparison.arms import Arm, Asked, decode_of, held, of_run, place_of_points
from slitlamp.errors import UsageError
from slitlamp.records import Record
from slitlamp.runs import StoredRun
from tasks import DataError

SHOWN = 3  # groups that a refusal names


def independent_rows(
    runs: Sequence[StoredRun], over: Sequence[str], asked: Asked, notes: list[str], *, refuse: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of `comparisons` between runs of other items and other groups, and sentences.

    One encoder and question in two runs; the interval is Welch's on the standard errors of the two scores, wider so
    that all of the command hold (Sidak 1967).

    Raises:
        UsageError: --over is given, or nothing is there to compare.
        tasks.DataError: groups that both sets hold, or other answers.
    """
    if over:
        raise UsageError(f"--over {' '.join(over)} beside --unpaired: independent sets differ in their data alone")
    pairs: list[tuple[str, str, Arm, Arm]] = []
    apart: list[str] = []
    for a, b in itertools.combinations(runs, 2):
        mine, theirs = of_run(a, asked), of_run(b, asked)
        for task, encoder in mine:
            if (task, encoder) not in theirs:
                continue
            left, right = mine[task, encoder], theirs[task, encoder]
            why = _why_not(a, left, b, right)
            if why:
                apart.append(f"{a.name} and {b.name} cannot be compared as independent sets: {why}")
                continue
            one, other = (
                Arm(name=run.name, points=tuple((run, r) for r in some)) for run, some in ((a, left), (b, right))
            )
            pairs.append((task, encoder, one, other))
            flags = [flag for (flag, v), (_, w) in zip(decode_of(a), decode_of(b), strict=True) if v != w]
            if flags:
                notes.append(f"unpaired: {a.name} and {b.name} differ in {', '.join(flags)} too")
            ids = [set(run.material(some[0].plan_key)["ids"]) for run, some in ((a, left), (b, right))]
            if ids[0] & ids[1]:  # files of one name need not be one image
                notes.append(f"unpaired: {len(ids[0] & ids[1])} items have the same names in {a.name} and {b.name}; if "
                             "they are the same images, the sets are not independent")  # fmt: skip
            if left[0].weights != right[0].weights:  # or the same beside other libraries, as at two hospitals
                notes.append(f"unpaired: {encoder} is not identically the same in {a.name} and {b.name} "
                             f"({left[0].weights}; {right[0].weights})")  # fmt: skip
    if apart and refuse:
        raise DataError(apart[0])
    notes += dict.fromkeys(apart)
    if not pairs and refuse:
        raise UsageError("nothing to compare unpaired: no two runs ask one question of one encoder")
    rows = [_row(task, encoder, a, b, asked, len(pairs)) for task, encoder, a, b in pairs]
    notes.append(
        "unpaired: the sets hold other items and other groups; what differs between them (images, patients, machines) "
        "differs with the score, and an interval of two scores is wider than a paired one"
    )
    return adjusted(rows), [words.pair(row) for row in rows]


def adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their p-values adjusted for all comparisons of the command."""
    import probes

    tested = [row for row in rows if row["p"] is not None]
    if tested:
        p = [row["p"] for row in tested]
        for row, holm, q in zip(tested, probes.holm(p), probes.benjamini_hochberg(p), strict=True):
            row["p_holm"], row["q_bh"] = float(holm), float(q)
    return rows


def _row(task: str, encoder: str, a: Arm, b: Arm, asked: Asked, count: int) -> dict[str, Any]:
    from scipy.special import stdtrit

    from probes.stats.loss import margin_of
    from probes.stats.paired import POWER, unpaired

    d, error, df = unpaired(a.measurement, b.measurement)
    plans = [arm.measurement.plan for arm in (a, b)]
    few = min(len(plan.y) for plan in plans)
    margin = margin_of(plans[0], few)
    low = high = detectable = None
    if error is not None:
        t = float(stdtrit(df, (1 + 0.95 ** (1 / count)) / 2))
        low, high = d.score - t * error, d.score + t * error
        detectable = (t + float(stdtrit(df, POWER))) * error
    return {
        "task": task, "over": "data", "at": f"{encoder} · {place_of_points(asked)}", "a": a.name, "b": b.name,
        "score_a": a.measurement.estimate.score, "score_b": b.measurement.estimate.score, "difference": d.score,
        "low": d.low, "high": d.high, "simultaneous_low": low, "simultaneous_high": high, "p": d.p, "p_holm": None,
        "q_bh": None, "paired": False, "n_items": sum(len(plan.y) for plan in plans),
        "n_groups": sum(plan.n_groups for plan in plans), "says": words.says(low, high, margin),
        "detectable": detectable, "margin": margin,
    }  # fmt: skip


def _why_not(a: StoredRun, left: Sequence[Record], b: StoredRun, right: Sequence[Record]) -> str:
    """What keeps two runs from being compared as independent sets; empty where nothing does."""
    one, other = left[0], right[0]
    mine, theirs = a.material(one.plan_key), b.material(other.plan_key)
    if mine["classes"] != theirs["classes"] or one.metric != other.metric:
        kinds = [("a number" if m["classes"] is None else f"classes {', '.join(m['classes'])}") for m in (mine, theirs)]
        return f"other answers ({'; '.join(kinds)})"
    shared = sorted(set(mine["groups"]) & set(theirs["groups"]))
    if shared:
        more = " …" * (len(shared) > SHOWN)
        return (
            f"{len(shared)} groups are in both ({', '.join(shared[:SHOWN])}{more}); without --unpaired they are paired "
            "where all items are, and other patients of these names need names of their own"
        )
    if {(r.site, r.readout) for r in left} != {(r.site, r.readout) for r in right}:
        return f"{one.encoder} was read at other points; name those of both with --site and --readout"
    if held(a) != held(b):
        names = [n for n in dict.fromkeys((*held(a), *held(b))) if held(a).get(n) != held(b).get(n)]
        return f"they differ in {', '.join(names)} too"
    return ""
