"""The ways into a team's server: passwords, tokens, a login form, a provider of OpenID Connect.

Passwords are checked in threads of their own, and questions to the provider have others: one that
never answers holds up these logins and nothing else. An attempt that fails counts against its
address, and the audit log has it.

A browser has one cookie. After a login it holds a session, which opens pages alone. While a login
by the provider is under way it holds what belongs to that (state, nonce and the verifier of RFC
7636), so that any process answers the next step and no other browser can take it. The browser is
led to the provider and to this server's own pages, nowhere else. The cookie comes with a link from
another site too, as the provider's way back needs it: a page only ever shows something.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hmac import compare_digest
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from thence.core.markup import Child, Html, el
from thence.errors import InvalidEvent, NotLoggedIn, SyncRefused, ThenceError
from thence.server.errors import Refusal, is_page, refusal
from thence.server.http.middleware import cookie_name
from thence.server.http.workers import Workers
from thence.server.team.accounts import Accounts
from thence.server.team.audit import AuditLog
from thence.server.team.logins import ACCESS_S, TOKEN_BYTES, Logins
from thence.server.team.oidc import Provider
from thence.server.team.wire_http import (
    Endpoint,
    WirePath,
    address_of,
    answered,
    body_of,
    decoded_as,
    packed,
)
from thence.server.web.layout import page
from thence.sync.wire.messages import (
    Credentials,
    DeviceCode,
    DevicePending,
    DeviceQuestion,
    Refresh,
    Tokens,
)

LOGIN_PATH = "/login"
_PROVIDER_PATH = f"{LOGIN_PATH}/oidc"
_CALLBACK_PATH = f"{_PROVIDER_PATH}/callback"
BODY_BYTES_MAX = 16 * 1024
# a check of a password takes 64 MiB
CHECKING_THREADS, ASKING_THREADS, WAITING_MAX = 2, 2, 32
_COOKIE_S = 600
_NAME_CHARACTERS_MAX = 64
_FIELDS_MAX = 8
_FORM = "application/x-www-form-urlencoded"
# of the header Sec-Fetch-Site, which every browser sends and no page can set
_OWN_PAGES = frozenset(("same-origin", "none", ""))


class WaysIn:
    """The routes by which people and programs come in; browsers reach the server under `url`.

    Without a `provider` nobody comes in by one. What checks no password runs in `reading`.
    """

    def __init__(
        self,
        accounts: Accounts,
        logins: Logins,
        audit: AuditLog,
        reading: Workers,
        url: str,
        provider: Provider | None,
    ) -> None:
        self._accounts = accounts
        self._logins = logins
        self._audit = audit
        self._reading = reading
        self._url = url
        self._provider = provider
        self.checking = Workers(CHECKING_THREADS, WAITING_MAX)
        self._asking = Workers(ASKING_THREADS, WAITING_MAX)
        logins.on_reuse = self._note_reuse

    def pages(self) -> list[Route]:
        """Returns the routes of the pages."""
        form = Route(LOGIN_PATH, self._login_page, methods=("GET", "POST"))
        if self._provider is None:
            return [form]
        begin = _shown(self._asked(partial(self._begin_browser, self._provider)))
        end = _shown(self._asked(partial(self._end_browser, self._provider)))
        return [form, Route(_PROVIDER_PATH, begin), Route(_CALLBACK_PATH, end)]

    def paths(self) -> list[WirePath]:
        """Returns the paths of the wire, with their methods and endpoints."""
        token = partial(self._take, self._reading)
        paths: list[tuple[str, Endpoint]] = [
            ("token", self._log_in),
            ("token/refresh", partial(token, self._refreshed)),
            ("token/revoke", partial(token, self._revoked)),
        ]
        if self._provider:
            ask = partial(self._take, self._asking)
            paths += [
                ("oidc/device", partial(ask, partial(self._begin_device, self._provider))),
                ("oidc/token", partial(ask, partial(self._end_device, self._provider))),
            ]
        return [(path, ("POST",), endpoint) for path, endpoint in paths]

    async def _take(
        self, workers: Workers, work: Callable[[Request, bytes], object], request: Request
    ) -> Response:
        """Answers a request with what a work returns of it and of its body."""
        return await answered(request, workers, partial(work, request), BODY_BYTES_MAX)

    async def _log_in(self, request: Request) -> Response:
        """Answers a request for the tokens of a new login, which alone checks a password."""
        body = await body_of(request, BODY_BYTES_MAX)
        self._logins.admit(address_of(request))
        work = partial(self._logged_in, request)
        return await answered(request, self.checking, work, BODY_BYTES_MAX, body)

    def _logged_in(self, request: Request, body: bytes) -> Tokens:
        return self._tokens(request, decoded_as(body, Credentials))

    def _tokens(self, request: Request, credentials: Credentials) -> Tokens:
        """Returns the tokens of a new login by a password, from an address that was admitted."""
        name, address = credentials.username, address_of(request)
        try:
            user = self._logins.check(name, credentials.password, address)
        except NotLoggedIn:
            known_name = name if self._accounts.has_user(name) else None
            self._audit.record_failure(known_name, address, "password")
            raise
        if credentials.new_password:
            self._accounts.set_password(user, credentials.new_password)
            self._audit.record("password.changed", user, user=user, address=address)
        tokens = self._logins.begin(user)
        self._audit.record("login.succeeded", user, address=address, way="password")
        return tokens

    def _note_reuse(self, user: str) -> None:
        self._audit.record("login.ended", user=user, reason="a refresh token was used twice")

    def _refreshed(self, request: Request, body: bytes) -> Tokens:
        return self._logins.refreshed(decoded_as(body, Refresh).refresh)

    def _revoked(self, request: Request, body: bytes) -> dict[str, str]:
        user = self._logins.revoke(decoded_as(body, Refresh).refresh)
        if user is not None:
            self._audit.record("login.ended", user, user=user)
        return {}

    async def _login_page(self, request: Request) -> Response:
        """Shows the login form, or logs in by what it holds."""
        if request.method == "GET":
            return self._form(request.query_params.get("to", ""))
        fields: dict[str, str] = {}
        try:
            if request.headers.get("sec-fetch-site", "") not in _OWN_PAGES:
                raise HTTPException(403, "this form was sent by the page of another site")
            fields = _fields(request, await body_of(request, BODY_BYTES_MAX))
            self._logins.admit(address_of(request))
            return await self.checking.run(partial(self._form_taken, request, fields))
        except (ThenceError, HTTPException) as error:
            return self._form(fields.get("to", ""), refusal(request.scope, error))

    def _form_taken(self, request: Request, fields: dict[str, str]) -> Response:
        credentials = Credentials(fields.get("username", ""), fields.get("password", ""))
        answer = RedirectResponse(_own_page(fields.get("to", "")), 303)
        self._set_session(request, answer, self._tokens(request, credentials).access)
        return answer

    def _form(self, target: str, problem: Refusal | None = None) -> Response:
        """Returns the login form, which leads to a page of this server."""
        form = el(
            "form",
            el("input", type="hidden", name="to", value=_own_page(target)),
            _field("username", "Name", type="text", autocomplete="username", autofocus=True),
            _field("password", "Password", type="password", autocomplete="current-password"),
            el("button", "Log in", type="submit"),
            method="post",
            action=LOGIN_PATH,
        )
        link = el("a", "Log in by your provider", href=_PROVIDER_PATH) if self._provider else None
        alert = el("p", problem.words, role="alert") if problem else None
        answer = _titled_page(
            "Log in", alert, form, el("p", link) if link else None, status=_status(problem)
        )
        answer.headers.update((problem.headers if problem else None) or {})
        return answer

    def _asked(self, work: Callable[[Request], Response]) -> Endpoint:
        """Returns an endpoint that works in the threads that ask the provider."""

        async def answer(request: Request) -> Response:
            return await self._asking.run(partial(work, request))

        return answer

    def _begin_browser(self, provider: Provider, request: Request) -> Response:
        """Sends a browser to the provider."""
        parts = [secrets.token_urlsafe(TOKEN_BYTES) for _ in range(3)]
        target = provider.authorization_url(f"{self._url}{_CALLBACK_PATH}", *parts)
        answer = RedirectResponse(target, 303)
        self._set_cookie(request, answer, ".".join(parts), _COOKIE_S)
        return answer

    def _end_browser(self, provider: Provider, request: Request) -> Response:
        """Lets a browser in that comes back from the provider."""
        state, nonce, verifier = _begun(request)
        if not compare_digest(state.encode(), request.query_params.get("state", "").encode()):
            cause = "this browser did not begin it, or too long ago"
            raise NotLoggedIn("could not log in", cause=cause, hint="log in again")
        code = request.query_params.get("code", "")
        if not code:
            cause = "the provider refused the login"
            raise NotLoggedIn("could not log in", cause=cause, hint="log in again")
        redirect_uri = f"{self._url}{_CALLBACK_PATH}"
        user = self._let_in(
            request, lambda: provider.user_of_code(code, redirect_uri, nonce, verifier)
        )
        assert isinstance(user, str)
        link = el("p", el("a", "All runs and logs of your team", href="/"))
        answer = _titled_page(f"You are {user}", link)
        self._set_session(request, answer, self._logins.begin(user).access)
        return answer

    def _begin_device(self, provider: Provider, request: Request, body: bytes) -> DeviceCode:
        """Returns the provider's codes for a terminal that begins."""
        self._logins.admit(address_of(request))  # each is a question to the provider
        return provider.begin_device()

    def _end_device(self, provider: Provider, request: Request, body: bytes) -> object:
        """Returns tokens for a terminal, once its user has let it in at the provider."""
        question: DeviceQuestion = decoded_as(body, DeviceQuestion)
        user = self._let_in(request, lambda: provider.user_of_device(question.device_code))
        if isinstance(user, DevicePending):
            return packed(request, user, 202)
        return self._logins.begin(user)

    def _let_in(
        self, request: Request, ask: Callable[[], str | DevicePending]
    ) -> str | DevicePending:
        """Returns the user of the name that the provider gives, if it does yet.

        Raises NotLoggedIn, SyncRefused for a name that no user has, `server_busy` after many
        failures of an address, `server_unreachable`.
        """
        address = address_of(request)
        with self._attempt(address, "oidc"):
            name = ask()
            if isinstance(name, DevicePending):
                return name
            if not self._accounts.has_person(name):
                raise SyncRefused(
                    "could not log in",
                    cause=f"the provider knows you as {name[:_NAME_CHARACTERS_MAX]!r}, and no user"
                    " of this server has that name",
                    hint="ask an admin of the server to add that name",
                )
        self._audit.record("login.succeeded", name, address=address, way="oidc")
        return name

    @contextmanager
    def _attempt(self, address: str, way: str) -> Iterator[None]:
        """Counts an attempt of an address until it succeeds, and records one that fails.

        Raises `server_busy` after many failures.
        """
        self._logins.admit(address)
        try:
            yield
        except SyncRefused as error:
            if error.code in ("not_logged_in", "sync_refused"):
                self._audit.record_failure(None, address, way)
            raise
        self._logins.forgive(address)

    def _set_session(self, request: Request, answer: Response, access: str) -> None:
        """Lets a browser open pages for as long as an access token lasts."""
        self._set_cookie(request, answer, self._logins.page_session(access), ACCESS_S)

    def _set_cookie(self, request: Request, answer: Response, text: str, lifetime_s: int) -> None:
        """Sets the browser's cookie, which scripts can't read and no other site's form sends."""
        is_secure = request.url.scheme == "https" or self._url.startswith("https:")
        answer.set_cookie(
            cookie_name(request.scope),
            text,
            max_age=lifetime_s,
            httponly=True,
            secure=is_secure,
            samesite="lax",
        )


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


