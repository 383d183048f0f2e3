"""What headers said in earlier runs, so that a file or object that did not change is not opened for them again.

An object is known by its address and by what its store says of it now (ETag or generation, size, time), a file by its
path, size, times and number; neither by its name alone. The digest of all bytes is remembered with the header. Nothing
that names a patient is kept: headers of DICOM are read again.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from tasks._base import DataError
from tasks.images import decode
from tasks.images.decode import DecodePolicy, Frame, LastOpened, list_frames
from tasks.images.kinds import File
from tasks.sources.blocks import LONGEST, Block, blocks, key_of
from tasks.sources.files import Files, Listed, facts_of
from tasks.sources.remote import FETCHERS, Fetched, at, content_of

PLAIN = frozenset(("exif_orientation",))  # columns that a remembered frame may have
AT_ONCE = 32  # blocks that are written together
FEW = 32  # files of a block that are asked for one by one as quickly
SETTLED = 3.0  # seconds: a file that is younger may change without its times doing so


@runtime_checkable
class Memory(Protocol):
    """A map from texts to JSON values that outlasts a run."""

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values of those keys that are known."""
        ...

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Remember values."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What a header says of a file that holds one image and names no patient: a `Frame` that does not know its file.

    Files of which the same is said share it. `stored` says whether a window acts on numbers that can be read.
    """

    number: ClassVar[int] = 1
    patient: ClassVar[str] = ""
    slice_position: ClassVar[None] = None

    columns: Mapping[str, str]
    exif: int
    wide: bool
    windowed: bool
    stored: bool
    revision: int
    flags: tuple[str, ...]
    shape: tuple[int, ...] | None

    def reader(self, file: Path | Fetched, policy: DecodePolicy) -> Callable[[], np.ndarray]:
        """What reads the pixels of a file."""
        return partial(_read, file, policy, stored=False)

    def frame(self, file: Path | Fetched, policy: DecodePolicy) -> Frame:
        """The frame of a file; its header is looked at again when it is read."""
        return Frame(
            read=self.reader(file, policy),
            columns=self.columns,
            exif=self.exif,
            wide=self.wide,
            windowed=self.windowed,
            stored=partial(_read, file, policy, stored=True) if self.stored else None,
            revision=self.revision,
            flags=self.flags,
            shape=self.shape,
        )


Head = Plain | Frame


class Digests:
    """The sha256 of the bytes of so many files, each found out when it is first asked for, and kept in 32 bytes."""

    def __init__(self, count: int) -> None:
        self.bytes, self._known = bytearray(32 * count), bytearray(count)

    def get(self, k: int) -> str | None:
        """That of file `k`, where it is known."""
        return self.bytes[32 * k : 32 * k + 32].hex() if self._known[k] else None

    def put(self, k: int, digests: str) -> None:
        """Keep that of file `k`, and those of the next files, as many as there are one behind another."""
        found = bytes.fromhex(digests)
        stop = k + len(found) // 32
        self.bytes[32 * k : 32 * stop] = found
        self._known[k:stop] = b"\1" * (stop - k)

    def known(self, k: int) -> bool:
        """Whether that of file `k` is known."""
        return bool(self._known[k])


@dataclass(frozen=True, slots=True)
class Kept:
    """The digest of one file among those of a source; see `tasks.images.content.Content`."""

    digests: Digests
    number: int
    path: Callable[[], File]

    def digest(self) -> str | None:
        """Hex digest, or None where the file cannot be read (reading it then says why)."""
        found = self.digests.get(self.number)
        if found is None:
            found = content_of(self.path()).digest()
            if found is not None:
                self.digests.put(self.number, found)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it stands alone: a picture that is sent there does not take its whole source along."""
        alone = content_of(self.path())
        return type(alone), (alone.path, self.digests.get(self.number))


UNKNOWN, LEARNT, REMEMBERED = 0, 1, 2  # what the memory knows of a file: nothing, nothing yet, everything


