"""Questions: a task put to a source, with its items, labels and groups, and unlabelled images of the same kind."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import tasks
from cache import Store
from probes import FeatureSet
from probes.stats.numbers import cautions, far_values
from probes.stats.plan import check_classes
from slitlamp.duplicates.answers import check_labels, other_images
from slitlamp.duplicates.guard import Copies, resolve_duplicates
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.keys import digest
from slitlamp.settings import SourceSettings
from slitlamp.sources import check_source, list_source, open_source, read_labels, unused_label
from tasks import DataError, Item, Row, Source, Task
from tasks.label import place_of
from tasks.sources.values import repeated_marks


@dataclass(frozen=True, kw_only=True)
class Question:
    """A task put to a source: items with their answers, groups and pictures.

    `y` is int64 class indices, or float64 numbers when `classes` is None. `copies` names the image that each
    item is a copy of, None where a task makes no copies. `pool` holds the unlabelled pictures of --pool.
    """

    name: str
    task: Task
    source: Source
    ids: tuple[str, ...]
    groups: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...] | None
    pictures: ImageSet
    limited: bool
    copies: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    pool: "Pool | None" = None
    names_of_marks: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)  # see `facts_of`
    evidence: tuple[Mapping[str, Any], ...] = ()  # of each item, where one has any: see `tasks.Item`
    unmarked: set[str] = field(default_factory=set)  # encoders whose crop leaves a mark out
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def data_key(self) -> str:
        """What the answers rest on: pixels, answers, groups and ids, in order."""
        if "data_key" not in self.memo:
            answers = [float(v) for v in self.y]
            self.memo["data_key"] = digest(
                [self.pictures.contents, answers, [str(g) for g in self.groups], list(self.ids), self.classes]
            )
        return self.memo["data_key"]

    def features(self, x: np.ndarray) -> FeatureSet:
        """Features, or scores, [n, d] of the items with their answers, as probes take them."""
        return FeatureSet(x=x, y=self.y, groups=self.groups, ids=self.ids, classes=self.classes)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Unlabelled pictures to mix planted directions of, none of a group that is asked, and their decode policy."""

    pictures: ImageSet
    source: Source


Opened = dict[SourceSettings, tuple[Source, Source]]  # as it was listed, and as it was checked


def ask(settings: SourceSettings, store: Store, opened: Opened | None = None) -> list[Question]:
    """Every task of the command line put to its source; `opened` holds the last one, which is not opened twice."""
    names = settings.task or (("label",) if settings.label else ("orientation",))
    asked = [tasks.load(name) for name in names]
    unused_label(settings, asked)
    asked = read_labels(settings, asked)
    shared = None
    if settings.data is not None:
        opened = {} if opened is None else opened
        key = replace(settings, task=(), classes=False, number=False, not_missing=(), offline=False)
        found, shared = opened.get(key) or (list_source(settings, settings.data, store), None)
        for task in asked:
            if task.name == "label":  # what columns and groups alone decide is decided before an image is decoded
                _require_classes(
                    list(task.items(found, np.random.default_rng([settings.seed, 1]), settings.label)), task, settings
                )
        if shared is None:
            copies = Copies(store=store)
            shared = resolve_duplicates(check_source(found, copies, settings.unreadable), copies, settings)
            opened.clear()  # that of another run need not lie in memory any longer
            opened[key] = (found, shared)
    return [_question(settings, task, shared, store) for task in asked]


def _require_classes(items: Sequence[Item], task: Task, settings: SourceSettings) -> None:
    """Raises ProbeError where one class is found, one in too few groups, or more than can be measured."""
    if settings.limit is not None or not items:
        return  # the plan says so of what is left
    items = drawn(items, settings)
    y, classes = _answers(task, items, own=False)
    if classes is not None:
        check_classes(y, [item.group for item in items], classes)


