"""What a run writes to: its output folder, which it shares with no other run, and files of its own."""

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slitlamp.errors import UsageError
from slitlamp.log import say


def require_writable(folder: Path) -> None:
    """Make the output folder; raise UsageError where it cannot be written, before hours of encoding and not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be written ({error.strerror}): name a folder of your own") from None


@contextmanager
def output_folder(folder: Path, document: str, command: str, *, replace: bool = False) -> Iterator[None]:
    """Hold the output folder for one run: it can be written, no other run writes there, and none has left results.

    `document` is the file that holds a run's results, `command` the line that repeats this one. The same question may
    be written again; with `replace` another one too.

    Raises:
        UsageError: the folder cannot be written, holds the results of another command, or a run is under way there.
    """
    import filelock

    made = not folder.exists()
    require_writable(folder)
    with contextlib.ExitStack() as held:
        if made:
            held.callback(_remove_empty, folder)  # where nothing came of it
        try:
            held.enter_context(filelock.FileLock(folder / ".lock", timeout=0))
        except filelock.Timeout:
            raise UsageError(
                f"--out {folder}: another run is writing there at this moment; give another --out, or wait for it"
            ) from None
        except (OSError, NotImplementedError):
            pass  # a network disk without locks
        _set_aside(folder / document)
        before = _command_of(_read(folder / document), document)
        if before is not None and before != command and not replace:
            raise UsageError(
                f"--out {folder} holds the results of another run ({before}); give another --out, or --replace to "
                "write over them"
            )
        yield


LONGEST = 50  # characters that a name gives to a file's


def stems(names: Sequence[str]) -> list[str]:
    """The part of the files' names that each name gives: letters, digits and hyphens, no two the same on any disk.

    A name may be anything: one with `/` or `..` stays in the folder, one with a full stop keeps what follows it.
    """
    found: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w-]+", "-", name).strip("-")[:LONGEST] or "question"
        free = (stem if k == 1 else f"{stem}-{k}" for k in range(1, len(names) + 1))
        found.append(next(one for one in free if one.lower() not in {other.lower() for other in found}))
    return found


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if [path.name for path in folder.iterdir()] == [".lock"]:
            (folder / ".lock").unlink()
            folder.rmdir()


def _set_aside(path: Path) -> None:
    """Move a document aside that cannot be read, as a disk leaves it that loses a byte; the run makes it again."""
    try:
        data = path.read_bytes()
    except OSError:
        return  # there is none
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        aside = path.with_name(f"{path.stem}.damaged-{hashlib.sha256(data).hexdigest()[:8]}{path.suffix}")
        path.replace(aside)
        say(f"warning: {path} is damaged and was moved to {aside.name}; it is made again")


def _command_of(found: dict[str, Any] | None, name: str) -> str | None:
    """The command whose results a document called `name` holds; None where there is no document."""
    return None if found is None else _named(found) or f"{name} names no command"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def keep_earlier(folder: Path, document: str, now: dict[str, Any], also: Sequence[str] = ()) -> None:
    """Move what an earlier run of the same command left aside, where its numbers differ from those of `now`; say so.

    `also` are files that the document does not list.
    """
    old = _read(folder / document)
    if old is None or _numbers(old) == _numbers(now):
        return
    if _command_of(old, document) != _named(now):
        return  # another command, which --replace writes over
    aside = folder / f"earlier-{hashlib.sha256((folder / document).read_bytes()).hexdigest()[:8]}"
    aside.mkdir(exist_ok=True)
    for name in dict.fromkeys((*old.get("files", ()), *also, document)):
        if (folder / name).is_file():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(aside / name)
    say(
        f"warning: {folder} held other numbers of this command (its data, encoder or code have changed since); they "
        f"are kept in {aside}"
    )


def files_listed(folder: Path, document: str, experiment: str) -> set[str]:
    """The files that a document lists, where it is one of `experiment`; none that lies outside of the folder."""
    found = _read(folder / document) or {}
    names = found.get("files", ()) if found.get("experiment") == experiment else ()
    inside = folder.resolve()
    return {name for name in names if (folder / name).resolve().is_relative_to(inside) and name != document}


def _named(document: dict[str, Any]) -> str:
    first = next(iter(document.get("records") or ()), {})
    return str(document.get("command") or first.get("command") or "")


def _numbers(document: dict[str, Any]) -> Any:
    """What a document says, but for the version that said it and the files beside it."""
    plain = {k: v for k, v in document.items() if k not in ("files", "verdicts", "questions")}
    if "records" in plain:
        plain["records"] = _of_no_version(plain["records"])
    if "tables" in plain:
        plain["tables"] = {name: _of_no_version(rows) for name, rows in plain["tables"].items()}
    return json.loads(json.dumps(plain))


def _of_no_version(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "code_version"} for row in rows]


def require_new(path: Path, flag: str, *, replace: bool = False) -> None:
    """Raise UsageError where a file that is to be written is there already."""
    if path.exists() and not replace:
        raise UsageError(f"{flag} {path} exists; give another name, or --replace to write over it")
