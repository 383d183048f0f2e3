"""Questions in Parquet files whose images lie inside them, read one at a time and never all at once."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks._base import DataError
from tasks.images.decode import LastOpened

IMAGE = re.compile(r"images?(_\d+)?", re.IGNORECASE)


class Stored(io.BytesIO):
    """The bytes of an image; error messages that print it say no address in memory."""

    def __repr__(self) -> str:
        return "'the file'"


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """An image inside a Parquet file: it stands where a path would, and its bytes are read when it is opened.

    `place` counts within a list of images; None where the column holds one image per row. `shelf` keeps the
    row group that was read last.
    """

    file: Path
    column: str
    group: int
    row: int
    place: int | None = None
    name: str = ""
    shelf: LastOpened = field(default_factory=LastOpened, compare=False, repr=False)

    def open(self, mode: str = "rb") -> Stored:  # noqa: ARG002 - there is nothing to write to
        """The image as a file; OSError where the Parquet file cannot be read any more."""
        return Stored(self.read_bytes())

    def read_bytes(self) -> bytes:
        """The image's bytes, as they were embedded."""
        cell = _column(self.file, self.column, self.group, self.shelf)[self.row]
        if self.place is not None:
            cell = cell.values[self.place]
        return (cell["bytes"] if hasattr(cell, "keys") else cell).as_py()


Place = Path | Embedded


def _column(file: Path, column: str, group: int, shelf: LastOpened) -> Any:
    key = (str(file), group)
    held = shelf.get(key, dict)
    if column not in held:
        held[column] = _file(file).read_row_group(group, columns=[column]).column(column)
    return held[column]


def _file(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        text = " ".join(str(error).replace(str(path), path.name).split())
        raise DataError(f"{path.name} cannot be read as Parquet: {text[:120]}") from None


def questions(path: Path, shelf: LastOpened) -> Iterator[tuple[dict[str, Any], list[Place]]]:
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
        fields = file.read_row_group(group, columns=plain).to_pylist()
        if not plain:
            fields = [{}] * file.metadata.row_group(group).num_rows
        for row, values in enumerate(fields):
            yield values, [p for name in holders for p in _places(path, name, group, row, shelf)]


def _places(path: Path, column: str, group: int, row: int, shelf: LastOpened) -> list[Place]:
    cell = _column(path, column, group, shelf)[row]
    if not cell.is_valid:
        return []
    many = hasattr(cell, "values") and not hasattr(cell, "keys")
    cells = [(i, c) for i, c in enumerate(cell.values or ())] if many else [(None, cell)]
    found: list[Place] = []
    for place, one in cells:
        inside = one if not hasattr(one, "keys") else one["bytes"]
        told = one["path"].as_py() if hasattr(one, "keys") and "path" in one.keys() else None  # noqa: SIM118
        if one.is_valid and inside.is_valid:
            name = Path(told or "").name
            found.append(Embedded(file=path, column=column, group=group, row=row, place=place, name=name, shelf=shelf))
        elif one.is_valid and told:
            found.append(path.parent / told)
    return found
