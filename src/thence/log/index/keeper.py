"""The keeper of one log's index: in the log's folder, else in a cache folder, else in memory.

The index is one database that can be rebuilt from the log at any time. It says itself whether it
fits: its table `meta` names the log, the vocabulary, the schema and the inode of its own file, so
that no copy is taken for it, and its table `segments` has the identity and checksum of what was
read. A database that does not fit is rebuilt in a draft, which then takes its place.
All that writes to the files of a folder holds the flock of its `index.lock`.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from operator import add
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import quote_from_bytes

import msgspec

from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.log.files.disk import (
    Disk,
    DiskError,
    FileId,
    durability_on,
    monotonic_ns,
    noise_bits,
    opened,
    pause,
    process_id,
)
from thence.log.files.identity import read_info
from thence.log.files.segment import own_folder
from thence.log.index.builder import Builder, build
from thence.log.index.rows import schema_digest
from thence.log.index.segments import (
    PresentSegment,
    SegmentSnapshot,
    Stale,
    match_segments,
    present,
    snapshots,
)

WAIT_S = 10.0
_BUSY_S = 2.0
_PAUSE_MIN_S = 0.0005
_PAUSE_MAX_S = 0.02
_PAUSE_GROWTH = 1.2
_ATTEMPTS_MAX = 5
_NAME = "index.db"
# a caller waits while SQLite merges its log of changes: with its own 1,000 pages up to 10 ms
_UNMERGED_PAGES = 400
# a log that has grown by more than this, and more than it was, is read anew
_GROWTH_BYTES = 32 * 1024 * 1024
# JavaScript reads it exactly, with room for the changes that are added
_GENERATION_BITS = 48


# what the rows of a damaged index raise
ROW_ERRORS = (
    sqlite3.Error,
    msgspec.MsgspecError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


class Cost(NamedTuple):
    """The number of index builds, their seconds, and the seconds of catching up.

    `events` counts the events indexed by both.
    """

    builds: int = 0
    build_seconds: float = 0.0
    catch_up_seconds: float = 0.0
    events: int = 0


class Builds:
    """The sum of the costs of several indexes; safe from threads."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self.cost = Cost()

    def add(self, cost: Cost) -> None:
        """Adds the cost of an index that was built, or that has taken in later events."""
        with self._mutex:
            self.cost = Cost(*map(add, self.cost, cost))


