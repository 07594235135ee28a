"""Where threads wait for the committer: a gate for one, a parking place in order of arrival."""

from collections import deque
from collections.abc import Callable
from itertools import count
from threading import Lock, RLock


class Latch:
    """A gate that opens for one wait. Opening it twice before a wait opens it once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Lets the one who waits through, or the next one who comes."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:  # another thread has opened it in between
                return

    def wait(self, timeout_s: float | None) -> bool:
        """Waits until the gate opens; False when `timeout_s` seconds passed first."""
        return self._lock.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0))


class Callers:
    """Those who wait for an append, counted as they come and leave, without a lock."""

    __slots__ = ("_comings", "_leavings", "came", "left")

    def __init__(self) -> None:
        self.came = self.left = 0
        self._comings, self._leavings = count(1), count(1)

    def come(self) -> None:
        """Counts one who begins to wait."""
        self.came = next(self._comings)

    def leave(self) -> None:
        """Counts one who waits no more."""
        self.left = next(self._leavings)


class Parking:
    """Callers that wait for room in a queue, let in first come, first served."""

    def __init__(self) -> None:
        self._lock = RLock()  # a signal handler may emit amid a wait
        self._gates: deque[Latch] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._gates

    def wait(self, is_full: Callable[[], bool]) -> None:
        """Returns when there is room: at once if there is now and nobody waits before us."""
        gate = Latch()
        with self._lock:
            if not self._gates and not is_full():
                return
            self._gates.append(gate)
        gate.wait(None)

    def let_in(self, count: int) -> None:
        """Lets the first `count` of those who wait go on."""
        if self._gates:
            with self._lock:
                for _ in range(min(count, len(self._gates))):
                    self._gates.popleft().open()
