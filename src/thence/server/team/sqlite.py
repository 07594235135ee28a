"""A team's server on SQLite, by apsw: its file, its connections, its schema.

One writer at a time commits; readers have connections of their own and see what is committed. A
commit is on the disk when it returns. Another process may use the same file meanwhile.
"""

import logging
import os
import re
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from shlex import quote
from threading import Lock

import apsw

from thence.errors import ThenceError
from thence.server.team.database import Parameters, Row, check_schema, first, schema, schema_digest

BUSY_MS = 10_000
# how long a commit waits for readers, so that what was redacted leaves the file of commits
ERASE_MS = 1_000
# up to this size the file is written anew at each redaction, in half a second; else at a start
COMPACTED_BYTES_MAX = 32 * 1024**2
_OWNER_ONLY = 0o600
_BESIDE = ("-wal", "-shm", "-journal")
_WRITER_CACHE_KIB = 64 * 1024
_READER_CACHE_KIB = 8 * 1024
_READERS_MAX = 8
_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
    "temp_store = MEMORY",
)
_FILE_BYTES = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_REVISIONS = "SELECT coalesce(sum(revision), 0) FROM logs"
_COMPACTED = """
    INSERT INTO meta (key, value) VALUES ('compacted', :revisions)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""
_IS_TO_COMPACT = f"""
    SELECT ({_REVISIONS}) <> coalesce((SELECT value FROM meta WHERE key = 'compacted'), '0') + 0
"""
# the words that SQLite has not
_ANY = re.compile(r"= ANY\((:\w+)\)")
# errors that say nothing about what the file holds, and their next step
_OF_DISK = (apsw.IOError, apsw.FullError, apsw.CantOpenError, apsw.ReadOnlyError)
_FOR_DISK = "see that its folder has room and may be written, then try again"
_FOR_UPDATE = re.compile(r"\s+FOR UPDATE(?: OF \w+)?\b")


_logger = logging.getLogger("thence.server")


class SqliteConnection:
    """A connection of apsw as a `Transaction`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.apsw = connection

    def execute(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Runs a statement and returns its rows."""
        return self.apsw.execute(_translated(sql), _bound(parameters)).fetchall()

    def script(self, sql: str) -> None:
        """Runs statements that make or change tables."""
        self.apsw.execute(sql)

    def stream(self, sql: str, parameters: Parameters) -> Generator[Row, None, None]:
        """Yields the rows of a query as they are read; closed if not read to the end."""
        yield from self.apsw.execute(_translated(sql), _bound(parameters))

    def many(self, sql: str, parameters: Iterable[Parameters]) -> None:
        """Runs a statement once for each of some parameters."""
        self.apsw.executemany(_translated(sql), parameters)

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Inserts new rows."""
        marks = ", ".join("?" * len(columns))
        self.apsw.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def close(self) -> None:
        """Closes the connection."""
        self.apsw.close()


@cache
def _translated(sql: str) -> str:
    sql = _FOR_UPDATE.sub("", _ANY.sub(r"IN carray(\1)", sql))
    return sql.replace("unnest(", "carray(")


def _bound(parameters: Parameters | None) -> Parameters | None:
    """Returns parameters with lists as arrays; an empty one is NULL, of which nothing is part."""
    lists = {name: value for name, value in (parameters or {}).items() if isinstance(value, list)}
    if not lists:
        return parameters
    arrays = {
        name: apsw.carray(array("q", value) if isinstance(value[0], int) else tuple(value))
        for name, value in lists.items()
        if value
    }
    return {**(parameters or {}), **dict.fromkeys(lists), **arrays}


class SqliteDatabase:
    """A database in one file; safe from threads, and from other processes that have it open."""

    def __init__(self, path: str | Path) -> None:
        """Opens the database of a server; raises `not_a_server`."""
        self._path = str(path)
        self._readers: list[SqliteConnection] = []
        self._writer_lock, self._readers_lock = Lock(), Lock()
        _check_is_there(Path(path))
        try:
            make_private(Path(path))
            self._writer = _opened(self._path)
            try:
                check_schema(_meta(self._writer, "schema"), path)  # before a setting changes it
                _set_up(self._writer)
            except BaseException:
                self._writer.close()
                raise
            self.epoch: str = _meta(self._writer, "epoch") or ""
            self._holds_erased = True  # a process that was killed may have left it so
            self._erase()
        except apsw.Error as error:
            raise ThenceError(
                "could not open the server's database",
                place=path,
                cause=error,
                code="not_a_server",
                hint=_FOR_DISK
                if isinstance(error, _OF_DISK)
                else "restore a copy, or create a server elsewhere: thence server init --data",
            ) from error

    @contextmanager
    def writing(self) -> Iterator[SqliteConnection]:
        """Gives the one connection that writes, in a transaction: all of it is kept or nothing."""
        with self._writer_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException as error:
                if isinstance(error, _OF_DISK):
                    _logger.error("SQLite: %s; %s", error, _FOR_DISK)
                if self._writer.apsw.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            if self._holds_erased:
                self._erase()

    def erased(self) -> None:
        """Removes from the file what the last transaction replaced in stored lines."""
        with self._writer_lock:
            if first(self._writer.execute(_FILE_BYTES)) <= COMPACTED_BYTES_MAX:
                self._compact()
            self._holds_erased = True
            self._erase()

    def compact(self) -> bool:
        """Writes the file anew if lines were replaced since the last time; reports whether."""
        with self._writer_lock:
            is_due: bool = first(self._writer.execute(_IS_TO_COMPACT))
            if is_due:
                self._compact()
                self._erase()
        return is_due

    def _compact(self) -> None:
        """Writes the file anew: SQLite leaves copies of rows behind where it moves others."""
        try:
            revisions = first(self._writer.execute(_REVISIONS))
            self._writer.execute("VACUUM")
            self._writer.execute(_COMPACTED, {"revisions": str(revisions)})
        except apsw.Error as error:
            _logger.warning("could not rewrite the database; the next start will: %s", error)

    def _erase(self) -> None:
        """Empties the file of the last commits; where that fails, later again."""
        with suppress(apsw.Error):
            self._writer.apsw.set_busy_timeout(ERASE_MS)
            try:
                self._writer.apsw.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            finally:
                self._writer.apsw.set_busy_timeout(BUSY_MS)
            self._holds_erased = False

    @contextmanager
    def reading(self, team: int | None = None) -> Iterator[SqliteConnection]:
        """Gives a connection that sees one committed state, of all teams."""
        with self._readers_lock:
            connection = self._readers.pop() if self._readers else None
        if connection is None:
            connection = _connected(self._path, _READER_CACHE_KIB)
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("COMMIT")
            if self._holds_erased and self._writer_lock.acquire(blocking=False):
                try:
                    self._erase()
                finally:
                    self._writer_lock.release()
            with self._readers_lock:
                is_kept = len(self._readers) < _READERS_MAX
                if is_kept:
                    self._readers.append(connection)
            if not is_kept:
                connection.close()

    def close(self) -> None:
        """Closes all connections."""
        with self._readers_lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()
        with self._writer_lock:
            self._writer.close()


def make_database(path: Path, epoch: str, team: str | None = None) -> None:
    """Makes the database of a server in a folder that only its owner may read.

    Either all of it stands there at the end, or nothing. Raises `server_exists` and OSError.
    """
    exists = ThenceError(
        "could not create a server in",
        place=path.parent,
        cause=f"it holds {path.name} already",
        hint=f"start it: thence server run --data {quote(str(path.parent))};"
        " or name another folder with --data",
        code="server_exists",
    )
    if path.exists():
        raise exists
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.touch()
    make_private(unfinished)
    connection = _connected(str(unfinished))
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.script(schema())
        meta = {"epoch": epoch, "schema": schema_digest()}
        connection.insert("meta", ("key", "value"), meta.items())
        if team:
            connection.insert("teams", ("slug",), [(team,)])
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE")  # so that one file holds all
    finally:
        connection.close()
    try:
        os.link(unfinished, path)
    except FileExistsError as error:
        raise exists from error
    finally:
        unfinished.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Returns when the names in a folder are on the device."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def opened_to_read(path: Path) -> SqliteConnection:
    """Opens the database of a server, or a copy, which stays as it is; raises `not_a_server`."""
    _check_is_there(path)
    connection = SqliteConnection(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY))
    check_schema(_meta(connection, "schema"), path)
    return connection


