"""Files that do not lie on this disk: objects of a store, each fetched whole and once, and files inside archives.

An object is written to a scratch folder of the process, where the same decoders read it that read any file. The folder
holds a bounded number of bytes beside what is in use, and is removed when the process ends; one that a killed process
left behind is removed by the next.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from hub.objects import ObjectError, Stores, is_url, joined, shown
from tasks._base import DataError
from tasks.images.content import Content
from tasks.images.decode import EMBEDDED, DecodePolicy, Frame, LastOpened, list_frames
from tasks.images.kinds import File, kind, suffix
from tasks.sources.files import Named, Names

LARGEST_SCRATCH = 16 << 30  # bytes of fetched objects that are kept beside those in use
SHARE = 0.5  # of what is free on the disk, where that is less
AHEAD, FETCHERS = 32, 8  # objects that are fetched before they are asked for, and how many at a time
PLAIN = re.compile(r"[\w][\w.\-]{0,99}")  # a name that any system takes
PREFIX = "slitlamp-fetched-"


class _Scratch:
    """The folder of this process where fetched objects lie; the oldest go where they are too many bytes."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._folder: Path | None = None
        self._held: OrderedDict[int, tuple[Path, int]] = OrderedDict()
        self._used: dict[int, int] = {}
        self._bytes = 0
        self._count = 0
        self._owner = 0
        self.largest = LARGEST_SCRATCH

    def place(self, name: str) -> tuple[int, Path]:
        """A number and a path for a new object; its folder is made."""
        with self._lock:
            if self._folder is None or self._owner != os.getpid():
                self._folder, self._owner = _own_folder(), os.getpid()
                free = shutil.disk_usage(self._folder).free
                self.largest = min(self.largest, int(SHARE * free))
            self._count += 1
            ending = suffix(name)
            plain = name if PLAIN.fullmatch(name) else f"object{ending if PLAIN.fullmatch(ending[1:]) else ''}"
            folder = self._folder / str(self._count)
            return self._count, folder / plain

    @contextmanager
    def using(self, number: int) -> Iterator[None]:
        """Inside, the object is not removed."""
        with self._lock:
            self._used[number] = self._used.get(number, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._used[number] -= 1
                if not self._used[number]:
                    del self._used[number]
                self._trim()

    def keep(self, number: int, path: Path) -> None:
        """Count an object that was written, as the newest."""
        size = path.stat().st_size
        with self._lock:
            self._held[number] = (path, size)
            self._bytes += size

    def touch(self, number: int) -> bool:
        """Whether an object is here; it is the newest then."""
        with self._lock:
            if number not in self._held:
                return False
            self._held.move_to_end(number)
            return True

    def drop(self, number: int) -> None:
        """Remove an object, which is not needed any more."""
        with self._lock:
            path, size = self._held.pop(number, (None, 0))
            self._bytes -= size
            if path is not None and self._owner == os.getpid():
                with contextlib.suppress(OSError):
                    path.unlink()
                    path.parent.rmdir()

    def _trim(self) -> None:
        for number in [n for n in self._held if n not in self._used]:
            if self._bytes <= self.largest:
                break
            self.drop(number)


SCRATCH = _Scratch()


def _own_folder() -> Path:
    """A new folder for this process, removed at its end; those whose process is gone are removed now."""
    import filelock

    home = Path(tempfile.gettempdir())
    for left in home.glob(f"{PREFIX}*"):
        if left.is_dir() and (left / "lock").is_file():
            lock = filelock.FileLock(left / "lock", timeout=0)
            with contextlib.suppress(filelock.Timeout, OSError, NotImplementedError), lock:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = filelock.FileLock(folder / "lock", timeout=0)
    with contextlib.suppress(OSError, NotImplementedError):
        lock.acquire()
    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner:
            lock.release(force=True)
            shutil.rmtree(folder, ignore_errors=True)

    weakref.finalize(SCRATCH, end)
    return folder


class Fetched:
    """A file that is brought to this disk when it is needed: it stands where a path would.

    `bring(path)` writes its bytes and raises ObjectError or DataError; `stamp()` is what tells that they are those
    of another time, empty where nothing does; `title` is what it is called in a message.
    What could not be brought once is not asked for again.
    """

    def __init__(
        self, name: str, title: str, bring: Callable[[Path], None], stamp: Callable[[], str] = lambda: ""
    ) -> None:
        self.name, self.title = name, title
        self._bring, self._stamp = bring, stamp
        self._lock = threading.Lock()
        self._place: tuple[int, Path] | None = None
        self._digest = ""
        self._failed: Exception | None = None

    def __repr__(self) -> str:
        return self.title

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Where it lies inside the block; DataError where it cannot be brought, FileNotFoundError where it is not."""
        if self._place is None:
            with self._lock:
                if self._place is None:
                    self._place = SCRATCH.place(self.name)
                    weakref.finalize(self, SCRATCH.drop, self._place[0])
        number, path = self._place
        with SCRATCH.using(number):
            self._ensure(number, path)
            yield path

    def _ensure(self, number: int, path: Path) -> None:
        with self._lock:
            if self._failed is not None:
                raise self._failed
            if SCRATCH.touch(number):
                return
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._bring(path)
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if self._digest not in ("", found):
                    raise DataError("it was changed in the store while it was read; run again")
            except Exception as error:
                path.unlink(missing_ok=True)
                self._failed = _plain(error)
                raise self._failed from None
            self._digest = found
            SCRATCH.keep(number, path)

    def stamp(self) -> str:
        """What its store says of it now, empty where that would not tell a change; it is not fetched."""
        return self._stamp()

    def believe(self, digest: str) -> None:
        """Take a digest that was known before; bytes that have another are refused when it is brought."""
        self._digest = digest

    def sha256(self) -> str:
        """The digest of its bytes; it is brought at most once for it."""
        if not self._digest:
            with self.local():
                pass
        return self._digest

    @contextmanager
    def open(self, mode: str = "rb") -> Iterator[IO[bytes]]:  # noqa: ARG002 - there is nothing to write to
        """The opened bytes."""
        with self.local() as path, path.open("rb") as file:
            yield file

    def read_bytes(self) -> bytes:
        """All of its bytes."""
        with self.local() as path:
            return path.read_bytes()


def _plain(error: Exception) -> Exception:
    if isinstance(error, ObjectError):
        return DataError(f"{error}")
    if isinstance(error, OSError):
        return DataError(f"cannot be brought to {tempfile.gettempdir()} ({error.strerror})")
    return error


def remote(url: str, stores: Stores, stamp: str | None = None) -> Fetched:
    """An object of a store as a file, with its stamp where a listing told it; messages about it hold no credentials."""
    told = partial(stores.stamp, url) if stamp is None else lambda: stamp
    return Fetched(_last(url), shown(url), partial(stores.fetch, url), told)


def _last(url: str) -> str:
    return shown(url).partition("?")[0].rstrip("/").rpartition("/")[2]


class FetchedContent(Content):
    """The sha256 of a fetched file's bytes, taken when it was brought."""

    def digest(self) -> str | None:
        """Hex digest, or None where the file cannot be had (reading it then says why)."""
        assert isinstance(self.path, Fetched)
        try:
            return self.path.sha256()
        except (OSError, DataError):
            return None


def content_of(path: File) -> Content:
    """The digest of a file's bytes, wherever it lies."""
    return FetchedContent(path) if isinstance(path, Fetched) else Content(path)


@contextmanager
def at(place: "Path | Fetched") -> Iterator[Path]:
    """Where a file lies on this disk, inside the block."""
    if isinstance(place, Path):
        yield place
    else:
        with place.local() as path:
            yield path


def frames_of(path: File, policy: DecodePolicy, last_opened: LastOpened) -> list[Frame]:
    """`list_frames` of any file: one that is not on this disk is brought there while it is read."""
    if isinstance(path, Path) or not hasattr(path, "local"):
        return list_frames(path, policy, last_opened)
    if not isinstance(path, Fetched) and kind(path) in (*EMBEDDED, None):
        return list_frames(path, policy, last_opened)  # read where it lies, in memory
    local: Any = path.local  # type: ignore[attr-defined]
    with local() as here:
        frames = list_frames(here, policy, last_opened)
    within = partial(_within, local)
    return [replace(f, read=partial(within, f.read), stored=f.stored and partial(within, f.stored)) for f in frames]


def _within(local: Callable[[], Any], step: Callable[[], Any]) -> Any:
    with local():
        return step()


def all_local(paths: Sequence[File], stack: ExitStack) -> list[Path]:
    """Where files lie on this disk until the stack ends."""
    return [path if isinstance(path, Path) else stack.enter_context(path.local()) for path in paths]  # type: ignore[attr-defined]


def ahead(files: Sequence[File], known: Container[File] = ()) -> Iterator[File]:
    """The files, in their order; those that are to be fetched, being not `known`, are so before they are asked for."""
    distinct = list(dict.fromkeys(one for one in files if isinstance(one, Fetched) and one not in known))
    if len(distinct) < 2:
        yield from files
        return
    with ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch") as pool:
        waiting: dict[Fetched, Future[None]] = {}
        rest = iter(distinct)
        try:
            for one in files:
                while len(waiting) < AHEAD and (following := next(rest, None)) is not None:
                    waiting[following] = pool.submit(_quietly, following)
                if isinstance(one, Fetched) and one in waiting:
                    waiting.pop(one).result()
                yield one
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _quietly(one: Fetched) -> None:
    with contextlib.suppress(DataError, OSError), one.local():  # it is met again where it is read
        pass


class Nowhere:
    """A name that leads to no object: it stands where a path would, and reading it says why."""

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why

    def local(self, mode: str = "") -> Any:  # noqa: ARG002 - as `open`
        """Raises DataError."""
        raise DataError(self.why)

    open = read_bytes = local


class Addresses(Names):
    """Files by the names that a table gives them, where some are addresses or the table lies in a store.

    `base` is the folder on this disk, or the address of the prefix, that other names are relative to.
    """

    def __init__(self, base: Path | str, stores: Stores) -> None:
        super().__init__(base if isinstance(base, Path) else Path())
        self.prefix = base if isinstance(base, str) else None
        self.stores = stores
        self._known: dict[str, Fetched] = {}

    def named(self, text: str) -> Named:
        """Where a name leads; an address that only one machine knows (`file://`) leads nowhere from a store."""
        if is_url(text):
            local = text.lower().startswith("file:") and self.prefix is not None
            path = Nowhere(text, "a path of one machine, in a table of a store") if local else self._object(text)
            return Named(path=path, name=shown(text))
        if self.prefix is None:
            return super().named(text)
        name = text.replace("\\", "/")
        self.backslashes += name != text
        try:
            url = joined(self.prefix, name)
        except ValueError:
            why = "the name leads out of the store; give names relative to the table, or whole addresses"
            return Named(path=Nowhere(name, why), name=name)
        return Named(path=self._object(url), name=os.path.normpath(name))

    def _object(self, url: str) -> Fetched:
        return self._known.setdefault(url, remote(url, self.stores))
