"""What a task is: a question whose answer is known for every item, and the items that carry it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class DataError(Exception):
    """The data cannot answer as asked; the message is one line for the user (exit 3)."""


class Undecided(DataError):
    """The images can be shown in more than one way and the user has not said which (exit 3)."""


class Picture:
    """An image that is read when it is needed.

    `read()` returns uint8 [h, w] (grey), [h, w, 3] (RGB) or [d, h, w] (a volume), C-contiguous; it raises DataError.
    `identity` is a hex digest that determines the pixels without reading them (bytes of the file +
    decode policy + transforms; for a phantom its generator's version, seed and parameters): it keys a
    memo of content hashes, so a rerun need not decode. None where no such digest is cheap. It may be
    given as a function, which is called once, when the digest is first asked for.
    """

    __slots__ = ("_identity", "read")

    def __init__(
        self,
        *,
        read: Callable[[], np.ndarray],
        identity: str | Callable[[], str | None] | None = None,
    ) -> None:
        self.read = read
        self._identity = identity

    @property
    def identity(self) -> str | None:
        """The digest, computed at the first access."""
        if callable(self._identity):
            self._identity = self._identity()
        return self._identity


Mask = Callable[[], np.ndarray]  # bool [h, w] of a picture's size, or [d, h, w] of a volume; it raises DataError


def is_volume(image: np.ndarray) -> bool:
    """Whether a picture is a volume [d, h, w]; none is three pixels wide, which would be a colour image."""
    return image.ndim == 3 and image.shape[2] != 3


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point drawn or found in an image: x to the right, y down, in pixels of the decoded image."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image of a source, before any question is asked of it.

    `text` is what a benchmark asks of it: `question`, `options` (a tuple of texts) and `answer`. Where a
    question has several images, `picture` shows them side by side and `pictures` holds them apart. `place` says where
    a manifest tells of it (`row 3`), without any name; `in_folder` at which place among the files of its folder it
    lies, in natural order. `regions` are named parts of the picture, where evidence for an
    answer lies or a shortcut to it, each a function that gives its mask.
    """

    id: str  # stable, unique, holds no path and no patient identifier
    group: str
    picture: Picture
    columns: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    text: Mapping[str, Any] | None = None
    pictures: tuple[Picture, ...] = ()
    place: str = ""
    in_folder: int | None = None
    regions: Mapping[str, Mask] = field(default_factory=dict)

    def item(self, label: "str | float") -> "Item":
        """The row itself as an example, with its answer."""
        return Item(
            id=self.id, group=self.group, label=label, picture=self.picture, marks=self.marks, text=self.text,
            evidence=self.regions,
        )  # fmt: skip


def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Source:
    """Images and what is known of each.

    `rows` may make each row when it is asked for. `name` is what reports print (never an absolute path). `policy` is
    the decode policy, part of the feature key. `unreadable` lists (id, reason) of files that could not be read.
    `warnings` are
    sentences the user must see (mixed EXIF, possible leak through windows, ungrouped source …).
    `undecided` holds decisions that only some tasks need (EXIF for those that turn images); each is
    the whole error message. `benchmark` is the name of the published question set that the rows come
    from, with its own questions and answers; empty for plain images. `remember()` keeps, for a next
    run, what headers said of those pictures whose identity was asked for by now.
    """

    name: str
    rows: Sequence[Row]
    benchmark: str = ""
    synthetic: bool = False
    licence: str = "unknown"
    policy: Mapping[str, Any] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    remember: Callable[[], None] = field(default=_nothing, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One example. `label` is the class's name, or a number for a numeric target.

    `evidence` is what a row's `regions` are, for this picture: turned, cropped and flipped as it is.
    """

    id: str
    group: str
    label: str | float
    picture: Picture
    marks: tuple[Mark, ...] = ()
    text: Mapping[str, Any] | None = None
    evidence: Mapping[str, Mask] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question. `classes` is None where they come from the data (`label`); `unit` marks a number.

    `items(source, rng, column)` yields the items in a fixed order; `column` is the user's `--label`,
    None where the task makes its own labels. `phantoms(n, seed)` builds the default source of about n
    items, None where the task needs the user's data. `version` changes whenever an item would.
    `notes(source, column)` gives sentences that the user must see beside the result (rows left out).
    `makes_answers` says that the answers are the task's own (turned copies), whatever column is named.
    A model is asked the `question` and its paraphrases `asks`, with the classes' names as options, and with each of
    `wordings`, other words for the classes in their order. `facts` says for each class in a sentence what is then seen:
    told this, whoever understands the question answers it without the image.
    """

    name: str
    question: str
    classes: tuple[str, ...] | None
    version: int
    items: Callable[[Source, np.random.Generator, str | None], Iterator[Item]]
    phantoms: Callable[[int, int], Source] | None = None
    unit: str | None = None
    licence: str = "Apache-2.0"
    notes: Callable[[Source, str | None], tuple[str, ...]] | None = None
    makes_answers: bool = False
    asks: tuple[str, ...] = ()
    wordings: tuple[tuple[str, ...], ...] = ()
    facts: tuple[str, ...] = ()
