"""Copies inside a source: fingerprints from the store's memo, and what a run does when copies cross groups."""

import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slitlamp.errors import UsageError
from slitlamp.log import progress, say
from slitlamp.settings import Options
from tasks import DataError, Row, Source

if TYPE_CHECKING:
    from cache import Store
    from tasks.duplicates.find import Cluster, Pair, Print

KEPT = 1000  # fingerprints that are gathered before they are written


@dataclass(kw_only=True)
class Copies:
    """Finds copies among rows; what was found out once is remembered by the pictures' identities."""

    store: "Store"
    fresh: dict[str, "Print"] = field(default_factory=dict)

    def see(self, row: Row, image: np.ndarray) -> None:
        """Take the fingerprint of an image that is being decoded anyway."""
        from tasks.duplicates.find import fingerprint

        if row.picture.identity is not None:
            self.fresh[self._key(row)] = fingerprint(image)
            if len(self.fresh) >= KEPT:
                self.keep()

    def readable(self, source: Source, limit: float) -> Source:
        """The source without the images that cannot be decoded, in the groups that it came with."""
        import tasks

        memo = self.store.memo("readable")
        known = memo.get_many([row.picture.identity for row in source.rows if row.picture.identity is not None])
        with progress(len(source.rows), "checking images") as bar:
            good = tasks.check(source, known=known, unreadable_limit=limit, seen=self.see, progress=_advance(bar))
        self.keep()
        kept = {row.id for row in good.rows}
        rows = tuple(row for row in source.rows if row.id in kept)
        memo.put_many({row.picture.identity: True for row in rows if row.picture.identity is not None})
        for name, reason in good.unreadable:
            say(f"unreadable, left out: {name}: {reason}")
        return replace(good, rows=rows, warnings=source.warnings)

    def pairs(self, rows: Sequence[Row]) -> list["Pair"]:
        """The pairs of places in `rows` that hold one image; nothing is decoded that was seen before."""
        from tasks.duplicates.find import Pair, pairs

        self.keep()
        seal = hashlib.sha256("\n".join([_code(), *(self._key(row) for row in rows)]).encode()).hexdigest()
        memo = self.store.memo("copies")
        known = memo.get_many([seal]).get(seal)
        if known is not None and all(row.picture.identity is not None for row in rows):
            return [Pair(first=a, second=b, kind=kind, alike=alike) for a, b, kind, alike in known]
        with progress(0, "comparing images") as bar:
            found = pairs(self._prints(rows), _advance(bar))
        memo.put_many({seal: [[p.first, p.second, p.kind, p.alike] for p in found]})
        return found

    def same(self, rows: Sequence[Row]) -> dict[str, str]:
        """For the id of each row that repeats the pixels of an earlier one, the id of the first."""
        found = sorted((p.second, p.first) for p in self.pairs(rows) if p.kind == "identical")
        return {rows[second].id: rows[first].id for second, first in found}

    def _prints(self, rows: Sequence[Row]) -> list["Print"]:
        from tasks.duplicates.find import fingerprint, unpacked

        held = self.store.memo("prints").get_many([self._key(r) for r in rows if r.picture.identity is not None])
        known = {key: unpacked(value) for key, value in held.items()}
        todo = [row for row in rows if row.picture.identity is None or self._key(row) not in known]
        alone = {}
        with progress(len(todo), "taking fingerprints") as bar:
            for row in todo:
                image = row.picture.read()
                if row.picture.identity is None:
                    alone[row.id] = fingerprint(image)
                else:
                    self.see(row, image)
                    known[self._key(row)] = fingerprint(image)
                bar.update()
        self.keep()
        return [alone[row.id] if row.id in alone else known[self._key(row)] for row in rows]

    def keep(self) -> None:
        """Remember the fingerprints that were taken."""
        self.store.memo("prints").put_many({key: held.packed() for key, held in self.fresh.items()})
        self.fresh.clear()

    def _key(self, row: Row) -> str:
        from tasks.duplicates.find import VERSION

        return f"{VERSION}:{row.picture.identity}"


def _code() -> str:
    """A digest of the search's own source: another code, another answer."""
    from pathlib import Path

    from tasks import duplicates

    whole = hashlib.sha256()
    for path in sorted(Path(duplicates.__file__).parent.rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _advance(bar: Any) -> Callable[[int, int], None]:
    def advance(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return advance


def settled(source: Source, copies: Copies, options: Options) -> Source:
    """The source once its copies are dealt with: raises DataError where copies lie in more than one group.

    It is one rule for equal files and for near copies, whether groups were given or every file is its own. With
    `--copies unite` the groups that share a copy become one, with `warn` they stay as they are; both are said. The
    groups of a benchmark are as it was published: its copies are said and never refused. Phantoms have no copies.
    """
    from tasks.duplicates.find import clusters, crossing, united

    if source.synthetic:
        return source
    if source.benchmark and options.copies != Options().copies:
        raise UsageError(
            f"--copies {options.copies} has nothing to act on: {source.benchmark} keeps the groups it was published "
            "with, and its copies are said"
        )
    groups = [row.group for row in source.rows]
    every = clusters(copies.pairs(source.rows))
    found = crossing(every, groups)
    if not found:
        return source
    sentence = told(found, [row.id for row in source.rows])
    if options.copies == "unite":
        rows = tuple(replace(r, group=g) for r, g in zip(source.rows, united(groups, every), strict=True))
        left = len({row.group for row in rows})
        sentence = f"{sentence}; these groups were united, {left} of {len(set(groups))} are left"
        return replace(source, rows=rows, warnings=(*source.warnings, sentence))
    if source.benchmark or options.copies == "warn":
        return replace(source, warnings=(*source.warnings, sentence))
    own = (
        f"--group {options.group} says that they belong to different ones"
        if options.group
        else "without --group every file is its own group"
    )
    then = "--data groups.csv --group group" + " --volumes" * options.volumes
    raise DataError(
        f"{sentence}; {own}. --copies unite makes one group of those that share a copy; `{_command(options)} --write "
        f"groups.csv` shows them and writes such groups (then {then}); --copies warn goes on"
    )


def told(found: Sequence["Cluster"], ids: Sequence[str]) -> str:
    """One sentence about the clusters that cross groups."""
    images = sum(len(c.members) for c in found)
    first = found[0]
    lie = f"{len(found)} clusters of copies ({images} images) lie" if len(found) > 1 else "copies of one image lie"
    pair = " and ".join(ids[place] for place in first.members[:2])
    return (
        f"{lie} in more than one group, so that a fold can hold a copy of a test image: "
        f"{pair} ({first.kind}, {first.alike:.2f} alike)"
    )


def _command(options: Options) -> str:
    words = ["python", "-m", "experiments.duplicates", "--data", str(options.data)]
    for name in ("group", "image_column", "window", "exif"):
        value = getattr(options, name)
        words += ["--" + name.replace("_", "-"), value] if value is not None else []
    words += ["--volumes"] if options.volumes else []
    if options.intercept:
        words += [f"--intercept={options.intercept:g}"]
    return shlex.join(words)
