"""Presentations of a question's images: every assignment of colours to the marks, in several sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

import tasks
from cache import Store
from probes.prompts.audit import COLOURS, Presentations
from slitlamp.duplicates.answers import check_labels
from slitlamp.duplicates.guard import Copies, resolve_duplicates
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.keys import digest
from slitlamp.log import progress, say
from slitlamp.questions import facts_of
from slitlamp.reports.text import question_line
from slitlamp.settings import SourceSettings
from slitlamp.sources import open_source, read_labels, unused_label
from tasks import DataError, Item, Mark, Picture, Source, Task
from tasks.images.decode import LastOpened
from tasks.marks import detect, draw

VERSION = 1
ASSIGNMENTS = tuple(permutations(range(3)))
CODES = tuple("".join(COLOURS[c][0] for c in a) for a in ASSIGNMENTS)  # rgb: red, green, blue from left to right


@dataclass(frozen=True, kw_only=True)
class Prompted:
    """Images of a task with three coloured marks each, in the order from left to right.

    marks [n][3]: where they lie and what colour they have as they are. correct [n]: which mark is the answer.
    """

    task: Task
    source: Source
    items: tuple[Item, ...]
    marks: tuple[tuple[Mark, ...], ...]
    correct: np.ndarray
    shapes: tuple[tuple[int, int], ...]
    drawn: float  # radius of the marks as they are, ring included, as a share of the shorter side

    @property
    def groups(self) -> np.ndarray:
        """The group of each image."""
        return np.array([item.group for item in self.items])

    @property
    def homes(self) -> np.ndarray:
        """The group of each image as a number."""
        return np.unique(self.groups, return_inverse=True)[1]

    @property
    def own(self) -> np.ndarray:
        """The assignment that each image has as it is."""
        return np.array([CODES.index("".join(m.name[0] for m in marks)) for marks in self.marks])

    @property
    def label(self) -> np.ndarray:
        """The colour that is the answer to each image as it is."""
        return np.array(ASSIGNMENTS)[self.own, self.correct]


@dataclass(frozen=True, kw_only=True, eq=False)
class Showing:
    """Presentations of one size: which image [n], which assignment [n], and the pictures to encode."""

    size: float
    image: np.ndarray
    assignment: np.ndarray
    pictures: ImageSet

    def colour(self) -> np.ndarray:
        """Colour of each mark from left to right, [n, 3]."""
        return np.array(ASSIGNMENTS)[self.assignment]


def open_task(settings: SourceSettings, store: Store) -> tuple[Task, Source, tuple[Item, ...], Mapping[str, Any]]:
    """The one task of the command line with its source and items, and who is asked (`facts_of`)."""
    task = tasks.load(settings.task[0])
    unused_label(settings, [task])
    (task,) = read_labels(settings, [task])
    if settings.data is not None:
        source = resolve_duplicates(open_source(settings, settings.data, store), Copies(store=store), settings)
    elif task.phantoms is None:
        raise UsageError(f"task {task.name} has no phantoms: say --data SOURCE")
    else:
        source = task.phantoms(min(settings.items, settings.limit or settings.items), settings.seed)
    items = tuple(task.items(source, np.random.default_rng([settings.seed, 1]), settings.label))
    if not items:
        raise DataError(f"task {task.name} finds no item in {source.name}")
    predicted = check_labels(items, source, Copies(store=store), task.name, settings)
    notes = (*source.warnings, *predicted, *(task.notes(source, settings.label) if task.notes else ()))
    classes = task.classes or tuple(sorted({str(item.label) for item in items}))
    facts = facts_of(task.name, source, items, settings, classes=classes, notes=notes)
    say(question_line(facts))
    for warning in notes:
        say(f"warning: {task.name}: {warning}")
    return task, source, items, facts


def prompted(task: Task, source: Source, items: tuple[Item, ...]) -> Prompted:
    """The images' marks from left to right, found in the image where the source does not tell them."""
    labels = {str(item.label) for item in items}
    if not labels <= set(COLOURS):
        raise UsageError(
            f"task {task.name} is not answered by the colour of a mark ({', '.join(sorted(labels)[:4])}); "
            "the audit is for depth, wave-depth and their like, or for orientation"
        )
    marks, shapes, sizes = [], [], []
    with progress(len(items), "looking for marks") as bar:
        for item in items:
            image = _read(item)
            try:
                has_all_marks = {m.name for m in item.marks} == set(COLOURS)
                known = _as_given(image, item.marks) if has_all_marks else detect.find(image)
                if not sizes:
                    sizes = [detect.outer(image, m) / min(image.shape[:2]) for m in known]
            except DataError as error:
                raise DataError(f"item {item.id}: {error}") from error
            marks.append(tuple(sorted(known, key=lambda m: (m.x, m.y))))
            shapes.append(image.shape[:2])
            bar.update()
    correct = [[m.name for m in own].index(str(item.label)) for own, item in zip(marks, items, strict=True)]
    return Prompted(
        task=task, source=source, items=items, marks=tuple(marks), correct=np.array(correct), shapes=tuple(shapes),
        drawn=round(float(np.median(sizes)), 3),
    )  # fmt: skip


