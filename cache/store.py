"""The feature store on disk: its spaces, its memos, and what to list, verify and remove."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import StoreError, size
from cache.exchange import Carried, export_space, import_folder, label_of, material_of
from cache.index import open_index
from cache.keys import digest
from cache.maintenance import (
    Entry,
    Problem,
    Removed,
    Sampled,
    entry_of,
    last_used,
    left_of_imports,
    problem_of_memo,
    problems_of,
    problems_of_dataset,
    problems_of_head,
    removable,
    remove,
)  # fmt: skip
from cache.memo import Manners, Memo, readable
from cache.merge import merge_small
from cache.space import SPEC, Space, shard_paths
from cache.verified import VerifiedShards

CHECKED = "checked"  # the memo of shards of which every byte was hashed
INCOMING = "incoming"  # the folder of imports that are not checked yet


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
        self._verified = VerifiedShards(partial(self.memo, CHECKED))
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

    def verify_sample(
        self, amount: int | float, rng: np.random.Generator, progress: Callable[[int, int], None] | None = None
    ) -> Sampled:
        """Hash some of the datasets of the shards, drawn by `rng`: so many, or, below 1, that share of them.

        Each dataset of each shard is as likely as any other. The heads of all shards and every spec.json are looked at,
        the memos are not. `progress(done, total)` is in datasets.
        """
        folders = self._folders()
        found = [problem for folder in folders for problem in problems_of(folder / SPEC, self.root)]
        every: list[tuple[Path, str]] = []
        for path in (path for folder in folders for path in shard_paths(folder)):
            problems, names = problems_of_head(path, self.root)
            found += problems
            every += [(path, name) for name in names]
        count = min(len(every), max(1, round(amount * len(every))) if amount < 1 else int(amount))
        drawn = [every[i] for i in sorted(rng.choice(len(every), count, replace=False).tolist())]
        size = 0
        for done, (path, name) in enumerate(drawn, 1):
            problems, looked = problems_of_dataset(path, name, self.root)
            found, size = found + problems, size + looked
            if progress is not None:
                progress(done, count)
        return Sampled(problems=found, datasets=count, every=len(every), bytes=size)

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
        self,
        older_than_days: int | float | None = None,
        *,
        orphans: bool = True,
        merge: bool = False,
        dry_run: bool = False,
    ) -> list[Removed]:
        """Remove what dead writers left behind, and spaces not used for so many days; returns what was removed.

        With `merge` small shards are put into few; see `cache.merge`.
        """
        removed = [] if not orphans else left_of_imports(self.inside(INCOMING), self.root, dry_run=dry_run)
        for folder in self._folders():
            old = older_than_days is not None and time.time() - last_used(folder) > older_than_days * 86_400
            removed += removable(folder, self.root, old=old, orphans=orphans, dry_run=dry_run)
            if merge and folder.is_dir():
                merged = merge_small(folder, open_index(folder, self._verified), self._verified, dry_run=dry_run)
                if merged:
                    why = f"{len(merged)} small shards {'would be' if dry_run else 'were'} put into few"
                    removed.append(Removed(path=folder.relative_to(self.root), bytes=0, why=why))
        return removed

    def export(
        self,
        key: str,
        out: Path,
        *,
        to: str = "slitlamp",
        only: Sequence[str] = (),
        ids: Mapping[str, str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Carried:
        """Write the space of a digest, as `ls` gives it, to a folder that others can read; see `cache.exchange`."""
        folder = self.inside("features", key)
        space = self.space(material_of(folder), label_of(folder))
        return export_space(space, self._verified, out, to=to, only=only, ids=ids, progress=progress)

    def take_in(self, folder: Path, progress: Callable[[int, int], None] | None = None) -> Carried:
        """Take over a folder that `export` wrote: all of it, checked, or nothing; see `cache.exchange`."""
        return import_folder(self.inside(INCOMING), self.space, self._verified, folder, self.require_space, progress)

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


__all__ = ["Carried", "Entry", "Problem", "Removed", "Sampled", "Store", "default_root"]
