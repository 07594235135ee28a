"""The threads in which the server's blocking work runs, so that its event loop never waits.

Few threads work and a bounded number of requests wait for one. Every further request is refused
with 503 at once, which is kinder than a wait without end. Work that takes seconds has a thread for
its kind, so that quick questions never wait for it.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from threading import Event as Signal
from typing import Literal, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException

# more threads would only share the one interpreter
THREADS = 4
WAITING_MAX = 256
_RETRY_S = 1

Kind = Literal["quick", "index", "diff", "files"]
T = TypeVar("T")


class Stopped(Exception):
    """Raised by work that nobody waits for any more."""


class Workers:
    """A bounded set of threads; one object serves one app."""

    def __init__(self, threads: int = THREADS, waiting_max: int = WAITING_MAX) -> None:
        self._limiters: dict[Kind, CapacityLimiter] = {
            "quick": CapacityLimiter(threads),
            "index": CapacityLimiter(1),
            "diff": CapacityLimiter(1),
            "files": CapacityLimiter(1),
        }
        self._pending_max = threads + waiting_max
        self._pending = 0

    async def run(self, work: Callable[[], T], kind: Kind = "quick") -> T:
        """Returns what the work returns, or raises what it raises; 503 when too many wait.

        A cancelled caller returns at once; its work ends by itself.
        """
        if self._pending >= self._pending_max:
            retry = {"Retry-After": str(_RETRY_S)}
            raise HTTPException(503, "too many requests wait already; try again", retry)
        self._pending += 1
        try:
            limiter = self._limiters[kind]
            return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
        finally:
            self._pending -= 1

    async def run_for(self, work: Callable[[Signal], T], limit_s: float, kind: Kind) -> T:
        """Runs work as `run` does, but waits for it only so long.

        Then it raises TimeoutError, and the signal that was given to the work is set: the work is
        to raise Stopped. The thread is free for the next work once this one has ended.
        """
        stop = Signal()
        task = asyncio.ensure_future(self.run(partial(work, stop), kind))
        done, _ = await asyncio.wait({task}, timeout=limit_s)
        if done:
            return task.result()
        stop.set()
        task.add_done_callback(asyncio.Task.exception)  # whatever it raises, nobody waits for it
        raise TimeoutError
