"""The ways into a team's server: passwords, tokens, invitations, a provider of OpenID Connect.

Passwords, and whatever counts as one, are checked in threads of their own, and questions to the
provider have others: one that never answers holds up these logins and nothing else. An attempt
that fails counts against its address, and the audit log has it.

Whoever shows the token of an invitation is believed, and nobody else: no cookie counts on its page,
so that the page of another site has nothing to abuse. Looking at the page spends nothing, since
programs that preview links do it too.

What belongs to the login of a browser by the provider (state, nonce and the verifier of RFC 7636)
is in a cookie of that browser alone, so that any process answers the next step and no other browser
can take it. The browser is led to the provider and back to one fixed page, nowhere else.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hmac import compare_digest
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from thence.core.wire.messages import (
    Acceptance,
    Credentials,
    DeviceCode,
    DevicePending,
    DeviceQuestion,
    Refresh,
    Tokens,
)
from thence.errors import AccountRefused, InvalidEvent, NotLoggedIn, SyncRefused, ThenceError
from thence.server.errors import refusal
from thence.server.http.auth import cookie_name
from thence.server.team.accounts import (
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
    Accounts,
    Member,
)
from thence.server.team.audit import AuditLog
from thence.server.team.invitations import Invitation, Invitations
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
from thence.server.web.markup import Child, Html, el
from thence.server.workers import Workers

INVITATION_PATH = "/invitation"
LOGIN_PATH = "/login/oidc"
CALLBACK_PATH = f"{LOGIN_PATH}/callback"
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
    """The routes by which people and programs come in; clients reach the server under `url`.

    Without a `provider` nobody comes in by one. What checks no password runs in `reading`.
    """

    def __init__(
        self,
        accounts: Accounts,
        invitations: Invitations,
        logins: Logins,
        audit: AuditLog,
        reading: Workers,
        url: str,
        provider: Provider | None,
    ) -> None:
        self._accounts = accounts
        self._invitations = invitations
        self._logins = logins
        self._audit = audit
        self._reading = reading
        self._url = url
        self._provider = provider
        self.checking = Workers(CHECKING_THREADS, WAITING_MAX)
        self._asking = Workers(ASKING_THREADS, WAITING_MAX)
        logins.on_reuse = self._note_reuse

    @property
    def login_path(self) -> str:
        """The page where a browser logs in, "" where it can't."""
        return LOGIN_PATH if self._provider else ""

    def pages(self) -> list[Route]:
        """Returns the routes of the pages."""
        accept = _shown("No invitation", self._invitation_page)
        routes = [Route(INVITATION_PATH, accept, methods=("GET", "POST"))]
        if self._provider:
            again = el("p", el("a", "Log in again", href=LOGIN_PATH))
            for path, work in (
                (LOGIN_PATH, partial(self._begin_browser, self._provider)),
                (CALLBACK_PATH, partial(self._end_browser, self._provider)),
            ):
                routes.append(Route(path, _shown("Not logged in", self._asked(work), again)))
        return routes

    def paths(self) -> list[WirePath]:
        """Returns the paths of the wire, with their methods and endpoints."""
        token = partial(self._take, self._reading)
        paths: list[tuple[str, Endpoint]] = [
            ("token", self._log_in),
            ("token/refresh", partial(token, self._refreshed)),
            ("token/revoke", partial(token, self._revoked)),
            ("invitations", partial(self._take, self.checking, self._accepted)),
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
        credentials: Credentials = decoded_as(body, Credentials)
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

    @contextmanager
    def _attempt(self, address: str, way: str) -> Iterator[None]:
        """Counts an attempt of an address until it succeeds, and records one that fails.

        Raises ServerBusy after many failures.
        """
        self._logins.admit(address)
        try:
            yield
        except (NotLoggedIn, SyncRefused):
            self._audit.record_failure(None, address, way)
            raise
        self._logins.forgive(address)

    def _accepted(self, request: Request, body: bytes) -> Tokens:
        """Accepts an invitation for a program, with the tokens of a first login."""
        message: Acceptance = decoded_as(body, Acceptance)
        self._invitation(request, message.token)
        return self._logins.begin(self._joined(request, message.token, message.password).user)

    async def _invitation_page(self, request: Request) -> Response:
        """Shows the form of an invitation, or accepts what it holds."""
        if request.method == "GET":
            return await self.checking.run(partial(self._form, request))
        if request.headers.get("sec-fetch-site", "") not in _OWN_PAGES:
            raise HTTPException(403, "this form was sent by the page of another site")
        body = await body_of(request, BODY_BYTES_MAX)
        return await self.checking.run(partial(self._form_taken, request, body))

    def _form(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        return _form_page(self._invitation(request, token), token)

    def _form_taken(self, request: Request, body: bytes) -> Response:
        fields = _fields(request, body)
        token, password = fields.get("token", ""), fields.get("password", "")
        invitation = self._invitation(request, token)
        if fields.get("again") != password:
            return _form_page(invitation, token, "the two passwords differ")
        try:
            member = self._joined(request, token, password)
        except AccountRefused as error:
            return _form_page(invitation, token, f"{error.cause}; {error.hint}")
        return _welcome(member, self._invitations.server_url)

    def _invitation(self, request: Request, token: str) -> Invitation:
        """Returns the invitation of a token; raises NotLoggedIn, ServerBusy after many failures."""
        with self._attempt(address_of(request), "invitation"):
            return self._invitations.of(token)

    def _joined(self, request: Request, token: str, password: str) -> Member:
        """Accepts an invitation; raises what `Invitations.accept` raises."""
        member = self._invitations.accept(token, password)
        words = {**member._asdict(), "address": address_of(request)}
        self._audit.record("invitation.accepted", member.user, **words)
        return member

    def _asked(self, work: Callable[[Request], Response]) -> Endpoint:
        """Returns an endpoint that works in the threads that ask the provider."""

        async def answer(request: Request) -> Response:
            return await self._asking.run(partial(work, request))

        return answer

    def _begin_browser(self, provider: Provider, request: Request) -> Response:
        """Sends a browser to the provider."""
        parts = [secrets.token_urlsafe(TOKEN_BYTES) for _ in range(3)]
        target = provider.authorization_url(f"{self._url}{CALLBACK_PATH}", *parts)
        answer = RedirectResponse(target, 303)
        self._set_cookie(answer, _begun_cookie(request), ".".join(parts), _COOKIE_S, is_lax=True)
        return answer

    def _end_browser(self, provider: Provider, request: Request) -> Response:
        """Lets a browser in that comes back from the provider."""
        state, nonce, verifier = _begun(request)
        if not compare_digest(state.encode(), request.query_params.get("state", "").encode()):
            cause = "this browser did not begin it, or too long ago"
            raise NotLoggedIn("could not log in", cause=cause, hint="log in again")
        code = request.query_params.get("code", "")
        if not code:
            cause = "the provider let nobody in"
            raise NotLoggedIn("could not log in", cause=cause, hint="log in again")
        redirect_uri = f"{self._url}{CALLBACK_PATH}"
        user = self._let_in(
            request, lambda: provider.user_of_code(code, redirect_uri, nonce, verifier)
        )
        assert isinstance(user, str)
        session = self._logins.page_session(self._logins.begin(user).access)
        link = el("p", el("a", "All runs and logs of your team", href="/"))
        answer = _titled_page(f"You are {user}", link)
        self._set_cookie(answer, cookie_name(request.scope), session, ACCESS_S, is_lax=False)
        answer.delete_cookie(_begun_cookie(request), LOGIN_PATH)
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
        """Returns the user of the name that the provider tells, if it does yet.

        Raises NotLoggedIn, SyncRefused for a name that no user has, ServerBusy after many failures
        of an address, ServerUnreachable.
        """
        address = address_of(request)
        with self._attempt(address, "oidc"):
            name = ask()
            if isinstance(name, DevicePending):
                return name
            is_invited = not self._accounts.has_person(name)
            if is_invited and not self._invitations.accept_by_name(name):
                raise SyncRefused(
                    "could not log in",
                    cause=f"the provider knows you as {name[:_NAME_CHARACTERS_MAX]!r}, and no user"
                    " of this server has that name",
                    hint="ask an admin of the server to invite that name",
                )
        if is_invited:
            self._audit.record("invitation.accepted", name, user=name, address=address)
        self._audit.record("login.succeeded", name, address=address, way="oidc")
        return name

    def _set_cookie(
        self, answer: Response, name: str, text: str, lifetime_s: int, *, is_lax: bool
    ) -> None:
        """Sets a cookie that scripts can't read; a lax one comes with a link from elsewhere too."""
        answer.set_cookie(
            name,
            text,
            max_age=lifetime_s,
            path=LOGIN_PATH if is_lax else "/",
            httponly=True,
            secure=self._url.startswith("https:"),
            samesite="lax" if is_lax else "strict",
        )


def invitation_link(url: str, token: str) -> str:
    """Returns the address of the page where an invitation is accepted."""
    return f"{url}{INVITATION_PATH}?{urlencode({'token': token})}"


def _shown(heading: str, endpoint: Endpoint, link: Html | None = None) -> Endpoint:
    """Returns an endpoint whose errors are pages too, with a link behind the words."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ThenceError, HTTPException) as error:
            told = refusal(request.scope, error)
            words = el("p", told.words, role="alert")
            page = _titled_page(heading, words, link, status=told.status)
            page.headers.update(told.headers or {})
            return page

    return answer


def _begun_cookie(request: Request) -> str:
    return f"{cookie_name(request.scope)}_oidc"


def _begun(request: Request) -> tuple[str, str, str]:
    """Returns state, nonce and verifier of the login that this browser has begun."""
    parts = request.cookies.get(_begun_cookie(request), "").split(".")
    if len(parts) != 3 or not all(parts):
        return secrets.token_urlsafe(TOKEN_BYTES), "", ""
    return parts[0], parts[1], parts[2]


def _fields(request: Request, body: bytes) -> dict[str, str]:
    """Returns the fields of a form; raises InvalidEvent for what is none."""
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise ValueError("it is no form")
        text = body.decode("ascii")
        return dict(parse_qsl(text, True, errors="strict", max_num_fields=_FIELDS_MAX))
    except ValueError as error:
        raise InvalidEvent("could not read the form", cause=error) from error


def _form_page(invitation: Invitation, token: str, problem: str = "") -> Response:
    limits: dict[str, str | int | bool] = {
        "type": "password",
        "required": True,
        "minlength": PASSWORD_CHARACTERS_MIN,
        "maxlength": PASSWORD_CHARACTERS_MAX,
        "autocomplete": "new-password",
    }
    form = el(
        "form",
        el("input", type="hidden", name="token", value=token),
        _field("username", "Your name", type="text", value=invitation.name, readonly=True),
        _field("password", f"A password of {PASSWORD_CHARACTERS_MIN} characters or more", **limits),
        _field("again", "The same password again", **limits),
        el("button", "Join", type="submit"),
        method="post",
        action=INVITATION_PATH,
    )
    alert = el("p", problem, role="alert") if problem else None
    words = el("p", f"You are invited with the role {invitation.role}. The link works once.")
    return _titled_page(
        f"Join {invitation.team}", words, alert, form, status=400 if problem else 200
    )


def _field(name: str, label: str, **attributes: str | int | bool) -> Html:
    make: Callable[..., Html] = el
    field = make("input", id=name, name=name, **attributes)
    return el("p", el("label", label, for_=name), field)


def _welcome(member: Member, url: str) -> Response:
    command = f"thence sync login {url or 'URL'} --username {member.user}"
    words = el("p", f"You are {member.user}, with the role {member.role}. Log in on your machine:")
    return _titled_page(f"Welcome to {member.team}", words, el("pre", command))


def _titled_page(heading: str, *body: Child, status: int = 200) -> Response:
    """Returns a page whose title is its heading."""
    return page(heading, el("h1", heading), *body, status=status)
