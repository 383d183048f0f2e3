"""Small facts that are worth remembering between runs, and harmless to forget."""

import hashlib
import json
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cache.errors import StoreError, unwritable

log = logging.getLogger(__name__)

_TABLE = "CREATE TABLE IF NOT EXISTS memo (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum TEXT NOT NULL) WITHOUT ROWID"
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_ASKED = 500  # keys per question; SQLite takes 999 in its oldest builds


def _sum(key: str, value: str) -> str:
    return hashlib.sha256(f"{key}\0{value}".encode()).hexdigest()[:16]


class Memo:
    """A persistent map from strings to JSON values, safe under several processes and any kill.

    Each row carries its own checksum; a row that fails it is not known. A file that SQLite cannot read is
    moved aside with a warning: everything in it can be found out again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values of those keys that are known."""
        if not keys or not self.path.exists():
            return {}
        return self._safely(lambda db: self._ask(db, list(dict.fromkeys(keys))), {})

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Remember values; all of them or, where that fails, none."""
        if not values:
            return
        texts = {key: json.dumps(value, allow_nan=False) for key, value in values.items()}
        rows = [(key, text, _sum(key, text)) for key, text in texts.items()]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.path.parent, error) from error
        if self._safely(lambda db: self._tell(db, rows), "moved") == "moved":
            self._safely(lambda db: self._tell(db, rows), None)

    @staticmethod
    def _ask(db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Any]:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'memo'").fetchall():
            return {}
        found = {}
        for start in range(0, len(keys), _ASKED):
            part = keys[start : start + _ASKED]
            marks = ",".join("?" * len(part))
            for key, value, check in db.execute(
                f"SELECT key, value, sum FROM memo WHERE key IN ({marks})",  # noqa: S608  only question marks
                part,
            ):
                if _sum(key, value) == check:
                    found[key] = json.loads(value)
        return found

    @staticmethod
    def _tell(db: sqlite3.Connection, rows: Sequence[tuple[str, str, str]]) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute(_TABLE)
        db.executemany("INSERT OR REPLACE INTO memo VALUES (?, ?, ?)", rows)
        db.execute("COMMIT")

    def _safely(self, act: Callable[[sqlite3.Connection], Any], otherwise: Any) -> Any:
        try:
            with self._open() as db:
                return act(db)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in _CORRUPT:
                raise StoreError(f"the memo {self.path} of the feature store: {error}; see SLITLAMP_CACHE") from error
        except UnicodeDecodeError:
            pass  # text that is not UTF-8: the file is damaged
        aside = self.path.with_name(f"{self.path.name}.damaged-{secrets.token_hex(4)}")
        try:
            self.path.replace(aside)
        except FileNotFoundError:
            return otherwise  # another process did so first
        except OSError as error:
            raise unwritable(self.path.parent, error) from error
        log.warning("%s is damaged and was moved to %s; what it held is found out again", self.path.name, aside.name)
        return otherwise

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # the rollback journal, not WAL: it needs no shared memory, so that a network disk will do
        with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as db:
            yield db
