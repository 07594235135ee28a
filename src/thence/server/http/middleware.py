"""What stands before every route: allowed hosts, headers of every answer, HEAD without a body.

A web page of a stranger can send a browser's requests here under a name of its own that it has let
point at this machine; the Host header tells. The headers keep a browser from making anything else
of an answer than it is.
"""

from collections.abc import Collection

from anyio import CancelScope
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thence.server.errors import problem
from thence.server.http.loopback import host_of


class Hosts:
    """Refuses requests whose Host header names none of the allowed hosts, whatever the port."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(host.lower() for host in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it with 403."""
        if scope["type"] != "http" or self._is_allowed(scope["headers"]):
            await self._app(scope, receive, send)
            return
        refused = problem(403, "forbidden", "this server doesn't answer under that host name")
        await refused(scope, receive, send)

    def _is_allowed(self, headers: list[tuple[bytes, bytes]]) -> bool:
        named = [value for key, value in headers if key == b"host"]
        return len(named) == 1 and host_of(named[0].decode("latin-1")) in self._allowed


_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Headers:
    """Adds the headers that a route has not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the app does, with the headers added."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {key.lower() for key, _ in message["headers"]}
                added = [pair for pair in _HEADERS if pair[0] not in given]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)


class Bodiless:
    """Answers HEAD by the beginning of the answer to GET, and ends the work on the rest.

    So a stream, which never ends, is answered too. Place it before all that looks at methods.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the app does, HEAD as it does GET."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def begun(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
                answering.cancel()

        with CancelScope() as answering:
            await self._app({**scope, "method": "GET"}, receive, begun)
