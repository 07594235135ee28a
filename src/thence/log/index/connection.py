"""The open index of one log: refreshed by each query, read by any thread.

The index is the file `.thence/index.db`, which can be deleted at any instant: the next query
rebuilds it, as it does where a row can't be read. Events are read from the segments, by the extents
in the index.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import ClassVar, NamedTuple, TypeVar
from weakref import WeakSet, finalize

from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.log.files.disk import Disk, FileId, monotonic_ns, on_fork, reading
from thence.log.index.keeper import ROW_ERRORS, WAIT_S, Builds, Keeper, open_database
from thence.log.index.lines import Extent, LineReader
from thence.log.index.segments import Stale

_IDLE_MAX = 8
_FORK_WAIT_S = 1.0

Answer = TypeVar("Answer")


class _Reader(NamedTuple):
    """A connection that only reads, with the file of its database.

    A database that was replaced stays readable for the connections that have it open.
    """

    connection: sqlite3.Connection
    file: FileId | None


class Index:
    """The index of one log, to be closed. Safe from threads and after a fork.

    `cache` is the user's cache folder, for the index of a log that can't be written to.
    Without such a folder, or if it can't be written either, the index is kept in memory, as it
    is at once with `is_in_memory`. The cost of building is added to `builds`.

    One thread at a time holds the keeper's lock. A thread that reads an index in a file does
    not wait for the lock. Threads that want a refresh while another holds the lock share the
    next refresh.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        cache: Path | None = None,
        builds: Builds | None = None,
        *,
        is_in_memory: bool = False,
    ) -> None:
        self._disk = disk
        self.folder = folder
        self.vocabulary = vocabulary
        self._keeper_lock = RLock()
        self._mutex = RLock()  # never held while waiting for the keeper's lock
        self._begun = self._ended = 0
        self._keeper = Keeper(disk, folder, vocabulary, cache, builds or Builds())
        if is_in_memory:
            self._keeper.stay_in_memory()
        self._idle: list[_Reader] = []
        self._borrowed_count = 0
        _OpenIndexes.indexes.add(self)
        finalize(self, _release, self._keeper, self._idle)

    def refresh(
        self, timeout_s: float = WAIT_S, on_read: Callable[[int], None] | None = None
    ) -> None:
        """Brings the index up to date with the log.

        A refresh by another process is awaited while it makes progress; without progress for
        `timeout_s` seconds the index is kept elsewhere. While one is built, `on_read` is called
        repeatedly with the number of bytes read so far. Raises `read_failed` where the log can't be
        read.
        """
        needed = self._begun + 1  # the next refresh to begin sees all present events
        with self._keeper_lock:
            if self._ended >= needed:
                return
            self._begun = number = self._begun + 1
            with reading(self.folder):
                self._keeper.refresh(timeout_s, on_read)
            self._ended = max(self._ended, number)  # a signal handler may have refreshed too

    def rebuild(self, on_read: Callable[[int], None] | None = None) -> None:
        """Rebuilds the index from the segments.

        `on_read` is called repeatedly with the number of bytes read so far.
        """
        with self._keeper_lock, reading(self.folder):
            self._keeper.invalidate()
            self._keeper.refresh(WAIT_S, on_read)

    def answer(
        self,
        work: Callable[[sqlite3.Connection], Answer],
        refresh: Callable[[], None] | None = None,
    ) -> Answer:
        """Returns the result of a function of a connection that sees the present log.

        The function is called again when the segments changed meanwhile, and, once, when a row
        could not be read: the index is rebuilt before. Raises `read_failed`.
        """
        remedies = [self._keeper.recheck, self._keeper.invalidate]
        while True:
            (refresh or self.refresh)()
            try:
                with reading(self.folder), self._snapshot() as connection:
                    return work(connection)
            except ThenceError:
                raise
            except (Stale, *ROW_ERRORS) as error:
                self._retry_after_rebuild(error, remedies)

    def answer_soon(
        self, work: Callable[[sqlite3.Connection, bool], Answer], within_s: float
    ) -> Answer:
        """Returns the result of a function of a connection, and of whether it sees all of the log.

        New events are taken in for `within_s` seconds; an index that does not fit is made first.
        Raises what `answer` raises.
        """
        is_whole = False

        def refresh() -> None:
            nonlocal is_whole
            is_whole = False
            until_ns = monotonic_ns() + int(within_s * 1e9)
            if not self._keeper_lock.acquire(timeout=within_s):
                return
            try:
                with reading(self.folder):
                    is_whole = self._keeper.refresh(WAIT_S, until_ns=until_ns)
            finally:
                self._keeper_lock.release()

        return self.answer(lambda connection: work(connection, is_whole), refresh)

    def fetch(self, connection: sqlite3.Connection, extents: Iterable[Extent]) -> list[Event]:
        """Reads events from the segments, in the order of their extents."""
        reader = LineReader(self._disk, self.folder, connection)
        with closing(reader), reading(self.folder):
            return list(reader.events(extents, self.vocabulary))

    def lines(self, connection: sqlite3.Connection, extents: Iterable[Extent]) -> list[bytes]:
        """Reads the lines of the events that `fetch` reads; thence's own are not decoded."""
        reader = LineReader(self._disk, self.folder, connection)
        with closing(reader), reading(self.folder):
            return list(reader.lines(extents, self.vocabulary))

    def close(self) -> None:
        """Closes the connections; running readers keep theirs until they have finished."""
        with self._keeper_lock:
            self._drop_idle()
            self._keeper.close()

    def before_fork(self) -> None:
        """Closes unused connections: a child does not own SQLite's locks but would use them."""
        if self._keeper_lock.acquire(timeout=_FORK_WAIT_S):
            try:
                self._drop_idle()
                if not self._borrowed_count:
                    self._keeper.close()
            finally:
                self._keeper_lock.release()

    def after_fork(self) -> None:
        """Drops the parent's connections in a forked child."""
        is_shared = bool(self._borrowed_count) or self._keeper.is_open
        _OpenIndexes.abandoned += [reader.connection for reader in self._idle]
        writer = self._keeper.forget()
        if writer is not None:
            _OpenIndexes.abandoned.append(writer)
        self._keeper_lock = RLock()
        self._mutex = RLock()
        self._begun = self._ended = 0
        self._idle.clear()
        self._borrowed_count = 0
        if is_shared:
            self._keeper.stay_in_memory()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        reader = self._borrow()
        if reader is None:
            with self._keeper_lock:
                if not self._keeper.is_open:  # the refresh of another thread failed, or closed it
                    raise Stale("the index in memory is gone")
                yield from _begun(self._keeper.writer)
            return
        try:
            yield from _begun(reader.connection)
        finally:
            self._return(reader)

    def _borrow(self) -> _Reader | None:
        """Returns an idle or new connection to the database; None for memory."""
        with self._mutex:
            while self._idle:
                reader = self._idle.pop()
                if reader.file == self._keeper.file:
                    self._borrowed_count += 1
                    return reader
                reader.connection.close()
        with self._keeper_lock:  # no thread replaces the database while a connection is opened
            path, file = self._keeper.path, self._keeper.file
            if path is None:
                return None
            reader = _Reader(open_database(path), file)
            try:
                # only now: the identity of an open file is given to no other
                if self._keeper.file_now() != file:
                    raise Stale("the index is another by now")
            except BaseException:
                reader.connection.close()
                raise
            with self._mutex:
                self._borrowed_count += 1
            return reader

    def _return(self, reader: _Reader) -> None:
        with self._mutex:
            self._borrowed_count = max(0, self._borrowed_count - 1)
            if len(self._idle) < _IDLE_MAX and reader.file == self._keeper.file:
                self._idle.append(reader)
                return
        with suppress(sqlite3.Error):
            reader.connection.close()

    def _drop_idle(self) -> None:
        with self._mutex:
            _drop(self._idle)

    def _retry_after_rebuild(self, error: Exception, remedies: list[Callable[[], None]]) -> None:
        """Takes the first of the remedies, of which the last one rebuilds the index.

        Raises the error if none remains.
        """
        if not isinstance(error, Stale):
            del remedies[:-1]
        if not remedies:
            if not isinstance(error, Stale | sqlite3.Error):
                raise error
            raise ThenceError(
                "could not read the index of",
                place=self.folder,
                cause=error,
                hint="try again: it is rebuilt from the log",
                code="read_failed",
            ) from error
        with self._keeper_lock:
            self._drop_idle()
            remedies.pop(0)()


class _OpenIndexes:
    """The open indexes of this process, for the hooks before and after a fork."""

    indexes: ClassVar[WeakSet[Index]] = WeakSet()
    # the connections of a parent, which its child must not close
    abandoned: ClassVar[list[sqlite3.Connection]] = []

    @classmethod
    def before_fork(cls) -> None:
        for index in list(cls.indexes):
            index.before_fork()

    @classmethod
    def after_fork(cls) -> None:
        for index in list(cls.indexes):
            index.after_fork()


on_fork(_OpenIndexes.before_fork, _OpenIndexes.after_fork)


def _drop(idle: list[_Reader]) -> None:
    while idle:
        with suppress(sqlite3.Error):
            idle.pop().connection.close()


def _release(keeper: Keeper, idle: list[_Reader]) -> None:
    """Closes the connections of an index that was garbage collected, or at process end."""
    _drop(idle)
    keeper.close()


def _begun(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT 1 FROM meta").fetchone()
        yield connection
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
