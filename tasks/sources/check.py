"""Every image is decoded once before it is used, so that a bad file is listed and not met half-way."""

from collections.abc import Callable, Container, Sequence
from dataclasses import replace

import numpy as np

from tasks._base import DataError, Row, Source, Undecided

SHOWN = 3  # unreadable files that an error message names


def refuse_above(unreadable: Sequence[tuple[str, str]], total: int, limit: float, noun: str = "images") -> None:
    """Raises DataError where a larger share than `limit` cannot be read, or nothing can."""
    k = len(unreadable)
    if not k or (k < total and k <= limit * total):
        return
    first = "; ".join(why for _, why in unreadable[:SHOWN])
    more = f"; and {k - SHOWN} more" if k > SHOWN else ""
    rule = "" if k == total else f" (--unreadable {limit:g} accepts {int(limit * total)})"
    raise DataError(f"{k} of {total} {noun} cannot be read{rule}: {first}{more}")


def check(
    source: Source,
    *,
    known: Container[str] = (),
    unreadable_limit: float = 0.05,
    seen: Callable[[Row, np.ndarray], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Source:
    """The source without the images that cannot be decoded; those are in its `unreadable`.

    Pictures whose identity is in `known` were decoded before and are not read again. `seen(row, image)`
    is given each image that was decoded here, so that the caller need not decode it a second time.
    `progress(done, total)` is called per image. Byte-identical images in two groups of a published
    benchmark make one group of the two, since a fold that holds a copy of a test image has seen the
    answer; of a user's images the run decides (`--copies`). Raises DataError above the limit, and Undecided.
    """
    if source.synthetic:  # a phantom has no file that could be broken
        return source
    good: list[Row] = []
    bad = list(source.unreadable)
    total = len(source.rows) + len(bad)
    for done, row in enumerate(source.rows, 1):
        key = row.picture.identity
        if key is None or key not in known:
            try:
                image = row.picture.read()
            except Undecided:
                raise
            except DataError as error:
                bad.append((row.id, str(error)))
                continue
            if seen is not None:
                seen(row, image)
        good.append(row)
        if progress is not None:
            progress(done, len(source.rows))
    noun = "volumes" if "volumes" in source.policy else "images"
    refuse_above(bad, total, unreadable_limit, noun)
    rows, merged = _united(good, noun) if source.benchmark else (tuple(good), ())
    return replace(source, rows=rows, unreadable=tuple(bad), warnings=(*source.warnings, *merged))


def _united(rows: Sequence[Row], noun: str) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    root: dict[str, str] = {}

    def find(group: str) -> str:
        while root.get(group, group) != group:
            group = root[group]
        return group

    first: dict[str, Row] = {}
    copies = 0
    for row in rows:
        key = row.picture.identity
        if key is None:
            continue
        twin = first.setdefault(key, row)
        a, b = find(twin.group), find(row.group)
        if a != b:
            root[b] = a
            copies += 1
    if not copies:
        return tuple(rows), ()
    united = tuple(r if find(r.group) == r.group else replace(r, group=find(r.group)) for r in rows)
    return united, (f"{copies} {noun} are byte for byte copies of one in another group: the groups were united",)
