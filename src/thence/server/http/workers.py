"""The threads in which the server's blocking work runs, so that its event loop never waits.

Few threads work and a bounded number of requests wait for one. Every further request is refused
with 503 at once, which is kinder than a wait without end. Work that takes seconds has a thread of
its own, so that quick questions never wait for it; comparisons, the slowest work, have another.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from threading import Event as Signal
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread
from starlette.exceptions import HTTPException

# more threads would only share the one interpreter
THREADS = 4
SLOW_THREADS = 1
COMPARING_THREADS = 1
BOUNDED_THREADS = 1
WAITING_MAX = 256
_RETRY_S = 1

T = TypeVar("T")


class Slow(Exception):
    """Raised by work that finds, before its start, that it would take seconds."""


class ClientGone(Exception):
    """Raised by work whose client has disconnected."""


class Workers:
    """A bounded set of threads; one object serves one app."""

    def __init__(self, threads: int = THREADS, waiting_max: int = WAITING_MAX) -> None:
        self._limiter = CapacityLimiter(threads)
        self._slow = CapacityLimiter(SLOW_THREADS)
        self._comparing = CapacityLimiter(COMPARING_THREADS)
        self._bounded = CapacityLimiter(BOUNDED_THREADS)
        self._pending_max = threads + waiting_max
        self._pending = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Returns what the work returns, or raises what it raises; 503 when too many wait.

        A cancelled caller returns at once; its work ends by itself.
        """
        return await self._run(work, self._limiter)

    async def run_patiently(self, work: Callable[[bool], T]) -> T:
        """Runs work as `run` does; the work gets False at first, and may raise Slow.

        Then the work is run again, with True, in the thread for slow work.
        """
        try:
            return await self._run(partial(work, False), self._limiter)
        except Slow:
            return await self._run(partial(work, True), self._slow)

    async def compare(
        self, work: Callable[[Signal], T], wait_gone: Callable[[], Awaitable[None]]
    ) -> T:
        """Runs work as `run` does, in the thread for comparisons, until `wait_gone` returns.

        Then the signal that was given to the work is set, and the work is to raise ClientGone:
        its memory is free before the next comparison begins. Raises ClientGone.
        """
        stop = Signal()

        async def watch() -> None:
            await wait_gone()
            stop.set()
            scope.cancel()

        with CancelScope() as scope:
            watcher = asyncio.create_task(watch())
            try:
                return await self._run(partial(work, stop), self._comparing, False)
            finally:
                watcher.cancel()
        raise ClientGone

    async def run_for(self, work: Callable[[Signal], T], limit_s: float) -> T:
        """Runs work as `run` does, in a thread for such work, but waits for it only so long.

        Then it raises TimeoutError, and the signal that was given to the work is set. The thread
        is free for the next work once this one has ended.
        """
        stop = Signal()
        task = asyncio.ensure_future(self._run(partial(work, stop), self._bounded, False))
        done, _ = await asyncio.wait({task}, timeout=limit_s)
        if done:
            return task.result()
        stop.set()
        task.add_done_callback(asyncio.Task.exception)  # whatever it raises, nobody waits for it
        raise TimeoutError

    async def _run(
        self, work: Callable[[], T], limiter: CapacityLimiter, can_abandon: bool = True
    ) -> T:
        if self._pending >= self._pending_max:
            retry = {"Retry-After": str(_RETRY_S)}
            raise HTTPException(503, "too many requests wait already; try again", retry)
        self._pending += 1
        try:
            return await to_thread.run_sync(work, abandon_on_cancel=can_abandon, limiter=limiter)
        finally:
            self._pending -= 1
