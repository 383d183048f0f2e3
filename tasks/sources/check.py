"""Check a source: every image is decoded once before it is used, and those that cannot be are listed."""

from collections.abc import Callable, Container, Sequence
from dataclasses import replace

import numpy as np

from tasks._base import DataError, Row, Source, Undecided
from tasks.duplicates.components import merged_groups

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
    decoded: Callable[[Row, np.ndarray], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Source:
    """The source without the images that cannot be decoded; those are in its `unreadable`.

    Pictures whose identity is in `known` were decoded before and are not read again. `decoded(row, image)`
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
            if decoded is not None:
                decoded(row, image)
        good.append(row)
        if progress is not None:
            progress(done, len(source.rows))
    noun = "volumes" if "volumes" in source.policy else "images"
    refuse_above(bad, total, unreadable_limit, noun)
    warnings = source.warnings
    if source.benchmark:
        names = [row.group for row in good]
        groups = merged_groups(names, [[row.picture.identity] if row.picture.identity else [] for row in good])
        copies = len(set(names)) - len(set(groups))
        if copies:
            good = [row if row.group == g else replace(row, group=g) for row, g in zip(good, groups, strict=True)]
            found = f"{copies} {noun} are byte for byte copies of one in another group: the groups were united"
            warnings = (*warnings, found)
    return replace(source, rows=tuple(good), unreadable=tuple(bad), warnings=warnings)
