"""What is asked: `names()` lists the tasks, `load(name)` gives one, `open_source(spec)` opens images."""

import difflib
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from plugins import UnknownName
from tasks._base import DataError, Item, Mark, Picture, Row, Source, Task, Undecided

if TYPE_CHECKING:
    from tasks._open import files_of, item_id, open_source, slices_of
    from tasks.sources.check import check

__all__ = [
    "DataError",
    "Item",
    "Mark",
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
    folder = Path(__file__).parent
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_"))


def load(name: str) -> Task:
    """The task of that name, or the `TASK` of the user's own file `path/to/mine.py`.

    Hyphens and underscores are the same. Raises UnknownName with the nearest name (and for a file that
    is not there), DataError where the user's file fails or defines no task.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    plain = name.replace("_", "-")
    known = names()
    if plain not in known:
        near = difflib.get_close_matches(plain, known, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UnknownName(f"no task {name!r}; {hint}there are {', '.join(known)}, or a path to your own .py file")
    return importlib.import_module(f"tasks.{plain.replace('-', '_')}").TASK


def _from_file(path: Path) -> Task:
    if not path.is_file():
        raise UnknownName(f"no task file {str(path)!r}; it is a Python file that defines TASK")
    module = _run(path)
    task = getattr(module, "TASK", None)
    if not isinstance(task, Task):
        what = "no TASK" if task is None else f"a TASK of type {type(task).__name__}"
        raise DataError(f"{path.name} defines {what}; it must define TASK = tasks.Task(...)")
    return task


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_user_task_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UnknownName(f"no task file {str(path)!r}; it is a Python file that defines TASK")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = _line(error, path)
        raise DataError(f"{path.name}{line} raised {type(error).__name__}: {error}") from error
    return module


def _line(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f" line {error.lineno}"
    trace, found = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            found = f" line {trace.tb_lineno}"
        trace = trace.tb_next
    return found
