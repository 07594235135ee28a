"""How many requests go to an endpoint, at once and a minute, from all processes of a sweep.

Such processes share a folder of locks; what a killed process held is free with its end.
"""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from random import SystemRandom
from time import monotonic, time

from thence.errors import FileBusy
from thence.files import file_lock
from thence.sim.models.settings import EndpointSettings

# not a stream of the run, which must not depend on what an endpoint does
chance = SystemRandom()
_PAUSES_S = (0.002, 0.01)
_TRIES_MAX = 32
_LOCK_WAIT_S = 1.0
# late requests catch up so much, and tokens are waited for so long
_LATE_S_MAX, _DEBT_S_MAX = 1.0, 600.0
_MOMENTS = struct.Struct("<dd")


class RequestLimits:
    """The limits of one endpoint in one process, used from one event loop.

    The requests at once begin at `concurrency`. They are halved when the endpoint is too busy, and
    grow by one when as many have been answered (as in RFC 5681). The limits a minute space requests
    evenly; reported tokens are waited for by the next request.
    """

    def __init__(self, name: str, settings: EndpointSettings, folder: Path | None) -> None:
        self._limit = self._limit_max = float(settings.concurrency)
        self._halved_s = 0.0
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._slots_turn, self._pace_turn = asyncio.Lock(), asyncio.Lock()
        self._folder = folder
        numbers = range(settings.concurrency if folder else 0)
        self._free = [f"{name}.{number}" for number in numbers]
        self._pace_file = folder / f"{name}.pace" if folder else None
        self._moments = _MOMENTS.pack(0.0, 0.0)  # from which requests and tokens are due
        requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
        self._spacing_s = (60 / requests if requests else 0.0, 60 / tokens if tokens else 0.0)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits until a request may be sent, and counts it as in flight inside the block."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._admit()
        try:
            await future
            async with self._pace_turn:
                while (wait_s := self._take(requests=1)) > 0:  # noqa: ASYNC110 it is a moment
                    await asyncio.sleep(wait_s)
            async with self._slot(self._folder) if self._folder else nullcontext():
                yield
        finally:
            if future.done() and not future.cancelled():
                self._in_flight -= 1
                self._admit()

    def answered(self, tokens: int) -> None:
        """Counts an answer and its tokens, inside its turn."""
        if self._in_flight >= int(self._limit):
            self._limit = min(self._limit_max, self._limit + 1 / self._limit)
        self._take(tokens=tokens)

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

    def _take(self, *, requests: int = 0, tokens: int = 0) -> float:
        """Takes requests or tokens of the minute; returns how many seconds to wait before that."""
        if not any(self._spacing_s):
            return 0.0
        file = file_lock(self._pace_file, _LOCK_WAIT_S) if self._pace_file else None
        with file or nullcontext():
            now_s = time()
            data = (file.read() if file else self._moments) or self._moments
            # a moment beyond what is ever written: the clock was set back
            moments_s = (
                at_s if at_s <= now_s + _DEBT_S_MAX else now_s for at_s in _MOMENTS.unpack(data)
            )
            request_s, token_s = moments_s
            if requests and max(request_s, token_s) > now_s:
                return float(max(request_s, token_s) - now_s)
            request_s = max(request_s, now_s - _LATE_S_MAX) + requests * self._spacing_s[0]
            token_s = max(token_s, now_s) + tokens * self._spacing_s[1]
            token_s = min(token_s, now_s + _DEBT_S_MAX)
            self._moments = _MOMENTS.pack(request_s, token_s)
            if file:
                file.seek(0)
                file.write(self._moments)
        return 0.0

    @asynccontextmanager
    async def _slot(self, folder: Path) -> AsyncIterator[None]:
        """Holds one of the files that bound the requests of all processes."""
        lock = None
        async with self._slots_turn:
            while lock is None:
                for name in chance.sample(self._free, min(_TRIES_MAX, len(self._free))):
                    with suppress(FileBusy):
                        lock = file_lock(folder / name)
                        break
                else:
                    await asyncio.sleep(chance.uniform(*_PAUSES_S))
            self._free.remove(name)
        with lock:
            try:
                yield
            finally:
                self._free.append(name)
