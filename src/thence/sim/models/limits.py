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
from typing import Any

from thence.errors import ThenceError
from thence.files import FileBusy, file_lock
from thence.sim.models.settings import EndpointSettings

# not a stream of the run, which must not depend on what an endpoint does
chance = SystemRandom()
_PAUSES_S = (0.002, 0.01)
_TRIES_MAX = 32
# late requests catch up so much, and tokens are waited for so long
_LATE_S_MAX, _DEBT_S_MAX = 1.0, 600.0
_MOMENTS = struct.Struct("<dd")


class ModelsUnavailable(ThenceError):
    """Error: no model can be asked now, `endpoint_down` or `budget_spent`; the run pauses.

    `option` is that of `thence sim resume` with which it goes on, "" where it needs none.
    `attempts` are the requests of the call that it ended, which may have been paid for.
    """

    option = ""
    attempts: tuple[Any, ...] = ()


class RequestLimits:
    """The limits of one endpoint in one process, used from one event loop.

    The requests at once begin at `concurrency`. They are halved when the endpoint is too busy, and
    grow by one when as many have been answered (as in RFC 5681). The limits a minute space requests
    evenly; reported tokens are waited for by the next request. No lock is waited for in the loop.
    """

    def __init__(self, name: str, settings: EndpointSettings, folder: Path | None) -> None:
        self._limit = self._limit_max = float(settings.concurrency)
        self._halved_s = 0.0
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._slots_turn, self._pace_turn = asyncio.Lock(), asyncio.Lock()
        self._pace_file = folder / f"{name}.pace" if folder else None
        numbers = range(settings.concurrency if folder else 0)
        self._free = [folder / f"{name}.{number}" for number in numbers] if folder else []
        self._slot = self._lock_slot if folder else nullcontext
        self._moments = _MOMENTS.pack(0.0, 0.0)  # from which requests and tokens are due
        self._owed_tokens = 0  # answered, and not in the moments yet
        requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
        self._request_s = 60 / requests if requests else 0.0
        self._token_s = 60 / tokens if tokens else 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits until a request may be sent, and counts it as in flight inside the block."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._admit()
        try:
            await future
            async with self._pace_turn:
                while (wait_s := self._pace(requests=1)) > 0:  # noqa: ASYNC110 it is a moment
                    await asyncio.sleep(wait_s)
            async with self._slot():
                yield
        finally:
            if future.done() and not future.cancelled():
                self._in_flight -= 1
                self._admit()

    def answered(self, tokens: int) -> None:
        """Counts an answer and its tokens, inside its turn."""
        if self._in_flight >= int(self._limit):
            self._limit = min(self._limit_max, self._limit + 1 / self._limit)
        self._owed_tokens += tokens
        with suppress(ThenceError):  # the next request takes them
            self._pace(requests=0)

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

    def _pace(self, requests: int) -> float:
        """Takes the owed tokens and requests of the minute; returns the seconds to wait before."""
        if not (self._request_s or self._token_s):
            return 0.0
        try:
            with file_lock(self._pace_file) if self._pace_file else nullcontext() as file:
                now_s = time()
                data = file.read(_MOMENTS.size + 1) if file else self._moments
                moments_s = _MOMENTS.unpack(data if len(data) == _MOMENTS.size else self._moments)
                # a moment beyond what is ever written: the clock was set back
                due_s, token_s = (
                    at_s if at_s <= now_s + _DEBT_S_MAX else now_s for at_s in moments_s
                )
                token_s = max(token_s, now_s) + self._owed_tokens * self._token_s
                wait_s = max(due_s, token_s) - now_s if requests else 0.0
                if requests and wait_s <= 0:
                    due_s = max(due_s, now_s - _LATE_S_MAX) + self._request_s
                self._moments = _MOMENTS.pack(due_s, min(token_s, now_s + _DEBT_S_MAX))
                self._owed_tokens = 0
                if file:
                    file.seek(0)
                    with suppress(OSError):  # a full disk ends the run elsewhere
                        file.write(self._moments)
                        file.truncate()
                return wait_s
        except FileBusy:
            return chance.uniform(*_PAUSES_S)

    @asynccontextmanager
    async def _lock_slot(self) -> AsyncIterator[None]:
        """Holds one of the files that bound the requests of all processes."""
        lock = None
        async with self._slots_turn:
            while lock is None:
                for file in chance.sample(self._free, min(_TRIES_MAX, len(self._free))):
                    with suppress(FileBusy):
                        lock = file_lock(file)
                        break
                else:
                    await asyncio.sleep(chance.uniform(*_PAUSES_S))
            self._free.remove(file)
        with lock:
            try:
                yield
            finally:
                self._free.append(file)
