"""The protocols of a connection: HTTP by uvicorn and httptools, WebSocket by websockets.

A head is bounded here. Beyond `connections_max` a request is answered with 503. When the server
ends, no client holds it up that neither sends the rest of its request nor reads its answer.
Whatever else a stranger may try, such as a slow body, is the proxy's to refuse.
"""

import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

# the key under which a connection stands in the state of a WebSocket's scope
TRANSPORT = "thence.transport"
CONNECTIONS_MAX = 4_096
# file descriptors for open logs, their indexes, and connections that are just accepted
FILES_KEPT = 160
# how long a client may keep a server that ends waiting for it
LINGER_S = 2.0
_CONNECTIONS_MIN = 16


def connections_max() -> int:
    """Returns the connection limit of this process, by RLIMIT_NOFILE: each is a descriptor."""
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files_max == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(_CONNECTIONS_MIN, min(CONNECTIONS_MAX, files_max - FILES_KEPT))


HEAD_BYTES_MAX = 64 * 1024


class Protocol(HttpToolsProtocol):
    """A protocol that bounds the head of a request: the parser would keep all of it.

    A head without end after more than HEAD_BYTES_MAX bytes is answered with 400.
    """

    _head_bytes = 0
    _is_in_head = False

    def data_received(self, data: bytes) -> None:
        """Parses received bytes, and refuses a head that is too long."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The headers of the request are too long.")

    def on_message_begin(self) -> None:
        """Starts a request."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Ends the head; the answer begins, with or without a body to come."""
        self._is_in_head = False
        super().on_headers_complete()

    def shutdown(self) -> None:
        """Ends the connection once its request is answered; a client is waited for LINGER_S."""
        super().shutdown()
        self.loop.call_later(LINGER_S, self._leave)

    def _leave(self) -> None:
        """Cuts off a client that the server waits for; looks again later at a request at work."""
        cycle = self.cycle
        is_waited_for = cycle is None or cycle.response_complete or cycle.more_body
        if is_waited_for or self.flow.write_paused:
            self.transport.abort()
        else:
            self.loop.call_later(LINGER_S, self._leave)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A protocol that gives its app the connection, and leaves no dead one open.

    Closing alone would wait until the peer takes what was sent before.
    """

    def handle_connect(self, event: Request) -> None:
        """Starts the app, which reads its scope after this."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["state"][TRANSPORT] = self.transport

    def shutdown(self) -> None:
        """Ends the connection; one whose peer takes nothing is cut off after LINGER_S."""
        super().shutdown()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Cuts off a peer that answers no ping."""
        super().keepalive_timeout()
        self.transport.abort()
