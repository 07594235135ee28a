"""Streams of server-sent events: what is new in a log, for as long as a client listens.

A stream is a cursor on the log's index. Four times a second it looks whether the file that is
appended to has changed, and then reads on from where it is, so that a slow client delays nobody
and misses nothing. Events are sent in the order in which they arrived, each once, whether they are
on the device yet or not; the pages show the total order. A client resumes by the id of the last
event it has. An id that the log does not hold is refused: any other position would leave a gap or
a repeat that the client can't see.

A frame is `id:` with the event's id, `data:` with its line, and an empty line, as the HTML standard
(section 9.2) has it. An id from another tool may hold characters that would break a header or a
line of the stream: such characters, and `%`, are percent-encoded.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import quote, unquote

from fastapi import Header, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from thence.core.event import Event
from thence.core.query.filter import Filter, is_pattern
from thence.errors import NotALog, ThenceError
from thence.log.files.segment import current_path
from thence.log.index import arrivals
from thence.server.logs.root import LogKey, OpenLog
from thence.server.routes.parameters import LogLive, SimulationLive
from thence.server.routes.state import ServerState, app_state

# a client whose connection was cut connects again after this time
BEGINNING = b"retry: 1000\n\n"
HEARTBEAT = b":\n\n"
HEARTBEAT_S = 15.0
TICK_S = 0.25
# each holds what is on its way to its client: one reading, of arrivals.BATCH_BYTES
STREAMS_MAX = 200
# a part is copied on its way, some times over, and waits there until its client takes it
PART_BYTES = 32 * 1024
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Begin after this event; an EventSource that reconnects sends it.",
    ),
]


class News(NamedTuple):
    """Frames that a stream sends, b"" for none, and in how many seconds it reads again.

    None: once the log's file has changed.
    """

    frames: bytes
    again_s: float | None = None


async def event_stream(
    request: Request,
    log_id: str,
    is_simulation: bool,
    parameters: LogLive | SimulationLive,
    header: str | None,
) -> Response:
    """Returns the stream of a log's events; the header, if sent, says after which it begins."""
    name = header or ""
    with suppress(UnicodeError):  # a browser encodes it in UTF-8
        name = name.encode("latin-1").decode()
    named = event_id(name or parameters.last_event_id or "")
    cursor = EventCursor(parameters.filter(), named or parameters.tail)
    return await open_stream(request, log_id, is_simulation, cursor.read)


class EventCursor:
    """A place among the events of a log in arrival order, and which of them count.

    It is after an event, or before so many of the last ones, or, for None, before the first.
    """

    def __init__(self, event_filter: Filter, after: str | int | None) -> None:
        self._filter = event_filter
        self._after = after
        types = event_filter.types
        self._types = () if any(map(is_pattern, types)) else types  # which the index has

    def read(self, log: OpenLog) -> News:
        """Returns the next events that match as frames; raises EventNotFound, `read_failed`."""
        arrived = arrivals.after(log.index, self._after, self._types)
        self._after = arrived.last_id
        frames = map(frame_bytes, filter(self._filter.matches, arrived.events))
        return News(b"".join(frames), 0.0 if arrived.has_more else None)


def frame_bytes(event: Event) -> bytes:
    """Returns an event as a frame."""
    line = event.readable_line
    if b"\r" in line:
        line = _LINE_ENDS.sub(b"\ndata: ", line)
    return b"id: %b\ndata: %b\n\n" % (id_text(event.event_id).encode(), line)


def id_text(event_id: str) -> str:
    """Returns an id as a frame names it."""
    return quote(event_id, safe=_SAFE, errors="surrogatepass")


def event_id(text: str) -> str:
    """Returns the id of which `text` is the form in a frame."""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:  # no frame holds such a text
        return text


async def open_stream(
    request: Request, log_id: str, is_simulation: bool, read: Callable[[OpenLog], News]
) -> "StreamResponse":
    """Returns the stream of what `read` finds in a log, now and each time the log has changed.

    Raises NotALog, what `read` raises, and 503 where too many streams are open or requests wait.
    """
    stream = StreamResponse(app_state(request), log_id)
    try:
        await stream.begin(is_simulation, read)
    except BaseException:
        stream.leave()
        raise
    return stream


class StreamResponse(StreamingResponse):
    """A stream that is open until its client is gone, or its log, or the server ends."""

    def __init__(self, state: ServerState, log_id: str) -> None:
        if len(state.streams) >= STREAMS_MAX:
            text = f"{STREAMS_MAX} streams are open already"
            raise HTTPException(503, text, {"Retry-After": "1"})
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(self._sent(), headers=headers, media_type="text/event-stream")
        self._state = state
        self._log_id = log_id
        self._key: LogKey | None = None
        state.streams.add(self)

    async def begin(self, is_simulation: bool, read: Callable[[OpenLog], News]) -> None:
        """Reads the first frames."""

        def work(log: OpenLog) -> News:
            if self._key not in (None, log.key):
                raise NotALog("could not follow", place=log.id, cause="another took its place")
            self._key = log.key
            self._file = current_path(log.folder)
            self._seen = _stat(self._file)  # before the reading: what comes after it is seen
            return read(log)

        self._read = partial(self._state.ask, self._log_id, work, is_simulation)
        self._news: News = await self._read()

    def leave(self) -> None:
        """Frees the place of the stream; it may be called twice."""
        self._state.streams.discard(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream until the client is gone."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.leave()

    async def _sent(self) -> AsyncIterator[bytes]:
        """Yields the stream in parts of PART_BYTES."""
        yield BEGINNING
        silent_s = 0.0
        try:
            while not self._state.is_closed:
                (frames, again_s), self._news = self._news, News(b"")
                if not frames and silent_s >= HEARTBEAT_S:
                    frames = HEARTBEAT
                if frames:
                    silent_s = 0.0
                while frames:  # what was sent is let go: a client may be silent for hours
                    part, frames = frames[:PART_BYTES], frames[PART_BYTES:]
                    yield part
                wait_s = TICK_S if again_s is None else again_s
                await asyncio.sleep(wait_s)
                silent_s += wait_s
                # on the event loop: a thread would cost more than the call
                if again_s is not None or _stat(self._file) != self._seen:
                    self._news = await self._read()
        except (ThenceError, OSError, HTTPException):
            return  # the error is reported when the client connects again


def _stat(file: Path) -> tuple[int, int, int] | None:
    """Returns what changes when a log's current segment does; None where there is none."""
    try:
        stat = os.stat(file)
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
