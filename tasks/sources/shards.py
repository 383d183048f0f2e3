"""Webdataset shards: tar files whose members of one key are a sample, read where they lie and never unpacked."""

import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from tasks._base import DataError
from tasks.images.kinds import SUFFIXES, suffix
from tasks.sources.embedded import Stored
from tasks.sources.files import Listed
from tasks.sources.remote import Fetched, at
from tasks.sources.table import as_heading

TAR = ".tar"
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd"}
BLOCK = 512  # bytes of a header
LONGEST = 1 << 20  # bytes of one header, and of one text beside an image
LARGEST = 1 << 31  # bytes of an image that is read in memory
TEXTS = ("json", "cls", "txt")
KEY = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)
RANGE = re.compile(r"\{([^{}]*)\}")
MANY = 1_000_000  # shards that a name with braces may stand for


@dataclass(frozen=True, eq=False)
class Member:
    """A file inside a tar: it stands where a path would, and is read by its place."""

    shard: Path | Fetched
    name: str
    offset: int
    size: int

    def __repr__(self) -> str:
        return f"{self.shard.name}/{self.name}"

    def read_bytes(self) -> bytes:
        """Its bytes; OSError, DataError."""
        if self.size > LARGEST:
            raise DataError(f"it has {self.size} bytes, more than an image that is read from inside a tar")
        with at(self.shard) as path, path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise DataError("its tar was cut while it was read")
        return data

    def open(self, mode: str = "rb") -> Stored:  # noqa: ARG002 - there is nothing to write to
        """It as a file in memory."""
        return Stored(self.read_bytes())

    @cached_property
    def _copy(self) -> Fetched:
        return Fetched(self.name.rpartition("/")[2], repr(self), lambda path: _write(path, self.read_bytes()))

    def local(self) -> AbstractContextManager[Path]:
        """A copy on this disk, for readers of files (DICOM, TIFF, NIfTI)."""
        return self._copy.local()


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


