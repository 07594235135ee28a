"""Where the file of an index lies, with its lock and the seal that tells whether to trust it.

A seat is a folder with `index.db`, what SQLite puts beside it, and `index.lock`. The lock file
holds the seal: which file the database is, how often it had been written to, whether a copying
between its files was under way. A database that no seal names is never opened.
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
from thence.log.storage.system_call import DiskError

_NAME = "index.db"
_PAUSE_MIN_S = 0.0005
_PAUSE_MAX_S = 0.02
_LOOKS_BETWEEN = 10
_SEAL_BYTES = 192

# the database, its log of changes, what its users share
Files = tuple[FileId | None, FileId | None, FileId | None]


class Busy(Exception):
    """Somebody holds the lock of a seat, and nothing shows that they work."""


class Manifest(NamedTuple):
    """What may be relied on: the database in this state, with at least so many commits.

    While `wal` is a file, the database may hold half of what stands there: only with that
    file beside it can it be trusted.
    """

    state: FileState = NOTHING
    commits: int = 0
    wal: FileId = NOWHERE
    beat: int = 0


class IndexFile:
    """A folder that holds an index. It holds nothing open but its lock, while it is taken."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.folder = folder
        self.path = folder / _NAME
        self._disk = disk
        self._lock_path = folder / "index.lock"
        self._paths = [str(self.path) + ending for ending in ("", "-wal", "-shm")]
        self._descriptor = -1
        self._seal = Manifest()

    def state(self) -> FileState | None:
        """Returns what the database is now; nobody writes to it but under the lock."""
        return self._disk.path_state(self._paths[0])

    def files(self) -> Files:
        """Returns which files stand there now."""
        found = [self._disk.path_id(path) for path in self._paths]
        database, wal, shared = (there and there[0] for there in found)
        return database, wal, shared

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """Takes the lock; raises Busy if who has it shows no progress for so long."""
        self._descriptor = self._lock(timeout_s)
        try:
            self._seal = self._read_seal()
            yield
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            self._disk.let_go(descriptor)

    def seal(self) -> Manifest:
        """Returns the seal; call it under the lock."""
        return self._seal

    def set_seal(self, seal: Manifest) -> None:
        """Writes the seal; call it under the lock."""
        self._seal = seal
        text = " ".join(
            map(str, (*seal.state.file, *seal.state[1:], seal.commits, *seal.wal, seal.beat))
        )
        self._disk.write_at(self._descriptor, 0, text.ljust(_SEAL_BYTES - 1).encode() + b"\n")

    def beat(self) -> None:
        """Shows to those who wait that the holder of the lock goes on."""
        self.set_seal(self._seal._replace(beat=self._seal.beat + 1))

    def clear(self) -> None:
        """Takes away the database and whatever stands beside it, unfinished ones too."""
        for name in self._disk.names(self.folder):
            if name.startswith(_NAME):
                self._remove(self.folder / name)

    def draft(self) -> Path:
        """Returns a path for a database that is being built."""
        return self.folder / f"{_NAME}.{process_id()}.{noise_bits(32):08x}"

    def put(self, draft: Path) -> None:
        """Puts a finished database, closed, in place of any other; call it under the lock."""
        descriptor = self._disk.open_read(draft)
        try:
            self._disk.sync_data(descriptor)
        finally:
            self._disk.let_go(descriptor)
        self.set_seal(Manifest(beat=self._seal.beat + 1))
        for path in self._paths:
            self._remove(Path(path))
        self._disk.rename(draft, self.path)
        state = self._disk.path_state(self._paths[0])
        if state is not None:
            self.set_seal(Manifest(state, beat=self._seal.beat))

    def _remove(self, path: Path) -> None:
        try:
            self._disk.unlink(path)
        except DiskError as error:
            if not error.is_absence:
                raise

    def _lock(self, timeout_s: float) -> int:
        start_ns = monotonic_ns()
        delay_s = _PAUSE_MIN_S
        looks = 0
        seen = b""
        while True:
            descriptor = self._disk.open_lock(self._lock_path)
            try:
                if self._disk.try_lock(descriptor) and self._is_current(descriptor):
                    return descriptor
                text = self._disk.read_at(descriptor, 0, _SEAL_BYTES)
            except BaseException:
                self._disk.let_go(descriptor)
                raise
            self._disk.let_go(descriptor)
            if text != seen:
                seen, start_ns = text, monotonic_ns()
            if monotonic_ns() - start_ns >= timeout_s * 1e9:
                raise Busy
            looks += 1
            pause(delay_s)
            if looks % _LOOKS_BETWEEN == 0:
                delay_s = min(delay_s * 2, _PAUSE_MAX_S)

    def _is_current(self, descriptor: int) -> bool:
        there = self._disk.path_id(str(self._lock_path))
        return there is not None and there[0] == self._disk.file_id(descriptor)[0]

    def _read_seal(self) -> Manifest:
        text = self._disk.read_at(self._descriptor, 0, _SEAL_BYTES)
        try:
            device, inode, size, changed_ns, commits, *wal, beat = map(int, text.split())
            wal_device, wal_inode = wal
        except ValueError:
            return Manifest()
        state = FileState((device, inode), size, changed_ns)
        return Manifest(state, commits, (wal_device, wal_inode), beat)
