"""What a user's file reads while it loads: files, folders it lists, environment variables.

Python reports every open to audit hooks; safetensors opens its files in Rust and is wrapped instead.
"""

import importlib.util
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

_FORWARDING = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")
LISTING = ("os.listdir", "os.scandir")


@dataclass(kw_only=True)
class Reads:
    """Paths and variables read, in order; `home` is the folder of the user's own code."""

    home: Path
    paths: dict[Path, None] = field(default_factory=dict)
    variables: dict[str, None] = field(default_factory=dict)

    def files(self) -> tuple[Path, ...]:
        """The files and folders that an identity rests on; compiled modules stand as their source."""
        kept: dict[Path, None] = {}
        for path in self.paths:
            source = _source(path)
            if not is_library(source) and source.exists():
                kept[source] = None
        return tuple(kept)


_ACTIVE: list[Reads] = []
_INSTALLED: list[bool] = []


@contextmanager
def recording(home: Path) -> Iterator[Reads]:
    """Collect what is read until the end of the block."""
    if not _INSTALLED:
        sys.addaudithook(_audit)  # cannot be removed; it looks at nothing while no block is open
        _INSTALLED.append(True)
    reads = Reads(home=home.resolve())
    _ACTIVE.append(reads)
    try:
        with _safetensors(reads), _environment(reads):
            yield reads
    finally:
        _ACTIVE.remove(reads)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _ACTIVE or event not in ("open", *LISTING):
        return
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return
    if event == "open" and (_writes(arguments) or not path):
        return
    name = os.fsdecode(path)
    if name.endswith(".py") and _quoted():
        return
    for reads in tuple(_ACTIVE):
        if event == "open" or _from_home(reads.home):
            reads.paths[Path(os.path.abspath(name))] = None  # noqa: PTH100  resolves no link


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return not set(mode).isdisjoint("wax")
    return bool(flags & (os.O_WRONLY | os.O_CREAT)) if isinstance(flags, int) else False


def _from_home(home: Path, depth: int = 10) -> bool:
    """Whether the user's own code is among the nearest callers."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(depth):
        if frame is None:
            return False
        if frame.f_code.co_filename.startswith(str(home) + os.sep):
            return True
        frame = frame.f_back
    return False


def _note(reads: Reads, key: Any, frame: FrameType | None) -> None:
    """Keep a variable that the user's own code asks for, not one that a library asks for."""
    while frame is not None and Path(frame.f_code.co_filename).name in _FORWARDING:
        frame = frame.f_back
    if isinstance(key, str) and frame and frame.f_code.co_filename.startswith(str(reads.home) + os.sep):
        reads.variables[key] = None


def _quoted() -> bool:
    """Whether a source is read only to be shown (a traceback, a library that inspects its caller)."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(4):
        if frame is None:
            return False
        if frame.f_code.co_filename.endswith("linecache.py"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def _safetensors(reads: Reads) -> Iterator[None]:
    """Note the file of every safetensors reader, in each module that already holds one."""
    import safetensors

    original = safetensors.safe_open

    def noted(filename: Any, *args: Any, **kwargs: Any) -> Any:
        reads.paths[Path(os.path.abspath(os.fsdecode(filename)))] = None  # noqa: PTH100
        return original(filename, *args, **kwargs)

    holders = [m for m in tuple(sys.modules.values()) if getattr(m, "__dict__", {}).get("safe_open") is original]
    for holder in holders:
        holder.safe_open = noted  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        for holder in (*holders, *_late(noted)):
            holder.safe_open = original  # pyright: ignore[reportAttributeAccessIssue]


def _late(noted: Callable[..., Any]) -> list[Any]:
    """Modules that were imported inside the block and took the wrapper with them."""
    return [m for m in tuple(sys.modules.values()) if getattr(m, "__dict__", {}).get("safe_open") is noted]


@contextmanager
def _environment(reads: Reads) -> Iterator[None]:
    kind = type(os.environ)
    original = kind.__getitem__

    # a lambda knows its caller whatever wraps the functions of this file
    kind.__getitem__ = lambda self, key: (_note(reads, key, sys._getframe(1)), original(self, key))[1]
    try:
        yield
    finally:
        kind.__getitem__ = original


def _source(path: Path) -> Path:
    if path.suffix == ".pyc":
        try:
            return Path(importlib.util.source_from_cache(str(path)))
        except ValueError:
            return path
    return path


def is_library(path: Path) -> bool:
    """Whether a file belongs to the interpreter, its packages or the system: known by version."""
    return any(path.is_relative_to(folder) for folder in _libraries())


@cache
def _libraries() -> tuple[Path, ...]:
    """Folders whose content is known by version: the interpreter, its packages, the system's own."""
    paths = {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages(), sys.prefix}
    here = Path(__file__).parent
    fixed = {"/proc", "/sys", "/dev", "/etc", "/usr/share", "/usr/lib", tempfile.gettempdir() + "/torchinductor"}
    return tuple(Path(p) for p in (*paths, *fixed, here, sys.base_prefix))
