"""From a benchmark's questions to rows: their images found, joined where there are several, and grouped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks._base import DataError, Row, Source, Undecided
from tasks.benchmarks._groups import MARGIN, beside
from tasks.benchmarks._parquet import Place
from tasks.images.content import Content, picture
from tasks.images.decode import DecodePolicy, LastOpened, look
from tasks.sources.check import refuse_above
from tasks.sources.files import Listed
from tasks.sources.notes import Seen, decide, exif_decision, flags


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A question of a benchmark before its images are opened; `names` are what errors call them."""

    id: str
    group: str
    places: Sequence[Place]
    names: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What the user said besides the source: optics, and how many unreadable images are accepted."""

    policy: DecodePolicy
    unreadable: float = 0.05
    offline: bool = False


def assemble(
    name: str,
    benchmark: str,
    entries: Sequence[Entry],
    ask: Ask,
    *,
    licence: str = "unknown",
    warnings: Sequence[str] = (),
) -> Source:
    """The source that the questions make; what has no readable image is listed in its `unreadable`.

    Raises:
        DataError: an id occurs twice, or more images than `ask.unreadable` cannot be opened.
        Undecided: the images can be shown in several ways.
    """
    _unique(entries, name)
    shelf = LastOpened()
    kept: list[tuple[Entry, list[Seen]]] = []
    unreadable: list[tuple[str, str]] = []
    for entry in entries:
        try:
            kept.append((entry, _seen(entry, ask.policy, shelf)))
        except Undecided:
            raise
        except DataError as error:
            unreadable.append((entry.id, str(error)))
    refuse_above(unreadable, len(entries), ask.unreadable)
    seen = [s for _, found in kept for s in found]
    decide(seen, ask.policy)
    joined = sum(len(found) > 1 for _, found in kept)
    notes = [f"{joined} of {len(kept)} questions have several images: they are shown side by side"] if joined else []
    return Source(
        name=name,
        benchmark=benchmark,
        rows=tuple(_row(entry, found, ask.policy) for entry, found in kept),
        licence=licence,
        policy=ask.policy.policy | ({"beside": MARGIN} if joined else {}),
        unreadable=tuple(unreadable),
        warnings=(*warnings, *notes, *flags(seen, ask.policy)),
        undecided=exif_decision(seen, ask.policy),
    )


def _unique(entries: Sequence[Entry], name: str) -> None:
    known: set[str] = set()
    twice = [e.id for e in entries if e.id in known or known.add(e.id)]
    if twice:
        raise DataError(f"{name}: {len(twice)} questions have an id that occurs before; the first is {twice[0]!r}")


def _seen(entry: Entry, policy: DecodePolicy, shelf: LastOpened) -> list[Seen]:
    if not entry.places:
        raise DataError(f"{entry.id}: it holds no image")
    many = len(entry.places) > 1
    names = entry.names or [f"{entry.id} image {i}" if many else entry.id for i in range(1, len(entry.places) + 1)]
    out = []
    for place, name in zip(entry.places, names, strict=True):
        try:
            frames = look(place, policy, shelf)
        except DataError as error:
            raise type(error)(f"{name}: {error}") from error
        if len(frames) != 1:
            raise DataError(f"{name}: it holds {len(frames)} images, not one")
        out.append(Seen(file=Listed(path=place, name=name), frame=frames[0], content=Content(place)))
    return out


def _row(entry: Entry, seen: Sequence[Seen], policy: DecodePolicy) -> Row:
    pictures = tuple(picture(s.frame, s.content, policy, s.file.name) for s in seen)
    facts = seen[0].frame.columns if len(seen) == 1 else {}
    return Row(
        id=entry.id,
        group=entry.group,
        picture=pictures[0] if len(pictures) == 1 else beside(pictures),
        columns={**facts, **entry.columns},
        text=entry.text,
        pictures=pictures if len(pictures) > 1 else (),
    )
