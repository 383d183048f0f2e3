"""Labels of copies: one image with two answers to one question, and copies between a pool and the images asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from probes.stats.exclusion import POOL
from slitlamp.duplicates.guard import Copies
from slitlamp.duplicates.manifest import asked_files, frame_numbers
from slitlamp.settings import SourceSettings
from tasks import DataError, Item, Source

SHOWN = 3


def check_labels(
    items: Sequence[Item], source: Source, copies: Copies, task: str, settings: SourceSettings
) -> tuple[str, ...]:
    """Check that copies have one label: DataError, with the rows, where one image and question have two answers.

    One image is equal pixels and equal marks; another question to it (`question` in its text or its columns) may have
    another answer. Of a published benchmark, and of numbers (a measurement may be repeated), a sentence is returned
    instead.
    """
    if source.synthetic:
        return ()
    first_of = copies.first_of_equal(source.rows)
    rows = {row.id: row for row in source.rows}
    first: dict[tuple, Item] = {}
    conflicts: list[tuple[Item, Item]] = []
    for item in items:
        name, turn = (item.id, "") if item.id in rows else item.id.rpartition(":")[::2]
        if name not in rows:  # a task of the user's own, whose items are no rows
            continue
        text = (item.text or {}).get("question") or rows[name].columns.get("question", "")
        key = (first_of.get(name, name), turn, text, tuple((m.name, m.x, m.y) for m in item.marks))
        earlier = first.setdefault(key, item)
        if earlier.label != item.label:
            conflicts.append((earlier, item))
    if not conflicts:
        return ()
    kept = bool(source.benchmark) or isinstance(conflicts[0][0].label, float)
    names = {i: r.place for i, r in rows.items() if r.place} if kept else _names(source, settings)  # a note is recorded
    listed = "; ".join(
        " and ".join(f"{names.get(i.id, f'item {i.id}')} says {i.label!r}" for i in pair) for pair in conflicts[:SHOWN]
    )
    more = f"; and {len(conflicts) - SHOWN} more" if len(conflicts) > SHOWN else ""
    sentence = f"{task}: one image has two different answers: {listed}{more}"
    if kept:
        return (sentence,)
    raise DataError(
        f"{sentence}; keep the row that is right (a column `question` tells different questions to one image apart)"
    )


def _names(source: Source, settings: SourceSettings) -> dict[str, str]:
    """How an error calls the rows: the file, and its line among those of a manifest; of a benchmark nothing."""
    from tasks import item_id

    if source.benchmark or settings.data is None or "volumes" in source.policy:
        return {}
    ids, occurrences, found = {row.id for row in source.rows}, Counter[tuple[str, int]](), {}
    files, columns = asked_files(settings.data, settings.image_column, ids)
    for at, file in enumerate(files, 1):
        for number in frame_numbers(file, ids):
            mine = item_id(file.name, number, occurrences[file.name, number])
            occurrences[file.name, number] += 1
            frame = f", frame {number}" if number > 1 else ""
            found[mine] = f"row {at} ({file.name}{frame})" if columns else file.name + frame
    return found


def other_images(pool: Source, asked: Source, copies: Copies, *, grouped: bool) -> tuple[Source, tuple[str, ...]]:
    """The pool without what is asked: copies of its images, images of its groups, and copies of one another once.

    Differences are planted along mixtures of images that are not among the items. And a sentence about what was left
    out. Without a column of groups (`grouped`) equal names of groups are equal names of files, and mean nothing.

    Raises:
        DataError: fewer images are left than directions are mixed of.
    """
    again: set[int] = set()
    if not pool.synthetic:
        n = len(pool.rows)
        ends = copies.pairs([*pool.rows, *(() if asked.synthetic else asked.rows)])
        again = {(p.first if p.second >= n else p.second) for p in ends if p.first < n}
    groups = {row.group for row in asked.rows} if grouped else set()
    rows = tuple(row for k, row in enumerate(pool.rows) if k not in again and row.group not in groups)
    left = len(pool.rows) - len(rows)
    if len(rows) < POOL:
        raise DataError(
            f"the pool {pool.name} has {len(rows)} images that are neither asked themselves nor copies, or of the "
            f"groups, of those that are; {POOL} are needed (omit --pool to use the images of --data)"
        )
    if not left:
        return pool, ()
    return replace(pool, rows=rows), (
        f"{left} of {len(pool.rows)} images of the pool are left out: copies of one another or of images that are "
        "asked, or of their groups",
    )
