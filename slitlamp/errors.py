"""What the library raises when it cannot do what was asked, and how errors are said."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

LONGEST = 2000  # letters of an error that are shown


class UsageError(Exception):
    """The command line cannot be carried out as written (exit 2)."""


class WorkerKilledError(Exception):
    """A worker process was killed from outside; what was finished is kept (exit 5)."""


def one_line(error: BaseException, *, whole: bool = False) -> str:
    """What an error says, in one line: of the system's errors the file and the reason, of one without words its type.

    What is kept in tables and files names no folder of the machine; the line that ends a command may be `whole`.

    >>> one_line(FileNotFoundError(2, "No such file or directory", "films.csv"))
    'films.csv: No such file or directory'
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{str(error.filename)[:LONGEST]}: {error.strerror}"
    else:
        text = " ".join(str(error).split()) or type(error).__name__
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more letters)"
    return text if whole else without_folders(text)


def said_of(who: str, error: BaseException) -> str:
    """What an error says of somebody, whose name stands before it once.

    >>> said_of("clip-b16", ValueError("clip-b16: no such file")), said_of("clip-b16", ValueError("no such file"))
    ('clip-b16: no such file', 'clip-b16: no such file')
    >>> said_of("uni", ValueError("unions are not read"))
    'uni: unions are not read'
    """
    line = one_line(error)
    return line if re.match(re.escape(who) + r"(?![\w-])", line) else f"{who}: {line}"


def none_of(failed: Sequence[str]) -> str:
    """Why nobody could be asked: the first reason, and how many more there are, each of which was said as it came."""
    found = list(dict.fromkeys(failed))
    return (found[0] if found else "nothing could be asked") + f" (and {len(found) - 1} more)" * (len(found) > 1)


WHOLE = re.compile(r"(?<![\w.~/\\<])(?:~?/|[A-Za-z]:[\\/])")  # where a whole path may begin


def without_folders(text: str) -> str:
    """A text in which files keep their name, and not the folder of this machine in which they lie.

    A folder is what is one here, so that no other text with a `/` is touched.

    >>> without_folders("1/2 of https://hub.org/a, and/or /no/such/place")
    '1/2 of https://hub.org/a, and/or /no/such/place'
    """
    found, at = "", 0
    for begin in WHOLE.finditer(text):
        if begin.start() < at:
            continue
        ends = [m.start() for m in re.finditer(r"[\\/]", text[begin.end() :])]
        folders = [begin.end() + end for end in ends if _is_folder(text[begin.start() : begin.end() + end])]
        if folders:
            found, at = found + text[at : begin.start()], max(folders) + 1
    return found + text[at:]


def _is_folder(path: str) -> bool:
    return len(path) > 1 and os.path.isdir(Path(path).expanduser())  # noqa: PTH112  False of any odd text
