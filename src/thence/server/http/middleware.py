"""The middleware before every route: allowed hosts, headers of every answer, HEAD without a body.

A foreign web page can let a host name of its own point at this machine and have a browser send
requests here; the Host header then shows that name. The added headers keep a browser from reading
an answer as anything but its content type.
"""

from collections.abc import Collection

from anyio import CancelScope
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thence.server.errors import refused


async def deny(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a response, also in place of a WebSocket's upgrade.

    There a server that can send no response closes the connection.
    """
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get(
        "extensions", {}
    ):
        await send({"type": "websocket.close", "code": 1008})
        return
    await response(scope, receive, send)


class Hosts:
    """Middleware that refuses a Host header that names no allowed host, whatever the port."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(host.lower() for host in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it with 403."""
        if scope["type"] == "lifespan" or self._is_allowed(scope["headers"]):
            await self._app(scope, receive, send)
            return
        error = HTTPException(403, "this server doesn't answer under that host name")
        await deny(refused(scope, error), scope, receive, send)

    def _is_allowed(self, headers: list[tuple[bytes, bytes]]) -> bool:
        hosts = [value for key, value in headers if key == b"host"]
        return len(hosts) == 1 and host_of(hosts[0].decode("latin-1")) in self._allowed


def host_of(header: str) -> str:
    """Returns the host of a Host header in lower case, without its port."""
    address = header.strip().lower()
    host, colon, port = address.rpartition(":")
    is_port = bool(colon) and (port.isdigit() or not port)
    return host if is_port and (":" not in host or host.endswith("]")) else address


_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Headers:
    """Middleware that adds the headers that a route has not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and adds the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {key.lower() for key, _ in message["headers"]}
                added = [pair for pair in _HEADERS if pair[0] not in names]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class HeadWithoutBody:
    """Middleware that answers HEAD by the start of the answer to GET, and cancels the rest.

    A stream, which never ends, is answered in this way too. The class belongs before every
    middleware that checks methods.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, HEAD as a GET without its body."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_start(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
                cancel_scope.cancel()

        with CancelScope() as cancel_scope:
            await self._app({**scope, "method": "GET"}, receive, send_start)
