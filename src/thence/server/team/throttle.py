"""The pace of attempts to log in: who failed several times under a name waits before the next."""

from collections import OrderedDict
from threading import Lock

FREE_FAILURES = 5
WAIT_MAX_S = 60.0
NAMES_MAX = 10_000


class Throttle:
    """The failed attempts under the names that failed last, at most NAMES_MAX; safe from threads.

    After FREE_FAILURES each failure doubles the wait, from 1 s to WAIT_MAX_S. Names that no user
    has are counted like others.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._mutex = Lock()

    def wait_s(self, name: str, now: float) -> float:
        """Returns for how many seconds nobody may try this name; 0 if it may be tried now."""
        with self._mutex:
            _, until = self._failures.get(name, (0, 0.0))
        return min(WAIT_MAX_S, max(0.0, until - now))

    def failed(self, name: str, now: float) -> None:
        """Counts a failed attempt."""
        with self._mutex:
            count = min(self._failures.pop(name, (0, 0.0))[0] + 1, 1_000)
            over = count - FREE_FAILURES
            wait_s = min(WAIT_MAX_S, 2.0 ** min(over - 1, 30)) if over > 0 else 0.0
            self._failures[name] = (count, now + wait_s)
            if len(self._failures) > NAMES_MAX:
                self._failures.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forgets the failures under a name."""
        with self._mutex:
            self._failures.pop(name, None)