class _Headers(io.RawIOBase):
    """What tarfile reads of a tar: headers, none of them larger than the file or than any that is honest."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= LONGEST:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


def expanded(text: str) -> list[str]:
    """The names that a name with braces stands for, in order; itself where it has none.

    >>> expanded("a-{008..010}.tar"), expanded("{x,y}.tar")
    (['a-008.tar', 'a-009.tar', 'a-010.tar'], ['x.tar', 'y.tar'])

    Raises:
        DataError: a range runs backwards, or braces stand for too many names.
    """
    pieces = RANGE.split(text)
    choices: list[list[str]] = []
    count = 1
    for place, piece in enumerate(pieces):
        ends = re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", piece) if place % 2 else None
        if ends:
            first, last = int(ends[1]), int(ends[2])
            if last < first or last - first >= MANY:
                raise DataError(f"{{{piece}}}: a range runs up, over at most {MANY} numbers")
            choices.append([f"{k:0{len(ends[1])}d}" for k in range(first, last + 1)])
        elif place % 2:
            choices.append(piece.split(",") if "," in piece else [f"{{{piece}}}"])
        else:
            choices.append([piece])
        count *= len(choices[-1])
        if count > MANY:
            raise DataError(f"the braces stand for more than {MANY} names")
    return ["".join(parts) for parts in product(*choices)]


@dataclass(kw_only=True)
class _Sample:
    """The members of one key in one shard, by the end of their names behind the first dot."""

    key: str
    shard: Path | Fetched
    ends: dict[str, Member] = field(default_factory=dict)


def samples(shards: Sequence[Path | Fetched], chosen: str | None, name: str) -> tuple[
    list[Listed], list[str], list[str]
]:  # fmt: skip
    """The images of webdataset shards, sentences about what was passed over, and the columns.

    A sample is the members of one key, a name up to the first dot of its last part. `chosen` is the end of the image's
    name where samples hold several (`image.png`). Columns: those of `.json`, the texts of `.cls` and `.txt`, and
    `key`. Raises DataError in one line for what is no plain tar, is cut, or would be another sample for other readers.
    """
    found: list[_Sample] = []
    passed: Counter[str] = Counter()
    for shard in shards:
        found += _read(shard, passed)
    images = _images(found, chosen, name)
    passed["of samples without an image"] += sum(
        len(s.ends) for s, image in zip(found, images, strict=True) if not image
    )
    kept = [(sample, image) for sample, image in zip(found, images, strict=True) if image is not None]
    if not kept:
        raise DataError(f"{name} holds no image ({sum(passed.values())} other members)")
    rows = [_columns(sample) for sample, _ in kept]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    repeated = {one for one, count in Counter(image.name for _, image in kept).items() if count > 1}
    files = [
        Listed(
            path=image,
            name=f"{image.shard.name}/{image.name}" if image.name in repeated else image.name,
            shown=repr(image),
            columns=dict.fromkeys(columns, "") | row,
        )
        for (_, image), row in zip(kept, rows, strict=True)
    ]
    notes = [f"members of {name} that were passed over: " + ", ".join(f"{n} {what}" for what, n in sorted(
        (+passed).items()))] if +passed else []  # fmt: skip
    return files, notes, columns


def _read(shard: Path | Fetched, passed: Counter[str]) -> list[_Sample]:
    found: dict[str, _Sample] = {}
    for member in _members(shard, passed):
        match = KEY.fullmatch(member.name)
        if match is None:
            passed["without a key or an ending"] += 1
            continue
        key, end = match[1], match[2].lower()
        sample = found.setdefault(key, _Sample(key=key, shard=shard))
        if end in sample.ends:
            raise DataError(f"{shard.name} holds {member.name!r} twice; a sample has one member of each ending")
        sample.ends[end] = member
    return [*found.values()]


def _members(shard: Path | Fetched, passed: Counter[str]) -> Iterator[Member]:
    """The files of a tar in order; raises DataError where it is no plain tar, is cut or damaged."""
    with at(shard) as path, path.open("rb") as file:
        head, size = file.read(6), file.seek(0, 2)
        for magic, how in PACKED.items():
            if head.startswith(magic):
                raise DataError(f"{shard.name} is packed by {how}, so no member can be found by its place; unpack it")
        if not size:
            raise DataError(f"{shard.name} is empty: it holds 0 bytes")
        file.seek(0)
        try:
            yield from _walk(tarfile.open(fileobj=_Headers(file), mode="r:"), file, shard, size, passed)  # type: ignore[arg-type]  # noqa: SIM115
        except DataError:
            raise
        except (tarfile.TarError, ValueError, OverflowError, OSError, KeyError, RecursionError) as error:
            text = " ".join(str(error).split())[:80] or type(error).__name__
            raise DataError(f"{shard.name} cannot be read as a tar ({text})") from None


def _walk(tar: Any, file: Any, shard: Path | Fetched, size: int, passed: Counter[str]) -> Iterator[Member]:
    for one in tar:
        name = one.name.removeprefix("./")
        if one.size < 0 or one.offset_data + one.size > size:
            raise DataError(f"{shard.name} is cut: {name[:80]!r} is said to end at byte {one.offset_data + one.size}, "
                            f"and the file has {size}")  # fmt: skip
        if one.isdir():
            continue
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or "\0" in name:
            raise DataError(f"{shard.name} holds {one.name[:80]!r}, a name that leads out of it; make the shard anew")
        if not one.isreg() or one.issparse():
            passed["links, devices or sparse files"] += 1
            continue
        yield Member(shard, name, one.offset_data, one.size)
    file.seek(tar.offset)
    mark = file.read(BLOCK)
    if mark.strip(b"\0") or 0 < len(mark) < BLOCK:
        raise DataError(f"{shard.name} is damaged at byte {tar.offset}: there is no header of a member")
    if not mark:
        raise DataError(f"{shard.name} has no mark of its end, as one that was cut; make the shard anew")
    while rest := file.read(LONGEST):
        if rest.strip(b"\0"):
            raise DataError(f"{shard.name} goes on behind the mark of its end, as joined tars do; give them apart")


def _images(found: Sequence[_Sample], chosen: str | None, name: str) -> list[Member | None]:
    """The image of each sample, None where it holds none; DataError where one holds several and none is chosen."""
    wanted = chosen.lower().lstrip(".") if chosen is not None else None
    images: list[Member | None] = []
    for sample in found:
        ends = [end for end in sample.ends if suffix(f"x.{end}") in SUFFIXES]
        if wanted is not None:
            images.append(sample.ends.get(wanted))
            continue
        if len(ends) > 1:
            raise DataError(
                f"{name}: the sample {sample.key[:80]!r} holds {len(ends)} images; say --image-column ENDING, one of: "
                + ", ".join(ends)
            )
        images.append(sample.ends[ends[0]] if ends else None)
    if wanted is not None and not any(images):
        known = ", ".join(dict.fromkeys(end for sample in found[:100] for end in sample.ends))
        raise DataError(f"--image-column: no sample of {name} has a member .{wanted}; there are: {known}")
    return images


def _columns(sample: _Sample) -> dict[str, str]:
    """What a sample says of itself; DataError where its text cannot be read, or says a thing in two ways."""
    columns: dict[str, str] = {}
    for end in TEXTS:
        member = sample.ends.get(end)
        if member is None:
            continue
        where = repr(member)
        if member.size > LONGEST:
            raise DataError(f"{where} has {member.size} bytes; the text of one sample has at most {LONGEST}")
        try:
            text = member.read_bytes().decode("utf-8-sig")
            said = _of_json(text) if end == "json" else {end: text.strip()}
        except UnicodeDecodeError:
            raise DataError(f"{where} is not UTF-8 text") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not JSON ({' '.join(str(error).split())[:60]})") from None
        for column, value in said.items():
            if columns.setdefault(column, value) != value:
                raise DataError(f"{where}: {column!r} is {columns[column][:40]!r} and {value[:40]!r} in one sample")
    return {"key": sample.key, **columns}


def _of_json(text: str) -> dict[str, str]:
    """The fields of an object as texts, an empty one for null; what holds others stays JSON."""
    said = json.loads(text)
    if not isinstance(said, Mapping):
        return {"json": text.strip()}
    return {as_heading(str(key)): _text(value) for key, value in said.items()}


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value).strip()
