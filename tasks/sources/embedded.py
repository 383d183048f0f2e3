"""Images that lie inside Parquet files, read one at a time and never all at once."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks._base import DataError
from tasks.images.decode import LastOpened
from tasks.images.kinds import File, kind
from tasks.sources.remote import Fetched, at
from tasks.sources.table import as_heading, image_holders, parquet_errors

IMAGE = re.compile(r"images?(_\d+)?", re.IGNORECASE)


class Stored(io.BytesIO):
    """The bytes of an image; error messages that print it say no address in memory."""

    def __repr__(self) -> str:
        return "'the file'"


@dataclass(frozen=True)
class Beginning:
    """The first bytes of a file, by which its kind is told."""

    name: str
    data: bytes

    def open(self, mode: str = "rb") -> Stored:  # noqa: ARG002 - there is nothing to write to
        """They as a file."""
        return Stored(self.data)

    def read_bytes(self) -> bytes:
        """They."""
        return self.data


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """An image inside a Parquet file: it stands where a path would, and its bytes are read when it is opened.

    `index` counts within a list of images; None where the column holds one image per row. `last_opened` keeps the
    row group that was read last.
    """

    file: Path | Fetched
    column: str
    group: int
    row: int
    index: int | None = None
    name: str = ""
    last_opened: LastOpened = field(default_factory=LastOpened, compare=False, repr=False)

    def open(self, mode: str = "rb") -> Stored:  # noqa: ARG002 - there is nothing to write to
        """The image as a file; OSError where the Parquet file cannot be read any more."""
        return Stored(self.read_bytes())

    def read_bytes(self) -> bytes:
        """The image's bytes, as they were embedded."""
        cell = _column(self.file, self.column, self.group, self.last_opened)[self.row]
        if self.index is not None:
            cell = cell.values[self.index]
        return (cell["bytes"] if hasattr(cell, "keys") else cell).as_py()


def _column(file: Path | Fetched, column: str, group: int, last_opened: LastOpened) -> Any:
    held = last_opened.get((file, group), dict)
    if column not in held:
        with at(file) as here, parquet_errors(here):
            held[column] = _file(here).read_row_group(group, columns=[column]).column(column)
    return held[column]


def _file(path: Path) -> Any:
    from pyarrow import parquet

    with parquet_errors(path):
        opened = parquet.ParquetFile(path)
        opened.schema_arrow  # noqa: B018 - read now, where it cannot be
        return opened


def questions(path: Path, last_opened: LastOpened) -> Iterator[tuple[dict[str, Any], list[File]]]:
    """Each row of a Parquet file: its plain fields, and where its images are, in the order of their columns.

    Images are structs of `bytes` and `path` (a path counts where there are no bytes), lists of them, or bare
    bytes, in columns called `image`, `images` or `image_1` …; a null is no image. Raises DataError.
    """
    import pyarrow as pa

    file = _file(path)
    schema = file.schema_arrow
    holders = [
        name for name in schema.names if IMAGE.fullmatch(name) and not pa.types.is_string(schema.field(name).type)
    ]
    holders.sort(key=lambda name: int((re.findall(r"\d+", name) or ["0"])[0]))
    plain = [name for name in schema.names if name not in holders]
    for group in range(file.num_row_groups):
        with parquet_errors(path):
            fields = file.read_row_group(group, columns=plain).to_pylist()
        if not plain:
            fields = [{}] * file.metadata.row_group(group).num_rows
        for row, values in enumerate(fields):
            yield values, [p for name in holders for p in _embedded(path, name, group, row, last_opened)]


def images(place: Path | Fetched, heading: str) -> list[File | None] | None:
    """The image of each row in the column with that heading, None of a null; None where it names files in text.

    Raises DataError where a row holds several, or the column something else.
    """
    with at(place) as path:
        return _images(path, place, heading)


def _images(path: Path, place: Path | Fetched, heading: str) -> list[File | None] | None:
    import pyarrow as pa

    file = _file(path)
    column = next(name for name in file.schema_arrow.names if as_heading(name) == heading)
    held = file.schema_arrow.field(column).type
    bare = pa.types.is_binary(held) or pa.types.is_large_binary(held)
    if column not in image_holders(file.schema_arrow) and not bare:
        if pa.types.is_nested(held):
            raise DataError(f"{path.name} column {heading!r} holds {held}, not images or their names"[:300])
        return None
    last_opened = LastOpened()
    found: list[File | None] = []
    for group in range(file.num_row_groups):
        for row in range(file.metadata.row_group(group).num_rows):
            one = _embedded(place, column, group, row, last_opened)
            if len(one) > 1:
                raise DataError(
                    f"{path.name} column {heading!r} row {len(found) + 1} holds {len(one)} images; a row is one image"
                )
            found.append(one[0] if one else None)
        if bare and found and not any(isinstance(one, Embedded) and kind(one) is not None for one in found):
            return None  # names of files, as bytes
    return found


def _embedded(path: Path | Fetched, column: str, group: int, row: int, last_opened: LastOpened) -> list[File]:
    cell = _column(path, column, group, last_opened)[row]
    if not cell.is_valid:
        return []
    many = hasattr(cell, "values") and not hasattr(cell, "keys")
    cells = [(i, c) for i, c in enumerate(cell.values or ())] if many else [(None, cell)]
    found: list[File] = []
    for index, one in cells:
        content = one if not hasattr(one, "keys") else one["bytes"]
        path_in_table = one["path"].as_py() if hasattr(one, "keys") and "path" in one.keys() else None  # noqa: SIM118
        if one.is_valid and content.is_valid:
            name = Path(path_in_table or "").name
            found.append(
                Embedded(
                    file=path, column=column, group=group, row=row, index=index, name=name, last_opened=last_opened
                )
            )
        elif one.is_valid and path_in_table and isinstance(path, Path):
            found.append(path.parent / path_in_table)
    return found
