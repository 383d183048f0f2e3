"""What can be compared: the arms that several runs hold, in families of one plan and the same images.

A family is a question, a plan (items, groups, answers, folds, permuted labels), and everything that is held fixed; its
arms differ in one thing. Two measurements of different plans, or of other pixels, are never in one family, unless how
files become pixels is what is compared.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from plugins import hint
from slitlamp.errors import UsageError
from slitlamp.records import Record
from slitlamp.runs import StoredRun
from slitlamp.settings import FLAGS

ENCODER, SITE, READOUT = "encoder", "site", "readout"
BEST = "best point"
BY_RIDGE = "by closed-form ridge"
DECODE = ("window", "intercept", "exif")  # flags that say how files become pixels
RUNS_APART = ("seed", "draw", "take_groups")  # of one curve, or of one spread: never paired
OF_PLAN = (
    *RUNS_APART, "folds", "repeats", "permutations", "task", "data", "label", "classes", "number", "not_missing",
    "group", "copies", "spelling", "unreadable", "items", "limit", "volumes", "image_column",
)  # fmt: skip
OF_NETWORK = ("dtype", "image_size", "compile")  # flags that change what identifies the weights, and not the weights
FLAGS_SAID = re.compile(r"at [0-9]+ pixels|fingerprint [0-9a-f]+")  # parts of a record's weights that say them
IDLE = (
    "encoder", "weights", "other_weights", "site", "readout", "twins", "device", "batch_size", "reference", "pool",
    "offline", "probe_device", "jobs", "evidence", "out", "replace",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """One of what is compared: its name, and the points among which inner folds choose what it reads."""

    name: str
    points: tuple[tuple[StoredRun, Record], ...]

    @property
    def run(self) -> StoredRun:
        """The run that holds its first point."""
        return self.points[0][0]

    @cached_property
    def measurement(self) -> Any:
        """What it reads: of several points the best, chosen inside the training folds.

        Raises:
            UsageError: a cell is missing, or the probe has no inner folds to choose by.
        """
        from probes.stats.best import nested_best

        measured = [run.measurement(record) for run, record in self.points]
        if len(measured) == 1:
            return measured[0]
        found = nested_best(measured, self.run.plan(self.points[0][1]))
        if found is None:
            raise UsageError(
                f"{self.name} ({self.run.name}): its probe has no inner folds to choose the best of "
                f"{len(measured)} points by; name one with --site and --readout"
            )
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """Arms of one plan that differ in `over` alone; `at` says what is held fixed."""

    task: str
    over: str
    at: str
    arms: tuple[Arm, ...]

    @property
    def plan(self) -> Any:
        """Folds and permuted labels, which are those of every arm."""
        run, record = self.arms[0].points[0]
        return run.plan(record)

    @property
    def key(self) -> tuple[str, str, str]:
        """Its name in tables: question, what is compared, where."""
        return self.task, self.over, self.at

    @property
    def runs(self) -> list[StoredRun]:
        """The runs that it joins."""
        return list({id(run): run for arm in self.arms for run, _ in arm.points}.values())


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a comparison is asked for: what differs, at which points, of which questions, and against what."""

    over: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    readout: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    reference: str | None = None
    left: frozenset[tuple[str, str, str]] = frozenset()  # runs by name, question and encoder that are left out


def at_map(record: Record) -> Record | None:
    """The point as closed-form ridge reads it; None where the run holds it by another probe alone."""
    if record.map_cell is not None:
        return replace(record, cell=record.map_cell, screened=True)
    return record if record.probe.startswith("ridge") else None


def flags_of(run: StoredRun) -> dict[str, str]:
    """The flags of the line that made a run, each with its values as written."""
    return {name: " ".join(values) or "yes" for name, values in run.flags.items()}


def flag_of(run: StoredRun, name: str) -> str:
    """The value of one flag as a table shows it; where it was not given its default."""
    given = flags_of(run).get(name)
    if given is not None:
        return given
    default = FLAGS[name].default if name in FLAGS else None
    return str(default) if isinstance(default, str | int | float) and default is not False else "default"


def held(run: StoredRun, but: Sequence[str] = ()) -> dict[str, str]:
    """The flags that change a measurement and neither its plan nor its pixels, nor which encoder is read where."""
    skipped = (*OF_PLAN, *IDLE, *DECODE, *but)
    found = {name: value for name, value in flags_of(run).items() if name not in skipped}
    return {name: value for name, value in found.items() if value != _default(name)}


def _default(name: str) -> str | None:
    return None if name not in FLAGS else str(FLAGS[name].default)


