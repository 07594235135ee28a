"""The threads in which the server's blocking work runs, so that its event loop never waits.

Few threads work and a bounded number of requests wait for one; who comes then is refused with
503 at once, which is kinder than a wait without end. What takes seconds has a thread of its own,
so that quick questions never wait for it; comparisons, which take most, have another.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from threading import Event as Signal
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread
from starlette.exceptions import HTTPException

# more would only share one interpreter among more
THREADS = 4
SLOW_THREADS = 1
COMPARING_THREADS = 1
WAITING_MAX = 256
_RETRY_S = 1

T = TypeVar("T")


class Slow(Exception):
    """Raised by work that finds, before it has begun, that it would take seconds."""


class Gone(Exception):
    """Raised by work that finds that nobody waits for it any more."""


class Workers:
    """A bounded number of threads; one object serves one app."""

    def __init__(self, threads: int = THREADS, waiting_max: int = WAITING_MAX) -> None:
        self._limiter = CapacityLimiter(threads)
        self._slow = CapacityLimiter(SLOW_THREADS)
        self._comparing = CapacityLimiter(COMPARING_THREADS)
        self._inside_max = threads + waiting_max
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Returns what the work returns, or raises what it raises; 503 when too many wait.

        A caller that is cancelled goes at once; its work ends by itself.
        """
        return await self._run(work, self._limiter)

    async def run_patiently(self, work: Callable[[bool], T]) -> T:
        """Does what `run` does for work that may raise Slow, unless it is told to be patient.

        Then it is done again, patiently, where nobody waits for a quick answer.
        """
        try:
            return await self._run(partial(work, False), self._limiter)
        except Slow:
            return await self._run(partial(work, True), self._slow)

    async def compare(self, work: Callable[[Signal], T], gone: Callable[[], Awaitable[None]]) -> T:
        """Does what `run` does, where no other question waits, until `gone` returns.

        Then the signal that the work is given is set, and it is to raise Gone: its memory is
        free before the next comparison begins. Raises Gone.
        """
        stop = Signal()

        async def watch() -> None:
            await gone()
            stop.set()
            asking.cancel()

        with CancelScope() as asking:
            watching = asyncio.create_task(watch())
            try:
                return await self._run(partial(work, stop), self._comparing, False)
            finally:
                watching.cancel()
        raise Gone

    async def _run(
        self, work: Callable[[], T], limiter: CapacityLimiter, is_left: bool = True
    ) -> T:
        if self._inside >= self._inside_max:
            retry = {"Retry-After": str(_RETRY_S)}
            raise HTTPException(503, "too many requests wait already; try again", retry)
        self._inside += 1
        try:
            return await to_thread.run_sync(work, abandon_on_cancel=is_left, limiter=limiter)
        finally:
            self._inside -= 1
