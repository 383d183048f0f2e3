"""A user's own Python file: executed with its folder on the path, blamed by line, known by what it is made of.

The same for an encoder, a task and a probe. Modules that the file imports from its folder ("helpers") are its own
alone: they stand in `sys.modules` while its code runs and are taken out again, so that a changed helper is read
anew by the next load and two files may have helpers of one name.
"""

import ast
import functools
import hashlib
import importlib
import site
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from plugins.names import UnknownName

PACKAGES = ("cache", "encoders", "experiments", "hub", "plugins", "probes", "slitlamp", "tasks")
_RUNNING = threading.RLock()  # sys.path and sys.modules are the whole process's
_END = object()


class UserFileError(Exception):
    """A user's own file fails or defines not what it must; the message is one line with its place (exit 2)."""


@functools.cache
def _known() -> tuple[Path, ...]:
    """Folders whose modules are no user's: the standard library, installed packages, and this project's own."""
    paths = sysconfig.get_paths()
    installed = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    here = Path(__file__).resolve().parents[1]
    folders = (*installed, *site.getsitepackages(), site.getusersitepackages())
    return (*map(Path, folders), *(here / name for name in PACKAGES))


def _place(module: ModuleType | None) -> Path | None:
    """The file of a module, or the folder of a package without one; None for what is built in."""
    where = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    return Path(where) if where else None


def load_user_file(
    path: Path, what: str, needs: Mapping[str, tuple[type | None, str]], passing: Sequence[type[Exception]] = ()
) -> "UserFile":
    """Execute the file at `path`, which is to be a `what` (encoder, task, probe).

    `needs` gives for each name that it must define a type (None for a function) and that type in words. Errors of
    the types in `passing` are one line for the user already and are raised as they are.

    Raises:
        UnknownName: there is no such file.
        UserFileError: it fails, lacks a name, or declares FILES that are not there.
    """
    names = " and ".join(needs)
    if not path.is_file():
        raise UnknownName(f"no {what} file {str(path)!r}: give the path of a Python file that defines {names}")
    importlib.invalidate_caches()  # a helper may be younger than the last look into its folder
    file = UserFile(path=path, passing=tuple(passing))
    with file.running():
        code = compile(file.source.read_bytes(), str(file.source), "exec")
        sys.modules[file.module.__name__] = file.module
        exec(code, file.module.__dict__)  # noqa: S102  running the user's file is what was asked for
    for name, (kind, words) in needs.items():
        value = getattr(file.module, name, None)
        if value is None:
            raise UserFileError(f"{path} does not define {name} ({words}); the file of your own {what} defines {names}")
        if not (callable(value) if kind is None else isinstance(value, kind)):
            raise UserFileError(f"{path}: {name} is a {type(value).__name__}; it must be {words}")
    _ = file.declared
    return file