class Keeper:
    """The one writer of an index in this process; the caller admits one thread at a time."""

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, cache: Path | None, builds: Builds
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._cache = cache
        self._builds = builds
        self._places: list[Path] | None = None  # the folders that are still to be tried
        self._log_id = ""
        self._writer: sqlite3.Connection | None = None
        self._builder: Builder | None = None
        self.file: FileId | None = None  # that of the open database; None for memory
        self._seen: tuple[PresentSegment, ...] | None = None
        self._is_distrusted = False

    @property
    def path(self) -> Path | None:
        """The path of the database; None for memory."""
        return self._places[0] / _NAME if self._places else None

    @property
    def writer(self) -> sqlite3.Connection:
        """The connection that writes: the only one to an index in memory."""
        assert self._writer is not None
        return self._writer

    @property
    def is_open(self) -> bool:
        """True if a refresh has opened the index, and nothing has closed it since."""
        return self._writer is not None

    def refresh(
        self,
        timeout_s: float,
        on_read: Callable[[int], None] | None = None,
        until_ns: int | None = None,
    ) -> bool:
        """Brings the index up to date with the log; False if it has not taken in all.

        While one is built, `on_read` gets the number of bytes read so far. What is to be added is
        left for later once the monotonic time is `until_ns`; a build is always whole.
        """
        is_fresh = self._seen is not None and self.file_now() == self.file
        if not is_fresh or present(self._disk, self._folder) != self._seen:
            self._choose_places()
            while (path := self.path) is not None:
                try:
                    if not self._disk.is_folder(self._folder):
                        raise DiskError(f"{self._folder} is gone")
                    self._disk.make_folder(path.parent)
                    with self._locked(path.parent, timeout_s):
                        self._update(path, on_read, until_ns)
                    break
                except (Stale, DiskError, sqlite3.Error):
                    self.close()
                    self._places = self._places[1:] if self._places else []
            else:
                try:
                    self._update(None, on_read, until_ns)
                except (Stale, sqlite3.Error) as error:
                    raise ThenceError(
                        "could not index the log",
                        place=self._folder,
                        cause=error,
                        hint="try again",
                        code="read_failed",
                    ) from error
        return self._seen is not None

    def recheck(self) -> None:
        """Makes the next refresh check everything."""
        self._seen = None

    def invalidate(self) -> None:
        """Makes the next refresh rebuild the index."""
        self._seen = None
        self._is_distrusted = True

    def close(self) -> None:
        """Closes the connection; SQLite merges its log of changes if it was the last one."""
        writer = self.forget()
        if writer is not None:
            with suppress(sqlite3.Error):
                writer.close()

    def forget(self) -> sqlite3.Connection | None:
        """Drops the connection without closing it: in a forked child it is the parent's."""
        writer, self._writer = self._writer, None
        self._builder = self._seen = self.file = None
        return writer

    def stay_in_memory(self) -> None:
        """Keeps the index in memory from now on."""
        self._places = []

    def file_now(self) -> FileId | None:
        """Returns the identity of the database that is in its place now, None for memory."""
        path_id = self._disk.path_id(str(self.path)) if self.path is not None else None
        return path_id and path_id[0]

    def _choose_places(self) -> None:
        if self._places is not None:
            return
        info = read_info(self._disk, self._folder)
        self._log_id = info.log_id if info else ""
        self._places = []
        # over a network SQLite's shared memory does not work between hosts, or not at all
        if durability_on(self._disk.filesystem(self._folder)) != "unproven":
            self._places.append(own_folder(self._folder))
        if self._cache is not None and self._log_id:
            self._places.append(self._cache / self._log_id)

    @contextmanager
    def _locked(self, folder: Path, timeout_s: float) -> Iterator[None]:
        """Holds the lock of a folder; raises Stale if its holder writes nothing for so long."""
        descriptor = self._disk.open_lock(folder / "index.lock")
        try:
            states, begin_ns, delay_s = None, monotonic_ns(), _PAUSE_MIN_S
            while not self._disk.try_lock(descriptor):
                before = states
                states = [self._disk.path_state(str(path)) for path in self._files(folder)]
                if states != before:
                    begin_ns = monotonic_ns()
                if monotonic_ns() - begin_ns >= timeout_s * 1e9:
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

    def _update(
        self, path: Path | None, on_read: Callable[[int], None] | None, until_ns: int | None
    ) -> None:
        """Brings the index up to date, by a rebuild if needed; the lock of a file is held.

        Any error while a row is read makes it rebuild the index once.
        """
        has_failed = False
        for _ in range(_ATTEMPTS_MAX):
            try:
                if self._is_distrusted or not self._fits(path):
                    self._build(path, on_read)
                    self._is_distrusted = False
                self._catch_up(until_ns)
                return
            except Stale:
                continue
            except ThenceError:
                raise
            except ROW_ERRORS:
                if has_failed:
                    raise
                has_failed = self._is_distrusted = True
        raise Stale("the segments changed at every attempt")

    def _fits(self, path: Path | None) -> bool:
        """Opens the database if it is not open, and reports whether it is the one of this log."""
        if self._writer is None or self.file_now() != self.file:
            self.close()
            file = self.file_now()
            if path is None or file is None:
                return False
            self._writer, self.file = open_database(path), file
        meta = dict(self.writer.execute("SELECT key, value FROM meta").fetchall())
        return meta == {**meta, **self._name(self.file)}

    def _name(self, file: FileId | None) -> dict[str, str | int]:
        return {
            "schema": schema_digest("thence.log.index", "schema.sql", "indexes.sql"),
            "log_id": self._log_id,
            "vocabulary": self._vocabulary.name,
            "inode": str(file[1]) if file else "",  # as text: it may have 64 bits
        }

    def _build(self, path: Path | None, on_read: Callable[[int], None] | None) -> None:
        if path is None:
            self.close()
            self._writer = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            self._fill(self._writer, None, on_read)
            return
        draft = path.with_name(f"{_NAME}.{process_id()}.{noise_bits(32):08x}")
        try:
            self._disk.close(self._disk.open_append(draft))  # SQLite would make it 0644 at most
            file = self._disk.path_id(str(draft))
            # once the draft has its inode, which is then that of no database before
            self._clear(path.parent, draft)
            self.close()  # not earlier: to SQLite the last one to close it owns the files beside it
            with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
                    connection.execute(f"PRAGMA {pragma}")
                self._fill(connection, file and file[0], on_read)
                connection.execute("PRAGMA journal_mode = WAL")
            with opened(self._disk, draft) as descriptor:
                self._disk.sync_data(descriptor)
            self._disk.rename(draft, path)
        except BaseException:
            with suppress(DiskError):
                self._clear(path.parent)
            raise
        if not self._fits(path):
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

    def _fill(
        self,
        connection: sqlite3.Connection,
        file: FileId | None,
        on_read: Callable[[int], None] | None,
    ) -> None:
        begin_ns = monotonic_ns()
        events = build(self._disk, self._folder, self._vocabulary, connection, on_read)
        meta = self._name(file) | {"generation": noise_bits(_GENERATION_BITS)}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        self._builds.add(Cost(1, (monotonic_ns() - begin_ns) / 1e9, 0.0, events))

    def _catch_up(self, until_ns: int | None) -> None:
        """Adds the events that the index lacks; Stale if the index does not fit the segments."""
        segments = present(self._disk, self._folder)
        indexed = snapshots(self.writer)
        matched = match_segments(self._disk, self._folder, indexed, segments)
        if matched is None or _has_outgrown(segments, indexed):
            self._is_distrusted = True
            raise Stale("the segments are others")

        def is_late() -> bool:
            return until_ns is not None and monotonic_ns() >= until_ns

        builder, self._builder = self._builder, None
        if builder is None:
            builder = Builder(self._disk, self._folder, self._vocabulary, self.writer)
        begin_ns = monotonic_ns()
        events = builder.catch_up(segments, matched, is_late=is_late)
        if events:
            self._builds.add(Cost(0, 0.0, (monotonic_ns() - begin_ns) / 1e9, events))
        self._builder = builder
        self._seen = None if is_late() else segments


def _has_outgrown(segments: tuple[PresentSegment, ...], indexed: list[SegmentSnapshot]) -> bool:
    """Reports whether a rebuild is faster than adding to the index."""
    read_bytes = sum(snapshot.read_bytes for snapshot in indexed)
    size = sum(segment.state.size for segment in segments)
    return size - read_bytes > max(_GROWTH_BYTES, read_bytes)


def open_database(path: Path) -> sqlite3.Connection:
    """Opens an existing database, for use by any thread."""
    name = f"file:{quote_from_bytes(os.fsencode(path))}?mode=rw"
    connection = sqlite3.connect(
        name, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_S
    )
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_UNMERGED_PAGES}")
        connection.execute("SELECT 1 FROM meta").fetchone()
    except BaseException:  # it is no database, or Ctrl-C
        connection.close()
        raise
    return connection
