"""Partial download: some tensors of a hub's safetensors files, by byte range, into one file; it can be resumed."""

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.ranges import BrokenTransferError, NoRangesError, read_range
from hub.repository import Repository
from hub.safetensors_header import SIZES, Entry, Header, header

PIECE = 32 << 20  # bytes asked for at once
THREADS = 6


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Bytes from `start` of a remote file that belong at `target` of ours."""

    file: str
    start: int
    target: int
    length: int


def remote(repository: Repository, file: str) -> Header:
    """The header of a file of a repository."""

    def read(start: int, stop: int) -> tuple[bytes, int]:
        got: list[bytes] = []
        size = read_range(_url(repository, file), start, stop, lambda _, chunk: got.append(chunk), threading.Event())
        return b"".join(got), size

    return header(file, read)


def _url(repository: Repository, file: str) -> str:
    from huggingface_hub import constants, hf_hub_url

    return hf_hub_url(
        repository.repo,
        file,
        repo_type=repository.kind,
        revision=repository.revision,
        endpoint=constants.ENDPOINT,
    )


def layout(entries: Iterable[Entry], omitted: Sequence[str]) -> tuple[bytes, list[Piece]]:
    """Header and pieces of a file that holds exactly `entries`, and the names of those `omitted`.

    Wider types come first, so that every tensor begins at a multiple of its own size; neighbours stay neighbours.
    """
    order = sorted(entries, key=lambda e: (-SIZES[e.dtype], e.file, e.start))
    table: dict[str, Any] = {"__metadata__": {"format": "pt", "left": "\n".join(omitted)}}
    at = 0
    for entry in order:
        length = entry.stop - entry.start
        table[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [at, at + length]}
        at += length
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    runs: list[Piece] = []
    target = 8 + len(text)
    for entry in order:
        length = entry.stop - entry.start
        last = runs[-1] if runs else None
        if last and last.file == entry.file and last.start + last.length == entry.start:
            runs[-1] = Piece(file=last.file, start=last.start, target=last.target, length=last.length + length)
        else:
            runs.append(Piece(file=entry.file, start=entry.start, target=target, length=length))
        target += length
    pieces = [
        Piece(file=run.file, start=run.start + at, target=run.target + at, length=min(PIECE, run.length - at))
        for run in runs
        for at in range(0, run.length, PIECE)
    ]
    return len(text).to_bytes(8, "little") + text, pieces


def download_tensors(
    repository: Repository, headers: Mapping[str, Header], kept: Sequence[Entry], omitted: Sequence[str], path: Path
) -> None:
    """Write `path` with the tensors `kept` of a repository's files; a part of it that is there is continued."""
    head, pieces = layout(kept, omitted)
    total = len(head) + sum(piece.length for piece in pieces)
    part, journal = path.with_name(path.name + ".incomplete"), path.with_name(path.name + ".journal")
    plan = hashlib.sha256(head + repr([(p.file, p.start) for p in pieces]).encode()).hexdigest()
    done = _finished_pieces(part, journal, plan, total)
    try:
        if not done:
            journal.unlink(missing_ok=True)
            with part.open("wb") as file:
                file.write(head)
                file.truncate(total)
            journal.write_text(plan + "\n")
        _download_pieces(repository, headers, pieces, done, part, journal)
        with part.open("r+b") as file:
            os.fsync(file.fileno())
        part.replace(path)
        journal.unlink(missing_ok=True)
    except (OSError, NoRangesError) as error:
        if getattr(error, "response", None) is None:  # raised by the disk, not by the hub: the part is of no use
            part.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)
        raise


def _finished_pieces(part: Path, journal: Path, plan: str, total: int) -> set[int]:
    """The pieces that an earlier run finished under the same plan."""
    if not (part.is_file() and journal.is_file() and part.stat().st_size == total):
        return set()
    first, *lines = journal.read_text().split("\n")
    # the last line counts only if it was ended: a machine that stops can leave half a number
    return {int(line) for line in lines[:-1] if line.isdigit()} if first == plan else set()


def _download_pieces(
    repository: Repository,
    headers: Mapping[str, Header],
    pieces: Sequence[Piece],
    done: set[int],
    part: Path,
    journal: Path,
) -> None:
    """Fetch the pieces that are not done, several at a time; the first failure ends the others."""
    from huggingface_hub.utils import tqdm

    halt, lock, total = threading.Event(), threading.Lock(), sum(p.length for p in pieces)
    ready = sum(pieces[i].length for i in done)

    def work(number: int) -> None:
        piece = pieces[number]
        with part.open("r+b") as file:

            def sink(at: int, chunk: bytes) -> None:
                file.seek(piece.target + at - piece.start)
                file.write(chunk)
                with lock:
                    bar.update(len(chunk))

            size = read_range(_url(repository, piece.file), piece.start, piece.start + piece.length, sink, halt)
            if size != headers[piece.file].size:
                raise BrokenTransferError(f"{piece.file} has {size} bytes, and had {headers[piece.file].size} before")
            file.flush()
            os.fsync(file.fileno())
        with lock, journal.open("a") as lines:
            lines.write(f"{number}\n")

    bar = tqdm(total=total, initial=ready, unit="B", unit_scale=True, desc=part.name.partition(".")[0], disable=None)
    with bar, ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(work, number) for number in range(len(pieces)) if number not in done]
        try:
            for future in futures:
                future.result()
        except BaseException:
            halt.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
