"""The middleware before every route: hosts, the token, headers of every answer, HEAD.

A foreign web page can let a host name of its own point at this machine and have a browser send
requests here; the Host header then shows that name. The added headers keep a browser from reading
an answer as anything but its content type.

Where an access token is set, programs send `Authorization: Bearer TOKEN`. A browser can't: it opens
any page once with `?token=TOKEN` and is redirected to the same page without the token, so that the
token stays in no history, log or referrer. For a week a cookie that scripts can't read replaces the
token. The cookie holds a digest that is of no use elsewhere, and no other site's page can have it
sent. /health is open to all, as it reports numbers and no names, and so are script and style.
"""

from collections.abc import Collection
from hashlib import sha256
from hmac import compare_digest
from urllib.parse import quote, urlencode

from anyio import CancelScope
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thence.server.errors import is_page, refused

OPEN_PATHS = frozenset(("/health",))
# who may see nothing else still sees what a page looks like
OPEN_PREFIX = "/static/"
COOKIE_S = 7 * 24 * 60 * 60
_PARAMETER = "token"


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
        headers = scope.get("headers", ())
        hosts = [host_of(value.decode("latin-1")) for key, value in headers if key == b"host"]
        if scope["type"] == "lifespan" or (len(hosts) == 1 and hosts[0] in self._allowed):
            await self._app(scope, receive, send)
            return
        error = HTTPException(403, "this server doesn't answer under that host name")
        await deny(refused(scope, error), scope, receive, send)


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


class Auth:
    """Middleware that lets a request through if it carries the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self._digest = sha256(b"thence cookie\0" + self._token).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, redirects a browser, or answers with 401."""
        app = self._app_for(HTTPConnection(scope)) if scope["type"] == "http" else self._app
        await app(scope, receive, send)

    def _app_for(self, asked: HTTPConnection) -> ASGIApp:
        scope, path, query = asked.scope, asked.scope["path"], asked.query_params
        cookie = asked.cookies.get(cookie_name(scope), "").encode()
        if path in OPEN_PATHS or path.startswith(OPEN_PREFIX):
            return self._app
        if has_bearer(scope, self._token) or compare_digest(cookie, self._digest.encode()):
            return self._app
        tokens = query.getlist(_PARAMETER)
        is_shown = len(tokens) == 1 and compare_digest(tokens[0].encode(), self._token)
        if not is_shown or scope["method"] != "GET":
            message = (
                "open this address once with ?token=TOKEN at its end, with the token of this server"
                if is_page(path)
                else "send the header Authorization: Bearer TOKEN with the token of this server"
            )
            return refused(scope, HTTPException(401, message, {"WWW-Authenticate": "Bearer"}))
        # the same page without the token, with a cookie in its place; a path never begins with two
        # slashes: that would be another host
        rest = urlencode([pair for pair in query.multi_items() if pair[0] != _PARAMETER])
        address = "/" + quote(path.lstrip("/")) + (f"?{rest}" if rest else "")
        answer = RedirectResponse(address, 303)
        answer.set_cookie(
            cookie_name(scope),
            self._digest,
            max_age=COOKIE_S,
            httponly=True,
            samesite="strict",
            secure=scope.get("scheme") == "https",
        )
        return answer


def has_bearer(scope: Scope, token: bytes) -> bool:
    """Reports whether a request shows a token as its bearer, in the same time for any other."""
    header = HTTPConnection(scope).headers.get("authorization", "").encode("latin-1")
    kind, _, bearer = header.partition(b" ")
    return kind.lower() == b"bearer" and compare_digest(bearer.strip(), token)


def cookie_name(scope: Scope) -> str:
    """Returns the cookie's name, by port: all servers of one host share its cookies."""
    _, port = scope.get("server") or ("", None)
    return f"thence_{port or 0}"
