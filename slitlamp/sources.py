"""Sources as a run asks for them: files, tables or benchmarks, opened under one decode policy and checked."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import tasks
from cache import Store
from hub.objects import is_url, shown
from slitlamp.duplicates.guard import Copies
from slitlamp.encoding.remembered import Remembered
from slitlamp.errors import UsageError
from slitlamp.log import progress, say
from slitlamp.settings import SourceSettings
from tasks import Row, Source, Task, label
from tasks.sources.files import manifest_of
from tasks.sources.rows import Rows, identities, pictures_of
from tasks.sources.shards import TAR
from tasks.sources.table import TABLES


def unused_label(settings: SourceSettings, asked: Sequence[Task]) -> None:
    """Refuses a --label that no task would read, as all of them make their own answers."""
    if settings.label is None or not all(task.makes_answers for task in asked):
        return
    names = " and ".join(task.name for task in asked)
    raise UsageError(
        f"--label {settings.label} has nothing to act on: {names} make{'s' * (len(asked) == 1)} the answers by turning "
        "images; leave it out, or ask --task label"
    )


def read_labels(settings: SourceSettings, asked: Sequence[Task]) -> list[Task]:
    """The tasks, those that ask a column told how to read it; UsageError where a flag about that acts on none."""
    flags = {"classes": settings.classes, "number": settings.number, "not-missing": bool(settings.not_missing)}
    given = [f"--{name}" for name, value in flags.items() if value]
    if settings.classes and settings.number:
        raise UsageError("--classes and --number: the values of --label are either; give one of the two")
    if given and not any(task.name == label.TASK.name for task in asked):
        names = " and ".join(task.name for task in asked)
        raise UsageError(f"{given[0]} has nothing to act on: {names} knows its own answers; it is for --task label")
    how = reading_of(settings)
    return [label.reading(how) if task is label.TASK else task for task in asked]


def reading_of(settings: SourceSettings) -> label.Reading:
    """How a column of answers is read."""
    kind = "classes" if settings.classes else "number" if settings.number else ""
    return label.Reading(kind=kind, answers=settings.not_missing, spelling=settings.spelling)


def list_source(settings: SourceSettings, spec: str, store: Store | None = None) -> Source:
    """The images that `spec` names, known from their headers, under the decode policy of the settings.

    With a `store`, files and objects that did not change since an earlier run are not opened for their headers again.
    """
    with _without_collection():
        return _listed(settings, spec, store)


def _listed(settings: SourceSettings, spec: str, store: Store | None) -> Source:
    return tasks.open_source(
        spec,
        image_column=settings.image_column,
        group=settings.group if spec == settings.data or has_manifest(spec) else None,
        columns_needed=(settings.label,) if settings.label and spec == settings.data else (),
        evidence=settings.evidence if spec == settings.data else None,
        window=settings.window,
        intercept=settings.intercept,
        exif=settings.exif,
        unreadable_limit=settings.unreadable,
        limit=settings.limit,
        seed=settings.seed,
        offline=settings.offline,
        volumes=settings.volumes,
        spelling=settings.spelling,
        headers=None if store is None else store.memo("headers"),
    )


@contextmanager
def _without_collection() -> Iterator[None]:
    """Inside, no garbage is looked for: a listing makes millions of objects that stay, each looked at many times."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()  # and back: all are among the oldest now, without having been looked at
            gc.unfreeze()
        gc.enable()


def has_manifest(spec: str) -> bool:
    """Whether a source has columns: a manifest, tars, Parquet shards, or a folder that is read through one of them."""
    path = Path(shown(spec).partition("?")[0] if is_url(spec) else spec).expanduser()
    if path.suffix.lower() in (*TABLES, TAR):
        return True
    if is_url(spec):
        return tasks.files_of(spec, None)[3] is not None
    shards = ("*.tar", "*.parquet", "data/*.parquet")
    return path.is_dir() and (manifest_of(path) is not None or any(True for end in shards for _ in path.glob(end)))


def check_source(source: Source, copies: Copies, limit: float) -> Source:
    """The source without the images that cannot be decoded, named on stderr; the store remembers the others."""
    known = _Readable(copies.store, source)

    def decoded(row: Row, image: np.ndarray) -> None:
        known.add(row.picture.identity)
        copies.add_fingerprint(row, image)

    with progress(len(source.rows), "checking images") as bar:
        source = tasks.check(
            source,
            unreadable_limit=limit,
            progress=lambda done, _: bar.update(done - bar.n),
            known=known,
            decoded=decoded,
        )
    copies.save()
    known.remember(source)
    for name, reason in source.unreadable:
        say(f"unreadable, left out: {name}: {reason}")
    return source


def open_source(settings: SourceSettings, spec: str, store: Store) -> Source:
    """The images that `spec` names, each decoded once, by this run or an earlier one."""
    return check_source(list_source(settings, spec, store), Copies(store=store), settings.unreadable)


def identify(source: Source) -> None:
    """Find the identity of each picture, for which the bytes of files are read that are not known, and remember it."""
    rows, pictures = source.rows, pictures_of(source.rows)
    unread = rows.unread() if isinstance(rows, Rows) else range(len(rows))
    with progress(len(unread), "reading files") as bar:
        for i in unread:
            _ = pictures[i].identity
            bar.update()
    source.remember()


class _Readable:
    """The identities of a source's pictures that were decoded without a fault, in this run or an earlier one."""

    def __init__(self, store: Store, source: Source) -> None:
        self.memo = store.memo("readable")
        identify(source)
        self.keys = [*identities(pictures_of(source.rows))]
        self.remembered = Remembered(self.memo, self.keys)
        self.before = {name for name, fine in zip(self.keys, self.remembered.values, strict=True) if fine is True}
        self.seen: set[str] = set()

    def __contains__(self, identity: object) -> bool:
        return identity in self.before or identity in self.seen

    def add(self, identity: str | None) -> None:
        """Take the identity of a picture that was decoded a moment ago."""
        if identity is not None:
            self.seen.add(identity)

    def remember(self, source: Source) -> None:
        """Write those of the checked source that were not known."""
        names = [name for name in identities(pictures_of(source.rows)) if name is not None]
        self.memo.put_many(dict.fromkeys((name for name in names if name not in self.before), True))
        good = {*names}
        self.remembered.keep([True if key in good else None for key in self.keys])
