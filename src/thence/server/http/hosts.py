"""Who a request may be addressed to: hosts that were named, and no other.

A web page of a stranger can send a browser's requests here under a name of its own that it
has let point at this machine; the Host header tells.
"""

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

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
