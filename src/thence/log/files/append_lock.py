"""The append lock of a log: one writer at a time, among threads and processes.

The lock is `flock` on `.thence/lock`, never `lockf`, whose locks vanish when any descriptor
of the file closes. Thence never deletes the file. If somebody else does, the inode at the
path differs, and the lock is taken again on the new file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from thence.errors import LogBusy
from thence.log.files.disk import NOWHERE, Disk, DiskError, monotonic_ns, pause
from thence.log.files.segment import own_folder

WAIT_S = 30.0
# a holder usually releases the lock within microseconds: the waiter first yields, then pauses
# briefly, then, when something must have stopped the holder, longer
_YIELDS = 16
_PAUSE_MIN_S = 0.00005
_PAUSE_MAX_S = 0.0004
_PAUSE_LONG_S = 0.005
_LONG_NS = 100_000_000


class AppendLock:
    """The lock file of one open log. The caller excludes its own threads by a mutex."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._path_text = str(path)
        self._descriptor: int | None = None
        self._file = NOWHERE

    def acquire(self, timeout_s: float = WAIT_S) -> None:
        """Takes the lock within the timeout, else raises LogBusy with the holder's name."""
        if self._try():
            return
        start_ns = monotonic_ns()
        delay_s = 0.0
        for attempt in count():
            if self._try():
                return
            waited_ns = monotonic_ns() - start_ns
            if waited_ns >= timeout_s * 1e9:
                holder = self._disk.lock_holder(self._open())
                raise LogBusy(
                    "could not append to",
                    place=self._path.parent.parent,
                    cause=f"{holder} has held the append lock for {timeout_s:g} s",
                    hint="wait for that process or end it, then try again",
                )
            if attempt >= _YIELDS:
                longest_s = _PAUSE_MAX_S if waited_ns < _LONG_NS else _PAUSE_LONG_S
                delay_s = min(max(delay_s * 2, _PAUSE_MIN_S), longest_s)
            pause(delay_s)

    def release(self) -> None:
        """Releases the lock if it is held.

        If the system call fails, or a signal handler raises in between, the file is closed,
        which releases the lock too.
        """
        if self._descriptor is not None:
            try:
                self._disk.unlock(self._descriptor)
            except DiskError:
                self.close()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Closes the lock file. In a forked child this leaves the parent's lock alone."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._disk.close_quietly(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            try:
                self._descriptor = self._disk.open_lock(self._path)
            except DiskError as error:
                if not error.is_absence or not self._disk.is_folder(self._path.parent.parent):
                    raise
                # somebody deleted `.thence/` while the log was open
                self._disk.make_folder(self._path.parent)
                self._descriptor = self._disk.open_lock(self._path)
            self._file, _ = self._disk.file_id(self._descriptor)
        return self._descriptor

    def _try(self) -> bool:
        """Takes the lock if it is free, on the file that is at the path now."""
        while self._disk.try_lock(self._open()):
            if self._is_current():
                return True
            self.release()
            self.close()
        return False

    def _is_current(self) -> bool:
        current = self._disk.path_id(self._path_text)
        return current is not None and current[0] == self._file


@contextmanager
def locked(disk: Disk, folder: Path, timeout_s: float = WAIT_S) -> Iterator[None]:
    """Holds the append lock of the log in a folder. Raises LogBusy, DiskError."""
    lock = AppendLock(disk, own_folder(folder) / "lock")
    try:
        lock.acquire(timeout_s)
        yield
    finally:
        lock.release()
        lock.close()
