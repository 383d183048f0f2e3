"""Files that the search for copies writes: a manifest with merged groups, and a sheet of the pairs."""

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache import write_atomically
from slitlamp.errors import UsageError
from slitlamp.reports.spreadsheet import as_csv
from tasks import DataError, Source
from tasks.sources.values import spelling

if TYPE_CHECKING:
    from tasks.duplicates.find import Pair
    from tasks.sources.files import Listed

TILE, LINE, ROWS = 192, 16, 12  # pixels of a picture and of a line of text; pairs on a sheet


def write_manifest(path: Path, spec: str, image_column: str | None, source: Source, groups: Sequence[str]) -> None:
    """Write a manifest, a CSV of the source's readable images and their new `groups`.

    A DICOM volume has a line for each slice. `file` is relative to the CSV, and every column that the source had
    follows; a `group` or `file` among them becomes `group_before` or `file_before`. It names the user's own files, as
    the user's own manifest does. Raises UsageError, DataError.
    """
    if source.benchmark:
        raise UsageError(f"--write has nothing to act on: {source.benchmark} has the groups it was published with")
    base = path.resolve().parent
    where = _files_of(spec, image_column, source)
    lost = [row.id for row in source.rows if row.id not in where]
    if lost:
        raise DataError(f"{len(lost)} of {len(source.rows)} images cannot be named by a manifest, the first {lost[0]}")
    if any(not isinstance(file.path, Path) for held in where.values() for file, _ in held):
        raise DataError("--write: images inside a tar or Parquet file, or in a store, are named by no CSV; save them")
    lines = [
        _line(group, file, frame, base)
        for row, group in zip(source.rows, groups, strict=True)
        for file, frame in where[row.id]
    ]
    write_atomically(path, as_csv(lines))


def _line(group: str, file: "Listed", frame: int | None, base: Path) -> dict[str, str]:
    own = {f"{spelling(k)}_before" if spelling(k) in ("file", "group") else k: v for k, v in file.columns.items()}
    own = {column: value for column, value in own.items() if spelling(column) != "frame"}
    number = {"frame": str(frame)} if frame is not None else {}
    return {"file": os.path.relpath(Path(str(file.path)).resolve(), base), "group": group, **number, **own}


def _files_of(spec: str, image_column: str | None, source: Source) -> dict[str, list[tuple["Listed", int | None]]]:
    """The file of each id, and its frame where the file holds several; of a volume all of its files."""
    from tasks import item_id, slices_of

    if "volumes" in source.policy:
        return slices_of(spec, image_column)
    ids = {row.id for row in source.rows}
    files, _ = asked_files(spec, image_column, ids)
    occurrences: Counter[tuple[str, int]] = Counter()
    found: dict[str, list[tuple[Listed, int | None]]] = {}
    for file in files:
        held = []
        for number in frame_numbers(file, ids):
            mine = item_id(file.name, number, occurrences[file.name, number])
            occurrences[file.name, number] += 1
            if mine in ids:
                held.append((mine, number))
        several = len(held) > 1 or file.frame is not None
        found |= {mine: [(file, number if several else None)] for mine, number in held}
    return found


def asked_files(spec: str, image_column: str | None, ids: set[str]) -> tuple[Sequence["Listed"], list[str] | None]:
    """The source's files and its manifest's columns; without the frames that rows name where those are not used."""
    from tasks import files_of, item_id

    files, _, _, columns = files_of(spec, image_column)
    later = [file for file in files if file.frame is not None and file.frame > 1]
    if not any(item_id(file.name, file.frame or 1) in ids for file in later):
        files = [replace(file, frame=None) if (file.frame or 1) > 1 else file for file in files]
    return files, columns


def frame_numbers(file: "Listed", ids: set[str]) -> Iterator[int]:
    """The frames of a file that are items of the source: the one that it names, or from 1 up."""
    from tasks import item_id

    if file.frame is not None:
        yield file.frame
        return
    number = 1
    while number == 1 or item_id(file.name, number) in ids:
        yield number
        number += 1


def write_sheet(path: Path, source: Source, pairs: Sequence["Pair"]) -> None:
    """Draw pairs side by side, at most ROWS in two columns, each above its ids and likeness; none draws nothing."""
    from PIL import Image, ImageDraw

    from tasks.duplicates.find import drawn

    if not pairs:
        return
    shown = pairs[: 2 * ROWS]
    high = -(-len(shown) // 2)
    page = Image.new("RGB", (4 * TILE + 24, high * (TILE + 2 * LINE)), "white")
    draw = ImageDraw.Draw(page)
    for k, pair in enumerate(shown):
        left, top = k % 2 * (2 * TILE + 24), k // 2 * (TILE + 2 * LINE)
        for side, place in enumerate((pair.first, pair.second)):
            picture = Image.fromarray(drawn(source.rows[place].picture.read())).convert("RGB")
            picture.thumbnail((TILE - 4, TILE - 4))
            page.paste(picture, (left + side * TILE, top))
            draw.text((left + side * TILE, top + TILE), _fitting(draw, source.rows[place].id), fill="black")
        draw.text((left, top + TILE + LINE - 3), f"{pair.kind}, {pair.alike:.3f} alike", fill="black")
    data = io.BytesIO()
    page.save(data, "PNG")
    write_atomically(path, data.getvalue())


def _fitting(draw: Any, name: str) -> str:
    """The end of a name that fits under its picture, letters that the font cannot show as `?`."""
    shown = "".join(c if c.isprintable() else "?" for c in name.encode("utf-8", "replace").decode())
    from PIL.ImageFont import FreeTypeFont

    if not isinstance(draw.getfont(), FreeTypeFont):  # Pillow without FreeType draws Latin letters alone
        shown = shown.encode("latin-1", "replace").decode("latin-1")
    while draw.textlength(shown) > TILE - 4:
        shown = shown[1:]
    return shown
