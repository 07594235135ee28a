"""The index of one log, opened: kept up to date by whoever asks, read by any thread.

It lies in `.thence/index.db` and can be deleted at any instant: the next question makes it
again. Events are read from the segments, by the places that the index tells.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, local

from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.errors import ReadFailed
from thence.index.builder import Builder
from thence.log.disk import Disk, pause
from thence.log.segment import own_folder

WAIT_S = 10.0
_PAUSE_S = 0.005

# segment, offset, length of an event, as rows of the index hold them
Extent = tuple[int, int, int]


class Index:
    """Use it as a context manager, or close it. Safe from threads."""

    def __init__(self, disk: Disk, folder: Path, vocabulary: Vocabulary) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._path = own_folder(folder) / "index.db"
        self._mutex = Lock()
        self._threads = local()
        self._opened: list[sqlite3.Connection] = []

    @property
    def folder(self) -> Path:
        """The folder of the log."""
        return self._folder

    def freshen(self) -> None:
        """Takes in what the log holds by now; waits for another process that does so."""
        with self._mutex, self._lock():
            Builder(self._disk, self._folder, self._vocabulary, self._connection()).catch_up()

    def rebuild(self) -> None:
        """Makes the index again from the segments."""
        with self._mutex, self._lock():
            connection = self._connection()
            connection.execute("PRAGMA user_version = 0")
            Builder(self._disk, self._folder, self._vocabulary, connection).catch_up()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Gives a connection that sees one state of the index throughout."""
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    def fetch(self, connection: sqlite3.Connection, extents: Iterable[Extent]) -> list[Event]:
        """Reads events from the segments, in the order of their extents."""
        names = dict(connection.execute("SELECT id, name FROM segments").fetchall())
        opened: dict[int, int] = {}
        events = []
        try:
            for segment, offset, length in extents:
                if segment not in opened:
                    opened[segment] = self._disk.open_read(self._folder / names[segment])
                line = self._disk.read_at(opened[segment], offset, length)
                event = parse(line, self._vocabulary)
                if isinstance(event, BadLine):
                    raise ReadFailed("could not read an event from", place=self._folder)
                events.append(event)
        finally:
            for descriptor in opened.values():
                self._disk.let_go(descriptor)
        return events

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._mutex:
            while self._opened:
                self._opened.pop().close()
            self._threads = local()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connection(self) -> sqlite3.Connection:
        """Returns this thread's connection."""
        known: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if known is None:
            known = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            known.execute("PRAGMA journal_mode = WAL")
            known.execute("PRAGMA synchronous = NORMAL")
            self._threads.connection = known
            self._opened.append(known)
        return known

    @contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = self._disk.open_lock(own_folder(self._folder) / "index.lock")
        try:
            waited_s = 0.0
            while not self._disk.try_lock(descriptor):
                if waited_s > WAIT_S:
                    raise ReadFailed("could not read the index of", place=self._folder)
                pause(_PAUSE_S)
                waited_s += _PAUSE_S
            yield
        finally:
            self._disk.let_go(descriptor)
