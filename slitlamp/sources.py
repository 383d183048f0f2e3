"""Images as a run asks for them: phantoms, files, tables or benchmarks, opened under one decode policy."""

from collections.abc import Sequence
from typing import Any

import tasks
from cache import Store
from slitlamp.duplicates.guard import Copies
from slitlamp.errors import UsageError
from slitlamp.log import progress, say
from slitlamp.settings import Options
from tasks import Source, Task


def unheard(options: Options, asked: Sequence[Task]) -> None:
    """Refuses a --label that no task would read, as all of them make their own answers."""
    if options.label is None or not all(task.makes_answers for task in asked):
        return
    names = " and ".join(task.name for task in asked)
    raise UsageError(
        f"--label {options.label} has nothing to act on: {names} make{'s' * (len(asked) == 1)} the answers by turning "
        "images; leave it out, or ask --task label"
    )


def open_source(options: Options, spec: str, store: Store) -> Source:
    """A source opened under the options' decode policy, without the images that cannot be read, which are said."""
    source = tasks.open_source(
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
    known, copies = _Known(store), Copies(store=store)
    with progress(len(source.rows), "checking images") as bar:
        source = tasks.check(
            source,
            unreadable_limit=options.unreadable,
            progress=lambda done, _: bar.update(done - bar.n),
            known=known,
            seen=copies.see,
        )
    copies.keep()
    known.keep(row.picture for row in source.rows)
    for name, reason in source.unreadable:
        say(f"unreadable, left out: {name}: {reason}")
    return source


MANIFESTS = (".csv", ".tsv", ".parquet")


class _Known:
    """Identities that were decoded before without a fault, asked of the store's memo once."""

    def __init__(self, store: Store) -> None:
        self.memo = store.memo("readable")

    def __contains__(self, identity: object) -> bool:
        return bool(self.memo.get_many([str(identity)]))

    def keep(self, pictures: Any) -> None:
        self.memo.put_many({p.identity: True for p in pictures if p.identity is not None})
