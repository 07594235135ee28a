"""The waits of threads for the committer: a latch for one, a queue for many."""

from collections import deque
from collections.abc import Callable
from itertools import count
from threading import Lock, RLock


class Latch:
    """A latch that opens for one wait. Opening it twice before a wait opens it once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Ends the present wait, or else the next one."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:  # another thread has opened the latch in between
                return

    def wait(self, timeout_s: float | None) -> bool:
        """Waits until the latch opens; False when `timeout_s` seconds passed first."""
        return self._lock.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0))


class Callers:
    """The callers that wait for an append, counted as they come and leave, without a lock."""

    __slots__ = ("_comings", "_leavings", "came", "left")

    def __init__(self) -> None:
        self.came = self.left = 0
        self._comings, self._leavings = count(1), count(1)

    def come(self) -> None:
        """Counts a caller that begins to wait."""
        self.came = next(self._comings)

    def leave(self) -> None:
        """Counts a caller that stops waiting."""
        self.left = next(self._leavings)


class WaitQueue:
    """The callers that wait for room in a full queue, admitted first come, first served."""

    def __init__(self) -> None:
        self._lock = RLock()  # a signal handler may emit during a wait
        self._latches: deque[Latch] = deque()

    @property
    def is_empty(self) -> bool:
        """True if no caller waits."""
        return not self._latches

    def wait(self, is_full: Callable[[], bool]) -> None:
        """Returns when there is room: at once if there is room now and no caller waits."""
        latch = Latch()
        with self._lock:
            if not self._latches and not is_full():
                return
            self._latches.append(latch)
        latch.wait(None)

    def admit(self, count: int) -> None:
        """Ends the wait of the first `count` callers."""
        if self._latches:
            with self._lock:
                for _ in range(min(count, len(self._latches))):
                    self._latches.popleft().open()
