"""The open index of one log: refreshed by each query, read by any thread.

The index is one database that can be deleted at any instant: the next query rebuilds it, as it
does where a row can't be read. It is in the log's folder, else in a cache folder, else in memory.
It says itself whether it fits: its table `meta` names the log, the vocabulary, the schema and the
inode of its own file, so that no copy is taken for it, and its table `segments` says what was
read. A database that does not fit is rebuilt in a draft, which then takes its place. All that
writes to the files of a folder holds the flock of its `index.lock`.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote_from_bytes
from weakref import WeakSet

import msgspec

from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.log.files.disk import (
    Disk,
    DiskError,
    FileId,
    durability_on,
    monotonic_ns,
    noise_bits,
    on_fork,
    opened,
    pause,
    process_id,
    reading,
)
from thence.log.files.identity import read_info
from thence.log.files.segment import PresentSegment, Stale, own_folder, present_segments
from thence.log.index.builder import Builder
from thence.log.index.rows import schema_digest
from thence.log.index.segments import Extent, LineReader, match_segments, snapshots

_WAIT_S = 10.0
_BUSY_S = 2.0
_FORK_WAIT_S = 1.0
_PAUSE_MIN_S = 0.0005
_PAUSE_MAX_S = 0.02
_PAUSE_GROWTH = 1.2
_ATTEMPTS_MAX = 5
_IDLE_MAX = 8
_NAME = "index.db"
# a caller waits while SQLite merges its log of changes: with its own 1,000 pages up to 10 ms
_UNMERGED_PAGES = 400
# a log that has grown by more than this, and more than it was, is read anew
_GROWTH_BYTES = 32 * 1024 * 1024
# JavaScript reads it exactly, with room for the changes that are added
_GENERATION_BITS = 48
# what the rows of a damaged index raise
_ROW_ERRORS = (
    sqlite3.Error,
    msgspec.MsgspecError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)

Answer = TypeVar("Answer")
P = ParamSpec("P")


class _Reader(NamedTuple):
    """A connection that only reads, with the file of its database.

    A database that was replaced stays readable for the connections that have it open.
    """

    connection: sqlite3.Connection
    file: FileId


class Index:
    """The index of one log, to be closed. Safe from threads and after a fork.

    `cache` is the user's cache folder, for the index of a log that can't be written to.
    Without such a folder, or if it can't be written either, the index is kept in memory, as it
    is at once with `is_in_memory`.

    One thread at a time holds the lock, writes, and reads an index in memory. A thread that reads
    an index in a file has a connection of its own and does not wait for the lock.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        cache: Path | None = None,
        *,
        is_in_memory: bool = False,
    ) -> None:
        self._disk = disk
        self.folder = folder
        self.vocabulary = vocabulary
        self._cache = cache
        self._lock = RLock()
        self._mutex = RLock()  # never held while waiting for the lock
        # the folders that are still to be tried, none for memory; chosen by the first refresh
        self._places: list[Path] | None = [] if is_in_memory else None
        self._log_id = ""
        self._builder: Builder | None = None  # with the connection that writes
        self._file: FileId | None = None  # that of the open database; None for memory
        self._seen: tuple[PresentSegment, ...] | None = None  # what the index holds all of
        self._is_distrusted = False
        self._idle: list[_Reader] = []
        self._borrowed_count = 0
        _OPEN.add(self)

    def refresh(self, on_read: Callable[[int], None] | None = None) -> None:
        """Brings the index up to date with the log.

        A refresh by another process is awaited while it makes progress; without progress for 10
        seconds the index is kept elsewhere. While one is built, `on_read` is called repeatedly with
        the number of bytes read so far. Raises `read_failed` where the log can't be read.
        """
        with self._lock, reading(self.folder):
            is_fresh = self._seen is not None and self._file_now() == self._file
            if is_fresh and present_segments(self._disk, self.folder) == self._seen:
                return
            if self._places is None:
                info = read_info(self._disk, self.folder)
                self._log_id = info.log_id if info else ""
                self._places = []
                # over a network SQLite's shared memory does not work between hosts, or not at all
                if durability_on(self._disk.filesystem(self.folder)) != "unproven":
                    self._places.append(own_folder(self.folder))
                if self._cache is not None and self._log_id:
                    self._places.append(self._cache / self._log_id)
            while self._places:
                try:
                    if not self._disk.is_folder(self.folder):
                        raise DiskError(f"{self.folder} is gone")
                    self._disk.make_folder(self._places[0])
                    with self._locked(self._places[0]):
                        self._update(on_read)
                    return
                except (Stale, DiskError, sqlite3.Error):
                    self._close_writer()
                    self._places = self._places[1:]
            try:
                self._update(on_read)
            except (Stale, sqlite3.Error) as error:
                raise ThenceError(
                    "could not index the log",
                    place=self.folder,
                    cause=error,
                    hint="try again",
                    code="read_failed",
                ) from error

    def rebuild(self, on_read: Callable[[int], None] | None = None) -> None:
        """Rebuilds the index from the segments.

        `on_read` is called repeatedly with the number of bytes read so far.
        """
        with self._lock:
            self._seen, self._is_distrusted = None, True
            self.refresh(on_read)

    def answer(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Returns the result of a function of a connection that sees the present log.

        The function is called again when the segments changed meanwhile, and, once, when a row
        could not be read: the index is rebuilt before. Raises `read_failed`.
        """
        is_rechecked = is_rebuilt = False
        while True:
            self.refresh()
            try:
                with reading(self.folder), self._snapshot() as connection:
                    return work(connection)
            except ThenceError:
                raise
            except (Stale, *_ROW_ERRORS) as error:
                if is_rebuilt and not isinstance(error, Stale | sqlite3.Error):
                    raise
                if is_rebuilt:
                    raise ThenceError(
                        "could not read the index of",
                        place=self.folder,
                        cause=error,
                        hint="try again: it is rebuilt from the log",
                        code="read_failed",
                    ) from error
                # a segment that was renamed or pruned meanwhile is noticed without a rebuild
                is_rebuilt = is_rechecked or not isinstance(error, Stale)
                is_rechecked = True
                with self._lock:
                    self._drop_idle()
                    self._seen, self._is_distrusted = None, self._is_distrusted or is_rebuilt

    def fetch(self, connection: sqlite3.Connection, extents: Iterable[Extent]) -> list[Event]:
        """Reads events from the segments, in the order of their extents."""
        reader = LineReader(self._disk, self.folder, connection)
        with closing(reader), reading(self.folder):
            return list(reader.events(extents, self.vocabulary))

    def lines(self, connection: sqlite3.Connection, extents: Iterable[Extent]) -> Iterator[bytes]:
        """Yields the lines of the events that `fetch` reads; thence's own are not decoded."""
        reader = LineReader(self._disk, self.folder, connection)
        with closing(reader), reading(self.folder):
            yield from reader.lines(extents, self.vocabulary)

    def attach(self, connection: sqlite3.Connection, name: str) -> None:
        """Gives a connection a database of a name that is beside the index and goes with it.

        It is made where there is none, in memory for an index in memory.
        """
        databases = {own: file for _, own, file in connection.execute("PRAGMA database_list")}
        if name in databases:
            return
        file = f"{databases['main']}.{name}" if databases["main"] else ":memory:"
        if databases["main"]:
            self._disk.close(self._disk.open_append(Path(file)))  # with the rights of a draft
        connection.execute(f"ATTACH ? AS {name}", (file,))

    def close(self) -> None:
        """Closes the connections; running readers keep theirs until they have finished."""
        with self._lock:
            self._drop_idle()
            self._close_writer()

    def before_fork(self) -> None:
        """Closes unused connections: a child does not own SQLite's locks but would use them."""
        if self._lock.acquire(timeout=_FORK_WAIT_S):
            try:
                self._drop_idle()
                if not self._borrowed_count:
                    self._close_writer()
            finally:
                self._lock.release()

    def after_fork(self) -> list[sqlite3.Connection]:
        """Drops the parent's connections in a forked child; returns them, never to be closed."""
        inherited = [reader.connection for reader in self._idle]
        if self._builder is not None:
            inherited.append(self._builder.connection)
        if self._builder is not None or self._borrowed_count:
            self._places = []
        self._lock, self._mutex = RLock(), RLock()
        self._builder = self._file = self._seen = None
        self._idle, self._borrowed_count = [], 0
        return inherited

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _path(self) -> Path | None:
        """The path of the database; None for memory."""
        return self._places[0] / _NAME if self._places else None

    def _file_now(self) -> FileId | None:
        """Returns the identity of the database that is in its place now, None for memory."""
        path_id = self._disk.path_id(str(self._path)) if self._path is not None else None
        return path_id and path_id[0]

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """Lends a connection that sees one state of the database."""
        reader = self._borrow()
        if reader is None:
            with self._lock:
                if self._builder is None:  # the refresh of another thread failed, or closed it
                    raise Stale("the index in memory is gone")
                with _in_one_state(self._builder.connection) as connection:
                    yield connection
            return
        try:
            with _in_one_state(reader.connection) as connection:
                yield connection
        finally:
            with self._mutex:
                self._borrowed_count = max(0, self._borrowed_count - 1)
                is_kept = len(self._idle) < _IDLE_MAX and reader.file == self._file
                if is_kept:
                    self._idle.append(reader)
            if not is_kept:
                with suppress(sqlite3.Error):
                    reader.connection.close()

    def _borrow(self) -> _Reader | None:
        """Returns an idle or new connection to the database; None for memory."""
        with self._mutex:
            while self._idle:
                reader = self._idle.pop()
                if reader.file == self._file:
                    self._borrowed_count += 1
                    return reader
                reader.connection.close()
        with self._lock:  # no thread replaces the database while a connection is opened
            path, file = self._path, self._file
            if path is None:
                return None
            connection = open_database(path)
            try:
                # only now: the identity of an open file is given to no other
                if file is None or self._file_now() != file:
                    raise Stale("the index is another by now")
            except BaseException:
                connection.close()
                raise
            with self._mutex:
                self._borrowed_count += 1
            return _Reader(connection, file)

    def _drop_idle(self) -> None:
        with self._mutex:
            while self._idle:
                with suppress(sqlite3.Error):
                    self._idle.pop().connection.close()

    def _close_writer(self) -> None:
        """Closes the connection; SQLite merges its log of changes if it was the last one."""
        builder, self._builder = self._builder, None
        self._file = self._seen = None
        if builder is not None:
            with suppress(sqlite3.Error):
                builder.connection.close()

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        """Holds the lock of a folder; raises Stale if its holder writes nothing for so long."""
        descriptor = self._disk.open_lock(folder / "index.lock")
        try:
            states, begin_ns, delay_s = None, monotonic_ns(), _PAUSE_MIN_S
            while not self._disk.try_lock(descriptor):
                before = states
                states = [self._disk.path_state(str(path)) for path in self._files(folder)]
                if states != before:
                    begin_ns = monotonic_ns()
                if monotonic_ns() - begin_ns >= _WAIT_S * 1e9:
                    raise Stale("another process holds the index")
                pause(delay_s)
                delay_s = min(delay_s * _PAUSE_GROWTH, _PAUSE_MAX_S)
            yield
        finally:
            with suppress(DiskError):  # a child that was forked meanwhile has it open too
                self._disk.unlock(descriptor)
            self._disk.close_quietly(descriptor)

    def _files(self, folder: Path) -> list[Path]:
        """Returns the database, the files of SQLite beside it, and drafts."""
        return [folder / name for name in self._disk.names(folder) if name.startswith(_NAME)]

    def _update(self, on_read: Callable[[int], None] | None) -> None:
        """Brings the database up to date, by a rebuild if needed; the lock of a file is held.

        Any error while a row is read makes it rebuild the index once.
        """
        has_failed = False
        for _ in range(_ATTEMPTS_MAX):
            try:
                is_new = self._is_distrusted or not self._fits()
                if is_new:
                    self._build(on_read)
                    self._is_distrusted = False
                segments = present_segments(self._disk, self.folder)
                assert self._builder is not None
                indexed = snapshots(self._builder.connection)
                matched = match_segments(self._disk, self.folder, indexed, segments)
                read_bytes = sum(snapshot.read_bytes for snapshot in indexed)
                unread_bytes = sum(segment.state.size for segment in segments) - read_bytes
                # an unfinished line of any length may be left unread by a build
                has_grown = not is_new and unread_bytes > max(_GROWTH_BYTES, read_bytes)
                if matched is None or has_grown:
                    self._is_distrusted = True
                    continue
                self._seen = None
                for _ in self._builder.catch_up(segments, matched):
                    pass
                self._seen = segments
                return
            except Stale:
                continue
            except ThenceError:
                raise
            except _ROW_ERRORS:
                if has_failed:
                    raise
                has_failed = self._is_distrusted = True
        raise Stale("the segments changed at every attempt")

    def _fits(self) -> bool:
        """Opens the database if it is not open, and reports whether it is the one of this log."""
        if self._builder is None or self._file_now() != self._file:
            self._close_writer()
            path, file = self._path, self._file_now()
            if path is None or file is None:
                return False
            self._builder, self._file = self._builder_of(open_database(path)), file
        meta = dict(self._builder.connection.execute("SELECT key, value FROM meta").fetchall())
        return meta == {**meta, **self._name(self._file)}

    def _builder_of(self, connection: sqlite3.Connection) -> Builder:
        return Builder(self._disk, self.folder, self.vocabulary, connection)

    def _name(self, file: FileId | None) -> dict[str, str | int]:
        return {
            "schema": schema_digest("thence.log.index", "schema.sql", "indexes.sql"),
            "log_id": self._log_id,
            "vocabulary": self.vocabulary.name,
            "inode": str(file[1]) if file else "",  # as text: it may have 64 bits
        }

    def _build(self, on_read: Callable[[int], None] | None) -> None:
        """Builds the index in memory, or in a draft that then takes its place."""
        path, generation = self._path, {"generation": noise_bits(_GENERATION_BITS)}
        if path is None:
            self._close_writer()
            self._builder = self._builder_of(
                sqlite3.connect(
                    ":memory:", isolation_level=None, check_same_thread=False, factory=_Connection
                )
            )
            self._builder.build(self._name(None) | generation, on_read)
            return
        draft = path.with_name(f"{_NAME}.{process_id()}.{noise_bits(32):08x}")
        try:
            self._disk.close(self._disk.open_append(draft))  # SQLite would make it 0644 at most
            file = self._disk.path_id(str(draft))
            # once the draft has its inode, which is then that of no database before
            self._clear(path.parent, draft)
            # not earlier: to SQLite the last one to close it owns the files beside it
            self._close_writer()
            with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
                    connection.execute(f"PRAGMA {pragma}")
                name = self._name(file and file[0])
                self._builder_of(connection).build(name | generation, on_read)
                connection.execute("PRAGMA journal_mode = WAL")
            with opened(self._disk, draft) as descriptor:
                self._disk.sync_data(descriptor)
            self._disk.rename(draft, path)
        except BaseException:
            with suppress(DiskError):
                self._clear(path.parent)
            raise
        if not self._fits():
            raise Stale("another program took it away")

    def _clear(self, folder: Path, draft: Path | None = None) -> None:
        """Removes all files but the lock and a draft."""
        for path in self._files(folder):
            try:
                if path != draft:
                    self._disk.unlink(path)
            except DiskError as error:
                if not error.is_absence:
                    raise


def answered(
    function: Callable[Concatenate[Index, sqlite3.Connection, P], Answer],
) -> Callable[Concatenate[Index, P], Answer]:
    """Gives a function of an index the connection of `Index.answer`, whose errors it raises."""

    @wraps(function)
    def asked(index: Index, /, *given: P.args, **named: P.kwargs) -> Answer:
        return index.answer(lambda connection: function(index, connection, *given, **named))

    return asked


# the open indexes of this process, for the hooks before and after a fork
_OPEN = WeakSet[Index]()
# the connections of a parent, which its child must not close
_INHERITED: list[sqlite3.Connection] = []


def _before_fork() -> None:
    for index in list(_OPEN):
        index.before_fork()


def _after_fork() -> None:
    for index in list(_OPEN):
        _INHERITED.extend(index.after_fork())


on_fork(_before_fork, _after_fork)


@contextmanager
def _in_one_state(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class _Connection(sqlite3.Connection):
    """A connection that closes with the index that it is of, should nobody close that."""

    def __del__(self) -> None:
        with suppress(sqlite3.Error):  # what could not be opened can't be closed
            self.close()


def open_database(path: Path) -> sqlite3.Connection:
    """Opens an existing database, for use by any thread."""
    name = f"file:{quote_from_bytes(os.fsencode(path))}?mode=rw"
    connection = sqlite3.connect(
        name,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_S,
        factory=_Connection,
    )
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_UNMERGED_PAGES}")
        connection.execute("SELECT 1 FROM meta").fetchone()
    except BaseException:  # it is no database, or Ctrl-C
        connection.close()
        raise
    return connection
