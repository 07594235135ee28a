"""The routes that send new events as they come in, as server-sent events.

Events are sent in the order in which they arrived, each once; the pages show the total order. A
client resumes by the id of the last event it has. An id that the log lacks is refused: any other
position would leave a gap or a repeat that the client can't see.

A stream starts to listen before it reads the stored events, so that no event is missed in
between. A slow client is not waited for: when it can take more, the stream reads from the log.
"""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from thence.core.query.filter import Filter
from thence.errors import ThenceError
from thence.log.index import arrivals
from thence.server.errors import LIVE_RESPONSE
from thence.server.logs.live import (
    BEGINNING,
    HEARTBEAT,
    MEDIA_TYPE,
    Feed,
    Listener,
    event_id,
    frames_of,
)
from thence.server.logs.root import FoundLog
from thence.server.routes.parameters import Live, LogLive, SimulationLive
from thence.server.routes.state import USER, ServerState, app_state

# the start of a stream: after the event with an id, with the last N events, or with the first
After = str | int | None

HEARTBEAT_S = 15.0
# a part is copied on its way, some times over, and waits there until its client takes it
PART_BYTES = 32 * 1024

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Begin after this event, as an EventSource asks that reconnects.",
    ),
]


def add_stream(router: APIRouter, is_simulation: bool) -> None:
    """Adds the route of the streams of simulations, or of any logs."""
    model: Any = SimulationLive if is_simulation else LogLive

    @router.get("/{id}/events/live", response_class=Response, responses=LIVE_RESPONSE)
    async def live(
        request: Request,
        id: str,
        parameters: Annotated[model, Query()],
        last_event_id: LastEventId = None,
    ) -> Response:
        """Sends events as they come in, from the first one on or after a given one."""
        state, after = app_state(request), _after(parameters, last_event_id)
        user = request.scope.get(USER)
        stream = Stream(state, id, is_simulation, parameters.filter(), after, user)
        await stream.begin()
        return StreamResponse(stream)


def _after(parameters: Live, header: str | None) -> After:
    """Returns the start of a stream: after an event if one is named; an empty name is none."""
    named = event_id(_text(header)) if header else event_id(parameters.last_event_id or "")
    return named or parameters.tail


def _text(header: str) -> str:
    """Returns the text of a header that a browser encoded in UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


class Stream:
    """The stream of one client; call `begin` first and `leave` at its end."""

    def __init__(
        self,
        state: ServerState,
        log_id: str,
        is_simulation: bool,
        event_filter: Filter,
        after: After,
        user: str | None = None,
    ) -> None:
        self._state = state
        self._log_id = log_id
        self._is_simulation = is_simulation
        self._filter = event_filter
        self._after = after
        self._until: str | None = None
        self._listener = Listener(event_filter, user)
        self._first = b""

    async def begin(self) -> None:
        """Starts to listen, and reads the first frames of the stored events.

        Raises NotALog, EventNotFound when the log lacks the event to begin after, `read_failed`,
        and 503 where too many requests wait.
        """
        try:
            self._first = await self._inspect(self._subscribe)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Stops listening; it may be called twice."""
        self._state.feeds.unsubscribe(self._listener)

    async def frames(self) -> AsyncIterator[bytes]:
        """Yields the stream, which has begun, in parts of PART_BYTES."""
        async for data in self._frames():
            for start in range(0, len(data), PART_BYTES):
                yield data[start : start + PART_BYTES]
            del data  # a client may be silent for hours

    async def _frames(self) -> AsyncIterator[bytes]:
        """Yields stored and new events, until the log is not followed any more."""
        feed = self._listener.feed
        assert feed is not None
        yield BEGINNING
        first, self._first = self._first, b""
        yield first
        del first
        try:
            while not feed.is_over:
                while self._after != self._until:
                    yield await self._inspect(self._read_on)
                async for data in self._new_frames(feed):
                    yield data
                    del data
                self._after, self._until = self._listener.last_id, feed.pass_over(self._listener)
        except (ThenceError, OSError, HTTPException):
            return  # the error is reported when the client connects again

    async def _new_frames(self, feed: Feed) -> AsyncIterator[bytes]:
        """Yields new events, until this client is too slow or the log isn't followed."""
        while (taken := await self._listener.take(HEARTBEAT_S)) is not None:
            if feed.is_over and not taken:
                return
            if not taken:
                yield HEARTBEAT
            while taken:
                frames = taken.pop(0)
                self._state.metrics.count_events(frames.number)
                yield frames.data
                del frames

    async def _inspect(self, work: Callable[[FoundLog], bytes]) -> bytes:
        return await self._state.inspect(self._log_id, work, self._is_simulation)

    def _subscribe(self, location: FoundLog) -> bytes:
        """Starts to listen, then reads on; raises EventNotFound."""
        if isinstance(self._after, str):
            with self._state.logs.using(location) as log:
                arrivals.between(log.index, self._after, None)  # raises if the log lacks the event
        self._until = self._state.feeds.subscribe(location, self._listener)
        return self._read_on(location)

    def _read_on(self, location: FoundLog) -> bytes:
        """Reads on from the client's position to the one where the stream began to listen."""
        with self._state.logs.using(location) as log:
            arrived = arrivals.between(log.index, self._after, self._until)
        self._after = arrived.events[-1].event_id if arrived.has_more else self._until
        frames = frames_of(arrived.events, self._filter)
        self._state.metrics.count_events(frames.number)
        return frames.data


class StreamResponse(StreamingResponse):
    """A response that sends a stream that has begun, and always leaves it."""

    def __init__(self, stream: Stream) -> None:
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(stream.frames(), headers=headers, media_type=MEDIA_TYPE)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream until the client is gone."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.leave()
