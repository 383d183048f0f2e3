"""Manifests: CSV, TSV and Parquet tables whose rows name image files."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from plugins import nearest
from tasks._base import DataError
from tasks.sources.cells import plain
from tasks.sources.values import spelling

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE_COLUMNS = (
    *("file", "path", "image", "filename", "file_name", "filepath", "file_path", "image_path"),
    *("image_file", "img", "img_path", "dicom", "dicom_path", "nifti"),
)
GROUP_COLUMNS = frozenset(map(spelling, (
    *("group", "patient_id", "patient", "subject", "subject_id", "study_id", "study", "case", "case_id", "participant"),
    *("participant_id", "person_id", "mrn", "pid", "slide_id", "video", "video_id", "sequence", "study_instance_uid"),
)))  # fmt: skip
USUAL = frozenset(map(spelling, IMAGE_COLUMNS))
TABLES = (".csv", ".tsv", ".parquet", ".pq")
ENDS = {".csv": ",", ".tsv": "\t"}


def one_column(name: str, columns: Iterable[str], source: str) -> str | None:
    """The column of that name, in whatever case and spelling; None where there is none, DataError where two are."""
    found = [c for c in columns if spelling(c) == spelling(name)]
    if len(found) > 1:
        raise DataError(
            f"{source} has two columns that may be {name!r}: {' and '.join(map(repr, found))}; rename all but one"
        )
    return found[0] if found else None


def no_column(name: str, columns: Sequence[str], source: str, flag: str = "") -> DataError:
    """The error for a column that is not there: the nearest name, and those present."""
    near = nearest(name, columns)
    hint = f"did you mean {near!r}? " if near else ""
    listing = ", ".join(columns) if columns else "none"
    return DataError(f"{flag + ' ' if flag else ''}{source} has no column {name!r}; {hint}it has: {listing}")


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a table, every value as stripped text, a missing one as the empty text.

    A CSV without commas in its header may be separated by semicolons or tabs. Raises DataError.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return _parquet(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _text(path, file.readlines())
    except UnicodeDecodeError:
        raise DataError(f"{path.name} is not UTF-8 text; save the table as UTF-8 CSV or Parquet") from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be opened ({error.strerror})") from None


def _text(path: Path, lines: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    head = lines[0] if lines else ""
    mark = ENDS.get(path.suffix.lower(), ",")
    if mark not in head:
        mark = max((",", ";", "\t"), key=head.count)
    reader = csv.reader(lines, delimiter=mark)
    try:
        columns = [_heading(plain(c)) for c in next(reader, [])]
        _unique(columns, path.name)
        rows = []
        for values in reader:
            if not any(v.strip() for v in values):
                continue
            if len(values) != len(columns):
                raise DataError(
                    f"{path.name} line {reader.line_num} has {len(values)} values for {len(columns)} columns"
                )
            _closed(values, mark, f"{path.name} line {reader.line_num}", columns)
            rows.append(dict(zip(columns, (plain(v).strip() for v in values), strict=True)))
    except csv.Error as error:
        raise DataError(f"{path.name} line {reader.line_num} is not CSV: {error}") from None
    return columns, rows


def _closed(values: Sequence[str], mark: str, where: str, columns: Sequence[str]) -> None:
    """Raises DataError where a cell holds whole rows, as it does behind a quotation mark that is not closed."""
    for column, cell in zip(columns, values, strict=True):
        for line in cell.splitlines()[1:]:
            inside = line.split(mark)
            ends = [(Path(a).suffix, Path(b).suffix) for a, b in zip(inside, values, strict=False) if a != b]
            if len(inside) == len(values) and any(a == b and a[1:].isalpha() for a, b in ends):
                raise DataError(
                    f"{where}: {column!r} holds whole rows ({line[:40]!r}): a quotation mark before them is not closed"
                )


def _unique(columns: Sequence[str], name: str) -> None:
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise DataError(f"{name} has more than one column {twice[0]!r}; rename all but one")


def _parquet(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    from pyarrow import parquet

    with parquet_errors(path):
        table = parquet.read_table(path)
    columns = [_heading(c) for c in table.column_names]
    _unique(columns, path.name)
    values = [_texts(table.column(i), f"{path.name} column {columns[i]!r}") for i in range(len(columns))]
    return columns, [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _texts(column: "pa.ChunkedArray", where: str) -> list[str]:
    """A column's values as text; times of nanoseconds, which Python has not, as Arrow writes them."""
    import pyarrow as pa

    try:
        return [_plain(value) for value in column.to_pylist()]
    except UnicodeDecodeError:
        row = next(k for k, value in enumerate(column.cast(pa.large_binary()).to_pylist(), 1) if not _is_text(value))
        raise DataError(f"{where} row {row} is not UTF-8 text") from None
    except ValueError:
        return [_plain(value) for value in column.cast(pa.string()).to_pylist()]


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or value.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """What pyarrow raises of a Parquet file, as one DataError that names the file without its folder."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        text = " ".join(str(error).replace(str(path), path.name).split())
        raise DataError(f"{path.name} cannot be read as Parquet: {text[:120]}") from None


def _plain(value: object) -> str:
    if value is None or value != value:  # NaN, which tables made by pandas hold for "missing"
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8").strip() if _is_text(value) else f"{len(value)} bytes"
    return str(value).strip()


def _heading(text: str) -> str:
    """A column's name in plain blanks, without the marks of format that do not print (a zero-width space)."""
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())


def image_column(columns: Sequence[str], chosen: str | None, name: str) -> str:
    """The column that names the files: the user's, or the first of the usual names; raises DataError."""
    if chosen is not None:
        if chosen not in columns:
            raise no_column(chosen, columns, name, "--image-column:")
        return chosen
    for usual in IMAGE_COLUMNS:
        found = one_column(usual, columns, name)
        if found is not None:
            return found
    raise DataError(
        f"{name} has no column that is known to name image files; say --image-column COLUMN, one of: "
        + ", ".join(columns)
    )


def other_images(table: Sequence[Mapping[str, str]], column: str) -> list[str]:
    """A sentence where another column of a usual name names other files than the one that is read."""
    name = lambda row, c: row[c].replace("\\", "/").rpartition("/")[2]  # noqa: E731
    for other in (c for c in table[0] if c != column and spelling(c) in USUAL):
        files = sum("." in name(row, other) for row in table)
        if 2 * files > len(table) and any(row[other] and name(row, other) != name(row, column) for row in table):
            return [f"images are read from the column {column!r}, not {other!r}; --image-column chooses"]
    return []


def like_groups(columns: Iterable[str]) -> list[str]:
    """Columns whose names suggest patients or other groups."""
    return [c for c in columns if spelling(c) in GROUP_COLUMNS]


def like_another(name: str, columns: Iterable[str], flag: str) -> list[str]:
    """A sentence where other columns have the name of one that was chosen, but for its spelling."""
    others = [c for c in columns if c != name and spelling(c) == spelling(name)]
    return (
        [f"{flag} {name!r} is not the column {' or '.join(map(repr, others))}, which is called alike"] if others else []
    )