def source_of(run: StoredRun) -> str:
    """What was named on the command line: the run, or the folder of the grid that holds it."""
    return str(run.folder.parent.parent) if run.settings else run.name


def points_of(run: StoredRun, asked: Asked) -> list[Record]:
    """The points of a run's encoders that are asked for."""
    return [
        r
        for r in run.records
        if r.role == "encoder"
        and (run.name, r.task, r.encoder) not in asked.left
        and (not asked.task or r.task in asked.task)
        and _matches(r.site, asked.site)
        and (not asked.readout or r.readout in asked.readout)
    ]


def _matches(site: str, wanted: Sequence[str]) -> bool:
    return not wanted or any(site == one or (one.endswith("*") and site.startswith(one[:-1])) for one in wanted)


def check_names(runs: Sequence[StoredRun], asked: Asked) -> None:
    """Raises UsageError for a site, readout or question that no run has."""
    every = [r for run in runs for r in run.records if r.role == "encoder"]
    for flag, given in (("site", asked.site), ("readout", asked.readout), ("task", asked.task)):
        known = list(dict.fromkeys(getattr(r, flag) for r in every))
        for name in given:
            if not any(_matches(one, (name,)) for one in known):
                raise UsageError(f"--{flag} {name}: no run has it; {hint(name, known)}there are {', '.join(known)}")
    if asked.site and asked.readout and not any(points_of(run, asked) for run in runs):
        raise UsageError(f"no run has --readout {' '.join(asked.readout)} at --site {' '.join(asked.site)}")


def varied(runs: Sequence[StoredRun], asked: Asked) -> list[str]:
    """What differs between points and runs and could be compared: names for --over."""
    records = [r for run in runs for r in points_of(run, asked)]
    found = [name for name in (ENCODER, SITE, READOUT) if len({getattr(r, name) for r in records}) > 1]
    if len({r.probe for r in records if not r.screened}) > 1:
        found.append("probe")
    names = dict.fromkeys(name for run in runs for name in flags_of(run))
    flags = [n for n in names if n not in (*OF_PLAN, *IDLE, "probe") and len({flag_of(run, n) for run in runs}) > 1]
    return [*found, *flags]


def families(runs: Sequence[StoredRun], over: str, asked: Asked) -> list[Family]:
    """The families whose arms differ in `over`, those with two arms or more."""
    if over == ENCODER:
        return _of_encoders(runs, asked)
    return _of_points(runs, over, asked) if over in (SITE, READOUT) else _of_flag(runs, over, asked)


def _of_encoders(runs: Sequence[StoredRun], asked: Asked) -> list[Family]:
    """Each encoder at the best of its points; runs of a grid that read other points of one encoder are one arm."""
    strata: dict[Any, list[tuple[StoredRun, str, list[Record]]]] = {}
    for run in runs:
        for (task, encoder), records in of_run(run, asked).items():
            key = (task, records[0].plan_key, records[0].data_key, tuple(sorted(held(run).items())), decode_of(run))
            strata.setdefault(key, []).append((run, encoder, records))
    found = []
    for (task, *_, more, decode), many in strata.items():
        arms: dict[Any, list[tuple[StoredRun, Record]]] = {}
        for run, encoder, records in many:
            whole = (source_of(run), records[0].weights) if run.settings else (id(run),)
            arms.setdefault((encoder, *whole), []).extend((run, r) for r in records)
        names = _named([(key[0], points[0][0].name) for key, points in arms.items()])
        at = " · ".join([place_of_points(asked), *(_said(*one) for one in more), *_differing(runs, dict(decode))])
        found.append(_family(task, ENCODER, at, zip(names, arms.values(), strict=True)))
    return [one for one in found if len(one.arms) > 1]


def _of_points(runs: Sequence[StoredRun], over: str, asked: Asked) -> list[Family]:
    """Sites at one readout, or readouts at one site, of one encoder.

    Where some were read by another probe than the rest all are compared by closed-form ridge.
    """
    fixed = READOUT if over == SITE else SITE
    strata: dict[Any, dict[str, tuple[StoredRun, Record]]] = {}
    for run in runs:
        for r in points_of(run, asked):
            key = (r.task, r.encoder, r.weights, getattr(r, fixed), r.plan_key, r.data_key,
                   tuple(sorted(held(run).items())), decode_of(run))  # fmt: skip
            strata.setdefault(key, {}).setdefault(getattr(r, over), (run, r))
    found = []
    for (task, encoder, _, place, *_, more, decode), arms in strata.items():
        said = [encoder, place, *(_said(*one) for one in more), *_differing(runs, dict(decode))]
        if len({r.probe for _, r in arms.values()}) > 1:  # from 200 groups on those of the headline have another
            ridge = {name: (run, made) for name, (run, r) in arms.items() if (made := at_map(r)) is not None}
            if len(ridge) == len(arms):
                arms, said = ridge, [*said, BY_RIDGE]
        found.append(_family(task, over, " · ".join(said), ((name, [point]) for name, point in arms.items())))
    return [one for one in found if len(one.arms) > 1]


