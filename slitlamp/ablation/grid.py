"""A grid of questions: read from TOML, spelled out into cells, and put together into runs of `linear_probe`.

A cell is one value for every axis. Cells that agree in everything but encoder, task, site and readout are one run, as
`linear_probe` takes lists of these, so that its correction for the search holds over all of them.
"""

import fnmatch
import hashlib
import itertools
import json
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins import hint
from slitlamp.api import typed
from slitlamp.encoding.encoder import LABEL
from slitlamp.errors import UsageError
from slitlamp.settings import FLAGS, OF_MAPS, UNSAID, Settings, checked, portable
from tasks import load as load_task

SECTIONS = ("fixed", "grid", "zip", "exclude")
LISTS = ("encoder", "task", "site", "readout")  # what one run of linear_probe takes several of
FILES = ("data", "pool")
UNNAMED = ("offline", "batch_size", *UNSAID)  # what does not tell the folder of one run from another's
WIDEST = 24  # characters of a value in the name of a run
LONGEST = 80  # characters of the name of a run


@dataclass(frozen=True)
class Together:
    """Several names that stand in inner brackets: one setting, which stays a run of its own."""

    names: tuple[str, ...]


Cell = dict[str, Any]  # a value, or a Together, by axis


@dataclass(frozen=True, kw_only=True)
class GridRun:
    """A run of `linear_probe` that the grid holds.

    `axes` holds its values by axis, several for those that one run takes as lists; `folder` is where it is written,
    below the grid's.
    """

    name: str
    folder: str
    settings: Settings
    axes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What a grid asks: its axes with their values, the runs that answer it, and how many cells that is."""

    source: str
    axes: Mapping[str, Sequence[Any]]
    runs: Sequence[GridRun]
    cells: int
    excluded: int
    notes: Sequence[str]
    document: Mapping[str, Any]


def read_grid(path: str, most: int) -> Grid:
    """The grid of a TOML file.

    Raises:
        UsageError: it cannot be read, is no TOML, or no grid; see `grid_of`.
    """
    where = f"--config {path}"
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise UsageError(f"{where} cannot be read: a folder, pipe, socket or device, which is no regular file")
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise UsageError(f"{where} is nested deeper than any grid") from None
    except OSError as error:
        beside = [one.name for one in Path(path).parent.glob("*.toml")] if Path(path).parent.is_dir() else []
        near = hint(Path(path).name, beside) if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"{where} cannot be read: {error.strerror}" + f"; {near}".rstrip("; ")) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{where} is not TOML: {error}") from None
    return grid_of(document, where, most)


def grid_of(document: Mapping[str, Any], where: str, most: int) -> Grid:
    """The grid of a mapping with the sections fixed, grid, zip and exclude.

    Raises:
        UsageError: a section, key or value that is none, two cells that are alike, more than `most`, or settings that
        do not fit together; in one line that begins with `where`.
    """
    fixed, axes, zipped, excludes = _sections(document, where)
    values = {name: list(many) for name, many in axes.items()}
    values |= {name: list(many) for group in zipped for name, many in group.items()}
    factors = [[{name: value} for value in many] for name, many in axes.items()]
    factors += [[dict(zip(group, row, strict=True)) for row in zip(*group.values(), strict=True)] for group in zipped]
    product = math.prod(len(factor) for factor in factors)
    if product > most:
        lengths = " x ".join(str(len(factor)) for factor in factors)
        raise UsageError(
            f"{where} spells out to {product:,} cells ({lengths}), more than --most {most:,}; name fewer values, zip "
            "axes that go together, or give a greater --most"
        )
    every: list[Cell] = [dict(itertools.chain(*(part.items() for part in row))) for row in itertools.product(*factors)]
    kept = _without(every, excludes, values, where)
    _different(kept, where)
    whole = [fixed | cell for cell in kept]
    groups = _alike_but_lists(whole)
    parts = [part for members in groups for part in _whole_products(members)]
    runs = _named([_merged(part, values) for part in parts], where)
    notes = []
    if len(parts) > len(groups):
        notes.append(
            f"what is excluded leaves encoders or tasks with different points, so that {len(parts)} runs stand where "
            f"{len(groups)} would: each pays for the search over its own encoders and tasks alone"
        )
    return Grid(
        source=where,
        axes={name: [_plain(value) for value in many] for name, many in values.items()},
        runs=runs,
        cells=len(kept),
        excluded=len(every) - len(kept),
        notes=notes,
        document=document,
    )


def labels_of(settings: Settings) -> dict[str, str]:
    """The encoders of a run as they were asked for, by the names they have in it."""
    found = {}
    for entry in settings.encoder.encoder:
        labelled = None if os.path.isfile(entry) else LABEL.fullmatch(entry)  # noqa: PTH113 - pathlib raises of long names
        found[labelled[1] if labelled else entry] = entry
    return found


def narrowed(settings: Settings, encoders: Sequence[str], tasks: Sequence[str], **more: Any) -> Settings:
    """The settings of a run for some of its encoders and tasks, without what is of the others alone.

    That are weights of other encoders, and the flags of a column of answers where no task left reads one.
    """
    every = labels_of(settings)
    kept = (None, *(label for label, entry in every.items() if entry in encoders))
    weights = [entry for entry in settings.encoder.weights if owner_of(entry, every) in kept]
    left = [load_task(name) for name in tasks]
    if all(task.makes_answers for task in left):
        more = {"label": None} | more
    if not any(task.name == "label" for task in left):
        more = {"classes": False, "number": False, "not_missing": ()} | more
    return settings.but(encoder=tuple(encoders), task=tuple(tasks), weights=tuple(weights), **more)


def owner_of(entry: str, labels: Mapping[str, Any]) -> str | None:
    """The encoder that a NAME=PATH of --weights names, None where it names none of them."""
    return next((n for n in sorted(labels, key=len, reverse=True) if entry.startswith(f"{n}=")), None)


# what stands in the document


def _sections(
    document: Mapping[str, Any], where: str
) -> tuple[Cell, dict[str, list[Any]], list[dict[str, list[Any]]], list[dict[str, list[Any]]]]:
    """The flags that are fixed, the axes, the axes that go together and what is excluded, each value checked."""
    for key in document:
        if key not in SECTIONS:
            name = _spelled(str(key))
            said = f"a flag stands under [fixed], or as a list under [grid]: {key}" if name in FLAGS else ""
            raise UsageError(
                f"{where}: unknown section {key!r}; {said or hint(str(key), SECTIONS)}"
                + ("" if said else f"there are {', '.join(SECTIONS)}")
            )
    seen: dict[str, str] = {}
    fixed: Cell = {}
    for key, value in _table(document, "fixed", where).items():
        name = _flag(key, "[fixed]", where, seen)
        fixed[name] = _setting(name, value, f"{where}: [fixed]", several=True)
    axes = {}
    for key, many in _table(document, "grid", where).items():
        name = _flag(key, "[grid]", where, seen)
        axes[name] = _axis(name, many, f"{where}: [grid]")
    zipped = []
    for one in _tables(document, "zip", where):
        group = {}
        for key, many in one.items():
            name = _flag(key, "[[zip]]", where, seen)
            group[name] = _axis(name, many, f"{where}: [[zip]]", once=False)
        lengths = {name: len(many) for name, many in group.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            raise UsageError(f"{where}: [[zip]] takes its axes together, value by value, and they differ: {said}")
        rows = [tuple(_canonical(name, value) for name, value in zip(group, row, strict=True))
                for row in zip(*group.values(), strict=True)]  # fmt: skip
        twice = next((k for k, row in enumerate(rows) if row in rows[:k]), None)
        if twice is not None:
            said = ", ".join(f"{name} = {_plain(many[twice])!r}" for name, many in group.items())
            raise UsageError(f"{where}: [[zip]] takes {said} together twice: two cells would be alike; leave one out")
        if group:
            zipped.append(group)
    if not axes and not zipped:
        raise UsageError(
            f'{where} has no axis: give some under [grid], as in `[grid]` and `encoder = ["phantom-clip", "pixels"]`'
        )
    known = [*axes, *(name for group in zipped for name in group)]
    return fixed, axes, zipped, [_pattern(one, known, where) for one in _tables(document, "exclude", where)]


def _table(document: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = document.get(name, {})
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: {name} is a table of flags: write [{name}] and the flags below it")
    return found


def _tables(document: Mapping[str, Any], name: str, where: str) -> Sequence[Mapping[str, Any]]:
    found = document.get(name, [])
    if not isinstance(found, list | tuple) or not all(isinstance(one, Mapping) for one in found):
        raise UsageError(f"{where}: {name} may stand several times: write [[{name}]], in two brackets")
    return found


def _spelled(key: str) -> str:
    return key.replace("-", "_")


def _flag(key: str, section: str, where: str, seen: dict[str, str]) -> str:
    """The flag that a key names, which stands nowhere else."""
    name = _spelled(str(key))
    known = [flag for flag in FLAGS if flag not in (*UNSAID, *OF_MAPS)]
    if name in UNSAID:
        raise UsageError(
            f"{where}: {section} {key} says nothing about a question; it is a flag of the command, --{key}"
            if name != "config" and name != "debug"
            else f"{where}: {section} {key} means nothing in a grid; leave it out"
        )
    if name in OF_MAPS:
        raise UsageError(
            f"{where}: {section} {key} has nothing to act on: it says where maps of attribution are to lie"
        )
    if name not in known:
        raise UsageError(f"{where}: {section} unknown key {key!r}; {hint(name, known)}a key is a flag of linear_probe")
    if name in seen:
        raise UsageError(f"{where}: {key} stands in {seen[name]} and in {section}; it can have one place")
    seen[name] = section
    return name


def _axis(name: str, many: Any, where: str, *, once: bool = True) -> list[Any]:
    """The values of an axis, with `once` none of them twice."""
    if not isinstance(many, list | tuple):
        raise UsageError(
            f"{where} {name} = {many!r}: an axis is a list, as in [{many!r}]; a single value stands under [fixed]"
        )
    if not many:
        raise UsageError(f"{where} {name} is empty: give at least one value, or leave it out")
    values = [_setting(name, value, where) for value in many]
    first: dict[Any, Any] = {}
    for given, value in zip(many, values, strict=True):
        key = _canonical(name, value)
        if once and key in first:
            same = f"{given!r} twice" if given == first[key] else f"{first[key]!r} and {given!r}, which are the same"
            raise UsageError(f"{where} {name} names {same}: two cells would be alike; leave one out")
        first[key] = given
    return values


def _setting(name: str, value: Any, where: str, *, several: bool = False) -> Any:
    """A value of a flag, of its type and among its choices; names in brackets are Together."""
    entry = FLAGS[name]
    try:
        found = typed(name, value, str(getattr(entry.type, "__name__", entry.type)))
    except UsageError as error:
        raise UsageError(f"{where} {error}") from None
    choices = entry.metadata.get("choices")
    if found is None:
        raise UsageError(f"{where} {name} = None is no value; leave it out")
    if choices and found not in choices:
        raise UsageError(f"{where} {name} = {found!r} is none of {', '.join(choices)}")
    if isinstance(found, float) and not math.isfinite(found):
        raise UsageError(f"{where} {name} = {found}: must be a finite number")
    if found == "" or found == () or (isinstance(found, tuple) and "" in found):
        raise UsageError(f"{where} {name} = {value!r} names nothing")
    if isinstance(found, tuple):
        return found[0] if isinstance(value, str | Path) and name in LISTS and not several else Together(found)
    return found


def _pattern(one: Mapping[str, Any], axes: Sequence[str], where: str) -> dict[str, list[Any]]:
    """What an exclude asks of each axis: one of several values or patterns."""
    if not one:
        raise UsageError(f"{where}: [[exclude]] names no axis, and would leave nothing")
    found = {}
    for key, value in one.items():
        name = _spelled(str(key))
        if name not in axes:
            raise UsageError(f"{where}: [[exclude]] {key!r} is no axis; {hint(name, axes)}there are {', '.join(axes)}")
        many = list(value) if isinstance(value, list | tuple) else [value]
        if not many or not all(isinstance(v, str | int | float) for v in many):
            raise UsageError(
                f"{where}: [[exclude]] {key} = {value!r}: give a value, a pattern such as block.*, or a list"
            )
        found[name] = many
    return found


# from values to cells


def _canonical(name: str, value: Any) -> Any:
    """A value in the one spelling that tells it from others."""
    value = value.names if isinstance(value, Together) else value
    names = value if isinstance(value, tuple) else (value,)
    if name == "window":
        from tasks import DataError
        from tasks.images.window import parse_window

        try:
            return repr(parse_window(str(value)))
        except (DataError, ValueError):
            return value  # what is no window is refused where windows are read
    if name in FILES:
        return os.path.normpath(str(value))
    if name == "task":
        names = [one if one.endswith(".py") else one.replace("_", "-") for one in names]
    if name in LISTS:
        return tuple(sorted(set(names)))
    return value


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    return list(value.names) if isinstance(value, Together) else value


def _without(
    cells: list[Cell], excludes: Sequence[Mapping[str, list[Any]]], values: Mapping[str, Sequence[Any]], where: str
) -> list[Cell]:
    """The cells that no exclude takes.

    Raises:
        UsageError: an exclude that takes none, or all that are left.
    """
    taken = {}
    for one in excludes:
        hits = {
            name: [_canonical(name, value) for value in values[name] if any(_fits(value, each) for each in many)]
            for name, many in one.items()
        }
        said = ", ".join(f"{name} = {_plain_list(many)}" for name, many in one.items())
        for name, found in hits.items():
            if not found:
                known = [str(_plain(value)) for value in values[name]]
                near = hint(str(one[name][0]), known)
                raise UsageError(
                    f"{where}: [[exclude]] {said} excludes nothing: {name} has {', '.join(known[:6])}"
                    + " …" * (len(known) > 6)
                    + f"; {near}".rstrip("; ")
                )
        own = {k for k, cell in enumerate(cells) if all(_canonical(n, cell[n]) in found for n, found in hits.items())}
        if not own:
            raise UsageError(f"{where}: [[exclude]] {said} excludes nothing: no cell has all of these")
        if own <= set(taken):
            raise UsageError(f"{where}: [[exclude]] {said} excludes nothing that others do not; leave it out")
        taken |= dict.fromkeys(own, said)
    kept = [cell for k, cell in enumerate(cells) if k not in taken]
    if not kept:
        raise UsageError(
            f"{where}: [[exclude]] leaves none of {len(cells)} cells: {'; '.join(dict.fromkeys(taken.values()))}"
        )
    return kept


def _plain_list(many: Sequence[Any]) -> str:
    return repr(many[0]) if len(many) == 1 else repr(list(many))


def _fits(value: Any, pattern: Any) -> bool:
    """Whether a value is what an exclude names; of several names together all must be."""
    names = value.names if isinstance(value, Together) else (value,)
    if isinstance(pattern, bool) or isinstance(value, bool):
        return value is pattern
    if isinstance(value, int | float) and isinstance(pattern, int | float):
        return value == pattern
    return all(str(one) == str(pattern) or fnmatch.fnmatchcase(str(one), str(pattern)) for one in names)


def _different(cells: Sequence[Cell], where: str) -> None:
    """Refuses two cells that are alike."""
    first: dict[Any, Cell] = {}
    for cell in cells:
        key = tuple((name, _canonical(name, cell[name])) for name in sorted(cell))
        if first.setdefault(key, cell) is not cell:
            said = ", ".join(f"{name} = {_plain(value)!r}" for name, value in cell.items())
            raise UsageError(f"{where}: two cells are alike: {said}; leave one out")


# from cells to runs


def _alike_but_lists(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that agree in everything that one run has one of; names in brackets count as one."""
    found: dict[Any, list[Cell]] = {}
    for cell in cells:
        key = tuple(
            (name, _canonical(name, value))
            for name, value in sorted(cell.items(), key=lambda one: one[0])
            if name not in LISTS or isinstance(value, Together)
        )
        found.setdefault(key, []).append(cell)
    return list(found.values())