class Headers:
    """Headers and digests of the files of a source, by what tells of a change.

    Without a memory nothing is known before, and nothing is kept. A file that is named in many rows is looked at once.
    """

    def __init__(self, memory: Memory | None, policy: DecodePolicy, files: Sequence[Listed]) -> None:
        self._memory = None if policy.volumes else memory
        self._policy, self.files = policy, files
        self._where: Sequence[int] = range(len(files))  # the number of each row's file
        self._first: Sequence[int] = range(len(files))  # and a row of each file
        if not isinstance(files, Files):
            numbers: dict[File, int] = {}
            self._where = [numbers.setdefault(one.path, len(numbers)) for one in files]
            first: dict[int, int] = {}
            for k, number in enumerate(self._where):
                first.setdefault(number, k)
            self._first = [*first.values()]
        self.volumes = policy.volumes
        count = len(self._first)
        self.digests = Digests(count)
        self._heads: list[Plain | list[Frame] | None] = [None] * count
        self._state = bytearray(count)
        self._stamps: dict[int, str] = {}  # of files that were not found by listing their folder
        self._blocks: list[Block] = []  # that are not remembered as such
        self._interned: dict[str, Plain] = {}
        self._here, self._now = os.getcwd(), time.time()  # noqa: PTH109

    def head(self, row: int) -> Plain | list[Frame] | None:
        """What is known of the file of a row: its one plain image, or its frames; None where nothing is."""
        return self._heads[self._where[row]]

    def content(self, row: int) -> Kept:
        """The digest of the bytes of a row's file: what is remembered of an unchanged one, else what is found."""
        files = self.files
        path = partial(files.path, row) if isinstance(files, Files) else lambda: files[row].path
        return Kept(self.digests, self._where[row], path)

    def recall(self) -> None:
        """Take what is remembered of files that did not change; nothing is opened."""
        if self._memory is None:
            return
        self._stamp_others()
        every = blocks(self._names(), lambda start, stop: self._key_of(start, stop))
        said = self._memory.get_many([block.key for block in every])
        single: list[int] = []
        for block in every:
            if block.key not in said:
                self._blocks.append(block)
                single += range(block.start, block.stop)
                continue
            held = said.pop(block.key)
            table = [self._plain(one) for one in held["heads"]]
            self._heads[block.start : block.stop] = [table[at] for at in held["of"]]
            self.digests.put(block.start, held["sha256"])
            self._state[block.start : block.stop] = bytes([REMEMBERED]) * (block.stop - block.start)
        for start in range(0, len(single), LONGEST):
            part = single[start : start + LONGEST]
            keys = {k: self._key(text) for k in part if (text := self._text(k))}
            known = self._memory.get_many([*keys.values()])
            for k, key in keys.items():
                if (one := known.get(key)) is not None:
                    self._heads[k] = self._plain(one)
                    self.digests.put(k, one["sha256"])
                    self._state[k] = REMEMBERED
        for k in self._stamps:
            file, found = self._file(k), self.digests.get(k)
            if isinstance(file, Fetched) and found is not None:
                file.believe(found)

    def learn(self, row: int, frames: list[Frame]) -> None:
        """Take what a header said; it is kept for the next run where it is one plain image."""
        k, file = self._where[row], self.files[row].path
        self._heads[k] = frames
        if self._policy.volumes or not isinstance(file, Path | Fetched) or len(frames) != 1:
            return
        one = frames[0]
        if one.patient or one.slice_position is not None or one.number != 1 or not PLAIN.issuperset(one.columns):
            return
        self._heads[k] = self._plain(
            {
                "columns": dict(one.columns), "exif": one.exif, "wide": one.wide,
                "windowed": one.windowed, "stored": one.stored is not None, "revision": one.revision,
                "flags": list(one.flags), "shape": None if one.shape is None else list(one.shape),
            }
        )  # fmt: skip
        self._state[k] = LEARNT

    def save(self) -> None:
        """Write what was learnt of files whose bytes were hashed by now, and that did not change meanwhile."""
        if self._memory is None:
            return
        ready: dict[str, Any] = {}
        for k in [k for k, state in enumerate(self._state) if state == LEARNT]:
            text, file = self._text(k), self._file(k)
            found = file.sha256() if text and isinstance(file, Fetched) else self.digests.get(k)
            if text and found is None:
                continue
            if not text or (isinstance(file, Path) and _stamp(file, time.time()) != self._stamp(k)):
                self._state[k] = UNKNOWN
                continue
            ready[self._key(text)] = {"sha256": found, **_said(self._heads[k])}
            self._state[k] = REMEMBERED
            if len(ready) >= LONGEST:
                self._memory.put_many(ready)
                ready = {}
        self._memory.put_many(ready)
        self._save_blocks()

    def _save_blocks(self) -> None:
        """Write what is remembered of every file of a block as one, which the next run asks for instead of them."""
        assert self._memory is not None
        ready: dict[str, Any] = {}
        left: list[Block] = []
        for block in self._blocks:
            part = slice(block.start, block.stop)
            size = block.stop - block.start
            if size >= FEW and self._state[part].count(REMEMBERED) == size:
                heads = self._heads[part]
                table = {id(one): one for one in heads}
                numbers = {name: number for number, name in enumerate(table)}
                held = {
                    "heads": [_said(one) for one in table.values()], "of": [numbers[id(one)] for one in heads],
                    "sha256": self.digests.bytes[32 * block.start : 32 * block.stop].hex(),
                }  # fmt: skip
                ready[block.key] = held
            else:
                left.append(block)
            if len(ready) >= AT_ONCE:
                self._memory.put_many(ready)
                ready = {}
        self._memory.put_many(ready)
        self._blocks = left

    def _plain(self, said: Mapping[str, Any]) -> Plain:
        """One for all files of which the same is said."""
        values: dict[str, Any] = {name: said[name] for name in Plain.__slots__}
        text = json.dumps(values, sort_keys=True)
        if text not in self._interned:
            values["shape"] = None if said["shape"] is None else tuple(said["shape"])
            values["flags"] = tuple(said["flags"])
            self._interned[text] = Plain(**values)
        return self._interned[text]

    # ---- what tells of a change

    def _file(self, k: int) -> File:
        return self.files[self._first[k]].path

    def _names(self) -> Sequence[str]:
        """A text for each file, by which the list is cut into blocks."""
        return self.files.names if isinstance(self.files, Files) else [self.files[k].name for k in self._first]

    def _stamp_others(self) -> None:
        """Find out what the stores say of their objects, and the disk of files that a table names."""
        if isinstance(self.files, Files):
            return
        files = {k: self._file(k) for k in range(len(self._first))}
        objects = {k: file for k, file in files.items() if isinstance(file, Fetched)}
        if objects:
            with ThreadPoolExecutor(FETCHERS, thread_name_prefix="stamp") as pool:
                stamps = list(pool.map(Fetched.stamp, objects.values()))
            self._stamps = {k: stamp for k, stamp in zip(objects, stamps, strict=True) if stamp}
        for k, file in files.items():
            if isinstance(file, Path) and (stamp := _stamp(file, self._now)):
                self._stamps[k] = stamp

    def _stamp(self, k: int) -> str:
        """What would tell a change of a file, as it was listed; empty where nothing would."""
        if isinstance(self.files, Files):
            return _settled(self.files.facts[k].tolist(), self._now)
        return self._stamps.get(k, "")

    def _text(self, k: int) -> str:
        """What a file is known by; empty where a change would not show."""
        return "".join(self._texts(k, k + 1))

    def _texts(self, start: int, stop: int) -> list[str]:
        if isinstance(self.files, Files):
            folder, now = f"{self._here}\0{self.files.folder}{os.sep}", self._now
            rows = zip(self.files.names[start:stop], self.files.facts[start:stop].tolist(), strict=True)
            return [f"{folder}{name}\0{stamp}" if (stamp := _settled(facts, now)) else "" for name, facts in rows]
        found = []
        for k in range(start, stop):
            file, stamp = self._file(k), self._stamps.get(k, "")
            known = file.title if isinstance(file, Fetched) else f"{self._here}\0{file}"
            found.append(f"{known}\0{stamp}" if stamp else "")
        return found

    def _key_of(self, start: int, stop: int) -> str:
        """What a block is known by; one with a file of which a change would not show is never kept."""
        return self._key(key_of("block", self._texts(start, stop)))

    def _key(self, text: str) -> str:
        found = _begun(self._policy).copy()
        found.update(text.encode(errors="surrogatepass"))
        return found.hexdigest()


