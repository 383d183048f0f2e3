"""What headers said in earlier runs, so that a file or object that did not change is not opened for them again.

An object is known by its address and by what its store says of it now (ETag or generation, size, time), a file by its
path, size, times and number; neither by its name alone. The digest of all bytes is remembered with the header. Nothing
that names a patient is kept: headers of DICOM are read again.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from stat import S_ISREG
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tasks._base import DataError
from tasks.images import decode
from tasks.images.content import Content
from tasks.images.decode import DecodePolicy, Frame, LastOpened, list_frames
from tasks.images.kinds import File
from tasks.sources.files import Listed
from tasks.sources.remote import FETCHERS, Fetched, at, content_of

PLAIN = frozenset(("exif_orientation",))  # columns that a remembered frame may have
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


class Headers:
    """Frames of files by what tells of a change; without a memory nothing is known and nothing is kept."""

    def __init__(self, memory: Memory | None, policy: DecodePolicy) -> None:
        self._memory, self._policy = memory, policy
        self._keys: dict[Path | Fetched, str] = {}
        self._stamps: dict[Path, str] = {}  # of files on this disk
        self._contents: dict[File, Content] = {}
        self._new: dict[Path | Fetched, dict[str, Any]] = {}

    def recall(self, files: Sequence[Listed]) -> dict[File, list[Frame]]:
        """The frames of those files that are known, as their headers said them; nothing is opened."""
        if self._memory is None or self._policy.volumes:
            return {}
        objects = list(dict.fromkeys(one.path for one in files if isinstance(one.path, Fetched)))
        if objects:
            with ThreadPoolExecutor(FETCHERS, thread_name_prefix="stamp") as pool:
                stamps = list(pool.map(Fetched.stamp, objects))
            self._keys = {one: self._key(one.title, stamp) for one, stamp in zip(objects, stamps, strict=True) if stamp}
        now, here = time.time(), os.getcwd()  # noqa: PTH109
        for one in files:
            if isinstance(one.path, Path) and one.path not in self._stamps:
                stamp = _stamp(one.path, one.facts, now)
                if stamp:
                    self._stamps[one.path] = stamp
                    self._keys[one.path] = self._key(here, str(one.path), stamp)
        known = self._memory.get_many([*self._keys.values()])
        found: dict[File, list[Frame]] = {}
        for path, key in self._keys.items():
            if (said := known.get(key)) is not None:
                if isinstance(path, Fetched):
                    path.believe(said["sha256"])
                else:
                    self._contents[path] = Content(path, said["sha256"])
                found[path] = [_frame(path, said, self._policy)]
        return found

    def _key(self, *parts: str) -> str:
        found = _begun(self._policy).copy()
        found.update("\0".join(parts).encode(errors="surrogatepass"))
        return found.hexdigest()

    def content(self, file: File) -> Content:
        """The digest of a file's bytes: what is remembered of an unchanged one, else what it is found to be."""
        if file not in self._contents:
            self._contents[file] = content_of(file)
        return self._contents[file]

    def learn(self, file: File, frames: Sequence[Frame]) -> None:
        """Keep what a header said for the next run, where it is one plain image."""
        if not isinstance(file, Path | Fetched) or file not in self._keys or len(frames) != 1:
            return
        one = frames[0]
        if one.patient or one.slice_position is not None or not PLAIN.issuperset(one.columns):
            return
        self._new[file] = {
            "columns": dict(one.columns), "exif": one.exif, "wide": one.wide,
            "windowed": one.windowed, "stored": one.stored is not None, "revision": one.revision,
            "flags": list(one.flags), "shape": None if one.shape is None else list(one.shape),
        }  # fmt: skip

    def save(self) -> None:
        """Write what was learnt of files whose bytes were hashed by now, and that did not change meanwhile."""
        if self._memory is None:
            return
        ready: dict[str, Any] = {}
        for file in list(self._new):
            if isinstance(file, Fetched):
                found = file.sha256()
            else:
                found = self.content(file).known
                if found is None:
                    continue
                if _stamp(file, None, time.time()) != self._stamps[file]:
                    del self._new[file]
                    continue
            ready[self._keys[file]] = {"sha256": found, **self._new.pop(file)}
        self._memory.put_many(ready)


def _stamp(path: Path, facts: os.stat_result | None, now: float) -> str:
    """What changes with a file: its size, times and number; empty where a change a moment from now would not show."""
    try:
        facts = facts or os.stat(path)  # noqa: PTH116  twice as fast
    except (OSError, ValueError):
        return ""
    if not S_ISREG(facts.st_mode) or max(facts.st_mtime, facts.st_ctime) > now - SETTLED:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"


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


def _frame(file: Path | Fetched, said: Mapping[str, Any], policy: DecodePolicy) -> Frame:
    return Frame(
        read=partial(_read, file, policy, stored=False),
        columns=said["columns"],
        exif=said["exif"],
        wide=said["wide"],
        windowed=said["windowed"],
        stored=partial(_read, file, policy, stored=True) if said["stored"] else None,
        revision=said["revision"],
        flags=tuple(said["flags"]),
        shape=None if said["shape"] is None else tuple(said["shape"]),
    )


def _read(file: Path | Fetched, policy: DecodePolicy, *, stored: bool) -> np.ndarray:
    """The pixels, or the numbers as they are stored, of the one image in a file."""
    with at(file) as here:
        frame = list_frames(here, policy, LastOpened())[0]
        read = frame.stored if stored else frame.read
        if read is None:
            raise DataError("its header says another thing than it did")
        return read()