def _whole_products(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The fewest groups of cells that each hold every combination of their encoders, tasks, sites and readouts.

    Divided by one axis at a time, those of its values together that have the same others beside them.
    """
    loose = [name for name in LISTS if isinstance(cells[0].get(name), str)]
    rows = [tuple(cell[name] for name in loose) for cell in cells]
    if math.prod(len(set(column)) for column in zip(*rows, strict=True)) == len(cells):
        return [list(cells)]
    tried = []
    for k in range(len(loose)):
        beside: dict[str, set[tuple[str, ...]]] = {}
        for row in rows:
            beside.setdefault(row[k], set()).add(row[:k] + row[k + 1 :])
        groups: dict[frozenset[tuple[str, ...]], list[Cell]] = {}
        for cell, row in zip(cells, rows, strict=True):
            groups.setdefault(frozenset(beside[row[k]]), []).append(cell)
        if len(groups) > 1:
            tried.append([part for group in groups.values() for part in _whole_products(group)])
    return min(tried, key=len)  # where no axis divides them, they hold every combination


def _merged(cells: Sequence[Cell], axes: Mapping[str, Sequence[Any]]) -> tuple[Cell, dict[str, Any], list[str]]:
    """The flags of one run, its values by axis, and the lists that the grid may still lengthen."""
    flags: Cell = {}
    loose = [name for name in LISTS if isinstance(cells[0].get(name), str)]
    for name, value in cells[0].items():
        if name in loose:
            flags[name] = tuple(dict.fromkeys(str(cell[name]) for cell in cells))
        else:
            flags[name] = value.names if isinstance(value, Together) else value
    shown = {name: list(flags[name]) if isinstance(flags[name], tuple) else flags[name] for name in axes}
    return flags, shown, loose


def _named(found: Sequence[tuple[Cell, dict[str, Any], list[str]]], where: str) -> list[GridRun]:
    """The runs under names that tell them apart, each setting that fits together."""
    every = dict.fromkeys(entry for flags, _, _ in found for entry in flags.get("encoder", ()))
    labels = labels_of(Settings.of(encoder=tuple(every)))
    varied = [
        name for name in found[0][1]
        if any(name not in loose for _, _, loose in found) or len({repr(shown[name]) for _, shown, _ in found}) > 1
    ]  # fmt: skip
    runs: list[GridRun] = []
    taken: set[str] = set()
    for flags, shown, loose in found:
        own = labels_of(Settings.of(encoder=flags.get("encoder", Settings().encoder.encoder)))
        if "weights" in flags:
            flags = flags | {"weights": tuple(w for w in flags["weights"] if owner_of(w, labels) in (None, *own))}
        try:
            settings = checked(Settings.of(**flags))
        except UsageError as error:
            said = ", ".join(f"{name} = {value!r}" for name, value in shown.items() if name in varied)
            raise UsageError(f"{where}: {error}" + f" (where {said})" * bool(said)) from None
        text = ",".join(f"{name}={_word(name, shown[name])}" for name in varied)[:LONGEST].rstrip("-,=+.") or "all"
        text += f"-{_seal(flags)}" * (text in taken)
        taken.add(text)
        seal = _seal({name: value for name, value in flags.items() if name not in (*UNNAMED, *loose)})
        runs.append(GridRun(name=text, folder=f"runs/{text}-{seal}", settings=settings, axes=shown))
    return runs


def _seal(flags: Mapping[str, Any]) -> str:
    """Six letters that stand for flags, however they are ordered."""
    text = repr(sorted((name, _canonical(name, value)) for name, value in flags.items()))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:6]


def _word(name: str, value: Any) -> str:
    """A value as it stands in the name of a folder, whatever it holds."""
    many = value if isinstance(value, list) else [value]
    words = [Path(str(one)).name if name in FILES or str(one).endswith(".py") else str(one) for one in many]
    return re.sub(r"[^A-Za-z0-9_.+]+", "-", "+".join(words)).lstrip(".")[:WIDEST].rstrip("-.") or "x"


def as_toml(document: Mapping[str, Any], *, shown: bool = False) -> str:
    """A grid as TOML, in the order of its sections; where it is `shown`, whole paths by their last part."""
    lines: list[str] = []
    for section in SECTIONS:
        found: Any = document.get(section)
        for one in [found] if isinstance(found, Mapping) else found or ():
            lines += [f"[{section}]" if isinstance(found, Mapping) else f"[[{section}]]"]
            lines += [f"{_quoted(str(key))} = {_toml(value, shown=shown)}" for key, value in one.items()] + [""]
    return "\n".join(lines)


def _toml(value: Any, *, shown: bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one, shown=shown) for one in value)}]"
    if isinstance(value, int | float):
        return repr(value)
    return _quoted(portable(str(value)) if shown else str(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def units_of(grid: Grid) -> Iterator[tuple[GridRun, str, str]]:
    """Every run, task and encoder of a grid, in an order that nothing but the grid decides."""
    for run in grid.runs:
        for task in tasks_of(run.settings):
            for encoder in run.settings.encoder.encoder:
                yield run, task, encoder


def tasks_of(settings: Settings) -> tuple[str, ...]:
    """The tasks of a run, with the one that is asked where none is named."""
    source = settings.source
    return source.task or (("label",) if source.label else ("orientation",))