def _question(settings: SourceSettings, task: Task, shared: Source | None, store: Store) -> Question:
    if shared is not None:
        source = shared
    elif task.phantoms is None:
        raise UsageError(f"task {task.name} has no phantoms: say --data SOURCE")
    else:
        source = task.phantoms(min(settings.items, settings.limit or settings.items), settings.seed)
    rng = np.random.default_rng([settings.seed, 1])
    items = list(task.items(source, rng, settings.label))
    if not items:
        raise DataError(f"task {task.name} finds no item in {source.name}")
    every = len(items)
    items = drawn(items, settings)
    name = f"{task.name} {settings.label}" if task.name == "label" else task.name
    warnings = check_labels(items, source, Copies(store=store), name, settings)
    y, classes = _answers(task, items, own=bool(source.benchmark))
    marks = _marks(items, classes)
    pool, more = _pool(settings, task, source, store, classes)
    said = task.notes(source, settings.label) if task.notes else ()
    warnings = (*source.warnings, *warnings, *said, *more, *_few_marks(items, marks), *_far(items, source, classes))
    return Question(
        name=name,
        task=task,
        source=source,
        ids=tuple(item.id for item in items),
        groups=np.array([item.group for item in items]),
        y=y,
        classes=classes,
        pictures=ImageSet(
            volumes=settings.volumes,
            pictures=[i.picture for i in items],
            names=[i.id for i in items],
            store=store,
            marks=_mark_points(items, marks),
        ),
        names_of_marks=marks,
        evidence=tuple(item.evidence for item in items) if any(item.evidence for item in items) else (),
        limited=settings.limit is not None,
        copies=_copies(items),
        warnings=warnings,
        facts=facts_of(name, source, items, settings, classes=classes, notes=warnings, undrawn=every - len(items)),
        pool=pool,
    )


def drawn(items: Sequence[Item], settings: SourceSettings) -> list[Item]:
    """The items of the groups that --take-groups draws, all of them without it.

    The groups are put into a random order by the seed and the draw; the first are taken, so that each number of groups
    holds those of every smaller one.

    Raises:
        DataError: more groups are asked for than there are.
    """
    if settings.take_groups is None:
        return list(items)
    groups = sorted({item.group for item in items})
    if settings.take_groups > len(groups):
        raise DataError(f"--take-groups {settings.take_groups}: there are {len(groups)} groups")
    order = np.random.default_rng([settings.seed, 3, settings.draw]).permutation(len(groups))
    taken = {groups[i] for i in order[: settings.take_groups]}
    return [item for item in items if item.group in taken]


def facts_of(
    name: str,
    source: Source,
    items: Sequence[Item],
    settings: SourceSettings,
    *,
    classes: Sequence[str] | None,
    notes: Sequence[str] = (),
    undrawn: int = 0,
) -> dict[str, Any]:
    """Who is asked, how often, with which answers and in how many groups, and what is left out, for the record.

    `classes` counts items by class, or `range` holds the least, the median and the greatest number; the other is None.
    `left_out` counts by reason, `decode` says how files became pixels, `images` the
    pictures that the items are, or are copies of.
    """
    rows = {row.id for row in source.rows}
    images = {item.id if item.id in rows else item.id.rpartition(":")[0] or item.id for item in items}
    without = len(rows - images) if images <= rows and not undrawn else 0  # a user's own task may make other items
    left_out = {
        f"without {settings.label}" if settings.label else "not asked by the task": without,
        "unreadable": len(source.unreadable),
        "not drawn": undrawn,
    }
    counts = Counter(str(item.label) for item in items)
    numbers = [] if classes is not None else [float(item.label) for item in items]
    return {
        "task": name,
        "source": source.name,
        "items": len(items),
        "images": len(images),
        "groups": len({item.group for item in items}),
        "classes": None if classes is None else {one: counts[one] for one in classes},
        "range": [min(numbers), float(np.median(numbers)), max(numbers)] if numbers else None,
        "left_out": {reason: count for reason, count in left_out.items() if count},
        "limited": settings.limit is not None,
        "decode": dict(source.policy),
        "notes": list(notes),
    }


