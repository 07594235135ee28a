"""The append lock of a log: one writer at a time, among threads and processes.

It is `flock` on `.thence/lock`, never `lockf`, whose locks vanish when any descriptor of
the file closes. The file is never deleted by us; if somebody else does, the path's inode
tells, and the lock is taken again on the new file.
"""

from contextlib import suppress
from pathlib import Path

from thence.errors import LogBusy
from thence.log.disk import NOWHERE, Disk, monotonic_ns, pause

WAIT_S = 30.0
_PAUSE_MIN_S = 0.00005
_PAUSE_MAX_S = 0.005


class AppendLock:
    """The lock file of one open log. Callers hold a mutex of their own among threads."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._path_text = str(path)
        self._descriptor: int | None = None
        self._file = NOWHERE

    def acquire(self, timeout_s: float = WAIT_S) -> None:
        """Takes the lock within the timeout, else raises LogBusy that names the holder."""
        if self._try():
            return
        deadline_ns = monotonic_ns() + int(timeout_s * 1e9)
        delay_s = _PAUSE_MIN_S
        while not self._try():
            if monotonic_ns() >= deadline_ns:
                holder = self._disk.lock_holder(self._open())
                raise LogBusy(
                    "could not append to",
                    place=self._path.parent.parent,
                    cause=f"{holder} has held the append lock for {timeout_s:g} s",
                    hint="wait for that process or end it, then try again",
                )
            pause(delay_s)
            delay_s = min(delay_s * 2, _PAUSE_MAX_S)

    def release(self) -> None:
        """Gives the lock back; without it does nothing. It never fails.

        Where the system refuses, or a signal handler raises in between, the file is closed,
        which gives the lock back too.
        """
        if self._descriptor is not None:
            try:
                self._disk.unlock(self._descriptor)
            except OSError:
                self.close()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Closes the lock file. In a forked child this leaves the parent's lock alone."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with suppress(OSError):  # it is closed all the same, and nothing was written to it
                self._disk.close(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = self._disk.open_lock(self._path)
            self._file, _ = self._disk.file_id(self._descriptor)
        return self._descriptor

    def _try(self) -> bool:
        """Takes the lock if it is free, on the file that stands at the path now."""
        while self._disk.try_lock(self._open()):
            if self._is_current():
                return True
            self.release()
            self.close()
        return False

    def _is_current(self) -> bool:
        there = self._disk.path_id(self._path_text)
        return there is not None and there[0] == self._file
