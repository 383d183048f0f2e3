"""Manifests: CSV, TSV and Parquet tables whose rows name image files, with the habits of spreadsheets."""

import codecs
import contextlib
import csv
import io
import json
import re
import stat
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
PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".tsv", *PARQUET)
ENDS = {".csv": ",", ".tsv": "\t"}
MARKS = (",", ";", "\t", "|")  # between the values of a line
SEPARATOR = re.compile(r"[\"']?sep=(.)[\"']?\s*", re.IGNORECASE)  # the first line of a table that Excel is to split so
QUOTED = re.compile(r'"(?:[^"]|"")*"')
TRIED = 50  # rows by which a separator is held against the header
LONG, MANY = 120, 40  # letters of a name, and names, that an error shows
UNICODE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def one_column(name: str, columns: Iterable[str], source: str) -> str | None:
    """The column of that name, in whatever case and spelling; None where there is none, DataError where two are."""
    found = [c for c in columns if spelling(c) == spelling(name)]
    if len(found) > 1:
        raise DataError(
            f"{source} has two columns that may be {name!r}: {' and '.join(map(repr, found))}; rename all but one"
        )
    return found[0] if found else None


def short(text: str) -> str:
    """The beginning of a text that is longer than any name should be."""
    return text if len(text) <= LONG else f"{text[:LONG]}…"


def _listing(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - MANY} more" if len(columns) > MANY else ""
    return (", ".join(map(short, columns[:MANY])) or "none") + more


def no_column(name: str, columns: Sequence[str], source: str, flag: str = "") -> DataError:
    """The error for a column that is not there: the nearest name, and those present."""
    near = nearest(name, columns)
    hint = f"did you mean {near!r}? " if near else ""
    listing = _listing(columns)
    return DataError(f"{flag + ' ' if flag else ''}{source} has no column {short(name)!r}; {hint}it has: {listing}")


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a table, every value as stripped text, a missing one as the empty text.

    The separator of a CSV is the one that its first line names (`sep=;`), else the one that splits its rows as it
    splits its header. Columns without a name and without values are left out. An image that lies in a Parquet file
    is called by the path that it has there. Raises DataError.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path.name} is a folder, pipe, socket or device, which is no regular file")
        if path.suffix.lower() in PARQUET:
            return _parquet(path)
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be opened ({error.strerror})") from None
    try:
        lines = table_lines(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        if data.startswith(UNICODE):
            raise DataError(f"{path.name} is UTF-16 text; save the table as UTF-8 CSV or Parquet") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path.name} line {line} is not UTF-8 text; save the table as UTF-8 CSV or Parquet") from None
    return _text(path, lines)


def split_lines(lines: Sequence[str], usual: str = ",") -> tuple[Sequence[str], str, int]:
    """The lines of a table, what separates their values, and how many lines before them only said so.

    >>> split_lines(["sep=;", "file;note"])[1:], split_lines(['file;"a, b"', "1,5;2"])[1:]
    ((';', 1), (';', 0))
    """
    said = SEPARATOR.fullmatch(lines[0].lstrip("\ufeff")) if lines else None
    if said:
        return lines[1:], said[1], 1
    head = QUOTED.sub("", "".join(lines[:TRIED])).partition("\n")[0]
    fits: dict[str, list[str]] = {}
    for mark in sorted((mark for mark in MARKS if mark in head), key=lambda mark: (mark != usual, -head.count(mark))):
        with contextlib.suppress(csv.Error):
            rows = [row for row in csv.reader(lines[:TRIED], delimiter=mark) if any(map(str.strip, row))]
            whole = rows if len(lines) <= TRIED else rows[:-1]  # the last one may be cut
            if len(whole) > 1 and {len(row) for row in whole} == {len(whole[0])}:
                fits[mark] = whole[0]
    known = [mark for mark, columns in fits.items() if any(spelling(c) in USUAL for c in columns)]
    return lines, next(iter([*known, *fits]), usual if usual in head else max(MARKS, key=head.count)), 0


def table_lines(text: str) -> list[str]:
    """The lines of a text with their ends; of all that `str.splitlines` takes for an end only CR and LF are one."""
    return io.StringIO(text, newline="").readlines()


