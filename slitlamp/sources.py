"""Sources as a run asks for them: files, tables or benchmarks, opened under one decode policy and checked."""

from collections.abc import Sequence

import tasks
from cache import Store
from slitlamp.duplicates.guard import Copies
from slitlamp.errors import UsageError
from slitlamp.log import progress, say
from slitlamp.settings import Options
from tasks import Source, Task

MANIFESTS = (".csv", ".tsv", ".parquet")


def unused_label(options: Options, asked: Sequence[Task]) -> None:
    """Refuses a --label that no task would read, as all of them make their own answers."""
    if options.label is None or not all(task.makes_answers for task in asked):
        return
    names = " and ".join(task.name for task in asked)
    raise UsageError(
        f"--label {options.label} has nothing to act on: {names} make{'s' * (len(asked) == 1)} the answers by turning "
        "images; leave it out, or ask --task label"
    )


def list_source(options: Options, spec: str) -> Source:
    """The images that `spec` names, known from their headers, under the decode policy of the options."""
    return tasks.open_source(
        spec,
        image_column=options.image_column,
        group=options.group if spec == options.data or spec.endswith(MANIFESTS) else None,
        columns_needed=(options.label,) if options.label and spec == options.data else (),
        window=options.window,
        intercept=options.intercept,
        exif=options.exif,
        unreadable_limit=options.unreadable,
        limit=options.limit,
        seed=options.seed,
        offline=options.offline,
        volumes=options.volumes,
    )


def check_source(source: Source, copies: Copies, limit: float) -> Source:
    """The source without the images that cannot be decoded, named on stderr; the store remembers the others."""
    known = _Readable(copies.store)
    with progress(len(source.rows), "checking images") as bar:
        source = tasks.check(
            source,
            unreadable_limit=limit,
            progress=lambda done, _: bar.update(done - bar.n),
            known=known,
            decoded=copies.add_fingerprint,
        )
    copies.save()
    known.memo.put_many({row.picture.identity: True for row in source.rows if row.picture.identity is not None})
    for name, reason in source.unreadable:
        say(f"unreadable, left out: {name}: {reason}")
    return source


def open_source(options: Options, spec: str, store: Store) -> Source:
    """The images that `spec` names, each decoded once, by this run or an earlier one."""
    return check_source(list_source(options, spec), Copies(store=store), options.unreadable)


class _Readable:
    """The identities of pictures that were decoded before without a fault, from the store's memo."""

    def __init__(self, store: Store) -> None:
        self.memo = store.memo("readable")

    def __contains__(self, identity: object) -> bool:
        return bool(self.memo.get_many([str(identity)]))
