"""Small facts that are worth remembering between runs, and harmless to forget."""

import hashlib
import json
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.atomic import make_folder, share
from cache.errors import StoreError, unwritable

log = logging.getLogger(__name__)

_TABLE = "CREATE TABLE IF NOT EXISTS memo (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum TEXT NOT NULL) WITHOUT ROWID"
# a view could compute without end; SQLite itself takes these words in any case
_OURS = "SELECT 1 FROM sqlite_master WHERE name = 'memo' COLLATE NOCASE AND type = 'table' COLLATE NOCASE"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNUSABLE = (  # the file may be sound, and its place is not as it should be
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL,
)  # fmt: skip
_ASKED = 500  # keys per question; SQLite takes 999 in its oldest builds
_DECODE = json.JSONDecoder().raw_decode
PATIENCE = 5.0  # seconds that a lock of another process is waited for, once


def _sum(key: str, value: str) -> str:
    return hashlib.sha256(f"{key}\0{value}".encode()).hexdigest()[:16]


@dataclass
class Manners:
    """How the memos of one store wait and complain: what was said once, and how long a lock is waited for."""

    said: set[str] = field(default_factory=set)
    patience: float = PATIENCE


class Memo:
    """A persistent map from strings to JSON values, safe under several processes and any kill.

    Each row carries its own checksum; a row that fails it is not known. A file that SQLite cannot read is moved aside
    with a warning, and what can still be read of it begins a new one. A memo that is held by another process, or lies
    where this one may not write, is done without: nothing new is remembered, which is said once.
    """

    def __init__(self, path: Path, manners: Manners | None = None) -> None:
        self.path = path
        self._manners = manners or Manners()

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values of those keys that are known."""
        if not keys or not os.path.exists(self.path):  # noqa: PTH110  False too where the folder may not be read
            return {}
        asked = list(dict.fromkeys(keys))
        found = self._safely(lambda db: self._ask(db, asked), "moved")
        if found == "moved":
            found = self._safely(lambda db: self._ask(db, asked), {}) if os.path.exists(self.path) else {}  # noqa: PTH110
        return found or {}

    def put_many(self, values: Mapping[str, Any], *, required: bool = False) -> None:
        """Remember values; all of them or, where that fails, none, which is an error only where it is `required`.

        Raises:
            ValueError: a value that JSON has not; StoreError: with `required`, a file that cannot be written.
        """
        if not values:
            return
        texts = {key: json.dumps(value, allow_nan=False) for key, value in values.items()}
        rows = [(key, text, _sum(key, text)) for key, text in texts.items()]
        try:
            make_folder(self.path.parent)
            share(self.path, create=True)
        except OSError as error:
            self._unwritable(error, required=required)
            return
        for _ in range(2):
            if self._safely(lambda db: self._tell(db, rows), "moved", required=required) != "moved":
                break

    def problem(self) -> str | None:
        """What is wrong with the file, every row looked at; None where nothing is."""
        try:
            with self._open() as db:
                found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(1)")]
                if found != ["ok"]:
                    return f"SQLite finds it damaged ({' '.join(found[0].split())[:80]})"
                if not db.execute(_OURS).fetchall():
                    return None
                rows = db.execute("SELECT key, value, sum FROM memo")
                odd = sum(not _sound(*row) for row in rows)
                return f"{odd} rows are not as written" if odd else None
        except sqlite3.Error as error:
            if _code(error) in (*_BUSY, *_UNUSABLE):
                return None
            return f"SQLite cannot read it ({error})"
        except UnicodeError:
            return "it holds text that is not UTF-8"

    def restore(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Write rows that were read from a damaged file."""
        if rows:
            self._safely(lambda db: self._tell(db, rows), None)

    @staticmethod
    def _ask(db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Any]:
        if not db.execute(_OURS).fetchall():
            return {}
        found = {}
        for key, value, check in _rows(db, keys):
            if _as_written(key, value, check):
                try:
                    said, end = _DECODE(value)  # as written: json.loads looks for blanks around it, and is slower
                except (ValueError, RecursionError):
                    continue  # no JSON, under a sum of somebody else's
                if end == len(value):
                    found[key] = said
        return found

    @staticmethod
    def _tell(db: sqlite3.Connection, rows: Sequence[tuple[str, str, str]]) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute(_TABLE)
        db.executemany("INSERT OR REPLACE INTO memo VALUES (?, ?, ?)", rows)
        # keys out of order, or a foreign trigger: SQLite writes there without a word, and does not find it again
        if not set(rows).issubset(_rows(db, [key for key, _, _ in rows])):
            raise sqlite3.DatabaseError("what was told is not found again")
        db.execute("COMMIT")

    def _safely(self, act: Callable[[sqlite3.Connection], Any], otherwise: Any, *, required: bool = False) -> Any:
        """What `act` returns; `otherwise` where the file was damaged and is made again, None where it is done without.

        Raises:
            StoreError: with `required`, a file that is held by another process or cannot be written.
        """
        try:
            with self._open() as db:
                return act(db)
        except sqlite3.Error as error:
            if _code(error) in _BUSY:
                self._manners.patience = 0.5  # another process may hold all of them for long, and questions are many
                self._do_without(f"another process holds {self.path.name} for longer than {PATIENCE:.0f} s", required)
                return None
            if _code(error) in _UNUSABLE and not self._says_to_be_newer(error):
                self._unwritable(OSError(str(error)), required=required)
                return None
        except UnicodeError:
            pass  # text that is not UTF-8: the file is damaged
        aside = self.path.with_name(f"{self.path.name}.damaged-{secrets.token_hex(4)}")
        try:
            self.path.replace(aside)
        except FileNotFoundError:
            return otherwise  # another process did so first
        except OSError as error:
            self._unwritable(error, required=required)
            return None
        kept = readable(aside)
        self.restore(kept)
        log.warning(
            "%s is damaged and was moved to %s; %d entries of it could be read and are kept, any other is found out "
            "again", self.path.name, aside.name, len(kept),
        )  # fmt: skip
        return otherwise

    def _says_to_be_newer(self, error: sqlite3.Error) -> bool:
        """Whether a file that may be written is none to SQLite: a damaged head names a later format."""
        plain = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY
        return plain and os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)

    def _unwritable(self, error: OSError, *, required: bool) -> None:
        if required:
            raise unwritable(self.path.parent, error) from error
        self._do_without(str(unwritable(self.path.parent, error)), required)

    def _do_without(self, why: str, required: bool) -> None:
        if required:
            raise StoreError(why)
        if why not in self._manners.said:
            self._manners.said.add(why)
            log.warning("%s; the run goes on, and what it would remember there is found out again", why)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # the rollback journal, not WAL: it needs no shared memory, so that a network disk will do
        with closing(sqlite3.connect(self.path, timeout=self._manners.patience, isolation_level=None)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            yield db


def _rows(db: sqlite3.Connection, keys: Sequence[str]) -> Iterator[tuple[Any, Any, Any]]:
    """Key, value and sum of those keys that are there."""
    for start in range(0, len(keys), _ASKED):
        part = keys[start : start + _ASKED]
        marks = ",".join("?" * len(part))
        yield from db.execute(f"SELECT key, value, sum FROM memo WHERE key IN ({marks})", part)  # noqa: S608


def _code(error: sqlite3.Error) -> int:
    """The primary code of an error of SQLite."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _as_written(key: Any, value: Any, check: Any) -> bool:
    return isinstance(key, str) and isinstance(value, str) and _sum(key, value) == check


def _sound(key: Any, value: Any, check: Any) -> bool:
    """Whether a row is as it was written, and its value JSON."""
    if not _as_written(key, value, check):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def readable(path: Path) -> list[tuple[str, str, str]]:
    """The sound rows of a damaged memo, as far as SQLite reads it from either end."""
    found: dict[str, tuple[str, str, str]] = {}
    for order in ("ASC", "DESC"):
        with suppress(sqlite3.Error, UnicodeError), closing(sqlite3.connect(path, timeout=0.1)) as db:
            if db.execute(_OURS).fetchall():
                for row in db.execute(f"SELECT key, value, sum FROM memo ORDER BY key {order}"):  # noqa: S608
                    if _sound(*row):
                        found[row[0]] = row
    return list(found.values())
