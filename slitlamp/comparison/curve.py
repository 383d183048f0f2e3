"""Runs that differ in how many groups they drew, in which, or in their seed: learning curves, and their spread."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slitlamp.comparison.arms import (
    BY_RIDGE,
    OF_PLAN,
    Arm,
    Asked,
    at_map,
    decode_of,
    flags_of,
    held,
    of_run,
    place_of_points,
)
from slitlamp.records import Record, best_of
from slitlamp.runs import StoredRun

FEW_RUNS = 3  # from which a standard deviation is shown
NEAR_HALF = (0.4, 0.6)  # of the groups, with which a point of a curve is compared
APART = ("take_groups", "draw")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What one encoder reads in one run, and the flags by which such runs differ."""

    arm: Arm
    task: str
    encoder: str
    at: str
    seed: int
    draw: int
    groups: int  # as many as there are in the run
    drawn: bool
    best: Record
    alike: tuple[tuple[str, str], ...]  # the flags of the plan that all of a series share

    @property
    def run(self) -> StoredRun:
        """The run."""
        return self.arm.run


def series(runs: Sequence[StoredRun], asked: Asked) -> Iterator[list[Reading]]:
    """Readings of one encoder and question that differ in seed, draw and number of groups alone."""
    found: dict[Any, list[Reading]] = {}
    for run in runs:
        given = flags_of(run)
        plain = tuple(sorted((n, v) for n, v in given.items() if n in OF_PLAN and n not in (*APART, "seed", "task")))
        for (task, encoder), records in of_run(run, asked).items():
            where = tuple(sorted((r.site, r.readout) for r in records))
            key = (task, encoder, records[0].weights, where, plain, tuple(sorted(held(run).items())), decode_of(run))
            arm = Arm(name=encoder, points=tuple((run, r) for r in records))
            words = [place_of_points(asked), *(f"{n.replace('_', ' ')} {v}" for n, v in held(run).items())]
            found.setdefault(key, []).append(
                Reading(
                    arm=arm, task=task, encoder=encoder, at=" · ".join(words), seed=int(given.get("seed", 0)),
                    draw=int(given.get("draw", 0)), groups=records[0].n_groups, drawn="take_groups" in given,
                    best=best_of(records), alike=plain,
                )
            )  # fmt: skip
    for many in found.values():
        # of runs that differ in none of these the first: two hospitals are no series
        yield _alike(list({(one.seed, one.draw, one.drawn, one.groups): one for one in reversed(many)}.values())[::-1])


def _alike(readings: list[Reading]) -> list[Reading]:
    """Readings by one probe: from 200 groups on the headline has another, and closed-form ridge stands beside it."""
    probes = {tuple(sorted((r.site, r.readout, r.probe) for _, r in one.arm.points)) for one in readings}
    if len(probes) < 2:
        return readings
    found = []
    for one in readings:
        points = tuple((run, made) for run, r in one.arm.points if (made := at_map(r)) is not None)
        if len(points) < len(one.arm.points):
            return [replace(one, at=f"{one.at} · by several probes") for one in readings]
        found.append(replace(one, at=f"{one.at} · {BY_RIDGE}", arm=replace(one.arm, points=points)))
    return found


def drawn_again(runs: Sequence[StoredRun], asked: Asked) -> Asked:
    """What is asked, without runs that repeat another with another seed, draw or number of groups.

    Of each question the plan stays that most encoders were read under; of several the one with most groups, and of
    those that with the first draw and seed.
    """
    every = [(one, (one.task, one.alike), len(many) > 1) for many in series(runs, asked) for one in many]
    left: set[tuple[str, str, str]] = set()
    for which in dict.fromkeys(key for _, key, again in every if again):
        mine = [one for one, key, again in every if key == which and again]
        held_by: dict[str, set[str]] = {}
        for one, key, _ in every:  # those that were read once, too: with them the others are compared
            if key == which:
                held_by.setdefault(one.best.plan_key, set()).add(one.encoder)
        kept = max(mine, key=lambda one: (len(held_by[one.best.plan_key]), one.groups, -one.draw, -one.seed))
        left |= {(one.run.name, one.task, one.encoder) for one in mine if one.best.plan_key != kept.best.plan_key}
    return replace(asked, left=frozenset(left))


def curve_rows(runs: Sequence[StoredRun], asked: Asked) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str], Any]]:
    """The rows of the table `curve`, and the scores of single draws by (task, encoder, at), as (groups, score)."""
    rows: list[dict[str, Any]] = []
    points: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for readings in series(runs, asked):
        for seed in dict.fromkeys(one.seed for one in readings):
            mine = [one for one in readings if one.seed == seed]
            if len({one.groups for one in mine}) < 2 or not any(one.drawn for one in mine):
                continue
            several = f" · seed {seed}" * (len({one.seed for one in readings}) > 1)
            made = _curve(mine, mine[0].at + several)
            rows += made
            points[mine[0].task, mine[0].encoder, mine[0].at + several] = [
                (one.groups, one.arm.measurement.estimate.score) for one in mine
            ]
    return rows, points