def _text(path: Path, given: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    lines, mark, before = split_lines(given, ENDS.get(path.suffix.lower(), ","))
    reader = csv.reader(lines, delimiter=mark)
    try:
        columns = [as_heading(plain(c)) for c in next(reader, [])]
        rows: list[list[str]] = []
        for values in reader:
            if not any(v.strip() for v in values):
                continue
            where = f"{path.name} line {reader.line_num + before}"
            if len(values) > len(columns) and not any(v.strip() for v in values[len(columns) :]):
                values = values[: len(columns)]
            if len(values) != len(columns):
                raise DataError(f"{where} has {len(values)} values for {len(columns)} columns")
            _closed(values, mark, where, columns)
            rows.append([plain(v).strip() for v in values])
    except csv.Error as error:
        raise DataError(f"{path.name} line {reader.line_num + before} is not CSV: {error}") from None
    return _table(columns, rows, path.name)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], name: str) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows without nameless columns that hold nothing; DataError where two columns are called alike."""
    kept = [k for k, c in enumerate(columns) if c or any(row[k] for row in rows)]
    bare = [k + 1 for k in kept if not columns[k]]
    if len(bare) > 1:
        raise DataError(f"{name} has values in columns {bare[0]} and {bare[1]}, which have no name; name or empty them")
    named = [columns[k] for k in kept]
    _unique(named, name)
    return named, [dict(zip(named, (row[k] for k in kept), strict=True)) for row in rows]


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
    """A Parquet table; of columns that hold images nothing is read but the paths that they name."""
    from pyarrow import parquet
    from pyarrow.compute import struct_field

    with parquet_errors(path):
        file = parquet.ParquetFile(path)
        schema, count = file.schema_arrow, file.metadata.num_rows
        columns = [as_heading(c) for c in schema.names]
        _unique([c for c in columns if c], path.name)
        holders = image_holders(schema)
        paths = [f"{name}.path" for name in holders if _has_path(schema.field(name).type)]
        table = file.read(columns=[*(name for name in schema.names if name not in holders), *paths])
    names, values = class_names(schema), []
    for name, heading in zip(schema.names, columns, strict=True):
        if name in holders:
            held = struct_field(table.column(name), "path") if f"{name}.path" in paths else None
            values.append([""] * count if held is None else _texts(held, f"{path.name} column {heading + '.path'!r}"))
        else:
            where = f"{path.name} column {heading!r}"
            texts = _texts(table.column(name), where)
            values.append(_named(texts, names[name], where) if name in names else texts)
    return _table(columns, [*zip(*values, strict=True)], path.name)


def class_names(schema: "pa.Schema") -> dict[str, list[str]]:
    """The names of the classes of columns that hold their numbers, as the hub's `datasets` library notes them."""
    noted = (schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(noted)["info"]["features"] if noted else {}
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
            and column in schema.names
        }  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # a note of another kind


def _named(texts: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """The names of classes given by their numbers from 0; -1 is a missing one. Raises DataError."""
    known = {str(k): name for k, name in enumerate(names)} | {"": "", "-1": ""}
    for row, text in enumerate(texts, 1):
        if text not in known:
            raise DataError(f"{where} row {row} is {short(text)!r}; its note names classes 0 to {len(names) - 1}")
    return [known[text] for text in texts]


def image_holders(schema: "pa.Schema") -> list[str]:
    """The columns of a Parquet file that hold images: structs of `bytes` (and a `path`), and lists of them."""
    return [field.name for field in schema if _holds_bytes(field.type)]


def held_images(path: Path) -> list[str]:
    """The headings of the columns of a Parquet file that hold images, one a row or several."""
    from pyarrow import parquet

    with parquet_errors(path):
        schema = parquet.ParquetFile(path).schema_arrow
        return [as_heading(name) for name in image_holders(schema)]


def _holds_bytes(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _holds_bytes(kind.value_type)
    return pa.types.is_struct(kind) and any(
        field.name == "bytes" and (pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))
        for field in kind
    )


def _has_path(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_struct(kind) and any(field.name == "path" for field in kind)


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
    except (pa.ArrowException, OSError, ValueError) as error:  # a name that is no UTF-8 is a ValueError
        text = " ".join(str(error).replace(str(path), path.name).split())
        raise DataError(f"{path.name} cannot be read as Parquet: {text[:120]}") from None


def _plain(value: object) -> str:
    if value is None or value != value:  # NaN, which tables made by pandas hold for "missing"
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8").strip() if _is_text(value) else f"{len(value)} bytes"
    return str(value).strip()


def as_heading(text: str) -> str:
    """A column's name in plain blanks, without the marks of format that do not print (a zero-width space)."""
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())


def image_column(columns: Sequence[str], chosen: str | None, name: str, held: Sequence[str] = ()) -> str:
    """The column that names the files: the user's, the first of the usual names, or the one that holds images.

    Raises DataError.
    """
    if chosen is not None:
        if chosen not in columns:
            raise no_column(chosen, columns, name, "--image-column:")
        return chosen
    for usual in IMAGE_COLUMNS:
        found = one_column(usual, columns, name)
        if found is not None:
            return found
    if len(held) == 1:
        return held[0]
    raise DataError(
        f"{name} has no column that is known to name image files; say --image-column COLUMN, one of: "
        + _listing(columns)
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
