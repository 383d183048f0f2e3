"""What is right for every item that answers may name: by a benchmark, a task and its data, or the file itself."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import tasks
from encoders.answering.prompts import LETTERS
from slitlamp.answers.formats import Record
from slitlamp.errors import UsageError
from slitlamp.settings import Settings, SourceSettings, portable
from tasks import DataError, Row, Source
from tasks.benchmarks import mediconfusion
from tasks.images.kinds import suffix
from tasks.sources.values import spelling

NAMING = ("item", "id", "question_id", "idx", "index", "name", "file", "filename", "file_name", "path", "image")


@dataclass(frozen=True, kw_only=True)
class Known:
    """An item: its options with other words for each, which is right (None: not known), and what it belongs to.

    `pair` and `side` name the two items that are one question with opposite answers; `categories` the labels by which
    MediConfusion's scores are split.
    """

    id: str
    group: str
    options: tuple[str, ...]
    answer: int | None
    synonyms: tuple[tuple[str, ...], ...] = ()
    task: str = ""
    pair: str = ""
    side: str = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The items that may be answered, by their id, and by other names that they go by.

    `own` says that the truth is the answers' own file's; then `items` are those that it names.
    """

    name: str
    items: Mapping[str, Known]
    names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    own: bool = False

    def find(self, name: str) -> Known | None:
        """The item of that id, of another name, or of a file (`film.png`, a copy `film.png:180`); None without one."""
        file, colon, copy = name.rpartition(":")
        ids = [name, self.names.get(name, ""), tasks.item_id(name)]
        ids += [f"{self.names.get(file, '')}:{copy}", f"{tasks.item_id(file)}:{copy}"] if colon else []
        return next((self.items[one] for one in ids if one in self.items), None)

    def called(self, known: str) -> str:
        """What the user calls the item of that id: a name that its source has for it, else the id."""
        if known in self._called:
            return self._called[known]
        row, colon, copy = known.rpartition(":")
        return f"{self._called[row]}:{copy}" if colon and row in self._called else known

    @cached_property
    def _called(self) -> dict[str, str]:
        """The first name of each item, or of the image that it is a copy of."""
        found: dict[str, str] = {}
        for name, known in self.names.items():
            found.setdefault(known, name)
        return found


def place(text: str, options: Sequence[str]) -> int | None:
    """Which option a key names, by its letter or its words; None where it is none of them.

    >>> place("(B)", ("left", "right")), place("Right.", ("left", "right")), place("C", ("left", "right"))
    (1, 1, None)
    """
    plain = spelling(text.strip())
    for number, option in enumerate(options):
        if plain == spelling(option):
            return number
    bare = text.strip().strip("()[]{}.:\"' ")
    plain = spelling(bare)
    if len(bare) == 1 and bare.upper() in LETTERS[: len(options)]:
        return LETTERS.index(bare.upper())
    for number, option in enumerate(options):
        if plain == spelling(option.strip(" .")):
            return number
    return None


def truth_of(settings: Settings) -> Truth | None:
    """The truth that --data and --task name; None where neither is given.

    Raises:
        DataError: the source cannot be read, or its answers are numbers.
        UsageError: a task that is none, or has no phantoms.
    """
    source = settings.source
    if source.data is None and not source.task:
        return None
    spec = source.data or ""
    if spec.partition(":")[0] == "mediconfusion" and not source.task and source.label is None:
        return _mediconfusion(spec)
    from slitlamp.sources import list_source, read_labels, unused_label

    if source.data is None:
        task = tasks.load(source.task[0])
        if task.phantoms is None:
            raise UsageError(f"task {task.name} has no phantoms: say --data SOURCE")
        count = min(source.items, source.limit or source.items)
        return _asked(settings, task.phantoms(count, source.seed), task)
    opened = list_source(source, source.data)
    if not source.task and source.label is None:
        if not opened.benchmark:
            raise UsageError(
                f"--data {portable(source.data)} needs --task NAME or --label COLUMN: it is no benchmark with answers"
            )
        return _benchmark(opened)
    asked = [tasks.load(source.task[0] if source.task else "label")]
    unused_label(source, asked)
    return _asked(settings, opened, read_labels(source, asked)[0])


def _mediconfusion(spec: str) -> Truth:
    """MediConfusion's keys, read from its tables alone: no image is needed to score answers."""
    path = spec.partition(":")[2]
    folder = Path(path).expanduser()
    if not path or not folder.is_dir():
        raise DataError(f"--data {spec}: say mediconfusion:PATH; {mediconfusion.REMEDY}")
    slots = mediconfusion.read(folder / "data" if (folder / "data" / "dataset.json").is_file() else folder)
    groups = mediconfusion.linked(slots, by="article")
    found = {
        f"mediconfusion-{s.pair}-{s.side}": Known(
            id=f"mediconfusion-{s.pair}-{s.side}", group=groups[s.pair], options=s.options,
            answer="AB".index(s.correct), task="mediconfusion", pair=s.pair, side=str(s.side), categories=s.categories,
        )
        for s in slots
    }  # fmt: skip
    names = {name.removeprefix("mediconfusion-"): name for name in found}
    notes = ("groups are MediConfusion's pairs linked by image or article; its images were not read",)
    return Truth(name="mediconfusion", items=found, names=names, notes=notes)


def _benchmark(source: Source) -> Truth:
    found: dict[str, Known] = {}
    for row in source.rows:
        text: Mapping[str, Any] = row.text or {}
        options = tuple(map(str, text.get("options") or ()))
        if len(options) < 2:
            raise DataError(f"{source.name}: {row.id} has {len(options)} options; answers to it cannot be read")
        found[row.id] = Known(
            id=row.id, group=row.group, options=options, answer=place(str(text.get("answer", "")), options),
            task=row.columns.get("task") or row.columns.get("pattern") or source.benchmark,
            pair=row.columns.get("pair", ""),
            side=row.columns.get("side") or row.columns.get("index", ""),
        )  # fmt: skip
    return Truth(name=source.name, items=found, names=other_names(source.rows, found), notes=source.warnings)


