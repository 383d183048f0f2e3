"""Copies inside a source: fingerprints from the store's memo, and what a run does where copies cross groups."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slitlamp.errors import UsageError
from slitlamp.keys import code_digest
from slitlamp.log import progress
from slitlamp.settings import SourceSettings
from tasks import DataError, Row, Source

if TYPE_CHECKING:
    from cache import Store
    from tasks.duplicates.find import DuplicateGroups, Fingerprint, Pair

KEPT = 1000  # fingerprints that are gathered before they are written


@dataclass(kw_only=True)
class Copies:
    """Finds copies among rows; what was found out once is remembered by the pictures' identities."""

    store: "Store"
    fresh: dict[str, "Fingerprint"] = field(default_factory=dict)

    def add_fingerprint(self, row: Row, image: np.ndarray) -> None:
        """Take the fingerprint of an image that is being decoded anyway."""
        from tasks.duplicates.find import fingerprint

        if row.picture.identity is not None:
            self.fresh[self._key(row)] = fingerprint(image)
            if len(self.fresh) >= KEPT:
                self.save()

    def pairs(self, rows: Sequence[Row]) -> list["Pair"]:
        """The pairs of places in `rows` that hold one image; nothing is decoded that was seen before."""
        from tasks import duplicates
        from tasks.duplicates.find import Pair, pairs

        self.save()
        code = code_digest(str(Path(duplicates.__file__).parent))
        seal = hashlib.sha256("\n".join([code, *(self._key(row) for row in rows)]).encode()).hexdigest()
        memo = self.store.memo("copies")
        known = memo.get_many([seal]).get(seal)
        if known is not None and all(row.picture.identity is not None for row in rows):
            return [Pair(first=a, second=b, kind=kind, alike=alike) for a, b, kind, alike in known]
        with progress(0, "comparing images") as bar:

            def advance(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            found = pairs(self._fingerprints(rows), advance)
        memo.put_many({seal: [[p.first, p.second, p.kind, p.alike] for p in found]})
        return found

    def groups(self, rows: Sequence[Row]) -> "DuplicateGroups":
        """The clusters of copies among the rows, those across groups, and the groups merged."""
        from tasks.duplicates.find import groups

        return groups(self.pairs(rows), [row.group for row in rows])

    def first_of_equal(self, rows: Sequence[Row]) -> dict[str, str]:
        """For the id of each row that repeats the pixels of an earlier one, the id of the first."""
        found = sorted((p.second, p.first) for p in self.pairs(rows) if p.kind == "identical")
        return {rows[second].id: rows[first].id for second, first in found}

    def _fingerprints(self, rows: Sequence[Row]) -> list["Fingerprint"]:
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
                    self.add_fingerprint(row, image)
                    known[self._key(row)] = fingerprint(image)
                bar.update()
        self.save()
        return [alone[row.id] if row.id in alone else known[self._key(row)] for row in rows]

    def save(self) -> None:
        """Write the fingerprints that were taken to the memo."""
        self.store.memo("prints").put_many({key: held.packed() for key, held in self.fresh.items()})
        self.fresh.clear()

    def _key(self, row: Row) -> str:
        from tasks.duplicates.find import VERSION

        return f"{VERSION}:{row.picture.identity}"


def resolve_duplicates(source: Source, copies: Copies, settings: SourceSettings) -> Source:
    """Resolve copies of one image in a source: raises DataError where copies lie in more than one group.

    It is one rule for equal files and for near copies, whether groups were given or every file is its own. With
    `--copies unite` the groups that share a copy become one, with `warn` they stay as they are; both are said. The
    groups of a benchmark are as it was published: its copies are said and never refused. Phantoms have no copies.
    """
    if source.synthetic:
        return source
    if source.benchmark and settings.copies != SourceSettings().copies:
        raise UsageError(
            f"--copies {settings.copies} has nothing to act on: {source.benchmark} keeps the groups it was published "
            "with, and its copies are said"
        )
    found = copies.groups(source.rows)
    if not found.across_groups:
        return source
    images = sum(len(c.members) for c in found.across_groups)
    count, first = len(found.across_groups), found.across_groups[0]
    lie = f"{count} clusters of copies ({images} images) lie" if count > 1 else "copies of one image lie"
    ids = " and ".join(source.rows[place].id for place in first.members[:2])
    sentence = (
        f"{lie} in more than one group, so that a fold can hold a copy of a test image: "
        f"{ids} ({first.kind}, {first.alike:.2f} alike)"
    )
    if settings.copies == "unite":
        rows = tuple(replace(r, group=g) for r, g in zip(source.rows, found.merged_groups, strict=True))
        left, before = (len({row.group for row in held}) for held in (rows, source.rows))
        sentence = f"{sentence}; these groups were united, {left} of {before} are left"
        return replace(source, rows=rows, warnings=(*source.warnings, sentence))
    if source.benchmark or settings.copies == "warn":
        return replace(source, warnings=(*source.warnings, sentence))
    own = (
        f"--group {settings.group} says that they belong to different ones"
        if settings.group
        else "without --group every file is its own group"
    )
    then = "--data groups.csv --group group" + " --volumes" * settings.volumes
    raise DataError(
        f"{sentence}; {own}. --copies unite makes one group of those that share a copy; `{_command(settings)} --write "
        f"groups.csv` shows them and writes such groups (then {then}); --copies warn goes on"
    )


def _command(settings: SourceSettings) -> str:
    words = ["python", "-m", "experiments.duplicates", "--data", str(settings.data)]
    for name in ("group", "image_column", "window", "exif"):
        value = getattr(settings, name)
        words += ["--" + name.replace("_", "-"), value] if value is not None else []
    words += ["--volumes"] if settings.volumes else []
    if settings.intercept:
        words += [f"--intercept={settings.intercept:g}"]
    return shlex.join(words)