def _check_is_there(path: Path) -> None:
    if not path.is_file():
        raise ThenceError(
            "could not open the server's database",
            place=path,
            cause="there is no such file",
            hint="name it as it is; thence server init creates a new server",
            code="not_a_server",
        )


def make_private(file: Path) -> None:
    """Lets a database, and what SQLite keeps beside it, be read by its owner alone.

    SQLite gives new files beside it the same permissions. Files of another user stay as they are.
    """
    for part in (file, *(file.with_name(f"{file.name}{end}") for end in _BESIDE)):
        with suppress(FileNotFoundError):
            stat = part.stat()
            if stat.st_uid == os.geteuid() and stat.st_mode & ~_OWNER_ONLY & 0o777:
                part.chmod(_OWNER_ONLY)


def _connected(path: str, cache_kib: int = _WRITER_CACHE_KIB) -> SqliteConnection:
    connection = _opened(path)
    _set_up(connection, cache_kib)
    return connection


def _opened(path: str) -> SqliteConnection:
    """Opens a database as it is."""
    connection = apsw.Connection(path)
    connection.set_busy_timeout(BUSY_MS)
    return SqliteConnection(connection)


def _set_up(connection: SqliteConnection, cache_kib: int = _WRITER_CACHE_KIB) -> None:
    for setting in (*_SETTINGS, f"cache_size = -{cache_kib}"):
        connection.execute(f"PRAGMA {setting}")


def _meta(connection: SqliteConnection, key: str) -> str | None:
    """Returns a value of the table meta, None where the database has none."""
    try:
        rows = connection.execute("SELECT value FROM meta WHERE key = :key", {"key": key})
    except apsw.SQLError:  # it has no such table
        return None
    value: str | None = first(rows)
    return value
