"""One image with two different answers to one question, and copies between a pool and the images that are asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from slitlamp.duplicates.guard import Copies
from slitlamp.duplicates.manifest import _numbers
from slitlamp.settings import Options
from tasks import DataError, Item, Source

SHOWN = 3


def agreed(items: Sequence[Item], source: Source, copies: Copies, task: str, options: Options) -> tuple[str, ...]:
    """Raises DataError where equal pixels, equal marks and one question have two answers; names the rows.

    Of a published benchmark, and of numbers (a measurement may be repeated), a sentence is returned instead. Another
    question to the same image (`question` in its text or its columns) may have another answer.
    """
    if source.synthetic:
        return ()
    same = copies.same(source.rows)
    rows = {row.id: row for row in source.rows}
    first: dict[tuple, Item] = {}
    apart: list[tuple[Item, Item]] = []
    for item in items:
        name, turn = (item.id, "") if item.id in rows else item.id.rpartition(":")[::2]
        if name not in rows:  # a task of the user's own, whose items are no rows
            continue
        text = (item.text or {}).get("question") or rows[name].columns.get("question", "")
        key = (same.get(name, name), turn, text, tuple((m.name, m.x, m.y) for m in item.marks))
        twin = first.setdefault(key, item)
        if twin.label != item.label:
            apart.append((twin, item))
    if not apart:
        return ()
    names = _names(source, options)
    told = "; ".join(
        " and ".join(f"{names.get(i.id, f'item {i.id}')} says {i.label!r}" for i in pair) for pair in apart[:SHOWN]
    )
    more = f"; and {len(apart) - SHOWN} more" if len(apart) > SHOWN else ""
    sentence = f"{task}: one image has two different answers: {told}{more}"
    if source.benchmark or isinstance(apart[0][0].label, float):
        return (sentence,)
    raise DataError(
        f"{sentence}; keep the row that is right (a column `question` tells different questions to one image apart)"
    )


def _names(source: Source, options: Options) -> dict[str, str]:
    """How an error calls the rows: the file, and its line among those of a manifest; of a benchmark nothing."""
    from tasks import files_of, item_id

    if source.benchmark or options.data is None or "volumes" in source.policy:
        return {}
    ids, seen, found = {row.id for row in source.rows}, Counter[tuple[str, int]](), {}
    files, _, _, columns = files_of(options.data, options.image_column)
    for at, file in enumerate(files, 1):
        for number in _numbers(file, ids):
            mine = item_id(file.name, number, seen[file.name, number])
            seen[file.name, number] += 1
            frame = f", frame {number}" if number > 1 else ""
            found[mine] = f"row {at} ({file.name}{frame})" if columns else file.name + frame
    return found


def pooled(pool: Source, asked: Source, copies: Copies) -> tuple[Source, tuple[str, ...]]:
    """The pool with its copies in one group each, and sentences about them and about copies of images that are asked.

    Unlabelled images carry no answer into a probe, so that a copy of an item is no leak. But copies in several groups
    would count as so many independent images, and the limit of detection would claim more directions than they bear.
    """
    from tasks.duplicates.find import clusters, crossing, united

    if pool.synthetic:
        return pool, ()
    found = clusters(copies.pairs(pool.rows))
    groups = [row.group for row in pool.rows]
    apart = crossing(found, groups)
    said = []
    if apart:
        count = sum(len(c.members) for c in apart)
        rows = [replace(r, group=g) for r, g in zip(pool.rows, united(groups, found), strict=True)]
        pool = replace(pool, rows=tuple(rows))
        said.append(f"{count} images of the pool are copies of each other: their groups were united, and count as one")
    if not asked.synthetic:
        n = len(pool.rows)
        ends = copies.pairs([*pool.rows, *asked.rows])
        again = len({p.first for p in ends if p.first < n <= p.second})
        if again:
            said.append(
                f"{again} of {n} images of the pool are copies of images that are asked: they bring no answer with "
                "them and count once each, but they are no further images"
            )
    return pool, tuple(said)
