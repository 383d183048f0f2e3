"""Mined pairs on disk: strips that are finished one by one, then one Parquet file of all of them.

A strip is a file; a run that was killed goes on with those that are missing, and several runs of the same command may
share a folder. The file at the end is the same bytes whoever mined which strip.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache import write_atomically
from slitlamp.log import progress

if TYPE_CHECKING:
    from probes.pairs.mining import Hits, Miner, Tally

ROWS = 1 << 16  # pairs of a row group in Parquet
COLUMNS = ("first", "second", "similarity", "reference_similarity")


@dataclass(frozen=True, kw_only=True)
class MinedFile:
    """A file of mined pairs, what was looked at for it, and what the cap per image took away."""

    path: Path
    tally: "Tally"
    kept: int
    capped: int


def mine_to_file(
    folder: Path,
    miner: "Miner",
    ids: Sequence[str],
    *,
    key: str,
    cap: int | None = None,
    threads: int = 1,
    about: Mapping[str, Any] | None = None,
) -> MinedFile:
    """Mine every strip that is not in `folder` yet, and write the pairs there as `KEY.parquet`.

    `key` names everything that the pairs rest on. `cap` keeps, of the pairs of one image, those with the largest
    difference of the two similarities: a pair stays where it is among the `cap` first of both its images (and where it
    is equal to the last of them). Columns of the file: `id_1`, `id_2`, `similarity`, `reference_similarity`; its rows
    are in the order of the images. `about` is kept in its metadata.
    """
    from filelock import FileLock

    path, work = folder / f"{key[:32]}.parquet", folder / key[:32]
    done = _finished(path, key)
    if done is not None:
        return done
    work.mkdir(parents=True, exist_ok=True)
    miner.screen  # noqa: B018 - made once, before the threads need it
    _mine_missing(miner, work, threads)
    with FileLock(work / "join.lock"):
        done = _finished(path, key)  # by another run that mined with this one
        if done is not None:
            return done
        tally = _total(work, miner)
        limits = None if cap is None else _limits(work, miner, cap)
        kept = _join(path, work, miner, ids, limits, {"key": key, "cap": cap, "tally": asdict(tally), **(about or {})})
        for strip in work.glob("*.parquet"):  # marks and locks stay for runs that still look at them
            strip.unlink()
    return MinedFile(path=path, tally=tally, kept=kept, capped=tally.found - kept)


def _finished(path: Path, key: str) -> MinedFile | None:
    """The file as an earlier run left it, where it rests on the same things."""
    import pyarrow.parquet as pq

    from probes.pairs.mining import Tally

    try:
        held = pq.read_metadata(path)
        about = json.loads((held.metadata or {})[b"slitlamp"])
    except Exception:  # not there, or not whole: it is made again
        return None
    if about["key"] != key:
        return None
    tally = Tally(**about["tally"])
    return MinedFile(path=path, tally=tally, kept=held.num_rows, capped=tally.found - held.num_rows)


def _mine_missing(miner: "Miner", work: Path, threads: int) -> None:
    """Mine the strips that no run has finished; each thread takes the next."""
    import torch
    from filelock import FileLock, Timeout

    todo = [k for k in range(len(miner.strips)) if not _done(work, k)]
    before = torch.get_num_threads()
    with progress(len(miner.strips), "mining pairs") as bar:
        bar.update(len(miner.strips) - len(todo))

        def one(k: int, *, wait: bool) -> bool:
            torch.set_num_threads(1)
            try:
                with FileLock(work / f"{k:05}.lock", timeout=-1 if wait else 0):
                    if not _done(work, k):
                        _mine_strip(miner, work, k)
            except Timeout:
                return False  # another run has it
            with lock:
                bar.update(1)
            return True

        lock = threading.Lock()
        try:
            with ThreadPoolExecutor(max(1, threads)) as pool:
                taken = list(pool.map(lambda k: one(k, wait=False), todo))
            for k, mine in zip(todo, taken, strict=True):
                if not mine:
                    one(k, wait=True)
        finally:
            torch.set_num_threads(before)


def _done(work: Path, k: int) -> bool:
    """Whether a strip is whole: marked so, and there, or in the file of all."""
    strip = work / f"{k:05}.parquet"
    return _mark(work, k).exists() and (strip.exists() or work.with_suffix(".parquet").exists())


def _mark(work: Path, k: int) -> Path:
    return work / f"{k:05}.json"


def _mine_strip(miner: "Miner", work: Path, k: int) -> None:
    """One strip as a Parquet file of places, and a mark that it is whole."""
    import pyarrow.parquet as pq

    from probes.pairs.mining import Tally

    tally = Tally()
    part, whole = work / f"{k:05}.part", work / f"{k:05}.parquet"
    with pq.ParquetWriter(part, _schema(), compression="zstd", write_statistics=False) as writer:
        for hits in miner.strip(*miner.strips[k], tally):
            writer.write_table(_table(hits))
    part.replace(whole)
    write_atomically(_mark(work, k), json.dumps(asdict(tally)))


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([(c, pa.int32() if k < 2 else pa.float64()) for k, c in enumerate(COLUMNS)])


def _table(hits: "Hits") -> Any:
    import pyarrow as pa

    return pa.table([hits.first, hits.second, hits.a, hits.b], schema=_schema())


def _total(work: Path, miner: "Miner") -> "Tally":
    from probes.pairs.mining import Tally

    total = Tally()
    for k in range(len(miner.strips)):
        total.add(Tally(**json.loads(_mark(work, k).read_text(encoding="utf-8"))))
    return total


def _parts(work: Path, miner: "Miner") -> Iterator[tuple[np.ndarray, ...]]:
    """The columns of all strips in order, some rows at a time."""
    import pyarrow.parquet as pq

    for k in range(len(miner.strips)):
        with pq.ParquetFile(work / f"{k:05}.parquet") as file:
            for batch in file.iter_batches(ROWS):
                yield tuple(batch.column(c).to_numpy() for c in range(len(COLUMNS)))


def _limits(work: Path, miner: "Miner", cap: int) -> np.ndarray:
    """The least difference of similarities that a pair of each image must have to be among its first `cap`, [n]."""
    from probes.pairs.kernels import keep_largest

    largest = np.full((len(miner.first), cap), -np.inf)
    for first, second, a, b in _parts(work, miner):
        gap = a - b
        keep_largest(largest, first, gap)
        keep_largest(largest, second, gap)
    return largest[:, 0]


def _join(
    path: Path, work: Path, miner: "Miner", ids: Sequence[str], limits: np.ndarray | None, about: dict[str, Any]
) -> int:
    """Write all strips into one file, the pairs of each image within its limit alone; how many were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("id_1", pa.string()), ("id_2", pa.string()), *((c, pa.float64()) for c in COLUMNS[2:])],
        metadata={"slitlamp": json.dumps(about, sort_keys=True)},
    )
    names = np.array(ids, dtype=object)
    part = path.with_name(f".{path.name}.part")
    held: list[list[np.ndarray]] = []
    waiting = kept = 0

    def flush(writer: Any) -> None:
        nonlocal waiting
        columns = [np.concatenate(c) for c in zip(*held, strict=True)]
        writer.write_table(pa.table([names[columns[0]], names[columns[1]], *columns[2:]], schema=schema))
        held.clear()
        waiting = 0

    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for columns in _parts(work, miner):
            if limits is not None:
                gap = columns[2] - columns[3]
                stays = (gap >= limits[columns[0]]) & (gap >= limits[columns[1]])
                columns = tuple(c[stays] for c in columns)
            held.append([*columns])
            waiting += len(columns[0])
            kept += len(columns[0])
            if waiting >= ROWS:
                flush(writer)
        if held:
            flush(writer)
    part.replace(path)
    return kept


def write_copy(source: Path, path: Path) -> None:
    """Copy a file so that a reader sees the old one or the new one, never a part."""
    import shutil

    part = path.with_name(f".{path.name}.part")
    shutil.copyfile(source, part)
    part.replace(path)
