"""The index of one log, opened: kept up to date by whoever asks, read by any thread.

It lies in `.thence/index.db` and can be deleted at any instant: the next question makes it
again. Events are read from the segments, by the places that the index tells.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import ClassVar, NamedTuple, TypeVar
from weakref import WeakSet, finalize

from thence.core.event import Event
from thence.core.values.vocabulary import Vocabulary
from thence.errors import ReadFailed
from thence.index.build.lines import Extent, LineReader
from thence.index.build.segment_snapshot import Stale
from thence.index.file.build_costs import Builds
from thence.index.file.index_file import Files, IndexFile
from thence.index.file.keeper import WAIT_S, Keeper, opened
from thence.index.file.match_cache import MatchCache
from thence.log.read.read_errors import reading
from thence.log.storage.disk import Disk, on_fork

_TRIES_MAX = 3
_IDLE_MAX = 8
_FORK_WAIT_S = 1.0

Answer = TypeVar("Answer")


class _Reader(NamedTuple):
    """A connection that only reads, with the files that it was opened on."""

    connection: sqlite3.Connection
    index_file: IndexFile
    files: Files

    def is_sound(self) -> bool:
        """Whether what was read is one state: nobody else wrote where it was read from.

        A database that was replaced lives on for who has it open.
        """
        now = self.index_file.files()
        return now[0] != self.files[0] or now == self.files


class Index:
    """Use it as a context manager, or close it. Safe from threads and after a fork.

    `cache` is the user's cache folder: there the index of a log lies that can't be written
    to; without one, and where that can't be written either, it is kept in memory. What making
    it costs is added to `builds`; what took long to find is `remembered`.

    One thread at a time has the turn: the keeper is its. Who reads an index in a file waits
    for no turn, and who asks while somebody has it shares the next freshening with all others
    who do.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        cache: Path | None = None,
        builds: Builds | None = None,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._turn = RLock()
        self._mutex = RLock()  # never held while the turn is waited for
        self._begun = self._ended = 0
        self._keeper = Keeper(disk, folder, vocabulary, cache, builds or Builds())
        self._idle: list[_Reader] = []
        self._lent = 0
        self.remembered = MatchCache()
        _Opened.indexes.add(self)
        finalize(self, _let_go, self._keeper, self._idle)

    @property
    def folder(self) -> Path:
        """The folder of the log."""
        return self._folder

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of the host whose log it is."""
        return self._vocabulary

    def freshen(self, timeout_s: float = WAIT_S) -> None:
        """Takes in what the log holds by now.

        Whoever else does so is waited for while they get on; if they don't for so many
        seconds, the index is kept elsewhere. Raises ReadFailed where the log can't be read.
        """
        wanted = self._begun + 1  # what is there now, the next one to begin sees
        with self._turn:
            if self._ended >= wanted:
                return
            self._begun = number = self._begun + 1
            with reading(self._folder):
                self._keeper.freshen(timeout_s)
            self._ended = max(self._ended, number)  # a signal handler may have asked meanwhile

    def rebuild(self, on_read: Callable[[int], None] | None = None) -> None:
        """Makes the index again from the segments.

        `on_read` is told, as it goes on, how many bytes are read so far.
        """
        with self._turn, reading(self._folder):
            self._keeper.rebuild(on_read)

    def answer(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Returns what a function makes of a connection that sees the log as it is now.

        The function may be called again: when its answer came from an index that turned
        out not to fit, which is then made again. Raises ReadFailed.
        """
        error: Exception | None = None
        for _ in range(_TRIES_MAX):
            self.freshen()
            try:
                with reading(self._folder), self._snapshot() as connection:
                    return work(connection)
            except (Stale, sqlite3.DatabaseError) as failure:
                self._doubt(failure, error)
                error = failure
        raise self._unreadable(error) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Gives a connection that sees one state of the index throughout.

        Where the index breaks meanwhile ReadFailed is raised, and the next freshening makes
        it again; `answer` does so by itself.
        """
        if not self._keeper.is_open:
            self.freshen()
        try:
            with reading(self._folder), self._snapshot() as connection:
                yield connection
        except (Stale, sqlite3.DatabaseError) as error:
            self._doubt(error, error)
            raise self._unreadable(error) from error

    def fetch(self, connection: sqlite3.Connection, extents: Iterable[Extent]) -> list[Event]:
        """Reads events from the segments, in the order of their extents."""
        with (
            closing(LineReader(self._disk, self._folder, connection)) as lines,
            reading(self._folder),
        ):
            return list(lines.events(extents, self._vocabulary))

    def lines(self, connection: sqlite3.Connection, extents: Iterable[Extent]) -> list[bytes]:
        """Reads the bytes of the events that `fetch` reads; ours are not decoded for that."""
        with (
            closing(LineReader(self._disk, self._folder, connection)) as lines,
            reading(self._folder),
        ):
            return list(lines.lines(extents, self._vocabulary))

    def close(self) -> None:
        """Closes the connections; who reads still keeps theirs until they have done."""
        with self._turn:
            self._drop_idle()
            self._keeper.let_go()

    def before_fork(self) -> None:
        """Closes what nobody uses: SQLite's locks are not a child's, though it thinks so."""
        if self._turn.acquire(timeout=_FORK_WAIT_S):
            try:
                self._drop_idle()
                if not self._lent:
                    self._keeper.let_go()
            finally:
                self._turn.release()

    def after_fork(self) -> None:
        """Forgets, in a child, what is its parent's."""
        is_shared = bool(self._lent) or self._keeper.is_open
        _Opened.abandoned += [reader.connection for reader in self._idle]
        writer = self._keeper.forget()
        if writer is not None:
            _Opened.abandoned.append(writer)
        self._turn = RLock()
        self._mutex = RLock()
        self._begun = self._ended = 0
        self._idle.clear()
        self._lent = 0
        if is_shared:
            self._keeper.stay_in_memory()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        lent = self._taken()
        if lent is None:
            with self._turn:
                yield from _begun(self._keeper.writer)
            return
        is_sound = False
        try:
            yield from _begun(lent.connection)
            is_sound = lent.is_sound()
        finally:
            self._give_back(lent)
        if not is_sound:
            raise Stale("what its users share is another's by now")

    def _taken(self) -> _Reader | None:
        """Takes an idle connection to the files that are trusted, or opens one; None in memory."""
        with self._mutex:
            while self._idle:
                reader = self._idle.pop()
                if reader.files == self._keeper.files:
                    self._lent += 1
                    return reader
                reader.connection.close()
        with self._turn:  # while one is opened, nobody puts another database there
            index_file, files = self._keeper.index_file, self._keeper.files
            if index_file is None:
                return None
            reader = _Reader(opened(index_file.path), index_file, files)
            try:
                reader.connection.execute("SELECT 1 FROM meta").fetchone()
                if index_file.files() != files:
                    raise Stale("the index is another by now")
            except BaseException:
                reader.connection.close()
                raise
            with self._mutex:
                self._lent += 1
            return reader

    def _give_back(self, reader: _Reader) -> None:
        with self._mutex:
            self._lent = max(0, self._lent - 1)
            if len(self._idle) < _IDLE_MAX and reader.files == self._keeper.files:
                self._idle.append(reader)
                return
        with suppress(sqlite3.Error):
            reader.connection.close()

    def _drop_idle(self) -> None:
        with self._mutex:
            _drop(self._idle)

    def _doubt(self, failure: Exception, earlier: Exception | None) -> None:
        with self._turn:
            self._drop_idle()
            if earlier is None and isinstance(failure, Stale):
                self._keeper.look_again()
            else:
                self._keeper.distrust()

    def _unreadable(self, error: Exception | None) -> ReadFailed:
        return ReadFailed(
            "could not read the index of",
            place=self._folder,
            cause=error or "",
            hint="try again: it is made again from the log",
        )


class _Opened:
    """The indexes of this process, which forks must be told of."""

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


on_fork(_Opened.before_fork, _Opened.after_fork)


def _drop(idle: list[_Reader]) -> None:
    while idle:
        with suppress(sqlite3.Error):
            idle.pop().connection.close()


def _let_go(keeper: Keeper, idle: list[_Reader]) -> None:
    """Closes what an index that nobody has any more left open, or the process at its end."""
    _drop(idle)
    keeper.let_go()


def _begun(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT 1 FROM meta").fetchone()
        yield connection
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
