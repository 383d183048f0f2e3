"""Headers of safetensors files: the tensors, their types and shapes, and where their bytes lie."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from hub.errors import HubError

LIMIT = 100 << 20  # bytes of a header that can be meant
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
         "F32": 4, "I32": 4, "U32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A tensor of a file: how it is described there, and its bytes as offsets into the file."""

    file: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a safetensors file; `size` is the file's, in bytes."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    size: int


def header(file: str, read: Callable[[int, int], tuple[bytes, int]]) -> Header:
    """The header of a file, where `read(start, stop)` gives bytes of it and its size.

    Raises HubError where what it says cannot be.
    """
    first, size = read(0, 8)
    length = int.from_bytes(first, "little")
    if len(first) < 8 or not 2 <= length <= min(LIMIT, size - 8):
        raise HubError(f"{file} is not a complete weight file (its header has no length); fetch it again")
    try:
        found = json.loads(read(8, 8 + length)[0])
        metadata = found.pop("__metadata__", {})
        entries = {name: _entry(file, name, value, 8 + length) for name, value in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise HubError(f"{file} has a header that cannot be read ({type(error).__name__}); fetch it again") from None
    for entry in entries.values():
        if entry.dtype not in SIZES:
            raise HubError(f"tensor {entry.name} in {file} is of type {entry.dtype}, which is not known here")
        due, held = prod(entry.shape) * SIZES[entry.dtype], entry.stop - entry.start
        if due != held:
            raise HubError(
                f"tensor {entry.name} in {file} has {held} bytes where its shape {list(entry.shape)} of "
                f"{entry.dtype} has {due}; the file is damaged"
            )
        if entry.stop > size:
            raise HubError(
                f"{file} is not a complete weight file: tensor {entry.name} ends at byte {entry.stop} of {size}"
            )
    return Header(entries=entries, metadata=metadata, size=size)


def _entry(file: str, name: str, value: Any, data: int) -> Entry:
    start, stop = value["data_offsets"]
    shape = tuple(value["shape"])
    if any(type(n) is not int or n < 0 for n in (start, stop, *shape)):
        raise ValueError("a place or a length is no whole number")
    return Entry(file=file, name=name, dtype=str(value["dtype"]), shape=shape, start=data + start, stop=data + stop)


def local(path: Path) -> Header:
    """The header of a file on this machine."""

    def read(start: int, stop: int) -> tuple[bytes, int]:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start), path.stat().st_size

    return header(path.name, read)
