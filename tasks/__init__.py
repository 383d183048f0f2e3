"""What is asked: `names()` lists the tasks, `load(name)` gives one, `open_source(spec)` opens images."""

import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plugins import UnknownName, UserFile, UserFileError, load_user_file, nearest, of_folder
from tasks._base import DataError, Item, Mark, Mask, Picture, Row, Source, Task, Undecided

if TYPE_CHECKING:
    from tasks._open import files_of, item_id, open_source, slices_of
    from tasks.phantoms.regions import REGIONS
    from tasks.sources.check import check

__all__ = [
    "REGIONS",
    "DataError",
    "Item",
    "Mark",
    "Mask",
    "Picture",
    "Row",
    "Source",
    "Task",
    "Undecided",
    "UnknownName",
    "check",
    "files_of",
    "item_id",
    "load",
    "names",
    "open_source",
    "slices_of",
]


_LAZY = {
    **dict.fromkeys(("files_of", "item_id", "open_source", "slices_of"), "tasks._open"),
    "check": "tasks.sources.check",
    "REGIONS": "tasks.phantoms.regions",
}


def __getattr__(name: str) -> Any:
    """Readers of files, imported when they are first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module 'tasks' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def names() -> list[str]:
    """The registered tasks: the files of this folder that do not begin with an underscore."""
    return [name.replace("_", "-") for name in of_folder(Path(__file__).parent)]


def load(name: str) -> Task:
    """The task of that name, or the `TASK` of the user's own file `path/to/mine.py`.

    Hyphens and underscores are the same. Raises UnknownName with the nearest name (and for a file that
    is not there), UserFileError where the user's file fails or defines no task.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    plain = name.replace("_", "-")
    known = names()
    if plain not in known:
        near = nearest(plain, known)
        guess = f"did you mean {near}? " if near else ""
        raise UnknownName(f"no task {name!r}; {guess}there are {', '.join(known)}, or a path to your own .py file")
    return importlib.import_module(f"tasks.{plain.replace('-', '_')}").TASK


def _from_file(path: Path) -> Task:
    """The task of a user's file, whose functions and pictures are blamed by line for what they raise."""
    file = load_user_file(path, "task", {"TASK": (Task, "a tasks.Task")}, (DataError,))
    task: Task = file.module.TASK

    def items(source: Source, rng: np.random.Generator, column: str | None) -> Iterator[Item]:
        source = replace(source, rows=tuple(source.rows))  # each row made once
        given = {id(row.picture) for row in source.rows}
        for item in task.items(source, rng, column):
            if not isinstance(item, Item):
                raise UserFileError(f"{path}: items yields a {type(item).__name__}; it must yield tasks.Item")
            if not isinstance(item.id, str) or not isinstance(item.group, str):
                raise UserFileError(f"{path}: an item's id and group are texts; given are {item.id!r}, {item.group!r}")
            if id(item.picture) not in given:
                item = replace(item, picture=_picture(file, item.picture))
            yield replace(item, evidence=_masks(file, item.evidence)) if item.evidence else item

    def phantoms(n: int, seed: int) -> Source:
        assert task.phantoms is not None
        source = task.phantoms(n, seed)
        made = (replace(r, picture=_picture(file, r.picture), regions=_masks(file, r.regions)) for r in source.rows)
        return replace(source, rows=tuple(made))

    return replace(
        task,
        items=file.function(items, again=(_items, (str(path.absolute()),))),
        phantoms=task.phantoms and file.function(phantoms),
        notes=task.notes and file.function(task.notes),
    )


def _items(path: str) -> Callable[..., Iterator[Item]]:
    return load(path).items


def _masks(file: UserFile, masks: Mapping[str, Mask]) -> dict[str, Mask]:
    """The regions, each computed as the user's code and held to what a mask is."""
    return {name: partial(_mask, file, name, mask) for name, mask in masks.items()}


def _mask(file: UserFile, name: str, mask: Mask) -> np.ndarray:
    found = file.function(mask, always=False)()
    if not isinstance(found, np.ndarray) or found.dtype != bool or found.ndim not in (2, 3):
        kind = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__
        raise UserFileError(f"{file.path}: the region {name!r} is {kind}; a mask is bool [h, w] as its picture")
    return found


def _picture(file: UserFile, picture: Picture) -> Picture:
    """The picture, read as the user's code; the file is blamed only where a line of it raised.

    Its identity holds the file's source: an edited task may make other pixels under the same name.
    """
    if not isinstance(picture, Picture):
        raise UserFileError(f"{file.path}: an item's picture is a {type(picture).__name__}; it must be a tasks.Picture")
    declared = picture._identity

    def identity() -> str | None:
        own = file.function(declared, always=False)() if callable(declared) else declared
        return own and hashlib.sha256(f"{file.digest()} {own}".encode()).hexdigest()

    return Picture(read=file.function(picture.read, always=False), identity=identity)
