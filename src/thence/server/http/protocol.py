"""The protocols of a connection: HTTP by uvicorn and httptools, WebSocket by websockets.

Heads, connections, and bodies of clients without a login are bounded. A connection is a file
descriptor. The system bounds those of a process, and the logs need some.
"""

import asyncio
import logging
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from thence.server.http.middleware import GRANT

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

    A connection waits until it has sent a whole request, or the head of one that shows a login.
    When there are too many, the one that has waited longest is closed. A new connection is the
    last of those, and is closed where all others work.
    """

    def __init__(self, connections_limit: int) -> None:
        self._limit = connections_limit
        self._waiting: dict[asyncio.Transport, None] = {}
        self._is_full = False

    def wait(self, connection: asyncio.Transport) -> None:
        """Records that a connection has to send a request."""
        self._waiting[connection] = None

    def work(self, connection: asyncio.Transport) -> None:
        """Records that a connection waits for the server, or is closed."""
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
# a body that comes slower is cut off every so many seconds, unless its client has a login
BODY_S = 5.0
BODY_BYTES_PER_S_MIN = 1_024


class Protocol(HttpToolsProtocol):
    """A protocol that bounds the head of a request, in bytes and in time, and its body in pace.

    A head without end after more than HEAD_BYTES_MAX bytes is answered with 400: the parser
    would keep all of it. A connection that has not sent a complete head HEAD_S seconds after
    the connection was made, or after its next head began, is closed. So is one that owes a
    body, of which less than BODY_BYTES_PER_S_MIN came in the last BODY_S, until the app grants
    it time.
    """

    _head_bytes = 0
    _is_in_head = False
    _body_bytes = 0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, *, among: Connections, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._open_connections = among

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the wait for the first head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_S, transport.abort)
        self._open_connections.wait(transport)
        self._open_connections.make_room(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the wait for a request."""
        self._end_wait()
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
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_S, self.transport.abort)
        super().on_message_begin()
        self.scope["state"][GRANT] = self._end_wait

    def on_headers_complete(self) -> None:
        """Ends the head; the answer begins, with or without a body to come."""
        self._is_in_head = False
        self._await_body()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Counts a part of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends the wait for a request, but where its answer has gone out before."""
        super().on_message_complete()
        self._stop_timer()
        if self.cycle is None or not self.cycle.response_complete:
            self._open_connections.work(self.transport)

    def handle_websocket_upgrade(self) -> None:
        """Ends the wait for a request: the connection is another protocol's."""
        self._end_wait()
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """Starts the wait for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._open_connections.wait(self.transport)

    def _await_body(self) -> None:
        self._stop_timer()
        self._body_bytes = 0
        self._timer = self.loop.call_later(BODY_S, self._judge_body)

    def _judge_body(self) -> None:
        """Cuts a body off that comes too slowly, and is not held up by this server."""
        if self._body_bytes < BODY_S * BODY_BYTES_PER_S_MIN and not self.flow.read_paused:
            self.transport.abort()
        else:
            self._await_body()

    def _end_wait(self) -> None:
        self._stop_timer()
        self._open_connections.work(self.transport)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A protocol that gives its app the connection, and leaves no dead one open.

    Closing alone would wait until the peer takes what was sent before.
    """

    def handle_connect(self, event: Request) -> None:
        """Starts the app, which reads its scope after this."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["state"][TRANSPORT] = self.transport

    def keepalive_timeout(self) -> None:
        """Cuts off a peer that answers no ping."""
        super().keepalive_timeout()
        self.transport.abort()
