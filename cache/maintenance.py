"""List, verify and remove shards of the feature store."""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cache.atomic import DAY, is_dead
from cache.errors import DamagedError, StoreError
from cache.index import open_index
from cache.keys import digest
from cache.memo import Memo
from cache.shard import NAME, SCHEMA, load
from cache.space import LABEL, SPEC, shard_paths, text_of
from cache.verified import VerifiedShards


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One space of the store, as `ls` shows it. `last_used` is in seconds since 1970."""

    label: str
    digest: str
    items: int
    shards: int
    datasets: int
    dtypes: tuple[str, ...]
    bytes: int
    last_used: float


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file, relative to the root, or one dataset in it, that is not as it was written."""

    path: Path
    dataset: str | None
    what: str
    removable: bool = True


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """What a sample of the datasets told: what is wrong, how many of how many were hashed, and their bytes."""

    problems: list[Problem]
    datasets: int
    every: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A file or folder, relative to the root, that was removed, or would be."""

    path: Path
    bytes: int
    why: str


def entry_of(folder: Path, verified: VerifiedShards) -> Entry | None:
    """What one space holds, from the heads of its shards; None where it has none."""
    paths = shard_paths(folder)
    if not paths:
        return None
    index = open_index(folder, verified)
    columns = {(name, dtype) for head in index.heads for name, (dtype, _) in head.forms.items()}
    try:
        label = text_of(folder / LABEL).strip()
    except (OSError, ValueError):
        label = ""
    return Entry(
        label=label or "?",
        digest=folder.name,
        items=index.items,
        shards=len(paths),
        datasets=len({name for name, _ in columns}),
        dtypes=tuple(sorted({{"<f2": "float16", "<f4": "float32"}[dtype] for _, dtype in columns})),
        bytes=sum(size for size, _, _ in index.listing.values()),
        last_used=last_used(folder),
    )


def last_used(folder: Path) -> float:
    """When features of a space were last asked for or written, in seconds since 1970."""
    marks = [p for p in (folder / SPEC, *shard_paths(folder)) if os.path.lexists(p)]
    return max((p.lstat().st_mtime for p in marks), default=folder.stat().st_mtime)


def problems_of(path: Path, root: Path) -> list[Problem]:
    """What is wrong with a shard or a spec.json; every byte is looked at."""
    if path.name == SPEC:
        return _tried(path, root, lambda: _spec_problem(path))
    problems, names = problems_of_head(path, root)
    return problems + [problem for name in names for problem in problems_of_dataset(path, name, root)[0]]


def problems_of_head(path: Path, root: Path) -> tuple[list[Problem], list[str]]:
    """What is wrong with the head of a shard, and the datasets that it names."""
    names: list[str] = []

    def look() -> str | None:
        shard = load(path)
        if shard.space[:32] != path.parent.name:
            return "it lies in the folder of another key"
        names.extend(shard.columns)
        return None

    return _tried(path, root, look), names


def problems_of_dataset(path: Path, name: str, root: Path) -> tuple[list[Problem], int]:
    """What is wrong with one dataset of a shard, and how many bytes were hashed."""
    hashed = 0

    def look() -> str | None:
        nonlocal hashed
        shard = load(path)
        hashed = shard.columns[name].row * shard.n
        return None if shard.sound(name) else "the bytes are not as written"

    return _tried(path, root, look, name), hashed


def _tried(path: Path, root: Path, look: Callable[[], str | None], name: str | None = None) -> list[Problem]:
    near, removable = path.relative_to(root), True
    try:
        what = look()
    except DamagedError as error:
        what = str(error)
    except StoreError as error:
        what, removable = str(error), False
    except OSError as error:
        what, removable = f"it cannot be read ({error.strerror})", False
    return [Problem(path=near, dataset=name, what=what, removable=removable)] if what else []


def problem_of_memo(path: Path, root: Path) -> Problem | None:
    """What is wrong with a memo; every row is looked at."""
    what = "it is a link, which may lead out of the store" if path.is_symlink() else None
    if what is None and path.is_file():
        what = Memo(path).problem()
    return None if what is None else Problem(path=path.relative_to(root), dataset=None, what=what)


def _spec_problem(path: Path) -> str | None:
    try:
        spec = json.loads(text_of(path))
        if spec["schema"] > SCHEMA:
            raise StoreError(f"it was written by a newer version (schema {spec['schema']}; this one reads {SCHEMA})")
        sound = digest(spec["material"]) == spec["digest"] and spec["digest"][:32] == path.parent.name
    except FileNotFoundError:
        return "it is missing"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    return None if sound else "it does not say what the folder's name is the digest of"


def removable(folder: Path, root: Path, *, old: bool, orphans: bool, dry_run: bool) -> list[Removed]:
    """Remove a folder that is old, or what dead writers left in it; the open shard of a living one is not touched."""
    open_shards = list(folder.glob(".*.tmp"))
    dead = [path for path in open_shards if is_dead(path)]
    if len(dead) < len(open_shards):
        old = False  # someone is writing here
    if old:
        return [remove(folder, root, "not used", dry_run=dry_run)]
    if not orphans:
        return []
    removed = [remove(path, root, "left by a writer that is gone", dry_run=dry_run) for path in dead]
    empty = not any(NAME.fullmatch(p.name) for p in folder.iterdir()) and len(dead) == len(open_shards)
    if empty and time.time() - folder.stat().st_mtime > DAY:  # a writer may have made it a moment ago
        removed.append(remove(folder, root, "holds no features", dry_run=dry_run))
    return removed


def left_of_imports(incoming: Path, root: Path, *, dry_run: bool) -> list[Removed]:
    """Remove what imports that are gone had copied and not put in place."""
    removed = []
    for folder in sorted(incoming.glob("*")):
        marks = list(folder.glob(".*.tmp"))
        gone = all(map(is_dead, marks)) if marks else time.time() - folder.lstat().st_mtime > DAY
        if gone:
            removed.append(remove(folder, root, "left by an import that is gone", dry_run=dry_run))
    return removed


def remove(path: Path, root: Path, why: str, *, dry_run: bool = False) -> Removed:
    """Remove a file or folder of the store and say how much that was."""
    folder = path.is_dir() and not path.is_symlink()
    files = [p.lstat() for p in ([p for p in path.rglob("*") if p.is_file()] if folder else [path])]
    size = sum(facts.st_blocks * 512 if hasattr(facts, "st_blocks") else facts.st_size for facts in files)
    if not dry_run and folder:
        shutil.rmtree(path)
    elif not dry_run:
        path.unlink(missing_ok=True)
    return Removed(path=path.relative_to(root), bytes=size, why=why)