def _asked(settings: Settings, source: Source, task: tasks.Task) -> Truth:
    rng = np.random.default_rng([settings.source.seed, 1])
    items = list(task.items(source, rng, settings.source.label))
    if not items:
        raise DataError(f"task {task.name} finds no item in {source.name}")
    if task.unit is not None or any(not isinstance(item.label, str) for item in items):
        raise DataError(f"task {task.name} asks for a number, not for one of several options")
    classes = task.classes or tuple(sorted({str(item.label) for item in items}))
    words = tuple(tuple(w[k] for w in task.wordings) for k in range(len(classes))) if task.wordings else ()
    name = f"label {settings.source.label}" if task.name == "label" else task.name
    found = {
        item.id: Known(
            id=item.id, group=item.group, options=classes, answer=classes.index(str(item.label)), synonyms=words,
            task=name,
        )
        for item in items
    }  # fmt: skip
    notes = (*source.warnings, *(task.notes(source, settings.source.label) if task.notes else ()))
    images = {name.rpartition(":")[0] or name for name in found}  # a copy is called by its image: `film:180`
    names = names_of(settings.source, source, images)
    return Truth(name=source.name, items=found, names=names, notes=notes)


def names_of(settings: SourceSettings, source: Source, found: Container[str]) -> dict[str, str]:
    """The ids in `found` by other names that answers may use: those of files, and of columns (`other_names`)."""
    files = {name: own for name, own in _names_of_files(settings, source).items() if own in found}
    return files | other_names(source.rows, found)


def _names_of_files(settings: SourceSettings, source: Source) -> dict[str, str]:
    """The ids of rows by the names of their files: as the source has them, without folder, and without ending.

    A name that two files share is none.
    """
    if settings.data is None or source.benchmark:
        return {}
    whole = list(dict.fromkeys(file.name for file in tasks.files_of(settings.data, settings.image_column)[0]))
    there = {row.id for row in source.rows}
    found: dict[str, str] = {}
    for folder in (True, False):
        for ending in (True, False):
            short = [_shortened(name, folder=folder, ending=ending) for name in whole]
            shared = Counter(short)
            for name, own in zip(whole, short, strict=True):
                if own and tasks.item_id(name) in there and shared[own] == 1:
                    found.setdefault(own, tasks.item_id(name))
    return found


def _shortened(name: str, *, folder: bool, ending: bool) -> str:
    """A file's name with or without its folder and its ending, of which `.nii.gz` is one."""
    head, slash, file = name.rpartition("/")
    return (head + slash if folder else "") + (file if ending else file[: len(file) - len(suffix(file))])


def other_names(rows: Iterable[Row], found: Container[str]) -> dict[str, str]:
    """The ids in `found` by other names: columns that name each row once, and files without folder and ending."""
    held = [row for row in rows if row.id in found]
    names: dict[str, str] = {}
    for column in NAMING:
        for short in (False, True):
            values = [row.columns.get(column, "") for row in held]
            values = [_shortened(v.replace("\\", "/"), folder=False, ending=False) for v in values] if short else values
            if len({v for v in values if v}) == len(held):
                names |= {v: row.id for v, row in zip(values, held, strict=True) if v not in names and v not in found}
    return names


def by_place(truth: Truth) -> dict[str, str]:
    """The items by their place in their source, from 0, as lmms-eval numbers them."""
    return {str(k): name for k, name in enumerate(truth.items)}


def truth_of_file(records: Sequence[Record], name: str) -> Truth:
    """What the answers' own file says is right; every item is a group of its own.

    Options are those that the record has; without, those of all records of its task that have any; without, the letters
    that occur as right answers and as read ones.
    """
    tasks_ = sorted({record.task for record in records})
    shared = {task: _shared([r for r in records if r.task == task]) for task in tasks_}
    found: dict[str, Known] = {}
    for record in records:
        options = record.options or shared[record.task]
        key = f"{record.task}/{record.item}"
        if key not in found or found[key].answer is None:
            answer = place(record.target, options) if record.target else None
            found[key] = Known(id=record.item, group=key, options=options, answer=answer, task=record.task)
    without = sum(one.answer is None for one in found.values())
    notes = [f"no --data: right answers are those of {name} itself, and every item is taken as a group of its own"]
    if without == len(found):
        notes = [f"{name} does not say what is right and no --data does: replies are read, and no score is made"]
    elif without:
        notes.append(f"{without} of {len(found)} items have no right answer among their options: they are not scored")
    return Truth(name=name, items=found, notes=tuple(notes), own=True)


def _shared(records: Sequence[Record]) -> tuple[str, ...]:
    sets = Counter(record.options for record in records if record.options)
    if sets:
        return sets.most_common(1)[0][0]
    keys = [text.strip("()[].: ") for r in records for text in (r.target, r.theirs or "")]
    letters = [key.upper() for key in keys if len(key) == 1 and key.upper() in LETTERS]
    if letters and all(len(key) <= 1 for key in keys):
        return tuple(LETTERS[: max(2, *(LETTERS.index(letter) + 1 for letter in letters))])
    words: dict[str, str] = {}
    for record in records:
        if record.target:
            words.setdefault(spelling(record.target), record.target)
    if 2 <= len(words) <= 10:
        return tuple(sorted(words.values()))
    raise DataError(
        "the options are not known: neither the file nor --data says them; give a column options (`upright | upside "
        "down`), or --data"
    )
