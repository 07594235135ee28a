"""The WebSocket protocol of a connection, by uvicorn and websockets: one that hangs is cut off."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from thence.server.http.protocol import TRANSPORT


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
