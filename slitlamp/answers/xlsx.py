"""The first sheet of an XLSX workbook, read with the standard library: text, numbers and booleans, no formulas."""

import lzma
import re
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from tasks import DataError

_SPACE = re.compile(r"\{[^}]*\}")
# what zipfile raises on an archive that is not as it was written: names that are no text are ValueErrors
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
LARGEST = 512 * 2**20  # bytes that a part may unpack to
WIDEST, CELLS = 2**14, 2**26  # columns that a sheet has at most (A to XFD), and places that its rows may span


def read_sheet(path: Path) -> list[list[str]]:
    """The rows of the first sheet, each value as text, a missing one as the empty text.

    Raises:
        DataError: the file is no workbook, is damaged, or unpacks to more than 512 MB.
    """
    try:
        with zipfile.ZipFile(path) as book:
            sheets = sorted(n for n in book.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", n))
            if not sheets:
                raise DataError(f"{path.name} is no XLSX workbook: it holds no sheet")
            first = min(sheets, key=lambda n: int(re.findall(r"\d+", n)[-1]))
            shared = (
                _shared(_part(book, "xl/sharedStrings.xml", path)) if "xl/sharedStrings.xml" in book.namelist() else []
            )
            return _rows(_part(book, first, path), shared)
    except (*DAMAGED, RuntimeError, ElementTree.ParseError, IndexError) as error:
        raise DataError(f"{path.name} cannot be read as XLSX ({error}); save the table as CSV") from None


def _part(book: zipfile.ZipFile, name: str, path: Path) -> ElementTree.Element:
    if book.getinfo(name).file_size > LARGEST:
        raise DataError(f"{path.name}: {name} unpacks to more than 512 MB")
    data = book.read(name)
    if b"<!DOCTYPE" in data[:4096]:
        raise DataError(f"{path.name}: {name} declares a document type, as no spreadsheet does")
    return ElementTree.fromstring(data)  # noqa: S314 - without a document type there is nothing to expand


def _tag(node: ElementTree.Element) -> str:
    return _SPACE.sub("", node.tag)


def _text(node: ElementTree.Element) -> str:
    """The text of a string with its runs; phonetic readings (rPh) are not part of it."""
    if _tag(node) == "rPh":
        return ""
    return ((node.text or "") if _tag(node) == "t" else "") + "".join(_text(child) for child in node)


def _shared(root: ElementTree.Element) -> list[str]:
    return [_text(node) for node in root if _tag(node) == "si"]


def _column(reference: str) -> int:
    letters = re.match(r"[A-Z]+", reference)
    number = 0
    for letter in letters[0] if letters else "A":
        number = 26 * number + ord(letter) - 64
    return number - 1


def _rows(root: ElementTree.Element, shared: list[str]) -> list[list[str]]:
    rows: list[list[str]] = []
    for node in (n for n in root.iter() if _tag(n) == "row"):
        row: list[str] = []
        for cell in node:
            place = _column(cell.get("r", "")) if cell.get("r") else len(row)
            if place >= WIDEST:
                raise ValueError(f"a cell at {str(cell.get('r'))[:20]}, behind column XFD")
            row += [""] * (place + 1 - len(row))
            row[place] = _value(cell, shared)
        rows.append(row)
    wide = max((len(row) for row in rows), default=0)
    if wide * len(rows) > CELLS:
        raise ValueError(f"{len(rows)} rows of {wide} columns, most of them empty")
    return [row + [""] * (wide - len(row)) for row in rows if any(row)]


def _value(cell: ElementTree.Element, shared: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return "".join(_text(child) for child in cell if _tag(child) == "is")
    text = next((child.text or "" for child in cell if _tag(child) == "v"), "")
    if kind == "s" and text:
        return shared[int(text)]
    if kind == "b":
        return "TRUE" if text == "1" else "FALSE"
    if kind == "n" and re.fullmatch(r"-?\d+\.0+", text):
        return text.partition(".")[0]
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda m: chr(int(m[1], 16)), text)
