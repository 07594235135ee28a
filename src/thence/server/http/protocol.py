"""HTTP of one connection, as uvicorn speaks it by httptools; a head without end is cut off."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from thence.server.http.connections import Connections
from thence.server.routes.event_stream import TRANSPORT

HEAD_BYTES_MAX = 64 * 1024
HEAD_S = 10.0


class Protocol(HttpToolsProtocol):
    """Bounds the head of a request, in bytes and in time.

    It answers 400 to one that has no end yet after more than HEAD_BYTES_MAX bytes: the parser
    would keep whatever comes. It closes a connection that has not sent a whole head HEAD_S
    seconds after it was made, or after its next head began.
    """

    _head_bytes = 0
    _is_in_head = False
    _head_timer: asyncio.TimerHandle | None = None

    def __init__(self, *, among: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._among = among

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the first head."""
        super().connection_made(transport)
        self._await_head()
        self._among.wait(transport)
        self._among.make_room(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends to wait."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes in what came."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Begins a request."""
        self._is_in_head = True
        self._await_head()
        super().on_message_begin()
        self.scope["state"][TRANSPORT] = self.transport

    def on_headers_complete(self) -> None:
        """Begins the answer, whether or not a body is to come."""
        self._is_in_head = False
        self._end_head()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._among.wait(self.transport)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _end_head(self) -> None:
        self._among.work(self.transport)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
