"""The bounded queue of events for one client that listens to a log.

The thread that follows the log puts events in, the client's own task in the event loop takes
them out. For a client that is too slow the queue is emptied, and the stream reads from the log.

A frame is `id:` with the event's id, `data:` with its line, and an empty line, as the HTML standard
(section 9.2) has it. An id from another tool may hold characters that would break a header or a
line of the stream: such characters, and `%`, are percent-encoded.
"""

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote, unquote

from thence.core.event import Event
from thence.core.query.filter import Filter

MEDIA_TYPE = "text/event-stream"
# a client whose connection was cut connects again after this time
BEGINNING = b"retry: 1000\n\n"
HEARTBEAT = b":\n\n"

_PLAIN_ID = re.compile(r"[!-$&-~]+", re.ASCII)
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


def frame_bytes(event: Event) -> bytes:
    """Returns an event as a frame."""
    line = event.whole_line
    if b"\r" in line:
        line = _LINE_ENDS.sub(b"\ndata: ", line)
    return b"id: %b\ndata: %b\n\n" % (id_text(event.event_id).encode(), line)


def id_text(event_id: str) -> str:
    """Returns an id as a frame names it."""
    if _PLAIN_ID.fullmatch(event_id):
        return event_id
    return quote(event_id, safe=_SAFE, errors="surrogatepass")


def event_id(text: str) -> str:
    """Returns the id of which `text` is the form in a frame."""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:  # no frame holds such a text
        return text


# as much as one reading of the log brings, which is on its way to the client at most
WAITING_BYTES_MAX = 256 * 1024


class Frame(NamedTuple):
    """An event as a stream sends it."""

    event: Event
    data: bytes


class Listener:
    """A queue of WAITING_BYTES_MAX for one client; made in its event loop.

    `is_behind`: events were passed over, and must be read from the log. `is_over`: the log is
    not followed any more. `is_gone`: the client has left. `user`: whose streams are bounded, None
    where there are no users.
    """

    def __init__(self, event_filter: Filter, user: str | None = None) -> None:
        self.event_filter = event_filter
        self.user = user
        self.is_behind = False
        self.is_over = False
        self.is_gone = False
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._waiting: deque[Frame] = deque()
        self._waiting_bytes = 0

    def offer(self, frames: Sequence[Frame]) -> None:
        """Adds events, from any thread, without waiting."""
        self._put_soon(frames, False)

    def pass_over(self) -> None:
        """Marks, from any thread, that events are missing."""
        self._put_soon(None, False)

    def end(self) -> None:
        """Marks, from any thread, that no more events come."""
        self._put_soon((), True)

    async def take(self, wait_s: float) -> Sequence[Frame]:
        """Returns the waiting frames; none if none came in `wait_s` seconds, or at the end."""
        if not (self._waiting or self.is_behind or self.is_over):
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._ready.wait()
        frames = tuple(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._ready.clear()
        return frames

    def _put_soon(self, frames: Sequence[Frame] | None, is_over: bool) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the client with it
            self._loop.call_soon_threadsafe(self._put, frames, is_over)

    def _put(self, frames: Sequence[Frame] | None, is_over: bool) -> None:
        self.is_over = self.is_over or is_over
        self._ready.set()
        if frames is not None and not self.is_behind:
            self._waiting.extend(frames)
            self._waiting_bytes += sum(len(frame.data) for frame in frames)
        if frames is None or self._waiting_bytes > WAITING_BYTES_MAX:
            self.is_behind = True
            self._waiting.clear()
            self._waiting_bytes = 0