def _status(problem: Refusal | None) -> int:
    return problem.status if problem else 200


def _shown(endpoint: Endpoint) -> Endpoint:
    """Returns an endpoint of the provider's whose errors are pages, with a link to begin again."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ThenceError, HTTPException) as error:
            problem = refusal(request.scope, error)
            again = el("p", el("a", "Log in again", href=_PROVIDER_PATH))
            words = el("p", problem.words, role="alert")
            answer = _titled_page("Not logged in", words, again, status=problem.status)
            answer.headers.update(problem.headers or {})
            return answer

    return answer


def _begun(request: Request) -> tuple[str, str, str]:
    """Returns state, nonce and verifier of the login that this browser has begun."""
    parts = request.cookies.get(cookie_name(request.scope), "").split(".")
    if len(parts) != 3 or not all(parts):
        return secrets.token_urlsafe(TOKEN_BYTES), "", ""
    return parts[0], parts[1], parts[2]


def _fields(request: Request, body: bytes) -> dict[str, str]:
    """Returns the fields of a form; raises InvalidEvent for what is none."""
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise ValueError("it is not a form")
        text = body.decode("ascii")
        return dict(parse_qsl(text, True, errors="strict", max_num_fields=_FIELDS_MAX))
    except ValueError as error:
        raise InvalidEvent("could not read the form", cause=error) from error


def _field(name: str, label: str, **attributes: str | int | bool) -> Html:
    make: Callable[..., Html] = el
    field = make("input", id=name, name=name, required=True, **attributes)
    return el("p", el("label", label, for_=name), field)


def _titled_page(heading: str, *body: Child, status: int = 200) -> Response:
    """Returns a page whose title is its heading."""
    return page(heading, el("h1", heading), *body, status=status)