def _curve(readings: Sequence[Reading], at: str) -> list[dict[str, Any]]:
    from probes.stats import curve

    by_size: dict[int, dict[int, curve.Draw]] = {}
    best: dict[int, list[Record]] = {}
    for one in readings:
        made = one.run.material(one.best.plan_key)["groups"]
        by_size.setdefault(one.groups, {})[one.draw] = curve.Draw(measurement=one.arm.measurement, groups=made)
        best.setdefault(one.groups, []).append(one.best)
    largest = max(by_size)
    rows = []
    for groups in sorted(by_size):
        draws = [*by_size[groups].values()]
        scores = [d.score for d in draws]
        error = curve.mean_error(draws)
        low, high = _interval(float(np.mean(scores)), error, groups)
        if len(draws) == 1:  # the one number has one interval, here as everywhere
            low, high = draws[0].measurement.estimate.low, draws[0].measurement.estimate.high
        mdes = [d.measurement.estimate.mde for d in draws if d.measurement.estimate.mde is not None]
        limits = [r.limit for r in best[groups] if r.limit is not None]
        rows.append({
            "task": readings[0].task, "encoder": readings[0].encoder, "at": at, "groups": groups,
            "items": round(float(np.mean([r.n_items for r in best[groups]]))), "draws": len(draws),
            "score": float(np.mean(scores)), "low": low, "high": high,
            "draws_sd": float(np.std(scores, ddof=1)) if len(scores) >= FEW_RUNS else None,
            "draws_low": min(scores), "draws_high": max(scores),
            "mde": float(np.mean(mdes)) if mdes else None, "limit": float(np.mean(limits)) if limits else None,
            "chance": best[groups][0].chance, "metric": best[groups][0].metric,
            "rising": _rising(by_size, groups, whole=groups == largest and not all(
                one.drawn for one in readings if one.groups == groups)),
        })  # fmt: skip
    return rows


def _interval(score: float, error: float | None, groups: int) -> tuple[float | None, float | None]:
    from scipy.special import stdtrit

    if error is None:
        return None, None
    half = float(stdtrit(groups - 1, 0.975)) * error
    return max(0.0, score - half), min(1.0, score + half)


def _rising(by_size: Mapping[int, Mapping[int, Any]], groups: int, *, whole: bool) -> bool | None:
    """Whether a point still rises over the one of about half its groups; None where there is none.

    Draws are paired by their number; all groups that there are hold those of every draw.
    """
    from probes.stats import curve

    halves = [g for g in by_size if NEAR_HALF[0] * groups <= g <= NEAR_HALF[1] * groups]
    if not halves:
        return None
    less, more = by_size[min(halves, key=lambda g: abs(g - groups / 2))], by_size[groups]
    if whole:
        pairs = [(draw, next(iter(more.values()))) for draw in less.values()]
    else:
        pairs = [(less[number], more[number]) for number in less if number in more]
    if not pairs:
        return None
    gain, error = curve.rise([one for one, _ in pairs], [one for _, one in pairs])
    return curve.rises(gain, error, pairs[0][0].measurement.plan.n_groups)


def variation_rows(runs: Sequence[StoredRun], asked: Asked) -> list[dict[str, Any]]:
    """The rows of the table `variation`: the spread over seeds, and over draws of as many groups."""
    rows = []
    for readings in series(runs, asked):
        for over, fixed in (("seed", "draw"), ("draw", "seed")):
            alike: dict[Any, list[Reading]] = {}
            for one in readings:
                alike.setdefault((one.groups if one.drawn else None, getattr(one, fixed)), []).append(one)
            for (groups, other), many in alike.items():
                if len({getattr(one, over) for one in many}) < 2:
                    continue
                scores = [one.arm.measurement.estimate.score for one in many]
                at = [many[0].at, f"{groups} groups" if groups else "", f"{fixed} {other}" if len(alike) > 1 and other
                      else ""]  # fmt: skip
                rows.append({
                    "task": many[0].task, "encoder": many[0].encoder, "at": " · ".join(filter(None, at)), "over": over,
                    "runs": len(many), "mean": float(np.mean(scores)),
                    "sd": float(np.std(scores, ddof=1)) if len(many) >= FEW_RUNS else None,
                    "lowest": min(scores), "highest": max(scores),
                    "se_patients": float(np.mean([one.arm.measurement.error for one in many])),
                })  # fmt: skip
    return rows
