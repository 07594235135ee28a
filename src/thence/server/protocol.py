"""HTTP of one connection, as uvicorn speaks it by httptools; a head without end is cut off."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024


class Protocol(HttpToolsProtocol):
    """Answers 400 to a request whose head has no end yet after more than HEAD_BYTES_MAX bytes.

    The parser has no such bound: it would keep whatever comes.
    """

    _head_bytes = 0
    _is_in_head = False

    def data_received(self, data: bytes) -> None:
        """Takes in what came."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Begins a request."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begins the answer, whether or not a body is to come."""
        self._is_in_head = False
        super().on_headers_complete()
