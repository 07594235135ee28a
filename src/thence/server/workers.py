"""The threads in which the server's blocking work runs, so that its event loop never waits.

Few threads work and a bounded number of requests wait for one; who comes then is refused with
503 at once, which is kinder than a wait without end.
"""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException

# more would only share one interpreter among more
THREADS = 4
WAITING_MAX = 256
_RETRY_S = 1

T = TypeVar("T")


class Workers:
    """A bounded number of threads; one object serves one app."""

    def __init__(self, threads: int = THREADS, waiting_max: int = WAITING_MAX) -> None:
        self._limiter = CapacityLimiter(threads)
        self._inside_max = threads + waiting_max
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Returns what the work returns, or raises what it raises; 503 when too many wait.

        A caller that is cancelled goes at once; its work ends by itself.
        """
        if self._inside >= self._inside_max:
            retry = {"Retry-After": str(_RETRY_S)}
            raise HTTPException(503, "too many requests wait already; try again", retry)
        self._inside += 1
        try:
            return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)
        finally:
            self._inside -= 1
