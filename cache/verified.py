"""What this process has opened and checked, so that each is done once."""

import logging
from pathlib import Path

from cache.errors import DamagedError
from cache.shard import Shard, load

log = logging.getLogger(__name__)

Stamp = tuple[str, int, int, int]


def stamp(path: Path) -> Stamp:
    """What changes when the file does."""
    now = path.lstat()
    return (str(path), now.st_size, now.st_mtime_ns, now.st_ino)


class VerifiedShards:
    """Shards by file, and which of their datasets were found as written. Damage is reported once, never used."""

    def __init__(self) -> None:
        self._shards: dict[Stamp, Shard | None] = {}
        self._sound: dict[tuple[Stamp, str], bool] = {}

    def shard(self, path: Path) -> Shard | None:
        """Open a shard; None where it is damaged or gone."""
        try:
            mark = stamp(path)
        except FileNotFoundError:
            return None
        if mark not in self._shards:
            self._shards[mark] = self._open(path)
        return self._shards[mark]

    def _open(self, path: Path) -> Shard | None:
        try:
            shard = load(path)
            shard.contents  # noqa: B018  read and checked now, kept by the shard
        except (DamagedError, OSError) as error:
            _report(path, str(error))
            return None
        return shard

    def sound(self, shard: Shard, name: str) -> bool:
        """Whether a dataset is as written; its bytes are hashed the first time."""
        try:
            key = (stamp(shard.path), name)
        except FileNotFoundError:
            return False
        if key not in self._sound:
            self._sound[key] = shard.sound(name)
            if not self._sound[key]:
                _report(shard.path, f"{name} is not as written")
        return self._sound[key]


def _report(path: Path, what: str) -> None:
    log.warning(
        "%s/%s: %s; it is not used, its items are encoded again (`python -m experiments.features verify --remove`)",
        path.parent.name, path.name, what,
    )  # fmt: skip
