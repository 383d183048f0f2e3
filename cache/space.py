"""All features that one encoder, one preprocessing and one decoding determine: a folder of closed shards."""

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cache.atomic import make_folder, write_atomically
from cache.errors import DamagedError, StoreError
from cache.index import Index, digests_of, forget_index, open_index, texts_of
from cache.keys import canonical, digest
from cache.shard import NAME, SCHEMA, Shard
from cache.verified import VerifiedShards
from cache.writer import Writer

SPEC, LABEL = "spec.json", "label.txt"
LONGEST = 1 << 22  # bytes of a spec or a label


class Space:
    """Features under one key, addressed by an image's content digest and `site/readout`.

    Where two shards hold the same, the one made first is read.
    """

    def __init__(self, folder: Path, material: Mapping[str, Any], label: str, verified: VerifiedShards) -> None:
        self.folder, self.label = folder, label
        self.digest = digest(material)
        self._material = json.loads(canonical(material))
        self._verified = verified
        self._known: Index | None = None
        self._asked: _Asked | None = None
        self._used = False
        refuse_newer(folder)

    def missing(self, contents: Sequence[str], names: Iterable[str], *, verify: bool = True) -> list[int]:
        """Positions of the contents for which some name is not stored; of equal contents, the first.

        With `verify` the bytes of everything that would be relied on must have been hashed since the files last
        changed, by this process or, as the store remembers, by another; what is damaged counts as missing.
        """
        names = list(dict.fromkeys(names))
        index = self.index()
        asked = self._found(contents, index)
        used = asked.shards
        files = [(index.heads[s].path, index.heads[s].stamp, index.heads[s].forms) for s in used]
        if verify:
            held = self._verified.held(files, names)
        else:
            held = [{name for name in names if name in forms} for _, _, forms in files]
        sets: dict[frozenset[str], int] = {frozenset(): 0}  # few: most shards hold the same
        of_shard = np.zeros(len(index.heads), np.int64)
        of_shard[used] = [sets.setdefault(frozenset(some), len(sets)) for some in held]
        state = np.zeros(len(contents), np.int64)
        for positions, _, shards in asked.rounds:
            before, more = state[positions], of_shard[shards]
            size = len(sets)
            pairs, back = np.unique(before * size + more, return_inverse=True)
            every = list(sets)
            after = [every[pair // size] | every[pair % size] for pair in pairs.tolist()]
            state[positions] = np.array([sets.setdefault(some, len(sets)) for some in after], np.int64)[back]
        whole = np.array([len(some) == len(names) for some in sets])
        lacking = np.flatnonzero(~whole[state]).tolist()
        first: dict[str, int] = {}
        for position in lacking:
            first.setdefault(contents[position], position)
        return sorted(first.values())

    def stored(self, names: Iterable[str] = ()) -> list[str]:
        """The contents of which every name is stored, in the order in which they were; nothing is hashed."""
        every = list(dict.fromkeys(texts_of(self.index().digests)))
        lost = set(self.missing(every, names, verify=False))
        return [content for position, content in enumerate(every) if position not in lost] if lost else every

    def read(self, contents: Sequence[str], name: str) -> np.ndarray:
        """Features [n, d] float32 in the order of `contents`, which may repeat; StoreError where one is missing."""
        (found,) = self.blocks(contents, name, rows=max(1, len(contents)))
        return found

    def blocks(self, contents: Sequence[str], name: str, *, rows: int = 65_536) -> Iterator[np.ndarray]:
        """What `read` gives, at most so many rows at a time: blocks [m, d] float32, at least one, in the same order.

        Memory is that of one block and of the index. In the order of `stored` each shard is read once.

        Raises:
            StoreError: one of the contents is missing, before anything is given.
        """
        index, place, width = self._place(contents, name)
        for start in range(0, max(1, len(contents)), rows):
            found = self._rows(index, place[start : start + rows], name, width)
            if found is None:  # a shard was removed by another process a moment ago
                index, place, width = self._place(contents, name)
                found = self._rows(index, place[start : start + rows], name, width)
            if found is None:
                raise StoreError(f"{self.folder} changes while it is read; run the same command again")
            yield found

    def _rows(self, index: Index, rows: np.ndarray, name: str, width: int) -> np.ndarray | None:
        """Features of rows of the index; None where one of their shards is gone."""
        out, shards = np.empty((len(rows), width), np.float32), index.shards_of(rows)
        by = np.arange(len(rows)) if (shards[1:] >= shards[:-1]).all() else np.argsort(shards, kind="stable")
        ends = np.cumsum(np.bincount(shards, minlength=len(index.heads)))
        for s in index.present(shards):
            shard, at = self._verified.shard(index.heads[s].path), by[ends[s - 1] if s else 0 : ends[s]]
            if shard is None:
                return None
            try:
                _gather(shard, name, rows[at] - index.start[s], at, out)
            except (FileNotFoundError, DamagedError):
                return None
        return out

    def writer(
        self,
        widths: Mapping[str, int],
        *,
        total: int | None = None,
        shard_items: int = 4096,
        shard_seconds: int | float = 20.0,
    ) -> Writer:
        """A writer of features {site/readout: width}; `total` items are expected."""
        return Writer(
            self.folder,
            self.digest,
            widths,
            total=total,
            shard_items=shard_items,
            shard_seconds=shard_seconds,
            prepare=self.prepare,
            finished=self._verified.written,
        )

    def prepare(self) -> None:
        """Make the folder, and say in it what it is for."""
        make_folder(self.folder)
        spec = {"schema": SCHEMA, "digest": self.digest, "material": self._material}
        write_atomically(self.folder / SPEC, json.dumps(spec, indent=1, sort_keys=True) + "\n")
        write_atomically(self.folder / LABEL, self.label + "\n")

    def index(self) -> Index:
        """What the shards hold, as they are now."""
        if not self._used:
            self._used = True
            with contextlib.suppress(OSError):  # a store that is shared read-only keeps no date
                os.utime(self.folder / SPEC)
        self._known = open_index(self.folder, self._verified, self._known)
        return self._known

    def _found(self, contents: Sequence[str], index: Index) -> "_Asked":
        """The rows that hold each content; kept for the next name."""
        kept = self._asked
        if kept is None or kept.index is not index or not (kept.contents is contents or kept.contents == contents):
            found = [(at, rows, index.shards_of(rows)) for at, rows in index.rounds(digests_of(contents))]
            self._asked = kept = _Asked(contents=list(contents), index=index, rounds=found)
        return kept

    def _place(self, contents: Sequence[str], name: str) -> tuple[Index, np.ndarray, int]:
        """The row of each content [n] of the first shard that holds the name as written, in which index, how wide."""
        index = self.index()
        asked = self._found(contents, index)
        usable, agreed = self._usable(index, asked, name)
        if not agreed:  # it is made anew, from the shards
            index = self.index()
            asked = self._found(contents, index)
            usable, _ = self._usable(index, asked, name)
        key = usable.tobytes()
        if key not in asked.places:
            place = np.full(len(contents), -1, np.int64)
            for at, rows, shards in asked.rounds:
                free = usable[shards] & (place[at] < 0)
                place[at[free]] = rows[free]
            asked.places[key] = place
        place = asked.places[key]
        lost = np.flatnonzero(place < 0)
        if len(lost):
            raise StoreError(
                f"{len(lost)} of {len(contents)} items have no {name} in the store "
                f"(the first is {contents[int(lost[0])][:12]}); run the same command again to encode them"
            )
        widths = {index.heads[s].forms[name][1] for s in index.present(index.shards_of(place))}
        if len(widths) > 1:
            raise StoreError(
                f"{name} is stored with the widths {sorted(widths)} under one key; the key lacks something"
            )
        return index, place, widths.pop() if widths else 0

    def _usable(self, index: Index, asked: "_Asked", name: str) -> tuple[np.ndarray, bool]:
        """Which shards hold the name as written, of those that are asked; False where the index is not as they are."""
        usable = np.zeros(len(index.heads), bool)
        for s in asked.shards:
            head = index.heads[s]
            if name not in head.forms:
                continue
            shard = self._verified.shard(head.path)
            said = index.digests[index.start[s] : index.start[s + 1]]
            if shard is None or name not in shard.columns or not np.array_equal(shard.digests, said):
                forget_index(self.folder)
                self._known = None
                return usable, False
            usable[s] = self._verified.sound(shard, name)
        return usable, True


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """Contents that were asked for with the rows and shards that hold them, and where each name is read."""

    contents: list[str]
    index: Index
    rounds: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    places: dict[bytes, np.ndarray] = field(default_factory=dict)

    @cached_property
    def shards(self) -> list[int]:
        """The shards that hold any of them."""
        return sorted({s for _, _, shards in self.rounds for s in self.index.present(shards)})


def _gather(shard: Shard, name: str, rows: np.ndarray, at: np.ndarray, out: np.ndarray) -> None:
    """Copy rows of one shard to where they belong; a run of rows goes there directly."""
    low, high = int(rows.min()), int(rows.max()) + 1
    run = np.arange(len(rows))
    if np.array_equal(rows - low, run) and np.array_equal(at - at[0], run):
        shard.read(name, low, out[at[0] : at[0] + len(at)])
        return
    block = np.empty((high - low, out.shape[1]), np.float32)
    shard.read(name, low, block)
    out[at] = block[rows - low]


def shard_paths(folder: Path) -> tuple[Path, ...]:
    """The closed shards of a folder, by name."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(folder / e.name for e in entries if NAME.fullmatch(e.name)))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def text_of(path: Path) -> str:
    """A small text file of the store; ValueError where it is none: too long, a link, a pipe, no UTF-8."""
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > LONGEST:
        raise ValueError(f"{path.name} is no small file")
    return path.read_text(encoding="utf-8")


def refuse_newer(folder: Path) -> None:
    """Raise StoreError where a newer version wrote the folder."""
    try:
        schema = json.loads(text_of(folder / SPEC))["schema"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # nothing there yet, or damaged: it is written again, and holds no features
    if isinstance(schema, int) and schema > SCHEMA:
        raise StoreError(
            f"{folder} was written by a newer version (schema {schema}; this one reads {SCHEMA}); "
            "update, or name another folder in SLITLAMP_CACHE"
        )
