"""Files of a source: those of a folder in natural order, or those that a manifest names."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from plugins import nearest
from tasks._base import DataError
from tasks.images.kinds import SUFFIXES, File, kind, suffix
from tasks.sources.table import TABLES

MANIFESTS = tuple(f"{stem}{end}" for stem in ("manifest", "metadata") for end in TABLES)
NEVER = ("dicomdir", "thumbs.db", "desktop.ini")
TEXTS = (".txt", ".md", ".json", ".csv", ".tsv", ".parquet", ".xml", ".html", ".pdf", ".yaml", ".log", ".py")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A file of a source: where it lies, its name inside the source, and what the manifest says of it.

    `folder` is the name of the folder that the manifest's row names instead of the file; `shown` is what a message
    calls it, where that is not its name.
    """

    path: File
    name: str
    columns: dict[str, str] = field(default_factory=dict)
    frame: int | None = None
    folder: str = ""
    shown: str = ""


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key that puts 2 before 10.

    >>> sorted(["b10.png", "b2.png", "a/1.png"], key=natural)
    ['a/1.png', 'b2.png', 'b10.png']
    """
    parts = re.split(r"(\d+)", name)
    return [(1, int(p), p) if p.isdecimal() else (0, 0, p.casefold()) for p in parts]


def missing(spec: str) -> DataError:
    """The error for a path that is not there, with the nearest of its neighbours."""
    path = Path(spec)
    try:
        neighbours = [p.name for p in path.parent.iterdir()] if path.name and path.parent.is_dir() else []
    except OSError:
        neighbours = []
    near = nearest(path.name, neighbours)
    hint = f"; did you mean {path.parent / near}?" if near else ""
    takes = "; --data takes a folder, a manifest, a DICOM tree, a NIfTI file or a benchmark"
    return DataError(f"no file or folder {spec!r}{hint or takes}")


def manifest_of(folder: Path) -> Path | None:
    """The manifest that lies in a folder and speaks for it; DataError where there are two."""
    found = [folder / name for name in MANIFESTS if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(p.name for p in found[:2])
        raise DataError(f"the folder holds {names}; name the one to use as --data")
    return found[0] if found else None


def walk(folder: Path) -> tuple[list[Listed], dict[str, int]]:
    """The image files below a folder in natural order, and a count of what was passed over, by ending.

    Columns: `folder`, the first folder below the source, and `parent`, the one that holds the file.
    """
    names: list[str] = []
    for base, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [f for f in folders if not f.startswith(".") and f != "__MACOSX"]
        relative = Path(base).relative_to(folder)
        names += [(relative / f).as_posix() for f in files if not f.startswith(".")]
    kept: list[Listed] = []
    passed: dict[str, int] = {}
    for name in sorted(names, key=natural):
        path = folder / name
        if path.name.lower() in NEVER:
            continue
        end = suffix(name)
        if end not in SUFFIXES and (end in TEXTS or not _image(path)):
            passed[end or "no ending"] = passed.get(end or "no ending", 0) + 1
            continue
        above = Path(name).parts[:-1]
        columns = {"folder": above[0] if above else "", "parent": above[-1] if above else ""}
        kept.append(Listed(path=path, name=name, columns=columns))
    return kept, passed


def _image(path: Path) -> bool:
    try:
        return kind(path) is not None
    except OSError:
        return True  # listed now, so that it is met again as unreadable


def _refuse(error: OSError) -> None:
    raise DataError(f"a folder of the source cannot be opened ({error.strerror})")


def listed(table: list[dict[str, str]], column: str, base: Path) -> list[Listed]:
    """The files that a manifest names, relative to where it lies, in its order.

    A column `frame` (counted from 1) picks one frame where the file holds several.
    """
    found = []
    for values in table:
        text = values[column]
        path = base / text
        inside = os.path.relpath(path, base) if text else ""
        frame = values.get("frame", "")
        found.append(
            Listed(
                path=path,
                name=Path(inside).as_posix() if text else "",
                columns={k: v for k, v in values.items() if k != column},
                frame=int(frame) if frame.isdecimal() else None,
            )
        )
    return found
