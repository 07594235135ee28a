"""The file of an index, with its lock and the manifest that decides whether it is trusted.

A location is a folder with `index.db`, the files of SQLite beside it, and `index.lock`. The
lock file holds the manifest: the identity of the database file, the number of commits to it,
whether a checkpoint was under way. A database that no manifest names is never opened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from thence.log.storage.disk import (
    NOTHING,
    NOWHERE,
    Disk,
    FileId,
    FileState,
    monotonic_ns,
    noise_bits,
    pause,
    process_id,
)
from thence.log.storage.disk_errors import DiskError

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
