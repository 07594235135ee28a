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
from urllib.parse import parse_qsl, quote, urlencode

from anyio import CancelScope
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
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
        is_open = scope["type"] != "http" or scope["path"] in OPEN_PATHS
        is_open = is_open or scope["path"].startswith(OPEN_PREFIX)
        if is_open or has_bearer(scope, self._token) or self._has_cookie(scope):
            await self._app(scope, receive, send)
        elif scope["method"] == "GET" and self._has_parameter(scope):
            await _redirect_without(scope, self._digest)(scope, receive, send)
        else:
            await _unauthorized(scope)(scope, receive, send)

    def _has_cookie(self, scope: Scope) -> bool:
        cookies = cookie_parser(_header(scope, b"cookie").decode("latin-1"))
        cookie = cookies.get(cookie_name(scope), "")
        return compare_digest(cookie.encode(), self._digest.encode())

    def _has_parameter(self, scope: Scope) -> bool:
        """Reports whether the parameters of a request hold the token, and no other one."""
        query = scope["query_string"]
        tokens = [value for key, value in _parameters(query) if key == _PARAMETER]
        token = tokens[0] if len(tokens) == 1 else ""
        return compare_digest(token.encode(errors="surrogateescape"), self._token)


def has_bearer(scope: Scope, token: bytes) -> bool:
    """Reports whether a request shows a token as its bearer, in the same time for any other."""
    kind, _, bearer = _header(scope, b"authorization").partition(b" ")
    return kind.lower() == b"bearer" and compare_digest(bearer.strip(), token)


def _redirect_without(scope: Scope, cookie: str) -> RedirectResponse:
    """Returns a redirect to the same page without the token, with a cookie in its place."""
    rest = [pair for pair in _parameters(scope["query_string"]) if pair[0] != _PARAMETER]
    # a path never begins with two slashes: that would be another host
    path = "/" + quote(scope["path"].lstrip("/"))
    answer = RedirectResponse(path + ("?" + urlencode(rest) if rest else ""), 303)
    is_secure = scope.get("scheme") == "https"
    answer.set_cookie(
        cookie_name(scope),
        cookie,
        max_age=COOKIE_S,
        httponly=True,
        samesite="strict",
        secure=is_secure,
    )
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def cookie_name(scope: Scope) -> str:
    """Returns the cookie's name, by port: all servers of one host share its cookies."""
    _, port = scope.get("server") or ("", None)
    return f"thence_{port or 0}"


def _header(scope: Scope, name: bytes) -> bytes:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(name, b"")


def _parameters(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")


def _unauthorized(scope: Scope) -> Response:
    """Returns the answer to a request without a valid token: a page, or JSON."""
    message = (
        "open this address once with ?token=TOKEN at its end, with the token of this server"
        if is_page(scope["path"])
        else "send the header Authorization: Bearer TOKEN with the token of this server"
    )
    return refused(scope, HTTPException(401, message, {"WWW-Authenticate": "Bearer"}))
