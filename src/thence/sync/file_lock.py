"""A lock among processes and threads that ends with its holder.

It is `flock` on a file that is never deleted, as the append lock of a log is. A waiter can be
stopped: nothing in a sync waits for longer than its caller allows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Signal

from thence.errors import LogBusy, SyncError
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.disk import OS_DISK, monotonic_ns
from thence.log.storage.disk_errors import DiskError

_PAUSE_S = 0.05


class FileLock:
    """A lock file; its folder is made if missing, but not the folder above that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = AppendLock(OS_DISK, path)

    def take(self, wait_s: float = 0.0, stop: Signal | None = None) -> bool:
        """Takes the lock within `wait_s` seconds, and before `stop` is set; reports whether.

        Raises SyncError if the file can't be locked at all.
        """
        waiting = stop or Signal()
        until_ns = monotonic_ns() + wait_s * 1e9
        while not waiting.is_set():
            try:
                self._lock.acquire(0.0)
                return True
            except LogBusy:
                if monotonic_ns() >= until_ns:
                    break
            except DiskError as error:
                self._lock.close()
                raise SyncError(
                    "could not lock",
                    place=self.path,
                    cause=error.strerror,
                    hint="check the owner of the file and of its folder",
                ) from error
            waiting.wait(_PAUSE_S)
        self._lock.close()
        return False

    def is_held(self) -> bool:
        """Reports whether anybody holds the lock, who may be this process; makes no file."""
        if OS_DISK.path_id(str(self.path)) is None:
            return False
        if not self.take():
            return True
        self.release()
        return False

    def release(self) -> None:
        """Releases the lock and closes its file."""
        self._lock.release()
        self._lock.close()


@contextmanager
def held(path: Path, wait_s: float, operation: str) -> Iterator[None]:
    """Holds the lock of a file; raises SyncError if another process has it for `wait_s`."""
    lock = FileLock(path)
    if not lock.take(wait_s):
        raise SyncError(
            operation,
            cause=f"another process has done that for {wait_s:g} s",
            hint="wait for that process or end it, then try again",
        )
    try:
        yield
    finally:
        lock.release()
