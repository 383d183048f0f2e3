"""What changed between two runs, or two grids: which numbers, and which settings, data, weights or code."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slitlamp.errors import UsageError
from slitlamp.paper.gathered import Gathered, gather
from slitlamp.records import Record, paid_p
from slitlamp.reports.result import CommandResult

WATCHED = (  # of a record, what a table would show otherwise
    "score", "low", "high", "p_value", "p_adjusted", "verdict", "credit", "limit", "nested", "loss", "loss_state",
    "control_shuffled", "control_order", "control_pixels", "control_lowlevel", "control_random",
)  # fmt: skip
KEPT = (  # of a record, what decides its numbers; the name, and what it is called
    ("data_key", "data"), ("weights", "weights"), ("features_key", "features"), ("plan_key", "folds and labels"),
    ("probe", "probe"), ("seed", "seed"), ("folds", "folds"), ("repeats", "repeats"),
    ("permutations", "permutations"), ("n_items", "items"), ("n_groups", "groups"), ("device", "device"),
    ("dtype", "precision"), ("code_version", "code"),
)  # fmt: skip
SHOWN = 6  # settings that the sentence names

Key = tuple[str, str, str, str, str]  # run of a grid, task, role, encoder, point


def compare_reports(old: str | Path, new: str | Path, command: str = "") -> CommandResult:
    """Which numbers of one run or grid differ from another's, and what else differs.

    Tables: `numbers` (one row for each point or verdict that changed, appeared or vanished; `shift` is the change of
    its score in half widths of the old interval) and `settings` (what differs, and where).

    Raises:
        UsageError: a folder holds no run of linear_probe, or no grid.
    """
    before, after = (gather([one]) for one in (old, new))
    for folder, one in ((old, before), (new, after)):
        if one.others:
            raise UsageError(
                f"{folder} is a run of {one.others[0].experiment}; --diff compares runs of linear_probe and of ablation"
            )
    numbers = [*_verdicts(before, after), *_points(before, after)]
    settings = _settings(before, after)
    return CommandResult(
        experiment="report",
        tables={"numbers": numbers, "settings": settings},
        sentences=[_sentence(str(old), str(new), numbers, settings, _count(before, after))],
        notes=[f"{name}: {line}" for name, one in ((old, before), (new, after)) for line in one.failed],
        command=command,
        summary=f"{len(numbers)} numbers differ",
    )


def _count(before: Gathered, after: Gathered) -> int:
    """Points and verdicts that both have."""
    return len(_keyed(before).keys() & _keyed(after).keys()) + len(_claims(before).keys() & _claims(after).keys())


def _sentence(old: str, new: str, numbers: Sequence[Mapping[str, Any]], settings: Sequence[Any], both: int) -> str:
    kinds = {kind: sum(row["change"] == kind for row in numbers) for kind in ("changed", "appeared", "vanished")}
    names = list(dict.fromkeys(row["setting"] for row in settings))
    more = f" … and {len(names) - SHOWN} more" * (len(names) > SHOWN)
    also = f"; what else differs: {', '.join(names[:SHOWN])}{more}" if names else "; nothing else differs"
    if not numbers:
        return f"From {old} to {new} no number differs (of {both} points and verdicts){also}."
    what = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    shifts = [row for row in numbers if row["shift"] is not None]
    most = max(shifts, key=lambda row: abs(row["shift"]), default=None)
    largest = "" if most is None else (
        f"; the largest change of a score is {most['old']:.3f} to {most['new']:.3f} ({most['task']}, "
        f"{most['encoder']}, {most['point']}: {most['shift']:+.2g} of half its interval)"
    )  # fmt: skip
    return f"From {old} to {new}, of {both} points and verdicts in both, {what}{largest}{also}."


def _names(one: Gathered) -> dict[int, str]:
    """What each run is called where runs are told apart: those of a grid by their name, a single one not at all."""
    return {id(run): run.name if len(one.runs) > 1 else "" for run in one.runs}


def _keyed(one: Gathered) -> dict[Key, Record]:
    names = _names(one)
    return {
        (names[id(run)], r.task, r.role, r.encoder, f"{r.site}/{r.readout}"): r
        for run in one.runs
        for r in run.records
    }  # fmt: skip


def _claims(one: Gathered) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    names = _names(one)
    return {(names[id(claim.run)], claim.task, claim.encoder): claim.verdict for claim in one.claims}


def _verdicts(before: Gathered, after: Gathered) -> Iterable[dict[str, Any]]:
    """Rows of verdicts, with the number that is quoted for an encoder."""
    old, new = _claims(before), _claims(after)
    watched = ("score", "low", "high", "verdict", "credit", "best")
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        differ = [] if a is None or b is None else [name for name in watched if a[name] != b[name]]
        if a is not None and b is not None and not differ:
            continue
        run, task, encoder = key
        yield _row(
            (run, task, "verdict", encoder, "the point chosen inside the training folds"), a, b, differ,
            p=(None, None),
        )  # fmt: skip


def _points(before: Gathered, after: Gathered) -> Iterable[dict[str, Any]]:
    old, new = _keyed(before), _keyed(after)
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        differ = [] if a is None or b is None else [n for n in WATCHED if getattr(a, n) != getattr(b, n)]
        if a is not None and b is not None and not differ:
            continue
        made = [None if one is None else vars(one) for one in (a, b)]
        yield _row(key, made[0], made[1], differ, p=tuple(_p(one) for one in (a, b)))


def _p(r: Record | None) -> float | None:
    return None if r is None else paid_p(r)


def _row(
    key: Key, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None, differ: Sequence[str],
    *, p: tuple[float | None, ...],
) -> dict[str, Any]:  # fmt: skip
    run, task, role, encoder, point = key
    old, new = (None if one is None else one["score"] for one in (a, b))
    half = None if a is None or a["low"] is None or a["high"] is None else (a["high"] - a["low"]) / 2
    shift = None if not half or old is None or new is None or old == new else (new - old) / half
    return {
        "change": "appeared" if a is None else "vanished" if b is None else "changed",
        "run": run,
        "task": task,
        "role": role,
        "encoder": encoder,
        "point": point,
        "old": old,
        "new": new,
        "shift": shift,
        "p_old": p[0],
        "p_new": p[1],
        "verdict_old": None if a is None else a["verdict"],
        "verdict_new": None if b is None else b["verdict"],
        "differs": ", ".join(differ),
    }


def _settings(before: Gathered, after: Gathered) -> list[dict[str, Any]]:
    """Rows of what differs, each once: flags of the commands, how files are decoded, then what the records rest on."""
    order = [words for _, words in KEPT]
    every = dict.fromkeys([*_flags_and_decoding(before, after), *_rested_on(before, after)])
    place = {words: k for k, words in enumerate(order, start=1)}
    rows = sorted(every, key=lambda row: (place.get(row[0], 0), row[0], row[1]))
    return [{"setting": setting, "where": where, "old": old, "new": new} for setting, where, old, new in rows]


Differs = tuple[str, str, str | int | float | None, str | int | float | None]  # setting, where, old, new


def _flags_and_decoding(before: Gathered, after: Gathered) -> Iterable[Differs]:
    names_old, names_new = _names(before), _names(after)
    runs_new = {names_new[id(run)]: run for run in after.runs}
    for run in before.runs:
        other = runs_new.get(names_old[id(run)])
        if other is None or not run.records or not other.records:
            continue
        a, b = run.flags, other.flags
        for flag in dict.fromkeys([*a, *b]):
            if a.get(flag) != b.get(flag):
                yield f"--{flag.replace('_', '-')}", names_old[id(run)], _given(a.get(flag)), _given(b.get(flag))
        for task in run.questions:
            if task in other.questions:
                x, y = (one.questions[task]["decode"] for one in (run, other))
                yield from ((f"decode {name}", task, str(x.get(name)), str(y.get(name)))
                            for name in dict.fromkeys([*x, *y]) if x.get(name) != y.get(name))  # fmt: skip


OF_ENCODER = ("weights", "features_key", "device", "dtype", "probe")


def _rested_on(before: Gathered, after: Gathered) -> Iterable[Differs]:
    """What the points that both have rest on, where it differs."""
    old, new = _keyed(before), _keyed(after)
    for key in old:
        if key not in new:
            continue
        for name, words in KEPT:
            x, y = getattr(old[key], name), getattr(new[key], name)
            if name == "features_key":
                x, y = x.partition(":")[0], y.partition(":")[0]
            if x != y:
                where = " · ".join(filter(None, (key[0], key[1], key[3] * (name in OF_ENCODER))))
                yield words, "" if name == "code_version" else where, x, y


def _given(values: tuple[str, ...] | None) -> str:
    return "not given" if values is None else " ".join(values) or "given"