def _said(head: Any) -> dict[str, Any]:
    """A plain header as JSON."""
    assert isinstance(head, Plain)
    return {name: getattr(head, name) for name in Plain.__slots__}


def _stamp(path: Path, now: float) -> str:
    """What changes with a file: its size, times and number; empty where a change a moment from now would not show."""
    try:
        return _settled(facts_of(os.stat(path)), now)  # noqa: PTH116  twice as fast
    except (OSError, ValueError):
        return ""


def _settled(facts: Sequence[int], now: float) -> str:
    size, changed, status, number, _ = facts
    if size < 0 or max(changed, status) > (now - SETTLED) * 1e9:
        return ""
    return f"{size} {changed} {status} {number}"


@cache
def _begun(policy: DecodePolicy) -> Any:
    """A sha256 over what decides what a header says beside the file: the code and the policy."""
    return hashlib.sha256(f"headers\0{_code()}\0{json.dumps(policy.policy, sort_keys=True)}\0".encode())


@cache
def _code() -> str:
    """A digest of the decoders' sources: another code may read another thing in a header."""
    found = hashlib.sha256()
    for path in sorted(Path(decode.__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _read(file: Path | Fetched, policy: DecodePolicy, *, stored: bool) -> np.ndarray:
    """The pixels, or the numbers as they are stored, of the one image in a file."""
    with at(file) as here:
        frame = list_frames(here, policy, LastOpened())[0]
        read = frame.stored if stored else frame.read
        if read is None:
            raise DataError("its header says another thing than it did")
        return read()
