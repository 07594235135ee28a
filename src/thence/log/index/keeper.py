"""The keeper of one log's index: in the log's folder, else in a cache folder, else in memory.

An index is trusted only if its manifest, the log and the segments agree. Otherwise the keeper
rebuilds it from the segments under another name, then renames it into place. A keeper that
can't write to a location, or waits too long for its lock, uses the next location.

A location is a folder with `index.db`, the files of SQLite beside it, and `index.lock`. The
lock file holds the manifest: the identity of the database file, the number of commits to it,
whether a checkpoint was under way. A database that no manifest names is never opened.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import add
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import quote_from_bytes

from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
from thence.log.files.disk import (
    NOTHING,
    NOWHERE,
    Disk,
    FileId,
    FileState,
    durability_on,
    monotonic_ns,
    noise_bits,
    pause,
    process_id,
)
from thence.log.files.disk_errors import DiskError, reading
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

_NAME = "index.db"
_PAUSE_MIN_S = 0.0005
_PAUSE_MAX_S = 0.02
_ATTEMPTS_BETWEEN = 10
_MANIFEST_BYTES = 192

# the database, its write-ahead log, its shared memory
Files = tuple[FileId | None, FileId | None, FileId | None]


class Busy(Exception):
    """Another process holds the lock of a location and shows no progress."""


class Manifest(NamedTuple):
    """The state of a trusted database, with the least number of its commits.

    While `wal` names a file, a checkpoint of it may be half done: the database can be trusted
    only with that file beside it.
    """

    state: FileState = NOTHING
    commits: int = 0
    wal: FileId = NOWHERE
    beat: int = 0


class IndexFile:
    """A folder that holds an index. Only its lock is open, while it is held."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.folder = folder
        self.path = folder / _NAME
        self._disk = disk
        self._lock_path = folder / "index.lock"
        self._paths = [str(self.path) + ending for ending in ("", "-wal", "-shm")]
        self._descriptor = -1
        self._manifest = Manifest()

    def state(self) -> FileState | None:
        """Returns the state of the database now; it is written only under the lock."""
        return self._disk.path_state(self._paths[0])

    def files(self) -> Files:
        """Returns the identities of the present files."""
        path_ids = [self._disk.path_id(path) for path in self._paths]
        database, wal, shared = (path_id and path_id[0] for path_id in path_ids)
        return database, wal, shared

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """Takes the lock; raises Busy if its holder shows no progress for `timeout_s`."""
        self._descriptor = self._lock(timeout_s)
        try:
            self._manifest = self._read_manifest()
            yield
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            self._disk.close_quietly(descriptor)

    def manifest(self) -> Manifest:
        """Returns the manifest; call it under the lock."""
        return self._manifest

    def set_manifest(self, manifest: Manifest) -> None:
        """Writes the manifest; call it under the lock."""
        self._manifest = manifest
        text = " ".join(
            map(
                str,
                (
                    *manifest.state.file,
                    *manifest.state[1:],
                    manifest.commits,
                    *manifest.wal,
                    manifest.beat,
                ),
            )
        )
        self._disk.write_at(self._descriptor, 0, text.ljust(_MANIFEST_BYTES - 1).encode() + b"\n")

    def beat(self) -> None:
        """Shows to waiting processes that the holder of the lock makes progress."""
        self.set_manifest(self._manifest._replace(beat=self._manifest.beat + 1))

    def clear(self) -> None:
        """Removes the database and the files beside it, unfinished ones too."""
        for name in self._disk.names(self.folder):
            if name.startswith(_NAME):
                self._remove(self.folder / name)

    def draft(self) -> Path:
        """Returns a path for a database that is being built."""
        return self.folder / f"{_NAME}.{process_id()}.{noise_bits(32):08x}"

    def put(self, draft: Path) -> None:
        """Replaces the database by a finished, closed one; call it under the lock."""
        descriptor = self._disk.open_read(draft)
        try:
            self._disk.sync_data(descriptor)
        finally:
            self._disk.close_quietly(descriptor)
        self.set_manifest(Manifest(beat=self._manifest.beat + 1))
        for path in self._paths:
            self._remove(Path(path))
        self._disk.rename(draft, self.path)
        state = self._disk.path_state(self._paths[0])
        if state is not None:
            self.set_manifest(Manifest(state, beat=self._manifest.beat))

    def _remove(self, path: Path) -> None:
        try:
            self._disk.unlink(path)
        except DiskError as error:
            if not error.is_absence:
                raise

    def _lock(self, timeout_s: float) -> int:
        start_ns = monotonic_ns()
        delay_s = _PAUSE_MIN_S
        attempts = 0
        seen = b""
        while True:
            descriptor = self._disk.open_lock(self._lock_path)
            try:
                if self._disk.try_lock(descriptor) and self._is_current(descriptor):
                    return descriptor
                text = self._disk.read_at(descriptor, 0, _MANIFEST_BYTES)
            except BaseException:
                self._disk.close_quietly(descriptor)
                raise
            self._disk.close_quietly(descriptor)
            if text != seen:
                seen, start_ns = text, monotonic_ns()
            if monotonic_ns() - start_ns >= timeout_s * 1e9:
                raise Busy
            attempts += 1
            pause(delay_s)
            if attempts % _ATTEMPTS_BETWEEN == 0:
                delay_s = min(delay_s * 2, _PAUSE_MAX_S)

    def _is_current(self, descriptor: int) -> bool:
        path_id = self._disk.path_id(str(self._lock_path))
        return path_id is not None and path_id[0] == self._disk.file_id(descriptor)[0]

    def _read_manifest(self) -> Manifest:
        text = self._disk.read_at(self._descriptor, 0, _MANIFEST_BYTES)
        try:
            device, inode, size, changed_ns, commits, *wal, beat = map(int, text.split())
            wal_device, wal_inode = wal
        except ValueError:
            return Manifest()
        state = FileState((device, inode), size, changed_ns)
        return Manifest(state, commits, (wal_device, wal_inode), beat)


