"""What headers of objects said in earlier runs, so that an object that did not change is not fetched for them again.

An object is known by its address and by what its store says of it now (ETag or generation, size, time), never by its
address alone. Nothing that names a patient is kept: headers of DICOM are read again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tasks._base import DataError
from tasks.images import decode
from tasks.images.decode import DecodePolicy, Frame, LastOpened, digest, list_frames
from tasks.images.kinds import File
from tasks.sources.remote import FETCHERS, Fetched

PLAIN = frozenset(("exif_orientation",))  # columns that a remembered frame may have


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
    """Frames of objects by what the store says of them; without a memory nothing is known and nothing is kept."""

    def __init__(self, memory: Memory | None, policy: DecodePolicy) -> None:
        self._memory, self._policy = memory, policy
        self._keys: dict[Fetched, str] = {}
        self._new: dict[str, Any] = {}

    def recall(self, files: Sequence[File]) -> dict[File, list[Frame]]:
        """The frames of those files that are known, as their headers said them; nothing is fetched."""
        mine = list(dict.fromkeys(one for one in files if isinstance(one, Fetched)))
        if self._memory is None or self._policy.volumes or not mine:
            return {}
        with ThreadPoolExecutor(FETCHERS, thread_name_prefix="stamp") as pool:
            stamps = list(pool.map(Fetched.stamp, mine))
        policy = json.dumps(self._policy.policy, sort_keys=True)
        self._keys = {
            one: digest("headers", _code(), policy, one.title, stamp)
            for one, stamp in zip(mine, stamps, strict=True)
            if stamp
        }
        known = self._memory.get_many([*self._keys.values()])
        found: dict[File, list[Frame]] = {}
        for one, key in self._keys.items():
            if key in known:
                one.believe(known[key]["sha256"])
                found[one] = [_frame(one, known[key], self._policy)]
        return found

    def learn(self, file: File, frames: Sequence[Frame]) -> None:
        """Keep what a header said for the next run, where it is one plain image."""
        if not isinstance(file, Fetched) or file not in self._keys or len(frames) != 1:
            return
        one = frames[0]
        if one.patient or one.slice_position is not None or not PLAIN.issuperset(one.columns):
            return
        self._new[self._keys[file]] = {
            "sha256": file.sha256(), "columns": dict(one.columns), "exif": one.exif, "wide": one.wide,
            "windowed": one.windowed, "stored": one.stored is not None, "revision": one.revision,
            "flags": list(one.flags), "shape": None if one.shape is None else list(one.shape),
        }  # fmt: skip

    def save(self) -> None:
        """Write what was learnt."""
        if self._memory is not None:
            self._memory.put_many(self._new)
            self._new = {}


@cache
def _code() -> str:
    """A digest of the decoders' sources: another code may read another thing in a header."""
    found = hashlib.sha256()
    for path in sorted(Path(decode.__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _frame(file: Fetched, said: Mapping[str, Any], policy: DecodePolicy) -> Frame:
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


def _read(file: Fetched, policy: DecodePolicy, *, stored: bool) -> np.ndarray:
    """The pixels, or the numbers as they are stored, of the one image in a file."""
    with file.local() as here:
        frame = list_frames(here, policy, LastOpened())[0]
        read = frame.stored if stored else frame.read
        if read is None:
            raise DataError("its header says another thing than it did")
        return read()