def _of_flag(runs: Sequence[StoredRun], over: str, asked: Asked) -> list[Family]:
    """One encoder, at the best of its points, in runs that differ in one flag alone."""
    strata: dict[Any, dict[str, list[tuple[StoredRun, Record]]]] = {}
    for run in runs:
        for (task, encoder), records in of_run(run, asked).items():
            first = records[0]
            pixels = None if over in DECODE else first.data_key  # the plan holds that the items are the same
            weights = first.weights if over not in OF_NETWORK else _checkpoint(run, first)
            decode = tuple(one for one in decode_of(run) if one[0] != over)
            key = (task, encoder, weights, first.plan_key, pixels, tuple(sorted(held(run, (over,)).items())), decode)
            name = _probe_name(records) if over == "probe" else flag_of(run, over)
            strata.setdefault(key, {}).setdefault(name, []).extend((run, r) for r in records)
    found = []
    for (task, encoder, *_, more, decode), arms in strata.items():
        words = [encoder, place_of_points(asked), *(_said(*one) for one in more), *_differing(runs, dict(decode))]
        unique = {name: _once(points) for name, points in arms.items()}
        found.append(_family(task, over, " · ".join(words), unique.items()))
    return [one for one in found if len(one.arms) > 1]


def _checkpoint(run: StoredRun, record: Record) -> tuple[str, ...]:
    """Which weights an encoder has, but not in which precision or for which image size, as their fingerprint says."""
    given = flags_of(run)
    plain = ", ".join(part for part in record.weights.split(", ") if not FLAGS_SAID.fullmatch(part))
    return plain, given.get("weights", ""), given.get("other_weights", "")


def _once(points: Sequence[tuple[StoredRun, Record]]) -> list[tuple[StoredRun, Record]]:
    """Points whose cells are different."""
    return list({record.cell: (run, record) for run, record in reversed(points)}.values())[::-1]


def _family(task: str, over: str, at: str, arms: Any) -> Family:
    return Family(task=task, over=over, at=at, arms=tuple(Arm(name=n, points=tuple(_once(many))) for n, many in arms))


def of_run(run: StoredRun, asked: Asked) -> dict[tuple[str, str], list[Record]]:
    """The points of a run that are asked for, by question and encoder."""
    found: dict[tuple[str, str], list[Record]] = {}
    for r in points_of(run, asked):
        found.setdefault((r.task, r.encoder), []).append(r)
    return found


def decode_of(run: StoredRun) -> tuple[tuple[str, str], ...]:
    """How a run's files became pixels, as far as flags say it."""
    return tuple((name, flag_of(run, name)) for name in DECODE)


def _differing(runs: Sequence[StoredRun], decode: Mapping[str, str]) -> list[str]:
    """The decode flags that not all runs share, as they are here."""
    return [_said(n, value) for n, value in decode.items() if len({flag_of(run, n) for run in runs}) > 1]


def _said(flag: str, value: str) -> str:
    return f"{flag.replace('_', ' ')} {value}"


def place_of_points(asked: Asked) -> str:
    """Where encoders are read, in words."""
    if not (asked.site or asked.readout):
        return BEST
    one = len(asked.site) == 1 and not asked.site[0].endswith("*") and len(asked.readout) == 1
    where = "/".join(filter(None, (" ".join(asked.site), " ".join(asked.readout))))
    return where if one else f"{BEST} of {where}"


def _probe_name(records: Sequence[Record]) -> str:
    """The probe of a run's headline: from 200 groups on the other points are screened by another."""
    return next((r.probe for r in records if not r.screened), records[0].probe)


def _named(names: Sequence[tuple[str, str]]) -> list[str]:
    """One name for each (encoder, run): the encoder's, with the run's where several have it."""
    encoders = [encoder for encoder, _ in names]
    whole = [e if encoders.count(e) == 1 else f"{e} ({run})" for e, run in names]
    return [one if whole.count(one) == 1 else f"{one} #{whole[: i + 1].count(one)}" for i, one in enumerate(whole)]
