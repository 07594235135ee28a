"""The events of a log for one client: what is there, then what comes, without gap or repeat.

A client begins to listen before it is told what is there: so nothing falls in between. One
that takes too little is not waited for; when it can take more it goes on by what the log
holds. Whatever ends a stream, the client resumes it by the id of the last event it has.
"""

import asyncio
from asyncio import Transport
from collections.abc import AsyncIterator, Iterable

from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.errors import ReadFailed, ThenceError
from thence.index.plan import arrivals
from thence.log.read.follower import POLL_S
from thence.server.live.listener import BEGINNING, HEARTBEAT, MEDIA_TYPE, Listener, framed
from thence.server.logs.logs import OpenLog
from thence.server.logs.root import FoundLog
from thence.server.served import Served

# where a stream begins: behind the event of an id, with the last so many, or with the first
After = str | int | None

HEARTBEAT_S = 15.0
# what a server of ours adds to the state of a request: its connection
TRANSPORT = "thence.transport"
_TRIES_MAX = 200


class Stream:
    """One client's stream. Begin it, and leave it at its end."""

    def __init__(
        self, served: Served, log_id: str, is_simulation: bool, asked: Filter, after: After
    ) -> None:
        self._served = served
        self._log_id = log_id
        self._is_simulation = is_simulation
        self._asked = asked
        self._after = after
        self._until: str | None = None
        self._listener = Listener(asked, served.backlog.add)
        self._transport: Transport | None = None
        self._sent_bytes = 0
        self._is_cut = False

    async def begin(self) -> bytes:
        """Begins to listen; returns the first frames of what is there already.

        Raises NotALog, EventNotFound when the log lacks the event to begin behind, ReadFailed,
        and 503 where too many wait.
        """
        for _ in range(_TRIES_MAX):
            self._listener = Listener(self._asked, self._served.backlog.add)
            try:
                data = await self._served.look(self._log_id, self._enter, self._is_simulation)
            except BaseException:
                self.leave()
                raise
            if data is not None:
                return data
            self.leave()
            await asyncio.sleep(POLL_S)
        raise ReadFailed("could not follow", place=self._log_id, cause="it is read too slowly")

    def leave(self) -> None:
        """Ends to listen; it may be called twice."""
        self._served.feeds.leave(self._listener)

    @property
    def backlog_bytes(self) -> int:
        """How many bytes wait for the client now: on the way to it, and behind that."""
        buffered = self._transport.get_write_buffer_size() if self._transport else 0
        return buffered + self._sent_bytes + self._listener.waiting_bytes

    def cut(self) -> None:
        """Ends the stream and its connection, whatever waits."""
        self._is_cut = True
        self.leave()
        self._listener.drop()
        if self._transport is not None:
            self._transport.abort()

    async def frames(
        self, first: bytes, transport: Transport | None = None
    ) -> AsyncIterator[bytes]:
        """Yields the stream, and counts what its client has not taken yet."""
        self._transport = transport
        try:
            async for data in self._frames(first):
                self._sent_bytes = len(data)
                self._served.backlog.move(self, len(data))
                if self._is_cut:
                    return
                yield data
                self._sent_bytes = 0
        finally:
            self._served.backlog.leave(self)

    async def _frames(self, first: bytes) -> AsyncIterator[bytes]:
        """Yields what is there and what comes, until nobody follows the log any more."""
        yield BEGINNING + first
        try:
            while not self._is_cut:
                while self._after != self._until:
                    yield await self._served.look(self._log_id, self._more, self._is_simulation)
                async for data in self._coming():
                    yield data
                if self._is_cut or not self._listener.is_behind:
                    return
                self.leave()
                yield await self.begin()
        except (ThenceError, OSError, HTTPException):
            return  # who comes back is told

    async def _coming(self) -> AsyncIterator[bytes]:
        """Yields what comes in, until this client is too slow or the log isn't followed."""
        while not self._listener.is_over:
            frames = await self._listener.take(HEARTBEAT_S)
            if frames:
                self._after = self._until = frames[-1].event.event_id
                self._served.metrics.count_events(len(frames))
                yield b"".join(frame.data for frame in frames)
            elif self._listener.is_behind:
                return
            elif not self._listener.is_over:
                yield HEARTBEAT

    def _enter(self, found: FoundLog) -> bytes | None:
        """Begins to listen and reads on; None where the log's thread isn't that far yet."""
        self._until = self._served.feeds.enter(found, self._listener)
        with self._served.logs.using(found) as log:
            if isinstance(self._after, str) and not _is_reached(log, self._after, self._until):
                arrivals.between(log.index, self._after, None)  # it must be there
                return None
        return self._more(found)

    def _more(self, found: FoundLog) -> bytes:
        """Reads on from where the client is, up to where it began to listen."""
        with self._served.logs.using(found) as log:
            arrived = arrivals.between(log.index, self._after, self._until)
        if arrived.has_more:
            self._after = arrived.events[-1].event_id
        else:
            self._after = self._until
        return self._framed(arrived.events)

    def _framed(self, events: Iterable[Event]) -> bytes:
        frames = [framed(event) for event in events if self._asked.matches(event)]
        self._served.metrics.count_events(len(frames))
        return b"".join(frames)


class StreamResponse(StreamingResponse):
    """Sends a stream that has begun, and leaves it whatever happens."""

    def __init__(self, stream: Stream, first: bytes, transport: Transport | None) -> None:
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(stream.frames(first, transport), headers=headers, media_type=MEDIA_TYPE)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it until the client is gone."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.leave()


def _is_reached(log: OpenLog, event_id: str, until: str | None) -> bool:
    """Reports whether an event arrived up to another one, or is that one."""
    if until is None or event_id == until:
        return event_id == until
    return event_id in arrivals.known(log.index, (event_id,), until)
