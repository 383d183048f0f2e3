"""Encoders of one run compared, each at its best point: differences paired item by item, all of them paid for."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from probes.stats.loss import margin_of
from probes.stats.multiplicity import benjamini_hochberg, holm
from probes.stats.paired import pairs_of
from probes.stats.plan import Plan
from slitlamp.comparison.words import says

AT = "best point"
LEVEL = 0.95


def differences(read: Sequence[tuple[str, Plan, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of the differences of each two encoders, question by question, as `compare` has them.

    `read` holds of each question its name, its plan, and of each encoder what it reads with the point chosen inside
    the training folds (None where the probe has no inner folds to choose by: it is left out). Intervals hold for all
    pairs of all questions at once, p is adjusted over them.
    """
    asked = [(task, plan, {k: m for k, m in many.items() if m is not None}) for task, plan, many in read]
    asked = [(task, plan, many) for task, plan, many in asked if len(many) > 1]
    rows: list[dict[str, Any]] = []
    for task, plan, many in asked:
        names, measurements = list(many), list(many.values())
        margin = margin_of(plan)
        pairs = list(combinations(range(len(names)), 2))
        for pair in pairs_of(measurements, pairs, plan, LEVEL ** (1 / len(asked))):
            d = pair.difference
            rows.append({
                "task": task, "over": "encoder", "at": AT, "a": names[pair.a], "b": names[pair.b],
                "score_a": measurements[pair.a].estimate.score, "score_b": measurements[pair.b].estimate.score,
                "difference": d.score, "low": d.low, "high": d.high, "simultaneous_low": pair.low,
                "simultaneous_high": pair.high, "p": d.p, "p_holm": None, "q_bh": None, "paired": True,
                "n_items": len(plan.y), "n_groups": plan.n_groups, "says": says(pair.low, pair.high, margin),
                "detectable": pair.detectable, "margin": margin,
            })  # fmt: skip
    tested = [row for row in rows if row["p"] is not None]
    if tested:
        p = [row["p"] for row in tested]
        for row, adjusted, q in zip(tested, holm(p), benjamini_hochberg(p), strict=True):
            row |= {"p_holm": float(adjusted), "q_bh": float(q)}
    return rows