@dataclass(frozen=True, kw_only=True, eq=False)
class UserFile:
    """A user's file that was executed: its `module`, and how to run its functions.

    `path` is as the user gave it; `helpers` are the modules of its folder or below that its code imported so far.
    """

    path: Path
    passing: tuple[type[Exception], ...] = ()
    helpers: dict[str, ModuleType] = field(default_factory=dict)

    @functools.cached_property
    def source(self) -> Path:
        """The absolute path, links followed."""
        return self.path.resolve()

    @functools.cached_property
    def module(self) -> ModuleType:
        """The module that the file was executed as."""
        where = hashlib.sha256(str(self.source).encode()).hexdigest()[:8]
        module = ModuleType(f"_user_{self.path.stem}_{where}")
        module.__file__ = str(self.source)
        return module

    def function(
        self, function: Callable[..., Any], *, again: tuple[Any, ...] = (), always: bool = True
    ) -> "UserFunction":
        """One of the file's functions, to be called from anywhere; see `UserFunction`."""
        made = UserFunction(file=self, function=function, again=again, always=always)
        functools.update_wrapper(made, function, updated=())
        return made

    def owns(self, path: Path) -> bool:
        """Whether a file is the user's: in the folder of this one or below, and in no library."""
        inside = path.is_relative_to(self.source.parent) and not any(path.is_relative_to(f) for f in _known())
        return inside or path == self.source

    @contextmanager
    def running(self, *, always: bool = True) -> Iterator[None]:
        """Run the file's code in this block: its folder on the path, whatever it raises one UserFileError.

        An error that came by no line of the user's is blamed on the file all the same, unless `always` is false.
        """
        try:
            with self._importing():
                yield
        except (UserFileError, UnknownName, *self.passing):
            raise
        except (Exception, SystemExit) as error:
            where = self._line(error)
            if not where and not always:
                raise
            text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())[:300]
            kind = type(error).__name__
            raise UserFileError(": ".join(filter(None, (where or str(self.path), kind, text)))) from error

    def _line(self, error: BaseException) -> str:
        """`FILE, line N` of the innermost line that is the user's; empty where none is."""
        lines = [(Path(f.filename), f.lineno) for f in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename:
            lines.append((Path(error.filename), error.lineno))
        mine = [(path, line) for path, line in lines if self.owns(path)]
        if not mine:
            return ""
        path, line = mine[-1]
        inside = path.is_relative_to(self.source.parent) and path != self.source
        shown = self.path.parent / path.relative_to(self.source.parent) if inside else self.path
        return f"{shown}, line {line}"

    @contextmanager
    def _importing(self) -> Iterator[None]:
        """The file's folder first on the path, its helpers in place of others' of the same name; no bytecode."""
        home = str(self.source.parent)
        with _RUNNING:
            if sys.path[0] == home and sys.modules.get(self.module.__name__) is self.module:  # its own code called
                yield
                return
            aside = {name: sys.modules.pop(name) for name in self._alike()}
            before = set(sys.modules)
            sys.modules |= self.helpers
            sys.path.insert(0, home)
            quiet, sys.dont_write_bytecode = sys.dont_write_bytecode, True
            try:
                yield
            finally:
                sys.dont_write_bytecode = quiet
                if home in sys.path:
                    sys.path.remove(home)
                places = {name: _place(sys.modules[name]) for name in set(sys.modules) - before}
                mine = [name for name, place in places.items() if place is not None and self.owns(place)]
                self.helpers.update({name: sys.modules.pop(name) for name in mine})
                sys.modules |= aside

    def _alike(self) -> list[str]:
        """Loaded modules, of no library, that stand where the folder has a module of that name."""
        folder = self.source.parent
        names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/*.py")}
        places = {name: _place(sys.modules[name]) for name in names if name in sys.modules and name != "__main__"}
        others = {n for n, at in places.items() if at and not any(at.is_relative_to(f) for f in _known())}
        return [name for name in sys.modules if name.partition(".")[0] in others] if others else []

    @functools.cached_property
    def declared(self) -> tuple[Path, ...] | None:
        """The files and folders that FILES names, what lies in a folder behind it; None where it is not defined.

        Raises:
            UserFileError: one is not there, or FILES holds anything but paths.
        """
        declared = getattr(self.module, "FILES", None)
        if declared is None:
            return None
        given = (declared,) if isinstance(declared, str | Path) else declared
        if not isinstance(given, tuple | list) or not all(isinstance(name, str | Path) for name in given):
            raise UserFileError(f"{self.path}: FILES is {declared!r}; it must be a tuple of paths, () for none")
        found: dict[Path, None] = {}
        for name in given:
            path = self.source.parent / name
            if not path.exists():
                raise UserFileError(f"{self.path}: FILES names {str(name)!r}, which does not exist ({path})")
            inside = sorted(path.rglob("*")) if path.is_dir() else []
            found |= dict.fromkeys((path, *(p for p in inside if "__pycache__" not in p.parts)))
        return tuple(found)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The file and its helpers: those that were imported, and those that an import statement names."""
        imported = sorted(Path(module.__file__) for module in self.helpers.values() if module.__file__)
        return tuple(dict.fromkeys((self.source, *self._walked[0], *imported)))

    @property
    def libraries(self) -> frozenset[str]:
        """The first names of what the sources import from elsewhere, as `numpy`."""
        return frozenset(self._walked[1] - set(PACKAGES))

    @functools.cached_property
    def _walked(self) -> tuple[list[Path], set[str]]:
        """Helpers and other names in the import statements of the file, of its helpers, and so on."""
        home, found, others = self.source.parent, [self.source], set()
        for path in found:  # grows on the way
            for base, name in _import_statements(path, home):
                parts = name.split(".")
                steps = [base.joinpath(*parts[:n]) for n in range(1, len(parts) + 1)]
                files = [f for s in steps for f in (s / "__init__.py", s.with_name(s.name + ".py")) if f.is_file()]
                found += [f for f in files if self.owns(f) and f not in found]
                if not files and base == home:
                    others.add(parts[0])
        return found[1:], others

    def digest(self) -> str:
        """A sha256 over the sources and the declared files, wherever they lie."""
        home = hashlib.sha256()
        for line in sorted(_sha256(path) for path in self.sources):
            home.update(line.encode())
        for path in self.declared or ():
            inside = path.is_relative_to(self.source.parent)
            name = path.relative_to(self.source.parent).as_posix() if inside else path.name
            home.update(f"|{name}|{_sha256(path) if path.is_file() else 'folder'}".encode())
        return home.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _import_statements(path: Path, home: Path) -> Iterator[tuple[Path, str]]:
    """What the import statements of a file name, each with the folder that it is looked up in."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # of a helper that is never imported
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((home, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if node.level else home
            yield from ((base, ".".join(filter(None, (node.module, alias.name)))) for alias in node.names)


@dataclass(kw_only=True, eq=False)
class UserFunction:
    """A function of a user's file: called, it runs as `UserFile.running` says (`always` too), a generator in each step.

    It is pickled as `again`: a function and its arguments that give it in another process.
    """

    file: UserFile
    function: Callable[..., Any]
    again: tuple[Any, ...] = ()
    always: bool = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's own result."""
        with self.file.running(always=self.always):
            result = self.function(*args, **kwargs)
        return self._steps(result) if isinstance(result, Iterator) else result

    def _steps(self, result: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.file.running(always=self.always):
                step = next(result, _END)
            if step is _END:
                return
            yield step

    def __reduce__(self) -> tuple[Any, ...]:
        """How pickle hands it to another process."""
        if not self.again:
            raise TypeError(f"a function of {self.file.path} cannot be handed to another process")
        return self.again
