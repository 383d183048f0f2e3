"""Files of a source: those of a folder in natural order, or those that a manifest names."""

import contextlib
import os
import re
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

import numpy as np

from plugins import nearest
from tasks._base import DataError
from tasks.images.kinds import SUFFIXES, File, kind, suffix
from tasks.sources.made import Made
from tasks.sources.table import TABLES, one_column
from tasks.sources.values import frame_number, is_missing

MANIFESTS = tuple(f"{stem}{end}" for stem in ("manifest", "metadata") for end in TABLES)
DIGITS = re.compile(r"(\d+)")
LARGEST = (1 << 63) - 1  # of the numbers of files that are kept: some systems have longer ones
NEVER = ("dicomdir", "thumbs.db", "desktop.ini")
TEXTS = (".txt", ".md", ".json", ".csv", ".tsv", ".parquet", ".xml", ".html", ".pdf", ".yaml", ".log", ".py")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A file of a source: where it lies, its name inside the source, and what the manifest says of it.

    `folder` is the name of the folder that the manifest's row names instead of the file; `shown` is what a message
    calls it, where that is not its name; `row` counts the manifest's rows from 1, below the line of column names;
    `missing` is what may be wrong with a name that leads nowhere.
    """

    path: File
    name: str
    columns: dict[str, str] = field(default_factory=dict)
    frame: int | None = None
    folder: str = ""
    shown: str = ""
    row: int = 0
    missing: str = ""

    @property
    def place(self) -> str:
        """Where the manifest names it; empty without a manifest."""
        return f"row {self.row}" if self.row else ""


@dataclass(frozen=True, kw_only=True)
class Named:
    """Where a name in a table leads: the file, its name inside the source, and what may be wrong with the name."""

    path: File
    name: str
    missing: str = ""


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key that puts 2 before 10.

    >>> sorted(["b10.png", "b2.png", "a/1.png"], key=natural)
    ['a/1.png', 'b2.png', 'b10.png']
    """
    parts = DIGITS.split(name)
    return [(1, int(p[:4000]), p) if p.isdecimal() else (0, 0, p.casefold()) for p in parts]


def in_natural_order(name: str) -> str:
    """A text that stands to those of other names as `natural` of a name does: one text is small, and quick to compare.

    That of two parts of a name is that of both together, where no number is cut.

    >>> sorted(["b10.png", "b2.png", "a/1.png"], key=in_natural_order)
    ['a/1.png', 'b2.png', 'b10.png']
    """
    return DIGITS.sub(_ordered, name.casefold())


def _ordered(digits: re.Match[str]) -> str:
    number = str(int(digits[0][:4000]))
    return f"\0{chr(len(number))}{number}{digits[0]}\0"  # no name holds a NUL


def missing(spec: str) -> DataError:
    """The error for a path that is not there, with the nearest of its neighbours."""
    path = Path(spec)
    try:
        neighbours = [p.name for p in path.parent.iterdir()] if path.name and path.parent.is_dir() else []
    except OSError:
        neighbours = []
    near = nearest(path.name, neighbours)
    hint = f"; did you mean {path.parent / near}?" if near else ""
    takes = "; --data takes a folder, a manifest, tars, a DICOM tree, a NIfTI file, an address or a benchmark"
    return DataError(f"no file or folder {spec!r}{hint or takes}")


