"""What was opened and checked, so that each is done once: in this process, or since the file last changed."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cache.errors import DamagedError
from cache.memo import Memo
from cache.shard import Shard, load

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]  # size, time of the last change in nanoseconds, number of the file on its disk
WORTH = 1 << 26  # bytes that are hashed again sooner than remembered
SETTLED = 2e9  # nanoseconds after which a later change of a file has another time, on any disk


def stamp_of(facts: os.stat_result) -> Stamp:
    """What changes when the file does."""
    return (facts.st_size, facts.st_mtime_ns, facts.st_ino)


class VerifiedShards:
    """Shards by file, and which of their datasets were found as written. Damage is reported once, never used.

    `memo` remembers between processes of which files every byte was hashed, and what they were like then. That decides
    what counts as stored. What is read is hashed by the process that reads it, whatever is remembered.
    """

    def __init__(self, memo: Callable[[], Memo] | None = None) -> None:
        self._memo = memo
        self._shards: dict[tuple[Path, Stamp], Shard | None] = {}
        self._sound: dict[tuple[Path, Stamp, str], bool] = {}
        self._recalled: dict[tuple[Path, Stamp], set[str]] = {}

    def shard(self, path: Path) -> Shard | None:
        """Open a shard; None where it is damaged or gone."""
        try:
            mark = (path, stamp_of(path.lstat()))
        except FileNotFoundError:
            return None
        if mark not in self._shards:
            self._shards[mark] = self._open(path)
        return self._shards[mark]

    def _open(self, path: Path) -> Shard | None:
        try:
            shard = load(path)
            shard.digests  # noqa: B018  read and checked now, kept by the shard
        except (DamagedError, OSError) as error:
            _report(path, str(error))
            return None
        return shard

    def sound(self, shard: Shard, name: str) -> bool:
        """Whether a dataset is as written; its bytes are hashed the first time."""
        try:
            key = (shard.path, stamp_of(shard.path.lstat()), name)
        except FileNotFoundError:
            return False
        if key not in self._sound:
            self._sound[key] = shard.sound(name)
            if not self._sound[key]:
                _report(shard.path, f"{name} is not as written")
                self._forget(shard.path)
        return self._sound[key]

    def held(self, files: Sequence[tuple[Path, Stamp, Iterable[str]]], names: Sequence[str]) -> list[set[str]]:
        """Which of `names` each file holds as written; hashed where nothing is remembered of the file as it is now.

        `files` are paths with their stamps and the names that the heads have.
        """
        asked = [{name for name in names if name in columns} for _, _, columns in files]
        self._recall(files)
        found, fresh, taken = [], {}, 0
        for (path, stamp, columns), some in zip(files, asked, strict=True):
            known = self._recalled[path, stamp]
            shard = self.shard(path) if some - known else None
            good = some & known
            if shard is not None:
                for name in sorted(some - known):
                    taken += 0 if (path, stamp, name) in self._sound else shard.columns[name].row * shard.n
                    if self.sound(shard, name):
                        good.add(name)
            if good - known:
                self._recalled[path, stamp] = known | good
                fresh[path] = (stamp, "all" if known | good == set(columns) else sorted(known | good))
            found.append(good)
        if taken >= WORTH:
            self._remember(fresh)
        return found

    def written(self, shards: Sequence[Path]) -> None:
        """Remember shards whose bytes were hashed while this process wrote them."""
        fresh, taken = {}, 0
        for path in shards:
            try:
                stamp = stamp_of(path.lstat())
            except OSError:
                continue
            taken += stamp[0]
            fresh[path] = (stamp, "all")
        if taken >= WORTH:
            self._remember(fresh)

    def _recall(self, files: Sequence[tuple[Path, Stamp, Iterable[str]]]) -> None:
        new = [(path, stamp, set(columns)) for path, stamp, columns in files if (path, stamp) not in self._recalled]
        known = self._memo().get_many([_key(path) for path, _, _ in new]) if new and self._memo is not None else {}
        for path, stamp, columns in new:
            said = known.get(_key(path))
            names = said.get("names") if isinstance(said, dict) and said.get("stamp") == list(stamp) else []
            named = {name for name in names if isinstance(name, str)} if isinstance(names, list) else set[str]()
            self._recalled[path, stamp] = columns if names == "all" else columns & named

    def _remember(self, fresh: Mapping[Path, tuple[Stamp, object]]) -> None:
        now = time.time_ns()
        values = {
            _key(path): {"stamp": list(stamp), "names": names}
            for path, (stamp, names) in fresh.items()
            if now - stamp[1] > SETTLED
        }
        if values and self._memo is not None:
            memo = self._memo()
            if os.access(memo.path if memo.path.exists() else memo.path.parent.parent, os.W_OK):
                memo.put_many(values)

    def _forget(self, path: Path) -> None:
        self._recalled = {mark: names for mark, names in self._recalled.items() if mark[0] != path}
        if self._memo is not None and self._memo().get_many([_key(path)]):
            self._memo().put_many({_key(path): None})


def _key(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _report(path: Path, what: str) -> None:
    log.warning(
        "%s/%s: %s; it is not used, its items are encoded again (`python -m experiments.features verify --remove`)",
        path.parent.name, path.name, what,
    )  # fmt: skip
