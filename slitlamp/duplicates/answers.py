"""Labels of copies: one image with two answers to one question, and copies between a pool and the images asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

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


def merge_pool_duplicates(pool: Source, asked: Source, copies: Copies) -> tuple[Source, tuple[str, ...]]:
    """The pool with its copies in one group each, and sentences about them and about copies of images that are asked.

    Unlabelled images carry no answer into a probe, so that a copy of an item is no leak. But copies in several groups
    would count as so many independent images, and the limit of detection would claim more directions than they bear.
    """
    if pool.synthetic:
        return pool, ()
    found = copies.groups(pool.rows)
    warnings = []
    if found.across_groups:
        count = sum(len(c.members) for c in found.across_groups)
        rows = tuple(replace(r, group=g) for r, g in zip(pool.rows, found.merged_groups, strict=True))
        pool = replace(pool, rows=rows)
        warnings.append(
            f"{count} images of the pool are copies of each other: their groups were united, and count as one"
        )
    if not asked.synthetic:
        n = len(pool.rows)
        ends = copies.pairs([*pool.rows, *asked.rows])
        again = len({p.first for p in ends if p.first < n <= p.second})
        if again:
            warnings.append(
                f"{again} of {n} images of the pool are copies of images that are asked: they bring no answer with "
                "them and count once each, but they are no further images"
            )
    return pool, tuple(warnings)
