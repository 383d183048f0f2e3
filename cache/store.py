"""The feature store on disk: its spaces, its memos, and what to list, verify and remove."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cache.errors import StoreError, size
from cache.keys import digest
from cache.maintenance import (
    Entry,
    Problem,
    Removed,
    entry_of,
    last_used,
    problem_of_memo,
    problems_of,
    removable,
    remove,
)  # fmt: skip
from cache.memo import Manners, Memo, readable
from cache.space import SPEC, Space, shard_paths
from cache.verified import VerifiedShards

CHECKED = "checked"  # the memo of shards of which every byte was hashed


def default_root() -> Path:
    """`SLITLAMP_CACHE` where it is set, else the platform's cache folder."""
    named = os.environ.get("SLITLAMP_CACHE")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("slitlamp"))


class Store:
    """Features on disk under `root`, which is made when something is first written."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._verified = VerifiedShards(lambda: self.memo(CHECKED))
        self._memos: dict[str, Memo] = {}
        self._manners = Manners()

    def inside(self, *parts: str) -> Path:
        """A place in the store; StoreError where a link on the way leads out of it."""
        path = self.root.joinpath(*parts)
        try:
            within = path.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError):  # a link that leads to itself
            within = False
        if not within:
            raise StoreError(
                f"{path} is a link that leads out of the feature store; remove it, or name the folder that it leads to "
                "in SLITLAMP_CACHE"
            )
        return path

    def space(self, material: Mapping[str, Any], label: str = "") -> Space:
        """The features that `material` determines: everything but the image. `label` is for `ls`, not in the key."""
        return Space(self.inside("features", digest(material)[:32]), material, label, self._verified)

    def memo(self, name: str) -> Memo:
        """A small persistent map from strings to JSON values."""
        if name not in self._memos:
            self._memos[name] = Memo(self.inside("memo", f"{name}.sqlite"), self._manners)
        return self._memos[name]

    def require_space(self, needed: int) -> None:
        """Raise StoreError unless the disk has room for `needed` bytes and a twentieth more."""
        held = next(p for p in [self.root.absolute(), *self.root.absolute().parents] if p.exists())
        free = shutil.disk_usage(held).free
        if free < needed * 1.05:
            raise StoreError(
                f"the feature store at {self.root} needs {size(needed * 1.05)} and its disk has {size(free)} free; "
                "free some (`python -m experiments.features gc`) or name another folder in SLITLAMP_CACHE"
            )

    def ls(self) -> list[Entry]:
        """What is stored, by label. Only the heads of the shards are read."""
        entries = [entry for folder in self._folders() if (entry := entry_of(folder, self._verified)) is not None]
        return sorted(entries, key=lambda e: (e.label, e.digest))

    def verify(self, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
        """Hash every byte of every shard, and every row of every memo, against what was written.

        `progress(done, total)` is in bytes of shards.
        """
        folders = self._folders()
        total = sum(path.lstat().st_size for folder in folders for path in shard_paths(folder))
        found, done = [problem for path in self._memo_files() if (problem := problem_of_memo(path, self.root))], 0
        for folder in folders:
            for path in [folder / SPEC, *shard_paths(folder)]:
                found += problems_of(path, self.root)
                done += path.lstat().st_size if path.name != SPEC and os.path.lexists(path) else 0
                if progress is not None:
                    progress(done, total)
        return found

    def drop(self, problems: list[Problem]) -> list[Removed]:
        """Remove the files that `verify` found damaged; their items are encoded again when asked for.

        What can be read of a damaged memo is kept.
        """
        paths = dict.fromkeys(self.root / p.path for p in problems if p.removable)
        removed = []
        for path in (path for path in paths if path.is_symlink() or path.exists()):
            kept = path.suffix == ".sqlite" and not path.is_symlink()
            rows = readable(path) if kept else []
            removed.append(remove(path, self.root, "damaged"))
            Memo(path).restore(rows)
        return removed

    def gc(
        self, older_than_days: int | float | None = None, *, orphans: bool = True, dry_run: bool = False
    ) -> list[Removed]:
        """Remove what dead writers left behind, and spaces not used for so many days; returns what was removed."""
        removed = []
        for folder in self._folders():
            old = older_than_days is not None and time.time() - last_used(folder) > older_than_days * 86_400
            removed += removable(folder, self.root, old=old, orphans=orphans, dry_run=dry_run)
        return removed

    @property
    def _spaces(self) -> Path:
        return self.inside("features")

    def _folders(self) -> list[Path]:
        try:
            return sorted(p for p in self._spaces.iterdir() if p.is_dir() and not p.is_symlink())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _memo_files(self) -> list[Path]:
        return sorted(self.inside("memo").glob("*.sqlite"))


__all__ = ["Entry", "Problem", "Removed", "Store", "default_root"]
