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
# late requests catch up so much; no request is due later than so
_LATE_S_MAX, _DUE_S_MAX = 1.0, 60.0
_MOMENT = struct.Struct("<d")


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
    grow by one when as many have been answered (as in RFC 5681). The limit a minute spaces requests
    evenly. No lock is waited for in the loop.
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
        self._moment = _MOMENT.pack(0.0)  # from which the next request is due
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
            async with self._pace_turn:
                while (wait_s := self._pace()) > 0:  # noqa: ASYNC110 it is a moment
                    await asyncio.sleep(wait_s)
            async with self._slot():
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

    def _pace(self) -> float:
        """Takes one of the requests of the minute; returns the seconds to wait before it, else."""
        if not self._request_s:
            return 0.0
        try:
            with file_lock(self._pace_file) if self._pace_file else nullcontext() as file:
                now_s = time()
                data = file.read(_MOMENT.size + 1) if file else self._moment
                (due_s,) = _MOMENT.unpack(data if len(data) == _MOMENT.size else self._moment)
                # a moment beyond what is ever written: the clock was set back
                due_s = due_s if due_s <= now_s + _DUE_S_MAX else now_s
                if due_s <= now_s:
                    self._moment = _MOMENT.pack(max(due_s, now_s - _LATE_S_MAX) + self._request_s)
                    if file:
                        file.seek(0)
                        with suppress(OSError):  # a full disk ends the run elsewhere
                            file.write(self._moment)
                            file.truncate()
                return due_s - now_s
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
