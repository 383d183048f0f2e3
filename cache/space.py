"""All features that one encoder, one preprocessing and one decoding determine: a folder of closed shards."""

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache.atomic import make_folder, write_atomically
from cache.errors import StoreError
from cache.keys import canonical, digest
from cache.shard import NAME, SCHEMA, Shard
from cache.verified import VerifiedShards
from cache.writer import Writer

SPEC, LABEL = "spec.json", "label.txt"
LONGEST = 1 << 22  # bytes of a spec or a label
Where = dict[str, list[tuple[int, int]]]


class Space:
    """Features under one key, addressed by an image's content digest and `site/readout`.

    Where two shards hold the same, the one made first is read.
    """

    def __init__(self, folder: Path, material: Mapping[str, Any], label: str, verified: VerifiedShards) -> None:
        self.folder, self.label = folder, label
        self.digest = digest(material)
        self._material = json.loads(canonical(material))
        self._verified = verified
        self._known: tuple[tuple[Path, ...], list[Shard], Where] = ((), [], {})
        self._places: dict[tuple[int, ...], tuple[Sequence[str], np.ndarray]] = {}
        self._used = False
        refuse_newer(folder)

    def missing(self, contents: Sequence[str], names: Iterable[str], *, verify: bool = True) -> list[int]:
        """Positions of the contents for which some name is not stored; of equal contents, the first.

        With `verify` the bytes of everything that would be relied on are hashed first (once per process), and
        what is damaged counts as missing.
        """
        names = list(dict.fromkeys(names))
        shards, where = self._index()
        used = sorted({s for c in contents for s, _ in where.get(c, ())})
        held = {
            s: {n for n in names if n in shards[s].columns and (not verify or self._verified.sound(shards[s], n))}
            for s in used
        }
        whole = {s for s in used if len(held[s]) == len(names)}
        lacking, seen = [], set()
        for position, content in enumerate(contents):
            if content in seen:
                continue
            seen.add(content)
            hits = where.get(content, ())
            if not any(s in whole for s, _ in hits) and len(set().union(*(held[s] for s, _ in hits))) < len(names):
                lacking.append(position)
        return lacking

    def read(self, contents: Sequence[str], name: str) -> np.ndarray:
        """Features [n, d] float32 in the order of `contents`, which may repeat; StoreError where one is missing."""
        shards, where = self._index()
        usable = tuple(
            s for s, shard in enumerate(shards) if name in shard.columns and self._verified.sound(shard, name)
        )
        place = self._place(contents, usable, where)
        lost = np.flatnonzero(place[:, 0] < 0)
        if len(lost):
            raise StoreError(
                f"{len(lost)} of {len(contents)} items have no {name} in the store "
                f"(the first is {contents[int(lost[0])][:12]}); run the same command again to encode them"
            )
        widths = {shards[int(s)].columns[name].width for s in np.unique(place[:, 0])}
        if len(widths) > 1:
            raise StoreError(
                f"{name} is stored with the widths {sorted(widths)} under one key; the key lacks something"
            )
        out = np.empty((len(contents), widths.pop() if widths else 0), np.float32)
        for s in np.unique(place[:, 0]):
            _gather(shards[int(s)], name, place, int(s), out)
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
            prepare=self._prepare,
        )

    def _prepare(self) -> None:
        make_folder(self.folder)
        spec = {"schema": SCHEMA, "digest": self.digest, "material": self._material}
        write_atomically(self.folder / SPEC, json.dumps(spec, indent=1, sort_keys=True) + "\n")
        write_atomically(self.folder / LABEL, self.label + "\n")

    def _index(self) -> tuple[list[Shard], Where]:
        paths = shard_paths(self.folder)
        if not self._used:
            self._used = True
            with contextlib.suppress(OSError):  # a store that is shared read-only keeps no date
                os.utime(self.folder / SPEC)
        if paths != self._known[0]:
            found = [shard for path in paths if (shard := self._verified.shard(path)) and shard.space == self.digest]
            found.sort(key=lambda shard: (shard.created, shard.path.name))
            where: Where = {}
            for s, shard in enumerate(found):
                for row, content in enumerate(shard.contents):
                    where.setdefault(content, []).append((s, row))
            self._known = (paths, found, where)
            self._places.clear()
        return self._known[1], self._known[2]

    def _place(self, contents: Sequence[str], usable: tuple[int, ...], where: Where) -> np.ndarray:
        """Shard and row of each content [n, 2], -1 where there is none; kept for the next name."""
        kept = self._places.get(usable)
        if kept is not None and (kept[0] is contents or kept[0] == contents):
            return kept[1]
        allowed = frozenset(usable)
        nowhere = (-1, -1)
        found = [next((hit for hit in where.get(c, ()) if hit[0] in allowed), nowhere) for c in contents]
        place = np.array(found, np.int64).reshape(-1, 2)
        self._places[usable] = (list(contents), place)
        return place


def _gather(shard: Shard, name: str, place: np.ndarray, s: int, out: np.ndarray) -> None:
    """Copy the rows that lie in one shard to where they belong; a run of rows goes there directly."""
    at = np.flatnonzero(place[:, 0] == s)
    rows = place[at, 1]
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
