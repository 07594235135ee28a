"""How many requests a run sends to an endpoint, at once and a minute."""

import asyncio
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

    The limit a minute spaces requests evenly.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self._free = asyncio.Semaphore(settings.concurrency)
        self._due_s = 0.0  # the moment of the next request
        requests = settings.requests_per_minute
        self._request_s = 60 / requests if requests else 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits until a request may be sent, and counts it as in flight inside the block."""
        async with self._free:
            if self._request_s:
                now_s = monotonic()
                due_s = max(self._due_s, now_s - _LATE_S_MAX)
                self._due_s = due_s + self._request_s
                await asyncio.sleep(due_s - now_s)
            yield