def _as_given(image: np.ndarray, marks: Sequence[Mark]) -> Sequence[Mark]:
    """The marks whose places are told; DataError where the disc there has another colour or is another mark's."""
    for mark in marks:
        found = detect.at(image, mark)
        seen = COLOURS[int(np.argmax(found.colour))]
        if seen != mark.name:
            raise DataError(f"the mark told to be {mark.name}, at ({mark.x:g}, {mark.y:g}), is {seen} in the image")
    return marks


def _read(item: Item) -> np.ndarray:
    try:
        return item.picture.read()
    except DataError as error:
        raise DataError(f"item {item.id}: {error}") from error


class _Base:
    """The last image that was read, with its marks measured and, when asked for, erased: six presentations share it."""

    def __init__(self) -> None:
        self.image, self.clean = LastOpened(), LastOpened()

    def measured(self, item: Item, marks: Sequence[Mark]) -> tuple[np.ndarray, list[detect.Found]]:
        """The image and its marks with radius and colour."""

        def look() -> tuple[np.ndarray, list[detect.Found]]:
            image = item.picture.read()
            return image, [detect.at(image, mark) for mark in marks]

        return self.image.get(item.id, look)

    def erased(self, item: Item, marks: Sequence[Mark]) -> np.ndarray:
        """The image without its marks."""
        image, found = self.measured(item, marks)
        return self.clean.get(item.id, lambda: detect.erased(image, found))


def shown(base: _Base, item: Item, marks: Sequence[Mark], assignment: Sequence[int], size: float | None) -> np.ndarray:
    """The image with its marks in another assignment, and redrawn with another radius (share of the shorter side)."""
    image, found = base.measured(item, marks)
    change = {mark.name: COLOURS[c] for mark, c in zip(marks, assignment, strict=True)}
    if size is None:
        return detect.recoloured(image, found, change)
    rgb = {m.name: (round(m.colour[0]), round(m.colour[1]), round(m.colour[2])) for m in found}
    moved = [Mark(name=change[m.name], x=m.x, y=m.y) for m in marks]
    return draw.draw(base.erased(item, marks), moved, reach=reach(image.shape[:2], size), colours=rgb)


def reach(shape: tuple[int, int], size: float) -> int:
    """Radius in pixels of marks of a size, at least 2."""
    return max(round(min(shape) * size), 2)


def showing(given: Prompted, size: float | None, store: Store) -> Showing:
    """All images under all six assignments; those in which marks of this size would touch are left out and told."""
    images, pictures, names, without, shared = [], [], [], [], _Base()
    for i, (item, marks, shape) in enumerate(zip(given.items, given.marks, given.shapes, strict=True)):
        if size is not None:
            try:
                draw.check(marks, reach(shape, size), *shape)
            except DataError as error:
                without.append(f"item {item.id}: {error}")
                continue
        for k, assignment in enumerate(ASSIGNMENTS):
            base = item.picture.identity
            place = [[m.name, float(m.x), float(m.y)] for m in marks]
            key = None if base is None else digest(["prompt", VERSION, base, place, assignment, size])
            read = partial(shown, shared, item, marks, assignment, size)
            pictures.append(Picture(read=read, identity=key))
            names.append(f"{item.id}:{CODES[k]}")
            images.append(i)
    if without:
        say(f"warning: {len(without)} of {len(given.items)} images left out at size {size:g}; the first: {without[0]}")
    if not images:
        raise DataError(f"marks of size {size:g} fit into none of {len(given.items)} images; give a smaller --sizes")
    places = [[(float(m.x), float(m.y)) for m in given.marks[i]] for i in images]
    return Showing(
        size=given.drawn if size is None else size,
        image=np.array(images),
        assignment=np.tile(np.arange(6), len(images) // 6),
        pictures=ImageSet(pictures=pictures, names=names, store=store, marks=places),
    )


def presentations(
    given: Prompted, image: np.ndarray, assignment: np.ndarray, predicted: np.ndarray, phase: np.ndarray | None = None
) -> Presentations:
    """What was shown and said, for the audit; `phase` [images, 3] where the place of tokens is known."""
    place = np.array(
        [[[2 * (m.x + 0.5) / w - 1, 2 * (m.y + 0.5) / h - 1] for m in own]
         for own, (h, w) in zip(given.marks, given.shapes, strict=True)]
    )  # fmt: skip
    return Presentations(
        item=image,
        colour=np.array(ASSIGNMENTS)[assignment],
        place=place[image],
        correct=given.correct[image],
        predicted=predicted,
        phase=None if phase is None else phase[image],
        group=given.homes[image],
    )