WAIT_S = 10.0
BUSY_S = 2.0
_ATTEMPTS_MAX = 5
# a caller waits for each checkpoint: more frequent ones are shorter
_UNCHECKPOINTED_MAX = 64
_EVENTS_AS_A_COMMIT = 32  # the events whose checkpoint costs as much as that of one commit
# a log that has grown by more than this, and more than it was, is read anew
_GROWTH_BYTES = 32 * 1024 * 1024
# JavaScript reads it exactly, with room for the changes that are added
_GENERATION_BITS = 48


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
        self._home = own_folder(folder)
        self._cache = cache
        self._builds = builds
        self._on_read: Callable[[int], None] = _nothing
        self._until_ns: int | None = None
        self._locations: list[IndexFile] | None = None
        self._location = 0
        self._is_home_busy = False
        self._is_distrusted = False
        self._log_id = ""
        self._writer: sqlite3.Connection | None = None
        self._builder: Builder | None = None
        self.files: Files = (None, None, None)  # those that were trusted last
        self._state: FileState | None = None
        self._seen: tuple[PresentSegment, ...] | None = None
        self._uncheckpointed = 0

    @property
    def index_file(self) -> IndexFile | None:
        """The file of the index; None for memory."""
        locations = self._locations or ()
        return locations[self._location] if self._location < len(locations) else None

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
        """Brings the index up to date with the log; False where it has not taken in all.

        While one is built, `on_read` gets the number of bytes read so far. What is to be added is
        left for later once the monotonic time is `until_ns`; a build is always whole.
        """
        self._on_read, self._until_ns = on_read or _nothing, until_ns
        try:
            self._refresh(timeout_s)
        finally:
            self._on_read, self._until_ns = _nothing, None
        return self._seen is not None

    def _refresh(self, timeout_s: float) -> None:
        with reading(self._folder):
            if self._seen is not None and self._is_fresh():
                return
            self._choose_locations()
            if self._location and self._is_home_busy and self._try_location(0, 0.0):
                return
            while True:
                if self._try_location(self._location, timeout_s):
                    return
                self._close()
                self._location += 1

    def rebuild(self, on_read: Callable[[int], None] | None) -> None:
        """Rebuilds the index; `on_read` gets the number of bytes read so far."""
        self.invalidate()
        self.refresh(WAIT_S, on_read)

    def recheck(self) -> None:
        """Makes the next refresh check everything."""
        self._seen = None

    def invalidate(self) -> None:
        """Makes the next refresh rebuild the index."""
        self._seen = None
        self._is_distrusted = True

    def release(self) -> None:
        """Closes the connection after a checkpoint of all that it wrote."""
        index_file = self.index_file
        if index_file is not None and self._writer is not None:
            with suppress(Busy, OSError, sqlite3.Error), index_file.locked(0.0):
                if (
                    index_file.manifest().state == index_file.state()
                    and self.files == index_file.files()
                ):
                    self._checkpoint(index_file, "TRUNCATE")
        self._close()

    def forget(self) -> sqlite3.Connection | None:
        """Drops the connection without closing it: in a forked child it is the parent's."""
        writer, self._writer = self._writer, None
        self._builder = self._seen = None
        return writer

    def stay_in_memory(self) -> None:
        """Keeps the index in memory from now on."""
        self._locations, self._location, self._is_home_busy = [], 0, False

    def _is_fresh(self) -> bool:
        index_file = self.index_file
        if index_file is not None and (
            index_file.files() != self.files or index_file.state() != self._state
        ):
            return False
        return present(self._disk, self._folder) == self._seen

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        self._builder = self._seen = None
        if writer is not None:
            with suppress(sqlite3.Error):
                writer.close()

    def _choose_locations(self) -> None:
        if self._locations is not None:
            return
        info = read_info(self._disk, self._folder)
        self._log_id = info.log_id if info else ""
        self._locations = []
        # over a network SQLite's shared memory does not work between hosts, or not at all
        if durability_on(self._disk.filesystem(self._folder)) != "unproven":
            self._locations.append(IndexFile(self._disk, self._home))
        if self._cache is not None and self._log_id:
            self._locations.append(IndexFile(self._disk, self._cache / self._log_id))

    def _try_location(self, at: int, timeout_s: float) -> bool:
        """Brings the index at one location up to date; False if it can't be used now."""
        locations = self._locations or []
        if at >= len(locations):
            self._in_memory()
            return True
        try:
            self._make_folder(locations[at])
            with locations[at].locked(timeout_s):
                self._update_at(locations[at])
        except (Busy, OSError, sqlite3.Error) as error:
            if at == 0:
                self._is_home_busy = isinstance(error, Busy)
            return False
        self._location = at
        return True

    def _make_folder(self, index_file: IndexFile) -> None:
        if index_file.folder == self._home and not self._disk.is_folder(self._folder):
            raise DiskError(f"{self._folder} is gone")
        self._disk.make_folder(index_file.folder)

    def _update_at(self, index_file: IndexFile) -> None:
        """Brings the index at a location up to date, by a rebuild if needed; the lock is held."""
        has_failed = False
        for _ in range(_ATTEMPTS_MAX):
            try:
                if self._is_distrusted or not self._is_trusted(index_file):
                    self._rebuild(index_file)
                self._catch_up(index_file)
                self._is_distrusted = False
                return
            except Stale:
                continue
            except sqlite3.Error:
                if has_failed:
                    raise
                has_failed = self._is_distrusted = True
        raise Busy  # the segments changed at every attempt

    def _is_trusted(self, index_file: IndexFile) -> bool:
        """Reports whether the database is the one of the manifest and of this log."""
        manifest, files, state = index_file.manifest(), index_file.files(), index_file.state()
        if state is None or state.file != manifest.state.file:
            return False
        if state != manifest.state if manifest.wal == NOWHERE else files[1] != manifest.wal:
            return False
        if self._writer is None or files != self.files:
            self._close()
            self._writer = open_database(index_file.path)
        meta = _meta(self._writer)
        self.files = index_file.files()
        if self.files[0] != files[0]:
            return False
        if manifest.wal != NOWHERE:
            self._checkpoint(index_file, "PASSIVE")
        return meta == {**meta, **self._name()} and int(meta.get("commits", -1)) >= manifest.commits

    def _name(self) -> dict[str, str | int]:
        return {
            "schema": schema_digest("thence.log.index", "schema.sql", "indexes.sql"),
            "log_id": self._log_id,
            "vocabulary": self._vocabulary.name,
        }

    def _rebuild(self, index_file: IndexFile) -> None:
        self._close()
        index_file.clear()
        draft = index_file.draft()
        try:
            self._disk.close(self._disk.open_append(draft))  # SQLite would make it 0644 at most
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
                    connection.execute(f"PRAGMA {pragma}")
                self._fill(connection, index_file)
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
            index_file.put(draft)
        except BaseException:
            for ending in ("", "-wal", "-shm", "-journal"):
                with suppress(OSError):
                    self._disk.unlink(Path(f"{draft}{ending}"))
            raise
        self._is_distrusted = False
        if not self._is_trusted(index_file):
            raise Stale("somebody took it away")

    def _fill(self, connection: sqlite3.Connection, index_file: IndexFile | None) -> None:
        begin_ns = monotonic_ns()

        def beat(read_bytes: int) -> None:
            if index_file is not None:
                index_file.beat()
            self._on_read(read_bytes)

        events = build(self._disk, self._folder, self._vocabulary, connection, beat)
        meta = self._name() | {"generation": noise_bits(_GENERATION_BITS)}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        self._builds.add(Cost(1, (monotonic_ns() - begin_ns) / 1e9, 0.0, events))

    def _catch_up(self, index_file: IndexFile | None) -> None:
        """Adds the events that the index lacks; Stale if the index does not fit the segments."""
        segments = present(self._disk, self._folder)
        indexed = snapshots(self.writer)
        matched = match_segments(self._disk, self._folder, indexed, segments)
        if matched is None or self._has_outgrown(segments, indexed):
            self._is_distrusted = True
            raise Stale("the segments are others")

        def beat(_: int) -> None:
            if index_file is not None:
                index_file.beat()

        builder, self._builder = self._builder, None
        if builder is None:
            builder = Builder(self._disk, self._folder, self._vocabulary, self.writer)
        begin_ns, before = monotonic_ns(), int(_meta(self.writer)["events"])
        commits = builder.catch_up(segments, matched, beat, self._is_late)
        events = builder.events - before
        if events:
            self._builds.add(Cost(0, 0.0, (monotonic_ns() - begin_ns) / 1e9, events))
        self._builder = builder
        if index_file is not None:
            if commits:
                self._record_commits(index_file, commits, events)
            self._state = index_file.state()
        self._seen = None if self._until_ns and self._is_late() else segments

    def _is_late(self) -> bool:
        return self._until_ns is not None and monotonic_ns() >= self._until_ns

    def _has_outgrown(
        self, segments: tuple[PresentSegment, ...], indexed: list[SegmentSnapshot]
    ) -> bool:
        """Reports whether a rebuild is faster than adding to the index."""
        read_bytes = sum(snapshot.read_bytes for snapshot in indexed)
        size = sum(segment.state.size for segment in segments)
        return size - read_bytes > max(_GROWTH_BYTES, read_bytes)

    def _record_commits(self, index_file: IndexFile, commits: int, events: int) -> None:
        total = int(_meta(self.writer)["commits"])
        index_file.set_manifest(index_file.manifest()._replace(commits=total))
        self._uncheckpointed += commits + events // _EVENTS_AS_A_COMMIT
        if self._uncheckpointed >= _UNCHECKPOINTED_MAX:
            self._checkpoint(index_file, "PASSIVE")

    def _checkpoint(self, index_file: IndexFile, kind: str) -> None:
        """Checkpoints the write-ahead log into the database.

        Until the checkpoint has finished the database is valid only with that log beside it.
        """
        wal = index_file.files()[1]
        index_file.set_manifest(index_file.manifest()._replace(wal=wal or NOWHERE))
        self.writer.execute(f"PRAGMA wal_checkpoint({kind})")
        index_file.set_manifest(
            index_file.manifest()._replace(state=index_file.state() or NOTHING, wal=NOWHERE)
        )
        self._uncheckpointed = 0

    def _in_memory(self) -> None:
        cause: Exception | None = None
        for _ in range(_ATTEMPTS_MAX):
            try:
                if self._writer is None or self._is_distrusted:
                    self._close()
                    self._writer = sqlite3.connect(
                        ":memory:", isolation_level=None, check_same_thread=False
                    )
                    self._fill(self._writer, None)
                    self._is_distrusted = False
                self.files = (None, None, None)
                self._catch_up(None)
                return
            except (Stale, sqlite3.Error) as error:
                self._is_distrusted = True
                cause = error
        raise ThenceError(
            "could not index the log",
            place=self._folder,
            cause=cause,
            hint="try again",
            code="read_failed",
        ) from cause


def open_database(path: Path) -> sqlite3.Connection:
    """Opens an existing database, for use by any thread."""
    name = f"file:{quote_from_bytes(os.fsencode(path))}?mode=rw"
    connection = sqlite3.connect(
        name, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S
    )
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:  # it is no database, or Ctrl-C
        connection.close()
        raise
    return connection


def _meta(connection: sqlite3.Connection) -> dict[str, str | int]:
    return dict(connection.execute("SELECT key, value FROM meta").fetchall())


def _nothing(read_bytes: int = 0) -> None:
    """Ignores the progress."""
