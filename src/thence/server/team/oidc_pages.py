"""The ways in by a provider of OpenID Connect: of a browser by a code, of a terminal by a device.

What belongs to the login of a browser (state, nonce and the verifier of RFC 7636) is in a cookie of
that browser alone, so that any process answers the next step and no other browser can take it. The
browser is led to the provider and back to one fixed page, nowhere else. Questions to the provider
have threads of their own: one that never answers holds up these logins and nothing else.
"""

import secrets
from collections.abc import Callable
from hmac import compare_digest

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from thence.core.wire.messages import DevicePending, DeviceQuestion
from thence.errors import NotLoggedIn, SyncRefused, ThenceError
from thence.server.http.auth import cookie_name
from thence.server.team.accounts import Accounts
from thence.server.team.audit import AuditLog
from thence.server.team.invitation_pages import failure_page, titled_page
from thence.server.team.invitations import Invitations
from thence.server.team.logins import ACCESS_S, TOKEN_BYTES, Logins
from thence.server.team.oidc import Provider
from thence.server.team.wire_http import address_of, body_of, decoded_as, packed, unpacked
from thence.server.web.markup import el
from thence.server.workers import Workers

LOGIN_PATH = "/login/oidc"
CALLBACK_PATH = f"{LOGIN_PATH}/callback"
THREADS, WAITING_MAX = 2, 32
BODY_BYTES_MAX = 16 * 1024
_COOKIE_S = 600
_NAME_CHARACTERS_MAX = 64


class OidcPages:
    """The routes of logins by a provider; clients reach the server under `url`."""

    def __init__(
        self,
        provider: Provider,
        url: str,
        accounts: Accounts,
        invitations: Invitations,
        logins: Logins,
        audit: AuditLog,
    ) -> None:
        self._provider = provider
        self._redirect_uri = f"{url}{CALLBACK_PATH}"
        self._is_secure = url.startswith("https:")
        self._accounts = accounts
        self._invitations = invitations
        self._logins = logins
        self._audit = audit
        self._workers = Workers(THREADS, WAITING_MAX)

    def routes(self) -> list[Route]:
        """Returns the routes of the pages."""
        return [
            Route(LOGIN_PATH, self._shown(self._begin)),
            Route(CALLBACK_PATH, self._shown(self._end)),
        ]

    def paths(self) -> list[tuple[str, tuple[str, ...], Callable[..., object]]]:
        """Returns the paths of the wire, their methods and endpoints."""
        return [
            ("oidc/device", ("POST",), self._begin_device),
            ("oidc/token", ("POST",), self._end_device),
        ]

    def _shown(self, work: Callable[[Request], Response]) -> Callable[..., object]:
        """Returns an endpoint that answers with a page, also for an error."""

        async def answer(request: Request) -> Response:
            try:
                return await self._workers.run(lambda: work(request))
            except (ThenceError, HTTPException) as error:
                return failure_page(request, error, "Not logged in")

        return answer

    def _begin(self, request: Request) -> Response:
        """Sends a browser to the provider."""
        parts = [secrets.token_urlsafe(TOKEN_BYTES) for _ in range(3)]
        target = self._provider.authorization_url(self._redirect_uri, *parts)
        answer = RedirectResponse(target, 303)
        self._set_cookie(answer, _cookie_name(request), ".".join(parts), _COOKIE_S, "lax")
        return answer

    def _end(self, request: Request) -> Response:
        """Lets a browser in that comes back from the provider."""
        state, nonce, verifier = _kept(request)
        if not compare_digest(state.encode(), request.query_params.get("state", "").encode()):
            cause = "this browser did not begin it, or too long ago"
            raise NotLoggedIn("could not log in", cause=cause, hint=f"begin at {LOGIN_PATH}")
        code = request.query_params.get("code", "")
        if not code:
            cause = "the provider let nobody in"
            raise NotLoggedIn("could not log in", cause=cause, hint=f"begin at {LOGIN_PATH}")

        def name() -> str:
            return self._provider.user_of_code(code, self._redirect_uri, nonce, verifier)

        user = self._admitted(request, name)
        assert isinstance(user, str)
        session = self._logins.page_session(self._logins.begin(user).access)
        link = el("p", el("a", "All runs and logs of your team", href="/"))
        answer = titled_page(f"You are {user}", link)
        self._set_cookie(answer, cookie_name(request.scope), session, ACCESS_S, "strict")
        answer.delete_cookie(_cookie_name(request), LOGIN_PATH)
        return answer

    async def _begin_device(self, request: Request) -> Response:
        """Answers a terminal that begins with the provider's codes for it."""
        await body_of(request, BODY_BYTES_MAX)

        def answer() -> Response:
            self._logins.admit(address_of(request))  # each is a question to the provider
            return packed(request, msgspec.json.encode(self._provider.begin_device()))

        return await self._workers.run(answer)

    async def _end_device(self, request: Request) -> Response:
        """Answers a terminal with tokens, once its user has let it in at the provider."""
        body = await body_of(request, BODY_BYTES_MAX)

        def answer() -> Response:
            plain = unpacked(request, body, BODY_BYTES_MAX)
            question: DeviceQuestion = decoded_as(plain, DeviceQuestion)
            user = self._admitted(
                request, lambda: self._provider.user_of_device(question.device_code)
            )
            if isinstance(user, DevicePending):
                answer = packed(request, msgspec.json.encode(user))
                answer.status_code = 202
                return answer
            return packed(request, msgspec.json.encode(self._logins.begin(user)))

        return await self._workers.run(answer)

    def _admitted(
        self, request: Request, ask: Callable[[], str | DevicePending]
    ) -> str | DevicePending:
        """Returns the user of the name that the provider tells, if it does yet.

        Raises NotLoggedIn, SyncRefused for a name that no user has, ServerBusy after many failures
        of an address, ServerUnreachable.
        """
        address = address_of(request)
        self._logins.admit(address)
        try:
            name = ask()
            if isinstance(name, DevicePending):
                self._logins.forgive(address)
                return name
            is_invited = not self._accounts.has_person(name)
            if is_invited and not self._invitations.accept_by_name(name):
                raise SyncRefused(
                    "could not log in",
                    cause=f"the provider knows you as {name[:_NAME_CHARACTERS_MAX]!r}, and no user"
                    " of this server has that name",
                    hint="ask an admin of the server to invite that name",
                )
        except (NotLoggedIn, SyncRefused):
            self._audit.record_failure(None, address, "oidc")
            raise
        self._logins.forgive(address)
        if is_invited:
            self._audit.record("invitation.accepted", name, user=name, address=address)
        self._audit.record("login.succeeded", name, address=address, way="oidc")
        return name

    def _set_cookie(
        self, answer: Response, name: str, text: str, lifetime_s: int, same_site: str
    ) -> None:
        """Sets a cookie that scripts can't read; a lax one comes with a link from elsewhere too."""
        is_lax = same_site == "lax"
        answer.set_cookie(
            name,
            text,
            max_age=lifetime_s,
            path=LOGIN_PATH if is_lax else "/",
            httponly=True,
            secure=self._is_secure,
            samesite="lax" if is_lax else "strict",
        )


def _cookie_name(request: Request) -> str:
    return f"{cookie_name(request.scope)}_oidc"


def _kept(request: Request) -> tuple[str, str, str]:
    """Returns state, nonce and verifier of the login that this browser has begun."""
    parts = request.cookies.get(_cookie_name(request), "").split(".")
    if len(parts) != 3 or not all(parts):
        return secrets.token_urlsafe(TOKEN_BYTES), "", ""
    return parts[0], parts[1], parts[2]
