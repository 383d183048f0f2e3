"""What a caretaker finds in the store, and what he may take away."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from cache.errors import DamagedError, StoreError
from cache.keys import digest
from cache.open_shard import DAY, is_dead
from cache.shard import NAME, SCHEMA, load
from cache.space import SPEC


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file, relative to the root, or one dataset in it, that is not as it was written."""

    path: Path
    dataset: str | None
    what: str
    removable: bool = True


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A file or folder, relative to the root, that was removed, or would be."""

    path: Path
    bytes: int
    why: str


def problems_of(path: Path, root: Path) -> list[Problem]:
    """What is wrong with a shard or a spec.json; every byte is looked at."""
    near = path.relative_to(root)
    try:
        if path.name == SPEC:
            what = _spec_problem(path)
            return [Problem(path=near, dataset=None, what=what)] if what else []
        shard = load(path)
        if shard.space[:32] != path.parent.name:
            return [Problem(path=near, dataset=None, what="it lies in the folder of another key")]
        return [
            Problem(path=near, dataset=name, what="the bytes are not as written")
            for name in shard.columns
            if not shard.sound(name)
        ]
    except DamagedError as error:
        return [Problem(path=near, dataset=None, what=str(error))]
    except StoreError as error:
        return [Problem(path=near, dataset=None, what=str(error), removable=False)]
    except OSError as error:
        return [Problem(path=near, dataset=None, what=f"it cannot be read ({error.strerror})", removable=False)]


def _spec_problem(path: Path) -> str | None:
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
        if spec["schema"] > SCHEMA:
            raise StoreError(f"it was written by a newer version (schema {spec['schema']}; this one reads {SCHEMA})")
        sound = digest(spec["material"]) == spec["digest"] and spec["digest"][:32] == path.parent.name
    except FileNotFoundError:
        return "it is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    return None if sound else "it does not say what the folder's name is the digest of"


def removable(folder: Path, root: Path, *, old: bool, orphans: bool, dry_run: bool) -> list[Removed]:
    """Take away a folder that is old, or what dead writers left in it; the draft of a living one is not touched."""
    drafts = list(folder.glob(".*.tmp"))
    dead = [path for path in drafts if is_dead(path)]
    if len(dead) < len(drafts):
        old = False  # someone is writing here
    if old:
        return [remove(folder, root, "not used", dry_run=dry_run)]
    if not orphans:
        return []
    removed = [remove(path, root, "left by a writer that is gone", dry_run=dry_run) for path in dead]
    empty = not any(NAME.fullmatch(p.name) for p in folder.iterdir()) and len(dead) == len(drafts)
    if empty and time.time() - folder.stat().st_mtime > DAY:  # a writer may have made it a moment ago
        removed.append(remove(folder, root, "holds no features", dry_run=dry_run))
    return removed


def remove(path: Path, root: Path, why: str, *, dry_run: bool = False) -> Removed:
    """Remove a file or folder of the store and say how much that was."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    size = sum(p.stat().st_blocks * 512 if hasattr(p.stat(), "st_blocks") else p.stat().st_size for p in files)
    if not dry_run and path.is_dir():
        shutil.rmtree(path)
    elif not dry_run:
        path.unlink(missing_ok=True)
    return Removed(path=path.relative_to(root), bytes=size, why=why)
