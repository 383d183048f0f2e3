"""Images and their features at one point of each encoder: what every question about pairs starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

import tasks
from plugins import hint
from slitlamp.duplicates.guard import Copies
from slitlamp.encoding.encoder import StoredEncoder, resolve_device
from slitlamp.encoding.fill import encode_missing
from slitlamp.encoding.images import ImageSet
from slitlamp.errors import UsageError
from slitlamp.probing.words import synthetic
from slitlamp.settings import Settings
from slitlamp.sources import open_source, reading_of
from tasks import DataError, Row, Source, item_id, label
from tasks.sources.values import is_missing

if TYPE_CHECKING:
    from cache import Store

PREFERRED = ("joint", "pooled")  # sites whose one vector stands for the image, best first


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """The images of a source in the order of their ids, with what is known of each.

    `groups` are the patients or other groups; `copies` int [n] numbers clusters of copies of one image, each image
    that is no copy by itself; `reading` says how answers are read. The order does not depend on that of the files.
    """

    source: Source
    rows: Sequence[Row]
    pictures: ImageSet
    copies: np.ndarray
    reading: label.Reading

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {row.id: k for k, row in enumerate(self.rows)}

    @property
    def ids(self) -> list[str]:
        """The id of each image."""
        return [row.id for row in self.rows]

    @property
    def groups(self) -> np.ndarray:
        """The group of each image, text [n]."""
        return np.array([row.group for row in self.rows])

    def notes(self, asked: "Sequence[StoredEncoder]") -> list[str]:
        """What must be said of the images and of the encoders that were asked: warnings, and what is synthetic."""
        trained = [one.label for one in asked if one.card.synthetic]
        made = synthetic("images" * self.source.synthetic, f"the weights of {', '.join(trained)}" if trained else "")
        count = len(set(self.groups))
        return [f"{len(self)} images in {count} group{'s' * (count != 1)}", *self.source.warnings, *made]

    def place(self, name: str) -> int:
        """Where an image stands, by its id or by its file's name as the source spells it; DataError where none does."""
        known = self._by_id
        if name in known:
            return known[name]
        if item_id(name) in known:
            if item_id(name, 2) in known or item_id(name, 1, 1) in known:
                raise DataError(f"{name!r} holds several images of {self.source.name}; name one by its id")
            return known[item_id(name)]
        raise DataError(
            f"no image {name!r} in {self.source.name}; {hint(name, known)}an image is named by the id that `pairs "
            "mine` writes, or by its file as the source spells it"
        )

    def __contains__(self, name: str) -> bool:
        try:
            self.place(name)
        except DataError:
            return False
        return True

    def take(self, places: Sequence[int]) -> "Images":
        """Some of the images."""
        rows = [self.rows[k] for k in places]
        pictures = ImageSet(
            pictures=[row.picture for row in rows], names=[row.id for row in rows], store=self.pictures.store
        )
        return replace(self, rows=rows, pictures=pictures, copies=self.copies[list(places)])

    def column(self, name: str) -> list[str]:
        """What a column holds for each image, empty where it holds nothing; DataError for one that is not there."""
        known = list(dict.fromkeys(c for row in self.rows for c in row.columns))
        if name not in known:
            raise DataError(
                f"{self.source.name} has no column {name!r}; {hint(name, known)}it has {', '.join(known) or 'none'}"
            )
        texts = [row.columns.get(name, "").strip() for row in self.rows]
        return ["" if is_missing(text) else text for text in texts]

    def answers(self, name: str) -> tuple[list[str | float], tuple[str, ...]]:
        """The answer of each image in a column as --task label reads it, empty where it has none; and sentences.

        Raises:
            DataError: no such column, no answer in it, or answers that differ only in spelling.
        """
        self.column(name)  # refused by its name, not by a flag's
        found = label.read(replace(self.source, rows=tuple(self.rows)), name, self.reading)
        told = {row.id: value for row, value in found.rows}
        return [told.get(row.id, "") for row in self.rows], found.notes


