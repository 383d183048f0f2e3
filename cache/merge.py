"""Many small shards, as a run that is killed again and again leaves them, made into few."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cache.atomic import sync_folder
from cache.index import Head, Index, texts_of
from cache.open_shard import OpenShard
from cache.shard import CONTENT, Shard
from cache.verified import VerifiedShards

FULL = 4096  # rows of a shard that stays as it is
COPIED = 256  # rows moved at a time


def merge_small(folder: Path, index: Index, verified: VerifiedShards, *, dry_run: bool = False) -> list[Head]:
    """Put small shards that follow each other into one and remove them; those that went, or would.

    The new shard is complete before the first of the old ones goes, and holds the same bytes under the time of the
    first, so that whoever reads meanwhile, or after a kill between the two, reads the same. Shards of other sites, and
    those that are damaged, stay as they are.
    """
    gone = []
    for group in _groups(index.heads):
        whole = [shard for head in group if (shard := _sound(head.path, verified)) is not None]
        if len(whole) < len(group):
            continue
        if not dry_run:
            made = _merged(folder, whole)
            if _sound(made, verified) is None:  # a disk that does not keep what is written
                continue
            for head in group:
                if head.path != made:
                    with contextlib.suppress(FileNotFoundError):  # another process merges too
                        head.path.unlink()
            sync_folder(folder)
        gone += group
    return gone


def _sound(path: Path, verified: VerifiedShards) -> Shard | None:
    shard = verified.shard(path)
    return shard if shard is not None and all(verified.sound(shard, name) for name in shard.columns) else None


def _groups(heads: Sequence[Head]) -> Iterator[list[Head]]:
    """Runs of two and more small shards of the same names and widths, none of another kind between them."""
    group: list[Head] = []
    for head in heads:
        fits = group and _names(group[0]) == _names(head) and sum(h.n for h in group) + head.n <= FULL
        if not fits:
            if len(group) > 1:
                yield group
            group = []
        group.append(head)
    if len(group) > 1:
        yield group


def _names(head: Head) -> dict[str, int]:
    return {name: width for name, (_, width) in head.forms.items()}


def _merged(folder: Path, shards: Sequence[Shard]) -> Path:
    """One shard with the rows of several; of equal contents the first, which alone is ever read."""
    digests = np.concatenate([shard.digests for shard in shards])
    first = np.sort(np.unique(digests, axis=0, return_index=True)[1])
    names = [name for name in shards[0].columns if name != CONTENT]
    forms = {
        name: (max(shard.columns[name].dtype for shard in shards), shards[0].columns[name].width) for name in names
    }
    new = OpenShard(folder, shards[0].space, forms, len(first), created=shards[0].created)
    try:
        before = 0
        for shard in shards:
            rows = first[(first >= before) & (first < before + shard.n)] - before
            before += shard.n
            for start in range(0, len(rows), COPIED):
                some = rows[start : start + COPIED]
                arrays = {}
                for name in names:
                    block = np.empty((int(some[-1] - some[0]) + 1, forms[name][1]), np.float32)
                    shard.read(name, int(some[0]), block)
                    arrays[name] = block[some - some[0]].astype(forms[name][0])
                new.put(texts_of(shard.digests[some]), arrays)
        return new.seal()
    except BaseException:
        new.discard()
        raise
