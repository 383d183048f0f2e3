"""From a benchmark's questions to rows: images found, joined where a question has several, and grouped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from tasks._base import DataError, Picture, Row, Source, Undecided
from tasks.duplicates.components import merged_groups
from tasks.images.content import Content, picture
from tasks.images.decode import DecodePolicy, LastOpened, digest, list_frames
from tasks.images.kinds import File
from tasks.sources.check import refuse_above
from tasks.sources.files import Listed
from tasks.sources.frames import SourceFrame
from tasks.sources.notes import decide, exif_decision, flags

MARGIN = 10  # black pixels between two images of one question, as BLINK (arXiv 2404.12390) joins them


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A question of a benchmark before its images are opened; `names` are what errors call them."""

    id: str
    group: str
    files: Sequence[File]
    names: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OpenSettings:
    """How a benchmark's images are opened: the decode policy, the share of them that may be unreadable, offline."""

    policy: DecodePolicy
    unreadable: float = 0.05
    offline: bool = False


def assemble(
    name: str,
    benchmark: str,
    entries: Sequence[Entry],
    settings: OpenSettings,
    *,
    licence: str = "unknown",
    warnings: Sequence[str] = (),
) -> Source:
    """The source that the questions make; what has no readable image is listed in its `unreadable`.

    Raises:
        DataError: an id occurs twice, or more images than `settings.unreadable` cannot be opened.
        Undecided: the images can be shown in several ways.
    """
    known: set[str] = set()
    twice = [e.id for e in entries if e.id in known or known.add(e.id)]
    if twice:
        raise DataError(f"{name}: {len(twice)} questions have an id that occurs before; the first is {twice[0]!r}")
    last_opened = LastOpened()
    kept: list[tuple[Entry, list[SourceFrame]]] = []
    unreadable: list[tuple[str, str]] = []
    for entry in entries:
        try:
            kept.append((entry, _frames(entry, settings.policy, last_opened)))
        except Undecided:
            raise
        except DataError as error:
            unreadable.append((entry.id, str(error)))
    refuse_above(unreadable, len(entries), settings.unreadable)
    frames = [frame for _, found in kept for frame in found]
    decide(frames, settings.policy)
    joined = sum(len(found) > 1 for _, found in kept)
    notes = [f"{joined} of {len(kept)} questions have several images: they are shown side by side"] if joined else []
    return Source(
        name=name,
        benchmark=benchmark,
        rows=tuple(_row(entry, found, settings.policy) for entry, found in kept),
        licence=licence,
        policy=settings.policy.policy | ({"beside": MARGIN} if joined else {}),
        unreadable=tuple(unreadable),
        warnings=(*warnings, *notes, *flags(frames, settings.policy)),
        undecided=exif_decision(frames, settings.policy),
    )


def _frames(entry: Entry, policy: DecodePolicy, last_opened: LastOpened) -> list[SourceFrame]:
    if not entry.files:
        raise DataError(f"{entry.id}: it holds no image")
    many = len(entry.files) > 1
    names = entry.names or [f"{entry.id} image {i}" if many else entry.id for i in range(1, len(entry.files) + 1)]
    out = []
    for file, name in zip(entry.files, names, strict=True):
        try:
            frames = list_frames(file, policy, last_opened)
        except DataError as error:
            raise type(error)(f"{name}: {error}") from error
        if len(frames) != 1:
            raise DataError(f"{name}: it holds {len(frames)} images, not one")
        out.append(SourceFrame(file=Listed(path=file, name=name), frame=frames[0], content=Content(file)))
    return out


def _row(entry: Entry, frames: Sequence[SourceFrame], policy: DecodePolicy) -> Row:
    pictures = tuple(picture(f.frame, f.content, policy, f.file.name) for f in frames)
    facts = frames[0].frame.columns if len(frames) == 1 else {}
    return Row(
        id=entry.id,
        group=entry.group,
        picture=pictures[0] if len(pictures) == 1 else side_by_side(pictures),
        columns={**facts, **entry.columns},
        text=entry.text,
        pictures=pictures if len(pictures) > 1 else (),
    )


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """One picture with all of them from left to right, centred in height, ten black pixels between."""
    return Picture(read=partial(_joined, tuple(pictures)), identity=partial(_joined_identity, tuple(pictures)))


def _joined(pictures: Sequence[Picture]) -> np.ndarray:
    images = [p.read() for p in pictures]
    colour = any(i.ndim == 3 for i in images)
    h, w = max(i.shape[0] for i in images), sum(i.shape[1] for i in images) + MARGIN * (len(images) - 1)
    out = np.zeros((h, w, 3) if colour else (h, w), np.uint8)
    x = 0
    for image in images:
        y = (h - image.shape[0]) // 2
        out[y : y + image.shape[0], x : x + image.shape[1]] = image[..., None] if colour and image.ndim == 2 else image
        x += image.shape[1] + MARGIN
    return out


def _joined_identity(pictures: Sequence[Picture]) -> str | None:
    parts = [p.identity for p in pictures]
    known = [p for p in parts if p is not None]
    return digest("beside", str(MARGIN), *known) if len(known) == len(parts) else None


def by_content(source: Source) -> Source:
    """The source with one group for all rows that share an image, byte for byte."""
    images = [[p.identity or row.id for p in row.pictures or (row.picture,)] for row in source.rows]
    groups = merged_groups([row.group for row in source.rows], images)
    return replace(source, rows=tuple(replace(row, group=g) for row, g in zip(source.rows, groups, strict=True)))