def open_images(settings: Settings, store: "Store") -> Images:
    """The images that `--data` names, or phantoms of the task; each decoded once, copies found."""
    asked = settings.source
    copies = Copies(store=store)
    if asked.data is not None:
        source = open_source(asked, asked.data, store)
    else:
        name = asked.task[0] if asked.task else "orientation"
        task = tasks.load(name)
        if task.phantoms is None:
            raise UsageError(f"task {task.name} has no phantoms: say --data SOURCE")
        source = task.phantoms(min(asked.items, asked.limit or asked.items), asked.seed)
    rows = sorted(source.rows, key=lambda row: row.id)
    if len(rows) < 2:
        raise DataError(f"{source.name} holds {len(rows)} image{'s' * (len(rows) != 1)}; a pair needs two")
    said = []
    if source.unreadable:
        said.append(f"{len(source.unreadable)} of {len(rows) + len(source.unreadable)} images cannot be read; left out")
    if asked.limit is not None and len(rows) + len(source.unreadable) >= asked.limit:
        said.append(f"LIMITED to {asked.limit} images by --limit")
    source = replace(source, warnings=(*source.warnings, *said))
    cluster = np.arange(len(rows))
    if not source.synthetic:
        for one in copies.groups(rows).clusters:
            cluster[list(one.members)] = min(one.members)
    pictures = ImageSet(pictures=[row.picture for row in rows], names=[row.id for row in rows], store=store)
    reading = reading_of(asked)
    return Images(source=source, rows=rows, pictures=pictures, copies=cluster, reading=reading)


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """The features [n, d] of all images at one point of an encoder, and how to come by those of others."""

    encoder: StoredEncoder
    site: str
    readout: str
    width: int
    x: np.ndarray
    encoded: int

    @property
    def name(self) -> str:
        """What tables call it: the encoder, and the point."""
        return f"{self.encoder.label} {self.site}/{self.readout}"

    def of(self, pictures: ImageSet, source: Source) -> np.ndarray:
        """Features [m, d] of other pictures at the same point."""
        found = encode_missing(self.encoder, pictures, [(self.site, self.readout, self.width)], source.policy)
        return found.read(f"{self.site}/{self.readout}")


def embed(spec: str, settings: Settings, images: Images, store: "Store") -> Embedded:
    """Features of the images at one point of an encoder: of --site and --readout, or its joint or pooled vector."""
    encoder = stored(spec, settings, store)
    asked = settings.encoder
    point = chosen_point(encoder, next(iter(asked.site), None), next(iter(asked.readout), None))
    found = encode_missing(encoder, images.pictures, [point], images.source.policy)
    return Embedded(
        encoder=encoder, site=point[0], readout=point[1], width=point[2], encoded=found.encoded,
        x=found.read(f"{point[0]}/{point[1]}"),
    )  # fmt: skip


def stored(spec: str, settings: Settings, store: "Store") -> StoredEncoder:
    """An encoder as the settings ask for it, by the name that it has in the run."""
    device = resolve_device(settings.encoder.device)
    return StoredEncoder(spec=spec, settings=settings.encoder, store=store, device=device, dtype=settings.encoder.dtype)


def chosen_point(encoder: StoredEncoder, site: str | None, readout: str | None) -> tuple[str, str, int]:
    """The (site, readout, width) that is meant: the joint or pooled vector where none is named."""
    import encoders

    every = encoders.points(encoder.card, 0)
    sites, readouts = list(dict.fromkeys(p[0] for p in every)), list(dict.fromkeys(p[1] for p in every))
    for what, given, known in (("site", site, sites), ("readout", readout, readouts)):
        if given is not None and given not in known:
            raise UsageError(f"{encoder.label} has no {what} {given!r}; {hint(given, known)}it has {', '.join(known)}")
    if site is None:
        site = next((s for s in PREFERRED if s in sites), sites[-1])
    fitting = [p for p in every if p[0] == site and readout in (None, p[1])]
    if not fitting:
        there = ", ".join(p[1] for p in every if p[0] == site)
        raise UsageError(f"{encoder.label} does not read {site} by {readout}; it reads it by {there}")
    return next((p for p in fitting if p[1] in ("vector", "mean")), fitting[0])
