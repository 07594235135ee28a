"""The ways into a team's server: passwords, tokens, a login form.

Passwords are checked in threads of their own: many at once hold up logins and nothing else. An
attempt that fails counts against its address, and the audit log has it.

A browser has one cookie, which holds a session after a login; that opens pages alone. The browser
is led to this server's own pages, nowhere else. The cookie comes with a link from another site
too: a page only ever shows something.
"""

from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from thence.core.markup import Html, el
from thence.errors import InvalidEvent, NotLoggedIn, ThenceError
from thence.server.errors import Refusal, is_page, refusal
from thence.server.http.middleware import cookie_name
from thence.server.http.workers import Workers
from thence.server.team.accounts import Accounts
from thence.server.team.audit import AuditLog
from thence.server.team.logins import ACCESS_S, Logins
from thence.server.team.wire_http import (
    WirePath,
    address_of,
    answered,
    body_of,
    decoded_as,
)
from thence.server.web.layout import page
from thence.sync.wire.messages import Credentials, Refresh, Tokens

LOGIN_PATH = "/login"
BODY_BYTES_MAX = 16 * 1024
# a check of a password takes 64 MiB
CHECKING_THREADS, WAITING_MAX = 2, 32
_FIELDS_MAX = 8
_FORM = "application/x-www-form-urlencoded"
# of the header Sec-Fetch-Site, which every browser sends and no page can set
_OWN_PAGES = frozenset(("same-origin", "none", ""))


class WaysIn:
    """The routes by which people and programs come in.

    What checks no password runs in `reading`.
    """

    def __init__(
        self, accounts: Accounts, logins: Logins, audit: AuditLog, reading: Workers
    ) -> None:
        self._accounts = accounts
        self._logins = logins
        self._audit = audit
        self._reading = reading
        self.checking = Workers(CHECKING_THREADS, WAITING_MAX)
        logins.on_reuse = lambda user: audit.record(
            "login.ended", user=user, reason="a refresh token was used twice"
        )

    def pages(self) -> list[Route]:
        """Returns the routes of the pages."""
        return [Route(LOGIN_PATH, self._login_page, methods=("GET", "POST"))]

    def paths(self) -> list[WirePath]:
        """Returns the paths of the wire, with their methods and endpoints."""
        take = self._take
        return [
            ("token", ("POST",), self._log_in),
            ("token/refresh", ("POST",), partial(take, self._refreshed)),
            ("token/revoke", ("POST",), partial(take, self._revoked)),
        ]

    async def _take(self, work: Callable[[bytes], object], request: Request) -> Response:
        """Answers a request with what a work returns of its body."""
        return await answered(request, self._reading, work, BODY_BYTES_MAX)

    async def _log_in(self, request: Request) -> Response:
        """Answers a request for the tokens of a new login, which alone checks a password."""
        body = await body_of(request, BODY_BYTES_MAX)
        self._logins.admit(address_of(request))

        def work(plain: bytes) -> Tokens:
            return self._tokens(request, decoded_as(plain, Credentials))

        return await answered(request, self.checking, work, BODY_BYTES_MAX, body)

    def _tokens(self, request: Request, credentials: Credentials) -> Tokens:
        """Returns the tokens of a new login by a password, from an address that was admitted."""
        name, address = credentials.username, address_of(request)
        try:
            user = self._logins.check(name, credentials.password, address)
        except NotLoggedIn:
            # people type passwords in place of their name: one that no user has is not kept
            known_name = name if self._accounts.has_user(name) else None
            self._audit.record("login.failed", user=known_name, address=address)
            raise
        if credentials.new_password:
            self._accounts.set_password(user, credentials.new_password)
            self._audit.record("password.changed", user, user=user, address=address)
        tokens = self._logins.begin(user)
        self._audit.record("login.succeeded", user, address=address)
        return tokens

    def _refreshed(self, body: bytes) -> Tokens:
        return self._logins.refreshed(decoded_as(body, Refresh).refresh)

    def _revoked(self, body: bytes) -> dict[str, str]:
        user = self._logins.revoke(decoded_as(body, Refresh).refresh)
        if user is not None:
            self._audit.record("login.ended", user, user=user)
        return {}

    async def _login_page(self, request: Request) -> Response:
        """Shows the login form, or logs in by what it holds."""
        if request.method == "GET":
            return _form(request.query_params.get("to", ""))
        fields: dict[str, str] = {}
        try:
            if request.headers.get("sec-fetch-site", "") not in _OWN_PAGES:
                raise HTTPException(403, "this form was sent by the page of another site")
            fields = _fields(request, await body_of(request, BODY_BYTES_MAX))
            self._logins.admit(address_of(request))
            return await self.checking.run(partial(self._form_taken, request, fields))
        except (ThenceError, HTTPException) as error:
            return _form(fields.get("to", ""), refusal(request.scope, error))

    def _form_taken(self, request: Request, fields: dict[str, str]) -> Response:
        """Logs in by a form: the browser may open pages for as long as an access token lasts.

        Scripts can't read the cookie, and no other site's form sends it.
        """
        credentials = Credentials(fields.get("username", ""), fields.get("password", ""))
        answer = RedirectResponse(_own_page(fields.get("to", "")), 303)
        answer.set_cookie(
            cookie_name(request.scope),
            self._logins.page_session(self._tokens(request, credentials).access),
            max_age=ACCESS_S,
            httponly=True,
            secure=request.url.scheme == "https",
            samesite="lax",
        )
        return answer


def login_target(scope_path: str, query: bytes) -> str:
    """Returns the address of the login form that leads back to a page."""
    page_address = urlunsplit(("", "", scope_path, query.decode("latin-1"), ""))
    return f"{LOGIN_PATH}?{urlencode({'to': page_address})}"


def _own_page(target: str) -> str:
    """Returns the address of a page of this server, of the first one in place of any other."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_own = not parts.scheme and not parts.netloc and is_page(parts.path)
    return urlunsplit(("", "", parts.path, parts.query, "")) if is_own else "/"


def _form(target: str, problem: Refusal | None = None) -> Response:
    """Returns the login form, which leads to a page of this server."""
    make: Callable[..., Html] = el

    def field(name: str, label: str, **attributes: str | bool) -> Html:
        entry = make("input", id=name, name=name, required=True, **attributes)
        return el("p", el("label", label, for_=name), entry)

    form = el(
        "form",
        el("input", type="hidden", name="to", value=_own_page(target)),
        field("username", "Name", type="text", autocomplete="username", autofocus=True),
        field("password", "Password", type="password", autocomplete="current-password"),
        el("button", "Log in", type="submit"),
        method="post",
        action=LOGIN_PATH,
    )
    heading = el("h1", "Log in")
    if problem is None:
        return page("Log in", heading, form)
    alert = el("p", problem.words, role="alert")
    answer = page("Log in", heading, alert, form, status=problem.status)
    answer.headers.update(problem.headers or {})
    return answer


def _fields(request: Request, body: bytes) -> dict[str, str]:
    """Returns the fields of a form; raises InvalidEvent for what is none."""
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise ValueError("it is not a form")
        text = body.decode("ascii")
        return dict(parse_qsl(text, True, errors="strict", max_num_fields=_FIELDS_MAX))
    except ValueError as error:
        raise InvalidEvent("could not read the form", cause=error) from error