def _far(items: Sequence[Item], source: Source, classes: Sequence[str] | None) -> list[str]:
    """Sentences about numbers that look like typing errors or marks of missing values, and about a long tail."""
    if classes is not None or source.synthetic:
        return []
    places = {row.id: place_of(row) for row in source.rows}
    values = np.array([float(item.label) for item in items])
    names, near = [places.get(item.id, f"item {item.id}") for item in items], ~far_values(values)
    return [*cautions(values, names), *repeated_marks(values[near].tolist(), [*itertools.compress(names, near)])]


def _few_marks(items: Sequence[Item], marks: Sequence[str]) -> list[str]:
    """A sentence where some items carry marks and others do not, so that nothing is read under marks."""
    if marks:
        places = [(float(m.x), float(m.y)) for item in items for m in item.marks]
        small = sum(max(place) <= 1 for place in places)
        if small == len(places):
            return [
                f"all {small} marks lie within 1 pixel of the upper left corner: x and y are pixels of the image, not "
                "shares of its size"
            ]
        return []
    counts = Counter(tuple(sorted(mark.name for mark in item.marks)) for item in items)
    if len(counts) < 2:
        return []
    (most, _), *others = counts.most_common()
    few = sum(count for _, count in others)
    names = ", ".join(most) or "none"
    return [f"{few} of {len(items)} items do not carry the marks of the others ({names}): nothing is read under marks"]


def _marks(items: Sequence[Item | Row], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the marks that every item carries, in the order of the answers they stand for; () without."""
    names = [mark.name for mark in items[0].marks]
    if len(set(names)) < len(names) or any(sorted(names) != sorted(m.name for m in item.marks) for item in items):
        return ()
    return tuple(classes) if classes and set(names) == set(classes) else tuple(names)


def _mark_points(items: Sequence[Item | Row], names: Sequence[str]) -> list[list[tuple[float, float]]]:
    """Where the marks of that name lie in each item."""
    if not names:
        return []
    points = [{m.name: (float(m.x), float(m.y)) for m in item.marks} for item in items]
    return [[point[name] for name in names] for point in points]


def _copies(items: Sequence[Item]) -> tuple[str, ...] | None:
    """The image behind each item: what stands before the turn in `image:turn`."""
    images = tuple(item.id.rpartition(":")[0] or item.id for item in items)
    return images if len(set(images)) < len(images) else None


def _answers(task: Task, items: Sequence[Item], *, own: bool) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The answers as class indices or numbers; with `own` the classes may be the benchmark's instead of the task's."""
    labels = [item.label for item in items]
    if task.unit is not None or all(isinstance(label, float) for label in labels):
        return np.array([float(label) for label in labels]), None
    found = {str(label) for label in labels}
    classes = task.classes or tuple(sorted(found))
    unknown = found - set(classes)
    if own:
        classes = tuple(sorted(found)) if unknown else tuple(c for c in classes if c in found)
    elif unknown:
        raise DataError(f"task {task.name} gave the answers {sorted(unknown)}, which are none of {list(classes)}")
    return np.array([classes.index(str(label)) for label in labels], dtype=np.int64), classes


def _pool(
    settings: SourceSettings, task: Task, source: Source, store: Store, classes: Sequence[str] | None
) -> tuple[Pool | None, tuple[str, ...]]:
    """Unlabelled pictures of --pool, None without one, and sentences about them."""
    if settings.pool is None:
        return None, ()
    given, grouped = open_source(settings, settings.pool, store), settings.group is not None
    pool, warnings = other_images(given, source, Copies(store=store), grouped=grouped)
    if task.makes_answers or (settings.label is None and pool.benchmark):
        # a task that makes its own answers sees the pool as it sees the data: every copy it would ask about
        rng = np.random.default_rng([settings.seed, 2])
        members: Sequence[Item | Row] = list(task.items(pool, rng, None))
    else:
        members = pool.rows
    pictures = ImageSet(
        volumes=settings.volumes,
        pictures=[m.picture for m in members],
        names=[m.id for m in members],
        store=store,
        marks=_mark_points(members, _marks(members, classes)),
    )
    return Pool(pictures=pictures, source=pool), warnings
