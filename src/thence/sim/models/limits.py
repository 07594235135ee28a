"""How many requests a run sends to an endpoint, at once and a minute."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import SystemRandom
from time import monotonic
from typing import Any

from thence.errors import ThenceError
from thence.sim.models.settings import EndpointSettings

# not a stream of the run, which must not depend on what an endpoint does
chance = SystemRandom()
_LATE_S_MAX = 1.0  # late requests catch up so much


class ModelsUnavailable(ThenceError):
    """Error: no model can be asked now, `endpoint_down` or `budget_spent`; the run pauses.

    `option` is that of `thence sim resume` with which it goes on, "" where it needs none.
    `attempts` are the requests of the call that it ended, which may have been paid for.
    """

    option = ""
    attempts: tuple[Any, ...] = ()


class RequestLimits:
    """The limits of one endpoint for one run, used from one event loop.

    The requests at once begin at `concurrency`. They are halved when the endpoint is too busy, and
    grow by one when as many have been answered (as in RFC 5681). The limit a minute spaces requests
    evenly.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self._limit = self._limit_max = float(settings.concurrency)
        self._halved_s = 0.0
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._due_s = 0.0  # the moment of the next request
        requests = settings.requests_per_minute
        self._request_s = 60 / requests if requests else 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits until a request may be sent, and counts it as in flight inside the block."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._admit()
        try:
            await future
            if self._request_s:
                now_s = monotonic()
                due_s = max(self._due_s, now_s - _LATE_S_MAX)
                self._due_s = due_s + self._request_s
                await asyncio.sleep(due_s - now_s)
            yield
        finally:
            if future.done() and not future.cancelled():
                self._in_flight -= 1
                self._admit()

    def answered(self) -> None:
        """Counts an answer, inside its turn."""
        if self._in_flight >= int(self._limit):
            self._limit = min(self._limit_max, self._limit + 1 / self._limit)

    def halve(self, sent_s: float) -> None:
        """Halves the requests at once, unless that was done since this one was sent."""
        if sent_s >= self._halved_s:
            self._limit = max(1.0, self._in_flight / 2)
            self._halved_s = monotonic()

    def _admit(self) -> None:
        while self._waiting and self._in_flight < int(self._limit):
            future = self._waiting.popleft()
            if not future.done():
                self._in_flight += 1
                future.set_result(None)
