"""The HTTP protocol of a connection, by uvicorn and httptools: bounded heads, bounded connections.

A connection is a file descriptor. The system bounds those of a process, and the logs need some.
"""

import asyncio
import logging
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# the key under which a connection stands in the state of a WebSocket's scope
TRANSPORT = "thence.transport"
CONNECTIONS_MAX = 4_096
# file descriptors for open logs, their indexes, and connections that are just accepted
FILES_KEPT = 160
_CONNECTIONS_MIN = 16

_logger = logging.getLogger("thence.server")


def connections_max() -> int:
    """Returns the connection limit of this process, by RLIMIT_NOFILE."""
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files_max == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(_CONNECTIONS_MIN, min(CONNECTIONS_MAX, files_max - FILES_KEPT))


class Connections:
    """The connections of one server, for its event loop alone.

    When there are too many, the one that has waited longest without a complete request head
    is closed. A new connection is the last of those, and is closed where all others work.
    """

    def __init__(self, connections_limit: int) -> None:
        self._limit = connections_limit
        self._waiting: dict[asyncio.Transport, None] = {}
        self._is_full = False

    def wait(self, connection: asyncio.Transport) -> None:
        """Records that a connection has to send a head."""
        self._waiting[connection] = None

    def work(self, connection: asyncio.Transport) -> None:
        """Records that a connection has sent a complete head, or is closed."""
        self._waiting.pop(connection, None)

    def make_room(self, count: int) -> None:
        """Closes a waiting connection if there are too many; logs when that begins."""
        if count <= self._limit:
            self._is_full = self._is_full and count > self._limit // 2
            return
        if not self._is_full:
            self._is_full = True
            _logger.warning(
                "%d connections are open: one that waits is closed for each new one", self._limit
            )
        oldest = next(iter(self._waiting), None)
        if oldest is not None:
            self.work(oldest)
            oldest.abort()


HEAD_BYTES_MAX = 64 * 1024
HEAD_S = 10.0


class Protocol(HttpToolsProtocol):
    """A protocol that bounds the head of a request, in bytes and in time.

    A head without end after more than HEAD_BYTES_MAX bytes is answered with 400: the parser
    would keep all of it. A connection that has not sent a complete head HEAD_S seconds after
    the connection was made, or after its next head began, is closed.
    """

    _head_bytes = 0
    _is_in_head = False
    _head_timer: asyncio.TimerHandle | None = None

    def __init__(self, *, among: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._open_connections = among

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the wait for the first head."""
        super().connection_made(transport)
        self._start_head_timer()
        self._open_connections.wait(transport)
        self._open_connections.make_room(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the wait for a head."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses received bytes, and refuses a head that is too long."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Starts a request."""
        self._is_in_head = True
        self._start_head_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Ends the head; the answer begins, with or without a body to come."""
        self._is_in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Starts the wait for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._open_connections.wait(self.transport)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_head_timer(self) -> None:
        self._open_connections.work(self.transport)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