def manifest_of(folder: Path) -> Path | None:
    """The manifest that lies in a folder and speaks for it; DataError where there are two."""
    found = [folder / name for name in MANIFESTS if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(p.name for p in found[:2])
        raise DataError(f"the folder holds {names}; name the one to use as --data")
    return found[0] if found else None


class Files(Made[Listed]):
    """The files that were found below a folder, as columns; a `Listed` is made when it is asked for.

    `names` [n] are relative to the folder; `facts` [n, 5] int64 are size, times of change of bytes and of status in ns,
    number and device of each: size -1 of what is no regular file, number -1 where nothing could be asked.
    """

    def __init__(self, folder: Path, names: list[str], facts: np.ndarray) -> None:
        self.folder, self.names, self.facts = folder, names, facts
        self._columns: dict[str, dict[str, str]] = {}  # one for the files of a folder
        super().__init__(len(names), self._listed)

    def _listed(self, k: int) -> Listed:
        name = self.names[k]
        return Listed(path=self.folder / name, name=name, columns=self.columns(name))

    def path(self, k: int) -> Path:
        """Where a file lies."""
        return self.folder / self.names[k]

    def columns(self, name: str) -> dict[str, str]:
        """What the place of a file says of it: `folder`, the first below the source, and `parent`, which holds it."""
        above = name.rpartition("/")[0]
        if above not in self._columns:
            self._columns[above] = {"folder": above.partition("/")[0], "parent": above.rpartition("/")[2]}
        return self._columns[above]


def walk(folder: Path) -> tuple[Files, dict[str, int], list[str]]:
    """The image files below a folder in natural order, a count of what was passed over by ending, and notes on links.

    Links are followed. A folder that is reached twice is read once, under its own name before that of a link, so
    that loops end. Columns: `folder`, the first folder below the source, and `parent`, the one that holds the file.
    """
    names: list[str] = []
    order: list[str] = []
    facts = array("q")
    passed: dict[str, int] = {}
    nowhere: list[str] = []
    again = 0
    for above, entries in _folders(folder):
        if entries is None:
            again += 1
            continue
        start = f"{above}/" if above else ""
        before = in_natural_order(start)
        for one in entries:
            last = one.name
            if last.lower() in NEVER:
                continue
            end = suffix(last)
            if end not in SUFFIXES:
                path = Path(one.path)
                if path.is_symlink() and not path.exists():
                    nowhere.append(start + last)
                    continue
                if not path.is_file():
                    end = "pipe, socket or device"
                if end in TEXTS or not path.is_file() or not _image(path):
                    passed[end or "no ending"] = passed.get(end or "no ending", 0) + 1
                    continue
            names.append(start + last)
            order.append(before + in_natural_order(last))
            facts.extend(_facts(one))
    places = sorted(range(len(names)), key=order.__getitem__)
    kept = Files(folder, [names[k] for k in places], np.array(facts, np.int64).reshape(-1, 5)[places])
    notes = []
    more = _twice(kept.facts)
    if more:
        notes.append(f"{more} of {len(kept)} files are links to one that has another name here, and are images too")
    if again:
        folders, lead = ("folder", "leads") if again == 1 else ("folders", "lead")
        notes.append(f"{again} linked {folders} {lead} to one that is read already")
    if nowhere:
        nowhere.sort(key=natural)
        shown = ", ".join(nowhere[:3]) + (f" and {len(nowhere) - 3} more" if len(nowhere) > 3 else "")
        notes.append(f"{len(nowhere)} link{'s lead' if len(nowhere) > 1 else ' leads'} nowhere: {shown}")
    return kept, passed, notes


def _twice(facts: np.ndarray) -> int:
    """How many files are another one under a second name."""
    numbers = facts[facts[:, 3] >= 0, 3:]
    if len(np.unique(numbers[:, 0])) == len(numbers):
        return 0
    return len(numbers) - len(set(map(tuple, numbers.tolist())))


def _folders(folder: Path) -> Iterator[tuple[str, "list[os.DirEntry[str]] | None"]]:
    """The files of each folder below one that are not hidden, with its name; None for one that is reached again."""
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        links: list[str] = []
        stack = waiting[::-1]
        while stack:
            above = stack.pop()
            try:
                here = folder / above
                facts = here.stat()
                if (facts.st_dev, facts.st_ino) in seen:
                    yield above, None
                    continue
                seen.add((facts.st_dev, facts.st_ino))
                with os.scandir(here) as held:
                    entries = [one for one in held if not one.name.startswith(".")]
            except OSError as error:
                raise DataError(f"a folder of the source cannot be opened ({error.strerror})") from None
            start, inner, files = f"{above}/" if above else "", [], []
            for one in entries:
                if not _is_folder(one):
                    files.append(one)
                elif one.name != "__MACOSX":
                    (links if one.is_symlink() else inner).append(start + one.name)
            yield above, files
            stack += inner[::-1]
        waiting = sorted(links, key=natural)


def _is_folder(one: "os.DirEntry[str]") -> bool:
    try:
        return one.is_dir()
    except OSError:
        return False  # a link that leads to itself


def _facts(one: "os.DirEntry[str]") -> tuple[int, int, int, int, int]:
    """A row of `Files.facts`."""
    try:  # Windows tells of no file's number in a listing
        facts = os.stat(one.path) if os.name == "nt" else one.stat()  # noqa: PTH116
    except OSError:
        return -1, 0, 0, -1, -1  # listed, so that it is met again as unreadable
    return facts_of(facts)


def facts_of(facts: os.stat_result) -> tuple[int, int, int, int, int]:
    """A row of `Files.facts`: what tells a file from another, and from itself after a change."""
    size = facts.st_size if S_ISREG(facts.st_mode) else -1
    return size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino & LARGEST, facts.st_dev & LARGEST


def _image(path: Path) -> bool:
    try:
        return kind(path) is not None
    except OSError:
        return True  # listed now, so that it is met again as unreadable


def is_there(path: Path) -> bool:
    """Whether a path leads to something; False also where no system could have such a name."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a character that no name has
        return False


class Names:
    """Files by the names that a table gives them, relative to `base`.

    A name is taken as it stands; where that leads nowhere, with `/` for each backslash, and in the Unicode form in
    which the file is there (NFC, as most systems write it, or NFD, as macOS does). How often that was so is counted.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.backslashes = 0
        self.forms = 0
        self._inside: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path:
        """The path of a file; that of the name as it stands where nothing is found."""
        path = self.base / name
        if ("\\" not in name and name.isascii()) or is_there(path):
            return path
        for text in dict.fromkeys((name, name.replace("\\", "/"))):
            found = self.base / text
            if not is_there(found):
                found = self._in_another_form(text)
            if found is not None:
                self.backslashes += text != name
                self.forms += found != self.base / text
                return found
        return path

    def named(self, text: str) -> Named:
        """Where a name leads; of one that leads nowhere with what may be wrong with it."""
        path = self.find(text)
        name = Path(os.path.relpath(path, self.base)).as_posix()
        return Named(path=path, name=name, missing="" if is_there(path) else self.why_missing(text))

    def _in_another_form(self, text: str) -> Path | None:
        here = Path(os.sep) if text.startswith("/") else self.base
        for part in Path(text.lstrip("/")).parts:
            if not is_there(here / part):
                alike = self._folder(here).get(unicodedata.normalize("NFC", part), [])
                if len(alike) != 1:
                    return None
                part = alike[0]
            here /= part
        return here

    def _folder(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder by their composed form."""
        if folder not in self._inside:
            found: dict[str, list[str]] = {}
            with contextlib.suppress(OSError):  # nothing is found there
                for name in sorted(path.name for path in folder.iterdir()):
                    found.setdefault(unicodedata.normalize("NFC", name), []).append(name)
            self._inside[folder] = found
        return self._inside[folder]

    @property
    def notes(self) -> list[str]:
        """Sentences about names that were not taken as they stand."""
        said = ((self.backslashes, "hold backslashes, which were read as /"),
                (self.forms, "are those of files in another Unicode form (NFC, NFD), which were taken"))  # fmt: skip
        return [f"{count} file names {words}" for count, words in said if count]

    def why_missing(self, name: str) -> str:
        """What may be wrong with a name that leads nowhere, as the end of "no such file"; empty where nothing shows."""
        if re.match(r"[A-Za-z]:[\\/]|\\\\", name):
            return " (the name is a path of Windows; give names relative to the table)"
        if "\\" in name:
            return " (nor with / for each backslash)"
        path = self.base / name
        if is_there(path.parent):
            alike = [one for key in self._folder(path.parent).values() for one in key
                     if unicodedata.normalize("NFC", one).casefold()
                     == unicodedata.normalize("NFC", path.name).casefold()]  # fmt: skip
            return f" (there is {alike[0]!r})" if alike else ""
        return ""


def listed(
    table: list[dict[str, str]], column: str, names: Names, name: str, inside: Sequence[File | None] | None = None
) -> tuple[list[Listed], list[str]]:
    """The files that a manifest called `name` names, as `names` finds them, in its order, and sentences about them.

    A column `frame` (counted from 1) picks one frame where the file holds several; an empty cell picks none. `inside`
    are the images that lie in the table itself, one a row; a path among them is that of a file.
    Raises DataError where a row's frame is no whole number from 1, or its name holds a NUL.
    """
    frames = one_column("frame", table[0], name) if table else None
    found = []
    known: dict[str, Named] = {"": Named(path=names.base, name="")}  # rows may name one file many times
    for row, values in enumerate(table, 1):
        text = values[column]
        if "\0" in text:
            raise DataError(f"{name} row {row}: {column} is {text[:60]!r}; no name of a file holds a NUL character")
        own = None if inside is None else inside[row - 1]
        if own is not None and not isinstance(own, Path):
            one = Named(path=own, name=f"row {row} {text.replace(chr(92), '/').rpartition('/')[2]}".strip())
        else:
            one = known[text] if text in known else known.setdefault(text, names.named(text))
        found.append(
            Listed(
                path=one.path,
                name=one.name,
                columns={k: v for k, v in values.items() if k != column},
                frame=_frame(values[frames], f"{name} row {row} ({text})") if frames else None,
                row=row,
                missing=one.missing,
            )
        )
    return found, names.notes


def _frame(text: str, where: str) -> int | None:
    if is_missing(text):
        return None
    found = frame_number(text)
    if found is None:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise DataError(
            f"{where}: frame is {shown!r}; it is a whole number from 1, or empty for every frame "
            "(rename the column where it counts something else)"
        )
    return found
