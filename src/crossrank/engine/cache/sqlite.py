"""The score cache in a SQLite file, which many processes share.

It knows one table; not models or texts. Keys are hashes and records carry a check sum, so that whatever happens to the
file, what comes out of it is what was put in, or nothing.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TypeVar

from crossrank.engine.cache.contract import Found
from crossrank.engine.cache.record import VERSION, pack, unpack
from crossrank.engine.pair import Scored
from crossrank.errors import UsageError
from crossrank.forks import quiet_at_forks

T = TypeVar("T")

BYTES_MAX = 2**30
ENTRY_BYTES = 192  # of the file, with the index; measured in tests/test_cache_sqlite.py
BUSY_S = 1.0  # the longest wait for another process
KEYS_AT_ONCE = 500  # in a statement
EVICTED_MIN = 512  # entries: the oldest go in batches

MAGIC = b"SQLite format 3\0"
APPLICATION_ID = 0x63726B31  # "crk1": tells our files from others'
SCHEMA = (  # numbered as they come: the oldest entries have the lowest numbers, without gaps
    "CREATE TABLE IF NOT EXISTS scores (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, record BLOB NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
ENDS = "SELECT (SELECT min(number) FROM scores), (SELECT max(number) FROM scores)"  # both at once would read all
PUT = "INSERT INTO scores (key, record) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET record = excluded.record"


class SqliteCache:
    """Scores in a file. Safe in threads, processes and forked children; a copy by pickle opens the file anew.

    Args:
        file: made if it does not exist; its folder must exist.
        bytes_max: of the file; beside it lies a log of a few megabytes while it is in use.

    Raises:
        UsageError: there is no such folder, or the file is something else than a score cache.
    """

    tier = "sqlite"

    def __init__(self, file: str | PathLike[str], *, bytes_max: int = BYTES_MAX) -> None:
        self.lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file = Path(file).expanduser().absolute()  # the same for whoever unpickles it elsewhere
        self._bytes_max = bytes_max
        self._entries_max = max(1, bytes_max // ENTRY_BYTES)
        _check(self._file)
        quiet_at_forks(self)
        with suppress(sqlite3.Error):  # what the caller cannot mend is found again, and said, at use
            self._use(lambda _: None)

    def get_many(self, keys: Sequence[bytes]) -> Found:
        """What is known of these keys.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        found, oldest = Found(), float("inf")
        for key, record in self._use(partial(_records, keys)):
            if sound := unpack(key, record):
                found[key], stored = sound
                oldest = min(oldest, stored)
        found.age_s = max(0.0, time.time() - oldest) if found else None
        return found

    def put_many(self, scored: Mapping[bytes, Scored]) -> None:
        """Remember these; where there are too many, the oldest make room, a batch at a time.

        Raises:
            sqlite3.Error: the file cannot be written, or was busy for over a second.
        """
        if not scored:
            return
        now = time.time()
        records = [(key, pack(key, value, now)) for key, value in scored.items()]
        self._use(partial(_put, records, self._entries_max))

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self.lock:
            self._let_go()

    def before_fork(self) -> None:
        """Close the file: a connection that two processes share corrupts it (sqlite.org/howtocorrupt.html, 2.6)."""
        self._let_go()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as its place."""
        return (_reopened, (self._file, self._bytes_max))

    def __repr__(self) -> str:
        """Its place."""
        return f"SqliteCache({str(self._file)!r})"

    def __del__(self) -> None:
        """Close the file with the last reference."""
        if getattr(self, "_connection", None) is not None:
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What the work gives, done with the connection; after a failure the next call opens another.

        For one thread at a time. No context manager of ours: one that Ctrl+C ends as it is entered keeps the lock.
        """
        with self.lock:
            try:
                if self._connection is None:
                    self._connection = _connect(self._file)
                return work(self._connection)
            except BaseException:
                self._let_go()  # which rolls back
                raise


def _records(keys: Sequence[bytes], connection: sqlite3.Connection) -> list[tuple[bytes, object]]:
    """The rows of those of the keys that are there."""
    rows: list[tuple[bytes, object]] = []
    for start in range(0, len(keys), KEYS_AT_ONCE):
        asked = keys[start : start + KEYS_AT_ONCE]
        places = ",".join("?" * len(asked))  # nothing but question marks
        rows += connection.execute(f"SELECT key, record FROM scores WHERE key IN ({places})", asked)  # noqa: S608
    return rows


def _put(records: Sequence[tuple[bytes, bytes]], entries_max: int, connection: sqlite3.Connection) -> None:
    """Store these, and let the oldest go that are too many."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(PUT, records)
    oldest, newest = connection.execute(ENDS).fetchone()
    if (surplus := newest - oldest + 1 - entries_max) > 0:
        # At most twice as many as come in: a file that was larger shrinks without a long stop.
        leaving = min(max(EVICTED_MIN, 2 * len(records)), surplus + entries_max // 8)
        connection.execute("DELETE FROM scores WHERE number < ?", (oldest + leaving,))
    connection.execute("COMMIT")


def _check(file: Path) -> None:
    """Raise for what can be no cache; SQLite itself would write over a file of a few bytes."""
    if not file.parent.is_dir():
        raise UsageError(f"cache: there is no folder {str(file.parent)!r}; make it, or name another file")
    if file.is_dir():
        raise UsageError(f"cache: {str(file)!r} is a folder; name a file in it")
    with suppress(OSError), file.open("rb") as content:
        if content.read(len(MAGIC)) not in (b"", MAGIC):
            raise UsageError(f"cache: {str(file)!r} is not a SQLite file; name another, or remove it")


def _connect(file: Path) -> sqlite3.Connection:
    with suppress(OSError):  # SQLite says better what is wrong; its log gets the permissions of the file
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, file)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, file: Path) -> None:
    """Make the table where there is none; a file of an older version starts anew."""
    connection.execute("BEGIN")  # what is read is of one moment: another process may just be making the file
    mark, version = _marks(connection)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if mark == APPLICATION_ID and version > VERSION:
        raise UsageError(f"cache: {str(file)!r} was made by a newer crossrank (layout {version}); name another file")
    if mark != APPLICATION_ID and tables:
        raise UsageError(f"cache: {str(file)!r} is a SQLite file of something else; name another")
    if (mark, version) != (APPLICATION_ID, VERSION):
        _patiently(connection, "PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if _marks(connection) == (APPLICATION_ID, version):  # else it was made anew meanwhile
            connection.execute("DROP TABLE IF EXISTS scores")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")
    connection.execute("PRAGMA synchronous = NORMAL")  # after a power cut the last scores may be gone; nothing else


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """Whose file it is, and the version of its layout; zeros for one that is just being made."""
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return mark, version


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute what SQLite does not wait for by itself while another process is opening the same file."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


def _reopened(file: Path, bytes_max: int) -> SqliteCache:
    return SqliteCache(file, bytes_max=bytes_max)
